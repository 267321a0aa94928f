"""The comparison of books and snapshot finds every kind of difference and allows for what is in flight."""

from __future__ import annotations

import pytest

from walstreet.domain.reconcile import (
    OwnOrder,
    compare_cash,
    compare_executions,
    compare_orders,
    compare_positions,
    decimal_text,
    execution_family,
)
from walstreet.testing.events import recon_snapshot
from walstreet.testing.events_orders import order_filled
from walstreet_events import (
    ROOT,
    BreakKind,
    BrokerExecution,
    BrokerOrder,
    EventId,
    OrderState,
    Position,
    ReconRequest,
    Side,
)

pytestmark = pytest.mark.spec("001.recovery")

S = 1_000_000_000
NOW = 1_000_000 * S
SHARE = 1_000_000
USD = 1_000_000_000
REQUEST = ReconRequest(id=EventId("1" * 32), cause=ROOT, ts_ns=NOW - S, number=1, reason="start")


def snapshot(**parts):
    """Return the broker's answer at the fixed time."""
    return recon_snapshot(REQUEST, NOW, **parts)


def own_order(state=OrderState.WORKING, age_s=100, filled=0, good_till_s=60, reference="ref"):
    """Return a child order of our books."""
    return OwnOrder(
        client_order_id=reference,
        symbol="AAA",
        quantity_micro=100 * SHARE,
        submitted_ns=NOW - age_s * S,
        good_till_ns=NOW + good_till_s * S,
        changed_ns=NOW - age_s * S,
        state=state,
        filled_micro=filled * SHARE,
    )


def broker_order(status="Submitted", quantity=100, filled=0, reference="ref"):
    """Return an order as the broker lists it."""
    return BrokerOrder(
        order_ref=reference,
        perm_id=9,
        client_id=12,
        symbol="AAA",
        side="buy",
        quantity_micro=quantity * SHARE,
        filled_micro=filled * SHARE,
        status=status,
    )


def orders_found(own, **parts):
    """Return kind and both values of the differences in orders."""
    orders = {own.client_order_id: own} if own else {}
    found = compare_orders(orders, snapshot(**parts), in_flight_ns=5 * S, absence_wait_ns=300 * S)
    return [(item.kind, item.ours, item.brokers) for item in found]


def execution(exec_id="a.b.1.01", price=100, quantity=10, side="buy", at_ns=NOW - 60 * S):
    """Return an execution as the broker lists it."""
    return BrokerExecution(
        exec_id=exec_id,
        order_ref="ref",
        perm_id=9,
        symbol="AAA",
        side=side,
        price_nano=price * USD,
        quantity_micro=quantity * SHARE,
        ts_ns=at_ns,
    )


def fill(exec_id="a.b.1.01", price=100, quantity=10, side=Side.BUY, at_ns=NOW - 60 * S, symbol="AAA"):
    """Return an execution of our books."""
    return order_filled(
        at_ns, exec_id=exec_id, price_nano=price * USD, quantity_micro=quantity * SHARE, side=side, symbol=symbol
    )


def executions_found(fills, *broker, since_ns=0):
    """Return kind and reference of the differences in executions."""
    found = compare_executions(
        {item.exec_id: item for item in fills}, snapshot(executions=broker), since_ns=since_ns, in_flight_ns=5 * S
    )
    return [(item.kind, item.reference) for item in found]


def test_agreeing_orders_give_nothing():
    """A working order that the broker lists with the same quantities is no difference."""
    assert orders_found(own_order(filled=30), open_orders=(broker_order(filled=30),)) == []


def test_a_working_order_that_the_broker_does_not_know_is_missing_there():
    """Neither open nor completed: our books hold an order that does not exist."""
    assert orders_found(own_order()) == [(BreakKind.MISSING_BROKER, "working", "absent")]


def test_an_order_that_ended_at_the_broker_is_missing_there():
    """The completed orders tell that what we hold for working has ended."""
    ended = (broker_order("Cancelled"),)
    assert orders_found(own_order(), completed_orders=ended) == [(BreakKind.MISSING_BROKER, "working", "Cancelled")]


@pytest.mark.parametrize("state", [OrderState.SUBMITTING, OrderState.UNKNOWN])
def test_absence_proves_nothing_for_an_unproven_order(state):
    """An order without a proven outcome becomes a difference only long after its good-till time."""
    assert orders_found(own_order(state)) == []
    assert orders_found(own_order(state, good_till_s=-300)) == []
    assert orders_found(own_order(state, good_till_s=-301)) == [(BreakKind.MISSING_BROKER, state.value, "absent")]


def test_an_order_younger_than_the_snapshot_is_not_compared():
    """What was submitted after the snapshot cannot be in it."""
    assert orders_found(own_order(age_s=-1)) == []


def test_a_fresh_change_is_settling():
    """A difference of an order that changed within the grace is marked as on its way."""
    order = own_order(age_s=4)
    (found,) = compare_orders({"ref": order}, snapshot(), in_flight_ns=5 * S, absence_wait_ns=0)
    assert found.settling
    (old,) = compare_orders({"ref": own_order(age_s=5)}, snapshot(), in_flight_ns=5 * S, absence_wait_ns=0)
    assert not old.settling


def test_quantities_and_fills_of_a_working_order_are_compared():
    """Both totals must agree, and both values are named."""
    found = orders_found(own_order(filled=30), open_orders=(broker_order(quantity=90, filled=40),))
    assert found == [(BreakKind.QUANTITY, "100", "90"), (BreakKind.QUANTITY, "filled 30", "filled 40")]


