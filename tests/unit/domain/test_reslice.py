"""Tests of sending the rest of a parent: walstreet.domain.reslice and execution_reslice, and of corrections."""

from __future__ import annotations

import msgspec
import pytest

from walstreet.domain.corrections import corrected_fill, family_of
from walstreet.domain.guard_margin import MarginParameters
from walstreet.domain.observations import ExecutionObserved, MarginObserved, MarginPreview, TimeObserved
from walstreet.domain.plan import child_id
from walstreet.domain.reslice import FIRST_SLICE, ResliceParameters, rest_micro
from walstreet.testing.execution_world import (
    DOLLAR,
    NOW_NS,
    SHARE,
    S,
    World,
    block,
    execution,
    intent,
    link,
    listed,
    quote,
    ready_world,
    snapshot,
    status,
    submit,
)
from walstreet_events import (
    AnyEvent,
    MarginAnswered,
    MarginAsked,
    OrderCorrected,
    OrderFilled,
    OrderState,
    OrderSubmitting,
)

LONG = intent(expires_ns=NOW_NS + 300 * S)
"""Good for 30 s at a time, 300 s in all."""
PROVEN_S = 60
"""Good-till time and margin of the first child."""


def partly(shares: int = 40) -> World:
    """Return a world whose first child filled ``shares`` and then expired at the broker."""
    world = ready_world(aggression="staged")
    sent = submit(world, LONG)
    status(world, "Submitted")
    if shares:
        world.see(execution(sent.client_order_id, "a.01", shares))
    return world


def ended(world: World, filled: int = 40) -> World:
    """Let the broker say that the child has ended."""
    status(world, "Cancelled", filled=filled, ts_ns=NOW_NS + 31 * S)
    return world


def ask(world: World, at_s: int, name: str = "s", **answer: object) -> list[AnyEvent]:
    """Let a snapshot come and execution look at the clock."""
    world.see(snapshot(f"{name}{at_s}", NOW_NS + at_s * S, **answer))  # type: ignore[arg-type]
    world.see(quote(ts_ns=NOW_NS + at_s * S))
    return world.see(TimeObserved(ts_ns=NOW_NS + at_s * S))


def test_the_rest_goes_once_time_state_and_queries_agree() -> None:
    """60 shares, an identity of its own, another 30 s; the same snapshot sends nothing twice."""
    world = ended(partly())
    outs = ask(world, PROVEN_S)
    assert [type(out) for out in outs] == [OrderSubmitting]
    again = outs[0]
    assert isinstance(again, OrderSubmitting)
    assert again.quantity_micro == 60 * SHARE
    assert again.client_order_id == child_id(LONG.id, FIRST_SLICE + 1)
    assert again.good_till_ns == NOW_NS + (PROVEN_S + 30) * S
    assert world.see(TimeObserved(ts_ns=NOW_NS + (PROVEN_S + 1) * S)) == []


@pytest.mark.parametrize("at_s", [31, 45, 59])
def test_not_before_the_good_till_time_has_passed_by_the_margin(at_s: int) -> None:
    """The child has ended by all accounts, and still nothing is sent."""
    world = ended(partly())
    assert ask(world, at_s) == []
    assert world.see(TimeObserved(ts_ns=NOW_NS + 100 * S)) == [], "an old snapshot proves nothing later either"


def test_not_without_a_final_state_and_not_while_the_queries_disagree() -> None:
    """Working by our books; open, more filled, or with an unknown execution by the broker's."""
    world = partly()
    assert ask(world, PROVEN_S) == []
    reference = child_id(LONG.id, 0)
    for number, answer in enumerate(
        (
            {"open_orders": (listed(reference, "Submitted", 40),)},
            {"completed": (listed(reference, "Cancelled", 50),)},
            {"ok": False},
        )
    ):
        assert ask(ended(partly()), PROVEN_S + number, **answer) == []  # type: ignore[arg-type]


