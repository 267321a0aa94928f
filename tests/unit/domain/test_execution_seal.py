"""Owns the tests of sealed intents in execution: what is not the arbiter's in office is refused and leaves no trace."""

from __future__ import annotations

import msgspec
import pytest

from walstreet.domain.execution import ExecutionCore
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.execution_seal import REFUSALS_UNBELIEVED_MAX
from walstreet.domain.guard_margin import MarginParameters
from walstreet.domain.signing import seal, sign
from walstreet.testing.execution_world import (
    EPOCH,
    KEY,
    NOW_NS,
    S,
    World,
    arbiter_epoch,
    block,
    clock,
    instrument,
    intent,
    link,
    phase,
    quote,
    ready_world,
    reasons,
    submit,
)
from walstreet_events import AnyEvent, IntentBlock, OrderRefused, OrderSubmitting

OTHER_KEY = bytes(range(1, 33))


def refusals(outs: list[AnyEvent]) -> list[OrderRefused]:
    """Return the refusals; anything else fails the test."""
    reasons(outs)
    return [out for out in outs if isinstance(out, OrderRefused)]


def forged(*, epoch: int = EPOCH) -> IntentBlock:
    """Return a block with the ids of the genuine one, signed with a stranger's key."""
    return seal(block(intent()), epoch=epoch, key=OTHER_KEY)


@pytest.mark.parametrize(
    ("fake", "reason"),
    [
        (msgspec.structs.replace(block(intent()), signature=b""), "signature_missing"),
        (forged(), "signature_invalid"),
        (msgspec.structs.replace(block(intent()), intents=(intent(quantity_micro=10**9),)), "signature_invalid"),
        (msgspec.structs.replace(block(intent()), epoch=EPOCH + 1), "signature_invalid"),
        (seal(block(intent()), epoch=EPOCH - 1, key=KEY), "epoch_stale"),
        (seal(block(intent()), epoch=EPOCH + 1, key=KEY), "epoch_ahead"),
    ],
)
def test_what_is_not_the_arbiters_is_refused_and_leaves_no_trace(fake: IntentBlock, reason: str) -> None:
    """The refusal has its code and no name of the block's choice, and the genuine block is sent afterwards."""
    world = ready_world()
    told = refusals(world.give(fake))
    assert [(item.reason, item.intent, item.symbol, item.cause) for item in told] == [(reason, "", "SPY", fake.id)]
    assert intent().id in told[0].detail
    assert (world.state.intents, world.state.blocks, world.state.orders) == ({}, {}, {})
    assert submit(world).intent == intent().id
    again = world.restarted()
    assert (again.state.intents, again.state.blocks) == (world.state.intents, world.state.blocks)


def test_before_an_epoch_is_known_nothing_is_believed() -> None:
    """A log without any life of the arbiter cannot say who is in office."""
    world = World()
    for event in (phase(), instrument()):
        world.give(event)
    world.see(link())
    world.see(quote())
    assert reasons(world.give(block(intent()))) == ["epoch_unknown"]


def test_a_new_life_of_the_arbiter_fences_the_old_one_off() -> None:
    """After the second epoch a block of the first is stale, one of the second is sent, and the first never returns."""
    world = ready_world()
    world.give(arbiter_epoch(2))
    world.give(arbiter_epoch(1))
    assert reasons(world.give(block(intent()))) == ["epoch_stale"]
    outs = world.give(seal(block(intent()), epoch=2, key=KEY))
    assert [type(out) for out in outs] == [OrderSubmitting]


def test_a_replayed_block_is_refused_each_time_anew() -> None:
    """The same block again is a duplicate, after a restart too, and each repetition is a fact of its own."""
    world = ready_world()
    submit(world)
    first = refusals(world.give(block(intent())))
    again = world.restarted()
    again.see(link(ts_ns=NOW_NS + S))
    again.see(quote())
    second = refusals(again.give(block(intent())))
    assert [item.reason for item in (*first, *second)] == ["duplicate_block"] * 2
    assert first[0].id != second[0].id
    assert first[0].intent == intent().id


def test_a_late_block_and_one_from_the_future_are_refused() -> None:
    """Exactly at the limits a block is believed; a block from the future does not move the clock."""
    late = ready_world()
    late.give(clock(NOW_NS + 30 * S + 1))
    assert reasons(late.give(block(intent()))) == ["block_expired"]
    ahead = ready_world()
    assert reasons(ahead.give(block(intent(), ts_ns=NOW_NS + S + 1))) == ["block_future"]
    assert ahead.state.clock_ns <= NOW_NS
    good = ready_world()
    assert [type(out) for out in good.give(block(intent(), ts_ns=NOW_NS + S))] == [OrderSubmitting]
    assert good.state.clock_ns == NOW_NS + S


def test_an_empty_and_a_huge_forgery_are_told_within_bounds() -> None:
    """A forged block without intents gives one refusal; one with many gives a bounded number, without their names."""
    world = ready_world()
    assert reasons(world.give(sign(block(name="empty"), OTHER_KEY))) == ["signature_invalid"]
    names = tuple(intent(str(index), symbol="x" * 4_000) for index in range(REFUSALS_UNBELIEVED_MAX + 5))
    told = refusals(world.give(sign(block(*names, name="huge"), OTHER_KEY)))
    assert len(told) == REFUSALS_UNBELIEVED_MAX
    assert {item.symbol for item in told} == {""}
    assert max(len(item.detail) for item in told) < 500


def test_the_previous_key_is_believed_while_keys_are_exchanged() -> None:
    """Two keys verify; a key too short, none, or three are refused at the start."""
    world = ready_world()
    world.core = ExecutionCore(ExecutionParameters(margin=MarginParameters(enabled=False)), (OTHER_KEY, KEY))
    submit(world)
    for keys in ((), (KEY[:-1],), (KEY, OTHER_KEY, bytes(32))):
        with pytest.raises(ValueError, match="signing: "):
            ExecutionCore(ExecutionParameters(), keys)
