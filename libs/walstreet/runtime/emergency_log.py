"""Owns the log as execution sees it: the TAPE, and in an emergency without a TAPE the local spool.

Without an emergency nothing changes: what cannot be appended does not happen. In an emergency a log that keeps
execution waiting longer than a grace is left: this life then goes on with observations alone and spools what it
decides. As soon as the log answers again the life ends; the next one imports the spool into the TAPE, in order, each
event once, whatever stands there already. An execution that finds no log at its start waits for it, and if an emergency
comes, begins a life without history: it trusts nothing but what the broker says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import structlog

from walstreet.ports import Journal
from walstreet.runtime.alarm import Alarm
from walstreet.runtime.loop_ports import DeadLetters, Inbox, Message
from walstreet.runtime.service import Log, Turns
from walstreet_events import AnyEvent, ExternalOrder, OrderFilled
from walstreet_events import headers as names

WAIT_STEP_S = 0.05
"""How often a wait for the log looks at the alarm."""

T = TypeVar("T")


class LogReturnedError(RuntimeError):
    """Nobody's fault: the log answers again, so this life ends and the next one imports the spool."""


class Spooled(Protocol):
    """What a spool holds."""

    @property
    def events(self) -> tuple[AnyEvent, ...]:
        """Return the events, in order."""

    @property
    def torn_bytes(self) -> int:
        """Return how much behind them cannot be read."""


class Spool(Protocol):
    """Where events go while the log is away."""

    @property
    def path(self) -> Path:
        """Return the file."""

    def read(self) -> Spooled:
        """Return what it holds."""

    def finish(self) -> Path | None:
        """Put it aside once everything in it stands on the TAPE, and return where."""

    def pending(self) -> bool:
        """Return whether events wait for their import."""

    def append(self, event: AnyEvent) -> None:
        """Write ``event`` durably."""

    def close(self) -> None:
        """Release the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Bounds of waiting for the log, wall time in seconds."""

    grace_s: float
    retry_s: float


@dataclass(slots=True, kw_only=True)
class Away:
    """What is known of the log's absence."""

    offline: bool = False
    """This life has left the log."""
    blind: bool = False
    """This life never saw the log."""
    position: int = 0
    """Stand-in for stream sequences."""
    recorded: dict[str, bool] = field(default_factory=dict)
    """Ids of own events on the TAPE, as read at the start."""


