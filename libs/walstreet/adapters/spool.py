"""Owns the emergency spool: one local file of events, fsynced one by one, that is imported into the TAPE later.

A record is its length, a checksum and the event's bytes. A crash in the middle of a write leaves a torn end, which is
cut off before anything is added; nothing behind the first bad record is believed.
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from walstreet_events import AnyEvent, EventDecodeError, decode, encode

MAGIC = b"WSSPOOL1"
HEAD = struct.Struct("<I16s")
"""Length of the event's bytes, and their BLAKE2b-128."""
DIGEST_BYTES = 16
RECORD_BYTES_MAX = 8 << 20
SPOOL_BYTES_MAX = 1 << 30
"""An emergency writes kilobytes; a file beyond this is not one of ours."""

assert HEAD.size == 4 + DIGEST_BYTES
assert RECORD_BYTES_MAX < SPOOL_BYTES_MAX


class SpoolError(RuntimeError):
    """The spool cannot be written: the disk is full, or the folder may not be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolContent:
    """What a spool holds."""

    events: tuple[AnyEvent, ...]
    good_bytes: int
    """Length up to the last good record."""
    torn_bytes: int
    """What follows it: a write that a crash cut short, or damage."""


class SpoolFile:
    """Appends events to one file, each on the disk before the call returns."""

    def __init__(self, path: Path) -> None:
        """Use the file ``path``; nothing is opened before the first event."""
        self.path = path
        self._file: int | None = None

    def pending(self) -> bool:
        """Return whether the file holds anything that waits for its import."""
        try:
            return self.path.stat().st_size > len(MAGIC)
        except OSError:
            return False

    def append(self, event: AnyEvent) -> None:
        """Write ``event`` and return when it is on the disk.

        Raises:
            SpoolError: It could not be written; what it announces must not happen.
        """
        payload = encode(event)
        assert len(payload) <= RECORD_BYTES_MAX
        record = HEAD.pack(len(payload), _digest(payload)) + payload
        try:
            if self._file is None:
                self._file = self._open()
            _write(self._file, record)
            os.fsync(self._file)
        except OSError as error:
            self.close()
            raise SpoolError(
                f"the emergency spool {self.path} cannot be written ({error.strerror}); give the disk room, or set "
                "emergency.spool to a folder that may be written. Close positions by hand in TWS meanwhile"
            ) from error

    def read(self) -> SpoolContent:
        """Return the events up to the first bad record."""
        try:
            if self.path.stat().st_size > SPOOL_BYTES_MAX:
                return SpoolContent(events=(), good_bytes=0, torn_bytes=self.path.stat().st_size)
            data = self.path.read_bytes()
        except FileNotFoundError:
            return SpoolContent(events=(), good_bytes=0, torn_bytes=0)
        events: list[AnyEvent] = []
        position = len(MAGIC) if data.startswith(MAGIC) else 0
        while position and position + HEAD.size <= len(data):
            length, digest = HEAD.unpack_from(data, position)
            payload = data[position + HEAD.size : position + HEAD.size + length]
            if length > RECORD_BYTES_MAX or len(payload) < length or _digest(payload) != digest:
                break
            try:
                events.append(decode(payload))
            except EventDecodeError:
                break
            position += HEAD.size + length
        return SpoolContent(events=tuple(events), good_bytes=position, torn_bytes=len(data) - position)

    def finish(self) -> Path | None:
        """Put the file aside once everything in it stands on the TAPE, and return where; it stays as evidence."""
        self.close()
        if not self.path.exists():
            return None
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.imported-{number}")).exists():
            number += 1
        self.path.rename(aside)
        _sync_folder(self.path.parent)
        return aside

    def close(self) -> None:
        """Close the file; the next event opens it again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = self.read()
        if content.torn_bytes:
            # What is cut off stays readable: it may be damage rather than a torn write.
            torn = self.path.read_bytes()[content.good_bytes :]
            self.path.with_name(f"{self.path.name}.torn").write_bytes(torn)
        file = os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            os.ftruncate(file, content.good_bytes)
            os.lseek(file, content.good_bytes, os.SEEK_SET)
            if content.good_bytes == 0:
                _write(file, MAGIC)
            os.fsync(file)
            _sync_folder(self.path.parent)
        except OSError:
            os.close(file)
            raise
        return file


def _digest(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=DIGEST_BYTES).digest()


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync_folder(folder: Path) -> None:
    """Make the folder's entries durable: a file that is fsynced but not listed anywhere is lost."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
