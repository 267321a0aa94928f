"""Owns an emergency inside execution: how it begins, and its folding from the log or the spool.

It is latched: nothing ends it but ``resume`` of a person who gives a name and a reason. Every step is an event that is
durable before its effect, so a crash in the middle loses no order and repeats none.
"""

from __future__ import annotations

from walstreet.domain.execution_state import PANIC, RESUME, ExecutionState
from walstreet.domain.flatten import Emergency, Proof, parent_id, whole_micro
from walstreet.domain.mode import PANIC_TOPIC, lifts
from walstreet.domain.observations import PanicObserved
from walstreet_events import (
    AnyEvent,
    EventId,
    FlattenPhase,
    FlattenState,
    Mode,
    ModeRequest,
    OperatorCommand,
    OrderCancelling,
    OrderFilled,
    OrderLink,
    OrderSubmitting,
    OrderUpdated,
    Positions,
    ReconSnapshot,
    Service,
    derive_id,
    tag_of,
)

SOURCE_OPERATOR = "operator"
SOURCE_FLAG = "panic_flag"
SOURCE_SIGNAL = "signal"
SOURCE_MODE = "mode"


# ---------------------------------------------------------------------------------------------------- beginning


def begin(
    state: ExecutionState, *, cause: EventId, natural: str, ts_ns: int, source: str, operator: str, detail: str
) -> list[AnyEvent]:
    """Return the event that latches an emergency; nothing while one is in force.

    An emergency that no fact on the log tells the arbiter of also asks for its mode.
    """
    if state.emergency is not None:
        return []
    began_id = derive_id(natural, tag_of(FlattenState), state.emergencies)
    outs: list[AnyEvent] = [
        FlattenState(
            id=began_id,
            cause=cause,
            ts_ns=ts_ns,
            emergency=began_id,
            phase=FlattenPhase.BEGAN,
            number=0,
            source=source,
            operator=operator,
            detail=detail,
            elapsed_ms=0,
            open_orders=len(state.open_orders),
            positions=state.positions.positions if state.positions is not None else (),
            deferred={},
        )
    ]
    if source in {SOURCE_FLAG, SOURCE_SIGNAL}:
        outs.append(
            ModeRequest(
                id=derive_id(began_id, tag_of(ModeRequest), 0),
                cause=began_id,
                ts_ns=ts_ns,
                service=Service.EXECUTION.value,
                mode=Mode.EMERGENCY,
                reason=source,
                topic=PANIC_TOPIC,
            )
        )
    return outs


def begin_observed(state: ExecutionState, fact: PanicObserved, cause: EventId) -> list[AnyEvent]:
    """Return what the flag or a signal causes; a flag that is still there after a resume latches again."""
    return begin(
        state,
        cause=cause,
        natural=f"{fact.source}:{fact.ts_ns}",
        ts_ns=state.now_ns(fact.ts_ns),
        source=fact.source,
        operator=fact.operator,
        detail=fact.detail,
    )


# ------------------------------------------------------------------------------------------------------ folding


def fold_emergency(state: ExecutionState, event: AnyEvent) -> None:
    """Fold one fact into the emergency; called before the fact changes the orders."""
    if isinstance(event, OperatorCommand):
        if event.command == PANIC:
            state.panic = True
        elif event.command == RESUME and lifts(event):
            state.panic, state.emergency = False, None
        return
    if isinstance(event, FlattenState) and event.phase is FlattenPhase.BEGAN:
        # What the mode controller began is refused as ``mode_emergency``; what a person began, as ``panic``.
        state.panic = state.panic or event.source != SOURCE_MODE
        state.emergencies += 1
        state.emergency = Emergency(
            id=event.id, source=event.source, operator=event.operator, began_ns=event.ts_ns, last_state=event
        )
        return
    emergency = state.emergency
    if emergency is None:
        return
    match event:
        case FlattenState():
            _fold_state(emergency, event)
        case OrderSubmitting() | OrderUpdated() | OrderFilled() | OrderCancelling():
            _fold_order(emergency, event)
        case OrderLink():
            emergency.forget_proof()
        case Positions():
            _fold_positions(emergency, event)
        case ReconSnapshot():
            _fold_snapshot(state, emergency, event)
        case _:
            pass


def _fold_state(emergency: Emergency, event: FlattenState) -> None:
    emergency.events = max(emergency.events, event.number + 1)
    emergency.last_state = event
    if event.phase is FlattenPhase.PROVING:
        emergency.asked, emergency.asked_ns = event.id, event.ts_ns
        emergency.touched = {}
    elif event.phase is FlattenPhase.WAITING:
        emergency.deferred = dict(event.deferred)
    elif event.phase is FlattenPhase.OVERDUE:
        emergency.overdue = True
    elif event.phase is FlattenPhase.FLAT:
        emergency.flat, emergency.deferred = True, {}


def _fold_order(emergency: Emergency, event: OrderSubmitting | OrderUpdated | OrderFilled | OrderCancelling) -> None:
    if isinstance(event, OrderCancelling):
        count, _ = emergency.cancels.get(event.client_order_id, (0, 0))
        emergency.cancels[event.client_order_id] = (count + 1, event.ts_ns)
        return
    emergency.touch(event.symbol)
    if isinstance(event, OrderSubmitting):
        _fold_round(emergency, event)


def _fold_round(emergency: Emergency, event: OrderSubmitting) -> None:
    if event.intent in emergency.parents:
        return
    count, _ = emergency.rounds.get(event.symbol, (0, 0))
    if event.intent == parent_id(emergency.id, event.symbol, count):
        emergency.parents[event.intent] = True
        emergency.rounds[event.symbol] = (count + 1, event.ts_ns)


def _fold_positions(emergency: Emergency, event: Positions) -> None:
    if emergency.proof is None:
        return
    told = {position.symbol: position.quantity_micro for position in event.positions}
    known = {symbol: position.quantity_micro for symbol, position in emergency.proof.positions.items()}
    for symbol in sorted(told.keys() | known.keys()):
        if told.get(symbol, 0) != known.get(symbol, 0):
            emergency.touch(symbol)


def _fold_snapshot(state: ExecutionState, emergency: Emergency, event: ReconSnapshot) -> None:
    if event.request != emergency.asked:
        return
    emergency.asked = None
    if not event.ok:
        return
    foreign: dict[str, tuple[str, ...]] = {}
    for order in event.open_orders:
        if order.order_ref not in state.orders and order.perm_id not in state.by_perm_id:
            foreign[order.symbol] = (*foreign.get(order.symbol, ()), order.side)
    positions = {position.symbol: position for position in event.positions}
    emergency.proof = Proof(asked_ns=emergency.asked_ns, positions=positions, foreign=foreign)
    emergency.stale = dict(emergency.touched)
    if any(whole_micro(position.quantity_micro) for position in event.positions):
        emergency.flat = False
