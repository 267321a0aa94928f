"""Owns the tests of a service's end: whatever hangs or fails, it ends in its bound and tells the first reason."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from walstreet.adapters.clock import WallClock
from walstreet.adapters.memory import MemoryLog, MemoryTape
from walstreet.runtime import service as service_module
from walstreet.runtime.loop import ServiceLoop
from walstreet.runtime.metrics import ServiceMetrics
from walstreet.runtime.service import NoBackground, ServiceRunner
from walstreet.testing.cores import DigestCore, DigestState, RecordingEffects
from walstreet.testing.log_server import until
from walstreet_events import Service


class Stubborn(NoBackground):
    """Neither ends when it is cancelled nor when it is stopped."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    async def run(self) -> None:
        """Run as the class says."""
        while not self.over.is_set():
            try:
                await self.over.wait()
            except asyncio.CancelledError:
                continue

    async def stop(self) -> None:
        """Stop as the class says."""
        await self.over.wait()


class Failing(NoBackground):
    """Fails while it runs and again while it stops."""

    async def run(self) -> None:
        """Run as the class says."""
        raise RuntimeError("the feed broke")

    async def stop(self) -> None:
        """Stop as the class says."""
        raise ValueError("and would not close")


def runner_with(background: NoBackground) -> tuple[ServiceRunner, MemoryLog]:
    """Return a runner with this background, and its log."""
    log = MemoryLog(MemoryTape(), Service.RECONCILER, WallClock())
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
    return (
        ServiceRunner(loop=loop, log=log, background=background, metrics=metrics, health=None, config_hash=""),
        log,
    )


async def until_ready(runner: ServiceRunner) -> None:
    """Return when the service has replayed."""
    await until(lambda: runner.ready, 5.0)


async def test_a_signal_ends_the_service_and_closes_the_log() -> None:
    """SIGTERM ends a waiting service at once, with the log closed."""
    runner, log = runner_with(NoBackground())
    closed: list[bool] = []
    original = log.close

    async def close() -> None:
        closed.append(True)
        await original()

    log.close = close  # type: ignore[method-assign]
    running = asyncio.create_task(runner.run())
    await until_ready(runner)
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(2):
        await running
    assert closed == [True]
    assert not runner.ready


async def test_a_stubborn_background_cannot_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that ignores cancellation is left behind after its bound, and the log is closed all the same."""
    monkeypatch.setattr(service_module, "TASKS_STOP_BOUND_S", 0.1)
    monkeypatch.setattr(service_module, "BACKGROUND_STOP_BOUND_S", 0.1)
    background = Stubborn()
    runner, log = runner_with(background)
    closed = asyncio.Event()

    async def close() -> None:
        closed.set()

    log.close = close  # type: ignore[method-assign]
    running = asyncio.create_task(runner.run())
    await until_ready(runner)
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(service_module.STOP_BOUND_S):
        await running
    assert closed.is_set()
    background.over.set()
    await asyncio.sleep(0)


async def test_the_first_failure_is_the_one_that_is_told() -> None:
    """An exception while stopping does not hide why the service ended."""
    runner, _ = runner_with(Failing())
    with pytest.raises(RuntimeError, match="the feed broke"):
        async with asyncio.timeout(5):
            await runner.run()
