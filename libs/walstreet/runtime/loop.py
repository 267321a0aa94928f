"""Owns the shared loop: replay the own journal, then decide, append, evolve, react, for ever.

One service is one core, one inbox and one journal. The order of the steps is the whole point:

1. fold the input into the state, decide what follows from it;
2. append each consequence and wait until it is fsynced;
3. only then fold the consequence and carry out its effect.

A crash between any two of these lines loses nothing: what was appended is found in replay, what was not is decided
again from the same prefix of the log, with the same ids.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic

import structlog

from walstreet.domain.mode_causes import exception_request
from walstreet.domain.observations import Observation
from walstreet.ports import Core, Effects, Journal, StateT
from walstreet.runtime.chain import ChainFault, ChainVerifier
from walstreet.runtime.crash_points import passed
from walstreet.runtime.loop_ports import DeadLetters, Inbox, Message, Turn
from walstreet.runtime.loop_types import LoopOverrunError, Replayed, Undone
from walstreet.runtime.metrics import ServiceMetrics
from walstreet_events import (
    AnyEvent,
    EventDecodeError,
    EventId,
    Mode,
    ModeRequest,
    ProducerEpoch,
    decode,
    derive_id,
    reads,
    subject_of,
    tag_of,
)
from walstreet_events import headers as names

OBSERVATIONS_MAX = 400_000
"""Observations that wait for the loop; beyond it the service ends, because a late decision is a wrong one."""
OBSERVATIONS_PER_DRAIN_MAX = 4_096
"""In free running, inputs and the connection get their turn after so many observations at the latest."""

assert OBSERVATIONS_PER_DRAIN_MAX < OBSERVATIONS_MAX


class ServiceLoop(Generic[StateT]):
    """Runs one core against one log."""

    def __init__(
        self,
        *,
        core: Core[StateT],
        inbox: Inbox,
        journal: Journal,
        dead: DeadLetters,
        effects: Effects,
        metrics: ServiceMetrics,
        wall_ns: Callable[[], int],
        decides_from_log: bool = True,
    ) -> None:
        """Wire one service; ``wall_ns`` measures latency and decides nothing.

        Args:
            core: The decisions.
            inbox: Ordered input.
            journal: Durable output.
            dead: Where unhandled messages go.
            effects: What is done outside the log.
            metrics: Counters of this service.
            wall_ns: Wall clock.
            decides_from_log: False for a core that also looks at volatile facts (execution: the latest quote). After
                a crash in the middle of one input's outputs such a core must not decide the rest again.
        """
        self.core = core
        self.state = core.initial()
        self._inbox = inbox
        self._journal = journal
        self._dead = dead
        self._effects = effects
        self._metrics = metrics
        self._wall_ns = wall_ns
        self._decides_from_log = decides_from_log
        self._service = core.service
        self._observations: deque[Observation] = deque()
        self._overrun = False
        self._gaps = 0
        self._through = 0
        self._chain = ChainVerifier()
        self._chain_reported = False
        self._pending_fault: ChainFault | None = None
        self._refused: dict[int, ChainFault] = {}
        self._undone: deque[Undone] = deque()
        self._own_seq = 0
        """Stream sequence of the newest own message. An append that ends below it met the fact on the TAPE already."""
        self._reads: dict[str, bool] = {}
        self._log = structlog.get_logger().bind(service=self._service.value)
        self.work = asyncio.Event()
        self.appended_subjects: dict[str, None] = {}
        self.last_seq = 0
        self.handled = 0
        self.failed = 0

    @property
    def chain(self) -> ChainVerifier:
        """Return the verifier that has followed every message read so far."""
        return self._chain

    def observe(self, observation: Observation) -> None:
        """Take an observation from a broker callback; never blocks, never raises."""
        if len(self._observations) >= OBSERVATIONS_MAX:
            self._overrun = True
            self.work.set()
            return
        self._observations.append(observation)
        self.work.set()

    # ------------------------------------------------------------------------------------------ replay

    async def replay(self, history: Sequence[Message], *, before_seq: int, hold_undone: bool = False) -> Replayed:
        """Rebuild the state from the TAPE below ``before_seq`` and decide what an earlier life left undone.

        Args:
            history: Everything on the TAPE, in order, up to the own epoch message; ``verify`` has seen it.
            before_seq: Stream sequence of the own epoch message of this life.
            hold_undone: Lockstep: inputs that no earlier life processed wait for the next turn. Deciding them at once
                would write into another service's turn, and the order of the TAPE would depend on the crash.
        """
        self._own_seq = before_seq
        own: deque[tuple[int, AnyEvent]] = deque()
        inputs: list[Undone] = []
        replayed = Replayed()
        for message in history:
            if message.seq >= before_seq:
                continue
            mine = message.producer == self._service.value
            if not (mine or self._wants(message.subject)):
                continue
            item = self._opened(message)
            if not mine:
                inputs.append(item)
            elif item.event is not None and not isinstance(item.event, ProducerEpoch):
                # Epochs are facts about processes: live, no core ever sees its own.
                own.append((message.number(names.THROUGH), item.event))
                replayed.through = max(replayed.through, own[-1][0])
        replayed.recorded = {event.id for through, event in own if through == replayed.through}
        for item in inputs:
            seq = item.message.seq
            if seq > replayed.through:
                self._undone.append(item)
                continue
            self._fold_own(own, seq - 1, replayed)
            if item.event is None:
                continue
            self._through = seq
            folded = self._fold(item.event)
            replayed.inputs += 1
            if folded and seq == replayed.through and self._decides_from_log:
                await self._complete(item.event, own, replayed)
            self._fold_own(own, seq, replayed)
        self._fold_own(own, replayed.through, replayed)
        self._through = max(self._through, replayed.through)
        self.last_seq = max(self.last_seq, before_seq)
        await self._report_chain_faults()
        await self._effects.recover(replayed.inputs)
        if not hold_undone:
            await self._catch_up(None)
        return replayed

    def _opened(self, message: Message) -> Undone:
        """Return ``message`` with its event, or with the reason why it must not be used."""
        fault = self._refused.get(message.seq)
        if fault is not None:
            return Undone(message, None, f"chain_{fault.kind}", fault.detail)
        try:
            return Undone(message, decode(message.payload), "", "")
        except EventDecodeError as error:
            return Undone(message, None, error.reason, str(error))

    async def _complete(self, event: AnyEvent, own: deque[tuple[int, AnyEvent]], replayed: Replayed) -> None:
        """Append what the last processed input causes and the crash kept from the log."""
        for output in self._decide_guarded(event):
            if output.id not in replayed.recorded and await self._append(output):
                own.append((replayed.through, output))

    def _fold_own(self, own: deque[tuple[int, AnyEvent]], through: int, replayed: Replayed) -> None:
        """Fold the own outputs that stand behind input ``through`` or before it, in the order of the TAPE."""
        while own and own[0][0] <= through:
            self._fold(own.popleft()[1])
            replayed.outputs += 1

    def _fold(self, event: AnyEvent) -> bool:
        """Fold in replay: what failed then fails the same way now, and was dead-lettered then."""
        try:
            self.state = self.core.evolve(self.state, event)
        except Exception as error:  # noqa: BLE001 - one poisoned event must not keep a service from starting
            self.failed += 1
            self._log.error("replay_event_failed", event_id=event.id, type=tag_of(type(event)), error=repr(error))
            return False
        return True

    async def _catch_up(self, upto: int | None) -> None:
        """Process what came while no life of this service ran, up to stream sequence ``upto``."""
        while self._undone and (upto is None or self._undone[0].message.seq <= upto):
            item = self._undone.popleft()
            if item.event is None:
                await self._bury_message(item)
            else:
                await self._process(item.message, item.event)

    # -------------------------------------------------------------------------------------------- live

    async def run_free(self) -> None:
        """Process inputs and observations as they come, until cancelled."""
        while True:
            await self.drain_observations(OBSERVATIONS_PER_DRAIN_MAX)
            taken = await self._take_or_work()
            self._count_gaps()
            for message in taken:
                await self._handle(message)
                await self.drain_observations(OBSERVATIONS_PER_DRAIN_MAX)

    async def run_turn(self, turn: Turn) -> None:
        """Handle everything up to the turn's end, observations first and last."""
        self.appended_subjects.clear()
        passed("turn_begun")
        await self._effects.barrier(turn.now_ns)
        await self.drain_observations()
        await self._catch_up(turn.upto)
        taken = await self._inbox.take(turn.upto)
        self._count_gaps()
        for message in taken:
            await self._handle(message)
        await self._effects.barrier(turn.now_ns)
        await self.drain_observations()
        self.last_seq = max(self.last_seq, turn.upto)
        passed("turn_ended")

    async def drain_observations(self, most: int | None = None) -> None:
        """Turn waiting observations into events: all of them, or the ``most`` oldest.

        Raises:
            LoopOverrunError: One was lost, so what this service knows of the world is wrong from here on.
        """
        taken = 0
        while self._observations and (most is None or taken < most):
            self._check_overrun()
            await self._observed(self._observations.popleft())
            taken += 1
        self._check_overrun()

    def _check_overrun(self) -> None:
        if self._overrun:
            raise LoopOverrunError(
                f"{self._service.value}: more than {OBSERVATIONS_MAX} observations waited; the machine is too slow for "
                "this feed, or the log is stuck. Lower --speed, or trade fewer symbols"
            )

    async def _observed(self, observation: Observation) -> None:
        passed("observation_taken", type(observation).__name__)
        try:
            outputs = self.core.observe(self.state, observation)
        except Exception as error:  # noqa: BLE001 - one bad broker message must not end the service
            ts_ns = observation.ts_ns if hasattr(observation, "ts_ns") else 0
            await self._bury(
                reason="observation_failed",
                detail=f"{type(observation).__name__}: {error!r}",
                subject=f"observation.{type(observation).__name__}",
                seq=0,
                payload=repr(observation).encode(),
                ts_ns=ts_ns,
            )
            # Observations have no identity of their own; the epoch keeps those of two lives apart.
            cause = derive_id(f"observation:{self._service.value}:{self._journal.epoch}", "failed", self.failed)
            await self._report_exception(cause, "observation_failed", ts_ns)
            return
        for output in outputs:
            await self._append_and_react(output)

    async def _take_or_work(self) -> Sequence[Message]:
        """Wait for messages; observations that come meanwhile are handled at once."""
        take = asyncio.ensure_future(self._inbox.take())
        try:
            while not take.done():
                self.work.clear()
                if self._observations or self._overrun:
                    await self.drain_observations(OBSERVATIONS_PER_DRAIN_MAX)
                    # Observations without consequences never suspend; let the inbox and the connection breathe.
                    await asyncio.sleep(0)
                    continue
                work = asyncio.ensure_future(self.work.wait())
                try:
                    await asyncio.wait({take, work}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    work.cancel()
            return take.result()
        finally:
            if not take.done():
                take.cancel()
                await asyncio.wait({take})

    async def _handle(self, message: Message) -> None:
        self.verify(message)
        await self._report_chain_faults()
        wanted = self._wants(message.subject)
        if not wanted or (message.producer == self._service.value and message.seq not in self._refused):
            return
        item = self._opened(message)
        if item.event is None:
            await self._bury_message(item)
        else:
            await self._process(message, item.event)

    async def _process(self, message: Message, event: AnyEvent) -> None:
        started = time.perf_counter()
        wall = message.number(names.WALL_NS)
        if wall:
            self._metrics.hop_seconds.labels(self._service.value).observe(max(0, self._wall_ns() - wall) / 1e9)
        self._through = message.seq
        tag = tag_of(type(event))
        passed("input_taken", tag)
        try:
            self.state = self.core.evolve(self.state, event)
            outputs = self.core.decide(self.state, event)
        except Exception as error:  # noqa: BLE001 - the input is kept and the service goes on with the next one
            await self._bury(
                reason="core_failed",
                detail=f"{tag_of(type(event))} {event.id}: {error!r}",
                subject=message.subject,
                seq=message.seq,
                payload=message.payload,
                ts_ns=event.ts_ns,
            )
            await self._report_exception(event.id, "core_failed", event.ts_ns)
            return
        if outputs:
            passed("decided", tag)
        for output in outputs:
            await self._append_and_react(output)
        await self._effects.react(event)
        self.handled += 1
        self._metrics.events_in.labels(self._service.value, tag).inc()
        elapsed_s = time.perf_counter() - started
        self._metrics.process_seconds.labels(self._service.value).observe(elapsed_s)
        self._metrics.tape_position.labels(self._service.value).set(message.seq + 1)
        self._log.debug(
            "handled", type=tag, seq=message.seq, event_id=event.id, outputs=len(outputs), ms=round(elapsed_s * 1e3, 3)
        )

    async def _append_and_react(self, output: AnyEvent) -> None:
        if await self._append(output):
            self.state = self.core.evolve(self.state, output)
            tag = tag_of(type(output))
            passed("folded", tag)
            await self._effects.react(output)
            passed("reacted", tag)

    async def adopt(self, event: AnyEvent) -> None:
        """Take over an own fact that was decided while the log was away: append and fold, without its effect."""
        if await self._append(event):
            self.fold_own(event)

    def fold_own(self, event: AnyEvent) -> None:
        """Fold an own fact of an earlier life that stands elsewhere than on the TAPE."""
        self._fold(event)

    async def _append(self, output: AnyEvent) -> bool:
        """Append and return whether the fact is new; one that stood on the TAPE already was folded already."""
        started = time.perf_counter()
        tag = tag_of(type(output))
        passed("append_begins", tag)
        passed("append_under_way", tag)
        seq = await self._journal.append(output, through=self._through)
        passed("appended", tag)
        self._metrics.append_seconds.labels(self._service.value).observe(time.perf_counter() - started)
        self._metrics.events_out.labels(self._service.value, tag).inc()
        if seq <= self._own_seq:
            self._log.info("recorded_already", event_id=output.id, type=tag, seq=seq)
            return False
        self._own_seq = seq
        self.last_seq = max(self.last_seq, seq)
        self.appended_subjects[subject_of(output)] = None
        return True

    # ----------------------------------------------------------------------------------------- helpers

    def _count_gaps(self) -> None:
        """Tell the metrics of gaps that the inbox has found and filled since the last time."""
        before, self._gaps = self._gaps, self._inbox.gaps
        if self._gaps > before:
            self._metrics.gaps.labels(self._service.value).inc(self._gaps - before)

    def _decide_guarded(self, event: AnyEvent) -> Sequence[AnyEvent]:
        try:
            return self.core.decide(self.state, event)
        except Exception as error:  # noqa: BLE001 - the same failure was dead-lettered by the earlier life
            self._log.error("replay_decide_failed", event_id=event.id, error=repr(error))
            return ()

    def _wants(self, subject: str) -> bool:
        known = self._reads.get(subject)
        if known is None:
            known = self._reads[subject] = reads(self._service, subject)
        return known

    def verify(self, message: Message) -> None:
        """Follow the hash chains over one message; a fault asks for OBSERVE as soon as this service may write.

        A message that is not what its producer wrote is not used, neither now nor in replay.
        """
        fault = self._chain.check(
            stream_seq=message.seq, subject=message.subject, headers=message.headers, payload=message.payload
        )
        if fault is not None:
            self.note_chain_fault(fault)
            if not fault.genuine:
                self._refused[message.seq] = fault

    def note_chain_fault(self, fault: ChainFault) -> None:
        """Count and tell a fault of the TAPE; OBSERVE is asked for as soon as this service may write."""
        self._metrics.chain_faults.labels(self._service.value).inc()
        self._log.critical(
            "chain_broken",
            seq=fault.stream_seq,
            producer=fault.producer,
            kind=fault.kind,
            detail=fault.detail,
            remedy="run `walstreet tape verify`; trading stays in OBSERVE until the books agree with the broker",
        )
        self._pending_fault = self._pending_fault or fault

    async def _report_chain_faults(self) -> None:
        """Ask for OBSERVE once in this life when the TAPE is not what its producers wrote."""
        fault = self._pending_fault
        if fault is None or self._chain_reported:
            return
        self._chain_reported = True
        await self._append_and_react(
            ModeRequest(
                # The epoch makes it one request for each life: a restart on a broken TAPE must not be silent.
                id=derive_id(
                    f"chain:{fault.stream_seq}:{fault.producer}",
                    f"mode_request:{self._service.value}",
                    self._journal.epoch,
                ),
                cause=derive_id(f"chain:{fault.stream_seq}", "fault", 0),
                ts_ns=0,
                service=self._service.value,
                mode=Mode.OBSERVE,
                topic="chain",
                reason=f"chain_broken at {fault.stream_seq}: {fault.kind} of {fault.producer}",
            )
        )

    async def _report_exception(self, cause: EventId, reason: str, ts_ns: int) -> None:
        """Tell the mode controller of an exception that nobody handled; several of them in a row degrade the mode."""
        await self._append_and_react(exception_request(cause, self._service, reason, ts_ns))

    async def _bury_message(self, item: Undone) -> None:
        message = item.message
        await self._bury(
            reason=item.reason,
            detail=item.detail,
            subject=message.subject,
            seq=message.seq,
            payload=message.payload,
            ts_ns=0,
        )

    async def _bury(self, *, reason: str, detail: str, subject: str, seq: int, payload: bytes, ts_ns: int) -> None:
        self.failed += 1
        self._metrics.dead_letters.labels(self._service.value, reason).inc()
        self._log.error(
            "dead_letter",
            reason=reason,
            subject=subject,
            seq=seq,
            detail=detail,
            remedy=f"the message is kept under dead.{self._service.value}.{reason}; `walstreet tape dead` shows it",
        )
        await self._dead.keep(
            reason=reason, detail=detail, subject=subject, stream_seq=seq, payload=payload, ts_ns=ts_ns
        )
