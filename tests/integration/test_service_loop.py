"""Owns the tests of whole services on a real log: signals, kills, a dying server, lockstep turns."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from walstreet.adapters.clock import WallClock
from walstreet.adapters.nats import connection as connection_module
from walstreet.adapters.nats.journal import ChainHead
from walstreet.adapters.nats.log import NatsLog
from walstreet.adapters.nats.reader import RawMessage, TapeReader
from walstreet.adapters.nats.server import ADMIN, SIMULATOR
from walstreet.adapters.nats.streams import last_sequence
from walstreet.adapters.nats.turns import ServiceTurns, TurnMaster
from walstreet.domain.observations import TimeObserved
from walstreet.runtime.chain import ChainVerifier
from walstreet.runtime.loop import ServiceLoop
from walstreet.runtime.metrics import ServiceMetrics
from walstreet.runtime.service import NoBackground, ServiceRunner
from walstreet.testing.cores import (
    DigestCore,
    DigestState,
    RecordingEffects,
    clock_tick,
    payloads_without_a_crash,
)
from walstreet.testing.log_server import LogServer, until
from walstreet_events import Service
from walstreet_events import headers as names

pytestmark = [pytest.mark.integration, pytest.mark.spec("card.services", "002.loop")]

STOP_BOUND_S = 5.0
PROGRAM = textwrap.dedent(
    """
    import asyncio, sys
    import uvloop
    from walstreet.adapters.clock import WallClock
    from walstreet.adapters.nats.log import NatsLog
    from walstreet.runtime.loop import ServiceLoop
    from walstreet.runtime.metrics import ServiceMetrics
    from walstreet.runtime.service import NoBackground, ServiceRunner
    from walstreet.testing.cores import DigestCore, RecordingEffects
    from walstreet_events import Service

    async def main():
        url, monitor_url, credentials = sys.argv[1:]
        log = NatsLog(url=url, monitor_url=monitor_url, credentials_dir=credentials, service=Service.RECONCILER,
                      wall=WallClock(), lockstep=False)
        metrics = ServiceMetrics("reconciler")
        loop = ServiceLoop(core=DigestCore(), inbox=log.inbox, journal=log.journal, dead=log.dead,
                           effects=RecordingEffects(), metrics=metrics, wall_ns=WallClock().now_ns)
        await ServiceRunner(loop=loop, log=log, background=NoBackground(), metrics=metrics, health=None,
                            config_hash="c").run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    """
)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LogServer]:
    """Give a fresh server, to which connections come back quickly."""
    monkeypatch.setattr(connection_module, "RECONNECT_WAIT_S", 0.1)
    async with LogServer() as running:
        yield running


async def spawn(server: LogServer, sink: Path) -> asyncio.subprocess.Process:
    """Start the service as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with sink.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            PROGRAM,
            server.server.url,
            server.server.monitor_url,
            str(server.server.credentials),
            stdout=output,
            stderr=output,
            env=environment,
        )


async def gateway(server: LogServer) -> NatsLog:
    """Return the log of a gateway that has begun its epoch."""
    log = server.log(Service.GATEWAY)
    await log.open()
    await log.journal.begin_epoch(ChainHead(), epoch_seq=0, ts_ns=0, config_hash="")
    return log


async def tape(server: LogServer) -> list[RawMessage]:
    """Return the whole TAPE, after checking every chain and that no id stands twice."""
    admin = await server.connect(ADMIN)
    messages = [m async for m in TapeReader(admin).range(1, await last_sequence(admin))]
    await admin.close()
    verifier = ChainVerifier()
    for m in messages:
        fault = verifier.check(stream_seq=m.seq, subject=m.subject, headers=m.headers, payload=m.payload)
        assert fault is None, fault
    ids = [m.headers[names.MSG_ID] for m in messages]
    assert len(ids) == len(set(ids))
    return messages


def requests(messages: list[RawMessage]) -> list[bytes]:
    """Return what the service under test wrote, in order."""
    return [m.payload for m in messages if m.subject == "recon.request"]


async def ready(master: TurnMaster, *services: str) -> None:
    """Return when the services have announced themselves to the conductor."""
    async with asyncio.timeout(10.0):
        await master.wait_ready(services)


async def follow(server: LogServer) -> list[str]:
    """Return a list that grows by the subject of every stored message."""
    admin = await server.connect(ADMIN)
    subjects: list[str] = []

    async def note(message: object) -> None:
        subjects.append(message.subject.removeprefix("wal."))  # type: ignore[attr-defined]

    await admin.client.subscribe("wal.>", cb=note)
    await admin.barrier()
    return subjects


