"""Owns the frozen parameters and results of swing research, and the conventions that every engine follows.

An engine is the NumPy reference (``swing_engine``) or the native one; both take and return the types below.

Arrays. Prices are float64, C-contiguous, (T days, S symbols), NaN in all four where a symbol has no bar. Dates are
int32 days since 1970-01-01, strictly increasing. Columns are in universe order, which breaks ties of scores.

Indicators see a symbol's own bars only and skip days without one. ``e`` is the first close, then ``e = e + a * (close
- e)`` with ``a = 2 / (n + 1)``, defined from bar n. The true range is ``high - low`` at bar 1, then ``max(high - low,
|high - previous|, |low - previous|)``; the ATR at bar n is the sum of the first n divided by n, then ``atr = (atr * (n
- 1) + range) / n``. A return is ``close / close_of_the_row_before - 1`` and missing where either row has no bar.
Volatility and correlation use the last ``vol_window`` and ``corr_window`` *rows*, two passes, added from the oldest to
the newest, and are missing if one return is: ``mean = sum / n``, ``variance = sum(d * d) / (n - 1)``, ``correlation =
sum(dx * dy) / sqrt(sum(dx * dx) * sum(dy * dy))``, missing if one variance is 0.

Day ``t``, from the book held after day ``t - 1``:

1. ``gross = sum(held * r)`` with ``r = close / last_close - 1``, 0 without a bar; ``drifted = held * (1 + r) / (1 +
   gross)``.
2. A symbol is ready if today's bar, both EMAs, the ATR, a full correlation window and the volatility exist (and MACD
   if it is enabled), and it is above the gate if ``ema_fast > ema_slow`` (and MACD > 0). ``score = (close / ema_fast -
   1) / max(atr / close, 1e-6)``. A name with ``drifted > 0`` counts as held if ``hold_bonus > 0``: it needs ``score >=
   hold_floor`` and ranks by ``score + hold_bonus``. Any other needs ``score >= min_score`` and ``close >= ema_fast``
   and ranks by ``score``.
3. Names are taken by rank, descending, ties in universe order, while fewer than ``top_n``; one is passed over unless
   its correlation with every taken name is at most ``corr_cap`` (absolute value unless ``signed_correlation``; missing
   fails).
4. ``raw = 1 / max(volatility, 1e-9)``; ``budget = 1 - cash_buffer``; ``weight = raw / sum(raw) * budget``; ``clip``:
   the smaller of that and ``max_weight``; ``water_fill``: every name above the cap gets the cap, the others share what
   is left of the budget by ``raw``, until none is above. Then ``regime_factor`` if the regime's close is below its
   average.
5. If ``max |target - drifted| > band`` the book becomes the target: ``turnover = sum |target - drifted|`` and ``cost =
   sum(max(move * commission_per_share / price, minimum) + move * slippage_bps / 10000)`` with the last close as price
   and ``minimum = commission_minimum_usd / equity before costs in USD``. Else the book is the drifted one.
6. ``net = gross - cost``; ``equity = equity * (1 + net)``, starting at 1.

All sums over symbols are sequential in universe order. A simulation starts flat on its first day: gross 0, and the
day's close is the first trade. ``settlement="t+1"``: moves up are scaled together to ``max(0, 1 - sum(drifted))``, the
cash that is not today's proceeds; if that cut them, the next day trades whatever the band says. What is smaller than
``DUST`` is a last digit: it costs no least commission, and no cash is missing for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from walstreet.domain.bounds import require_between
from walstreet.domain.rotation_parameters import NO_COLUMN, RotationParameters
from walstreet.domain.units import BoolArray, FloatArray, IntArray

DateArray = NDArray[np.int32]
Objective = Literal["Calmar", "CAGR", "Sharpe"]
Settlement = Literal["t+0", "t+1"]

DUST = 1e-12
"""Share of equity below which a move is no order."""
DAYS_PER_YEAR = 252
"""Trading days of a year in every annualised figure."""
DAYS_MAX = 1_000_000
SYMBOLS_MAX = 1_000_000


class SwingParameters(RotationParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One simulation: the strategy, its costs and its days."""

    commission_per_share: float = 0.0035
    """USD."""
    commission_minimum_usd: float = 0.0
    """The broker's least commission of an order; 0 in research."""
    slippage_bps: float = 1.0
    """Of the notional that is traded."""
    equity_start_usd: float = 25_000.0
    """Only ``commission_minimum_usd`` depends on it."""
    settlement: Settlement = "t+0"
    """Whether a day's buys may use the day's sales (``t+0``) or only the cash of the day before (``t+1``)."""
    first_day: int = 0
    """Row of the first simulated day; the rows before it warm the indicators up."""
    last_day: int = 0
    """Row of the last simulated day, inclusive."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges and a simulation without a day."""
        super().__post_init__()
        require_between("swing", "commission_per_share", self.commission_per_share, 0.0, 1.0)
        require_between("swing", "commission_minimum_usd", self.commission_minimum_usd, 0.0, 100.0)
        require_between("swing", "slippage_bps", self.slippage_bps, 0.0, 1_000.0)
        require_between("swing", "equity_start_usd", self.equity_start_usd, 1.0, 1e12)
        require_between("swing", "first_day", self.first_day, 0, DAYS_MAX)
        require_between("swing", "last_day", self.last_day, self.first_day, DAYS_MAX)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SwingBars:
    """Aligned daily bars; the union of the symbols' days, NaN where a symbol has no bar."""

    symbols: tuple[str, ...]
    """(S,) in universe order."""
    dates: DateArray
    """(T,) days since 1970-01-01, strictly increasing."""
    open: FloatArray
    """(T, S) USD, like the other three."""
    high: FloatArray
    low: FloatArray
    close: FloatArray

    def __post_init__(self) -> None:
        """Refuse arrays that break the conventions."""
        shape = (len(self.dates), len(self.symbols))
        if self.dates.dtype != np.int32 or not bool((np.diff(self.dates) > 0).all()):
            raise ValueError("bars: dates must be int32 and strictly increasing; sort them and drop repeated days")
        missing = np.isnan(self.close)
        for name in ("open", "high", "low", "close"):
            prices: FloatArray = getattr(self, name)
            if prices.shape != shape or prices.dtype != np.float64 or not prices.flags.c_contiguous:
                raise ValueError(
                    f"bars: {name} must be float64, C-contiguous, {shape}; it is {prices.dtype} {prices.shape}"
                )
            if not bool(((np.isfinite(prices) & (prices > 0.0)) ^ missing).all()):
                raise ValueError(f"bars: {name} must be positive where a bar exists and NaN where none does")

    def row_from(self, date: int) -> int:
        """Return the first row on or after ``date`` (days since 1970); T if there is none."""
        return int(np.searchsorted(self.dates, date, side="left"))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SwingResult:
    """One simulation, day by day; row 0 is ``first_day``."""

    first_day: int
    """Row of the bars that row 0 is."""
    gross: FloatArray
    """(D,) return before costs of the book held overnight."""
    turnover: FloatArray
    """(D,) sum of absolute changes of weight at the day's close."""
    cost: FloatArray
    """(D,) share of equity."""
    net: FloatArray
    """(D,) ``gross - cost``."""
    equity: FloatArray
    """(D,) after the day; 1 before the first."""
    traded: BoolArray
    """(D,) whether the book was changed: the rebalances."""
    target: FloatArray
    """(D, S) wanted weights at the day's close."""
    held: FloatArray
    """(D, S) weights after the day's trade, if any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Rows of one walk-forward step; all four inclusive."""

    train_first: int
    train_last: int
    test_first: int
    test_last: int

    def __post_init__(self) -> None:
        """Refuse a window whose test could see into its own training."""
        if not 0 <= self.train_first <= self.train_last < self.test_first <= self.test_last:
            raise ValueError(f"window: rows must be ordered train <= train < test <= test, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WalkForwardResult:
    """A walk-forward: what each window chose and the one simulation that follows the choices."""

    windows: tuple[Window, ...]
    objectives: FloatArray
    """(W, G) objective of every grid point in training, which starts flat."""
    chosen: IntArray
    """(W,) index of the best grid point; of equals the first in product order."""
    result: SwingResult
    """Out of sample: the windows' tests joined, simulated once from flat."""


class SwingEngine(Protocol):
    """What research needs from an engine. The same arguments give the same bytes with any number of threads."""

    def simulate(self, bars: SwingBars, segments: Sequence[SwingParameters]) -> SwingResult:
        """Return one simulation from flat; the parameters change where the next segment's ``first_day`` begins.

        Args:
            bars: Prices.
            segments: At least one; each begins on the row after its predecessor's ``last_day``. The book is carried
                over, so a name held under the old parameters is a held name for the new ones.
        """
        ...

    def objectives(
        self,
        bars: SwingBars,
        grid: Sequence[SwingParameters],
        windows: Sequence[Window],
        objective: Objective,
        *,
        covered: BoolArray | None = None,
    ) -> FloatArray:
        """Return (W, G) the objective of every grid point over every window's training rows, from flat.

        Args:
            bars: Prices; rows before ``train_first`` warm the indicators up, rows after ``train_last`` are not seen.
            grid: Parameters; their own ``first_day`` and ``last_day`` are not used.
            windows: Training rows.
            objective: What is measured.
            covered: (W, S) symbols that exist for the window; None lets all exist.
        """
        ...

    def permuted_best(
        self,
        bars: SwingBars,
        grid: Sequence[SwingParameters],
        windows: Sequence[Window],
        objective: Objective,
        *,
        seed: int,
        runs: range,
    ) -> FloatArray:
        """Return (len(runs), W) the best objective over the grid after the training rows were put in another order.

        See ``permutation`` for the order of ``(seed, run, window)`` and for how prices are rebuilt.
        """
        ...


def check_segments(bars: SwingBars, segments: Sequence[SwingParameters]) -> None:
    """Refuse segments that do not follow each other or leave the bars.

    Raises:
        ValueError: Names the segment and its days.
    """
    if not segments:
        raise ValueError("simulate: there is no segment; give at least one")
    if segments[-1].last_day >= len(bars.dates):
        raise ValueError(f"simulate: last_day is row {segments[-1].last_day}, the bars end at {len(bars.dates) - 1}")
    for index in range(1, len(segments)):
        before, after = segments[index - 1].last_day, segments[index].first_day
        if after != before + 1:
            raise ValueError(f"simulate: segment {index} begins on row {after}, it must follow row {before}")
    for index, segment in enumerate(segments):
        if segment.regime_column != NO_COLUMN and segment.regime_column >= len(bars.symbols):
            raise ValueError(
                f"simulate: segment {index} has regime_column {segment.regime_column} of {len(bars.symbols)}"
            )
