"""Owns the execution core: from intents to journaled submissions, from the broker's facts to journaled outcomes.

Nothing here talks to the broker. A submission is an event; the service places the order once that event is
durable. After a restart or a reconnection every order without a proven outcome is unknown; its outcome is found
out by queries, and nothing is ever sent twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from walstreet.domain.execution_facts import Batch
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.execution_state import MINUTE_NS, PANIC, ExecutionState, fold
from walstreet.domain.guards import Reason, Refusal, Situation, check_child, check_quote, check_standing
from walstreet.domain.observations import (
    AccountObserved,
    CommissionObserved,
    ExecutionObserved,
    LinkObserved,
    Observation,
    OrderErrorObserved,
    OrderStatusObserved,
    QuoteObserved,
    SnapshotObserved,
    TimeObserved,
)
from walstreet.domain.parameter_changes import Versions
from walstreet.domain.plan import Child, plan_children
from walstreet_events import (
    NANOS_PER_SECOND,
    AnyEvent,
    ClockTick,
    EventId,
    IntentBlock,
    Mode,
    ModeState,
    OperatorCommand,
    OrderCancelling,
    OrderIntent,
    OrderRefused,
    OrderState,
    OrderSubmitting,
    ParameterChange,
    QuoteSeen,
    Service,
    Side,
    derive_id,
    tag_of,
)

CANCEL_EXPIRED = "good_till_passed"
CANCEL_PANIC = "panic"
CANCEL_EMERGENCY = "emergency"


@dataclass(slots=True)
class _Run:
    """What the intents of one block have used up so far."""

    next_order_id: int
    orders_last_minute: int
    intents: dict[str, bool] = field(default_factory=dict)
    symbols: dict[str, bool] = field(default_factory=dict)


class ExecutionCore:
    """The pure core of the execution service; satisfies ``walstreet.ports.Core``."""

    def __init__(self, parameters: ExecutionParameters) -> None:
        """Keep the validated parameters."""
        self._versions = Versions(parameters)

    @property
    def service(self) -> Service:
        """Return the producer this core decides for."""
        return Service.EXECUTION

    def initial(self) -> ExecutionState:
        """Return the state before the first event."""
        return ExecutionState()

    def evolve(self, state: ExecutionState, event: AnyEvent) -> ExecutionState:
        """Fold one fact (an input or an own output) into the state.

        Raises:
            ChangeRefusedError: A change of parameters that is not valid.
        """
        if isinstance(event, ParameterChange):
            self._versions.note(state.changes, Service.EXECUTION.value, event)
        elif isinstance(event, IntentBlock | ClockTick):
            state.changes.apply()
        fold(state, event, self._versions.of(state.changes))
        return state

    def decide(self, state: ExecutionState, event: AnyEvent) -> Sequence[AnyEvent]:
        """Return the events that input ``event`` causes, given the state that already contains it."""
        match event:
            case IntentBlock():
                return self._decide_intents(state, event)
            case ClockTick():
                return self._decide_timers(state, event)
            case ModeState() if event.mode is Mode.EMERGENCY:
                return self._cancel_all(state, cause=event.id, ts_ns=event.ts_ns, reason=CANCEL_EMERGENCY)
            case OperatorCommand() if event.command == PANIC:
                return self._cancel_all(state, cause=event.id, ts_ns=event.ts_ns, reason=CANCEL_PANIC)
            case _:
                return ()

    def observe(self, state: ExecutionState, observation: Observation) -> Sequence[AnyEvent]:
        """Return the events that a fact from outside causes; quotes and time only move the volatile part."""
        if isinstance(observation, QuoteObserved):
            state.quotes[observation.symbol] = observation
            state.feed_ts_ns = max(state.feed_ts_ns, observation.ts_ns)
            state.observed_ns = max(state.observed_ns, observation.ts_ns)
            return ()
        batch = Batch(state)
        match observation:
            case OrderStatusObserved():
                batch.status(observation)
            case ExecutionObserved():
                batch.execution(observation)
            case CommissionObserved():
                batch.commission(observation)
            case OrderErrorObserved():
                batch.error(observation)
            case AccountObserved():
                batch.account(observation)
            case LinkObserved():
                batch.link(observation)
            case SnapshotObserved():
                batch.snapshot(observation, self._versions.of(state.changes))
            case TimeObserved():
                state.observed_ns = max(state.observed_ns, observation.ts_ns)
            case _:
                # Trades, volumes, bars, halts, farms and reference data are the gateway's to journal.
                return ()
        return batch.events

    # ------------------------------------------------------------------------------------------ intents

    def _decide_intents(self, state: ExecutionState, block: IntentBlock) -> list[AnyEvent]:
        now_ns = state.now_ns(block.ts_ns)
        run = _Run(
            next_order_id=state.next_order_id,
            orders_last_minute=sum(ts_ns > now_ns - MINUTE_NS for ts_ns in state.submit_times_ns),
        )
        # When the budget is short it goes to what reduces, then to the largest forecasts.
        ranked = sorted(
            enumerate(block.intents),
            key=lambda item: (not item[1].reducing, -abs(item[1].alpha_bps), item[1].symbol, item[0]),
        )
        outs: list[AnyEvent] = []
        for index, intent in ranked:
            outs.extend(self._decide_intent(state, block, intent, index=index, now_ns=now_ns, run=run))
        return outs

    def _decide_intent(
        self, state: ExecutionState, block: IntentBlock, intent: OrderIntent, *, index: int, now_ns: int, run: _Run
    ) -> list[AnyEvent]:
        parameters = self._versions.of(state.changes)
        situation = self._situation(state, block, intent, now_ns=now_ns, run=run)
        quote = _quote_seen(state.quotes.get(intent.symbol))
        duplicate = intent.id in run.intents
        run.intents[intent.id] = True
        refusal: Refusal | None
        if duplicate:
            refusal = Refusal(reason=Reason.DUPLICATE_INTENT, detail=f"intent {intent.id} stands twice in the block")
        else:
            refusal = check_standing(intent, situation, parameters)
        refusal = refusal or check_quote(intent, quote, situation, parameters)
        if refusal is not None or quote is None:
            return [_refused(block, intent, index, now_ns=now_ns, refusal=refusal, quote=quote)]
        children = plan_children(
            intent,
            quote,
            min_tick_nano=state.instruments[intent.symbol].min_tick_nano,
            now_ns=now_ns,
            parameters=parameters,
        )
        for child in children:
            refusal = _check_child(intent, child, quote, situation, parameters)
            if refusal is not None:
                return [_refused(block, intent, index, now_ns=now_ns, refusal=refusal, quote=quote)]
        outs: list[AnyEvent] = []
        for child in children:
            outs.append(
                _submitting(block, intent, child, now_ns=now_ns, broker_order_id=run.next_order_id, quote=quote)
            )
            run.next_order_id += 1
        run.orders_last_minute += 1
        run.symbols[intent.symbol] = True
        return outs

    def _situation(
        self, state: ExecutionState, block: IntentBlock, intent: OrderIntent, *, now_ns: int, run: _Run
    ) -> Situation:
        of_symbol = [order for key in state.open_orders if (order := state.orders[key]).symbol == intent.symbol]
        instrument = state.instruments.get(intent.symbol)
        return Situation(
            now_ns=now_ns,
            mode=state.effective_mode(block.mode),
            panic=state.panic,
            link_up=state.link_seen and state.link is not None and state.link.connected,
            session_open_ns=state.open_ns,
            session_close_ns=state.close_ns,
            instrument_known=instrument is not None
            and instrument.con_id == intent.con_id
            and instrument.min_tick_nano > 0,
            halted=state.halted.get(intent.symbol, False),
            external=state.external.get(intent.symbol, False),
            seen=intent.id in state.intents,
            pending=bool(of_symbol) or intent.symbol in run.symbols,
            unknown=any(order.state is OrderState.UNKNOWN for order in of_symbol),
            reducing=intent.reducing and _reduces(state, intent),
            feed_ts_ns=state.feed_ts_ns,
            orders_last_minute=run.orders_last_minute,
        )

    # ------------------------------------------------------------------------------------------- timers

    def _decide_timers(self, state: ExecutionState, tick: ClockTick) -> list[AnyEvent]:
        now_ns = tick.ts_ns
        parameters = self._versions.of(state.changes)
        silence_ns = round(parameters.acknowledge_s_max * NANOS_PER_SECOND)
        grace_ns = round(parameters.cancel_grace_s * NANOS_PER_SECOND)
        batch = Batch(state)
        outs: list[AnyEvent] = []
        for client_order_id in state.open_orders:
            order = state.orders[client_order_id]
            if order.state is OrderState.SUBMITTING and now_ns >= order.submitted_ns + silence_ns:
                batch.doubt(
                    client_order_id, now_ns, f"no answer within {parameters.acknowledge_s_max} s of the placement"
                )
            if now_ns >= order.good_till_ns + grace_ns and CANCEL_EXPIRED not in order.cancel_reasons:
                outs.append(_cancelling(state, client_order_id, cause=tick.id, ts_ns=now_ns, reason=CANCEL_EXPIRED))
        return [*batch.events, *outs]

    def _cancel_all(self, state: ExecutionState, *, cause: EventId, ts_ns: int, reason: str) -> list[AnyEvent]:
        return [
            _cancelling(state, client_order_id, cause=cause, ts_ns=ts_ns, reason=reason)
            for client_order_id in state.open_orders
        ]


def _check_child(
    intent: OrderIntent, child: Child, quote: QuoteSeen, situation: Situation, parameters: ExecutionParameters
) -> Refusal | None:
    if child.good_till_ns <= situation.now_ns:
        return Refusal(
            reason=Reason.INTENT_EXPIRED,
            detail=f"nothing is left of the {intent.tif_s} s in force after rounding to the broker's seconds",
        )
    return check_child(
        quantity_micro=child.quantity_micro,
        limit_nano=child.limit_nano,
        quote=quote,
        reducing=situation.reducing,
        parameters=parameters,
    )


def _reduces(state: ExecutionState, intent: OrderIntent) -> bool:
    """Return whether the broker's last word on the position agrees that ``intent`` only reduces it."""
    if state.positions is None:
        return False
    position = state.position_of.get(intent.symbol)
    held_micro = position.quantity_micro if position else 0
    if intent.side is Side.BUY:
        return 0 < intent.quantity_micro <= -held_micro
    return 0 < intent.quantity_micro <= held_micro


