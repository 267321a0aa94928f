"""Owns a service's broker connection: connect with back-off, reconnect, buffer observations, and the turn's barrier."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from walstreet.domain.observations import (
    BrokerBarObserved,
    LinkObserved,
    Observation,
    SnapshotObserved,
    TimeObserved,
)
from walstreet.domain.reconnect import ReconnectParameters, wait_s
from walstreet.ports import Broker, Clock, Observer
from walstreet.runtime.clocks import ToldClock
from walstreet.runtime.crash_points import passed

TURN_ATTEMPTS = 2
"""In lockstep, attempts to connect within one turn: session time stands still, so more would change nothing."""
TURN_PAUSE_S = 0.1
_RANDOM = secrets.SystemRandom()
REMEDY = "check broker.host and broker.port, and that TWS, IB Gateway or `walstreet sim` accepts API connections there"
BUFFER_MAX = 2_000_000
LINK_POLL_S = 0.25
PROBE_S = 15.0
SERVER_TIME_POLL_S = 0.05
HUNG = (
    "the gateway's port is open and it answers nothing: log in to its screen and restart it; orders are refused and "
    "called unknown until it answers again"
)
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
        client_id: int,
        reconnect: ReconnectParameters,
        probe_s: float = PROBE_S,
        draw: Callable[[], float] = _RANDOM.random,
    ) -> None:
        """Prepare.

        Args:
            make: Builds the broker around an observer.
            clock: Session time of this process.
            lockstep: Buffer until the barrier instead of delivering at once.
            deliver: Takes finished observations (the loop's ``observe``).
            after_connect: Subscribes and asks for what the service needs; called after every connection.
            errors: The broker adapter's exceptions; they mean *not now*, never a crash.
            client_id: Of this connection, for the fact that the broker cannot be reached.
            reconnect: How long to wait between attempts.
            probe_s: Distance of the questions that prove that the broker still answers, where time does not ask it.
            draw: Uniform in [0, 1), for the spread of the waits; it decides nothing else.
        """
        self._deliver = deliver
        self._lockstep = lockstep
        self._clock = clock
        self._after_connect = after_connect
        self._errors = errors
        self._not_now: tuple[type[Exception], ...] = (*errors, OSError, TimeoutError)
        self._client_id = client_id
        self._reconnect = reconnect
        self._probe_s = probe_s
        self._draw = draw
        self._attempting = False
        self._failures = 0
        self._buffer: deque[Observation] = deque(maxlen=BUFFER_MAX)
        self.broker = make(self._observe)
        self._log = structlog.get_logger()
        self.connections = 0

    async def start(self) -> None:
        """Call the broker for the first time; a service starts without one too, and goes on calling.

        A start may fall into the broker's nightly restart. What the log asks for meanwhile (a panic, a cancel) must
        find a service that listens, and everything that needs the broker is refused until it is there.
        """
        if self._lockstep:
            await self._connect_in_turn()
        else:
            await self._attempt()

    async def keep(self) -> None:
        """Reconnect whenever the connection is lost, until cancelled."""
        while True:
            if self._failures and not self.broker.connected:
                await asyncio.sleep(wait_s(self._failures, self._draw(), self._reconnect))
            else:
                await asyncio.sleep(LINK_POLL_S)
            if not self.broker.connected:
                await self._attempt()

    async def barrier(self, now_ns: int) -> list[Observation]:
        """Return, in order, everything that was observed up to session time ``now_ns``; lockstep only.

        A lost connection ends the barrier early: what is observable without it has been observed. It is called again
        in every turn, and never waited for: session time, and with it the broker's absence, would not end.
        """
        if not self.broker.connected:
            await self._connect_in_turn()
        if self.broker.connected:
            await self._answered_ns()
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
                answered_ns = await self._answered_ns() if self.broker.connected else None
                if answered_ns is None:
                    continue
                now_ns = answered_ns
            # The answer itself, not the clock, which an observation may have moved on since the answer was sent.
            self._clock.tell(now_ns)
            self._deliver(TimeObserved(ts_ns=now_ns))

    async def probe(self) -> None:
        """Live: keep asking the broker for an answer, since an open socket proves nothing, until cancelled."""
        while True:
            await asyncio.sleep(self._probe_s)
            if self.broker.connected:
                await self._answered_ns()

    async def stop(self) -> None:
        """Disconnect."""
        await self.broker.close()

    async def _connect_in_turn(self) -> None:
        for attempt in range(TURN_ATTEMPTS):
            if attempt:
                # The broker may still be letting go of the client id of an earlier life of ours.
                await asyncio.sleep(TURN_PAUSE_S)
            if await self._attempt():
                return

    async def _attempt(self) -> bool:
        """Connect once and return whether it worked."""
        self._attempting = True
        try:
            await self.broker.connect()
            await self._after_connect(self.broker)
        except self._not_now as error:
            self._failures += 1
            self._log.warning("broker_unreachable", attempt=self._failures, error=str(error), remedy=REMEDY)
            await self.broker.close()
            if self.connections == 0 and self._failures == 1:
                # An earlier life may have left the link on the log as up.
                self._observe(self._down(f"not reached since the start: {error}"))
            return False
        finally:
            self._attempting = False
        self.connections += 1
        self._failures = 0
        self._log.info("broker_connected", connections=self.connections)
        return True

    async def _answered_ns(self) -> int | None:
        """Return the broker's time, None without an answer; a connection that does not answer is given up."""
        broken = self.connections
        try:
            return await self.broker.server_time_ns()
        except self._not_now as error:
            # A socket that was lost has told so itself, and what a new connection lacks is its own maker's to judge.
            if self.broker.connected and not self._attempting and self.connections == broken:
                await self._give_up(str(error))
            else:
                self._log.warning("broker_time_unknown", error=str(error))
            return None

    async def _give_up(self, detail: str) -> None:
        """Close a connection that is open and dead; answers that come late would be taken for those of later questions.

        The link is told as down first: closing is our own doing, of which the broker's side says nothing.
        """
        self._log.critical("broker_hangs", error=detail, remedy=HUNG)
        self._observe(self._down(f"no answer behind an open port: {detail}"))
        await self.broker.close()

    def _down(self, detail: str) -> LinkObserved:
        return LinkObserved(
            ts_ns=self._clock.now_ns(),
            connected=False,
            data_lost=True,
            client_id=self._client_id,
            next_order_id=0,
            code=0,
            detail=detail,
        )

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
