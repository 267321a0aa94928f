"""Owns the offsets of local clocks from UTC by fixed rules, so that a decision depends on no machine's zone database.

The rules are those in force since 2007 (United States) and 1996 (Europe); a test compares them with the zone database
for thirty years. A change of these laws needs a change here, and then a replay of older sessions decides as they did.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Literal

from walstreet_events import NANOS_PER_SECOND

HOUR_S = 3_600
DAY_S = 86_400
SUNDAY = 6
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

Zone = Literal[
    "UTC",
    "America/New_York",
    "America/Chicago",
    "America/Los_Angeles",
    "Europe/London",
    "Europe/Zurich",
    "Asia/Hong_Kong",
    "Asia/Singapore",
    "Asia/Tokyo",
]
_RULES: dict[str, tuple[int, str]] = {
    "UTC": (0, ""),
    "America/New_York": (-5, "us"),
    "America/Chicago": (-6, "us"),
    "America/Los_Angeles": (-8, "us"),
    "Europe/London": (0, "eu"),
    "Europe/Zurich": (1, "eu"),
    "Asia/Hong_Kong": (8, ""),
    "Asia/Singapore": (8, ""),
    "Asia/Tokyo": (9, ""),
}
"""Hours of standard time ahead of UTC, and whose rule of daylight saving holds."""


def offset_s(zone: Zone, time_s: int) -> int:
    """Return how many seconds the clocks of ``zone`` are ahead of UTC at ``time_s`` (seconds since 1970, UTC)."""
    hours, rule = _RULES[zone]
    standard_s = hours * HOUR_S
    if not rule:
        return standard_s
    begin_s, end_s = _daylight_s(datetime.fromtimestamp(time_s, tz=UTC).year, rule, standard_s)
    return standard_s + (HOUR_S if begin_s <= time_s < end_s else 0)


def readings_s(zone: Zone, time_s: int) -> tuple[int, ...]:
    """Return the offsets in force within a day of ``time_s``: two where the clocks are changed, else one."""
    return tuple(dict.fromkeys(offset_s(zone, time_s + shift) for shift in (-DAY_S, 0, DAY_S)))


def day_of(local_s: int) -> int:
    """Return the number of a local day, counted from 1970-01-01."""
    return local_s // DAY_S


def weekday_of(day: int) -> int:
    """Return the weekday of a day's number; Monday is 0."""
    return date.fromordinal(EPOCH_ORDINAL + day).weekday()


def seconds_of(ts_ns: int) -> int:
    """Return the whole seconds of a time in nanoseconds."""
    return ts_ns // NANOS_PER_SECOND


def _daylight_s(year: int, rule: str, standard_s: int) -> tuple[int, int]:
    """Return the beginning and the end of daylight saving in a year, in seconds UTC."""
    if rule == "us":
        # Second Sunday of March and first Sunday of November, at two by the clock that is in force until then.
        begin = _sunday(date(year, 3, 8)) * DAY_S + 2 * HOUR_S - standard_s
        return begin, _sunday(date(year, 11, 1)) * DAY_S + 2 * HOUR_S - (standard_s + HOUR_S)
    # The last Sundays of March and October, at one by UTC everywhere.
    return _sunday(date(year, 3, 25)) * DAY_S + HOUR_S, _sunday(date(year, 10, 25)) * DAY_S + HOUR_S


def _sunday(first: date) -> int:
    """Return the number of the first Sunday at or after a date."""
    return (first + timedelta(days=(SUNDAY - first.weekday()) % 7)).toordinal() - EPOCH_ORDINAL
