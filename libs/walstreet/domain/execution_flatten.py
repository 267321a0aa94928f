"""Owns the next steps of an emergency: cancels, questions for the broker's truth, closing orders, what must be told.

Called whenever session time is observed. Each step is a pure function of the state and of that time, so whatever a
crash keeps from happening is simply due again.
"""

from __future__ import annotations

from collections.abc import Sequence

from walstreet.domain.execution_cancel import cancelling
from walstreet.domain.execution_emergency import SOURCE_OPERATOR, begin
from walstreet.domain.execution_state import ExecutionState
from walstreet.domain.flatten import (
    FLAT_SO_FAR,
    TRANSIENT,
    Close,
    Deferral,
    Emergency,
    Holding,
    Proof,
    closes,
    deferral,
    parent_id,
    whole_micro,
)
from walstreet.domain.flatten_parameters import FlattenParameters
from walstreet.domain.observations import QuoteObserved
from walstreet.domain.plan import child_id
from walstreet_events import (
    NANOS_PER_SECOND,
    PRICE_SCALE,
    AnyEvent,
    EventId,
    FlattenPhase,
    FlattenState,
    OperatorCommand,
    OrderCancelling,
    OrderSubmitting,
    Position,
    QuoteSeen,
    derive_id,
    tag_of,
)

CANCEL_FLATTEN = "flatten"
EXPIRED_GRACE_NS = NANOS_PER_SECOND
"""After its good-till time a closing order without an end is cancelled, too."""
WAITING_GAP_NS = 5 * NANOS_PER_SECOND
"""Changes of what waits are told no more often."""


def steps(state: ExecutionState, now_ns: int, parameters: FlattenParameters) -> list[AnyEvent]:
    """Return what is due at ``now_ns``: cancels, the question for the truth, closing orders, and what must be told."""
    emergency = state.emergency
    if emergency is None:
        if not state.panic:
            return []
        return begin(
            state,
            cause=derive_id("panic", tag_of(OperatorCommand), state.emergencies),
            natural="panic in force without an emergency",
            ts_ns=now_ns,
            source=SOURCE_OPERATOR,
            operator="",
            detail="the command is on the log, its consequence is not",
        )
    cancels = _cancels(state, emergency, now_ns, parameters)
    teller = _Teller(state, emergency, now_ns)
    if _proof_due(state, emergency, now_ns, parameters):
        teller.tell(FlattenPhase.PROVING, FLAT_SO_FAR if emergency.flat else "")
    closing, deferred = _closings(state, emergency, now_ns, parameters)
    _tell_standing(state, teller, deferred, parameters)
    return [*cancels, *closing, *teller.events]


def acknowledge(state: ExecutionState, *, cause: EventId, ts_ns: int, detail: str) -> list[AnyEvent]:
    """Return how an emergency in force stands, for whoever asks for it once more."""
    if state.emergency is None:
        return []
    teller = _Teller(state, state.emergency, ts_ns, cause=cause)
    teller.tell(FlattenPhase.FLAT if state.emergency.flat else FlattenPhase.WAITING, detail)
    return [*teller.events]


def cancel_once(
    state: ExecutionState, *, cause: EventId, ts_ns: int, reason: str, emergency: Emergency | None
) -> list[OrderCancelling]:
    """Return a cancel of every open order that has none in this emergency; its own closing orders go on."""
    sent = emergency.cancels if emergency is not None else {}
    closing = emergency.parents if emergency is not None else {}
    return [
        cancelling(state.orders[name], cause=cause, ts_ns=ts_ns, reason=reason)
        for name in state.open_orders
        if name not in sent and state.orders[name].intent not in closing
    ]


def link_up(state: ExecutionState) -> bool:
    """Return whether messages reach the broker in this life."""
    return state.link_seen and state.link is not None and state.link.connected


def market_open(state: ExecutionState, now_ns: int) -> bool:
    """Return whether the session is open by its times; unknown times (no log in this life) do not stop a close."""
    return state.open_ns == 0 or state.open_ns <= now_ns < state.close_ns


