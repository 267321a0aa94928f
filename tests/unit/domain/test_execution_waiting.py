"""Tests of walstreet.domain.execution_waiting: what waits for a quote of this life, and what a crash left undecided."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from walstreet.domain.bracket_prices import BracketParameters
from walstreet.domain.observations import TimeObserved
from walstreet.testing.execution_world import (
    NOW_NS,
    OTHER_CON_ID,
    OTHER_SYMBOL,
    SHARE,
    S,
    World,
    account,
    block,
    clock,
    intent,
    link,
    quote,
    ready_world,
    reasons,
)
from walstreet_events import (
    ROOT,
    AnyEvent,
    OperatorCommand,
    OrderBracketed,
    OrderCancelling,
    OrderIntent,
    OrderRefused,
    OrderSubmitting,
    Side,
    derive_id,
)


def other(name: str = "other", **changes: object) -> OrderIntent:
    """Return an intent for the second symbol."""
    return intent(name, symbol=OTHER_SYMBOL, con_id=OTHER_CON_ID, **changes)


def alive(**parameters: object) -> World:
    """Return a first life whose log names the time; what it observed besides is lost with it."""
    world = ready_world(**parameters)
    world.give(clock(NOW_NS))
    return world


def restarted(world: World | None = None, *, linked: bool = True) -> World:
    """Return the next life; it has heard of the link, and of no quote."""
    again = (world or alive()).restarted()
    if linked:
        again.see(link(ts_ns=NOW_NS + S))
    return again


def look(world: World, after_s: float = 2.0) -> list[AnyEvent]:
    """Return what time alone causes."""
    return world.see(TimeObserved(ts_ns=NOW_NS + round(after_s * S)))


def quoted(world: World, after_s: float = 2.0, symbol: str = "SPY") -> list[AnyEvent]:
    """Show a quote and look."""
    world.see(quote(ts_ns=NOW_NS + round(after_s * S), symbol=symbol))
    return look(world, after_s)


def test_an_intent_waits_for_the_first_quote_of_a_life() -> None:
    """Neither refused nor sent blind; the first quote sends it, once, with the block as the cause."""
    world = restarted()
    given_block = block(intent())
    assert world.give(given_block) == []
    assert look(world, 1.5) == []
    (sent,) = quoted(world)
    assert isinstance(sent, OrderSubmitting)
    assert (sent.intent, sent.cause, sent.ts_ns) == (intent().id, given_block.id, NOW_NS + 2 * S)
    assert quoted(world, 3.0) == []
    assert not world.state.undecided


def test_an_intent_waits_for_the_word_of_the_socket() -> None:
    """Free running decides what was left undone before it connects; the log's link is a dead process's."""
    world = restarted(linked=False)
    world.see(quote(ts_ns=NOW_NS + S))
    assert world.give(block(intent())) == []
    assert look(world, 1.5) == []
    world.see(link(ts_ns=NOW_NS + 2 * S))
    assert [type(out) for out in look(world)] == [OrderSubmitting]


def test_a_link_that_this_life_saw_go_down_refuses_at_once() -> None:
    """That is known, so there is nothing to wait for."""
    world = restarted()
    world.see(link(connected=False, ts_ns=NOW_NS + S))
    assert reasons(world.give(block(intent()))) == ["link_down"]


def test_what_stops_an_intent_whatever_its_price_stops_it_at_once() -> None:
    """Waiting is for what this life cannot know yet, and for nothing else."""
    world = restarted()
    assert reasons(world.give(block(intent(con_id=4_711)))) == ["no_instrument"]
    assert reasons(world.give(block(intent("two", expires_ns=NOW_NS), name="two"))) == ["intent_expired"]


def test_one_side_does_not_end_the_waiting() -> None:
    """The first tick of a symbol is often a bid without an ask."""
    world = restarted()
    world.give(block(intent()))
    world.see(quote(99.99, 0.0, ts_ns=NOW_NS + S))
    assert look(world) == []
    assert [type(out) for out in quoted(world, 3.0)] == [OrderSubmitting]


def test_every_guard_is_asked_when_the_quote_comes() -> None:
    """A mid far from the decision's refuses what waited."""
    world = restarted()
    world.give(block(intent()))
    world.see(quote(101.99, 102.01, ts_ns=NOW_NS + S))
    assert reasons(look(world)) == ["mid_drift"]


