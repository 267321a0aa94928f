"""Owns the plan that turns one intent into child orders: price, whole shares, end time and identity."""

from __future__ import annotations

from dataclasses import dataclass

from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet_events import NANOS_PER_SECOND, QUANTITY_SCALE, OrderIntent, QuoteSeen, Side, derive_id

SLICES_MAX = 2
"""The part of a sell that closes a position and the part that is short; identity numbers them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One planned order."""

    client_order_id: str
    slice_index: int
    quantity_micro: int
    """Whole shares; the rest below one share is not ordered."""
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
    min_tick_nano: int,
    now_ns: int,
    parameters: ExecutionParameters,
) -> tuple[Child, ...]:
    """Return one child of ``intent`` for each part; ``quote`` is two-sided.

    Args:
        intent: The parent.
        quote: What the limits are taken from.
        parts_micro: Quantities, at most ``SLICES_MAX``; fractions of a share are not ordered, nor is a part without
            a whole share.
        min_tick_nano: The instrument's price increment.
        now_ns: When the time in force begins.
        parameters: How aggressively to price.

    Raises:
        ValueError: The instrument has no positive tick.
    """
    assert len(parts_micro) <= SLICES_MAX
    if min_tick_nano <= 0:
        raise ValueError(f"min_tick_nano of {intent.symbol} is {min_tick_nano}; the instrument's facts are broken")
    good_till = min(intent.expires_ns, now_ns + intent.tif_s * NANOS_PER_SECOND)
    return tuple(
        Child(
            client_order_id=child_id(intent.id, index),
            slice_index=index,
            quantity_micro=part_micro // QUANTITY_SCALE * QUANTITY_SCALE,
            limit_nano=limit_price(intent.side, quote, min_tick_nano=min_tick_nano, parameters=parameters),
            good_till_ns=good_till // NANOS_PER_SECOND * NANOS_PER_SECOND,
        )
        for index, part_micro in enumerate(parts_micro)
        if part_micro >= QUANTITY_SCALE
    )


def limit_price(side: Side, quote: QuoteSeen, *, min_tick_nano: int, parameters: ExecutionParameters) -> int:
    """Return the limit in 1e-9 USD, a multiple of the tick.

    ``cross`` rounds towards the far side, so that the order stays marketable; ``mid`` rounds passively, so
    that it never pays more than half the spread.
    """
    buy = side is Side.BUY
    if parameters.aggression == "mid":
        double_mid = quote.bid_nano + quote.ask_nano
        double_tick = 2 * min_tick_nano
        ticks = double_mid // double_tick if buy else -(-double_mid // double_tick)
        return ticks * min_tick_nano
    if buy:
        return (-(-quote.ask_nano // min_tick_nano) + parameters.cross_ticks) * min_tick_nano
    return (quote.bid_nano // min_tick_nano - parameters.cross_ticks) * min_tick_nano
