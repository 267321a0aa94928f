"""Owns the announcements about orders: each one is sent to the owner and written to the journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from walstreet_services.ibsim import replies, replies_order
from walstreet_services.ibsim.units import price_text, quantity_text

if TYPE_CHECKING:
    from walstreet_services.ibsim.journal import Journal
    from walstreet_services.ibsim.order_record import Execution, Order, Preview

LIVE_REQUEST_ID = -1
EVERYBODY, NOBODY = -1, -2
"""Recipients besides client ids, which are never negative."""
Encode = Callable[[int], bytes]
"""Makes a frame for the protocol version that the receiving connection has negotiated."""
Send = Callable[[int, Encode], bool]
"""Queues a frame for a client id and says whether that client is connected."""


class Reports:
    """Sends order messages; the journal records them also when the owner is not connected."""

    def __init__(self, send: Send, journal: Journal) -> None:
        self._send = send
        self._journal = journal

    def error(
        self, client_id: int, order_id: int, code: int, text: str, now_ns: int, *, recipient: int | None = None
    ) -> None:
        """Announce an error or a notice about an order, to its owner unless a recipient is named."""
        addressee = client_id if recipient is None else recipient
        delivered = self._send(addressee, lambda version: replies.error(version, order_id, code, text))
        self._journal.write(
            "error",
            now_ns,
            client_id=client_id,
            order_id=order_id,
            code=code,
            text=text,
            delivered=delivered,
        )

    def report(self, order: Order, now_ns: int, *, with_order: bool = True) -> None:
        """Announce where an order stands: openOrder, then orderStatus."""
        delivered = True
        if with_order:
            delivered = self._send(order.recipient, lambda version: replies_order.open_order(version, order))
        status = replies_order.order_status(order)
        delivered = self._send(order.recipient, lambda _: status) and delivered
        masked: dict[str, str] = {"shown": order.mask} if order.mask else {}
        self._journal.write(
            "status",
            now_ns,
            client_id=order.client_id,
            order_id=order.order_id,
            perm_id=order.perm_id,
            order_ref=order.order_ref,
            status=order.status.value,
            filled=quantity_text(order.filled_micro),
            remaining=quantity_text(order.remaining_micro),
            average_price=price_text(order.average_price_nano),
            delivered=delivered,
            **masked,
        )

    def preview(self, order: Order, preview: Preview, now_ns: int) -> None:
        """Answer a what-if request."""
        delivered = self._send(order.recipient, lambda version: replies_order.open_order(version, order, preview))
        self._journal.write(
            "preview",
            now_ns,
            client_id=order.client_id,
            order_id=order.order_id,
            known=preview.known,
            delivered=delivered,
        )

    def execution(self, execution: Execution, **facts: str) -> None:
        """Announce one execution; ``facts`` go to the journal only."""
        order = execution.order
        details = replies_order.execution_details(LIVE_REQUEST_ID, execution)
        delivered = self._send(order.recipient, lambda _: details)
        self._journal.write(
            "execution",
            execution.ts_ns,
            client_id=order.client_id,
            order_id=order.order_id,
            perm_id=order.perm_id,
            order_ref=order.order_ref,
            execution_id=execution.execution_id,
            symbol=order.instrument.symbol,
            side=order.side.value,
            quantity_micro=execution.quantity_micro,
            price_nano=execution.price_nano,
            passive=execution.passive,
            delivered=delivered,
            **facts,
        )

    def fee(self, execution: Execution, now_ns: int) -> None:
        """Announce the commission of one execution."""
        frame = replies.commission_report(execution.execution_id, execution.commission_nano, execution.realized_nano)
        delivered = self._send(execution.order.recipient, lambda _: frame)
        self._journal.write(
            "commission",
            now_ns,
            client_id=execution.order.client_id,
            execution_id=execution.execution_id,
            commission_nano=execution.commission_nano,
            realized_nano=execution.realized_nano,
            delivered=delivered,
        )
