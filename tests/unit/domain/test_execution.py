"""Tests of the execution core: intents to submissions, facts to outcomes, restarts, absence and cancels.

They cover walstreet.domain.execution with its parts execution_facts, execution_account, execution_state and guards.
"""

from __future__ import annotations

import pytest

from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.guard_orders import OrderGuardParameters
from walstreet.domain.observations import (
    CommissionObserved,
    OrderErrorObserved,
    OrderStatusObserved,
    TimeObserved,
)
from walstreet.domain.plan import child_id
from walstreet.testing.events_recon import ledger_correction
from walstreet.testing.execution_world import (
    DOLLAR,
    NOW_NS,
    OPEN_NS,
    SHARE,
    S,
    World,
    account,
    arbiter_epoch,
    bar,
    block,
    clock,
    execution,
    feed,
    instrument,
    intent,
    link,
    listed,
    phase,
    quote,
    ready_world,
    reasons,
    snapshot,
    status,
    submit,
)
from walstreet_events import (
    ROOT,
    AccountValues,
    EventId,
    ExternalOrder,
    FlattenState,
    Mode,
    ModeState,
    OperatorCommand,
    OrderCancelling,
    OrderCommission,
    OrderFilled,
    OrderLink,
    OrderRefused,
    OrderState,
    OrderSubmitting,
    OrderUpdated,
    PhaseName,
    Positions,
    ReconSnapshot,
    Side,
    SymbolStatus,
    derive_id,
    encode,
)

# ------------------------------------------------------------------------------------------- intents


def test_an_intent_becomes_one_submission_with_all_its_facts() -> None:
    """Price at the far touch, broker-side end, id from the floor, and the quote that was looked at."""
    world = ready_world()
    sent = submit(world)
    assert sent.client_order_id == child_id(intent().id, 0)
    assert len(sent.client_order_id) == 32
    assert sent.limit_nano == round(100.01 * DOLLAR)
    assert sent.good_till_ns == NOW_NS + 30 * S
    assert sent.broker_order_id == 5
    assert sent.cause == block().id
    assert sent.quote.ask_nano == round(100.01 * DOLLAR)
    assert world.state.next_order_id == 6


def test_the_same_intent_is_never_sent_twice() -> None:
    """A repetition is refused in the same block, in a later one, and after a restart."""
    world = ready_world()
    outs = world.give(block(intent(), intent()))
    assert [type(out) for out in outs] == [OrderSubmitting, OrderRefused]
    assert reasons(world.give(block(intent(), name="again"))) == ["duplicate_intent"]
    again = world.restarted()
    again.see(link(ts_ns=NOW_NS + S))
    again.see(quote())
    assert reasons(again.give(block(intent(), name="later"))) == ["duplicate_intent"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda world: world.see(TimeObserved(ts_ns=NOW_NS + 60 * S)), "block_expired"),
        (lambda world: world.see(link(connected=False)), "link_down"),
        (lambda world: world.give(_mode(Mode.OBSERVE)), "mode_observe"),
        (lambda world: world.give(_mode(Mode.EMERGENCY)), "mode_emergency"),
        (lambda world: world.give(_command("panic")), "panic"),
        (lambda world: world.give(_halt()), "halted"),
        (lambda world: world.see(quote(0.0, 100.01)), "no_quote"),
        (lambda world: world.see(quote(100.01, 100.01)), "locked_quote"),
        (lambda world: world.see(quote(100.02, 100.01)), "crossed_quote"),
        (lambda world: world.see(quote(99.90, 100.10)), "wide_spread"),
        (lambda world: world.see(quote(101.99, 102.01)), "mid_drift"),
        (lambda world: world.see(TimeObserved(ts_ns=NOW_NS + 11 * S)), "stale_feed"),
        (lambda world: world.give(instrument(con_id=12)), "no_instrument"),
        (lambda world: world.give(feed("delayed")), "data_not_live"),
        (lambda world: world.give(bar(NOW_NS + 1, shares=6_000)), "volume_spike"),
        (lambda world: world.give(bar(NOW_NS + 1, close=110.0)), "high_volatility"),
        (lambda world: world.see(account(equity=97_999)), "daily_loss"),
        (lambda world: world.see(account(equity=None)), "loss_unknown"),
        (lambda world: world.see(execution("by hand", perm_id=3)), "external_order"),
    ],
)
def test_each_guard_refuses_with_its_code(change: object, reason: str) -> None:
    """One thing wrong at a time gives its stable reason, and nothing is sent."""
    world = ready_world()
    change(world)  # type: ignore[operator]
    assert reasons(world.give(block(intent()))) == [reason]


