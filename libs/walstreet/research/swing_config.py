"""Owns the configuration of the swing portfolio: ``config.yaml``, ``config.local.yaml``, environment, ``--set``.

Later layers lie on top and mappings are merged deeply. The environment knows the documented names (``IB_HOST``,
``IB_PORT``, ``IB_CLIENT_ID``, ``IB_ACCOUNT_PAPER``, ``IB_ACCOUNT_LIVE``; an empty one is not set) and any other
parameter as ``BOT__SECTION__KEY=value``. Values there and in ``--set section.key=value`` are JSON, or plain text where
they are none. An unknown key, a wrong type or a value out of range is refused with its path. Keys that only
`walstreet up` knows may stand in ``config.local.yaml``, which both programs read, and are passed over.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, NoReturn

import msgspec

from walstreet.domain.bounds import require_between
from walstreet.domain.daily_checks import CheckParameters
from walstreet.domain.rotation_parameters import NO_COLUMN, CapMode, WeightMethod
from walstreet.research.swing_grid import make_grid
from walstreet.research.swing_types import Objective, Settlement, SwingParameters
from walstreet.runtime.config import LOCAL_FILE, Tree, convert, known_keys, merge, nested, read_layer, without
from walstreet.runtime.errors import UsageError
from walstreet.runtime.settings import Settings

CONFIG_FILE = "config.yaml"
ENVIRONMENT_PREFIX = "BOT__"
DOCUMENTED_NAMES = {
    "IB_HOST": "ibkr.host",
    "IB_PORT": "ibkr.port",
    "IB_CLIENT_ID": "ibkr.client_id",
    "IB_ACCOUNT_PAPER": "ibkr.account_paper",
    "IB_ACCOUNT_LIVE": "ibkr.account_live",
}
TEXT_NAMES = ("IB_HOST", "IB_ACCOUNT_PAPER", "IB_ACCOUNT_LIVE")
"""Of these the text itself is the value, even where it could be read as a number."""
UNIVERSE_MAX = 20_000
WORKERS_MAX = 1_024

Metric = Literal["CAGR", "Sharpe", "Calmar", "MaxDD", "PF", "Turnover"]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section: frozen, named fields only, unknown keys refused."""


