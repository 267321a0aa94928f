"""Tests of the life-cycle table of a child order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from walstreet.domain.observations import ExecutionObserved, OrderErrorObserved, OrderStatusObserved
from walstreet.domain.order import TERMINAL, TRANSITIONS, Order, advance, doubted, execution_root, expired, mermaid
from walstreet.domain.order_codes import CODES, CodeKind, classify
from walstreet_events import QUANTITY_SCALE, OrderState, Side

GOOD_TILL_NS = 1_000_000_000_000
SHARES = QUANTITY_SCALE


def order(**changes: object) -> Order:
    """Return a fresh order over 100 shares with ``changes``."""
    base = Order(
        client_order_id="c" * 32,
        intent="i" * 32,
        symbol="SPY",
        con_id=1,
        side=Side.BUY,
        quantity_micro=100 * SHARES,
        limit_nano=500_000_000_000,
        good_till_ns=GOOD_TILL_NS,
        submitted_ns=1,
        broker_order_id=7,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def status(text: str, *, filled: int = 0, ts_ns: int = 10, perm_id: int = 9, why_held: str = "") -> OrderStatusObserved:
    """Return an orderStatus of the order."""
    return OrderStatusObserved(
        ts_ns=ts_ns,
        broker_order_id=7,
        client_id=1,
        perm_id=perm_id,
        client_order_id="c" * 32,
        symbol="SPY",
        status=text,
        filled_micro=filled * SHARES,
        remaining_micro=(100 - filled) * SHARES,
        average_price_nano=500_000_000_000 if filled else 0,
        why_held=why_held,
    )


def execution(exec_id: str, shares: int, cumulative: int, *, ts_ns: int = 10) -> ExecutionObserved:
    """Return an execution of the order."""
    return ExecutionObserved(
        ts_ns=ts_ns,
        exec_id=exec_id,
        perm_id=9,
        broker_order_id=7,
        client_id=1,
        client_order_id="c" * 32,
        symbol="SPY",
        con_id=1,
        buy=True,
        price_nano=500_000_000_000,
        quantity_micro=shares * SHARES,
        cumulative_micro=cumulative * SHARES,
    )


def error(code: int, *, ts_ns: int = 10) -> OrderErrorObserved:
    """Return an error message about the order."""
    return OrderErrorObserved(ts_ns=ts_ns, broker_order_id=7, code=code, message="text")


def test_a_marketable_order_runs_from_submitting_to_filled() -> None:
    """PreSubmitted, an execution and a repeated Filled lead to filled once, with one fill."""
    steps = [
        status("PreSubmitted"),
        execution("a.01", 100, 100),
        status("Filled", filled=100),
        status("Filled", filled=100),
    ]
    current, updates, fills = order(), 0, 0
    for fact in steps:
        step = advance(current, fact)
        current, updates, fills = step.order, updates + step.updated, fills + step.filled
    assert current.state is OrderState.FILLED
    assert (current.filled_micro, current.executed_micro) == (100 * SHARES, 100 * SHARES)
    assert fills == 1
    assert updates == 3, "working, filled by the execution, and the broker's own word; its repetition is nothing"


def test_a_status_may_come_before_its_execution() -> None:
    """Filled before execDetails ends the order, and the late execution is still a fill."""
    done = advance(order(), status("Filled", filled=100)).order
    late = advance(done, execution("a.01", 100, 100))
    assert done.state is OrderState.FILLED
    assert late.filled
    assert late.order.executed_micro == 100 * SHARES


def test_the_cumulative_quantity_only_grows() -> None:
    """A repeated older status does not bring the filled quantity back."""
    partly = advance(order(), status("Submitted", filled=60)).order
    again = advance(partly, status("Submitted", filled=20)).order
    assert partly.state is OrderState.PARTIALLY_FILLED
    assert again.filled_micro == 60 * SHARES


def test_an_execution_counts_once() -> None:
    """The same execution id from the wire and from a query is one fill."""
    once = advance(order(), execution("a.01", 40, 40)).order
    twice = advance(once, execution("a.01", 40, 40))
    assert not twice.filled
    assert not twice.updated
    assert twice.order.executed_micro == 40 * SHARES


def test_a_corrected_execution_is_shown_and_not_counted_twice() -> None:
    """An id that differs in its last part only amends an execution that was counted."""
    once = advance(order(), execution("0001.ab.01.01", 40, 40)).order
    corrected = advance(once, execution("0001.ab.01.02", 40, 40))
    assert not corrected.filled
    assert corrected.updated
    assert corrected.detail == "execution_corrected: 0001.ab.01.02"
    assert not advance(corrected.order, execution("0001.ab.01.02", 40, 40)).updated
    assert execution_root("0001.ab.01.02") == execution_root("0001.ab.01.01")


def test_a_fill_after_cancelled_is_accepted() -> None:
    """A part leaves the order cancelled with the quantity counted; the whole makes it filled."""
    cancelled = advance(order(), status("Cancelled")).order
    part = advance(cancelled, execution("a.01", 30, 30))
    whole = advance(part.order, execution("b.01", 70, 100))
    assert cancelled.state is OrderState.CANCELLED
    assert (part.order.state, part.order.filled_micro, part.filled) == (OrderState.CANCELLED, 30 * SHARES, True)
    assert whole.order.state is OrderState.FILLED


def test_cancelled_at_the_good_till_time_means_expired() -> None:
    """The broker reports the end of a GTD order as Cancelled; the time tells which it was."""
    assert advance(order(), status("Cancelled", ts_ns=GOOD_TILL_NS - 1)).order.state is OrderState.CANCELLED
    assert advance(order(), status("Cancelled", ts_ns=GOOD_TILL_NS)).order.state is OrderState.EXPIRED
    assert advance(order(), error(202, ts_ns=GOOD_TILL_NS)).order.state is OrderState.EXPIRED


@pytest.mark.parametrize("code", [103, 161, 10147, 10148, 322])
def test_codes_on_which_libraries_cancel_falsely_only_raise_doubt(code: int) -> None:
    """After such a code a working order is unknown, and the next status repairs it."""
    working = advance(order(), status("Submitted")).order
    doubtful = advance(working, error(code)).order
    assert doubtful.state is OrderState.UNKNOWN
    assert advance(doubtful, status("Submitted")).order.state is OrderState.WORKING


@pytest.mark.parametrize("code", [104, 105, 329, 399, 10311, 10349, 2109, 2148, 424242])
def test_warnings_failed_changes_and_unknown_codes_leave_the_state(code: int) -> None:
    """They are recorded with the order, which lives on."""
    working = advance(order(), status("Submitted")).order
    step = advance(working, error(code))
    assert step.order.state is OrderState.WORKING
    assert step.updated
    assert step.order.code == code


def test_a_rejection_is_final_until_the_broker_shows_the_order_alive() -> None:
    """201 then Inactive stays rejected; a live status wins over the inference."""
    rejected = advance(order(), error(201)).order
    assert rejected.state is OrderState.REJECTED
    assert advance(rejected, status("Inactive")).order.state is OrderState.REJECTED
    assert advance(rejected, status("Submitted")).order.state is OrderState.WORKING


def test_inactive_without_an_error_is_held_not_ended() -> None:
    """Inactive and a pending locate keep the order open, with the reason."""
    held = advance(order(), status("Inactive", why_held="locate")).order
    assert held.state is OrderState.INACTIVE
    assert not held.terminal
    assert held.why_held == "locate"
    assert advance(order(), error(404)).order.state is OrderState.INACTIVE


def test_a_live_status_of_an_order_that_waits_for_shares_is_held() -> None:
    """PreSubmitted with a pending locate is no order at work; a bracket's child and a stop's trigger are."""
    held = advance(order(), status("PreSubmitted", why_held="locate")).order
    assert held.state is OrderState.INACTIVE
    assert advance(held, status("Submitted")).order.state is OrderState.WORKING
    assert advance(order(), status("PreSubmitted", why_held="child,trigger")).order.state is OrderState.WORKING


def test_a_refused_order_that_turns_out_to_wait_for_shares_is_alive() -> None:
    """An inferred end yields to any live status, and only then is the order held."""
    refused = advance(order(), error(201)).order
    alive = advance(refused, status("PreSubmitted", why_held="locate")).order
    assert alive.state is OrderState.WORKING
    assert advance(alive, status("PreSubmitted", why_held="locate")).order.state is OrderState.INACTIVE


def test_doubt_and_expiry_do_not_touch_what_has_ended() -> None:
    """A restart cannot make a filled or cancelled order unknown, and proof of absence cannot end it again."""
    for state in TERMINAL:
        ended = order(state=state)
        assert doubted(ended, "restarted").order.state is state
        assert expired(ended, "absent").order.state in {state, OrderState.EXPIRED}
    assert doubted(order(), "restarted").order.state is OrderState.UNKNOWN


def test_a_filled_status_without_the_quantity_proves_nothing() -> None:
    """Filled with a smaller cumulative quantity does not end the order."""
    assert advance(order(), status("Filled", filled=50)).order.state is not OrderState.FILLED


def test_the_diagram_shows_every_transition() -> None:
    """The generated diagram has one line per entry of the table and one per end."""
    lines = mermaid().splitlines()
    entries = sum(len(row) for row in TRANSITIONS.values())
    assert lines[0] == "stateDiagram-v2"
    assert len(lines) == 2 + entries + len(TERMINAL)
    assert "    submitting --> unknown: doubt" in lines


def test_the_code_table_has_a_kind_for_the_codes_of_the_notes() -> None:
    """Codes that the project's notes name are classified as the notes say."""
    wanted = {
        201: CodeKind.REJECT,
        202: CodeKind.CANCELLED,
        103: CodeKind.DOUBT,
        161: CodeKind.CANCEL_FAILED,
        10147: CodeKind.CANCEL_FAILED,
        10148: CodeKind.CANCEL_FAILED,
        105: CodeKind.MODIFY_FAILED,
        10349: CodeKind.WARNING,
        399: CodeKind.WARNING,
        404: CodeKind.HELD,
        2109: CodeKind.WARNING,
        99999: CodeKind.UNKNOWN,
    }
    assert {code: classify(code) for code in wanted} == wanted
    assert all(row.meaning for row in CODES.values())
