"""Owns the guard on short sales: which part of a sell is short, whether it can be borrowed, and Rule 201's price test.

Only the part of a sell that crosses below zero is short, so the sell is split there, orders at work counted. The part
that closes a long position is no short sale: it bypasses this guard and may go even where the rest is refused. A
purchase is none of this guard's business.

Ages: availability, borrow level and fee for 60 s; the session's low for Rule 201, and the best bid it is compared
with, for 30 s. The documents name the two numbers without saying which is which; both are parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from walstreet.domain.bounds import require_between
from walstreet.domain.guard_verdict import (
    Finding,
    GuardedOrder,
    GuardVerdict,
    Measure,
    Outcome,
    guard,
    nanos,
    seconds,
    usd,
)
from walstreet.domain.short_sale_rule import Rule201, SsrState
from walstreet_events import QUANTITY_SCALE, QuoteSeen, Side


class ShortReason(StrEnum):
    """Stable codes of the short-sale guard."""

    POSITION_UNKNOWN = "short_position_unknown"
    SHORT_NOT_PERMITTED = "short_not_permitted"
    BORROW_UNKNOWN = "borrow_unknown"
    BORROW_STALE = "borrow_stale"
    BORROW_UNAVAILABLE = "borrow_unavailable"
    BORROW_SHARES = "borrow_shares"
    BORROW_FEE_UNKNOWN = "borrow_fee_unknown"
    BORROW_FEE = "borrow_fee"
    SSR_UNKNOWN = "ssr_unknown"
    SSR_BID_UNKNOWN = "ssr_bid_unknown"
    SSR_PRICE = "ssr_price"


class ShortSaleParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a short sale may be sent."""

    shorts_permitted: bool = True
    """False for a cash account and for a long-only profile."""
    borrow_level_min: float = 2.5
    """Tick 46: above 2.5 shares are there, above 1.5 only with a locate, below that not at all."""
    borrow_configured: bool = False
    """Whether a source of availability exists; without one it is not judged, which is said at the start."""
    shortable_shares_min: int = 100
    fee_configured: bool = True
    """Whether a source of borrow fees exists; without one the fee is not judged, and the verdict says so."""
    fee_percent_max: float = 20.0
    """A year."""
    borrow_age_s_max: float = 60.0
    rule_age_s_max: float = 30.0
    fall_bps: float = 1_000.0
    """Below the prior close; Rule 201's 10 %."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("short_sale", "borrow_level_min", self.borrow_level_min, 1.5, 3.0)
        require_between("short_sale", "shortable_shares_min", self.shortable_shares_min, 1, 1e9)
        require_between("short_sale", "fee_percent_max", self.fee_percent_max, 0.0, 1_000.0)
        require_between("short_sale", "borrow_age_s_max", self.borrow_age_s_max, 1.0, 3_600.0)
        require_between("short_sale", "rule_age_s_max", self.rule_age_s_max, 1.0, 3_600.0)
        require_between("short_sale", "fall_bps", self.fall_bps, 1.0, 1_000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Borrow:
    """What the broker said about borrowing one symbol; None where it gave no number."""

    ts_ns: int
    level: float | None
    """Tick type 46."""
    shortable_micro: int | None
    """Tick type 89; None for NaN."""
    fee_ts_ns: int
    fee_percent: float | None
    """A year."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortFacts:
    """What the guard looks at."""

    now_ns: int
    order: GuardedOrder
    borrow: Borrow | None
    rule: Rule201 | None
    session: str
    """ISO date of the session now; a state that speaks of another one is not known."""
    quote: QuoteSeen | None
    """With the national best bid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SellSplit:
    """A sell, split at zero."""

    closing_micro: int
    short_micro: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortVerdict:
    """What of a sell may go: the closing part always, the short part by ``verdict``."""

    split: SellSplit | None
    """None when the position is not known."""
    verdict: GuardVerdict

    @property
    def allowed_micro(self) -> int:
        """Return the quantity that may be sent."""
        if self.split is None:
            return 0
        return self.split.closing_micro + (self.split.short_micro if self.verdict.allowed else 0)


def split_sell(order: GuardedOrder) -> SellSplit | None:
    """Return the closing and the short part of a sell, or None when position or orders at work are not known."""
    if order.side is not Side.SELL:
        raise ValueError(f"{order.symbol}: a {order.side.value} has no short part; split sells only")
    closable = order.closable_micro
    if closable is None or order.quantity_micro <= 0:
        return None
    closing = min(order.quantity_micro, closable)
    return SellSplit(closing_micro=closing, short_micro=order.quantity_micro - closing)


@guard("short_sale", bypass=True)
def check_short_guard(facts: ShortFacts, parameters: ShortSaleParameters) -> Finding:
    """Refuse the short part of a sell unless permitted, borrowable at a bearable fee, and priced as Rule 201 asks."""
    if facts.order.side is Side.BUY:
        return Finding()
    split = split_sell(facts.order)
    if split is None:
        return Finding(reason=ShortReason.POSITION_UNKNOWN)
    if split.short_micro == 0:
        return Finding()
    size = Measure(name="short_shares", value=split.short_micro / QUANTITY_SCALE)
    if not parameters.shorts_permitted:
        return Finding(reason=ShortReason.SHORT_NOT_PERMITTED, measures=(size,))
    reason: ShortReason | None = None
    measures: tuple[Measure, ...] = ()
    note = "no source of borrow facts is configured"
    if parameters.borrow_configured:
        reason, measures = _check_borrow(facts, split, parameters)
        note = "" if parameters.fee_configured else "no source of borrow fees is configured"
    if reason is None:
        reason, more = _check_rule(facts, parameters)
        measures = (*measures, *more)
    return Finding(reason=reason, measures=(size, *measures), note=note)


def _short_at_work_micro(order: GuardedOrder) -> int:
    """Return what of the sells at work is short already: it needs shares of its own."""
    return max(0, (order.working_sell_micro or 0) - max(0, order.position_micro or 0))


def _fresh(now_ns: int, ts_ns: int | None, age_s_max: float) -> bool:
    return ts_ns is not None and 0 <= now_ns - ts_ns <= nanos(age_s_max)


def _check_borrow(
    facts: ShortFacts, split: SellSplit, parameters: ShortSaleParameters
) -> tuple[ShortReason | None, tuple[Measure, ...]]:
    borrow = facts.borrow
    if borrow is None or borrow.level is None or not math.isfinite(borrow.level) or borrow.shortable_micro is None:
        return ShortReason.BORROW_UNKNOWN, ()
    age = Measure(name="borrow_age_s", value=seconds(facts.now_ns - borrow.ts_ns), limit=parameters.borrow_age_s_max)
    if not _fresh(facts.now_ns, borrow.ts_ns, parameters.borrow_age_s_max):
        return ShortReason.BORROW_STALE, (age,)
    level = Measure(name="borrow_level", value=borrow.level, limit=parameters.borrow_level_min)
    needed = max(
        parameters.shortable_shares_min * QUANTITY_SCALE, split.short_micro + _short_at_work_micro(facts.order)
    )
    shares = Measure(
        name="shortable_shares", value=borrow.shortable_micro / QUANTITY_SCALE, limit=needed / QUANTITY_SCALE
    )
    if borrow.level <= parameters.borrow_level_min:
        return ShortReason.BORROW_UNAVAILABLE, (age, level)
    if borrow.shortable_micro < needed:
        return ShortReason.BORROW_SHARES, (age, level, shares)
    reason, fee = _check_fee(facts.now_ns, borrow, parameters)
    return reason, (age, level, shares, *fee)


def _check_fee(
    now_ns: int, borrow: Borrow, parameters: ShortSaleParameters
) -> tuple[ShortReason | None, tuple[Measure, ...]]:
    if not parameters.fee_configured:
        return None, ()
    percent = borrow.fee_percent
    known = percent is not None and math.isfinite(percent)
    measures = (Measure(name="fee_percent", value=percent if known else None, limit=parameters.fee_percent_max),)
    if percent is None or not known or not _fresh(now_ns, borrow.fee_ts_ns, parameters.borrow_age_s_max):
        return ShortReason.BORROW_FEE_UNKNOWN, measures
    return (ShortReason.BORROW_FEE if percent > parameters.fee_percent_max else None), measures


def _check_rule(facts: ShortFacts, parameters: ShortSaleParameters) -> tuple[ShortReason | None, tuple[Measure, ...]]:
    rule = facts.rule
    if rule is None or rule.session != facts.session:
        return ShortReason.SSR_UNKNOWN, ()
    if not rule.state.restricted:
        known = (
            rule.state is SsrState.CLEAR
            and rule.prior_close_nano is not None
            and _fresh(facts.now_ns, rule.observed_ns, parameters.rule_age_s_max)
        )
        return (None if known else ShortReason.SSR_UNKNOWN), ()
    quote, limit = facts.quote, facts.order.limit_nano
    if quote is None or quote.bid_nano <= 0 or not _fresh(facts.now_ns, quote.ts_ns, parameters.rule_age_s_max):
        return ShortReason.SSR_BID_UNKNOWN, ()
    # A market order would sell at the bid, which is just what the rule forbids.
    measures = (Measure(name="limit_usd", value=None if limit is None else usd(limit), limit=usd(quote.bid_nano)),)
    above = limit is not None and limit > quote.bid_nano
    return (None if above else ShortReason.SSR_PRICE), measures


def inactive_guards(parameters: ShortSaleParameters) -> tuple[str, ...]:
    """Return what is not judged because its data source is not configured, for the start and the dashboard."""
    if not parameters.borrow_configured:
        return ("borrow", "borrow_fee")
    return () if parameters.fee_configured else ("borrow_fee",)


def check_short(facts: ShortFacts, parameters: ShortSaleParameters) -> ShortVerdict:
    """Return what of an order may go; for a purchase all of it."""
    verdict = check_short_guard(facts, parameters)
    if facts.order.side is Side.BUY:
        split: SellSplit | None = SellSplit(closing_micro=max(0, facts.order.quantity_micro), short_micro=0)
    else:
        split = split_sell(facts.order)
    assert split is not None or verdict.outcome is Outcome.REFUSED, "an unknown split lets nothing pass"
    return ShortVerdict(split=split, verdict=verdict)
