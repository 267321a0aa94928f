"""Owns the tests of the guards as execution asks them: facts from the log, reductions, splits, the throttle."""

from __future__ import annotations

import msgspec
import pytest

from walstreet.domain.execution_guards import inactive_guards
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.guard_margin import MarginParameters
from walstreet.domain.guard_market import MarketGuardParameters
from walstreet.domain.guard_orders import OrderGuardParameters
from walstreet.domain.guard_short import ShortSaleParameters
from walstreet.domain.repeat_throttle import ACCOUNT_KEY, ThrottleParameters, tripped
from walstreet.testing.execution_world import (
    DAY_S,
    NOW_NS,
    OPEN_NS,
    OTHER_CON_ID,
    OTHER_SYMBOL,
    SHARE,
    SYMBOL,
    S,
    World,
    account,
    bar,
    bars,
    block,
    execution,
    feed,
    instrument,
    intent,
    link,
    prior,
    quote,
    ready_world,
    reasons,
    status,
    submit,
)
from walstreet_events import (
    ROOT,
    AnyEvent,
    OperatorCommand,
    OrderRefused,
    OrderSubmitting,
    ParameterChange,
    Side,
    derive_id,
)


def sell(name: str = "sell", shares: int = 100, **changes: object) -> object:
    """Return an intent to sell."""
    return intent(name, side=Side.SELL, quantity_micro=shares * SHARE, **changes)


def shares_of(outs: list[AnyEvent]) -> list[int]:
    """Return what is sent, in whole shares."""
    return [out.quantity_micro // SHARE for out in outs if isinstance(out, OrderSubmitting)]


def codes(outs: list[AnyEvent]) -> list[str]:
    """Return the codes of what is refused."""
    return [out.reason for out in outs if isinstance(out, OrderRefused)]


# ------------------------------------------------------------------------------------------- reduction


def test_a_refusal_names_the_guard_and_its_numbers() -> None:
    """The detail of a refusal holds the measured value and the limit, and the quote is copied."""
    world = ready_world()
    world.see(quote(99.90, 100.10))
    (out,) = world.give(block(intent()))
    assert isinstance(out, OrderRefused)
    assert out.reason == "wide_spread"
    assert "spread: spread_bps 20 (limit 12)" in out.detail
    assert out.quote is not None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda world: world.see(quote(98.0, 100.0)),
        lambda world: world.see(quote(100.02, 100.01)),
        lambda world: world.give(feed("delayed")),
        lambda world: world.give(bar(NOW_NS + 1, shares=9_000)),
        lambda world: world.give(bar(NOW_NS + 1, close=120.0)),
        lambda world: world.see(account(position=100, equity=1)),
        lambda world: world.see(account(position=100, equity=None)),
    ],
)
def test_an_order_that_only_reduces_is_never_trapped(spoil: object) -> None:
    """What stops an opening order lets a closing one go, and the opening one is stopped."""
    world = ready_world()
    world.see(account(position=100))
    spoil(world)  # type: ignore[operator]
    assert len(reasons(world.give(block(intent("more"), name="more")))) == 1
    assert shares_of(world.give(block(sell(), name="close"))) == [100]


def test_fills_count_before_the_broker_counts_them() -> None:
    """A position that was sold is not sold again because the broker's reading is old."""
    world = ready_world()
    world.see(account(position=100))
    sent = submit(world, sell("first"))
    status(world, "Submitted")
    world.see(execution(sent.client_order_id).__class__(**_sold(execution(sent.client_order_id))))
    assert world.state.filled_since == {SYMBOL: -100 * SHARE}
    outs = world.give(block(sell("second", 90), name="second"))
    assert [out.slice_index for out in outs if isinstance(out, OrderSubmitting)] == [1], "all of it is short"
    strict = ready_world(short=ShortSaleParameters(shorts_permitted=False))
    strict.see(account(position=100))
    done = submit(strict, sell("first"))
    status(strict, "Submitted")
    strict.see(execution(done.client_order_id).__class__(**_sold(execution(done.client_order_id))))
    assert reasons(strict.give(block(sell("second"), name="second"))) == ["short_not_permitted"]
    strict.see(account(position=0))
    assert strict.state.filled_since == {}


def _sold(fact: object) -> dict[str, object]:
    return {name: getattr(fact, name) for name in fact.__struct_fields__} | {"buy": False}  # type: ignore[attr-defined]


def test_what_closes_a_position_goes_without_the_rest() -> None:
    """A buy through zero in a wide market: the 60 shares that cover are bought, the 40 beyond are refused."""
    world = ready_world()
    world.see(account(position=-60))
    world.see(quote(99.9, 100.1))
    outs = world.give(block(intent()))
    assert (shares_of(outs), codes(outs)) == ([60], ["wide_spread"])


