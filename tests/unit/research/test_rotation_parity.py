"""Owns the proof that research and live trading want the same weights on the same bars, over many days.

The research engine simulates a span; the live plan is asked about each of its days, from a block of daily bars that
ends with that day, holding what the simulation held.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from walstreet.domain.rotation_live_parameters import RotationLiveParameters
from walstreet.domain.rotation_parameters import RotationParameters
from walstreet.domain.rotation_plan import plan_rotation
from walstreet.domain.units import FloatArray
from walstreet.research.swing_data import read_bars
from walstreet.research.swing_engine import ReferenceEngine, price_table
from walstreet.research.swing_types import SwingParameters
from walstreet.testing.rotation_world import CashAccount, daily_bars_of, random_prices, research_bars
from walstreet_events import PRICE_SCALE, QUANTITY_SCALE, DailyBars

ENGINE = ReferenceEngine()
UNIVERSE = ("SPY", "QQQ", "VTI", "TLT", "IEF", "GLD", "XLE", "BND", "BITO")
LIVE_DAYS = 250
"""Complete days in a live block by default."""
SHORT: dict[str, Any] = {
    "ema_fast": 4,
    "ema_slow": 9,
    "atr_window": 5,
    "corr_window": 15,
    "vol_window": 10,
    "corr_cap": 0.9,
}
VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"hold_bonus": 0.0, "band": 0.0},
    {"top_n": 4, "max_weight": 0.3, "cap_mode": "clip"},
    {"weight_method": "hrp", "top_n": 3},
    {"weight_method": "erc", "top_n": 3},
    {"regime_column": 0, "regime_window": 20},
    {"macd_enabled": True, "macd_fast": 3, "macd_slow": 6, "macd_signal": 2},
)


def live_target(bars: DailyBars, parameters: SwingParameters, held: list[int]) -> FloatArray:
    """Return what the live plan wants on the last row, holding a share of each of the columns ``held``."""
    selection = RotationParameters(**{name: getattr(parameters, name) for name in RotationParameters.__struct_fields__})
    rotation = RotationLiveParameters(enabled=True, universe=bars.symbols, selection=selection)
    account = CashAccount(bars.symbols, rotation, 1_000_000 * PRICE_SCALE)
    account.shares_micro = {bars.symbols[column]: QUANTITY_SCALE for column in held}
    account.begin(bars.session_date)
    return plan_rotation(bars, account.view(bars), rotation).target


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(variant) or "default")
def test_research_and_live_want_the_same_to_the_bit(variant: dict[str, Any]) -> None:
    """On every one of twenty days, with everything before it and what was held, the targets are equal bit for bit."""
    days, symbols = 60, 6
    names = tuple("ABCDEF")
    prices = random_prices(1, days=days, symbols=symbols)
    whole = research_bars(daily_bars_of(prices, names, days - 1))
    parameters = SwingParameters(**(SHORT | variant), first_day=40, last_day=days - 1)
    result = ENGINE.simulate(whole, [parameters])
    returns = price_table(whole).returns
    wanted = 0
    for day in range(days - 40):
        row = 40 + day
        before = result.held[day - 1] * (1.0 + returns[row]) if day else np.zeros(symbols)
        target = live_target(daily_bars_of(prices, names, row), parameters, np.flatnonzero(before).tolist())
        assert target.tobytes() == result.target[day].tobytes(), f"row {row}"
        wanted += int(target.any())
    assert wanted > 3, "a test in which nothing is ever wanted shows nothing"


@pytest.mark.data
@pytest.mark.skipif("WALSTREET_DATA" not in os.environ, reason="needs the shared market data folder")
def test_parity_on_real_etfs() -> None:
    """Nine funds, every twenty-fifth day of six years: equal to the bit on the block's own days.

    The block has 250 days, research all of them; its averages begin earlier, which must not change what is chosen on
    more than one day in fifty, nor a weight of the same choice.
    """
    bars = read_bars(Path(os.environ["WALSTREET_DATA"]) / "daily", UNIVERSE)
    prices = {name: getattr(bars, name) for name in ("open", "high", "low", "close")}
    last = len(bars.dates) - 1
    parameters = SwingParameters(first_day=last - 1_500, last_day=last, hold_bonus=0.0)
    result = ENGINE.simulate(bars, [parameters])
    rows = range(last - 1_500, last + 1, 25)
    different, wanted = 0, 0
    for row in rows:
        window = {name: table[row - LIVE_DAYS : row + 1] for name, table in prices.items()}
        block = daily_bars_of(window, UNIVERSE, LIVE_DAYS)
        target = live_target(block, parameters, [])
        one_day = msgspec.structs.replace(parameters, first_day=LIVE_DAYS, last_day=LIVE_DAYS)
        assert target.tobytes() == ENGINE.simulate(research_bars(block), [one_day]).target[0].tobytes()
        full = result.target[row - result.first_day]
        same = bool(((full > 0) == (target > 0)).all())
        different += not same
        wanted += int(target.any())
        if same:
            np.testing.assert_allclose(target, full, rtol=0, atol=1e-6)
    assert wanted > 0.5 * len(rows)
    assert different <= 0.02 * len(rows)
