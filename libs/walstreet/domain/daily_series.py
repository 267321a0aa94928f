"""Owns the daily bars of one symbol as arrays, and how a newer answer is laid over an older one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from walstreet.domain.units import BoolArray, FloatArray

DayArray = NDArray[np.int32]
VolumeArray = NDArray[np.int64]
PRICES = ("open", "high", "low", "close")

_EPOCH = dt.date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyBar:
    """One day of one symbol, as a source tells it."""

    day: int
    """Days since 1970-01-01, the session's date in New York."""
    open: float
    high: float
    low: float
    close: float
    volume: int
    """Shares."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DailySeries:
    """Daily bars, oldest first, no day twice."""

    days: DayArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: VolumeArray
    provisional: BoolArray
    """Whether the session was not over, or too recently, when the bar was fetched; such a bar is fetched again."""

    def __post_init__(self) -> None:
        """Refuse what is no series."""
        assert bool((np.diff(self.days) > 0).all()), "days must ascend"
        assert len({len(getattr(self, name)) for name in (*PRICES, "days", "volume", "provisional")}) == 1

    def __len__(self) -> int:
        """Return the number of bars."""
        return len(self.days)

    def rows(self, keep: BoolArray) -> DailySeries:
        """Return the bars where ``keep`` is true."""
        return DailySeries(
            days=self.days[keep],
            open=self.open[keep],
            high=self.high[keep],
            low=self.low[keep],
            close=self.close[keep],
            volume=self.volume[keep],
            provisional=self.provisional[keep],
        )

    def final(self) -> DailySeries:
        """Return the bars that will not change any more."""
        return self.rows(~self.provisional)

    def between(self, first: int, last: int) -> DailySeries:
        """Return the bars from day ``first`` to day ``last``, both inclusive."""
        return self.rows((self.days >= first) & (self.days <= last))


def series_of(bars: Sequence[DailyBar], *, final_until: int) -> DailySeries:
    """Return bars of any order as a series; of a day that comes twice the last one counts.

    Args:
        bars: From a source.
        final_until: The newest day whose bar is final; later ones are provisional.
    """
    ordered = [{bar.day: bar for bar in bars}[day] for day in sorted({bar.day for bar in bars})]
    days = np.array([bar.day for bar in ordered], dtype=np.int32)
    return DailySeries(
        days=days,
        open=np.array([bar.open for bar in ordered], dtype=np.float64),
        high=np.array([bar.high for bar in ordered], dtype=np.float64),
        low=np.array([bar.low for bar in ordered], dtype=np.float64),
        close=np.array([bar.close for bar in ordered], dtype=np.float64),
        volume=np.array([bar.volume for bar in ordered], dtype=np.int64),
        provisional=days > final_until,
    )


def laid_over(older: DailySeries, newer: DailySeries) -> DailySeries:
    """Return both series as one; where both have a day, the newer bar stays."""
    kept = older.rows(~np.isin(older.days, newer.days))
    days = np.concatenate([kept.days, newer.days])
    order = np.argsort(days, kind="stable")
    columns = {
        name: np.concatenate([getattr(kept, name), getattr(newer, name)])[order]
        for name in (*PRICES, "volume", "provisional")
    }
    return DailySeries(days=days[order], **columns)


def day_number(day: dt.date) -> int:
    """Return a date as days since 1970-01-01."""
    return day.toordinal() - _EPOCH


def day_date(day: int) -> dt.date:
    """Return the date that is ``day`` days after 1970-01-01."""
    return dt.date.fromordinal(day + _EPOCH)
