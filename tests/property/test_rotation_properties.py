"""Properties of the rotation: no look-ahead, symmetry in the symbols, caps, cash, determinism."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from walstreet.domain.rotation_parameters import RotationParameters
from walstreet.domain.rotation_weights import water_fill
from walstreet.research.swing_engine import ReferenceEngine
from walstreet.research.swing_types import DUST, SwingBars, SwingParameters, SwingResult

DAYS, SYMBOLS = 60, 5
ENGINE = ReferenceEngine()


def random_bars(seed: int, *, gaps: bool) -> SwingBars:
    """Return bars with a common factor, a late symbol and, if asked for, missing days."""
    draw = np.random.default_rng(seed)
    common = draw.normal(0.001, 0.01, size=(DAYS, 1))
    close = 100.0 * np.cumprod(1.0 + 0.5 * common + draw.normal(0.0, 0.01, size=(DAYS, SYMBOLS)), axis=0)
    opened = close * (1.0 + draw.normal(0.0, 0.003, size=close.shape))
    high = np.maximum(opened, close) * (1.0 + draw.uniform(0.0, 0.01, size=close.shape))
    low = np.minimum(opened, close) * (1.0 - draw.uniform(0.0, 0.01, size=close.shape))
    missing = np.zeros(close.shape, dtype=bool)
    missing[:20, SYMBOLS - 1] = True
    if gaps:
        missing |= draw.uniform(size=close.shape) < 0.02
    sides = {"open": opened, "high": high, "low": low, "close": close}
    return SwingBars(
        symbols=tuple("ABCDE"),
        dates=np.arange(DAYS, dtype=np.int32),
        **{name: np.where(missing, np.nan, side) for name, side in sides.items()},
    )


@st.composite
def parameter_sets(draw: st.DrawFn) -> SwingParameters:
    """Draw any strategy with windows that fit the short history."""
    options: dict[str, Any] = {
        "ema_fast": draw(st.integers(1, 8)),
        "ema_slow": draw(st.integers(1, 15)),
        "atr_window": draw(st.integers(1, 10)),
        "macd_enabled": draw(st.booleans()),
        "macd_fast": 3,
        "macd_slow": 6,
        "top_n": draw(st.integers(1, 4)),
        "corr_window": draw(st.integers(3, 15)),
        "corr_cap": draw(st.sampled_from([0.2, 0.5, 0.8, 1.0])),
        "signed_correlation": draw(st.booleans()),
        "hold_bonus": draw(st.sampled_from([0.0, 0.5, 1.0])),
        "weight_method": draw(st.sampled_from(["inv_vol", "hrp", "erc"])),
        "vol_window": draw(st.integers(2, 10)),
        "max_weight": draw(st.sampled_from([0.2, 0.5, 1.0])),
        "cash_buffer": draw(st.sampled_from([0.0, 0.05, 0.3])),
        "cap_mode": draw(st.sampled_from(["water_fill", "clip"])),
        "band": draw(st.sampled_from([0.0, 0.05, 0.2])),
        "regime_column": draw(st.sampled_from([-1, 0])),
        "regime_window": 10,
        "settlement": draw(st.sampled_from(["t+0", "t+1"])),
        "commission_minimum_usd": draw(st.sampled_from([0.0, 1.0])),
        "first_day": draw(st.integers(0, 20)),
        "last_day": DAYS - 1,
    }
    return SwingParameters(**options)


def daily(result: SwingResult, days: int | None = None) -> bytes:
    """Return all numbers of the first days as bytes."""
    fields = ("gross", "turnover", "cost", "net", "equity", "traded", "target", "held")
    return b"".join(np.ascontiguousarray(getattr(result, name)[:days]).tobytes() for name in fields)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), parameters=parameter_sets(), cut=st.integers(25, DAYS - 2), gaps=st.booleans())
def test_any_future_bar_leaves_earlier_days_unchanged(
    seed: int, parameters: SwingParameters, cut: int, gaps: bool
) -> None:
    """Bars after the cut take any other value or vanish; every number up to the cut has the same bytes."""
    bars, other = random_bars(seed, gaps=gaps), random_bars(seed + 1, gaps=True)
    changed = {}
    for side in ("open", "high", "low", "close"):
        values = getattr(bars, side).copy()
        values[cut + 1 :] = getattr(other, side)[cut + 1 :] * 3.0
        changed[side] = values
    mutated = SwingBars(symbols=bars.symbols, dates=bars.dates, **changed)
    days = cut - parameters.first_day + 1
    assert daily(ENGINE.simulate(bars, [parameters]), days) == daily(ENGINE.simulate(mutated, [parameters]), days)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), parameters=parameter_sets(), order=st.permutations(range(SYMBOLS)))
def test_the_order_of_the_universe_does_not_matter_without_ties(
    seed: int, parameters: SwingParameters, order: list[int]
) -> None:
    """Permuted columns give permuted weights and the same returns, but for the order of additions."""
    # A close measured against itself gives every name the score 0, which is nothing but ties.
    assume(parameters.ema_fast > 1)
    bars = random_bars(seed, gaps=False)
    sides = {side: np.ascontiguousarray(getattr(bars, side)[:, order]) for side in ("open", "high", "low", "close")}
    moved = SwingBars(symbols=tuple(bars.symbols[i] for i in order), dates=bars.dates, **sides)
    column = order.index(0) if parameters.regime_column == 0 else -1
    # HRP cuts the list of leaves in half, so which leaf of a tie comes first is part of the method.
    method = "inv_vol" if parameters.weight_method == "hrp" else parameters.weight_method
    plain = msgspec.structs.replace(parameters, weight_method=method)
    first = ENGINE.simulate(bars, [plain])
    second = ENGINE.simulate(moved, [msgspec.structs.replace(plain, regime_column=column)])
    np.testing.assert_allclose(second.target, first.target[:, order], atol=1e-9)
    np.testing.assert_allclose(second.net, first.net, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), parameters=parameter_sets(), gaps=st.booleans())
def test_caps_buffer_and_cash_are_never_exceeded(seed: int, parameters: SwingParameters, gaps: bool) -> None:
    """Targets are long, at most ``top_n``, each within the cap, together within the budget; the book never borrows."""
    bars = random_bars(seed, gaps=gaps)
    result = ENGINE.simulate(bars, [parameters])
    assert (result.target >= 0.0).all()
    assert (result.target <= parameters.max_weight).all()
    assert (result.target.sum(axis=1) <= 1.0 - parameters.cash_buffer + 1e-12).all()
    assert ((result.target > 0.0).sum(axis=1) <= parameters.top_n).all()
    assert (result.held >= 0.0).all()
    assert (result.held.sum(axis=1) <= 1.0 + 2 * DUST).all()
    rows = np.arange(parameters.first_day, parameters.last_day + 1)
    assert not (np.isnan(bars.close[rows]) & (result.target > 0.0)).any()
    np.testing.assert_array_equal(result.net, result.gross - result.cost)
    quiet = ~result.traded
    assert (result.turnover[quiet] == 0.0).all()
    assert (result.cost[quiet] == 0.0).all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), parameters=parameter_sets())
def test_settlement_never_spends_the_sales_of_the_day(seed: int, parameters: SwingParameters) -> None:
    """With T+1 the day's buys are at most the cash before its trades."""
    bars = random_bars(seed, gaps=False)
    cautious = msgspec.structs.replace(parameters, settlement="t+1")
    result = ENGINE.simulate(bars, [cautious])
    for index in range(1, len(result.net)):
        row = parameters.first_day + index
        change = bars.close[row] / bars.close[row - 1] - 1.0
        grown = result.held[index - 1] * np.where(np.isnan(change), 1.0, 1.0 + change)
        drifted = grown / (1.0 + result.gross[index])
        buys = np.maximum(result.held[index] - drifted, 0.0).sum()
        assert buys <= max(0.0, 1.0 - drifted.sum()) + 2 * DUST


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), parameters=parameter_sets(), cut=st.integers(25, DAYS - 2))
def test_segments_with_the_same_parameters_are_one_simulation(seed: int, parameters: SwingParameters, cut: int) -> None:
    """Cutting the days in two changes no byte, because the book is carried over."""
    bars = random_bars(seed, gaps=True)
    before = msgspec.structs.replace(parameters, last_day=cut)
    after = msgspec.structs.replace(parameters, first_day=cut + 1)
    assert daily(ENGINE.simulate(bars, [before, after])) == daily(ENGINE.simulate(bars, [parameters]))


@given(
    raw=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=12), budget=st.floats(0.0, 1.0), cap=st.floats(0.01, 1.0)
)
def test_water_filling_places_all_that_can_be_placed(raw: list[float], budget: float, cap: float) -> None:
    """No weight is above the cap, and the sum is the budget or all caps together."""
    weights = water_fill(raw, budget, cap)
    assert all(0.0 <= weight <= cap for weight in weights)
    assert abs(sum(weights) - min(budget, cap * len(raw))) <= 1e-9


def test_defaults_of_the_strategy_are_the_documents() -> None:
    """Document 004 section 3, with the added parameters on."""
    defaults = RotationParameters()
    assert (defaults.ema_fast, defaults.ema_slow, defaults.atr_window, defaults.top_n) == (20, 50, 20, 2)
    assert (defaults.corr_window, defaults.corr_cap, defaults.min_score) == (90, 0.7, 0.0)
    assert (defaults.vol_window, defaults.max_weight, defaults.cash_buffer) == (20, 0.5, 0.05)
    assert (defaults.hold_bonus, defaults.hold_floor, defaults.band) == (1.0, -0.5, 0.05)
