"""Owns small real cores for tests of the loop: each output shows the whole state, so any slip changes the bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from walstreet.domain.observations import Observation, TimeObserved
from walstreet_events import (
    ROOT,
    AnyEvent,
    ClockTick,
    Mode,
    ModeRequest,
    ProducerEpoch,
    ReconReport,
    ReconRequest,
    Service,
    derive_id,
    encode,
)

POISON_EVOLVE = "poison-evolve"
POISON_DECIDE = "poison-decide"
POISON_OBSERVE_NS = -1
OUTPUTS_PER_TICK = (1, 0, 3, 2)
"""How many events a tick causes, by its number: none, one and several all occur."""

Step = Callable[[str], None]


def _no_step(name: str) -> None:
    """Let the process live."""


def clock_tick(number: int, *, session_date: str = "2026-01-05") -> ClockTick:
    """Return the ``number``-th tick of a session; ``session_date`` may be one of the poisons."""
    return ClockTick(
        id=derive_id(f"tick:{number}", "clock_tick.v1", 0), cause=ROOT, ts_ns=number, session_date=session_date
    )


def mode_request(number: int, *, service: Service) -> ModeRequest:
    """Return a small event that every service may write."""
    return ModeRequest(
        id=derive_id(f"request:{service.value}:{number}", "mode_request.v1", 0),
        cause=ROOT,
        ts_ns=number,
        service=service.value,
        mode=Mode.OBSERVE,
        reason=f"number {number}",
    )


@dataclass(slots=True)
class DigestState:
    """Everything that was folded, as one digest, and what is counted besides."""

    digest: str = ""
    ticks: int = 0
    requests: int = 0
    reports: int = 0
    folded: list[str] = field(default_factory=list)


class DigestCore:
    """A core of the reconciler's name: ticks cause requests whose text is the digest of all facts before."""

    def __init__(self, step: Step = _no_step) -> None:
        """Call ``step`` before and after everything that a crash could fall on."""
        self._step = step
        self.decided = 0

    @property
    def service(self) -> Service:
        """Return the producer."""
        return Service.RECONCILER

    def initial(self) -> DigestState:
        """Return the state before the first event."""
        return DigestState()

    def evolve(self, state: DigestState, event: AnyEvent) -> DigestState:
        """Fold one event.

        Raises:
            ValueError: The event is a poisoned tick.
            TypeError: No core may see the event.
        """
        self._step("before_evolve")
        if isinstance(event, ProducerEpoch):
            raise TypeError("a core's own epochs are none of its business")
        if isinstance(event, ClockTick):
            if event.session_date == POISON_EVOLVE:
                raise ValueError(f"tick {event.id} is poisoned")
            state.ticks += 1
        elif isinstance(event, ReconRequest):
            state.requests += 1
        elif isinstance(event, ReconReport):
            state.reports += 1
        state.digest = hashlib.blake2b(f"{state.digest}{event.id}".encode(), digest_size=16).hexdigest()
        state.folded.append(event.id)
        self._step("after_evolve")
        return state

    def decide(self, state: DigestState, event: AnyEvent) -> Sequence[AnyEvent]:
        """Return the requests that a tick causes.

        Raises:
            ValueError: The event is a poisoned tick.
        """
        self._step("before_decide")
        self.decided += 1
        if not isinstance(event, ClockTick):
            return ()
        if event.session_date == POISON_DECIDE:
            raise ValueError(f"tick {event.id} is poisoned")
        count = OUTPUTS_PER_TICK[state.ticks % len(OUTPUTS_PER_TICK)]
        return tuple(
            ReconRequest(
                id=derive_id(event.id, "recon_request.v1", index),
                cause=event.id,
                ts_ns=event.ts_ns,
                number=state.requests + index,
                reason=state.digest,
            )
            for index in range(count)
        )

    def observe(self, state: DigestState, observation: Observation) -> Sequence[AnyEvent]:  # noqa: ARG002 - the port's
        """Return a report for a time that was observed; its natural key is that time.

        Raises:
            ValueError: The observation is the poisoned one.
        """
        self._step("before_observe")
        if not isinstance(observation, TimeObserved):
            return ()
        if observation.ts_ns == POISON_OBSERVE_NS:
            raise ValueError("poisoned observation")
        return (
            ReconReport(
                id=derive_id(f"time:{observation.ts_ns}", "recon_report.v1", 0),
                cause=ROOT,
                ts_ns=observation.ts_ns,
                request="",
                snapshot="",
                status="clean",
                orders_checked=0,
                executions_checked=0,
                positions_checked=0,
                breaks=0,
            ),
        )


@dataclass(slots=True)
class RecordingEffects:
    """Remembers what was reacted to."""

    step: Step = _no_step
    reacted: list[str] = field(default_factory=list)
    barriers: list[int] = field(default_factory=list)
    recovered: list[int] = field(default_factory=list)

    async def react(self, event: AnyEvent) -> None:
        """Remember the event."""
        self.step("before_react")
        self.reacted.append(event.id)
        self.step("after_react")

    async def barrier(self, now_ns: int) -> None:
        """Remember the barrier."""
        self.step("barrier")
        self.barriers.append(now_ns)

    async def recover(self, replayed: int) -> None:
        """Remember the recovery."""
        self.step("recover")
        self.recovered.append(replayed)


def payloads_without_a_crash(ticks: Sequence[ClockTick]) -> list[bytes]:
    """Return what ``DigestCore`` writes for ``ticks`` when nothing goes wrong: the plain fold, without any loop."""
    core = DigestCore()
    state = core.initial()
    payloads: list[bytes] = []
    for tick in ticks:
        state = core.evolve(state, tick)
        for output in core.decide(state, tick):
            payloads.append(encode(output))
            state = core.evolve(state, output)
    return payloads
