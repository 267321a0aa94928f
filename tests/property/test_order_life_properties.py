"""Property tests of one parent's life against a model broker: lost, late and repeated messages, and crashes.

Whatever happens, what is filled and what may still fill at the broker never exceed the parent; no price passes the cap;
and nothing is changed that execution does not know to be working.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.execution_modify import CHANGEABLE, tick_rule
from walstreet.domain.micro_planner import cap_nano
from walstreet.domain.observations import (
    BrokerOrderFacts,
    ExecutionObserved,
    Observation,
    OrderErrorObserved,
    OrderStatusObserved,
    TimeObserved,
)
from walstreet.testing.execution_world import (
    CON_ID,
    DOLLAR,
    NOW_NS,
    SHARE,
    S,
    World,
    block,
    clock,
    intent,
    link,
    quote,
    ready_world,
    snapshot,
)
from walstreet_events import AnyEvent, OrderIntent, OrderModifying, OrderSubmitting, Side

PARENT_SHARES = 100
PARENT_S = 400
MODIFY_FILLED = 104


@dataclass
class Placed:
    """One order as the broker has it."""

    sent: OrderSubmitting
    limit_nano: int
    perm_id: int
    filled: int = 0
    live: bool = True
    fills: list[ExecutionObserved] = field(default_factory=list)


@dataclass
class Market:
    """The broker's side: what reached it, and messages on their way to us."""

    placed: dict[str, Placed] = field(default_factory=dict)
    mail: list[Observation] = field(default_factory=list)

    def take(self, out: AnyEvent, now_ns: int, *, arrives: bool) -> None:
        """Let a message arrive, or be lost with the process or the line."""
        if not arrives:
            return
        if isinstance(out, OrderSubmitting):
            assert out.client_order_id not in self.placed, "a child was placed twice"
            self.placed[out.client_order_id] = Placed(out, out.limit_nano, perm_id=100 + len(self.placed))
            self.tell(out.client_order_id, now_ns)
        elif isinstance(out, OrderModifying):
            order = self.placed[out.client_order_id]
            if order.live:
                order.limit_nano = out.limit_nano
                self.tell(out.client_order_id, now_ns)
            else:
                self.mail.append(
                    OrderErrorObserved(
                        ts_ns=now_ns, broker_order_id=out.broker_order_id, code=MODIFY_FILLED, message="filled"
                    )
                )

    def tell(self, key: str, now_ns: int) -> None:
        """Say where an order stands, by openOrder and status."""
        order = self.placed[key]
        done = order.filled * SHARE == order.sent.quantity_micro
        self.mail.append(
            OrderStatusObserved(
                ts_ns=now_ns,
                broker_order_id=order.sent.broker_order_id,
                client_id=1,
                perm_id=order.perm_id,
                client_order_id=key,
                symbol="SPY",
                status="Filled" if done else "Submitted" if order.live else "Cancelled",
                filled_micro=order.filled * SHARE,
                remaining_micro=order.sent.quantity_micro - order.filled * SHARE,
                average_price_nano=0,
                why_held="",
                limit_nano=order.limit_nano,
                total_micro=order.sent.quantity_micro,
            )
        )

    def fill(self, shares: int, now_ns: int) -> None:
        """Fill the oldest living order by up to ``shares``."""
        for key, order in self.placed.items():
            left = order.sent.quantity_micro // SHARE - order.filled
            if not order.live or not left:
                continue
            count = min(shares, left)
            order.filled += count
            order.live = order.filled * SHARE < order.sent.quantity_micro
            fact = ExecutionObserved(
                ts_ns=now_ns,
                exec_id=f"0000.{order.perm_id}.{len(order.fills)}.01",
                perm_id=order.perm_id,
                broker_order_id=order.sent.broker_order_id,
                client_id=1,
                client_order_id=key,
                symbol="SPY",
                con_id=CON_ID,
                buy=order.sent.side is Side.BUY,
                price_nano=order.limit_nano,
                quantity_micro=count * SHARE,
                cumulative_micro=order.filled * SHARE,
            )
            order.fills.append(fact)
            self.mail.append(fact)
            self.tell(key, now_ns)
            return

    def expire(self, now_ns: int) -> None:
        """End the orders whose good-till date has passed, as the broker does by itself."""
        for key, order in self.placed.items():
            if order.live and now_ns > order.sent.good_till_ns:
                order.live = False
                self.tell(key, now_ns)

    def listed(self, *, live: bool) -> tuple[BrokerOrderFacts, ...]:
        """Return the open or the ended orders as a query does."""
        return tuple(
            BrokerOrderFacts(
                client_order_id=key,
                perm_id=order.perm_id,
                client_id=1,
                broker_order_id=order.sent.broker_order_id,
                symbol="SPY",
                buy=order.sent.side is Side.BUY,
                quantity_micro=order.sent.quantity_micro,
                filled_micro=order.filled * SHARE,
                status="Submitted" if live else "Cancelled",
                limit_nano=order.limit_nano,
            )
            for key, order in self.placed.items()
            if order.live is live
        )


