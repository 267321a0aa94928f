"""Owns the rows of the rotation's research: one backtest, a walk-forward's grid, its permutation test.

Nine synthetic funds over eleven years, one of which begins late, with the document's parameters and grid. The strategy
is the default one, whose choice depends on the book (held names have a bonus), and for the grid also the literal one.
Ours is called as research calls it, with everything it checks and converts. The peer's results are compared with ours
before anything is timed; both use as many threads as the row says.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from walstreet.domain.units import FloatArray, IntArray
from walstreet.kernels.swing import swing_implementation
from walstreet.research.permutation import permutation_order
from walstreet.research.swing_grid import make_grid
from walstreet.research.swing_native import NativeEngine
from walstreet.research.swing_types import SwingBars, SwingParameters, Window
from walstreet.testing.bench.peers import VECTORBT, problem_of
from walstreet.testing.bench.row import BenchError, Row, Setup, budget_row, make_row
from walstreet.testing.bench.swing_peers import NumbaPeer, make_problem, numba_peer
from walstreet.testing.bench.swing_vectorbt import vectorbt_peer
from walstreet.testing.bench.timing import Work, interleaved_us

SEED: Final = 20_241_121
SYMBOLS: Final = ("SPY", "QQQ", "VTI", "TLT", "IEF", "GLD", "XLE", "BND", "BITO")
WARM_UP_DAYS: Final = 146
DAYS: Final = 2_768
"""Simulated ones, as from 2013 to 2023."""
LATE_START_DAY: Final = 2_300
TRAIN_DAYS: Final = 756
STEP_DAYS: Final = 63
WINDOWS: Final = 32
GRID: Final = {
    "ema_fast": (10, 20, 30),
    "ema_slow": (40, 50, 80),
    "top_n": (1, 2, 3),
    "corr_cap": (0.6, 0.7, 0.8),
}
THREADS: Final = 2
TOLERANCE: Final = 1e-9
"""The peer's correlations slide by taking away, so its last digits are others."""
MICROS_A_MILLI: Final = 1_000.0
PERMUTATION_RUNS_DOCUMENT: Final = 200

BACKTEST_TARGET: Final = 2.5
WALK_FORWARD_TARGET: Final = 5.0
PERMUTATION_TARGET: Final = 5.0
BACKTEST_BUDGET_MS: Final = 3.46 / BACKTEST_TARGET
WALK_FORWARD_BUDGET_MS: Final = 29.5 / WALK_FORWARD_TARGET
PERMUTATION_BUDGET_MS: Final = 17_700.0 / PERMUTATION_TARGET
"""What the targets' own numba peer took on their machine, over the ratio that must be reached; used without numba."""

assert WARM_UP_DAYS + DAYS >= WARM_UP_DAYS + TRAIN_DAYS + (WINDOWS - 1) * STEP_DAYS + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One comparison: ours, the peer's where it is installed, and what the row says."""

    name: str
    size: str
    target: float
    budget_ms: float
    ours: Callable[[], FloatArray]
    theirs: Callable[[], FloatArray] | None


def swing_rows(setup: Setup) -> list[Row]:
    """Measure one backtest on one thread."""
    bars, base = make_bars(), base_point()
    engine, peer = _engine(1), _peer(1)
    first, last = base.first_day, base.last_day
    problem = make_problem(bars, [base], make_windows())
    work = Comparison(
        name="swing backtest",
        size=f"{len(SYMBOLS)} funds x {DAYS} days, 1 thread",
        target=BACKTEST_TARGET,
        budget_ms=BACKTEST_BUDGET_MS,
        ours=lambda: engine.simulate(bars, [base]).net,
        theirs=None if peer is None else lambda: peer.net(problem, first, last),
    )
    rows = [measure(work, runs=setup.pick(quick=40, full=300))]
    if not problem_of(VECTORBT):
        rows.append(_vectorbt_row(bars, base, engine, runs=setup.pick(quick=5, full=40)))
    return rows


def _vectorbt_row(bars: SwingBars, base: SwingParameters, engine: NativeEngine, *, runs: int) -> Row:
    peer = vectorbt_peer(bars, base, engine.simulate(bars, [base]))
    works: list[Work] = [lambda _: engine.simulate(bars, [base]).net, lambda _: peer.run()]
    times = interleaved_us(works, runs=runs, warm_up=1, block=1) / MICROS_A_MILLI
    return make_row(
        name="swing backtest",
        size=f"{len(SYMBOLS)} funds x {DAYS} days, 1 thread",
        unit="ms",
        samples=times[0],
        peer="vectorbt, weights given",
        peer_samples=times[1],
        target=BACKTEST_TARGET,
    )


def walk_forward_rows(setup: Setup) -> list[Row]:
    """Measure the grid over all training windows, for the default and for the literal strategy."""
    return [
        measure(_grid_work(name, point), runs=setup.pick(quick=4, full=20))
        for name, point in (("walk-forward", base_point()), ("walk-forward, literal strategy", literal_point()))
    ]


