"""Owns the tests of the guards on our own orders: where they block, where not, without data, and for reduction."""

import dataclasses

import pytest

from walstreet.domain.guard_orders import (
    ORDER_GUARDS,
    RECENT_ORDERS_MAX,
    Exposure,
    OrderFacts,
    OrderGuardParameters,
    OrderReason,
    RecentOrder,
    check_orders,
)
from walstreet.domain.guard_verdict import GuardedOrder, Outcome, first_refusal
from walstreet_events import NANOS_PER_SECOND, Side

S = NANOS_PER_SECOND
SHARE = 1_000_000
USD = 1_000_000_000
NOW = 1_800_000_000 * S
PARAMETERS = OrderGuardParameters(restricted_configured=True, order_shares_max=2_000)
BUY = GuardedOrder(symbol="A", side=Side.BUY, quantity_micro=1_000 * SHARE, limit_nano=100 * USD, position_micro=0)
EXIT = dataclasses.replace(BUY, side=Side.SELL, position_micro=5_000 * SHARE)
HUGE_EXIT = dataclasses.replace(EXIT, quantity_micro=5_000 * SHARE)
IDLE = Exposure(positions_nano=0, working_nano=0, sent_nano=0)
GUARDS = {row.name: row for row in ORDER_GUARDS}


def sent(age_s=10.0, *, order=BUY, notional=0, symbol="B") -> RecentOrder:
    """Return an order sent ``age_s`` ago."""
    return RecentOrder(
        ts_ns=NOW - round(age_s * S),
        symbol=symbol,
        side=order.side,
        quantity_micro=order.quantity_micro,
        limit_nano=order.limit_nano,
        notional_nano=notional,
    )


GOOD = OrderFacts(
    now_ns=NOW,
    intent="i1",
    order=BUY,
    reference_nano=100 * USD,
    intents_handled=frozenset({"i0"}),
    recent=(),
    restricted=frozenset({"X"}),
    equity_nano=100_000 * USD,
    session_start_equity_nano=100_000 * USD,
    high_water_nano=100_000 * USD,
    account=IDLE,
    total=IDLE,
)


def held(**changes) -> Exposure:
    """Return an exposure with ``changes``."""
    return dataclasses.replace(IDLE, **changes)


def sized(shares, limit=100 * USD) -> GuardedOrder:
    """Return a purchase of ``shares``."""
    return dataclasses.replace(BUY, quantity_micro=round(shares * SHARE), limit_nano=limit)


BLOCKS = [
    ("duplicate_intent", {"intents_handled": frozenset({"i1"})}, OrderReason.DUPLICATE_INTENT),
    ("duplicate_order", {"recent": (sent(4.999, symbol="A"),)}, OrderReason.DUPLICATE_ORDER),
    ("order_size", {"order": sized(2_000.000001)}, OrderReason.MAX_SHARES),
    ("order_size", {"order": sized(2_000, 125 * USD + 1)}, OrderReason.MAX_NOTIONAL),
    ("order_size", {"order": sized(2_000), "reference_nano": 125 * USD + 1}, OrderReason.MAX_NOTIONAL),
    ("order_budget", {"recent": (sent(59.9),) * 10}, OrderReason.ORDER_BUDGET),
    ("order_budget", {"recent": (sent(notional=900_000 * USD + 1),)}, OrderReason.WINDOW_NOTIONAL),
    ("restricted", {"restricted": frozenset({"A"})}, OrderReason.RESTRICTED),
    ("daily_loss", {"equity_nano": 98_000 * USD}, OrderReason.DAILY_LOSS),
    (
        "daily_loss",
        {"equity_nano": 998_000 * USD, "session_start_equity_nano": 1_000_000 * USD},
        OrderReason.DAILY_LOSS,
    ),
    ("drawdown", {"high_water_nano": 120_000 * USD, "equity_nano": 108_000 * USD}, OrderReason.DRAWDOWN),
    (
        "position_limit",
        {"order": dataclasses.replace(BUY, position_micro=1_000 * SHARE, working_buy_micro=500 * SHARE + 1)},
        OrderReason.POSITION_LIMIT,
    ),
    (
        "account_exposure",
        {"account": held(positions_nano=700_000 * USD, working_nano=200_000 * USD + 1)},
        OrderReason.ACCOUNT_EXPOSURE,
    ),
    ("total_exposure", {"total": held(positions_nano=900_000 * USD + 1)}, OrderReason.TOTAL_EXPOSURE),
    ("account_turnover", {"account": held(sent_nano=4_900_000 * USD + 1)}, OrderReason.ACCOUNT_TURNOVER),
    ("total_turnover", {"total": held(sent_nano=4_900_000 * USD + 1)}, OrderReason.TOTAL_TURNOVER),
]

