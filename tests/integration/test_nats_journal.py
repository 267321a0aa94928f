"""Owns the tests of the durable append against a real server: unknown outcomes, refusals, a full stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from walstreet.adapters.nats import connection as connection_module
from walstreet.adapters.nats import journal as journal_module
from walstreet.adapters.nats.errors import AppendRefusedError, LogError, LogUnreachableError
from walstreet.adapters.nats.journal import ChainHead
from walstreet.adapters.nats.log import NatsLog
from walstreet.adapters.nats.reader import RawMessage, TapeReader
from walstreet.adapters.nats.server import ADMIN
from walstreet.adapters.nats.streams import TAPE_CONFIG, last_sequence
from walstreet.runtime.chain import ChainVerifier
from walstreet.testing.cores import clock_tick, mode_request
from walstreet.testing.log_server import LogServer, until, until_reconnected
from walstreet_events import Service

pytestmark = pytest.mark.integration


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LogServer]:
    """Give a fresh server, to which connections come back quickly."""
    monkeypatch.setattr(connection_module, "RECONNECT_WAIT_S", 0.1)
    async with LogServer() as running:
        yield running


async def arbiter(server: LogServer) -> NatsLog:
    """Return an open log of the arbiter in its first epoch."""
    log = server.log(Service.ARBITER)
    await log.open()
    await log.journal.begin_epoch(ChainHead(), epoch_seq=0, ts_ns=0, config_hash="")
    return log


def request(number: int) -> object:
    """Return a small event of the arbiter."""
    return mode_request(number, service=Service.ARBITER)


async def tape(server: LogServer) -> list[RawMessage]:
    """Return the whole TAPE."""
    admin = await server.connect(ADMIN)
    return [m async for m in TapeReader(admin).range(1, await last_sequence(admin))]


async def many(log: NatsLog, count: int) -> None:
    """Append ``count`` events."""
    for number in range(count):
        await log.journal.append(request(number), through=0)


async def many_letters(log: NatsLog, count: int) -> None:
    """Keep ``count`` different dead letters."""
    for number in range(count):
        await log.dead.keep(
            reason="core_failed", detail="", subject="x", stream_seq=number, payload=b"y" * 200, ts_ns=0
        )


def assert_whole(messages: list[RawMessage], count: int) -> None:
    """Assert the length of the TAPE and that every chain on it verifies."""
    verifier = ChainVerifier()
    for m in messages:
        fault = verifier.check(stream_seq=m.seq, subject=m.subject, headers=m.headers, payload=m.payload)
        assert fault is None, fault
    assert len(messages) == count


async def test_what_was_acknowledged_survives_kill_9(server: LogServer) -> None:
    """Every acknowledged append is there after the server was killed right behind the acknowledgement."""
    log = await arbiter(server)
    for number in range(20):
        await log.journal.append(request(number), through=0)
    await server.kill9()
    await server.restart()
    assert_whole(await tape(server), 21)


async def test_an_append_of_unknown_outcome_is_stored_once(server: LogServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that freezes takes the message and answers after the timeout; the repetition does not store it twice."""
    monkeypatch.setattr(journal_module, "REQUEST_TIMEOUT_S", 0.3)
    log = await arbiter(server)
    server.stop()
    appending = asyncio.create_task(log.journal.append(request(1), through=0))
    await until(lambda: log.journal.retries >= 2)
    server.cont()
    assert await appending == 2
    assert await log.journal.append(request(2), through=0) == 3
    assert_whole(await tape(server), 3)


