"""Owns the tests of a cash account's rules: long only, settlement, day trades, orders a day, one rebalance, batches."""

import dataclasses

import pytest

from walstreet.domain.compliance import (
    BATCH_MAX,
    COMPLIANCE_GUARDS,
    CashFacts,
    ComplianceParameters,
    ComplianceReason,
    check_batch,
    check_compliance,
)
from walstreet.domain.day_trades import DayTrades, note_execution
from walstreet.domain.day_trades import begin_session as begin_trading
from walstreet.domain.guard_verdict import GuardedOrder, Outcome, first_refusal
from walstreet.domain.settlement import (
    FundedLot,
    Proceeds,
    SettlementBook,
    Violation,
    begin_session,
    locked_micro,
    note_buy,
    note_sale,
    violations_since,
)
from walstreet_events import Side

SHARE = 1_000_000
USD = 1_000_000_000
MON, TUE, WED = "2026-11-16", "2026-11-17", "2026-11-18"
DEFAULTS = ComplianceParameters()
BUY = GuardedOrder(symbol="A", side=Side.BUY, quantity_micro=10 * SHARE, limit_nano=100 * USD, position_micro=0)
SELL = dataclasses.replace(BUY, side=Side.SELL, position_micro=10 * SHARE)
BOOK = SettlementBook(session=MON, settled_nano=5_000 * USD)
TRADES = DayTrades(session=MON)
COST = 1_002 * USD
"""Of ``BUY``: 1,000, a dollar of reserve by 10 bps, and a dollar for the fee."""
GOOD = CashFacts(
    order=BUY,
    reference_nano=100 * USD,
    settled_cash_nano=5_000 * USD,
    committed_nano=0,
    book=BOOK,
    year_ago="2025-11-16",
    orders_today=0,
    rebalance="r1",
    rebalance_today="",
    day_trades=TRADES,
    equity_nano=10_000 * USD,
)
GUARDS = {row.name: row for row in COMPLIANCE_GUARDS}
LOCKED = dataclasses.replace(BOOK, lots=(FundedLot(symbol="A", quantity_micro=SHARE, settles=TUE),))
VIOLATED = dataclasses.replace(
    BOOK, violations=(Violation(session="2025-11-16", symbol="A"), Violation(session=MON, symbol="B"))
)


def traded(count) -> DayTrades:
    """Return a count of day trades."""
    return DayTrades(session=MON, counts=((MON, count),))


