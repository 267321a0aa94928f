"""Owns daily history from Alpaca's market data API; off by default, pages of up to 10,000 bars."""

from __future__ import annotations

import datetime as dt
import urllib.parse
from typing import Final, Literal
from zoneinfo import ZoneInfo

import msgspec

from walstreet.adapters.history_http import get_json
from walstreet.adapters.history_source import HistoryError
from walstreet.domain.daily_series import DailyBar, day_date, day_number
from walstreet.ports import Clock

URL: Final = "https://data.alpaca.markets"
KEY_VARIABLES: Final = ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY")
PAGE_BARS: Final = 10_000
PAGES_MAX: Final = 100
"""More pages of daily bars do not exist; a token that never ends is the vendor's fault."""
NEW_YORK: Final = ZoneInfo("America/New_York")

Feed = Literal["iex", "sip"]


class _Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One day of the vendor's answer."""

    t: dt.datetime
    """Start of the session's day in New York, as UTC."""
    o: float
    h: float
    l: float  # noqa: E741 - the vendor's name
    c: float
    v: float


class _Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page; ``bars`` is null where there is none."""

    bars: tuple[_Bar, ...] | None = None
    next_page_token: str | None = None


class AlpacaHistory:
    """Implements ``DailySource``; raw prices are as traded, adjusted ones know splits and dividends."""

    def __init__(
        self, key: str, secret: str, *, clock: Clock, url: str = URL, feed: Feed = "iex", timeout_s: float = 30.0
    ) -> None:
        """Ask at ``url`` with a key and its secret; ``sip`` needs a subscription for recent days."""
        self._headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret}
        self._clock, self._url, self._feed, self._timeout_s = clock, url.rstrip("/"), feed, timeout_s

    @property
    def name(self) -> str:
        """Return what is written beside the data."""
        return "alpaca"

    async def now_ns(self) -> int:
        """Return the machine's time: the vendor has none to tell."""
        return self._clock.now_ns()

    async def raw(self, symbol: str, first: int, last: int, *, growing: bool) -> tuple[DailyBar, ...]:
        """Return prices as they were traded; during the session the vendor's last bar grows."""
        del growing
        query = {"start": f"{day_date(first)}", "end": f"{day_date(last)}", "adjustment": "raw"}
        bars = await self._bars(symbol, query)
        return tuple(bar for bar in bars if first <= bar.day <= last)

    async def adjusted(self, symbol: str, first: int) -> tuple[DailyBar, ...]:
        """Return the whole adjusted series."""
        return await self._bars(symbol, {"start": f"{day_date(first)}", "adjustment": "all"})

    async def _bars(self, symbol: str, query: dict[str, str]) -> tuple[DailyBar, ...]:
        url = f"{self._url}/v2/stocks/{urllib.parse.quote(symbol)}/bars"
        asked = {**query, "timeframe": "1Day", "limit": f"{PAGE_BARS}", "feed": self._feed, "sort": "asc"}
        bars: list[DailyBar] = []
        seen: list[str] = []
        for _ in range(PAGES_MAX):
            page = await self._page(symbol, url, {**asked, "page_token": seen[-1]} if seen else asked)
            bars += (_daily(bar) for bar in page.bars or ())
            if not page.next_page_token:
                break
            if page.next_page_token in seen:
                raise HistoryError(f"alpaca: the pages of {symbol} run in a circle", reason="malformed")
            seen.append(page.next_page_token)
        else:
            raise HistoryError(f"alpaca: {symbol} has more than {PAGES_MAX} pages", reason="malformed")
        if not bars:
            raise HistoryError(f"alpaca has no price of {symbol} in these days", reason="no_data")
        return tuple(bars)

    async def _page(self, symbol: str, url: str, query: dict[str, str]) -> _Page:
        content = await get_json(
            url, query, self._headers, vendor=self.name, timeout_s=self._timeout_s, clock=self._clock
        )
        try:
            return msgspec.convert(content, _Page)
        except msgspec.ValidationError as error:
            raise HistoryError(
                f"alpaca: the answer for {symbol} is no page of bars ({error})", reason="malformed"
            ) from error


def _daily(bar: _Bar) -> DailyBar:
    return DailyBar(
        day=day_number(bar.t.astimezone(NEW_YORK).date()),
        open=bar.o,
        high=bar.h,
        low=bar.l,
        close=bar.c,
        volume=round(bar.v),
    )
