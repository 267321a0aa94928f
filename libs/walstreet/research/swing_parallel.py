"""Owns spreading grids and permutations over processes or machines, through joblib: loky here, Dask or Ray elsewhere.

Grid points do not depend on each other, and every permutation run has a key of its own; so parts of a grid, and parts
of the runs, are computed wherever there is room and put together in their order. No number depends on how many workers
there are. Without joblib only one worker is possible.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from walstreet.domain.units import BoolArray, FloatArray
from walstreet.research.swing_native import EngineChoice
from walstreet.research.swing_types import Objective, SwingBars, SwingEngine, SwingParameters, SwingResult, Window
from walstreet.runtime.errors import UsageError

PARTS_A_WORKER: Final = 1
"""The native engine shares work between the points of a call, so that a grid is cut no finer than needed."""

Backend = Literal["loky", "dask", "ray"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelEngine:
    """A ``SwingEngine`` whose grids and permutations run in other processes."""

    engine: SwingEngine
    workers: int
    backend: Backend

    def simulate(self, bars: SwingBars, segments: Sequence[SwingParameters]) -> SwingResult:
        """Return one simulation, which is one piece of work; see ``SwingEngine.simulate``."""
        return self.engine.simulate(bars, segments)

    def objectives(
        self,
        bars: SwingBars,
        grid: Sequence[SwingParameters],
        windows: Sequence[Window],
        objective: Objective,
        *,
        covered: BoolArray | None = None,
    ) -> FloatArray:
        """Return (W, G) training objectives, each worker a part of the points; see ``SwingEngine.objectives``."""
        parts = cut(len(grid), self.workers * PARTS_A_WORKER)
        if len(parts) < 2:
            return self.engine.objectives(bars, grid, windows, objective, covered=covered)
        found = self._spread(
            self.engine.objectives,
            [((bars, grid[part.start : part.stop], windows, objective), {"covered": covered}) for part in parts],
        )
        return np.ascontiguousarray(np.concatenate(found, axis=1))

    def permuted_best(
        self,
        bars: SwingBars,
        grid: Sequence[SwingParameters],
        windows: Sequence[Window],
        objective: Objective,
        *,
        seed: int,
        runs: range,
    ) -> FloatArray:
        """Return (len(runs), W) best objectives, each worker a part of the runs; see ``SwingEngine.permuted_best``."""
        parts = cut(len(runs), self.workers * PARTS_A_WORKER)
        if len(parts) < 2:
            return self.engine.permuted_best(bars, grid, windows, objective, seed=seed, runs=runs)
        found = self._spread(
            self.engine.permuted_best,
            [
                ((bars, grid, windows, objective), {"seed": seed, "runs": runs[part.start : part.stop]})
                for part in parts
            ],
        )
        return np.concatenate(found, axis=0)

    def _spread(
        self, work: Callable[..., FloatArray], calls: Sequence[tuple[tuple[Any, ...], dict[str, Any]]]
    ) -> list[FloatArray]:
        joblib = _joblib()
        with joblib.parallel_config(backend=self.backend, n_jobs=self.workers):
            found: list[FloatArray] = joblib.Parallel()(
                joblib.delayed(work)(*arguments, **named) for arguments, named in calls
            )
        return found


def spread(choice: EngineChoice, *, workers: int, backend: Backend) -> EngineChoice:
    """Return the engine, over ``workers`` processes if there are several; its name stays, as its numbers do.

    Raises:
        UsageError: joblib, or the backend, is not installed.
    """
    if workers == 1:
        return choice
    joblib = _joblib()
    try:
        _register(backend)
        with joblib.parallel_config(backend=backend, n_jobs=workers):
            pass
    except (ImportError, ValueError) as error:
        raise UsageError(
            f"research.backend is {backend}, which cannot be used ({error}); install and start it, or set it to loky"
        ) from error
    reason = f"{choice.reason}; {workers} workers through joblib's {backend}"
    engine = ParallelEngine(engine=choice.engine, workers=workers, backend=backend)
    return EngineChoice(engine=engine, name=choice.name, reason=reason)


def cut(count: int, parts: int) -> list[range]:
    """Return ``count`` things in at most ``parts`` pieces that follow each other, sizes one apart at most."""
    size, more = divmod(count, parts)
    sizes = [size + (index < more) for index in range(parts)]
    edges = [0]
    for length in sizes:
        edges.append(edges[-1] + length)
    return [range(first, last) for first, last in itertools.pairwise(edges) if last > first]


def _joblib() -> Any:
    try:
        import joblib  # noqa: PLC0415 - optional: one worker needs none
    except ImportError as error:
        raise UsageError(
            "more than one worker needs joblib, which is not installed (`pip install joblib`); or leave --workers out"
        ) from error
    return joblib


def _register(backend: Backend) -> None:
    """Make a backend known to joblib: Dask's client and Ray do that at import."""
    if backend == "dask":
        import distributed  # noqa: F401, PLC0415 - optional
    if backend == "ray":
        from ray.util.joblib import register_ray  # noqa: PLC0415 - optional

        register_ray()