async def test_an_epoch_of_unknown_outcome_is_ours(server: LogServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fence refuses the repeated epoch message because of its own first copy, which is read back and known."""
    monkeypatch.setattr(journal_module, "REQUEST_TIMEOUT_S", 0.3)
    log = server.log(Service.ARBITER)
    await log.open()
    server.stop()
    beginning = asyncio.create_task(log.journal.begin_epoch(ChainHead(), epoch_seq=0, ts_ns=0, config_hash=""))
    await until(lambda: log.journal.retries >= 2)
    server.cont()
    assert await beginning == 1
    await log.journal.append(request(1), through=0)
    assert_whole(await tape(server), 2)


async def test_appends_wait_for_a_server_that_comes_back(server: LogServer) -> None:
    """An append during an outage ends well after it, in the same epoch, with the chain whole."""
    log = await arbiter(server)
    await log.journal.append(request(1), through=0)
    await server.kill9()
    appending = asyncio.create_task(log.journal.append(request(2), through=0))
    await asyncio.sleep(0.3)
    assert not appending.done()
    await server.restart()
    assert await appending == 3
    assert log.journal.epoch == 1
    assert_whole(await tape(server), 3)


async def test_a_lost_connection_ends_the_wait_for_an_answer(server: LogServer) -> None:
    """An append whose answer cannot come any more is repeated after the reconnect, not after its whole timeout."""
    log = await arbiter(server)
    server.stop()
    appending = asyncio.create_task(log.journal.append(request(1), through=0))
    await asyncio.sleep(0.05)
    server.cont()
    await server.kill9()
    await server.restart()
    async with asyncio.timeout(journal_module.REQUEST_TIMEOUT_S - 1.0):
        assert await appending == 2
    assert log.connection._bounds == set()
    assert_whole(await tape(server), 2)


async def test_a_killed_server_in_the_middle_of_appends(server: LogServer) -> None:
    """Appends that run while the server is killed and started again are all stored, once, in order."""
    log = await arbiter(server)

    async def write() -> list[int]:
        return [await log.journal.append(request(number), through=0) for number in range(300)]

    writing = asyncio.create_task(write())
    for _ in range(2):
        await asyncio.sleep(0.05)
        count = log.connection.reconnects
        await server.restart()
        await until_reconnected(log.connection, count + 1)
    seqs = await writing
    assert seqs == list(range(2, 302))
    assert_whole(await tape(server), 301)


async def test_a_full_stream_refuses_loudly_and_at_once(server: LogServer) -> None:
    """A full TAPE refuses the new fact, keeps the old ones, and takes facts again when it has room."""
    log = await arbiter(server)
    admin = await server.connect(ADMIN)
    await admin.api("STREAM.UPDATE.TAPE", {**TAPE_CONFIG, "max_bytes": 4_000})
    async with asyncio.timeout(1.5):
        with pytest.raises(AppendRefusedError, match=r"the log refused mode\.request\.arbiter.*maximum bytes exceeded"):
            await many(log, 50)
    stored = await last_sequence(admin)
    assert stored > 2
    await admin.api("STREAM.UPDATE.TAPE", TAPE_CONFIG)
    assert await log.journal.append(request(99), through=0) == stored + 1
    assert_whole(await tape(server), stored + 1)


async def test_a_full_dead_letter_stream_is_loud(server: LogServer) -> None:
    """A dead letter that cannot be kept is an error, or something would be dropped."""
    log = await arbiter(server)
    admin = await server.connect(ADMIN)
    info = await admin.api("STREAM.INFO.DEAD", {})
    await admin.api("STREAM.UPDATE.DEAD", {**info["config"], "max_bytes": 1_000})
    with pytest.raises(AppendRefusedError, match=r"the log refused dead\.arbiter\.core_failed"):
        await many_letters(log, 10)


async def test_a_subject_of_another_service_is_refused_by_name(
    server: LogServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal that appends what its user may not write says so after one timeout, and can go on."""
    monkeypatch.setattr(journal_module, "REQUEST_TIMEOUT_S", 0.3)
    log = await arbiter(server)
    with pytest.raises(AppendRefusedError, match=r"user 'arbiter' may not publish clock\.tick"):
        await log.journal.append(clock_tick(1), through=0)
    await log.journal.append(request(1), through=0)
    assert_whole(await tape(server), 2)


async def test_after_a_cancelled_append_only_the_same_event_follows(server: LogServer) -> None:
    """An append that was cancelled may have been stored, so the chain waits for the same event."""
    log = await arbiter(server)
    server.stop()
    appending = asyncio.create_task(log.journal.append(request(1), through=0))
    await asyncio.sleep(0.05)
    appending.cancel()
    await asyncio.wait({appending})
    assert appending.cancelled()
    server.cont()
    with pytest.raises(LogError, match="does not know whether"):
        await log.journal.append(request(2), through=0)
    assert await log.journal.append(request(1), through=0) == 2
    assert await log.journal.append(request(2), through=0) == 3
    assert_whole(await tape(server), 3)


async def test_a_server_that_never_answers_ends_the_append(server: LogServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """No future waits for ever: after the named tries the outcome is told to be unknown."""
    monkeypatch.setattr(journal_module, "REQUEST_TIMEOUT_S", 0.1)
    monkeypatch.setattr(journal_module, "APPEND_TRIES_MAX", 2)
    log = await arbiter(server)
    server.stop()
    with pytest.raises(LogUnreachableError, match=r"was not acknowledged in 2 tries .*check the NATS server's log"):
        await log.journal.append(request(1), through=0)


async def test_a_server_that_stays_away_ends_the_append(server: LogServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a server the wait has a bound, so that the supervisor can act."""
    monkeypatch.setattr(connection_module, "RECONNECT_BOUND_S", 0.4)
    log = await arbiter(server)
    await server.kill9()
    with pytest.raises(LogUnreachableError, match="stayed away for"):
        await log.journal.append(request(1), through=0)
