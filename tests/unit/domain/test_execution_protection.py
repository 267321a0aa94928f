"""Tests of protective orders that would open a position: walstreet.domain.execution_protection in the core."""

from __future__ import annotations

import msgspec
import pytest

from walstreet.domain.bracket_prices import BracketParameters
from walstreet.domain.guard_short import ShortSaleParameters
from walstreet.domain.observations import BrokerOrderFacts, PositionFacts, SnapshotObserved, TimeObserved
from walstreet.testing.execution_world import (
    CON_ID,
    DOLLAR,
    NOW_NS,
    SHARE,
    S,
    World,
    account,
    bar,
    block,
    execution,
    intent,
    quote,
    ready_world,
    reasons,
    snapshot,
    status,
)
from walstreet_events import OrderBracketed, OrderCancelling, OrderSubmitting, Side

FIXED = BracketParameters(mode="fixed")


def protected(**parameters: object) -> World:
    """Return a world in which opening orders take a fixed pair along."""
    return ready_world(brackets=FIXED, **parameters)


def restricted(world: World) -> World:
    """Let Rule 201 come into force."""
    world.give(bar(NOW_NS + 1, close=100.0, low=89.0))
    return world


def doubtful(world: World) -> World:
    """Let one reading be 50 short and the other flat: 50 were sold short, and bought back by a fill just journaled."""
    world.see(account(position=-50))
    world.state.filled_since["SPY"] = 50 * SHARE
    return world


def awake(world: World, *, side: Side = Side.BUY) -> tuple[str, ...]:
    """Open 100, fill them, and return the identities of the pair at work."""
    pair, sent = world.give(block(intent(side=side)))
    assert isinstance(pair, OrderBracketed)
    assert isinstance(sent, OrderSubmitting)
    status(world, "Submitted", perm_id=1_005)
    fill = execution(sent.client_order_id, perm_id=1_005)
    world.see(msgspec.structs.replace(fill, buy=side is Side.BUY, broker_order_id=sent.broker_order_id))
    return tuple(child.client_order_id for child in pair.children)


def told(world: World, position: int, *, at_s: int = 10, left: int = 100, ok: bool = True) -> list[OrderCancelling]:
    """Let the broker tell position and open orders, then look at the clock; return the cancels."""
    facts = snapshot(f"{position} {at_s}", NOW_NS + at_s * S, ok=ok)
    listed = tuple(
        BrokerOrderFacts(
            client_order_id=order.client_order_id,
            perm_id=order.broker_order_id + 1_000,
            client_id=1,
            broker_order_id=order.broker_order_id,
            symbol="SPY",
            buy=order.side is Side.BUY,
            quantity_micro=100 * SHARE,
            filled_micro=(100 - left) * SHARE,
            status="Submitted",
        )
        for order in world.state.orders.values()
        if order.protects and not order.terminal
    )
    held = PositionFacts(symbol="SPY", con_id=CON_ID, quantity_micro=position * SHARE, average_cost_nano=DOLLAR)
    assert isinstance(facts, SnapshotObserved)
    world.see(msgspec.structs.replace(facts, open_orders=listed, positions=(held,) if position else ()))
    world.see(quote(ts_ns=NOW_NS + at_s * S))
    outs = world.see(TimeObserved(ts_ns=NOW_NS + at_s * S))
    return [out for out in outs if isinstance(out, OrderCancelling)]


# --------------------------------------------------------------------------------------------------- at their birth


def test_protection_of_what_was_bought_is_no_short_sale() -> None:
    """Under Rule 201, without any permission to sell short, the pair of a purchase goes out."""
    world = restricted(protected(short=ShortSaleParameters(shorts_permitted=False)))
    assert [type(out) for out in world.give(block(intent()))] == [OrderBracketed, OrderSubmitting]


def test_a_stop_that_might_sell_short_is_refused_under_rule_201() -> None:
    """50 of 100 would be short by the worse reading; a stop becomes a market order, which sells at the bid."""
    outs = restricted(doubtful(protected())).give(block(intent()))
    assert reasons(outs) == ["ssr_price"]
    assert "stop of the pair" in outs[0].detail  # type: ignore[union-attr]
    assert [type(out) for out in doubtful(protected()).give(block(intent()))] == [OrderBracketed, OrderSubmitting]


