"""Owns lockstep turns over NATS: the simulator's conductor grants, services take their turn and report done.

Turns are not facts: they travel off the TAPE on ``turn.*`` subjects and leave no trace in any payload. A service
that was killed in its turn reports ready when it is back, and its grant is sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import msgspec
import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from walstreet.adapters.nats.connection import Connection
from walstreet_events.subjects import Service, reads, write_patterns

GRANT_REPEAT_S = 0.5
ALWAYS: tuple[Service, ...] = (Service.GATEWAY, Service.EXECUTION)
"""Services with a broker connection have something to observe in every step; the others only on new input."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Permission to act until everything up to ``upto`` has been handled at session time ``now_ns``."""

    step: int
    now_ns: int
    upto: int
    final: bool


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """A service finished its turn."""

    service: str
    step: int
    last_seq: int
    """Highest stream sequence that the service knows of, its own appends included."""
    subjects: tuple[str, ...]
    """Subjects under which it appended in this turn."""


class ServiceTurns:
    """A service's side: waits for grants, reports done."""

    def __init__(self, connection: Connection, service: Service) -> None:
        """Take turns as ``service``."""
        self._connection = connection
        self._service = service
        self._grants: asyncio.Queue[Grant] = asyncio.Queue(maxsize=16)
        self._subscription: Subscription | None = None
        self._last_done: Done | None = None

    async def start(self) -> None:
        """Subscribe to grants and say that this service is ready for them."""
        self._subscription = await self._connection.client.subscribe(
            f"turn.grant.{self._service.value}", cb=self._on_grant
        )
        await self._connection.barrier()
        await self.announce()

    async def announce(self) -> None:
        """Say that this service is ready."""
        # It is said again until a grant comes, so a connection that just broke needs no handling here.
        with contextlib.suppress(nats.errors.Error):
            await self._connection.client.publish(f"turn.ready.{self._service.value}", b"")

    async def next_grant(self) -> Grant:
        """Return the next grant, announcing readiness until one comes."""
        while True:
            try:
                async with asyncio.timeout(GRANT_REPEAT_S):
                    grant = await self._grants.get()
            except TimeoutError:
                await self._connection.wait_connected()
                await self.announce()
                continue
            if self._last_done is None or grant.step > self._last_done.step:
                return grant
            await self._send(self._last_done)

    async def done(self, grant: Grant, *, last_seq: int, subjects: tuple[str, ...]) -> None:
        """Report the end of the turn."""
        self._last_done = Done(service=self._service.value, step=grant.step, last_seq=last_seq, subjects=subjects)
        await self._send(self._last_done)

    async def _send(self, done: Done) -> None:
        await self._connection.wait_connected()
        # A report that is lost is asked for again: this service announces itself, and the grant comes once more.
        with contextlib.suppress(nats.errors.Error):
            await self._connection.client.publish(f"turn.done.{self._service.value}", msgspec.msgpack.encode(done))

    async def _on_grant(self, message: Msg) -> None:
        grant = msgspec.msgpack.decode(message.data, type=Grant)
        if not self._grants.full():
            self._grants.put_nowait(grant)


class TurnMaster:
    """The conductor's side: grants one turn at a time and waits for it."""

    def __init__(self, connection: Connection) -> None:
        """Grant through ``connection``."""
        self._connection = connection
        self._done: asyncio.Queue[Done] = asyncio.Queue(maxsize=256)
        self._ready: set[str] = set()
        self._ready_changed = asyncio.Event()
        self._pending = set(Service)
        self._last_seq = 0

    async def start(self) -> None:
        """Subscribe to readiness and results."""
        await self._connection.client.subscribe("turn.done.*", cb=self._on_done)
        await self._connection.client.subscribe("turn.ready.*", cb=self._on_ready)
        await self._connection.barrier()

    async def wait_ready(self, services: Sequence[str]) -> None:
        """Return when every service has announced itself; the caller bounds the wait."""
        while not set(services) <= self._ready:
            self._ready_changed.clear()
            await self._ready_changed.wait()

    async def grant(self, service: str, *, step: int, now_ns: int, upto: int, final: bool) -> int:
        """Give ``service`` its turn and return the last stream sequence after it; the caller bounds the wait.

        A service that has nothing to read is skipped, unless it watches the broker or the step is the last.
        """
        who = Service(service)
        self._last_seq = max(self._last_seq, upto)
        if not (who in self._pending or who in ALWAYS or final):
            return self._last_seq
        done, repeated = await self._exchange(who, Grant(step=step, now_ns=now_ns, upto=self._last_seq, final=final))
        self._pending.discard(who)
        self._last_seq = max(self._last_seq, done.last_seq)
        # An earlier life may have appended in this turn and died before it could say what. Whoever could have
        # something to read gets a turn then; a turn without input changes nothing.
        subjects = (*done.subjects, *write_patterns(who)) if repeated else done.subjects
        for subject in subjects:
            for other in Service:
                if other is not who and reads(other, subject):
                    self._pending.add(other)
        return self._last_seq

    async def _exchange(self, who: Service, grant: Grant) -> tuple[Done, bool]:
        """Grant until the turn is done; return its report and whether the grant had to be repeated."""
        payload = msgspec.msgpack.encode(grant)
        subject = f"turn.grant.{who.value}"
        repeated = False
        self._ready.discard(who.value)
        await self._publish(subject, payload)
        while True:
            done = await self._next_done()
            if done is not None and done.service == who.value and done.step == grant.step:
                return done, repeated
            if who.value in self._ready:
                # It announced itself anew: it was restarted in its turn, or the grant was lost.
                self._ready.discard(who.value)
                repeated = True
                await self._publish(subject, payload)

    async def _publish(self, subject: str, payload: bytes) -> None:
        await self._connection.wait_connected()
        # A grant that is lost is sent again when the service announces that it still waits.
        with contextlib.suppress(nats.errors.Error):
            await self._connection.client.publish(subject, payload)

    async def _next_done(self) -> Done | None:
        try:
            async with asyncio.timeout(GRANT_REPEAT_S):
                return await self._done.get()
        except TimeoutError:
            return None

    async def _on_done(self, message: Msg) -> None:
        if not self._done.full():
            self._done.put_nowait(msgspec.msgpack.decode(message.data, type=Done))

    async def _on_ready(self, message: Msg) -> None:
        self._ready.add(message.subject.rpartition(".")[2])
        self._ready_changed.set()