def _cancels(
    state: ExecutionState, emergency: Emergency, now_ns: int, parameters: FlattenParameters
) -> list[OrderCancelling]:
    if not link_up(state):
        return []
    retry_ns = round(parameters.cancel_retry_s * NANOS_PER_SECOND)
    outs: list[OrderCancelling] = []
    for name in state.open_orders:
        order = state.orders[name]
        if order.intent in emergency.parents and now_ns < order.good_till_ns + EXPIRED_GRACE_NS:
            continue
        count, last_ns = emergency.cancels.get(name, (0, 0))
        if count == 0 or (count < parameters.cancels_max and now_ns - last_ns >= retry_ns):
            outs.append(
                cancelling(order, cause=emergency.id, ts_ns=now_ns, reason=CANCEL_FLATTEN, number=count),
            )
    return outs


def _proof_due(state: ExecutionState, emergency: Emergency, now_ns: int, parameters: FlattenParameters) -> bool:
    if not link_up(state):
        return False
    if emergency.proof is None and emergency.asked_ns == 0:
        return True
    if emergency.asked is not None:
        wait_s = parameters.proof_timeout_s
    elif emergency.proof is None or state.open_orders:
        wait_s = parameters.proof_retry_s
    elif emergency.stale:
        wait_s = parameters.proof_gap_s
    else:
        wait_s = parameters.watch_s if emergency.flat else parameters.proof_retry_s
    return now_ns - emergency.asked_ns >= wait_s * NANOS_PER_SECOND


def _closings(
    state: ExecutionState, emergency: Emergency, now_ns: int, parameters: FlattenParameters
) -> tuple[list[AnyEvent], dict[str, str]]:
    proof = emergency.proof
    if proof is None:
        return [], {}
    outs: list[AnyEvent] = []
    deferred: dict[str, str] = {}
    next_order_id = state.next_order_id
    up, is_open = link_up(state), market_open(state, now_ns)
    for symbol in sorted(proof.positions):
        position = proof.positions[symbol]
        if whole_micro(position.quantity_micro) == 0:
            continue
        holding = _holding(state, emergency, proof, position, now_ns=now_ns, parameters=parameters)
        reason = deferral(holding, now_ns=now_ns, link_up=up, market_open=is_open, parameters=parameters)
        if reason is not None:
            deferred[symbol] = reason.value
            continue
        parent = parent_id(emergency.id, symbol, holding.rounds)
        for close in closes(holding, now_ns=now_ns, parameters=parameters):
            outs.append(
                _submitting(emergency, holding, close, parent=parent, now_ns=now_ns, broker_order_id=next_order_id)
            )
            next_order_id += 1
    return outs, deferred


def _holding(
    state: ExecutionState,
    emergency: Emergency,
    proof: Proof,
    position: Position,
    *,
    now_ns: int,
    parameters: FlattenParameters,
) -> Holding:
    symbol = position.symbol
    rounds, last_ns = emergency.rounds.get(symbol, (0, 0))
    instrument = state.instruments.get(symbol)
    tick_nano = instrument.min_tick_nano if instrument is not None else 0
    fresh = now_ns - proof.asked_ns <= parameters.proof_age_s_max * NANOS_PER_SECOND
    mine = tuple(order for name in state.open_orders if (order := state.orders[name]).symbol == symbol)
    return Holding(
        symbol=symbol,
        con_id=position.con_id,
        position_micro=position.quantity_micro,
        proven=fresh and symbol not in emergency.stale,
        open_orders=mine,
        cancelled_ns={name: last for name, (_, last) in emergency.cancels.items()},
        foreign_sides=proof.foreign.get(symbol, ()),
        halted=state.halted.get(symbol, False),
        quote=_seen(state.quotes.get(symbol)),
        tick_nano=tick_nano if tick_nano > 0 else round(parameters.tick_usd_default * PRICE_SCALE),
        rounds=rounds,
        last_round_ns=last_ns,
    )


