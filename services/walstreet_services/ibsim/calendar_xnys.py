"""Owns the trading calendar of the New York Stock Exchange, early closes and holidays included."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import date as date_type
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from walstreet_services.ibsim.market_errors import MarketRequestError
from walstreet_services.ibsim.model import Session

if TYPE_CHECKING:
    from walstreet_services.ibsim.model import Int64Array

# The range is fixed, because the package's default range moves with the wall clock.
FIRST_DATE = date_type(1990, 1, 2)
LAST_DATE = date_type(2040, 12, 31)
NANOSECONDS_PER_DAY = 86_400 * 1_000_000_000
UNIX_EPOCH_ORDINAL = date_type(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class _Schedule:
    """All sessions as parallel arrays in ascending order."""

    ordinals: Int64Array
    open_ns: Int64Array
    close_ns: Int64Array

    def session(self, position: int) -> Session:
        return Session(
            date=date_type.fromordinal(int(self.ordinals[position])),
            open_ns=int(self.open_ns[position]),
            close_ns=int(self.close_ns[position]),
        )


def session_on(date: date_type) -> Session:
    """Return the regular session of a date.

    Raises:
        MarketRequestError: If the exchange is closed on the date, or the date is outside the calendar.
    """
    schedule = _schedule()
    position = _position(schedule, date)
    if position < len(schedule.ordinals) and schedule.ordinals[position] == date.toordinal():
        return schedule.session(position)
    before = schedule.session(position - 1).date if position > 0 else None
    after = schedule.session(position).date if position < len(schedule.ordinals) else None
    raise MarketRequestError(
        f"{date} ({date:%A}) is no trading day of XNYS; the nearest sessions are {before} and {after}"
    )


def previous_sessions(date: date_type, count: int) -> tuple[Session, ...]:
    """Return the ``count`` sessions before a date (the date itself excluded), oldest first.

    Raises:
        MarketRequestError: If ``count`` is negative or reaches before the calendar's first session.
    """
    schedule = _schedule()
    position = _position(schedule, date)
    if not 0 <= count <= position:
        raise MarketRequestError(
            f"{count} sessions before {date} were asked for; the calendar knows {position} (from {FIRST_DATE})"
        )
    return tuple(schedule.session(index) for index in range(position - count, position))


def sessions_between(first: date_type, last: date_type) -> tuple[Session, ...]:
    """Return every session with ``first <= date <= last``, oldest first."""
    schedule = _schedule()
    start = _position(schedule, first)
    stop = int(np.searchsorted(schedule.ordinals, last.toordinal(), side="right"))
    return tuple(schedule.session(index) for index in range(start, stop))


def _position(schedule: _Schedule, date: date_type) -> int:
    if not FIRST_DATE <= date <= LAST_DATE:
        raise MarketRequestError(f"{date} is outside the calendar's range {FIRST_DATE} to {LAST_DATE}")
    return int(np.searchsorted(schedule.ordinals, date.toordinal(), side="left"))


@lru_cache(maxsize=1)
def _schedule() -> _Schedule:
    # The package imports pandas and needs about 1.5 s, which programs that play no session should not pay.
    import exchange_calendars  # noqa: PLC0415

    with warnings.catch_warnings():
        # Under pandas 3.1 the package, up to 4.13, uses a conversion that pandas will change; the values of today
        # are right, and the unit tests of this module hold them against the known hours.
        warnings.filterwarnings("ignore", message="Series.values returning", category=DeprecationWarning)
        calendar = exchange_calendars.get_calendar("XNYS", start=FIRST_DATE.isoformat(), end=LAST_DATE.isoformat())
    ordinals = np.asarray(calendar.sessions_nanos, dtype=np.int64) // NANOSECONDS_PER_DAY + UNIX_EPOCH_ORDINAL
    return _Schedule(
        ordinals=ordinals,
        open_ns=np.asarray(calendar.opens_nanos, dtype=np.int64),
        close_ns=np.asarray(calendar.closes_nanos, dtype=np.int64),
    )
