"""Owns one test for each pitfall of nats-py that was measured, with the handling that is in force here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import nats.errors
import pytest

from walstreet.adapters.nats import connection as connection_module
from walstreet.adapters.nats import inbox as inbox_module
from walstreet.adapters.nats.connection import Connection
from walstreet.adapters.nats.errors import LogUnreachableError
from walstreet.adapters.nats.inbox import TapeInbox
from walstreet.adapters.nats.journal import MESSAGE_BYTES_MAX, ChainHead
from walstreet.adapters.nats.server import ADMIN
from walstreet.adapters.nats.streams import last_sequence
from walstreet.adapters.nats.ticks import SOCKET_BYTES_MAX, TickPublisher, TickSubscriber
from walstreet.testing.cores import mode_request
from walstreet.testing.log_server import LogServer, until, until_reconnected
from walstreet_events import Quote, Service, Trade, encode

pytestmark = pytest.mark.integration


@pytest.fixture
async def server() -> AsyncIterator[LogServer]:
    """Give a fresh server."""
    async with LogServer() as running:
        yield running


def quote(seq: int) -> Quote:
    """Return a quote with the producer's number."""
    return Quote(seq=seq, ts_ns=seq, symbol="A", bid_nano=1, ask_nano=2, bid_size_micro=1, ask_size_micro=1)


def trade(seq: int) -> Trade:
    """Return a trade with the producer's number."""
    return Trade(seq=seq, ts_ns=seq, symbol="A", price_nano=1, size_micro=1)


async def until_down(connection: Connection) -> None:
    """Return when the client knows that the socket is gone."""
    await until(lambda: not connection.connected)


async def test_a_publish_while_disconnected_fails_at_once_and_is_never_sent(server: LogServer) -> None:
    """Nothing leaves minutes late: not buffered, not sent after the reconnect; the journal's retry is the only way."""
    log = server.log(Service.ARBITER)
    await log.open()
    await log.journal.begin_epoch(ChainHead(), epoch_seq=0, ts_ns=0, config_hash="")
    await server.kill9()
    await until_down(log.connection)
    async with asyncio.timeout(0.5):
        with pytest.raises(nats.errors.OutboundBufferLimitError):
            await log.connection.client.publish("mode.request.arbiter", b"late")
        with pytest.raises(nats.errors.OutboundBufferLimitError):
            await log.connection.client.jetstream().publish("mode.request.arbiter", b"late")
    appending = asyncio.create_task(log.journal.append(mode_request(1, service=Service.ARBITER), through=0))
    await server.restart()
    assert await appending == 2
    assert await last_sequence(log.connection) == 2


async def test_ticks_lost_over_kill_9_are_counted(server: LogServer) -> None:
    """Core publishes vanish without an exception; the reader's gap check knows how many."""
    gateway, execution = await server.connect("gateway"), await server.connect("execution")
    got: list[int] = []
    subscriber = TickSubscriber(execution, lambda tick: got.append(tick.seq))
    await subscriber.start()
    publisher = TickPublisher(gateway)
    running = asyncio.create_task(publisher.run())
    sent = 0

    async def send(count: int) -> None:
        nonlocal sent
        for _ in range(count):
            sent += 1
            publisher.publish(quote(sent))
            if sent % 50 == 0:
                await asyncio.sleep(0)

    await send(500)
    await asyncio.sleep(0.1)
    await server.kill9()
    await send(500)
    await asyncio.sleep(0.1)
    await server.restart()
    await until_reconnected(gateway, 1)
    await until_reconnected(execution, 1)
    await send(500)
    await until(lambda: bool(got) and got[-1] == sent)
    running.cancel()
    assert subscriber.missed > 0
    assert subscriber.missed + len(got) == sent
    assert got == sorted(set(got))


