"""Owns the proof that the native rotation engine returns the reference's bits, for any parameters, bars and threads."""

import itertools
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet import kernels
from walstreet.domain.units import FloatArray
from walstreet.kernels.swing import OBJECTIVES, swing_implementation
from walstreet.research.swing_engine import ReferenceEngine
from walstreet.research.swing_grid import make_grid
from walstreet.research.swing_native import NativeEngine
from walstreet.research.swing_types import SwingBars, SwingParameters, SwingResult, Window

native = pytest.importorskip("walstreet_native", reason="the native wheel is not installed")
if swing_implementation()[0] != "native":
    pytest.skip(f"rebuild the native wheel: {swing_implementation()[1]}", allow_module_level=True)

LEVELS = tuple(native.available_levels())
REFERENCE = ReferenceEngine()
SYMBOL_COUNTS = (1, 2, 3, 5, 9, 12, 16, 17, 24, 32, 33, 40)
"""Both widths of masks, filled and unfilled registers, and lists."""
SERIES = ("gross", "turnover", "cost", "net", "equity", "traded", "target", "held")
DAYS_MIN, DAYS_MAX = 30, 120
FEW = settings(max_examples=60, deadline=None)
FEWER = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(params=LEVELS, autouse=True)
def _level(request: pytest.FixtureRequest) -> Iterator[None]:
    before = native.level()
    native.set_level(request.param)
    yield
    native.set_level(before)


