"""The reconciler asks in time, confirms before it cries, and never takes silence for agreement."""

from __future__ import annotations

import pytest

from walstreet.domain.observations import TimeObserved
from walstreet.domain.reconciler import ReconcilerCore
from walstreet.domain.reconciler_parameters import Policy, ReconcilerParameters
from walstreet.testing.events import OPEN_NS, clock_tick, operator_command, recon_snapshot, session_ref
from walstreet.testing.events_orders import (
    EXECUTION,
    ORDER,
    account_values,
    order_commission,
    order_filled,
    order_link,
    order_submitting,
    order_updated,
    positions,
)
from walstreet.testing.given import Scenario
from walstreet_events import (
    BreakKind,
    BrokerExecution,
    BrokerOrder,
    Mode,
    ModeRequest,
    OrderState,
    Position,
    ReconBreak,
    ReconReport,
    ReconRequest,
)

S = 1_000_000_000
SHARE = 1_000_000
CASH = 100_000_000_000_000


def scenario(**parameters):
    """Return a first life of the core."""
    return Scenario(lambda: ReconcilerCore(ReconcilerParameters(**parameters)))


def at(seconds):
    """Return the time so many seconds after the open."""
    return OPEN_NS + seconds * S


def of(kind, events):
    """Return the events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def opened(**parameters):
    """Return a scenario with opening books, a session and a connection; its first request is out."""
    play = scenario(**parameters)
    play.given(account_values(at(-50)), positions(at(-50), {}), session_ref(), order_link(at(-40)))
    return play


def request_of(play):
    """Return the last request."""
    return of(ReconRequest, play.outputs)[-1]


def answer(play, seconds, **parts):
    """Answer the last request and return what the reconciler wrote."""
    return play.when(recon_snapshot(request_of(play), at(seconds), **{"cash_nano": CASH, **parts}))


def cleaned(**parameters):
    """Return a scenario whose first reconciliation was clean."""
    play = opened(**parameters)
    (report,) = answer(play, -30)
    assert report.status == "clean"
    return play


def asked_again(play, seconds):
    """Let the clock reach ``seconds`` and return the reason of the request that this caused, if any."""
    requests = of(ReconRequest, play.when(clock_tick(at(seconds))))
    return requests[0].reason if requests else None


def held(quantity):
    """Return positions as the broker lists them."""
    return (Position(symbol="AAA", con_id=1, quantity_micro=quantity * SHARE, average_cost_nano=0),)


def broker_execution(at_s=10, price_nano=100_250_000_000):
    """Return the example's execution as the broker lists it."""
    return BrokerExecution(
        exec_id=EXECUTION,
        order_ref=ORDER,
        perm_id=9,
        symbol="AAA",
        side="buy",
        price_nano=price_nano,
        quantity_micro=40 * SHARE,
        ts_ns=at(at_s),
    )


def broker_order(**changes):
    """Return an order as the broker lists it."""
    facts = {
        "order_ref": ORDER,
        "perm_id": 9,
        "client_id": 12,
        "symbol": "AAA",
        "side": "buy",
        "quantity_micro": 100 * SHARE,
        "filled_micro": 0,
        "status": "Submitted",
    }
    return BrokerOrder(**{**facts, **changes})


def test_the_first_request_needs_session_and_connection_in_any_order():
    """Whichever comes last causes the request of the start."""
    first = scenario().given(session_ref())
    (request,) = first.when(order_link(at(-40)))
    assert (request.reason, request.number) == ("start", 1)
    second = scenario().given(order_link(at(-90)))
    (request,) = second.when(session_ref())
    assert (request.reason, request.cause) == ("start", session_ref().id)
    assert scenario().given(order_link(at(-90), connected=False)).when(session_ref()) == []


def test_a_clean_start_is_reported():
    """Agreement in everything is a clean report with what was compared."""
    play = opened()
    (report,) = answer(play, -30)
    assert (report.status, report.breaks, report.request) == ("clean", 0, request_of(play).id)


def test_a_reconnection_asks_again_and_a_repeated_state_does_not():
    """After a lost connection, or when the broker forgot us, the truth is asked for."""
    play = cleaned()
    assert play.when(order_link(at(1))) == []
    assert play.when(order_link(at(2), connected=False)) == []
    assert [event.reason for event in play.when(order_link(at(3)))] == ["reconnect"]
    assert [event.reason for event in play.when(order_link(at(4), data_lost=True))] == ["reconnect"]


