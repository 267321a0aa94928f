"""Owns the exhibit of a large universe: walk-forward over thousands of synthetic symbols, its time and its memory.

The measuring runs in a process of its own (``python -m walstreet.testing.exhibits.universe``), because the largest
memory of a process never falls.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Final

import numpy as np

from walstreet.research.swing_grid import calendar_windows, make_grid, walk_forward
from walstreet.research.swing_native import choose_engine
from walstreet.research.swing_types import SwingBars, SwingParameters
from walstreet.testing.daily_bars import walk_of_prices, weekdays
from walstreet.testing.exhibits.row import Exhibit, Row

NAME: Final = "universe"
SYMBOLS: Final = 3_000
YEARS: Final = 15
DAYS_A_YEAR: Final = 261
GIB: Final = 1 << 30
MEMORY_GIB_MAX: Final = 4.0
SECONDS_MAX: Final = 600.0
BOUND_S: Final = 3_600.0


def exhibit() -> Exhibit:
    """Measure in a child process.

    Raises:
        RuntimeError: The child failed.
    """
    argv = [sys.executable, "-m", "walstreet.testing.exhibits.universe", "--symbols", str(SYMBOLS)]
    ended = subprocess.run([*argv, "--years", str(YEARS)], capture_output=True, text=True, timeout=BOUND_S, check=False)
    if ended.returncode != 0:
        raise RuntimeError(f"the measuring process ended with {ended.returncode}: {ended.stderr.strip()[-500:]}")
    found = json.loads(ended.stdout)
    note = (
        f"{found['symbols']} symbols, {found['days']} days, {found['windows']} windows, {found['points']} grid points, "
        f"{found['engine']} engine, {found['threads']} threads; bars made in {found['make_s']:.0f} s"
    )
    rows = (
        Row(exhibit=NAME, case="walk-forward, seconds", value=found["walk_s"], high=SECONDS_MAX, note=note),
        Row(exhibit=NAME, case="largest memory, GiB", value=found["memory_gib"], high=MEMORY_GIB_MAX, note=note),
    )
    return Exhibit(name=NAME, title="Walk-forward over a large universe", rows=rows)


def measure(symbols: int, years: int, *, threads: int, seed: int) -> dict[str, float | int | str]:
    """Return time and memory of one walk-forward over the documented grid of 81 points."""
    started = time.perf_counter()
    bars = synthetic_bars(symbols, years * DAYS_A_YEAR, seed=seed)
    made = time.perf_counter()
    last = len(bars.dates) - 1
    base = SwingParameters(first_day=0, last_day=last)
    choices = {"ema_fast": (10, 20, 30), "ema_slow": (40, 50, 80), "top_n": (1, 2, 3), "corr_cap": (0.6, 0.7, 0.8)}
    grid = make_grid(base, choices)
    windows = calendar_windows(bars.dates, 0, last, train_years=3, oos_months=3)
    engine = choose_engine(grid, threads=threads)
    result = walk_forward(engine.engine, bars, grid, windows, "Calmar")
    ended = time.perf_counter()
    return {
        "symbols": symbols,
        "days": len(bars.dates),
        "windows": len(windows),
        "points": len(grid),
        "engine": engine.name,
        "threads": threads,
        "make_s": made - started,
        "walk_s": ended - made,
        # Linux counts it in KiB.
        "memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB,
        "equity": float(result.result.equity[-1]),
    }


def synthetic_bars(symbols: int, days: int, *, seed: int) -> SwingBars:
    """Return bars of ``symbols`` seeded walks, in place, so that no second copy is needed."""
    dates = np.array([day.toordinal() - 719_163 for day in weekdays(days)], dtype=np.int32)
    sides = {name: np.empty((days, symbols)) for name in ("open", "high", "low", "close")}
    for index in range(symbols):
        walked = walk_of_prices(days, np.random.default_rng((seed, index)))
        for name, values in zip(sides, walked, strict=True):
            sides[name][:, index] = values
    return SwingBars(symbols=tuple(f"U{index:04d}" for index in range(symbols)), dates=dates, **sides)


def main() -> int:
    """Measure once and print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--symbols", type=int, default=SYMBOLS)
    parser.add_argument("--years", type=int, default=YEARS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    found = measure(options.symbols, options.years, threads=options.threads, seed=options.seed)
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
