"""Owns the semantic probe of the gateway before live trading: who it is, what it speaks, and whether it answers."""

from __future__ import annotations

from walstreet.domain.observations import OrderTicket, ProbeObserved
from walstreet.ports import Broker
from walstreet.runtime.settings import Settings
from walstreet_events import NANOS_PER_SECOND, QUANTITY_SCALE

PROBE_GOOD_S = 60
"""The order in question is never placed; its end only has to lie ahead."""


async def probe_gateway(
    broker: Broker,
    settings: Settings,
    *,
    asked: str,
    ts_ns: int,
    timeout_s: float,
    errors: tuple[type[Exception], ...],
) -> ProbeObserved:
    """Return what the gateway says: an open port proves nothing, an answered question does."""
    account, version, detail = "", 0, ""
    what_if, order_id = False, 0
    try:
        account, version = await broker.account(), await broker.server_version()
        symbol = settings.session.symbols[0] if settings.session.symbols else ""
        if symbol:
            order_id = broker.next_order_id
            ticket = OrderTicket(
                broker_order_id=order_id,
                client_order_id=asked,
                symbol=symbol,
                con_id=0,
                buy=True,
                quantity_micro=QUANTITY_SCALE,
                limit_nano=None,
                good_till_ns=ts_ns + PROBE_GOOD_S * NANOS_PER_SECOND,
            )
            preview = await broker.preview(ticket, timeout_s=timeout_s)
            what_if = None not in (preview.initial_margin_after_nano, preview.equity_with_loan_after_nano)
            detail = preview.warning
    except errors as error:
        detail = f"{type(error).__name__}: {error}"
    return ProbeObserved(
        ts_ns=ts_ns,
        asked=asked,
        account=account,
        wanted_account=settings.broker.account,
        port=settings.broker.port,
        server_version=version,
        what_if=what_if,
        broker_order_id=order_id,
        detail=detail,
    )