def test_a_block_that_a_crash_cut_short_is_decided_to_its_end() -> None:
    """The first submission is on the log, the second is not: only the second follows, under an id of its own."""
    world = alive()
    world.see(quote(symbol=OTHER_SYMBOL))
    whole = block(intent(), other())
    world.log.append(whole)
    world.state = world.core.evolve(world.state, whole)
    first, _ = world.core.decide(world.state, whole)
    world.log.append(first)
    assert isinstance(first, OrderSubmitting)
    again = restarted(world)
    for symbol in ("SPY", OTHER_SYMBOL):
        again.see(quote(ts_ns=NOW_NS + 2 * S, symbol=symbol))
    (second,) = look(again)
    assert isinstance(second, OrderSubmitting)
    assert {first.intent, second.intent} == {item.id for item in whole.intents}
    assert second.broker_order_id > first.broker_order_id


def test_a_third_life_decides_what_the_second_left_waiting() -> None:
    """What waits is in the log: the block, and no outcome."""
    world = restarted()
    world.give(block(intent()))
    third = restarted(world)
    assert [type(out) for out in quoted(third)] == [OrderSubmitting]
    assert quoted(restarted(third), 4.0) == []


@pytest.mark.parametrize("linked", [True, False])
def test_the_timer_refuses_what_waits_too_long(linked: bool) -> None:
    """With what it waited for; nothing is sent by a quote that comes later."""
    world = restarted(linked=linked)
    world.give(block(intent()))
    assert world.give(clock(NOW_NS + 60 * S - 1)) == []
    assert reasons(world.give(clock(NOW_NS + 60 * S))) == ["no_quote" if linked else "link_down"]
    world.see(link(ts_ns=NOW_NS + 61 * S))
    assert quoted(world, 61.0) == []


def test_an_expired_intent_is_not_sent_by_a_quote_before_the_timer() -> None:
    """The quote comes late: the look leaves it, and the timer names its time as the reason."""
    world = restarted()
    world.give(block(intent()))
    assert quoted(world, 60.0) == []
    assert reasons(world.give(clock(NOW_NS + 60 * S))) == ["intent_expired"]


def test_the_newest_wish_for_a_symbol_counts() -> None:
    """A newer intent takes the place of the waiting one; one for another symbol does not."""
    world = restarted()
    world.give(block(intent()))
    assert world.give(block(other(), name="else")) == []
    (refused,) = world.give(block(intent("newer", side=Side.SELL), name="newer"))
    assert isinstance(refused, OrderRefused)
    assert (refused.intent, refused.reason) == (intent().id, "no_quote")
    (sent,) = quoted(world)
    assert isinstance(sent, OrderSubmitting)
    assert sent.intent == intent("newer").id


def test_a_block_that_nobody_believes_replaces_nothing() -> None:
    """A forged wish must not end a true one."""
    world = restarted()
    world.give(block(intent()))
    forged = msgspec.structs.replace(block(intent("newer"), name="newer"), signature=b"x" * 32)
    assert reasons(world.give(forged)) == ["signature_invalid"]
    assert [type(out) for out in quoted(world)] == [OrderSubmitting]


