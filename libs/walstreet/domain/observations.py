"""Owns the values that cross the broker port: facts observed outside the log, tickets and query answers.

They are msgspec structs rather than dataclasses: a quote is made for every tick message, and a frozen struct is made
several times faster.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from walstreet_events import Decision

# --------------------------------------------------------------------------------------- broker: values


class InstrumentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A qualified instrument with the contract facts that orders must respect."""

    symbol: str
    con_id: int
    exchange: str
    primary_exchange: str
    currency: str
    sector: str
    min_tick_nano: int
    lot_micro: int


class HistoryBar(msgspec.Struct, frozen=True, kw_only=True):
    """One historical bar; ``start_ns`` is its start in UTC."""

    start_ns: int
    open_nano: int
    high_nano: int
    low_nano: int
    close_nano: int
    volume_micro: int
    vwap_nano: int
    trade_count: int


class OrderTicket(msgspec.Struct, frozen=True, kw_only=True):
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
    stop_nano: int | None = None
    """Trigger of a stop order, which is a market order afterwards; then there is no limit."""
    parent_order_id: int = 0
    """Broker order id of the order that must fill first, 0 without one."""
    oca_group: str = ""
    """One cancels all in this group: a fill of one reduces the others by as much."""
    transmit: bool = True
    """False: the gateway keeps the order until a member of its family comes that is to be transmitted."""
    urgent: bool = False
    """A closing order of an emergency, which may use the reserve that is kept for cancels."""


