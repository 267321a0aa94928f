"""Tests of changes in place: walstreet.domain.execution_modify, execution_cancel and execution_parents in the core."""

from __future__ import annotations

import pytest

from walstreet.domain.execution_parents import KEEP_NS
from walstreet.domain.guard_reset import ResetParameters, ResetWindow
from walstreet.domain.micro_planner import PlannerParameters
from walstreet.domain.observations import OrderErrorObserved, OrderStatusObserved, TimeObserved
from walstreet.testing.execution_world import (
    DOLLAR,
    NOW_NS,
    SHARE,
    S,
    World,
    account,
    bar,
    block,
    clock,
    execution,
    intent,
    link,
    phase,
    quote,
    ready_world,
    submit,
)
from walstreet_events import (
    ROOT,
    AnyEvent,
    FlattenState,
    Mode,
    ModeState,
    OrderCancelling,
    OrderModified,
    OrderModifying,
    OrderModifyRefused,
    OrderState,
    OrderSubmitting,
    OrderUpdated,
    Side,
    SymbolStatus,
    derive_id,
)

WIDE = (99.95, 100.05)
CENT = DOLLAR // 100


def staged(**parameters: object) -> World:
    """Return a world whose orders follow the schedule, the market 99.95 to 100.05."""
    world = ready_world(aggression="staged", **parameters)
    world.see(quote(*WIDE))
    return world


def told(
    world: World,
    text: str = "Submitted",
    *,
    at_s: float = 0,
    limit: float | None = None,
    filled: int = 0,
    total: int = 0,
) -> list[AnyEvent]:
    """Let the broker say where the first order stands, with an openOrder if ``limit`` is given."""
    order = next(iter(world.state.orders.values()))
    return world.see(
        OrderStatusObserved(
            ts_ns=NOW_NS + round(at_s * S),
            broker_order_id=order.broker_order_id,
            client_id=1,
            perm_id=77,
            client_order_id=order.client_order_id,
            symbol="SPY",
            status=text,
            filled_micro=filled * SHARE,
            remaining_micro=(100 - filled) * SHARE,
            average_price_nano=0,
            why_held="",
            limit_nano=None if limit is None else round(limit * DOLLAR),
            total_micro=total * SHARE or None,
        )
    )


def look(world: World, at_s: float) -> list[OrderModifying]:
    """Let execution look at the clock; the market is confirmed."""
    world.see(quote(*WIDE, ts_ns=NOW_NS + round(at_s * S)))
    outs = world.see(TimeObserved(ts_ns=NOW_NS + round(at_s * S)))
    assert all(isinstance(out, OrderModifying | OrderModifyRefused) for out in outs), outs
    return [out for out in outs if isinstance(out, OrderModifying)]


def refusals(world: World) -> list[tuple[int, str]]:
    """Return stage and reason of every refused change on the log."""
    return [(out.stage, out.reason) for out in world.log if isinstance(out, OrderModifyRefused)]


def refused(world: World, code: int, at_s: float = 11) -> list[AnyEvent]:
    """Let the broker answer the change with an error."""
    order = next(iter(world.state.orders.values()))
    return world.see(
        OrderErrorObserved(
            ts_ns=NOW_NS + round(at_s * S), broker_order_id=order.broker_order_id, code=code, message="no"
        )
    )


def working(**parameters: object) -> World:
    """Return a staged world with one working order for 100 shares at 100.00, good for 30 s."""
    world = staged(**parameters)
    submit(world)
    told(world, limit=100.0)
    return world


def test_the_schedule_runs_in_place_under_one_identity() -> None:
    """100.00, 100.01 at 10 s, 100.02 at 20 s, 100.10 at 28 s: one order id, one reference, numbered changes."""
    world = staged()
    sent = submit(world)
    assert sent.limit_nano == 100 * DOLLAR
    told(world, limit=100.0)
    limits = []
    for at_s in range(1, 30):
        for change in look(world, at_s):
            limits.append((at_s, change.limit_nano / DOLLAR, change.number, change.stage, change.reason))
            assert (change.broker_order_id, change.client_order_id) == (sent.broker_order_id, sent.client_order_id)
            assert (change.quantity_micro, change.good_till_ns) == (sent.quantity_micro, sent.good_till_ns)
            echo = told(world, at_s=at_s, limit=change.limit_nano / DOLLAR)
            assert [out.outcome for out in echo if isinstance(out, OrderModified)] == ["accepted"]
    assert limits == [(10, 100.01, 1, 1, "step"), (20, 100.02, 2, 2, "step"), (28, 100.10, 3, 3, "cross")]
    assert len(world.state.orders) == 1


