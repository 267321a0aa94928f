"""Owns the tests of the short-sale guard: the split at zero, borrow, fee, Rule 201's price, and exits."""

import dataclasses

import msgspec
import pytest

from walstreet.domain.guard_short import (
    Borrow,
    SellSplit,
    ShortFacts,
    ShortReason,
    ShortSaleParameters,
    check_short,
    inactive_guards,
    split_sell,
)
from walstreet.domain.guard_verdict import GuardedOrder, Outcome
from walstreet.domain.short_sale_rule import Rule201, SsrState
from walstreet_events import NANOS_PER_SECOND, QuoteSeen, Side

S = NANOS_PER_SECOND
SHARE = 1_000_000
USD = 1_000_000_000
NOW = 1_800_000_000 * S
TODAY = "2026-11-16"
DEFAULTS = ShortSaleParameters(borrow_configured=True)
SELL = GuardedOrder(
    symbol="A", side=Side.SELL, quantity_micro=150 * SHARE, limit_nano=100 * USD, position_micro=100 * SHARE
)
BORROW = Borrow(ts_ns=NOW - S, level=3.0, shortable_micro=1_000 * SHARE, fee_ts_ns=NOW - S, fee_percent=1.0)
CALM = Rule201(session=TODAY, state=SsrState.CLEAR, low_nano=99 * USD, prior_close_nano=100 * USD, observed_ns=NOW - S)
FALLEN = dataclasses.replace(CALM, state=SsrState.TRIGGERED)
QUOTE = QuoteSeen(bid_nano=100 * USD - 1, ask_nano=101 * USD, bid_size_micro=1, ask_size_micro=1, ts_ns=NOW - S, seq=1)
GOOD = ShortFacts(now_ns=NOW, order=SELL, borrow=BORROW, rule=CALM, session=TODAY, quote=QUOTE)


def borrow(**changes) -> dict:
    """Return changed facts of the borrow."""
    return {"borrow": dataclasses.replace(BORROW, **changes)}


BLOCKS = [
    (borrow(level=2.5), ShortReason.BORROW_UNAVAILABLE),
    (borrow(shortable_micro=100 * SHARE - 1), ShortReason.BORROW_SHARES),
    (borrow(fee_percent=20.01), ShortReason.BORROW_FEE),
    (borrow(ts_ns=NOW - 60 * S - 1), ShortReason.BORROW_STALE),
    ({"rule": FALLEN, "quote": msgspec.structs.replace(QUOTE, bid_nano=100 * USD)}, ShortReason.SSR_PRICE),
    ({"rule": FALLEN, "order": dataclasses.replace(SELL, limit_nano=None)}, ShortReason.SSR_PRICE),
    ({"rule": dataclasses.replace(FALLEN, state=SsrState.CARRIED), "order": dataclasses.replace(SELL, limit_nano=1)},
     ShortReason.SSR_PRICE),
]  # fmt: skip
MISSING = [
    ({"order": dataclasses.replace(SELL, position_micro=None)}, ShortReason.POSITION_UNKNOWN),
    ({"order": dataclasses.replace(SELL, working_sell_micro=None)}, ShortReason.POSITION_UNKNOWN),
    ({"borrow": None}, ShortReason.BORROW_UNKNOWN),
    (borrow(level=None), ShortReason.BORROW_UNKNOWN),
    (borrow(level=float("nan")), ShortReason.BORROW_UNKNOWN),
    (borrow(shortable_micro=None), ShortReason.BORROW_UNKNOWN),
    (borrow(fee_percent=None), ShortReason.BORROW_FEE_UNKNOWN),
    (borrow(fee_percent=float("nan")), ShortReason.BORROW_FEE_UNKNOWN),
    (borrow(fee_ts_ns=NOW - 60 * S - 1), ShortReason.BORROW_FEE_UNKNOWN),
    ({"rule": None}, ShortReason.SSR_UNKNOWN),
    ({"rule": dataclasses.replace(CALM, state=SsrState.UNKNOWN)}, ShortReason.SSR_UNKNOWN),
    ({"rule": dataclasses.replace(CALM, session="2026-11-13")}, ShortReason.SSR_UNKNOWN),
    ({"rule": dataclasses.replace(CALM, prior_close_nano=None)}, ShortReason.SSR_UNKNOWN),
    ({"rule": dataclasses.replace(CALM, observed_ns=NOW - 30 * S - 1)}, ShortReason.SSR_UNKNOWN),
    ({"rule": FALLEN, "quote": None}, ShortReason.SSR_BID_UNKNOWN),
    ({"rule": FALLEN, "quote": msgspec.structs.replace(QUOTE, bid_nano=0)}, ShortReason.SSR_BID_UNKNOWN),
    ({"rule": FALLEN, "quote": msgspec.structs.replace(QUOTE, ts_ns=NOW - 30 * S - 1)}, ShortReason.SSR_BID_UNKNOWN),
]
PASSES = [
    {},
    borrow(shortable_micro=100 * SHARE, fee_percent=20.0, ts_ns=NOW - 60 * S, fee_ts_ns=NOW - 60 * S),
    {"rule": dataclasses.replace(CALM, observed_ns=NOW - 30 * S)},
    {"rule": FALLEN},
    {"rule": dataclasses.replace(FALLEN, observed_ns=None)},
    {"order": dataclasses.replace(SELL, limit_nano=None)},
]


