"""Owns the life of one service process: open the log, fence, replay, become ready, run, and stop in time."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

import structlog

from walstreet.ports import Journal
from walstreet.runtime.crash_points import passed
from walstreet.runtime.health import HealthServer
from walstreet.runtime.loop import ServiceLoop
from walstreet.runtime.loop_ports import DeadLetters, Inbox, Message, Turn
from walstreet.runtime.metrics import ServiceMetrics

STOP_BOUND_S = 4.0
"""A service that is told to stop does so in this time; the supervisor's bound is 5 s."""
TASKS_STOP_BOUND_S = 1.0
BACKGROUND_STOP_BOUND_S = 1.0
LOG_STOP_BOUND_S = 1.6

assert TASKS_STOP_BOUND_S + BACKGROUND_STOP_BOUND_S + LOG_STOP_BOUND_S < STOP_BOUND_S


class Grant(Turn, Protocol):
    """A granted turn of lockstep."""

    @property
    def final(self) -> bool:
        """Return whether the session ends with this turn."""


class Turns(Protocol):
    """A service's side of lockstep."""

    async def start(self) -> None:
        """Announce readiness."""

    async def next_grant(self) -> Any:
        """Return the next grant."""

    async def done(self, grant: Any, *, last_seq: int, subjects: tuple[str, ...]) -> None:
        """Report the end of a turn."""


class Log(Protocol):
    """The log as one service sees it."""

    @property
    def inbox(self) -> Inbox:
        """Return the ordered input."""

    @property
    def journal(self) -> Journal:
        """Return the durable output."""

    @property
    def dead(self) -> DeadLetters:
        """Return where unhandled messages go."""

    @property
    def turns(self) -> Turns | None:
        """Return the lockstep side, None when the service runs freely."""

    @property
    def connected(self) -> bool:
        """Return whether the connection stands now."""
        ...

    async def open(self) -> Sequence[Message]:
        """Connect and return the whole TAPE."""

    async def begin_epoch(self, *, epoch: int, seq: int, chain: str, epoch_seq: int, config_hash: str) -> int:
        """Fence off earlier lives; return the stream sequence of the epoch message."""

    async def close(self) -> None:
        """Drain and close."""


class Background(Protocol):
    """What a service runs beside its loop: broker connection, tick forwarding, timers."""

    async def start(self) -> None:
        """Called after replay, before live input."""

    async def run(self) -> None:
        """Run until cancelled; an exception ends the service."""

    async def stop(self) -> None:
        """Release what ``start`` took."""


class NoBackground:
    """For services that only read and write the log."""

    async def start(self) -> None:
        """Do nothing: there is nothing outside the log."""

    async def run(self) -> None:
        """Wait for cancellation."""
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Do nothing."""


class NoEffects:
    """For services whose events have no effect outside the log."""

    async def react(self, event: object) -> None:
        """Do nothing: the log is the only effect."""

    async def barrier(self, now_ns: int) -> None:
        """Return at once: nothing happens outside the log."""

    async def recover(self, replayed: int) -> None:
        """Return at once: nothing can be in flight."""


class ServiceRunner:
    """Runs one service until it is told to stop or fails."""

    def __init__(
        self,
        *,
        loop: ServiceLoop[Any],
        log: Log,
        background: Background,
        metrics: ServiceMetrics,
        health: HealthServer | None,
        config_hash: str,
    ) -> None:
        """Take the wired parts; ``run`` does the rest."""
        self._loop = loop
        self._service_log = log
        self._background = background
        self._metrics = metrics
        self._health = health
        self._config_hash = config_hash
        self._name = loop.core.service.value
        self._log = structlog.get_logger().bind(service=self._name)
        self.ready = False

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT; everything acknowledged before is on the log, nothing else matters."""
        stop = asyncio.Event()
        running = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            running.add_signal_handler(number, stop.set)
        main = asyncio.create_task(self._live(), name=f"{self._name}-live")
        stopping = asyncio.create_task(stop.wait(), name=f"{self._name}-stop")
        try:
            await asyncio.wait({main, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if main.done():
                await main
        finally:
            self.ready = False
            stopping.cancel()
            await self._end(main)

    async def _end(self, main: asyncio.Task[None]) -> None:
        main.cancel()
        with contextlib.suppress(asyncio.CancelledError, TimeoutError, Exception):
            await asyncio.wait_for(asyncio.shield(asyncio.wait({main})), TASKS_STOP_BOUND_S)
        await self._release("background", self._background.stop(), BACKGROUND_STOP_BOUND_S)
        await self._release("log", self._service_log.close(), LOG_STOP_BOUND_S)
        if self._health is not None:
            self._health.stop()
        self._log.info("stopped", handled=self._loop.handled, last_seq=self._loop.last_seq)

    async def _release(self, part: str, work: Coroutine[Any, Any, None], bound_s: float) -> None:
        """Let one part go; neither its failure nor its slowness may keep the others, or hide why the service ends."""
        task = asyncio.ensure_future(work)
        await asyncio.wait({task}, timeout=bound_s)
        if not task.done():
            task.cancel()
            self._log.warning("stop_incomplete", part=part, bound_s=bound_s, remedy="nothing acknowledged is lost")
        elif not task.cancelled() and task.exception() is not None:
            self._log.warning("stop_failed", part=part, error=repr(task.exception()))

    async def _live(self) -> None:
        if self._health is not None:
            self._health.start()
        await self._start()
        background = asyncio.create_task(self._background.run(), name=f"{self._name}-background")
        main = asyncio.create_task(self._run_loop(), name=f"{self._name}-loop")
        try:
            done, _ = await asyncio.wait({background, main}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                await task
        finally:
            for task in (background, main):
                task.cancel()
            # A part that does not end must not keep a failed service from ending: then nobody would restart it.
            await asyncio.wait({background, main}, timeout=TASKS_STOP_BOUND_S)

    async def _start(self) -> None:
        history = list(await self._service_log.open())
        for message in history:
            self._loop.verify(message)
        passed("log_opened")
        link = self._loop.chain.newest(self._name)
        subject = f"epoch.{self._name}"
        epoch_seq = max((message.seq for message in history if message.subject == subject), default=0)
        begun = await self._service_log.begin_epoch(
            epoch=link.epoch if link else 0,
            seq=link.seq if link else 0,
            chain=link.chain if link else "",
            epoch_seq=epoch_seq,
            config_hash=self._config_hash,
        )
        # Messages that came between the first reading and the fence belong to replay as well.
        for message in await self._service_log.inbox.take(begun):
            self._loop.verify(message)
            history.append(message)
        passed("epoch_begun")
        await self._background.start()
        passed("outside_connected")
        replayed = await self._loop.replay(history, before_seq=begun, hold_undone=self._service_log.turns is not None)
        passed("replayed")
        self.ready = True
        self._log.info(
            "ready",
            epoch=self._service_log.journal.epoch,
            replayed_inputs=replayed.inputs,
            replayed_outputs=replayed.outputs,
            tape_messages=len(history),
        )

    async def _run_loop(self) -> None:
        turns = self._service_log.turns
        if turns is None:
            await self._loop.run_free()
            return
        await turns.start()
        while True:
            grant = await turns.next_grant()
            await self._loop.run_turn(grant)
            await turns.done(grant, last_seq=self._loop.last_seq, subjects=tuple(self._loop.appended_subjects))
