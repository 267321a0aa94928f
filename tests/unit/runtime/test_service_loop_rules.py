"""Owns the tests of the loop's single rules: order, dead letters, observations, chain faults."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from walstreet.adapters.clock import WallClock
from walstreet.adapters.memory import MemoryLog, MemoryTape
from walstreet.adapters.nats.journal import ChainHead
from walstreet.domain.observations import TimeObserved
from walstreet.runtime import loop as loop_module
from walstreet.runtime.loop import ServiceLoop
from walstreet.runtime.loop_types import LoopOverrunError
from walstreet.runtime.metrics import ServiceMetrics
from walstreet.runtime.service import NoBackground, ServiceRunner
from walstreet.testing.cores import (
    POISON_DECIDE,
    POISON_EVOLVE,
    POISON_OBSERVE_NS,
    DigestCore,
    DigestState,
    RecordingEffects,
    clock_tick,
)
from walstreet.testing.log_server import until
from walstreet_events import Mode, ModeRequest, ProducerEpoch, ReconReport, Service, decode, encode
from walstreet_events import headers as names


@dataclass
class World:
    """One service on a TAPE in memory, with a gateway that writes its input."""

    tape: MemoryTape = field(default_factory=MemoryTape)
    steps: list[str] = field(default_factory=list)
    decides_from_log: bool = True

    def __post_init__(self) -> None:
        """Begin the first life."""
        self.gateway = MemoryLog(self.tape, Service.GATEWAY, WallClock())
        self.begin()

    def begin(self) -> None:
        """Build a new life's objects."""
        self.log = MemoryLog(self.tape, Service.RECONCILER, WallClock(), self.steps.append)
        self.effects = RecordingEffects(self.steps.append)
        self.metrics = ServiceMetrics("reconciler")
        self.loop: ServiceLoop[DigestState] = ServiceLoop(
            core=DigestCore(self.steps.append),
            inbox=self.log.inbox,
            journal=self.log.journal,
            dead=self.log.dead,
            effects=self.effects,
            metrics=self.metrics,
            wall_ns=WallClock().now_ns,
            decides_from_log=self.decides_from_log,
        )

    async def start(self) -> None:
        """Replay and become ready."""
        runner = ServiceRunner(
            loop=self.loop,
            log=self.log,
            background=NoBackground(),
            metrics=self.metrics,
            health=None,
            config_hash="",
        )
        await runner._start()

    async def tick(self, number: int, session_date: str = "2026-01-05") -> int:
        """Let the gateway write one tick."""
        if not self.gateway.journal.epoch:
            await self.gateway.journal.begin_epoch(ChainHead(), epoch_seq=0, ts_ns=0, config_hash="")
        return await self.gateway.journal.append(clock_tick(number, session_date=session_date), through=0)

    async def until_idle(self) -> None:
        """Run freely until everything stored was handled."""
        self.log.inbox.idle.clear()
        running = asyncio.create_task(self.loop.run_free())
        idle = asyncio.create_task(self.log.inbox.idle.wait())
        await asyncio.wait({running, idle}, return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()
        if running.done():
            running.result()
        running.cancel()
        await asyncio.wait({running})

    async def handle_all(self) -> None:
        """Handle everything stored in this task, so that its exceptions reach the caller."""
        for message in await self.log.inbox.take(self.tape.last_seq):
            await self.loop._handle(message)

    def own(self) -> list[object]:
        """Return the service's own events without its epochs."""
        events = [decode(m.payload) for m in self.tape.messages if m.producer == "reconciler"]
        return [event for event in events if not isinstance(event, ProducerEpoch)]

    def exceptions(self) -> list[ModeRequest]:
        """Return the service's own reports of exceptions."""
        return [event for event in self.own() if isinstance(event, ModeRequest) and event.topic == "exception"]


async def test_durable_before_visible() -> None:
    """Each output is stored before it is folded, and folded before it is reacted to; the input's effect comes last."""
    world = World()
    await world.start()
    await world.tick(1)
    await world.tick(2)
    world.steps.clear()
    await world.until_idle()
    steps = [s for s in world.steps if s.startswith(("before", "after"))]
    first = [
        "before_evolve", "after_evolve", "before_decide", "before_react", "after_react",
    ]  # fmt: skip
    output = ["before_store", "after_store", "before_evolve", "after_evolve", "before_react", "after_react"]
    # The first tick causes no request, the second one three.
    assert steps == [
        *first,
        "before_evolve",
        "after_evolve",
        "before_decide",
        *output * 3,
        "before_react",
        "after_react",
    ]


async def test_a_poisoned_input_is_kept_and_the_service_goes_on() -> None:
    """What the core cannot handle becomes a dead letter with reason and payload, and the next input is processed."""
    world = World()
    await world.start()
    for number, date in enumerate(("ok", POISON_EVOLVE, "ok", POISON_DECIDE, "ok"), start=1):
        await world.tick(number, date)
    await world.until_idle()
    assert world.loop.state.ticks == 4
    assert [(letter.reason, letter.subject) for letter in world.tape.letters] == [("core_failed", "clock.tick")] * 2
    assert [decode(letter.payload).ts_ns for letter in world.tape.letters] == [2, 4]
    assert "poisoned" in world.tape.letters[0].detail
    assert world.loop.handled == 3
    assert world.loop.failed == 2
    causes = [decode(letter.payload).id for letter in world.tape.letters]
    assert [request.cause for request in world.exceptions()] == causes


async def test_gaps_that_the_inbox_filled_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The metric grows by what the inbox has found since the last time, and by nothing else."""
    world = World()
    await world.start()
    await world.tick(1)
    await world.until_idle()
    counted = world.metrics.gaps.labels("reconciler")
    assert counted._value.get() == 0
    monkeypatch.setattr(type(world.log.inbox), "gaps", 3)
    for number in (2, 3):
        await world.tick(number)
        await world.until_idle()
    assert counted._value.get() == 3


async def test_restarts_do_not_loop_on_a_poisoned_input() -> None:
    """A poisoned input at the very end of the TAPE is kept and reported once, however often the service restarts."""
    world = World()
    await world.start()
    await world.tick(1)
    await world.tick(2, POISON_EVOLVE)
    await world.until_idle()
    for _ in range(3):
        world.begin()
        await world.start()
        await world.until_idle()
    assert len(world.tape.letters) == 1
    assert len(world.exceptions()) == 1
    await world.tick(3)
    await world.until_idle()
    assert world.loop.state.ticks == 2


async def test_a_poisoned_last_input_decides_nothing_in_replay() -> None:
    """An input whose folding failed live left a dead letter and one mode request; the next life adds nothing."""
    world = World()
    await world.start()
    await world.tick(1, POISON_EVOLVE)
    await world.until_idle()
    world.loop.observe(TimeObserved(ts_ns=7))
    await world.until_idle()
    # Both say that the poisoned tick was the last input processed.
    assert [type(event) for event in world.own()] == [ModeRequest, ReconReport]
    (letter,), (request,) = world.tape.letters, world.exceptions()
    tick = decode(letter.payload)
    assert (letter.reason, request.reason) == ("core_failed", "core_failed")
    assert (request.service, request.mode, request.topic) == (Service.RECONCILER.value, Mode.DEGRADED, "exception")
    assert (request.cause, request.ts_ns) == (tick.id, tick.ts_ns)
    wanted = world.loop.state
    assert wanted.folded == [event.id for event in world.own()]
    world.begin()
    await world.start()
    await world.until_idle()
    assert world.loop.core.decided == 0
    assert world.loop.state == wanted
    assert [type(event) for event in world.own()] == [ModeRequest, ReconReport]
    assert len(world.tape.letters) == 1


async def test_a_crash_before_the_report_of_an_exception_reports_it_later() -> None:
    """A life that ends between dead letter and mode request leaves the request to the next, and both stay one."""
    world = World()
    await world.start()
    await world.tick(1, POISON_EVOLVE)

    async def dies(_event: object, *, through: int) -> int:
        raise KeyboardInterrupt(through)

    world.log.journal.append = dies  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        await world.handle_all()
    assert (len(world.tape.letters), len(world.exceptions())) == (1, 0)
    for _ in range(2):
        world.begin()
        await world.start()
        await world.until_idle()
        assert (len(world.tape.letters), len(world.exceptions())) == (1, 1)


@pytest.mark.parametrize("down", [False, True])
async def test_an_unknown_tag_is_a_dead_letter(down: bool) -> None:
    """An event of a later version is kept under its reason, also when it came while the service was down."""
    world = World()
    if not down:
        await world.start()
    await world.tick(1)
    writer = world.gateway.journal._writer
    draft = writer.draft(clock_tick(2), through=0, fence_seq=world.gateway.journal._fence_seq)
    payload = draft.payload.replace(b"clock_tick.v1", b"clock_tick.v9")
    chain = names.chain_next(
        writer.head.chain, producer="gateway", epoch=1, seq=draft.seq, subject=draft.subject, payload=payload
    )
    world.tape.store(draft.subject, payload, {**draft.header, names.CHAIN: chain})
    if down:
        await world.start()
    else:
        await world.until_idle()
    assert [letter.reason for letter in world.tape.letters] == ["unknown_tag"]
    assert world.tape.letters[0].payload == payload
    assert world.loop.chain.verified == world.tape.last_seq


async def test_a_failing_observation_is_kept_each_time() -> None:
    """Different observations that fail are different dead letters, over restarts too."""
    world = World()
    await world.start()
    world.loop.observe(TimeObserved(ts_ns=POISON_OBSERVE_NS))
    await world.until_idle()
    world.begin()
    await world.start()
    world.loop.core.observe = lambda _state, observation: (_ for _ in ()).throw(ValueError(str(observation)))
    world.loop.observe(TimeObserved(ts_ns=5))
    await world.until_idle()
    assert [letter.reason for letter in world.tape.letters] == ["observation_failed"] * 2
    assert world.tape.letters[1].payload == b"TimeObserved(ts_ns=5)"


async def test_a_failing_observation_asks_for_the_mode_in_each_life() -> None:
    """Each observation that fails leaves one mode request of its own, also when a later life meets the same again."""
    world = World()
    await world.start()
    world.loop.observe(TimeObserved(ts_ns=POISON_OBSERVE_NS))
    await world.until_idle()
    assert [letter.reason for letter in world.tape.letters] == ["observation_failed"]
    (first,) = world.exceptions()
    assert world.own() == [first]
    assert (first.service, first.mode, first.topic) == (Service.RECONCILER.value, Mode.DEGRADED, "exception")
    assert (first.reason, first.ts_ns) == ("observation_failed", POISON_OBSERVE_NS)
    assert world.loop.state.folded == world.effects.reacted == [first.id]
    world.loop.observe(TimeObserved(ts_ns=POISON_OBSERVE_NS))
    await world.until_idle()
    world.begin()
    await world.start()
    assert world.loop.failed == 0, "the next life counts from 0 again, so its epoch alone tells its reports apart"
    world.loop.observe(TimeObserved(ts_ns=POISON_OBSERVE_NS))
    await world.until_idle()
    requests = world.exceptions()
    assert len({request.id for request in requests}) == len(requests) == 3
    assert len({request.cause for request in requests}) == 3
    assert world.loop.state.folded == [request.id for request in requests]
    assert len(world.tape.letters) == 1, "the same observation is one dead letter"


async def test_observations_do_not_wait_for_the_inbox() -> None:
    """While the inbox waits for input that never comes, an observation is on the TAPE within a few loop turns."""
    world = World()
    await world.start()
    running = asyncio.create_task(world.loop.run_free())
    await world.log.inbox.idle.wait()
    for number in range(1, 4):
        stored = world.tape.watch()
        world.loop.observe(TimeObserved(ts_ns=number))
        for _ in range(20):
            if stored.is_set():
                break
            await asyncio.sleep(0)
        assert stored.is_set(), "the observation waited for something else than the event loop"
        await world.log.inbox.idle.wait()
    running.cancel()
    await asyncio.wait({running})
    assert [event.ts_ns for event in world.own()] == [1, 2, 3]


async def test_input_is_not_starved_by_observations(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that observes again whenever it is asked cannot keep the inbox from being handled."""
    monkeypatch.setattr(loop_module, "OBSERVATIONS_PER_DRAIN_MAX", 3)
    world = World()
    await world.start()
    await world.tick(1)

    def endless(_state: DigestState, observation: TimeObserved) -> tuple[()]:
        world.loop.observe(TimeObserved(ts_ns=observation.ts_ns + 1))
        return ()

    world.loop.core.observe = endless
    world.loop.observe(TimeObserved(ts_ns=1))
    running = asyncio.create_task(world.loop.run_free())
    await until(lambda: world.loop.handled > 0, 5.0)
    running.cancel()
    await asyncio.wait({running})


async def test_too_many_observations_end_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound nothing is processed any more: what the service knows would be wrong."""
    monkeypatch.setattr(loop_module, "OBSERVATIONS_MAX", 5)
    world = World()
    await world.start()
    running = asyncio.create_task(world.loop.run_free())
    await world.log.inbox.idle.wait()
    for number in range(7):
        world.loop.observe(TimeObserved(ts_ns=number + 1))
    with pytest.raises(LoopOverrunError, match="more than 5 observations waited"):
        async with asyncio.timeout(5):
            await running
    assert world.own() == []


async def test_an_observation_seen_again_is_recorded_and_folded_once() -> None:
    """A broker that repeats itself after a restart changes neither the TAPE nor the state, and has no second effect."""
    world = World()
    await world.start()
    world.loop.observe(TimeObserved(ts_ns=1))
    await world.until_idle()
    wanted = world.loop.state
    world.begin()
    await world.start()
    assert world.loop.state == wanted
    for _ in range(2):
        world.loop.observe(TimeObserved(ts_ns=1))
    world.loop.observe(TimeObserved(ts_ns=2))
    world.loop.observe(TimeObserved(ts_ns=2))
    await world.until_idle()
    assert [event.ts_ns for event in world.own()] == [1, 2]
    assert world.loop.state.reports == 2
    assert world.effects.reacted == [world.own()[1].id]


async def test_execution_does_not_decide_the_rest_of_an_input_again() -> None:
    """A core that looks at volatile facts leaves a half-done input as it stands on the log."""
    world = World(decides_from_log=False)
    await world.start()
    await world.tick(1)
    await world.tick(2)
    original, calls = world.log.journal.append, 0

    async def dies(event: object, *, through: int) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return await original(event, through=through)  # type: ignore[arg-type]

    world.log.journal.append = dies  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        await world.handle_all()
    world.begin()
    await world.start()
    await world.until_idle()
    assert len(world.own()) == 1
    assert world.loop.state.requests == 1


async def test_held_inputs_wait_for_the_turn() -> None:
    """In lockstep, what came while a service was down is decided in its turn, not at its start."""
    world = World()
    await world.tick(1)
    last = await world.tick(2)
    world.log.turns = object()
    await world.start()
    assert world.own() == []

    @dataclass(frozen=True)
    class Turn:
        now_ns: int
        upto: int

    await world.loop.run_turn(Turn(now_ns=1, upto=last - 1))
    assert world.own() == []
    await world.loop.run_turn(Turn(now_ns=2, upto=last))
    assert len(world.own()) == 3
    assert list(world.loop.appended_subjects) == ["recon.request"]


@pytest.mark.parametrize("down", [False, True])
async def test_a_stranger_message_asks_for_observe_once(down: bool) -> None:
    """Bytes without chain headers are refused and kept, and one request for OBSERVE follows in each life."""
    world = World()
    if not down:
        await world.start()
    await world.tick(1)
    tick = encode(clock_tick(99))
    world.tape.store("clock.tick", tick, {})
    world.tape.store("clock.tick", b"{}", {})
    if down:
        await world.start()
    await world.until_idle()
    requests = [event for event in world.own() if isinstance(event, ModeRequest)]
    assert [(request.mode, request.service) for request in requests] == [("observe", "reconciler")]
    assert "unsigned" in requests[0].reason
    assert world.loop.state.ticks == 1, "an unsigned tick was folded"
    assert [letter.reason for letter in world.tape.letters] == ["chain_unsigned"] * 2
    world.begin()
    await world.start()
    await world.until_idle()
    requests = [event for event in world.own() if isinstance(event, ModeRequest)]
    assert len(requests) == 2, "a restart on a broken TAPE must not be silent"
    assert world.loop.state.ticks == 1


async def test_outputs_whose_input_is_no_longer_read_are_folded() -> None:
    """Own facts come back even when this version does not read the input that caused them."""
    world = World()
    await world.start()
    await world.tick(1)
    await world.tick(2)
    await world.until_idle()
    assert world.loop.state.requests == 3
    world.begin()
    world.loop._reads = {"clock.tick": False}
    await world.start()
    assert world.loop.state.requests == 3
    assert world.loop.state.ticks == 0
