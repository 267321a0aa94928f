"""Owns the tests of the chain verifier: each kind of damage is told by its own name, and only once."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.adapters.clock import WallClock
from walstreet.adapters.memory import MemoryLog, MemoryTape
from walstreet.adapters.nats.journal import ChainHead
from walstreet.adapters.nats.reader import RawMessage
from walstreet.runtime.chain import ChainFault, ChainVerifier
from walstreet.testing.cores import clock_tick, mode_request
from walstreet_events import Service
from walstreet_events import headers as names

WRITERS = (Service.GATEWAY, Service.ARBITER, Service.EXECUTION)


def faults_of(messages: list[RawMessage]) -> list[ChainFault]:
    """Return the faults of a TAPE that holds these messages."""
    verifier = ChainVerifier()
    found = [
        verifier.check(stream_seq=seq, subject=m.subject, headers=m.headers, payload=m.payload)
        for seq, m in enumerate(messages, start=1)
    ]
    return [fault for fault in found if fault is not None]


async def write(lives: int, per_life: int, seed: int) -> list[RawMessage]:
    """Return a TAPE of several writers and lives, interleaved by ``seed``."""
    tape, dice = MemoryTape(), random.Random(seed)
    number = 0
    for _ in range(lives):
        logs = []
        for service in WRITERS:
            log = MemoryLog(tape, service, WallClock())
            verifier = ChainVerifier()
            for m in await log.open():
                verifier.check(stream_seq=m.seq, subject=m.subject, headers=m.headers, payload=m.payload)
            link = verifier.newest(service.value)
            fence = max((m.seq for m in tape.messages if m.subject == f"epoch.{service.value}"), default=0)
            head = ChainHead(epoch=link.epoch, seq=link.seq, chain=link.chain) if link else ChainHead()
            await log.journal.begin_epoch(head, epoch_seq=fence, ts_ns=0, config_hash="")
            logs.append((service, log))
        for _ in range(per_life * len(WRITERS)):
            service, log = dice.choice(logs)
            number += 1
            event = clock_tick(number) if service is Service.GATEWAY else mode_request(number, service=service)
            await log.journal.append(event, through=0)
    return tape.messages


def tape(lives: int, per_life: int, seed: int) -> list[RawMessage]:
    """Return a TAPE of the given shape."""
    return asyncio.run(write(lives, per_life, seed))


shapes = st.tuples(st.integers(1, 3), st.integers(2, 6), st.integers(0, 1_000))


@settings(max_examples=40, deadline=None)
@given(shape=shapes)
def test_an_intact_tape_has_no_fault(shape: tuple[int, int, int]) -> None:
    """Several writers and several lives verify without a fault."""
    assert faults_of(tape(*shape)) == []


@settings(max_examples=60, deadline=None)
@given(shape=shapes, data=st.data())
def test_a_flipped_byte_is_one_digest_fault(shape: tuple[int, int, int], data: st.DataObject) -> None:
    """Any changed bit of any payload is one fault of kind digest at that message, and no other."""
    messages = tape(*shape)
    where = data.draw(st.integers(0, len(messages) - 1))
    at = data.draw(st.integers(0, len(messages[where].payload) - 1))
    payload = bytearray(messages[where].payload)
    payload[at] ^= 1 << data.draw(st.integers(0, 7))
    messages[where] = replace(messages[where], payload=bytes(payload))
    faults = faults_of(messages)
    assert [(f.kind, f.stream_seq) for f in faults] == [("digest", where + 1)]


@settings(max_examples=60, deadline=None)
@given(shape=shapes, data=st.data())
def test_a_dropped_message_is_one_gap(shape: tuple[int, int, int], data: st.DataObject) -> None:
    """A lost message shows at its producer's next one, even when that is the first of the next life."""
    messages = tape(*shape)
    where = data.draw(st.integers(0, len(messages) - 1))
    lost = messages.pop(where)
    later = [i for i, m in enumerate(messages) if i >= where and m.producer == lost.producer]
    faults = faults_of(messages)
    if not later:
        assert faults == []  # Nothing behind it: the reader's tail poll and the next life's epoch tell.
        return
    assert [(f.kind, f.stream_seq) for f in faults] == [("gap", later[0] + 1)]