class MarginPreview(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a what-if; None where the broker gave no finite number, which means unknown, so reject."""

    initial_margin_after_nano: int | None
    maintenance_margin_after_nano: int | None
    equity_with_loan_after_nano: int | None
    commission_nano: int | None
    warning: str


class BrokerOrderFacts(msgspec.Struct, frozen=True, kw_only=True):
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
    limit_nano: int | None = None
    """None when the query does not tell, or the order has no limit."""


class PositionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One position as the broker reports it."""

    symbol: str
    con_id: int
    quantity_micro: int
    average_cost_nano: int


class AccountFacts(msgspec.Struct, frozen=True, kw_only=True):
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


class QuoteObserved(msgspec.Struct, frozen=True, kw_only=True):
    """Best bid and ask changed (or were confirmed); 0 for a side without a price."""

    symbol: str
    ts_ns: int
    bid_nano: int
    ask_nano: int
    bid_size_micro: int
    ask_size_micro: int


class TradeObserved(msgspec.Struct, frozen=True, kw_only=True):
    """A last-trade tick."""

    symbol: str
    ts_ns: int
    price_nano: int
    size_micro: int


class VolumeObserved(msgspec.Struct, frozen=True, kw_only=True):
    """Cumulative session volume by the broker's count (tick type 8)."""

    symbol: str
    ts_ns: int
    volume_micro: int


class BrokerBarObserved(msgspec.Struct, frozen=True, kw_only=True):
    """A five-second bar of the broker's own, for checking and for repair."""

    symbol: str
    bar: HistoryBar
    bar_ns: int


class HaltObserved(msgspec.Struct, frozen=True, kw_only=True):
    """Halt flag (tick type 49)."""

    symbol: str
    ts_ns: int
    halted: bool


class BorrowObserved(msgspec.Struct, frozen=True, kw_only=True):
    """What can be borrowed of one symbol changed (tick types 46 and 89); None where the broker gave no number."""

    symbol: str
    ts_ns: int
    level: float | None
    """Above 2.5 shares are there, above 1.5 only with a locate."""
    shortable_micro: int | None


class FeedObserved(msgspec.Struct, frozen=True, kw_only=True):
    """A data farm's state changed, or the market-data type that arrives did."""

    ts_ns: int
    farm: str
    healthy: bool
    data_type: str
    code: int
    detail: str


class LinkObserved(msgspec.Struct, frozen=True, kw_only=True):
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


class TimeObserved(msgspec.Struct, frozen=True, kw_only=True):
    """Session time has reached ``ts_ns`` as far as everything that was observed before is concerned."""

    ts_ns: int


class OrderStatusObserved(msgspec.Struct, frozen=True, kw_only=True):
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
    limit_nano: int | None = None
    """In force by the last openOrder since the order was last sent; None when there was none, or it has no limit."""
    total_micro: int | None = None
    """Quantity in force, by the same openOrder."""


class ExecutionObserved(msgspec.Struct, frozen=True, kw_only=True):
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


class CommissionObserved(msgspec.Struct, frozen=True, kw_only=True):
    """A commission report."""

    ts_ns: int
    exec_id: str
    commission_nano: int
    realized_pnl_nano: int | None


class OrderErrorObserved(msgspec.Struct, frozen=True, kw_only=True):
    """An error message that names an order; what it means is decided by our own code table."""

    ts_ns: int
    broker_order_id: int
    code: int
    message: str


class AccountObserved(msgspec.Struct, frozen=True, kw_only=True):
    """Account totals and all positions, as one consistent reading."""

    ts_ns: int
    account: AccountFacts
    positions: tuple[PositionFacts, ...]


class SnapshotObserved(msgspec.Struct, frozen=True, kw_only=True):
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


class MarginObserved(msgspec.Struct, frozen=True, kw_only=True):
    """A what-if was answered, or will not be; ``preview`` None means that there is no answer."""

    ts_ns: int
    asked: str
    """Id of the MarginAsked event."""
    preview: MarginPreview | None
    detail: str


class HistoryObserved(msgspec.Struct, frozen=True, kw_only=True):
    """Warm-up history of all symbols: bars of equal ``bar_ns``, per symbol, oldest first."""

    ts_ns: int
    bar_ns: int
    bars: dict[str, tuple[HistoryBar, ...]]


class DailyBarsObserved(msgspec.Struct, frozen=True, kw_only=True):
    """What the daily rotation decides on: complete daily bars, and today's minute bars up to ``ts_ns``."""

    ts_ns: int
    what: str
    """The broker's kind of history behind ``daily``."""
    daily: dict[str, tuple[HistoryBar, ...]]
    """Per symbol, oldest first; a symbol without an answer is absent."""
    minutes: dict[str, tuple[HistoryBar, ...]]


class InstrumentsObserved(msgspec.Struct, frozen=True, kw_only=True):
    """Qualified instruments with prior close and average daily volume (0 when unknown)."""

    ts_ns: int
    instruments: tuple[InstrumentFacts, ...]
    prior_close_nano: dict[str, int]
    average_daily_volume_micro: dict[str, int]
    prior_low_nano: dict[str, int] = msgspec.field(default_factory=dict)
    """Low of the session before."""
    close_before_nano: dict[str, int] = msgspec.field(default_factory=dict)
    """Close of the session before that one."""


class PanicObserved(msgspec.Struct, frozen=True, kw_only=True):
    """A person asked for the emergency outside the log: the flag file is there, or a signal came."""

    ts_ns: int
    source: str
    operator: str
    detail: str


class ProbeObserved(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway said of itself; a part that failed is empty, 0 or false."""

    ts_ns: int
    asked: str
    """Id of the command that asked."""
    account: str
    wanted_account: str
    port: int
    server_version: int
    what_if: bool
    broker_order_id: int
    detail: str


class DecisionTimed(msgspec.Struct, frozen=True, kw_only=True):
    """How long a decision of our own took from its bar's end, by the clock that the bars follow."""

    ts_ns: int
    decision: Decision
    latency_ms: float


Observation: TypeAlias = (
    QuoteObserved
    | TradeObserved
    | VolumeObserved
    | BrokerBarObserved
    | HaltObserved
    | BorrowObserved
    | FeedObserved
    | LinkObserved
    | TimeObserved
    | OrderStatusObserved
    | ExecutionObserved
    | CommissionObserved
    | OrderErrorObserved
    | AccountObserved
    | SnapshotObserved
    | MarginObserved
    | HistoryObserved
    | DailyBarsObserved
    | InstrumentsObserved
    | PanicObserved
    | ProbeObserved
    | DecisionTimed
)
"""Facts from outside the log; a core turns them into events, whose journaled form is the truth."""