@pytest.mark.parametrize("text", ["PendingCancel", "Inactive", "Cancelled", "Filled"])
def test_an_order_that_does_not_work_is_never_changed(text: str) -> None:
    """Pending cancel, held, ended."""
    world = working()
    told(world, text, filled=100 if text == "Filled" else 0)
    assert look(world, 10) == []


def test_an_unproven_or_unknown_order_is_never_changed() -> None:
    """Not before the broker has shown it, and not after a reconnection until it has been found out."""
    world = staged()
    submit(world)
    assert look(world, 10) == []
    told(world, at_s=10, limit=100.0)
    world.see(link(ts_ns=NOW_NS + 11 * S))
    assert next(iter(world.state.orders.values())).state is OrderState.UNKNOWN
    assert look(world, 12) == []
    told(world, at_s=13, limit=100.0)
    assert [change.stage for change in look(world, 14)] == [1]


def test_no_second_change_before_the_first_has_an_answer() -> None:
    """The second third passes in silence; the answer comes, and the step is made then."""
    world = working()
    assert len(look(world, 10)) == 1
    assert look(world, 21) == []
    assert world.state.orders[next(iter(world.state.orders))].worst_nano == round(100.01 * DOLLAR)
    told(world, at_s=22, limit=100.01)
    assert [change.limit_nano for change in look(world, 22)] == [round(100.02 * DOLLAR)]


def test_an_old_echo_proves_nothing_while_a_change_is_under_way() -> None:
    """A status that carries the old price may be older than the change."""
    world = working()
    look(world, 10)
    assert not [out for out in told(world, at_s=10, limit=100.0, filled=5) if isinstance(out, OrderModified)]
    assert next(iter(world.state.orders.values())).asked_nano == round(100.01 * DOLLAR)


@pytest.mark.parametrize("code", [104, 105, 110, 201, 10148])
def test_a_refused_change_keeps_the_price_that_the_broker_echoed(code: int) -> None:
    """The old limit is in force, the order is not held for rejected, and the next stage is tried."""
    world = working()
    look(world, 10)
    outs = refused(world, code)
    assert [(out.outcome, out.limit_nano, out.code) for out in outs if isinstance(out, OrderModified)] == [
        ("refused", 100 * DOLLAR, code)
    ]
    order = next(iter(world.state.orders.values()))
    assert order.state in {OrderState.WORKING, OrderState.UNKNOWN}
    assert (order.limit_nano, order.asked_nano) == (100 * DOLLAR, 0)
    told(world, at_s=12, limit=100.0)
    assert [change.limit_nano for change in look(world, 20)] == [round(100.01 * DOLLAR)]


def test_the_same_code_on_a_placement_is_still_a_rejection() -> None:
    """Only while a change waits for its answer may an error mean the change."""
    world = working()
    refused(world, 201, at_s=1)
    assert next(iter(world.state.orders.values())).state is OrderState.REJECTED


def test_a_change_that_races_a_fill() -> None:
    """The order fills while the change is on its way: 104 comes after the fill and changes nothing."""
    world = working()
    look(world, 10)
    order = next(iter(world.state.orders.values()))
    world.see(execution(order.client_order_id))
    assert next(iter(world.state.orders.values())).state is OrderState.FILLED
    assert not [out for out in refused(world, 104) if isinstance(out, OrderModified)]
    assert look(world, 20) == []


def test_a_change_of_which_nothing_is_heard_makes_the_order_unknown() -> None:
    """After the silence that a placement is allowed too, and what a query then shows is the truth."""
    world = working()
    look(world, 10)
    outs = world.give(clock(NOW_NS + 20 * S))
    assert [out.state for out in outs if isinstance(out, OrderUpdated)] == [OrderState.UNKNOWN]
    assert look(world, 21) == []
    outs = told(world, at_s=22, limit=100.0)
    assert [out.outcome for out in outs if isinstance(out, OrderModified)] == ["lost"]
    assert next(iter(world.state.orders.values())).state is OrderState.WORKING


