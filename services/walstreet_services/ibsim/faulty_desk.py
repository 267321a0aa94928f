"""Owns what faults can do to the order book that no request can: hide, hold, split, restate and add orders."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from walstreet_services.ibsim.desk import OrderDesk
from walstreet_services.ibsim.intake import PERM_ID_FIRST, Rejection
from walstreet_services.ibsim.order_checks import Refusal, modification_refusal
from walstreet_services.ibsim.order_record import Order, Preview, Status
from walstreet_services.ibsim.order_reports import NOBODY

if TYPE_CHECKING:
    from walstreet_services.ibsim.model import Instrument, Match, Side
    from walstreet_services.ibsim.requests import PlaceOrder

NO_PREVIEW = Preview(
    initial_before_nano=0,
    initial_after_nano=0,
    maintenance_before_nano=0,
    maintenance_after_nano=0,
    equity_before_nano=0,
    equity_after_nano=0,
    commission_nano=0,
)
UNCANCELLABLE = ("PendingCancel", Status.CANCELLED.value)
"""Shown states in which the broker refuses a cancel."""
LOCATE = "locate"
"""Why a short sale is held whose shares are being looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Special:
    """How one placement is treated."""

    refusal: Refusal | None = None
    why_held: str = ""
    silent: bool = False
    stale: bool = False
    splits: bool = False
    """A modification leaves the old order alive."""


PLAIN = Special()


