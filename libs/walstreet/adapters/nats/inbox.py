"""Owns live reading of the TAPE: what the server republishes after the fsync, without gaps and in order.

The whole TAPE is subscribed and filtered here. It is small (tens of messages a second), and then contiguity is
simple and strong: the next message must carry the next stream sequence. Anything missing is fetched from the
store; a loss at the tail, which no later message would reveal, is found by asking for the last sequence. After a
reconnect the last message that was read must still be the stored one, or the server came back with another past.
"""

from __future__ import annotations

import asyncio
from collections import deque

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from walstreet.adapters.nats.connection import Connection
from walstreet.adapters.nats.errors import LogUnreachableError, TapeRegressedError
from walstreet.adapters.nats.reader import RawMessage, TapeReader, stored_message
from walstreet.adapters.nats.streams import last_sequence
from walstreet_events import headers as names
from walstreet_events.subjects import REPUBLISH_PREFIX

PENDING_MESSAGES_MAX = 65_536
PENDING_BYTES_MAX = 256 << 20
BUFFER_MESSAGES_MAX = 16_384
"""Beyond this the buffer is dropped and read again from the store: slower, never lossy."""
TAIL_POLL_S = 1.0

_REGRESSED = (
    "the TAPE ends at {stored}, but {known} was read before: the store lost acknowledged messages "
    "(power loss without fsync, or another store directory); restart so that state is rebuilt from the log"
)

assert BUFFER_MESSAGES_MAX < PENDING_MESSAGES_MAX


class TapeInbox:
    """Delivers stored TAPE messages in sequence order, each exactly once in this process."""

    def __init__(self, connection: Connection) -> None:
        """Read through ``connection``; ``start`` subscribes."""
        self._connection = connection
        self._reader = TapeReader(connection)
        self._buffer: deque[RawMessage] = deque()
        self._arrived = asyncio.Event()
        self._subscription: Subscription | None = None
        self._next = 1
        self._last_read: RawMessage | None = None
        self._reconnects_seen = connection.reconnects
        self.on_arrival: asyncio.Event = self._arrived
        self.gaps = 0
        self.gap_messages = 0
        self.overflows = 0

    @property
    def next_seq(self) -> int:
        """Return the stream sequence that is delivered next."""
        return self._next

    async def start(self, first: int = 1) -> int:
        """Subscribe, then return the last stored sequence; delivery begins at ``first``."""
        self._next = first
        self._subscription = await self._connection.client.subscribe(
            f"{REPUBLISH_PREFIX}.>",
            cb=self._on_message,
            pending_msgs_limit=PENDING_MESSAGES_MAX,
            pending_bytes_limit=PENDING_BYTES_MAX,
        )
        # The subscription must be known to the server before the last sequence is asked for, or the
        # messages between the two would be neither stored history nor live.
        await self._connection.barrier()
        return await last_sequence(self._connection)

    async def stop(self) -> None:
        """End the subscription."""
        if self._subscription is not None and self._connection.connected:
            await self._subscription.unsubscribe()

    async def history(self, last: int) -> list[RawMessage]:
        """Return everything from the position up to ``last`` and move the position behind it."""
        first, self._next = self._next, max(self._next, last + 1)
        messages = await self._fetch(first, last)
        if messages:
            self._last_read = messages[-1]
        return messages

    async def take(self, upto: int | None = None) -> list[RawMessage]:
        """Return the messages that can be delivered now, in order, fetching what is missing.

        Args:
            upto: When given, return every message up to this sequence and no later one. It must have been
                acknowledged to somebody: a store that ends before it has lost something.

        Raises:
            TapeRegressedError: The stream ends before the position, or holds another message there.
        """
        if self._reconnects_seen != self._connection.reconnects:
            await self._check_past()
        if upto is not None:
            return await self._take_upto(upto)
        if not self._buffer and not await self._wait_for_arrival():
            return await self._poll_tail()
        return await self._drain_buffer(None)

    async def _take_upto(self, upto: int) -> list[RawMessage]:
        taken: list[RawMessage] = []
        while self._next <= upto:
            taken += await self._drain_buffer(upto)
            if self._next > upto:
                break
            # A later message that waits already tells that the missing ones were lost on the way: none will arrive.
            lost = bool(self._buffer)
            self.gaps += lost
            if lost or not await self._wait_for_arrival():
                await self._connection.wait_connected()
                taken += await self.history(upto)
        return taken

    async def _wait_for_arrival(self) -> bool:
        self._arrived.clear()
        if self._buffer:
            return True
        try:
            async with asyncio.timeout(TAIL_POLL_S):
                await self._arrived.wait()
        except TimeoutError:
            return False
        return bool(self._buffer)

    async def _drain_buffer(self, upto: int | None) -> list[RawMessage]:
        taken: list[RawMessage] = []
        while self._buffer and (upto is None or self._buffer[0].seq <= upto):
            message = self._buffer.popleft()
            if message.seq < self._next:
                continue
            if message.seq > self._next:
                taken += await self._fetch_gap(message.seq - 1)
            taken.append(message)
            self._next = message.seq + 1
            self._last_read = message
        return taken

    async def _fetch_gap(self, last: int) -> list[RawMessage]:
        self.gaps += 1
        missing = [message async for message in self._reader.range(self._next, last)]
        self.gap_messages += len(missing)
        return missing

    async def _fetch(self, first: int, last: int) -> list[RawMessage]:
        """Return ``first`` .. ``last``, which the store is known to hold; a store that ends earlier is an error."""
        messages = [message async for message in self._reader.range(first, last)]
        reached = messages[-1].seq if messages else first - 1
        if reached < last:
            stored = await last_sequence(self._connection)
            if stored < last:
                raise TapeRegressedError(_REGRESSED.format(stored=stored, known=last))
        return messages

    async def _check_past(self) -> None:
        seen, known = self._connection.reconnects, self._last_read
        if known is not None:
            stored = [message async for message in self._reader.range(known.seq, known.seq)]
            same = bool(stored) and (stored[0].subject, stored[0].payload) == (known.subject, known.payload)
            if not same or stored[0].headers.get(names.CHAIN) != known.headers.get(names.CHAIN):
                raise TapeRegressedError(
                    f"message {known.seq} on {known.subject} is not what was read before the server came back: "
                    + _REGRESSED.format(stored=await last_sequence(self._connection), known=known.seq)
                )
        self._reconnects_seen = seen

    async def _poll_tail(self) -> list[RawMessage]:
        if not self._connection.connected:
            await self._connection.wait_connected()
        try:
            last = await last_sequence(self._connection)
        except LogUnreachableError:
            # The server may just be going away; the bound on that stands in wait_connected.
            return []
        if last < self._next - 1:
            raise TapeRegressedError(_REGRESSED.format(stored=last, known=self._next - 1))
        if last < self._next or self._buffer:
            return []
        return await self.history(last)

    async def _on_message(self, message: Msg) -> None:
        if len(self._buffer) >= BUFFER_MESSAGES_MAX:
            # Dropping the newest keeps the buffer contiguous at its head; the gap is fetched from the store.
            self.overflows += 1
            return
        self._buffer.append(stored_message(message))
        self._arrived.set()