# ---------------------------------------------------------------------------------------- short sales


def test_a_sell_through_zero_is_split_and_both_parts_are_children() -> None:
    """60 held, 100 sold: 60 close and 40 are short, under one parent that counts once."""
    world = ready_world()
    world.see(account(position=60))
    outs = world.give(block(sell()))
    assert shares_of(outs) == [60, 40]
    assert [out.slice_index for out in outs if isinstance(out, OrderSubmitting)] == [0, 1]
    assert len(world.state.recent) == 1
    assert world.state.recent[sell().id].quantity_micro == 100 * SHARE


def test_after_a_fall_only_the_closing_part_goes_at_the_bid() -> None:
    """Rule 201: the part that closes is no short sale; the rest is refused, and above the bid it goes."""
    world = ready_world()
    world.see(account(position=60))
    world.give(bar(NOW_NS + 1, low=90.0))
    outs = world.give(block(sell()))
    assert (shares_of(outs), codes(outs)) == ([60], ["ssr_price"])
    above = ready_world(aggression="mid")
    above.give(bar(NOW_NS + 1, low=90.0))
    assert shares_of(above.give(block(sell()))) == [100]


def test_the_fall_of_the_session_before_is_carried_over() -> None:
    """A low 10 % under the close before restricts the next session, which nobody watched."""
    world = fresh_world([*bars(days=2), bar(OPEN_NS - DAY_S * S + 16 * 60 * S, low=89.0, warmup=True)])
    assert reasons(world.give(block(sell()))) == ["ssr_price"]


def test_without_the_session_before_short_sales_wait() -> None:
    """With one session of bars the rule's state is not known; the broker's daily bars make it known."""
    world = fresh_world(bars(days=1))
    assert reasons(world.give(block(sell()))) == ["ssr_unknown"]
    world.give(prior(low=95.0))
    assert shares_of(world.give(block(sell("again"), name="again"))) == [100]


def fresh_world(blocks: list[AnyEvent]) -> World:
    """Return a world that has seen ``blocks`` in the order of their time."""
    world = ready_world()
    again = World(core=world.core)
    for event in world.log:
        if type(event).__name__ != "BarBlock":
            again.give(event) if not _own(event) else again._record([event])
    for event in sorted(blocks, key=lambda item: item.ts_ns):
        again.give(event)
    again.see(link(ts_ns=NOW_NS))
    again.see(quote())
    return again


def _own(event: AnyEvent) -> bool:
    return type(event).__name__ in {"OrderLink", "AccountValues", "Positions"}


# -------------------------------------------------------------------------------- budgets and thresholds


def test_a_restricted_name_may_be_closed_and_not_opened() -> None:
    """The list is asked only where it is configured, and a list that nobody asks is refused at the start."""
    listed = OrderGuardParameters(restricted_configured=True)
    world = ready_world(orders=listed, restricted=(SYMBOL,))
    assert reasons(world.give(block(intent()))) == ["restricted"]
    world.see(account(position=100))
    assert shares_of(world.give(block(sell(), name="close"))) == [100]
    with pytest.raises(ValueError, match="restricted_configured is false"):
        ExecutionParameters(restricted=(SYMBOL,))


def test_what_was_sent_counts_within_the_block_and_after_it() -> None:
    """Exposure and turnover hold positions, orders at work and the block's own orders, until the next session."""
    limits = OrderGuardParameters(account_exposure_usd_max=15_000.0, order_notional_usd_max=12_000.0)
    world = ready_world(orders=limits)
    both = (intent("one"), intent("two", symbol=OTHER_SYMBOL, con_id=OTHER_CON_ID))
    world.see(quote(symbol=OTHER_SYMBOL))
    outs = world.give(block(*both))
    assert (shares_of(outs), codes(outs)) == ([100], ["account_exposure"])
    turnover = OrderGuardParameters(account_turnover_usd_max=15_000.0)
    world = ready_world(orders=turnover)
    world.see(quote(symbol=OTHER_SYMBOL))
    outs = world.give(block(*both))
    assert (shares_of(outs), codes(outs)) == ([100], ["account_turnover"])
    assert world.state.sent_nano == 10_001 * 10**9


