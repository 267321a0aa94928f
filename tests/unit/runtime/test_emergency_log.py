"""Tests of the log that an emergency does not depend on: leaving it, the spool, its import however often it is killed.

They cover walstreet.runtime.emergency_log and walstreet.runtime.alarm.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from walstreet.adapters.clock import WallClock
from walstreet.adapters.memory import MemoryLog, MemoryTape
from walstreet.adapters.spool import SpoolFile
from walstreet.domain.execution import ExecutionCore
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.execution_state import ExecutionState
from walstreet.domain.observations import Observation, PanicObserved, TimeObserved
from walstreet.ports import Journal
from walstreet.runtime.alarm import Alarm, PanicFlag
from walstreet.runtime.chain import ChainVerifier
from walstreet.runtime.emergency_log import EmergencyLog, LogReturnedError, Patience, import_spool
from walstreet.runtime.loop import ServiceLoop
from walstreet.runtime.metrics import ServiceMetrics
from walstreet.runtime.service import NoBackground, ServiceRunner
from walstreet.testing.execution_world import KEY, NOW_NS, S, account, execution, link, quote, snapshot
from walstreet_events import AnyEvent, FlattenPhase, FlattenState, OrderSubmitting, Service, decode

pytestmark = pytest.mark.spec("001.recovery")

PATIENCE = Patience(grace_s=0.1, retry_s=0.02)
BOUND_S = 10.0


class AwayError(Exception):
    """The log does not answer."""


class CrashError(BaseException):
    """The process is gone."""


@dataclass
class Server:
    """Whether the log server is there, and when the process dies."""

    up: bool = True
    appends_left: int = 1_000_000

    async def reachable(self) -> bool:
        """Return whether it is there."""
        return self.up


class FailingJournal:
    """A journal whose server may hang, and whose process may die behind an append."""

    def __init__(self, inner: Journal, server: Server) -> None:
        self._inner, self._server = inner, server

    @property
    def epoch(self) -> int:
        """Return the epoch."""
        return self._inner.epoch

    async def append(self, event: AnyEvent, *, through: int) -> int:
        """Append, hang, or die."""
        while not self._server.up:  # noqa: ASYNC110 -- a server tells nobody that it is back
            await asyncio.sleep(0.01)
        if self._server.appends_left == 0:
            raise CrashError
        self._server.appends_left -= 1
        return await self._inner.append(event, through=through)


@dataclass
class Life:
    """One life of execution on a memory TAPE with a spool."""

    tape: MemoryTape
    folder: Path
    server: Server
    reacted: list[AnyEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Wire it as execution's ``__main__`` does."""
        self.spool = SpoolFile(self.folder / "spool.bin")
        self.alarm = Alarm(PanicFlag(self.folder / "panic.flag"))
        self.log = EmergencyLog(
            _Fenced(self.tape, self.server),
            spool=self.spool,
            alarm=self.alarm,
            reachable=self.server.reachable,
            errors=(AwayError,),
            patience=PATIENCE,
        )
        metrics = ServiceMetrics("execution")
        self.loop: ServiceLoop[ExecutionState] = ServiceLoop(
            core=ExecutionCore(ExecutionParameters(), (KEY,)),
            inbox=self.log.inbox,
            journal=self.log.journal,
            dead=self.log.dead,
            effects=self,
            metrics=metrics,
            wall_ns=WallClock().now_ns,
            decides_from_log=False,
        )
        self.runner = ServiceRunner(
            loop=self.loop, log=self.log, background=NoBackground(), metrics=metrics, health=None, config_hash=""
        )

    async def react(self, event: AnyEvent) -> None:
        """Remember the effect, and whether its cause was durable."""
        self.reacted.append(event)

    async def barrier(self, now_ns: int) -> None:
        """Nothing happens outside."""

    async def recover(self, replayed: int) -> None:  # noqa: ARG002 -- port
        """Import, as execution's desk does."""
        events = self.spool.read().events
        if self.log.away.offline:
            for event in events:
                self.loop.fold_own(event)
        elif events:
            await import_spool(events, self.log.away.recorded, self.loop.adopt)
            self.spool.finish()

    async def start(self) -> asyncio.Task[None]:
        """Begin, and run freely."""
        async with asyncio.timeout(BOUND_S):
            await self.runner._start()
        return asyncio.create_task(self.loop.run_free())

    async def see(self, *facts: Observation) -> None:
        """Observe, and let the loop have its turn."""
        for fact in facts:
            self.loop.observe(fact)
        await asyncio.sleep(0.05)


class _Fenced(MemoryLog):
    """A memory log with the failing journal, fenced by itself."""

    def __init__(self, tape: MemoryTape, server: Server) -> None:
        super().__init__(tape, Service.EXECUTION, WallClock())
        self.plain = self.journal
        self.journal = FailingJournal(self.plain, server)  # type: ignore[assignment]

    async def begin_epoch(self, *, epoch: int, seq: int, chain: str, epoch_seq: int, config_hash: str) -> int:
        """Fence with the journal that is behind."""
        failing, self.journal = self.journal, self.plain
        try:
            return await super().begin_epoch(
                epoch=epoch, seq=seq, chain=chain, epoch_seq=epoch_seq, config_hash=config_hash
            )
        finally:
            self.journal = failing


FLAG = PanicObserved(ts_ns=NOW_NS, source="panic_flag", operator="", detail="")


async def ended(task: asyncio.Task[None]) -> BaseException | None:
    """Return why a life ended."""
    async with asyncio.timeout(BOUND_S):
        await asyncio.wait({task})
    return task.exception()


