"""Owns the peers of the wire format: what a user would write with the standard library's json."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from walstreet_events import AnyEvent, FloatBlock, IntBlock


def json_bytes(event: AnyEvent) -> bytes:
    """Return ``event`` as JSON; arrays are lists of numbers, as they are where no block type exists."""
    fields = {name: _plain(getattr(event, name)) for name in event.__struct_fields__}
    return json.dumps(fields).encode()


def json_fields(payload: bytes) -> Any:
    """Return what the standard library makes of the bytes: dicts and lists, nothing checked."""
    return json.loads(payload)


def _plain(value: object) -> object:
    if isinstance(value, FloatBlock | IntBlock):
        return value.array().tolist()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    return value