BLOCKS = [
    ("long_only", {"order": dataclasses.replace(SELL, position_micro=10 * SHARE - 1)}, ComplianceReason.LONG_ONLY),
    ("settled_cash", {"settled_cash_nano": COST - 1}, ComplianceReason.SETTLED_CASH),
    ("settled_cash", {"book": dataclasses.replace(BOOK, settled_nano=COST - 1)}, ComplianceReason.SETTLED_CASH),
    ("settled_cash", {"committed_nano": 5_000 * USD - COST + 1}, ComplianceReason.SETTLED_CASH),
    ("good_faith", {"book": VIOLATED}, ComplianceReason.GOOD_FAITH_COUNT),
    ("orders_today", {"orders_today": 5}, ComplianceReason.ORDERS_TODAY),
    ("one_rebalance", {"rebalance_today": "r0"}, ComplianceReason.REBALANCE_DONE),
    ("day_trades", {"day_trades": traded(3)}, ComplianceReason.DAY_TRADES),
    ("day_trades", {"day_trades": traded(3), "equity_nano": None}, ComplianceReason.DAY_TRADES),
]
MISSING = [
    ("long_only", {"order": dataclasses.replace(SELL, position_micro=None)}, ComplianceReason.LONG_ONLY_UNKNOWN),
    ("settled_cash", {"settled_cash_nano": None}, ComplianceReason.SETTLED_CASH_UNKNOWN),
    ("settled_cash", {"committed_nano": None}, ComplianceReason.SETTLED_CASH_UNKNOWN),
    ("settled_cash", {"book": None}, ComplianceReason.SETTLED_CASH_UNKNOWN),
    (
        "settled_cash",
        {"order": dataclasses.replace(BUY, limit_nano=None), "reference_nano": None},
        ComplianceReason.SETTLED_CASH_UNKNOWN,
    ),
    ("good_faith", {"book": None}, ComplianceReason.GOOD_FAITH_UNKNOWN),
    ("orders_today", {"orders_today": None}, ComplianceReason.ORDERS_TODAY_UNKNOWN),
    ("one_rebalance", {"rebalance_today": None}, ComplianceReason.REBALANCE_UNKNOWN),
    ("one_rebalance", {"rebalance": ""}, ComplianceReason.REBALANCE_UNKNOWN),
    ("day_trades", {"day_trades": None}, ComplianceReason.DAY_TRADES_UNKNOWN),
]
PASSES = [
    ("long_only", {"order": SELL}),
    ("long_only", {}),
    ("settled_cash", {"settled_cash_nano": COST, "book": dataclasses.replace(BOOK, settled_nano=COST)}),
    ("settled_cash", {"committed_nano": 5_000 * USD - COST}),
    ("settled_cash", {"order": SELL, "settled_cash_nano": 0}),
    ("good_faith", {"book": VIOLATED, "year_ago": "2025-11-17"}),
    ("orders_today", {"orders_today": 4}),
    ("one_rebalance", {"rebalance_today": "r1"}),
    ("day_trades", {"day_trades": traded(2)}),
    ("day_trades", {"day_trades": traded(3), "equity_nano": 25_000 * USD}),
]


@pytest.mark.guard("blocks")
@pytest.mark.guard("missing")
@pytest.mark.parametrize(("name", "changes", "reason"), [*BLOCKS, *MISSING])
def test_a_rule_blocks_and_refuses_what_it_does_not_know(name, changes, reason):
    """Just beyond its limit, and without its data, each rule refuses with its own reason."""
    verdict = GUARDS[name](dataclasses.replace(GOOD, **changes), DEFAULTS)
    assert (verdict.outcome, verdict.reason) == (Outcome.REFUSED, reason)


@pytest.mark.guard("passes")
@pytest.mark.parametrize(("name", "changes"), PASSES)
def test_a_rule_does_not_block_at_its_limit(name, changes):
    """Exactly at the limit each rule lets the order pass."""
    assert GUARDS[name](dataclasses.replace(GOOD, **changes), DEFAULTS).outcome is Outcome.PASSED


@pytest.mark.guard("reduces")
@pytest.mark.guard("reduces", "long_only")
@pytest.mark.parametrize(
    ("name", "changes", "reason"), [case for case in (*BLOCKS, *MISSING) if "order" not in case[1]]
)
def test_a_sale_that_only_reduces_is_not_trapped(name, changes, reason):
    """A sale of what is held passes every rule, whatever has been used up or is not known."""
    assert GUARDS[name](dataclasses.replace(GOOD, **{**changes, "order": SELL}), DEFAULTS).allowed


def test_every_rule_is_tried_here():
    """No rule is without a case that blocks, passes and lacks data."""
    names = {row.name for row in COMPLIANCE_GUARDS}
    assert {case[0] for case in BLOCKS} == {case[0] for case in PASSES} == {case[0] for case in MISSING} == names
    assert first_refusal(check_compliance(GOOD, DEFAULTS)) is None


def test_a_sale_that_would_violate_good_faith_is_named_and_can_be_blocked():
    """By default it passes and says so; with the switch it is refused unless it flattens in an emergency."""
    facts = dataclasses.replace(GOOD, order=SELL, book=LOCKED)
    verdict = GUARDS["good_faith"](facts, DEFAULTS)
    assert (verdict.outcome, verdict.reason) == (Outcome.BYPASSED, ComplianceReason.GOOD_FAITH_SALE)
    strict = ComplianceParameters(good_faith_blocks_sells=True)
    assert GUARDS["good_faith"](facts, strict).outcome is Outcome.REFUSED
    assert GUARDS["good_faith"](dataclasses.replace(facts, urgent=True), strict).outcome is Outcome.BYPASSED
    free = dataclasses.replace(facts, order=dataclasses.replace(SELL, quantity_micro=9 * SHARE))
    assert GUARDS["good_faith"](free, strict).outcome is Outcome.PASSED


