"""Owns the time texts of the protocol: exchange-local stamps out, the accepted forms in."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from walstreet_services.ibsim.units import NS_PER_SECOND

EXCHANGE_ZONE_NAME = "US/Eastern"
EXCHANGE_ZONE = ZoneInfo(EXCHANGE_ZONE_NAME)
_LOCAL = re.compile(r"^(\d{8})[ -](\d{2}):(\d{2}):(\d{2})(?: ([A-Za-z_/+\-0-9]{1,40}))?$")
_DATE = re.compile(r"^(\d{8})$")
DAYS_BACK_MAX = 36_500
YEAR_MIN, YEAR_MAX = 1971, 2200
"""Times outside these years are typing errors, and arithmetic with them can leave the calendar."""
ZONE_ALIASES = {"EST": EXCHANGE_ZONE_NAME, "EDT": EXCHANGE_ZONE_NAME, "GMT": "UTC"}


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(ZONE_ALIASES.get(name, name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _utc(ts_ns: int) -> datetime:
    return datetime.fromtimestamp(ts_ns // NS_PER_SECOND, UTC)


def local_text(ts_ns: int) -> str:
    """Return ``20261120 09:30:00 US/Eastern``, the form of bars and executions."""
    return f"{_utc(ts_ns).astimezone(EXCHANGE_ZONE):%Y%m%d %H:%M:%S} {EXCHANGE_ZONE_NAME}"


def handshake_text(ts_ns: int) -> str:
    """Return ``20261120 09:30:00 EST``, the form of the connection time."""
    return f"{_utc(ts_ns).astimezone(EXCHANGE_ZONE):%Y%m%d %H:%M:%S %Z}"


def clock_text(ts_ns: int) -> str:
    """Return ``09:30``, the form of the account's time of update."""
    return f"{_utc(ts_ns).astimezone(EXCHANGE_ZONE):%H:%M}"


def date_text(ts_ns: int) -> str:
    """Return the exchange's date as ``20261120``."""
    return f"{_utc(ts_ns).astimezone(EXCHANGE_ZONE):%Y%m%d}"


def utc_text(ts_ns: int) -> str:
    """Return ``20261120-14:30:00`` in UTC, the form of head timestamps."""
    return f"{_utc(ts_ns):%Y%m%d-%H:%M:%S}"


def hours_text(open_ns: int, close_ns: int) -> str:
    """Return ``20261120:0930-20261120:1600``, the form of trading hours."""
    opened = _utc(open_ns).astimezone(EXCHANGE_ZONE)
    closed = _utc(close_ns).astimezone(EXCHANGE_ZONE)
    return f"{opened:%Y%m%d:%H%M}-{closed:%Y%m%d:%H%M}"


def parse_time(text: str) -> tuple[int, bool] | None:
    """Return nanoseconds and whether a zone was given; None for a text of no accepted form.

    Accepted are ``yyyymmdd hh:mm:ss TZ``, ``yyyymmdd-hh:mm:ss`` (UTC), ``yyyymmdd hh:mm:ss`` (exchange time,
    the caller warns) and ``yyyymmdd`` (midnight at the exchange).
    """
    day = _DATE.match(text)
    zone: ZoneInfo | None = EXCHANGE_ZONE
    zoned = True
    if day is not None:
        stamp = f"{text}000000"
    else:
        match = _LOCAL.match(text)
        if match is None:
            return None
        stamp = "".join(match.groups()[:4])
        if match.group(5):
            zone = _zone(match.group(5))
        elif text[8] == "-":
            zone = _zone("UTC")
        else:
            zoned = False
    if zone is None:
        return None
    try:
        moment = datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=zone)
    except ValueError:
        return None
    if not YEAR_MIN <= moment.year <= YEAR_MAX:
        return None
    return round(moment.timestamp()) * NS_PER_SECOND, zoned


def day_start_ns(day: date) -> int:
    """Return midnight at the exchange at the start of ``day``."""
    return round(datetime(day.year, day.month, day.day, tzinfo=EXCHANGE_ZONE).timestamp()) * NS_PER_SECOND


def days_before_ns(ts_ns: int, days_count: int) -> int:
    """Return midnight at the exchange ``days_count`` calendar days before the day of ``ts_ns``."""
    assert 0 <= days_count <= DAYS_BACK_MAX
    day = _utc(ts_ns).astimezone(EXCHANGE_ZONE).date()
    return day_start_ns(day - timedelta(days=days_count))


def parse_day(text: str) -> date:
    """Return the date of a text such as ``20261120`` that this module has made."""
    return date(int(text[:4]), int(text[4:6]), int(text[6:8]))


def schedule_text(ts_ns: int) -> str:
    """Return ``20261120-09:30:00`` at the exchange, the form of trading schedules."""
    return f"{_utc(ts_ns).astimezone(EXCHANGE_ZONE):%Y%m%d-%H:%M:%S}"
