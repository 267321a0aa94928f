"""Owns the vendor's contract and order objects: made from our tickets, read into our facts."""

from __future__ import annotations

from typing import Any

from walstreet.adapters.ibkr.errors import BrokerRefusedError
from walstreet.adapters.ibkr.library import Library
from walstreet.adapters.ibkr.numbers import dollars, micro_of, nano_of, utc_text
from walstreet.domain.observations import BrokerOrderFacts, InstrumentFacts, MarginPreview, OrderTicket
from walstreet_events import QUANTITY_SCALE

EXCHANGE = "SMART"
CURRENCY = "USD"
QUANTITY_SHARES_MAX = 100_000_000
OCA_REDUCE_WITH_BLOCK = 2
"""A partial fill reduces the other orders of the group, one of which alone is at the exchange at a time."""


class OpenOrderFacts:
    """What is known of one order at the broker; status messages complete it while a query runs."""

    __slots__ = (
        "broker_order_id",
        "buy",
        "client_id",
        "client_order_id",
        "filled_micro",
        "limit_nano",
        "perm_id",
        "quantity_micro",
        "status",
        "symbol",
        "total_micro",
    )

    def __init__(
        self,
        *,
        client_order_id: str,
        perm_id: int,
        client_id: int,
        broker_order_id: int,
        symbol: str,
        buy: bool,
        quantity_micro: int,
        status: str,
        limit_nano: int | None = None,
        total_micro: int | None = None,
    ) -> None:
        """Begin with nothing filled; without the broker's word limit and total are not known."""
        self.client_order_id = client_order_id
        self.perm_id = perm_id
        self.client_id = client_id
        self.broker_order_id = broker_order_id
        self.symbol = symbol
        self.buy = buy
        self.quantity_micro = quantity_micro
        self.filled_micro = 0
        self.status = status
        self.limit_nano = limit_nano
        self.total_micro = total_micro

    def frozen(self) -> BrokerOrderFacts:
        """Return the facts as a value."""
        return BrokerOrderFacts(
            client_order_id=self.client_order_id,
            perm_id=self.perm_id,
            client_id=self.client_id,
            broker_order_id=self.broker_order_id,
            symbol=self.symbol,
            buy=self.buy,
            quantity_micro=self.quantity_micro,
            filled_micro=self.filled_micro,
            status=self.status,
            limit_nano=self.limit_nano,
        )


def stock(library: Library, *, symbol: str, con_id: int = 0) -> Any:
    """Return the vendor's contract of a US stock or ETF."""
    return library.contract(secType="STK", symbol=symbol, conId=con_id, exchange=EXCHANGE, currency=CURRENCY)


def vendor_order(
    library: Library, ticket: OrderTicket, *, account: str, what_if: bool = False, fractional: bool = False
) -> Any:
    """Return the vendor's order: explicit account, time in force, end and hours.

    Args:
        library: The client library in use.
        ticket: The order.
        account: Of the broker.
        what_if: Ask for the margin only.
        fractional: Whether this gateway takes fractions of a share.

    Raises:
        BrokerRefusedError: The quantity is not positive or no whole number of shares where the gateway takes no other,
            a price is not positive, or limit and trigger come together.
    """
    shares, rest = divmod(ticket.quantity_micro, QUANTITY_SCALE)
    if (rest and not fractional) or not 0 < ticket.quantity_micro <= QUANTITY_SHARES_MAX * QUANTITY_SCALE:
        raise BrokerRefusedError(
            f"order {ticket.client_order_id} asks for {ticket.quantity_micro} micro-shares; the gateway takes whole "
            f"shares from 1 to {QUANTITY_SHARES_MAX} (code 10243 otherwise)"
        )
    for price_nano in (ticket.limit_nano, ticket.stop_nano):
        if price_nano is not None and price_nano <= 0:
            raise BrokerRefusedError(f"order {ticket.client_order_id} has the price {price_nano}; it must be positive")
    if ticket.limit_nano is not None and ticket.stop_nano is not None:
        raise BrokerRefusedError(f"order {ticket.client_order_id} has a limit and a trigger; stops go as market orders")
    order = library.order(
        action="BUY" if ticket.buy else "SELL",
        totalQuantity=ticket.quantity_micro / QUANTITY_SCALE if rest else shares,
        orderType=_order_type(ticket),
        tif="GTD",
        goodTillDate=utc_text(ticket.good_till_ns),
        outsideRth=False,
        account=account,
        orderRef=ticket.client_order_id,
        transmit=ticket.transmit,
        whatIf=what_if,
    )
    if ticket.limit_nano is not None:
        order.lmtPrice = dollars(ticket.limit_nano)
    if ticket.stop_nano is not None:
        order.auxPrice = dollars(ticket.stop_nano)
    if ticket.parent_order_id:
        order.parentId = ticket.parent_order_id
    if ticket.oca_group:
        order.ocaGroup, order.ocaType = ticket.oca_group, OCA_REDUCE_WITH_BLOCK
    return order


def _order_type(ticket: OrderTicket) -> str:
    if ticket.stop_nano is not None:
        return "STP"
    return "MKT" if ticket.limit_nano is None else "LMT"


def open_order_facts(contract: Any, order: Any, order_state: Any) -> OpenOrderFacts:
    """Return the facts of a decoded openOrder."""
    return OpenOrderFacts(
        client_order_id=str(order.orderRef or ""),
        perm_id=int(order.permId),
        client_id=int(order.clientId),
        broker_order_id=int(order.orderId),
        symbol=str(contract.symbol),
        buy=order.action == "BUY",
        quantity_micro=micro_of(order.totalQuantity) or 0,
        status=str(order_state.status),
        # A limit of 0 stands for none: market and stop orders carry one.
        limit_nano=nano_of(order.lmtPrice) or None,
        total_micro=micro_of(order.totalQuantity) or None,
    )


def completed_order_facts(contract: Any, order: Any, order_state: Any) -> BrokerOrderFacts:
    """Return the facts of a decoded completedOrder, which names neither client nor order id."""
    filled = micro_of(order.filledQuantity) or 0
    return BrokerOrderFacts(
        client_order_id=str(order.orderRef or ""),
        perm_id=int(order.permId),
        client_id=0,
        broker_order_id=0,
        symbol=str(contract.symbol),
        buy=order.action == "BUY",
        # Gateways report a total of 0 for some orders that have ended.
        quantity_micro=max(filled, micro_of(order.totalQuantity) or 0),
        filled_micro=filled,
        status=str(order_state.status),
    )


def margin_preview(order_state: Any) -> MarginPreview:
    """Return a what-if's answer; numbers that are not finite become None."""
    return MarginPreview(
        initial_margin_after_nano=nano_of(order_state.initMarginAfter),
        maintenance_margin_after_nano=nano_of(order_state.maintMarginAfter),
        equity_with_loan_after_nano=nano_of(order_state.equityWithLoanAfter),
        commission_nano=nano_of(order_state.commission),
        warning=str(order_state.warningText or ""),
    )


def instrument_facts(details: Any) -> InstrumentFacts:
    """Return the facts of decoded contractDetails; the lot is the order increment, at least one share."""
    contract = details.contract
    return InstrumentFacts(
        symbol=str(contract.symbol),
        con_id=int(contract.conId),
        exchange=str(contract.exchange),
        primary_exchange=str(contract.primaryExchange),
        currency=str(contract.currency),
        sector=str(details.industry),
        min_tick_nano=nano_of(details.minTick) or 0,
        lot_micro=max(QUANTITY_SCALE, micro_of(details.sizeIncrement) or 0),
    )
