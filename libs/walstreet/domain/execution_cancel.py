"""Owns the events that announce a cancel."""

from __future__ import annotations

from walstreet.domain.execution_state import ExecutionState
from walstreet_events import EventId, OrderCancelling, derive_id, tag_of

CANCEL_EXPIRED = "good_till_passed"
CANCEL_PANIC = "panic"
CANCEL_EMERGENCY = "emergency"
CANCEL_WITHDRAWN = "protection_withdrawn"


def cancelling(
    state: ExecutionState, client_order_id: str, *, cause: EventId, ts_ns: int, reason: str
) -> OrderCancelling:
    """Return the announcement that an order of ours is about to be cancelled."""
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
