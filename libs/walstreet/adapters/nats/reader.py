"""Owns reading stored TAPE messages by sequence: for start-up, gaps, verification and replay.

Batches of the direct-get interface are stateless: no consumer exists that could be deleted, stall or keep a second
idea of what was processed (ADR 0002). Every batch is checked for contiguity. What is missing is asked for again
from its own number on, so that only a hole in the store itself remains; holes are counted, and the hash chain tells
whose messages are gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import nats.errors
from nats.aio.msg import Msg

from walstreet.adapters.nats.connection import REQUEST_TIMEOUT_S, Connection
from walstreet.adapters.nats.errors import LogUnreachableError
from walstreet_events import headers as names
from walstreet_events.subjects import Stream

BATCH_MESSAGES = 1_000
BATCH_BYTES_MAX = 16 << 20
BATCH_RETRIES_MAX = 8
BATCH_RETRY_WAIT_S = 0.25
BATCH_BOUND_S = 30.0
NOT_FOUND_STATUS = "404"
END_OF_BATCH_STATUS = "204"
SEQUENCE_HEADER = "Nats-Sequence"
NUMBER_DIGITS_MAX = 19


@dataclass(frozen=True, slots=True)
class RawMessage:
    """One stored message before it is decoded."""

    seq: int
    subject: str
    headers: dict[str, str]
    payload: bytes

    @property
    def producer(self) -> str:
        """Return the producer's name, empty for a message that walstreet did not write."""
        return self.headers.get(names.PRODUCER, "")

    def number(self, name: str) -> int:
        """Return an integer header, 0 when it is absent or damaged."""
        text = self.headers.get(name, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS_MAX else 0


class TapeReader:
    """Reads ranges of a stream in sequence order."""

    def __init__(self, connection: Connection, stream: Stream = Stream.TAPE) -> None:
        """Read ``stream`` through ``connection``."""
        self._connection = connection
        self._stream = stream
        self.holes = 0

    async def range(self, first: int, last: int) -> AsyncIterator[RawMessage]:
        """Yield messages ``first`` .. ``last`` in order; sequences that the store lost are missing.

        Raises:
            LogUnreachableError: The server did not answer ``BATCH_RETRIES_MAX`` times in a row.
        """
        position = first
        doubted = 0
        while position <= last:
            batch = await self._batch_with_retries(position, last)
            if not batch:
                return
            if batch[0].seq > position and doubted == position:
                self.holes += 1
                position = batch[0].seq
            for message in batch:
                if message.seq != position:
                    # Lost on the way or lost in the store: asking once more from this number on tells which.
                    doubted = position
                    break
                yield message
                position = message.seq + 1

    async def _batch_with_retries(self, first: int, last: int) -> list[RawMessage]:
        failure: Exception | None = None
        for _ in range(BATCH_RETRIES_MAX):
            await self._connection.wait_connected()
            try:
                async with self._connection.bounded(BATCH_BOUND_S):
                    return await self._batch(first, last)
            except (nats.errors.Error, TimeoutError, OSError, LogUnreachableError) as error:
                failure = error
                await asyncio.sleep(BATCH_RETRY_WAIT_S)
        raise LogUnreachableError(
            f"stream {self._stream.value} did not give message {first} in {BATCH_RETRIES_MAX} tries ({failure!r})"
        ) from failure

    async def _batch(self, first: int, last: int) -> list[RawMessage]:
        client = self._connection.client
        inbox = client.new_inbox()
        ask = {"seq": first, "batch": min(BATCH_MESSAGES, last - first + 1), "max_bytes": BATCH_BYTES_MAX}
        batch = _Batch(ask, last)
        # A callback costs a third of ``next_msg``, which makes a task and a timer for every message.
        subscription = await client.subscribe(
            inbox, cb=batch.take, pending_msgs_limit=4 * BATCH_MESSAGES, pending_bytes_limit=4 * BATCH_BYTES_MAX
        )
        try:
            await client.publish(f"$JS.API.DIRECT.GET.{self._stream.value}", json.dumps(ask).encode(), reply=inbox)
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await batch.ended
            return batch.messages
        finally:
            # A connection that went away took the subscription along; the reason is on its way already.
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()


class _Batch:
    """Collects the answers of one direct get."""

    def __init__(self, ask: dict[str, int], last: int) -> None:
        self._ask = ask
        self._last = last
        self.messages: list[RawMessage] = []
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def take(self, reply: Msg) -> None:
        """Take one answer; a callback must not raise."""
        if self.ended.done():
            return
        found = reply.headers or {}
        # A stored message may carry a header "Status" of its own; only the server's answers lack a sequence.
        if SEQUENCE_HEADER not in found:
            status = found.get("Status")
            if status in (END_OF_BATCH_STATUS, NOT_FOUND_STATUS):
                self.ended.set_result(None)
            else:
                text = f"direct get of {self._ask} answered status {status}: {reply.headers}"
                self.ended.set_exception(LogUnreachableError(text))
            return
        try:
            message = stored_message(reply)
        except (KeyError, ValueError) as error:
            self.ended.set_exception(LogUnreachableError(f"direct get of {self._ask} answered damage: {error!r}"))
            return
        if message.seq > self._last:
            self.ended.set_result(None)
        else:
            self.messages.append(message)


def stored_message(reply: Msg) -> RawMessage:
    """Return a direct-get answer or a republished message as a stored message."""
    found = reply.headers or {}
    return RawMessage(int(found[SEQUENCE_HEADER]), found["Nats-Subject"], found, reply.data)
