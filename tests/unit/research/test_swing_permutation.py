"""The permutation test: orders, rebuilt prices, who takes part, determinism, uniform p-values on noise."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from walstreet.research.permutation import (
    covering,
    permutation_order,
    permutation_test,
    permuted_bars,
)
from walstreet.research.swing_engine import ReferenceEngine
from walstreet.research.swing_types import SwingBars, SwingParameters, Window

ENGINE = ReferenceEngine()
SIDES = ("open", "high", "low", "close")


def noise(seed: int, days: int = 80, symbols: int = 3, persistence: float = 0.0) -> SwingBars:
    """Return bars whose daily moves are independent, or follow the day before with ``persistence``."""
    draw = np.random.default_rng(seed)
    moves = draw.normal(0.0, 0.01, size=(days, symbols))
    for row in range(1, days):
        moves[row] += persistence * moves[row - 1]
    close = 100.0 * np.cumprod(1.0 + moves, axis=0)
    opened = np.vstack((close[:1], close[:-1])) * (1.0 + draw.normal(0.0, 0.002, size=close.shape))
    high = np.maximum(opened, close) * (1.0 + draw.uniform(0.0, 0.005, size=close.shape))
    low = np.minimum(opened, close) * (1.0 - draw.uniform(0.0, 0.005, size=close.shape))
    return SwingBars(
        symbols=tuple("ABCDEFG"[:symbols]),
        dates=np.arange(days, dtype=np.int32),
        open=opened,
        high=high,
        low=low,
        close=close,
    )


def window(first: int, last: int) -> Window:
    """Return a window with one test day."""
    return Window(train_first=first, train_last=last, test_first=last + 1, test_last=last + 1)


GRID = [
    SwingParameters(ema_fast=fast, ema_slow=8, atr_window=5, corr_window=5, vol_window=5, top_n=1, hold_bonus=0.0)
    for fast in (2, 4)
]


def test_orders_are_permutations_that_depend_on_seed_run_and_window() -> None:
    """Each is complete, all differ, and asking again gives the same."""
    rows = window(10, 59)
    orders = {
        key: permutation_order(*key, rows)
        for key in ((1, 0, 0), (2, 0, 0), (1, 1, 0), (1, 0, 1), (11, 0, 0), (1, 10, 0))
    }
    for order in orders.values():
        assert sorted(order.tolist()) == list(range(50))
    assert len({order.tobytes() for order in orders.values()}) == len(orders)
    np.testing.assert_array_equal(permutation_order(1, 0, 0, rows), orders[1, 0, 0])


def test_the_known_order_of_a_seed() -> None:
    """Frozen, so that another engine can be checked against it without running this one."""
    assert permutation_order(42, 0, 0, window(1, 8)).tolist() == KNOWN_ORDER


KNOWN_ORDER = [2, 4, 7, 5, 6, 3, 1, 0]


def test_prices_are_rebuilt_from_the_close_before_by_hand() -> None:
    """Two rows swapped: the second day's gap 20/22 and close 1.05 come first, then 21/20 and 22/21."""
    sides = {
        "open": [20.0, 21.0, 20.0],
        "high": [20.0, 23.1, 22.0],
        "low": [20.0, 18.9, 18.0],
        "close": [20.0, 22.0, 21.0],
    }
    bars = SwingBars(
        symbols=("A",),
        dates=np.arange(3, dtype=np.int32),
        **{name: np.array(values)[:, None] for name, values in sides.items()},
    )
    made = permuted_bars(bars, Window(train_first=1, train_last=2, test_first=3, test_last=3), np.array([1, 0]))
    first, second = 20.0 * (20.0 / 22.0), 20.0 * (20.0 / 22.0) * 1.05 * 1.05
    assert made.open[:, 0] == pytest.approx([20.0, first, second], rel=1e-15)
    assert made.high[:, 0] == pytest.approx([20.0, first * 1.1, second * 1.1], rel=1e-14)
    assert made.low[:, 0] == pytest.approx([20.0, first * 0.9, second * 0.9], rel=1e-14)
    assert made.close[:, 0] == pytest.approx([20.0, first * 1.05, second * 22 / 21], rel=1e-14)
    # All moves are there once, so the last close is the real one.
    assert made.close[2, 0] == pytest.approx(21.0, rel=1e-14)


