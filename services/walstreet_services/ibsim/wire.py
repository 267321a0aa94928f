"""Owns the bytes of the TWS protocol: frames, fields, the handshake line and bounded, sans-I/O reading of them.

A frame is a 4-byte big-endian length and a payload of NUL-terminated UTF-8 fields. Nothing here knows what
a message means. Whatever a peer sends, reading either yields frames or raises ``ProtocolError``; memory per
connection is bounded by ``FRAME_BYTES_MAX``.
"""

from __future__ import annotations

import math
import re
import struct

from walstreet_services.ibsim.units import (
    MICRO_PER_SHARE,
    NANO_PER_DOLLAR,
    price_text,
    quantity_text,
)

__all__ = [
    "FIELDS_MAX",
    "FRAME_BYTES_MAX",
    "UNSET_DOUBLE_TEXT",
    "FieldReader",
    "FrameReader",
    "ProtocolError",
    "client_versions",
    "frame",
    "frame_raw",
    "price_text",
    "quantity_text",
]

FRAME_BYTES_MAX = 1 << 16
"""No request of a known client comes near 64 KiB; a longer length field is a stranger or an attack."""
FIELDS_MAX = 4096
HANDSHAKE_BYTES_MAX = 256
API_PREFIX = b"API\0"
UNSET_DOUBLE_TEXT = "1.7976931348623157E308"
UNSET_INTEGER = 2147483647
INTEGER_DIGITS_MAX = 19
"""Longer digit strings cannot be an id of the protocol, and parsing them costs quadratic time."""
NUMBER_ABS_MAX = 1e15
"""Larger finite numbers are no price or quantity; the fixed-point conversion would lose units."""
_LENGTH = struct.Struct(">I")
_VERSIONS = re.compile(rb"^v(\d{1,6})(?:\.\.(\d{1,6}))?(?: .*)?$", re.DOTALL)

assert HANDSHAKE_BYTES_MAX < FRAME_BYTES_MAX


class ProtocolError(Exception):
    """The peer broke the framing or the handshake; the connection cannot go on. The peer's fault."""


class FieldError(ValueError):
    """One request had a missing or malformed field; the connection goes on. The peer's fault."""


def frame_raw(payload: bytes) -> bytes:
    """Return one frame around a payload whose fields already end in NUL."""
    return _LENGTH.pack(len(payload)) + payload


def frame(*fields: str | float | bool | None) -> bytes:
    """Return one frame; None becomes an empty field, booleans 1 and 0, an infinite or NaN float is a bug."""
    parts: list[str] = []
    for value in fields:
        if value is None:
            parts.append("")
        elif value is True:
            parts.append("1")
        elif value is False:
            parts.append("0")
        elif isinstance(value, str):
            parts.append(value.replace("\0", ""))
        else:
            assert math.isfinite(value), f"non-finite field in {fields[:3]}"
            parts.append(str(value))
    parts.append("")
    return frame_raw("\0".join(parts).encode())


def client_versions(line: bytes) -> tuple[int, int]:
    """Return the lowest and highest protocol version of a handshake line such as ``v157..176``."""
    match = _VERSIONS.match(line)
    if match is None:
        raise ProtocolError(f"handshake line {line[:40]!r} is not of the form v<min>..<max>")
    lowest = int(match.group(1))
    highest = int(match.group(2) or match.group(1))
    if lowest > highest:
        raise ProtocolError(f"handshake asks for versions {lowest}..{highest}, an empty range")
    return lowest, highest


