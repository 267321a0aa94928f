"""Tests of an emergency in execution: latch, cancels proved before closes, rounds, crashes in between, lateness.

They cover walstreet.domain.execution_emergency and execution_flatten.
"""

from __future__ import annotations

import pytest

from walstreet.domain.execution_flatten import market_open
from walstreet.domain.observations import PanicObserved
from walstreet.testing.execution_world import (
    NOW_NS,
    OPEN_NS,
    SHARE,
    S,
    World,
    account,
    block,
    execution,
    intent,
    link,
    ready_world,
    reasons,
    status,
    submit,
)
from walstreet.testing.panic_world import MiniBroker, command
from walstreet_events import (
    ROOT,
    AnyEvent,
    FlattenPhase,
    FlattenState,
    Mode,
    ModeRequest,
    ModeState,
    OrderCancelling,
    OrderSubmitting,
    PhaseName,
    Side,
    SymbolStatus,
    derive_id,
    encode,
)

pytestmark = pytest.mark.spec("001.recovery")


def holding(position: int = 100) -> tuple[World, MiniBroker]:
    """Return a world with a position and no order, and its broker."""
    world = ready_world()
    world.see(account(position=position))
    return world, MiniBroker(world, position=position)


def phases(events: list[AnyEvent]) -> list[str]:
    """Return the phases told, questions left out."""
    told = [event.phase for event in events if isinstance(event, FlattenState)]
    return [phase.value for phase in told if phase is not FlattenPhase.PROVING]


def test_a_long_position_is_closed_by_hand() -> None:
    """Panic, question, answer, one sell of 100 at 20 bps below the bid, fill, question, answer, flat."""
    world, broker = holding()
    broker.take(world.give(command("panic")))
    broker.step()
    assert len(broker.questions) == 1
    assert broker.places == []
    broker.answer()
    broker.step()
    (close,) = broker.places
    assert (close.side, close.quantity_micro, close.limit_nano) == (Side.SELL, 100 * SHARE, 99_800_000_000)
    assert close.good_till_ns == NOW_NS + 10 * S
    assert world.state.emergency is not None
    assert close.cause == world.state.emergency.id
    broker.fill(close.client_order_id, 100)
    broker.tell_status(close.client_order_id)
    broker.tell_executions()
    broker.step()
    broker.answer()
    broker.step()
    assert phases(world.log) == ["began", "flat"]
    assert broker.position == 0
    assert len(broker.places) == 1


