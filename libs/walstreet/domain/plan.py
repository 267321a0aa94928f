"""Owns the plan that turns one intent into child orders: price, whole shares, end time and identity."""

from __future__ import annotations

from dataclasses import dataclass

from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.micro_planner import beyond, first_limit
from walstreet.domain.tick_rules import TickRule, orderable_micro
from walstreet_events import NANOS_PER_SECOND, OrderIntent, QuoteSeen, Side, derive_id

SLICES_MAX = 2
"""The part of a sell that closes a position and the part that is short; identity numbers them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One planned order."""

    client_order_id: str
    slice_index: int
    quantity_micro: int
    """What the gateway takes; the rest below one unit is not ordered."""
    limit_nano: int
    good_till_ns: int
    """A whole second, because the broker's good-till date knows no fractions."""


def child_id(intent_id: str, slice_index: int) -> str:
    """Return the ``orderRef`` of a child: 32 hexadecimal digits that depend on parent and slice only."""
    return derive_id(intent_id, "child", slice_index)


def plan_children(
    intent: OrderIntent,
    quote: QuoteSeen,
    *,
    parts_micro: tuple[int, ...],
    rule: TickRule,
    lot_micro: int,
    now_ns: int,
    parameters: ExecutionParameters,
    first_slice: int = 0,
) -> tuple[Child, ...]:
    """Return one child of ``intent`` for each part; ``quote`` is two-sided.

    Args:
        intent: The parent.
        quote: What the limits are taken from.
        parts_micro: Quantities, at most ``SLICES_MAX``; of each what the gateway takes is ordered, if anything.
        rule: The instrument's price increments.
        lot_micro: Its smallest quantity.
        now_ns: When the time in force begins.
        parameters: How aggressively to price, and whether fractions are taken.
        first_slice: Slice index of the first part.
    """
    assert len(parts_micro) <= SLICES_MAX
    good_till = min(intent.expires_ns, now_ns + intent.tif_s * NANOS_PER_SECOND)
    quantities = [
        orderable_micro(part_micro, lot_micro=lot_micro, fractional=parameters.fractional) for part_micro in parts_micro
    ]
    return tuple(
        Child(
            client_order_id=child_id(intent.id, first_slice + index),
            slice_index=first_slice + index,
            quantity_micro=quantity_micro,
            limit_nano=limit_price(intent.side, quote, rule=rule, parameters=parameters),
            good_till_ns=good_till // NANOS_PER_SECOND * NANOS_PER_SECOND,
        )
        for index, quantity_micro in enumerate(quantities)
        if quantity_micro > 0
    )


def limit_price(side: Side, quote: QuoteSeen, *, rule: TickRule, parameters: ExecutionParameters) -> int:
    """Return the first limit in 1e-9 USD, on the price grid.

    ``cross`` rounds towards the far side, so that the order stays marketable; ``mid`` and ``staged`` round passively,
    so that they never pay more than half the spread; ``offset`` never pays more than its distance beyond the mid.
    """
    if parameters.aggression == "offset":
        mid_nano = (quote.bid_nano + quote.ask_nano) // 2
        return rule.passive(side, beyond(side, mid_nano, parameters.mid_offset_bps))
    if parameters.aggression != "cross":
        return first_limit(side, quote, rule)
    touch_nano = rule.aggressive(side, quote.ask_nano if side is Side.BUY else quote.bid_nano)
    return rule.worse(side, touch_nano, parameters.cross_ticks)
