"""Owns the order book of record: placing, modifying, cancelling, filling and expiring orders.

Sequences follow captures of a real gateway: an order is acknowledged as PreSubmitted, a resting one then as
Submitted; an execution precedes the status it causes; Filled is sent twice; the commission comes last; a reject
is error 201 and then Inactive; a cancel is the status Cancelled and then 202. Only the owner may change an
order, and orders live on without their client.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from walstreet_services.ibsim.fills import Fills
from walstreet_services.ibsim.intake import CHILD, ORDER_ID_MAX, Intake, Rejection
from walstreet_services.ibsim.model import RestingOrder
from walstreet_services.ibsim.order_checks import Refusal, modification_refusal
from walstreet_services.ibsim.order_record import Order, Status
from walstreet_services.ibsim.order_reports import Reports
from walstreet_services.ibsim.stops import stop_reached
from walstreet_services.ibsim.times import local_text
from walstreet_services.ibsim.units import quantity_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from walstreet_services.ibsim.account import Account
    from walstreet_services.ibsim.contracts import ContractBook
    from walstreet_services.ibsim.journal import Journal
    from walstreet_services.ibsim.model import MarketStep, Match, MatchingEngine, Session
    from walstreet_services.ibsim.order_reports import Send
    from walstreet_services.ibsim.requests import PlaceOrder


OCA_CANCEL = 1
"""The type of a group of which a partial fill ends all others; types 2 and 3 reduce them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskOptions:
    """Delays of the simulated gateway, in session time."""

    order_latency_ns: int = 0
    """An order cannot trade in a step that ends sooner than this after its arrival."""
    cancel_latency_ns: int = 0
    """With 0 a cancel works at once; else fills may still come before the first step after the delay."""
    commission_delay_ns: int = 0
    """With 0 the commission follows the fill at once; else it waits for the first step after the delay."""
    execution_prefix: str = "0000e0d5"