def _mode(mode: Mode) -> ModeState:
    return ModeState(
        id=derive_id(mode.value, "mode", 0), cause=ROOT, ts_ns=NOW_NS, mode=mode, previous=Mode.LIVE, reason="test"
    )


def _command(command: str, **arguments: str) -> OperatorCommand:
    return OperatorCommand(
        id=derive_id(f"{command}{arguments}", "command", 0),
        cause=ROOT,
        ts_ns=NOW_NS,
        command=command,
        arguments=arguments,
        operator="me",
    )


def _halt() -> SymbolStatus:
    return SymbolStatus(
        id=derive_id("halt", "status", 0), cause=ROOT, ts_ns=NOW_NS, symbol="SPY", halted=True, detail=""
    )


def test_a_quiet_symbol_is_stale_after_its_own_limit_though_the_feed_lives() -> None:
    """The age of the symbol's quote and of the feed are judged apart."""
    world = ready_world()
    world.see(quote(symbol="QQQ", ts_ns=NOW_NS + 61 * S))
    late = intent(expires_ns=NOW_NS + 600 * S)
    assert reasons(world.give(block(late, ts_ns=NOW_NS + 61 * S))) == ["stale_quote"]


def test_nothing_is_sent_outside_the_session_or_before_it_is_known() -> None:
    """Without a phase, and at the close, the session guard refuses."""
    world = World()
    world.give(arbiter_epoch())
    world.give(instrument())
    world.see(link())
    world.see(quote())
    assert reasons(world.give(block(intent()))) == ["session_unknown"]
    close_ns = OPEN_NS + 23_400 * S
    world.give(phase())
    world.see(account())
    world.see(quote(ts_ns=close_ns))
    late = intent("late", expires_ns=close_ns + 60 * S)
    assert reasons(world.give(block(late, name="late", ts_ns=close_ns))) == ["session_closed"]


def test_the_stricter_of_block_mode_and_journaled_mode_counts() -> None:
    """A block decided in OBSERVE stays in OBSERVE, and a mode that nobody knows is taken as OBSERVE."""
    assert reasons(ready_world().give(block(intent(), mode="observe"))) == ["mode_observe"]
    assert reasons(ready_world().give(block(intent(), mode="surprise"))) == ["mode_observe"]


def test_size_limits_and_the_budget_refuse_what_adds_risk() -> None:
    """Shares, notional, fractions and orders a minute have their own codes."""
    few = OrderGuardParameters(order_shares_max=99)
    assert reasons(ready_world(orders=few).give(block(intent()))) == ["max_shares"]
    small = OrderGuardParameters(order_notional_usd_max=9_999.0)
    assert reasons(ready_world(orders=small).give(block(intent()))) == ["max_notional"]
    assert reasons(ready_world().give(block(intent(quantity_micro=999_999)))) == ["below_one_share"]
    world = ready_world(orders=OrderGuardParameters(orders_per_minute_max=1))
    world.see(quote(symbol="QQQ"))
    outs = world.give(block(intent("small", alpha_bps=1.0), intent("large", symbol="QQQ", con_id=12, alpha_bps=-5.0)))
    assert [type(out) for out in outs] == [OrderSubmitting, OrderRefused]
    assert outs[0].symbol == "QQQ", "the budget goes to the larger forecast"
    assert reasons(outs[1:]) == ["order_budget"]


def test_reducing_passes_the_guards_that_would_trap_it() -> None:
    """With a known position a reducing sell passes OBSERVE, a wide spread, a moved mid, size and budget."""
    tight = OrderGuardParameters(orders_per_minute_max=1, order_shares_max=1, order_notional_usd_max=1.0)
    world = ready_world(orders=tight)
    world.see(account(position=100))
    world.give(_mode(Mode.OBSERVE))
    world.see(quote(98.0, 100.0))
    sent = submit(world, intent(side=Side.SELL, reducing=True))
    assert sent.limit_nano == 98 * DOLLAR


def test_an_intent_that_only_claims_to_reduce_is_not_believed() -> None:
    """A sell beyond the position, or without any known position, has no privilege."""
    world = ready_world()
    world.give(_mode(Mode.OBSERVE))
    claims = intent(side=Side.SELL, reducing=True)
    assert reasons(world.give(block(claims))) == ["mode_observe"]
    world.see(account(position=99))
    sent, refused = world.give(block(intent("two", side=Side.SELL, reducing=True), name="two"))
    assert isinstance(sent, OrderSubmitting)
    assert sent.quantity_micro == 99 * SHARE, "what closes goes, and no more"
    assert reasons([refused]) == ["mode_observe"]


