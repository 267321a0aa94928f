"""Owns the building of bars from market steps, and the texts of bar sizes and durations."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from walstreet_services.ibsim.model import Bar
from walstreet_services.ibsim.times import DAYS_BACK_MAX, days_before_ns
from walstreet_services.ibsim.units import NS_PER_SECOND

if TYPE_CHECKING:
    from walstreet_services.ibsim.model import MarketStep

BAR_SECONDS = {
    "5 secs": 5,
    "1 min": 60,
    "5 mins": 300,
    "15 mins": 900,
    "30 mins": 1800,
    "1 hour": 3600,
    "1 day": 86400,
}
QUOTE_BARS = frozenset({"MIDPOINT", "BID", "ASK"})
BAR_KINDS = frozenset({"TRADES", "ADJUSTED_LAST"}) | QUOTE_BARS
_DURATION = re.compile(r"^(\d{1,5}) ([SDWMY])$")
_DAYS_BY_UNIT = {"W": 7, "M": 31, "Y": 366}
TRADING_DAYS_TO_CALENDAR = (7, 5, 4)
"""Durations in days count trading days: times 7, divided by 5, and a margin of days for holidays."""


def duration_start_ns(duration: str, end_ns: int) -> tuple[int, int | None] | None:
    """Return the start of a duration that ends at ``end_ns``, and the number of trading days if it counts those.

    None means that the text is malformed.
    """
    match = _DURATION.match(duration)
    if match is None or int(match.group(1)) == 0:
        return None
    count, unit = int(match.group(1)), match.group(2)
    if unit == "S":
        return end_ns - count * NS_PER_SECOND, None
    if unit == "D":
        times, divided, margin = TRADING_DAYS_TO_CALENDAR
        return days_before_ns(end_ns, min(count * times // divided + margin, DAYS_BACK_MAX)), count
    return days_before_ns(end_ns, min(count * _DAYS_BY_UNIT[unit], DAYS_BACK_MAX)), None


class BarBuilder:
    """Grows one bar at a time of one instrument from steps."""

    def __init__(self, index: int, bar_seconds: int, what: str, session_open_ns: int) -> None:
        self._index = index
        self._bar_ns = bar_seconds * NS_PER_SECOND
        self._what = what
        self._daily = bar_seconds == BAR_SECONDS["1 day"]
        self._open_ns = session_open_ns
        self._start_ns = 0
        self._prices: list[int] = []
        self._volume = 0
        self._turnover = 0
        self._count = 0

    def start_of(self, ts_ns: int) -> int:
        """Return the start of the bar that holds the step ending at ``ts_ns``; an end belongs to its bar."""
        return self._open_ns if self._daily else (ts_ns - 1) // self._bar_ns * self._bar_ns

    def add(self, step: MarketStep) -> Bar | None:
        """Take in one step and return the growing bar, None while it has no price."""
        start_ns = self.start_of(step.ts_ns)
        if start_ns != self._start_ns:
            self._start_ns = start_ns
            self._prices, self._volume, self._turnover, self._count = [], 0, 0, 0
        price = self._price(step)
        if price:
            # Open, high, low, close: four numbers are all that a bar remembers.
            kept = self._prices
            self._prices = [kept[0], max(kept[1], price), min(kept[2], price), price] if kept else [price] * 4
            size = int(step.trade_size_micro[self._index])
            self._volume += size
            self._turnover += price * size
            self._count += 1
        if not self._prices:
            return None
        opened, high, low, close = self._prices
        return Bar(
            start_ns=self._start_ns,
            open_nano=opened,
            high_nano=high,
            low_nano=low,
            close_nano=close,
            volume_micro=self._volume,
            wap_nano=self._turnover // self._volume if self._volume else close,
            count=self._count,
        )

    def _price(self, step: MarketStep) -> int:
        """Return the step's price of the wanted kind, zero when there is none."""
        index = self._index
        if self._what not in QUOTE_BARS:
            return int(step.trade_nano[index]) if step.trade_size_micro[index] else 0
        bid, ask = int(step.bid_nano[index]), int(step.ask_nano[index])
        if self._what == "BID":
            return bid
        if self._what == "ASK":
            return ask
        return (bid + ask) // 2 if bid and ask else 0
