"""Owns the tests of the trading calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from walstreet_services.ibsim.calendar_xnys import previous_sessions, session_on, sessions_between
from walstreet_services.ibsim.market_errors import MarketRequestError


def instant_ns(*fields: int) -> int:
    """Return a UTC wall time in nanoseconds."""
    return int(datetime(*fields, tzinfo=UTC).timestamp()) * 1_000_000_000


def test_a_usual_session_in_winter_and_in_summer() -> None:
    """Trading is 9:30 to 16:00 in New York, which moves in UTC with daylight saving."""
    winter, summer = session_on(date(2019, 2, 13)), session_on(date(2019, 7, 10))
    assert (winter.open_ns, winter.close_ns) == (
        instant_ns(2019, 2, 13, 14, 30),
        instant_ns(2019, 2, 13, 21),
    )
    assert (summer.open_ns, summer.close_ns) == (
        instant_ns(2019, 7, 10, 13, 30),
        instant_ns(2019, 7, 10, 20),
    )


def test_an_early_close_is_known() -> None:
    """Christmas Eve of 2019 closed at 13:00 in New York."""
    assert session_on(date(2019, 12, 24)).close_ns == instant_ns(2019, 12, 24, 18)


@pytest.mark.parametrize(
    ("day", "before", "after"),
    [
        (date(2019, 12, 25), "2019-12-24", "2019-12-26"),
        (date(2019, 2, 16), "2019-02-15", "2019-02-19"),
        (date(2012, 10, 29), "2012-10-26", "2012-10-31"),
    ],
)
def test_a_closed_day_is_refused_with_its_neighbours(day: date, before: str, after: str) -> None:
    """The message names the date and the nearest sessions, across a weekend with a holiday as well."""
    with pytest.raises(MarketRequestError, match=f"{day}.*{before} and {after}"):
        session_on(day)


def test_a_date_outside_the_calendar_is_refused() -> None:
    """The calendar's range is named."""
    with pytest.raises(MarketRequestError, match="1890-01-02 is outside the calendar's range 1990-01-02"):
        session_on(date(1890, 1, 2))


def test_previous_sessions_are_before_the_date_and_oldest_first() -> None:
    """The date itself is excluded, whether it is a session or not."""
    days = [session.date for session in previous_sessions(date(2019, 2, 19), 3)]
    assert days == [date(2019, 2, 13), date(2019, 2, 14), date(2019, 2, 15)]
    assert previous_sessions(date(2019, 2, 18), 3) == previous_sessions(date(2019, 2, 19), 3)
    assert previous_sessions(date(2019, 2, 19), 0) == ()


def test_too_many_previous_sessions_are_refused() -> None:
    """The message says how many the calendar knows."""
    with pytest.raises(MarketRequestError, match="the calendar knows 2"):
        previous_sessions(date(1990, 1, 4), 3)


def test_sessions_between_include_both_ends() -> None:
    """Presidents' Day of 2019 is missing between its neighbours."""
    days = [session.date for session in sessions_between(date(2019, 2, 15), date(2019, 2, 19))]
    assert days == [date(2019, 2, 15), date(2019, 2, 19)]