def test_a_working_or_unknown_order_blocks_its_symbol() -> None:
    """The exposure of an order that has not ended is held until its outcome is known."""
    world = ready_world()
    submit(world)
    assert reasons(world.give(block(intent("two"), name="two"))) == ["order_pending"]
    world.see(link(ts_ns=NOW_NS + S))
    assert reasons(world.give(block(intent("three"), name="three"))) == ["order_unknown"]


def test_an_adopted_symbol_trades_again() -> None:
    """The operator's adoption lifts the block that a foreign execution caused, once the books have it."""
    world = ready_world()
    world.see(execution("by hand", perm_id=3))
    world.give(_command("adopt", symbol="SPY"))
    assert reasons(world.give(block(intent("before"), name="before"))) == ["external_order"]
    world.give(ledger_correction("SPY", NOW_NS))
    submit(world)


def test_the_mid_plan_rounds_passively_and_keeps_whole_shares() -> None:
    """A buy at the mid rounds down to the tick, a sell up; the fraction of a share is not ordered."""
    world = ready_world(aggression="mid")
    world.see(quote(99.99, 100.02))
    bought = submit(world, intent(quantity_micro=100 * SHARE + 500_000))
    assert (bought.limit_nano, bought.quantity_micro) == (100 * DOLLAR, 100 * SHARE)
    world = ready_world(aggression="mid")
    world.see(quote(99.99, 100.02))
    assert submit(world, intent(side=Side.SELL)).limit_nano == round(100.01 * DOLLAR)


@pytest.mark.parametrize(
    ("side", "bps", "limit"),
    [(Side.BUY, 2.0, 100.02), (Side.SELL, 2.0, 99.98), (Side.BUY, 2.9, 100.02), (Side.BUY, 0.0, 100.0)],
)
def test_an_offset_limit_never_pays_more_than_its_distance(side: Side, bps: float, limit: float) -> None:
    """Document 004, 6.2: mid plus or minus the offset, rounded so that it is not passed."""
    world = ready_world(aggression="offset", mid_offset_bps=bps)
    assert submit(world, intent(side=side)).limit_nano == round(limit * DOLLAR)


def test_the_good_till_time_is_a_whole_second_and_never_too_late() -> None:
    """It is the smaller of expiry and time in force, cut to the broker's seconds."""
    sent = submit(ready_world(), intent(expires_ns=NOW_NS + 10 * S + 999))
    assert sent.good_till_ns == NOW_NS + 10 * S
    assert reasons(ready_world().give(block(intent(expires_ns=NOW_NS + 999)))) == ["intent_expired"]
    assert reasons(ready_world().give(block(intent(expires_ns=NOW_NS)))) == ["intent_expired"]


# -------------------------------------------------------------------------------------- facts, events


def test_repeated_facts_cause_no_second_event() -> None:
    """Statuses, executions, fees, account readings and links are journaled once."""
    world = ready_world()
    sent = submit(world)
    done = execution(sent.client_order_id)
    fee = CommissionObserved(ts_ns=NOW_NS + S, exec_id="e.01", commission_nano=DOLLAR, realized_pnl_nano=None)
    assert [type(out) for out in status(world, "Submitted")] == [OrderUpdated]
    assert status(world, "Submitted") == []
    assert [type(out) for out in world.see(done)] == [OrderFilled, OrderUpdated]
    assert world.see(done) == []
    assert [type(out) for out in world.see(fee)] == [OrderCommission]
    assert world.see(fee) == []
    assert [type(out) for out in world.see(account(position=100, equity=99_999))] == [AccountValues, Positions]
    assert world.see(account(position=100, equity=99_999, ts_ns=NOW_NS + 9 * S)) == []
    assert [type(out) for out in world.see(account(position=50, equity=99_999))] == [Positions]
    assert world.see(link(data_lost=False)) == []


def test_a_fee_that_comes_first_waits_for_its_execution() -> None:
    """It is journaled right after the fill, with the fill's symbol."""
    world = ready_world()
    sent = submit(world)
    fee = CommissionObserved(ts_ns=NOW_NS, exec_id="e.01", commission_nano=DOLLAR, realized_pnl_nano=None)
    assert world.see(fee) == []
    outs = world.see(execution(sent.client_order_id))
    assert [type(out) for out in outs] == [OrderFilled, OrderCommission, OrderUpdated]


def test_foreign_orders_and_fills_are_external_once() -> None:
    """A reference that is not ours gives one ExternalOrder per status, and a fill without an order."""
    world = ready_world()
    outs = world.see(execution("by hand", perm_id=3))
    assert [type(out) for out in outs] == [ExternalOrder, OrderFilled]
    assert (outs[1].client_order_id, outs[1].intent) == ("", "")
    assert world.see(execution("by hand", perm_id=3)) == []
    seen = snapshot("s", NOW_NS, open_orders=(listed("by hand", "Submitted"),))
    assert [type(out) for out in world.see(seen)] == [ExternalOrder, ReconSnapshot]


