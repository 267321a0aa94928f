"""Owns the rule under which a parent may send a new child for what its earlier ones left.

A child is never sent again, and nothing follows it while it could still trade. A new child needs, of every earlier one:
a final state, all executions that this state counts, a good-till time that has passed by a margin, and a reconciliation
snapshot from after that which does not show it as open and lists no execution of it that is not journaled. Silence of
the queries alone proves nothing, and neither does the state alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from walstreet.domain.bounds import require_between
from walstreet.domain.order import Order
from walstreet_events import NANOS_PER_SECOND, OrderIntent, ReconSnapshot

FIRST_SLICE = 2
"""Slices 0 and 1 are the closing and the short part of the first placement; later children count from here."""


class ResliceParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the rest of a parent goes out again; ``arbiter.order.parent_tifs`` gives a parent the time for it."""

    enabled: bool = True
    margin_s: float = 30.0
    """After the good-till time of the last child."""
    rest_s_min: float = 10.0
    """Time that must be left of the parent's own expiry."""
    children_max: int = 8

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("execution.reslice", "margin_s", self.margin_s, 0.0, 3_600.0)
        require_between("execution.reslice", "rest_s_min", self.rest_s_min, 1.0, 3_600.0)
        require_between("execution.reslice", "children_max", self.children_max, 1, 100)


def rest_micro(
    intent: OrderIntent,
    children: Sequence[Order],
    snapshot: ReconSnapshot,
    now_ns: int,
    parameters: ResliceParameters,
) -> int:
    """Return how much of ``intent`` a new child may ask for, 0 when there may be none.

    Args:
        intent: The parent.
        children: All orders that were ever submitted for it, protective ones not among them.
        snapshot: The newest answer of the broker to a reconciliation.
        now_ns: Session time.
        parameters: The rule's.
    """
    if not parameters.enabled or not children or len(children) >= parameters.children_max or not snapshot.ok:
        return 0
    if now_ns + round(parameters.rest_s_min * NANOS_PER_SECOND) > intent.expires_ns:
        return 0
    proven_ns = max(order.good_till_ns for order in children) + round(parameters.margin_s * NANOS_PER_SECOND)
    if min(now_ns, snapshot.ts_ns) < proven_ns:
        return 0
    if not all(_ended(order, snapshot) for order in children):
        return 0
    return max(0, intent.quantity_micro - sum(max(order.executed_micro, order.filled_micro) for order in children))


def next_slice(children: Sequence[Order]) -> int:
    """Return the slice index of a parent's next child; no earlier child has it."""
    return FIRST_SLICE + len(children)


def _ended(order: Order, snapshot: ReconSnapshot) -> bool:
    """Return whether state, executions and the broker's answer agree that the order is over."""
    if not order.terminal or order.executed_micro < order.filled_micro:
        return False
    ours = {order.client_order_id}
    if any(listed.order_ref in ours or _same(order, listed.perm_id) for listed in snapshot.open_orders):
        return False
    told = [item for item in snapshot.executions if item.order_ref in ours or _same(order, item.perm_id)]
    if any(item.exec_id not in order.executions and item.exec_id not in order.corrections for item in told):
        return False
    return all(
        listed.filled_micro <= order.executed_micro
        for listed in snapshot.completed_orders
        if listed.order_ref in ours or _same(order, listed.perm_id)
    )


def _same(order: Order, perm_id: int) -> bool:
    return bool(order.perm_id) and order.perm_id == perm_id
