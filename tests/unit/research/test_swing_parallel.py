"""Grids and permutations over several processes: the same bytes for any number, and plain words without joblib."""

import builtins
import importlib.util
import sys

import numpy as np
import pytest

from walstreet.research.swing_grid import make_grid
from walstreet.research.swing_native import choose_engine
from walstreet.research.swing_parallel import ParallelEngine, cut, spread
from walstreet.research.swing_types import SwingParameters, Window
from walstreet.runtime.errors import UsageError
from walstreet.testing.exhibits.look_ahead import DAYS, walk

BARS = walk(np.random.default_rng(5))
GRID = make_grid(
    SwingParameters(corr_window=20, last_day=DAYS - 1, first_day=0),
    {"ema_fast": (5, 10), "ema_slow": (20,), "top_n": (1, 2), "corr_cap": (0.7,)},
)
WINDOWS = [Window(train_first=f, train_last=f + 119, test_first=f + 120, test_last=f + 140) for f in (40, 100)]
CHOICE = choose_engine(GRID, threads=1)
needs_joblib = pytest.mark.skipif(importlib.util.find_spec("joblib") is None, reason="joblib is not installed")


@pytest.mark.parametrize(("count", "parts"), [(0, 3), (1, 4), (9, 4), (81, 7), (8, 8)])
def test_pieces_are_everything_once_and_in_order(count: int, parts: int) -> None:
    """No piece is empty, and sizes differ by one at most."""
    pieces = cut(count, parts)
    assert [item for piece in pieces for item in piece] == list(range(count))
    sizes = {len(piece) for piece in pieces}
    assert 0 not in sizes
    assert len(pieces) == min(count, parts)
    assert max(sizes, default=0) - min(sizes, default=0) <= 1


def test_one_worker_needs_nothing() -> None:
    """The engine stays what it was."""
    assert spread(CHOICE, workers=1, backend="ray") is CHOICE


@needs_joblib
@pytest.mark.parametrize("workers", [2, 3])
def test_results_have_the_same_bytes_for_any_number_of_workers(workers: int) -> None:
    """Objectives, permutations and a simulation, in other processes or in this one."""
    spread_choice = spread(CHOICE, workers=workers, backend="loky")
    engine = spread_choice.engine
    assert isinstance(engine, ParallelEngine)
    assert spread_choice.name == CHOICE.name
    assert f"{workers} workers" in spread_choice.reason
    alone = CHOICE.engine
    for objective in ("Calmar", "Sharpe"):
        ours = engine.objectives(BARS, GRID, WINDOWS, objective)
        assert ours.tobytes() == alone.objectives(BARS, GRID, WINDOWS, objective).tobytes()
    covered = np.ones((2, len(BARS.symbols)), dtype=np.bool_)
    covered[1, 3] = False
    ours = engine.objectives(BARS, GRID, WINDOWS, "CAGR", covered=covered)
    assert ours.tobytes() == alone.objectives(BARS, GRID, WINDOWS, "CAGR", covered=covered).tobytes()
    runs = range(3, 10)
    ours = engine.permuted_best(BARS, GRID, WINDOWS, "Calmar", seed=4, runs=runs)
    assert ours.tobytes() == alone.permuted_best(BARS, GRID, WINDOWS, "Calmar", seed=4, runs=runs).tobytes()
    assert engine.simulate(BARS, GRID[:1]).net.tobytes() == alone.simulate(BARS, GRID[:1]).net.tobytes()


@needs_joblib
def test_a_backend_that_is_not_installed_is_named() -> None:
    """The text says what to do."""
    if importlib.util.find_spec("ray") is not None:
        pytest.skip("ray is installed")
    with pytest.raises(UsageError, match=r"research\.backend is ray.*loky"):
        spread(CHOICE, workers=2, backend="ray")


def test_without_joblib_more_than_one_worker_is_refused(monkeypatch) -> None:
    """One worker goes on without it."""
    real = builtins.__import__

    def without(name, *arguments, **named):
        if name == "joblib":
            raise ImportError("No module named 'joblib'")
        return real(name, *arguments, **named)

    monkeypatch.delitem(sys.modules, "joblib", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match="pip install joblib"):
        spread(CHOICE, workers=2, backend="loky")
