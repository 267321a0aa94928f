"""Owns the tests of netting: wishes of several strategies crossed, limited at their sum, and sent as one order."""

import msgspec
import pytest

from walstreet.domain.limits import LimitParameters
from walstreet.domain.strategy_netting import AccountFacts, Wish, net_wishes
from walstreet_events import OrderIntent, Side, Verdict

SHARE = 1_000_000
USD = 1_000_000_000
LIMITS = LimitParameters(name_cap=0.05, sector_gross_max=0.15, net_max=0.25, gross_max=0.5)

pytestmark = pytest.mark.spec("002.python")


def wish(strategy: str, shares: float, symbol: str = "AAA", price: int = 100) -> Wish:
    """Return a wish to buy (positive) or sell."""
    return Wish(
        strategy=strategy,
        intent=OrderIntent(
            id=f"{strategy}:{symbol}",
            symbol=symbol,
            con_id=1,
            side=Side.BUY if shares > 0 else Side.SELL,
            quantity_micro=round(abs(shares) * SHARE),
            reducing=False,
            horizon_minutes=5,
            arrival_mid_nano=price * USD,
            tif_s=15,
            expires_ns=1,
            alpha_bps=1.0,
            target_weight=0.0,
        ),
    )


def facts(**changes: object) -> AccountFacts:
    """Return an account of a million with nothing held, prices of 100."""
    given = {
        "equity_nano": 1_000_000 * USD,
        "position_micro": {},
        "rest_micro": {},
        "blocked": {},
        "mark_nano": dict.fromkeys(("AAA", "BBB", "CCC", "DDD"), 100 * USD),
        "sectors": {"AAA": "a", "BBB": "b", "CCC": "c", "DDD": "d"},
    }
    return AccountFacts(**{**given, **changes})  # type: ignore[arg-type]


def net(*wishes: Wish, limits: LimitParameters = LIMITS, notional: float = 200.0, **changes: object):
    """Return the trades of these wishes."""
    return net_wishes(wishes, facts(**changes), limits=limits, notional_usd_min=notional)


def test_opposite_sides_meet_inside_the_account():
    """Buy 100 and sell 40: 40 change hands at the mid, one order of 60 goes out, for the buyer alone."""
    (trade,) = net(wish("one", 100), wish("two", -40))
    assert trade.crossed_micro == (40 * SHARE, -40 * SHARE)
    assert trade.parents_micro == (60 * SHARE, 0)
    assert (trade.order_micro, trade.price_nano, trade.reason) == (60 * SHARE, 100 * USD, "")


def test_wishes_that_cancel_send_nothing():
    """Equal and opposite: both have what they wanted, and no order exists that could meet itself."""
    (trade,) = net(wish("one", 25), wish("two", -25))
    assert trade.order_micro == 0
    assert trade.crossed_micro == (25 * SHARE, -25 * SHARE)
    assert trade.reason == ""


def test_the_sum_is_limited_and_not_the_parts():
    """Two wishes of 4 % each, a cap of 5 %: one order of 5 %, divided in halves."""
    (trade,) = net(wish("one", 400), wish("two", 400))
    assert trade.order_micro == 500 * SHARE
    assert trade.parents_micro == (250 * SHARE, 250 * SHARE)
    assert trade.reason == Verdict.RISK_NAME.value


def test_a_crossing_uses_no_room_of_a_limit():
    """At its cap the account may still change hands inside, and only what would enlarge it is cut off."""
    (trade,) = net(wish("one", 100), wish("two", -30), position_micro={"AAA": 500 * SHARE})
    assert trade.crossed_micro == (30 * SHARE, -30 * SHARE)
    assert trade.parents_micro == (0, 0)
    assert trade.reason == Verdict.RISK_NAME.value


def test_the_house_and_the_other_books_use_up_room():
    """What is held already counts, whoever holds it."""
    (trade,) = net(wish("one", 400), position_micro={"AAA": 200 * SHARE})
    assert trade.order_micro == 300 * SHARE


def test_what_reduces_is_never_trapped():
    """Far beyond every limit a sale goes out whole, while a purchase of something else finds no room."""
    trades = net(wish("one", -100), wish("two", 100, "BBB"), position_micro={"AAA": 9_000 * SHARE}, notional=0.0)
    assert [trade.order_micro for trade in trades] == [-100 * SHARE, 0]
    assert trades[0].reason == ""
    assert trades[1].reason in {Verdict.RISK_NET.value, Verdict.RISK_GROSS.value}


