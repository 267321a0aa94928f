"""Tests of the plan of flattening: prices by hand, slices, deferrals, and parameters that contradict each other.

They cover walstreet.domain.flatten and flatten_parameters.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from walstreet.domain.flatten import (
    MARKET_LIMIT,
    Deferral,
    Holding,
    closes,
    closing_limit,
    collar_bps,
    deferral,
    parent_id,
    whole_micro,
)
from walstreet.domain.flatten_parameters import FlattenParameters
from walstreet.domain.order import Order
from walstreet.testing.execution_world import DOLLAR, NOW_NS, SHARE, S
from walstreet_events import EventId, QuoteSeen, Side

pytestmark = pytest.mark.spec("001.recovery")

TICK = DOLLAR // 100
PARAMETERS = FlattenParameters()


def seen(bid: float = 99.99, ask: float = 100.01, *, ts_ns: int = NOW_NS) -> QuoteSeen:
    """Return a quote in USD."""
    return QuoteSeen(
        bid_nano=round(bid * DOLLAR),
        ask_nano=round(ask * DOLLAR),
        bid_size_micro=0,
        ask_size_micro=0,
        ts_ns=ts_ns,
        seq=0,
    )


def order(side: Side = Side.SELL) -> Order:
    """Return an open order of an intent."""
    return Order(
        client_order_id="c",
        intent="i",
        symbol="SPY",
        con_id=11,
        side=side,
        quantity_micro=10 * SHARE,
        limit_nano=DOLLAR,
        good_till_ns=NOW_NS + 60 * S,
        submitted_ns=NOW_NS,
        broker_order_id=5,
    )


HOLDING = Holding(
    symbol="SPY",
    con_id=11,
    position_micro=100 * SHARE,
    proven=True,
    open_orders=(),
    cancelled_ns={},
    foreign_sides=(),
    halted=False,
    quote=seen(),
    tick_nano=TICK,
    rounds=0,
    last_round_ns=0,
)


def why(holding: Holding, *, link_up: bool = True, market_open: bool = True) -> Deferral | None:
    """Return why a holding waits."""
    return deferral(holding, now_ns=NOW_NS, link_up=link_up, market_open=market_open, parameters=PARAMETERS)


@pytest.mark.parametrize(
    ("side", "bps", "limit_usd"),
    [
        # 99.99 less 20 bps is 99.79002, rounded towards the touch 99.80; 100.01 plus 20 bps is 100.21002: 100.21.
        (Side.SELL, 20.0, 99.80),
        (Side.BUY, 20.0, 100.21),
        (Side.SELL, 0.0, 99.99),
        (Side.BUY, 0.0, 100.01),
        # 2 %: 97.9902 and 102.0102.
        (Side.SELL, 200.0, 98.00),
        (Side.BUY, 200.0, 102.01),
    ],
)
def test_limits_by_hand(side: Side, bps: float, limit_usd: float) -> None:
    """A limit is marketable, a multiple of the tick, and never beyond the collar."""
    assert closing_limit(side, seen(), tick_nano=TICK, collar_bps=bps) == round(limit_usd * DOLLAR)


def test_a_limit_off_the_tick_stays_marketable() -> None:
    """A touch between two ticks is rounded to the side on which the order still fills."""
    assert closing_limit(Side.SELL, seen(bid=99.994), tick_nano=TICK, collar_bps=0.0) == round(99.99 * DOLLAR)
    assert closing_limit(Side.BUY, seen(ask=100.006), tick_nano=TICK, collar_bps=0.0) == round(100.01 * DOLLAR)
    with pytest.raises(ValueError, match="tick_nano is 0"):
        closing_limit(Side.BUY, seen(), tick_nano=0, collar_bps=1.0)


def test_the_collar_widens_and_is_capped() -> None:
    """20, 40, ... bps, and never more than 200."""
    assert [collar_bps(rounds, PARAMETERS) for rounds in (0, 1, 9, 10, 400)] == [20.0, 40.0, 200.0, 200.0, 200.0]


def test_a_position_is_closed_in_slices_of_its_notional() -> None:
    """$250,000 at a bid of 99.99 is 2,500 whole shares; 6,000 take three orders, a fraction of a share none."""
    found = closes(replace(HOLDING, position_micro=6_000 * SHARE + 400_000), now_ns=NOW_NS, parameters=PARAMETERS)
    assert [close.quantity_micro // SHARE for close in found] == [2_500, 2_500, 1_000]
    assert {close.side for close in found} == {Side.SELL}
    assert [close.slice_index for close in found] == [0, 1, 2]
    assert {close.good_till_ns for close in found} == {NOW_NS + 8 * S}
    assert whole_micro(-900_000) == 0


def test_a_short_is_bought_back_and_a_round_is_bounded() -> None:
    """The cover is a buy above the ask; more than the slices of one round waits for the next."""
    found = closes(replace(HOLDING, position_micro=-100_000 * SHARE), now_ns=NOW_NS, parameters=PARAMETERS)
    assert len(found) == PARAMETERS.slices_max
    assert found[0].side is Side.BUY
    assert found[0].limit_nano == round(100.21 * DOLLAR)
    assert sum(close.quantity_micro for close in found) < 100_000 * SHARE


def test_a_market_order_needs_the_parameter() -> None:
    """By default a missing quote waits; only where it is allowed, and late, an order has no limit."""
    blind = replace(HOLDING, quote=None, rounds=3)
    assert why(blind) is Deferral.NO_QUOTE
    allowed = FlattenParameters(market_after=3)
    assert deferral(blind, now_ns=NOW_NS, link_up=True, market_open=True, parameters=allowed) is None
    (close,) = closes(blind, now_ns=NOW_NS, parameters=allowed)
    assert (close.limit_nano, close.quantity_micro) == (MARKET_LIMIT, 100 * SHARE)
    early = replace(blind, rounds=2)
    assert deferral(early, now_ns=NOW_NS, link_up=True, market_open=True, parameters=allowed) is Deferral.NO_QUOTE


@pytest.mark.parametrize(
    ("holding", "reason"),
    [
        (HOLDING, None),
        (replace(HOLDING, halted=True), Deferral.HALTED),
        (replace(HOLDING, proven=False), Deferral.UNPROVEN),
        (replace(HOLDING, foreign_sides=("sell",)), Deferral.FOREIGN_ORDER),
        (replace(HOLDING, foreign_sides=("buy",)), None),
        (replace(HOLDING, quote=seen(ts_ns=NOW_NS - 16 * S)), Deferral.NO_QUOTE),
        (replace(HOLDING, quote=seen(bid=0.0)), Deferral.NO_QUOTE),
        (replace(HOLDING, quote=seen(ask=0.0)), None),
        (replace(HOLDING, rounds=500), Deferral.ATTEMPTS_EXHAUSTED),
        (replace(HOLDING, rounds=8, last_round_ns=NOW_NS - 29 * S), Deferral.PAUSED),
        (replace(HOLDING, rounds=8, last_round_ns=NOW_NS - 30 * S), None),
        (replace(HOLDING, open_orders=(order(),)), Deferral.ORDER_OPEN),
        (replace(HOLDING, open_orders=(order(),), cancelled_ns={"c": NOW_NS - 3_600 * S}), Deferral.ORDER_OPEN),
        (replace(HOLDING, open_orders=(order(Side.BUY),)), Deferral.ORDER_OPEN),
        (replace(HOLDING, open_orders=(order(Side.BUY),), cancelled_ns={"c": NOW_NS - 4 * S}), Deferral.ORDER_OPEN),
        (replace(HOLDING, open_orders=(order(Side.BUY),), cancelled_ns={"c": NOW_NS - 5 * S}), None),
    ],
)
def test_what_waits_and_why(holding: Holding, reason: Deferral | None) -> None:
    """An order in the closing direction blocks for ever, one in the other only until its cancel had its time."""
    assert why(holding) is reason


def test_link_and_session_come_first() -> None:
    """Nothing is sent into a dead link or a closed market."""
    assert why(replace(HOLDING, halted=True), link_up=False) is Deferral.LINK_DOWN
    assert why(replace(HOLDING, halted=True), market_open=False) is Deferral.MARKET_CLOSED


def test_parents_are_distinct() -> None:
    """Emergency, symbol and round make the parent; nothing else does."""
    one, two = EventId("1" * 32), EventId("2" * 32)
    names = {parent_id(one, "SPY", 0), parent_id(one, "SPY", 1), parent_id(one, "QQQ", 0), parent_id(two, "SPY", 0)}
    assert len(names) == 4
    assert parent_id(one, "SPY", 1) == parent_id(one, "SPY", 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"collar_bps_first": 300.0}, "must not exceed"),
        ({"attempts_fast": 600}, "must not exceed"),
        ({"order_s": 1}, "order_s is 1"),
        ({"deadline_s": float("nan")}, "deadline_s is nan"),
    ],
)
def test_parameters_out_of_range_are_refused(changes: dict[str, float], words: str) -> None:
    """A mistake is named with its value."""
    with pytest.raises(ValueError, match=words):
        FlattenParameters(**changes)  # type: ignore[arg-type]
