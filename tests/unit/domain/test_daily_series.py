"""Daily series: order, days that come twice, provisional bars, and newer answers over older ones."""

import datetime as dt

import numpy as np
import pytest

from walstreet.domain.daily_series import DailyBar, day_date, day_number, laid_over, series_of


def bar(day, close, volume=10):
    """Return a bar whose prices are all near its close."""
    return DailyBar(day=day, open=close, high=close + 1, low=close - 1, close=close, volume=volume)


def test_bars_of_any_order_become_ascending_and_the_last_of_a_day_counts() -> None:
    """A source may repeat a day; what it said last is what it means."""
    series = series_of([bar(12, 5.0), bar(10, 4.0), bar(12, 6.0)], final_until=10)
    assert series.days.tolist() == [10, 12]
    assert series.close.tolist() == [4.0, 6.0]
    assert series.provisional.tolist() == [False, True]
    assert series.final().days.tolist() == [10]


def test_a_newer_answer_replaces_the_days_it_has_and_keeps_the_others() -> None:
    """A provisional bar is replaced by the final one of the same day."""
    old = series_of([bar(10, 4.0), bar(11, 4.5)], final_until=10)
    new = series_of([bar(11, 5.0), bar(13, 6.0), bar(9, 3.0)], final_until=13)
    both = laid_over(old, new)
    assert both.days.tolist() == [9, 10, 11, 13]
    assert both.close.tolist() == [3.0, 4.0, 5.0, 6.0]
    assert not both.provisional.any()


def test_an_empty_series_is_a_series() -> None:
    """Nothing over something is the something, and the other way round."""
    some, none = series_of([bar(10, 4.0)], final_until=10), series_of([], final_until=10)
    assert laid_over(some, none).days.tolist() == laid_over(none, some).days.tolist() == [10]
    assert len(none.between(0, 99)) == 0


def test_days_that_do_not_ascend_are_a_fault_of_ours() -> None:
    """The constructor asserts order, because every look-up relies on it."""
    good = series_of([bar(10, 4.0), bar(11, 4.0)], final_until=11)
    with pytest.raises(AssertionError, match="ascend"):
        good.rows(np.array([1, 0]))  # type: ignore[arg-type]  # positions where a mask belongs


def test_days_count_from_1970_and_back() -> None:
    """Day 0 is 1970-01-01, and a leap day survives the round trip."""
    assert day_date(0) == dt.date(1970, 1, 1)
    assert day_date(day_number(dt.date(2024, 2, 29))) == dt.date(2024, 2, 29)
