"""Tests of protective orders in the core: walstreet.domain.execution_brackets."""

from __future__ import annotations

import msgspec
import pytest

from walstreet.domain.bracket_prices import BracketParameters
from walstreet.domain.execution_brackets import FIRST_SLICE, KINDS
from walstreet.domain.guard_margin import MarginParameters
from walstreet.domain.observations import ExecutionObserved, OrderStatusObserved, TimeObserved
from walstreet.domain.plan import child_id
from walstreet.testing.execution_world import (
    DOLLAR,
    NOW_NS,
    SHARE,
    S,
    World,
    account,
    block,
    execution,
    intent,
    link,
    quote,
    ready_world,
    reasons,
    snapshot,
)
from walstreet_events import (
    AnyEvent,
    MarginAsked,
    OrderBracketed,
    OrderCancelling,
    OrderFilled,
    OrderModified,
    OrderState,
    OrderSubmitting,
    OrderUpdated,
    Side,
)


def protected(mode: str = "fixed", **parameters: object) -> World:
    """Return a world in which opening orders take protection along."""
    return ready_world(brackets=BracketParameters(mode=mode), **parameters)  # type: ignore[arg-type]


def say(
    world: World, client_order_id: str, text: str, *, filled: int = 0, total: int = 100, held: str = "", at_s: int = 1
) -> list[AnyEvent]:
    """Let the broker say where an order stands, by openOrder and status."""
    order = world.state.orders[client_order_id]
    return world.see(
        OrderStatusObserved(
            ts_ns=NOW_NS + at_s * S,
            broker_order_id=order.broker_order_id,
            client_id=1,
            perm_id=order.broker_order_id + 1_000,
            client_order_id=client_order_id,
            symbol="SPY",
            status=text,
            filled_micro=filled * SHARE,
            remaining_micro=(total - filled) * SHARE,
            average_price_nano=0,
            why_held=held,
            limit_nano=order.limit_nano or None,
            total_micro=total * SHARE,
        )
    )


def opened(world: World) -> tuple[OrderBracketed, OrderSubmitting]:
    """Send one intent and return the pair and the submission that it goes out with."""
    pair, sent = world.give(block(intent()))
    assert isinstance(pair, OrderBracketed)
    assert isinstance(sent, OrderSubmitting)
    return pair, sent


def filled(world: World) -> tuple[str, str]:
    """Open, fill the parent, and return the identities of take-profit and stop, both awake."""
    pair, sent = opened(world)
    profit, stop = (child.client_order_id for child in pair.children)
    say(world, sent.client_order_id, "Submitted")
    for key in (profit, stop):
        say(world, key, "PreSubmitted", held="child")
    world.see(execution(sent.client_order_id, perm_id=1_005))
    say(world, profit, "Submitted", at_s=2)
    say(world, stop, "PreSubmitted", at_s=2)
    return profit, stop


def test_off_by_default() -> None:
    """No pair without being asked for."""
    outs = ready_world().give(block(intent()))
    assert [type(out) for out in outs] == [OrderSubmitting]


def test_the_pair_stands_before_its_parent_with_ids_of_its_own() -> None:
    """Ids from parent and slice, broker ids after the parent's, prices around the limit, one OCA group."""
    world = protected()
    pair, sent = opened(world)
    assert sent.limit_nano == round(100.01 * DOLLAR)
    assert [child.kind for child in pair.children] == list(KINDS)
    assert [child.client_order_id for child in pair.children] == [
        child_id(intent().id, FIRST_SLICE),
        child_id(intent().id, FIRST_SLICE + 1),
    ]
    assert [child.broker_order_id for child in pair.children] == [sent.broker_order_id + 1, sent.broker_order_id + 2]
    # 8 bps of 100.01 are .080008, 10 bps .10001; rounded down to the cent.
    assert pair.children[0].limit_nano == round(100.09 * DOLLAR)
    assert pair.children[1].stop_nano == round(99.90 * DOLLAR)
    assert (pair.side, pair.quantity_micro) == (Side.SELL, sent.quantity_micro)
    assert pair.good_till_ns == sent.good_till_ns + 15 * 60 * S
    assert world.state.next_order_id == sent.broker_order_id + 3
    assert len(world.state.open_orders) == 3


def test_volatility_scaled_pairs_need_a_volatility() -> None:
    """With bars the distances follow from them; without, the intent is refused and nothing is sent unprotected."""
    pair, _ = opened(protected("vol"))
    assert pair.children[0].limit_nano > pair.children[1].stop_nano
    blind = protected("vol")
    blind.state.markets.clear()
    assert "bracket_unknown" in reasons(blind.give(block(intent()))) or not blind.state.orders


def test_what_closes_takes_no_protection() -> None:
    """A sell of what is held is an exit."""
    world = protected()
    world.see(account(position=100))
    outs = world.give(block(intent(side=Side.SELL, reducing=True)))
    assert [type(out) for out in outs] == [OrderSubmitting]


