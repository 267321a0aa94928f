"""Whatever bytes arrive, decoding gives an event or a refusal with a reason; subject filters are NATS filters."""

from __future__ import annotations

import random
import re

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from walstreet.testing.events import every_event
from walstreet_events import Event, EventDecodeError, decode, decode_tick, encode, matches
from walstreet_events.codec import CURRENT

SEED = 20_261_120
RANDOM_PAYLOADS = 2_000
MUTATIONS = 4_000
NESTING = 200_000
REASONS = ("malformed", "unknown_tag")
QUICK = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary()
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(0, 9), inner), max_leaves=6
)
tags = st.sampled_from(sorted(CURRENT)) | st.text()


def refused_or_event(payload: bytes) -> None:
    """Fail on any exception but the one that is promised."""
    for read in (decode, decode_tick):
        reason = ""
        try:
            event = read(payload)
        except EventDecodeError as error:
            reason = error.reason
        assert reason in REASONS or encode(event)


def test_random_bytes():
    """Thousands of random payloads of every length are refused or read."""
    source = random.Random(SEED)
    for _ in range(RANDOM_PAYLOADS):
        refused_or_event(source.randbytes(source.randrange(0, 200)))


def test_damaged_events():
    """Flipped, cut, doubled and spliced golden bytes are refused or read."""
    source = random.Random(SEED)
    payloads = [encode(event) for event in every_event().values()]
    for _ in range(MUTATIONS):
        payload = bytearray(source.choice(payloads))
        for _ in range(source.randrange(1, 4)):
            position = source.randrange(len(payload))
            payload[position] = source.randrange(256)
        cut = source.randrange(len(payload) + 1)
        refused_or_event(bytes(payload))
        refused_or_event(bytes(payload[:cut]))
        refused_or_event(bytes(payload[cut:]) + source.choice(payloads))


@QUICK
@given(values)
def test_any_msgpack_value(value):
    """Well-formed msgpack that is no event is refused."""
    refused_or_event(msgspec.msgpack.encode(value))


@QUICK
@given(tags, st.dictionaries(st.text(), values), st.data())
def test_any_fields_under_a_known_tag(tag, extra, data):
    """A known tag with wrong, missing or foreign fields is refused or read."""
    fields: dict[object, object] = {}
    if tag in CURRENT:
        fields.update(msgspec.to_builtins(every_event()[tag], builtin_types=(bytes,)))
        for name in data.draw(st.lists(st.sampled_from(sorted(fields)), max_size=3)):
            fields[name] = data.draw(values)
    refused_or_event(msgspec.msgpack.encode({**extra, **fields, "type": tag}))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x81\xa4type\x91\x01",
        b"\x81\xa4type\xc0",
        b"\x81\xa4type" + b"\x91" * NESTING,
        b"\x82\xa4type\xadclock_tick.v1\xa1x" + b"\x81\xa1a" * NESTING,
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\x81\xa4type\xd6\xff\xff\xff\xff\xff",
    ],
)
def test_payloads_that_once_escaped_or_might(payload):
    """Tags that are no text, endless nesting and absurd lengths are refused."""
    with pytest.raises(EventDecodeError):
        decode(payload)
    with pytest.raises(EventDecodeError):
        decode_tick(payload)


@pytest.mark.parametrize("tag", sorted(CURRENT))
def test_every_event_survives_the_wire(tag):
    """Encoding and decoding give the same event."""
    event = every_event()[tag]
    back = decode(encode(event)) if isinstance(event, Event) else decode_tick(encode(event))
    assert back == event


tokens = st.sampled_from(["a", "b", "order", "1m"])
subjects = st.lists(tokens, min_size=1, max_size=5).map(".".join)
filters = st.tuples(st.lists(tokens | st.just("*"), max_size=4), st.booleans()).map(
    lambda parts: ".".join([*parts[0], *([">"] if parts[1] or not parts[0] else [])])
)


@settings(max_examples=1_000, deadline=None)
@given(filters, subjects)
def test_filters_mean_what_they_mean_at_the_server(pattern, subject):
    """A star is exactly one token, the final arrow one or more, everything else literal."""
    parts = [r"[^.]+" if part == "*" else r".+" if part == ">" else re.escape(part) for part in pattern.split(".")]
    assert matches(pattern, subject) == (re.fullmatch(r"\.".join(parts), subject) is not None)