class IbkrSection(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where TWS or IB Gateway is and what is asked of it."""

    host: str = "127.0.0.1"
    port: int = 7497
    """7497 is TWS (paper), 4002 IB Gateway (paper)."""
    client_id: int = 17
    account_paper: str = "DUK200445"
    account_live: str = ""
    """Empty: there is no live account, and live trading is refused."""
    market_mode: Literal["live", "delayed", "delayedFrozen"] = "delayed"
    timeframe: Literal["1 day", "1 hour"] = "1 day"
    """``1 hour`` is for research only."""
    start: dt.date = dt.date(2015, 1, 1)
    """First day that is fetched and simulated."""
    end: dt.date | None = None
    """Last day; null is the newest there is."""

    def __post_init__(self) -> None:
        """Refuse ports and ids that no gateway takes, and days out of order."""
        require_between("ibkr", "port", self.port, 1, 65_535)
        require_between("ibkr", "client_id", self.client_id, 0, 2_147_483_647)
        if self.end is not None and self.end < self.start:
            raise ValueError(f"ibkr.end is {self.end}, before ibkr.start {self.start}")


class DataSection(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where daily bars come from, how patiently they are asked for, and what is said to be remarkable in them."""

    source: Literal["ibkr", "tiingo", "alpaca"] = "ibkr"
    """The last two need keys in the environment: TIINGO_API_KEY; APCA_API_KEY_ID and APCA_API_SECRET_KEY."""
    chunk_days: int = 365
    """Most calendar days of raw history in one request."""
    final_after_minutes: float = 30.0
    """A bar is provisional, and fetched again, until so long after its session's close."""
    paced: bool = True
    """Whether the broker's historical limits are kept; false is for a simulator only."""
    timeout_s: float = 60.0
    """Of one request."""
    attempts: int = 6
    """Of one request, where the failure passes with time."""
    retry_first_s: float = 2.0
    """Before the second attempt; each later wait is twice as long."""
    retry_max_s: float = 120.0
    tiingo_url: str = "https://api.tiingo.com"
    alpaca_url: str = "https://data.alpaca.markets"
    alpaca_feed: Literal["iex", "sip"] = "iex"
    """``sip`` has all exchanges, and needs a subscription for recent days."""
    checks: CheckParameters = CheckParameters()

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("data", "chunk_days", self.chunk_days, 1, 365)
        require_between("data", "final_after_minutes", self.final_after_minutes, 0.0, 1_440.0)
        require_between("data", "timeout_s", self.timeout_s, 0.1, 600.0)
        require_between("data", "attempts", self.attempts, 1, 100)
        require_between("data", "retry_first_s", self.retry_first_s, 0.0, 600.0)
        require_between("data", "retry_max_s", self.retry_max_s, self.retry_first_s, 3_600.0)


class ResearchSection(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Over how many processes grids and permutations are spread; no result depends on it."""

    workers: int = 1
    """1 computes in this process."""
    backend: Literal["loky", "dask", "ray"] = "loky"
    """Of joblib; the last two must be installed and started by the user."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("research", "workers", self.workers, 1, WORKERS_MAX)


class RebalanceSection(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the live rotation runs."""

    schedule_et: str = "15:55"
    """HH:MM in New York on a full session; before an early close it is as long before the close."""
    frequency: Literal["daily"] = "daily"

    def __post_init__(self) -> None:
        """Refuse what is no time of day."""
        try:
            dt.datetime.strptime(self.schedule_et, "%H:%M")  # noqa: DTZ007 - a time of day without a date
        except ValueError as error:
            raise ValueError(f"rebalance.schedule_et is {self.schedule_et!r}; it must be HH:MM, in quotes") from error


class CostSection(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a trade costs in research."""

    commission_per_share: float = 0.0035
    commission_minimum_usd: float = 0.0
    """Least commission of an order; 0 switches it off."""
    slippage_bps: float = 1.0


class MacdSection(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The optional MACD gate."""

    enabled: bool = False
    fast: int = 12
    slow: int = 26
    signal: int = 9


class FeatureSection(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Windows of the indicators, in bars."""

    atr_window: int = 20
    ema_fast: int = 20
    ema_slow: int = 50
    macd: MacdSection = MacdSection()


class SelectionSection(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which names are chosen."""

    top_n: int = 2
    corr_window: int = 90
    corr_cap: float = 0.7
    signed_correlation: bool = False
    min_score: float = 0.0
    hold_bonus: float = 1.0
    """0 is the literal strategy; ``hold_floor`` is off then."""
    hold_floor: float = -0.5


class WeightSection(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of each chosen name is held."""

    method: WeightMethod = "inv_vol"
    vol_window: int = 20
    max_weight_per_asset: float = 0.5
    cash_buffer: float = 0.05
    cap_mode: CapMode = "water_fill"
    band: float = 0.05


class RegimeSection(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The optional overlay: smaller targets while a symbol is below its average."""

    enabled: bool = False
    symbol: str = "SPY"
    """Must be in the universe."""
    window: int = 200
    factor: float = 0.5


class BacktestSection(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a backtest runs and what it reports."""

    seed: int = 42
    """Of every random step: permutation and bootstrap."""
    metrics: tuple[Metric, ...] = ("CAGR", "Sharpe", "Calmar", "MaxDD", "PF", "Turnover")
    settlement: Settlement = "t+0"
    equity_usd: float = 25_000.0


class ReoptimizeSection(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The grid, in product order."""

    ema_fast: tuple[int, ...] = (10, 20, 30)
    ema_slow: tuple[int, ...] = (40, 50, 80)
    top_n: tuple[int, ...] = (1, 2, 3)
    corr_cap: tuple[float, ...] = (0.6, 0.7, 0.8)


class WalkforwardSection(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Windows and grid of the walk-forward."""

    train_years: int = 3
    oos_months: int = 3
    objective: Objective = "Calmar"
    reoptimize: ReoptimizeSection = ReoptimizeSection()

    def __post_init__(self) -> None:
        """Refuse windows without a length."""
        require_between("walkforward", "train_years", self.train_years, 1, 100)
        require_between("walkforward", "oos_months", self.oos_months, 1, 1_200)


class PermutationSection(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The permutation test."""

    runs: int = 200
    objective: Objective = "Calmar"

    def __post_init__(self) -> None:
        """Refuse a test without a run."""
        require_between("permutation", "runs", self.runs, 1, 1_000_000)


class ExecutionSection(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How orders go out."""

    live: bool = False
    order_type: Literal["MKT", "LMT"] = "MKT"
    """``MKT``: worked by ``execution.aggression`` of the services, never without a limit; ``LMT``: one limit."""
    limit_offset_bps: float = 2.0
    """How far beyond the mid an ``LMT`` order is limited."""
    max_orders_per_day: int = 5

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("execution", "limit_offset_bps", self.limit_offset_bps, 0.0, 1_000.0)
        require_between("execution", "max_orders_per_day", self.max_orders_per_day, 1, 1_000)


class SwingConfig(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration of the swing portfolio."""

    ibkr: IbkrSection = IbkrSection()
    universe: tuple[str, ...] = ("SPY", "QQQ", "VTI", "TLT", "IEF", "GLD", "XLE", "BND", "BITO")
    """Order matters: it breaks ties of scores."""
    data: DataSection = DataSection()
    research: ResearchSection = ResearchSection()
    rebalance: RebalanceSection = RebalanceSection()
    costs: CostSection = CostSection()
    features: FeatureSection = FeatureSection()
    selection: SelectionSection = SelectionSection()
    weights: WeightSection = WeightSection()
    regime: RegimeSection = RegimeSection()
    backtest: BacktestSection = BacktestSection()
    walkforward: WalkforwardSection = WalkforwardSection()
    permutation: PermutationSection = PermutationSection()
    execution: ExecutionSection = ExecutionSection()

    def __post_init__(self) -> None:
        """Refuse a universe that names nothing, names something twice or lacks the regime's symbol."""
        require_between("config", "number of symbols in universe", len(self.universe), 1, UNIVERSE_MAX)
        for index, symbol in enumerate(self.universe):
            if not symbol or not symbol.replace(".", "").replace("-", "").isalnum():
                raise ValueError(f"universe[{index}] is {symbol!r}; a symbol is letters and digits, '.' or '-'")
            if symbol in self.universe[:index]:
                raise ValueError(f"universe[{index}] repeats {symbol}; name each symbol once")
        if self.regime.enabled and self.regime.symbol not in self.universe:
            raise ValueError(f"regime.symbol {self.regime.symbol} is not in the universe; add it or switch regime off")

    def parameters(self, first_day: int, last_day: int) -> SwingParameters:
        """Return the parameters of a simulation from row ``first_day`` to row ``last_day``.

        Raises:
            UsageError: A value is out of its range.
        """
        regime = self.universe.index(self.regime.symbol) if self.regime.enabled else NO_COLUMN
        try:
            return SwingParameters(
                ema_fast=self.features.ema_fast,
                ema_slow=self.features.ema_slow,
                atr_window=self.features.atr_window,
                macd_enabled=self.features.macd.enabled,
                macd_fast=self.features.macd.fast,
                macd_slow=self.features.macd.slow,
                macd_signal=self.features.macd.signal,
                top_n=self.selection.top_n,
                corr_window=self.selection.corr_window,
                corr_cap=self.selection.corr_cap,
                signed_correlation=self.selection.signed_correlation,
                min_score=self.selection.min_score,
                hold_bonus=self.selection.hold_bonus,
                hold_floor=self.selection.hold_floor,
                weight_method=self.weights.method,
                vol_window=self.weights.vol_window,
                max_weight=self.weights.max_weight_per_asset,
                cash_buffer=self.weights.cash_buffer,
                cap_mode=self.weights.cap_mode,
                band=self.weights.band,
                regime_column=regime,
                regime_window=self.regime.window,
                regime_factor=self.regime.factor,
                commission_per_share=self.costs.commission_per_share,
                commission_minimum_usd=self.costs.commission_minimum_usd,
                slippage_bps=self.costs.slippage_bps,
                equity_start_usd=self.backtest.equity_usd,
                settlement=self.backtest.settlement,
                first_day=first_day,
                last_day=last_day,
            )
        except ValueError as error:
            raise UsageError(f"configuration: {error}") from error

    def grid(self, first_day: int, last_day: int) -> tuple[SwingParameters, ...]:
        """Return the walk-forward's grid in product order.

        Raises:
            UsageError: A value is out of its range.
        """
        base = self.parameters(first_day, last_day)
        try:
            return make_grid(base, msgspec.structs.asdict(self.walkforward.reoptimize))
        except ValueError as error:
            raise UsageError(f"configuration: walkforward.reoptimize: {error}") from error


def load_swing_config(folder: Path, environment: Mapping[str, str], settings: Iterable[str] = ()) -> SwingConfig:
    """Return the configuration: ``--set`` > environment > ``config.local.yaml`` > ``config.yaml``.

    Args:
        folder: Holds ``config.yaml`` and perhaps ``config.local.yaml``.
        environment: Variables of the process.
        settings: ``section.key=value`` arguments, later ones on top.

    Raises:
        UsageError: A file cannot be read, or a key or a value is refused; the text carries the path.
    """
    tree = read_layer(folder / CONFIG_FILE)
    local = folder / LOCAL_FILE
    if local.is_file():
        tree = merge(tree, without(read_layer(local), session_keys()))
    tree = merge(tree, swing_environment(environment))
    for text in settings:
        tree = merge(tree, json_setting(text))
    source = f"{folder / CONFIG_FILE} and the layers above"
    config = convert(tree, SwingConfig, source, reference=f"config/{CONFIG_FILE}")
    # Windows and bounds of the strategy are checked where they are owned; a bad one must not wait for the data.
    config.grid(0, 0)
    return config


def session_keys() -> list[str]:
    """Return the dotted paths that only the sessions' configuration (`walstreet up`) knows."""
    own = frozenset(known_keys(SwingConfig))
    return [path for path in known_keys(Settings) if path not in own]


def swing_environment(environment: Mapping[str, str]) -> Tree:
    """Return the tree that the documented names and ``BOT__`` variables spell; the latter lie on top."""
    tree: Tree = {}
    for name, path in DOCUMENTED_NAMES.items():
        text = environment.get(name, "")
        if text:
            tree = merge(tree, nested(path.split("."), text if name in TEXT_NAMES else _value(text, name)))
    for name in sorted(environment):
        if name.startswith(ENVIRONMENT_PREFIX):
            path = name[len(ENVIRONMENT_PREFIX) :].lower().replace("__", ".")
            tree = merge(tree, _placed(path, environment[name], name))
    return tree


def json_setting(text: str) -> Tree:
    """Return the tree of one ``section.key=value`` argument; the value is JSON, or plain text where it is none.

    Raises:
        UsageError: There is no ``=``, or a part of the path is empty.
    """
    path, found, value = text.partition("=")
    if not found:
        raise UsageError(f"--set takes section.key=value, got {text!r}")
    return _placed(path.strip(), value, "--set")


def _placed(path: str, text: str, place: str) -> Tree:
    parts = path.split(".")
    if not all(parts):
        raise UsageError(f"{place} takes section.key=value, got {path!r} as the path")
    return nested(parts, _value(text, place))


def _value(text: str, place: str) -> object:
    """Return JSON, or the text itself; JSON's own extension to infinities and NaN is refused."""

    def refuse(constant: str) -> NoReturn:
        raise UsageError(f"{place}: the value {constant} is no number that can be used")

    try:
        value: object = json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError:
        return text
    return value
