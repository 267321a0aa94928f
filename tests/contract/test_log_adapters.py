"""Owns the contract that every log keeps, checked against the real server and against the log in memory alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from walstreet.adapters.clock import WallClock
from walstreet.adapters.memory import MemoryLog, MemoryTape
from walstreet.adapters.nats.errors import AppendRefusedError, FencedError
from walstreet.adapters.nats.journal import LIFE, PAYLOAD_BYTES_MAX
from walstreet.adapters.nats.reader import RawMessage, TapeReader
from walstreet.adapters.nats.server import ADMIN
from walstreet.adapters.nats.streams import last_sequence
from walstreet.runtime.chain import ChainVerifier
from walstreet.testing.cores import clock_tick, mode_request
from walstreet.testing.log_server import LogServer
from walstreet_events import DeadLetter, ModeRequest, ProducerEpoch, Service, Stream, decode, encode
from walstreet_events import headers as names

pytestmark = pytest.mark.integration


@dataclass
class Bench:
    """One log, whichever it is."""

    server: LogServer | None
    tape: MemoryTape = field(default_factory=MemoryTape)

    def log(self, service: Service) -> Any:
        """Return the log as ``service`` sees it."""
        if self.server is not None:
            return self.server.log(service)
        return MemoryLog(self.tape, service, WallClock())

    async def life(self, service: Service) -> Any:
        """Return an open log with a new epoch of ``service``, as a service process begins it."""
        log = self.log(service)
        verifier, fence = ChainVerifier(), 0
        for m in await log.open():
            verifier.check(stream_seq=m.seq, subject=m.subject, headers=m.headers, payload=m.payload)
            if m.subject == f"epoch.{service.value}":
                fence = m.seq
        link = verifier.newest(service.value)
        begun = await log.begin_epoch(
            epoch=link.epoch if link else 0,
            seq=link.seq if link else 0,
            chain=link.chain if link else "",
            epoch_seq=fence,
            config_hash="c",
        )
        assert begun == log.journal.last_stream_seq
        return log

    async def stored(self) -> list[RawMessage]:
        """Return the whole TAPE."""
        if self.server is None:
            return list(self.tape.messages)
        admin = await self.server.connect(ADMIN)
        return [m async for m in TapeReader(admin).range(1, await last_sequence(admin))]

    async def letters(self) -> list[DeadLetter]:
        """Return the dead letters."""
        if self.server is None:
            return list(self.tape.letters)
        admin = await self.server.connect(ADMIN)
        last = await last_sequence(admin, Stream.DEAD)
        found = [decode(m.payload) async for m in TapeReader(admin, Stream.DEAD).range(1, last)]
        return [letter for letter in found if isinstance(letter, DeadLetter)]


@pytest.fixture(params=["memory", "nats"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """Give one fresh log of each kind."""
    if request.param == "memory":
        yield Bench(None)
        return
    async with LogServer() as server:
        yield Bench(server)


def with_reason(event: ModeRequest, reason: str) -> ModeRequest:
    """Return the event with another text."""
    return msgspec.structs.replace(event, reason=reason)


def faults(messages: list[RawMessage]) -> list[str]:
    """Return the kinds of the chain faults in stream order."""
    verifier = ChainVerifier()
    found = [
        verifier.check(stream_seq=m.seq, subject=m.subject, headers=m.headers, payload=m.payload) for m in messages
    ]
    return [fault.kind for fault in found if fault is not None]


async def test_appends_are_numbered_chained_and_readable(bench: Bench) -> None:
    """Each append returns the next sequence, and what is read back is what was written, with its headers."""
    log = await bench.life(Service.GATEWAY)
    seqs = [await log.journal.append(clock_tick(n), through=n) for n in range(1, 6)]
    assert seqs == [2, 3, 4, 5, 6]
    messages = await bench.stored()
    assert [m.seq for m in messages] == [1, 2, 3, 4, 5, 6]
    assert faults(messages) == []
    assert decode(messages[3].payload) == clock_tick(3)
    assert messages[3].subject == "clock.tick"
    assert messages[3].producer == "gateway"
    assert (messages[3].number(names.EPOCH), messages[3].number(names.SEQ), messages[3].number(names.THROUGH)) == (
        1,
        4,
        3,
    )


async def test_the_inbox_delivers_in_order_and_each_once(bench: Bench) -> None:
    """History and live delivery meet without gap or repetition, whoever writes."""
    gateway = await bench.life(Service.GATEWAY)
    for n in range(1, 4):
        await gateway.journal.append(clock_tick(n), through=0)
    reader = bench.log(Service.FEATURES)
    got = [m.seq for m in await reader.open()]
    for n in range(4, 8):
        await gateway.journal.append(clock_tick(n), through=0)
    while len(got) < 8:
        got += [m.seq for m in await reader.inbox.take()]
    assert got == list(range(1, 9))
    assert reader.inbox.next_seq == 9


async def test_taking_up_to_a_sequence_waits_for_it_and_returns_no_more(bench: Bench) -> None:
    """A turn's input is everything up to its end, even when the end is stored only later."""
    gateway = await bench.life(Service.GATEWAY)
    reader = bench.log(Service.FEATURES)
    await reader.open()
    await gateway.journal.append(clock_tick(1), through=0)
    taking = asyncio.create_task(reader.inbox.take(4))
    await asyncio.sleep(0.05)
    assert not taking.done()
    for n in range(2, 7):
        await gateway.journal.append(clock_tick(n), through=0)
    assert [m.seq for m in await taking] == [2, 3, 4]
    assert [m.seq for m in await reader.inbox.take(4)] == []
    assert [m.seq for m in await reader.inbox.take(7)] == [5, 6, 7]


