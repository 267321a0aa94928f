"""Owns the tests of the margin gate in execution: asked first, decided on the journaled answer, refused without one."""

from __future__ import annotations

import pytest

from walstreet.domain.guard_margin import MarginParameters
from walstreet.domain.observations import MarginObserved, MarginPreview, TimeObserved
from walstreet.testing.execution_world import (
    DOLLAR,
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
    MarginAnswered,
    MarginAsked,
    OperatorCommand,
    OrderRefused,
    OrderSubmitting,
    Side,
    derive_id,
)

GATE = MarginParameters()


def asking(**parameters: object) -> World:
    """Return a world that asks for margin."""
    return ready_world(margin=GATE, **parameters)


def ask(world: World) -> MarginAsked:
    """Give one intent and return the question that it causes, which is all that it causes."""
    (asked,) = world.give(block(intent()))
    assert isinstance(asked, MarginAsked)
    return asked


def answer(
    asked: MarginAsked, *, initial: int | None = 10_000, equity: int | None = 100_000, ts_ns: int = NOW_NS + S
) -> MarginObserved:
    """Return the broker's answer in USD."""
    preview = MarginPreview(
        initial_margin_after_nano=None if initial is None else initial * DOLLAR,
        maintenance_margin_after_nano=None,
        equity_with_loan_after_nano=None if equity is None else equity * DOLLAR,
        commission_nano=None,
        warning="",
    )
    return MarginObserved(ts_ns=ts_ns, asked=asked.id, preview=preview, detail="")


def last_reason(outs: list[AnyEvent]) -> str:
    """Return the code of the refusal that follows a journaled answer."""
    told, refused = outs
    assert isinstance(told, MarginAnswered)
    assert isinstance(refused, OrderRefused)
    return refused.reason


def test_an_intent_is_asked_first_and_sent_on_the_answer() -> None:
    """Question, answer as a fact, submission under the next order id; the question's own id is never an order's."""
    world = asking()
    asked = ask(world)
    assert (asked.quantity_micro, asked.limit_nano, asked.broker_order_id) == (100 * SHARE, 100_010_000_000, 5)
    told, sent = world.see(answer(asked))
    assert isinstance(told, MarginAnswered)
    assert (told.cause, told.initial_margin_after_nano) == (asked.id, 10_000 * DOLLAR)
    assert isinstance(sent, OrderSubmitting)
    assert (sent.intent, sent.broker_order_id, sent.cause) == (intent().id, 6, asked.cause)
    assert world.state.asked == {}
    assert world.see(answer(asked, ts_ns=NOW_NS + 2 * S)) == [], "a second answer finds nobody"


@pytest.mark.parametrize(
    ("initial", "equity", "reason"),
    [
        (85_000, 100_000, ""),
        (85_001, 100_000, "initial_margin"),
        (500, 1_499, "available_funds"),
        (None, 100_000, "margin_unknown"),
        (10_000, None, "margin_unknown"),
        (0, 0, "margin_unknown"),
    ],
)
def test_the_answer_decides(initial: int | None, equity: int | None, reason: str) -> None:
    """At its limit it passes, beyond it and where a number is unset or zero it is refused."""
    world = asking()
    outs = world.see(answer(ask(world), initial=initial, equity=equity))
    if reason:
        assert last_reason(outs) == reason
        assert world.state.handled(intent().id)
    else:
        assert isinstance(outs[-1], OrderSubmitting)


def test_no_answer_is_a_refusal() -> None:
    """Refused by the broker, no answer said so, silence until the timer, and an answer that came too late."""
    world = asking()
    asked = ask(world)
    outs = world.see(MarginObserved(ts_ns=NOW_NS + S, asked=asked.id, preview=None, detail="code 201"))
    assert last_reason(outs) == "margin_unknown"
    world = asking()
    late = MarginObserved(ts_ns=NOW_NS + 5 * S, asked=ask(world).id, preview=None, detail="nothing")
    assert last_reason(world.see(late)) == "margin_timeout"
    world = asking()
    asked = ask(world)
    assert world.give(clock(NOW_NS + 5 * S - 1)) == []
    assert reasons(world.give(clock(NOW_NS + 5 * S))) == ["margin_timeout"]
    assert world.see(answer(asked)) == []
    world = asking()
    asked = ask(world)
    world.see(quote(ts_ns=NOW_NS + 5 * S))
    assert last_reason(world.see(answer(asked, ts_ns=NOW_NS + 5 * S + 1))) == "margin_timeout"


