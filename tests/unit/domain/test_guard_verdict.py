"""Owns the tests of what all guards share: when an order only reduces, what a failing guard does, exact comparisons."""

import dataclasses
from collections import Counter
from enum import StrEnum

import pytest

from walstreet.domain import guards
from walstreet.domain.account_limits import ProfileReason
from walstreet.domain.compliance import COMPLIANCE_GUARDS, ComplianceReason
from walstreet.domain.governor import GovernorReason
from walstreet.domain.guard_margin import MarginReason, check_margin_guard
from walstreet.domain.guard_market import MARKET_GUARDS, MarketReason
from walstreet.domain.guard_orders import ORDER_GUARDS, OrderReason
from walstreet.domain.guard_short import ShortReason, check_short_guard
from walstreet.domain.guard_verdict import (
    CommonReason,
    Finding,
    GuardedOrder,
    Measure,
    Outcome,
    exceeds_bps,
    first_refusal,
    guard,
    notional_nano,
    share_of,
)
from walstreet.domain.repeat_throttle import ThrottleReason, check_repeats
from walstreet.domain.signing import SignatureReason
from walstreet_events import Side

SHARE = 1_000_000
ORDER = GuardedOrder(
    symbol="A", side=Side.SELL, quantity_micro=100 * SHARE, limit_nano=None, position_micro=100 * SHARE
)


@dataclasses.dataclass(frozen=True)
class Facts:
    """The smallest facts a guard can have."""

    order: GuardedOrder


class Why(StrEnum):
    """Reasons of the guards below."""

    NO = "no"


@pytest.mark.parametrize(
    ("side", "quantity", "position", "buying", "selling", "expected"),
    [
        (Side.SELL, 100, 100, 0, 0, True),
        (Side.SELL, 101, 100, 0, 0, False),
        (Side.SELL, 60, 100, 0, 40, True),
        (Side.SELL, 61, 100, 0, 40, False),
        (Side.SELL, 100, 100, 50, 0, True),
        (Side.SELL, 1, 0, 0, 0, False),
        (Side.SELL, 1, -5, 0, 0, False),
        (Side.BUY, 100, -100, 0, 0, True),
        (Side.BUY, 61, -100, 40, 0, False),
        (Side.BUY, 1, 100, 0, 0, False),
        (Side.SELL, 0, 100, 0, 0, False),
        (Side.SELL, -1, 100, 0, 0, False),
        (Side.SELL, 1, None, 0, 0, False),
        (Side.SELL, 1, 100, 0, None, False),
        (Side.BUY, 1, -100, 0, None, True),
    ],
)
def test_only_what_closes_after_everything_at_work_reduces(side, quantity, position, buying, selling, expected):
    """An order reduces if position and orders at work on its side are known and leave room for it; never by a claim."""
    order = GuardedOrder(
        symbol="A",
        side=side,
        quantity_micro=quantity,
        limit_nano=None,
        position_micro=position,
        working_buy_micro=buying,
        working_sell_micro=selling,
    )
    assert order.reducing is expected


def test_a_reducing_order_bypasses_and_the_verdict_says_what_was_found():
    """A bypassed guard allows, and keeps its reason and numbers."""
    refuses = guard("refuses", bypass=True)(
        lambda _facts, _parameters: Finding(reason=Why.NO, measures=(Measure(name="x_bps", value=3.0, limit=2.0),))
    )
    bypassed = refuses(Facts(ORDER), None)
    assert (bypassed.outcome, bypassed.allowed, bypassed.code) == (Outcome.BYPASSED, True, "no")
    assert bypassed.detail == "x_bps 3 (limit 2)"
    opening = refuses(Facts(dataclasses.replace(ORDER, side=Side.BUY)), None)
    assert (opening.outcome, opening.allowed) == (Outcome.REFUSED, False)


def test_a_guard_without_bypass_stops_a_reducing_order_too():
    """Where the market itself takes no order, reducing is no way past; a finding may say so either way."""
    hard = guard("hard", bypass=False)(lambda _facts, _parameters: Finding(reason=Why.NO))
    soft = guard("soft", bypass=False)(lambda _facts, _parameters: Finding(reason=Why.NO, bypass=True))
    firm = guard("firm", bypass=True)(lambda _facts, _parameters: Finding(reason=Why.NO, bypass=False))
    assert [row(Facts(ORDER), None).allowed for row in (hard, soft, firm)] == [False, True, False]


def test_a_guard_that_fails_refuses_and_traps_nobody():
    """An exception inside a guard is a refusal with its own reason; an order that only reduces passes it."""

    def broken(_facts, _parameters):
        raise ZeroDivisionError("a bug")

    row = guard("broken", bypass=False)(broken)
    opening = row(Facts(dataclasses.replace(ORDER, side=Side.BUY)), None)
    assert (opening.outcome, opening.reason, opening.note) == (
        Outcome.REFUSED,
        CommonReason.GUARD_ERROR,
        "ZeroDivisionError: a bug",
    )
    assert row(Facts(ORDER), None).outcome is Outcome.BYPASSED


def test_the_first_refusal_is_in_the_order_of_the_guards():
    """Passed and bypassed verdicts are skipped."""
    passes = guard("passes", bypass=False)(lambda _facts, _parameters: Finding())
    first = guard("first", bypass=False)(lambda _facts, _parameters: Finding(reason=Why.NO))
    second = guard("second", bypass=False)(lambda _facts, _parameters: Finding(reason=Why.NO))
    verdicts = [row(Facts(ORDER), None) for row in (passes, first, second)]
    assert first_refusal(verdicts) is verdicts[1]
    assert first_refusal(verdicts[:1]) is None


def test_comparisons_are_exact_at_their_limits():
    """12 bps of 100 USD is not more than 12 bps, one nano more is; shares and notionals are whole numbers."""
    assert not exceeds_bps(120_000_000, 100_000_000_000, 12.0)
    assert exceeds_bps(120_000_001, 100_000_000_000, 12.0)
    assert share_of(100_000_000_000_000, 0.85) == 85_000_000_000_000
    assert notional_nano(1_500_000, 3) == 5, "4.5 nano count as 5"
    assert notional_nano(-SHARE, 7) == 7


def test_reason_codes_are_unique_but_where_they_mean_the_same():
    """A code stands in one module only; those shared with the guards of execution and between modules are listed."""
    enums = (
        MarketReason, OrderReason, ThrottleReason, MarginReason, ShortReason,
        ComplianceReason, GovernorReason, ProfileReason, SignatureReason, CommonReason,
    )  # fmt: skip
    counts = Counter(code.value for codes in enums for code in codes)
    shared = {code for code, count in counts.items() if count > 1}
    assert shared == {"duplicate_intent", "duplicates_unknown"}
    execution = {code.value for code in guards.Reason} & set(counts)
    assert execution == {"no_quote", "duplicate_intent", "intent_expired"}


def test_which_guards_stop_an_order_that_only_reduces():
    """Four guards do: session, halt, collar and a repeated intent; every other one may be bypassed."""
    rows = (*MARKET_GUARDS, *ORDER_GUARDS, *COMPLIANCE_GUARDS, check_margin_guard, check_short_guard, check_repeats)
    assert [row.name for row in rows if not row.bypass] == ["session", "halt", "price_collar", "duplicate_intent"]
    assert len({row.name for row in rows}) == len(rows)