async def test_sigterm_in_the_middle_ends_in_time_and_loses_nothing(server: LogServer, tmp_path: Path) -> None:
    """A service that is told to stop while it works ends with code 0 in its bound; the next life completes its work."""
    ticks = [clock_tick(number) for number in range(1, 161)]
    writer = await gateway(server)
    for tick in ticks:
        await writer.journal.append(tick, through=0)
    subjects = await follow(server)
    first = await spawn(server, tmp_path / "out")
    await until(lambda: subjects.count("recon.request") > 40)
    first.send_signal(signal.SIGTERM)
    async with asyncio.timeout(STOP_BOUND_S):
        code = await first.wait()
    assert code == 0, (tmp_path / "out").read_text()[-2_000:]
    wanted = payloads_without_a_crash(ticks)
    assert 0 < len(requests(await tape(server))) < len(wanted), "it was not in the middle"
    second = await spawn(server, tmp_path / "out")
    await until(lambda: subjects.count("recon.request") >= len(wanted))
    second.send_signal(signal.SIGTERM)
    async with asyncio.timeout(STOP_BOUND_S):
        assert await second.wait() == 0
    assert requests(await tape(server)) == wanted


async def test_kill_9_of_the_service_changes_nothing_on_the_tape(server: LogServer, tmp_path: Path) -> None:
    """A service that is killed again and again writes what it would have written in one life."""
    ticks = [clock_tick(number) for number in range(1, 161)]
    writer = await gateway(server)
    for tick in ticks:
        await writer.journal.append(tick, through=0)
    wanted = payloads_without_a_crash(ticks)
    subjects = await follow(server)
    kills = 0
    for goal in (30, 120):
        process = await spawn(server, tmp_path / "out")
        await until(lambda goal=goal: subjects.count("recon.request") >= goal)  # type: ignore[misc]
        process.kill()
        await process.wait()
        kills += 1
    process = await spawn(server, tmp_path / "out")
    await until(lambda: subjects.count("recon.request") >= len(wanted))
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    messages = await tape(server)
    assert requests(messages) == wanted
    assert [m.subject for m in messages].count("epoch.reconciler") == kills + 1


class Life:
    """One in-process life of the service under test."""

    def __init__(self, log: NatsLog, core: DigestCore | None = None) -> None:
        self.log = log
        metrics = ServiceMetrics("reconciler")
        self.loop: ServiceLoop[DigestState] = ServiceLoop(
            core=core or DigestCore(),
            inbox=log.inbox,
            journal=log.journal,
            dead=log.dead,
            effects=RecordingEffects(),
            metrics=metrics,
            wall_ns=WallClock().now_ns,
        )
        self.runner = ServiceRunner(
            loop=self.loop, log=log, background=NoBackground(), metrics=metrics, health=None, config_hash="c"
        )


async def test_a_dying_server_changes_nothing_on_the_tape(server: LogServer) -> None:
    """Killing the log server while both sides write ends in the same TAPE, in the same epochs."""
    ticks = [clock_tick(number) for number in range(1, 401)]
    writer = await gateway(server)
    life = Life(server.log(Service.RECONCILER))
    running = asyncio.create_task(life.runner._live())
    # A service that is still starting ends when the log goes away, and its supervisor starts it again.
    await until(lambda: life.runner.ready)

    async def write() -> None:
        for tick in ticks:
            await writer.journal.append(tick, through=0)

    writing = asyncio.create_task(write())
    for count in (1, 2):
        await asyncio.sleep(0.15)
        await server.restart()
        await until(lambda count=count: life.log.connection.reconnects >= count)  # type: ignore[misc]
        await until(lambda count=count: writer.connection.reconnects >= count)  # type: ignore[misc]
    await writing
    wanted = payloads_without_a_crash(ticks)
    await until(lambda: life.loop.state.requests >= len(wanted))
    assert not running.done()
    running.cancel()
    await asyncio.wait({running})
    messages = await tape(server)
    assert requests(messages) == wanted
    assert [m.subject for m in messages].count("epoch.reconciler") == 1


