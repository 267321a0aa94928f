"""Owns the events that announce a cancel."""

from __future__ import annotations

from walstreet.domain.order import Order
from walstreet_events import EventId, OrderCancelling, derive_id, tag_of

CANCEL_EXPIRED = "good_till_passed"
CANCEL_PANIC = "panic"
CANCEL_EMERGENCY = "emergency"
CANCEL_INCARNATION = "second_incarnation"
"""The broker works the order twice."""
CANCEL_WITHDRAWN = "protection_withdrawn"
CANCEL_UNCOVERED = "protection_uncovered"
"""There is no position any more that the order would close."""


def cancelling(order: Order, *, cause: EventId, ts_ns: int, reason: str, number: int = 0) -> OrderCancelling:
    """Return the announcement that an order of ours is about to be cancelled, for the ``number``-th time."""
    return OrderCancelling(
        id=derive_id(f"{cause}:{order.client_order_id}:{reason}", tag_of(OrderCancelling), number),
        cause=cause,
        ts_ns=ts_ns,
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        broker_order_id=order.broker_order_id,
        reason=reason,
    )