# ------------------------------------------------------------------------------------------------------ batches


def named(symbol, order=BUY, **changes) -> CashFacts:
    """Return facts of an order in ``symbol``."""
    return dataclasses.replace(GOOD, order=dataclasses.replace(order, symbol=symbol, **changes))


def test_sells_come_first_and_pay_for_nothing_today():
    """Of four purchases of 1,002 three fit into 3,006; the fourth does not, though a sale of 1,000 stands before it."""
    batch = [named("B"), named("C"), named("S", SELL), named("D"), named("E")]
    facts = [dataclasses.replace(item, settled_cash_nano=3 * COST) for item in batch]
    items = check_batch(facts, DEFAULTS)
    assert [item.index for item in items] == [2, 0, 1, 3, 4]
    assert [item.refusal is None for item in items] == [True, True, True, True, False]
    assert items[-1].refusal is not None
    assert items[-1].refusal.reason is ComplianceReason.SETTLED_CASH


def test_orders_of_a_batch_count_for_those_behind_them():
    """With three orders today a sale and a purchase fit into five; the next purchase does not."""
    batch = [dataclasses.replace(item, orders_today=3) for item in (named("B"), named("S", SELL), named("C"))]
    items = check_batch(batch, DEFAULTS)
    assert [item.refusal.code if item.refusal else "" for item in items] == ["", "", "orders_today"]


def test_one_symbol_is_not_sold_twice_in_a_batch():
    """Two sales of 10 of 10 shares: the second would be short."""
    items = check_batch([named("S", SELL), named("S", SELL)], DEFAULTS)
    assert [item.refusal.code if item.refusal else "" for item in items] == ["", "long_only"]


def test_the_first_order_of_a_batch_begins_the_days_rebalance():
    """Orders of another rebalance behind it are refused; a refused order begins nothing."""
    other = dataclasses.replace(named("C"), rebalance="r2")
    assert [item.refusal is None for item in check_batch([named("B"), other], DEFAULTS)] == [True, False]
    refused = dataclasses.replace(named("B"), settled_cash_nano=0)
    assert [item.refusal is None for item in check_batch([refused, other], DEFAULTS)] == [False, True]


def test_a_batch_has_a_bound():
    """More orders than a rebalance has come from a fault."""
    with pytest.raises(ValueError, match="batch"):
        check_batch([GOOD] * (BATCH_MAX + 1), DEFAULTS)


# --------------------------------------------------------------------------------------------------- settlement


def test_proceeds_settle_on_the_next_session():
    """Sold on Monday for 1,000, settled on Tuesday; a date in between does not exist for the book."""
    sold = note_sale(BOOK, symbol="A", quantity_micro=SHARE, amount_nano=1_000 * USD, settles=TUE, free_micro=SHARE)
    assert (sold.settled_nano, sold.unsettled_nano) == (5_000 * USD, 1_000 * USD)
    tuesday = begin_session(sold, TUE)
    assert (tuesday.settled_nano, tuesday.unsettled) == (6_000 * USD, ())
    assert begin_session(sold, MON) == sold
    with pytest.raises(ValueError, match="dates must ascend"):
        begin_session(tuesday, MON)