def test_an_emergency_ends_what_waits() -> None:
    """A resume must not find wishes from before the panic."""
    world = restarted()
    world.give(block(intent()))
    world.give(
        OperatorCommand(
            id=derive_id("p", "c", 0), cause=ROOT, ts_ns=NOW_NS + S, command="panic", arguments={}, operator="me"
        )
    )
    assert not [out for out in quoted(world) if isinstance(out, OrderSubmitting)]
    refused = [out for out in world.give(clock(NOW_NS + 3 * S)) if isinstance(out, OrderRefused)]
    assert reasons([*refused]) == ["panic"]
    assert not world.state.undecided


def test_an_exit_that_waited_goes_first() -> None:
    """What reduces is sent before what opens, whatever the order of the blocks."""
    world = alive()
    world.see(account(position=100))
    again = restarted(world)
    again.give(block(other(), name="opens"))
    again.give(block(intent(side=Side.SELL, reducing=True), name="reduces"))
    again.see(quote(ts_ns=NOW_NS + 2 * S))
    sent = quoted(again, symbol=OTHER_SYMBOL)
    assert [out.symbol for out in sent if isinstance(out, OrderSubmitting)] == ["SPY", OTHER_SYMBOL]


def test_a_crash_while_protection_is_withdrawn_withdraws_the_rest() -> None:
    """One of the pair's cancels is on the log: the next life sends the other, and the intent is refused as ever."""
    world = alive(brackets=BracketParameters(mode="fixed"))
    world.give(block(intent(quantity_micro=SHARE)))
    (parent,) = [order for order in world.state.orders.values() if not order.protects]
    # The parent has filled; what is left are the two that protect the position.
    del world.state.open_orders[parent.client_order_id]
    leaving = block(intent("leave", side=Side.SELL, quantity_micro=SHARE), name="leave")
    world.state = world.core.evolve(world.state, leaving)
    first, second, refused = world.core.decide(world.state, leaving)
    world.state = world.core.evolve(world.state, first)
    assert (type(second), type(refused)) == (OrderCancelling, OrderRefused)
    # What the loop does in a new life: nothing is decided of the block again, and time goes on.
    again, last = quoted(world)
    assert isinstance(again, OrderCancelling)
    assert isinstance(second, OrderCancelling)
    assert again.client_order_id == second.client_order_id
    assert reasons([last]) == ["order_pending"]


def test_protection_that_lost_its_order_stops_the_intent() -> None:
    """Crash between the two: the pair's ids are used up, so the parent must not go out as if it had a pair."""
    world = alive(brackets=BracketParameters(mode="fixed"))
    whole = block(intent(quantity_micro=SHARE))
    world.log.append(whole)
    world.state = world.core.evolve(world.state, whole)
    bracketed, _ = world.core.decide(world.state, whole)
    assert isinstance(bracketed, OrderBracketed)
    world.log.append(bracketed)
    assert reasons(quoted(restarted(world))) == ["bracket_unknown"]


@given(kept=st.integers(0, 2), quotes=st.permutations(["SPY", OTHER_SYMBOL]), lives=st.integers(1, 3))
def test_each_intent_has_one_outcome_whatever_crashes(kept: int, quotes: list[str], lives: int) -> None:
    """Whatever part of a block's outcome is on the log, and however many lives follow."""
    world = alive()
    world.see(quote(symbol=OTHER_SYMBOL))
    whole = block(intent(), other())
    world.log.append(whole)
    world.state = world.core.evolve(world.state, whole)
    world.log.extend(list(world.core.decide(world.state, whole))[:kept])
    for life in range(lives):
        world = restarted(world)
        for number, symbol in enumerate(quotes[: life + 1]):
            quoted(world, 2.0 + number, symbol)
    world.give(clock(NOW_NS + 61 * S))
    outcomes = [out.intent for out in world.log if isinstance(out, OrderSubmitting | OrderRefused)]
    assert sorted(outcomes) == sorted(item.id for item in whole.intents)
    sent = [out.broker_order_id for out in world.log if isinstance(out, OrderSubmitting)]
    assert len(dict.fromkeys(sent)) == len(sent)
