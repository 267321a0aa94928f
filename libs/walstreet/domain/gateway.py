"""Owns the gateway core: observations of the market become bars, clock, status and reference facts.

Durable state comes back from the own events (``evolve``). The accumulators of the current bar, its standing
quotes and the history for repair are volatile: after a crash the first bar is partial, and it is completed from
the broker's five-second bars or from history before it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from walstreet.domain.bar_history import Repair, warmup_bars
from walstreet.domain.bar_types import SealedBar, to_block
from walstreet.domain.bars import BarBuilder, MarketObservation
from walstreet.domain.borrow import borrow_block
from walstreet.domain.daily_bars import daily_block
from walstreet.domain.gateway_parameters import GatewayParameters, SessionPlan
from walstreet.domain.gateway_state import GatewayState, fold
from walstreet.domain.gateway_status import broker_event, feed_event, halt_event, instrument_events, session_event
from walstreet.domain.observations import (
    AccountObserved,
    BorrowObserved,
    BrokerBarObserved,
    CommissionObserved,
    DailyBarsObserved,
    DecisionTimed,
    ExecutionObserved,
    FeedObserved,
    HaltObserved,
    HistoryObserved,
    InstrumentsObserved,
    LinkObserved,
    MarginObserved,
    Observation,
    OrderErrorObserved,
    OrderStatusObserved,
    PanicObserved,
    ProbeObserved,
    QuoteObserved,
    SnapshotObserved,
    TimeObserved,
    TradeObserved,
    VolumeObserved,
)
from walstreet_events import (
    NANOS_PER_SECOND,
    ROOT,
    AnyEvent,
    AnyTick,
    BarBlock,
    BarCheck,
    ClockTick,
    PhaseName,
    Quote,
    SessionPhase,
    Trade,
    derive_id,
    int_block,
    tag_of,
)
from walstreet_events.subjects import Service

TICKS_PER_OBSERVATION_MAX = 720
"""Clock ticks that one observation of time may catch up on; the rest follows with the next ones."""
NANOS_PER_MILLISECOND = 1_000_000
NANOS_PER_MINUTE = 60 * NANOS_PER_SECOND
PHASES = (PhaseName.PRE_OPEN, PhaseName.OPEN, PhaseName.CLOSED)

# At one instant the bar that ends comes before the phase that begins and before the clock's tick.
_RANK_BAR, _RANK_PHASE, _RANK_TICK = 0, 1, 2
_Dated = tuple[int, int, AnyEvent]


class GatewayCore:
    """Decides what the gateway journals; satisfies ``walstreet.ports.Core``."""

    def __init__(self, parameters: GatewayParameters, plan: SessionPlan) -> None:
        """Take the parameters and the session to be served.

        Raises:
            ValueError: The session's length is no multiple of the bar.
        """
        if (plan.close_ns - plan.open_ns) % parameters.bar_ns:
            raise ValueError(
                f"session {plan.session_date} lasts {plan.close_ns - plan.open_ns} ns, which is no multiple of "
                f"gateway.bar_s={parameters.bar_s}; choose a bar that divides the session"
            )
        self._parameters = parameters
        self._plan = plan
        self._begin_ns = plan.open_ns - parameters.pre_open_s * NANOS_PER_SECOND
        self._end_ns = plan.close_ns + parameters.post_close_s * NANOS_PER_SECOND

    @property
    def service(self) -> Service:
        """Return the producer this core decides for."""
        return Service.GATEWAY

    def initial(self) -> GatewayState:
        """Return the state before the first event."""
        return GatewayState.empty(self._plan.symbols)

    def evolve(self, state: GatewayState, event: AnyEvent) -> GatewayState:
        """Fold an own event; inputs leave no trace."""
        fold(state, event)
        return state

    def decide(self, state: GatewayState, event: AnyEvent) -> Sequence[AnyEvent]:  # noqa: ARG002 -- the port's signature
        """Return nothing: the gateway acts on observations only."""
        return ()

    def observe(self, state: GatewayState, observation: Observation) -> Sequence[AnyEvent]:
        """Return the facts that an observation gives, in the order of their time."""
        if state.session is not None and state.session.session_date == self._plan.session_date:
            return self._observe(state, observation)
        if state.session_date != self._plan.session_date:
            state.start_session(self._plan.session_date)
        session = session_event(self._plan, bar_ns=self._parameters.bar_ns, ts_ns=self._begin_ns)
        return [session, *self._observe(state, observation)]

    def missing(self, state: GatewayState) -> tuple[int, int] | None:
        """Return start and end of the minutes that wait for the broker's history, None without any."""
        ends = [bar.end_ns for bar in state.sealed if bar.incomplete.any()]
        return (ends[0] - self._parameters.bar_ns, ends[-1]) if ends else None

    # ------------------------------------------------------------------------------------- observations

    def _observe(self, state: GatewayState, observation: Observation) -> Sequence[AnyEvent]:
        outputs: Sequence[AnyEvent] = ()
        match observation:
            case QuoteObserved() | TradeObserved() | VolumeObserved():
                self._market(state, observation, observation.ts_ns)
            case BrokerBarObserved():
                self._market(state, observation, observation.bar.start_ns + observation.bar_ns)
            case TimeObserved():
                outputs = self._time(state, observation.ts_ns)
            case HistoryObserved():
                outputs = self._history(state, observation)
            case DailyBarsObserved():
                outputs = self._daily(state, observation)
            case InstrumentsObserved():
                outputs = instrument_events(state, self._plan, observation)
            case FeedObserved():
                outputs = feed_event(state, self._plan, observation)
            case HaltObserved():
                outputs = halt_event(state, self._plan, observation)
            case BorrowObserved():
                state.borrow[observation.symbol] = observation
            case LinkObserved():
                outputs = self._link(state, observation)
            case (
                OrderStatusObserved()
                | ExecutionObserved()
                | CommissionObserved()
                | OrderErrorObserved()
                | AccountObserved()
                | SnapshotObserved()
                | MarginObserved()
                | PanicObserved()
                | ProbeObserved()
                | DecisionTimed()
            ):
                pass  # Orders and account belong to execution, decisions to the arbiter.
            case _:
                assert_never(observation)
        return outputs

    def _builder(self, state: GatewayState, ts_ns: int) -> BarBuilder:
        if state.builder is None:
            state.builder = BarBuilder(
                self._plan.symbols,
                bar_ns=self._parameters.bar_ns,
                first_end_ns=max(state.bar_end_ns, self._plan.open_ns) + self._parameters.bar_ns,
                session_open_ns=self._plan.open_ns,
                volume_tolerance_bps=self._parameters.volume_tolerance_bps,
            )
            state.builder.begin_at(ts_ns)
            state.seeing_ns = ts_ns
        return state.builder

    def _market(self, state: GatewayState, observation: MarketObservation, ts_ns: int) -> None:
        builder = self._builder(state, ts_ns)
        if builder.end_ns <= self._plan.close_ns:
            builder.add(observation)

    def _link(self, state: GatewayState, observation: LinkObserved) -> Sequence[AnyEvent]:
        builder = self._builder(state, observation.ts_ns)
        if not observation.connected or observation.data_lost:
            builder.blind_from(observation.ts_ns)
            # What was told on the old lines is confirmed by nobody any more.
            state.borrow.clear()
        if observation.connected:
            if state.link is False or observation.data_lost:
                state.seeing_ns = observation.ts_ns
            builder.seeing_from(observation.ts_ns)
        return broker_event(state, self._plan, observation)

    def _history(self, state: GatewayState, history: HistoryObserved) -> Sequence[AnyEvent]:
        if history.bar_ns != self._parameters.bar_ns:
            raise ValueError(
                f"history has bars of {history.bar_ns} ns, but this session has bars of {self._parameters.bar_ns} ns; "
                "ask the broker for the session's bar size"
            )
        outputs: list[AnyEvent] = []
        # Once a bar of the session is written, older bars would come out of order for every reader.
        if state.bar_end_ns == 0:
            for bar in warmup_bars(
                history, self._plan, after_ns=state.warmup_end_ns, last_close=state.warmup_close.copy()
            ):
                event_id = derive_id(f"warmup:{self._plan.session_date}:{bar.end_ns}", tag_of(BarBlock), 0)
                block = to_block(bar, self._plan.symbols, bar_ns=history.bar_ns, warmup=True, event_id=event_id)
                outputs.append(block)
        if state.repair is None:
            state.repair = Repair(len(self._plan.symbols))
        state.repair.learn(history, self._plan, state.bar_end_ns)
        state.now_ns = max(state.now_ns, history.ts_ns)
        return [*outputs, *(event for _, _, event in self._written(state))]

    def _daily(self, state: GatewayState, observed: DailyBarsObserved) -> Sequence[AnyEvent]:
        """Return the session's daily bars once; a life that asks again after a restart finds them on the log."""
        if state.daily:
            return ()
        return (daily_block(observed, self._plan, self._plan.symbols, days=self._parameters.daily_days),)

    # ---------------------------------------------------------------------------------------------- time

    def _time(self, state: GatewayState, ts_ns: int) -> Sequence[AnyEvent]:
        builder = self._builder(state, ts_ns)
        state.now_ns = max(state.now_ns, ts_ns)
        if ts_ns < self._begin_ns:
            return ()
        tick_ns = self._parameters.tick_ns
        newest = min(ts_ns, self._end_ns) // tick_ns * tick_ns
        first = state.tick_ns + tick_ns if state.tick_ns else max(newest, -(-self._begin_ns // tick_ns) * tick_ns)
        last = min(newest, first + (TICKS_PER_OBSERVATION_MAX - 1) * tick_ns)
        horizon_ns = ts_ns if last == newest else min(last, ts_ns)
        dated: list[_Dated] = [
            (tick, _RANK_TICK, self._tick(tick)) for tick in range(first, last + tick_ns, tick_ns) if tick <= last
        ]
        dated += self._borrow(state, first, last)
        dated += self._phases(state, horizon_ns)
        delay_ns = self._parameters.close_delay_ms * NANOS_PER_MILLISECOND
        while builder.end_ns <= min(horizon_ns, self._plan.close_ns):
            if ts_ns < builder.end_ns + delay_ns and not builder.broker_complete():
                break
            state.sealed.append(builder.seal())
        dated += self._written(state)
        dated.sort(key=lambda item: item[:2])
        return [event for _, _, event in dated]

    def _borrow(self, state: GatewayState, first_ns: int, last_ns: int) -> list[_Dated]:
        """Return the confirmation of what can be borrowed, if it is due between two ticks."""
        period_ns = self._parameters.borrow_s * NANOS_PER_SECOND
        due_ns = last_ns // period_ns * period_ns if period_ns else 0
        if not state.borrow or state.link is not True or not first_ns <= due_ns <= last_ns:
            return []
        block = borrow_block(state.borrow, session_date=self._plan.session_date, ts_ns=due_ns)
        return [(due_ns, _RANK_TICK, block)]

    def _tick(self, ts_ns: int) -> ClockTick:
        event_id = derive_id(f"tick:{self._plan.session_date}:{ts_ns}", tag_of(ClockTick), 0)
        timer = "tick" if ts_ns % NANOS_PER_MINUTE else "minute"
        return ClockTick(id=event_id, cause=ROOT, ts_ns=ts_ns, session_date=self._plan.session_date, timer=timer)

    def _phases(self, state: GatewayState, horizon_ns: int) -> list[_Dated]:
        instants = (self._begin_ns, self._plan.open_ns, self._plan.close_ns)
        done = 0 if state.phase is None else PHASES.index(state.phase) + 1
        dated: list[_Dated] = []
        for phase, ts_ns in zip(PHASES[done:], instants[done:], strict=True):
            if ts_ns > horizon_ns:
                break
            event = SessionPhase(
                id=derive_id(f"phase:{self._plan.session_date}:{phase.value}", tag_of(SessionPhase), 0),
                cause=ROOT,
                ts_ns=ts_ns,
                session_date=self._plan.session_date,
                phase=phase,
                open_ns=self._plan.open_ns,
                close_ns=self._plan.close_ns,
            )
            dated.append((ts_ns, _RANK_PHASE, event))
        return dated

    def _written(self, state: GatewayState) -> list[_Dated]:
        """Return the blocks of sealed bars that are complete or have waited long enough, oldest first."""
        dated: list[_Dated] = []
        wait_ns = self._parameters.repair_wait_s * NANOS_PER_SECOND
        last_close = state.last_close.copy()
        while state.sealed:
            bar = state.sealed[0]
            if state.repair is not None and bar.incomplete.any():
                state.repair.mend(bar)
            if bar.incomplete.any() and state.now_ns < max(bar.end_ns, state.seeing_ns) + wait_ns:
                break
            state.sealed.popleft()
            bar.carry(last_close)
            last_close = bar.close
            dated += self._block_events(bar)
        if state.repair is not None and dated:
            state.repair.forget(dated[-1][0])
        return dated

    def _block_events(self, bar: SealedBar) -> list[_Dated]:
        plan, bar_ns = self._plan, self._parameters.bar_ns
        event_id = derive_id(f"bar:{plan.session_date}:{bar.end_ns}", tag_of(BarBlock), 0)
        block = to_block(bar, plan.symbols, bar_ns=bar_ns, warmup=False, event_id=event_id)
        dated: list[_Dated] = [(bar.end_ns, _RANK_BAR, block)]
        for position, item in enumerate(bar.disagreements):
            check = BarCheck(
                id=derive_id(event_id, tag_of(BarCheck), position),
                cause=event_id,
                ts_ns=bar.end_ns,
                symbol=plan.symbols[item.index],
                bar_start_ns=bar.end_ns - bar_ns,
                ticks_ohlcv=int_block(item.ticks),
                broker_ohlcv=int_block(item.broker),
            )
            dated.append((bar.end_ns, _RANK_BAR, check))
        return dated


def to_tick(observation: Observation, seq: int) -> AnyTick | None:
    """Return the MD message of a quote or a trade under the producer's sequence, None for anything else."""
    if isinstance(observation, QuoteObserved):
        return Quote(
            seq=seq,
            ts_ns=observation.ts_ns,
            symbol=observation.symbol,
            bid_nano=observation.bid_nano,
            ask_nano=observation.ask_nano,
            bid_size_micro=observation.bid_size_micro,
            ask_size_micro=observation.ask_size_micro,
        )
    if isinstance(observation, TradeObserved):
        return Trade(
            seq=seq,
            ts_ns=observation.ts_ns,
            symbol=observation.symbol,
            price_nano=observation.price_nano,
            size_micro=observation.size_micro,
        )
    return None
