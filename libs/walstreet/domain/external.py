"""Owns which symbols wait for a person, because an order, a fill or a position in them is not ours.

Execution, the arbiter and the reconciler fold the same facts with the same rules. A symbol is blocked by the first
foreign fact and stays so until a person adopts it; adoption is done when the reconciler has folded the broker's
position into the books (``LedgerCorrection`` with the policy ``adopted``). A foreign order that was adopted while it
still worked keeps its symbol blocked until it has ended, because we could trade against it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from walstreet_events import (
    AnyEvent,
    BreakKind,
    ExternalOrder,
    LedgerCorrection,
    OperatorCommand,
    ReconBreak,
)

ADOPT = "adopt"
"""The operator's command; arguments ``symbol``, ``reason`` and ``cash`` (``true`` takes the cash over too)."""
ADOPTED = "adopted"
"""Policy of the correction that ends an adoption."""
POSITION = "position"
OPENING = "opening_position"
"""Reference of a position that was there before our first fact."""
FOREIGN_EXECUTION = "execution"
"""Status of the ``ExternalOrder`` that a foreign execution causes."""
GONE = "gone"
"""Status of a foreign order that a later snapshot does not list any more."""
ENDED_STATUSES = ("Filled", "Cancelled", "ApiCancelled", "Inactive", GONE)
ORDERS_MAX = 10_000
"""Foreign orders remembered; ended ones that were adopted are forgotten first, and no other ever is."""
WARN = "warn"
_CHILD_ID = re.compile(r"[0-9a-f]{32}")


class Origin(StrEnum):
    """Whose an order is that the log does not know."""

    MANUAL = "manual"
    """Entered by hand: client id 0."""
    OTHER_CLIENT = "other_client"
    EARLIER_LIFE = "earlier_life"
    """It carries a reference of our form, but the log that could explain it is lost."""


@dataclass(slots=True, kw_only=True)
class ForeignOrder:
    """What is known of one order that is not ours."""

    symbol: str
    ts_ns: int
    alive: bool
    adopted: bool = False


@dataclass(slots=True, kw_only=True)
class Externals:
    """Symbols and foreign orders that wait for a person."""

    waiting: dict[str, str] = field(default_factory=dict)
    """Symbol to the first reason for which it is blocked."""
    orders: dict[int, ForeignOrder] = field(default_factory=dict)
    """By permanent id."""
    asked: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Per symbol that a person wants to adopt: the foreign orders that were known then."""

    def __contains__(self, symbol: object) -> bool:
        """Return whether ``symbol`` must not be traded."""
        return symbol in self.waiting or any(
            order.alive for order in self.orders.values() if order.adopted and order.symbol == symbol
        )

    def adopted(self, perm_id: int) -> bool:
        """Return whether a person has taken over the foreign order."""
        known = self.orders.get(perm_id)
        return known is not None and known.adopted

    def gone(self, listed: tuple[int, ...], snapshot_ns: int) -> list[tuple[int, ForeignOrder]]:
        """Return the foreign orders held for alive that a snapshot asked at ``snapshot_ns`` lists no more."""
        return [
            (perm_id, order)
            for perm_id, order in self.orders.items()
            if order.alive and perm_id not in listed and order.ts_ns < snapshot_ns
        ]

    def apply(self, event: AnyEvent) -> None:
        """Fold one event; those that concern nothing foreign change nothing."""
        match event:
            case ExternalOrder():
                self._foreign(event)
            case ReconBreak() if event.symbol:
                if event.kind is BreakKind.EXTERNAL_ORDER and event.reference == OPENING:
                    self.waiting.setdefault(event.symbol, OPENING)
                elif event.kind is BreakKind.QUANTITY and event.reference == POSITION and event.policy == WARN:
                    # Under ``strict`` the whole book waits; here the rest goes on, and this symbol must not.
                    self.waiting.setdefault(event.symbol, POSITION)
            case OperatorCommand(command=command) if command == ADOPT:
                symbol = event.arguments.get("symbol", "")
                self.asked[symbol] = tuple(key for key, order in self.orders.items() if order.symbol == symbol)
            case LedgerCorrection(policy=policy) if policy == ADOPTED:
                self._adopt(event.symbol)
            case _:
                pass

    def canonical(self) -> tuple[object, ...]:
        """Return the content for a digest."""
        orders = [(key, order.symbol, order.ts_ns, order.alive, order.adopted) for key, order in self.orders.items()]
        return self.waiting, orders, list(self.asked.items())

    def _foreign(self, event: ExternalOrder) -> None:
        known = self.orders.get(event.perm_id)
        if event.status == FOREIGN_EXECUTION:
            # A fill says nothing about whether the rest of its order works.
            alive = known.alive if known is not None else False
        else:
            alive = event.status not in ENDED_STATUSES
        adopted = known is not None and known.adopted
        self.orders[event.perm_id] = ForeignOrder(symbol=event.symbol, ts_ns=event.ts_ns, alive=alive, adopted=adopted)
        if not adopted and event.status != GONE:
            self.waiting.setdefault(event.symbol, f"order {event.perm_id}")
        if len(self.orders) > ORDERS_MAX:
            over = next((key for key, order in self.orders.items() if order.adopted and not order.alive), None)
            if over is not None:
                del self.orders[over]

    def _adopt(self, symbol: str) -> None:
        for perm_id in self.asked.pop(symbol, ()):
            if perm_id in self.orders:
                self.orders[perm_id].adopted = True
        # What came after the person's command was not seen by the person.
        fresh = [key for key, order in self.orders.items() if order.symbol == symbol and not order.adopted]
        self.waiting.pop(symbol, None)
        if fresh:
            self.waiting[symbol] = f"order {fresh[0]}"


def origin_of(*, client_id: int, order_ref: str) -> Origin:
    """Return whose an order is that no submission on the log explains."""
    if _CHILD_ID.fullmatch(order_ref):
        return Origin.EARLIER_LIFE
    return Origin.MANUAL if client_id == 0 else Origin.OTHER_CLIENT
