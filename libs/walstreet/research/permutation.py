"""Owns the permutation test: is the best the optimiser finds in a window better than in the same days, shuffled?

For each run and window the training rows get another order, one order for all symbols, so that what moves together
still does while every pattern over time is broken. A row is the tuple (gap, high, low, close): open over the close
before, and the others over the open. Their logarithms would be permuted and added again; the ratios are multiplied
instead, which is the same without a transcendental function, whose bits may differ between machines. Prices are
rebuilt from the close before the window; the rows before stay and warm the indicators up. Then the whole grid is
optimised again, and the best objective is compared with the best on the real order.

A window's rows are ``train_first .. train_last``; the first row of all has no close before it and stays. Only symbols
with a bar on every one of these rows and on the row before take part, in the permuted *and* in the real world: left
in its place, a symbol without a full window would keep its real patterns, and left out on one side only it would make
the two sides different tests. So the real objective here may differ from the walk-forward's.

The order of ``(seed, run, window)`` is the stable argsort of 64-bit words of the counter-based generator, one word a
row, under the key ``walstreet.swing.permutation/{seed}/{run}/{window}`` (decimal, ASCII); ``window`` is the index in
the list of windows. No other run, thread or window changes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from walstreet.domain.counter_random import uniform_words
from walstreet.domain.units import BoolArray, FloatArray, IntArray
from walstreet.research.statistics import adjusted_p_values, permutation_p_value, simes_p_value
from walstreet.research.swing_types import Objective, SwingBars, SwingEngine, SwingParameters, Window

RUNS_MAX = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PermutationResult:
    """What the test found in each window."""

    windows: tuple[Window, ...]
    covered: BoolArray
    """(W, S) symbols that took part."""
    real: FloatArray
    """(W,) best objective in the real order."""
    permuted: FloatArray
    """(R, W) best objective of every run."""
    p_values: FloatArray
    """(W,) ``(1 + #(permuted >= real)) / (R + 1)``."""
    adjusted: FloatArray
    """(W,) Benjamini-Hochberg over the windows."""
    p_value: float
    """Of all windows together (Simes): the smallest adjusted one."""


def covering(bars: SwingBars, window: Window) -> BoolArray:
    """Return (S,) which symbols have a bar on every training row and on the row before."""
    rows = bars.close[_first_moved(window) - 1 : window.train_last + 1]
    covered: BoolArray = np.logical_and.reduce(~np.isnan(rows), axis=0)
    return covered


def permutation_key(seed: int, run: int, window_index: int) -> bytes:
    """Return the generator's key of one run in one window."""
    return f"walstreet.swing.permutation/{seed}/{run}/{window_index}".encode()


def permutation_order(seed: int, run: int, window_index: int, window: Window) -> IntArray:
    """Return (L,) where each of the L moved rows comes from, counted from the first moved row."""
    words = uniform_words(permutation_key(seed, run, window_index), _moved_rows(window))
    return np.argsort(words, kind="stable").astype(np.int64)


def permuted_bars(bars: SwingBars, window: Window, order: IntArray) -> SwingBars:
    """Return the bars up to ``train_last`` with the training rows in another order and prices rebuilt.

    Row i is ``open = close before * gap``, ``high = open * (high / open)`` and so on, with the ratios of row
    ``order[i]``. A symbol that does not cover the window must be NaN from the row before it on.

    Args:
        bars: Real bars.
        window: Its training rows are permuted.
        order: (L,) from ``permutation_order``.
    """
    first, end = _first_moved(window), window.train_last + 1
    assert order.shape == (end - first,), order.shape
    opens, before = bars.open[first:end], bars.close[first - 1 : end - 1]
    gap = (opens / before)[order]
    high, low, close = ((side[first:end] / opens)[order] for side in (bars.high, bars.low, bars.close))
    prices = {side: np.ascontiguousarray(getattr(bars, side)[:end]) for side in ("open", "high", "low", "close")}
    prices = {side: values.copy() for side, values in prices.items()}
    # Row by row, so that the order of the multiplications, and with it every bit, is fixed.
    last = prices["close"][first - 1]
    for row in range(end - first):
        opened = last * gap[row]
        prices["open"][first + row] = opened
        prices["high"][first + row] = opened * high[row]
        prices["low"][first + row] = opened * low[row]
        last = opened * close[row]
        prices["close"][first + row] = last
    return SwingBars(symbols=bars.symbols, dates=bars.dates[:end], **prices)


def permutation_test(
    engine: SwingEngine,
    bars: SwingBars,
    grid: Sequence[SwingParameters],
    windows: Sequence[Window],
    objective: Objective,
    *,
    seed: int,
    runs: int,
) -> PermutationResult:
    """Return the test of every window.

    Raises:
        ValueError: ``runs`` is out of range, or there is no window or no grid point.
    """
    if not 1 <= runs <= RUNS_MAX:
        raise ValueError(f"permutation: runs is {runs}; allowed is 1 to {RUNS_MAX}")
    if not windows or not grid:
        raise ValueError(f"permutation: {len(windows)} windows and {len(grid)} grid points; at least one of each")
    covered = np.stack([covering(bars, window) for window in windows])
    real = engine.objectives(bars, grid, windows, objective, covered=covered).max(axis=1)
    permuted = engine.permuted_best(bars, grid, windows, objective, seed=seed, runs=range(runs))
    p_values = np.array([permutation_p_value(float(value), permuted[:, index]) for index, value in enumerate(real)])
    return PermutationResult(
        windows=tuple(windows),
        covered=covered,
        real=real,
        permuted=permuted,
        p_values=p_values,
        adjusted=adjusted_p_values(p_values),
        p_value=simes_p_value(p_values),
    )


def _first_moved(window: Window) -> int:
    return max(window.train_first, 1)


def _moved_rows(window: Window) -> int:
    return window.train_last + 1 - _first_moved(window)
