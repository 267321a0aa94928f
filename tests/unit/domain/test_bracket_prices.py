"""Tests of walstreet.domain.bracket_prices: the fixed pair, the volatility-scaled one, and what cannot be priced."""

from __future__ import annotations

import pytest

from walstreet.domain.bracket_prices import BracketParameters, BracketPrices, bracket_prices
from walstreet.domain.tick_rules import TickRule
from walstreet_events import Side

DOLLAR = 1_000_000_000
RULE = TickRule(min_tick_nano=DOLLAR // 100)


def _prices(mode: str, side: Side, *, price: float = 100.0, sigma: float | None = 10.0) -> BracketPrices | None:
    parameters = BracketParameters(mode=mode)  # type: ignore[arg-type]
    return bracket_prices(
        side, round(price * DOLLAR), horizon_minutes=20, sigma_5m_bps=sigma, rule=RULE, parameters=parameters
    )


@pytest.mark.parametrize(
    ("mode", "side", "profit", "stop"),
    [
        ("fixed", Side.BUY, 100.08, 99.90),
        ("fixed", Side.SELL, 99.92, 100.10),
        # sigma over 20 minutes is 10 * sqrt(4) = 20 bps: 30 bps and 20 bps away.
        ("vol", Side.BUY, 100.30, 99.80),
        ("vol", Side.SELL, 99.70, 100.20),
    ],
)
def test_distances_by_hand(mode: str, side: Side, profit: float, stop: float) -> None:
    """8 and 10 bps, or 1.5 and 1.0 volatilities over the horizon, on both sides."""
    prices = _prices(mode, side)
    assert prices == BracketPrices(take_profit_nano=round(profit * DOLLAR), stop_nano=round(stop * DOLLAR))


def test_neither_order_stands_at_the_entry() -> None:
    """8 bps of 2.00 are less than a cent: one tick away all the same."""
    prices = _prices("fixed", Side.BUY, price=2.00)
    assert prices == BracketPrices(take_profit_nano=round(2.01 * DOLLAR), stop_nano=round(1.99 * DOLLAR))


@pytest.mark.parametrize("sigma", [None, 0.0, float("nan")])
def test_without_a_volatility_there_is_no_price(sigma: float | None) -> None:
    """Only the mode that needs it fails."""
    assert _prices("vol", Side.BUY, sigma=sigma) is None
    assert _prices("fixed", Side.BUY, sigma=sigma) is not None


def test_a_quiet_symbol_keeps_the_least_distance() -> None:
    """A volatility of .1 bps would put both orders into the spread; 2 bps are kept."""
    prices = _prices("vol", Side.BUY, sigma=0.1)
    assert prices == BracketPrices(take_profit_nano=round(100.02 * DOLLAR), stop_nano=round(99.98 * DOLLAR))


def test_parameters_out_of_range_are_refused() -> None:
    """A stop at the entry is none."""
    with pytest.raises(ValueError, match="stop_bps"):
        BracketParameters(stop_bps=0.0)