def test_a_pair_that_might_sell_short_needs_the_permission() -> None:
    """A long-only account never lets a protective sell go below zero."""
    world = doubtful(protected(short=ShortSaleParameters(shorts_permitted=False)))
    assert reasons(world.give(block(intent()))) == ["short_not_permitted"]


def test_a_pair_whose_rule_is_not_known_is_refused() -> None:
    """Without bars nobody knows whether Rule 201 is in force."""
    world = doubtful(protected())
    world.state.markets["SPY"].rule = None
    outs = world.give(block(intent()))
    assert reasons(outs) == ["ssr_unknown"]


def test_the_protection_of_a_short_position_buys() -> None:
    """Its children are no sells, so Rule 201 judges the parent alone: above the bid it goes."""
    world = restricted(protected(aggression="mid"))
    outs = world.give(block(intent(side=Side.SELL)))
    assert [type(out) for out in outs] == [OrderBracketed, OrderSubmitting]
    pair, parent = outs
    assert isinstance(pair, OrderBracketed)
    assert isinstance(parent, OrderSubmitting)
    assert pair.side is Side.BUY
    assert parent.limit_nano > parent.quote.bid_nano


@pytest.mark.parametrize("aggression", ["cross", "mid", "staged"])
def test_both_children_of_a_sell_through_zero_keep_to_the_rule(aggression: str) -> None:
    """Of 100 sold out of 40, the 40 that close always go; the 60 short ones only above the bid."""
    world = restricted(ready_world(aggression=aggression))
    world.see(account(position=40))
    outs = world.give(block(intent(side=Side.SELL)))
    sent = [out for out in outs if isinstance(out, OrderSubmitting)]
    assert sum(out.quantity_micro for out in sent if out.slice_index == 0) == 40 * SHARE
    for order in sent:
        assert order.slice_index == 0 or order.limit_nano > order.quote.bid_nano
    assert len(sent) == (1 if aggression == "cross" else 2)


# ---------------------------------------------------------------------------------------------------------- in life


def test_protection_whose_position_somebody_else_sold_is_cancelled() -> None:
    """The broker shows the pair at work and no position: both are cancelled, once."""
    world = protected()
    pair = awake(world)
    cancels = told(world, 0)
    assert [(out.client_order_id, out.reason) for out in cancels] == [(key, "protection_uncovered") for key in pair]
    assert told(world, 0, at_s=20) == []


@pytest.mark.parametrize(("position", "left", "cancels"), [(100, 100, 0), (60, 60, 0), (60, 100, 2), (-10, 100, 2)])
def test_cover_is_compared_with_what_is_left(position: int, left: int, cancels: int) -> None:
    """A partly filled take-profit leaves a smaller pair over a smaller position; a larger pair is too much."""
    world = protected()
    awake(world)
    assert len(told(world, position, left=left)) == cancels


def test_protection_of_a_short_position_is_covered_by_it() -> None:
    """Buys over a short of 100 stay; when the short is gone they would open a long position."""
    world = protected()
    awake(world, side=Side.SELL)
    assert told(world, -100) == []
    assert len(told(world, 0, at_s=20)) == 2


def test_what_is_not_known_cancels_no_protection() -> None:
    """A failed query, a fill younger than the broker's positions, and a parent that has not filled whole."""
    world = protected()
    awake(world)
    assert told(world, 0, ok=False) == []
    assert told(world, 0, at_s=4) == []
    sleeping = protected()
    sleeping.give(block(intent()))
    assert told(sleeping, 0) == []


def test_a_crash_before_the_cancel_looks_again() -> None:
    """The snapshot is on the log, the cancel is not: the next life cancels; what is on the log is not repeated."""
    world = protected()
    pair = awake(world)
    told(world, 0)
    log = [event for event in world.log if not isinstance(event, OrderCancelling)]
    for events, names in ((log, list(pair)), (world.log, [])):
        again = World(core=world.core)
        again.log = list(events)
        again = again.restarted()
        outs = again.see(TimeObserved(ts_ns=NOW_NS + 11 * S))
        assert [out.client_order_id for out in outs if isinstance(out, OrderCancelling)] == names