def test_the_margin_question_comes_first_and_sends_no_pair() -> None:
    """The pair is made when the answer lets the order go."""
    world = protected(margin=MarginParameters())
    assert [type(out) for out in world.give(block(intent()))] == [MarginAsked]
    assert world.state.brackets == {}


def test_the_take_profit_fills_and_the_stop_is_cancelled() -> None:
    """One cancels all; the fill belongs to no intent, so that no parent counts it."""
    world = protected()
    profit, stop = filled(world)
    outs = world.see(_sale(profit, 6))
    fill = next(out for out in outs if isinstance(out, OrderFilled))
    assert (fill.client_order_id, fill.intent) == (profit, "")
    say(world, stop, "Cancelled", at_s=3)
    assert world.state.orders[profit].state is OrderState.FILLED
    assert world.state.orders[stop].state is OrderState.CANCELLED
    assert world.state.open_orders == {}
    assert world.state.filled_since == {"SPY": 0}


def test_both_fill_in_a_race_and_both_count() -> None:
    """The stop had traded before the cancel arrived: a fill after Cancelled counts, the position is short."""
    world = protected()
    profit, stop = filled(world)
    world.see(_sale(profit, 6))
    say(world, stop, "Cancelled", at_s=3)
    outs = world.see(_sale(stop, 7))
    assert [type(out) for out in outs] == [OrderFilled, OrderUpdated]
    assert world.state.orders[stop].state is OrderState.FILLED
    assert world.state.filled_since == {"SPY": -100 * SHARE}


def test_a_partial_fill_reduces_the_other_of_the_pair() -> None:
    """The broker takes 40 from the stop; 60 are then its whole quantity, and their fill ends it."""
    world = protected()
    _, stop = filled(world)
    outs = say(world, stop, "PreSubmitted", total=60, at_s=3)
    assert [(out.outcome, out.quantity_micro) for out in outs if isinstance(out, OrderModified)] == [
        ("changed", 60 * SHARE)
    ]
    say(world, stop, "Filled", filled=60, total=60, at_s=4)
    assert world.state.orders[stop].state is OrderState.FILLED


def test_an_intent_for_the_symbol_withdraws_the_protection_first() -> None:
    """Both are cancelled, the intent is refused as pending; once they have ended the next one goes."""
    world = protected()
    profit, stop = filled(world)
    world.see(account(position=100))
    leave = intent("leave", side=Side.SELL, reducing=True)
    outs = world.give(block(leave, name="leave"))
    assert [out.client_order_id for out in outs if isinstance(out, OrderCancelling)] == [profit, stop]
    assert reasons(outs[2:]) == ["order_pending"]
    again = world.give(block(intent("again", side=Side.SELL, reducing=True), name="again"))
    assert reasons(again) == ["order_pending"], "a cancel is announced once"
    for key in (profit, stop):
        say(world, key, "Cancelled", at_s=4)
    held = world.give(block(intent("held", side=Side.SELL, reducing=True), name="held"))
    assert reasons(held) == ["order_pending"], "the broker's word is no proof"
    world.see(snapshot("proof", NOW_NS + 5 * S))
    outs = world.give(block(intent("gone", side=Side.SELL, reducing=True), name="gone"))
    assert [type(out) for out in outs] == [OrderSubmitting]


def test_protection_is_never_stepped_and_is_doubted_like_any_order() -> None:
    """The schedule leaves it alone; a reconnection makes its outcome unknown until the broker shows it."""
    world = protected(aggression="staged")
    profit, stop = filled(world)
    world.see(quote(ts_ns=NOW_NS + 28 * S))
    assert world.see(TimeObserved(ts_ns=NOW_NS + 28 * S)) == []
    world.see(link(ts_ns=NOW_NS + 29 * S))
    assert {world.state.orders[key].state for key in (profit, stop)} == {OrderState.UNKNOWN}
    say(world, profit, "Submitted", at_s=30)
    assert world.state.orders[profit].state is OrderState.WORKING


def test_a_crash_before_the_submission_leaves_no_order() -> None:
    """The pair alone places nothing and is no order of ours; its broker ids are not used again."""
    world = protected()
    pair, _ = opened(world)
    world.log.pop()
    again = world.restarted()
    assert again.state.orders == {}
    assert again.state.next_order_id == max(child.broker_order_id for child in pair.children) + 1
    again.see(link(ts_ns=NOW_NS + S))
    again.see(snapshot("s", NOW_NS + 2 * S))
    assert again.state.orders == {}


@pytest.mark.parametrize("mode", ["fixed", "vol"])
def test_a_replayed_log_gives_the_same_orders(mode: str) -> None:
    """Parents and pairs are folded alike."""
    world = protected(mode)
    filled(world)
    assert world.restarted().state.orders == world.state.orders


def _sale(reference: str, broker_order_id: int) -> ExecutionObserved:

    fact = execution(reference, f"e{broker_order_id}.01", perm_id=broker_order_id + 1_000)
    return msgspec.structs.replace(fact, buy=False, broker_order_id=broker_order_id)
