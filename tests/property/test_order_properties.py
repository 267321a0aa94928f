"""Property tests: an order's life keeps its invariants under any sequence of facts, and folds to the same value."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from walstreet.domain.observations import ExecutionObserved, OrderErrorObserved, OrderStatusObserved
from walstreet.domain.order import TRANSITIONS, Order, OrderFact, advance, doubted, expired
from walstreet.domain.order_codes import CODES
from walstreet_events import QUANTITY_SCALE, OrderState, Side

QUANTITY = 10
GOOD_TILL_NS = 1_000
STATUSES = (
    "ApiPending",
    "PendingSubmit",
    "PreSubmitted",
    "Submitted",
    "PendingCancel",
    "ApiCancelled",
    "Cancelled",
    "Filled",
    "Inactive",
    "Surprise",
)


def _status(text: str, filled: int, ts_ns: int) -> OrderStatusObserved:
    return OrderStatusObserved(
        ts_ns=ts_ns,
        broker_order_id=7,
        client_id=1,
        perm_id=9,
        client_order_id="c",
        symbol="SPY",
        status=text,
        filled_micro=filled * QUANTITY_SCALE,
        remaining_micro=(QUANTITY - filled) * QUANTITY_SCALE,
        average_price_nano=0,
        why_held="",
    )


def _executions() -> list[ExecutionObserved]:
    """Return the ten executions of one share each that can happen to the order."""
    return [
        ExecutionObserved(
            ts_ns=5,
            exec_id=f"{index:04d}.01",
            perm_id=9,
            broker_order_id=7,
            client_id=1,
            client_order_id="c",
            symbol="SPY",
            con_id=1,
            buy=True,
            price_nano=1,
            quantity_micro=QUANTITY_SCALE,
            cumulative_micro=(index + 1) * QUANTITY_SCALE,
        )
        for index in range(QUANTITY)
    ]


FACTS: st.SearchStrategy[OrderFact] = st.one_of(
    st.builds(_status, st.sampled_from(STATUSES), st.integers(0, QUANTITY), st.integers(0, 2 * GOOD_TILL_NS)),
    st.sampled_from(_executions()),
    st.builds(
        OrderErrorObserved,
        ts_ns=st.integers(0, 2 * GOOD_TILL_NS),
        broker_order_id=st.just(7),
        code=st.sampled_from([*CODES, 2100, 77777]),
        message=st.just("text"),
    ),
)


def _order(state: OrderState) -> Order:
    filled = QUANTITY * QUANTITY_SCALE if state is OrderState.FILLED else 0
    return Order(
        client_order_id="c",
        intent="i",
        symbol="SPY",
        con_id=1,
        side=Side.BUY,
        quantity_micro=QUANTITY * QUANTITY_SCALE,
        limit_nano=1,
        good_till_ns=GOOD_TILL_NS,
        submitted_ns=0,
        broker_order_id=7,
        state=state,
        filled_micro=filled,
    )


@given(st.sampled_from(list(OrderState)), st.lists(FACTS, max_size=30))
def test_any_sequence_of_facts_keeps_the_invariants(start: OrderState, facts: list[OrderFact]) -> None:
    """Filled only grows, executions count once, moves follow the table, filled means the whole quantity."""
    current = _order(start)
    for fact in facts:
        step = advance(current, fact)
        after = step.order
        assert after.filled_micro >= current.filled_micro
        assert after.executed_micro == len(after.executions) * QUANTITY_SCALE
        assert len(set(after.executions)) == len(after.executions)
        assert after.filled_micro >= after.executed_micro
        assert after.state is current.state or after.state in TRANSITIONS[current.state].values()
        assert (after.state is OrderState.FILLED) <= (after.filled_micro >= after.quantity_micro)
        if current.state is OrderState.FILLED:
            assert after.state is OrderState.FILLED
        if after != current and after.state is not current.state:
            assert step.updated
        assert not advance(after, fact).filled, "the same fact again is no second fill"
        current = after


@given(st.permutations(_executions()), st.lists(FACTS, max_size=10))
def test_all_executions_fill_the_order_in_any_order(
    executions: list[ExecutionObserved], others: list[OrderFact]
) -> None:
    """Once every execution has come, the order is filled, whatever else came in between."""
    current = _order(OrderState.SUBMITTING)
    for index, execution in enumerate(executions):
        current = advance(current, execution).order
        if index < len(others):
            current = advance(current, others[index]).order
    assert current.state is OrderState.FILLED
    assert current.executed_micro == current.quantity_micro


@given(st.sampled_from(list(OrderState)), st.lists(FACTS, max_size=10))
def test_doubt_never_ends_an_order_and_expiry_never_unfills_it(start: OrderState, facts: list[OrderFact]) -> None:
    """A restart leads to unknown or nowhere; proof of absence keeps what was filled."""
    current = _order(start)
    for fact in facts:
        current = advance(current, fact).order
    doubtful = doubted(current, "restarted").order
    assert doubtful.state in {OrderState.UNKNOWN, current.state}
    assert doubtful == replace(current, state=doubtful.state)
    gone = expired(current, "absent").order
    assert gone.filled_micro == current.filled_micro
    assert gone.terminal