async def test_of_two_racing_epochs_one_wins(bench: Bench) -> None:
    """Two processes of one service that start together: the loser is fenced at its very first append."""
    first, second = bench.log(Service.ARBITER), bench.log(Service.ARBITER)
    await first.open()
    await second.open()
    results = await asyncio.gather(
        *(log.begin_epoch(epoch=0, seq=0, chain="", epoch_seq=0, config_hash="c") for log in (first, second)),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in results) == ["FencedError", "int"]
    epochs = [m for m in await bench.stored() if m.subject == "epoch.arbiter"]
    assert len(epochs) == 1


async def test_a_zombie_is_fenced_at_its_next_append(bench: Bench) -> None:
    """When a newer life has begun, the older one can append nothing more, and the error says what to do."""
    zombie = await bench.life(Service.ARBITER)
    await zombie.journal.append(mode_request(1, service=Service.ARBITER), through=0)
    newer = await bench.life(Service.ARBITER)
    with pytest.raises(
        FencedError, match=r"arbiter epoch 1 is fenced off at mode\.request\.arbiter.*only one instance"
    ):
        await zombie.journal.append(mode_request(2, service=Service.ARBITER), through=0)
    await newer.journal.append(mode_request(3, service=Service.ARBITER), through=0)
    messages = await bench.stored()
    assert faults(messages) == []
    assert newer.journal.epoch == 2
    event = decode([m for m in messages if m.subject == "epoch.arbiter"][-1].payload)
    assert isinstance(event, ProducerEpoch)
    assert (event.previous_seq, event.previous_chain) == (zombie.journal.head.seq, zombie.journal.head.chain)


async def test_the_fence_of_one_service_does_not_touch_another(bench: Bench) -> None:
    """A new life of the arbiter leaves the running execution alone."""
    execution = await bench.life(Service.EXECUTION)
    await bench.life(Service.ARBITER)
    await bench.life(Service.ARBITER)
    assert await execution.journal.append(mode_request(1, service=Service.EXECUTION), through=0) == 4


