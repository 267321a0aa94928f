"""Owns what keeps protective orders from opening a position: the short-sale guard at their birth, their cover in life.

A protective sell closes what its parent bought and is no short sale then. It becomes one where the position is less
than it seemed: by the worse of two readings when the pair is made, or because somebody else has sold since. A pair
whose sells would be short in part passes the short-sale guard with its own prices first, the stop as the market order
that it turns into. Later the broker's own snapshot judges: what is at work for more than the position it should close
is cancelled.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from walstreet.domain.corrections import family_of
from walstreet.domain.execution_cancel import CANCEL_UNCOVERED, cancelling
from walstreet.domain.execution_guards import check_short_sale, guarded_order
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.execution_state import ExecutionState
from walstreet.domain.guards import Refusal, by_guard
from walstreet.domain.order import Order
from walstreet_events import (
    NANOS_PER_SECOND,
    OrderBracketed,
    OrderCancelling,
    OrderIntent,
    OrderState,
    QuoteSeen,
    ReconSnapshot,
    Side,
)

SETTLED_NS = 5 * NANOS_PER_SECOND
"""A fill this much older than a snapshot is in the positions that the broker tells with it."""


def protection_refusal(
    state: ExecutionState,
    intent: OrderIntent,
    pair: OrderBracketed,
    quote: QuoteSeen,
    *,
    now_ns: int,
    parameters: ExecutionParameters,
) -> Refusal | None:
    """Return why a pair may not be sent, None if it may; ``intent`` opens what it protects."""
    if pair.side is not Side.SELL:
        return None
    selling = msgspec.structs.replace(intent, side=Side.SELL)
    for child in pair.children:
        order = guarded_order(state, selling, quantity_micro=pair.quantity_micro, limit_nano=child.limit_nano or None)
        if order.position_micro is not None:
            # It wakes up when its parent has filled whole.
            order = replace(order, position_micro=order.position_micro + pair.quantity_micro)
        verdict = check_short_sale(state, order, quote, now_ns, parameters).verdict
        if not verdict.allowed:
            told = by_guard(verdict)
            return Refusal(reason=told.reason, detail=f"{child.kind} of the pair: {told.detail}")
    return None


def uncovered_events(state: ExecutionState, now_ns: int) -> list[OrderCancelling]:
    """Return the cancels of protective orders that the newest snapshot shows without a position to close.

    A snapshot is looked at once in a life. Pairs whose parent filled just before it, or has not filled whole, are left
    for the next one: the broker's positions may not have the fill yet.
    """
    snapshot = state.snapshot
    if snapshot is None or snapshot.id == state.protection_seen:
        return []
    state.protection_seen = snapshot.id
    left_micro = {order.order_ref: order.quantity_micro - order.filled_micro for order in snapshot.open_orders}
    held_micro = {position.symbol: position.quantity_micro for position in snapshot.positions}
    pairs: dict[str, list[Order]] = {}
    for key in state.open_orders:
        order = state.orders[key]
        if order.protects and key in left_micro:
            pairs.setdefault(order.protects, []).append(order)
    outs: list[OrderCancelling] = []
    for parent_id, pair in pairs.items():
        parent = state.orders.get(parent_id)
        if parent is None or not _settled(state, parent, snapshot):
            continue
        held = held_micro.get(pair[0].symbol, 0)
        cover = max(0, held if pair[0].side is Side.SELL else -held)
        # Of a pair only one can fill.
        if max(left_micro[order.client_order_id] for order in pair) > cover:
            outs += [
                cancelling(order, cause=snapshot.id, ts_ns=now_ns, reason=CANCEL_UNCOVERED)
                for order in pair
                if not order.cancel_reasons
            ]
    return outs


def _settled(state: ExecutionState, parent: Order, snapshot: ReconSnapshot) -> bool:
    """Return whether the parent has filled whole, by executions that a snapshot's positions must contain."""
    if parent.state is not OrderState.FILLED or parent.executed_micro < parent.quantity_micro:
        return False
    fills = [state.fills.get(family_of(exec_id)[0]) for exec_id in parent.executions]
    return all(fill is not None and fill.ts_ns + SETTLED_NS <= snapshot.ts_ns for fill in fills)
