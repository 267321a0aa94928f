"""Owns what the arbiter knows of its parents at work: which symbols must wait before a second parent is sent.

A parent is at work from its intent block until it is refused, filled, or expired, and in every case until none of its
children can still trade. A child counts as settled only when the broker's final status *and* all executions that
the status counts have been journaled: else a position that still lags would be traded a second time. A child
whose outcome is unknown is at work. A final state that is withdrawn (proof that the order lives) reopens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from walstreet_events import (
    NANOS_PER_SECOND,
    IntentBlock,
    OrderFilled,
    OrderIntent,
    OrderRefused,
    OrderState,
    OrderSubmitting,
    OrderUpdated,
    Side,
)

FINAL_STATES: tuple[OrderState, ...] = (
    OrderState.FILLED,
    OrderState.CANCELLED,
    OrderState.REJECTED,
    OrderState.EXPIRED,
)
EXPIRY_GRACE_NS = 5 * NANOS_PER_SECOND
"""After an intent's expiry a child submitted just before it may still be on its way through the log."""
CLOSED_CHILDREN_MAX = 10_000
"""Settled children remembered, so that a reopened one is recognised; the oldest are forgotten."""


@dataclass(slots=True, kw_only=True)
class Parent:
    """One intent at work."""

    symbol: str
    signed_micro: int
    expires_ns: int
    filled_micro: int = 0
    refused: bool = False


@dataclass(slots=True, kw_only=True)
class Child:
    """One order at the broker."""

    intent: str
    symbol: str
    signed_micro: int
    executed_micro: int = 0
    """Sum of its journaled executions."""
    reported_micro: int = 0
    """Cumulative quantity by the broker's status."""
    final: bool = False

    @property
    def settled(self) -> bool:
        """Return whether nothing of the order can change our position any more."""
        return self.final and self.executed_micro >= self.reported_micro


@dataclass(slots=True, kw_only=True)
class WorkingOrders:
    """Parents and children that are not settled yet."""

    parents: dict[str, Parent] = field(default_factory=dict)
    children: dict[str, Child] = field(default_factory=dict)
    closed: dict[str, Child] = field(default_factory=dict)

    def apply(self, event: object) -> None:
        """Fold one event of an order's life; others change nothing. Executions must not be repeated."""
        if isinstance(event, IntentBlock):
            for intent in event.intents:
                self._open(intent)
        elif isinstance(event, OrderRefused):
            if event.intent in self.parents:
                self.parents[event.intent].refused = True
        elif isinstance(event, OrderSubmitting):
            self._submit(event)
        elif isinstance(event, OrderUpdated):
            self._update(event)
        elif isinstance(event, OrderFilled):
            self._fill(event)

    def expire(self, now_ns: int) -> None:
        """Forget what is over at ``now_ns``; called after every fact, with the time of the log."""
        for key in [key for key, child in self.children.items() if child.settled]:
            self.closed[key] = self.children.pop(key)
            if len(self.closed) > CLOSED_CHILDREN_MAX:
                del self.closed[next(iter(self.closed))]
        alive = {child.intent for child in self.children.values()}
        for key in list(self.parents):
            parent = self.parents[key]
            done = (
                parent.refused
                or parent.filled_micro >= abs(parent.signed_micro)
                or now_ns > parent.expires_ns + EXPIRY_GRACE_NS
            )
            if done and key not in alive:
                del self.parents[key]

    def remaining_micro(self) -> dict[str, int]:
        """Return per symbol at work the signed quantity that may still be traded; 0 is possible and still at work."""
        left: dict[str, int] = {}
        for parent in self.parents.values():
            sign = 1 if parent.signed_micro > 0 else -1
            rest = max(abs(parent.signed_micro) - parent.filled_micro, 0)
            left[parent.symbol] = left.get(parent.symbol, 0) + sign * rest
        for child in self.children.values():
            # A child without a parent was reopened after its parent had ended.
            orphan = child.signed_micro if child.intent not in self.parents else 0
            left[child.symbol] = left.get(child.symbol, 0) + orphan
        return left

    def _open(self, intent: OrderIntent) -> None:
        signed = intent.quantity_micro if intent.side is Side.BUY else -intent.quantity_micro
        self.parents[intent.id] = Parent(symbol=intent.symbol, signed_micro=signed, expires_ns=intent.expires_ns)

    def _submit(self, event: OrderSubmitting) -> None:
        signed = event.quantity_micro if event.side is Side.BUY else -event.quantity_micro
        self.children.setdefault(
            event.client_order_id, Child(intent=event.intent, symbol=event.symbol, signed_micro=signed)
        )

    def _update(self, event: OrderUpdated) -> None:
        child = self._find(event.client_order_id)
        if child is None:
            return
        child.reported_micro = max(child.reported_micro, event.filled_micro)
        child.final = event.state in FINAL_STATES
        self._reopen(event.client_order_id, child)

    def _fill(self, event: OrderFilled) -> None:
        child = self._find(event.client_order_id)
        if child is None:
            return
        child.executed_micro += event.quantity_micro
        if child.intent in self.parents:
            self.parents[child.intent].filled_micro += event.quantity_micro
        self._reopen(event.client_order_id, child)

    def _find(self, client_order_id: str) -> Child | None:
        return self.children.get(client_order_id) or self.closed.get(client_order_id)

    def _reopen(self, key: str, child: Child) -> None:
        if key in self.closed and not child.settled:
            self.children[key] = self.closed.pop(key)