async def test_an_observation_is_handled_while_the_inbox_is_idle(
    server: LogServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing to read and a tail poll that never comes, an observation still reaches the TAPE."""
    monkeypatch.setattr("walstreet.adapters.nats.inbox.TAIL_POLL_S", 3_600.0)
    life = Life(server.log(Service.RECONCILER))
    running = asyncio.create_task(life.runner._live())
    await until(lambda: life.runner.ready)
    subjects = await follow(server)
    for number in range(1, 4):
        life.loop.observe(TimeObserved(ts_ns=number))
        await until(lambda number=number: subjects.count("recon.report") == number, 5.0)  # type: ignore[misc]
    running.cancel()
    await asyncio.wait({running})


@pytest.mark.parametrize("killed", [False, True])
async def test_lockstep_turns_survive_a_kill_in_the_middle(server: LogServer, killed: bool) -> None:
    """The conductor's turns go on when a service dies in its turn, and the TAPE is that of a run without it."""
    master = TurnMaster(await server.connect(SIMULATOR))
    await master.start()
    writer = await gateway(server)
    turns = ServiceTurns(writer.connection, Service.GATEWAY)
    await turns.start()
    steps = 12
    ticks = [clock_tick(number) for number in range(1, 3 * steps + 1)]

    async def play_gateway() -> None:
        left = list(ticks)
        for _ in range(steps):
            grant = await turns.next_grant()
            for _ in range(3):
                await writer.journal.append(left.pop(0), through=0)
            await turns.done(grant, last_seq=writer.journal.last_stream_seq, subjects=("clock.tick",))

    class DiesOnce(DigestCore):
        def evolve(self, state: DigestState, event: object) -> DigestState:
            state = super().evolve(state, event)  # type: ignore[arg-type]
            if killed and state.requests == 8:
                died.set()
            return state

    died = asyncio.Event()
    life = Life(server.log(Service.RECONCILER, lockstep=True), DiesOnce())
    running = asyncio.create_task(life.runner._live())
    playing = asyncio.create_task(play_gateway())
    await ready(master, "gateway", "reconciler")

    async def restart_when_dead() -> Life:
        await died.wait()
        running.cancel()
        await asyncio.wait({running})
        second = Life(server.log(Service.RECONCILER, lockstep=True))
        second.task = asyncio.create_task(second.runner._live())  # type: ignore[attr-defined]
        return second

    restarting = asyncio.create_task(restart_when_dead())
    for step in range(1, steps + 1):
        async with asyncio.timeout(20.0):
            upto = await master.grant("gateway", step=step, now_ns=step, upto=0, final=False)
            await master.grant("reconciler", step=step, now_ns=step, upto=upto, final=step == steps)
    await playing
    messages = await tape(server)
    wanted = payloads_without_a_crash(ticks)
    assert requests(messages) == wanted
    order = [m.subject for m in messages if not m.subject.startswith("epoch.")]
    # All outputs of a step stand between its ticks and the next step's, killed or not.
    position, request_count = 0, 0
    for step in range(steps):
        assert order[position : position + 3] == ["clock.tick"] * 3, f"step {step + 1}"
        position += 3
        while position < len(order) and order[position] == "recon.request":
            position, request_count = position + 1, request_count + 1
    assert request_count == len(wanted)
    assert [m.subject for m in messages].count("epoch.reconciler") == (2 if killed else 1)
    if killed:
        last = await restarting
        last.task.cancel()  # type: ignore[attr-defined]
        await asyncio.wait({last.task})  # type: ignore[attr-defined]
    else:
        restarting.cancel()
        running.cancel()
        await asyncio.wait({restarting, running})


async def test_a_repeated_grant_reaches_everybody_who_could_have_input(server: LogServer) -> None:
    """When a service died in its turn, nobody knows what it had appended, so all its readers get their turns."""
    master = TurnMaster(await server.connect(SIMULATOR))
    await master.start()
    connection = await server.connect("features")
    turns = ServiceTurns(connection, Service.FEATURES)
    await turns.start()
    await ready(master, "features")
    master._pending = {Service.FEATURES}
    granting = asyncio.create_task(master.grant("features", step=1, now_ns=1, upto=0, final=False))
    await turns.next_grant()
    reborn = ServiceTurns(connection, Service.FEATURES)
    await reborn.start()
    again = await reborn.next_grant()
    await reborn.done(again, last_seq=5, subjects=())
    async with asyncio.timeout(20.0):
        assert await granting == 5
    assert {Service.INFERENCE, Service.ARBITER} <= master._pending


async def test_the_conductor_waits_for_every_service(server: LogServer) -> None:
    """Readiness is that of all services asked for, and a skipped service answers at once."""
    master = TurnMaster(await server.connect(SIMULATOR))
    await master.start()
    await ServiceTurns(await server.connect("features"), Service.FEATURES).start()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await master.wait_ready(("features", "arbiter"))
    await ready(master, "features")
    master._pending.clear()
    assert await master.grant("arbiter", step=1, now_ns=1, upto=7, final=False) == 7


async def test_turns_survive_a_restart_of_the_server(server: LogServer) -> None:
    """A server that dies between a grant and its report costs time, not the session."""
    master = TurnMaster(await server.connect(SIMULATOR))
    await master.start()
    turns = ServiceTurns(await server.connect("gateway"), Service.GATEWAY)
    await turns.start()
    granting = asyncio.create_task(master.grant("gateway", step=1, now_ns=1, upto=0, final=False))
    grant = await turns.next_grant()
    await server.kill9()
    reporting = asyncio.create_task(turns.done(grant, last_seq=3, subjects=()))
    await server.restart()
    await reporting
    waiting = asyncio.create_task(turns.next_grant())
    assert await granting == 3
    following = asyncio.create_task(master.grant("gateway", step=2, now_ns=2, upto=0, final=False))
    second = await waiting
    assert second.step == 2
    await turns.done(second, last_seq=4, subjects=())
    assert await following == 4