def test_a_fill_that_a_query_brings_late_is_counted_before_the_rest_is() -> None:
    """The broker says 40 and lists 70 in executions: 30 are left, not 60."""
    world = ended(partly())
    late = execution(child_id(LONG.id, 0), "b.01", 30)
    outs = ask(world, PROVEN_S, executions=(late,))
    assert [out.quantity_micro for out in outs if isinstance(out, OrderSubmitting)] == [30 * SHARE]


def test_a_status_that_counts_more_than_the_executions_stops_the_parent() -> None:
    """50 filled by the status, 40 by executions: the ten that lag would be bought twice."""
    world = ended(partly(), filled=50)
    assert ask(world, PROVEN_S) == []


def test_nothing_is_sent_close_to_the_parents_end_or_when_it_is_done() -> None:
    """295 s of 300 have passed; a whole fill leaves nothing."""
    assert ask(ended(partly()), 295) == []
    world = ready_world(aggression="staged")
    sent = submit(world, LONG)
    world.see(execution(sent.client_order_id))
    assert ask(world, PROVEN_S) == []


def test_a_guard_is_asked_again() -> None:
    """The spread is too wide at that moment; the next snapshot may find it better."""
    world = ended(partly())
    world.see(snapshot("s", NOW_NS + PROVEN_S * S))
    world.see(quote(99.0, 101.0, ts_ns=NOW_NS + PROVEN_S * S))
    assert world.see(TimeObserved(ts_ns=NOW_NS + PROVEN_S * S)) == []
    assert len(ask(world, 90)) == 1


def test_a_restart_changes_nothing_about_the_rule() -> None:
    """From the log alone the new process knows parents, children and the snapshot, and sends the rest once."""
    world = ended(partly())
    world.see(snapshot("s", NOW_NS + PROVEN_S * S))
    again = world.restarted()
    assert again.state.parents == world.state.parents
    before = len(again.state.orders)
    again.see(quote(ts_ns=NOW_NS + (PROVEN_S + 1) * S))
    assert again.see(TimeObserved(ts_ns=NOW_NS + (PROVEN_S + 1) * S)) == [], "no link has been seen in this life"
    assert len(again.state.orders) == before


def test_the_rule_itself_bounds_the_number_of_children() -> None:
    """At the bound, disabled, or without a child there is no rest."""
    world = ended(partly())
    world.see(snapshot("s", NOW_NS + PROVEN_S * S))
    children, told = [*world.state.orders.values()], world.state.snapshot
    assert told is not None
    at = NOW_NS + PROVEN_S * S
    assert rest_micro(LONG, children, told, at, ResliceParameters()) == 60 * SHARE
    assert rest_micro(LONG, children, told, at, ResliceParameters(children_max=1)) == 0
    assert rest_micro(LONG, children, told, at, ResliceParameters(enabled=False)) == 0
    assert rest_micro(LONG, [], told, at, ResliceParameters()) == 0


def _answer(asked: AnyEvent, ts_ns: int) -> MarginObserved:
    preview = MarginPreview(
        initial_margin_after_nano=10_000 * DOLLAR,
        maintenance_margin_after_nano=None,
        equity_with_loan_after_nano=100_000 * DOLLAR,
        commission_nano=None,
        warning="",
    )
    return MarginObserved(ts_ns=ts_ns, asked=asked.id, preview=preview, detail="")