UNPRICED = {"order": sized(1, None), "reference_nano": None}
MISSING = [
    ("duplicate_intent", {"intents_handled": None}, OrderReason.DUPLICATES_UNKNOWN),
    ("duplicate_order", {"recent": None}, OrderReason.DUPLICATES_UNKNOWN),
    ("order_size", UNPRICED, OrderReason.NOTIONAL_UNKNOWN),
    ("order_budget", UNPRICED, OrderReason.NOTIONAL_UNKNOWN),
    ("position_limit", UNPRICED, OrderReason.NOTIONAL_UNKNOWN),
    ("account_exposure", UNPRICED, OrderReason.NOTIONAL_UNKNOWN),
    ("total_turnover", UNPRICED, OrderReason.NOTIONAL_UNKNOWN),
    ("order_budget", {"recent": None}, OrderReason.ORDER_BUDGET_UNKNOWN),
    ("restricted", {"restricted": None}, OrderReason.RESTRICTED_UNKNOWN),
    ("daily_loss", {"equity_nano": None}, OrderReason.LOSS_UNKNOWN),
    ("daily_loss", {"session_start_equity_nano": None}, OrderReason.LOSS_UNKNOWN),
    ("drawdown", {"high_water_nano": None}, OrderReason.DRAWDOWN_UNKNOWN),
    ("position_limit", {"order": dataclasses.replace(BUY, position_micro=None)}, OrderReason.POSITION_UNKNOWN),
    ("account_exposure", {"account": held(working_nano=None)}, OrderReason.EXPOSURE_UNKNOWN),
    ("total_exposure", {"total": held(positions_nano=None)}, OrderReason.EXPOSURE_UNKNOWN),
    ("account_turnover", {"account": held(sent_nano=None)}, OrderReason.EXPOSURE_UNKNOWN),
    ("total_turnover", {"total": held(sent_nano=None)}, OrderReason.EXPOSURE_UNKNOWN),
]

PASSES = [
    ("duplicate_intent", {}),
    ("duplicate_order", {"recent": (sent(5.0, symbol="A"), sent(1.0), sent(1.0, order=sized(999), symbol="A"))}),
    ("order_size", {"order": sized(2_000, 125 * USD)}),
    ("order_budget", {"recent": (sent(60.0), *(sent(59.9),) * 9)}),
    ("order_budget", {"recent": (sent(60.0, notional=USD), sent(notional=900_000 * USD))}),
    ("restricted", {}),
    ("daily_loss", {"equity_nano": 98_000 * USD + 1}),
    ("daily_loss", {"equity_nano": 998_000 * USD + 1, "session_start_equity_nano": 1_000_000 * USD}),
    ("drawdown", {"high_water_nano": 120_000 * USD, "equity_nano": 108_000 * USD + 1}),
    (
        "position_limit",
        {"order": dataclasses.replace(BUY, position_micro=1_000 * SHARE, working_buy_micro=500 * SHARE)},
    ),
    ("account_exposure", {"account": held(positions_nano=700_000 * USD, working_nano=200_000 * USD)}),
    ("total_exposure", {"total": held(positions_nano=900_000 * USD)}),
    ("account_turnover", {"account": held(sent_nano=4_900_000 * USD)}),
    ("total_turnover", {"total": held(sent_nano=4_900_000 * USD)}),
]


@pytest.mark.guard("blocks")
@pytest.mark.parametrize(("name", "changes", "reason"), BLOCKS)
def test_a_guard_blocks(name, changes, reason):
    """Each guard refuses an opening order just beyond its threshold."""
    verdict = GUARDS[name](dataclasses.replace(GOOD, **changes), PARAMETERS)
    assert (verdict.outcome, verdict.reason) == (Outcome.REFUSED, reason)
    assert verdict.measures or verdict.note


@pytest.mark.guard("passes")
@pytest.mark.parametrize(("name", "changes"), PASSES)
def test_a_guard_does_not_block_at_its_threshold(name, changes):
    """Each guard lets an opening order pass exactly at its threshold."""
    verdict = GUARDS[name](dataclasses.replace(GOOD, **changes), PARAMETERS)
    assert (verdict.outcome, verdict.reason) == (Outcome.PASSED, None)


