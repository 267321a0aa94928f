"""Owns the peers in NumPy: what a careful user would write in the place of the kernels.

They get the easier task where there is a choice: they assume that no bar is missing and that shapes fit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from walstreet.kernels import Statistic

FloatArray = NDArray[np.float64]

WINDOWS_BARS: Final = (5, 10, 20, 30, 60)
LAGS_BARS: Final = (1, 2, 3, 5, 10, 20, 30, 60)
HALF_LIVES_BARS: Final = (2.0, 5.0, 10.0, 20.0, 40.0, 80.0)
CAPACITY_BARS: Final = 61
PLANES: Final = (
    Statistic.MEAN,
    Statistic.DEVIATION,
    Statistic.SCORE,
    Statistic.POSITION,
    Statistic.MINIMUM,
    Statistic.MAXIMUM,
)
FEATURE_COUNT: Final = len(PLANES) * len(WINDOWS_BARS) + len(LAGS_BARS) + 2 * len(HALF_LIVES_BARS)


@dataclass(slots=True)
class NumpyFeatures:
    """Compute the same features with running sums, as a careful NumPy user would.

    The bars lie twice in a mirrored buffer, so that every window is a contiguous slice; minima and
    maxima of longer windows reuse those of shorter ones; operations run on all windows at once.
    """

    symbol_count: int
    bars: int = 0
    mirrored: FloatArray = field(init=False)
    anchor: FloatArray = field(init=False)
    sums: FloatArray = field(init=False)
    squares: FloatArray = field(init=False)
    planes: FloatArray = field(init=False)
    returns: FloatArray = field(init=False)
    means: FloatArray = field(init=False)
    variances: FloatArray = field(init=False)
    alphas: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        """Allocate the state."""
        symbols = self.symbol_count
        self.mirrored = np.zeros((2 * CAPACITY_BARS, symbols))
        self.anchor = np.zeros(symbols)
        self.sums = np.zeros((len(WINDOWS_BARS), symbols))
        self.squares = np.zeros((len(WINDOWS_BARS), symbols))
        self.planes = np.zeros((len(PLANES), len(WINDOWS_BARS), symbols))
        self.returns = np.zeros((len(LAGS_BARS), symbols))
        self.means = np.zeros((len(HALF_LIVES_BARS), symbols))
        self.variances = np.zeros((len(HALF_LIVES_BARS), symbols))
        self.alphas = np.array([1.0 - 2.0 ** (-1.0 / half) for half in HALF_LIVES_BARS])[:, None]

    def update(self, prices: FloatArray) -> None:
        """Take one bar; the first bar seeds the anchor and the means."""
        if self.bars == 0:
            self.anchor[:] = prices
            self.means[:] = prices
            self.mirrored[:] = prices
        row = self.bars % CAPACITY_BARS + CAPACITY_BARS
        leaving = self.mirrored[row - np.array(WINDOWS_BARS)] - self.anchor
        entering = prices - self.anchor
        self.mirrored[row] = prices
        self.mirrored[row - CAPACITY_BARS] = prices
        self.sums += entering - leaving
        self.squares += entering * entering - leaving * leaving
        self._statistics(prices, row)
        np.divide(prices, self.mirrored[row - np.array(LAGS_BARS)], out=self.returns)
        self.returns -= 1.0
        difference = prices - self.means
        step = self.alphas * difference
        self.means += step
        self.variances += difference * step
        self.variances *= 1.0 - self.alphas
        self.bars += 1

    def _statistics(self, prices: FloatArray, row: int) -> None:
        mean, deviation, score, position, smallest, largest = self.planes
        counts = np.array(WINDOWS_BARS, dtype=np.float64)[:, None]
        shifted_mean = self.sums / counts
        np.add(shifted_mean, self.anchor, out=mean)
        centred = np.maximum(self.squares - self.sums * shifted_mean, 0.0)
        np.sqrt(centred / (counts - 1.0), out=deviation)
        np.divide(prices - mean, deviation, out=score)
        end = row + 1
        for index, window in enumerate(WINDOWS_BARS):
            segment = self.mirrored[row + 1 - window : end]
            segment.min(axis=0, out=smallest[index])
            segment.max(axis=0, out=largest[index])
            if index > 0:
                np.minimum(smallest[index], smallest[index - 1], out=smallest[index])
                np.maximum(largest[index], largest[index - 1], out=largest[index])
            end = row + 1 - window
        np.divide(prices - smallest, largest - smallest, out=position)

    def features(self) -> FloatArray:
        """Return the features ``(FEATURE_COUNT, symbols)``."""
        return np.concatenate([*self.planes, self.returns, self.means, self.variances])


@dataclass(slots=True)
class MissingAwareNumpyFeatures(NumpyFeatures):
    """Compute the same features where bars may be missing, which is what the kernels do.

    Missing bars count nothing: they are 0 in the running sums and infinite in the mirrored buffers of
    the minima and maxima. The first bar must be complete.
    """

    present: FloatArray = field(init=False)
    shifted: FloatArray = field(init=False)
    lower: FloatArray = field(init=False)
    upper: FloatArray = field(init=False)
    counts: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        """Allocate the state."""
        NumpyFeatures.__post_init__(self)
        shape = self.mirrored.shape
        self.mirrored[:] = np.nan
        self.present = np.zeros(shape)
        self.shifted = np.zeros(shape)
        self.lower = np.full(shape, np.inf)
        self.upper = np.full(shape, -np.inf)
        self.counts = np.zeros_like(self.sums)

    def update(self, prices: FloatArray) -> None:
        """Take one bar; NaN is missing."""
        if self.bars == 0:
            self.anchor[:] = prices
            self.means[:] = prices
        row = self.bars % CAPACITY_BARS + CAPACITY_BARS
        leaving_rows = row - np.array(WINDOWS_BARS)
        usable = ~np.isnan(prices)
        entering = np.where(usable, prices - self.anchor, 0.0)
        leaving = self.shifted[leaving_rows]
        self.counts += usable - self.present[leaving_rows]
        self.sums += entering - leaving
        self.squares += entering * entering - leaving * leaving
        for at in (row, row - CAPACITY_BARS):
            self.mirrored[at] = prices
            self.present[at] = usable
            self.shifted[at] = entering
            self.lower[at] = np.where(usable, prices, np.inf)
            self.upper[at] = np.where(usable, prices, -np.inf)
        self._statistics(prices, row)
        np.divide(prices, self.mirrored[row - np.array(LAGS_BARS)], out=self.returns)
        self.returns -= 1.0
        difference = prices - self.means
        step = self.alphas * difference
        np.add(self.means, step, out=self.means, where=usable)
        moved = (1.0 - self.alphas) * (self.variances + difference * step)
        np.copyto(self.variances, moved, where=usable)
        self.bars += 1

    def _statistics(self, prices: FloatArray, row: int) -> None:
        mean, deviation, score, position, smallest, largest = self.planes
        shifted_mean = self.sums / self.counts
        np.add(shifted_mean, self.anchor, out=mean)
        centred = np.maximum(self.squares - self.sums * shifted_mean, 0.0)
        np.sqrt(centred / (self.counts - 1.0), out=deviation)
        np.divide(prices - mean, deviation, out=score)
        end = row + 1
        for index, window in enumerate(WINDOWS_BARS):
            self.lower[row + 1 - window : end].min(axis=0, out=smallest[index])
            self.upper[row + 1 - window : end].max(axis=0, out=largest[index])
            if index > 0:
                np.minimum(smallest[index], smallest[index - 1], out=smallest[index])
                np.maximum(largest[index], largest[index - 1], out=largest[index])
            end = row + 1 - window
        np.divide(prices - smallest, largest - smallest, out=position)


def numpy_simplex(values: FloatArray) -> FloatArray:
    """Project onto the simplex as published (Duchi et al. 2008, figure 1)."""
    descending = np.sort(values)[::-1]
    excess = np.cumsum(descending) - 1.0
    ranks = np.arange(1, len(values) + 1)
    support = np.nonzero(descending * ranks > excess)[0][-1]
    projection: FloatArray = np.maximum(values - excess[support] / (support + 1.0), 0.0)
    return projection


def numpy_blend(predictions: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Blend over the models that answered."""
    answered = ~np.isnan(predictions)
    present = weights @ answered
    with np.errstate(invalid="ignore"):
        blended: FloatArray = weights @ np.where(answered, predictions, 0.0) / present
    return blended, present
