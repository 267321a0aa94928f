"""Owns the reading of execution ids and of corrections: the broker's replacement of one execution by another.

An execution id ends in a revision: ``0000e0d5.00000001.01.01`` is corrected by ``0000e0d5.00000001.01.02``. The newest
revision counts; an older one that comes later changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from walstreet_events import OrderCorrected, OrderFilled, derive_id, tag_of

PARTS = 4
"""Of the broker's execution ids; the last one is the revision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedFill:
    """The revision of an execution that counts."""

    exec_id: str
    ts_ns: int
    price_nano: int
    quantity_micro: int


def family_of(exec_id: str) -> tuple[str, int]:
    """Return an execution id without its revision, and the revision (0 for ids of another form)."""
    head, _, tail = exec_id.rpartition(".")
    if exec_id.count(".") == PARTS - 1 and tail.isdecimal():
        return head, int(tail)
    return exec_id, 0


def counted_of(event: OrderFilled | OrderCorrected) -> CountedFill:
    """Return what counts after a journaled execution or correction."""
    return CountedFill(
        exec_id=event.exec_id,
        ts_ns=event.executed_ns if isinstance(event, OrderCorrected) else event.ts_ns,
        price_nano=event.price_nano,
        quantity_micro=event.quantity_micro,
    )


def corrected_fill(event: OrderCorrected) -> OrderFilled:
    """Return the execution that counts after a correction, for books that keep the newest revision of each."""
    return OrderFilled(
        id=derive_id(event.id, tag_of(OrderFilled), 0),
        cause=event.id,
        ts_ns=event.executed_ns,
        client_order_id=event.client_order_id,
        intent=event.intent,
        exec_id=event.exec_id,
        perm_id=event.perm_id,
        symbol=event.symbol,
        con_id=event.con_id,
        side=event.side,
        price_nano=event.price_nano,
        quantity_micro=event.quantity_micro,
        cumulative_micro=event.quantity_micro,
    )
