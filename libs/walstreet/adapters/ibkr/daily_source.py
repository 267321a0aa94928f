"""Owns daily history from the broker: TWS, IB Gateway or the simulator, through the ``Broker`` port."""

from __future__ import annotations

import datetime as dt
from typing import Final
from zoneinfo import ZoneInfo

from walstreet.adapters.history_source import HistoryError, Reason
from walstreet.adapters.ibkr.errors import BrokerError, BrokerLostError, BrokerRefusedError, BrokerTimeoutError
from walstreet.adapters.ibkr.history_request import DAY_SECONDS
from walstreet.domain.daily_series import DailyBar, day_date, day_number
from walstreet.domain.observations import HistoryBar
from walstreet.ports import Broker
from walstreet_events import NANOS_PER_SECOND, PRICE_SCALE, QUANTITY_SCALE

NEW_YORK: Final = ZoneInfo("America/New_York")
NO_DATA_TEXTS: Final = ("no data", "no head time stamp")
PACING_TEXTS: Final = ("pacing violation",)
PERMISSION_TEXTS: Final = ("no market data permissions", "not subscribed", "different ip address", "permission")
REMEDIES: Final[dict[int, str]] = {
    100: "the broker's message rate was exceeded; lower governor.messages_per_second",
    162: "if it names another session, log that one out; if permissions, subscribe the exchange or take delayed data",
    200: "the symbol is no stock or ETF that SMART routes; mend the universe",
    321: "the request is malformed or the API is read-only for it; check symbol, dates and ibkr.timeframe",
    354: "there is no subscription; take delayed data (ibkr.market_mode) or subscribe",
    366: "the gateway had forgotten the request; it is asked again",
    10197: "another session uses the market data; log it out",
}
PASSES: Final = frozenset({100, 366, 2105, 10182})
"""Codes that say nothing about the request itself: the next one may be answered."""


class BrokerHistory:
    """Implements ``DailySource`` over a connected broker; a lost connection is made anew at the next request."""

    def __init__(self, broker: Broker, *, name: str) -> None:
        """Ask ``broker``; ``name`` is written beside the data."""
        self._broker = broker
        self._name = name
        self._qualified: set[str] = set()

    @property
    def name(self) -> str:
        """Return what is written beside the data."""
        return self._name

    async def now_ns(self) -> int:
        """Return the broker's time; a simulator lives on another day."""
        try:
            await self._connected()
            return await self._broker.server_time_ns()
        except BrokerError as error:
            raise named(error, "the time") from error

    async def raw(self, symbol: str, first: int, last: int, *, growing: bool) -> tuple[DailyBar, ...]:
        """Return TRADES bars, which the broker adjusts for splits and not for dividends."""
        bars = await self._history(symbol, first, last, what="TRADES", growing=growing)
        return tuple(bar for bar in map(daily_bar, bars) if first <= bar.day <= last)

    async def adjusted(self, symbol: str, first: int) -> tuple[DailyBar, ...]:
        """Return ADJUSTED_LAST bars: the broker refuses an end for them, so they come whole and end now."""
        today = _day_of(await self.now_ns())
        bars = await self._history(symbol, first, today, what="ADJUSTED_LAST", growing=True)
        return tuple(bar for bar in map(daily_bar, bars) if bar.day >= first)

    async def _history(self, symbol: str, first: int, last: int, *, what: str, growing: bool) -> tuple[HistoryBar, ...]:
        try:
            await self._connected()
            if symbol not in self._qualified:
                await self._broker.instruments([symbol])
                self._qualified.add(symbol)
            return await self._broker.history(
                symbol,
                end_ns=_midnight_ns(last + 1),
                days=weekdays(first, last),
                bar_seconds=DAY_SECONDS,
                what=what,
                growing=growing,
            )
        except BrokerError as error:
            raise named(error, symbol) from error

    async def _connected(self) -> None:
        if not self._broker.connected:
            self._qualified.clear()
            await self._broker.connect()


def named(error: BrokerError, what: str) -> HistoryError:
    """Return a broker's failure with its reason and a remedy."""
    if isinstance(error, BrokerTimeoutError | BrokerLostError):
        return HistoryError(f"{what}: {error}", reason="unavailable")
    code = error.code if isinstance(error, BrokerRefusedError) else 0
    said = str(error).lower()
    reason: Reason = "refused"
    if any(text in said for text in PACING_TEXTS) or code == 100:
        reason = "pacing"
    elif code == 162 and any(text in said for text in NO_DATA_TEXTS):
        reason = "no_data"
    elif code in PASSES:
        reason = "unavailable"
    elif code == 200 or "cannot be qualified" in said:
        reason = "unknown_symbol"
    elif code in {354, 10197} or any(text in said for text in PERMISSION_TEXTS):
        reason = "permission"
    remedy = REMEDIES.get(code, "")
    return HistoryError(f"{what}: {error}" + (f"; {remedy}" if remedy else ""), reason=reason)


def weekdays(first: int, last: int) -> int:
    """Return the days from ``first`` to ``last`` that are no weekend, at least 1: no fewer than there are sessions."""
    count, start = last - first + 1, day_date(first).weekday()
    whole, rest = divmod(max(count, 0), 7)
    return max(1, 5 * whole + sum(1 for offset in range(rest) if (start + offset) % 7 < 5))


def daily_bar(bar: HistoryBar) -> DailyBar:
    """Return a broker's bar; its start is midnight in New York, or the open."""
    return DailyBar(
        day=_day_of(bar.start_ns),
        open=bar.open_nano / PRICE_SCALE,
        high=bar.high_nano / PRICE_SCALE,
        low=bar.low_nano / PRICE_SCALE,
        close=bar.close_nano / PRICE_SCALE,
        volume=bar.volume_micro // QUANTITY_SCALE,
    )


def _day_of(ts_ns: int) -> int:
    return day_number(dt.datetime.fromtimestamp(ts_ns // NANOS_PER_SECOND, NEW_YORK).date())


def _midnight_ns(day: int) -> int:
    date = day_date(day)
    moment = dt.datetime(date.year, date.month, date.day, tzinfo=NEW_YORK)
    return round(moment.timestamp()) * NANOS_PER_SECOND