@settings(max_examples=60, deadline=None)
@given(shape=shapes, data=st.data())
def test_a_repeated_message_is_one_order_fault(shape: tuple[int, int, int], data: st.DataObject) -> None:
    """A message that stands twice is one fault at its second place, and the chain goes on behind it."""
    messages = tape(*shape)
    where = data.draw(st.integers(0, len(messages) - 1))
    again = data.draw(st.integers(where + 1, len(messages)))
    messages.insert(again, messages[where])
    assert [(f.kind, f.stream_seq) for f in faults_of(messages)] == [("order", again + 1)]


@settings(max_examples=60, deadline=None)
@given(shape=shapes, data=st.data())
def test_two_messages_in_wrong_order_are_a_gap_and_an_order_fault(
    shape: tuple[int, int, int], data: st.DataObject
) -> None:
    """Neighbours of one life in wrong order are told at both places, and nothing after them is."""
    messages = tape(*shape)
    pairs = [
        (i, j)
        for i, first in enumerate(messages)
        for j in [
            next(
                (
                    k
                    for k in range(i + 1, len(messages))
                    if messages[k].producer == first.producer
                    and messages[k].headers[names.EPOCH] == first.headers[names.EPOCH]
                ),
                -1,
            )
        ]
        if j > 0
    ]
    i, j = data.draw(st.sampled_from(pairs))
    messages[i], messages[j] = messages[j], messages[i]
    assert [(f.kind, f.stream_seq) for f in faults_of(messages)] == [("gap", i + 1), ("order", j + 1)]


@settings(max_examples=40, deadline=None)
@given(shape=shapes, data=st.data())
def test_another_subject_of_the_same_writer_is_a_digest_fault(shape: tuple[int, int, int], data: st.DataObject) -> None:
    """A message moved to another subject of its writer is a digest fault, to a stranger's subject a writer fault."""
    messages = tape(*shape)
    where = data.draw(st.integers(0, len(messages) - 1))
    producer = messages[where].producer
    own = f"mode.request.{producer}"
    if messages[where].subject == own:
        own = f"epoch.{producer}"
    moved, foreign = list(messages), list(messages)
    moved[where] = replace(messages[where], subject=own)
    assert [(f.kind, f.stream_seq) for f in faults_of(moved)] == [("digest", where + 1)]
    foreign[where] = replace(messages[where], subject="feat.1m")
    assert faults_of(foreign)[0].kind == "writer"


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from([names.PRODUCER, names.EPOCH, names.SEQ, names.CHAIN]), st.text(max_size=30)))
def test_missing_or_damaged_headers_are_unsigned(headers: dict[str, str]) -> None:
    """Whatever stands in the headers, a message outside every chain is a fault and never an exception."""
    verifier = ChainVerifier()
    fault = verifier.check(stream_seq=1, subject="clock.tick", headers=headers, payload=b"x")
    assert fault is not None
    assert fault.kind == "unsigned"
    assert verifier.newest("gateway") is None


def test_digits_that_are_no_numbers_are_unsigned() -> None:
    """Superscript digits satisfy str.isdigit and break int; they must be a fault, not an exception."""
    fault = ChainVerifier().check(
        stream_seq=1,
        subject="clock.tick",
        headers={names.PRODUCER: "gateway", names.EPOCH: "²", names.SEQ: "1", names.CHAIN: "a"},
        payload=b"",
    )
    assert fault is not None
    assert fault.kind == "unsigned"


def test_a_zombie_behind_a_newer_epoch_is_an_order_fault() -> None:
    """A message of a fenced-off life cannot come behind the new life's beginning."""
    messages = tape(2, 2, 1)
    old = [m for m in messages if m.producer == "gateway" and m.headers[names.EPOCH] == "1"]
    without = [m for m in messages if m is not old[-1]]
    faults = faults_of([*without, old[-1]])
    assert [f.kind for f in faults] == ["gap", "order"]
    assert faults[0].producer == "gateway"


def test_a_whole_lost_life_is_a_gap() -> None:
    """When every message of the life before is gone, the next epoch still tells that it existed."""
    messages = [m for m in tape(2, 2, 3) if not (m.producer == "arbiter" and m.headers[names.EPOCH] == "1")]
    faults = faults_of(messages)
    assert [(f.kind, f.producer) for f in faults] == [("gap", "arbiter")]