async def stopped(task: asyncio.Task[None]) -> None:
    """End a life as a kill does."""
    task.cancel()
    await asyncio.wait({task})


async def flattened(life: Life) -> OrderSubmitting:
    """Let a life without log close its position, and return the close."""
    async with asyncio.timeout(BOUND_S):
        while not any(isinstance(event, FlattenState) for event in life.reacted):  # noqa: ASYNC110 -- no event to wait for
            await asyncio.sleep(0.01)
        await life.see(quote(ts_ns=NOW_NS + S), TimeObserved(ts_ns=NOW_NS + S))
        asked = next(
            event for event in life.reacted if isinstance(event, FlattenState) and event.phase is FlattenPhase.PROVING
        )
        truth = snapshot("x", NOW_NS + S)
        fact = msgspec.structs.replace(truth, request=asked.id, positions=account(position=100).positions)
        await life.see(fact, TimeObserved(ts_ns=NOW_NS + 2 * S))
    return next(event for event in life.reacted if isinstance(event, OrderSubmitting))


def own(tape: MemoryTape) -> list[AnyEvent]:
    """Return execution's events on the TAPE, epochs left out."""
    return [
        decode(message.payload)
        for message in tape.messages
        if message.producer == "execution" and not message.subject.startswith("epoch.")
    ]


def whole(tape: MemoryTape) -> bool:
    """Return whether every chain holds."""
    verifier = ChainVerifier()
    return all(
        verifier.check(stream_seq=item.seq, subject=item.subject, headers=item.headers, payload=item.payload) is None
        for item in tape.messages
    )


async def spooled(folder: Path) -> tuple[MemoryTape, list[AnyEvent]]:
    """Return a TAPE and what a life spooled after its server hung in the middle of it."""
    tape, server = MemoryTape(), Server()
    life = Life(tape, folder, server)
    task = await life.start()
    await life.see(link(), account(position=100))
    server.up = False
    life.alarm.flag.path.touch()
    await life.see(FLAG)
    await flattened(life)
    assert life.log.away.offline
    await stopped(task)
    return tape, list(life.spool.read().events)


async def test_a_hanging_log_is_left_in_an_emergency_only(tmp_path: Path) -> None:
    """Without one an append waits; in one the close is spooled before it is sent, and the life ends with the return."""
    tape, server = MemoryTape(), Server()
    life = Life(tape, tmp_path, server)
    task = await life.start()
    await life.see(link())
    server.up = False
    await life.see(account(position=100))
    await asyncio.sleep(3 * PATIENCE.grace_s)
    assert not life.log.away.offline
    assert not life.spool.pending()
    life.alarm.flag.path.touch()
    await life.see(FLAG)
    close = await flattened(life)
    events = list(life.spool.read().events)
    assert close in events
    assert {event.id for event in life.reacted} <= {event.id for event in [*events, *own(tape)]}
    server.up = True
    assert isinstance(await ended(task), LogReturnedError)


async def test_the_import_is_complete_in_order_and_once_wherever_it_is_killed(tmp_path: Path) -> None:
    """For every number of appends before the crash the TAPE ends with the spool's events, each once, in order."""
    crashes = 0
    for survive in range(40):
        folder = tmp_path / str(survive)
        folder.mkdir()
        tape, events = await spooled(folder)
        server = Server(appends_left=survive)
        try:
            await stopped(await Life(tape, folder, server).start())
        except CrashError:
            crashes += 1
            tape._ids.clear()
        finishing = Life(tape, folder, Server())
        await stopped(await finishing.start())
        ids = [event.id for event in own(tape)]
        assert [name for name in ids if name in {event.id for event in events}] == [event.id for event in events]
        assert len(set(ids)) == len(ids)
        assert whole(tape)
        assert not finishing.spool.pending()
        assert finishing.loop.state.panic
        assert finishing.reacted == [], "an import has no effect"
        if survive >= len(events):
            break
    assert crashes == len(events) > 3


async def test_a_life_without_any_log_trusts_the_broker_only(tmp_path: Path) -> None:
    """Started without a server it waits; the flag begins an emergency; foreign facts are left to the next life."""
    tape, server = MemoryTape(), Server(up=False)
    life = Life(tape, tmp_path, server)
    starting = asyncio.create_task(life.start())
    await asyncio.sleep(0.1)
    assert not starting.done()
    life.alarm.flag.path.touch()
    task = await starting
    assert life.log.away.blind
    await life.see(link(), execution("somebody else's"), FLAG)
    close = await flattened(life)
    await stopped(task)
    kinds = [type(event).__name__ for event in life.spool.read().events]
    assert "OrderSubmitting" in kinds
    assert "ExternalOrder" not in kinds
    assert "OrderFilled" not in kinds
    again = Life(tape, tmp_path, server)
    again.alarm.flag.path.unlink()
    task = await again.start()
    assert close.client_order_id in again.loop.state.orders, "the spool alone is reason enough, and memory"
    await stopped(task)


def test_the_alarm_looks_at_the_file(tmp_path: Path) -> None:
    """The flag is read anew each time; its text is cut; a raised alarm stays."""
    alarm = Alarm(PanicFlag(tmp_path / "panic.flag"))
    assert not alarm.look()
    (tmp_path / "panic.flag").write_text("bob: " + "x" * 1_000)
    assert alarm.look()
    assert len(alarm.flag.text()) == 500
    (tmp_path / "panic.flag").unlink()
    assert alarm.flag.text() == ""
    alarm.raised = True
    assert alarm.look()
