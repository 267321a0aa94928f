"""Owns the texts of a historical request: which bar sizes there are, and how long a span is written."""

from __future__ import annotations

from walstreet.adapters.ibkr.errors import BrokerRefusedError

BAR_SIZES: dict[int, str] = {
    5: "5 secs",
    60: "1 min",
    300: "5 mins",
    900: "15 mins",
    1_800: "30 mins",
    3_600: "1 hour",
    86_400: "1 day",
}
DAY_SECONDS = 86_400
HISTORY_DAYS_MAX = 365
"""The broker takes a span in days up to here, a longer one in years only."""
SESSIONS_PER_YEAR = 250
"""At least; the year that is asked for besides makes up for shorter ones."""
HISTORY_YEARS_MAX = 40


def duration_text(days: int, bar_seconds: int) -> str:
    """Return the span of ``days`` sessions as the broker reads it; beyond a year it is whole years, and longer.

    Raises:
        BrokerRefusedError: An argument is out of range.
    """
    years = -(-days // SESSIONS_PER_YEAR) + 1
    long = bar_seconds == DAY_SECONDS and days > HISTORY_DAYS_MAX and years <= HISTORY_YEARS_MAX
    if bar_seconds not in BAR_SIZES or not (1 <= days <= HISTORY_DAYS_MAX or long):
        raise BrokerRefusedError(
            f"history of {days} days in bars of {bar_seconds} s; allowed are 1 to {HISTORY_DAYS_MAX} days (of daily "
            f"bars {(HISTORY_YEARS_MAX - 1) * SESSIONS_PER_YEAR}) and {', '.join(map(str, BAR_SIZES))} s"
        )
    return f"{years} Y" if long else f"{days} D"