async def test_an_id_of_an_older_life_is_recorded_once(bench: Bench) -> None:
    """The same event in a later life ends at its old sequence, moves no chain, and the next append verifies."""
    first = await bench.life(Service.ARBITER)
    event = mode_request(1, service=Service.ARBITER)
    old = await first.journal.append(event, through=0)
    second = await bench.life(Service.ARBITER)
    before = second.journal.head
    assert await second.journal.append(event, through=5) == old
    assert second.journal.head == before
    newer = await second.journal.append(mode_request(2, service=Service.ARBITER), through=5)
    messages = await bench.stored()
    assert newer == messages[-1].seq == old + 2
    assert faults(messages) == []
    assert second.journal.appended == 2


async def test_an_id_of_this_life_is_recorded_once(bench: Bench) -> None:
    """A fact that is appended twice in one life stands once, whatever came between."""
    log = await bench.life(Service.ARBITER)
    event = mode_request(1, service=Service.ARBITER)
    first = await log.journal.append(event, through=0)
    await log.journal.append(mode_request(2, service=Service.ARBITER), through=0)
    assert await log.journal.append(event, through=0) == first
    await log.journal.append(mode_request(3, service=Service.ARBITER), through=0)
    messages = await bench.stored()
    assert len(messages) == 4
    assert faults(messages) == []


async def test_two_writers_may_share_an_event_id(bench: Bench) -> None:
    """Message ids belong to their producer, so that one writer cannot suppress another's fact."""
    gateway, arbiter = await bench.life(Service.GATEWAY), await bench.life(Service.ARBITER)
    shared = clock_tick(1)
    request = msgspec.structs.replace(mode_request(1, service=Service.ARBITER), id=shared.id)
    await gateway.journal.append(shared, through=0)
    assert await arbiter.journal.append(request, through=0) == 4


async def test_a_message_that_is_too_large_is_refused(bench: Bench) -> None:
    """The largest event is stored whole; one byte more is refused with both sizes, and the chain goes on."""
    log = await bench.life(Service.ARBITER)
    event = mode_request(1, service=Service.ARBITER)
    # An empty text has a head of one byte in msgpack, one of megabytes a head of five.
    room = PAYLOAD_BYTES_MAX - len(encode(with_reason(event, ""))) - 4
    largest = with_reason(event, "x" * room)
    assert len(encode(largest)) == PAYLOAD_BYTES_MAX
    with pytest.raises(
        AppendRefusedError, match=rf"has {PAYLOAD_BYTES_MAX + 1} bytes, the log takes {PAYLOAD_BYTES_MAX}"
    ):
        await log.journal.append(with_reason(event, "x" * (room + 1)), through=0)
    assert await log.journal.append(largest, through=0) == 2
    await log.journal.append(mode_request(2, service=Service.ARBITER), through=0)
    assert faults(await bench.stored()) == []


async def test_dead_letters_are_kept_whole_and_once(bench: Bench) -> None:
    """A dead letter holds what could not be handled; the same failure again is not a second letter."""
    log = await bench.life(Service.FEATURES)
    kept = {"reason": "core_failed", "detail": "why", "subject": "bar.1m", "stream_seq": 7, "ts_ns": 3}
    for payload in (b"one", b"one", b"two", b"x" * PAYLOAD_BYTES_MAX):
        await log.dead.keep(**kept, payload=payload)
    letters = await bench.letters()
    assert [letter.payload for letter in letters] == [b"one", b"two", b"x" * PAYLOAD_BYTES_MAX]
    assert {(letter.service, letter.reason, letter.stream_seq) for letter in letters} == {
        ("features", "core_failed", 7)
    }
    assert await bench.stored() == [m for m in await bench.stored() if m.subject == "epoch.features"]


async def test_lives_are_told_apart_by_more_than_their_content(bench: Bench) -> None:
    """Each life writes its own random word, without which rivals for one epoch could not be told apart."""
    for _ in range(2):
        await bench.life(Service.ARBITER)
    words = [m.headers[LIFE] for m in await bench.stored()]
    assert len(set(words)) == 2
