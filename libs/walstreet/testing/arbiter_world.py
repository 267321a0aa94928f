"""Owns a small world of facts for tests of the arbiter: every event that it needs, valid unless told otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from walstreet.domain.arbiter import ArbiterCore
from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.arbiter_state import ArbiterState
from walstreet.domain.calibrate import BarrierModel, ModelCalibration
from walstreet.domain.learning_parameters import GateSwitches
from walstreet.domain.mode_causes import ModeCauseParameters
from walstreet.domain.prefilter import PrefilterParameters
from walstreet.domain.units import MINUTE_NS, FloatArray
from walstreet_events import (
    NANOS_PER_SECOND,
    PRICE_SCALE,
    QUANTITY_SCALE,
    ROOT,
    AccountValues,
    AnyEvent,
    ClockTick,
    FeatureBlock,
    FeedStatus,
    InstrumentRef,
    ModelColumn,
    ModelStatus,
    OrderFilled,
    OrderIntent,
    OrderLink,
    OrderState,
    OrderSubmitting,
    OrderUpdated,
    Position,
    Positions,
    PredictionBlock,
    QuoteSeen,
    ReconReport,
    SessionRef,
    derive_id,
    float_block,
    int_block,
)

OPEN_NS = 1_764_599_400 * NANOS_PER_SECOND
"""2025-12-01 9:30 in New York."""
CLOSE_NS = OPEN_NS + 390 * MINUTE_NS
EQUITY_USD = 1_000_000
PRICE_USD = 100
HORIZONS_MINUTES: tuple[int, ...] = (5, 15, 60)
GATES_OFF = GateSwitches(conformal=False, drift=False, barrier=False, correlation=False, netting=False, rebalance=False)
IMBALANCE_COLUMN = 0
"""The world's blocks have one feature, and it is the imbalance."""
ALL_DAY = ModeCauseParameters(account_age_s_max=86_400.0)
"""The world reports its account once, where a broker is asked every minute."""
DEFAULT_CALIBRATIONS: tuple[ModelCalibration, ...] = tuple(
    ModelCalibration(model=f"m{horizon}", horizon_minutes=horizon, slope=1.0, weight=1.0)
    for horizon in HORIZONS_MINUTES
)


def world_parameters(parameters: ArbiterParameters | None = None, *, prefilter: bool = False) -> ArbiterParameters:
    """Return the parameters of a world: ``parameters`` with an account that never gets stale, and no prefilter."""
    given = parameters or ArbiterParameters(gates=GATES_OFF)
    if given.mode_causes == ModeCauseParameters():
        given = msgspec.structs.replace(given, mode_causes=ALL_DAY)
    return given if prefilter else msgspec.structs.replace(given, prefilter=PrefilterParameters(enabled=False))


