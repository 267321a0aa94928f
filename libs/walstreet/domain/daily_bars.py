"""Owns the block of daily bars that the rotation decides on: complete days, and today's so far as its last row.

Today's row is made of the broker's minute bars since the open, not of the ones that this system wrote itself: a process
that was started in the afternoon has not seen the day's high and low, and decides like one that ran all day.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from walstreet.domain.gateway_parameters import SessionPlan
from walstreet.domain.observations import DailyBarsObserved, HistoryBar
from walstreet.domain.rotation import IndicatorTable
from walstreet.domain.units import DAY_NS, MINUTE_NS, FloatArray, IntArray
from walstreet_events import PRICE_SCALE, ROOT, DailyBars, derive_id, int_block, tag_of

ADJUSTED = "ADJUSTED_LAST"
RAW = "TRADES"
EPOCH_ORDINAL = dt.date(1970, 1, 1).toordinal()
_FIELDS = ("open_nano", "high_nano", "low_nano", "close_nano")


def daily_block(observed: DailyBarsObserved, plan: SessionPlan, symbols: Sequence[str], *, days: int) -> DailyBars:
    """Return the session's block: the last ``days`` complete days that any symbol has, then today.

    A symbol that did not trade today has no bar today, and what decides on it fails closed.
    """
    complete = {symbol: _complete(observed.daily.get(symbol, ()), plan.session_date) for symbol in symbols}
    dates = sorted({date for rows in complete.values() for date in rows})[-days:]
    values = np.zeros((len(_FIELDS), len(dates) + 1, len(symbols)), dtype=np.int64)
    end_ns = 0
    for column, symbol in enumerate(symbols):
        for row, date in enumerate(dates):
            bar = complete[symbol].get(date)
            if bar is not None:
                values[:, row, column] = [getattr(bar, field) for field in _FIELDS]
        today = _today(observed.minutes.get(symbol, ()), plan, observed.ts_ns)
        if today is not None:
            values[:, -1, column] = today.prices
            end_ns = max(end_ns, today.end_ns)
    opened, high, low, close = (int_block(table) for table in values)
    return DailyBars(
        id=derive_id(f"daily:{plan.session_date}", tag_of(DailyBars), 0),
        cause=ROOT,
        ts_ns=observed.ts_ns,
        session_date=plan.session_date,
        symbols=tuple(symbols),
        dates=(*dates, plan.session_date),
        what=observed.what,
        provisional_end_ns=end_ns,
        open_nano=opened,
        high_nano=high,
        low_nano=low,
        close_nano=close,
    )


@dataclass(frozen=True, slots=True)
class _Today:
    prices: tuple[int, int, int, int]
    end_ns: int


def _today(minutes: Sequence[HistoryBar], plan: SessionPlan, now_ns: int) -> _Today | None:
    """Return the session's bar so far, None without a trade; a minute that only repeats a price is none."""
    until_ns = min(now_ns, plan.close_ns)
    bars = [
        bar
        for bar in minutes
        if bar.start_ns >= plan.open_ns and bar.start_ns + MINUTE_NS <= until_ns and bar.volume_micro > 0
    ]
    if not bars:
        return None
    prices = (bars[0].open_nano, max(b.high_nano for b in bars), min(b.low_nano for b in bars), bars[-1].close_nano)
    return _Today(prices, bars[-1].start_ns + MINUTE_NS)


def _complete(bars: Sequence[HistoryBar], session_date: str) -> Mapping[str, HistoryBar]:
    """Return the bars of earlier days by date; the broker's own bar of today is growing and is left out."""
    dated = {date_of_ns(bar.start_ns): bar for bar in bars if min(bar.low_nano, bar.close_nano) > 0}
    return {date: bar for date, bar in dated.items() if date < session_date}


def date_of_ns(ts_ns: int) -> str:
    """Return the ISO date of a daily bar: its start is midnight or the open in New York, the same day in UTC."""
    return dt.date.fromordinal(EPOCH_ORDINAL + ts_ns // DAY_NS).isoformat()


def select_columns(bars: DailyBars, symbols: Sequence[str]) -> dict[str, IntArray]:
    """Return (T, S) high, low and close in nano for ``symbols``; 0 where a symbol or a bar is missing."""
    place = {symbol: column for column, symbol in enumerate(bars.symbols)}
    found: dict[str, IntArray] = {}
    for name in ("high", "low", "close"):
        source = getattr(bars, f"{name}_nano").array()
        table = np.zeros((len(bars.dates), len(symbols)), dtype=np.int64)
        for column, symbol in enumerate(symbols):
            if symbol in place:
                table[:, column] = source[:, place[symbol]]
        found[name] = table
    return found


def usd_table(nano: IntArray) -> FloatArray:
    """Return prices in USD, NaN where there is no bar: what research reads from its files."""
    return np.where(nano > 0, nano / PRICE_SCALE, np.nan)


def indicator_table(bars: DailyBars, symbols: Sequence[str]) -> IndicatorTable:
    """Return what the strategy computes on, in the order of ``symbols``."""
    columns = select_columns(bars, symbols)
    return IndicatorTable(
        high=usd_table(columns["high"]), low=usd_table(columns["low"]), close=usd_table(columns["close"])
    )