class OrderDesk:
    """Holds every order of the session and changes it on requests, market steps and the clock."""

    def __init__(
        self,
        *,
        book: ContractBook,
        account: Account,
        matching: MatchingEngine,
        session: Session,
        journal: Journal,
        options: DeskOptions,
        send: Send,
        on_trade: Callable[[int], None],
    ) -> None:
        self._matching = matching
        self._session = session
        self._journal = journal
        self._account_name = account.name
        self._options = options
        self._reports = Reports(send, journal)
        self._intake = Intake(book=book, account=account, latency_ns=options.order_latency_ns)
        self._on_trade = on_trade
        self._orders: dict[tuple[int, int], Order] = {}
        self._live: dict[int, Order] = {}
        self._completed: list[Order] = []
        self.fills = Fills(
            account,
            self._reports,
            prefix=options.execution_prefix,
            commission_delay_ns=options.commission_delay_ns,
        )
        self._ids_seen: dict[int, int] = {}
        self._recorded = 0
        self._opened = False
        self._closed = False

    def begin_after(self, recorded: int, ids_seen: dict[int, int]) -> None:
        """Go on behind an earlier session of the same account, so that no permanent id and no order id comes twice."""
        self._recorded = max(self._recorded, recorded)
        for client_id, order_id in ids_seen.items():
            self._see(client_id, order_id)

    # Questions

    @property
    def recorded(self) -> int:
        """Return how many orders the book has taken, earlier sessions included."""
        return self._recorded

    @property
    def ids_seen(self) -> dict[int, int]:
        """Return the highest order id that each client has used or been shown."""
        return dict(self._ids_seen)

    def next_id(self, client_id: int) -> int:
        """Return an order id above every id that this client has used or been shown."""
        return self._ids_seen.get(client_id, 0) + 1

    def open_orders(self, viewer_id: int, *, all_clients: bool) -> list[Order]:
        """Return the live, transmitted orders, and remember that the viewer saw their ids."""
        found = [
            order for order in self._live.values() if order.transmit and (all_clients or order.client_id == viewer_id)
        ]
        for order in found:
            self._see(viewer_id, order.order_id)
        return found

    def completed_orders(self) -> list[Order]:
        """Return the session's ended orders, oldest first."""
        return list(self._completed)

    # Requests

    def place(self, client_id: int, request: PlaceOrder, now_ns: int) -> None:
        """Place a new order, modify a live one, or answer a what-if."""
        ticket, order_id = request.ticket, request.order_id
        existing = self._orders.get((client_id, order_id))
        self._journal.write(
            "place_received" if existing is None or ticket.what_if else "modify_received",
            now_ns,
            client_id=client_id,
            order_id=order_id,
            symbol=request.contract.symbol,
            con_id=request.contract.con_id,
            action=ticket.action,
            quantity=str(ticket.quantity),
            order_type=ticket.order_type,
            limit_price=str(ticket.limit_price),
            time_in_force=ticket.time_in_force,
            order_ref=ticket.order_ref,
            what_if=ticket.what_if,
        )
        if 0 <= order_id <= ORDER_ID_MAX:
            # Also an id that is going to be refused must never be handed out again.
            self._see(client_id, order_id)
        parent = self._orders.get((client_id, ticket.parent_id)) if ticket.parent_id else None
        outcome = self._judged(
            self._intake.order_of(client_id, request, parent=parent, sequence=self._recorded, now_ns=now_ns)
        )
        if existing is not None and not ticket.what_if:
            self._modify(existing, outcome.refusal if isinstance(outcome, Rejection) else outcome, now_ns)
        elif isinstance(outcome, Refusal):
            self._reports.error(client_id, order_id, outcome.code, outcome.text, now_ns)
        elif isinstance(outcome, Rejection):
            self._reject(outcome, now_ns, recorded=not ticket.what_if)
        elif ticket.what_if:
            self._preview(outcome, now_ns)
        else:
            self._admit(outcome, now_ns)

    def cancel(self, client_id: int, order_id: int, now_ns: int) -> None:
        """Cancel an order of this client."""
        self._journal.write("cancel_received", now_ns, client_id=client_id, order_id=order_id)
        order = self._find(client_id, order_id)
        if order is None:
            text = f"OrderId {order_id} that needs to be cancelled is not found."
            self._reports.error(client_id, order_id, 10147, text, now_ns)
        elif order.ended:
            text = f"OrderId {order_id} that needs to be cancelled cannot be cancelled, state: {order.status}."
            self._reports.error(client_id, order_id, 10148, text, now_ns)
        elif order.cancel_at_ns is not None:
            text = f"Cancel attempted when order is not in a cancellable state. Order permId = {order.perm_id}"
            self._reports.error(client_id, order_id, 161, text, now_ns)
        else:
            self._cancel_later(order, now_ns)

    def cancel_all(self, now_ns: int) -> None:
        """Cancel every live order of every client."""
        self._journal.write("global_cancel_received", now_ns)
        for order in list(self._live.values()):
            if order.cancel_at_ns is None:
                self._cancel_later(order, now_ns)

    # Market and clock

    def on_step(self, step: MarketStep) -> None:
        """Let the live orders meet one market step: expire, cancel, match, report."""
        ts_ns = step.ts_ns
        self._end_due(ts_ns)
        if not self._opened:
            self._opened = True
            for order in list(self._live.values()):
                self._submit(order, ts_ns)
        for order in list(self._live.values()):
            if order.waiting and self._working(order) and self._trading(ts_ns - 1) and stop_reached(order, step):
                self._trigger(order, ts_ns)
        resting = [self._resting(order) for order in self._live.values() if self._working(order) and not order.waiting]
        for match in self._matching.match(step, resting):
            self._fill(match)
        for order in list(self._live.values()):
            if order.time_in_force == "IOC" and self._working(order) and order.active_from_ns <= ts_ns:
                self._end_cancelled(order, ts_ns, "Order Canceled - reason:Immediate order not fully filled")
        self.fills.report_fees(ts_ns)

    def on_clock(self, now_ns: int) -> None:
        """Report late commissions, and expire the orders of the day once the session is over."""
        self.fills.report_fees(now_ns)
        self._end_due(now_ns)
        if self._closed or now_ns < self._session.close_ns:
            return
        self._closed = True
        for order in list(self._live.values()):
            if order.time_in_force in {"DAY", "IOC"} or order.cancel_at_ns is not None:
                self._end_cancelled(order, now_ns, "Order Canceled - reason:Session closed")

    # Helpers

    def _judged(self, outcome: Order | Refusal | Rejection) -> Order | Refusal | Rejection:
        """Return what becomes of a placement; faults may change it."""
        return outcome

    def _find(self, client_id: int, order_id: int) -> Order | None:
        """Return the order that a client means by an id."""
        return self._orders.get((client_id, order_id))

    def _end_due(self, now_ns: int) -> None:
        """End the orders whose cancel is due or whose good-till date has passed."""
        for order in list(self._live.values()):
            if order.cancel_at_ns is not None and order.cancel_at_ns < now_ns:
                self._end_cancelled(order, now_ns, "Order Canceled - reason:")
            elif order.good_till_ns is not None and order.good_till_ns < now_ns:
                self._end_cancelled(order, now_ns, "Order Canceled - reason:Good-till date passed")

    def _see(self, client_id: int, order_id: int) -> None:
        self._ids_seen[client_id] = max(self._ids_seen.get(client_id, 0), order_id)

    def _working(self, order: Order) -> bool:
        return order.transmit and not order.why_held and not order.suspended and order.remaining_micro > 0

    @staticmethod
    def _resting(order: Order) -> RestingOrder:
        return RestingOrder(
            key=order.perm_id,
            instrument_index=order.instrument_index,
            side=order.side,
            remaining_micro=order.remaining_micro,
            limit_nano=order.limit_nano,
            active_from_ns=order.active_from_ns,
            arrived_ns=order.arrived_ns,
        )

    def _trading(self, now_ns: int) -> bool:
        return self._session.open_ns <= now_ns < self._session.close_ns

    def _record(self, order: Order) -> None:
        """Make an order findable by its ids; every order of record has its own permanent id."""
        self._orders[order.client_id, order.order_id] = order
        self._recorded += 1

    def _admit(self, order: Order, now_ns: int) -> None:
        self._record(order)
        self._live[order.perm_id] = order
        self._journal.write(
            "order_accepted",
            now_ns,
            client_id=order.client_id,
            order_id=order.order_id,
            perm_id=order.perm_id,
            order_ref=order.order_ref,
        )
        if order.transmit:
            self._release(order, now_ns)

    def _release(self, order: Order, now_ns: int) -> None:
        """Transmit an order, and with it the held family that it completes."""
        family = [
            other
            for other in self._live.values()
            if other.client_id == order.client_id
            and not other.transmit
            and order.parent_id
            and order.parent_id in {other.order_id, other.parent_id}
        ]
        for member in sorted([*family, order], key=lambda item: item.order_id):
            member.transmit = True
            self._reports.report(member, now_ns)
            if not self._trading(now_ns) and not member.why_held:
                text = (
                    f"Order Message:\n{member.side} {quantity_text(member.total_micro)} {member.instrument.symbol}\n"
                    "Warning: your order will not be placed at the exchange until the market opens: "
                    f"{local_text(self._session.open_ns)}"
                )
                self._reports.error(member.client_id, member.order_id, 399, text, now_ns, recipient=member.recipient)
            self._submit(member, now_ns)

    def _trigger(self, order: Order, now_ns: int) -> None:
        """Turn a stop whose price was reached into a market order; it trades from the next step on."""
        order.triggered = True
        order.arrived_ns = order.active_from_ns = now_ns + 1
        self._journal.write("stop_triggered", now_ns, client_id=order.client_id, order_id=order.order_id)
        order.move(Status.SUBMITTED, now_ns)
        self._reports.report(order, now_ns)

    def _submit(self, order: Order, now_ns: int) -> None:
        """Move a resting limit order on to Submitted while the market is open."""
        resting = order.order_type == "LMT" and self._working(order) and order.status == Status.PRE_SUBMITTED
        if resting and self._trading(now_ns) and not order.stale:
            order.move(Status.SUBMITTED, now_ns)
            self._reports.report(order, now_ns)

    def _reject(self, rejection: Rejection, now_ns: int, *, recorded: bool) -> None:
        """Send error 201, and for a real order the status Inactive after it."""
        order, refusal = rejection.order, rejection.refusal
        self._reports.error(order.client_id, order.order_id, refusal.code, refusal.text, now_ns)
        if recorded:
            self._record(order)
            order.move(Status.INACTIVE, now_ns)
            order.completed_text = refusal.text
            self._completed.append(order)
            self._reports.report(order, now_ns)

    def _preview(self, order: Order, now_ns: int) -> None:
        warning = "" if self._trading(now_ns) else "Your order will not be placed until the market opens."
        preview = self._intake.margins(order, order.total_micro, warning)
        if warning:
            self._reports.preview(order, replace(preview, known=False), now_ns)
        self._reports.preview(order, preview, now_ns)

    def _modify(self, order: Order, outcome: Order | Refusal, now_ns: int) -> None:
        """Change a live order in place, or say why not and repeat where it stands."""
        refusal = modification_refusal(order, outcome)
        if refusal is not None:
            self._reports.error(order.client_id, order.order_id, refusal.code, refusal.text, now_ns)
            if not order.ended and order.transmit:
                self._reports.report(order, now_ns)
            return
        assert isinstance(outcome, Order)
        if (outcome.limit_nano, outcome.order_type) != (order.limit_nano, order.order_type):
            # A new price goes to the back of its queue.
            self._matching.forget(order.perm_id)
            order.arrived_ns = now_ns
        order.active_from_ns = outcome.active_from_ns
        order.limit_nano, order.order_type = outcome.limit_nano, outcome.order_type
        if not order.triggered:
            order.stop_nano = outcome.stop_nano
        order.total_micro = outcome.total_micro
        order.time_in_force = outcome.time_in_force
        order.good_till_ns, order.good_till_date = outcome.good_till_ns, outcome.good_till_date
        order.order_ref = outcome.order_ref
        order.updated_ns = now_ns
        if order.transmit:
            self._reports.report(order, now_ns)
            self._submit(order, now_ns)
        elif outcome.transmit:
            self._release(order, now_ns)

    def _cancel_later(self, order: Order, now_ns: int) -> None:
        order.cancel_at_ns = now_ns + self._options.cancel_latency_ns
        if self._options.cancel_latency_ns == 0 or not self._trading(now_ns):
            self._end_cancelled(order, now_ns, "Order Canceled - reason:")

    def _end_cancelled(self, order: Order, now_ns: int, reason: str) -> None:
        """End an order as Cancelled, then error 202; its waiting children end with it."""
        if order.ended:
            return
        order.move(Status.CANCELLED, now_ns)
        order.completed_text = reason
        self._retire(order)
        if order.transmit:
            self._reports.report(order, now_ns, with_order=False)
        self._reports.error(order.client_id, order.order_id, 202, reason, now_ns, recipient=order.recipient)
        for child in list(self._live.values()):
            if not child.parent_id or not child.why_held:
                continue
            if (child.client_id, child.parent_id) == (order.client_id, order.order_id):
                self._end_cancelled(child, now_ns, "Order Canceled - reason:Parent order cancelled")

    def _retire(self, order: Order) -> None:
        self._live.pop(order.perm_id, None)
        self._completed.append(order)
        self._matching.forget(order.perm_id)

    def _fill(self, match: Match) -> None:
        order = self._live.get(match.key)
        if order is None:
            return  # A sibling's fill in the same step has cancelled it.
        self.fills.book(order, match)
        if order.remaining_micro == 0:
            order.move(Status.FILLED, match.ts_ns)
            self._retire(order)
            self._reports.report(order, match.ts_ns)
            self._reports.report(order, match.ts_ns)
            self._after_filled(order, match.ts_ns)
        else:
            order.move(Status.SUBMITTED, match.ts_ns)
            self._reports.report(order, match.ts_ns)
            self._after_part(order, match)
        self._on_trade(order.instrument_index)

    def _after_part(self, order: Order, match: Match) -> None:
        """Take a partial fill from the others of its group, or end them, as the group's type says."""
        for other in list(self._live.values()):
            if other is order or not order.oca_group or not self._same_group(order, other):
                continue
            if order.oca_type == OCA_CANCEL:
                self._end_cancelled(other, match.ts_ns, "Order Canceled - reason:One cancels all")
                continue
            other.total_micro = max(other.filled_micro, other.total_micro - match.quantity_micro)
            if other.remaining_micro == 0:
                self._end_cancelled(other, match.ts_ns, "Order Canceled - reason:One cancels all")
            else:
                self._reports.report(other, match.ts_ns)

    @staticmethod
    def _same_group(order: Order, other: Order) -> bool:
        return (other.client_id, other.oca_group) == (order.client_id, order.oca_group)

    def _after_filled(self, order: Order, ts_ns: int) -> None:
        """Wake the children of a filled order and cancel what it excludes."""
        for other in list(self._live.values()):
            if other.client_id != order.client_id:
                continue
            if other.why_held == CHILD and other.parent_id == order.order_id:
                other.why_held = ""
                other.arrived_ns = other.active_from_ns = ts_ns + 1
                if other.waiting:
                    # A stop shows as PreSubmitted until it is triggered; that it is held no more is told all the same.
                    self._reports.report(other, ts_ns)
                self._submit(other, ts_ns)
            sibling = bool(order.parent_id) and other.parent_id == order.parent_id
            if sibling or (order.oca_group and self._same_group(order, other)):
                self._end_cancelled(other, ts_ns, "Order Canceled - reason:One cancels all")
