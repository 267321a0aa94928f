"""Owns the tests of what only the log in memory has: crash steps and a bound of its own."""

from __future__ import annotations

import asyncio

import pytest

from walstreet.adapters.clock import WallClock
from walstreet.adapters.memory import MemoryInbox, MemoryLog, MemoryTape
from walstreet.adapters.nats.errors import AppendRefusedError, LogError, TapeRegressedError
from walstreet.adapters.nats.journal import PAYLOAD_BYTES_MAX, ChainHead, dead_letter
from walstreet.testing.cores import mode_request
from walstreet_events import Service, encode


async def opened(tape: MemoryTape, step: object = None) -> MemoryLog:
    """Return an open log of the feature service."""
    log = MemoryLog(tape, Service.FEATURES, WallClock(), step or (lambda _: None))  # type: ignore[arg-type]
    await log.open()
    return log


async def fill(log: MemoryLog) -> None:
    """Append until the tape refuses."""
    for number in range(100):
        await log.journal.append(mode_request(number, service=Service.FEATURES), through=0)


async def test_steps_come_in_the_order_of_a_real_append() -> None:
    """A crash can fall before and after a message is stored, and is the caller's exception unchanged."""
    steps: list[str] = []
    tape = MemoryTape()
    log = await opened(tape, steps.append)
    await log.journal.begin_epoch(ChainHead(), epoch_seq=0, ts_ns=0, config_hash="")
    await log.inbox.take(1)
    assert steps == ["before_store", "after_store", "take"]


async def test_a_full_tape_refuses() -> None:
    """The bound of bytes is enforced, and what stands on the tape stays."""
    tape = MemoryTape(bytes_max=2_000)
    log = await opened(tape)
    await log.journal.begin_epoch(ChainHead(), epoch_seq=0, ts_ns=0, config_hash="")
    with pytest.raises(AppendRefusedError, match="full"):
        await fill(log)
    assert 1 < tape.last_seq < 6


async def test_after_an_unknown_outcome_only_the_same_event_can_follow() -> None:
    """A chain whose last link is unknown refuses another event, and takes the same one again."""

    def step(name: str) -> None:
        if name == "after_store" and tape.last_seq == 2:
            raise KeyboardInterrupt

    tape = MemoryTape()
    log = await opened(tape, step)
    await log.journal.begin_epoch(ChainHead(), epoch_seq=0, ts_ns=0, config_hash="")
    event = mode_request(1, service=Service.FEATURES)
    with pytest.raises(KeyboardInterrupt):
        await log.journal.append(event, through=0)
    log.journal._step = lambda _: None
    log.journal._writer.unsettled = event.id
    with pytest.raises(LogError, match="does not know whether"):
        await log.journal.append(mode_request(2, service=Service.FEATURES), through=0)
    assert await log.journal.append(event, through=0) == 2
    assert log.journal.head.seq == 2


async def test_the_inbox_tells_that_it_waits() -> None:
    """Idle is set while everything was delivered, and cleared when something comes."""
    tape = MemoryTape()
    inbox = MemoryInbox(tape)
    await inbox.start()
    taking = asyncio.create_task(inbox.take())
    await inbox.idle.wait()
    tape.store("clock.tick", b"x", {})
    assert [m.seq for m in await taking] == [1]
    assert not inbox.idle.is_set()
    await inbox.stop()
    assert tape._waiting == []


async def test_a_tape_that_lost_its_end_is_told() -> None:
    """A position behind the end means that the store lost something."""
    tape = MemoryTape()
    inbox = MemoryInbox(tape)
    for _ in range(3):
        tape.store("clock.tick", b"x", {})
    await inbox.start()
    await inbox.take()
    tape.messages.pop()
    with pytest.raises(TapeRegressedError, match="ends at 2, but 3 was read"):
        await inbox.take()


def test_a_dead_letter_fits_whatever_it_keeps() -> None:
    """Text and payload are cut to their bounds, visibly, so that the letter itself can always be stored."""
    letter = dead_letter(
        Service.FEATURES,
        reason="core_failed",
        detail="é" * 100_000,
        subject="bar.1m",
        stream_seq=5,
        payload=b"x" * (PAYLOAD_BYTES_MAX + 1_000),
        ts_ns=0,
    )
    assert len(letter.payload) == PAYLOAD_BYTES_MAX
    assert str(PAYLOAD_BYTES_MAX + 1_000) in letter.detail
    assert len(encode(letter)) < (8 << 20) - (16 << 10)


def test_dead_letters_of_different_payloads_have_different_ids() -> None:
    """Failures without a stream sequence are told apart by what failed."""
    first, second = (
        dead_letter(
            Service.FEATURES, reason="r", detail="", subject="observation.X", stream_seq=0, payload=payload, ts_ns=0
        ).id
        for payload in (b"a", b"b")
    )
    assert first != second