def test_an_order_id_reused_by_the_broker_does_not_cross_attribute() -> None:
    """A status without a reference counts for our order only while its permanent id agrees."""
    world = ready_world()
    submit(world)
    status(world, "Submitted")
    stranger = OrderStatusObserved(
        ts_ns=NOW_NS + S,
        broker_order_id=5,
        client_id=1,
        perm_id=78,
        client_order_id="",
        symbol="",
        status="Filled",
        filled_micro=100 * SHARE,
        remaining_micro=0,
        average_price_nano=0,
        why_held="",
    )
    assert [type(out) for out in world.see(stranger)] == [ExternalOrder]
    assert next(iter(world.state.orders.values())).state is OrderState.WORKING


def test_an_error_reaches_the_order_that_it_names_and_no_other() -> None:
    """201 rejects our order; an error about an id that is not ours only counts."""
    world = ready_world()
    submit(world)
    text = OrderErrorObserved(ts_ns=NOW_NS, broker_order_id=999, code=201, message="no")
    assert world.see(text) == []
    assert world.state.unmatched_errors == 1
    outs = world.see(OrderErrorObserved(ts_ns=NOW_NS, broker_order_id=5, code=201, message="no"))
    assert [(out.state, out.code) for out in outs if isinstance(out, OrderUpdated)] == [(OrderState.REJECTED, 201)]


# --------------------------------------------------------------------------- restarts, snapshots, timers


def test_after_a_restart_open_orders_are_unknown_and_nothing_is_resent() -> None:
    """The first link after replay makes them unknown; later facts settle them."""
    world = ready_world()
    sent = submit(world)
    again = world.restarted()
    outs = again.see(link(ts_ns=NOW_NS + 5 * S))
    assert [type(out) for out in outs] == [OrderLink, OrderUpdated]
    assert outs[1].state is OrderState.UNKNOWN
    filled = again.see(execution(sent.client_order_id))
    assert [out.state for out in filled if isinstance(out, OrderUpdated)] == [OrderState.FILLED]
    assert not any(isinstance(out, OrderSubmitting) for out in again.log[len(world.log) :])


def test_broker_order_ids_stay_above_every_source() -> None:
    """After a restart the ids go on above the log's, and a rolled-back floor does not bring them back."""
    world = ready_world()
    submit(world)
    again = world.restarted()
    assert again.state.next_order_id == 6
    again.see(link(ts_ns=NOW_NS + S, next_order_id=1))
    assert again.state.next_order_id == 6
    again.see(link(ts_ns=NOW_NS + 2 * S, next_order_id=40))
    assert again.state.next_order_id == 40


def test_a_snapshot_settles_unknown_orders_with_facts_before_itself() -> None:
    """An execution that was missed and the final state come before the ReconSnapshot."""
    world = ready_world()
    sent = submit(world).client_order_id
    again = world.restarted()
    again.see(link(ts_ns=NOW_NS + S))
    seen = snapshot(
        "s", NOW_NS + 2 * S, completed=(listed(sent, "Cancelled", 40),), executions=(execution(sent, "e.01", 40),)
    )
    outs = again.see(seen)
    assert [type(out) for out in outs] == [OrderFilled, OrderUpdated, OrderUpdated, ReconSnapshot]
    order = again.state.orders[sent]
    assert (order.state, order.filled_micro) == (OrderState.CANCELLED, 40 * SHARE)
    assert outs[-1].cause == seen.request


def test_absence_is_proof_only_twice_and_after_the_good_till_time() -> None:
    """One snapshot is not enough, an early one does not count, a failed one proves nothing."""
    world = ready_world()
    sent = submit(world)
    again = world.restarted()
    again.see(link(ts_ns=NOW_NS + S))
    late_ns = sent.good_till_ns + 30 * S
    for name, ts_ns, ok in (("early", late_ns - 1, True), ("failed", late_ns, False), ("first", late_ns, True)):
        outs = again.see(snapshot(name, ts_ns, ok=ok))
        assert [type(out) for out in outs] == [ReconSnapshot], name
    third = again.restarted()
    outs = third.see(snapshot("second", late_ns + S))
    assert [type(out) for out in outs] == [OrderUpdated, ReconSnapshot]
    assert outs[0].state is OrderState.EXPIRED
    assert "absent" in outs[0].detail