class FrameReader:
    """Cuts a byte stream into payloads; the first one is the handshake line, without its ``API`` prefix."""

    __slots__ = ("_buffer", "_greeted")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._greeted = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the payloads that ``data`` completes.

        Raises:
            ProtocolError: The stream does not start with the API prefix, or a length is out of bounds.
        """
        buffer = self._buffer
        buffer += data
        if not self._greeted:
            head = bytes(buffer[: len(API_PREFIX)])
            if head != API_PREFIX[: len(head)]:
                raise ProtocolError(f"stream starts with {head!r}, not with the API prefix")
            if len(buffer) < len(API_PREFIX):
                return []
        payloads: list[bytes] = []
        position = 0 if self._greeted else len(API_PREFIX)
        available = len(buffer)
        while available - position >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, position)
            limit = FRAME_BYTES_MAX if self._greeted else HANDSHAKE_BYTES_MAX
            if not 0 < length <= limit:
                raise ProtocolError(f"frame length {length} is outside 1..{limit}")
            end = position + _LENGTH.size + length
            if end > available:
                break
            payloads.append(bytes(buffer[position + _LENGTH.size : end]))
            position = end
            self._greeted = True
        if self._greeted:
            del buffer[:position]
        return payloads


class FieldReader:
    """Reads the fields of one request in order, liberally in form and strictly in bounds."""

    __slots__ = ("_fields", "_position")

    def __init__(self, fields: list[str]) -> None:
        self._fields = fields
        self._position = 0

    @classmethod
    def of(cls, payload: bytes) -> FieldReader:
        """Return a reader of a payload; undecodable bytes are replaced, too many fields are an error."""
        fields = payload.decode("utf-8", "replace").split("\0")
        if fields[-1] == "":
            fields.pop()
        if len(fields) > FIELDS_MAX:
            raise FieldError(f"request has {len(fields)} fields, more than {FIELDS_MAX}")
        return cls(fields)

    def peek(self, position: int) -> str:
        """Return a field by absolute position, empty when there is none."""
        return self._fields[position] if position < len(self._fields) else ""

    @property
    def left(self) -> int:
        """Return how many fields have not been read."""
        return len(self._fields) - self._position

    def text(self) -> str:
        """Return the next field as it is."""
        if self._position >= len(self._fields):
            raise FieldError(f"request ends after field {self._position}")
        value = self._fields[self._position]
        self._position += 1
        return value

    def skip(self, count: int) -> None:
        """Pass over ``count`` fields."""
        if not 0 <= count <= self.left:
            raise FieldError(f"request ends before {count} more fields after field {self._position}")
        self._position += count

    def integer(self, default: int = 0) -> int:
        """Return the next field as an integer; empty and the unset marks give the default."""
        value = self.text()
        if value in ("", str(UNSET_INTEGER)):
            return default
        digits = value.removeprefix("-")
        if len(digits) > INTEGER_DIGITS_MAX or not (digits.isascii() and digits.isdigit()):
            raise FieldError(f"field {self._position} is {value[:40]!r}, not an integer")
        return int(value)

    def flag(self) -> bool:
        """Return the next field as a boolean."""
        return self.text() not in ("", "0", "false", "False")

    def number(self) -> float | None:
        """Return the next field as a finite float; None when unset.

        Raises:
            FieldError: The field is no number, or beyond ``NUMBER_ABS_MAX`` without being an unset mark.
        """
        value = self.text()
        if value in ("", "Infinite", "Infinity"):
            return None
        try:
            number = float(value)
        except ValueError:
            raise FieldError(f"field {self._position} is {value[:40]!r}, not a number") from None
        if number >= 1.7976931348623157e308:
            return None
        if math.isnan(number) or abs(number) > NUMBER_ABS_MAX:
            raise FieldError(f"field {self._position} is {value[:40]!r}, not a number of a sensible size")
        return number

    def count(self) -> int:
        """Return the next field as a number of repeated groups, at most as many as there are fields left."""
        value = self.integer()
        if not 0 <= value <= self.left:
            raise FieldError(f"field {self._position} announces {value} groups; {self.left} fields are left")
        return value


assert NUMBER_ABS_MAX * MICRO_PER_SHARE < 2**70
assert NANO_PER_DOLLAR == 10**9
