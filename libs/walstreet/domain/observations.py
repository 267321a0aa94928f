"""Owns the values that cross the broker port: facts observed outside the log, tickets and query answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

# --------------------------------------------------------------------------------------- broker: values


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentFacts:
    """A qualified instrument with the contract facts that orders must respect."""

    symbol: str
    con_id: int
    exchange: str
    primary_exchange: str
    currency: str
    sector: str
    min_tick_nano: int
    lot_micro: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryBar:
    """One historical bar; ``start_ns`` is its start in UTC."""

    start_ns: int
    open_nano: int
    high_nano: int
    low_nano: int
    close_nano: int
    volume_micro: int
    vwap_nano: int
    trade_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTicket:
    """An order as it is handed to the broker; always explicit account, time in force and hours."""

    broker_order_id: int
    client_order_id: str
    symbol: str
    con_id: int
    buy: bool
    quantity_micro: int
    limit_nano: int | None
    """None for a market order."""
    good_till_ns: int
    """The broker ends the order then (GTD)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginPreview:
    """Answer to a what-if; None where the broker gave no finite number, which means unknown, so reject."""

    initial_margin_after_nano: int | None
    maintenance_margin_after_nano: int | None
    equity_with_loan_after_nano: int | None
    commission_nano: int | None
    warning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOrderFacts:
    """One order as a query returned it."""

    client_order_id: str
    perm_id: int
    client_id: int
    broker_order_id: int
    symbol: str
    buy: bool
    quantity_micro: int
    filled_micro: int
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionFacts:
    """One position as the broker reports it."""

    symbol: str
    con_id: int
    quantity_micro: int
    average_cost_nano: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFacts:
    """Account totals; None where the broker gave no finite number."""

    account: str
    net_liquidation_nano: int | None
    cash_nano: int | None
    settled_cash_nano: int | None
    available_funds_nano: int | None
    gross_position_nano: int | None
    initial_margin_nano: int | None
    maintenance_margin_nano: int | None


# -------------------------------------------------------------------------------- broker: observations


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteObserved:
    """Best bid and ask changed (or were confirmed); 0 for a side without a price."""

    symbol: str
    ts_ns: int
    bid_nano: int
    ask_nano: int
    bid_size_micro: int
    ask_size_micro: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeObserved:
    """A last-trade tick."""

    symbol: str
    ts_ns: int
    price_nano: int
    size_micro: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeObserved:
    """Cumulative session volume by the broker's count (tick type 8)."""

    symbol: str
    ts_ns: int
    volume_micro: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerBarObserved:
    """A five-second bar of the broker's own, for checking and for repair."""

    symbol: str
    bar: HistoryBar
    bar_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltObserved:
    """Halt flag (tick type 49)."""

    symbol: str
    ts_ns: int
    halted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedObserved:
    """A data farm's state changed, or the market-data type that arrives did."""

    ts_ns: int
    farm: str
    healthy: bool
    data_type: str
    code: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkObserved:
    """The connection to the broker went up or down (socket, 1100, 1101, 1102)."""

    ts_ns: int
    connected: bool
    data_lost: bool
    """True when subscriptions must be made anew (1101, new socket)."""
    client_id: int
    next_order_id: int
    """The broker's floor for new order ids, 0 when not connected."""
    code: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeObserved:
    """Session time has reached ``ts_ns`` as far as everything that was observed before is concerned."""

    ts_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStatusObserved:
    """An orderStatus (with its openOrder's facts where known) from the wire."""

    ts_ns: int
    broker_order_id: int
    client_id: int
    perm_id: int
    client_order_id: str
    symbol: str
    status: str
    filled_micro: int
    remaining_micro: int
    average_price_nano: int
    why_held: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionObserved:
    """An execution from the wire or from a query; the same exec_id may come many times."""

    ts_ns: int
    exec_id: str
    perm_id: int
    broker_order_id: int
    client_id: int
    client_order_id: str
    symbol: str
    con_id: int
    buy: bool
    price_nano: int
    quantity_micro: int
    cumulative_micro: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommissionObserved:
    """A commission report."""

    ts_ns: int
    exec_id: str
    commission_nano: int
    realized_pnl_nano: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderErrorObserved:
    """An error message that names an order; what it means is decided by our own code table."""

    ts_ns: int
    broker_order_id: int
    code: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountObserved:
    """Account totals and all positions, as one consistent reading."""

    ts_ns: int
    account: AccountFacts
    positions: tuple[PositionFacts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotObserved:
    """The broker's truth as an answer to one reconciliation request; ``ok`` false means unknown."""

    ts_ns: int
    request: str
    """Id of the ReconRequest event."""
    ok: bool
    detail: str
    open_orders: tuple[BrokerOrderFacts, ...]
    completed_orders: tuple[BrokerOrderFacts, ...]
    executions: tuple[ExecutionObserved, ...]
    positions: tuple[PositionFacts, ...]
    account: AccountFacts | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryObserved:
    """Warm-up history of all symbols: bars of equal ``bar_ns``, per symbol, oldest first."""

    ts_ns: int
    bar_ns: int
    bars: dict[str, tuple[HistoryBar, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentsObserved:
    """Qualified instruments with prior close and average daily volume (0 when unknown)."""

    ts_ns: int
    instruments: tuple[InstrumentFacts, ...]
    prior_close_nano: dict[str, int]
    average_daily_volume_micro: dict[str, int]


Observation: TypeAlias = (
    QuoteObserved
    | TradeObserved
    | VolumeObserved
    | BrokerBarObserved
    | HaltObserved
    | FeedObserved
    | LinkObserved
    | TimeObserved
    | OrderStatusObserved
    | ExecutionObserved
    | CommissionObserved
    | OrderErrorObserved
    | AccountObserved
    | SnapshotObserved
    | HistoryObserved
    | InstrumentsObserved
)
"""Facts from outside the log; a core turns them into events, whose journaled form is the truth."""