def test_a_question_of_an_earlier_life_is_asked_again() -> None:
    """After a restart it goes out once more under a new name and order id, once there is a quote, and only once."""
    world = asking()
    asked = ask(world)
    again = world.restarted()
    again.see(link(ts_ns=NOW_NS + S))
    assert again.see(TimeObserved(ts_ns=NOW_NS + 6 * S)) == [], "there is no quote yet"
    assert again.give(clock(NOW_NS + 6 * S)) == [], "the timer of the question begins with its repetition"
    again.see(quote(ts_ns=NOW_NS + 7 * S))
    assert again.state.asked == {intent().id: asked}
    (repeated,) = again.see(TimeObserved(ts_ns=NOW_NS + 7 * S))
    assert isinstance(repeated, MarginAsked)
    assert repeated.id != asked.id
    assert (repeated.order, repeated.broker_order_id, repeated.ts_ns) == (asked.order, 6, NOW_NS + 7 * S)
    assert again.see(TimeObserved(ts_ns=NOW_NS + 8 * S)) == []
    assert again.see(answer(asked)) == [], "what the first life asked finds nobody"
    told, sent = again.see(answer(repeated, ts_ns=NOW_NS + 8 * S))
    assert isinstance(told, MarginAnswered)
    assert isinstance(sent, OrderSubmitting)
    assert (sent.intent, sent.broker_order_id) == (intent().id, 7)


def test_every_life_asks_under_a_name_of_its_own() -> None:
    """A third life repeats what the second one repeated; silence then is refused as in the first."""
    world = asking()
    names = [ask(world).id]
    for number in (1, 2):
        world = world.restarted()
        world.see(link(ts_ns=NOW_NS + number * S))
        world.see(quote(ts_ns=NOW_NS + number * S))
        (repeated,) = world.see(TimeObserved(ts_ns=NOW_NS + number * S))
        names.append(repeated.id)
    assert len(dict.fromkeys(names)) == 3
    assert reasons(world.give(clock(NOW_NS + 7 * S))) == ["margin_timeout"]


def test_a_crash_between_answer_and_submission_asks_again() -> None:
    """The answer is on the log and the submission is not: what was not journaled was not sent, so asking is safe."""
    world = asking()
    told, _ = world.core.observe(world.state, answer(ask(world)))
    world.log.append(told)
    again = world.restarted()
    again.see(link(ts_ns=NOW_NS + S))
    again.see(quote(ts_ns=NOW_NS + S))
    assert [type(out) for out in again.see(TimeObserved(ts_ns=NOW_NS + S))] == [MarginAsked]


def test_a_question_that_cannot_be_asked_again_is_refused() -> None:
    """Without a quote until the intent expires, or with an intent that has expired meanwhile, the timer refuses."""
    world = asking()
    (asked,) = world.give(block(intent(expires_ns=NOW_NS + 20 * S)))
    assert isinstance(asked, MarginAsked)
    blind = world.restarted()
    blind.see(link(ts_ns=NOW_NS + S))
    assert reasons(blind.give(clock(NOW_NS + 20 * S))) == ["margin_timeout"]
    late = world.restarted()
    late.see(link(ts_ns=NOW_NS + 21 * S))
    late.see(quote(ts_ns=NOW_NS + 21 * S))
    assert late.see(TimeObserved(ts_ns=NOW_NS + 21 * S)) == []
    refused = [out for out in late.give(clock(NOW_NS + 22 * S)) if isinstance(out, OrderRefused)]
    assert reasons(list(refused)) == ["margin_timeout"]


def test_everything_is_asked_again_when_the_answer_comes() -> None:
    """A panic, a wide market or an expiry in between stops the order in spite of a good answer."""
    world = asking()
    asked = ask(world)
    world.give(
        OperatorCommand(
            id=derive_id("p", "c", 0), cause=ROOT, ts_ns=NOW_NS, command="panic", arguments={}, operator="me"
        )
    )
    assert last_reason(world.see(answer(asked))) == "panic"
    world = asking()
    asked = ask(world)
    world.see(quote(99.9, 100.1))
    assert last_reason(world.see(answer(asked))) == "wide_spread"
    world = asking()
    (asked,) = world.give(block(intent(expires_ns=NOW_NS + 2 * S)))
    assert isinstance(asked, MarginAsked)
    world.see(TimeObserved(ts_ns=NOW_NS + 2 * S))
    assert last_reason(world.see(answer(asked))) == "intent_expired"


def test_what_only_reduces_is_not_asked_and_a_symbol_waits_for_its_answer() -> None:
    """A close goes at once; while a question is open nothing else of its symbol is sent, other symbols are."""
    world = asking()
    world.see(account(position=100))
    outs = world.give(block(intent("close", side=Side.SELL), name="close"))
    assert [type(out) for out in outs] == [OrderSubmitting]
    world = asking()
    ask(world)
    assert reasons(world.give(block(intent("two", quantity_micro=7 * SHARE), name="two"))) == ["order_pending"]
    world.see(quote(symbol=OTHER_SYMBOL))
    other = intent("other", symbol=OTHER_SYMBOL, con_id=OTHER_CON_ID)
    assert [type(out) for out in world.give(block(other, name="other"))] == [MarginAsked]


def test_a_changed_order_needs_an_answer_of_its_own() -> None:
    """When the position that the sell would have closed in part is gone, the answer is not for this order."""
    world = asking()
    world.see(account(position=60))
    (asked,) = world.give(block(intent(side=Side.SELL)))
    assert isinstance(asked, MarginAsked)
    told, *sent = world.see(answer(asked))
    assert isinstance(told, MarginAnswered)
    assert [out.quantity_micro // SHARE for out in sent if isinstance(out, OrderSubmitting)] == [60, 40]
