"""Owns the rules of a cash account: long only, settled cash, sells first, orders and rebalances a day, day trades.

Sells that only reduce bypass the limits on orders, rebalances and day trades, and count in them. A sale that would be a
good-faith violation bypasses as well and is named in the verdict, unless ``good_faith_blocks_sells`` is set and the
sale is not urgent: the violation is prevented where it arises, by never buying with unsettled money.

Source: document 004 section 6.1; Regulation T; FINRA rule 4210(f)(8)(B).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec

from walstreet.domain.bounds import require_between
from walstreet.domain.day_trades import DayTrades
from walstreet.domain.guard_verdict import (
    Finding,
    Guard,
    GuardedOrder,
    GuardVerdict,
    Measure,
    first_refusal,
    guard,
    nano_of_usd,
    notional_nano,
    usd,
)
from walstreet.domain.settlement import SettlementBook, locked_micro, violations_since
from walstreet.domain.units import BPS
from walstreet_events import QUANTITY_SCALE, Side

BATCH_MAX = 1_000
"""Orders of one rebalance."""


class ComplianceReason(StrEnum):
    """Stable codes of the cash account's rules."""

    LONG_ONLY = "long_only"
    LONG_ONLY_UNKNOWN = "long_only_unknown"
    SETTLED_CASH_UNKNOWN = "settled_cash_unknown"
    SETTLED_CASH = "settled_cash"
    ORDERS_TODAY_UNKNOWN = "orders_today_unknown"
    ORDERS_TODAY = "orders_today"
    REBALANCE_UNKNOWN = "rebalance_unknown"
    REBALANCE_DONE = "rebalance_done"
    DAY_TRADES_UNKNOWN = "day_trades_unknown"
    DAY_TRADES = "day_trades"
    GOOD_FAITH_UNKNOWN = "good_faith_unknown"
    GOOD_FAITH_SALE = "good_faith_sale"
    GOOD_FAITH_COUNT = "good_faith_count"


class ComplianceParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules' numbers."""

    orders_per_day_max: int = 5
    day_trades_max: int = 3
    """In five sessions; the fourth makes a pattern day trader of a margin account. Kept although cash is exempt."""
    day_trade_equity_usd: float = 25_000.0
    """From this equity on day trades are not limited."""
    good_faith_violations_max: int = 2
    """Within twelve months; the broker restricts the account at the third."""
    good_faith_blocks_sells: bool = False
    cost_reserve_bps: float = 10.0
    """Added to a purchase, so that a worse fill and the fee are covered."""
    fee_reserve_usd: float = 1.0

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("compliance", "orders_per_day_max", self.orders_per_day_max, 1, 1_000)
        require_between("compliance", "day_trades_max", self.day_trades_max, 0, 3)
        require_between("compliance", "day_trade_equity_usd", self.day_trade_equity_usd, 0.0, 1e9)
        require_between("compliance", "good_faith_violations_max", self.good_faith_violations_max, 0, 2)
        require_between("compliance", "cost_reserve_bps", self.cost_reserve_bps, 0.0, 1_000.0)
        require_between("compliance", "fee_reserve_usd", self.fee_reserve_usd, 0.0, 1_000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CashFacts:
    """What the rules look at; None always means *not known*."""

    order: GuardedOrder
    reference_nano: int | None
    settled_cash_nano: int | None
    """By the broker."""
    committed_nano: int | None
    """Buys at work, and buys executed since that reading, with their reserves."""
    book: SettlementBook | None
    """Our own; the smaller settled cash of the two counts."""
    year_ago: str
    """ISO date from which good-faith violations count."""
    orders_today: int | None
    rebalance: str
    """Id of the rebalance that the order belongs to."""
    rebalance_today: str | None
    """Id of the rebalance begun in this session; empty without one."""
    day_trades: DayTrades | None
    equity_nano: int | None
    urgent: bool = False
    """The sale flattens in an emergency."""


def purchase_cost_nano(facts: CashFacts, parameters: ComplianceParameters) -> int | None:
    """Return what a purchase may cost with its reserves, rounded up; None when no price is known."""
    known = [price for price in (facts.order.limit_nano, facts.reference_nano) if price is not None and price > 0]
    if not known:
        return None
    notional = notional_nano(facts.order.quantity_micro, max(known))
    reserve = -(-notional * round(parameters.cost_reserve_bps * BPS) // int(BPS * BPS))
    return notional + reserve + nano_of_usd(parameters.fee_reserve_usd)


@guard("long_only", bypass=True)
def check_long_only(facts: CashFacts, _parameters: ComplianceParameters) -> Finding:
    """Refuse to sell more than is held and not yet being sold."""
    order = facts.order
    if order.side is Side.BUY:
        return Finding()
    closable = order.closable_micro
    if closable is None:
        return Finding(reason=ComplianceReason.LONG_ONLY_UNKNOWN)
    measure = Measure(name="sell_shares", value=order.quantity_micro / QUANTITY_SCALE, limit=closable / QUANTITY_SCALE)
    return Finding(reason=None if order.reducing else ComplianceReason.LONG_ONLY, measures=(measure,))


@guard("settled_cash", bypass=True)
def check_settled_cash(facts: CashFacts, parameters: ComplianceParameters) -> Finding:
    """Refuse a purchase that settled cash does not cover, all purchases at work counted."""
    if facts.order.side is Side.SELL:
        return Finding()
    cost = purchase_cost_nano(facts, parameters)
    if facts.settled_cash_nano is None or facts.committed_nano is None or facts.book is None or cost is None:
        return Finding(reason=ComplianceReason.SETTLED_CASH_UNKNOWN)
    free = min(facts.settled_cash_nano, facts.book.settled_nano) - facts.committed_nano
    return Finding(
        reason=ComplianceReason.SETTLED_CASH if cost > free else None,
        measures=(Measure(name="purchase_usd", value=usd(cost), limit=usd(free)),),
    )


@guard("good_faith", bypass=True)
def check_good_faith(facts: CashFacts, parameters: ComplianceParameters) -> Finding:
    """Refuse purchases after too many good-faith violations, and name a sale that would be one."""
    order, book = facts.order, facts.book
    if book is None:
        return Finding(reason=ComplianceReason.GOOD_FAITH_UNKNOWN)
    if order.side is Side.BUY:
        count = violations_since(book, facts.year_ago)
        measure = Measure(name="good_faith_violations", value=count, limit=parameters.good_faith_violations_max)
        over = count >= parameters.good_faith_violations_max
        # Without a violation there is nothing to hold against anybody, even where none is tolerated.
        return Finding(reason=ComplianceReason.GOOD_FAITH_COUNT if over and count else None, measures=(measure,))
    locked = locked_micro(book, order.symbol)
    closable = order.closable_micro or 0
    free_shares = max(0, closable - locked) / QUANTITY_SCALE
    early = locked > 0 and order.quantity_micro > closable - locked
    return Finding(
        reason=ComplianceReason.GOOD_FAITH_SALE if early else None,
        bypass=facts.urgent or not parameters.good_faith_blocks_sells,
        measures=(Measure(name="sell_shares", value=order.quantity_micro / QUANTITY_SCALE, limit=free_shares),),
    )


@guard("orders_today", bypass=True)
def check_orders_today(facts: CashFacts, parameters: ComplianceParameters) -> Finding:
    """Refuse more orders a day than allowed."""
    if facts.orders_today is None:
        return Finding(reason=ComplianceReason.ORDERS_TODAY_UNKNOWN)
    measure = Measure(name="orders_today", value=facts.orders_today, limit=parameters.orders_per_day_max)
    over = facts.orders_today >= parameters.orders_per_day_max
    return Finding(reason=ComplianceReason.ORDERS_TODAY if over else None, measures=(measure,))


@guard("one_rebalance", bypass=True)
def check_one_rebalance(facts: CashFacts, _parameters: ComplianceParameters) -> Finding:
    """Refuse orders of a second rebalance in one session."""
    if facts.rebalance_today is None or not facts.rebalance:
        return Finding(reason=ComplianceReason.REBALANCE_UNKNOWN)
    other = facts.rebalance_today not in {"", facts.rebalance}
    return Finding(
        reason=ComplianceReason.REBALANCE_DONE if other else None,
        note=f"rebalance {facts.rebalance}, begun today {facts.rebalance_today or 'none'}",
    )


@guard("day_trades", bypass=True)
def check_day_trades(facts: CashFacts, parameters: ComplianceParameters) -> Finding:
    """Refuse to open anything whose exit today could be one day trade too many for a small account."""
    if facts.day_trades is None:
        return Finding(reason=ComplianceReason.DAY_TRADES_UNKNOWN)
    total = facts.day_trades.total
    # An equity that is not known is taken for a small one.
    large = facts.equity_nano is not None and facts.equity_nano >= nano_of_usd(parameters.day_trade_equity_usd)
    over = total >= parameters.day_trades_max and not large
    return Finding(
        reason=ComplianceReason.DAY_TRADES if over else None,
        measures=(
            Measure(name="day_trades", value=total, limit=parameters.day_trades_max),
            Measure(
                name="equity_usd",
                value=None if facts.equity_nano is None else usd(facts.equity_nano),
                limit=parameters.day_trade_equity_usd,
            ),
        ),
    )


COMPLIANCE_GUARDS: tuple[Guard[CashFacts, ComplianceParameters], ...] = (
    check_long_only,
    check_good_faith,
    check_one_rebalance,
    check_day_trades,
    check_orders_today,
    check_settled_cash,
)
"""In the order in which a refusal is reported."""


def check_compliance(facts: CashFacts, parameters: ComplianceParameters) -> tuple[GuardVerdict, ...]:
    """Return every rule's verdict, in the order of ``COMPLIANCE_GUARDS``."""
    return tuple(row(facts, parameters) for row in COMPLIANCE_GUARDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchItem:
    """One order of a rebalance with what it was judged by."""

    index: int
    """Its place in the batch as it was given."""
    facts: CashFacts
    verdicts: tuple[GuardVerdict, ...]

    @property
    def refusal(self) -> GuardVerdict | None:
        """Return what stops the order, or None."""
        return first_refusal(self.verdicts)


def check_batch(batch: Sequence[CashFacts], parameters: ComplianceParameters) -> tuple[BatchItem, ...]:
    """Return a rebalance in the order in which it must be sent: sells first, then buys, each as it was given.

    Every order that may go counts at once for those behind it: in the orders of the day, in the cash that purchases
    have committed, in what of a symbol is being sold, and as the rebalance of the day. A sale's proceeds never pay
    for a purchase of the same batch: they settle tomorrow.

    Args:
        batch: Facts before the batch, the same for all but the order itself.
        parameters: The rules' numbers.

    Raises:
        ValueError: More orders than one rebalance has.
    """
    if len(batch) > BATCH_MAX:
        raise ValueError(f"compliance: a batch of {len(batch)} orders, at most {BATCH_MAX} are possible")
    committed = orders = 0
    selling: dict[str, int] = {}
    begun = ""
    items: list[BatchItem] = []
    for index, given in sorted(enumerate(batch), key=lambda item: (item[1].order.side is not Side.SELL, item[0])):
        facts = _after(given, committed=committed, orders=orders, selling=selling, begun=begun)
        item = BatchItem(index=index, facts=facts, verdicts=check_compliance(facts, parameters))
        items.append(item)
        if item.refusal is not None:
            continue
        orders += 1
        begun = begun or facts.rebalance
        if facts.order.side is Side.SELL:
            selling[facts.order.symbol] = selling.get(facts.order.symbol, 0) + facts.order.quantity_micro
        else:
            cost = purchase_cost_nano(facts, parameters)
            # Only one that covers a short position passes without a known price, and a cash account has none.
            committed += cost or 0
    return tuple(items)


def _after(facts: CashFacts, *, committed: int, orders: int, selling: dict[str, int], begun: str) -> CashFacts:
    """Return ``facts`` as they are behind the orders of the batch that may go."""
    working = facts.order.working_sell_micro
    sold = selling.get(facts.order.symbol, 0)
    return replace(
        facts,
        order=replace(facts.order, working_sell_micro=None if working is None else working + sold),
        committed_nano=None if facts.committed_nano is None else facts.committed_nano + committed,
        orders_today=None if facts.orders_today is None else facts.orders_today + orders,
        rebalance_today=begun if facts.rebalance_today == "" else facts.rebalance_today,
    )
