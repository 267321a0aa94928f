"""Owns the rows of kernels and features: one bar's update against NumPy, polars and the latency budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from walstreet import kernels
from walstreet.features import FEATURE_COUNT as BUILDER_FEATURE_COUNT
from walstreet.features import FeatureBuilder, FeatureParameters
from walstreet.kernels import EwmaBank, RollingBank
from walstreet.testing.bench.numpy_peers import (
    CAPACITY_BARS,
    FEATURE_COUNT,
    HALF_LIVES_BARS,
    LAGS_BARS,
    PLANES,
    WINDOWS_BARS,
    MissingAwareNumpyFeatures,
    NumpyFeatures,
    numpy_blend,
    numpy_simplex,
)
from walstreet.testing.bench.row import BenchError, Row, Setup, budget_row, make_row
from walstreet.testing.bench.timing import interleaved_us
from walstreet_events import PRICE_SCALE, QUANTITY_SCALE, ROOT, BarBlock, IntBlock, derive_id, int_block

FloatArray = NDArray[np.float64]

SEED: Final = 20_240_607
WARM_UP_RUNS: Final = 100
QUICK_RUNS: Final = 300
FULL_RUNS: Final = 3_000
MISSING_SHARE: Final = 0.02
"""Share of missing bars in the rows whose peer can handle them, as the kernels do; the other peer cannot."""
POLARS_RUNS: Final = 9
POLARS_SYMBOLS: Final = 500

BAR_NS: Final = 60_000_000_000
SESSION_OPEN_NS: Final = 1_795_185_000_000_000_000
BUILDER_WARM_UP_BARS: Final = 130
BUILDER_QUICK_BARS: Final = 100
BUILDER_FULL_BARS: Final = 250
BUILDER_BUDGETS_US: Final = {20: 2_000.0, 500: 10_000.0}
"""A fifth of the 10 ms from bar to intent for a universe of 20; for 500, the tenth of inference's 100 ms."""
SESSION_BARS: Final = 390

FEATURE_TARGET: Final = 8.0
POLARS_TARGET: Final = 50.0

assert BUILDER_WARM_UP_BARS + BUILDER_FULL_BARS <= SESSION_BARS


def feature_rows(setup: Setup) -> list[Row]:
    """Measure kernels, the blend, the simplex projection and the whole feature builder."""
    runs = setup.pick(quick=QUICK_RUNS, full=FULL_RUNS)
    bars = setup.pick(quick=BUILDER_QUICK_BARS, full=BUILDER_FULL_BARS)
    return [
        *kernel_rows(runs),
        polars_row(POLARS_SYMBOLS, POLARS_RUNS),
        *(builder_row(count, bars, budget_us) for count, budget_us in BUILDER_BUDGETS_US.items()),
    ]


def kernel_rows(runs: int) -> list[Row]:
    """Measure the kernels against NumPy."""
    return [
        _feature_row(500, runs),
        _feature_row(500, runs, missing_share=MISSING_SHARE),
        _feature_row(20, runs),
        _feature_row(20, runs, missing_share=MISSING_SHARE),
        _simplex_row(20, runs),
        _simplex_row(500, runs),
        _blend_row(20, 20, runs),
        _blend_row(20, 500, runs),
    ]


@dataclass(slots=True)
class NativeFeatures:
    """Compute the features through the public banks."""

    rolling: RollingBank
    smoothed: EwmaBank
    lags: NDArray[np.int64]
    returns: FloatArray

    @classmethod
    def create(cls, symbol_count: int) -> NativeFeatures:
        """Return banks for ``symbol_count`` symbols."""
        return cls(
            rolling=RollingBank.create(
                windows_bars=WINDOWS_BARS, capacity_bars=CAPACITY_BARS, symbol_count=symbol_count
            ),
            smoothed=EwmaBank.create(half_lives_bars=HALF_LIVES_BARS, symbol_count=symbol_count),
            lags=np.array(LAGS_BARS, dtype=np.int64),
            returns=np.empty((len(LAGS_BARS), symbol_count)),
        )

    def update(self, prices: FloatArray) -> None:
        """Take one bar."""
        self.rolling.update(prices)
        self.rolling.returns(self.lags, self.returns)
        self.smoothed.update(prices)

    def features(self) -> FloatArray:
        """Return the features ``(FEATURE_COUNT, symbols)``."""
        planes = [self.rolling.plane(plane) for plane in PLANES]
        return np.concatenate([*planes, self.returns, self.smoothed.mean, self.smoothed.variance])


