"""Owns what every event shares: identity, cause, event time, wire scales and the contiguous array block.

An event is a frozen value. Its payload is a pure function of its cause, so that two runs over the same log
give the same bytes: no processing time, no random id and no host name may stand in a payload. Those travel
in message headers (see ``walstreet_events.headers``).

Wire scales: prices and money are int64 in 1e-9 USD (``*_nano``), quantities int64 in 1e-6 shares
(``*_micro``), times int64 nanoseconds UTC (``*_ns``).
"""

from __future__ import annotations

import hashlib
from typing import NewType

import msgspec
import numpy as np
from numpy.typing import NDArray

EventId = NewType("EventId", str)
"""32 hexadecimal digits: BLAKE2b-128 of cause, kind and index."""

PRICE_SCALE = 1_000_000_000
"""Units of a ``*_nano`` price in one US dollar."""
QUANTITY_SCALE = 1_000_000
"""Units of a ``*_micro`` quantity in one share."""
NANOS_PER_SECOND = 1_000_000_000
ROOT: EventId = EventId("0" * 32)
"""The cause of events that begin a chain of causes (facts observed outside the log)."""

ID_DIGEST_BYTES = 16


def derive_id(cause: str, kind: str, index: int) -> EventId:
    """Return the id of the ``index``-th event of ``kind`` that ``cause`` gives; the same everywhere, for ever."""
    text = f"{cause}\x1f{kind}\x1f{index}".encode()
    return EventId(hashlib.blake2b(text, digest_size=ID_DIGEST_BYTES).hexdigest())


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every event carries besides its own fields."""

    id: EventId
    cause: EventId
    """Id of the event that this one follows from, or ``ROOT``."""
    ts_ns: int
    """Event time: when the fact became true, never when it was processed."""


class FloatBlock(msgspec.Struct, frozen=True):
    """A C-contiguous float64 array as little-endian bytes; NaN means *missing*."""

    shape: tuple[int, ...]
    data: bytes

    def array(self) -> NDArray[np.float64]:
        """Return a read-only view of shape ``shape``."""
        return np.frombuffer(self.data, dtype="<f8").reshape(self.shape)


class IntBlock(msgspec.Struct, frozen=True):
    """A C-contiguous int64 array as little-endian bytes."""

    shape: tuple[int, ...]
    data: bytes

    def array(self) -> NDArray[np.int64]:
        """Return a read-only view of shape ``shape``."""
        return np.frombuffer(self.data, dtype="<i8").reshape(self.shape)


def float_block(values: object) -> FloatBlock:
    """Return ``values`` (anything NumPy takes as float64) as a block."""
    array = np.ascontiguousarray(values, dtype="<f8")
    return FloatBlock(shape=tuple(array.shape), data=array.tobytes())


def int_block(values: object) -> IntBlock:
    """Return ``values`` (integers) as a block; floats are refused rather than truncated."""
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iub":
        raise TypeError(f"int_block takes integers, got dtype {array.dtype}; scale and round before the call")
    array = np.ascontiguousarray(array, dtype="<i8")
    return IntBlock(shape=tuple(array.shape), data=array.tobytes())