def test_the_period_is_counted_on_the_clock():
    """Sixty seconds after the last request comes the next, not before."""
    play = cleaned()
    assert asked_again(play, 15) is None
    assert asked_again(play, 20) == "periodic"
    answer(play, 21)
    assert asked_again(play, 75) is None
    assert asked_again(play, 80) == "periodic"


def test_the_operator_may_ask():
    """The command asks at once; other commands do not; without a connection it is remembered."""
    play = cleaned()
    assert play.when(operator_command("disarm", at(1))) == []
    assert [event.reason for event in play.when(operator_command("reconcile", at(2)))] == ["operator"]
    offline = cleaned().given(order_link(at(1), connected=False))
    assert offline.when(operator_command("reconcile", at(2))) == []
    assert of(ReconRequest, offline.when(order_link(at(3))))


def test_a_failed_answer_is_unknown_and_asked_again_soon():
    """A query that failed says nothing about the account, and the start stays the reason."""
    play = opened()
    (report,) = answer(play, -30, ok=False)
    assert (report.status, report.breaks) == ("unknown", 0)
    assert not play.state.clean_once
    assert asked_again(play, -31) is None
    assert asked_again(play, -30) == "start"


def test_before_the_books_are_open_nothing_can_be_clean():
    """Without opening positions the answer is unknown, although the account looks flat."""
    play = scenario().given(session_ref(), order_link(at(-40)))
    assert [event.status for event in answer(play, -30)] == ["unknown"]


def test_a_request_without_an_answer_is_unknown_and_repeated_within_bounds():
    """After the timeout it is reported and asked anew, once per timeout."""
    play = opened(timeout_s=20)
    first = request_of(play)
    assert play.when(clock_tick(at(-25))) == []
    report, again = play.when(clock_tick(at(-20)))
    assert (report.status, report.request, report.snapshot) == ("unknown", first.id, "")
    assert (again.reason, again.number) == ("start", 2)
    assert play.when(recon_snapshot(first, at(-19), cash_nano=CASH)) == []
    assert sum(len(of(ReconRequest, play.when(clock_tick(at(second))))) for second in range(-19, 61)) == 4


def test_without_a_connection_nothing_is_asked():
    """A timeout while the connection is down is reported once; the next request waits for the connection."""
    play = opened().given(order_link(at(-39), connected=False))
    assert [type(event) for event in play.when(clock_tick(at(0)))] == [ReconReport]
    assert play.when(clock_tick(at(600))) == []
    assert of(ReconRequest, play.when(order_link(at(601))))


def test_at_the_start_a_break_needs_no_confirmation():
    """A foreign position before the first clean report is a break at once and asks for OBSERVE."""
    play = opened()
    found, report, mode = answer(play, -30, positions=held(7))
    assert (found.kind, found.symbol, found.ours, found.brokers) == (BreakKind.QUANTITY, "AAA", "0", "7")
    assert (found.policy, report.status, report.breaks) == ("strict", "breaks", 1)
    assert (mode.mode, mode.service) == (Mode.OBSERVE, "reconciler")
    assert asked_again(play, -25) == "periodic"


def test_in_the_session_a_position_break_needs_two_snapshots():
    """The first sight is remembered and asked again soon; the second, equal one is the break."""
    play = cleaned()
    asked_again(play, 20)
    (report,) = answer(play, 21, positions=held(7))
    assert (report.status, report.breaks) == ("clean", 0)
    assert asked_again(play, 25) is None
    assert asked_again(play, 30) == "periodic"
    events = answer(play, 31, positions=held(7))
    assert [type(event) for event in events] == [ReconBreak, ReconReport, ModeRequest]


def test_two_different_gaps_are_not_one_break():
    """A gap that moves is trading in flight, not a break."""
    play = cleaned()
    asked_again(play, 20)
    answer(play, 21, positions=held(7))
    asked_again(play, 30)
    assert [event.status for event in answer(play, 31, positions=held(8))] == ["clean"]


def test_a_gap_that_closes_is_forgotten():
    """Clean in between means that the next sight is the first again."""
    play = cleaned()
    for second, quantity in ((20, 7), (80, 0), (140, 7)):
        asked_again(play, second)
        assert [event.status for event in answer(play, second + 1, positions=held(quantity))] == ["clean"]