def make_bars(generator: np.random.Generator, *, symbols: int, days: int) -> SwingBars:
    """Return prices with a common part, late starts, holes and, from three symbols on, two that are equal."""
    moves = generator.normal(0.0004, 0.012, (days, symbols)) + generator.normal(0.0, 0.006, (days, 1))
    close = 100.0 * np.exp(np.add.accumulate(moves, axis=0))
    opens = np.concatenate((close[:1], close[:-1])) * np.exp(generator.normal(0.0, 0.003, (days, symbols)))
    high = np.maximum(opens, close) * np.exp(np.abs(generator.normal(0.0, 0.004, (days, symbols))))
    low = np.minimum(opens, close) * np.exp(-np.abs(generator.normal(0.0, 0.004, (days, symbols))))
    for side in (opens, high, low, close):
        if symbols > 2:
            side[:, 1] = side[:, 0]
    for symbol in range(symbols):
        start = int(generator.integers(1, days // 2)) if generator.random() < 0.3 else 0
        holes = generator.random(days) < (0.01 if generator.random() < 0.5 else 0.0)
        holes[:start] = True
        for side in (opens, high, low, close):
            side[holes, symbol] = np.nan
    dates = np.arange(days, dtype=np.int32)
    names = tuple(f"S{symbol}" for symbol in range(symbols))
    return SwingBars(symbols=names, dates=dates, open=opens, high=high, low=low, close=close)


def make_point(generator: np.random.Generator, *, symbols: int) -> SwingParameters:
    """Return any parameters that the native engine knows."""
    keeps = generator.random() < 0.6
    return SwingParameters(
        ema_fast=int(generator.integers(1, 15)),
        ema_slow=int(generator.integers(2, 30)),
        atr_window=int(generator.integers(1, 15)),
        macd_enabled=bool(generator.random() < 0.2),
        macd_fast=int(generator.integers(2, 6)),
        macd_slow=int(generator.integers(6, 15)),
        top_n=int(generator.integers(1, 6)),
        corr_window=int(generator.integers(2, 40)),
        corr_cap=float(generator.choice([-0.2, 0.0, 0.3, 0.6, 0.9, 1.0])),
        signed_correlation=bool(generator.random() < 0.3),
        min_score=float(generator.choice([-1.0, 0.0, 0.2])),
        hold_bonus=float(generator.choice([1e-300, 0.5, 1.0])) if keeps else 0.0,
        hold_floor=-1.0,
        vol_window=int(generator.integers(2, 25)),
        max_weight=float(generator.choice([0.0, 0.3, 0.5, 1.0])),
        cash_buffer=float(generator.choice([0.0, 0.05, 0.5])),
        cap_mode="clip" if generator.random() < 0.5 else "water_fill",
        band=float(generator.choice([0.0, 0.02, 0.1])),
        regime_column=int(generator.integers(-1, symbols)) if generator.random() < 0.3 else -1,
        regime_window=int(generator.integers(1, 40)),
        regime_factor=float(generator.choice([0.0, 0.5, 1.0])),
        commission_minimum_usd=1.0 if generator.random() < 0.15 else 0.0,
        settlement="t+1" if generator.random() < 0.3 else "t+0",
    )


def make_segments(generator: np.random.Generator, *, symbols: int, days: int) -> list[SwingParameters]:
    """Return one to three segments that follow each other."""
    cuts = sorted(generator.choice(np.arange(1, days), size=int(generator.integers(1, 4)), replace=False).tolist())
    edges = [int(generator.integers(0, cuts[0])), *cuts]
    return [
        msgspec.structs.replace(make_point(generator, symbols=symbols), first_day=first, last_day=last - 1)
        for first, last in itertools.pairwise(edges)
    ]


def make_windows(generator: np.random.Generator, *, days: int) -> list[Window]:
    """Return one to four windows in any order, which may overlap, be equal or last one day."""
    windows = []
    for _ in range(int(generator.integers(1, 5))):
        first = int(generator.integers(0, days - 2))
        last = int(generator.integers(first, days - 1))
        windows.append(Window(train_first=first, train_last=last, test_first=last + 1, test_last=last + 1))
    return windows


def make_points(generator: np.random.Generator, *, symbols: int) -> list[SwingParameters]:
    """Return unrelated points, or a grid, whose points share most of their parts."""
    point = make_point(generator, symbols=symbols)
    if generator.random() < 0.4:
        return [point, make_point(generator, symbols=symbols), make_point(generator, symbols=symbols), point]
    return list(make_grid(point, {"ema_fast": (3, 5), "top_n": (1, 2, 3), "corr_cap": (0.2, 0.5, 0.7, 0.9)}))


def assert_same(ours: SwingResult, theirs: SwingResult) -> None:
    """Compare every bit of two simulations."""
    for name in SERIES:
        left, right = getattr(ours, name), getattr(theirs, name)
        assert left.tobytes() == right.tobytes(), f"{name} differs by {np.abs(left * 1.0 - right * 1.0).max()}"


@FEW
@given(seed=seeds)
def test_a_simulation_has_the_references_bits(seed: int) -> None:
    """Any parameters, segments and bars: weights, returns, costs and equity are equal to the bit."""
    generator = np.random.default_rng(seed)
    symbols, days = int(generator.choice(SYMBOL_COUNTS)), int(generator.integers(DAYS_MIN, DAYS_MAX))
    bars = make_bars(generator, symbols=symbols, days=days)
    segments = make_segments(generator, symbols=symbols, days=days)
    assert_same(NativeEngine().simulate(bars, segments), REFERENCE.simulate(bars, segments))


@FEWER
@given(seed=seeds, objective=st.sampled_from(OBJECTIVES))
def test_objectives_have_the_references_bits_at_any_number_of_threads(seed: int, objective: str) -> None:
    """Grids over windows, with symbols that exist in some of them only: equal to the bit for 1 and for 3 threads."""
    generator = np.random.default_rng(seed)
    symbols, days = int(generator.choice(SYMBOL_COUNTS)), int(generator.integers(DAYS_MIN, DAYS_MAX))
    bars = make_bars(generator, symbols=symbols, days=days)
    windows, points = make_windows(generator, days=days), make_points(generator, symbols=symbols)[:8]
    covered = generator.random((len(windows), symbols)) < 0.8 if generator.random() < 0.5 else None
    assert objective in {"Calmar", "CAGR", "Sharpe"}
    theirs = REFERENCE.objectives(bars, points, windows, objective, covered=covered)  # type: ignore[arg-type]
    for threads in (1, 3):
        engine = NativeEngine(threads=threads)
        ours = engine.objectives(bars, points, windows, objective, covered=covered)  # type: ignore[arg-type]
        assert ours.tobytes() == theirs.tobytes(), f"{threads} threads: {np.abs(ours - theirs).max()}"


@FEWER
@given(seed=seeds)
def test_permuted_windows_have_the_references_bits_at_any_number_of_threads(seed: int) -> None:
    """The same order of rows, rebuilt prices and best objective, whoever computes a run."""
    generator = np.random.default_rng(seed)
    symbols, days = int(generator.choice(SYMBOL_COUNTS)), int(generator.integers(DAYS_MIN, DAYS_MAX))
    bars = make_bars(generator, symbols=symbols, days=days)
    windows, points = make_windows(generator, days=days)[:2], make_points(generator, symbols=symbols)[:4]
    key, runs = seed % 1_000, range(3, 6)
    theirs = REFERENCE.permuted_best(bars, points, windows, "Calmar", seed=key, runs=runs)
    for threads in (1, 2):
        ours = NativeEngine(threads=threads).permuted_best(bars, points, windows, "Calmar", seed=key, runs=runs)
        assert ours.tobytes() == theirs.tobytes(), f"{threads} threads: {np.abs(ours - theirs).max()}"


@FEW
@given(seed=seeds)
def test_a_window_of_a_grid_is_a_simulation_of_its_own(seed: int) -> None:
    """Tracks that follow each other across windows and points end as if each had been simulated alone."""
    generator = np.random.default_rng(seed)
    symbols, days = int(generator.choice(SYMBOL_COUNTS)), 320
    bars = make_bars(generator, symbols=symbols, days=days)
    points = make_points(generator, symbols=symbols)
    windows = [
        Window(train_first=first, train_last=first + 119, test_first=first + 120, test_last=first + 140)
        for first in range(40, 180, 20)
    ]
    engine = NativeEngine(threads=2)
    cagrs = engine.objectives(bars, points, windows, "CAGR")
    for index in generator.integers(0, cagrs.size, size=12).tolist():
        window, point = divmod(index, len(points))
        alone = msgspec.structs.replace(
            points[point], first_day=windows[window].train_first, last_day=windows[window].train_last
        )
        net = engine.simulate(bars, [alone]).net
        assert cagrs[window, point] == cagr_of(net)


def cagr_of(net: FloatArray) -> float:
    """Return yearly growth with the portable power, as the conventions say."""
    end = float(np.multiply.accumulate(1.0 + net)[-1])
    return float(kernels.portable.power(np.array([end]), 252 / len(net))[0]) - 1.0 if end > 0.0 else -1.0


@FEW
@given(seed=seeds, change=st.floats(0.5, 2.0))
def test_no_later_bar_changes_an_earlier_day(seed: int, change: float) -> None:
    """Moving every price from some day on leaves every number of the days before as it was."""
    generator = np.random.default_rng(seed)
    symbols, days = int(generator.choice(SYMBOL_COUNTS)), DAYS_MAX
    bars = make_bars(generator, symbols=symbols, days=days)
    point = msgspec.structs.replace(make_point(generator, symbols=symbols), first_day=5, last_day=days - 1)
    day = int(generator.integers(6, days))
    later = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close")}
    for side in later.values():
        side[day:] *= change
    moved = SwingBars(symbols=bars.symbols, dates=bars.dates, **later)
    first, second = NativeEngine().simulate(bars, [point]), NativeEngine().simulate(moved, [point])
    for name in SERIES:
        before, after = getattr(first, name)[: day - 5], getattr(second, name)[: day - 5]
        assert before.tobytes() == after.tobytes(), name
