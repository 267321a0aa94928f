"""Owns one short-lived connection to the broker for `bot connect` and `bot trade --dry-run`, or to a simulator."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

from walstreet.adapters.clock import WallClock
from walstreet.adapters.ibkr import BrokerError, ConnectOptions, IbkrBroker
from walstreet.domain.observations import Observation
from walstreet.research.swing_config import SwingConfig
from walstreet_services.cli.bot_live import MARKET_MODES, account_of, simulator_arguments

STOP_S = 5.0


class SimulatorFailedError(Exception):
    """The simulator did not start; the message is its own."""


@contextlib.contextmanager
def address(options: argparse.Namespace, config: SwingConfig) -> Iterator[tuple[str, int]]:
    """Yield host and port of the broker; with ``--sim`` a simulator runs meanwhile.

    Raises:
        SimulatorFailedError: It ended before it was ready.
    """
    if not options.sim:
        yield config.ibkr.host, config.ibkr.port
        return
    argv = [sys.executable, "-m", "walstreet_services.ibsim", *simulator_arguments(options, config)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        if not line:
            raise SimulatorFailedError(process.stderr.read().decode(errors="replace").strip() or "it said nothing")
        yield "127.0.0.1", int(json.loads(line)["port"])
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


@contextlib.asynccontextmanager
async def connected(
    options: argparse.Namespace,
    config: SwingConfig,
    where: tuple[str, int],
    seen: list[Observation],
    *,
    client_id: int | None = None,
) -> AsyncIterator[IbkrBroker]:
    """Yield a connected broker; ``seen`` collects what it reports. The client id is the configured one by default.

    Raises:
        walstreet.adapters.ibkr.BrokerError: It cannot be reached, or refuses.
    """
    # The client libraries ask the policy for "the" loop.
    asyncio.set_event_loop(asyncio.get_running_loop())
    broker = IbkrBroker(
        ConnectOptions(
            host=where[0],
            port=where[1],
            client_id=config.ibkr.client_id if client_id is None else client_id,
            account=account_of(options, config),
            library=options.library,
            market_data_type="live" if MARKET_MODES[config.ibkr.market_mode] == "live" else "delayed",
            paced=not options.sim,
        ),
        clock=WallClock(),
        observer=lambda observation: seen.append(observation),  # noqa: PLW0108 - the port names its argument
    )
    await broker.connect()
    try:
        yield broker
    finally:
        await broker.close()


def wall_ns() -> int:
    """Return the machine's time, which the broker's is compared with."""
    return WallClock().now_ns()


BROKER_FAILURES: tuple[type[Exception], ...] = (BrokerError, SimulatorFailedError, OSError, TimeoutError)