@dataclass(slots=True)
class ArbiterWorld:
    """Builds events with running identities and folds them through one core."""

    symbols: tuple[str, ...]
    core: ArbiterCore
    state: ArbiterState
    tape: list[tuple[AnyEvent, list[AnyEvent]]] = field(default_factory=list)
    """Every input with the outputs it caused, in order."""
    number: int = 0

    @classmethod
    def create(
        cls,
        symbols: Sequence[str] = ("AAA", "BBB", "CCC"),
        *,
        parameters: ArbiterParameters | None = None,
        calibrations: Sequence[ModelCalibration] = DEFAULT_CALIBRATIONS,
        barriers: Sequence[BarrierModel] = (),
        prefilter: bool = False,
    ) -> ArbiterWorld:
        """Return a world in which nothing has happened yet; gates that must first learn are off unless asked for."""
        given = world_parameters(parameters, prefilter=prefilter)
        core = ArbiterCore(given, calibrations, barriers, imbalance_column=IMBALANCE_COLUMN)
        return cls(symbols=tuple(symbols), core=core, state=core.initial())

    def send(self, event: AnyEvent) -> list[AnyEvent]:
        """Run one input as the loop does: fold it, decide, fold every output; return the outputs."""
        self.state = self.core.evolve(self.state, event)
        outputs = list(self.core.decide(self.state, event))
        for output in outputs:
            self.state = self.core.evolve(self.state, output)
        self.tape.append((event, outputs))
        return outputs

    def start(self, *, positions: Mapping[str, int] | None = None, sectors: Mapping[str, str] | None = None) -> None:
        """Send everything that makes the arbiter trade: references, session, account, link, feed, clean books."""
        self.send(self.session_ref())
        for index, symbol in enumerate(self.symbols):
            self.send(self.instrument(symbol, con_id=index + 1, sector=(sectors or {}).get(symbol, f"S{index}")))
        self.send(self.link())
        self.send(self.feed())
        self.send(self.positions(positions or {}))
        self.send(self.account())
        self.send(self.report("clean"))

    # ------------------------------------------------------------------------------------------- builders

    def session_ref(self, *, open_ns: int = OPEN_NS, close_ns: int = CLOSE_NS) -> SessionRef:
        """Return the session's reference facts."""
        return SessionRef(
            id=derive_id(ROOT, "session", self._tick()),
            cause=ROOT,
            ts_ns=open_ns - MINUTE_NS,
            session_date="2025-12-01",
            open_ns=open_ns,
            close_ns=close_ns,
            symbols=self.symbols,
            bar_ns=MINUTE_NS,
            market="synthetic",
        )

    def _tick(self) -> int:
        self.number += 1
        return self.number

    def instrument(self, symbol: str, *, con_id: int, sector: str) -> InstrumentRef:
        """Return one instrument's reference facts."""
        return InstrumentRef(
            id=derive_id(ROOT, "instrument", self._tick()),
            cause=ROOT,
            ts_ns=OPEN_NS - MINUTE_NS,
            symbol=symbol,
            con_id=con_id,
            exchange="SMART",
            primary_exchange="NYSE",
            currency="USD",
            sector=sector,
            min_tick_nano=PRICE_SCALE // 100,
            lot_micro=QUANTITY_SCALE,
            prior_close_nano=PRICE_USD * PRICE_SCALE,
            average_daily_volume_micro=10_000_000 * QUANTITY_SCALE,
        )

    def link(self, *, connected: bool = True, data_lost: bool = False, ts_ns: int = OPEN_NS - MINUTE_NS) -> OrderLink:
        """Return the state of execution's connection."""
        return OrderLink(
            id=derive_id(ROOT, "link", self._tick()),
            cause=ROOT,
            ts_ns=ts_ns,
            connected=connected,
            data_lost=data_lost,
            client_id=7,
            next_order_id=1,
            code=0,
            detail="",
        )

    def feed(
        self, *, healthy: bool = True, farm: str = "usfarm", data_type: str = "live", ts_ns: int = OPEN_NS - MINUTE_NS
    ) -> FeedStatus:
        """Return the health of one farm."""
        return FeedStatus(
            id=derive_id(ROOT, "feed", self._tick()),
            cause=ROOT,
            ts_ns=ts_ns,
            farm=farm,
            healthy=healthy,
            data_type=data_type,
            code=0,
            detail="",
        )

    def positions(self, held: Mapping[str, int], *, ts_ns: int = OPEN_NS - MINUTE_NS) -> Positions:
        """Return all positions, in whole shares per symbol."""
        return Positions(
            id=derive_id(ROOT, "positions", self._tick()),
            cause=ROOT,
            ts_ns=ts_ns,
            account="DU1",
            positions=tuple(
                Position(
                    symbol=symbol,
                    con_id=1,
                    quantity_micro=count * QUANTITY_SCALE,
                    average_cost_nano=PRICE_USD * PRICE_SCALE,
                )
                for symbol, count in held.items()
            ),
        )

    def account(
        self,
        *,
        equity_usd: int | None = EQUITY_USD,
        cash_usd: int | None = EQUITY_USD,
        ts_ns: int = OPEN_NS - MINUTE_NS,
    ) -> AccountValues:
        """Return account totals."""
        return AccountValues(
            id=derive_id(ROOT, "account", self._tick()),
            cause=ROOT,
            ts_ns=ts_ns,
            account="DU1",
            net_liquidation_nano=None if equity_usd is None else equity_usd * PRICE_SCALE,
            cash_nano=None if cash_usd is None else cash_usd * PRICE_SCALE,
            settled_cash_nano=None,
            available_funds_nano=None,
            gross_position_nano=None,
            initial_margin_nano=None,
            maintenance_margin_nano=None,
        )

    def report(self, status: str, *, ts_ns: int = OPEN_NS - MINUTE_NS) -> ReconReport:
        """Return the result of a reconciliation."""
        return ReconReport(
            id=derive_id(ROOT, "report", self._tick()),
            cause=ROOT,
            ts_ns=ts_ns,
            request=ROOT,
            snapshot=ROOT,
            status=status,
            orders_checked=0,
            executions_checked=0,
            positions_checked=0,
            breaks=int(status == "breaks"),
        )

    def clock(self, ts_ns: int) -> ClockTick:
        """Return a clock tick."""
        return ClockTick(id=derive_id(ROOT, "clock", self._tick()), cause=ROOT, ts_ns=ts_ns, session_date="2025-12-01")

    def features(
        self,
        ts_ns: int,
        *,
        warmup: bool = False,
        price_usd: Mapping[str, float] | None = None,
        sigma_5m_bps: Mapping[str, float] | None = None,
        spread_bps: Mapping[str, float] | None = None,
        quote_age_s: Mapping[str, float] | None = None,
        volume_shares: Mapping[str, int] | None = None,
        imbalance: float = 0.0,
    ) -> FeatureBlock:
        """Return a feature block whose only feature is the imbalance; a price of 0 means no quote."""
        count = len(self.symbols)
        prices = np.array([(price_usd or {}).get(symbol, float(PRICE_USD)) for symbol in self.symbols])
        nano = np.round(prices * PRICE_SCALE).astype(np.int64)
        half_spread = nano // 10_000
        ages = np.array([(quote_age_s or {}).get(symbol, 1.0) for symbol in self.symbols])
        sigma = np.array([(sigma_5m_bps or {}).get(symbol, 15.0) for symbol in self.symbols])
        volume = np.array([(volume_shares or {}).get(symbol, 10_000_000) for symbol in self.symbols], dtype=np.int64)
        return FeatureBlock(
            id=derive_id(ROOT, "features", self._tick()),
            cause=ROOT,
            ts_ns=ts_ns,
            symbols=self.symbols,
            warmup=warmup,
            schema_hash="0" * 64,
            values=float_block(np.full((count, 1), imbalance)),
            ready=int_block(np.ones(count, dtype=np.int64)),
            flags=int_block(np.zeros(count, dtype=np.int64)),
            bid_nano=int_block(nano - half_spread),
            ask_nano=int_block(nano + half_spread),
            close_nano=int_block(nano),
            quote_ts_ns=int_block(ts_ns - (ages * NANOS_PER_SECOND).astype(np.int64)),
            spread_bps=float_block([(spread_bps or {}).get(symbol, 2.0) for symbol in self.symbols]),
            sigma_5m_bps=float_block(sigma),
            sigma_day_bps=float_block(sigma * np.sqrt(78.0)),
            average_daily_volume_micro=int_block(volume * QUANTITY_SCALE),
        )

    def predictions(
        self,
        features: FeatureBlock,
        scores: FloatArray,
        *,
        status: ModelStatus = ModelStatus.OK,
        horizons_minutes: Sequence[int] = HORIZONS_MINUTES,
        barriers: Mapping[str, Sequence[float]] | None = None,
    ) -> PredictionBlock:
        """Return the scores (H, N) of one model per horizon; ``barriers`` adds a row per target, of 15 minutes."""
        extra = barriers or {}
        return PredictionBlock(
            id=derive_id(features.id, "predictions", 0),
            cause=features.id,
            ts_ns=features.ts_ns,
            symbols=features.symbols,
            warmup=features.warmup,
            features=features.id,
            models=tuple(
                ModelColumn(model=f"m{horizon}", family="test", horizon_minutes=horizon, target="return", status=status)
                for horizon in horizons_minutes
            )
            + tuple(
                ModelColumn(model=target, family="test", horizon_minutes=15, target=target, status=status)
                for target in extra
            ),
            values=float_block(np.vstack([scores, *(np.asarray(row)[None, :] for row in extra.values())])),
        )

    def score_rows(self, scores: Mapping[str, float]) -> FloatArray:
        """Return (H, N) with one score per symbol for every horizon; NaN for a symbol without one."""
        row = np.array([scores.get(symbol, np.nan) for symbol in self.symbols])
        return np.tile(row, (len(HORIZONS_MINUTES), 1))

    def cycle(
        self,
        ts_ns: int,
        scores: Mapping[str, float],
        *,
        warmup: bool = False,
        price_usd: Mapping[str, float] | None = None,
        barriers: Mapping[str, Sequence[float]] | None = None,
    ) -> list[AnyEvent]:
        """Send a clock tick, features and predictions of one bar's end; return the outputs of the predictions."""
        self.send(self.clock(ts_ns))
        block = self.features(ts_ns, warmup=warmup, price_usd=price_usd)
        self.send(block)
        return self.send(self.predictions(block, self.score_rows(scores), barriers=barriers))

    # --------------------------------------------------------------------------------------- order events

    def submitting(self, intent: OrderIntent, *, ts_ns: int) -> OrderSubmitting:
        """Return the journaled placement of a child that takes the whole intent."""
        return OrderSubmitting(
            id=derive_id(intent.id, "submitting", 0),
            cause=ROOT,
            ts_ns=ts_ns,
            intent=intent.id,
            client_order_id=derive_id(intent.id, "child", 0),
            slice_index=0,
            broker_order_id=self._tick(),
            symbol=intent.symbol,
            con_id=intent.con_id,
            side=intent.side,
            quantity_micro=intent.quantity_micro,
            limit_nano=intent.arrival_mid_nano,
            good_till_ns=intent.expires_ns,
            quote=QuoteSeen(bid_nano=1, ask_nano=1, bid_size_micro=1, ask_size_micro=1, ts_ns=ts_ns, seq=1),
        )

    def updated(self, intent: OrderIntent, state: OrderState, *, filled_micro: int, ts_ns: int) -> OrderUpdated:
        """Return the broker's status of that child."""
        return OrderUpdated(
            id=derive_id(intent.id, f"updated:{state.value}", self._tick()),
            cause=ROOT,
            ts_ns=ts_ns,
            client_order_id=derive_id(intent.id, "child", 0),
            symbol=intent.symbol,
            state=state,
            broker_status="",
            perm_id=1,
            filled_micro=filled_micro,
            remaining_micro=intent.quantity_micro - filled_micro,
            average_price_nano=intent.arrival_mid_nano,
            why_held="",
            code=0,
            detail="",
        )

    def filled(
        self, intent: OrderIntent, *, ts_ns: int, quantity_micro: int | None = None, part: int = 0
    ) -> OrderFilled:
        """Return one execution of that child, by default all of it."""
        quantity = intent.quantity_micro if quantity_micro is None else quantity_micro
        return OrderFilled(
            id=derive_id(intent.id, "filled", part),
            cause=ROOT,
            ts_ns=ts_ns,
            client_order_id=derive_id(intent.id, "child", 0),
            intent=intent.id,
            exec_id=f"{intent.id[:8]}.{part:08d}.01.01",
            perm_id=1,
            symbol=intent.symbol,
            con_id=intent.con_id,
            side=intent.side,
            price_nano=intent.arrival_mid_nano,
            quantity_micro=quantity,
            cumulative_micro=quantity,
        )

    def fill_whole(self, intent: OrderIntent, *, ts_ns: int) -> None:
        """Send placement, status and execution of an intent that is filled at once."""
        self.send(self.submitting(intent, ts_ns=ts_ns))
        self.send(self.filled(intent, ts_ns=ts_ns))
        self.send(self.updated(intent, OrderState.FILLED, filled_micro=intent.quantity_micro, ts_ns=ts_ns))