async def test_ticks_do_not_pile_up_behind_a_frozen_server(server: LogServer) -> None:
    """nats-py would hold any amount and send it after the reconnect; beyond the bound ticks are dropped and counted."""
    gateway = await server.connect("gateway")
    publisher = TickPublisher(gateway)
    server.stop()
    size = 0
    seq = 0
    async with asyncio.timeout(20):
        while publisher.dropped == 0:
            for _ in range(20_000):
                seq += 1
                publisher.publish(quote(seq))
            await publisher.flush()
            size = max(size, gateway.client.pending_data_size)
    assert size < SOCKET_BYTES_MAX + (1 << 20)
    assert publisher.dropped + publisher.published == seq
    server.cont()


async def test_quotes_and_trades_are_counted_apart(server: LogServer) -> None:
    """A reader of quotes sees no gap where a trade had its own number."""
    gateway, execution = await server.connect("gateway"), await server.connect("execution")
    subscriber = TickSubscriber(execution, lambda _: None)
    await subscriber.start("md.>")
    publisher = TickPublisher(gateway)
    for seq in (1, 2, 3, 6):
        publisher.publish(quote(seq))
    await publisher.flush()
    await gateway.client.publish("md.quote.A", b"no tick")
    await gateway.barrier()
    await publisher._connection.client.publish("md.trade.A", encode(trade(1)))
    await until(lambda: subscriber.received >= 5 and subscriber.malformed == 1)
    assert (subscriber.missed, subscriber.malformed) == (2, 1)


async def test_a_barrier_on_a_connection_that_is_gone_says_that_the_log_is_away(server: LogServer) -> None:
    """Nobody outside of the adapter has to know the library's errors."""
    gateway = await server.connect("gateway")
    await gateway.barrier()
    await gateway.close()
    with pytest.raises(LogUnreachableError, match="did not say"):
        await gateway.barrier()


