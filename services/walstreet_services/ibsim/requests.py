"""Owns the requests that a client can make, as frozen values; ``parse`` makes them from fields."""

from __future__ import annotations

import msgspec


class ContractSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The contract of a request, as incomplete as the client left it."""

    con_id: int
    symbol: str
    sec_type: str
    exchange: str
    primary_exchange: str
    currency: str
    local_symbol: str
    trading_class: str


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request without an id of its own."""


class IdRequest(Request, frozen=True, kw_only=True):
    """A request that carries the id by which its answers are found."""

    req_id: int


class ContractRequest(IdRequest, frozen=True, kw_only=True):
    """A request about one contract."""

    contract: ContractSpec


class StartApi(Request, frozen=True, kw_only=True):
    """Ends the handshake."""

    client_id: int


class RequestMarketData(ContractRequest, frozen=True, kw_only=True):
    """Subscribes quotes, or asks for one snapshot."""

    generic_ticks: tuple[str, ...]
    snapshot: bool


class CancelStream(IdRequest, frozen=True, kw_only=True):
    """Ends the subscription of this id; ``kind`` is the message id of the cancel request."""

    kind: int


class SetMarketDataType(Request, frozen=True, kw_only=True):
    """Chooses live (1), frozen (2), delayed (3) or delayed frozen (4) quotes."""

    data_type: int


class OrderTicket(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of an order that the simulator acts upon or sends back."""

    action: str
    quantity: float | None
    order_type: str
    limit_price: float | None
    aux_price: float | None
    time_in_force: str
    oca_group: str
    account: str
    order_ref: str
    transmit: bool
    parent_id: int
    outside_rth: bool
    hidden: bool
    good_after_time: str
    good_till_date: str
    oca_type: int
    electronic_only: bool
    algo_strategy: str
    what_if: bool
    unsupported: str
    """First field in use that the simulator cannot honour, empty when there is none."""


class PlaceOrder(Request, frozen=True, kw_only=True):
    """Places a new order or modifies a live one."""

    order_id: int
    contract: ContractSpec
    ticket: OrderTicket


class CancelOrder(Request, frozen=True, kw_only=True):
    """Cancels one order of this client."""

    order_id: int


class GlobalCancel(Request, frozen=True, kw_only=True):
    """Cancels every open order of every client."""


class RequestOpenOrders(Request, frozen=True, kw_only=True):
    """Asks for the open orders, of this client or of all."""

    all_clients: bool


class AutoOpenOrders(Request, frozen=True, kw_only=True):
    """Asks to bind orders that were placed by hand; there are none here."""


class RequestCompletedOrders(Request, frozen=True, kw_only=True):
    """Asks for the session's completed orders."""


class RequestExecutions(IdRequest, frozen=True, kw_only=True):
    """Asks for the session's executions that pass the filter; zero and empty fields filter nothing."""

    client_id: int
    account: str
    since: str
    symbol: str
    sec_type: str
    exchange: str
    side: str


class RequestIds(Request, frozen=True, kw_only=True):
    """Asks for the next valid order id."""


class RequestManagedAccounts(Request, frozen=True, kw_only=True):
    """Asks for the account list."""


class RequestCurrentTime(Request, frozen=True, kw_only=True):
    """Asks for the server's time."""


class SetLogLevel(Request, frozen=True, kw_only=True):
    """Sets the gateway's log level; nothing answers it."""


class RequestAccountUpdates(Request, frozen=True, kw_only=True):
    """Subscribes to or leaves the account download."""

    subscribe: bool
    account: str


class RequestAccountUpdatesMulti(IdRequest, frozen=True, kw_only=True):
    """Subscribes account values by request id."""

    account: str
    model: str
    ledger_only: bool


class RequestAccountSummary(IdRequest, frozen=True, kw_only=True):
    """Subscribes a table of account values."""

    group: str
    tags: tuple[str, ...]


class RequestPositions(Request, frozen=True, kw_only=True):
    """Subscribes positions, or leaves them."""

    subscribe: bool


class RequestPositionsMulti(IdRequest, frozen=True, kw_only=True):
    """Subscribes positions by request id."""

    account: str
    model: str


class RequestPnl(IdRequest, frozen=True, kw_only=True):
    """Subscribes profit and loss of the account, or of one contract when ``con_id`` is given."""

    account: str
    con_id: int | None


class RequestContractDetails(ContractRequest, frozen=True, kw_only=True):
    """Asks for everything known of the matching contracts."""


class RequestMatchingSymbols(IdRequest, frozen=True, kw_only=True):
    """Searches contracts by a part of symbol or name."""

    pattern: str


class RequestMarketRule(Request, frozen=True, kw_only=True):
    """Asks for a table of price increments."""

    rule_id: int


class RequestHistoricalBars(ContractRequest, frozen=True, kw_only=True):
    """Asks for past bars, and for their updates when ``keep_up_to_date``."""

    end: str
    bar_size: str
    duration: str
    regular_hours: bool
    what: str
    format_date: int
    keep_up_to_date: bool


class RequestHeadTimestamp(ContractRequest, frozen=True, kw_only=True):
    """Asks where history begins."""

    what: str
    format_date: int


class RequestRealTimeBars(ContractRequest, frozen=True, kw_only=True):
    """Subscribes five-second bars."""

    bar_seconds: int
    what: str


class RequestTickByTick(ContractRequest, frozen=True, kw_only=True):
    """Subscribes every trade or every quote change."""

    tick_type: str
    past_ticks_count: int


class Unsupported(IdRequest, frozen=True, kw_only=True):
    """A message that the simulator does not serve; it is answered with an error all the same."""

    message_id: int
