"""Owns daily history from Tiingo's end-of-day prices; off by default, one request a series."""

from __future__ import annotations

import datetime as dt
from typing import Final

import msgspec

from walstreet.adapters.history_http import get_json
from walstreet.adapters.history_source import HistoryError
from walstreet.domain.daily_series import DailyBar, day_date, day_number
from walstreet.ports import Clock

URL: Final = "https://api.tiingo.com"
KEY_VARIABLE: Final = "TIINGO_API_KEY"


class _Row(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One day of the vendor's answer; what is not named here is passed over."""

    date: dt.datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    adj_open: float
    adj_high: float
    adj_low: float
    adj_close: float
    adj_volume: float


class TiingoHistory:
    """Implements ``DailySource``; raw prices are as traded, adjusted ones know splits and dividends (CRSP's way)."""

    def __init__(self, key: str, *, clock: Clock, url: str = URL, timeout_s: float = 30.0) -> None:
        """Ask at ``url`` with ``key``."""
        self._key, self._clock, self._url, self._timeout_s = key, clock, url.rstrip("/"), timeout_s

    @property
    def name(self) -> str:
        """Return what is written beside the data."""
        return "tiingo"

    async def now_ns(self) -> int:
        """Return the machine's time: the vendor has none to tell."""
        return self._clock.now_ns()

    async def raw(self, symbol: str, first: int, last: int, *, growing: bool) -> tuple[DailyBar, ...]:
        """Return prices as they were traded; the vendor has no bar before the evening, whatever ``growing`` says."""
        del growing
        rows = await self._rows(symbol, {"startDate": f"{day_date(first)}", "endDate": f"{day_date(last)}"})
        return tuple(
            DailyBar(
                day=day_number(row.date.date()),
                open=row.open,
                high=row.high,
                low=row.low,
                close=row.close,
                volume=round(row.volume),
            )
            for row in rows
            if first <= day_number(row.date.date()) <= last
        )

    async def adjusted(self, symbol: str, first: int) -> tuple[DailyBar, ...]:
        """Return the whole adjusted series."""
        rows = await self._rows(symbol, {"startDate": f"{day_date(first)}"})
        return tuple(
            DailyBar(
                day=day_number(row.date.date()),
                open=row.adj_open,
                high=row.adj_high,
                low=row.adj_low,
                close=row.adj_close,
                volume=round(row.adj_volume),
            )
            for row in rows
        )

    async def _rows(self, symbol: str, query: dict[str, str]) -> list[_Row]:
        content = await get_json(
            # The vendor writes a share class with a hyphen.
            f"{self._url}/tiingo/daily/{symbol.replace('.', '-')}/prices",
            {**query, "format": "json", "resampleFreq": "daily"},
            {"Authorization": f"Token {self._key}"},
            vendor=self.name,
            timeout_s=self._timeout_s,
            clock=self._clock,
        )
        try:
            rows = msgspec.convert(content, list[_Row])
        except msgspec.ValidationError as error:
            raise HistoryError(
                f"tiingo: the answer for {symbol} is no list of days ({error})", reason="malformed"
            ) from error
        if not rows:
            raise HistoryError(f"tiingo has no price of {symbol} in these days", reason="no_data")
        return rows