def test_a_working_order_is_cancelled_and_proved_before_anything_closes() -> None:
    """A sell at work could turn the position round; only the broker's word on its end lets the close go."""
    world, broker = holding()
    sent = submit(world, intent(side=Side.SELL, reducing=True, quantity_micro=40 * SHARE))
    broker.take([sent])
    broker.tell_status(sent.client_order_id)
    outs = broker.take(world.give(command("panic")))
    assert [type(out) for out in outs] == [FlattenState, OrderCancelling]
    for _ in range(4):
        broker.step()
        broker.answer()
    assert len(broker.places) == 1, "the cancel has no answer, so nothing closes"
    broker.fill(sent.client_order_id, 15)
    broker.cancel(sent.client_order_id)
    broker.tell_executions()
    broker.tell_status(sent.client_order_id)
    for _ in range(8):
        broker.step()
        broker.answer()
    closes = broker.places[1:]
    assert [close.quantity_micro // SHARE for close in closes] == [85]


def test_silence_of_a_cancel_is_answered_by_another_one() -> None:
    """A cancel without an end is repeated after five seconds, a bounded number of times."""
    world, broker = holding()
    sent = submit(world, intent(side=Side.SELL, reducing=True, quantity_micro=40 * SHARE))
    broker.take([sent])
    broker.tell_status(sent.client_order_id)
    broker.take(world.give(command("panic")))
    for _ in range(300):
        broker.step()
        broker.answer()
    assert len(broker.cancels) == 20 == world.core._versions.of(world.state.changes).flatten.cancels_max
    assert len({event.id for event in broker.cancels}) == 20
    assert len(broker.places) == 1


def test_what_does_not_fill_is_tried_again_with_a_wider_collar() -> None:
    """A second round has another parent and 40 bps; the first order is ended by the broker before that."""
    world, broker = holding()
    broker.take(world.give(command("panic")))
    for _ in range(3):
        broker.step()
        broker.answer()
    (first,) = broker.places
    broker.tell_status(first.client_order_id)
    for _ in range(7):
        broker.step()
        broker.answer()
    assert len(broker.places) == 1
    broker.fill(first.client_order_id, 30)
    broker.cancel(first.client_order_id)
    broker.tell_status(first.client_order_id)
    broker.tell_executions()
    for _ in range(8):
        broker.step()
        broker.answer()
    second = broker.places[1]
    assert second.intent != first.intent
    assert (second.quantity_micro, second.limit_nano) == (70 * SHARE, 99_600_000_000)


def test_a_restart_in_the_middle_asks_before_it_sends() -> None:
    """After a crash behind a journaled close its outcome is unknown; nothing is sent before it is proved."""
    world, broker = holding()
    broker.take(world.give(command("panic")))
    for _ in range(3):
        broker.step()
        broker.answer()
    (close,) = broker.places
    again = world.restarted()
    assert again.state.panic
    broker.world = again
    broker.step()
    assert broker.places == [close]
    again.see(link(ts_ns=broker.now_ns, next_order_id=50))
    broker.questions.clear()
    broker.step()
    assert len(broker.questions) == 1
    broker.fill(close.client_order_id, 100)
    broker.answer()
    for _ in range(4):
        broker.step()
        broker.answer()
    assert broker.position == 0
    assert broker.places == [close]
    assert phases(again.log) == ["began", "waiting", "waiting", "flat"], "the link was down, and came back"


def test_it_is_latched_until_a_person_resumes_with_a_name_and_a_reason() -> None:
    """Neither time, nor a flat book, nor a resume of nobody or for nothing lets an intent pass."""
    world, broker = holding(0)
    broker.take(world.give(command("panic")))
    for _ in range(3):
        broker.step()
        broker.answer()
    assert phases(world.log) == ["began", "flat"]
    for nobody in (command("resume", operator=" "), command("resume", reason="")):
        world.give(nobody)
        assert reasons(world.give(block(intent(nobody.id), name=nobody.id))) == ["panic"]
    again = world.restarted()
    again.see(link(ts_ns=broker.now_ns))
    assert again.state.panic
    again.give(command("resume"))
    assert not again.state.panic
    assert again.state.emergency is None


def test_the_flag_latches_again_while_it_is_there() -> None:
    """The flag begins one emergency, asks for the mode, and after a resume begins the next one."""
    world, _ = holding()
    fact = PanicObserved(ts_ns=NOW_NS, source="panic_flag", operator="", detail="bob: smoke")
    began, asked = world.see(fact)
    assert isinstance(began, FlattenState)
    assert isinstance(asked, ModeRequest)
    assert (began.detail, asked.mode, asked.topic) == ("bob: smoke", Mode.EMERGENCY, "panic")
    assert world.see(fact) == []
    world.give(command("resume"))
    again, _ = world.see(fact)
    assert again.id != began.id


def test_a_second_panic_is_acknowledged() -> None:
    """Whoever asks again is told how it stands, and no order gets a second cancel for it."""
    world, broker = holding()
    submit(world, intent(quantity_micro=10 * SHARE))
    broker.take(world.give(command("panic")))
    outs = world.give(command("panic", ts_ns=NOW_NS + S))
    assert [type(out) for out in outs] == [FlattenState]
    assert outs[0].cause == command("panic", ts_ns=NOW_NS + S).id


def test_the_mode_that_follows_a_panic_leaves_the_closing_orders_alone() -> None:
    """The arbiter's EMERGENCY, and a second panic, come while a close is at work; both would only delay it."""
    world, broker = holding()
    broker.take(world.give(command("panic")))
    for _ in range(3):
        broker.step()
        broker.answer()
    assert len(broker.places) == 1
    assert broker.take(world.give(_emergency_mode())) == []
    broker.take(world.give(command("panic", ts_ns=NOW_NS + S)))
    assert broker.cancels == []


def test_the_mode_begins_one_too() -> None:
    """EMERGENCY of the mode controller cancels and flattens, and refuses under its own reason."""
    world, broker = holding()
    broker.take(world.give(_emergency_mode()))
    assert reasons(world.give(block(intent()))) == ["mode_emergency"]
    for _ in range(3):
        broker.step()
        broker.answer()
    assert len(broker.places) == 1
    assert world.state.emergency is not None
    assert world.state.emergency.source == "mode"


def test_a_halt_is_told_and_closed_when_it_ends() -> None:
    """A halted symbol waits with its reason; lateness is told once; the close goes when trading resumes."""
    world, broker = holding()
    world.give(_halt(halted=True))
    broker.take(world.give(command("panic")))
    for _ in range(70):
        broker.step()
        broker.answer()
    assert broker.places == []
    assert phases(world.log) == ["began", "waiting", "overdue"]
    told = [event for event in world.log if isinstance(event, FlattenState) and event.deferred]
    assert told[0].deferred == {"SPY": "halted"}
    world.give(_halt(halted=False))
    for _ in range(8):
        broker.step()
        broker.answer()
    assert len(broker.places) == 1


def test_a_closed_market_waits_for_the_next_open() -> None:
    """Outside the session nothing is sent and lateness does not count; times unknown stop nothing."""
    world, broker = holding()
    close_ns = world.state.close_ns
    broker.now_ns = close_ns
    broker.take(world.give(command("panic", ts_ns=close_ns)))
    for _ in range(70):
        broker.step()
        broker.answer()
    assert broker.places == []
    assert phases(world.log) == ["began", "waiting"]
    assert not market_open(world.state, OPEN_NS - 1)
    world.state.open_ns = 0
    assert market_open(world.state, close_ns)


def test_a_failed_question_closes_nothing() -> None:
    """Unknown is never flat and never a position: the broker is asked again."""
    world, broker = holding()
    broker.take(world.give(command("panic")))
    for _ in range(12):
        broker.step()
        broker.answer(ok=False)
    assert broker.places == []
    assert phases(world.log) == ["began"]
    for _ in range(8):
        broker.step()
        broker.answer()
    assert len(broker.places) == 1


def test_a_late_fill_after_flat_is_closed_too() -> None:
    """A fill that comes after the broker said *cancelled* opens a position, which the latch closes again."""
    world, broker = holding(0)
    sent = submit(world)
    status(world, "Submitted")
    broker.take([sent])
    broker.take(world.give(command("panic")))
    broker.cancel(sent.client_order_id)
    broker.tell_status(sent.client_order_id)
    for _ in range(8):
        broker.step()
        broker.answer()
    assert phases(world.log)[-1] == "flat"
    broker.fill(sent.client_order_id, 100)
    world.see(execution(sent.client_order_id, "x0.01"))
    for _ in range(8):
        broker.step()
        broker.answer()
    close = broker.places[-1]
    assert (close.side, close.quantity_micro) == (Side.SELL, 100 * SHARE)


def test_the_same_facts_give_the_same_bytes() -> None:
    """Nothing in an emergency depends on anything but what was observed."""
    logs = []
    for _ in range(2):
        world, broker = holding()
        broker.take(world.give(command("panic")))
        for _ in range(20):
            broker.step()
            broker.answer()
        logs.append([encode(event) for event in world.log])
    assert logs[0] == logs[1]
    assert PhaseName.OPEN is world.state.phase
    assert any(isinstance(event, OrderSubmitting) for event in world.log)


def _emergency_mode() -> ModeState:
    return ModeState(
        id=derive_id("m", "mode", 0),
        cause=ROOT,
        ts_ns=NOW_NS,
        mode=Mode.EMERGENCY,
        previous=Mode.LIVE,
        reason="daily_loss",
    )


def _halt(*, halted: bool) -> SymbolStatus:
    return SymbolStatus(
        id=derive_id(f"halt{halted}", "status", 0), cause=ROOT, ts_ns=NOW_NS, symbol="SPY", halted=halted, detail=""
    )