class EmergencyLog:
    """A service's log that an emergency does not depend on; satisfies ``walstreet.runtime.service.Log``."""

    def __init__(
        self,
        inner: Log,
        *,
        spool: Spool,
        alarm: Alarm,
        reachable: Callable[[], Awaitable[bool]],
        errors: tuple[type[Exception], ...],
        patience: Patience,
    ) -> None:
        """Wrap ``inner``.

        Args:
            inner: The TAPE.
            spool: The local file.
            alarm: Whether there is an emergency.
            reachable: Asks whether a log would answer now.
            errors: The log adapter's exceptions that mean *not now*.
            patience: How long to wait.
        """
        self._inner = inner
        self.spool = spool
        self.alarm = alarm
        self.reachable = reachable
        self.errors = errors
        self.patience = patience
        self.away = Away()
        self._inbox = _Inbox(self, inner.inbox)
        self._journal = _Journal(self, inner.journal)
        self._dead = _DeadLetters(self, inner.dead)
        self._log = structlog.get_logger().bind(service="execution")

    @property
    def inbox(self) -> Inbox:
        """Return the ordered input; silent while the log is away."""
        return self._inbox

    @property
    def journal(self) -> Journal:
        """Return the durable output: the TAPE, or the spool."""
        return self._journal

    @property
    def dead(self) -> DeadLetters:
        """Return where unhandled messages go."""
        return self._dead

    @property
    def turns(self) -> Turns | None:
        """Return the lockstep side; without a log there are no turns, and no time either."""
        return self._inner.turns

    @property
    def connected(self) -> bool:
        """Return whether the connection stands now."""
        return self._inner.connected and not self.away.offline

    async def open(self) -> Sequence[Message]:
        """Return the whole TAPE; or nothing, when there is no log and an emergency cannot wait for one."""
        told = False
        while not await self.reachable():
            if self.turns is None and (self.alarm.look() or self.spool.pending()):
                self.leave("no log at the start")
                self.away.blind = True
                return []
            if not told:
                told = True
                self._log.critical(
                    "log_unreachable",
                    remedy="execution waits and watches panic.flag; nothing is traded. Start the NATS server",
                )
            await asyncio.sleep(self.patience.retry_s)
        history = await self._inner.open()
        own = f"{self._service}:"
        for message in history:
            if message.producer == self._service:
                self.away.recorded[message.headers.get(names.MSG_ID, "").removeprefix(own)] = True
        return history

    async def begin_epoch(self, *, epoch: int, seq: int, chain: str, epoch_seq: int, config_hash: str) -> int:
        """Fence off earlier lives; a life without log has nothing to fence."""
        if self.away.offline:
            return 0
        begun = await self._inner.begin_epoch(
            epoch=epoch, seq=seq, chain=chain, epoch_seq=epoch_seq, config_hash=config_hash
        )
        self.away.position = max(self.away.position, begun)
        return begun

    async def close(self) -> None:
        """Drain and close both."""
        self.spool.close()
        await self._inner.close()

    async def returned(self) -> None:
        """Return when a log answers again."""
        answers = await self.reachable()
        while not answers:
            await asyncio.sleep(self.patience.retry_s)
            answers = await self.reachable()

    def leave(self, why: str) -> None:
        """Go on without the log."""
        if self.away.offline:
            return
        self.away.offline = True
        self._log.critical(
            "log_left_in_emergency",
            why=why,
            remedy="flattening goes on and is spooled; start the NATS server, and the next life imports the spool",
        )

    def write(self, event: AnyEvent) -> int:
        """Spool ``event`` and return a stand-in for its stream sequence.

        A life that never saw the log does not know whose orders it meets; the next life is told of them by the
        broker's own queries, so they are left to it.
        """
        foreign = isinstance(event, ExternalOrder) or (isinstance(event, OrderFilled) and not event.client_order_id)
        if not (self.away.blind and foreign):
            self.spool.append(event)
        self.away.position += 1
        return self.away.position

    async def patiently(self, work: Awaitable[T], *, bounded: bool) -> T:
        """Await ``work`` on the log; leave the log when an emergency cannot wait for it.

        Args:
            work: What to wait for.
            bounded: Whether an answer is due; waiting for the next message may take for ever.

        Raises:
            _LeftError: The log was left; whether ``work`` took effect is unknown.
        """
        task = asyncio.ensure_future(work)
        waited_s = 0.0
        try:
            while True:
                await asyncio.wait({task}, timeout=WAIT_STEP_S)
                if task.done():
                    return task.result()
                waited_s += WAIT_STEP_S
                if self.turns is not None or not self.alarm.look():
                    waited_s = 0.0
                elif self.away.offline or (bounded and waited_s >= self.patience.grace_s):
                    self.leave(f"no answer in {self.patience.grace_s:g} s")
                    raise _LeftError
        except self.errors as error:
            if self.turns is None and self.alarm.look():
                self.leave(str(error))
                raise _LeftError from error
            raise
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    @property
    def _service(self) -> str:
        return "execution"


class _LeftError(Exception):
    """The log was left while something waited for it."""


class _Journal:
    def __init__(self, log: EmergencyLog, inner: Journal) -> None:
        self._log, self._inner = log, inner

    @property
    def epoch(self) -> int:
        return self._inner.epoch

    async def append(self, event: AnyEvent, *, through: int) -> int:
        log = self._log
        if not log.away.offline:
            try:
                seq = await log.patiently(self._inner.append(event, through=through), bounded=True)
            except _LeftError:
                # Whether the TAPE has it is unknown; the import looks by the event's id.
                pass
            else:
                log.away.position = max(log.away.position, seq)
                return seq
        return log.write(event)


class _Inbox:
    def __init__(self, log: EmergencyLog, inner: Inbox) -> None:
        self._log, self._inner = log, inner

    @property
    def next_seq(self) -> int:
        return self._inner.next_seq

    @property
    def gaps(self) -> int:
        return self._inner.gaps

    async def take(self, upto: int | None = None) -> Sequence[Message]:
        log = self._log
        if not log.away.offline:
            try:
                return await log.patiently(self._inner.take(upto), bounded=False)
            except _LeftError:
                pass
        if upto is not None:
            return []
        await log.returned()
        raise LogReturnedError("the log answers again; this life ends, and the next one imports the spool")


class _DeadLetters:
    def __init__(self, log: EmergencyLog, inner: DeadLetters) -> None:
        self._log, self._inner = log, inner

    async def keep(
        self, *, reason: str, detail: str, subject: str, stream_seq: int, payload: bytes, ts_ns: int
    ) -> None:
        if self._log.away.offline:
            structlog.get_logger().critical(
                "dead_letter_without_log", reason=reason, detail=detail, subject=subject, payload=payload.hex()
            )
            return
        await self._inner.keep(
            reason=reason, detail=detail, subject=subject, stream_seq=stream_seq, payload=payload, ts_ns=ts_ns
        )


async def import_spool(
    events: Sequence[AnyEvent], recorded: dict[str, bool], adopt: Callable[[AnyEvent], Awaitable[None]]
) -> int:
    """Hand the events that the TAPE does not hold to ``adopt``, in order, and return how many they were."""
    count = 0
    for event in events:
        if event.id not in recorded:
            await adopt(event)
            recorded[event.id] = True
            count += 1
    return count
