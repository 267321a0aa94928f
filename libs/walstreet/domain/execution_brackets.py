"""Owns protective orders: which opening orders take them along, their identity and life, and their withdrawal.

The pair stands on the TAPE before the submission that it belongs to, and all three go out as one family: parent and
take-profit untransmitted, the stop last and transmitted. The broker wakes the pair when the parent has filled and lets
one cancel the other; we hear of it by status messages as of any order. Protective orders are no orders of the arbiter:
they do not count as its orders at work, and an intent for their symbol withdraws them first.
"""

from __future__ import annotations

from walstreet.domain.bracket_prices import bracket_prices
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.execution_state import ExecutionState
from walstreet.domain.order import Order
from walstreet.domain.plan import Child, child_id
from walstreet.domain.tick_rules import TickRule
from walstreet_events import (
    NANOS_PER_SECOND,
    EventId,
    OrderBracketChild,
    OrderBracketed,
    OrderIntent,
    OrderSubmitting,
    Side,
    derive_id,
    tag_of,
)

TAKE_PROFIT, STOP = "take_profit", "stop"
KINDS = (TAKE_PROFIT, STOP)
"""In the order of placing; the last one transmits the family."""
FIRST_SLICE = 1_000
"""Protective orders count from here, two for each slice of the parent."""
MINUTE_NS = 60 * NANOS_PER_SECOND


def bracket_of(
    state: ExecutionState,
    intent: OrderIntent,
    child: Child,
    *,
    rule: TickRule,
    block: EventId,
    now_ns: int,
    broker_order_id: int,
    parameters: ExecutionParameters,
) -> OrderBracketed | None:
    """Return the pair that protects ``child``; None when its prices cannot be computed.

    Args:
        state: What is known of the symbol's volatility and of the session.
        intent: The parent.
        child: The order that opens the position, under ``broker_order_id``; the pair has the next two ids.
        rule: Price increments.
        block: The cause.
        now_ns: Session time.
        broker_order_id: Of ``child``.
        parameters: Execution's.
    """
    market = state.markets.get(intent.symbol)
    prices = bracket_prices(
        intent.side,
        child.limit_nano,
        horizon_minutes=intent.horizon_minutes,
        sigma_5m_bps=market.sigma_5m_bps if market else None,
        rule=rule,
        parameters=parameters.brackets,
    )
    if prices is None:
        return None
    until_ns = child.good_till_ns + intent.horizon_minutes * MINUTE_NS
    if state.close_ns > child.good_till_ns:
        until_ns = min(until_ns, state.close_ns)
    limits = {TAKE_PROFIT: (prices.take_profit_nano, 0), STOP: (0, prices.stop_nano)}
    return OrderBracketed(
        id=derive_id(child.client_order_id, tag_of(OrderBracketed), 0),
        cause=block,
        ts_ns=now_ns,
        intent=intent.id,
        client_order_id=child.client_order_id,
        symbol=intent.symbol,
        con_id=intent.con_id,
        side=Side.SELL if intent.side is Side.BUY else Side.BUY,
        quantity_micro=child.quantity_micro,
        oca_group=derive_id(child.client_order_id, "oca", 0),
        good_till_ns=until_ns // NANOS_PER_SECOND * NANOS_PER_SECOND,
        children=tuple(
            OrderBracketChild(
                kind=kind,
                client_order_id=child_id(intent.id, slice_index),
                slice_index=slice_index,
                broker_order_id=broker_order_id + 1 + number,
                limit_nano=limits[kind][0],
                stop_nano=limits[kind][1],
            )
            for number, kind in enumerate(KINDS)
            for slice_index in (FIRST_SLICE + len(KINDS) * child.slice_index + number,)
        ),
    )


def protective_orders(bracket: OrderBracketed, parent: OrderSubmitting) -> tuple[Order, ...]:
    """Return the orders that begin when the submission they belong to has been journaled."""
    return tuple(
        Order(
            client_order_id=child.client_order_id,
            intent=bracket.intent,
            symbol=bracket.symbol,
            con_id=bracket.con_id,
            side=bracket.side,
            quantity_micro=bracket.quantity_micro,
            limit_nano=child.limit_nano,
            good_till_ns=bracket.good_till_ns,
            submitted_ns=parent.ts_ns,
            broker_order_id=child.broker_order_id,
            protects=bracket.client_order_id,
        )
        for child in bracket.children
    )


def to_withdraw(state: ExecutionState, symbol: str) -> tuple[str, ...]:
    """Return the protective orders to cancel for an intent: all of its symbol, if they alone stand in its way."""
    of_symbol = [order for key in state.open_orders if (order := state.orders[key]).symbol == symbol]
    if not all(order.protects for order in of_symbol):
        return ()
    return tuple(order.client_order_id for order in of_symbol if not order.cancel_reasons)