@pytest.mark.parametrize("state", [OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.EXPIRED])
def test_an_order_we_hold_for_ended_but_the_broker_works_is_missing_here(state):
    """Exposure that nobody watches is found; a listed but dead order is not exposure."""
    assert orders_found(own_order(state), open_orders=(broker_order(),)) == [
        (BreakKind.MISSING_LOCAL, state.value, "Submitted")
    ]
    assert orders_found(own_order(state), open_orders=(broker_order("Cancelled"),)) == []


@pytest.mark.parametrize(("reference", "named"), [("", "perm:9"), ("someone", "someone")])
def test_orders_of_others_are_external(reference, named):
    """Manual orders and those of other clients are named by reference or permanent id."""
    (found,) = compare_orders(
        {}, snapshot(open_orders=(broker_order(reference=reference),)), in_flight_ns=0, absence_wait_ns=0
    )
    assert (found.kind, found.reference, found.brokers) == (
        BreakKind.EXTERNAL_ORDER,
        named,
        "buy 100 Submitted (other_client)",
    )


def test_executions_agree_by_id_price_quantity_and_side():
    """Equal executions give nothing; each differing field gives its kind."""
    assert executions_found([fill()], execution()) == []
    assert executions_found([fill()], execution(price=101)) == [(BreakKind.PRICE, "a.b.1.01")]
    assert executions_found([fill()], execution(quantity=11)) == [(BreakKind.QUANTITY, "a.b.1.01")]
    assert executions_found([fill()], execution(side="sell")) == [(BreakKind.QUANTITY, "a.b.1.01")]


def test_missing_executions_on_either_side():
    """One that only the broker has is missing here, one that only we have is missing there."""
    assert executions_found([], execution()) == [(BreakKind.MISSING_LOCAL, "a.b.1.01")]
    assert executions_found([fill()]) == [(BreakKind.MISSING_BROKER, "a.b.1.01")]


def test_executions_in_flight_or_of_an_older_session_are_not_missing():
    """A fill close to the snapshot may not be in it, an old one is no longer reported."""
    assert executions_found([fill(at_ns=NOW - 4 * S)]) == []
    assert executions_found([fill(at_ns=NOW + S)]) == []
    assert executions_found([fill()], since_ns=NOW - 59 * S) == []


def test_a_correction_replaces_the_execution_it_corrects():
    """The newest revision is compared on both sides (the broker reuses the id with another suffix)."""
    corrected = fill("a.b.1.02", price=99)
    assert executions_found([fill(), corrected], execution(), execution("a.b.1.02", price=99)) == []
    assert executions_found([fill()], execution("a.b.1.02", price=99)) == [(BreakKind.PRICE, "a.b.1.02")]


def test_ids_of_another_form_have_no_revision():
    """Only four-part ids end in a revision."""
    assert execution_family("a.b.1.02") == ("a.b.1", 2)
    assert execution_family("plain.02") == ("plain.02", 0)
    assert execution_family("a.b.c.xy") == ("a.b.c.xy", 0)


def held(**quantities):
    """Return positions as the broker lists them."""
    return tuple(
        Position(symbol=symbol, con_id=1, quantity_micro=quantity * SHARE, average_cost_nano=0)
        for symbol, quantity in quantities.items()
    )


def test_positions_are_compared_over_both_books():
    """A symbol that only one side holds counts as flat on the other."""
    found = compare_positions({"AAA": 10 * SHARE, "BBB": 0}, (), snapshot(positions=held(AAA=10, CCC=-5)))
    assert [(item.symbol, item.ours, item.brokers, item.gap) for item in found] == [("CCC", "0", "-5", -5 * SHARE)]


@pytest.mark.parametrize(("brokers", "count"), [(30, 0), (20, 0), (10, 0), (25, 1), (0, 1)])
def test_newer_fills_may_be_in_the_brokers_position_or_not(brokers, count):
    """Any point of the last fills' sequence is accepted, nothing else."""
    newer = (fill("1", at_ns=NOW - 2), fill("2", at_ns=NOW - 1), fill("3", at_ns=NOW, symbol="ZZZ"))
    found = compare_positions({"AAA": 30 * SHARE}, newer, snapshot(positions=held(AAA=brokers, ZZZ=0)))
    assert len([item for item in found if item.symbol == "AAA"]) == count


def cash_found(own, brokers, newer=(), tolerance=0, *, pending=False):
    """Return the differences in cash."""
    return compare_cash(own, newer, snapshot(cash_nano=brokers), tolerance_nano=tolerance, fees_pending=pending)


def test_cash_has_a_tolerance_and_unknown_amounts_are_not_compared():
    """Exactly the tolerance is allowed; an unknown side gives no difference."""
    assert cash_found(100, 90, tolerance=10) == []
    assert [item.gap for item in cash_found(100, 90, tolerance=9)] == [-10]
    assert cash_found(None, 5) == cash_found(5, None) == []


def test_cash_of_newer_fills_and_pending_fees():
    """A purchase that the broker has not booked yet is allowed; pending fees make a difference settle."""
    after = 50_000 * USD - 1_000 * USD
    assert cash_found(after, 50_000 * USD, newer=(fill(),)) == []
    assert cash_found(after, 51_000 * USD, newer=(fill(),), pending=True)[0].settling


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (1_500_000, "1.5"), (-1, "-0.000001"), (100_000_000, "100"), (-2_500_000, "-2.5")]
)
def test_decimal_text_is_exact(value, text):
    """Wire integers become exact decimal text."""
    assert decimal_text(value, SHARE) == text


def test_a_key_follows_the_gap_of_positions_only():
    """Two different position gaps are two differences; cash drifts and stays one."""
    (position,) = compare_positions({}, (), snapshot(positions=held(AAA=1)))
    (other,) = compare_positions({}, (), snapshot(positions=held(AAA=2)))
    assert position.key != other.key
    assert cash_found(1, 5)[0].key == cash_found(1, 6)[0].key
