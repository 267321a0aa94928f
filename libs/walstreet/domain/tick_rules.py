"""Owns price increments and order sizes: rounding to the tick, passively or aggressively, and to what may be ordered.

A contract names its smallest increment. A market may ask for a larger one from some price on: a *ladder* of
(price from which it holds, increment). US stocks: a cent from one dollar on, a hundredth of a cent below (SEC
Regulation NMS, rule 612). Passive rounding never pays more than the price that is rounded; aggressive rounding never
pays less. All prices are in 1e-9 USD and positive.
"""

from __future__ import annotations

from dataclasses import dataclass

from walstreet_events import QUANTITY_SCALE, Side

Rung = tuple[int, int]
"""Price from which an increment holds, and the increment, both in 1e-9 USD."""
RUNGS_MAX = 32
US_STOCKS: tuple[Rung, ...] = ((0, 100_000), (1_000_000_000, 10_000_000))


@dataclass(frozen=True, slots=True, kw_only=True)
class TickRule:
    """The increments of one instrument."""

    min_tick_nano: int
    """Of the contract; no increment is smaller."""
    ladder: tuple[Rung, ...] = ()

    def __post_init__(self) -> None:
        """Refuse increments that are none."""
        if self.min_tick_nano <= 0:
            raise ValueError(f"min_tick_nano is {self.min_tick_nano}; the instrument's facts are broken")
        require_ladder(self.ladder)

    def tick_nano(self, price_nano: int) -> int:
        """Return the increment at a price."""
        increment = self.min_tick_nano
        for from_nano, rung_nano in self.ladder:
            if price_nano >= from_nano:
                increment = max(self.min_tick_nano, rung_nano)
        return increment

    def down(self, price_nano: int) -> int:
        """Return the largest price on the grid that is not above ``price_nano``; 0 when there is none."""
        tick = self.tick_nano(price_nano)
        return max(0, price_nano // tick * tick)

    def up(self, price_nano: int) -> int:
        """Return the smallest price on the grid that is not below ``price_nano``."""
        tick = self.tick_nano(price_nano)
        rounded = -(-price_nano // tick) * tick
        # Rounding may have climbed onto a coarser rung.
        coarse = self.tick_nano(rounded)
        return -(-rounded // coarse) * coarse

    def passive(self, side: Side, price_nano: int) -> int:
        """Return ``price_nano`` rounded so that ``side`` does not pay more."""
        return self.down(price_nano) if side is Side.BUY else self.up(price_nano)

    def aggressive(self, side: Side, price_nano: int) -> int:
        """Return ``price_nano`` rounded so that ``side`` is not less likely to trade."""
        return self.up(price_nano) if side is Side.BUY else self.down(price_nano)

    def worse(self, side: Side, price_nano: int, ticks: int) -> int:
        """Return the price that pays ``ticks`` increments more than ``price_nano``, each at its own rung."""
        price = price_nano
        for _ in range(ticks):
            # From one nano below, so that a step down from a rung's edge takes the finer increment below it.
            price = self.up(price + 1) if side is Side.BUY else self.down(price - 1)
        return price

    def conforms(self, price_nano: int) -> bool:
        """Return whether the broker takes the price (it refuses others with code 110)."""
        return price_nano > 0 and price_nano % self.tick_nano(price_nano) == 0


def require_ladder(ladder: tuple[Rung, ...]) -> None:
    """Refuse a ladder that no price can be rounded to without doubt.

    Raises:
        ValueError: Too long, not ascending, an increment that is not positive, or an edge that is no multiple of the
            increments on both of its sides.
    """
    if len(ladder) > RUNGS_MAX:
        raise ValueError(f"a ladder of ticks has {len(ladder)} rungs; allowed are {RUNGS_MAX}")
    before: Rung | None = None
    for from_nano, increment in ladder:
        if increment <= 0 or from_nano < 0 or (before is not None and from_nano <= before[0]):
            raise ValueError(f"rung ({from_nano}, {increment}) of a ladder of ticks; they ascend and are positive")
        below = increment if before is None else before[1]
        if from_nano % increment or from_nano % below:
            raise ValueError(f"a ladder's rung begins at {from_nano}, which is no multiple of {increment} and {below}")
        before = (from_nano, increment)


def orderable_micro(quantity_micro: int, *, lot_micro: int, fractional: bool) -> int:
    """Return the part of a quantity that the gateway takes: whole lots, or everything where fractions are allowed.

    A gateway without fractions refuses the rest with code 10243; a lot is at least one share there.
    """
    if quantity_micro <= 0:
        return 0
    unit = 1 if fractional else max(QUANTITY_SCALE, lot_micro // QUANTITY_SCALE * QUANTITY_SCALE)
    return quantity_micro // unit * unit
