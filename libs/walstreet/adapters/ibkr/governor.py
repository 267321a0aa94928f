"""Owns the waiting for the pace of outgoing messages: one governor for all of them, cancels with reserved capacity.

What may go when is decided by ``walstreet.domain.governor``; here is only who waits, and in which order. The libraries'
own throttle is switched off, because it is first-in-first-out: a cancel would wait behind whatever else is queued.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from walstreet.domain.governor import (
    GovernorParameters,
    GovernorState,
    Grant,
    HistoricalRequest,
    Priority,
    end_historical,
    take,
    take_historical,
)
from walstreet.ports import Clock
from walstreet_events import NANOS_PER_SECOND

__all__ = ["Priority", "RateGovernor"]

WAIT_S_MIN = 0.001

Sleep = Callable[[float], Awaitable[None]]


class RateGovernor:
    """Lets messages go at the broker's pace; every outgoing message passes here."""

    def __init__(
        self,
        clock: Clock,
        *,
        paced: bool,
        parameters: GovernorParameters | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Pace by ``clock``, or not at all."""
        self._clock = clock
        self._paced = paced
        self._parameters = parameters or GovernorParameters()
        self._sleep = sleep
        self._state = GovernorState()
        self._normal_turn = asyncio.Lock()
        self._historical_turn = asyncio.Lock()
        self._requests = 0
        self.sent = 0
        """Messages let go."""
        self.waited_ns = 0
        """Time that messages were told to wait, summed over all of them."""

    async def message(self, priority: Priority = Priority.NORMAL) -> None:
        """Return when one message may be sent."""
        if not self._paced:
            return
        if priority is Priority.URGENT:
            await self._until(lambda now_ns: self._take(now_ns, Priority.URGENT))
            return
        # The lock keeps ordinary messages in order; urgent ones do not queue for it.
        async with self._normal_turn:
            await self._until(lambda now_ns: self._take(now_ns, Priority.NORMAL))

    @asynccontextmanager
    async def historical(self, *, contract: str, key: str, weight: int = 1) -> AsyncIterator[None]:
        """Enter when one historical request may be sent, its message included; leave when it is answered.

        Args:
            contract: Contract, exchange and tick type.
            key: Equal for identical requests.
            weight: 2 for BID_ASK, which the broker counts twice.
        """
        if not self._paced:
            yield
            return
        self._requests += 1
        wanted = HistoricalRequest(request=str(self._requests), contract=contract, key=key, weight=weight)
        async with self._historical_turn:
            await self._until(
                lambda now_ns: take_historical(self._state, wanted=wanted, now_ns=now_ns, parameters=self._parameters)
            )
        try:
            yield
        finally:
            self._state = end_historical(self._state, wanted.request)

    def _take(self, now_ns: int, priority: Priority) -> Grant:
        return take(self._state, now_ns=now_ns, priority=priority, parameters=self._parameters)

    async def _until(self, ask: Callable[[int], Grant]) -> None:
        while True:
            # Asked and kept without giving the loop a turn in between, so no other waiter sees the old state.
            grant = ask(self._clock.now_ns())
            self._state = grant.state
            if grant.granted:
                self.sent += 1
                return
            self.waited_ns += grant.wait_ns
            await self._sleep(max(WAIT_S_MIN, grant.wait_ns / NANOS_PER_SECOND))
