"""Owns the reading of the ground truth: what truly became of every order, folded from the journal's lines.

A test compares this with what a client believes. An order is truly what the simulator's book says; what clients
were told instead is in the same journal as ``shown``, ``message_lost`` and ``untrue_execution``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from walstreet_services.ibsim.units import micro_from_float

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Record = dict[str, object]
LOST = "Lost"
REFUSED = "Refused"
ENDED = ("Filled", "Cancelled", "Inactive", LOST, REFUSED)


@dataclass(slots=True, kw_only=True)
class TrueExecution:
    """One execution as it finally stands."""

    execution_id: str
    quantity_micro: int
    price_nano: int
    commission_nano: int | None = None
    """None until its commission was reported."""


@dataclass(slots=True, kw_only=True)
class TrueOrder:
    """What became of one placement."""

    client_id: int
    order_id: int
    perm_id: int | None
    """None for a placement that never reached the book."""
    order_ref: str
    symbol: str
    action: str
    """``BUY`` or ``SELL``."""
    status: str
    shown: str = ""
    """What clients are told instead of ``status``."""
    why: str = ""
    """Which fault lost it, or the code that refused it."""
    filled_micro: int = 0
    remaining_micro: int = 0
    executions: dict[str, TrueExecution] = field(default_factory=dict)
    """By execution id without its last part, so that a correction replaces what it corrects."""

    @property
    def live(self) -> bool:
        """Return whether something can still happen to it."""
        return self.status not in ENDED


@dataclass(slots=True, kw_only=True)
class Truth:
    """Everything that became of every order."""

    orders: list[TrueOrder] = field(default_factory=list)
    """Oldest first; lost and refused placements stand among them."""

    def by_ref(self, order_ref: str) -> list[TrueOrder]:
        """Return every incarnation of a reference."""
        return [order for order in self.orders if order.order_ref == order_ref]

    def position_micro(self, symbol: str) -> int:
        """Return the signed sum of a symbol's executions; a split of the holding is not part of it."""
        return sum(
            execution.quantity_micro if order.action == "BUY" else -execution.quantity_micro
            for order in self.orders
            if order.symbol == symbol
            for execution in order.executions.values()
        )


def read_truth(path: Path) -> Truth:
    """Return the truth of a journal's file."""
    return fold(msgspec.json.decode(line, type=Record) for line in path.read_bytes().splitlines() if line)


def fold(records: Iterable[Record]) -> Truth:
    """Return the truth of a journal's records, in their order."""
    truth = Truth()
    by_perm: dict[int, TrueOrder] = {}
    received: dict[tuple[int, int], Record] = {}
    executions: dict[str, TrueExecution] = {}
    for record in records:
        kind = record["kind"]
        if kind in {"place_received", "modify_received"} and not record["what_if"]:
            # A change that the broker takes for a new order is accepted as one.
            received[_ids(record)] = record
        elif kind == "place_lost":
            lost = _order(record, record, status=LOST)
            lost.why = str(record["why"])
            truth.orders.append(lost)
        elif kind in {"order_accepted", "foreign_received"}:
            if kind == "foreign_received":
                received[_ids(record)] = record
                continue
            order = _order(record, received.get(_ids(record), record), status="PreSubmitted")
            truth.orders.append(order)
            by_perm[_int(record, "perm_id")] = order
            received.pop(_ids(record), None)
        elif kind == "error":
            _refuse(truth, received, record)
        elif kind == "status":
            order = by_perm.get(_int(record, "perm_id")) or _rejected(truth, by_perm, received, record)
            order.status, order.shown = str(record["status"]), str(record.get("shown", ""))
            order.filled_micro, order.remaining_micro = _micro(record, "filled"), _micro(record, "remaining")
            received.pop(_ids(record), None)
        elif kind == "execution":
            execution = TrueExecution(
                execution_id=str(record["execution_id"]),
                quantity_micro=_int(record, "quantity_micro"),
                price_nano=_int(record, "price_nano"),
            )
            executions[execution.execution_id] = execution
            order = by_perm[_int(record, "perm_id")]
            order.executions[execution.execution_id.rpartition(".")[0]] = execution
            order.filled_micro = sum(item.quantity_micro for item in order.executions.values())
        elif kind == "commission":
            executions[str(record["execution_id"])].commission_nano = _int(record, "commission_nano")
    return truth


def _order(record: Record, placed: Record, *, status: str) -> TrueOrder:
    perm_id = record.get("perm_id")
    return TrueOrder(
        client_id=_int(record, "client_id"),
        order_id=_int(record, "order_id"),
        perm_id=perm_id if isinstance(perm_id, int) else None,
        order_ref=str(record.get("order_ref") or placed.get("order_ref", "")),
        symbol=str(placed.get("symbol", "")),
        action=str(placed.get("action", "")),
        status=status,
    )


def _refuse(truth: Truth, received: dict[tuple[int, int], Record], record: Record) -> None:
    """Take an error that answers a placement without an order as its refusal; 201 is followed by Inactive."""
    placed = received.get(_ids(record))
    known = any((order.client_id, order.order_id) == _ids(record) and order.live for order in truth.orders)
    if placed is None or known or record["code"] == 201:
        return
    refused = _order(record, placed, status=REFUSED)
    refused.why = str(record["code"])
    truth.orders.append(refused)
    received.pop(_ids(record))


def _rejected(
    truth: Truth, by_perm: dict[int, TrueOrder], received: dict[tuple[int, int], Record], record: Record
) -> TrueOrder:
    order = _order(record, received.get(_ids(record), record), status="Inactive")
    truth.orders.append(order)
    by_perm[_int(record, "perm_id")] = order
    return order


def _ids(record: Record) -> tuple[int, int]:
    return _int(record, "client_id"), _int(record, "order_id")


def _int(record: Record, name: str) -> int:
    value = record[name]
    assert isinstance(value, int), f"journal record {record.get('sequence')} has {name}={value!r}"
    return value


def _micro(record: Record, name: str) -> int:
    return micro_from_float(float(str(record[name])))
