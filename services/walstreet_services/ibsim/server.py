"""Owns the running simulator: the listening socket, the playback task and the orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import structlog

from walstreet_services.ibsim.clock import SessionClock
from walstreet_services.ibsim.connection import Connection
from walstreet_services.ibsim.fault_control import FaultControl
from walstreet_services.ibsim.gateway import Gateway, GatewayOptions
from walstreet_services.ibsim.playback import Playback
from walstreet_services.ibsim.units import NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

    from walstreet_services.ibsim.faults import FaultOptions
    from walstreet_services.ibsim.journal import Journal
    from walstreet_services.ibsim.model import Market, MatchingEngine

LEAD_SECONDS = 60
LISTEN_BACKLOG = 16


class SimulatorServer:
    """One simulated gateway on one port."""

    def __init__(
        self,
        market: Market,
        matching: MatchingEngine,
        journal: Journal,
        options: GatewayOptions,
        *,
        speed: float | None = 1.0,
        lead_seconds: int = LEAD_SECONDS,
        steps_limit: int | None = None,
        start_on_subscription: bool = True,
        wall_ns: Callable[[], int] = time.monotonic_ns,
        faults: FaultOptions | None = None,
    ) -> None:
        """Build everything; ``speed`` None means that time moves only when the playback is told.

        The playback waits for ``started``, which the first subscription sets unless ``start_on_subscription`` is off.

        Raises:
            FaultError: The fault script names a symbol or a time that cannot be.
        """
        self.started = asyncio.Event()
        clock = SessionClock(market.session.open_ns - lead_seconds * NS_PER_SECOND, speed, wall_ns)
        begin = self.started.set if start_on_subscription else _wait_further
        self.gateway = Gateway(market, matching, clock, journal, options, on_first_subscription=begin, faults=faults)
        self.playback = Playback(self.gateway, steps_limit=steps_limit)
        self._control: FaultControl | None = None
        self._server: asyncio.Server | None = None
        self._player: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("ibsim")

    async def listen(self, host: str, port: int) -> int:
        """Open the port and return it; 0 asks for any free one.

        Raises:
            OSError: The port cannot be opened.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self.gateway), host, port, backlog=LISTEN_BACKLOG)
        chosen: int = self._server.sockets[0].getsockname()[1]
        self._log.info("listening", host=host, port=chosen)
        return chosen

    async def control(self, address: str) -> str:
        """Open the control socket of the faults and return where it listens.

        Raises:
            FaultError: The address is not local.
            OSError: The address cannot be opened.
        """
        assert self.gateway.faults is not None, "only a gateway with faults has a control socket"
        self._control = FaultControl(self.gateway.faults)
        return await self._control.listen(address)

    def play(self) -> asyncio.Task[None]:
        """Follow the clock in a task of its own, from the first subscription on."""
        assert self._player is None, "the playback runs already"
        self._player = asyncio.get_running_loop().create_task(self.playback.run(self.started))
        return self._player

    async def close(self) -> None:
        """Stop the playback and close every socket."""
        if self._player is not None:
            self._player.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._player
        if self._control is not None:
            await self._control.close()
        if self._server is not None:
            self._server.close()
        self.gateway.close()
        # One turn of the loop lets the transports write what is left and close.
        await asyncio.sleep(0)


def _wait_further() -> None:
    """Take note of a subscription that does not start the playback."""
