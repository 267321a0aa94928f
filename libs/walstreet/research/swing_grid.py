"""Owns the walk-forward: calendar windows, the grid in product order, the choice of each window, one joined run.

Window k trains on ``train_years`` calendar years from ``first simulated day + k * oos_months`` and is tested on the
``oos_months`` after them, so tests follow each other without gap or overlap; the last may be short. Training starts
flat, with indicators warmed up on everything before. The best objective chooses, the first in product order among
equals. The windows' choices then drive one simulation from flat over all tests: targets come from each window's own
parameters and the book is carried over, as it would be in live trading.
"""

from __future__ import annotations

import calendar
import datetime as dt
import itertools
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from walstreet.domain.units import FloatArray, IntArray
from walstreet.research.swing_types import (
    DateArray,
    Objective,
    SwingBars,
    SwingEngine,
    SwingParameters,
    WalkForwardResult,
    Window,
)

GRID_MAX = 100_000
WINDOWS_MAX = 10_000
GRID_FIELDS = ("ema_fast", "ema_slow", "top_n", "corr_cap")
"""Product order: the last field changes fastest."""

_EPOCH = dt.date(1970, 1, 1).toordinal()


def make_grid(base: SwingParameters, choices: Mapping[str, Sequence[float]]) -> tuple[SwingParameters, ...]:
    """Return every combination of the choices in product order, whatever the mapping's own order.

    Args:
        base: All other parameters.
        choices: Values of ``GRID_FIELDS``; a field without choices keeps the base's value.

    Raises:
        ValueError: An unknown field, no value for a field, or too many combinations.
    """
    unknown = sorted(set(choices) - set(GRID_FIELDS))
    if unknown:
        raise ValueError(f"grid: unknown field {unknown[0]!r}; known are {', '.join(GRID_FIELDS)}")
    axes = [choices.get(name, (getattr(base, name),)) for name in GRID_FIELDS]
    size = 1
    for name, axis in zip(GRID_FIELDS, axes, strict=True):
        size *= len(axis)
        if not axis:
            raise ValueError(f"grid: {name} has no value; give at least one or leave the field out")
    if size > GRID_MAX:
        raise ValueError(f"grid: {size} combinations; allowed is {GRID_MAX}")
    points = itertools.product(*axes)
    return tuple(msgspec.structs.replace(base, **dict(zip(GRID_FIELDS, point, strict=True))) for point in points)


def calendar_windows(
    dates: DateArray, first_day: int, last_day: int, *, train_years: int, oos_months: int
) -> tuple[Window, ...]:
    """Return the windows whose test holds at least one day; none if the days are too few.

    Args:
        dates: (T,) days since 1970, ascending.
        first_day: Row of the first simulated day, from whose date all windows are counted.
        last_day: Row of the last one; nothing after it is used.
        train_years: Length of a training, at least 1.
        oos_months: Length of a test and the step, at least 1.
    """
    assert train_years >= 1, train_years
    assert oos_months >= 1, oos_months
    start = dt.date.fromordinal(int(dates[first_day]) + _EPOCH)
    days = dates[: last_day + 1]
    windows: list[Window] = []
    for step in range(WINDOWS_MAX):
        train = _row_from(days, start, step * oos_months)
        test = _row_from(days, start, step * oos_months + 12 * train_years)
        end = _row_from(days, start, (step + 1) * oos_months + 12 * train_years)
        if test > last_day:
            break
        # A hole in the data longer than a window leaves nothing to train on or to test.
        if train < test < end:
            windows.append(Window(train_first=train, train_last=test - 1, test_first=test, test_last=end - 1))
    return tuple(windows)


def walk_forward(
    engine: SwingEngine,
    bars: SwingBars,
    grid: Sequence[SwingParameters],
    windows: Sequence[Window],
    objective: Objective,
) -> WalkForwardResult:
    """Return the walk-forward over ``windows``.

    Raises:
        ValueError: There is no window or no grid point.
    """
    if not windows or not grid:
        raise ValueError(
            f"walk-forward: {len(windows)} windows and {len(grid)} grid points; a window needs train_years of data "
            "and one day after them"
        )
    objectives = engine.objectives(bars, grid, windows, objective)
    chosen = best_points(objectives)
    segments = [
        msgspec.structs.replace(grid[int(index)], first_day=window.test_first, last_day=window.test_last)
        for index, window in zip(chosen, windows, strict=True)
    ]
    return WalkForwardResult(
        windows=tuple(windows),
        objectives=objectives,
        chosen=chosen,
        result=engine.simulate(bars, segments),
    )


def best_points(objectives: FloatArray) -> IntArray:
    """Return (W,) the grid point with the largest objective of each window; the first among equals."""
    best: IntArray = np.argmax(objectives, axis=1).astype(np.int64)
    return best


def stability_table(
    objectives: FloatArray, grid: Sequence[SwingParameters], *, row: str, column: str
) -> tuple[list[float], list[float], FloatArray]:
    """Return the values of two fields and the mean objective of every pair of them, over windows and other fields.

    A choice whose neighbours are as good is stable; a lone peak is not.
    """
    rows = sorted({getattr(point, row) for point in grid})
    columns = sorted({getattr(point, column) for point in grid})
    table = np.full((len(rows), len(columns)), np.nan)
    for i, first in enumerate(rows):
        for j, second in enumerate(columns):
            among = [
                k for k, point in enumerate(grid) if (getattr(point, row), getattr(point, column)) == (first, second)
            ]
            if among:
                values = objectives[:, among].reshape(-1)
                table[i, j] = np.add.accumulate(values)[-1] / len(values)
    return rows, columns, table


def add_months(day: dt.date, months: int) -> dt.date:
    """Return the same day of a later month, its last day where the month is too short."""
    index = day.year * 12 + day.month - 1 + months
    year, month = index // 12, index % 12 + 1
    return dt.date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def _row_from(days: DateArray, start: dt.date, months: int) -> int:
    """Return the first row on or after ``start`` plus so many months."""
    return int(np.searchsorted(days, add_months(start, months).toordinal() - _EPOCH, side="left"))
