"""Owns the way from a request to an order: contract, terms, parent and margin, or the refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from walstreet_services.ibsim.order_checks import Refusal, Terms, terms_of
from walstreet_services.ibsim.order_record import Order, Preview
from walstreet_services.ibsim.units import money_text, notional_nano

if TYPE_CHECKING:
    from walstreet_services.ibsim.account import Account
    from walstreet_services.ibsim.contracts import ContractBook
    from walstreet_services.ibsim.requests import PlaceOrder

ORDERS_MAX = 200_000
ORDER_ID_MAX = 2_000_000_000
"""Leaves room below 32 bits for the ids that follow."""
PERM_ID_FIRST = 1_000_000_001
CHILD = "child"
"""Why an order is held whose parent has not been filled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """An order that is sound in form and rejected all the same; it is recorded as inactive."""

    order: Order
    refusal: Refusal


class Intake:
    """Judges requests against the contracts and the account; it keeps no order."""

    def __init__(self, *, book: ContractBook, account: Account, latency_ns: int) -> None:
        self._book = book
        self._account = account
        self._latency_ns = latency_ns

    def order_of(
        self, client_id: int, request: PlaceOrder, *, parent: Order | None, sequence: int, now_ns: int
    ) -> Order | Refusal | Rejection:
        """Return the order that a request describes, not yet in the book, or why there is none.

        ``sequence`` counts the orders of the book so far; the permanent id is made from it.
        """
        ticket = request.ticket
        index = self._book.find(request.contract)
        refusal: Refusal | None = None
        if not 0 <= request.order_id <= ORDER_ID_MAX:
            refusal = Refusal(
                code=321, text=f"Error validating request: cause - order id {request.order_id} is out of bounds"
            )
        elif sequence >= ORDERS_MAX:
            refusal = Refusal(code=201, text=f"Order rejected - reason:more than {ORDERS_MAX} orders")
        elif ticket.parent_id and (parent is None or parent.ended):
            refusal = Refusal(code=135, text=f"Can't find order with id ={ticket.parent_id}")
        elif index is None:
            refusal = Refusal(code=200, text="No security definition has been found for the request")
        if refusal is not None:
            return refusal
        assert index is not None, "an unknown contract has been refused above"
        instrument = self._book.instruments[index]
        terms = terms_of(ticket, instrument, self._account.name, now_ns)
        if isinstance(terms, Refusal):
            return terms
        order = Order(
            perm_id=PERM_ID_FIRST + sequence,
            client_id=client_id,
            order_id=request.order_id,
            instrument=instrument,
            instrument_index=index,
            exchange=request.contract.exchange or "SMART",
            side=terms.side,
            order_type=ticket.order_type,
            limit_nano=terms.limit_nano,
            stop_nano=terms.stop_nano,
            total_micro=terms.quantity_micro,
            time_in_force=terms.time_in_force,
            good_till_date=ticket.good_till_date,
            good_till_ns=terms.good_till_ns,
            account=self._account.name,
            order_ref=ticket.order_ref,
            oca_group=ticket.oca_group,
            oca_type=ticket.oca_type or 3,
            parent_id=ticket.parent_id,
            transmit=ticket.transmit,
            outside_rth=ticket.outside_rth,
            hidden=ticket.hidden,
            arrived_ns=now_ns,
            active_from_ns=now_ns + self._latency_ns,
            updated_ns=now_ns,
            why_held=CHILD if parent is not None and parent.remaining_micro > 0 else "",
        )
        reason = terms.rejection or self._shortfall(order, terms)
        if reason:
            return Rejection(order=order, refusal=Refusal(code=201, text=f"Order rejected - reason:{reason}"))
        return order

    def _shortfall(self, order: Order, terms: Terms) -> str:
        """Return why the account cannot carry the order, empty when it can; reductions always pass."""
        preview = self.margins(order, terms.quantity_micro)
        grows = preview.initial_after_nano > preview.initial_before_nano
        if not grows or preview.initial_after_nano <= preview.equity_after_nano:
            return ""
        return (
            "YOUR ORDER IS NOT ACCEPTED. IN ORDER TO OBTAIN THE DESIRED POSITION YOUR EQUITY WITH LOAN VALUE "
            f"[{money_text(preview.equity_after_nano)} USD] MUST EXCEED THE INITIAL MARGIN "
            f"[{money_text(preview.initial_after_nano)} USD]"
        )

    def margins(self, order: Order, quantity_micro: int, warning: str = "") -> Preview:
        """Return the margins before and after an order, and its fee at its limit or the present price."""
        account, index = self._account, order.instrument_index
        mark = account.mark(index)
        price = order.limit_nano if order.limit_nano is not None else mark
        now = account.value(index)
        signed = quantity_micro if order.side == "BUY" else -quantity_micro
        then = now + notional_nano(mark, signed)
        fee = account.commission.order_total(quantity_micro, notional_nano(price, quantity_micro))
        equity, margin = account.equity(), account.margin
        initial, maintenance = account.initial_margin(), account.maintenance_margin()
        return Preview(
            initial_before_nano=initial,
            initial_after_nano=initial - margin.initial(now) + margin.initial(then),
            maintenance_before_nano=maintenance,
            maintenance_after_nano=maintenance - margin.maintenance(now) + margin.maintenance(then),
            equity_before_nano=equity,
            equity_after_nano=equity - fee,
            commission_nano=fee if price else None,
            warning=warning,
        )