def test_a_purchase_with_unsettled_money_locks_what_it_bought():
    """With 100 settled and 1,000 to come, 600 of shares lock until Tuesday; selling them before is a violation."""
    book = dataclasses.replace(
        BOOK, settled_nano=100 * USD, unsettled=(Proceeds(settles=TUE, amount_nano=1_000 * USD),)
    )
    bought = note_buy(book, symbol="B", quantity_micro=6 * SHARE, amount_nano=600 * USD)
    assert (bought.settled_nano, bought.unsettled_nano, locked_micro(bought, "B")) == (0, 500 * USD, 6 * SHARE)
    sale = {"symbol": "B", "amount_nano": 100 * USD, "settles": TUE}
    free = note_sale(bought, quantity_micro=SHARE, free_micro=SHARE, **sale)
    assert free.violations == ()
    early = note_sale(bought, quantity_micro=2 * SHARE, free_micro=0, **sale)
    assert (violations_since(early, MON), locked_micro(early, "B")) == (1, 4 * SHARE)
    again = note_sale(early, quantity_micro=SHARE, free_micro=0, **sale)
    assert violations_since(again, MON) == 1, "executions of one sale are one violation"
    assert violations_since(again, TUE) == 0
    assert locked_micro(begin_session(bought, TUE), "B") == 0


def test_a_purchase_from_settled_cash_locks_nothing():
    """And what nothing covers stays in sight as a debt."""
    bought = note_buy(BOOK, symbol="B", quantity_micro=SHARE, amount_nano=5_000 * USD)
    assert (bought.settled_nano, bought.lots) == (0, ())
    assert note_buy(bought, symbol="B", quantity_micro=SHARE, amount_nano=USD).settled_nano == -USD


def test_a_sale_that_settles_today_counts_at_once():
    """For instance where settlement is on the day of the trade."""
    sold = note_sale(BOOK, symbol="A", quantity_micro=SHARE, amount_nano=USD, settles=MON, free_micro=SHARE)
    assert (sold.settled_nano, sold.unsettled) == (5_001 * USD, ())
    with pytest.raises(ValueError, match="must be positive"):
        note_buy(BOOK, symbol="A", quantity_micro=0, amount_nano=USD)


# --------------------------------------------------------------------------------------------------- day trades


def day(executions, *, position=0, trades=TRADES) -> DayTrades:
    """Return the count after signed executions of one symbol."""
    for signed in executions:
        trades = note_execution(trades, symbol="A", position_before_micro=position, signed_micro=signed)
        position += signed
    return trades


@pytest.mark.parametrize(
    ("executions", "position", "expected"),
    [
        ([10, -10], 0, 1),
        ([5, 5, -4, -6], 0, 1),
        ([5, -5, 5, -5], 0, 2),
        ([-10, 10], 10, 0),
        ([-10, 10, -10], 10, 1),
        ([10, -5], 10, 1),
        ([-10, 10], 0, 1),
        ([10, -20, 10], 0, 2),
        ([10], 0, 0),
        ([0], 0, 0),
    ],
)
def test_day_trades_are_changes_from_opening_to_closing(executions, position, expected):
    """However many executions either side took; a sale of what was held overnight is none, longs and shorts alike."""
    assert day(executions, position=position).total == expected


def test_day_trades_count_for_five_sessions():
    """A day trade of Monday is out of the count on the sixth session; what was opened yesterday is no day trade."""
    trades = day([10, -10])
    for session in (TUE, WED, "2026-11-19", "2026-11-20"):
        trades = begin_trading(trades, session)
        assert trades.total == 1
    assert begin_trading(trades, "2026-11-23").total == 0
    overnight = begin_trading(day([10]), TUE)
    assert day([-10], position=10, trades=overnight).total == 0
    assert begin_trading(trades, trades.session) is trades
    with pytest.raises(ValueError, match="dates must ascend"):
        begin_trading(trades, MON)


@pytest.mark.parametrize("changes", [{"orders_per_day_max": 0}, {"day_trades_max": 4}, {"cost_reserve_bps": -1.0}])
def test_parameters_out_of_range_are_refused(changes):
    """No configuration allows a fourth day trade."""
    with pytest.raises(ValueError, match="compliance"):
        ComplianceParameters(**changes)