def test_the_margin_of_the_rest_is_a_question_of_its_own() -> None:
    """With the gate on the rest is asked about under a new name, and its answer sends a child of a new name, once."""
    world = ready_world(aggression="staged", margin=MarginParameters())
    (first,) = world.give(block(LONG))
    _, sent = world.see(_answer(first, NOW_NS))
    assert isinstance(sent, OrderSubmitting)
    status(world, "Submitted")
    world.see(execution(sent.client_order_id, "a.01", 40))
    ended(world)
    (asked,) = ask(world, PROVEN_S)
    assert isinstance(asked, MarginAsked)
    assert asked.id != first.id
    assert asked.quantity_micro == 60 * SHARE
    assert ask(world, PROVEN_S + 1) == [], "one question is open"
    told, again = world.see(_answer(asked, NOW_NS + (PROVEN_S + 2) * S))
    assert isinstance(told, MarginAnswered)
    assert isinstance(again, OrderSubmitting)
    assert again.quantity_micro == 60 * SHARE
    assert again.client_order_id == child_id(LONG.id, FIRST_SLICE + 1) != sent.client_order_id
    assert again.broker_order_id > asked.broker_order_id > sent.broker_order_id


def test_an_order_that_a_crash_kept_from_the_broker_goes_out_once_more_under_another_name() -> None:
    """Durable and never sent: unknown after the restart, proved absent twice, then a second child; the first never."""
    world = ready_world(aggression="staged")
    lost = submit(world, LONG)
    again = world.restarted()
    again.see(link(ts_ns=NOW_NS + S))
    assert again.state.orders[lost.client_order_id].state is OrderState.UNKNOWN
    outs = [event for at_s in (60, 75, 90) for event in ask(again, at_s)]
    assert again.state.orders[lost.client_order_id].state is OrderState.EXPIRED
    (sent,) = [event for event in outs if isinstance(event, OrderSubmitting)]
    assert sent.quantity_micro == lost.quantity_micro
    assert sent.client_order_id != lost.client_order_id
    assert sent.broker_order_id > lost.broker_order_id


# ------------------------------------------------------------------------------------------- corrections


def _revision(number: int, shares: int, price: float = 100.0) -> ExecutionObserved:
    fact = execution(child_id(LONG.id, 0), f"0000e0d5.00000001.01.0{number}", shares)
    return msgspec.structs.replace(fact, price_nano=round(price * DOLLAR))


def test_a_correction_amends_the_execution_that_it_replaces() -> None:
    """40 at 100 become 30 at 99: one event with both, the position follows, the first stays on the log."""
    world = partly(0)
    assert isinstance(world.see(_revision(1, 40))[0], OrderFilled)
    outs = world.see(_revision(2, 30, 99.0))
    assert [type(out) for out in outs] == [OrderCorrected]
    event = outs[0]
    assert isinstance(event, OrderCorrected)
    assert (event.quantity_micro, event.price_nano) == (30 * SHARE, 99 * DOLLAR)
    assert (event.previous_quantity_micro, event.previous_price_nano) == (40 * SHARE, 100 * DOLLAR)
    assert event.corrects == "0000e0d5.00000001.01.01"
    assert world.state.filled_since == {"SPY": 30 * SHARE}
    order = next(iter(world.state.orders.values()))
    assert (order.executed_micro, order.filled_micro) == (30 * SHARE, 40 * SHARE)
    assert corrected_fill(event).exec_id == "0000e0d5.00000001.01.02"


@pytest.mark.parametrize("number", [1, 2])
def test_a_correction_and_an_older_revision_count_once(number: int) -> None:
    """Repeated, or late after the newer one: no second event."""
    world = partly(0)
    world.see(_revision(1, 40))
    world.see(_revision(2, 30))
    assert world.see(_revision(number, 40)) == []
    assert world.restarted().see(_revision(number, 40)) == []


def test_families_of_execution_ids() -> None:
    """The last of four parts is the revision; ids of another form are families of their own."""
    assert family_of("a.b.c.02") == ("a.b.c", 2)
    assert family_of("x.01") == ("x.01", 0)


def test_a_correction_keeps_the_parent_from_being_sent_on() -> None:
    """What was corrected away is no quantity that may be asked for again by itself."""
    world = partly(0)
    world.see(_revision(1, 40))
    world.see(_revision(2, 30))
    ended(world)
    assert next(iter(world.state.orders.values())).state is OrderState.EXPIRED
    assert ask(world, PROVEN_S) == []
