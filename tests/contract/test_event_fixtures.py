"""Published golden bytes decode for ever, re-encode to the same bytes and never change."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from walstreet.testing.events import every_event
from walstreet_events import AnyEvent, decode, decode_tick, encode, tag_of, to_json
from walstreet_events.codec import CURRENT, EventDecodeError
from walstreet_services.cli import schema

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / schema.FIXTURES_PATH
PAYLOADS = sorted(FIXTURES.glob("*/*.msgpack"))
TICKS = ("quote.v1", "trade.v1")


def read(payload: bytes, tag: str):
    """Decode golden bytes of a tag."""
    return decode_tick(payload) if tag in TICKS else decode(payload)


def test_every_current_event_has_a_fixture_and_a_factory():
    """A new event type needs golden bytes before it is published."""
    assert set(every_event()) == set(CURRENT)
    assert {path.parent.name for path in PAYLOADS} >= set(CURRENT)


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_fixture_decodes_and_re_encodes_to_the_same_bytes(path):
    """What was written once can be read, and a current event gives the same bytes again."""
    payload, tag = path.read_bytes(), path.parent.name
    event = read(payload, tag)
    if tag in CURRENT:
        assert encode(event) == payload
        assert tag_of(type(event)) == tag


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_json_beside_a_fixture_is_the_same_event(path):
    """The readable form decodes to the same event."""
    text, tag = path.with_suffix(".json").read_text(encoding="utf-8"), path.parent.name
    if tag in CURRENT:
        assert msgspec.json.decode(text, type=CURRENT[tag]) == read(path.read_bytes(), tag)
        assert to_json(read(path.read_bytes(), tag)) + "\n" == text


@pytest.mark.parametrize("tag", sorted(CURRENT))
def test_the_factories_still_give_the_first_fixture(tag):
    """Factories and golden bytes are the same values, so a changed encoding shows at once."""
    assert encode(every_event()[tag]) == (FIXTURES / tag / "0001.msgpack").read_bytes()


def test_no_published_fixture_changed_and_none_is_missing():
    """The recorded digests cover exactly the files that exist."""
    recorded = schema.read_sums(FIXTURES / schema.SUMS_NAME)
    files = {path.relative_to(FIXTURES).as_posix(): path for path in FIXTURES.glob("*/*") if path.is_file()}
    assert recorded.keys() == files.keys()
    assert {name: schema.sha256_of(path) for name, path in files.items()} == recorded


def test_writing_fixtures_never_overwrites(tmp_path):
    """A second run adds nothing, and a file that differs from the factory stays as it is."""
    assert len(schema.write_fixtures(tmp_path)) == 2 * len(CURRENT)
    kept = tmp_path / schema.FIXTURES_PATH / "clock_tick.v1" / "0001.msgpack"
    kept.write_bytes(b"published")
    sums = (tmp_path / schema.FIXTURES_PATH / schema.SUMS_NAME).read_text(encoding="utf-8")
    assert schema.write_fixtures(tmp_path) == []
    assert kept.read_bytes() == b"published"
    assert (tmp_path / schema.FIXTURES_PATH / schema.SUMS_NAME).read_text(encoding="utf-8") == sums


def test_bytes_do_not_depend_on_the_order_of_construction():
    """The same fields in another order give the same bytes."""
    tick = every_event()["operator_command.v1"]
    fields = msgspec.structs.asdict(tick)
    again = type(tick)(**dict(reversed(fields.items())))
    turned = msgspec.structs.replace(again, arguments=dict(reversed({"b": "1", "a": "2"}.items())))
    straight = msgspec.structs.replace(again, arguments={"b": "1", "a": "2"})
    assert encode(again) == encode(tick)
    assert encode(turned) == encode(straight)


def test_an_old_version_is_upgraded_step_by_step():
    """A test-local v0 of the clock tick goes through two upcasters to the current type."""
    wanted = every_event()["clock_tick.v1"]
    oldest = {"type": "clock_tick.test0", "id": wanted.id, "ts_s": wanted.ts_ns // 10**9, "day": wanted.session_date}
    steps = {
        "clock_tick.test0": lambda old: {
            "type": "clock_tick.test1",
            "id": old["id"],
            "ts_ns": old["ts_s"] * 10**9,
            "session_date": old["day"],
        },
        "clock_tick.test1": lambda old: {**old, "type": "clock_tick.v1", "cause": "0" * 32},
    }
    payload = msgspec.msgpack.encode(oldest)
    assert decode(payload, upcasters=steps) == wanted
    with pytest.raises(EventDecodeError) as refused:
        decode(payload)
    assert refused.value.reason == "unknown_tag"
    del oldest["ts_s"]
    with pytest.raises(EventDecodeError, match="old version") as malformed:
        decode(msgspec.msgpack.encode(oldest), upcasters=steps)
    assert malformed.value.reason == "malformed"


def test_upcasters_in_a_circle_are_our_own_fault():
    """A loop in the table is an error of its own, not damage in the message."""
    steps = {"x.v1": lambda old: {**old, "type": "y.v1"}, "y.v1": lambda old: {**old, "type": "x.v1"}}
    with pytest.raises(RuntimeError, match="upcast"):
        decode(msgspec.msgpack.encode({"type": "x.v1"}), upcasters=steps)


def test_an_additional_field_of_a_newer_writer_is_ignored():
    """A compatible addition does not stop an older reader."""
    fields = json.loads(to_json(every_event()["clock_tick.v1"])) | {"added_later": 1}
    event: AnyEvent = decode(msgspec.msgpack.encode(fields))
    assert event == every_event()["clock_tick.v1"]