def test_a_resolved_break_withdraws_the_mode_request():
    """The first clean report after breaks asks for LIVE, once."""
    play = opened()
    answer(play, -30, positions=held(7))
    asked_again(play, -10)
    report, mode = answer(play, -5)
    assert (report.status, mode.mode) == ("clean", Mode.LIVE)
    asked_again(play, 60)
    assert [type(event) for event in answer(play, 61)] == [ReconReport]


def traded(**parameters):
    """Return a clean scenario in which 40 of 100 shares were bought at 100.25 with a known fee."""
    play = cleaned(**parameters)
    play.given(order_submitting(at(5)), order_updated(at(6), OrderState.WORKING), order_filled(at(10)))
    return play.given(order_commission(at(11)))


def test_own_trading_reconciles():
    """Order, execution, position and cash of our own trade agree with the broker's view of it."""
    play = traded()
    asked_again(play, 30)
    (report,) = answer(
        play,
        31,
        open_orders=(broker_order(filled_micro=40 * SHARE),),
        executions=(broker_execution(),),
        positions=held(40),
        cash_nano=CASH - 4_010 * 1_000_000_000 - 350_000_000,
    )
    assert (report.status, report.orders_checked, report.executions_checked, report.positions_checked) == (
        "clean",
        1,
        1,
        1,
    )


def test_an_execution_with_another_price_is_a_break_at_once():
    """Executions are settled facts, so they need no confirmation."""
    play = traded()
    asked_again(play, 30)
    events = answer(
        play,
        31,
        open_orders=(broker_order(filled_micro=40 * SHARE),),
        executions=(broker_execution(price_nano=100_260_000_000),),
        positions=held(40),
    )
    found = of(ReconBreak, events)[0]
    assert (found.kind, found.reference) == (BreakKind.PRICE, EXECUTION)
    assert (found.ours, found.brokers) == ("buy 40 AAA at 100.25", "buy 40 AAA at 100.26")


def test_a_fill_newer_than_the_snapshot_is_no_break_even_at_the_start():
    """The broker's answer may be older than what the log holds already."""
    play = opened().given(order_filled(at(-28)))
    assert [event.status for event in answer(play, -30)] == ["clean"]


def test_a_correction_counts_once():
    """A corrected execution replaces the first version in the order's filled quantity."""
    play = traded()
    play.given(order_filled(at(12), exec_id=EXECUTION[:-1] + "2", quantity_micro=50 * SHARE))
    assert play.state.orders[ORDER].filled_micro == 50 * SHARE
    play.given(order_filled(at(13)))
    assert play.state.orders[ORDER].filled_micro == 50 * SHARE


def test_an_unproven_order_at_the_start_makes_it_neither_clean_nor_broken():
    """A difference that is still settling leaves the first answer unknown."""
    play = opened().given(order_submitting(at(-33)), order_updated(at(-32), OrderState.WORKING))
    (report,) = answer(play, -30)
    assert (report.status, report.breaks) == ("unknown", 0)


def test_cash_lags_and_is_only_a_warning_by_default():
    """A difference in cash must last; then it is counted, while the report stays clean."""
    play = cleaned()
    statuses = []
    for second in range(20, 400, 20):
        if asked_again(play, second):
            events = answer(play, second + 1, cash_nano=CASH - 5_000_000_000)
            statuses.append((second, of(ReconReport, events)[0].status, len(of(ReconBreak, events))))
    assert {status for _, status, _ in statuses} == {"clean"}
    first_break = next(second for second, _, count in statuses if count)
    assert first_break == 260


def test_a_missing_fee_defers_the_cash():
    """As long as a fill's fee is unknown, cash cannot be confirmed as broken."""
    play = cleaned(cash_settle_s=0, confirm_cash=1, cash=Policy.STRICT, cash_tolerance_nano=0)
    play.given(order_filled(at(10), order=""))
    parts = {"executions": (broker_execution(),), "positions": held(40), "cash_nano": CASH - 4_011 * 1_000_000_000}
    asked_again(play, 30)
    assert [event.status for event in answer(play, 31, **parts)] == ["clean"]
    play.given(order_commission(at(40)))
    asked_again(play, 45)
    found = of(ReconBreak, answer(play, 46, **parts))
    assert [item.kind for item in found] == [BreakKind.EXTERNAL_ORDER, BreakKind.CASH]


