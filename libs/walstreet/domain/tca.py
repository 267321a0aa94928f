"""Owns the arithmetic of transaction costs: the implementation shortfall of a parent order, split so that it adds up.

With side ``s`` (+1 buy, -1 sell), price ``p``, arrival mid ``a``, mid at the fill ``m0`` and mid 5 s later ``m5``:

- *timing* ``s*(m0 - a)``: the market moved before the fill; its *delay* is the part until the order was sent;
- *impact* ``s*(m5 - m0)``: the move that followed the fill and stayed;
- *spread* ``s*(p - m5)``: what is left of ``s*(p - m0)``, the effective half-spread, behind the impact;
- *fees* as the broker charged them;
- *opportunity* ``s*(m_end - a)`` on what was not filled when the time in force ended.

The three price parts telescope to ``s*(p - a)``. Where a mark is missing nothing is guessed: without ``m0`` the whole
price part is *unattributed*, without ``m5`` the effective half-spread counts as spread. All sums are integers of
1e-9 USD, rounded so that the parts add up to the rounded total; a mirrored market gives the same numbers.

Sources: Perold, "The implementation shortfall", Journal of Portfolio Management 14, 1988 (total and opportunity);
Kissell, "The Science of Algorithmic Trading and Portfolio Management", 2013, chapter 3 (components); Huang and Stoll,
Journal of Financial Economics 41, 1996 (effective = realised spread + impact).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from walstreet.domain.marks import MARK_OFFSETS_S
from walstreet_events import QUANTITY_SCALE

IMPACT_OFFSET_S = 5
MARKOUT_OFFSETS_S = tuple(offset for offset in MARK_OFFSETS_S if offset)
MICRO_BPS = 10_000_000_000
"""Millionths of a basis point in one."""
_HALF_MICRO = 2 * QUANTITY_SCALE
"""Products of a doubled price and a quantity over 1e-9 USD."""

assert IMPACT_OFFSET_S in MARKOUT_OFFSETS_S

TwiceMid = int
"""``bid + ask``, so that the mid between odd prices stays an integer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One execution with the marks that were seen."""

    ts_ns: int
    price_nano: int
    quantity_micro: int
    fee_nano: int | None
    """None before the broker has told it."""
    marks: dict[int, TwiceMid]
    """By offset of ``MARK_OFFSETS_S``; absent where no quote was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A parent order as the arbiter wanted it, and what became of it."""

    intent: str
    symbol: str
    buy: bool
    horizon_minutes: int
    quantity_micro: int
    arrival_mid_nano: int
    decided_ns: int
    expires_ns: int
    alpha_bps: float
    predicted_bps: float
    """What the decision expected one side to cost, fees included; NaN if it is not known."""
    sent_ns: int | None
    """When the first child was sent; None if none was."""
    sent_mid: TwiceMid | None
    sent_spread_bps: float
    """NaN if nothing was sent."""
    refused: str
    """Reason of the refusal, empty without one."""
    refused_mid: TwiceMid | None
    end_mid: TwiceMid | None
    """At the end of the time in force; None if it was not seen."""
    fills: tuple[Fill, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A shortfall in 1e-9 USD; the parts add up to ``total_nano`` exactly."""

    spread_nano: int = 0
    impact_nano: int = 0
    timing_nano: int = 0
    unattributed_nano: int = 0
    fees_nano: int = 0
    opportunity_nano: int = 0

    @property
    def parts(self) -> tuple[int, ...]:
        """Return the parts in the order of ``PARTS``."""
        return (
            self.spread_nano,
            self.impact_nano,
            self.timing_nano,
            self.unattributed_nano,
            self.fees_nano,
            self.opportunity_nano,
        )

    @property
    def total_nano(self) -> int:
        """Return the implementation shortfall."""
        return sum(self.parts)

    @property
    def executed_nano(self) -> int:
        """Return the shortfall of what was filled."""
        return self.total_nano - self.opportunity_nano

    def plus(self, other: Split) -> Split:
        """Return the sum, part by part."""
        return Split(**{f"{name}_nano": a + b for name, a, b in zip(PARTS, self.parts, other.parts, strict=True)})