def test_turning_round_closes_whole_and_opens_within_the_cap():
    """From 100 long to a wished 900 short the cap of 500 holds on the new side."""
    (trade,) = net(wish("one", -1_000), position_micro={"AAA": 100 * SHARE})
    assert trade.order_micro == -600 * SHARE


def test_gross_is_shared_by_everything_that_grows():
    """Four names of 5 % under a gross of 10 %: each gets half."""
    wishes = [wish(name, 500, symbol) for name, symbol in zip("abcd", ("AAA", "BBB", "CCC", "DDD"), strict=True)]
    limits = LimitParameters(name_cap=0.05, sector_gross_max=0.15, net_max=0.1, gross_max=0.1)
    trades = net(*wishes, limits=limits)
    assert [trade.order_micro for trade in trades] == [250 * SHARE] * 4


def test_a_symbol_at_work_waits_for_everybody():
    """Neither an order nor a crossing while the account's own order works, nor beside a foreign one."""
    for changes in ({"rest_micro": {"AAA": 0}}, {"blocked": {"AAA": True}}):
        (trade,) = net(wish("one", 100), wish("two", -40), **changes)
        assert trade.order_micro == 0
        assert trade.crossed_micro == (0, 0)
        assert trade.reason == Verdict.PENDING_ORDER.value


@pytest.mark.parametrize("changes", [{"equity_nano": None}, {"equity_nano": 0}, {"mark_nano": {"AAA": 100 * USD}}])
def test_without_equity_or_a_price_only_closing_passes(changes):
    """Unknown room is no room; what brings the position to zero still goes."""
    held = {"AAA": 100 * SHARE, "BBB": 50 * SHARE}
    trades = net(wish("one", -150), wish("two", 10, "BBB"), position_micro=held, **changes)
    assert [trade.order_micro for trade in trades] == [-100 * SHARE, 0]
    assert trades[0].reason == trades[1].reason == Verdict.NO_REF.value


def test_a_rest_too_small_for_an_order_is_left_unless_it_makes_flat():
    """One share of 100 is below 200; as the last share it goes."""
    (small,) = net(wish("one", 10), wish("two", -9))
    assert (small.order_micro, small.reason) == (0, Verdict.BELOW_MIN.value)
    (last,) = net(wish("one", -1), position_micro={"AAA": SHARE})
    assert last.order_micro == -SHARE


def test_whole_shares_stay_whole():
    """Odd thirds are divided in shares, so that no book keeps what nobody can sell."""
    (trade,) = net(wish("a", 101), wish("b", 50), wish("c", -100), notional=0.0)
    assert all(part % SHARE == 0 for part in (*trade.crossed_micro, *trade.parents_micro))
    (limited,) = net(wish("a", 333), wish("b", 334))
    assert limited.order_micro == 500 * SHARE
    assert all(part % SHARE == 0 for part in limited.parents_micro)


def test_the_largest_part_leads():
    """Horizon and time in force come from the strategy behind most of the order; ties go to the first name."""
    large = wish("two", 300)
    large = Wish(strategy="two", intent=msgspec.structs.replace(large.intent, horizon_minutes=60, tif_s=60))
    (trade,) = net(wish("one", 100), large)
    assert trade.lead.strategy == "two"
    (tie,) = net(wish("b", 100), wish("a", 100))
    assert tie.lead.strategy == "a"


def test_a_strategy_speaks_once_for_a_symbol():
    """Two wishes of one strategy for one symbol are a fault of its core."""
    with pytest.raises(ValueError, match="twice"):
        net(wish("one", 100), wish("one", 50))


def test_the_record_says_all_of_it():
    """What was wanted, crossed and sent stands in the plan, and the order's intent where there is one."""
    (trade,) = net(wish("one", 100), wish("two", -40))
    planned = trade.planned("account-intent")
    assert [(s.strategy, s.wanted_micro, s.crossed_micro, s.parent_micro) for s in planned.shares] == [
        ("one", 100 * SHARE, 40 * SHARE, 60 * SHARE),
        ("two", -40 * SHARE, -40 * SHARE, 0),
    ]
    assert (planned.intent, planned.price_nano) == ("account-intent", 100 * USD)