def _prices(bars: int, symbol_count: int) -> FloatArray:
    steps = np.random.default_rng(SEED).normal(0.0, 1e-3, (bars, symbol_count))
    prices: FloatArray = 100.0 * np.exp(np.cumsum(steps, axis=0))
    return prices


def _kernel_row(name: str, size: str, target: float, times: FloatArray, peer: str = "numpy") -> Row:
    return make_row(name=name, size=size, unit="us", samples=times[0], peer=peer, peer_samples=times[1], target=target)


def _feature_row(symbol_count: int, runs: int, *, missing_share: float = 0.0) -> Row:
    prices = _prices(runs + WARM_UP_RUNS, symbol_count)
    peer = NumpyFeatures(symbol_count=symbol_count)
    if missing_share:
        missing = np.random.default_rng(SEED).random(prices.shape) < missing_share
        # The peer needs a complete first bar; the results are compared on the last.
        missing[[0, -1]] = False
        prices[missing] = np.nan
        peer = MissingAwareNumpyFeatures(symbol_count=symbol_count)
    native = NativeFeatures.create(symbol_count)
    with np.errstate(all="ignore"):
        times = interleaved_us(
            (lambda bar: native.update(prices[bar]), lambda bar: peer.update(prices[bar])),
            runs=runs,
            warm_up=WARM_UP_RUNS,
        )
    np.testing.assert_allclose(native.features(), peer.features(), rtol=1e-6, atol=1e-9)
    name = "feature update, bars missing" if missing_share else "feature update"
    return _kernel_row(name, f"{symbol_count} symbols x {FEATURE_COUNT} features", FEATURE_TARGET, times)


def _simplex_row(value_count: int, runs: int) -> Row:
    values = np.random.default_rng(SEED).uniform(-0.2, 0.6, value_count)
    np.testing.assert_allclose(kernels.simplex_projection(values), numpy_simplex(values), atol=1e-14)
    times = interleaved_us(
        (lambda _: kernels.simplex_projection(values), lambda _: numpy_simplex(values)),
        runs=runs,
        warm_up=WARM_UP_RUNS,
    )
    return _kernel_row("simplex projection", f"{value_count} weights", 1.0, times)


def _blend_row(model_count: int, symbol_count: int, runs: int) -> Row:
    generator = np.random.default_rng(SEED)
    predictions = generator.normal(0.0, 5.0, (model_count, symbol_count))
    predictions[generator.random(predictions.shape) < 0.05] = np.nan
    weights = np.full(model_count, 1.0 / model_count)
    for ours, theirs in zip(kernels.blend(predictions, weights), numpy_blend(predictions, weights), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)
    times = interleaved_us(
        (lambda _: kernels.blend(predictions, weights), lambda _: numpy_blend(predictions, weights)),
        runs=runs,
        warm_up=WARM_UP_RUNS,
    )
    return _kernel_row("blend", f"{model_count} models x {symbol_count} symbols", 1.0, times)


def polars_row(symbol_count: int, runs: int) -> Row:
    """Measure one update against recomputing everything from the last bars with polars."""
    bars = CAPACITY_BARS + runs + 1
    prices = _prices(bars, symbol_count)
    native = NativeFeatures.create(symbol_count)
    for bar in range(CAPACITY_BARS):
        native.update(prices[bar])
    names = [f"S{number:04d}" for number in range(symbol_count)]
    plan = _polars_plan()
    found: list[pl.DataFrame] = []

    def recompute(run: int) -> None:
        last = prices[run + 1 : run + 1 + CAPACITY_BARS]
        frame = pl.DataFrame({"symbol": np.tile(names, CAPACITY_BARS), "price": last.ravel()})
        found[:] = [frame.group_by("symbol", maintain_order=True).agg(plan)]

    times = interleaved_us(
        (lambda run: native.update(prices[run + CAPACITY_BARS]), recompute), runs=runs, warm_up=1, block=1
    )
    theirs = found[0].select(f"mean_{WINDOWS_BARS[0]}").to_numpy().ravel()
    np.testing.assert_allclose(native.rolling.plane(PLANES[0])[0], theirs, rtol=1e-9)
    size = f"{symbol_count} symbols x {FEATURE_COUNT} features"
    return _kernel_row("feature update", size, POLARS_TARGET, times, peer="polars")


