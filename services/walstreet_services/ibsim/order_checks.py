"""Owns what the gateway refuses before an order exists: a ticket becomes terms or a refusal with its code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from walstreet_services.ibsim.model import Side
from walstreet_services.ibsim.order_record import Status
from walstreet_services.ibsim.times import parse_time
from walstreet_services.ibsim.units import MICRO_PER_SHARE, micro_from_float, nano_from_float

if TYPE_CHECKING:
    from walstreet_services.ibsim.model import Instrument
    from walstreet_services.ibsim.order_record import Order
    from walstreet_services.ibsim.requests import OrderTicket

TIMES_IN_FORCE = ("DAY", "GTC", "GTD", "IOC")
QUANTITY_MICRO_MAX = 10_000_000 * MICRO_PER_SHARE
"""Beyond ten million shares an order is an error; it also bounds every product of price and quantity."""
PRICE_NANO_MAX = 1_000_000 * 1_000_000_000
ORDER_REF_CHARACTERS_MAX = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a request was refused, with the broker's code."""

    code: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The checked, fixed-point terms of an order."""

    side: Side
    quantity_micro: int
    limit_nano: int | None
    stop_nano: int | None
    """Trigger of a stop order."""
    time_in_force: str
    good_till_ns: int | None
    rejection: str = ""
    """Why the order is rejected although its terms are sound; it is then recorded as inactive."""


def terms_of(ticket: OrderTicket, instrument: Instrument, account: str, now_ns: int) -> Terms | Refusal:
    """Return the terms of a ticket, or the refusal that the gateway would send."""
    refusal = _first_refusal(ticket, account)
    if refusal is not None:
        return refusal
    quantity, limit, stop = _quantity(ticket), _limit(ticket, instrument), _stop(ticket, instrument)
    for part in (quantity, limit, stop):
        if isinstance(part, Refusal):
            return part
    assert isinstance(quantity, int), "a refused quantity has been returned"
    assert not isinstance(limit, Refusal), "a refused limit has been returned"
    assert not isinstance(stop, Refusal), "a refused trigger has been returned"
    time_in_force = ticket.time_in_force or "DAY"
    rejection = f"not supported by the simulator: {ticket.unsupported}" if ticket.unsupported else ""
    if time_in_force not in TIMES_IN_FORCE:
        rejection = f"Invalid time in force: {time_in_force[:20]}"
    good_till_ns = None
    if time_in_force == "GTD":
        moment = parse_time(ticket.good_till_date)
        if moment is None or moment[0] <= now_ns:
            return _invalid(f"good-till date '{ticket.good_till_date[:40]}' is malformed or has passed")
        good_till_ns = moment[0]
    return Terms(
        side=Side(ticket.action),
        quantity_micro=quantity,
        limit_nano=limit,
        stop_nano=stop,
        time_in_force=time_in_force,
        good_till_ns=good_till_ns,
        rejection=rejection,
    )


def _first_refusal(ticket: OrderTicket, account: str) -> Refusal | None:
    refusal: Refusal | None = None
    if ticket.action not in {"BUY", "SELL"}:
        refusal = _invalid(f"action '{ticket.action[:20]}' is neither BUY nor SELL")
    elif ticket.account not in {"", account}:
        refusal = _invalid(f"invalid account code '{ticket.account[:20]}'")
    elif ticket.electronic_only:
        refusal = Refusal(code=10268, text="The 'EtradeOnly' order attribute is not supported.")
    elif len(ticket.order_ref) > ORDER_REF_CHARACTERS_MAX:
        refusal = _invalid(f"order reference is longer than {ORDER_REF_CHARACTERS_MAX} characters")
    elif ticket.order_type not in {"MKT", "LMT", "STP"}:
        refusal = Refusal(code=387, text="Unsupported order type for this exchange and security type.")
    return refusal


def _invalid(reason: str) -> Refusal:
    return Refusal(code=321, text=f"Error validating request: cause - {reason}")


def _quantity(ticket: OrderTicket) -> int | Refusal:
    if ticket.quantity is None or ticket.quantity == 0:
        return Refusal(code=434, text="The order size cannot be zero.")
    quantity_micro = micro_from_float(ticket.quantity)
    if not 0 < quantity_micro <= QUANTITY_MICRO_MAX:
        return _invalid(f"order size {ticket.quantity} is out of bounds")
    if quantity_micro % MICRO_PER_SHARE:
        return Refusal(code=10243, text="Fractional-sized order cannot be placed via API.")
    return quantity_micro


def _limit(ticket: OrderTicket, instrument: Instrument) -> int | Refusal | None:
    return _price("limit", ticket.limit_price, instrument) if ticket.order_type == "LMT" else None


def _stop(ticket: OrderTicket, instrument: Instrument) -> int | Refusal | None:
    return _price("stop", ticket.aux_price, instrument) if ticket.order_type == "STP" else None


def _price(name: str, price: float | None, instrument: Instrument) -> int | Refusal:
    if price is None or not 0 < nano_from_float(price) <= PRICE_NANO_MAX:
        return _invalid(f"{name} price {price} is missing or out of bounds")
    price_nano = nano_from_float(price)
    if price_nano % instrument.min_tick_nano:
        return Refusal(code=110, text="The price does not conform to the minimum price variation for this contract.")
    return price_nano


def modification_refusal(order: Order, outcome: Order | Refusal) -> Refusal | None:
    """Return why an order cannot become what a later request with its id describes."""
    refusal: Refusal | None = None
    if order.status == Status.FILLED:
        refusal = Refusal(code=104, text="Cannot modify a filled order.")
    elif order.ended:
        refusal = Refusal(code=103, text="Duplicate order id")
    elif isinstance(outcome, Refusal):
        refusal = outcome
    elif order.cancel_at_ns is not None:
        refusal = Refusal(code=10148, text=f"OrderId {order.order_id} cannot be modified: it is being cancelled.")
    elif (outcome.instrument_index, outcome.side) != (order.instrument_index, order.side):
        refusal = Refusal(code=105, text="Order being modified does not match original order.")
    elif outcome.total_micro <= order.filled_micro:
        text = "Error validating request: cause - total quantity is not above the filled quantity"
        refusal = Refusal(code=321, text=text)
    return refusal