@pytest.mark.parametrize("bound", ["PENDING_MESSAGES_MAX", "BUFFER_MESSAGES_MAX"])
async def test_overflow_is_found_and_filled_from_the_store(
    server: LogServer, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    """When the client drops messages because it is slow, the gap is noticed and nothing is missing."""
    monkeypatch.setattr(inbox_module, bound, 7)
    features, admin = await server.connect("features"), await server.connect(ADMIN)
    inbox = TapeInbox(features)
    await inbox.start()
    for number in range(600):
        await admin.client.publish("clock.tick", str(number).encode())
    await admin.barrier()
    await asyncio.sleep(0.2)
    got: list[bytes] = []
    async with asyncio.timeout(10):
        while len(got) < 600:
            got += [m.payload for m in await inbox.take()]
    assert got == [str(number).encode() for number in range(600)]
    dropped = any("SlowConsumer" in error for error in features.errors) or inbox.overflows
    assert dropped, "nothing overflowed, so the test shows nothing"
    assert await last_sequence(features) == 600


async def test_a_violation_cannot_kill_the_reader(server: LogServer) -> None:
    """Errors that come out of band are recorded, and messages still flow on the same connection."""
    features, admin = await server.connect("features"), await server.connect(ADMIN)
    inbox = TapeInbox(features)
    await inbox.start()
    for _ in range(3):
        await features.client.publish("order.intent.cycle", b"x")
        await features.client.subscribe("md.>")
    await admin.client.publish("wal.clock.tick", b"a message without headers breaks the callback")
    await admin.client.publish("clock.tick", b"1")
    await admin.barrier()
    assert [m.payload for m in await inbox.take()] == [b"1"]
    assert features.denied("order.intent.cycle")
    assert not features.denied("feat.1m")
    await features.barrier()
    assert features.connected
    assert len(features.errors) >= 6


async def test_errors_are_kept_within_a_bound(server: LogServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A storm of errors does not fill the memory; the newest are kept."""
    monkeypatch.setattr(connection_module, "ERRORS_KEPT_MAX", 5)
    features = await server.connect("features")
    for number in range(20):
        await features.client.publish(f"order.x.{number}", b"")
    await features.barrier()
    assert len(features.errors) == 5
    assert "order.x.19" in features.errors[-1]


async def test_reading_depends_on_no_consumer(server: LogServer) -> None:
    """There is no consumer that could be deleted or stall; the position lives in the reader alone."""
    features, admin = await server.connect("features"), await server.connect(ADMIN)
    inbox = TapeInbox(features)
    await inbox.start()
    for number in range(5):
        await admin.client.publish("clock.tick", str(number).encode())
    await admin.barrier()
    assert [m.seq for m in await inbox.take(5)] == [1, 2, 3, 4, 5]
    assert (await admin.api("CONSUMER.NAMES.TAPE", {}))["consumers"] == []
    config = {"stream_name": "TAPE", "config": {"durable_name": "strange", "ack_policy": "explicit"}}
    await admin.api("CONSUMER.DURABLE.CREATE.TAPE.strange", config)
    await admin.api("CONSUMER.DELETE.TAPE.strange", {})
    second = TapeInbox(features)
    last = await second.start()
    assert [m.seq for m in await second.history(last)] == [1, 2, 3, 4, 5]
    await admin.client.publish("clock.tick", b"5")
    assert [m.seq for m in await inbox.take(6)] == [6]


async def test_closing_handles_what_was_queued(server: LogServer) -> None:
    """``close`` drains: every message that the client holds reaches its callback."""
    features, admin = await server.connect("features"), await server.connect(ADMIN)
    handled = 0
    gate = asyncio.Event()

    async def handle(_: object) -> None:
        nonlocal handled
        await gate.wait()
        handled += 1

    await features.client.subscribe("wal.>", cb=handle)
    await features.barrier()
    for number in range(400):
        await admin.client.publish("clock.tick", str(number).encode())
    await admin.barrier()
    await until(lambda: features.client.stats["in_msgs"] >= 400)
    assert handled == 0
    closing = asyncio.create_task(features.close())
    await asyncio.sleep(0.05)
    gate.set()
    await closing
    assert handled == 400
    assert features.closed


async def test_closing_is_bounded_when_the_server_is_frozen(server: LogServer) -> None:
    """``drain`` would flush for ten seconds; a service must end within its bound whatever the server does."""
    log = server.log(Service.FEATURES)
    await log.open()
    server.stop()
    async with asyncio.timeout(1.6):
        await log.close()
    server.cont()


async def test_a_frozen_server_is_noticed_by_pings(server: LogServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers nothing is a lost connection after the pings' bound, and comes back when it goes on."""
    monkeypatch.setattr(connection_module, "PING_INTERVAL_S", 0.1)
    features = await server.connect("features")
    server.stop()
    await until_down(features)
    server.cont()
    await until_reconnected(features, 1)


async def test_settings_of_pings_and_reconnects(server: LogServer) -> None:
    """Pings every few seconds, endless reconnects, no buffer for what is published meanwhile."""
    features = await server.connect("features")
    options = features.client.options
    assert options["ping_interval"] == 5
    assert options["max_outstanding_pings"] == 2
    assert options["max_reconnect_attempts"] == -1
    assert options["reconnect_time_wait"] == 1
    assert features.client._max_pending_size == 0
    assert features.client.new_inbox().startswith("_INBOX_features.")


async def test_a_server_that_ends_orderly_is_a_reconnect_too(server: LogServer) -> None:
    """A server that is stopped and started again is found again like one that was killed."""
    features = await server.connect("features")
    await server.server.stop()
    await server.server.start()
    await until_reconnected(features, 1)
    assert await last_sequence(features) == 0


async def test_a_connection_that_is_closed_for_good_ends_every_wait(server: LogServer) -> None:
    """Some violations close the client for ever, despite endless reconnects; nobody waits for it a whole minute."""
    features = await server.connect("features")
    await features.client.publish(
        "feat.1m", b"x" * MESSAGE_BYTES_MAX, headers={"A": "headers count too, the client does not see that"}
    )
    await until(lambda: features.closed)
    async with asyncio.timeout(1):
        with pytest.raises(LogUnreachableError, match="closed for good"):
            await features.wait_connected()
