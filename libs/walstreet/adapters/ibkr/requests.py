"""Owns the requests in flight: their answers' rows, their ends and their failures."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, TypeVar

from walstreet.adapters.ibkr.errors import BrokerLostError, BrokerRefusedError, BrokerTimeoutError

REQUEST_ID_FIRST = 1 << 30
"""Requests count from here, orders from the broker's floor far below: an error's id then says which it names."""
REQUEST_ID_LAST = (1 << 31) - 2
BARRIERS_OPEN_MAX = 1_024

T = TypeVar("T")
Key = int | str
"""A request id, or a name for the requests that the protocol leaves without one."""


class Pending:
    """One request that waits for its end."""

    __slots__ = ("future", "rows")

    def __init__(self) -> None:
        """Begin without an answer."""
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.rows: list[Any] = []


class Requests:
    """All requests of one connection."""

    def __init__(self, timeout_s: float) -> None:
        """Give every request ``timeout_s`` of wall time."""
        self._timeout_s = timeout_s
        self._next_id = REQUEST_ID_FIRST
        self._pending: dict[Key, Pending] = {}
        self._barriers: deque[asyncio.Future[int]] = deque()
        self._lost: str | None = None

    def next_id(self) -> int:
        """Return a request id that no order has."""
        if self._next_id > REQUEST_ID_LAST:
            raise BrokerLostError("this connection has used up its request ids; reconnect")
        self._next_id += 1
        return self._next_id - 1

    def open(self, key: Key) -> Pending:
        """Begin a request."""
        if self._lost is not None:
            raise BrokerLostError(f"request {key} cannot be sent: {self._lost}")
        assert key not in self._pending, f"request {key} is in flight; the caller must serialise"
        pending = Pending()
        self._pending[key] = pending
        return pending

    def rows(self, key: Key) -> list[Any] | None:
        """Return the rows of a request in flight, or None."""
        pending = self._pending.get(key)
        return pending.rows if pending else None

    def end(self, key: Key) -> None:
        """Complete a request; one that is not in flight is ignored, its caller has gone."""
        pending = self._pending.get(key)
        if pending is not None and not pending.future.done():
            pending.future.set_result(None)

    def fail(self, key: Key, code: int, text: str) -> bool:
        """Fail a request with the broker's code; returns whether it was in flight."""
        pending = self._pending.get(key)
        if pending is None:
            return False
        if not pending.future.done():
            pending.future.set_exception(BrokerRefusedError(f"broker code {code}: {text}", code=code))
        return True

    async def answer(self, key: Key, pending: Pending, what: str, *, timeout_s: float | None = None) -> list[Any]:
        """Return the rows of a request when it ends, within ``timeout_s`` or the usual timeout.

        Raises:
            BrokerTimeoutError: No end within the timeout.
            BrokerRefusedError: The broker answered with an error.
            BrokerLostError: The connection went away.
        """
        try:
            await self._within(pending.future, what, timeout_s)
        finally:
            self._pending.pop(key, None)
            if pending.future.done() and not pending.future.cancelled():
                # A failure that came after the timeout has nobody to raise it in.
                pending.future.exception()
        return pending.rows

    def open_barrier(self) -> asyncio.Future[int]:
        """Begin a question for the broker's time; answers carry no id and come in order."""
        if self._lost is not None:
            raise BrokerLostError(f"the time cannot be asked: {self._lost}")
        if len(self._barriers) >= BARRIERS_OPEN_MAX:
            raise BrokerTimeoutError(f"{BARRIERS_OPEN_MAX} questions for the time have no answer; reconnect")
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._barriers.append(future)
        return future

    def end_barrier(self, seconds: int) -> None:
        """Answer the oldest question; one that was given up keeps its place, or it would answer the next."""
        if not self._barriers:
            return
        future = self._barriers.popleft()
        if not future.done():
            future.set_result(seconds)

    async def barrier_answer(self, future: asyncio.Future[int]) -> int:
        """Return the broker's seconds.

        Raises:
            BrokerTimeoutError: No answer; the connection hangs and should be replaced.
            BrokerLostError: The connection went away.
        """
        return await self._within(future, "the broker's time")

    def lose(self, detail: str) -> None:
        """Fail everything in flight, and whatever is begun later."""
        self._lost = detail
        for key, pending in self._pending.items():
            if not pending.future.done():
                pending.future.set_exception(BrokerLostError(f"request {key} was cut off: {detail}"))
        for future in self._barriers:
            if not future.done():
                future.set_exception(BrokerLostError(f"the question for the time was cut off: {detail}"))
                # Its caller may have been cancelled; then nobody would collect the exception.
                future.exception()
        self._barriers.clear()

    async def _within(self, future: asyncio.Future[T], what: str, timeout_s: float | None = None) -> T:
        bound_s = self._timeout_s if timeout_s is None else timeout_s
        try:
            async with asyncio.timeout(bound_s):
                return await future
        except TimeoutError as error:
            raise BrokerTimeoutError(
                f"no answer to {what} within {bound_s} s; what it did is unknown, ask again or reconnect"
            ) from error
