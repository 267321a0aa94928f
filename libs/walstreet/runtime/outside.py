"""Owns a service's broker connection: connect with back-off, reconnect, buffer observations, and the turn's barrier."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from walstreet.domain.observations import BrokerBarObserved, Observation, SnapshotObserved, TimeObserved
from walstreet.ports import Broker, Clock, Observer
from walstreet.runtime.clocks import ToldClock
from walstreet.runtime.crash_points import passed

BACKOFF_S = (0.25, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
CONNECT_BOUND_S = 120.0
"""A first connection that does not come in this time ends the service; the supervisor starts it anew."""
BUFFER_MAX = 2_000_000
LINK_POLL_S = 0.25
SERVER_TIME_POLL_S = 0.05
WALL_POLL_S = 0.05
CLOSE_GRACE_NS = 300_000_000
"""Live: ticks of a bar's last moments may still be on their way for so long."""


class BrokerLink:
    """Keeps one broker connection alive and hands its observations on, stamped with session time.

    In lockstep everything that arrives between two turns happened before the turn's time. It is buffered and
    stamped at the barrier, so that stamps do not depend on when the socket was read.
    """

    def __init__(
        self,
        *,
        make: Callable[[Observer], Broker],
        clock: ToldClock,
        lockstep: bool,
        deliver: Callable[[Observation], None],
        after_connect: Callable[[Broker], Awaitable[None]],
        errors: tuple[type[Exception], ...],
    ) -> None:
        """Prepare.

        Args:
            make: Builds the broker around an observer.
            clock: Session time of this process.
            lockstep: Buffer until the barrier instead of delivering at once.
            deliver: Takes finished observations (the loop's ``observe``).
            after_connect: Subscribes and asks for what the service needs; called after every connection.
            errors: The broker adapter's exceptions; they mean *not now*, never a crash.
        """
        self._deliver = deliver
        self._lockstep = lockstep
        self._clock = clock
        self._after_connect = after_connect
        self._errors = errors
        self._not_now: tuple[type[Exception], ...] = (*errors, OSError, TimeoutError)
        self._buffer: deque[Observation] = deque(maxlen=BUFFER_MAX)
        self.broker = make(self._observe)
        self._log = structlog.get_logger()
        self.connections = 0

    async def start(self) -> None:
        """Connect for the first time.

        Raises:
            TimeoutError: The broker cannot be reached within ``CONNECT_BOUND_S``.
        """
        try:
            async with asyncio.timeout(CONNECT_BOUND_S):
                await self._connect()
        except TimeoutError as error:
            raise TimeoutError(
                f"no broker within {CONNECT_BOUND_S:.0f} s; check broker.host and broker.port, and that TWS, "
                "IB Gateway or `walstreet sim` accepts API connections there"
            ) from error

    async def keep(self) -> None:
        """Reconnect whenever the connection is lost, until cancelled."""
        while True:
            await asyncio.sleep(LINK_POLL_S)
            if not self.broker.connected:
                await self._connect()

    async def barrier(self, now_ns: int) -> list[Observation]:
        """Return, in order, everything that was observed up to session time ``now_ns``; lockstep only.

        A lost connection ends the barrier early: what is observable without it has been observed.
        """
        if not self.broker.connected:
            await self._connect()
        try:
            await self.broker.server_time_ns()
        except self._errors as error:
            self._log.warning("barrier_failed", error=str(error))
        self._clock.tell(now_ns)
        stamped = [_stamp(observation, now_ns) for observation in self._buffer]
        self._buffer.clear()
        return stamped

    async def follow_time(self, wall: Clock | None) -> None:
        """Free-running: keep saying how far session time has come, until cancelled.

        With ``wall`` the machine's clock is session time, less a grace for ticks on their way. Without it the broker
        is asked: its answer comes after every message that it sent before.
        """
        while True:
            if wall is not None:
                await asyncio.sleep(WALL_POLL_S)
                now_ns = wall.now_ns() - CLOSE_GRACE_NS
            else:
                await asyncio.sleep(SERVER_TIME_POLL_S)
                if not self.broker.connected:
                    continue
                try:
                    now_ns = await self.broker.server_time_ns()
                except self._errors as error:
                    self._log.warning("broker_time_unknown", error=str(error))
                    continue
            # The answer itself, not the clock, which an observation may have moved on since the answer was sent.
            self._clock.tell(now_ns)
            self._deliver(TimeObserved(ts_ns=now_ns))

    async def stop(self) -> None:
        """Disconnect."""
        await self.broker.close()

    async def _connect(self) -> None:
        attempt = 0
        while True:
            try:
                await self.broker.connect()
                await self._after_connect(self.broker)
            except self._not_now as error:
                wait_s = BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)]
                attempt += 1
                self._log.warning("broker_unreachable", attempt=attempt, retry_in_s=wait_s, error=str(error))
                await self.broker.close()
                await asyncio.sleep(wait_s)
                continue
            self.connections += 1
            self._log.info("broker_connected", connections=self.connections)
            return

    def _observe(self, observation: Observation) -> None:
        passed("callback", type(observation).__name__)
        if self._lockstep:
            self._buffer.append(observation)
        else:
            self._deliver(observation)


def _stamp(observation: Observation, now_ns: int) -> Observation:
    """Return the observation with the turn's time; bars keep their own, they say when they began."""
    if isinstance(observation, SnapshotObserved | BrokerBarObserved):
        return observation
    return msgspec.structs.replace(observation, ts_ns=now_ns)