@pytest.mark.guard("missing")
@pytest.mark.parametrize(("name", "changes", "reason"), MISSING)
def test_missing_data_refuse_with_their_own_reason(name, changes, reason):
    """What a guard does not know it refuses."""
    verdict = GUARDS[name](dataclasses.replace(GOOD, **changes), PARAMETERS)
    assert (verdict.outcome, verdict.reason) == (Outcome.REFUSED, reason)


@pytest.mark.guard("reduces")
@pytest.mark.parametrize(
    ("name", "changes", "reason"), [case for case in (*BLOCKS, *MISSING) if "order" not in case[1]]
)
def test_an_order_that_only_reduces_is_not_trapped(name, changes, reason):
    """An exit passes whatever is found, but for an intent that was handled before."""
    matching = {"recent": (sent(1.0, order=EXIT, symbol="A"),)} if reason is OrderReason.DUPLICATE_ORDER else changes
    verdict = GUARDS[name](dataclasses.replace(GOOD, **{**matching, "order": EXIT}), PARAMETERS)
    hard = reason is OrderReason.DUPLICATE_INTENT
    assert (verdict.outcome, verdict.reason) == (Outcome.REFUSED if hard else Outcome.BYPASSED, reason)


@pytest.mark.guard("reduces", "order_size", "position_limit")
def test_a_huge_exit_passes_the_size_limits():
    """5,000 shares for 500,000 USD leave, though 2,000 and 250,000 are the limits."""
    verdicts = check_orders(dataclasses.replace(GOOD, order=HUGE_EXIT, reference_nano=None), PARAMETERS)
    assert first_refusal(verdicts) is None
    assert next(row for row in verdicts if row.guard == "order_size").outcome is Outcome.BYPASSED


@pytest.mark.parametrize("quantity", [0, -1])
@pytest.mark.guard("blocks", "order_size")
def test_an_order_of_no_size_is_refused_even_with_a_position(quantity):
    """Nothing that is not positive reduces."""
    order = dataclasses.replace(EXIT, quantity_micro=quantity)
    verdict = GUARDS["order_size"](dataclasses.replace(GOOD, order=order), PARAMETERS)
    assert (verdict.outcome, verdict.reason) == (Outcome.REFUSED, OrderReason.INVALID_SIZE)


def test_every_guard_is_tried_here():
    """No guard is without a case that blocks, passes and lacks data."""
    names = {row.name for row in ORDER_GUARDS}
    assert {case[0] for case in BLOCKS} == {case[0] for case in PASSES} == {case[0] for case in MISSING} == names


def test_a_good_order_passes_all_guards():
    """All verdicts are given, none refuses; without a restricted list its guard is inactive and says so."""
    verdicts = check_orders(GOOD, OrderGuardParameters())
    assert first_refusal(verdicts) is None
    assert [row.guard for row in verdicts if row.outcome is Outcome.INACTIVE] == ["restricted"]


def test_a_position_through_zero_is_judged_by_where_it_ends():
    """Selling 1,000 from +500 ends at -500, 50,000 USD, inside; from -2,000 it ends at -3,000, outside."""
    guard = GUARDS["position_limit"]
    sell = dataclasses.replace(BUY, side=Side.SELL)
    inside = dataclasses.replace(GOOD, order=dataclasses.replace(sell, position_micro=500 * SHARE))
    assert guard(inside, PARAMETERS).measures[0].value == 50_000.0
    outside = dataclasses.replace(GOOD, order=dataclasses.replace(sell, position_micro=-2_000 * SHARE))
    assert guard(outside, PARAMETERS).reason is OrderReason.POSITION_LIMIT


@pytest.mark.parametrize(
    "changes",
    [
        {"orders_per_minute_max": 0},
        {"daily_loss_share": float("nan")},
        {"account_exposure_usd_max": 2e6},
        {"order_notional_usd_max": 2e6},
        {"account_turnover_usd_max": 6e6},
    ],
)
def test_thresholds_out_of_range_or_contradicting_are_refused(changes):
    """A total below an account's threshold is a contradiction."""
    with pytest.raises(ValueError, match="order_guard"):
        OrderGuardParameters(**changes)


def test_facts_beyond_their_bounds_are_refused():
    """More recent orders than can have been sent come from a fault."""
    with pytest.raises(ValueError, match="recent"):
        dataclasses.replace(GOOD, recent=(sent(),) * (RECENT_ORDERS_MAX + 1))
