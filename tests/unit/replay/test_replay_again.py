"""Owns the tests of replay: equal bytes are equal, and every way to differ is reported at its place."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from walstreet.replay.again import CHAIN_REQUEST_BEGINS, DIFFERENCES_SHOWN_MAX, ReplayReport, replay_core
from walstreet.testing.cores import POISON_DECIDE, DigestCore, clock_tick, mode_request
from walstreet.testing.tapes import MemoryTape
from walstreet_events import ReconRequest, Service, decode, encode, subject_of

TICKS = 9
TICK_SUBJECT = subject_of(clock_tick(1))


def recorded(*, poison: int = 0) -> MemoryTape:
    """Return a session of the digest core; tick number ``poison`` makes it raise."""
    core, tape = DigestCore(), MemoryTape()
    state = core.initial()
    for number in range(1, TICKS + 1):
        tick = clock_tick(number, session_date=POISON_DECIDE if number == poison else "2026-01-05")
        through = tape.append(tick).seq
        state = core.evolve(state, tick)
        if number == poison:
            continue
        for output in core.decide(state, tick):
            tape.append(output, through=through)
            state = core.evolve(state, output)
    return tape


def own_places(tape: MemoryTape) -> list[int]:
    """Return the positions of the core's outputs on the TAPE."""
    return [at for at, message in enumerate(tape.messages) if message.subject == "recon.request"]


def replayed(tape: MemoryTape) -> ReplayReport:
    """Replay the whole TAPE with a fresh core."""
    return replay_core(DigestCore(), tape.messages)


def test_the_same_core_decides_the_same_bytes() -> None:
    """Every output is compared and identical, and every input was fed."""
    tape = recorded()
    report = replayed(tape)
    assert report.clean
    assert report.inputs == TICKS
    assert report.compared == report.identical == len(own_places(tape)) > 5
    assert report.by_type == {"recon_request.v1": report.compared}


def test_one_changed_byte_is_one_difference() -> None:
    """The output is named with its place; those after it do not depend on its text and stay identical."""
    tape = recorded()
    at = own_places(tape)[-1]
    message = tape.messages[at]
    changed = bytearray(message.payload)
    digest_at = bytes(changed).rindex(b"reason") + 12
    changed[digest_at] ^= 1
    tape.messages[at] = replace(message, payload=bytes(changed))
    report = replayed(tape)
    assert not report.clean
    assert report.compared - report.identical == 1
    assert [(item.stream_seq, item.detail) for item in report.differences] == [
        (message.seq, "decided again with other bytes")
    ]


def test_a_changed_input_changes_what_follows() -> None:
    """The core's state depends on every input, so a tick of another time shows in all later outputs."""
    tape = recorded()
    at = next(at for at, message in enumerate(tape.messages) if message.subject == TICK_SUBJECT)
    message = tape.messages[at]
    event = decode(message.payload)
    tape.messages[at] = replace(message, payload=encode(msgspec.structs.replace(event, id="f" * 32)))
    report = replayed(tape)
    assert report.identical == 0


def test_a_missing_output_is_reported() -> None:
    """What is decided again but not on the TAPE is a difference at its input."""
    tape = recorded()
    del tape.messages[own_places(tape)[-1]]
    report = replayed(tape)
    assert not report.clean
    assert "not on the TAPE" in report.differences[0].detail


def test_an_output_that_nobody_decided_is_reported() -> None:
    """A request after an input that causes none is on the TAPE, but not decided again."""
    tape = recorded()
    stranger = ReconRequest(id="e" * 32, cause="0" * 32, ts_ns=1, number=99, reason="none")
    last_tick = max(message.seq for message in tape.messages if message.subject == TICK_SUBJECT)
    tape.append(stranger, through=last_tick)
    assert [item.detail for item in replayed(tape).differences] == ["on the TAPE, but not decided again"]


def test_an_output_after_what_is_no_input_is_reported() -> None:
    """A request said to follow message 1 (an epoch) follows nothing that this core reads."""
    tape = recorded()
    tape.append(ReconRequest(id="e" * 32, cause="0" * 32, ts_ns=1, number=99, reason="none"), through=1)
    report = replayed(tape)
    assert not report.clean
    assert "not an input of this core" in report.differences[0].detail


def test_another_order_of_outputs_is_a_difference() -> None:
    """The same bytes in another order would give another hash of the session."""
    tape = recorded()
    places = own_places(tape)
    first = next(at for at in places if at + 1 in places)
    messages = tape.messages
    one, two = messages[first], messages[first + 1]
    # The digest core numbers its outputs without folding between them, so both payloads stay what they are.
    messages[first] = replace(two, seq=one.seq)
    messages[first + 1] = replace(one, seq=two.seq)
    report = replayed(tape)
    assert not report.clean
    assert report.differences[0].detail == "decided again, but in another order"


def test_a_crash_between_lives_changes_nothing() -> None:
    """An output that a second life wrote again under the same id counts once."""
    tape = recorded()
    again = tape.messages[own_places(tape)[-1]]
    tape.messages.append(replace(again, seq=len(tape.messages) + 1))
    report = replayed(tape)
    assert report.clean
    assert report.compared == len(own_places(tape)) - 1


def test_the_loops_own_chain_request_is_not_compared() -> None:
    """The mode request after a chain fault is the shared loop's, whatever input happened to come before it."""
    tape = recorded()
    last_tick = max(message.seq for message in tape.messages if message.subject == TICK_SUBJECT)
    request = msgspec.structs.replace(
        mode_request(1, service=Service.RECONCILER), reason=f"{CHAIN_REQUEST_BEGINS}12: digest of gateway"
    )
    tape.append(request, service=Service.RECONCILER, through=last_tick)
    report = replayed(tape)
    assert report.clean
    assert report.unsolicited == 1


def test_any_other_mode_request_is_compared() -> None:
    """Only the loop's own reason is set aside."""
    tape = recorded()
    last_tick = max(message.seq for message in tape.messages if message.subject == TICK_SUBJECT)
    tape.append(mode_request(1, service=Service.RECONCILER), service=Service.RECONCILER, through=last_tick)
    assert not replayed(tape).clean


def test_an_input_at_which_the_core_raises_is_survived_as_it_was_live() -> None:
    """The live loop keeps it as a dead letter and goes on; replay goes on too and agrees about all the rest."""
    report = replayed(recorded(poison=4))
    assert report.failed == 1
    assert report.inputs == TICKS
    assert report.clean


def test_differences_are_counted_beyond_what_is_kept() -> None:
    """A core of another seed differs everywhere, and the report stays small."""
    core, tape = DigestCore(), MemoryTape()
    state = core.initial()
    for number in range(1, 60):
        tick = clock_tick(number)
        through = tape.append(tick).seq
        state = core.evolve(state, tick)
        for output in core.decide(state, tick):
            tape.append(msgspec.structs.replace(output, reason="other"), through=through)
            state = core.evolve(state, output)
    report = replayed(tape)
    assert len(report.differences) == DIFFERENCES_SHOWN_MAX < report.compared
    assert report.identical == 0


@pytest.mark.parametrize("service", [Service.GATEWAY, Service.ARBITER])
def test_what_the_core_does_not_read_is_no_input(service: Service) -> None:
    """Mode requests of others are none of the reconciler's business."""
    tape = recorded()
    tape.append(mode_request(7, service=service), service=service)
    report = replayed(tape)
    assert report.clean
    assert report.inputs == TICKS
