"""Tests of orders that the broker works twice."""

from __future__ import annotations

from walstreet.domain.execution_cancel import CANCEL_INCARNATION
from walstreet.testing.execution_world import World, execution, ready_world, status, submit
from walstreet_events import AnyEvent, OrderCancelling, OrderFilled, OrderState


def cancels(outs: list[AnyEvent]) -> list[OrderCancelling]:
    """Return the cancels of incarnations."""
    return [out for out in outs if isinstance(out, OrderCancelling) and out.reason == CANCEL_INCARNATION]


def working() -> World:
    """Return a world with one order at work under the permanent id 77."""
    world = ready_world()
    submit(world)
    status(world, "Submitted")
    return world


def test_a_second_live_order_cancels_both() -> None:
    """Each cancel ends one of them, so there are two, with ids of their own and the order's broker id."""
    world = working()
    told = cancels(status(world, "Submitted", perm_id=78))
    assert [event.broker_order_id for event in told] == [5, 5]
    assert len({event.id for event in told}) == 2


def test_it_is_told_once_for_each_incarnation() -> None:
    """Statuses of known incarnations in turn cause nothing more; a third one is one cancel more."""
    world = working()
    status(world, "Submitted", perm_id=78)
    assert not cancels(status(world, "Submitted", perm_id=77, filled=25))
    assert not cancels(status(world, "Submitted", perm_id=78, filled=25))
    third = cancels(status(world, "Submitted", perm_id=79))
    assert len(third) == 1
    everything = cancels(world.log)
    assert len({event.id for event in everything}) == len(everything) == 3


def test_an_incarnation_of_an_ended_order_takes_one_cancel() -> None:
    """The first has filled and needs none."""
    world = working()
    reference = next(iter(world.state.orders))
    world.see(execution(reference))
    assert world.state.orders[reference].state is OrderState.FILLED
    assert len(cancels(status(world, "Submitted", perm_id=78))) == 1


def test_the_end_of_an_incarnation_and_a_first_permanent_id_are_no_second_order() -> None:
    """Only a live status under another id than a known one is."""
    world = ready_world()
    submit(world)
    assert not cancels(status(world, "PendingSubmit", perm_id=0))
    assert not cancels(status(world, "Submitted", perm_id=77))
    assert not cancels(status(world, "Cancelled", perm_id=78))


def test_a_restart_neither_forgets_nor_repeats() -> None:
    """Replay knows both incarnations, and their fills are the order's."""
    world = working()
    status(world, "Submitted", perm_id=78)
    again = world.restarted()
    assert not cancels(status(again, "Submitted", perm_id=78))
    reference = next(iter(again.state.orders))
    outs = again.see(execution(reference, "f.01", 100, perm_id=78))
    assert [out.client_order_id for out in outs if isinstance(out, OrderFilled)] == [reference]
