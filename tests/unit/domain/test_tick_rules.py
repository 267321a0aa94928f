"""Tests of walstreet.domain.tick_rules: rounding on a ladder of increments, and what a gateway takes of a quantity."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walstreet.domain.tick_rules import US_STOCKS, TickRule, orderable_micro, require_ladder
from walstreet_events import QUANTITY_SCALE, Side

DOLLAR = 1_000_000_000
CENT = DOLLAR // 100
CENTS = TickRule(min_tick_nano=CENT)
STOCKS = TickRule(min_tick_nano=100_000, ladder=US_STOCKS)
NICKELS = TickRule(min_tick_nano=CENT, ladder=((0, CENT), (3 * DOLLAR, 5 * CENT)))


@pytest.mark.parametrize(
    ("rule", "side", "price", "passive", "aggressive"),
    [
        (CENTS, Side.BUY, 100.005, 100.00, 100.01),
        (CENTS, Side.SELL, 100.005, 100.01, 100.00),
        (CENTS, Side.BUY, 100.01, 100.01, 100.01),
        (STOCKS, Side.BUY, 0.98765, 0.9876, 0.9877),
        (STOCKS, Side.BUY, 12.3456, 12.34, 12.35),
        (NICKELS, Side.BUY, 2.994, 2.99, 3.00),
        (NICKELS, Side.SELL, 3.021, 3.05, 3.00),
    ],
)
def test_rounding_goes_to_the_side_that_it_says(
    rule: TickRule, side: Side, price: float, passive: float, aggressive: float
) -> None:
    """Passive never pays more than the price, aggressive never less, each on the increments of its price."""
    nano = round(price * DOLLAR)
    assert rule.passive(side, nano) == round(passive * DOLLAR)
    assert rule.aggressive(side, nano) == round(aggressive * DOLLAR)


def test_steps_over_an_edge_take_the_increment_of_each_side() -> None:
    """From 2.99 a buy steps to 3.00 and 3.05; from 3.00 a sell steps to 2.99."""
    assert NICKELS.worse(Side.BUY, round(2.99 * DOLLAR), 2) == round(3.05 * DOLLAR)
    assert NICKELS.worse(Side.SELL, 3 * DOLLAR, 1) == round(2.99 * DOLLAR)
    assert CENTS.worse(Side.BUY, 100 * DOLLAR, 0) == 100 * DOLLAR


def test_a_contract_whose_increment_is_finer_than_the_market_takes_the_markets() -> None:
    """The contract names a hundredth of a cent, the ladder a cent from one dollar on: code 110 otherwise."""
    assert STOCKS.conforms(round(12.34 * DOLLAR))
    assert not STOCKS.conforms(round(12.345 * DOLLAR))
    assert STOCKS.conforms(round(0.1234 * DOLLAR))


@given(
    st.sampled_from([CENTS, STOCKS, NICKELS]),
    st.integers(1_000_000, 500 * DOLLAR),
    st.sampled_from(list(Side)),
)
def test_every_rounded_price_conforms(rule: TickRule, price: int, side: Side) -> None:
    """Both roundings and a step give prices that the broker takes, on the right side of the price."""
    sign = 1 if side is Side.BUY else -1
    passive, aggressive = rule.passive(side, price), rule.aggressive(side, price)
    stepped = rule.worse(side, passive, 1)
    for rounded in (passive, aggressive, stepped):
        assert rounded == 0 or rule.conforms(rounded)
    assert sign * passive <= sign * price <= sign * aggressive
    if passive > 0:
        assert sign * stepped > sign * passive


@pytest.mark.parametrize(
    "ladder",
    [
        ((0, 0),),
        ((0, CENT), (0, CENT)),
        ((-1, CENT),),
        ((0, CENT), (DOLLAR + 1, CENT)),
        tuple((i, 1) for i in range(33)),
    ],
)
def test_a_ladder_that_cannot_be_is_refused(ladder: tuple[tuple[int, int], ...]) -> None:
    """No increment, no ascent, an edge off the grid, or too many rungs."""
    with pytest.raises(ValueError, match="ladder"):
        require_ladder(ladder)
    with pytest.raises(ValueError, match="min_tick_nano"):
        TickRule(min_tick_nano=0)


@pytest.mark.parametrize(
    ("quantity", "lot", "fractional", "expected"),
    [(10.7, 1, False, 10), (10.7, 1, True, 10.7), (250, 100, False, 200), (0.5, 1, False, 0), (-3, 1, False, 0)],
)
def test_orderable_quantities(quantity: float, lot: int, fractional: bool, expected: float) -> None:
    """Whole lots without the capability, everything with it, nothing of nothing."""
    given_micro = round(quantity * QUANTITY_SCALE)
    told = orderable_micro(given_micro, lot_micro=lot * QUANTITY_SCALE, fractional=fractional)
    assert told == round(expected * QUANTITY_SCALE)
