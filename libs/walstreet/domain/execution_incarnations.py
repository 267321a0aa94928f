"""Owns what is done when the broker works one order of ours twice.

A change of a working order that meets an outage can leave the old order alive beside the changed one: two permanent ids
under one reference and one order id. Both together may fill more than was wanted, so both are cancelled, once for each,
and a person is told. What either has filled is booked as the order's.
"""

from __future__ import annotations

from walstreet.domain.execution_cancel import CANCEL_INCARNATION, cancelling
from walstreet.domain.execution_state import ExecutionState
from walstreet.domain.observations import OrderStatusObserved
from walstreet.domain.order import LIVE_STATUSES
from walstreet_events import ROOT, OrderCancelling


def incarnation_cancels(state: ExecutionState, fact: OrderStatusObserved) -> list[OrderCancelling]:
    """Return the cancels for an order that a live status shows under a permanent id that was never its own.

    A cancel names the order id, which all incarnations share, and ends one of them: the new one takes one cancel, and
    the old one another unless it has ended.
    """
    order = state.orders.get(fact.client_order_id)
    if order is None or not fact.perm_id or fact.status not in LIVE_STATUSES:
        return []
    if order.perm_id in {0, fact.perm_id} or state.by_perm_id.get(fact.perm_id) == order.client_order_id:
        return []
    asked = len(order.cancel_reasons)
    wanted = 1 if order.terminal or CANCEL_INCARNATION in order.cancel_reasons else 2
    return [
        cancelling(order, cause=ROOT, ts_ns=fact.ts_ns, reason=CANCEL_INCARNATION, number=asked + number)
        for number in range(wanted)
    ]
