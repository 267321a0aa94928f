"""Owns the proof that a crash anywhere in the loop changes nothing on the TAPE."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

import pytest

from walstreet.adapters.clock import WallClock
from walstreet.adapters.memory import MemoryLog, MemoryTape
from walstreet.adapters.nats.journal import ChainHead
from walstreet.runtime.chain import ChainVerifier
from walstreet.runtime.loop import ServiceLoop
from walstreet.runtime.metrics import ServiceMetrics
from walstreet.runtime.service import NoBackground, ServiceRunner
from walstreet.testing.cores import (
    POISON_DECIDE,
    POISON_EVOLVE,
    DigestCore,
    DigestState,
    RecordingEffects,
    clock_tick,
)
from walstreet_events import Service
from walstreet_events import headers as names

pytestmark = pytest.mark.spec("001.recovery", "card.services")

LIVES_MAX = 12
TICKS = ("ok", "ok", "ok", POISON_DECIDE, "ok", "ok", POISON_EVOLVE, "ok", "ok", "ok")


class Crash(BaseException):
    """The process is gone."""


class Plan:
    """Crashes at the given step numbers, counted over all lives."""

    def __init__(self, *at: int) -> None:
        self.at = set(at)
        self.count = 0
        self.names: list[str] = []

    def step(self, name: str) -> None:
        """Count a step and crash if it is one of the given ones."""
        self.count += 1
        self.names.append(name)
        if self.count in self.at:
            raise Crash(name)


@dataclass(frozen=True)
class Turn:
    """One granted turn."""

    now_ns: int
    upto: int


async def feed(tape: MemoryTape, dates: tuple[str, ...]) -> None:
    """Let the gateway write its ticks."""
    gateway = MemoryLog(tape, Service.GATEWAY, WallClock())
    await gateway.open()
    await gateway.journal.begin_epoch(ChainHead(), epoch_seq=0, ts_ns=0, config_hash="")
    for number, date in enumerate(dates, start=1):
        await gateway.journal.append(clock_tick(number, session_date=date), through=0)


async def life(tape: MemoryTape, plan: Plan, *, lockstep: bool, steps: list[int]) -> ServiceLoop[DigestState]:
    """Run one life of the service until everything on the TAPE is handled, or it crashes."""
    log = MemoryLog(tape, Service.RECONCILER, WallClock(), plan.step)
    metrics = ServiceMetrics("reconciler")
    loop = ServiceLoop(
        core=DigestCore(plan.step),
        inbox=log.inbox,
        journal=log.journal,
        dead=log.dead,
        effects=RecordingEffects(plan.step),
        metrics=metrics,
        wall_ns=WallClock().now_ns,
    )
    if lockstep:
        log.turns = object()
    runner = ServiceRunner(loop=loop, log=log, background=NoBackground(), metrics=metrics, health=None, config_hash="c")
    await runner._start()
    if lockstep:
        while steps:
            await loop.run_turn(Turn(now_ns=steps[0], upto=steps[0]))
            steps.pop(0)
        return loop
    running = asyncio.create_task(loop.run_free())
    idle = asyncio.create_task(log.inbox.idle.wait())
    await asyncio.wait({running, idle}, return_when=asyncio.FIRST_COMPLETED)
    idle.cancel()
    if running.done():
        running.result()
    running.cancel()
    await asyncio.wait({running})
    return loop


async def session(
    *at: int, lockstep: bool, forgets: bool = False
) -> tuple[MemoryTape, Plan, ServiceLoop[DigestState], int]:
    """Run lives until one ends by itself; return the TAPE, the plan, the last life's loop and the number of lives."""
    tape, plan = MemoryTape(), Plan(*at)
    await feed(tape, TICKS)
    steps = [4, 7, tape.last_seq]
    for lives in range(1, LIVES_MAX + 1):
        try:
            loop = await life(tape, plan, lockstep=lockstep, steps=steps)
        except Crash:
            if forgets:
                # The server remembers message ids for a day; a restart may come later.
                tape._ids.clear()
            continue
        return tape, plan, loop, lives
    raise AssertionError(f"no life ended well in {LIVES_MAX}")


def outputs(tape: MemoryTape) -> dict[str, list[bytes]]:
    """Return the payloads of the service under test by subject, in order, without its epochs."""
    found: dict[str, list[bytes]] = {}
    for message in tape.messages:
        if message.producer == Service.RECONCILER.value and not message.subject.startswith("epoch."):
            found.setdefault(message.subject, []).append(message.payload)
    return found


def chain_is_whole(tape: MemoryTape) -> bool:
    """Return whether every message verifies."""
    verifier = ChainVerifier()
    return all(
        verifier.check(stream_seq=m.seq, subject=m.subject, headers=m.headers, payload=m.payload) is None
        for m in tape.messages
    )


def same(ours: MemoryTape, wanted: MemoryTape, where: object) -> None:
    """Assert that two TAPEs hold the same facts, once each, and the same dead letters."""
    assert outputs(ours) == outputs(wanted), where
    ids = [m.headers[names.MSG_ID] for m in ours.messages]
    assert len(ids) == len(set(ids)), where
    assert [letter.id for letter in ours.letters] == [letter.id for letter in wanted.letters], where
    assert chain_is_whole(ours), where


@pytest.mark.parametrize("lockstep", [False, True])
async def test_a_crash_at_every_point_leaves_the_same_tape(lockstep: bool) -> None:
    """Each await point and each call into the core is a crash point once, and the TAPE never differs."""
    wanted, plan, loop, lives = await session(lockstep=lockstep)
    assert lives == 1
    assert sum(map(len, outputs(wanted).values())) > 8
    assert len(wanted.letters) == 2
    points = plan.count
    assert points >= 100
    for point in range(1, points + 1):
        tape, crashed, survivor, lives = await session(point, lockstep=lockstep)
        assert lives == 2, f"point {point} ({plan.names[point - 1]}) did not crash"
        same(tape, wanted, (point, crashed.names[point - 1]))
        assert survivor.state == loop.state, (point, crashed.names[point - 1])


async def test_a_crash_longer_ago_than_ids_are_remembered_leaves_the_same_tape() -> None:
    """What an earlier life recorded is known from the TAPE itself, not from the server's memory of ids."""
    wanted, plan, _, _ = await session(lockstep=False)
    for point in range(1, plan.count + 1, 2):
        tape, crashed, _, _ = await session(point, lockstep=False, forgets=True)
        same(tape, wanted, (point, crashed.names[point - 1]))


@pytest.mark.parametrize("seed", range(60))
async def test_crashes_during_recovery_leave_the_same_tape(seed: int) -> None:
    """Several crashes in a row, most of them while an earlier one is recovered from, change nothing either."""
    lockstep = bool(seed % 2)
    wanted, plan, loop, _ = await session(lockstep=lockstep)
    dice = random.Random(seed)
    first = dice.randrange(1, plan.count)
    at = [first]
    for _ in range(4):
        at.append(at[-1] + dice.randrange(1, 40))
    tape, _, survivor, lives = await session(*at, lockstep=lockstep)
    assert lives > 1
    same(tape, wanted, at)
    assert survivor.state == loop.state, at


async def test_every_life_after_the_end_only_adds_its_epoch() -> None:
    """Restarts on a complete TAPE append nothing but their epoch, poisoned inputs included."""
    tape, _, loop, _ = await session(lockstep=False)
    length, letters = tape.last_seq, len(tape.letters)
    for restart in range(1, 4):
        again = await life(tape, Plan(), lockstep=False, steps=[])
        assert tape.last_seq == length + restart
        assert len(tape.letters) == letters
        assert again.state == loop.state
