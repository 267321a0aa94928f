"""An order that the broker calls cancelled may still fill: nothing follows it before a query has proved its end."""

from __future__ import annotations

import pytest

from walstreet.domain.ended_orders import EndedOrders, asked_for_an_end, question
from walstreet_events import (
    ROOT,
    BrokerOrder,
    OrderState,
    OrderUpdated,
    ReconSnapshot,
    derive_id,
)


def update(state, ts_ns=10, order="one", symbol="AAA"):
    """Return an update of an order."""
    return OrderUpdated(
        id=derive_id(f"{order}{state}{ts_ns}", "u", 0),
        cause=ROOT,
        ts_ns=ts_ns,
        client_order_id=order,
        symbol=symbol,
        state=state,
        broker_status="Cancelled",
        perm_id=1,
        filled_micro=0,
        remaining_micro=1,
        average_price_nano=0,
        why_held="",
        code=0,
        detail="",
    )


def snapshot(ts_ns, *listed, request="r"):
    """Return an answered snapshot that shows ``listed`` as open."""
    orders = tuple(
        BrokerOrder(
            order_ref=ref,
            perm_id=1,
            client_id=12,
            symbol="AAA",
            side="BUY",
            quantity_micro=1,
            filled_micro=0,
            status="Submitted",
        )
        for ref in listed
    )
    return ReconSnapshot(
        id=derive_id(f"s{ts_ns}", "s", 0),
        cause=ROOT,
        ts_ns=ts_ns,
        request=request,
        ok=True,
        detail="",
        open_orders=orders,
        completed_orders=(),
        executions=(),
        positions=(),
        cash_nano=None,
        net_liquidation_nano=None,
    )


@pytest.mark.parametrize("state", [OrderState.CANCELLED, OrderState.EXPIRED])
def test_the_brokers_word_is_no_proof(state):
    """The symbol waits until a query that was asked afterwards shows the order no more."""
    ended = EndedOrders()
    ended.update(update(state))
    ended.prove(snapshot(9))
    assert "AAA" in ended, "a query from before the end proves nothing"
    ended.prove(snapshot(20, "one"))
    assert "AAA" in ended, "the broker still works it"
    ended.prove(snapshot(30))
    assert "AAA" not in ended


def test_another_symbol_is_not_held_up():
    """Each symbol waits for its own orders alone, and for all of them."""
    ended = EndedOrders()
    ended.update(update(OrderState.CANCELLED, order="one"))
    ended.update(update(OrderState.CANCELLED, order="two"))
    assert "BBB" not in ended
    ended.prove(snapshot(20, "two"))
    assert "AAA" in ended


@pytest.mark.parametrize("state", [OrderState.FILLED, OrderState.WORKING])
def test_proof_of_something_else_ends_the_waiting(state):
    """What was filled whole needs no query; what lives holds its symbol as a working order."""
    ended = EndedOrders()
    ended.update(update(OrderState.CANCELLED))
    ended.update(update(state, ts_ns=11))
    assert "AAA" not in ended


@pytest.mark.parametrize("state", [OrderState.FILLED, OrderState.REJECTED, OrderState.PENDING_CANCEL])
def test_only_an_end_by_word_is_asked_for(state):
    """What is alive, filled or refused asks for no query."""
    assert question(update(state)) is None


def test_a_query_for_an_end_is_known_as_such():
    """It comes at once, so that it is no second absence for an order whose fate is unknown."""
    asked = question(update(OrderState.CANCELLED))
    assert asked is not None
    assert asked_for_an_end(snapshot(10, request=asked.id))
    assert not asked_for_an_end(snapshot(10))