@pytest.mark.parametrize(("echo", "outcome"), [(100.01, "accepted"), (100.0, "lost"), (100.03, "changed")])
def test_a_crash_between_announcing_and_sending_is_found_out(echo: float, outcome: str) -> None:
    """After the restart the broker's open order says which price holds; nothing is sent again before."""
    world = working()
    look(world, 10)
    again = world.restarted()
    again.see(quote(*WIDE))
    again.see(link(ts_ns=NOW_NS + 12 * S))
    assert look(again, 12) == []
    outs = told(again, at_s=13, limit=echo)
    assert [(out.outcome, out.limit_nano) for out in outs if isinstance(out, OrderModified)] == [
        (outcome, round(echo * DOLLAR))
    ]
    assert next(iter(again.state.orders.values())).limit_nano == round(echo * DOLLAR)
    assert [change.number for change in look(again, 20)] == [2]


def test_a_replayed_log_gives_the_same_order() -> None:
    """State folded from the log alone equals the live one."""
    world = working()
    look(world, 10)
    told(world, at_s=10, limit=100.01, filled=20)
    assert world.restarted().state.orders == world.state.orders


@pytest.mark.parametrize(
    ("stop", "told_as"),
    [
        (lambda world: world.give(_mode(Mode.OBSERVE)), [(1, "mode_observe")]),
        # The lost link is a fact of its own on the log; nothing is asked while it lasts.
        (lambda world: world.see(link(connected=False, ts_ns=NOW_NS + S)), []),
        (lambda world: world.give(_halt()), [(1, "halted")]),
        (lambda world: world.see(execution("by hand", "x.1", perm_id=3)), [(1, "external_order")]),
    ],
    ids=["mode", "link", "halt", "foreign"],
)
def test_what_would_stop_an_order_stops_its_change(stop: object, told_as: list[tuple[int, str]]) -> None:
    """Mode, link, halt, a foreign order of the symbol; what a guard refused stands on the log."""
    world = working()
    stop(world)  # type: ignore[operator]
    assert look(world, 10) == []
    assert refusals(world) == told_as


def test_a_refused_change_is_journaled_once_for_each_stage_and_reason() -> None:
    """A halt from 5 s to 22 s: twenty looks a second leave one refusal for each step, with numbers and quote."""
    world = working()
    world.give(_halt())
    for tick in range(10 * 20, 22 * 20):
        assert look(world, tick / 20) == []
    assert refusals(world) == [(1, "halted"), (2, "halted")]
    first = next(out for out in world.log if isinstance(out, OrderModifyRefused))
    order = next(iter(world.state.orders.values()))
    assert (first.intent, first.client_order_id, first.ts_ns) == (intent().id, order.client_order_id, NOW_NS + 10 * S)
    assert (first.limit_nano, first.quote.bid_nano) == (round(100.01 * DOLLAR), round(99.95 * DOLLAR))
    assert first.detail == "halt: halt state halted"
    assert (order.limit_nano, order.asked_nano, order.modifications) == (100 * DOLLAR, 0, 0)


def test_a_crash_repeats_no_refusal_of_a_change_and_forgets_none() -> None:
    """What was journaled is known after the restart; the change goes as soon as the guard lets it."""
    world = working()
    world.give(_halt())
    look(world, 10)
    again = world.restarted()
    assert again.state.orders == world.state.orders
    again.see(link(ts_ns=NOW_NS + 11 * S))
    told(again, at_s=11, limit=100.0)
    assert look(again, 12) == []
    assert refusals(again) == [(1, "halted")]
    again.give(_halt(halted=False))
    assert [change.stage for change in look(again, 13)] == [1]


def test_a_change_is_not_sent_into_a_nightly_reset() -> None:
    """An opening order keeps its price; one that only reduces is worked on."""
    window = ResetParameters(windows=(ResetWindow(name="gateway", at="09:00", lasts_s=60.0),), before_s=190.0)
    world = working(resets=window)
    assert look(world, 10) == []
    assert refusals(world) == [(1, "reset_blackout")]
    held = staged(resets=window)
    held.see(account(position=100))
    submit(held, intent(side=Side.SELL, reducing=True))
    told(held, limit=100.0)
    assert [change.stage for change in look(held, 10)] == [1]


def test_an_emergency_cancels_and_nothing_is_changed_any_more() -> None:
    """The cancel is announced; the schedule is over."""
    world = working()
    assert [type(out) for out in world.give(_mode(Mode.EMERGENCY))] == [FlattenState, OrderCancelling]
    world.see(quote(*WIDE, ts_ns=NOW_NS + 10 * S))
    later = world.see(TimeObserved(ts_ns=NOW_NS + 10 * S))
    assert not [out for out in later if isinstance(out, OrderModifying | OrderSubmitting)]


