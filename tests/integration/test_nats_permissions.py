"""Owns the proof that the server lets each service write its own subjects only, and what still gets through."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from walstreet.adapters.clock import WallClock
from walstreet.adapters.nats import connection as connection_module
from walstreet.adapters.nats.connection import Connection
from walstreet.adapters.nats.errors import LogUnreachableError
from walstreet.adapters.nats.journal import ChainHead
from walstreet.adapters.nats.reader import TapeReader
from walstreet.adapters.nats.server import ADMIN, SIMULATOR, write_credentials
from walstreet.adapters.nats.streams import last_sequence
from walstreet.domain.signing import KEY_NAME
from walstreet.runtime.chain import ChainVerifier
from walstreet.runtime.loop import ServiceLoop
from walstreet.runtime.metrics import ServiceMetrics
from walstreet.runtime.service import NoBackground, ServiceRunner
from walstreet.testing.cores import DigestCore, DigestState, RecordingEffects, mode_request
from walstreet.testing.log_server import LogServer, until
from walstreet_events import SUBJECT_TABLE, ModeRequest, Service, Stream, decode, may_write, write_patterns

pytestmark = pytest.mark.integration


@pytest.fixture
async def server() -> AsyncIterator[LogServer]:
    """Give a fresh server."""
    async with LogServer() as running:
        yield running


def every_subject() -> list[str]:
    """Return one concrete subject for each row and writer of the table."""
    found: dict[str, None] = {}
    for service in Service:
        for pattern in write_patterns(service):
            found[pattern.replace("*", "A")] = None
    return list(found)


async def refused(connection: Connection, subjects: list[str]) -> list[str]:
    """Return which of ``subjects`` the server refuses to take from this user."""
    found = []
    for subject in subjects:
        connection.errors.clear()
        await connection.client.publish(subject, b"x")
        await connection.barrier()
        if connection.denied(subject):
            found.append(subject)
    return found


def test_the_table_names_every_stream() -> None:
    """The list of subjects that these tests try is not empty for any stream."""
    subjects = every_subject()
    assert len(subjects) > 35
    assert {row.stream for row in SUBJECT_TABLE} == set(Stream)
    assert {"dead.arbiter.A", "md.quote.A", "order.intent.cycle"} <= set(subjects)


async def test_each_service_writes_its_own_subjects_and_no_other(server: LogServer) -> None:
    """For every service, every other service's subject is refused by the server, and its own are taken."""
    for service in Service:
        connection = await server.connect(service.value)
        subjects = every_subject()
        foreign = [subject for subject in subjects if not may_write(service, subject)]
        assert await refused(connection, subjects) == foreign
        assert len(foreign) > 15
        await connection.close()


async def test_no_service_can_forge_what_the_tape_republishes(server: LogServer) -> None:
    """``wal.>`` is the server's own word; nobody else can put a message there, nor a turn for another service."""
    for service in Service:
        connection = await server.connect(service.value)
        tried = ["wal.order.intent.cycle", "wal.clock.tick", f"turn.grant.{service.value}", "turn.done.stranger"]
        assert await refused(connection, tried) == tried
        await connection.close()


async def test_no_service_can_change_the_streams(server: LogServer) -> None:
    """Streams and consumers belong to the administrator."""
    execution = await server.connect("execution")
    tried = [
        "$JS.API.STREAM.DELETE.TAPE",
        "$JS.API.STREAM.UPDATE.TAPE",
        "$JS.API.STREAM.PURGE.TAPE",
        "$JS.API.STREAM.CREATE.X",
        "$JS.API.STREAM.MSG.DELETE.TAPE",
        "$JS.API.STREAM.MSG.GET.TAPE",
        "$JS.API.CONSUMER.CREATE.TAPE",
        "$JS.API.CONSUMER.DURABLE.CREATE.TAPE.x",
        "$JS.API.DIRECT.GET.DEAD",
        "_INBOX_arbiter.x",
    ]
    assert await refused(execution, tried) == tried


async def test_only_execution_reads_ticks(server: LogServer) -> None:
    """``md.>`` is refused to everybody but execution, and nobody listens to another's inbox or turns."""
    for user in (*(service.value for service in Service), SIMULATOR):
        connection = await server.connect(user)
        for subject in ("md.>", "md.quote.>", "_INBOX_arbiter.>" if user != "arbiter" else "_INBOX_features.>", ">"):
            connection.errors.clear()
            await connection.client.subscribe(subject)
            await connection.barrier()
            allowed = user == "execution" and subject.startswith("md.")
            assert bool(connection.errors) is not allowed, (user, subject, connection.errors)
        await connection.close()


