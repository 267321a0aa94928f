"""Owns the names under which the health of market data is reported, and what each of them concerns.

A farm concerns every symbol that may come from it; a line concerns its own symbol and no other, so that one refused
subscription does not stop the rest of the book. A notice concerns nothing: it is on the log to be read.
"""

from __future__ import annotations

MARKET_DATA = "market_data"
"""Names the kind of data that arrives."""
GATEWAY = "gateway"
"""Of messages without a request that say that no data come."""
TICKS = "ticks"
"""Whether anything at all arrives."""
ALL_OR_NOTHING = (MARKET_DATA, GATEWAY, TICKS)
"""While one of them is broken there are no data to trade on, whatever the broker says of its farms."""
_LINE = "subscription:"
_NOTICE = "notice:"


def line(symbol: str) -> str:
    """Return the name of one symbol's subscription."""
    return f"{_LINE}{symbol}"


def notice(code: int) -> str:
    """Return the name of messages of a code that says nothing of any data."""
    return f"{_NOTICE}{code}"


def symbol_of_line(farm: str) -> str | None:
    """Return the symbol whose subscription ``farm`` is, None for everything else."""
    return farm.removeprefix(_LINE) if farm.startswith(_LINE) else None


def concerns_all(farm: str) -> bool:
    """Return whether a name stands for data of more than one symbol."""
    return not farm.startswith((_LINE, _NOTICE))


def assumed_healthy(farm: str) -> bool:
    """Return whether a name is healthy until something else is told; its health alone is no news then."""
    return farm == GATEWAY or farm.startswith(_LINE)
