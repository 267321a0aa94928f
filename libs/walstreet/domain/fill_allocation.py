"""Owns the division of whole quantities among strategies, in exact integers: nothing is lost or made by rounding.

Largest remainder throughout: everybody gets the floor of the exact share, what is left goes one unit each to the
largest remainders, ties to the first. Fills are divided by what each strategy still waits for: an allocation is never
taken back by a later fill, nobody gets more than wanted, and a complete fill gives everybody exactly what was wanted.

Strategies that want opposite sides of a symbol trade with each other inside the account, at one price and without a
message to the broker; only the difference becomes an order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

STRATEGIES_MAX = 64
"""Strategies of one account."""


def apportion(total: int, sizes: Sequence[int]) -> tuple[int, ...]:
    """Return ``total`` divided in proportion to ``sizes``, exactly; no part exceeds its size unless ``total`` does.

    Args:
        total: At least 0.
        sizes: At least 0 each, and not all 0 unless ``total`` is.

    Raises:
        ValueError: A negative number, or something to divide among nobody.
    """
    whole = sum(sizes)
    if total < 0 or any(size < 0 for size in sizes) or (whole == 0 and total > 0):
        raise ValueError(f"apportion: {total} cannot be divided by {list(sizes)}; nothing negative, nor among nobody")
    if whole == 0:
        return (0,) * len(sizes)
    return _proportional(total, whole, sizes)


def scale_to(target: int, parts: Sequence[int]) -> tuple[int, ...]:
    """Return signed ``parts`` scaled by one factor in [0, 1] so that they sum to ``target`` exactly.

    Parts that cancel out stay as they are where ``target`` is 0 as well: no factor follows from nothing.

    Raises:
        ValueError: ``target`` is beyond the sum of the parts, or on its other side.
    """
    whole = sum(parts)
    if whole == 0 and target == 0:
        return tuple(parts)
    if whole == 0 or target * whole < 0 or abs(target) > abs(whole):
        raise ValueError(
            f"scale_to: {target} is not between 0 and {whole}, the sum of {list(parts)}; limits only scale down"
        )
    if whole < 0:
        return tuple(-part for part in _proportional(-target, -whole, [-part for part in parts]))
    return _proportional(target, whole, parts)


def _proportional(total: int, whole: int, parts: Sequence[int]) -> tuple[int, ...]:
    """Return ``total * part / whole`` in integers that sum to ``total``; ``whole`` is the positive sum of the parts."""
    assert len(parts) <= STRATEGIES_MAX, f"{len(parts)} parts, at most {STRATEGIES_MAX} are possible"
    divided = [divmod(total * part, whole) for part in parts]
    shares = [floor for floor, _ in divided]
    # Each remainder is below one unit, so fewer are left than there are parts with a remainder.
    left = total - sum(shares)
    for index in sorted(range(len(parts)), key=lambda index: (-divided[index][1], index))[:left]:
        shares[index] += 1
    return tuple(shares)


# ----------------------------------------------------------------------------------------------------- crossing


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """What strategies trade with each other and what is left for the market; signed, in their order."""

    crossed_micro: tuple[int, ...]
    """Sums to 0."""
    parents_micro: tuple[int, ...]
    """All of one sign; sums to the account's order."""

    @property
    def order_micro(self) -> int:
        """Return the account's order."""
        return sum(self.parents_micro)


def cross(wanted_micro: Sequence[int]) -> Crossing:
    """Return how far wanted changes of one symbol meet inside the account; the larger side meets pro rata."""
    buys = [max(0, wanted) for wanted in wanted_micro]
    sells = [max(0, -wanted) for wanted in wanted_micro]
    met = min(sum(buys), sum(sells))
    bought, sold = apportion(met, buys), apportion(met, sells)
    crossed = tuple(buy - sell for buy, sell in zip(bought, sold, strict=True))
    return Crossing(
        crossed_micro=crossed,
        parents_micro=tuple(wanted - done for wanted, done in zip(wanted_micro, crossed, strict=True)),
    )


# -------------------------------------------------------------------------------------------------------- fills


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentShares:
    """The strategies behind one order of the account, and what of its fills each has got; magnitudes."""

    strategies: tuple[str, ...]
    wanted_micro: tuple[int, ...]
    filled_micro: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse shares that do not belong together."""
        if not len(self.strategies) == len(self.wanted_micro) == len(self.filled_micro) or not sum(self.wanted_micro):
            raise ValueError(
                f"parent shares of {list(self.strategies)}: wanted {list(self.wanted_micro)}, "
                f"filled {list(self.filled_micro)}; one number each, and something wanted"
            )

    @property
    def remaining_micro(self) -> tuple[int, ...]:
        """Return what each strategy still waits for; 0 where it got more than it wanted."""
        return tuple(
            max(0, wanted - filled) for wanted, filled in zip(self.wanted_micro, self.filled_micro, strict=True)
        )


def parent_shares(strategies: Sequence[str], parents_micro: Sequence[int]) -> ParentShares:
    """Return the shares of an order before its first fill, without strategies that want nothing.

    Raises:
        ValueError: Nobody wants anything, or the parents are of both signs, which ``cross`` has to settle first.
    """
    behind = [(name, wanted) for name, wanted in zip(strategies, parents_micro, strict=True) if wanted]
    if any(wanted < 0 for _, wanted in behind) and any(wanted > 0 for _, wanted in behind):
        raise ValueError(f"parents {list(parents_micro)} are of both signs; cross them before an order is sent")
    return ParentShares(
        strategies=tuple(name for name, _ in behind),
        wanted_micro=tuple(abs(wanted) for _, wanted in behind),
        filled_micro=(0,) * len(behind),
    )


def allocate_fill(shares: ParentShares, quantity_micro: int) -> tuple[ParentShares, tuple[int, ...]]:
    """Return the shares after a fill, and what of it each strategy gets; the parts sum to the fill.

    The broker's word counts even where it fills more than was sent: the excess goes by what was wanted.

    Raises:
        ValueError: The quantity is not positive.
    """
    if quantity_micro <= 0:
        raise ValueError(f"a fill of {quantity_micro} micro-shares; it must be positive, corrections are reversed")
    remaining = shares.remaining_micro
    regular = min(quantity_micro, sum(remaining))
    parts = apportion(regular, remaining)
    excess = apportion(quantity_micro - regular, shares.wanted_micro)
    got = tuple(part + more for part, more in zip(parts, excess, strict=True))
    filled = tuple(before + part for before, part in zip(shares.filled_micro, got, strict=True))
    return replace(shares, filled_micro=filled), got