def permutation_rows(setup: Setup) -> list[Row]:
    """Measure permuted runs of the whole walk-forward."""
    runs = setup.pick(quick=2, full=10)
    bars, windows = make_bars(), make_windows()
    grid = make_grid(base_point(), GRID)
    threads = _threads()
    engine, peer = _engine(threads), _peer(threads)
    problem, orders = make_problem(bars, grid, windows), _orders(windows, runs)
    work = Comparison(
        name="permutation test",
        size=f"{runs} runs of {len(grid)} points x {len(windows)} windows, {threads} threads",
        target=PERMUTATION_TARGET,
        budget_ms=PERMUTATION_BUDGET_MS * runs / PERMUTATION_RUNS_DOCUMENT,
        ours=lambda: engine.permuted_best(bars, grid, windows, "Calmar", seed=SEED, runs=range(runs)),
        theirs=None if peer is None else lambda: peer.permuted(problem, orders),
    )
    return [measure(work, runs=setup.pick(quick=2, full=5))]


def measure(work: Comparison, *, runs: int) -> Row:
    """Compare what both sides compute, then time them in turns.

    Raises:
        BenchError: The peer computes something else.
    """
    works: list[Work] = [lambda _: work.ours()]
    if work.theirs is not None:
        ours, theirs = work.ours(), work.theirs()
        if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE):
            raise BenchError(f"{work.name}: numba differs from the kernels; one of them is wrong")
        peer_work = work.theirs
        works.append(lambda _: peer_work())
    times = interleaved_us(works, runs=runs, warm_up=1, block=1) / MICROS_A_MILLI
    if work.theirs is None:
        return budget_row(
            name=work.name,
            size=f"{work.size} (numba is not installed)",
            unit="ms",
            median=float(np.median(times[0])),
            p99=float(np.percentile(times[0], 99)),
            budget=work.budget_ms,
        )
    return make_row(
        name=work.name,
        size=work.size,
        unit="ms",
        samples=times[0],
        peer="numba",
        peer_samples=times[1],
        target=work.target,
    )


def make_bars() -> SwingBars:
    """Return seeded bars of funds that share a market; the same numbers every time."""
    generator = np.random.default_rng(SEED)
    days, symbols = WARM_UP_DAYS + DAYS, len(SYMBOLS)
    exposure = np.linspace(1.2, -0.3, symbols)
    moves = (
        0.0003 + 0.009 * generator.normal(size=(days, 1)) * exposure + 0.006 * generator.normal(size=(days, symbols))
    )
    close = 100.0 * np.exp(np.add.accumulate(moves, axis=0))
    before = np.concatenate((close[:1], close[:-1]))
    opens = before * np.exp(0.002 * generator.normal(size=(days, symbols)))
    high = np.maximum(opens, close) * np.exp(0.004 * np.abs(generator.normal(size=(days, symbols))))
    low = np.minimum(opens, close) * np.exp(-0.004 * np.abs(generator.normal(size=(days, symbols))))
    for side in (opens, high, low, close):
        side[:LATE_START_DAY, -1] = np.nan
    dates = np.arange(days, dtype=np.int32)
    return SwingBars(symbols=SYMBOLS, dates=dates, open=opens, high=high, low=low, close=close)


def base_point() -> SwingParameters:
    """Return the default strategy over all simulated days."""
    return SwingParameters(first_day=WARM_UP_DAYS, last_day=WARM_UP_DAYS + DAYS - 1)


def literal_point() -> SwingParameters:
    """Return the document's strategy, in which nothing depends on what is held."""
    return msgspec.structs.replace(base_point(), hold_bonus=0.0, band=0.0)


def make_windows() -> tuple[Window, ...]:
    """Return windows of three years that step by a quarter."""
    firsts = [WARM_UP_DAYS + STEP_DAYS * index for index in range(WINDOWS)]
    return tuple(
        Window(
            train_first=first,
            train_last=first + TRAIN_DAYS - 1,
            test_first=first + TRAIN_DAYS,
            test_last=min(first + TRAIN_DAYS + STEP_DAYS, WARM_UP_DAYS + DAYS) - 1,
        )
        for first in firsts
    )


def _grid_work(name: str, point: SwingParameters) -> Comparison:
    bars, windows = make_bars(), make_windows()
    grid = make_grid(point, GRID)
    threads = _threads()
    engine, peer = _engine(threads), _peer(threads)
    problem = make_problem(bars, grid, windows)
    return Comparison(
        name=name,
        size=f"{len(grid)} points x {len(windows)} windows, {threads} threads",
        target=WALK_FORWARD_TARGET,
        budget_ms=WALK_FORWARD_BUDGET_MS,
        ours=lambda: engine.objectives(bars, grid, windows, "Calmar"),
        theirs=None if peer is None else lambda: peer.calmars(problem),
    )


def _orders(windows: Sequence[Window], runs: int) -> IntArray:
    orders = np.zeros((runs, len(windows), TRAIN_DAYS), dtype=np.int64)
    for run in range(runs):
        for index, window in enumerate(windows):
            orders[run, index] = permutation_order(SEED, run, index, window)
    return orders


def _threads() -> int:
    return min(THREADS, len(os.sched_getaffinity(0)))


def _engine(threads: int) -> NativeEngine:
    name, reason = swing_implementation()
    if name != "native":
        raise BenchError(f"the native rotation engine is not there: {reason}; install walstreet-native")
    return NativeEngine(threads=threads)


def _peer(threads: int) -> NumbaPeer | None:
    peer = numba_peer()
    if peer is not None:
        peer.set_threads(threads)
    return peer
