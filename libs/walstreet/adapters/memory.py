"""Owns a log in memory with the interface and the rules of the real one: for unit tests and for replay.

Ids, the epoch fence, the hash chain and sequences behave as they do on the server, and the producers' side is the very
code that writes to the server. What is missing is durability: the TAPE lives as long as its object.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from walstreet.adapters.nats.errors import AppendRefusedError, TapeRegressedError
from walstreet.adapters.nats.journal import (
    EXPECTED_LAST,
    EXPECTED_SUBJECT,
    ChainHead,
    ChainWriter,
    Draft,
    dead_letter,
)
from walstreet.adapters.nats.reader import RawMessage
from walstreet.ports import Clock
from walstreet_events import AnyEvent, DeadLetter, Service
from walstreet_events import headers as names

TAPE_BYTES_MAX = 2 << 30
"""The bound of the real TAPE; beyond it appends are refused, loudly."""

Step = Callable[[str], None]
"""Called with a name at every boundary that a crash could fall on; raising there is a crash."""


def _no_step(name: str) -> None:
    """Let the process live."""


class StaleFenceError(Exception):
    """The fence subject has moved since the writer looked."""


class MemoryTape:
    """What the server holds: the TAPE and the dead letters, shared by the logs of all services."""

    def __init__(self, *, bytes_max: int = TAPE_BYTES_MAX) -> None:
        """Start empty."""
        self.messages: list[RawMessage] = []
        self.letters: list[DeadLetter] = []
        self._ids: dict[str, int] = {}
        self._letter_ids: set[str] = set()
        self._last_of_subject: dict[str, int] = {}
        self._bytes_left = bytes_max
        self._waiting: list[asyncio.Event] = []

    @property
    def last_seq(self) -> int:
        """Return the sequence of the newest message, 0 without one."""
        return len(self.messages)

    def store(self, subject: str, payload: bytes, headers: dict[str, str]) -> tuple[int, bool]:
        """Store one message and return its sequence and whether its id stood there already.

        Raises:
            StaleFenceError: The expected last message of the fence subject is not the last one any more.
            AppendRefusedError: The TAPE is full.
        """
        fence = headers.get(EXPECTED_SUBJECT)
        if fence is not None and self._last_of_subject.get(fence, 0) != int(headers[EXPECTED_LAST]):
            # As on the server, the fence is looked at before the id.
            raise StaleFenceError
        known = self._ids.get(headers.get(names.MSG_ID, ""))
        if known is not None:
            return known, True
        size = len(payload) + sum(len(key) + len(value) for key, value in headers.items())
        if size > self._bytes_left:
            raise AppendRefusedError(f"the log refused {subject}: the TAPE in memory is full")
        self._bytes_left -= size
        seq = self.last_seq + 1
        self.messages.append(RawMessage(seq, subject, dict(headers), payload))
        self._last_of_subject[subject] = seq
        if names.MSG_ID in headers:
            self._ids[headers[names.MSG_ID]] = seq
        for event in self._waiting:
            event.set()
        return seq, False

    def keep(self, letter: DeadLetter) -> bool:
        """Keep a dead letter and return whether it is new."""
        if letter.id in self._letter_ids:
            return False
        self._letter_ids.add(letter.id)
        self.letters.append(letter)
        return True

    def watch(self) -> asyncio.Event:
        """Return an event that every new message sets."""
        event = asyncio.Event()
        self._waiting.append(event)
        return event

    def unwatch(self, event: asyncio.Event) -> None:
        """Forget an event that ``watch`` returned."""
        if event in self._waiting:
            self._waiting.remove(event)


class MemoryInbox:
    """Delivers a ``MemoryTape`` in order, each message once."""

    def __init__(self, tape: MemoryTape, step: Step = _no_step) -> None:
        """Read ``tape``; ``start`` begins."""
        self._tape = tape
        self._step = step
        self._arrived: asyncio.Event | None = None
        self._next = 1
        self.idle = asyncio.Event()
        """Set while everything stored was delivered and the reader waits."""

    @property
    def next_seq(self) -> int:
        """Return the stream sequence that is delivered next."""
        return self._next

    @property
    def gaps(self) -> int:
        """Return 0: memory loses nothing on its way."""
        return 0

    async def start(self, first: int = 1) -> int:
        """Return the last stored sequence; delivery begins at ``first``."""
        self._next = first
        self._arrived = self._tape.watch()
        return self._tape.last_seq

    async def stop(self) -> None:
        """End delivery."""
        if self._arrived is not None:
            self._tape.unwatch(self._arrived)

    async def history(self, last: int) -> list[RawMessage]:
        """Return everything from the position up to ``last`` and move the position behind it."""
        messages = self._tape.messages[self._next - 1 : last]
        self._next = max(self._next, last + 1)
        return messages

    async def take(self, upto: int | None = None) -> list[RawMessage]:
        """Return what can be delivered now, or everything up to ``upto`` once it is there.

        Raises:
            TapeRegressedError: The tape ends before the position.
        """
        self._step("take")
        if self._arrived is None:
            raise RuntimeError("the inbox was not started; call start() first")
        if self._tape.last_seq < self._next - 1:
            raise TapeRegressedError(f"the TAPE ends at {self._tape.last_seq}, but {self._next - 1} was read before")
        wanted = self._next if upto is None else upto
        while self._tape.last_seq < wanted and self._next <= wanted:
            self._arrived.clear()
            self.idle.set()
            await self._arrived.wait()
        self.idle.clear()
        return await self.history(self._tape.last_seq if upto is None else upto)


class MemoryJournal:
    """Appends one producer's events to a ``MemoryTape``, fenced and chained."""

    def __init__(self, tape: MemoryTape, service: Service, wall: Clock, step: Step = _no_step) -> None:
        """Append as ``service``; ``wall`` stamps headers only."""
        self._tape = tape
        self._step = step
        self._writer = ChainWriter(service=service, wall=wall)
        self._fence_seq = 0
        self.appended = 0
        self.last_stream_seq = 0

    @property
    def epoch(self) -> int:
        """Return the epoch of this life, 0 before ``begin_epoch``."""
        return self._writer.head.epoch

    @property
    def head(self) -> ChainHead:
        """Return the last link that is known to be stored."""
        return self._writer.head

    async def begin_epoch(self, previous: ChainHead, *, epoch_seq: int, ts_ns: int, config_hash: str) -> int:
        """Start a new life after ``previous``; arguments and errors are those of the real journal."""
        event = self._writer.epoch_event(previous, ts_ns=ts_ns, config_hash=config_hash)
        self._fence_seq = epoch_seq
        self._fence_seq = await self.append(event, through=0)
        return event.epoch

    async def append(self, event: AnyEvent, *, through: int) -> int:
        """Append ``event`` and return its stream sequence; errors are those of the real journal."""
        draft = self._writer.draft(event, through=through, fence_seq=self._fence_seq)
        self._step("before_store")
        seq, own = self._store(draft)
        self._step("after_store")
        self.last_stream_seq = max(self.last_stream_seq, seq)
        if own:
            self._writer.stored(draft, seq)
            self.appended += 1
        return seq

    def _store(self, draft: Draft) -> tuple[int, bool]:
        try:
            seq, duplicate = self._tape.store(draft.subject, draft.payload, draft.header)
        except StaleFenceError as error:
            raise self._writer.fenced(draft.subject) from error
        return seq, not duplicate or self._writer.is_own(draft, self._tape.messages[seq - 1].headers)