PARTS = ("spread", "impact", "timing", "unattributed", "fees", "opportunity")
"""Parts of a shortfall in the order of a picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentCost:
    """What one parent cost."""

    parent: Parent
    split: Split
    delay_nano: int
    """The part of the timing until the order was sent, 0 where it is not known."""
    filled_micro: int
    filled_in_time: bool
    """Filled whole before the time in force ended."""
    wanted_nano: int
    traded_nano: int
    unfilled_unmarked_nano: int
    markout_nano: tuple[int, ...]
    """Per ``MARKOUT_OFFSETS_S``."""
    marked_nano: tuple[int, ...]
    fees_missing: int
    fill_ms: tuple[int, ...]
    """Per fill, since the first child was sent."""

    @property
    def realised_bps(self) -> float:
        """Return the cost of what was filled in bps of its notional at arrival, NaN without a fill."""
        return self.split.executed_nano / self.traded_nano * 1e4 if self.traded_nano else float("nan")


def rounded(exact: Sequence[int], divisor: int) -> tuple[int, ...]:
    """Return ``exact / divisor`` as integers that add up to the rounded total.

    Each is the difference of two rounded running sums (half away from zero, so that the negated parts are the parts of
    the negated sum).
    """
    parts: list[int] = []
    running, before = 0, 0
    for value in exact:
        running += value
        now = (2 * abs(running) + divisor) // (2 * divisor) * (1 if running >= 0 else -1)
        parts.append(now - before)
        before = now
    return tuple(parts)


def micro_bps(parts_nano: Sequence[int], notional_nano: int) -> tuple[int, ...]:
    """Return the parts in millionths of a basis point of a notional, adding up to those of the total."""
    assert notional_nano > 0, notional_nano
    return rounded([part * MICRO_BPS for part in parts_nano], notional_nano)


def notional_nano(price_nano: int, quantity_micro: int) -> int:
    """Return the value of a quantity in 1e-9 USD, rounded half up; prices and quantities are not negative."""
    return (2 * price_nano * quantity_micro + QUANTITY_SCALE) // (2 * QUANTITY_SCALE)


def split_fill(*, buy: bool, arrival_mid_nano: int, fill: Fill) -> Split:
    """Return the shortfall of one execution against the arrival mid."""
    sign = 1 if buy else -1
    price, arrival = 2 * fill.price_nano, 2 * arrival_mid_nano
    at_fill, later = fill.marks.get(0), fill.marks.get(IMPACT_OFFSET_S)
    if at_fill is None:
        steps = (0, 0, 0, price - arrival)
    elif later is None:
        steps = (price - at_fill, 0, at_fill - arrival, 0)
    else:
        steps = (price - later, later - at_fill, at_fill - arrival, 0)
    spread, impact, timing, unattributed = rounded([sign * step * fill.quantity_micro for step in steps], _HALF_MICRO)
    return Split(
        spread_nano=spread,
        impact_nano=impact,
        timing_nano=timing,
        unattributed_nano=unattributed,
        fees_nano=fill.fee_nano or 0,
    )


def markout_nano(*, buy: bool, fill: Fill, offset_s: int) -> int | None:
    """Return ``side * (price - mid)`` at an offset over the quantity; None where no quote was seen."""
    mid = fill.marks.get(offset_s)
    if mid is None:
        return None
    sign = 1 if buy else -1
    return rounded([sign * (2 * fill.price_nano - mid) * fill.quantity_micro], _HALF_MICRO)[0]


def cost_of(parent: Parent) -> ParentCost:
    """Return what a parent cost; an expired part without a mark is in no opportunity cost but counted."""
    sign = 1 if parent.buy else -1
    split = Split()
    for fill in parent.fills:
        split = split.plus(split_fill(buy=parent.buy, arrival_mid_nano=parent.arrival_mid_nano, fill=fill))
    filled = sum(fill.quantity_micro for fill in parent.fills)
    in_time = sum(fill.quantity_micro for fill in parent.fills if fill.ts_ns <= parent.expires_ns)
    unfilled = max(0, parent.quantity_micro - filled)
    if unfilled and parent.end_mid is not None:
        missed = sign * (parent.end_mid - 2 * parent.arrival_mid_nano) * unfilled
        split = split.plus(Split(opportunity_nano=rounded([missed], _HALF_MICRO)[0]))
    delay = 0
    if parent.sent_mid is not None:
        # Only where the timing is known: the delay is a part of it.
        known = sum(fill.quantity_micro for fill in parent.fills if 0 in fill.marks)
        delay = rounded([sign * (parent.sent_mid - 2 * parent.arrival_mid_nano) * known], _HALF_MICRO)[0]
    markouts, marked = _markouts(parent)
    return ParentCost(
        parent=parent,
        split=split,
        delay_nano=delay,
        filled_micro=filled,
        filled_in_time=in_time >= parent.quantity_micro,
        wanted_nano=notional_nano(parent.arrival_mid_nano, parent.quantity_micro),
        traded_nano=notional_nano(parent.arrival_mid_nano, filled),
        unfilled_unmarked_nano=(
            notional_nano(parent.arrival_mid_nano, unfilled) if unfilled and parent.end_mid is None else 0
        ),
        markout_nano=markouts,
        marked_nano=marked,
        fees_missing=sum(fill.fee_nano is None for fill in parent.fills),
        fill_ms=tuple(
            max(0, fill.ts_ns - (parent.sent_ns if parent.sent_ns is not None else parent.decided_ns)) // 1_000_000
            for fill in parent.fills
        ),
    )


def _markouts(parent: Parent) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the markouts and the notional that they are over, one each per offset."""
    costs: list[int] = []
    notionals: list[int] = []
    for offset_s in MARKOUT_OFFSETS_S:
        seen = [
            (cost, notional_nano(parent.arrival_mid_nano, fill.quantity_micro))
            for fill in parent.fills
            if (cost := markout_nano(buy=parent.buy, fill=fill, offset_s=offset_s)) is not None
        ]
        costs.append(sum(cost for cost, _ in seen))
        notionals.append(sum(notional for _, notional in seen))
    return tuple(costs), tuple(notionals)