def _submitting(
    emergency: Emergency, holding: Holding, close: Close, *, parent: EventId, now_ns: int, broker_order_id: int
) -> OrderSubmitting:
    client_order_id = child_id(parent, close.slice_index)
    nothing = QuoteSeen(bid_nano=0, ask_nano=0, bid_size_micro=0, ask_size_micro=0, ts_ns=0, seq=0)
    return OrderSubmitting(
        id=derive_id(client_order_id, tag_of(OrderSubmitting), 0),
        cause=emergency.id,
        ts_ns=now_ns,
        intent=parent,
        client_order_id=client_order_id,
        slice_index=close.slice_index,
        broker_order_id=broker_order_id,
        symbol=holding.symbol,
        con_id=holding.con_id,
        side=close.side,
        quantity_micro=close.quantity_micro,
        limit_nano=close.limit_nano,
        good_till_ns=close.good_till_ns,
        quote=holding.quote or nothing,
    )


def _seen(quote: QuoteObserved | None) -> QuoteSeen | None:
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


# ------------------------------------------------------------------------------------------------------ telling


class _Teller:
    """Numbers the ``FlattenState`` events of one step."""

    def __init__(
        self, state: ExecutionState, emergency: Emergency, now_ns: int, *, cause: EventId | None = None
    ) -> None:
        self._cause = cause or emergency.id
        self.emergency = emergency
        self.now_ns = now_ns
        self._open_orders = len(state.open_orders)
        self.left = _left(state, emergency)
        self.events: list[FlattenState] = []

    def tell(self, phase: FlattenPhase, detail: str, deferred: dict[str, str] | None = None) -> None:
        """Add one event."""
        emergency = self.emergency
        number = emergency.events + len(self.events)
        self.events.append(
            FlattenState(
                id=derive_id(emergency.id, tag_of(FlattenState), number),
                cause=self._cause,
                ts_ns=self.now_ns,
                emergency=emergency.id,
                phase=phase,
                number=number,
                source=emergency.source,
                operator=emergency.operator,
                detail=detail,
                elapsed_ms=(self.now_ns - emergency.began_ns) // 1_000_000,
                open_orders=self._open_orders,
                positions=self.left,
                deferred=deferred if deferred is not None else dict(emergency.deferred),
            )
        )


def _left(state: ExecutionState, emergency: Emergency) -> tuple[Position, ...]:
    if emergency.proof is not None:
        return tuple(emergency.proof.positions[symbol] for symbol in sorted(emergency.proof.positions))
    return state.positions.positions if state.positions is not None else ()


def _tell_standing(
    state: ExecutionState, teller: _Teller, deferred: dict[str, str], parameters: FlattenParameters
) -> None:
    emergency, now_ns = teller.emergency, teller.now_ns
    proof = emergency.proof
    held = any(whole_micro(position.quantity_micro) for position in teller.left)
    if proof is not None and not (held or emergency.stale or state.open_orders or proof.foreign):
        if not emergency.flat:
            teller.tell(FlattenPhase.FLAT, _dust(teller.left), {})
        return
    told = {symbol: reason for symbol, reason in deferred.items() if reason not in _TRANSIENT_CODES}
    last = emergency.last_state
    quiet = last is None or last.phase is not FlattenPhase.WAITING or now_ns - last.ts_ns >= WAITING_GAP_NS
    if told != emergency.deferred and quiet:
        teller.tell(FlattenPhase.WAITING, "", told)
    since_ns = max(emergency.began_ns, state.open_ns) if market_open(state, now_ns) else now_ns
    late = now_ns - since_ns >= parameters.deadline_s * NANOS_PER_SECOND
    if late and not emergency.overdue and not emergency.flat:
        teller.tell(FlattenPhase.OVERDUE, f"not flat after {parameters.deadline_s:g} s; a person must look", told)


def _dust(positions: Sequence[Position]) -> str:
    """Return a note on fractions of a share, which the gateway cannot sell."""
    rests = [position.symbol for position in positions if position.quantity_micro]
    return f"less than one share of {', '.join(rests)} is left" if rests else ""


_TRANSIENT_CODES = tuple(reason.value for reason in TRANSIENT)
assert Deferral.HALTED.value not in _TRANSIENT_CODES
