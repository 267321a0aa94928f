"""Owns the tests of a log that is damaged from outside: power loss, full disk, cut lines, damaged blocks."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from walstreet.adapters.clock import WallClock
from walstreet.adapters.free_ports import free_port
from walstreet.adapters.nats import connection as connection_module
from walstreet.adapters.nats import journal as journal_module
from walstreet.adapters.nats.connection import Connection, ConnectOptions
from walstreet.adapters.nats.errors import AppendRefusedError, LogError
from walstreet.adapters.nats.journal import ChainHead
from walstreet.adapters.nats.log import NatsLog
from walstreet.adapters.nats.reader import RawMessage, TapeReader
from walstreet.adapters.nats.server import ADMIN, EmbeddedServer
from walstreet.adapters.nats.streams import last_sequence
from walstreet.replay.verify import TapeReport, TapeVerifier
from walstreet.runtime.loop import ServiceLoop
from walstreet.runtime.metrics import ServiceMetrics
from walstreet.runtime.service import NoBackground, ServiceRunner
from walstreet.runtime.witness import WITNESS, Witness, WitnessedLog, newest_mark
from walstreet.testing.cores import DigestCore, DigestState, RecordingEffects, mode_request
from walstreet.testing.cut_proxy import CutProxy
from walstreet.testing.log_server import LogServer
from walstreet_events import Mode, ModeRequest, Service, decode

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

SEED = int(os.environ.get("WALSTREET_CHAOS_SEED", "20261121"))
APPENDS = 240
SNAPSHOTS = 6
DISK = "3m"


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


async def append(log: NatsLog, count: int, first: int = 1) -> None:
    """Append ``count`` events of the arbiter, one after the other."""
    for number in range(first, first + count):
        await log.journal.append(mode_request(number, service=Service.ARBITER), through=0)


async def read(connection: Connection, seen: int = 0) -> tuple[list[RawMessage], TapeReport]:
    """Return the whole TAPE and what `walstreet tape verify` says of it."""
    last = await last_sequence(connection)
    messages = [message async for message in TapeReader(connection).range(1, last)]
    verifier = TapeVerifier()
    verifier.take(messages)
    return messages, verifier.finish(max(last, seen))


async def opened(state: Path) -> tuple[EmbeddedServer, Connection]:
    """Start a server on an older state and connect to it."""
    server = EmbeddedServer(state=state, port=free_port(), monitor_port=free_port())
    await server.start()
    options = ConnectOptions(url=server.url, user=ADMIN, password_file=str(server.credentials / ADMIN))
    connection = Connection(options)
    await connection.open()
    return server, connection


# --------------------------------------------------------------------------------------------- power loss


async def test_power_loss_loses_nothing_acknowledged(server: LogServer, tmp_path: Path) -> None:
    """Copies of the store, taken file by file while it is written, hold everything acknowledged before, and verify."""
    draw = random.Random(SEED)
    log = await arbiter(server)
    writing = asyncio.create_task(append(log, APPENDS))
    copies: list[tuple[Path, int]] = []
    for number in range(SNAPSHOTS):
        await asyncio.sleep(draw.uniform(0.02, 0.2))
        acknowledged = log.journal.last_stream_seq
        copy = tmp_path / f"copy-{number}"
        await asyncio.to_thread(copy_store, server.state, copy)
        copies.append((copy, acknowledged))
    await writing
    assert 0 < copies[0][1] < copies[-1][1], f"seed {SEED}: the copies were not taken in the middle: {copies}"
    for copy, acknowledged in copies:
        again, connection = await opened(copy)
        try:
            messages, report = await read(connection)
        finally:
            await connection.close()
            await again.stop()
        assert len(messages) >= acknowledged, f"seed {SEED}: {copy.name} lost {acknowledged - len(messages)}"
        assert report.clean, f"seed {SEED}: {copy.name}: {report.faults}"


def copy_store(state: Path, copy: Path) -> None:
    """Copy what would be on the disk; files that vanish while it happens are gone after a power loss as well."""
    shutil.copytree(state / "credentials", copy / "credentials")
    for path in sorted((state / "jetstream").rglob("*")):
        target = copy / path.relative_to(state)
        try:
            if path.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
        except FileNotFoundError:
            continue


# --------------------------------------------------------------------------------------------- full disk


async def test_a_full_disk_refuses_loudly_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system of three megabytes appends end in an error; what was acknowledged is there with more room."""
    monkeypatch.setattr(connection_module, "RECONNECT_WAIT_S", 0.1)
    monkeypatch.setattr(journal_module, "REQUEST_TIMEOUT_S", 1.0)
    server = LogServer()
    store = server.state / "jetstream"
    store.mkdir()
    mounted = run("mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(store))
    if mounted.returncode != 0:
        shutil.rmtree(server.state)
        pytest.skip(f"a small file system may not be mounted here ({mounted.stderr.strip()})")
    try:
        async with server:
            log = await arbiter(server)
            with pytest.raises(LogError) as caught:
                await fill(log)
            acknowledged = log.journal.last_stream_seq
            assert acknowledged > 1
            text = str(caught.value)
            assert "disk" in text, text
            assert run("mount", "-o", "remount,size=64m", str(store)).returncode == 0
            await server.restart()
            messages, report = await read(await server.connect(ADMIN))
            assert len(messages) >= acknowledged
            assert report.clean, report.faults
            writer = await reopened(server)
            assert await writer.journal.append(mode_request(10**6, service=Service.ARBITER), through=0) > acknowledged
    finally:
        run("umount", "-l", str(store))
        shutil.rmtree(server.state, ignore_errors=True)


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the system and return how it ended."""
    return subprocess.run(argv, capture_output=True, check=False, text=True)


async def fill(log: NatsLog) -> None:
    """Append large events until the log says no."""
    for number in range(1, 10_000):
        event = mode_request(number, service=Service.ARBITER)
        await log.journal.append(
            ModeRequest(
                id=event.id,
                cause=event.cause,
                ts_ns=0,
                service=event.service,
                mode=Mode.OBSERVE,
                topic="disk",
                reason="x" * 20_000,
            ),
            through=0,
        )


async def reopened(server: LogServer) -> NatsLog:
    """Return the arbiter's log in the life after the one on the TAPE."""
    log = server.log(Service.ARBITER)
    history = await log.open()
    newest = max(history, key=lambda message: message.seq)
    epoch = max(message.seq for message in history if message.subject == "epoch.arbiter")
    await log.begin_epoch(
        epoch=newest.number("Ws-Epoch"),
        seq=newest.number("Ws-Seq"),
        chain=newest.headers["Ws-Chain"],
        epoch_seq=epoch,
        config_hash="",
    )
    return log


# -------------------------------------------------------------------------------------------- cut lines


# nats-py leaves the sockets of failed attempts to reconnect to the garbage collector, which says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
async def test_cut_and_frozen_lines_cost_nothing(server: LogServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line to the log that is reset, refused and frozen at random ends in every event once, in one epoch."""
    monkeypatch.setattr(journal_module, "REQUEST_TIMEOUT_S", 1.0)
    draw = random.Random(SEED)
    async with CutProxy(server.server.port) as proxy:
        log = NatsLog(
            url=f"nats://127.0.0.1:{proxy.port}",
            monitor_url=server.server.monitor_url,
            credentials_dir=str(server.server.credentials),
            service=Service.ARBITER,
            wall=WallClock(),
            lockstep=False,
        )
        await log.open()
        await log.journal.begin_epoch(ChainHead(), epoch_seq=0, ts_ns=0, config_hash="")
        writing = asyncio.create_task(append(log, APPENDS))
        cuts = 0
        while not writing.done():
            await asyncio.sleep(draw.uniform(0.01, 0.08))
            await misfortune(proxy, draw)
            cuts += 1
        await writing
        await log.close()
    messages, report = await read(await server.connect(ADMIN))
    assert cuts >= 3, f"seed {SEED}: {cuts} cuts"
    assert report.clean, f"seed {SEED}: {report.faults}"
    assert len(messages) == APPENDS + 1
    assert proxy.connections > cuts // 2


async def misfortune(proxy: CutProxy, draw: random.Random) -> None:
    """Cut, cut and refuse for a moment, or freeze for a moment."""
    kind = draw.choice(("cut", "refuse", "freeze"))
    if kind == "freeze":
        proxy.freeze()
        await asyncio.sleep(draw.uniform(0.05, 0.3))
        proxy.thaw()
        return
    proxy.refusing = kind == "refuse"
    proxy.cut()
    await asyncio.sleep(draw.uniform(0.05, 0.3))
    proxy.refusing = False


# --------------------------------------------------------------------------------------- damaged blocks


def flip(block: bytearray, draw: random.Random) -> None:
    """Flip one bit somewhere in the middle."""
    place = draw.randrange(len(block) // 4, 3 * len(block) // 4)
    block[place] ^= 1 << draw.randrange(8)


def cut_middle(block: bytearray, draw: random.Random) -> None:
    """Take a piece out of the middle."""
    start = draw.randrange(len(block) // 4, len(block) // 2)
    del block[start : start + draw.randrange(50, len(block) // 4)]


def truncate(block: bytearray, draw: random.Random) -> None:
    """Cut the end off."""
    del block[draw.randrange(len(block) // 2, 3 * len(block) // 4) :]


def swap(block: bytearray, draw: random.Random) -> None:
    """Exchange two pieces."""
    size = len(block) // 6
    first, second = size, 4 * size - draw.randrange(size)
    block[first : first + size], block[second : second + size] = (
        block[second : second + size],
        block[first : first + size],
    )


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("damage", [flip, cut_middle, truncate, swap])
async def test_damaged_blocks_are_found_at_boot_and_by_verify(
    server: LogServer, tmp_path: Path, damage: Callable[[bytearray, random.Random], None], number: int
) -> None:
    """Bits, pieces and order of the blocks change: verify names faults, and a booting service asks for OBSERVE."""
    draw = random.Random(f"{SEED}:{damage.__name__}:{number}")
    log = await arbiter(server)
    await append(log, 60)
    witness = Witness(tmp_path / WITNESS / "arbiter")
    witness.note(log.journal.last_stream_seq)
    witness.close()
    await log.close()
    await server.server.stop()
    blocks = sorted((server.state / "jetstream").rglob("TAPE/msgs/*.blk"))
    assert blocks
    content = bytearray(blocks[0].read_bytes())
    damage(content, draw)
    blocks[0].write_bytes(bytes(content))
    await server.server.start()
    admin = await server.connect(ADMIN)
    _, report = await read(admin, newest_mark(tmp_path / WITNESS))
    assert not report.clean, f"seed {SEED}: the damage was not found"
    shutil.copyfile(tmp_path / WITNESS / "arbiter", tmp_path / WITNESS / "reconciler")
    assert await asks_for_observe(server, Witness(tmp_path / WITNESS / "reconciler")), (
        f"seed {SEED}: {report.faults[:3]}"
    )


async def asks_for_observe(server: LogServer, witness: Witness) -> bool:
    """Return whether a service that boots on this log asks for OBSERVE because of its chains."""
    plain = server.log(Service.RECONCILER)
    log = WitnessedLog(plain, witness, "reconciler")
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
    log.on_fault = loop.note_chain_fault
    runner = ServiceRunner(loop=loop, log=log, background=NoBackground(), metrics=metrics, health=None, config_hash="")
    await runner._start()
    messages = [m async for m in TapeReader(plain.connection).range(1, await last_sequence(plain.connection))]
    own = [decode(message.payload) for message in messages if message.producer == "reconciler"]
    return any(isinstance(event, ModeRequest) and event.topic == "chain" for event in own)


async def test_a_store_that_refuses_for_good_is_told(server: LogServer) -> None:
    """A stream limit of a few kilobytes, as a quota would be, refuses the next fact by name."""
    log = await arbiter(server)
    admin = await server.connect(ADMIN)
    config = (await admin.api("STREAM.INFO.TAPE", {}))["config"]
    await admin.api("STREAM.UPDATE.TAPE", {**config, "max_bytes": 4_096})
    with pytest.raises(AppendRefusedError, match="the log refused"):
        await append(log, 100)
