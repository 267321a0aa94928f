"""Owns what a source of daily history is, how its failures are named, and how often one is asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeVar

from walstreet.domain.daily_series import DailyBar

Reason = Literal["no_data", "unknown_symbol", "permission", "pacing", "unavailable", "refused", "malformed"]
AGAIN: Final[frozenset[Reason]] = frozenset({"pacing", "unavailable"})
"""Only these pass with time."""
DELAY_DOUBLINGS_MAX: Final = 20

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


class HistoryError(Exception):
    """A source did not give what it was asked for; the text says what to do, ``reason`` is a stable code.

    ``permission`` and ``refused`` are the operator's to mend, ``unavailable`` and ``malformed`` the source's fault.
    """

    def __init__(self, text: str, *, reason: Reason, wait_s: float | None = None) -> None:
        """Keep the reason, and how long the source asked to be left alone."""
        super().__init__(text)
        self.reason = reason
        self.wait_s = wait_s


class DailySource(Protocol):
    """Gives daily bars; every method raises ``HistoryError``."""

    @property
    def name(self) -> str:
        """Return what is written beside the data."""

    async def now_ns(self) -> int:
        """Return the source's time, nanoseconds UTC."""

    async def raw(self, symbol: str, first: int, last: int, *, growing: bool) -> tuple[DailyBar, ...]:
        """Return prices as they were traded from day ``first`` to ``last``; with ``growing`` ``last`` may be today."""

    async def adjusted(self, symbol: str, first: int) -> tuple[DailyBar, ...]:
        """Return the whole adjusted series from day ``first`` to now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a request is made, and how long it waits in between."""

    attempts: int = 6
    first_s: float = 2.0
    max_s: float = 120.0


async def asked_again(
    ask: Callable[[], Awaitable[T]],
    patience: Patience,
    *,
    sleep: Sleep = asyncio.sleep,
    notice: Callable[[str], None] = lambda _: None,
) -> T:
    """Return what ``ask`` gives, asked again after failures that pass with time, at doubling distances.

    Raises:
        HistoryError: The last one.
    """
    for attempt in range(1, patience.attempts + 1):
        try:
            return await ask()
        except HistoryError as error:
            if error.reason not in AGAIN or attempt == patience.attempts:
                raise
            delay_s = min(patience.first_s * 2 ** min(attempt - 1, DELAY_DOUBLINGS_MAX), patience.max_s)
            if error.wait_s is not None:
                delay_s = min(max(error.wait_s, 0.0), patience.max_s)
            notice(f"{error}; asked again in {delay_s:.0f} s ({attempt} of {patience.attempts - 1})")
            await sleep(delay_s)
    raise AssertionError("the last attempt returns or raises")
