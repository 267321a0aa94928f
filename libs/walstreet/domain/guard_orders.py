"""Owns the guards on our own orders: size, budget, duplicates, restricted names, losses and pre-set thresholds.

Every order sent counts at once and in full, whatever becomes of it. Orders that only reduce |position| bypass all of
these guards except the one on intents that were handled before: sending the same intent twice is never right.

Source: SEC rule 15c3-5, MiFID II RTS 6 articles 13 and 15, and the project's behaviour document. The throttle on
repeated executions, which a person must re-arm, stands in ``repeat_throttle``.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from walstreet.domain.bounds import require_between, require_ordered
from walstreet.domain.guard_verdict import (
    Finding,
    Guard,
    GuardedOrder,
    GuardVerdict,
    Measure,
    guard,
    nano_of_usd,
    nanos,
    notional_nano,
    seconds,
    share_of,
    usd,
)
from walstreet_events import QUANTITY_SCALE, Side

RECENT_ORDERS_MAX = 10_000
"""Orders that the facts may list; the message governor sends fewer in the longest window."""
RESTRICTED_MAX = 50_000
"""More names than are listed in the market come from a broken file."""


class OrderReason(StrEnum):
    """Stable codes of the order guards; those that ``guards.Reason`` knows have its text."""

    DUPLICATE_INTENT = "duplicate_intent"
    DUPLICATES_UNKNOWN = "duplicates_unknown"
    DUPLICATE_ORDER = "duplicate_order"
    INVALID_SIZE = "invalid_size"
    MAX_SHARES = "max_shares"
    NOTIONAL_UNKNOWN = "notional_unknown"
    MAX_NOTIONAL = "max_notional"
    ORDER_BUDGET_UNKNOWN = "order_budget_unknown"
    ORDER_BUDGET = "order_budget"
    WINDOW_NOTIONAL = "window_notional"
    RESTRICTED_UNKNOWN = "restricted_unknown"
    RESTRICTED = "restricted"
    LOSS_UNKNOWN = "loss_unknown"
    DAILY_LOSS = "daily_loss"
    DRAWDOWN_UNKNOWN = "drawdown_unknown"
    DRAWDOWN = "drawdown"
    POSITION_UNKNOWN = "position_unknown"
    POSITION_LIMIT = "position_limit"
    EXPOSURE_UNKNOWN = "exposure_unknown"
    ACCOUNT_EXPOSURE = "account_exposure"
    TOTAL_EXPOSURE = "total_exposure"
    ACCOUNT_TURNOVER = "account_turnover"
    TOTAL_TURNOVER = "total_turnover"


class OrderGuardParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pre-set thresholds; a change of one is an event."""

    order_shares_max: int = 50_000
    order_notional_usd_max: float = 250_000.0
    orders_per_minute_max: int = 10
    """Parents."""
    duplicate_window_s: float = 5.0
    """An order of the same symbol, side, quantity and limit within it is a duplicate."""
    window_s: float = 60.0
    """Of the budget of orders and of the notional that may be sent in a short time."""
    window_notional_usd_max: float = 1_000_000.0
    restricted_configured: bool = False
    """Whether a restricted list exists; without one the guard is inactive and says so."""
    daily_loss_share: float = 0.02
    """Of the equity at the session's start."""
    daily_loss_usd: float = 2_000.0
    """Whichever of the two is reached first."""
    drawdown_share: float = 0.10
    """Below the high-water mark."""
    position_usd_max: float = 250_000.0
    """Of one symbol after everything at work and this order."""
    account_exposure_usd_max: float = 1_000_000.0
    """Gross notional of positions, orders at work and this order."""
    total_exposure_usd_max: float = 1_000_000.0
    """The same over all accounts."""
    account_turnover_usd_max: float = 5_000_000.0
    """Notional sent in the session."""
    total_turnover_usd_max: float = 5_000_000.0

    def __post_init__(self) -> None:
        """Refuse values outside their ranges and contradictions."""
        for name, low, high in _RANGES:
            require_between("order_guard", name, float(getattr(self, name)), low, high)
        for smaller, larger in _ORDERED:
            require_ordered(
                "order_guard", (smaller, float(getattr(self, smaller))), (larger, float(getattr(self, larger)))
            )


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("order_shares_max", 1, 1e7),
    ("order_notional_usd_max", 1.0, 1e8),
    ("orders_per_minute_max", 1, 1_000),
    ("duplicate_window_s", 0.0, 3_600.0),
    ("window_s", 1.0, 600.0),
    ("window_notional_usd_max", 1.0, 1e9),
    ("daily_loss_share", 1e-4, 1.0),
    ("daily_loss_usd", 1.0, 1e9),
    ("drawdown_share", 1e-4, 1.0),
    ("position_usd_max", 1.0, 1e9),
    ("account_exposure_usd_max", 1.0, 1e10),
    ("total_exposure_usd_max", 1.0, 1e10),
    ("account_turnover_usd_max", 1.0, 1e11),
    ("total_turnover_usd_max", 1.0, 1e11),
)
_ORDERED: tuple[tuple[str, str], ...] = (
    ("order_notional_usd_max", "window_notional_usd_max"),
    ("order_notional_usd_max", "account_exposure_usd_max"),
    ("account_exposure_usd_max", "total_exposure_usd_max"),
    ("account_turnover_usd_max", "total_turnover_usd_max"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentOrder:
    """A parent that was sent, whatever became of it."""

    ts_ns: int
    symbol: str
    side: Side
    quantity_micro: int
    limit_nano: int | None
    notional_nano: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What one account, or all of them together, hold and have sent; None where not known."""

    positions_nano: int | None
    """Sum of the absolute values of the positions."""
    working_nano: int | None
    """Unfilled notional of all orders at work, both sides."""
    sent_nano: int | None
    """Notional of all orders sent in the session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFacts:
    """What the order guards look at; None always means *not known*."""

    now_ns: int
    intent: str
    order: GuardedOrder
    reference_nano: int | None
    """A recent price of the symbol, for the notional of market orders and positions."""
    intents_handled: Container[str] | None
    """Ids handled before, in this life or an earlier one."""
    recent: tuple[RecentOrder, ...] | None
    """Parents sent within the longest window, this one not among them."""
    restricted: frozenset[str] | None
    """Symbols that may not be bought or sold short; only asked for membership."""
    equity_nano: int | None
    session_start_equity_nano: int | None
    high_water_nano: int | None
    account: Exposure
    total: Exposure

    def __post_init__(self) -> None:
        """Refuse lists beyond their bounds."""
        for name, values, bound in (
            ("recent", self.recent, RECENT_ORDERS_MAX),
            ("restricted", self.restricted, RESTRICTED_MAX),
        ):
            if values is not None and len(values) > bound:
                raise ValueError(f"order facts: {len(values)} entries in {name}, at most {bound} are possible")

    @property
    def price_nano(self) -> int | None:
        """Return the price at which the order counts: the worse of its limit and the recent price, None unknown."""
        known = [price for price in (self.order.limit_nano, self.reference_nano) if price is not None and price > 0]
        return max(known) if known else None


def order_notional_nano(facts: OrderFacts) -> int | None:
    """Return the notional at which the order counts, None when no price is known."""
    price = facts.price_nano
    return None if price is None else notional_nano(facts.order.quantity_micro, price)


# -------------------------------------------------------------------------------------------------- duplicates


@guard("duplicate_intent", bypass=False)
def check_duplicate_intent(facts: OrderFacts, _parameters: OrderGuardParameters) -> Finding:
    """Refuse an intent that was handled before; without that memory only orders that reduce go."""
    if facts.intents_handled is None:
        return Finding(reason=OrderReason.DUPLICATES_UNKNOWN, bypass=True)
    seen = facts.intent in facts.intents_handled
    return Finding(reason=OrderReason.DUPLICATE_INTENT if seen else None, note=f"intent {facts.intent}")


@guard("duplicate_order", bypass=True)
def check_duplicate_order(facts: OrderFacts, parameters: OrderGuardParameters) -> Finding:
    """Refuse an order equal in symbol, side, quantity and limit to one sent a moment ago."""
    if facts.recent is None:
        return Finding(reason=OrderReason.DUPLICATES_UNKNOWN)
    order = facts.order
    since_ns = facts.now_ns - nanos(parameters.duplicate_window_s)
    ages_ns = [
        facts.now_ns - sent.ts_ns
        for sent in facts.recent
        if (sent.symbol, sent.side, sent.quantity_micro, sent.limit_nano)
        == (order.symbol, order.side, order.quantity_micro, order.limit_nano)
        and sent.ts_ns > since_ns
    ]
    if not ages_ns:
        return Finding()
    measure = Measure(name="age_s", value=seconds(min(ages_ns)), limit=parameters.duplicate_window_s)
    return Finding(reason=OrderReason.DUPLICATE_ORDER, measures=(measure,))


# ------------------------------------------------------------------------------------------- size and frequency


@guard("order_size", bypass=True)
def check_order_size(facts: OrderFacts, parameters: OrderGuardParameters) -> Finding:
    """Refuse an order that is too large, by shares or by notional, or of no size at all."""
    quantity_micro = facts.order.quantity_micro
    if quantity_micro <= 0:
        # Nothing that is not positive reduces, so this needs no exception.
        return Finding(
            reason=OrderReason.INVALID_SIZE, measures=(Measure(name="quantity_micro", value=quantity_micro),)
        )
    shares = Measure(name="shares", value=quantity_micro / QUANTITY_SCALE, limit=parameters.order_shares_max)
    if quantity_micro > parameters.order_shares_max * QUANTITY_SCALE:
        return Finding(reason=OrderReason.MAX_SHARES, measures=(shares,))
    notional = order_notional_nano(facts)
    if notional is None:
        return Finding(reason=OrderReason.NOTIONAL_UNKNOWN, measures=(shares,))
    too_large = notional > nano_of_usd(parameters.order_notional_usd_max)
    return Finding(
        reason=OrderReason.MAX_NOTIONAL if too_large else None,
        measures=(shares, Measure(name="notional_usd", value=usd(notional), limit=parameters.order_notional_usd_max)),
    )


@guard("order_budget", bypass=True)
def check_order_budget(facts: OrderFacts, parameters: OrderGuardParameters) -> Finding:
    """Refuse more orders, or more notional, than may be sent in a short window; its oldest instant is outside."""
    if facts.recent is None:
        return Finding(reason=OrderReason.ORDER_BUDGET_UNKNOWN)
    minute_ns, window_ns = facts.now_ns - nanos(60.0), facts.now_ns - nanos(parameters.window_s)
    orders = sum(sent.ts_ns > minute_ns for sent in facts.recent)
    budget = Measure(name="orders_last_minute", value=orders, limit=parameters.orders_per_minute_max)
    if orders >= parameters.orders_per_minute_max:
        return Finding(reason=OrderReason.ORDER_BUDGET, measures=(budget,))
    notional = order_notional_nano(facts)
    if notional is None:
        return Finding(reason=OrderReason.NOTIONAL_UNKNOWN, measures=(budget,))
    sent_nano = notional + sum(sent.notional_nano for sent in facts.recent if sent.ts_ns > window_ns)
    too_much = sent_nano > nano_of_usd(parameters.window_notional_usd_max)
    return Finding(
        reason=OrderReason.WINDOW_NOTIONAL if too_much else None,
        measures=(
            budget,
            Measure(name="window_notional_usd", value=usd(sent_nano), limit=parameters.window_notional_usd_max),
        ),
    )


# --------------------------------------------------------------------------------------------- names and losses


@guard("restricted", bypass=True)
def check_restricted(facts: OrderFacts, parameters: OrderGuardParameters) -> Finding:
    """Refuse names on the restricted list; a position in one may be closed."""
    if not parameters.restricted_configured:
        return Finding(inactive=True, note="no restricted list is configured")
    if facts.restricted is None:
        return Finding(reason=OrderReason.RESTRICTED_UNKNOWN)
    listed = facts.order.symbol in facts.restricted
    return Finding(reason=OrderReason.RESTRICTED if listed else None, note=f"symbol {facts.order.symbol}")


@guard("daily_loss", bypass=True)
def check_daily_loss(facts: OrderFacts, parameters: OrderGuardParameters) -> Finding:
    """Refuse once the session has lost its share of the first equity or its amount, whichever comes first."""
    equity, start = facts.equity_nano, facts.session_start_equity_nano
    if equity is None or start is None or start <= 0:
        return Finding(reason=OrderReason.LOSS_UNKNOWN)
    limit = min(share_of(start, parameters.daily_loss_share), nano_of_usd(parameters.daily_loss_usd))
    lost = start - equity
    return Finding(
        reason=OrderReason.DAILY_LOSS if lost >= limit else None,
        measures=(Measure(name="daily_loss_usd", value=usd(lost), limit=usd(limit)),),
    )


@guard("drawdown", bypass=True)
def check_drawdown(facts: OrderFacts, parameters: OrderGuardParameters) -> Finding:
    """Refuse once equity has fallen by its share below the high-water mark."""
    equity, high = facts.equity_nano, facts.high_water_nano
    if equity is None or high is None or high <= 0:
        return Finding(reason=OrderReason.DRAWDOWN_UNKNOWN)
    limit = share_of(high, parameters.drawdown_share)
    return Finding(
        reason=OrderReason.DRAWDOWN if high - equity >= limit else None,
        measures=(Measure(name="drawdown_usd", value=usd(high - equity), limit=usd(limit)),),
    )


# --------------------------------------------------------------------------------------------------- thresholds


@guard("position_limit", bypass=True)
def check_position_limit(facts: OrderFacts, parameters: OrderGuardParameters) -> Finding:
    """Refuse what could leave one symbol's position above its limit once everything on that side has filled."""
    order, price = facts.order, facts.price_nano
    working = order.working_buy_micro if order.side is Side.BUY else order.working_sell_micro
    if order.position_micro is None or working is None:
        return Finding(reason=OrderReason.POSITION_UNKNOWN)
    if price is None:
        return Finding(reason=OrderReason.NOTIONAL_UNKNOWN)
    sign = 1 if order.side is Side.BUY else -1
    after_micro = order.position_micro + sign * (working + order.quantity_micro)
    after = notional_nano(after_micro, price)
    too_large = after > nano_of_usd(parameters.position_usd_max)
    return Finding(
        reason=OrderReason.POSITION_LIMIT if too_large else None,
        measures=(Measure(name="position_usd", value=usd(after), limit=parameters.position_usd_max),),
    )


def _threshold(facts: OrderFacts, held_nano: int | None, limit_usd: float, reason: OrderReason, name: str) -> Finding:
    notional = order_notional_nano(facts)
    if notional is None:
        return Finding(reason=OrderReason.NOTIONAL_UNKNOWN)
    if held_nano is None:
        return Finding(reason=OrderReason.EXPOSURE_UNKNOWN)
    after = held_nano + notional
    return Finding(
        reason=reason if after > nano_of_usd(limit_usd) else None,
        measures=(Measure(name=name, value=usd(after), limit=limit_usd),),
    )


def _gross_nano(exposure: Exposure) -> int | None:
    if exposure.positions_nano is None or exposure.working_nano is None:
        return None
    return exposure.positions_nano + exposure.working_nano


@guard("account_exposure", bypass=True)
def check_account_exposure(facts: OrderFacts, parameters: OrderGuardParameters) -> Finding:
    """Refuse what takes the account's gross notional, orders at work in full, above its threshold."""
    limit = parameters.account_exposure_usd_max
    return _threshold(facts, _gross_nano(facts.account), limit, OrderReason.ACCOUNT_EXPOSURE, "account_exposure_usd")


@guard("total_exposure", bypass=True)
def check_total_exposure(facts: OrderFacts, parameters: OrderGuardParameters) -> Finding:
    """Refuse what takes the gross notional of all accounts together above its threshold."""
    limit = parameters.total_exposure_usd_max
    return _threshold(facts, _gross_nano(facts.total), limit, OrderReason.TOTAL_EXPOSURE, "total_exposure_usd")


@guard("account_turnover", bypass=True)
def check_account_turnover(facts: OrderFacts, parameters: OrderGuardParameters) -> Finding:
    """Refuse what takes the notional that the account has sent in the session above its threshold."""
    limit = parameters.account_turnover_usd_max
    return _threshold(facts, facts.account.sent_nano, limit, OrderReason.ACCOUNT_TURNOVER, "account_turnover_usd")


@guard("total_turnover", bypass=True)
def check_total_turnover(facts: OrderFacts, parameters: OrderGuardParameters) -> Finding:
    """Refuse what takes the notional that all accounts have sent in the session above its threshold."""
    limit = parameters.total_turnover_usd_max
    return _threshold(facts, facts.total.sent_nano, limit, OrderReason.TOTAL_TURNOVER, "total_turnover_usd")


ORDER_GUARDS: tuple[Guard[OrderFacts, OrderGuardParameters], ...] = (
    check_duplicate_intent,
    check_duplicate_order,
    check_restricted,
    check_daily_loss,
    check_drawdown,
    check_order_size,
    check_order_budget,
    check_position_limit,
    check_account_exposure,
    check_total_exposure,
    check_account_turnover,
    check_total_turnover,
)
"""In the order in which a refusal is reported."""


def inactive_guards(parameters: OrderGuardParameters) -> tuple[str, ...]:
    """Return the guards whose data source is not configured, for the start and the dashboard."""
    return () if parameters.restricted_configured else ("restricted",)


def check_orders(facts: OrderFacts, parameters: OrderGuardParameters) -> tuple[GuardVerdict, ...]:
    """Return every order guard's verdict, in the order of ``ORDER_GUARDS``."""
    return tuple(row(facts, parameters) for row in ORDER_GUARDS)
