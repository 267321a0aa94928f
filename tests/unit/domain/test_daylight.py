"""Tests of local clocks by fixed rules, against the zone database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args
from zoneinfo import ZoneInfo

import pytest

from walstreet.domain.daylight import DAY_S, Zone, day_of, offset_s, readings_s, seconds_of, weekday_of


@pytest.mark.parametrize("zone", get_args(Zone))
def test_every_hour_of_thirty_years_agrees_with_the_zone_database(zone: Zone) -> None:
    """2007 to 2037, once a day at changing hours, and every half hour of the months in which clocks are changed."""
    known = ZoneInfo(zone)
    begin = int(datetime(2007, 1, 1, tzinfo=UTC).timestamp())
    end = int(datetime(2037, 1, 1, tzinfo=UTC).timestamp())
    times = [*range(begin, end, DAY_S + 3_600)]
    for year in (2007, 2024, 2026, 2036):
        for month in (3, 10, 11):
            first = int(datetime(year, month, 1, tzinfo=UTC).timestamp())
            times += range(first, first + 31 * DAY_S, 1_800)
    for time_s in times:
        wanted = datetime.fromtimestamp(time_s, tz=known).utcoffset()
        assert wanted is not None
        assert offset_s(zone, time_s) == wanted.total_seconds(), time_s


def test_two_readings_around_a_change_only() -> None:
    """On 8 March 2026 both offsets of New York are told from a day before to a day after, else one."""
    change = int(datetime(2026, 3, 8, 7, tzinfo=UTC).timestamp())
    assert readings_s("America/New_York", change - DAY_S) == (-18_000, -14_400)
    assert readings_s("America/New_York", change + DAY_S - 1) == (-18_000, -14_400)
    assert readings_s("America/New_York", change + DAY_S) == (-14_400,)
    assert readings_s("UTC", change) == (0,)


def test_days_and_weekdays() -> None:
    """1970-01-01 is day 0 and a Thursday; the second before belongs to day -1."""
    assert (day_of(0), day_of(-1), weekday_of(0), weekday_of(-1)) == (0, -1, 3, 2)
    assert seconds_of(1_999_999_999) == 1
