"""Owns the sessions of the New York Stock Exchange for programs that run on the wall clock.

The simulator has a calendar of its own, because services import no other service.
"""

from __future__ import annotations

import datetime as dt
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

FIRST_DATE: Final = dt.date(1990, 1, 2)
LAST_DATE: Final = dt.date(2040, 12, 31)
NANOSECONDS_PER_DAY: Final = 86_400 * 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sessions:
    """Sessions in ascending order."""

    days: NDArray[np.int32]
    """Days since 1970-01-01."""
    open_ns: NDArray[np.int64]
    close_ns: NDArray[np.int64]
    """Nanoseconds UTC; early closes included."""

    def newest_closed(self, now_ns: int) -> int:
        """Return the day of the newest session whose close is not after ``now_ns``.

        Raises:
            ValueError: ``now_ns`` is outside the calendar.
        """
        return self._newest(self.close_ns, now_ns)

    def newest_opened(self, now_ns: int) -> int:
        """Return the day of the newest session whose open is not after ``now_ns``.

        Raises:
            ValueError: ``now_ns`` is outside the calendar.
        """
        return self._newest(self.open_ns, now_ns)

    def _newest(self, times: NDArray[np.int64], now_ns: int) -> int:
        row = int(np.searchsorted(times, now_ns, side="right")) - 1
        if not 0 <= row < len(self.days) - 1:
            raise ValueError(f"the clock says {now_ns} ns, which is outside {FIRST_DATE} to {LAST_DATE}; set the clock")
        return int(self.days[row])


@lru_cache(maxsize=1)
def exchange_sessions() -> Sessions:
    """Return every session between ``FIRST_DATE`` and ``LAST_DATE``; the first call takes more than a second."""
    import exchange_calendars  # noqa: PLC0415 - it imports pandas, which other commands should not wait for

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Series.values returning", category=DeprecationWarning)
        calendar = exchange_calendars.get_calendar("XNYS", start=FIRST_DATE.isoformat(), end=LAST_DATE.isoformat())
    return Sessions(
        days=(np.asarray(calendar.sessions_nanos, dtype=np.int64) // NANOSECONDS_PER_DAY).astype(np.int32),
        open_ns=np.asarray(calendar.opens_nanos, dtype=np.int64),
        close_ns=np.asarray(calendar.closes_nanos, dtype=np.int64),
    )
