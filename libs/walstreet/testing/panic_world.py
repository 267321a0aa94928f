"""Owns a broker in miniature for tests of emergencies: orders, fills, cancels in any order, and the true position."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from walstreet.domain.observations import (
    BrokerOrderFacts,
    ExecutionObserved,
    OrderStatusObserved,
    PositionFacts,
    SnapshotObserved,
    TimeObserved,
)
from walstreet.testing.execution_world import CON_ID, NOW_NS, SHARE, SYMBOL, S, World, quote
from walstreet_events import (
    ROOT,
    AnyEvent,
    FlattenPhase,
    FlattenState,
    OperatorCommand,
    OrderCancelling,
    OrderSubmitting,
    Side,
    derive_id,
)


def command(name: str, *, operator: str = "ann", reason: str = "why", ts_ns: int = NOW_NS) -> OperatorCommand:
    """Return a person's command."""
    return OperatorCommand(
        id=derive_id(f"{name}:{operator}:{reason}:{ts_ns}", "command", 0),
        cause=ROOT,
        ts_ns=ts_ns,
        command=name,
        arguments={"reason": reason},
        operator=operator,
    )


@dataclass(slots=True)
class BrokerOrder:
    """One order at the broker."""

    client_order_id: str
    broker_order_id: int
    buy: bool
    quantity: int
    filled: int = 0
    status: str = "Submitted"

    @property
    def live(self) -> bool:
        """Return whether it may still fill."""
        return self.status == "Submitted"


@dataclass(slots=True)
class MiniBroker:
    """Takes what a world sends, holds a position of one symbol, and says what it is asked or told to say."""

    world: World
    now_ns: int = NOW_NS
    position: int = 0
    orders: dict[str, BrokerOrder] = field(default_factory=dict)
    questions: list[FlattenState] = field(default_factory=list)
    places: list[OrderSubmitting] = field(default_factory=list)
    cancels: list[OrderCancelling] = field(default_factory=list)
    executions: list[ExecutionObserved] = field(default_factory=list)

    def take(self, outs: list[AnyEvent]) -> list[AnyEvent]:
        """Carry out what the world's outputs announce."""
        for out in outs:
            match out:
                case OrderSubmitting():
                    self.places.append(out)
                    self.orders[out.client_order_id] = BrokerOrder(
                        client_order_id=out.client_order_id,
                        broker_order_id=out.broker_order_id,
                        buy=out.side is Side.BUY,
                        quantity=out.quantity_micro // SHARE,
                    )
                case OrderCancelling():
                    self.cancels.append(out)
                case FlattenState() if out.phase is FlattenPhase.PROVING:
                    self.questions.append(out)
                case _:
                    pass
        return outs

    def step(self, seconds: float = 1.0, *, fresh: bool = True) -> list[AnyEvent]:
        """Let time pass; with ``fresh`` the quote is confirmed."""
        self.now_ns += round(seconds * S)
        if fresh:
            self.world.see(quote(ts_ns=self.now_ns))
        return self.take(self.world.see(TimeObserved(ts_ns=self.now_ns)))

    def fill(self, name: str, shares: int) -> None:
        """Let an order trade, without telling anybody yet."""
        order = self.orders[name]
        shares = min(shares, order.quantity - order.filled)
        if shares <= 0:
            return
        order.filled += shares
        self.position += shares if order.buy else -shares
        if order.filled == order.quantity:
            order.status = "Filled"
        self.executions.append(
            ExecutionObserved(
                ts_ns=self.now_ns,
                exec_id=f"x{len(self.executions)}.01",
                perm_id=1_000 + order.broker_order_id,
                broker_order_id=order.broker_order_id,
                client_id=1,
                client_order_id=name,
                symbol=SYMBOL,
                con_id=CON_ID,
                buy=order.buy,
                price_nano=100_000_000_000,
                quantity_micro=shares * SHARE,
                cumulative_micro=order.filled * SHARE,
            )
        )

    def tell_executions(self) -> None:
        """Tell every execution so far, known ones among them."""
        for fact in self.executions:
            self.take(self.world.see(msgspec.structs.replace(fact, ts_ns=self.now_ns)))

    def tell_status(self, name: str) -> None:
        """Tell how an order stands."""
        order = self.orders[name]
        self.take(
            self.world.see(
                OrderStatusObserved(
                    ts_ns=self.now_ns,
                    broker_order_id=order.broker_order_id,
                    client_id=1,
                    perm_id=1_000 + order.broker_order_id,
                    client_order_id=name,
                    symbol=SYMBOL,
                    status=order.status,
                    filled_micro=order.filled * SHARE,
                    remaining_micro=(order.quantity - order.filled) * SHARE,
                    average_price_nano=0,
                    why_held="",
                )
            )
        )

    def cancel(self, name: str) -> None:
        """End an order, without telling anybody yet."""
        if self.orders[name].live:
            self.orders[name].status = "Cancelled"

    def answer(self, *, ok: bool = True) -> None:
        """Answer the oldest question for the truth."""
        if not self.questions:
            return
        asked = self.questions.pop(0)
        self.take(
            self.world.see(
                SnapshotObserved(
                    ts_ns=self.now_ns,
                    request=asked.id,
                    ok=ok,
                    detail="" if ok else "timeout",
                    open_orders=tuple(self._facts(order) for order in self.orders.values() if order.live),
                    completed_orders=tuple(self._facts(order) for order in self.orders.values() if not order.live),
                    executions=tuple(self.executions),
                    positions=self._positions(),
                    account=None,
                )
            )
        )

    def _positions(self) -> tuple[PositionFacts, ...]:
        return (
            PositionFacts(
                symbol=SYMBOL, con_id=CON_ID, quantity_micro=self.position * SHARE, average_cost_nano=100_000_000_000
            ),
        )

    def _facts(self, order: BrokerOrder) -> BrokerOrderFacts:
        return BrokerOrderFacts(
            client_order_id=order.client_order_id,
            perm_id=1_000 + order.broker_order_id,
            client_id=1,
            broker_order_id=order.broker_order_id,
            symbol=SYMBOL,
            buy=order.buy,
            quantity_micro=order.quantity * SHARE,
            filled_micro=order.filled * SHARE,
            status=order.status,
        )