@dataclass
class Life:
    """One parent from its block to long after its expiry."""

    parent: OrderIntent
    world: World = field(default_factory=lambda: ready_world(aggression="staged"))
    market: Market = field(default_factory=Market)
    now_ns: int = NOW_NS
    count: int = 0

    def send(self, outs: list[AnyEvent], *, arrives: bool) -> None:
        """Carry outputs to the broker and check each of them."""
        for out in outs:
            if isinstance(out, OrderModifying):
                self.check_price(out.client_order_id, out.limit_nano)
            self.market.take(out, self.now_ns, arrives=arrives)
        self.check()

    def look(self, *, arrives: bool) -> None:
        """Let execution look at the clock; what it wants to change must be known to work."""
        states = {key: order.state for key, order in self.world.state.orders.items()}
        waiting = {key: order.asked_nano for key, order in self.world.state.orders.items()}
        outs = self.world.see(TimeObserved(ts_ns=self.now_ns))
        for out in outs:
            if isinstance(out, OrderModifying):
                assert states[out.client_order_id] in CHANGEABLE
                assert not waiting[out.client_order_id]
        self.send(outs, arrives=arrives)

    def check_price(self, key: str, limit_nano: int) -> None:
        """No price passes the cap of the order's own arrival."""
        order = self.world.state.orders[key]
        assert order.arrival is not None
        parameters = self.world.core._versions.of(self.world.state.changes)
        rule = tick_rule(self.world.state, "SPY", parameters)
        sign = 1 if order.side is Side.BUY else -1
        assert sign * limit_nano <= sign * cap_nano(order.side, order.arrival, rule, parameters.planner)
        assert rule.conforms(limit_nano)

    def check(self) -> None:
        """Filled and still fillable at the broker together never exceed the parent."""
        total = sum(
            order.sent.quantity_micro if order.live else order.filled * SHARE for order in self.market.placed.values()
        )
        assert total <= self.parent.quantity_micro


ACTIONS = st.one_of(
    st.tuples(st.just("wait"), st.integers(1, 20)),
    st.tuples(st.just("wait"), st.integers(20, 80)),
    st.tuples(st.just("fill"), st.integers(1, 60)),
    st.tuples(st.just("mail"), st.integers(0, 3)),
    st.tuples(st.just("lose"), st.integers(0, 3)),
    st.tuples(st.just("quote"), st.integers(-20, 20)),
    st.tuples(st.just("look"), st.integers(0, 4)),
    st.tuples(st.just("crash"), st.just(0)),
    st.tuples(st.just("reconnect"), st.just(0)),
    st.tuples(st.just("snapshot"), st.integers(0, 1)),
)


def _play(life: Life, action: str, number: int) -> None:
    market, world = life.market, life.world
    if action == "wait":
        life.now_ns += number * S
        market.expire(life.now_ns)
        life.send(world.give(clock(life.now_ns)), arrives=True)
    elif action == "fill":
        market.fill(number, life.now_ns)
    elif action == "mail" and market.mail:
        life.send(world.see(market.mail.pop(number % len(market.mail))), arrives=True)
    elif action == "lose" and market.mail:
        market.mail.pop(number % len(market.mail))
    elif action == "quote":
        mid = 100.0 + number / 100
        world.see(quote(mid - 0.02, mid + 0.02, ts_ns=life.now_ns))
    elif action == "look":
        # One in five messages is lost on the line.
        life.look(arrives=number > 0)
    elif action == "crash":
        life.world = world.restarted()
        life.send(life.world.see(link(ts_ns=life.now_ns)), arrives=True)
    elif action == "reconnect":
        life.send(world.see(link(ts_ns=life.now_ns)), arrives=True)
    elif action == "snapshot":
        life.count += 1
        executions = tuple(fill for order in market.placed.values() for fill in order.fills) if number else ()
        answer = snapshot(
            f"s{life.count}",
            life.now_ns,
            open_orders=market.listed(live=True),
            completed=market.listed(live=False),
            executions=executions,
        )
        life.send(world.see(answer), arrives=True)
        life.look(arrives=True)
    life.check()


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(list(Side)), st.booleans(), st.lists(ACTIONS, max_size=40))
def test_a_parent_is_never_exceeded(side: Side, arrives: bool, actions: list[tuple[str, int]]) -> None:
    """Any interleaving of fills, lost and late messages, changes, reconnections, crashes and snapshots."""
    parent = intent(side=side, quantity_micro=PARENT_SHARES * SHARE, expires_ns=NOW_NS + PARENT_S * S)
    life = Life(parent)
    life.send(life.world.give(block(parent)), arrives=arrives)
    for action, number in actions:
        _play(life, action, number)
    filled = sum(order.filled for order in life.market.placed.values())
    assert filled <= PARENT_SHARES
    for order in life.market.placed.values():
        assert 99 * DOLLAR < order.limit_nano < 101 * DOLLAR


def test_the_model_does_send_the_rest_of_a_parent() -> None:
    """The property above is not empty: a partial fill, the end, and two snapshots bring a second child."""
    parent = intent(expires_ns=NOW_NS + PARENT_S * S)
    life = Life(parent)
    life.send(life.world.give(block(parent)), arrives=True)
    for action, number in (("mail", 0), ("fill", 40), ("mail", 0), ("mail", 0), ("wait", 70), ("mail", 0)):
        _play(life, action, number)
    _play(life, "quote", 0)
    _play(life, "snapshot", 1)
    assert [order.sent.quantity_micro // SHARE for order in life.market.placed.values()] == [100, 60]
