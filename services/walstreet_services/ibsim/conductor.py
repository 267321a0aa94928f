"""Owns lockstep: it plays one market step, then lets each service take its turn, and only then goes on.

How turns travel is behind ``Turns``; the conductor knows only their order and their time limit.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import structlog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from walstreet_services.ibsim.playback import Playback

SERVICES = ("gateway", "features", "inference", "arbiter", "execution", "reconciler")
TURN_SECONDS_MAX = 60.0
READY_SECONDS_MAX = 120.0
"""Services load models before they are ready, which takes longer than any turn."""
TAIL_SECONDS = 120
"""Session time after the last market step in which orders end, commissions arrive and the books are reconciled."""

assert TURN_SECONDS_MAX <= READY_SECONDS_MAX


class ConductorError(Exception):
    """A service did not take its turn; the message names it. The service's fault."""


class Turns(Protocol):
    """Hands out turns and hears that they are done."""

    async def wait_ready(self, services: Sequence[str]) -> None:
        """Return when every service has said that it is ready."""

    async def grant(self, service: str, *, step: int, now_ns: int, upto: int, final: bool) -> int:
        """Grant a turn and return the sequence up to which the log has grown when it is done.

        Args:
            service: Whose turn it is.
            step: Number of the instant, counted from the first one before the open.
            now_ns: Session time, which stands still during the turn.
            upto: Sequence of the log up to which the service may read in this turn.
            final: True for the last step of the session.
        """


class Conductor:
    """Runs the loop of steps and turns once."""

    def __init__(
        self,
        playback: Playback,
        turns: Turns,
        *,
        services: Sequence[str] = SERVICES,
        turn_seconds_max: float = TURN_SECONDS_MAX,
        ready_seconds_max: float = READY_SECONDS_MAX,
        tail_seconds: int = TAIL_SECONDS,
    ) -> None:
        self._playback = playback
        self._turns = turns
        self._services = tuple(services)
        self._turn_seconds_max = turn_seconds_max
        self._ready_seconds_max = ready_seconds_max
        self._tail_seconds = tail_seconds
        self._log = structlog.get_logger("ibsim")

    async def run(self) -> int:
        """Play the whole session and return the last sequence of the log.

        Raises:
            ConductorError: A service was not ready, or did not finish a turn, in time.
        """
        try:
            await asyncio.wait_for(self._turns.wait_ready(self._services), self._ready_seconds_max)
        except TimeoutError:
            raise ConductorError(
                f"not all of {', '.join(self._services)} were ready within {self._ready_seconds_max:.0f} s; "
                "start them, or look into the log of the one that is missing"
            ) from None
        upto = 0
        instants = self._playback.instants(tail_seconds=self._tail_seconds)
        for number, ts_ns in enumerate(instants):
            await self._playback.play_until(ts_ns)
            final = number == len(instants) - 1
            for service in self._services:
                upto = await self._turn(service, step=number, upto=upto, final=final)
        self._log.info("lockstep_finished", steps=len(instants), upto=upto)
        return upto

    async def _turn(self, service: str, *, step: int, upto: int, final: bool) -> int:
        grant = self._turns.grant(service, step=step, now_ns=self._playback.now_ns, upto=upto, final=final)
        try:
            return await asyncio.wait_for(grant, self._turn_seconds_max)
        except TimeoutError:
            raise ConductorError(
                f"service {service} did not finish its turn of step {step} within "
                f"{self._turn_seconds_max:.0f} s; look into its log"
            ) from None
