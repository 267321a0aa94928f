"""Windows of the walk-forward, its grid, choices and the joined simulation."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import msgspec
import numpy as np
import pytest

from walstreet.research.swing_engine import ReferenceEngine
from walstreet.research.swing_grid import (
    add_months,
    best_points,
    calendar_windows,
    make_grid,
    stability_table,
    walk_forward,
)
from walstreet.research.swing_types import SwingBars, SwingParameters, Window

EPOCH = dt.date(1970, 1, 1).toordinal()


def weekdays(first: dt.date, last: dt.date) -> np.ndarray:
    """Return the weekdays between two dates as days since 1970."""
    days = range(first.toordinal(), last.toordinal() + 1)
    return np.array([d - EPOCH for d in days if dt.date.fromordinal(d).weekday() < 5], dtype=np.int32)


def day(dates: np.ndarray, row: int) -> dt.date:
    """Return the date of a row."""
    return dt.date.fromordinal(int(dates[row]) + EPOCH)


def test_months_are_added_with_the_day_kept_or_clamped() -> None:
    """31 January plus one month is the last of February; a year later is the 31st again."""
    assert add_months(dt.date(2015, 1, 31), 1) == dt.date(2015, 2, 28)
    assert add_months(dt.date(2015, 1, 31), 12) == dt.date(2016, 1, 31)
    assert add_months(dt.date(2015, 12, 2), 13) == dt.date(2017, 1, 2)


def test_windows_are_calendar_years_and_months_from_the_first_simulated_day() -> None:
    """2013-01-02 to 2023-12-29 with 3 years and 3 months: 32 windows, tests without gap, the last to the end."""
    dates = weekdays(dt.date(2012, 6, 1), dt.date(2023, 12, 29))
    first = int(np.searchsorted(dates, dt.date(2013, 1, 2).toordinal() - EPOCH))
    windows = calendar_windows(dates, first, len(dates) - 1, train_years=3, oos_months=3)
    assert len(windows) == 32
    assert day(dates, windows[0].train_first) == dt.date(2013, 1, 2)
    assert day(dates, windows[0].train_last) == dt.date(2016, 1, 1)
    assert day(dates, windows[0].test_first) == dt.date(2016, 1, 4)
    assert day(dates, windows[1].train_first) == dt.date(2013, 4, 2)
    assert day(dates, windows[1].test_first) == dt.date(2016, 4, 4)
    assert windows[-1].test_last == len(dates) - 1
    for before, after in itertools.pairwise(windows):
        assert after.test_first == before.test_last + 1
        assert after.train_last == after.test_first - 1


def test_the_last_window_may_be_short_and_too_few_days_give_none() -> None:
    """One day after the training is a window; no day is none."""
    dates = weekdays(dt.date(2020, 1, 1), dt.date(2021, 1, 1))
    windows = calendar_windows(dates, 0, len(dates) - 1, train_years=1, oos_months=3)
    assert [(w.test_first, w.test_last) for w in windows] == [(len(dates) - 1, len(dates) - 1)]
    assert calendar_windows(dates, 0, len(dates) - 2, train_years=1, oos_months=3) == ()


def test_the_grid_is_in_product_order_whatever_the_mapping_says() -> None:
    """The correlation cap changes fastest, the fast EMA slowest."""
    choices = {"corr_cap": (0.6, 0.8), "top_n": (1,), "ema_fast": (10, 20)}
    grid = make_grid(SwingParameters(ema_slow=80), choices)
    assert [(p.ema_fast, p.ema_slow, p.top_n, p.corr_cap) for p in grid] == [
        (10, 80, 1, 0.6),
        (10, 80, 1, 0.8),
        (20, 80, 1, 0.6),
        (20, 80, 1, 0.8),
    ]


@pytest.mark.parametrize(
    ("choices", "message"),
    [({"ema": (1,)}, "unknown field 'ema'"), ({"top_n": ()}, "top_n has no value"), ({"ema_fast": (0,)}, "ema_fast")],
)
def test_grids_that_cannot_be_are_refused(choices: dict[str, Any], message: str) -> None:
    """Unknown fields, empty axes and values out of range."""
    with pytest.raises(ValueError, match=message):
        make_grid(SwingParameters(), choices)


def test_the_first_of_equal_objectives_is_chosen() -> None:
    """Ties follow the product order."""
    assert best_points(np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 1.0]])).tolist() == [1, 0]


def market() -> SwingBars:
    """Return three symbols over two years of weekdays."""
    dates = weekdays(dt.date(2018, 1, 1), dt.date(2019, 12, 31))
    draw = np.random.default_rng(11)
    close = 100.0 * np.cumprod(1.0 + draw.normal(0.0005, 0.01, size=(len(dates), 3)), axis=0)
    sides = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close}
    return SwingBars(symbols=("A", "B", "C"), dates=dates, **{n: s.copy() for n, s in sides.items()})


def small(**changes: Any) -> SwingParameters:
    """Return short windows."""
    return SwingParameters(ema_fast=5, ema_slow=10, corr_window=20, vol_window=10, atr_window=5, **changes)


def test_tests_are_joined_and_simulated_once_from_flat() -> None:
    """Days are the tests' days; each window's targets are those of its own choice, given the book it inherits."""
    bars, engine = market(), ReferenceEngine()
    grid = make_grid(small(), {"ema_fast": (3, 8), "top_n": (1, 2)})
    windows = calendar_windows(bars.dates, 0, len(bars.dates) - 1, train_years=1, oos_months=3)
    found = walk_forward(engine, bars, grid, windows, "Calmar")
    assert len(windows) == 4
    assert found.objectives.shape == (4, 4)
    assert found.chosen.tolist() == found.objectives.argmax(axis=1).tolist()
    assert found.chosen.tolist() == [1, 3, 0, 0]
    assert found.result.first_day == windows[0].test_first
    assert len(found.result.net) == windows[-1].test_last - windows[0].test_first + 1
    start = windows[0].test_first
    first = msgspec.structs.replace(grid[found.chosen[0]], first_day=start, last_day=windows[0].test_last)
    alone = engine.simulate(bars, [first])
    np.testing.assert_array_equal(found.result.net[: len(alone.net)], alone.net)
    # The literal strategy does not look at the book, so its targets are the chosen parameters' own.
    literal = make_grid(small(hold_bonus=0.0, band=0.0), {"ema_fast": (3, 8), "top_n": (1, 2)})
    joined = walk_forward(engine, bars, literal, windows, "Calmar")
    for window, choice in zip(windows, joined.chosen, strict=True):
        own = msgspec.structs.replace(literal[choice], first_day=window.test_first, last_day=window.test_last)
        rows = slice(window.test_first - start, window.test_last - start + 1)
        np.testing.assert_array_equal(joined.result.target[rows], engine.simulate(bars, [own]).target)


def test_choices_do_not_depend_on_the_tests_they_precede() -> None:
    """Other prices from a test's first day on leave its and every earlier choice alone."""
    bars, engine = market(), ReferenceEngine()
    grid = make_grid(small(), {"ema_fast": (3, 8), "top_n": (1, 2)})
    windows = calendar_windows(bars.dates, 0, len(bars.dates) - 1, train_years=1, oos_months=3)
    cut = windows[1].test_first
    sides = {side: getattr(bars, side).copy() for side in ("open", "high", "low", "close")}
    for values in sides.values():
        values[cut:] = values[cut:] * np.linspace(1.0, 3.0, len(values) - cut)[:, None]
    other = SwingBars(symbols=bars.symbols, dates=bars.dates, **sides)
    before, after = (walk_forward(engine, each, grid, windows, "Calmar") for each in (bars, other))
    np.testing.assert_array_equal(before.objectives[:2], after.objectives[:2])
    np.testing.assert_array_equal(
        before.result.net[: cut - windows[0].test_first], after.result.net[: cut - windows[0].test_first]
    )
    assert not np.array_equal(before.objectives[2:], after.objectives[2:])


def test_a_walk_forward_without_a_window_is_refused() -> None:
    """The message says what is missing."""
    with pytest.raises(ValueError, match="0 windows"):
        walk_forward(ReferenceEngine(), market(), [small()], [], "Calmar")


def test_a_window_whose_test_precedes_its_training_is_refused() -> None:
    """Training rows come before test rows."""
    with pytest.raises(ValueError, match="rows must be ordered"):
        Window(train_first=0, train_last=10, test_first=10, test_last=12)


def test_the_stability_table_averages_over_windows_and_other_fields() -> None:
    """Two by two with two other values and two windows: means of four."""
    grid = make_grid(SwingParameters(), {"ema_fast": (10, 20), "top_n": (1, 2), "corr_cap": (0.6, 0.7)})
    objectives = np.array([[0, 2, 4, 6, 8, 10, 12, 14], [1, 3, 5, 7, 9, 11, 13, 15]], dtype=np.float64)
    rows, columns, table = stability_table(objectives, grid, row="ema_fast", column="top_n")
    assert (rows, columns) == ([10, 20], [1, 2])
    np.testing.assert_array_equal(table, [[1.5, 5.5], [9.5, 13.5]])