async def test_the_tape_itself_cannot_be_emptied(server: LogServer) -> None:
    """Not even the administrator deletes or purges messages of the TAPE."""
    admin = await server.connect(ADMIN)
    await admin.client.publish("clock.tick", b"x")
    await admin.barrier()
    for subject, body in (("STREAM.MSG.DELETE.TAPE", {"seq": 1}), ("STREAM.PURGE.TAPE", {})):
        with pytest.raises(Exception, match="JetStream refused"):
            await admin.api(subject, body)
    assert await last_sequence(admin) == 1


async def test_a_wrong_password_is_refused_with_the_user(server: LogServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connects with another user's password is told which user and which setting it was."""
    monkeypatch.setattr(connection_module, "CONNECT_TIMEOUT_S", 1.0)
    (server.server.credentials / "features").write_text("wrong", encoding="utf-8")
    with pytest.raises(LogUnreachableError, match=r"answers 'features' at .*log\.credentials_dir"):
        await server.connect("features")


def test_half_written_credentials_are_written_anew(server: LogServer) -> None:
    """An empty password file, left by a kill, does not become a user without a password; others are kept."""
    directory = server.server.credentials
    kept = (directory / "arbiter").read_text()
    (directory / "features").write_text("")
    write_credentials(directory)
    assert len((directory / "features").read_text()) > 20
    assert (directory / "arbiter").read_text() == kept
    assert all(path.stat().st_mode & 0o077 == 0 for path in directory.iterdir())
    assert {path.name for path in directory.iterdir()} == {*(s.value for s in Service), ADMIN, SIMULATOR, KEY_NAME}


async def test_a_reflected_ack_is_noticed_and_asks_for_observe_once(server: LogServer) -> None:
    """A reply subject puts the server's own answer onto another's subject: unsigned, kept, and OBSERVE is asked for."""
    log = server.log(Service.RECONCILER)
    metrics = ServiceMetrics("reconciler")
    loop: ServiceLoop[DigestState] = ServiceLoop(
        core=DigestCore(),
        inbox=log.inbox,
        journal=log.journal,
        dead=log.dead,
        effects=RecordingEffects(),
        metrics=metrics,
        wall_ns=WallClock().now_ns,
    )
    runner = ServiceRunner(loop=loop, log=log, background=NoBackground(), metrics=metrics, health=None, config_hash="")
    await runner._start()
    running = asyncio.create_task(loop.run_free())
    gateway = await server.connect("gateway")
    for _ in range(3):
        await gateway.client.publish("ref.session", b"y", reply="order.intent.cycle")
    await until(lambda: log.dead.count >= 6)
    running.cancel()
    await asyncio.wait({running})
    admin = await server.connect(ADMIN)
    messages = [m async for m in TapeReader(admin).range(1, await last_sequence(admin))]
    reflected = [m for m in messages if m.subject == "order.intent.cycle"]
    assert len(reflected) == 3, "the server does not reflect any more; the permissions may be simplified"
    assert all(json.loads(m.payload)["stream"] == "TAPE" for m in reflected)
    requests = [event for m in messages if m.producer == "reconciler" for event in [decode(m.payload)]]
    requests = [event for event in requests if isinstance(event, ModeRequest)]
    assert [(request.mode, "unsigned" in request.reason) for request in requests] == [("observe", True)]
    letters = [decode(m.payload) async for m in TapeReader(admin, Stream.DEAD).range(1, 6)]
    assert {letter.reason for letter in letters} == {"chain_unsigned"}


async def test_a_reflected_copy_of_a_signed_message_is_not_stored_as_a_new_one(server: LogServer) -> None:
    """A direct get with another's subject as reply brings back an id that the TAPE knows, or no verified link."""
    log = server.log(Service.ARBITER)
    await log.open()
    await log.journal.begin_epoch(ChainHead(), epoch_seq=0, ts_ns=0, config_hash="")
    await log.journal.append(mode_request(1, service=Service.ARBITER), through=0)
    features = await server.connect("features")
    for seq in (1, 2):
        ask = json.dumps({"seq": seq}).encode()
        await features.client.publish("$JS.API.DIRECT.GET.TAPE", ask, reply="mode.request.arbiter")
    await features.barrier()
    await asyncio.sleep(0.1)
    messages = [m async for m in TapeReader(features).range(1, await last_sequence(features))]
    verifier = ChainVerifier()
    kinds = [
        fault.kind if fault else ""
        for m in messages
        for fault in [verifier.check(stream_seq=m.seq, subject=m.subject, headers=m.headers, payload=m.payload)]
    ]
    assert kinds[:2] == ["", ""]
    assert all(kinds[2:])
