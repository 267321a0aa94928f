"""Owns the entry of a service process: arguments, settings, logs, wiring, exit codes; the same for all six."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog
import uvloop

from walstreet import kernels
from walstreet.ports import Clock, Core, Effects
from walstreet.runtime import crash_points
from walstreet.runtime.config import config_hash
from walstreet.runtime.errors import EXIT_BROKEN, EXIT_OK, EXIT_USAGE, UsageError
from walstreet.runtime.health import HealthServer
from walstreet.runtime.logs import configure_logs
from walstreet.runtime.loop import ServiceLoop
from walstreet.runtime.metrics import ServiceMetrics
from walstreet.runtime.service import Background, Log, NoBackground, NoEffects, ServiceRunner
from walstreet.runtime.settings import Settings, load_settings
from walstreet.runtime.state_metrics import of_service
from walstreet.runtime.witness import Witness, WitnessedLog
from walstreet_events import Service


class Shell(Effects, Background, Protocol):
    """A service's imperative side."""

    def attach(self, observe: Callable[[Any], None]) -> None:
        """Deliver observations to ``observe`` from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What a service's ``__main__`` provides."""

    core: Core[Any]
    log: Log
    shell: Shell | None = None
    decides_from_log: bool = True
    on_loop: Callable[[ServiceLoop[Any], ServiceMetrics], None] | None = None
    """Told of the loop and the metrics before anything runs."""


def main(
    service: Service, wire: Callable[[Settings], Wiring], *, wall: Clock, argv: Sequence[str] | None = None
) -> int:
    """Run one service process and return its exit code.

    Args:
        service: Which one.
        wire: Makes the parts; called inside the event loop.
        wall: The machine's clock, for latency stamps.
        argv: Arguments, ``sys.argv`` by default.
    """
    parser = argparse.ArgumentParser(prog=f"walstreet service {service.value}")
    parser.add_argument("--config", action="append", default=[], help="configuration layers, in order")
    options = parser.parse_args(argv)
    try:
        settings = load_settings([Path(name) for name in options.config])
        directory = settings.runtime.log_dir
        configure_logs(
            service=service.value,
            directory=directory,
            level=settings.runtime.log_level,
            terminal=settings.runtime.log_terminal,
        )
        _choose_kernels(settings, service)
        if crash_points.arm(service.value):
            structlog.get_logger().critical("crash_plan_armed", service=service.value, remedy="only tests set this")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(service, settings, wire, wall))
    except UsageError as error:
        sys.stderr.write(f"walstreet {service.value}: {error}\n")
        return EXIT_USAGE
    except Exception as error:  # noqa: BLE001 - the last frame of the process: log it whole, exit with a code
        structlog.get_logger().critical("service_failed", service=service.value, error=repr(error), exc_info=True)
        sys.stderr.write(f"walstreet {service.value}: {error}\n")
        return EXIT_BROKEN
    return EXIT_OK


async def _run(service: Service, settings: Settings, wire: Callable[[Settings], Wiring], wall: Clock) -> None:
    # The broker libraries ask the policy for "the" loop, which a runner with a loop factory does not set.
    asyncio.set_event_loop(asyncio.get_running_loop())
    wiring = wire(settings)
    log: Log = wiring.log
    witnessed = None
    if settings.log.witness_dir:
        witness = Witness(Path(settings.log.witness_dir) / service.value)
        log = witnessed = WitnessedLog(wiring.log, witness, service.value)
    metrics = ServiceMetrics(service.value)
    metrics.kernels.labels(service.value).set(1 if kernels.implementation().name == "native" else 0)
    loop: ServiceLoop[Any] = ServiceLoop(
        core=wiring.core,
        inbox=log.inbox,
        journal=log.journal,
        dead=log.dead,
        effects=wiring.shell or NoEffects(),
        metrics=metrics,
        wall_ns=wall.now_ns,
        decides_from_log=wiring.decides_from_log,
    )
    if witnessed is not None:
        witnessed.on_fault = loop.note_chain_fault
    if wiring.shell is not None:
        wiring.shell.attach(loop.observe)
    if wiring.on_loop is not None:
        wiring.on_loop(loop, metrics)
    health = HealthServer(
        host=settings.runtime.health_host,
        port=settings.runtime.health_port,
        registry=metrics.registry,
        ready=lambda: (runner.ready, "replayed" if runner.ready else "starting"),
    )
    runner = ServiceRunner(
        loop=loop,
        log=log,
        background=wiring.shell or NoBackground(),
        metrics=metrics,
        health=health,
        config_hash=config_hash(settings),
    )
    metrics.state.watch(lambda: of_service(ready=runner.ready, log_connected=log.connected))
    await runner.run()


def _choose_kernels(settings: Settings, service: Service) -> None:
    """Select the kernels and say which run: a fallback is never silent."""
    if settings.runtime.kernels != "auto":
        try:
            kernels.select(settings.runtime.kernels)
        except (ImportError, ValueError) as error:
            raise UsageError(f"runtime.kernels={settings.runtime.kernels}: {error}; run `make native`") from error
    info = kernels.implementation()
    log = structlog.get_logger().bind(service=service.value)
    if info.name == "native":
        log.info("kernels", name=info.name, level=info.level, version=info.version)
    else:
        log.warning("kernels", name=info.name, reason=info.reason, remedy="run `make native` for the SIMD kernels")