def test_a_restricted_short_sale_does_not_cross_to_the_bid() -> None:
    """Rule 201 in force: the steps above the bid go, the cross through it does not; without the rule it goes."""
    for restricted in (False, True):
        world = staged()
        if restricted:
            world.give(bar(NOW_NS + 1, close=100.0, low=89.0))
        sent = world.give(block(intent("short", side=Side.SELL), name="short"))
        assert [type(out) for out in sent] == [OrderSubmitting]
        told(world, limit=100.0)
        assert [change.limit_nano for change in look(world, 10)] == [round(99.99 * DOLLAR)]
        told(world, at_s=11, limit=99.99)
        assert [change.stage for change in look(world, 28)] == ([] if restricted else [3])


def test_messages_are_short_so_the_largest_net_edge_goes_first() -> None:
    """One change a second: QQQ with 20 bps before SPY with 9, which follows a second later."""
    world = staged(planner=PlannerParameters(modifies_per_second_max=1))
    world.see(quote(*WIDE, symbol="QQQ"))
    other = intent("two", symbol="QQQ", con_id=12, alpha_bps=20.0)
    outs = world.give(block(intent(), other))
    assert [out.symbol for out in outs if isinstance(out, OrderSubmitting)] == ["QQQ", "SPY"]
    for number, order in enumerate(list(world.state.orders.values())):
        world.see(
            OrderStatusObserved(
                ts_ns=NOW_NS,
                broker_order_id=order.broker_order_id,
                client_id=1,
                perm_id=70 + number,
                client_order_id=order.client_order_id,
                symbol=order.symbol,
                status="Submitted",
                filled_micro=0,
                remaining_micro=order.quantity_micro,
                average_price_nano=0,
                why_held="",
            )
        )
    world.see(quote(*WIDE, symbol="QQQ", ts_ns=NOW_NS + 10 * S))
    assert [change.symbol for change in look(world, 10)] == ["QQQ"]
    assert look(world, 10.5) == []
    assert [change.symbol for change in look(world, 11.1)] == ["SPY"]


def test_a_child_is_a_share_of_a_minutes_volume_unless_it_reduces() -> None:
    """A million shares a day are 205 in .08 of a minute; an exit of 400 goes whole."""
    world = staged()
    sent = submit(world, intent(quantity_micro=400 * SHARE))
    assert sent.quantity_micro == 205 * SHARE
    held = staged()
    held.see(account(position=400))
    leaving = intent("exit", side=Side.SELL, quantity_micro=400 * SHARE, reducing=True)
    assert submit(held, leaving).quantity_micro == 400 * SHARE


def test_fractions_are_kept_as_a_residual_or_sent_where_allowed() -> None:
    """10.7 shares: 10 go and .7 is known to be left; with the capability all of them go."""
    wanted = intent(quantity_micro=10_700_000, side=Side.BUY)
    world = staged()
    assert submit(world, wanted).quantity_micro == 10 * SHARE
    assert world.state.residual_micro == {"SPY": 700_000}
    able = staged(fractional=True)
    assert submit(able, wanted).quantity_micro == 10_700_000
    assert able.state.residual_micro == {"SPY": 0}


def test_parents_are_forgotten_long_after_their_expiry() -> None:
    """The memory is bounded by time; a day's blocks do not pile up."""
    world = staged()
    submit(world)
    assert list(world.state.parents) == [intent().id]
    later = intent("later", expires_ns=NOW_NS + KEEP_NS + 200 * S)
    world.see(TimeObserved(ts_ns=NOW_NS + KEEP_NS + 100 * S))
    world.give(phase(ts_ns=NOW_NS + KEEP_NS + 100 * S))
    world.give(block(later, name="later", ts_ns=NOW_NS + KEEP_NS + 100 * S))
    assert list(world.state.parents) == [later.id]


def _mode(mode: Mode) -> ModeState:
    return ModeState(
        id=derive_id(mode.value, "mode", 0), cause=ROOT, ts_ns=NOW_NS, mode=mode, previous=Mode.LIVE, reason="test"
    )


def _halt(*, halted: bool = True) -> SymbolStatus:
    return SymbolStatus(
        id=derive_id(f"halt {halted}", "status", 0), cause=ROOT, ts_ns=NOW_NS, symbol="SPY", halted=halted, detail=""
    )