def test_a_snapshot_that_shows_the_order_starts_the_count_of_absences_anew() -> None:
    """Absent, shown, absent is not absent twice."""
    world = ready_world()
    sent = submit(world)
    late_ns = sent.good_till_ns + 30 * S
    world.see(snapshot("a", late_ns))
    world.see(snapshot("b", late_ns + S, open_orders=(listed(sent.client_order_id, "Submitted"),)))
    outs = world.see(snapshot("c", late_ns + 2 * S))
    assert [type(out) for out in outs] == [ReconSnapshot]


def test_silence_after_a_placement_makes_the_order_unknown() -> None:
    """No callback within the limit: the outcome is to be found out, never assumed."""
    world = ready_world()
    submit(world)
    assert world.give(clock(NOW_NS + 5 * S)) == []
    outs = world.give(clock(NOW_NS + 10 * S))
    assert [out.state for out in outs if isinstance(out, OrderUpdated)] == [OrderState.UNKNOWN]
    assert world.give(clock(NOW_NS + 15 * S)) == []


def test_an_order_past_its_good_till_time_is_cancelled_once() -> None:
    """The broker should have ended it; if no final status came, one cancel is journaled."""
    world = ready_world()
    sent = submit(world)
    status(world, "Submitted")
    assert world.give(clock(sent.good_till_ns)) == []
    outs = world.give(clock(sent.good_till_ns + 5 * S))
    assert [type(out) for out in outs] == [OrderCancelling]
    assert outs[0].broker_order_id == sent.broker_order_id
    assert world.restarted().give(clock(sent.good_till_ns + 10 * S)) == []


def test_panic_and_emergency_cancel_everything_open_and_panic_latches() -> None:
    """Both journal one cancel per open order; after panic only resume lets intents pass."""
    for event in (_command("panic"), _mode(Mode.EMERGENCY)):
        world = ready_world()
        submit(world)
        assert [type(out) for out in world.give(event)] == [FlattenState, OrderCancelling]
    world = ready_world()
    world.give(_command("panic"))
    assert reasons(world.give(block(intent()))) == ["panic"]
    world.give(_command("resume"))
    assert reasons(world.give(block(intent("still"), name="still"))) == ["panic"]
    world.give(_command("resume", reason="looked at it"))
    submit(world, intent("two"))


def test_replay_rebuilds_the_durable_state_and_the_same_bytes_come_out() -> None:
    """The same inputs and observations give the same log, and the log alone gives the same orders."""
    logs = []
    for _ in range(2):
        world = ready_world()
        sent = submit(world)
        status(world, "Submitted")
        world.see(execution(sent.client_order_id, "e.01", 40))
        world.see(account(position=40))
        world.give(clock(NOW_NS + 40 * S))
        logs.append([encode(event) for event in world.log])
        again = world.restarted()
        for name in ("orders", "intents", "open_orders", "by_perm_id", "next_order_id", "position_of", "link_revision"):
            assert getattr(again.state, name) == getattr(world.state, name), name
    assert logs[0] == logs[1]


def test_old_orders_are_forgotten_before_a_later_session() -> None:
    """Ended orders leave the memory after the retention; open ones never do."""
    world = ready_world()
    sent = submit(world)
    world.see(execution(sent.client_order_id))
    week_ns = 8 * 86_400 * S
    world.give(phase(PhaseName.PRE_OPEN, NOW_NS + week_ns))
    assert world.state.orders == {}
    assert world.state.symbol_of_execution == {}
    assert world.state.intents == {}
    kept = ready_world()
    submit(kept)
    kept.give(phase(PhaseName.PRE_OPEN, NOW_NS + week_ns))
    assert len(kept.state.orders) == 1


@pytest.mark.parametrize(
    ("field_name", "value"),
    [("drift_bps_max", float("nan")), ("cross_ticks", 101.0), ("absences_needed", 1), ("absence_margin_s", 1.0)],
)
def test_parameters_out_of_range_are_refused_by_name(field_name: str, value: float) -> None:
    """The error names the field, the value and the allowed range."""
    with pytest.raises(ValueError, match=f"execution.{field_name} is .*allowed is"):
        ExecutionParameters(**{field_name: value})  # type: ignore[arg-type]


def test_event_ids_are_unique_within_a_log() -> None:
    """Inputs aside, no two events of a long life share an id, though facts repeat."""
    world = ready_world()
    submit(world)
    for second in range(1, 6):
        status(world, "Submitted", ts_ns=NOW_NS + second * S)
        world.see(link(ts_ns=NOW_NS + second * S))
    ids: list[EventId] = [event.id for event in world.log]
    assert len(set(ids)) == len(ids)
