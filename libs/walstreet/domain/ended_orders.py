"""Owns which orders have ended by the broker's word alone: what they could still do is held until a query proves it.

A status of Cancelled, or code 202, may be untrue, and executions may follow it. Until an answered query of open orders
and executions, asked afterwards, does not show the order any more, its symbol takes no further order. What was filled
whole, and what was refused, needs no such proof.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from walstreet_events import OrderState, OrderUpdated, ReconSnapshot

QUESTION = "end:"
"""Begin of the name of a query that an order's end asked for."""
BY_WORD = (OrderState.CANCELLED, OrderState.EXPIRED)


@dataclass(slots=True, kw_only=True)
class EndedOrders:
    """Ends that no query has proved yet."""

    ended_ns: dict[str, int] = field(default_factory=dict)
    """By client order id."""
    symbols: dict[str, str] = field(default_factory=dict)

    def __contains__(self, symbol: object) -> bool:
        """Return whether an order of ``symbol`` may still do something although it was said to have ended."""
        return symbol in self.symbols.values()

    def update(self, event: OrderUpdated) -> None:
        """Fold the newest word about an order."""
        if event.state in BY_WORD:
            self.ended_ns.setdefault(event.client_order_id, event.ts_ns)
            self.symbols[event.client_order_id] = event.symbol
        else:
            self._forget(event.client_order_id)

    def prove(self, snapshot: ReconSnapshot) -> None:
        """Fold an answered query: what ended before it was asked, and is not open in it, has ended."""
        open_orders = {order.order_ref for order in snapshot.open_orders}
        for key in [key for key, ended_ns in self.ended_ns.items() if ended_ns <= snapshot.ts_ns]:
            if key not in open_orders:
                self._forget(key)

    def _forget(self, client_order_id: str) -> None:
        self.ended_ns.pop(client_order_id, None)
        self.symbols.pop(client_order_id, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndQuestion:
    """Asks for the proof of an order's end."""

    id: str
    ts_ns: int
    number: int = 0


def question(event: OrderUpdated) -> EndQuestion | None:
    """Return the query that a journaled update asks for, None where nothing is to be proved."""
    if event.state not in BY_WORD:
        return None
    return EndQuestion(id=f"{QUESTION}{event.id}", ts_ns=event.ts_ns)


def asked_for_an_end(snapshot: ReconSnapshot) -> bool:
    """Return whether a snapshot answers such a query; it counts for no other proof, which wants distance in time."""
    return snapshot.request.startswith(QUESTION)
