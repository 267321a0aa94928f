"""Owns the tests of reading the TAPE from a real server: history, gaps, tails, restarts, a store with another past."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator

import pytest

from walstreet.adapters.nats import connection as connection_module
from walstreet.adapters.nats import inbox as inbox_module
from walstreet.adapters.nats import reader as reader_module
from walstreet.adapters.nats.connection import Connection
from walstreet.adapters.nats.errors import LogUnreachableError, TapeRegressedError
from walstreet.adapters.nats.inbox import TapeInbox
from walstreet.adapters.nats.reader import RawMessage, TapeReader
from walstreet.adapters.nats.server import ADMIN
from walstreet.adapters.nats.streams import TAPE_CONFIG, last_sequence
from walstreet.testing.log_server import LogServer, until, until_reconnected
from walstreet_events import Stream
from walstreet_events.subjects import REPUBLISH_PREFIX

pytestmark = pytest.mark.integration


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LogServer]:
    """Give a fresh server, to which connections come back quickly."""
    monkeypatch.setattr(connection_module, "RECONNECT_WAIT_S", 0.1)
    async with LogServer() as running:
        yield running


async def write(connection: Connection, first: int, last: int) -> None:
    """Append numbered messages as a stranger would."""
    before = await last_sequence(connection)
    for number in range(first, last + 1):
        await connection.client.publish("clock.tick", str(number).encode())
    async with asyncio.timeout(20):
        while await last_sequence(connection) < before + last - first + 1:  # noqa: ASYNC110 - a question each time
            await asyncio.sleep(0.01)


async def read_on(inbox: TapeInbox) -> None:
    """Read until it fails."""
    while True:
        await inbox.take()


def numbers(messages: list[RawMessage]) -> list[int]:
    """Return the numbers that ``write`` put into the messages."""
    return [int(m.payload) for m in messages]


async def test_history_longer_than_a_batch_is_complete(server: LogServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many batches join without a gap or a repetition, by count and by bytes."""
    features, admin = await server.connect("features"), await server.connect(ADMIN)
    await write(admin, 1, 700)
    monkeypatch.setattr(reader_module, "BATCH_MESSAGES", 64)
    assert numbers([m async for m in TapeReader(features).range(1, 700)]) == list(range(1, 701))
    assert numbers([m async for m in TapeReader(features).range(65, 128)]) == list(range(65, 129))
    monkeypatch.setattr(reader_module, "BATCH_BYTES_MAX", 2_000)
    reader = TapeReader(features)
    assert numbers([m async for m in reader.range(1, 700)]) == list(range(1, 701))
    assert numbers([m async for m in reader.range(690, 5_000)]) == list(range(690, 701))
    assert reader.holes == 0
    assert len(features.client._subs) <= 2, "subscriptions of batches are left behind"


async def test_headers_of_the_writer_cannot_end_a_batch(server: LogServer) -> None:
    """A stored message with a header that looks like the server's answer hides nothing behind it."""
    features, admin = await server.connect("features"), await server.connect(ADMIN)
    await write(admin, 1, 2)
    for number, header in (
        (3, {"Status": "404"}),
        (4, {"Status": "204"}),
        (5, {"Nats-Sequence": "1", "Nats-Subject": "x"}),
    ):
        await admin.client.publish("clock.tick", str(number).encode(), headers=header)
    await write(admin, 6, 6)
    messages = [m async for m in TapeReader(features).range(1, 6)]
    assert numbers(messages) == [1, 2, 3, 4, 5, 6]
    assert [(m.seq, m.subject) for m in messages] == [(n, "clock.tick") for n in range(1, 7)]


async def test_live_headers_of_the_writer_cannot_move_the_position(server: LogServer) -> None:
    """What the server says about sequence and subject wins over what the writer says, live too."""
    features, admin = await server.connect("features"), await server.connect(ADMIN)
    inbox = TapeInbox(features)
    await inbox.start()
    await admin.client.publish("clock.tick", b"1", headers={"Nats-Sequence": "900", "Nats-Subject": "x"})
    await admin.client.publish("clock.tick", b"2")
    messages = await inbox.take(2)
    assert [(m.seq, m.subject) for m in messages] == [(1, "clock.tick"), (2, "clock.tick")]
    assert inbox.gaps == 0


