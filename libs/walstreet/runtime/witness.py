"""Owns the witness: how far a service has seen the TAPE, kept outside of it, so that a lost end is noticed at boot.

A hash chain tells what was changed or lost in the middle. It cannot tell that its end is missing: when the store cuts
itself off behind a damaged block, what is left verifies. So each service keeps the highest stream sequence that it has
seen in a small file of its own, and compares it with the TAPE when it starts.

The file is written without a sync of its own: after a power loss it may be older than the TAPE, never newer than what
the log had acknowledged. A torn record is no record.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from walstreet.ports import Journal
from walstreet.runtime.chain import ChainFault
from walstreet.runtime.log_wrapper import LogWrapper
from walstreet.runtime.loop_ports import Inbox, Message
from walstreet.runtime.service import Log
from walstreet_events import AnyEvent

WITNESS = "witness"
"""The folder's name in the state of an embedded session."""
TAIL = "tail"
DIGITS = 19
CHECK_DIGITS = 8
RECORD_BYTES = DIGITS + 1 + CHECK_DIGITS + 1


class Witness:
    """The file of one service."""

    def __init__(self, path: Path) -> None:
        """Open the file, made if need be."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self.seq = read_mark(path)

    def note(self, seq: int) -> None:
        """Remember that the TAPE reached ``seq``."""
        if seq > self.seq:
            self.seq = seq
            os.pwrite(self._file, _record(seq), 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read_mark(path: Path) -> int:
    """Return the sequence in a witness's file, 0 without a whole record."""
    try:
        record = path.read_bytes()[:RECORD_BYTES]
    except FileNotFoundError:
        return 0
    digits = record[:DIGITS]
    return int(digits) if digits.isdigit() and record == _record(int(digits)) else 0


def newest_mark(folder: Path) -> int:
    """Return the highest sequence that any service's witness in ``folder`` has seen, 0 without one."""
    return max((read_mark(path) for path in sorted(folder.glob("*")) if path.is_file()), default=0)


def _record(seq: int) -> bytes:
    digits = str(seq).zfill(DIGITS).encode("ascii")
    return b"%s %08x\n" % (digits, zlib.crc32(digits))


class WitnessedJournal:
    """A journal whose acknowledged appends are witnessed."""

    def __init__(self, journal: Journal, witness: Witness) -> None:
        """Wrap ``journal``."""
        self._journal = journal
        self._witness = witness

    @property
    def epoch(self) -> int:
        """Return the producer's epoch."""
        return self._journal.epoch

    async def append(self, event: AnyEvent, *, through: int) -> int:
        """Append ``event`` and return its stream sequence once it is fsynced, and witnessed."""
        seq = await self._journal.append(event, through=through)
        self._witness.note(seq)
        return seq


class WitnessedInbox:
    """An inbox whose deliveries are witnessed."""

    def __init__(self, inbox: Inbox, witness: Witness) -> None:
        """Wrap ``inbox``."""
        self._inbox = inbox
        self._witness = witness

    @property
    def next_seq(self) -> int:
        """Return the next stream sequence."""
        return self._inbox.next_seq

    @property
    def gaps(self) -> int:
        """Return how often live messages were missing and had to be fetched from the store."""
        return self._inbox.gaps

    async def take(self, upto: int | None = None) -> Sequence[Message]:
        """Return what can be delivered now, or everything up to ``upto``."""
        messages = await self._inbox.take(upto)
        if messages:
            self._witness.note(messages[-1].seq)
        return messages


class WitnessedLog(LogWrapper):
    """A service's log with a witness beside it."""

    def __init__(self, log: Log, witness: Witness, producer: str) -> None:
        """Wrap ``log``; set ``on_fault`` before it is opened."""
        super().__init__(log)
        self._witness = witness
        self._producer = producer
        self._journal = WitnessedJournal(log.journal, witness)
        self._inbox = WitnessedInbox(log.inbox, witness)
        self.on_fault: Callable[[ChainFault], None] | None = None

    @property
    def inbox(self) -> Inbox:
        """Return the ordered input."""
        return self._inbox

    @property
    def journal(self) -> Journal:
        """Return the durable output."""
        return self._journal

    async def open(self) -> Sequence[Message]:
        """Connect and return the whole TAPE; an end that is missing from it is told to ``on_fault``."""
        history = await super().open()
        last = history[-1].seq if history else 0
        if last < self._witness.seq and self.on_fault is not None:
            self.on_fault(lost_tail(self._producer, last, self._witness.seq))
        self._witness.note(last)
        return history

    async def begin_epoch(self, *, epoch: int, seq: int, chain: str, epoch_seq: int, config_hash: str) -> int:
        """Fence off earlier lives; return the stream sequence of the epoch message."""
        begun = await super().begin_epoch(
            epoch=epoch, seq=seq, chain=chain, epoch_seq=epoch_seq, config_hash=config_hash
        )
        self._witness.note(begun)
        return begun

    async def close(self) -> None:
        """Drain and close."""
        await super().close()
        self._witness.close()


def lost_tail(producer: str, last: int, seen: int) -> ChainFault:
    """Return the fault of a TAPE that ends at ``last`` although ``seen`` was on it."""
    return ChainFault(
        stream_seq=seen,
        producer=producer,
        epoch=0,
        producer_seq=0,
        subject="",
        kind=TAIL,
        detail=f"the TAPE ends at {last}, and {seen} was acknowledged before: its end is lost",
    )
