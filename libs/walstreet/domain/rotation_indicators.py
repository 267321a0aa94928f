"""Owns the rotation's indicators over daily bars: EMA, ATR, MACD, simple average, volatility, correlation.

All take (T, S) arrays with NaN where a symbol has no bar, and every value depends on its own and earlier rows only.
Averages see a symbol's own bars and skip days without one, where they are NaN. Rolling statistics take a fixed number
of rows and are NaN if one value among them is. Everything is element by element or added in the order of the days,
never by BLAS, so a column's bits depend neither on the other columns nor on the machine.
"""

from __future__ import annotations

import numpy as np

from walstreet.domain.units import BoolArray, FloatArray


def ema(close: FloatArray, window: int) -> FloatArray:
    """Return (T, S) exponential averages with ``a = 2 / (window + 1)``, seeded with a symbol's first close.

    ``e = e + a * (close - e)``; NaN before the symbol's bar number ``window`` and on days without a bar.
    """
    alpha = 2.0 / (window + 1.0)
    averages = np.full_like(close, np.nan)
    level = np.zeros(close.shape[1])
    count = np.zeros(close.shape[1], dtype=np.int64)
    for day, row in enumerate(close):
        present = ~np.isnan(row)
        level = np.where(present, np.where(count == 0, row, level + alpha * (row - level)), level)
        count += present
        averages[day] = np.where(present & (count >= window), level, np.nan)
    return averages


def macd(close: FloatArray, *, fast: int, slow: int, signal: int) -> tuple[FloatArray, FloatArray]:
    """Return (T, S) MACD, the fast less the slow EMA, and (T, S) its signal line, an EMA of it (Appel 2005).

    The MACD begins at bar ``max(fast, slow)``; the signal line is seeded with its first value and begins at value
    number ``signal``.
    """
    line = ema(close, fast) - ema(close, slow)
    return line, ema(line, signal)


def true_range(high: FloatArray, low: FloatArray, close: FloatArray) -> FloatArray:
    """Return (T, S) true ranges in USD; a symbol's first is ``high - low``, NaN without a bar (Wilder 1978)."""
    ranges = high - low
    before = close_before(close)
    gapped = np.maximum(np.maximum(ranges, np.abs(high - before)), np.abs(low - before))
    return np.where(np.isnan(before), ranges, gapped)


def atr(high: FloatArray, low: FloatArray, close: FloatArray, window: int) -> FloatArray:
    """Return (T, S) Wilder's average true range in USD: the mean of the first ``window``, then his smoothing.

    ``(atr * (window - 1) + range) / window``; NaN before bar number ``window`` and on days without a bar.
    """
    ranges = true_range(high, low, close)
    averages = np.full_like(close, np.nan)
    total = np.zeros(close.shape[1])
    level = np.zeros(close.shape[1])
    count = np.zeros(close.shape[1], dtype=np.int64)
    for day, row in enumerate(ranges):
        present = ~np.isnan(row)
        count += present
        total = np.where(present & (count <= window), total + row, total)
        smoothed = (level * (window - 1.0) + row) / window
        level = np.where(present, np.where(count <= window, total / window, smoothed), level)
        averages[day] = np.where(present & (count >= window), level, np.nan)
    return averages


def close_before(close: FloatArray) -> FloatArray:
    """Return (T, S) the close of each symbol's bar before this row, however long ago; NaN where there is none."""
    before = np.full_like(close, np.nan)
    if len(close) > 1:
        before[1:] = last_close(close)[:-1]
    return before


def last_close(close: FloatArray) -> FloatArray:
    """Return (T, S) the close of each symbol's newest bar up to this row; NaN before its first."""
    days = np.where(np.isnan(close), -1, np.arange(len(close))[:, None])
    newest = np.maximum.accumulate(days, axis=0)
    # Before the first bar the index is -1, and row 0 is a NaN there as well.
    filled: FloatArray = np.take_along_axis(close, np.maximum(newest, 0), axis=0)
    return filled


def row_returns(close: FloatArray) -> FloatArray:
    """Return (T, S) ``close / close of the row before - 1``; NaN where either row has no bar."""
    returns = np.full_like(close, np.nan)
    returns[1:] = close[1:] / close[:-1] - 1.0
    return returns


def rolling_deviation(returns: FloatArray, window: int) -> FloatArray:
    """Return (T, S) sample standard deviations over the last ``window`` rows; NaN unless all are known."""
    _, squares = _centred(returns, window)
    return np.sqrt(squares / (window - 1.0))


def rolling_complete(returns: FloatArray, window: int) -> BoolArray:
    """Return (T, S) whether each of the last ``window`` rows is known."""
    known = np.zeros((len(returns) + 1, returns.shape[1]), dtype=np.int64)
    known[1:] = np.cumsum(~np.isnan(returns), axis=0)
    complete = np.zeros(returns.shape, dtype=np.bool_)
    if len(returns) >= window:
        complete[window - 1 :] = known[window:] - known[:-window] == window
    return complete


def rolling_correlation(left: FloatArray, right: FloatArray, window: int) -> FloatArray:
    """Return (T,) Pearson correlations over the last ``window`` rows of two series (T,).

    NaN unless all values of both are known and neither is constant.
    """
    pair = np.ascontiguousarray(np.stack((left, right), axis=1))
    means, squares = _centred(pair, window)
    product = np.zeros(len(pair))
    for lag in range(window - 1, -1, -1):
        shifted = _lagged(pair, lag) - means
        product = product + shifted[:, 0] * shifted[:, 1]
    scale = squares[:, 0] * squares[:, 1]
    correlation = np.full(len(pair), np.nan)
    np.divide(product, np.sqrt(scale), out=correlation, where=scale > 0.0)
    return correlation


def simple_average(close: FloatArray, window: int) -> FloatArray:
    """Return (T,) means of the last ``window`` bars of one symbol (T,); NaN before and on days without a bar."""
    averages = np.full_like(close, np.nan)
    present = np.flatnonzero(~np.isnan(close))
    own = close[present]
    total = np.zeros(len(own))
    for lag in range(window - 1, -1, -1):
        total = total + _lagged(own, lag)
    averages[present] = total / window
    return averages


def _centred(values: FloatArray, window: int) -> tuple[FloatArray, FloatArray]:
    """Return (T, S) rolling means and (T, S) sums of squared differences from them, added oldest first."""
    total = np.zeros_like(values)
    for lag in range(window - 1, -1, -1):
        total = total + _lagged(values, lag)
    means = total / window
    squares = np.zeros_like(values)
    for lag in range(window - 1, -1, -1):
        difference = _lagged(values, lag) - means
        squares = squares + difference * difference
    return means, squares


def _lagged(values: FloatArray, lag: int) -> FloatArray:
    """Return ``values`` moved down by ``lag`` rows, NaN above."""
    moved = np.full_like(values, np.nan)
    moved[lag:] = values[: max(0, len(values) - lag)]
    return moved
