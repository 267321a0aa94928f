"""Owns small TAPEs in memory: events as the journals would have stored them, chained and numbered, for any reader."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from walstreet.adapters.nats.journal import ChainWriter
from walstreet.adapters.nats.reader import RawMessage
from walstreet_events import AnyEvent, Service
from walstreet_events.subjects import row_of

WALL_START_NS = 1_800_000_000_000_000_000
WALL_STEP_NS = 1_000_000
"""Every message is appended a millisecond after the one before."""


class MemoryTape:
    """Appends events and keeps them as stored messages; nothing is durable."""

    def __init__(self) -> None:
        """Start empty."""
        self.messages: list[RawMessage] = []
        self._writers: dict[Service, ChainWriter] = {}

    def now_ns(self) -> int:
        """Return the wall time of the next append."""
        return WALL_START_NS + len(self.messages) * WALL_STEP_NS

    def append(self, event: AnyEvent, *, service: Service | None = None, through: int = 0) -> RawMessage:
        """Store ``event`` as ``service`` writes it (by default the one writer of its subject)."""
        writer_service = service or row_of(type(event)).writer
        if writer_service is None:
            raise ValueError(f"{type(event).__name__} has no single writer; name the service")
        writer = self._writers.get(writer_service)
        if writer is None:
            writer = self._writers[writer_service] = ChainWriter(service=writer_service, wall=self, host="test")
            self._store(writer, writer.epoch_event(writer.head, ts_ns=0, config_hash=""), 0)
        return self._store(writer, event, through)

    def extend(self, events: Iterable[AnyEvent]) -> MemoryTape:
        """Store ``events`` in order."""
        for event in events:
            self.append(event)
        return self

    def _store(self, writer: ChainWriter, event: AnyEvent, through: int) -> RawMessage:
        draft = writer.draft(event, through=through, fence_seq=0)
        message = RawMessage(len(self.messages) + 1, draft.subject, draft.header, draft.payload)
        self.messages.append(message)
        writer.stored(draft, message.seq)
        return message


def flipped(message: RawMessage, position: int = -1) -> RawMessage:
    """Return ``message`` with one bit of its payload changed."""
    payload = bytearray(message.payload)
    payload[position] ^= 1
    return replace(message, payload=bytes(payload))
