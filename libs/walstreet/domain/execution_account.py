"""Owns the events that describe account and snapshot, made from the broker's readings."""

from __future__ import annotations

from collections.abc import Sequence

from walstreet.domain.execution_state import ExecutionState
from walstreet.domain.observations import (
    AccountObserved,
    BrokerOrderFacts,
    ExecutionObserved,
    PositionFacts,
    SnapshotObserved,
)
from walstreet_events import (
    ROOT,
    AccountValues,
    BrokerExecution,
    BrokerOrder,
    EventId,
    Position,
    Positions,
    ReconSnapshot,
    Side,
    derive_id,
    tag_of,
)


def account_events(state: ExecutionState, fact: AccountObserved) -> list[AccountValues | Positions]:
    """Return the events for what changed since the last journaled reading: totals, positions, or neither."""
    values = fact.account
    natural = f"account:{values.account}:{state.account_revision}:{fact.ts_ns}"
    totals = AccountValues(
        id=derive_id(natural, tag_of(AccountValues), 0),
        cause=ROOT,
        ts_ns=fact.ts_ns,
        account=values.account,
        net_liquidation_nano=values.net_liquidation_nano,
        cash_nano=values.cash_nano,
        settled_cash_nano=values.settled_cash_nano,
        available_funds_nano=values.available_funds_nano,
        gross_position_nano=values.gross_position_nano,
        initial_margin_nano=values.initial_margin_nano,
        maintenance_margin_nano=values.maintenance_margin_nano,
    )
    positions = Positions(
        id=derive_id(natural, tag_of(Positions), 0),
        cause=ROOT,
        ts_ns=fact.ts_ns,
        account=values.account,
        positions=positions_of(fact.positions),
    )
    events: list[AccountValues | Positions] = []
    if state.account is None or _content(state.account) != _content(totals):
        events.append(totals)
    before = state.positions
    if before is None or (before.account, before.positions) != (positions.account, positions.positions):
        events.append(positions)
    return events


def positions_of(facts: Sequence[PositionFacts]) -> tuple[Position, ...]:
    """Return the positions that are not flat, in order of symbol and contract."""
    return tuple(
        Position(
            symbol=fact.symbol,
            con_id=fact.con_id,
            quantity_micro=fact.quantity_micro,
            average_cost_nano=fact.average_cost_nano,
        )
        for fact in sorted(facts, key=lambda fact: (fact.symbol, fact.con_id))
        if fact.quantity_micro != 0
    )


def snapshot_event(fact: SnapshotObserved) -> ReconSnapshot:
    """Return the journaled form of a snapshot; a failed one carries nothing but its detail."""
    account = fact.account if fact.ok else None
    return ReconSnapshot(
        id=derive_id(fact.request, tag_of(ReconSnapshot), 0),
        cause=EventId(fact.request),
        ts_ns=fact.ts_ns,
        request=fact.request,
        ok=fact.ok,
        detail=fact.detail,
        open_orders=tuple(_order(order) for order in fact.open_orders) if fact.ok else (),
        completed_orders=tuple(_order(order) for order in fact.completed_orders) if fact.ok else (),
        executions=tuple(_execution(execution) for execution in fact.executions) if fact.ok else (),
        positions=positions_of(fact.positions) if fact.ok else (),
        cash_nano=account.cash_nano if account else None,
        net_liquidation_nano=account.net_liquidation_nano if account else None,
    )


def _order(facts: BrokerOrderFacts) -> BrokerOrder:
    return BrokerOrder(
        order_ref=facts.client_order_id,
        perm_id=facts.perm_id,
        client_id=facts.client_id,
        symbol=facts.symbol,
        side=(Side.BUY if facts.buy else Side.SELL).value,
        quantity_micro=facts.quantity_micro,
        filled_micro=facts.filled_micro,
        status=facts.status,
    )


def _execution(fact: ExecutionObserved) -> BrokerExecution:
    return BrokerExecution(
        exec_id=fact.exec_id,
        order_ref=fact.client_order_id,
        perm_id=fact.perm_id,
        symbol=fact.symbol,
        side=(Side.BUY if fact.buy else Side.SELL).value,
        price_nano=fact.price_nano,
        quantity_micro=fact.quantity_micro,
        ts_ns=fact.ts_ns,
    )


def _content(event: AccountValues) -> tuple[object, ...]:
    return (
        event.account,
        event.net_liquidation_nano,
        event.cash_nano,
        event.settled_cash_nano,
        event.available_funds_nano,
        event.gross_position_nano,
        event.initial_margin_nano,
        event.maintenance_margin_nano,
    )
