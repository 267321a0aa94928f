"""Owns the pace of outgoing messages: one governor for all of them, cancels with reserved capacity.

The broker disconnects clients that send more than fifty messages in a second, and answers historical requests
above sixty in ten minutes, or identical ones within fifteen seconds, with errors. The libraries' own throttle
is switched off, because it is first-in-first-out: a cancel would wait behind whatever else is queued.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from enum import StrEnum

from walstreet.ports import Clock
from walstreet_events import NANOS_PER_SECOND

MESSAGES_PER_SECOND = 45
BURST = 5
URGENT_RESERVE = 2
"""Tokens that only cancels may use."""
BROKER_MESSAGES_PER_SECOND_MAX = 50
HISTORICAL_WINDOW_S = 600
HISTORICAL_IN_WINDOW_MAX = 60
HISTORICAL_IDENTICAL_S = 15
HISTORICAL_CONTRACT_WINDOW_S = 2
HISTORICAL_PER_CONTRACT_MAX = 5
"""The broker allows fewer than six for one contract in two seconds."""
HISTORICAL_OPEN_MAX = 50
WAIT_S_MIN = 0.001

assert MESSAGES_PER_SECOND + BURST <= BROKER_MESSAGES_PER_SECOND_MAX, "a burst would break the broker's limit"
assert 0 < URGENT_RESERVE < BURST, "both kinds of message need room"

Sleep = Callable[[float], Awaitable[None]]


class Priority(StrEnum):
    """Who may use the reserve."""

    URGENT = "urgent"
    """Cancels and whatever flattens."""
    NORMAL = "normal"


class TokenBucket:
    """A token bucket on integer time; pure, so that its limit can be proved by test."""

    __slots__ = ("_level_ns", "_updated_ns")

    _TOKEN_NS = NANOS_PER_SECOND
    """One token is this many units; a nanosecond refills ``MESSAGES_PER_SECOND`` units."""

    def __init__(self) -> None:
        """Begin full; the clock's first reading sets the origin."""
        self._level_ns = BURST * self._TOKEN_NS
        self._updated_ns: int | None = None

    def take(self, now_ns: int, priority: Priority) -> int:
        """Take one token and return 0, or return the nanoseconds until one may be there."""
        if self._updated_ns is not None and now_ns > self._updated_ns:
            refill = (now_ns - self._updated_ns) * MESSAGES_PER_SECOND
            self._level_ns = min(BURST * self._TOKEN_NS, self._level_ns + refill)
        # A clock that steps back gives no tokens; it must not freeze the bucket either.
        self._updated_ns = now_ns
        needed = self._TOKEN_NS * (1 if priority is Priority.URGENT else 1 + URGENT_RESERVE)
        if self._level_ns >= needed:
            self._level_ns -= self._TOKEN_NS
            return 0
        return -(-(needed - self._level_ns) // MESSAGES_PER_SECOND)


class HistoricalLimits:
    """The limits of historical requests; pure."""

    __slots__ = ("_by_contract", "_identical", "_sent_ns")

    def __init__(self) -> None:
        """Begin with nothing sent."""
        self._sent_ns: deque[int] = deque(maxlen=HISTORICAL_IN_WINDOW_MAX)
        self._identical: dict[str, int] = {}
        self._by_contract: dict[str, deque[int]] = {}

    def take(self, now_ns: int, *, contract: str, key: str) -> int:
        """Count one request and return 0, or return the nanoseconds until it is allowed."""
        waits = [0]
        if len(self._sent_ns) == HISTORICAL_IN_WINDOW_MAX:
            waits.append(self._sent_ns[0] + HISTORICAL_WINDOW_S * NANOS_PER_SECOND - now_ns)
        if key in self._identical:
            waits.append(self._identical[key] + HISTORICAL_IDENTICAL_S * NANOS_PER_SECOND - now_ns)
        of_contract = self._by_contract.get(contract)
        if of_contract is not None and len(of_contract) == HISTORICAL_PER_CONTRACT_MAX:
            waits.append(of_contract[0] + HISTORICAL_CONTRACT_WINDOW_S * NANOS_PER_SECOND - now_ns)
        wait_ns = max(waits)
        if wait_ns > 0:
            return wait_ns
        self._sent_ns.append(now_ns)
        self._forget(now_ns)
        self._identical[key] = now_ns
        self._by_contract.setdefault(contract, deque(maxlen=HISTORICAL_PER_CONTRACT_MAX)).append(now_ns)
        return 0

    def _forget(self, now_ns: int) -> None:
        """Drop what no limit needs any more, so that memory is bounded by the window's sixty requests."""
        oldest_ns = now_ns - HISTORICAL_IDENTICAL_S * NANOS_PER_SECOND
        self._identical = {key: sent_ns for key, sent_ns in self._identical.items() if sent_ns > oldest_ns}
        self._by_contract = {name: sent for name, sent in self._by_contract.items() if sent[-1] > oldest_ns}


class RateGovernor:
    """Lets messages go at the broker's pace; every outgoing message passes here."""

    def __init__(self, clock: Clock, *, paced: bool, sleep: Sleep = asyncio.sleep) -> None:
        """Pace by ``clock``, or not at all."""
        self._clock = clock
        self._paced = paced
        self._sleep = sleep
        self._bucket = TokenBucket()
        self._historical = HistoricalLimits()
        self._normal_turn = asyncio.Lock()
        self._historical_turn = asyncio.Lock()
        self._historical_open = asyncio.Semaphore(HISTORICAL_OPEN_MAX)

    @property
    def historical_slot(self) -> asyncio.Semaphore:
        """Return the semaphore of open historical requests; hold it from request to answer."""
        return self._historical_open

    async def message(self, priority: Priority = Priority.NORMAL) -> None:
        """Return when one message may be sent."""
        if not self._paced:
            return
        if priority is Priority.URGENT:
            await self._until(lambda now_ns: self._bucket.take(now_ns, Priority.URGENT))
            return
        # The lock keeps ordinary messages in order; urgent ones do not queue for it.
        async with self._normal_turn:
            await self._until(lambda now_ns: self._bucket.take(now_ns, Priority.NORMAL))

    async def historical(self, *, contract: str, key: str) -> None:
        """Return when one historical request may be sent; ``key`` identifies identical requests."""
        if not self._paced:
            return
        async with self._historical_turn:
            await self._until(lambda now_ns: self._historical.take(now_ns, contract=contract, key=key))
        await self.message()

    async def _until(self, take: Callable[[int], int]) -> None:
        while wait_ns := take(self._clock.now_ns()):
            await self._sleep(max(WAIT_S_MIN, wait_ns / NANOS_PER_SECOND))