@pytest.mark.guard("blocks", "short_sale")
@pytest.mark.guard("missing", "short_sale")
@pytest.mark.parametrize(("changes", "reason"), [*BLOCKS, *MISSING])
def test_the_short_part_is_refused_and_the_closing_part_is_not(changes, reason):
    """Just beyond a limit, and without data, the part below zero is refused; what closes the long position may go."""
    outcome = check_short(dataclasses.replace(GOOD, **changes), DEFAULTS)
    assert (outcome.verdict.outcome, outcome.verdict.reason) == (Outcome.REFUSED, reason)
    known = reason is not ShortReason.POSITION_UNKNOWN
    assert outcome.allowed_micro == (100 * SHARE if known else 0)


@pytest.mark.guard("passes", "short_sale")
@pytest.mark.parametrize("changes", PASSES)
def test_a_short_sale_within_its_limits_passes(changes):
    """At the limits exactly, and under Rule 201 with a limit above the best bid, all 150 shares go."""
    outcome = check_short(dataclasses.replace(GOOD, **changes), DEFAULTS)
    assert (outcome.verdict.outcome, outcome.allowed_micro) == (Outcome.PASSED, 150 * SHARE)


@pytest.mark.guard("reduces", "short_sale")
@pytest.mark.parametrize("changes", [changes for changes, reason in (*BLOCKS, *MISSING) if "order" not in changes])
def test_a_sale_that_only_closes_is_never_trapped(changes):
    """Selling 100 of 100 is no short sale, whatever borrow and price test say."""
    order = dataclasses.replace(SELL, quantity_micro=100 * SHARE, limit_nano=None)
    outcome = check_short(dataclasses.replace(GOOD, **{**changes, "order": order}), DEFAULTS)
    assert (outcome.verdict.allowed, outcome.allowed_micro) == (True, 100 * SHARE)


def test_a_purchase_is_none_of_its_business():
    """A purchase passes without any facts, covering or not."""
    order = dataclasses.replace(SELL, side=Side.BUY, position_micro=None)
    facts = dataclasses.replace(GOOD, order=order, borrow=None, rule=None, quote=None)
    assert check_short(facts, DEFAULTS).allowed_micro == 150 * SHARE
    with pytest.raises(ValueError, match="split sells only"):
        split_sell(order)


@pytest.mark.parametrize(
    ("quantity", "position", "selling", "closing", "short"),
    [
        (150, 100, 0, 100, 50),
        (100, 100, 0, 100, 0),
        (100, 100, 30, 70, 30),
        (100, 20, 50, 0, 100),
        (100, 0, 0, 0, 100),
        (100, -40, 0, 0, 100),
    ],
)
def test_a_sell_is_split_at_zero(quantity, position, selling, closing, short):
    """Only what crosses below zero once the sells at work have filled is short."""
    order = dataclasses.replace(SELL, quantity_micro=quantity, position_micro=position, working_sell_micro=selling)
    assert split_sell(order) == SellSplit(closing_micro=closing, short_micro=short)


def test_shares_are_needed_for_what_is_short_at_work_too():
    """120 short now and 130 short at work need 250 shortable shares."""
    order = dataclasses.replace(
        SELL, quantity_micro=120 * SHARE, position_micro=20 * SHARE, working_sell_micro=150 * SHARE
    )
    enough = dataclasses.replace(GOOD, order=order, **borrow(shortable_micro=250 * SHARE))
    assert check_short(enough, DEFAULTS).verdict.allowed
    short = dataclasses.replace(GOOD, order=order, **borrow(shortable_micro=250 * SHARE - 1))
    assert check_short(short, DEFAULTS).verdict.reason is ShortReason.BORROW_SHARES


def test_a_profile_without_shorts_refuses_every_short():
    """Closing goes on; and without a source of fees the fee is not judged, which the verdict says."""
    outcome = check_short(GOOD, ShortSaleParameters(shorts_permitted=False))
    assert (outcome.verdict.reason, outcome.allowed_micro) == (ShortReason.SHORT_NOT_PERMITTED, 100 * SHARE)
    free = check_short(
        dataclasses.replace(GOOD, **borrow(fee_percent=None)),
        ShortSaleParameters(borrow_configured=True, fee_configured=False),
    )
    assert free.verdict.allowed
    assert "fees" in free.verdict.note


def test_the_numbers_compared_stand_in_the_verdict():
    """Short shares, ages, level, shares and fee, each with its limit."""
    measures = {item.name: (item.value, item.limit) for item in check_short(GOOD, DEFAULTS).verdict.measures}
    assert measures == {
        "short_shares": (50.0, None),
        "borrow_age_s": (1.0, 60.0),
        "borrow_level": (3.0, 2.5),
        "shortable_shares": (1_000.0, 100.0),
        "fee_percent": (1.0, 20.0),
    }


@pytest.mark.parametrize("changes", [{"fee_percent_max": -1.0}, {"fall_bps": 1_001.0}, {"borrow_level_min": 1.0}])
def test_parameters_out_of_range_are_refused(changes):
    """Rule 201 may be kept more strictly, never less."""
    with pytest.raises(ValueError, match="short_sale"):
        ShortSaleParameters(**changes)


def test_without_a_source_of_borrow_facts_only_the_price_rule_is_judged():
    """The verdict says that borrowing was not judged, and Rule 201 stops a short sale all the same."""
    blind = ShortSaleParameters()
    outcome = check_short(dataclasses.replace(GOOD, borrow=None), blind)
    assert outcome.verdict.allowed
    assert "no source of borrow facts" in outcome.verdict.note
    assert check_short(dataclasses.replace(GOOD, borrow=None, rule=None), blind).verdict.code == "ssr_unknown"
    assert inactive_guards(blind) == ("borrow", "borrow_fee")
    assert inactive_guards(ShortSaleParameters(borrow_configured=True, fee_configured=False)) == ("borrow_fee",)
    assert inactive_guards(DEFAULTS) == ()
