"""Owns MD: raw ticks as captured core publishes, with a producer sequence by which a reader sees what it missed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from walstreet.adapters.nats.connection import Connection
from walstreet_events import AnyTick, EventDecodeError, decode_tick, encode, subject_of

UNSENT_MAX = 50_000
SOCKET_BYTES_MAX = 16 << 20
"""Bytes that nats-py may hold for a server that does not read; its own limit is off, and it would grow until the
pings fail, and then send everything after the reconnect."""
FLUSH_PAUSE_EVERY = 256
"""Ticks that wait for the socket; beyond it the oldest go, counted. Stale quotes are worth nothing."""


class TickPublisher:
    """Hands ticks to the socket in the order of their sequence numbers; never blocks its caller."""

    def __init__(self, connection: Connection) -> None:
        """Publish through ``connection``."""
        self._connection = connection
        self._unsent: deque[AnyTick] = deque()
        self._wake = asyncio.Event()
        self.published = 0
        self.dropped = 0

    def publish(self, tick: AnyTick) -> None:
        """Queue one tick."""
        if len(self._unsent) >= UNSENT_MAX:
            self._unsent.popleft()
            self.dropped += 1
        self._unsent.append(tick)
        self._wake.set()

    async def flush(self) -> None:
        """Hand everything queued to the socket; ticks of a broken connection are counted as dropped."""
        client = self._connection.client
        sent = 0
        while self._unsent:
            tick = self._unsent.popleft()
            if client.pending_data_size > SOCKET_BYTES_MAX:
                self.dropped += 1
                continue
            sent += 1
            if sent % FLUSH_PAUSE_EVERY == 0:
                # Publishing never suspends by itself; without a pause nothing would reach the socket.
                await asyncio.sleep(0)
            try:
                await client.publish(subject_of(tick), encode(tick))
                self.published += 1
            except (nats.errors.Error, OSError):
                self.dropped += 1

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.flush()


class TickSubscriber:
    """Calls ``on_tick`` for every tick and counts the ones that never came."""

    def __init__(self, connection: Connection, on_tick: Callable[[AnyTick], None]) -> None:
        """Receive through ``connection``."""
        self._connection = connection
        self._on_tick = on_tick
        self._last_seq: dict[type[AnyTick], int] = {}
        self._subscription: Subscription | None = None
        self.received = 0
        self.missed = 0
        self.malformed = 0

    async def start(self, subject: str = "md.quote.>") -> None:
        """Subscribe."""
        self._subscription = await self._connection.client.subscribe(
            subject, cb=self._on_message, pending_msgs_limit=UNSENT_MAX, pending_bytes_limit=64 << 20
        )
        await self._connection.barrier()

    async def stop(self) -> None:
        """End the subscription."""
        if self._subscription is not None and self._connection.connected:
            await self._subscription.unsubscribe()

    async def _on_message(self, message: Msg) -> None:
        try:
            tick = decode_tick(message.data)
        except EventDecodeError:
            # A quote that cannot be read is a quote that is missing: the guard sees a stale one and refuses.
            self.malformed += 1
            return
        # Quotes and trades are numbered apart, so that a reader of one kind sees no gap where the other stood.
        kind = type(tick)
        last = self._last_seq.get(kind, 0)
        if last and tick.seq > last + 1:
            self.missed += tick.seq - last - 1
        self._last_seq[kind] = tick.seq
        self.received += 1
        self._on_tick(tick)