class MemoryDeadLetters:
    """Keeps dead letters beside a ``MemoryTape``."""

    def __init__(self, tape: MemoryTape, service: Service, step: Step = _no_step) -> None:
        """Write as ``service``."""
        self._tape = tape
        self._service = service
        self._step = step
        self.count = 0

    async def keep(
        self, *, reason: str, detail: str, subject: str, stream_seq: int, payload: bytes, ts_ns: int
    ) -> None:
        """Keep one dead letter; a repetition for the same stream sequence and payload is kept once."""
        self._step("before_keep")
        letter = dead_letter(
            self._service,
            reason=reason,
            detail=detail,
            subject=subject,
            stream_seq=stream_seq,
            payload=payload,
            ts_ns=ts_ns,
        )
        self._tape.keep(letter)
        self.count += 1
        self._step("after_keep")


class MemoryLog:
    """Everything a service needs of the log, on a ``MemoryTape``."""

    def __init__(self, tape: MemoryTape, service: Service, wall: Clock, step: Step = _no_step) -> None:
        """Prepare; ``open`` begins."""
        self.inbox = MemoryInbox(tape, step)
        self.journal = MemoryJournal(tape, service, wall, step)
        self.dead = MemoryDeadLetters(tape, service, step)
        self.turns: None = None

    @property
    def connected(self) -> bool:
        """Return whether the connection stands now."""
        return True

    async def open(self) -> list[RawMessage]:
        """Return the whole TAPE as it stands."""
        last = await self.inbox.start()
        return await self.inbox.history(last)

    async def begin_epoch(self, *, epoch: int, seq: int, chain: str, epoch_seq: int, config_hash: str) -> int:
        """Fence off earlier lives of this producer and return the stream sequence of the new epoch's first message."""
        previous = ChainHead(epoch=epoch, seq=seq, chain=chain)
        await self.journal.begin_epoch(previous, epoch_seq=epoch_seq, ts_ns=0, config_hash=config_hash)
        return self.journal.last_stream_seq

    async def close(self) -> None:
        """End delivery."""
        await self.inbox.stop()
