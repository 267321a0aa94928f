"""Owns a research engine that tells how far it is: the same results, in parts small enough for a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from walstreet.domain.units import BoolArray, FloatArray
from walstreet.research.swing_native import EngineChoice
from walstreet.research.swing_types import Objective, SwingBars, SwingEngine, SwingParameters, SwingResult, Window

RUNS_A_PART = 10
"""Permutation runs between two movements of the bar; enough work for every thread."""
POINTS_A_PART = 9
"""Grid points between two movements in the reference engine. The native one shares work between all points and is
asked once."""

Advance = Callable[[float], None]
"""Takes the share of the work that was done since the last call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedEngine:
    """An engine behind the same protocol that reports how far its current call is."""

    engine: SwingEngine
    native: bool
    advance: Advance

    def simulate(self, bars: SwingBars, segments: Sequence[SwingParameters]) -> SwingResult:
        """Return one simulation; see ``SwingEngine.simulate``."""
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
        """Return (W, G) training objectives; see ``SwingEngine.objectives``. Points do not depend on each other."""
        size = len(grid) if self.native else POINTS_A_PART
        parts = []
        for start in range(0, len(grid), size):
            points = grid[start : start + size]
            parts.append(self.engine.objectives(bars, points, windows, objective, covered=covered))
            self.advance(len(points) / len(grid))
        return np.ascontiguousarray(np.concatenate(parts, axis=1))

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
        """Return (len(runs), W) best objectives; see ``SwingEngine.permuted_best``. Runs have their own keys."""
        size = RUNS_A_PART if self.native else 1
        parts = []
        for start in range(0, len(runs), size):
            part = runs[start : start + size]
            parts.append(self.engine.permuted_best(bars, grid, windows, objective, seed=seed, runs=part))
            self.advance(len(part) / len(runs))
        return np.concatenate(parts, axis=0)


@contextmanager
def watched(choice: EngineChoice, text: str, *, calls: int = 1) -> Iterator[WatchedEngine]:
    """Show a progress bar on standard error, if that is a terminal, while the engine works.

    Args:
        choice: Does the work.
        text: What is computed.
        calls: How often ``objectives`` or ``permuted_best`` will be called.
    """
    with progress(text) as advance:
        yield WatchedEngine(
            engine=choice.engine,
            native=choice.name == "native",
            advance=lambda share: advance(share / calls),
        )


@contextmanager
def progress(text: str) -> Iterator[Advance]:
    """Show a progress bar on standard error, if that is a terminal; it vanishes at the end."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(text, total=1.0)
        yield lambda share: bar.advance(task, share)
