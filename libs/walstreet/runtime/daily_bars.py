"""Owns the question for the daily bars that the rotation decides on, asked of any broker port."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from walstreet.domain.daily_bars import ADJUSTED, RAW
from walstreet.domain.observations import DailyBarsObserved, HistoryBar
from walstreet.ports import Broker

DAY_SECONDS = 86_400
MINUTE_SECONDS = 60


async def ask_daily_bars(
    broker: Broker,
    symbols: Sequence[str],
    *,
    now_ns: int,
    days: int,
    adjusted: bool,
    errors: tuple[type[Exception], ...],
) -> DailyBarsObserved | None:
    """Return complete days and today's minutes of ``symbols``, None when the connection was lost meanwhile.

    A symbol that the broker refuses is left out, and what decides on it fails closed.
    """
    wanted = ADJUSTED if adjusted else RAW
    daily: dict[str, tuple[HistoryBar, ...]] = {}
    minutes: dict[str, tuple[HistoryBar, ...]] = {}
    for symbol in symbols:
        try:
            found = await broker.history(symbol, end_ns=now_ns, days=days, bar_seconds=DAY_SECONDS, what=wanted)
            minutes[symbol] = await broker.history(symbol, end_ns=now_ns, days=1, bar_seconds=MINUTE_SECONDS)
            daily[symbol] = found
        except errors as error:
            structlog.get_logger().error("daily_bars_missing", symbol=symbol, what=wanted, error=str(error))
            if not broker.connected:
                return None
    return DailyBarsObserved(ts_ns=now_ns, what=wanted, daily=daily, minutes=minutes)
