"""The checks of the rows can fail: each is shown a session in which the duty is broken."""

from __future__ import annotations

import msgspec
import pytest

from walstreet.testing.chaos import order_checks, session_checks
from walstreet.testing.chaos.row_facts import Facts, all_ended, trades_after
from walstreet.testing.chaos.rows import ROWS
from walstreet.testing.events import every_event
from walstreet_events import AnyEvent, OrderState

SAMPLES = every_event()
NANOS = 10**9


def event(tag: str, **changes: object) -> AnyEvent:
    """Return a golden event with other values."""
    return msgspec.structs.replace(SAMPLES[tag], **changes)


def facts(*events: AnyEvent, truth: tuple[dict[str, object], ...] = (), logs: str = "") -> Facts:
    """Return a session of which only this is known."""
    return Facts(events=events, truth=truth, summary={}, logs=logs)


def sent(name: str, ts_ns: int, symbol: str = "AAA") -> AnyEvent:
    """Return a submission."""
    return event("order_submitting.v1", client_order_id=name, ts_ns=ts_ns, symbol=symbol)


def updated(name: str, state: OrderState, ts_ns: int, **changes: object) -> AnyEvent:
    """Return an update."""
    return event("order_updated.v1", client_order_id=name, state=state, ts_ns=ts_ns, symbol="AAA", **changes)


def proof(ts_ns: int) -> AnyEvent:
    """Return an answered query that shows nothing open."""
    return event("recon_snapshot.v1", ok=True, ts_ns=ts_ns, open_orders=())


def test_every_row_fails_on_a_session_in_which_nothing_happened() -> None:
    """No duty is met by silence: a script that did nothing, and a book that did nothing, show nothing."""
    empty = facts()
    assert [row.script for row in ROWS if not row.check(empty)] == []


def test_every_check_reads_every_event_and_record() -> None:
    """A check that stumbles over what a session holds would take the whole run with it."""
    kinds = (
        *("fault_started", "fault_ended", "place_received", "place_lost", "order_accepted", "execution"),
        *("commission", "status", "untrue_execution", "cancel_received", "nightly_reset"),
    )
    record = {
        "ts_ns": 1,
        "fault": 1,
        "fault_kind": "farm",
        "client_id": 12,
        "order_id": 1,
        "order_ref": "a",
        "execution_id": "e",
        "price_nano": 1,
        "quantity_micro": 1,
        "commission_nano": 1,
        "status": "Filled",
        "delivered": True,
        "what_if": False,
        "corrects": "d",
        "perm_id": 1,
    }
    records = [{**record, "kind": kind} for kind in kinds]
    full = facts(*SAMPLES.values(), truth=tuple(records))
    assert all(isinstance(row.check(full), list) for row in ROWS)


def test_an_order_behind_an_unproved_end_is_found() -> None:
    """The query must come between the broker's word and the next order of that symbol."""
    early = facts(sent("a", 1), updated("a", OrderState.CANCELLED, 2), sent("b", 3), proof(4))
    assert len(order_checks.held_until_proof(early)) == 1
    proved = facts(sent("a", 1), updated("a", OrderState.CANCELLED, 2), proof(3), sent("b", 4))
    assert order_checks.held_until_proof(proved) == []
    other = facts(sent("a", 1), updated("a", OrderState.CANCELLED, 2), sent("b", 3, symbol="BBB"))
    assert order_checks.held_until_proof(other) == []


@pytest.mark.parametrize(("state", "count"), [(OrderState.FILLED, 0), (OrderState.WORKING, 1)])
def test_an_order_without_an_end_is_found(state: OrderState, count: int) -> None:
    """What still works when the session is over was lost sight of."""
    assert len(all_ended(facts(sent("a", 1), updated("a", state, 2)))) == count


def test_trading_must_go_on_after_the_faults() -> None:
    """A platform that stops for good has survived nothing."""
    ended = {"kind": "fault_ended", "fault": 1, "fault_kind": "farm", "ts_ns": 10}
    assert trades_after(facts(sent("a", 11), truth=(ended,))) == []
    assert trades_after(facts(sent("a", 9), truth=(ended,))) != []


def test_an_order_on_delayed_data_is_found() -> None:
    """One step after the data turned nothing may be opened until they are live again."""
    truth = (
        {"kind": "fault_started", "fault": 1, "fault_kind": "delayed_data", "ts_ns": 100 * NANOS},
        {"kind": "fault_ended", "fault": 1, "fault_kind": "delayed_data", "ts_ns": 160 * NANOS},
    )
    inside = session_checks.delayed(facts(sent("a", 130 * NANOS), truth=truth))
    assert "1 positions were opened on delayed data" in inside
    outside = session_checks.delayed(facts(sent("a", 170 * NANOS), truth=truth))
    assert not any("opened on delayed data" in text for text in outside)


def test_an_order_into_a_halt_is_found() -> None:
    """From the halt's word until its end the symbol takes none."""
    halt = event("symbol_status.v1", symbol="AAA", halted=True, ts_ns=1)
    over = event("symbol_status.v1", symbol="AAA", halted=False, ts_ns=5)
    assert any("into a halt" in text for text in session_checks.halts(facts(halt, sent("a", 2), over)))
    assert not any("into a halt" in text for text in session_checks.halts(facts(halt, over, sent("a", 6))))
