"""Owns the benchmark of the native kernels against what a NumPy user would write instead.

Both sides compute the same results on the same data (checked before timing), through the public
Python API with conversion included, interleaved in short blocks in one process. The kernels always
handle missing bars; the peer of the row without missing bars does not need to and does not.
Run ``python tests/bench/bench_kernels.py [--quick]`` to print the rows.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Final, TypedDict

import numpy as np
from numpy.typing import NDArray

from walstreet import kernels
from walstreet.kernels import EwmaBank, RollingBank, Statistic

FloatArray = NDArray[np.float64]

SEED: Final = 20_240_607
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
WARM_UP_RUNS: Final = 100
BLOCK_RUNS: Final = 20
QUICK_RUNS: Final = 300
FULL_RUNS: Final = 3_000


class BenchRow(TypedDict):
    """Hold one measured row; ``ratio`` is peer median over ours, ``target`` the ratio it must reach."""

    name: str
    size: str
    unit: str
    median: float
    p99: float
    peer: str
    peer_median: float
    ratio: float
    target: float


@dataclass(slots=True)
class NativeFeatures:
    """Compute the features through the public banks."""

    rolling: RollingBank
    smoothed: EwmaBank
    lags: NDArray[np.int64]
    returns: FloatArray

    def update(self, prices: FloatArray) -> None:
        """Take one bar."""
        self.rolling.update(prices)
        self.rolling.returns(self.lags, self.returns)
        self.smoothed.update(prices)

    def features(self) -> FloatArray:
        """Return the features ``(FEATURE_COUNT, symbols)``."""
        planes = [self.rolling.plane(plane) for plane in PLANES]
        return np.concatenate([*planes, self.returns, self.smoothed.mean, self.smoothed.variance])


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


def _interleaved_us(
    ours: Callable[[int], object], peer: Callable[[int], object], runs: int
) -> tuple[FloatArray, FloatArray]:
    """Time both sides in turn, a block of runs each, and return their times in microseconds.

    A block lets either side find its own state in the cache, as a process of its own would; the first
    runs of the measurement are a warm-up and left out.
    """
    times = np.empty((2, runs + WARM_UP_RUNS))
    for start in range(0, runs + WARM_UP_RUNS, BLOCK_RUNS):
        block = range(start, min(start + BLOCK_RUNS, runs + WARM_UP_RUNS))
        for side, work in enumerate((ours, peer)):
            for run in block:
                start_ns = perf_counter_ns()
                work(run)
                times[side, run] = (perf_counter_ns() - start_ns) / 1_000
    return times[0, WARM_UP_RUNS:], times[1, WARM_UP_RUNS:]


def _row(name: str, size: str, target: float, times: tuple[FloatArray, FloatArray]) -> BenchRow:
    ours, peer = times
    median, peer_median = float(np.median(ours)), float(np.median(peer))
    return BenchRow(
        name=name,
        size=size,
        unit="us",
        median=median,
        p99=float(np.percentile(ours, 99)),
        peer="numpy",
        peer_median=peer_median,
        ratio=peer_median / median,
        target=target,
    )


def _feature_row(symbol_count: int, runs: int, *, missing_share: float) -> BenchRow:
    generator = np.random.default_rng(SEED)
    steps = generator.normal(0.0, 1e-3, (runs + WARM_UP_RUNS, symbol_count))
    prices = 100.0 * np.exp(np.cumsum(steps, axis=0))
    missing = generator.random(prices.shape) < missing_share
    missing[0] = False
    missing[-1] = False
    prices[missing] = np.nan
    native = NativeFeatures(
        rolling=RollingBank.create(windows_bars=WINDOWS_BARS, capacity_bars=CAPACITY_BARS, symbol_count=symbol_count),
        smoothed=EwmaBank.create(half_lives_bars=HALF_LIVES_BARS, symbol_count=symbol_count),
        lags=np.array(LAGS_BARS, dtype=np.int64),
        returns=np.empty((len(LAGS_BARS), symbol_count)),
    )
    peer_type = MissingAwareNumpyFeatures if missing_share > 0.0 else NumpyFeatures
    peer = peer_type(symbol_count=symbol_count)
    with np.errstate(all="ignore"):
        times = _interleaved_us(lambda bar: native.update(prices[bar]), lambda bar: peer.update(prices[bar]), runs)
    assert len(native.features()) == FEATURE_COUNT
    np.testing.assert_allclose(native.features(), peer.features(), rtol=1e-6, atol=1e-9)
    size = f"{symbol_count} symbols x {FEATURE_COUNT} features"
    name = "feature update, bars missing" if missing_share > 0.0 else "feature update"
    return _row(name, size, 8.0, times)


def _simplex_row(value_count: int, runs: int) -> BenchRow:
    values = np.random.default_rng(SEED).uniform(-0.2, 0.6, value_count)
    np.testing.assert_allclose(kernels.simplex_projection(values), numpy_simplex(values), atol=1e-14)
    times = _interleaved_us(lambda _: kernels.simplex_projection(values), lambda _: numpy_simplex(values), runs)
    return _row("simplex projection", f"{value_count} weights", 1.0, times)


def _blend_row(model_count: int, symbol_count: int, runs: int) -> BenchRow:
    generator = np.random.default_rng(SEED)
    predictions = generator.normal(0.0, 5.0, (model_count, symbol_count))
    predictions[generator.random(predictions.shape) < 0.05] = np.nan
    weights = np.full(model_count, 1.0 / model_count)
    for ours, theirs in zip(kernels.blend(predictions, weights), numpy_blend(predictions, weights), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)
    times = _interleaved_us(
        lambda _: kernels.blend(predictions, weights), lambda _: numpy_blend(predictions, weights), runs
    )
    return _row("blend", f"{model_count} models x {symbol_count} symbols", 1.0, times)


def bench_rows(*, quick: bool) -> list[BenchRow]:
    """Measure every kernel row; ``quick`` takes about a second, else about ten."""
    runs = QUICK_RUNS if quick else FULL_RUNS
    return [
        _feature_row(500, runs, missing_share=0.0),
        _feature_row(500, runs, missing_share=0.02),
        _feature_row(20, runs, missing_share=0.02),
        _simplex_row(20, runs),
        _simplex_row(500, runs),
        _blend_row(20, 20, runs),
        _blend_row(20, 500, runs),
    ]


if __name__ == "__main__":
    sys.stdout.write(f"{kernels.implementation()}\n")
    for bench_row in bench_rows(quick="--quick" in sys.argv):
        sys.stdout.write(json.dumps(bench_row) + "\n")