class FaultyDesk(OrderDesk):
    """The desk of a gateway in which things can go wrong; without a fault it does what any desk does."""

    _special = PLAIN

    # Questions

    def live(self) -> list[Order]:
        """Return the orders that are truly alive, oldest first."""
        return list(self._live.values())

    def order_of(self, client_id: int, order_id: int) -> Order | None:
        """Return the order that a client means by an id."""
        return self._find(client_id, order_id)

    def open_orders(self, viewer_id: int, *, all_clients: bool) -> list[Order]:
        """Return the open orders, without those that are shown as cancelled."""
        return [
            order
            for order in super().open_orders(viewer_id, all_clients=all_clients)
            if order.mask != Status.CANCELLED.value
        ]

    def completed_orders(self) -> list[Order]:
        """Return the ended orders, and those that are shown as cancelled."""
        return [*super().completed_orders(), *(o for o in self.live() if o.mask == Status.CANCELLED.value)]

    # Requests

    def place_specially(self, client_id: int, request: PlaceOrder, now_ns: int, special: Special) -> None:
        """Handle a placement with some special treatment."""
        self._special = special
        try:
            self.place(client_id, request, now_ns)
        finally:
            self._special = PLAIN

    def cancel(self, client_id: int, order_id: int, now_ns: int) -> None:
        """Cancel an order; one that is shown as cancelled or pending is refused, as its state says."""
        order = self._find(client_id, order_id)
        if order is not None and not order.ended and order.mask in UNCANCELLABLE:
            self._journal.write("cancel_received", now_ns, client_id=client_id, order_id=order_id)
            text = f"OrderId {order_id} that needs to be cancelled cannot be cancelled, state: {order.mask}."
            self._reports.error(client_id, order_id, 10148, text, now_ns)
            return
        super().cancel(client_id, order_id, now_ns)

    def cancel_all_but(self, spared: list[Order], now_ns: int) -> None:
        """Cancel every live order but some, and but those that are shown as cancelled or pending."""
        self._journal.write("global_cancel_received", now_ns)
        for order in self.live():
            if order not in spared and order.mask not in UNCANCELLABLE and order.cancel_at_ns is None:
                self._cancel_later(order, now_ns)

    def preview_as(self, client_id: int, request: PlaceOrder, now_ns: int, *, zeros: bool) -> None:
        """Answer a what-if with unset values only, or with zeros; a refusal stays a refusal."""
        outcome = self._intake.order_of(client_id, request, parent=None, sequence=self._recorded, now_ns=now_ns)
        if isinstance(outcome, Rejection):
            outcome = outcome.refusal
        if isinstance(outcome, Refusal):
            self._reports.error(client_id, request.order_id, outcome.code, outcome.text, now_ns)
            return
        self._reports.preview(outcome, replace(NO_PREVIEW, known=zeros), now_ns)

    # Levers

    def mask(self, order: Order, state: str, now_ns: int) -> None:
        """Show a state that is not the true one; empty shows the truth again."""
        order.mask = state
        order.updated_ns = now_ns
        if not order.ended:
            self._reports.report(order, now_ns, with_order=not state)
            if state == Status.CANCELLED.value:
                text = "Order Canceled - reason:"
                self._reports.error(order.client_id, order.order_id, 202, text, now_ns, recipient=order.recipient)

    def error(self, client_id: int, order_id: int, code: int, text: str, now_ns: int) -> None:
        """Announce an error about an order."""
        self._reports.error(client_id, order_id, code, text, now_ns)

    def suspend(self, order: Order, *, why_held: str, now_ns: int) -> None:
        """Take an order out of trading and show it as Inactive."""
        order.suspended = True
        order.why_held = order.why_held or why_held
        self.mask(order, Status.INACTIVE.value, now_ns)

    def resume(self, order: Order, now_ns: int) -> None:
        """Let a held or inactive order trade again."""
        if order.ended:
            return
        order.suspended = False
        order.why_held = ""
        order.mask = ""
        order.arrived_ns = order.active_from_ns = now_ns + 1
        self._matching.forget(order.perm_id)
        self._reports.report(order, now_ns)
        self._submit(order, now_ns)

    def end(self, order: Order, now_ns: int, reason: str) -> None:
        """End an order as cancelled by the broker."""
        self._end_cancelled(order, now_ns, reason)

    def reject_live(self, order: Order, refusal: Refusal, now_ns: int) -> None:
        """End a live order as Inactive, with an error before it."""
        if order.ended:
            return
        self._reports.error(
            order.client_id, order.order_id, refusal.code, refusal.text, now_ns, recipient=order.recipient
        )
        order.mask = ""
        order.completed_text = refusal.text
        order.move(Status.INACTIVE, now_ns)
        self._retire(order)
        self._reports.report(order, now_ns)

    def fill_now(self, match: Match) -> None:
        """Book an execution that the market did not grant."""
        self._fill(match)

    def roll_back_ids(self, next_id: int) -> None:
        """Offer every client an id that it may have used already."""
        for client_id in self._ids_seen:
            self._ids_seen[client_id] = next_id - 1

    def forget_ended(self) -> None:
        """Allow the ids of ended orders to be used again."""
        self._orders = {ids: order for ids, order in self._orders.items() if not order.ended}

    def add_foreign(
        self,
        *,
        client_id: int,
        order_id: int,
        instrument: Instrument,
        instrument_index: int,
        side: Side,
        quantity_micro: int,
        limit_nano: int | None,
        addressee: int,
        now_ns: int,
        origin: str,
    ) -> Order:
        """Take in an order that no connected client has sent."""
        order = Order(
            perm_id=PERM_ID_FIRST + self._recorded,
            client_id=client_id,
            order_id=order_id,
            instrument=instrument,
            instrument_index=instrument_index,
            exchange="SMART",
            side=side,
            order_type="MKT" if limit_nano is None else "LMT",
            limit_nano=limit_nano,
            total_micro=quantity_micro,
            time_in_force="DAY",
            good_till_date="",
            good_till_ns=None,
            account=self._account_name,
            order_ref="",
            oca_group="",
            oca_type=3,
            parent_id=0,
            transmit=True,
            outside_rth=False,
            hidden=False,
            arrived_ns=now_ns,
            active_from_ns=now_ns,
            updated_ns=now_ns,
            addressee=addressee,
        )
        self._journal.write(
            "foreign_received",
            now_ns,
            client_id=client_id,
            order_id=order_id,
            perm_id=order.perm_id,
            symbol=instrument.symbol,
            action=side.value,
            quantity_micro=quantity_micro,
            origin=origin,
        )
        self._admit(order, now_ns)
        return order

    # What the desk does differently

    def _record(self, order: Order) -> None:
        super()._record(order)
        if order.client_id == 0 and order.order_id == 0:
            # Orders by hand share the id zero, which names none of them.
            del self._orders[0, 0]

    def _judged(self, outcome: Order | Refusal | Rejection) -> Order | Refusal | Rejection:
        special = self._special
        if special.refusal is not None and isinstance(outcome, Order):
            return Rejection(order=outcome, refusal=special.refusal) if special.refusal.code == 201 else special.refusal
        if isinstance(outcome, Order):
            outcome.why_held = outcome.why_held or special.why_held
            outcome.stale = special.stale
            outcome.addressee = NOBODY if special.silent else None
        return outcome

    def _find(self, client_id: int, order_id: int) -> Order | None:
        """Return the newest living order of the id, else the newest that ended."""
        newest = super()._find(client_id, order_id)
        if newest is None or newest.ended:
            twins = [o for o in self._live.values() if (o.client_id, o.order_id) == (client_id, order_id)]
            return twins[-1] if twins and order_id else newest
        return newest

    def _modify(self, order: Order, outcome: Order | Refusal, now_ns: int) -> None:
        if self._special.splits and isinstance(outcome, Order) and modification_refusal(order, outcome) is None:
            outcome.total_micro -= order.filled_micro
            self._admit(outcome, now_ns)
            return
        super()._modify(order, outcome, now_ns)

    def _fill(self, match: Match) -> None:
        order = self._live.get(match.key)
        if order is not None and (
            order.mask == Status.CANCELLED.value or match.quantity_micro >= order.remaining_micro
        ):
            order.mask = ""
        super()._fill(match)

    def _end_cancelled(self, order: Order, now_ns: int, reason: str) -> None:
        if not order.ended:
            order.mask = ""
            order.suspended = False
        super()._end_cancelled(order, now_ns, reason)
