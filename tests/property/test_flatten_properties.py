"""Properties of flattening against a broker that fills, cancels, tells and forgets to tell in any order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.flatten import closing_limit
from walstreet.testing.execution_world import DOLLAR, NOW_NS, SHARE, S, World, account, block, intent, link, ready_world
from walstreet.testing.panic_world import MiniBroker, command
from walstreet_events import FlattenPhase, FlattenState, OrderSubmitting, QuoteSeen, Side

pytestmark = [pytest.mark.spec("001.recovery"), pytest.mark.timeout(600)]

EXAMPLES = settings(max_examples=150, deadline=None)
ACTIONS = (
    "fill_part",
    "fill_all",
    "cancel",
    "tell_status",
    "tell_executions",
    "answer",
    "answer_badly",
    "lose_answer",
    "time",
    "stale_time",
    "restart",
    "panic",
    "reconnect",
)
SETTLING_STEPS = 400

action = st.tuples(st.sampled_from(ACTIONS), st.integers(0, 5), st.integers(1, 120))
start = st.tuples(st.integers(-150, 150), st.sampled_from([None, Side.BUY, Side.SELL]), st.integers(1, 100))


def begun(position: int, side: Side | None, shares: int) -> MiniBroker:
    """Return a world in panic with a position and perhaps an order at work."""
    world = ready_world()
    world.see(account(position=position))
    broker = MiniBroker(world, position=position)
    reduces = side is not None and position * (1 if side is Side.SELL else -1) >= shares
    if side is Side.BUY or reduces:
        assert side is not None
        wanted = intent(side=side, quantity_micro=shares * SHARE)
        broker.take(world.give(block(wanted)))
    broker.take(world.give(command("panic")))
    return broker


def play(broker: MiniBroker, step: tuple[str, int, int]) -> None:
    """Let one thing happen."""
    what, which, shares = step
    names = list(broker.orders)
    name = names[which % len(names)] if names else None
    match what:
        case "fill_part" | "fill_all" if name is not None and broker.orders[name].live:
            broker.fill(name, shares if what == "fill_part" else broker.orders[name].quantity)
        case "cancel" if name is not None:
            broker.cancel(name)
        case "tell_status" if name is not None:
            broker.tell_status(name)
        case "tell_executions":
            broker.tell_executions()
        case "answer":
            broker.answer()
        case "answer_badly":
            broker.answer(ok=False)
        case "lose_answer":
            broker.questions[:1] = []
        case "restart":
            broker.world = broker.world.restarted()
            broker.world.see(link(ts_ns=broker.now_ns, next_order_id=1_000))
        case "reconnect":
            broker.world.see(link(ts_ns=broker.now_ns, connected=False))
            broker.world.see(link(ts_ns=broker.now_ns, next_order_id=1_000))
        case "panic":
            broker.take(broker.world.give(command("panic", ts_ns=broker.now_ns)))
        case _:
            broker.step(shares / 20, fresh=what != "stale_time")
    if what not in {"stale_time", "time"}:
        broker.step(0.25)


def closing(broker: MiniBroker) -> list[OrderSubmitting]:
    """Return the closing orders sent so far."""
    emergency = broker.world.state.emergency
    assert emergency is not None
    return [order for order in broker.places if order.cause == emergency.id]


@EXAMPLES
@given(start, st.lists(action, max_size=40))
def test_closing_orders_never_enlarge_or_turn_a_position(
    begin: tuple[int, Side | None, int], steps: list[tuple[str, int, int]]
) -> None:
    """Whatever fills when, a closing order that is sent can only bring what is truly held towards zero.

    At the moment of sending, everything of ours that can still fill in its direction, itself included, is at most the
    true position: so no order of fills makes |position| grow through it, or turns it round.
    """
    broker = begun(*begin)
    seen = len(closing(broker))
    for step in steps:
        play(broker, step)
        sent = closing(broker)
        for order in sent[seen:]:
            way = 1 if order.side is Side.BUY else -1
            same = [item for item in broker.orders.values() if item.live and item.buy is (order.side is Side.BUY)]
            could = sum(item.quantity - item.filled for item in same)
            assert way * broker.position < 0
            assert could <= abs(broker.position)
        seen = len(sent)


@EXAMPLES
@given(start, st.lists(action, max_size=40))
def test_nothing_is_sent_beside_an_order_whose_end_is_not_proved(
    begin: tuple[int, Side | None, int], steps: list[tuple[str, int, int]]
) -> None:
    """When a round begins, the log knows no open order in its direction, except those of the same round."""
    broker = begun(*begin)
    for step in steps:
        before = {name: broker.world.state.orders[name] for name in broker.world.state.open_orders}
        count = len(broker.places)
        known = {name for name, order in before.items()}
        play(broker, step)
        for order in broker.places[count:]:
            still = [
                other
                for name, other in broker.world.state.orders.items()
                if name in known and other.side is order.side and not other.terminal and other.intent != order.intent
            ]
            assert still == []


@EXAMPLES
@given(start, st.lists(action, max_size=40))
def test_it_stays_latched_and_ids_never_repeat(
    begin: tuple[int, Side | None, int], steps: list[tuple[str, int, int]]
) -> None:
    """No fact but a resume ends it; no client order id, broker order id or event id is used twice."""
    broker = begun(*begin)
    for step in steps:
        play(broker, step)
        assert broker.world.state.panic
    names = [order.client_order_id for order in broker.places]
    numbers = [order.broker_order_id for order in broker.places]
    events = [event.id for event in broker.world.log if isinstance(event, FlattenState)]
    assert len(set(names)) == len(names)
    assert len(set(numbers)) == len(numbers)
    assert len(set(events)) == len(events)


@settings(max_examples=100, deadline=None)
@given(start, st.lists(action, max_size=25))
def test_a_broker_that_answers_again_ends_flat(
    begin: tuple[int, Side | None, int], steps: list[tuple[str, int, int]]
) -> None:
    """Once cancels are heard, orders fill and questions are answered, the book is flat, and that is told."""
    broker = begun(*begin)
    for step in steps:
        play(broker, step)
    for _ in range(SETTLING_STEPS):
        broker.step()
        for name, order in list(broker.orders.items()):
            mine = any(item.client_order_id == name for item in closing(broker))
            if order.live and mine:
                broker.fill(name, order.quantity)
            elif order.live:
                broker.cancel(name)
            broker.tell_status(name)
        broker.tell_executions()
        broker.answer()
        emergency = broker.world.state.emergency
        if emergency is not None and emergency.flat and broker.position == 0 and not broker.world.state.open_orders:
            break
    assert broker.position == 0
    last = [event for event in broker.world.log if isinstance(event, FlattenState)][-1]
    assert last.phase in {FlattenPhase.FLAT, FlattenPhase.PROVING}


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(list(Side)),
    st.integers(1_000_000, 5_000 * DOLLAR),
    st.integers(0, DOLLAR),
    st.sampled_from([100_000, 1_000_000, 10_000_000, 50_000_000]),
    st.integers(0, 500_000),
)
def test_a_limit_is_marketable_and_within_the_collar(
    side: Side, bid_nano: int, width_nano: int, tick_nano: int, hundredths: int
) -> None:
    """Always a positive multiple of the tick, at or through the touch, and beyond the collar by rounding only."""
    ask_nano = bid_nano + width_nano
    quote = QuoteSeen(bid_nano=bid_nano, ask_nano=ask_nano, bid_size_micro=0, ask_size_micro=0, ts_ns=NOW_NS - S, seq=0)
    bps = hundredths / 100
    limit = closing_limit(side, quote, tick_nano=tick_nano, collar_bps=bps)
    assert limit > 0
    assert limit % tick_nano == 0
    if side is Side.BUY:
        assert limit >= ask_nano
        assert limit <= max(ask_nano * (1 + bps / 1e4) + 1, ask_nano + tick_nano)
    else:
        assert limit <= max(bid_nano, tick_nano)
        assert limit >= min(bid_nano * (1 - bps / 1e4) - 1, bid_nano - tick_nano)


def test_the_world_is_a_world() -> None:
    """The broker in miniature begins with what the test says."""
    broker = begun(5, None, 1)
    assert isinstance(broker.world, World)
    assert broker.position == 5
