"""Owns a source of daily history whose prices, failures and clock a test writes down."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from walstreet.adapters.exchange_calendar import exchange_sessions
from walstreet.adapters.history_source import HistoryError
from walstreet.domain.daily_series import DailyBar, day_number

FIRST_CLOSE_USD = 100.0
AFTER_CLOSE_NS = 3_600 * 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request that was made."""

    what: Literal["raw", "adjusted"]
    symbol: str
    first: int
    last: int
    growing: bool


@dataclass(slots=True, kw_only=True)
class ScriptedSource:
    """Implements ``DailySource`` from a dictionary of bars."""

    bars: dict[str, list[DailyBar]]
    """As they were traded, oldest first."""
    dividends: dict[tuple[str, int], float] = field(default_factory=dict)
    """USD by symbol and ex-day."""
    now: int
    """Nanoseconds UTC."""
    failures: list[BaseException | None] = field(default_factory=list)
    """Raised by the next requests, in turn; None lets one pass."""
    scale: float = 1.0
    """Of all raw prices: a split after which the source tells its past in new shares."""
    requests: list[Request] = field(default_factory=list)
    name: str = "scripted"

    async def now_ns(self) -> int:
        """Return the scripted time."""
        return self.now

    async def raw(self, symbol: str, first: int, last: int, *, growing: bool) -> tuple[DailyBar, ...]:
        """Return the symbol's bars of these days."""
        self._asked(Request(what="raw", symbol=symbol, first=first, last=last, growing=growing))
        found = tuple(scaled(bar, self.scale) for bar in self._of(symbol) if first <= bar.day <= last)
        if not found:
            raise HistoryError(f"{symbol}: no data", reason="no_data")
        return found

    async def adjusted(self, symbol: str, first: int) -> tuple[DailyBar, ...]:
        """Return the symbol's bars from ``first`` on, adjusted for the dividends that came later."""
        self._asked(Request(what="adjusted", symbol=symbol, first=first, last=0, growing=True))
        bars = self._of(symbol)
        factor, found = self.scale, []
        for bar, before in zip(reversed(bars), [*reversed(bars[:-1]), None], strict=True):
            found.append(scaled(bar, factor))
            dividend = self.dividends.get((symbol, bar.day))
            if dividend is not None and before is not None:
                factor *= 1.0 - dividend / before.close
        return tuple(bar for bar in reversed(found) if bar.day >= first)

    def _asked(self, request: Request) -> None:
        self.requests.append(request)
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure

    def _of(self, symbol: str) -> list[DailyBar]:
        if symbol not in self.bars:
            raise HistoryError(f"{symbol}: no such symbol", reason="unknown_symbol")
        return self.bars[symbol]


def scaled(bar: DailyBar, factor: float) -> DailyBar:
    """Return a bar with all prices times ``factor``."""
    prices = {name: getattr(bar, name) * factor for name in ("open", "high", "low", "close")}
    return DailyBar(day=bar.day, volume=bar.volume, **prices)


def session_bars(first: dt.date, last: dt.date, *, closes: Sequence[float] | None = None) -> list[DailyBar]:
    """Return a bar for every session from ``first`` to ``last``; closes rise by a cent a day where none are given."""
    sessions = exchange_sessions().days
    days = sessions[(sessions >= day_number(first)) & (sessions <= day_number(last))].tolist()
    prices = [FIRST_CLOSE_USD + index / 100.0 for index in range(len(days))] if closes is None else closes
    return [
        DailyBar(day=day, open=price - 0.5, high=price + 1.0, low=price - 1.0, close=price, volume=1_000 + index)
        for index, (day, price) in enumerate(zip(days, prices, strict=True))
    ]


def after_close_ns(day: dt.date) -> int:
    """Return a time one hour after the close of a session."""
    sessions = exchange_sessions()
    return int(sessions.close_ns[sessions.days.tolist().index(day_number(day))]) + AFTER_CLOSE_NS