def test_one_order_moves_all_symbols_and_leaves_the_prefix() -> None:
    """Returns of each day stay together across symbols; rows before the window are untouched, later ones are gone."""
    bars, rows = noise(1), window(20, 69)
    order = permutation_order(7, 3, 0, rows)
    made = permuted_bars(bars, rows, order)
    assert len(made.dates) == 70
    for side in SIDES:
        np.testing.assert_array_equal(getattr(made, side)[:20], getattr(bars, side)[:20])
    real = bars.close[20:70] / bars.close[19:69]
    np.testing.assert_allclose(made.close[20:] / made.close[19:-1], real[order], rtol=1e-12)


def test_the_identity_rebuilds_the_real_prices() -> None:
    """But for rounding."""
    bars, rows = noise(2), window(0, 60)
    made = permuted_bars(bars, rows, np.arange(60))
    for side in SIDES:
        np.testing.assert_allclose(getattr(made, side), getattr(bars, side)[:61], rtol=1e-12)


def test_only_symbols_with_every_bar_take_part() -> None:
    """One missing bar, in the window or just before it, leaves a symbol out; earlier and later ones do not."""
    bars = noise(3, symbols=5)
    sides = {side: getattr(bars, side).copy() for side in SIDES}
    for column, row in ((1, 40), (2, 19), (3, 18), (4, 70)):
        for values in sides.values():
            values[row, column] = np.nan
    made = SwingBars(symbols=bars.symbols, dates=bars.dates, **sides)
    assert covering(made, window(20, 69)).tolist() == [True, False, False, True, True]


def test_the_test_is_the_same_bytes_again_and_run_by_run() -> None:
    """Twice the same; runs computed one at a time are the runs computed together."""
    bars, windows = noise(4), [window(20, 59), window(30, 69)]
    first = permutation_test(ENGINE, bars, GRID, windows, "Calmar", seed=5, runs=4)
    again = permutation_test(ENGINE, bars, GRID, windows, "Calmar", seed=5, runs=4)
    assert first.permuted.tobytes() == again.permuted.tobytes()
    assert first.p_values.tobytes() == again.p_values.tobytes()
    single = [ENGINE.permuted_best(bars, GRID, windows, "Calmar", seed=5, runs=range(r, r + 1))[0] for r in range(4)]
    np.testing.assert_array_equal(np.stack(single), first.permuted)
    other = permutation_test(ENGINE, bars, GRID, windows, "Calmar", seed=6, runs=4)
    assert not np.array_equal(other.permuted, first.permuted)
    expected = (1 + (first.permuted >= first.real).sum(axis=0)) / 5
    np.testing.assert_array_equal(first.p_values, expected)


@pytest.mark.parametrize(("runs", "windows"), [(0, [window(20, 59)]), (1, [])])
def test_a_test_of_nothing_is_refused(runs: int, windows: list[Window]) -> None:
    """No run or no window."""
    with pytest.raises(ValueError, match="permutation:"):
        permutation_test(ENGINE, noise(4), GRID, windows, "Calmar", seed=1, runs=runs)


def test_p_values_are_uniform_on_noise() -> None:
    """48 independent noise markets, 9 permutations each: Kolmogorov-Smirnov and every tenth are as they should be.

    The p-value takes ten values, so a uniform jitter within a tenth makes it continuous for the test.
    """
    p_values = np.array(
        [
            permutation_test(ENGINE, noise(seed), GRID, [window(20, 78)], "Sharpe", seed=seed, runs=9).p_value
            for seed in range(100, 148)
        ]
    )
    assert set(np.round(p_values * 10).astype(int).tolist()) <= set(range(1, 11))
    spread = p_values - np.random.default_rng(0).uniform(0.0, 0.1, size=len(p_values))
    assert stats.kstest(spread, "uniform").pvalue > 0.01
    assert 0.35 < float(p_values.mean()) < 0.75


def test_a_market_with_lasting_moves_is_told_from_its_shuffles() -> None:
    """Where days follow each other the optimiser's best on the real order beats nearly all shuffled ones."""
    found = permutation_test(
        ENGINE, noise(9, days=160, persistence=0.9), GRID, [window(20, 158)], "Sharpe", seed=1, runs=19
    )
    assert found.p_value <= 0.1


def test_windows_are_adjusted_and_joined() -> None:
    """Adjusted values are at least the raw ones, in the same order, and the joint one is the smallest of them."""
    windows = [window(10 + 10 * k, 50 + 10 * k) for k in range(3)]
    found = permutation_test(ENGINE, noise(12), GRID, windows, "CAGR", seed=3, runs=9)
    assert (found.adjusted >= found.p_values).all()
    assert found.p_value == found.adjusted.min()
    order = np.argsort(found.p_values, kind="stable")
    assert all(a <= b for a, b in pairwise(found.adjusted[order].tolist()))