async def test_a_hole_in_the_store_is_counted_and_passed(server: LogServer) -> None:
    """Messages that the store lost are a counted hole, not an endless question; the chain tells whose they were."""
    features, admin = await server.connect("features"), await server.connect(ADMIN)
    await admin.api("STREAM.DELETE.TAPE", {})
    await admin.api("STREAM.CREATE.TAPE", {**TAPE_CONFIG, "deny_delete": False})
    await write(admin, 1, 9)
    for seq in (1, 4, 5, 9):
        await admin.api("STREAM.MSG.DELETE.TAPE", {"seq": seq})
    reader = TapeReader(features)
    assert numbers([m async for m in reader.range(1, 8)]) == [2, 3, 6, 7, 8]
    assert reader.holes == 2
    inbox = TapeInbox(features)
    assert await inbox.start() == 9
    assert numbers(await inbox.history(9)) == [2, 3, 6, 7, 8]
    assert inbox.next_seq == 10


async def test_messages_lost_on_the_way_are_asked_for_again(server: LogServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that lost a message between server and reader is no hole: the store still has it."""
    features, admin = await server.connect("features"), await server.connect(ADMIN)
    await write(admin, 1, 30)
    reader = TapeReader(features)
    original, calls = reader._batch, 0

    async def lossy(first: int, last: int) -> list[RawMessage]:
        nonlocal calls
        calls += 1
        batch = await original(first, last)
        return [m for m in batch if m.seq not in ((1, 7) if calls == 1 else ())]

    monkeypatch.setattr(reader, "_batch", lossy)
    assert numbers([m async for m in reader.range(1, 30)]) == list(range(1, 31))
    assert reader.holes == 0
    assert calls > 1


async def test_a_loss_at_the_tail_is_found(server: LogServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the newest messages never arrive and nothing follows them, asking for the last sequence finds them."""
    monkeypatch.setattr(inbox_module, "TAIL_POLL_S", 0.1)
    features, admin = await server.connect("features"), await server.connect(ADMIN)
    inbox = TapeInbox(features)
    await inbox.start()
    assert inbox._subscription is not None
    await inbox._subscription.unsubscribe()
    await write(admin, 1, 5)
    async with asyncio.timeout(3):
        got: list[int] = []
        while len(got) < 3:
            got += numbers(await inbox.take())
        assert got == [1, 2, 3, 4, 5]
        await write(admin, 6, 9)
        assert numbers(await inbox.take(8)) == [6, 7, 8]
        assert numbers(await inbox.take(9)) == [9]


async def test_the_inbox_is_contiguous_over_kill_9(server: LogServer) -> None:
    """Whatever is written while the server is killed and started again arrives in order, once."""
    features, admin = await server.connect("features"), await server.connect(ADMIN)
    inbox = TapeInbox(features)
    await inbox.start()
    got: list[int] = []

    async def read(count: int) -> None:
        while len(got) < count:
            got.extend(numbers(await inbox.take()))

    reading = asyncio.create_task(read(300))
    await write(admin, 1, 100)
    await server.restart()
    await until_reconnected(admin, 1)
    await write(admin, 101, 200)
    await until_reconnected(features, 1)
    await server.restart()
    await until_reconnected(admin, 2)
    await write(admin, 201, 300)
    async with asyncio.timeout(10):
        await reading
    assert got == list(range(1, 301))


async def test_taking_up_to_a_sequence_survives_a_restart(server: LogServer) -> None:
    """A turn whose input was stored while this reader was away gets all of it, and no more."""
    features, admin = await server.connect("features"), await server.connect(ADMIN)
    inbox = TapeInbox(features)
    await inbox.start()
    await write(admin, 1, 3)
    await server.restart()
    taking = asyncio.create_task(inbox.take(3))
    await until_reconnected(admin, 1)
    await write(admin, 4, 7)
    async with asyncio.timeout(10):
        assert numbers(await taking) == [1, 2, 3]
        assert numbers(await inbox.take(6)) == [4, 5, 6]


@pytest.mark.timeout(60)
async def test_a_turn_whose_messages_were_lost_before_later_ones_arrived_is_fetched(server: LogServer) -> None:
    """What a restart swallowed ends in the store, not in an endless look at the message that came behind it."""
    features, admin = await server.connect("features"), await server.connect(ADMIN)
    inbox = TapeInbox(features)
    await inbox.start()
    assert inbox._subscription is not None
    await inbox._subscription.unsubscribe()
    await write(admin, 1, 4)
    await features.client.subscribe(f"{REPUBLISH_PREFIX}.>", cb=inbox._on_message)
    await features.barrier()
    await write(admin, 5, 7)
    await until(lambda: len(inbox._buffer) == 3)
    assert numbers(await inbox.take(3)) == [1, 2, 3]
    assert inbox.gaps == 1
    assert numbers(await inbox.take(7)) == [4, 5, 6, 7]


@pytest.mark.parametrize("rewritten", [0, 8])
async def test_a_store_with_another_past_is_told(
    server: LogServer, monkeypatch: pytest.MonkeyPatch, rewritten: int
) -> None:
    """A server that comes back without acknowledged messages ends the reader, also when others were written since."""
    monkeypatch.setattr(inbox_module, "TAIL_POLL_S", 0.1)
    features, admin = await server.connect("features"), await server.connect(ADMIN)
    inbox = TapeInbox(features)
    await inbox.start()
    await write(admin, 1, 3)
    await server.server.stop()
    shutil.copytree(server.state / "jetstream", server.state / "older")
    await server.server.start()
    await until_reconnected(admin, 1)
    await write(admin, 4, 6)
    assert numbers(await inbox.take(6)) == [1, 2, 3, 4, 5, 6]
    await server.kill9()
    shutil.rmtree(server.state / "jetstream")
    (server.state / "older").rename(server.state / "jetstream")
    await server.server.start()
    await until_reconnected(admin, 2)
    if rewritten:
        await write(admin, 100, 100 + rewritten)
    with pytest.raises(TapeRegressedError, match="lost acknowledged messages"):
        await asyncio.wait_for(read_on(inbox), 10)


async def test_a_turn_beyond_the_end_of_the_store_is_told(server: LogServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn whose end the store does not have must not be taken for done."""
    monkeypatch.setattr(inbox_module, "TAIL_POLL_S", 0.1)
    features, admin = await server.connect("features"), await server.connect(ADMIN)
    inbox = TapeInbox(features)
    await inbox.start()
    await write(admin, 1, 3)
    with pytest.raises(TapeRegressedError, match="ends at 3, but 5 was read"):
        await inbox.take(5)


async def test_a_missing_stream_says_what_to_start(server: LogServer) -> None:
    """Reading without a TAPE names the command that makes one."""
    admin = await server.connect(ADMIN)
    await admin.api("STREAM.DELETE.TAPE", {})
    with pytest.raises(Exception, match="stream TAPE does not exist; start the log with `walstreet up`"):
        await TapeInbox(admin).start()


async def test_a_server_that_gives_nothing_ends_the_reading(server: LogServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading has a bound of tries, and the error names stream and position."""
    monkeypatch.setattr(reader_module, "REQUEST_TIMEOUT_S", 0.05)
    monkeypatch.setattr(reader_module, "BATCH_RETRIES_MAX", 2)
    monkeypatch.setattr(reader_module, "BATCH_RETRY_WAIT_S", 0.01)
    admin = await server.connect(ADMIN)
    await write(admin, 1, 3)
    server.stop()
    with pytest.raises(LogUnreachableError, match=r"stream TAPE did not give message 2 in 2 tries"):
        _ = [m async for m in TapeReader(admin, Stream.TAPE).range(2, 3)]
    server.cont()
