"""Owns the rows of a decision: one cycle against NumPy and numba, and sizing with correlations.

Every peer computes the same results from the same inputs, which is checked before anything is timed, and the best
of them counts. Two per cent of the scores are missing, as in life. The size of a cycle is models x horizons x symbols.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from walstreet.kernels.decision import DecisionArrays, DecisionCycle, DecisionSettings
from walstreet.kernels.linear import CholeskySolver, LowRankSolver
from walstreet.testing.bench.decision_peers import Cycle, Problem, numba_cycles, numpy_cycle
from walstreet.testing.bench.row import BenchError, Row, Setup, budget_row, make_row
from walstreet.testing.bench.timing import interleaved_us

FloatArray = NDArray[np.float64]

SEED: Final = 20_241_107
MODEL_COUNT: Final = 20
HORIZONS_MINUTES: Final = (5, 10, 15, 30, 60)
MISSING_SHARE: Final = 0.02
CYCLE_TARGETS: Final = {20: 1.3, 100: 2.5, 500: 3.5, 3_000: 3.5}
QUICK_RUNS: Final = 200
FULL_RUNS: Final = 2_000
WARM_UP_RUNS: Final = 50
SOLVE_WARM_UP_RUNS: Final = 5
SOLVE_RUNS: Final = 60
"""Runs of the rows whose peer solves a whole system each time."""

RIDGE: Final = 0.15
RIDGE_SYMBOLS: Final = 500
RIDGE_TARGET: Final = 8.0
KEPT_TARGET: Final = 1.0
FACTOR_COUNT: Final = 20
LOW_RANK_SYMBOLS: Final = 3_000
LOW_RANK_BUDGET_US: Final = 500.0
GROSS_BUDGET: Final = 0.5
RESULT_NAMES: Final = (
    "blended_bps",
    "weight_present",
    "cost_bps",
    "net_bps",
    "reserve_bps",
    "best",
    "alpha_final_bps",
    "z",
    "clears_reserve",
    "weight",
)

assert MODEL_COUNT % len(HORIZONS_MINUTES) == 0


def decision_rows(setup: Setup) -> list[Row]:
    """Measure decision cycles of four sizes, and the two kinds of kept factors."""
    runs = setup.pick(quick=QUICK_RUNS, full=FULL_RUNS)
    return [
        *(cycle_row(count, runs, target) for count, target in CYCLE_TARGETS.items()),
        *ridge_rows(RIDGE_SYMBOLS, SOLVE_RUNS),
        *low_rank_rows(LOW_RANK_SYMBOLS, SOLVE_RUNS),
    ]


def make_problem(symbol_count: int) -> Problem:
    """Return a cycle of ``symbol_count`` liquid symbols; the same numbers every time."""
    generator = np.random.default_rng(SEED)
    horizons = len(HORIZONS_MINUTES)
    per_horizon = MODEL_COUNT // horizons
    rows = np.repeat(np.arange(horizons), per_horizon)
    arrays = DecisionArrays.create(
        horizon_of_model=rows.tolist(), horizons_minutes=HORIZONS_MINUTES, symbol_count=symbol_count
    )
    arrays.scores[:] = generator.normal(size=arrays.scores.shape)
    arrays.scores[generator.random(arrays.scores.shape) < MISSING_SHARE] = np.nan
    arrays.slopes[:] = generator.uniform(0.05, 0.9, MODEL_COUNT)
    arrays.weights[:] = generator.random(MODEL_COUNT)
    arrays.fresh[:] = 1
    arrays.spread_bps[:] = generator.uniform(0.5, 4.0, symbol_count)
    arrays.sigma_5m_bps[:] = generator.uniform(10.0, 40.0, symbol_count)
    arrays.sigma_day_bps[:] = generator.uniform(80.0, 300.0, symbol_count)
    arrays.price_usd[:] = generator.uniform(5.0, 500.0, symbol_count)
    arrays.daily_volume_shares[:] = 10.0 ** generator.uniform(6.0, 8.0, symbol_count)
    arrays.order_usd[:] = 20_000.0
    arrays.tradable[:] = 1
    arrays.controls[:] = (1.0, GROSS_BUDGET)
    starts = np.arange(0, MODEL_COUNT + 1, per_horizon)
    return Problem(arrays=arrays, settings=DecisionSettings(size_method="proportional"), starts=starts)


def _require_same_results(ours: DecisionArrays, theirs: DecisionArrays, peer: str) -> None:
    for name in RESULT_NAMES:
        np.testing.assert_allclose(
            getattr(theirs, name), getattr(ours, name), rtol=1e-9, atol=1e-12, err_msg=f"{peer}: {name}"
        )


def _timed(works: dict[str, Cycle], runs: int, warm_up: int) -> dict[str, FloatArray]:
    """Return the samples of every work, all taken in turn."""
    calls = [_called(work) for work in works.values()]
    times = interleaved_us(calls, runs=runs, warm_up=warm_up)
    return dict(zip(works, times, strict=True))


def _called(work: Cycle) -> Callable[[int], object]:
    return lambda _: work()


def cycle_row(symbol_count: int, runs: int, target: float) -> Row:
    """Measure one decision cycle against the best of NumPy and two ways to write it in numba.

    Raises:
        BenchError: numba is not installed, or nothing is wanted, which would time an empty book.
    """
    ours = make_problem(symbol_count)
    peers = [make_problem(symbol_count) for _ in range(3)]
    works: dict[str, Cycle] = {
        "numpy": numpy_cycle(peers[0]),
        **numba_cycles((peers[1], peers[2])),
    }
    cycle = DecisionCycle(ours.arrays, ours.settings)
    cycle.run()
    if not ours.arrays.weight.any():
        raise BenchError(f"the decision of {symbol_count} symbols wants none of them; the row would mean nothing")
    for peer, (name, work) in zip(peers, works.items(), strict=True):
        work()
        _require_same_results(ours.arrays, peer.arrays, name)
    times = _timed({"ours": cycle.run, **works}, runs, WARM_UP_RUNS)
    samples = times.pop("ours")
    best = min(times, key=lambda name: float(np.median(times[name])))
    return make_row(
        name="decision cycle",
        size=_size(symbol_count),
        unit="us",
        samples=samples,
        peer=best,
        peer_samples=times[best],
        target=target,
    )


def _size(symbol_count: int) -> str:
    return f"{MODEL_COUNT} models x {len(HORIZONS_MINUTES)} horizons x {symbol_count} symbols"


def _factor_model(symbol_count: int) -> tuple[FloatArray, FloatArray]:
    """Return specific variances ``(symbols,)`` and loadings ``(factors, symbols)``."""
    generator = np.random.default_rng(SEED)
    loadings = generator.normal(0.0, 0.15, (FACTOR_COUNT, symbol_count))
    return generator.uniform(0.3, 0.9, symbol_count), loadings


def _numpy_weights(arrays: DecisionArrays, solution: FloatArray, z: FloatArray) -> FloatArray:
    raw = np.where(np.isfinite(z), solution / arrays.sigma_day_bps, 0.0)
    weights: FloatArray = GROSS_BUDGET * (raw / np.abs(raw).sum())
    return weights


def _wanted_z(arrays: DecisionArrays) -> FloatArray:
    return np.where(arrays.clears_reserve != 0, arrays.z, np.nan)


def ridge_rows(symbol_count: int, runs: int) -> list[Row]:
    """Measure a cycle with ridge weights against NumPy that solves each time, and NumPy that keeps the inverse."""
    diagonal, loadings = _factor_model(symbol_count)
    matrix = np.diag(diagonal) + loadings.T @ loadings
    matrix = 0.5 * (matrix + matrix.T)
    system = matrix + RIDGE * np.eye(symbol_count)
    inverse = np.linalg.inv(system)
    solver = CholeskySolver(symbol_count)
    solver.factor(matrix, RIDGE)
    works, check = _sized_works(
        symbol_count,
        solver,
        {
            "numpy": lambda z: np.asarray(np.linalg.solve(system, z), dtype=np.float64),
            "numpy, inverse kept": lambda z: np.asarray(inverse @ z, dtype=np.float64),
        },
    )
    check()
    times = _timed(works, runs, SOLVE_WARM_UP_RUNS)
    return [
        make_row(
            name="decision cycle with ridge weights",
            size=f"{symbol_count} symbols, factor kept",
            unit="us",
            samples=times["ours"],
            peer=peer,
            peer_samples=times[peer],
            target=target,
        )
        for peer, target in (("numpy", RIDGE_TARGET), ("numpy, inverse kept", KEPT_TARGET))
    ]


def low_rank_rows(symbol_count: int, runs: int) -> list[Row]:
    """Measure a cycle with low-rank ridge weights against its budget, and NumPy that keeps the small factor too."""
    diagonal, loadings = _factor_model(symbol_count)
    specific = diagonal + RIDGE
    core = np.linalg.inv(np.eye(FACTOR_COUNT) + (loadings / specific) @ loadings.T)
    solver = LowRankSolver(symbol_count, FACTOR_COUNT)
    solver.factor(specific, loadings)

    def woodbury(z: FloatArray) -> FloatArray:
        scaled = z / specific
        solution: FloatArray = (z - loadings.T @ (core @ (loadings @ scaled))) / specific
        return solution

    works, check = _sized_works(symbol_count, solver, {"numpy, core kept": woodbury})
    check()
    times = _timed(works, runs, SOLVE_WARM_UP_RUNS)
    size = f"{symbol_count} symbols x {FACTOR_COUNT} factors"
    return [
        budget_row(
            name="decision cycle with low-rank weights",
            size=size,
            unit="us",
            median=float(np.median(times["ours"])),
            p99=float(np.percentile(times["ours"], 99)),
            budget=LOW_RANK_BUDGET_US,
        ),
        make_row(
            name="decision cycle with low-rank weights",
            size=size,
            unit="us",
            samples=times["ours"],
            peer="numpy, core kept",
            peer_samples=times["numpy, core kept"],
            target=KEPT_TARGET,
        ),
    ]


def _sized_works(
    symbol_count: int,
    solver: CholeskySolver | LowRankSolver,
    solutions: dict[str, Callable[[FloatArray], FloatArray]],
) -> tuple[dict[str, Cycle], Callable[[], None]]:
    """Return whole cycles with correlated sizes, ours and NumPy's, and the check that their weights agree."""
    ours = make_problem(symbol_count)
    cycle = DecisionCycle(ours.arrays, ours.settings)
    found: dict[str, FloatArray] = {"ours": np.zeros(symbol_count)}

    def decide() -> None:
        cycle.run()
        solver.ridge_weights(_wanted_z(ours.arrays), ours.arrays.sigma_day_bps, GROSS_BUDGET, found["ours"])

    works: dict[str, Cycle] = {"ours": decide}
    for name, solve in solutions.items():
        works[name] = _numpy_work(make_problem(symbol_count), solve, name, found)

    def check() -> None:
        for work in works.values():
            work()
        for name in solutions:
            np.testing.assert_allclose(found["ours"], found[name], rtol=1e-8, atol=1e-12, err_msg=name)

    return works, check


def _numpy_work(
    problem: Problem, solve: Callable[[FloatArray], FloatArray], name: str, found: dict[str, FloatArray]
) -> Cycle:
    decide = numpy_cycle(problem)

    def work() -> None:
        decide()
        z = _wanted_z(problem.arrays)
        found[name] = _numpy_weights(problem.arrays, solve(np.where(np.isfinite(z), z, 0.0)), z)

    return work