def test_the_throttle_trips_stays_over_restarts_and_waits_for_a_person() -> None:
    """Two a window are allowed: the third waits until somebody with a name re-arms it; a reduction passes."""
    world = ready_world(throttle=ThrottleParameters(repeats_max=2))
    for name, shares in (("one", 100), ("two", 101)):
        sent = submit(world, intent(name, quantity_micro=shares * SHARE))
        world.see(execution(sent.client_order_id, f"{name}.01", shares, perm_id=shares))
    third = intent("three", quantity_micro=103 * SHARE)
    assert reasons(world.give(block(third, name="three"))) == ["repeated_execution"]
    again = world.restarted()
    again.see(link(ts_ns=NOW_NS))
    again.see(quote())
    for number, (operator, arguments) in enumerate(
        (("", {"symbol": SYMBOL, "side": "buy"}), ("me", {"symbol": SYMBOL, "side": "sell"}), ("me", {}))
    ):
        again.give(rearm(operator, arguments))
        name = f"still {number}"
        still = intent(name, quantity_micro=104 * SHARE)
        assert reasons(again.give(block(still, name=name))) == ["repeated_execution"]
    again.give(rearm("me", {"symbol": SYMBOL, "side": "buy"}))
    submit(again, intent("after", quantity_micro=102 * SHARE))


def test_the_account_as_a_whole_is_throttled_too() -> None:
    """The account's own count trips over symbols, and is lifted by a command without arguments."""
    world = ready_world(throttle=ThrottleParameters(account_repeats_max=1))
    submit(world)
    assert tripped(world.state.throttle) == (ACCOUNT_KEY,)
    world.see(quote(symbol=OTHER_SYMBOL))
    other = intent("other", symbol=OTHER_SYMBOL, con_id=OTHER_CON_ID)
    assert reasons(world.give(block(other, name="other"))) == ["repeated_execution"]
    world.give(rearm("me", {}))
    assert tripped(world.state.throttle) == ()


def rearm(operator: str, arguments: dict[str, str]) -> OperatorCommand:
    """Return a person's decision."""
    return OperatorCommand(
        id=derive_id(f"{operator}{sorted(arguments.items())}", "rearm", 0),
        cause=ROOT,
        ts_ns=NOW_NS,
        command="rearm",
        arguments=arguments,
        operator=operator,
    )


# ------------------------------------------------------------------------------------ missing data, changes


def test_what_is_not_known_refuses_with_its_own_code() -> None:
    """No reference volume, no bars, no account: each stops an opening order and says what is missing."""
    world = ready_world()
    world.state.markets.clear()
    assert reasons(world.give(block(intent()))) == ["volume_unknown"]
    thin = ready_world(market=MarketGuardParameters(adv_usd_min=100_000_001.0))
    assert reasons(thin.give(block(intent()))) == ["low_adv"]
    lost = ready_world()
    lost.state.positions = None
    assert reasons(lost.give(block(intent()))) == ["position_unknown"]
    earnings = ready_world(market=MarketGuardParameters(earnings_configured=True))
    assert reasons(earnings.give(block(intent()))) == ["earnings_unknown"]


def test_guards_without_a_source_are_named() -> None:
    """Execution says at its start what it does not ask; what is configured is not among it."""
    assert inactive_guards(ExecutionParameters()) == ("earnings", "news", "restricted", "borrow", "borrow_fee")
    everything = ExecutionParameters(
        market=MarketGuardParameters(earnings_configured=True, news_configured=True),
        orders=OrderGuardParameters(restricted_configured=True),
        short=ShortSaleParameters(borrow_configured=True),
    )
    assert inactive_guards(everything) == ()
    assert inactive_guards(msgspec.structs.replace(everything, margin=MarginParameters(enabled=False))) == ("margin",)


def test_a_guards_parameter_changes_at_the_next_block() -> None:
    """A journaled change of a nested parameter is in force from the next block on."""
    world = ready_world()
    world.give(
        ParameterChange(
            id=derive_id("change", "param", 0),
            cause=ROOT,
            ts_ns=NOW_NS,
            path="execution.market.spread_bps_max",
            value="1.0",
            previous="12.0",
            operator="me",
        )
    )
    assert reasons(world.give(block(intent()))) == ["wide_spread"]


def test_blackouts_stop_openings_only() -> None:
    """In the first three minutes nothing is opened; a position may be closed."""
    early_ns = OPEN_NS + 179 * S
    world = ready_world()
    world.state.observed_ns = world.state.clock_ns = early_ns
    world.see(quote(ts_ns=early_ns))
    wanted = intent(expires_ns=early_ns + 60 * S)
    state = world.state
    state.feed_ts_ns = early_ns
    state.observed_ns = state.clock_ns = early_ns
    assert reasons(world.give(block(wanted, ts_ns=early_ns))) == ["blackout_open"]
    world.see(account(position=100, ts_ns=early_ns))
    closing = sell(expires_ns=early_ns + 60 * S)
    assert shares_of(world.give(block(closing, name="close", ts_ns=early_ns))) == [100]
    assert instrument().symbol == SYMBOL