def test_a_foreign_order_warns_and_leaves_the_rest_running():
    """An order of another client is a counted break of its own kind; the report stays clean by default."""
    play = opened()
    found, report = answer(play, -30, open_orders=(broker_order(order_ref="", perm_id=77),))
    assert (found.kind, found.reference, found.policy) == (BreakKind.EXTERNAL_ORDER, "perm:77", "warn")
    assert (report.status, report.breaks) == ("clean", 1)
    strict = opened(external_order=Policy.STRICT)
    assert of(ReconReport, answer(strict, -30, open_orders=(broker_order(order_ref=""),)))[0].status == "breaks"


def test_what_a_foreign_order_has_traded_is_told_once():
    """A forced liquidation is booked, so that nothing else differs; it is a break all the same, of its own kind."""
    play = cleaned()
    play.given(order_filled(at(10), order=""))
    parts = {"executions": (broker_execution(),), "positions": held(40), "cash_nano": CASH - 4_010 * 1_000_000_000}
    found = []
    for second in range(20, 400, 20):
        if asked_again(play, second):
            found += of(ReconBreak, answer(play, second + 1, **parts))
    assert [(item.kind, item.reference, item.brokers) for item in found] == [
        (BreakKind.EXTERNAL_ORDER, "perm:9", "traded 40")
    ]


def test_auto_sync_takes_over_the_brokers_position_once():
    """The recorded break corrects the reconciler's books, also in a replay of the log."""
    play = opened(quantity=Policy.AUTO_SYNC)
    found, _, report = answer(play, -30, positions=held(7))
    assert (found.policy, report.status) == ("auto_sync", "clean")
    for life in (play, play.restarted()):
        assert life.state.ledger.position_micro("AAA") == 7 * SHARE
    asked_again(play, 60)
    (report,) = answer(play, 61, positions=held(7))
    assert report.breaks == 0


def test_auto_sync_of_cash():
    """The broker's cash becomes ours."""
    play = opened(cash=Policy.AUTO_SYNC)
    answer(play, -30, cash_nano=CASH + 5_000_000_001)
    assert play.state.ledger.cash_nano == CASH + 5_000_000_001


def test_the_quantity_of_an_order_is_never_taken_over():
    """Under auto_sync an order that differs is still strict, as only positions can be corrected."""
    play = opened(quantity=Policy.AUTO_SYNC)
    play.given(order_submitting(at(-39)), order_updated(at(-39), OrderState.WORKING))
    found = of(ReconBreak, answer(play, -30, open_orders=(broker_order(quantity_micro=90 * SHARE),)))[0]
    assert (found.policy, found.ours, found.brokers) == ("strict", "100", "90")


def test_a_new_session_starts_over():
    """A new date asks as at a start, forgets old executions and ended orders, and doubts everything again."""
    play = traded().given(order_updated(at(20), OrderState.CANCELLED))
    tomorrow = session_ref("2026-11-23", OPEN_NS + 3 * 86_400 * S)
    assert [event.reason for event in play.when(tomorrow)] == ["start"]
    assert (play.state.fills, play.state.orders, play.state.clean_once) == ({}, {}, False)
    assert play.state.ledger.position_micro("AAA") == 40 * SHARE


def test_observations_mean_nothing_to_the_reconciler():
    """It sees the log only."""
    assert scenario().when(TimeObserved(ts_ns=1)) == []


def test_replay_rebuilds_the_state_and_decides_the_same():
    """A life from the log alone answers the next snapshot as the first one does."""
    play = cleaned()
    asked_again(play, 20)
    answer(play, 21, positions=held(7))
    asked_again(play, 30)
    second = play.restarted()
    assert second.state.seen == play.state.seen
    assert answer(play, 31, positions=held(7)) == second.when(
        recon_snapshot(request_of(play), at(31), positions=held(7), cash_nano=CASH)
    )


@pytest.mark.parametrize(
    "bad", [{"period_s": 4}, {"recheck_s": 61}, {"timeout_s": 0}, {"confirm_cash": 0}, {"in_flight_s": -1}]
)
def test_parameters_out_of_range_are_refused_by_name(bad):
    """The error names field and value."""
    with pytest.raises(ValueError, match=f"reconciler.{next(iter(bad))}={next(iter(bad.values()))}"):
        ReconcilerParameters(**bad)