def _polars_plan() -> list[pl.Expr]:
    """Return the expressions of all features but the returns' signs, as a polars user writes them."""
    price, last = pl.col("price"), pl.col("price").last()
    plan: list[pl.Expr] = []
    for window in WINDOWS_BARS:
        values = price.tail(window)
        mean, deviation = values.mean(), values.std()
        plan += [
            mean.alias(f"mean_{window}"),
            deviation.alias(f"deviation_{window}"),
            ((last - mean) / deviation).alias(f"score_{window}"),
            ((last - values.min()) / (values.max() - values.min())).alias(f"position_{window}"),
            values.min().alias(f"minimum_{window}"),
            values.max().alias(f"maximum_{window}"),
        ]
    plan += [(last / price.get(CAPACITY_BARS - 1 - lag) - 1.0).alias(f"return_{lag}") for lag in LAGS_BARS]
    for half_life in HALF_LIVES_BARS:
        plan.append(price.ewm_mean(half_life=half_life, adjust=False).last().alias(f"smooth_{half_life}"))
        plan.append(price.ewm_var(half_life=half_life, adjust=False).last().alias(f"spread_{half_life}"))
    if len(plan) != FEATURE_COUNT:
        raise BenchError(f"the polars peer computes {len(plan)} features, ours {FEATURE_COUNT}; make them the same")
    return plan


def builder_row(symbol_count: int, bars: int, budget_us: float) -> Row:
    """Measure the whole feature builder, wire block in and matrix out, against its share of the latency budget."""
    blocks = bar_blocks(symbol_count, BUILDER_WARM_UP_BARS + bars)
    builder = FeatureBuilder(blocks[0].symbols, FeatureParameters(), bar_ns=BAR_NS)
    complete = 0

    def update(bar: int) -> None:
        nonlocal complete
        complete = int(builder.update(blocks[bar]).complete.sum())

    times = interleaved_us((update,), runs=bars, warm_up=BUILDER_WARM_UP_BARS)[0]
    if complete != symbol_count:
        raise BenchError(f"the builder completed {complete} of {symbol_count} symbols after {len(blocks)} bars")
    return budget_row(
        name="feature builder",
        size=f"{symbol_count} symbols x {BUILDER_FEATURE_COUNT} features",
        unit="us",
        median=float(np.median(times)),
        p99=float(np.percentile(times, 99)),
        budget=budget_us,
    )


def bar_blocks(symbol_count: int, bars: int) -> list[BarBlock]:
    """Return one-minute bars of ``symbol_count`` symbols, all traded and quoted."""
    generator = np.random.default_rng(SEED)
    symbols = tuple(f"S{number:04d}" for number in range(symbol_count))
    closes = _prices(bars + 1, symbol_count)
    zeros = int_block(np.zeros(symbol_count, dtype=np.int64))
    blocks = []
    for bar in range(bars):
        opened, closed = closes[bar], closes[bar + 1]
        high, low = np.maximum(opened, closed) * 1.0002, np.minimum(opened, closed) * 0.9998
        volume = generator.integers(1_000, 100_000, symbol_count)
        signed = generator.integers(-500, 500, symbol_count)
        end_ns = SESSION_OPEN_NS + (bar + 1) * BAR_NS
        counts = int_block(np.full(symbol_count, 30))
        blocks.append(
            BarBlock(
                id=derive_id("bench", "bar_block.v1", bar),
                cause=ROOT,
                ts_ns=end_ns,
                symbols=symbols,
                bar_ns=BAR_NS,
                warmup=False,
                open_nano=_wire(opened, PRICE_SCALE),
                high_nano=_wire(high, PRICE_SCALE),
                low_nano=_wire(low, PRICE_SCALE),
                close_nano=_wire(closed, PRICE_SCALE),
                volume_micro=_wire(volume, QUANTITY_SCALE),
                trade_count=counts,
                vwap_nano=_wire(0.5 * (opened + closed), PRICE_SCALE),
                bid_nano=_wire(closed - 0.01, PRICE_SCALE),
                ask_nano=_wire(closed + 0.01, PRICE_SCALE),
                bid_size_micro=_wire(generator.integers(1, 50, symbol_count) * 100, QUANTITY_SCALE),
                ask_size_micro=_wire(generator.integers(1, 50, symbol_count) * 100, QUANTITY_SCALE),
                spread_mean_nano=_wire(np.full(symbol_count, 0.02), PRICE_SCALE),
                signed_volume_micro=_wire(signed, QUANTITY_SCALE),
                quote_count=counts,
                quote_ts_ns=int_block(np.full(symbol_count, end_ns - 1)),
                flags=zeros,
            )
        )
    return blocks


def _wire(values: object, scale: int) -> IntBlock:
    return int_block(np.rint(np.asarray(values) * float(scale)).astype(np.int64))
