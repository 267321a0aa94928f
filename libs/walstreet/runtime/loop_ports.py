"""Owns what the shared loop asks of the log and of lockstep: messages, inbox, dead letters, turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Message(Protocol):
    """A stored message as the inbox delivers it."""

    @property
    def seq(self) -> int:
        """Return the stream sequence."""

    @property
    def subject(self) -> str:
        """Return the subject."""

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers."""

    @property
    def payload(self) -> bytes:
        """Return the event's bytes."""

    @property
    def producer(self) -> str:
        """Return the producer's name."""

    def number(self, name: str) -> int:
        """Return an integer header, 0 when absent."""


class Inbox(Protocol):
    """Ordered, gapless delivery of the TAPE."""

    @property
    def next_seq(self) -> int:
        """Return the next stream sequence."""

    @property
    def gaps(self) -> int:
        """Return how often live messages were missing and had to be fetched from the store."""

    async def take(self, upto: int | None = None) -> Sequence[Message]:
        """Return what can be delivered now, or everything up to ``upto``."""


class DeadLetters(Protocol):
    """Keeps what could not be handled."""

    async def keep(
        self, *, reason: str, detail: str, subject: str, stream_seq: int, payload: bytes, ts_ns: int
    ) -> None:
        """Store one dead letter durably."""


class Turn(Protocol):
    """One granted turn."""

    @property
    def now_ns(self) -> int:
        """Return session time of the turn."""

    @property
    def upto(self) -> int:
        """Return the last stream sequence of the turn."""