def _quote_seen(quote: QuoteObserved | None) -> QuoteSeen | None:
    if quote is None:
        return None
    return QuoteSeen(
        bid_nano=quote.bid_nano,
        ask_nano=quote.ask_nano,
        bid_size_micro=quote.bid_size_micro,
        ask_size_micro=quote.ask_size_micro,
        ts_ns=quote.ts_ns,
        seq=0,
    )


def _refused(
    block: IntentBlock,
    intent: OrderIntent,
    index: int,
    *,
    now_ns: int,
    refusal: Refusal | None,
    quote: QuoteSeen | None,
) -> OrderRefused:
    assert refusal is not None, "a missing quote is always refused"
    return OrderRefused(
        id=derive_id(block.id, tag_of(OrderRefused), index),
        cause=block.id,
        ts_ns=now_ns,
        intent=intent.id,
        symbol=intent.symbol,
        reason=refusal.reason.value,
        detail=refusal.detail,
        quote=quote,
    )


def _submitting(
    block: IntentBlock, intent: OrderIntent, child: Child, *, now_ns: int, broker_order_id: int, quote: QuoteSeen
) -> OrderSubmitting:
    return OrderSubmitting(
        id=derive_id(child.client_order_id, tag_of(OrderSubmitting), 0),
        cause=block.id,
        ts_ns=now_ns,
        intent=intent.id,
        client_order_id=child.client_order_id,
        slice_index=child.slice_index,
        broker_order_id=broker_order_id,
        symbol=intent.symbol,
        con_id=intent.con_id,
        side=intent.side,
        quantity_micro=child.quantity_micro,
        limit_nano=child.limit_nano,
        good_till_ns=child.good_till_ns,
        quote=quote,
    )


def _cancelling(
    state: ExecutionState, client_order_id: str, *, cause: EventId, ts_ns: int, reason: str
) -> OrderCancelling:
    order = state.orders[client_order_id]
    return OrderCancelling(
        id=derive_id(f"{cause}:{client_order_id}:{reason}", tag_of(OrderCancelling), 0),
        cause=cause,
        ts_ns=ts_ns,
        client_order_id=client_order_id,
        symbol=order.symbol,
        broker_order_id=order.broker_order_id,
        reason=reason,
    )
