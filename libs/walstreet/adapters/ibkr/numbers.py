"""Owns the exact conversion of the protocol's numbers and times to integers, and back.

The protocol writes decimals as text. They are converted without a binary float in between, so that a price is
the same integer everywhere. The sentinels for *unset* (the largest double and integer, NaN, infinities, an
empty field) become None, never a number.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from walstreet_events import NANOS_PER_SECOND, PRICE_SCALE, QUANTITY_SCALE

CACHE_ENTRIES_MAX = 65_536
"""Prices and sizes repeat; the cache turns most conversions into one look-up."""
ABSOLUTE_MAX = Decimal(10) ** 15
"""Larger magnitudes are sentinels or damage: no price, quantity or account of ours comes near."""
INTEGER_MAX = 2**63 - 1
"""What the log can hold. A larger number is damage, and must not reach an event: it could not be written."""
UNSET_INTEGER = 2_147_483_647
_PRICE_SCALE = Decimal(PRICE_SCALE)
_QUANTITY_SCALE = Decimal(QUANTITY_SCALE)
_COMPACT_LENGTH = len("20261120 09:30:00")
_DATE_LENGTH = len("20261120")
_ZONE_ALIASES = {"EST": "America/New_York", "EDT": "America/New_York", "EST5EDT": "America/New_York"}
"""Abbreviations with which gateways name the exchange's zone; the plain ones have no daylight saving."""


@lru_cache(maxsize=CACHE_ENTRIES_MAX)
def nano(text: str) -> int | None:
    """Return a decimal text in USD as 1e-9 USD, rounded half to even, or None when unset."""
    return _scaled(text, _PRICE_SCALE)


@lru_cache(maxsize=CACHE_ENTRIES_MAX)
def micro(text: str) -> int | None:
    """Return a decimal text in shares as 1e-6 shares, rounded half to even, or None when unset."""
    return _scaled(text, _QUANTITY_SCALE)


def nano_of(value: object) -> int | None:
    """Return a number that a library has already decoded (float, int, Decimal or text) as 1e-9 USD."""
    return nano(str(value))


def micro_of(value: object) -> int | None:
    """Return a number that a library has already decoded (float, int, Decimal or text) as 1e-6 shares."""
    return micro(str(value))


def dollars(value_nano: int) -> float:
    """Return 1e-9 USD as the nearest double, whose shortest text is the decimal that was meant."""
    return float(Decimal(value_nano).scaleb(-9))


def integer(text: str) -> int:
    """Return an id field; empty and the unset sentinel become 0.

    Raises:
        ValueError: No integer, or one that the log cannot hold.
    """
    value = whole(text) if text else 0
    return 0 if value == UNSET_INTEGER else value


def seconds_ns(text: str) -> int:
    """Return epoch seconds as nanoseconds.

    Raises:
        ValueError: No integer, or a time that the log cannot hold.
    """
    return whole(str(whole(text) * NANOS_PER_SECOND))


def whole(text: str) -> int:
    """Return a field that must be an integer.

    Raises:
        ValueError: No integer, or one that the log cannot hold.
    """
    value = int(text)
    if abs(value) > INTEGER_MAX:
        raise ValueError(f"{text[:40]!r} has more digits than the log can hold; the message is damaged")
    return value


def utc_text(ts_ns: int) -> str:
    """Return an instant as ``yyyymmdd-hh:mm:ss``, which the broker reads as UTC; fractions are cut off."""
    return datetime.fromtimestamp(ts_ns // NANOS_PER_SECOND, UTC).strftime("%Y%m%d-%H:%M:%S")


def time_ns(text: str) -> int:
    """Return a time of the protocol in nanoseconds UTC; without a zone it is read as UTC, the gateway's setting.

    Understands epoch seconds, ``yyyymmdd-hh:mm:ss``, ``yyyymmdd hh:mm:ss [zone]`` and ``yyyymmdd`` (midnight in
    New York, the start of a daily bar).

    Raises:
        ValueError: None of these.
    """
    cleaned = " ".join(text.split())
    if cleaned.isdigit() and len(cleaned) == _DATE_LENGTH:
        day = datetime.strptime(cleaned, "%Y%m%d").replace(tzinfo=_zone("America/New_York"))
        return _epoch_ns(day)
    if cleaned.isdigit():
        return seconds_ns(cleaned)
    stamp, zone_name = cleaned[:_COMPACT_LENGTH], cleaned[_COMPACT_LENGTH:].strip()
    pattern = "%Y%m%d-%H:%M:%S" if "-" in stamp else "%Y%m%d %H:%M:%S"
    zone = _zone(zone_name) if zone_name else UTC
    return _epoch_ns(datetime.strptime(stamp, pattern).replace(tzinfo=zone))


def _scaled(text: str, scale: Decimal) -> int | None:
    if not text:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is no decimal number; the message is damaged or misread") from error
    if not value.is_finite() or abs(value) > ABSOLUTE_MAX:
        return None
    scaled = int((value * scale).to_integral_value())
    return scaled if abs(scaled) <= INTEGER_MAX else None


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(_ZONE_ALIASES.get(name, name))
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"time zone {name!r} is not known; set the gateway's zone to UTC") from error


def _epoch_ns(moment: datetime) -> int:
    return int(moment.timestamp()) * NANOS_PER_SECOND
