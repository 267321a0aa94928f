"""Owns the tests of TAPE verification: each kind of damage is found once, named, and nothing sound is accused."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from walstreet.adapters.nats.reader import RawMessage
from walstreet.replay.verify import FAULTS_SHOWN_MAX, TapeReport, TapeVerifier
from walstreet.testing.cores import clock_tick
from walstreet.testing.events import every_event
from walstreet.testing.tapes import MemoryTape, flipped
from walstreet_events import AnyEvent, Decision, Quote, Service, Trade, decode, encode, subject_of
from walstreet_events import headers as names

TICK_SUBJECT = subject_of(clock_tick(1))


@pytest.fixture
def tape() -> MemoryTape:
    """Return ten ticks of the gateway with a decision of the arbiter among them."""
    made = MemoryTape()
    for number in range(1, 11):
        made.append(clock_tick(number))
        if number == 5:
            event = every_event()["decision.v1"]
            assert isinstance(event, Decision)
            made.append(event)
    return made


def verified(messages: list[RawMessage], last: int | None = None) -> TapeReport:
    """Return the report of a whole TAPE."""
    verifier = TapeVerifier()
    verifier.take(messages)
    return verifier.finish(messages[-1].seq if last is None else last)


def kinds(report: TapeReport) -> list[tuple[str, int]]:
    """Return kind and place of every fault."""
    return [(fault.kind, fault.stream_seq) for fault in report.faults]


def test_a_sound_tape_is_clean(tape: MemoryTape) -> None:
    """Counts, types and epochs are right, and there is no fault."""
    report = verified(tape.messages)
    assert report.clean
    assert (report.first_seq, report.last_seq, report.messages) == (1, 13, 13)
    assert report.bytes == sum(len(message.payload) for message in tape.messages)
    assert report.types == {"clock_tick.v1": 10, "decision.v1": 1, "producer_epoch.v1": 2}
    assert report.epochs == {"gateway": 1, "arbiter": 1}


def test_every_event_type_may_stand_on_a_tape() -> None:
    """No event is accused of standing under the wrong subject."""
    made = MemoryTape()
    for event in every_event().values():
        if isinstance(event, Quote | Trade) or event.__struct_config__.tag == "dead_letter.v1":
            continue
        service = Service(event.service) if hasattr(event, "service") else None
        made.append(event, service=service)
    assert verified(made.messages).faults == []


def test_a_flipped_bit_is_one_fault(tape: MemoryTape) -> None:
    """The digest of exactly that message does not fit; its successors are not accused."""
    tape.messages[3] = flipped(tape.messages[3])
    assert kinds(verified(tape.messages)) == [("digest", 4)]


def test_a_dropped_message_is_a_gap_of_the_stream_and_of_its_producer(tape: MemoryTape) -> None:
    """The store misses a sequence, and the gateway's chain misses a link."""
    del tape.messages[3]
    assert kinds(verified(tape.messages)) == [("stream_gap", 4), ("gap", 5)]


def test_a_cut_head_is_a_gap(tape: MemoryTape) -> None:
    """A TAPE that does not begin at 1 has lost its beginning."""
    report = verified(tape.messages[4:])
    assert report.first_seq == 5
    assert kinds(report)[0] == ("stream_gap", 1)


def test_a_cut_tail_is_a_gap(tape: MemoryTape) -> None:
    """Fewer messages than the stream claims to hold are a fault at the first that is missing."""
    report = verified(tape.messages[:-2], last=13)
    assert kinds(report) == [("stream_gap", 12)]
    assert "12 to 13" in report.faults[0].detail


def test_an_empty_tape_that_should_hold_something_is_a_gap() -> None:
    """Nothing readable at all is not clean."""
    assert kinds(TapeVerifier().finish(3)) == [("stream_gap", 1)]
    assert TapeVerifier().finish(0).clean


def test_a_foreign_writer_is_one_fault(tape: MemoryTape) -> None:
    """The inference service wrote a decision: found once, not once by each check."""
    event = every_event()["decision.v1"]
    assert isinstance(event, Decision)
    made = MemoryTape()
    made.append(event, service=Service.INFERENCE)
    assert kinds(verified(made.messages)) == [("writer", 2)]


def test_a_message_without_chain_headers_is_one_fault(tape: MemoryTape) -> None:
    """What came past the journals is unsigned."""
    tape.messages.append(RawMessage(14, TICK_SUBJECT, {}, tape.messages[-1].payload))
    assert kinds(verified(tape.messages)) == [("unsigned", 14)]


def test_an_unknown_tag_is_a_schema_fault(tape: MemoryTape) -> None:
    """An event of a version that nobody knows is named with its tag."""
    payload = msgspec.msgpack.encode({"type": "clock_tick.v9", "id": "0" * 32})
    report = verified([*tape.messages, _next(tape, TICK_SUBJECT, payload)])
    assert kinds(report) == [("schema", 14)]
    assert "clock_tick.v9" in report.faults[0].detail


def test_bytes_that_are_no_event_are_a_schema_fault(tape: MemoryTape) -> None:
    """Damage that the chain cannot see, because the producer itself wrote it, is found by decoding."""
    assert kinds(verified([*tape.messages, _next(tape, TICK_SUBJECT, b"\xc1")])) == [("schema", 14)]


def test_an_event_under_another_subject_of_its_writer_is_found(tape: MemoryTape) -> None:
    """A tick under clock.phase is chained well and by the right writer, and still wrong."""
    report = verified([*tape.messages, _next(tape, "clock.phase", encode(clock_tick(11)))])
    assert kinds(report) == [("subject", 14)]
    assert TICK_SUBJECT in report.faults[0].detail


def test_a_message_behind_its_successor_is_found(tape: MemoryTape) -> None:
    """Two swapped messages are a gap, something behind its place, and a broken chain."""
    tape.messages[7], tape.messages[9] = tape.messages[9], tape.messages[7]
    found = [kind for kind, _ in kinds(verified(tape.messages))]
    assert {"stream_gap", "stream_order", "order"} <= set(found)


def test_a_repeated_message_is_found(tape: MemoryTape) -> None:
    """The same link twice is no second fact."""
    tape.messages.append(replace(tape.messages[-1], seq=14))
    assert kinds(verified(tape.messages)) == [("order", 14)]


def test_faults_are_counted_beyond_what_is_kept() -> None:
    """A TAPE of garbage does not fill the memory, and its faults are all counted."""
    count = FAULTS_SHOWN_MAX + 7
    report = verified([RawMessage(seq, "x", {}, b"") for seq in range(1, count + 1)])
    assert len(report.faults) == FAULTS_SHOWN_MAX
    assert report.faults_total == 2 * count


def _next(tape: MemoryTape, subject: str, payload: bytes) -> RawMessage:
    """Return a message of the gateway that continues its chain with any subject and bytes."""
    last = tape.messages[-1]
    assert last.producer == "gateway"
    event: AnyEvent = decode(last.payload)
    assert event.id
    seq = last.number(names.SEQ) + 1
    chain = names.chain_next(
        last.headers[names.CHAIN], producer="gateway", epoch=1, seq=seq, subject=subject, payload=payload
    )
    headers = {**last.headers, names.SEQ: str(seq), names.CHAIN: chain}
    return RawMessage(last.seq + 1, subject, headers, payload)
