"""Order life over real TCP: the execution core and the adapter against the simulator, changes in place and brackets.

They cover walstreet_services.execution.shell's tickets and walstreet_services.ibsim.stops as well.
"""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date

import msgspec
import pytest

from walstreet.adapters.free_ports import free_port
from walstreet.adapters.ibkr import BrokerRefusedError, ConnectOptions, IbkrBroker
from walstreet.domain.bracket_prices import BracketParameters
from walstreet.domain.execution import ExecutionCore
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.guard_margin import MarginParameters
from walstreet.domain.guard_market import MarketGuardParameters
from walstreet.domain.guard_orders import OrderGuardParameters
from walstreet.domain.guard_short import ShortSaleParameters
from walstreet.domain.micro_planner import PlannerParameters
from walstreet.domain.observations import Observation, OrderStatusObserved, QuoteObserved, TimeObserved
from walstreet.testing.execution_world import KEY, World, arbiter_epoch, bar, block, feed, intent
from walstreet_events import (
    NANOS_PER_SECOND,
    QUANTITY_SCALE,
    ROOT,
    AnyEvent,
    InstrumentRef,
    OrderBracketed,
    OrderCancelling,
    OrderFilled,
    OrderIntent,
    OrderModified,
    OrderModifying,
    OrderState,
    OrderSubmitting,
    PhaseName,
    SessionPhase,
    Side,
    derive_id,
)
from walstreet_services.execution.shell import _ticket, family_tickets
from walstreet_services.ibsim.gateway import GatewayOptions
from walstreet_services.ibsim.journal import Journal
from walstreet_services.ibsim.market_synthetic import SyntheticMarket
from walstreet_services.ibsim.matching import QueueMatching
from walstreet_services.ibsim.server import SimulatorServer

pytestmark = pytest.mark.integration
LIBRARIES = [name for name in ("ib_insync", "ib_async") if importlib.util.find_spec(name)]
SYMBOL = "SYN01"
S = NANOS_PER_SECOND
STEP_S = 5
WARM_UP_STEPS = 24
PARAMETERS = {
    "aggression": "staged",
    "planner": PlannerParameters(look_s=float(STEP_S)),
    "margin": MarginParameters(enabled=False),
    "market": MarketGuardParameters(blackout_open_s=0.0, feed_age_s_max=10.0, adv_usd_min=0.0),
    "short": ShortSaleParameters(rule_age_s_max=3_600),
}


@dataclass
class Rig:
    """Simulator, adapter and core; the test moves time, and every durable event is carried out at once."""

    server: SimulatorServer
    broker: IbkrBroker
    world: World
    waiting: list[Observation]
    step: int = 0
    bracket: OrderBracketed | None = None
    events: list[AnyEvent] = field(default_factory=list)

    @property
    def now_ns(self) -> int:
        """Return session time."""
        return self.server.playback.now_ns

    def of(self, kind: type[AnyEvent]) -> list[AnyEvent]:
        """Return the core's events of one type."""
        return [event for event in self.events if isinstance(event, kind)]

    async def play(self, steps: int = 1) -> None:
        """Play market steps; after each one the core sees what came and looks at the clock."""
        for _ in range(steps):
            await self.server.playback.play_until(self.server.playback.step_end_ns(self.step))
            self.step += 1
            await self.settle()
            await self.carry(self.world.see(TimeObserved(ts_ns=self.now_ns)))
            await self.settle()

    async def settle(self) -> None:
        """Hand on what the broker has said; what follows is carried out."""
        await self.broker.server_time_ns()
        while self.waiting:
            await self.carry(self.world.see(self.waiting.pop(0)))

    async def carry(self, outs: list[AnyEvent]) -> None:
        """Do what the service's shell does with durable events."""
        for out in outs:
            self.events.append(out)
            if isinstance(out, OrderBracketed):
                self.bracket = out
            elif isinstance(out, OrderSubmitting):
                family = family_tickets(out, self.bracket) if self.bracket else [_ticket(out)]
                self.bracket = None
                for ticket in family:
                    await self.broker.place(ticket)
            elif isinstance(out, OrderModifying):
                await self.broker.modify(_ticket(out))
            elif isinstance(out, OrderCancelling):
                await self.broker.cancel(out.broker_order_id)

    async def send(self, wanted: OrderIntent) -> OrderSubmitting:
        """Send one intent and return its submission."""
        await self.carry(self.world.give(block(wanted, name=wanted.id, ts_ns=self.now_ns)))
        sent = self.events[-1]
        assert isinstance(sent, OrderSubmitting), sent
        await self.settle()
        return sent

    def intent(self, name: str = "one", *, shares: int = 10, side: Side = Side.BUY, tif_s: int = 30) -> OrderIntent:
        """Return an intent of now."""
        quote = self.quote()
        return intent(
            name,
            symbol=SYMBOL,
            con_id=self.world.state.instruments[SYMBOL].con_id,
            quantity_micro=shares * QUANTITY_SCALE,
            side=side,
            arrival_mid_nano=(quote.bid_nano + quote.ask_nano) // 2,
            tif_s=tif_s,
            expires_ns=self.now_ns + tif_s * S,
        )

    def quote(self) -> QuoteObserved:
        """Return the newest quote."""
        return self.world.state.quotes[SYMBOL]


@asynccontextmanager
async def rig_of(library: str, **changes: object) -> AsyncIterator[Rig]:
    """Yield a rig two minutes into the session, with ``changes`` of execution's parameters."""
    market = SyntheticMarket([SYMBOL], seed=3, day=date(2026, 3, 2), step_ns=STEP_S * S, minutes=60)
    matching = QueueMatching(market.instruments, market.session)
    server = SimulatorServer(
        market, matching, Journal(None), GatewayOptions(account="DU000001", cash_nano=10**15), speed=None
    )
    port = await server.listen("127.0.0.1", free_port())
    seen: list[Observation] = []

    class _Clock:
        def now_ns(self) -> int:
            return server.playback.now_ns

    options = ConnectOptions(port=port, library=library, paced=False, request_timeout_s=10.0)  # type: ignore[arg-type]
    broker = IbkrBroker(options, clock=_Clock(), observer=seen.append)
    parameters = ExecutionParameters(**{**PARAMETERS, **changes})  # type: ignore[arg-type]
    rig = Rig(server, broker, World(core=ExecutionCore(parameters, (KEY,))), seen)
    try:
        await broker.connect()
        facts = (await broker.instruments([SYMBOL]))[0]
        session = market.session
        rig.world.give(arbiter_epoch())
        rig.world.give(
            SessionPhase(
                id=derive_id("open", "phase", 0),
                cause=ROOT,
                ts_ns=session.open_ns,
                session_date=session.date.isoformat(),
                phase=PhaseName.OPEN,
                open_ns=session.open_ns,
                close_ns=session.close_ns,
            )
        )
        rig.world.give(feed())
        rig.world.give(
            InstrumentRef(
                id=derive_id(SYMBOL, "ref", 0),
                cause=ROOT,
                ts_ns=session.open_ns,
                symbol=SYMBOL,
                con_id=facts.con_id,
                exchange="SMART",
                primary_exchange="",
                currency="USD",
                sector="",
                min_tick_nano=facts.min_tick_nano,
                lot_micro=facts.lot_micro,
                prior_close_nano=market.instruments[0].prior_close_nano,
                average_daily_volume_micro=market.instruments[0].average_daily_volume_micro,
            )
        )
        price = market.instruments[0].prior_close_nano / 1e9
        for day in (2, 1):
            for minute in range(1, 8):
                at = session.open_ns - day * 86_400 * S + minute * 60 * S
                rig.world.give(bar(at, close=price, warmup=True, symbols=(SYMBOL,)))
        await broker.stream([SYMBOL])
        await rig.play(WARM_UP_STEPS)
        close = rig.quote().ask_nano / 1e9
        rig.world.give(bar(session.open_ns + 60 * S, close=close, symbols=(SYMBOL,)))
        rig.world.give(bar(session.open_ns + 120 * S, close=close * 1.0001, symbols=(SYMBOL,)))
        yield rig
    finally:
        await broker.close()
        await server.close()


@pytest.mark.parametrize("library", LIBRARIES)
async def test_an_order_is_worked_in_place_to_its_fill(library: str) -> None:
    """One order at the broker, changed under its own id, echoed, filled before its time; every change was journaled."""
    async with rig_of(library) as rig:
        sent = await rig.send(rig.intent())
        await rig.play(7)
        changes = [event for event in rig.of(OrderModifying) if isinstance(event, OrderModifying)]
        answers = [event for event in rig.of(OrderModified) if isinstance(event, OrderModified)]
        order = rig.world.state.orders[sent.client_order_id]
        assert changes, "the order filled at its first price; choose another seed"
        assert order.state is OrderState.FILLED
        assert [event.broker_order_id for event in changes] == [sent.broker_order_id] * len(changes)
        assert [(event.outcome, event.limit_nano) for event in answers] == [
            ("accepted", event.limit_nano) for event in changes
        ]
        fills = [event for event in rig.of(OrderFilled) if isinstance(event, OrderFilled)]
        assert sum(event.quantity_micro for event in fills) == sent.quantity_micro
        assert max(event.ts_ns for event in fills) <= sent.good_till_ns
        assert len(rig.world.state.orders) == 1


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_reconnection_between_two_changes(library: str) -> None:
    """The outcome is unknown until the new connection's open order shows the price; then the schedule goes on."""
    async with rig_of(library) as rig:
        far = rig.quote()
        sent = await rig.send(rig.intent(tif_s=60))
        before = rig.world.state.orders[sent.client_order_id]
        assert before.state is OrderState.WORKING, far
        await rig.broker.close()
        await rig.broker.connect()
        await rig.settle()
        order = rig.world.state.orders[sent.client_order_id]
        assert (order.state, order.limit_nano) == (OrderState.WORKING, sent.limit_nano)
        await rig.play(13)
        assert rig.world.state.orders[sent.client_order_id].state in {OrderState.FILLED, OrderState.EXPIRED}


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_family_goes_out_whole_and_one_cancels_the_other(library: str) -> None:
    """Nothing trades before the last of three is transmitted; the pair wakes with the fill, and one of it ends both."""
    brackets = BracketParameters(mode="fixed", take_profit_bps=3.0, stop_bps=3.0)
    async with rig_of(library, brackets=brackets, aggression="cross") as rig:
        sent = await rig.send(rig.intent())
        pair = next(event for event in rig.of(OrderBracketed) if isinstance(event, OrderBracketed))
        profit, stop = (child.client_order_id for child in pair.children)
        assert [rig.world.state.orders[key].why_held for key in (profit, stop)] == ["child", "child"]
        for _ in range(6):
            await rig.play()
            if rig.world.state.orders[sent.client_order_id].state is OrderState.FILLED:
                break
        assert rig.world.state.orders[sent.client_order_id].state is OrderState.FILLED
        assert rig.world.state.orders[profit].state in {OrderState.WORKING, OrderState.FILLED}
        for _ in range(180):
            if not rig.world.state.open_orders:
                break
            await rig.play()
        states = [rig.world.state.orders[key].state for key in (profit, stop)]
        assert sorted(states) == [OrderState.CANCELLED, OrderState.FILLED]
        fills = [event for event in rig.of(OrderFilled) if isinstance(event, OrderFilled)]
        bought = sum(event.quantity_micro for event in fills if event.side is Side.BUY)
        sold = sum(event.quantity_micro for event in fills if event.side is Side.SELL)
        assert bought == sold == sent.quantity_micro
        exits = [event for event in fills if event.side is Side.SELL]
        assert {event.intent for event in exits} == {""}
        if rig.world.state.orders[profit].state is OrderState.FILLED:
            assert min(event.price_nano for event in exits) >= pair.children[0].limit_nano


@pytest.mark.parametrize("library", LIBRARIES)
async def test_an_untransmitted_parent_alone_never_trades(library: str) -> None:
    """The process died after the first of three: the gateway keeps the order, no query shows it."""
    async with rig_of(library, brackets=BracketParameters(mode="fixed"), aggression="cross") as rig:
        wanted = rig.intent()
        outs = rig.world.give(block(wanted, name="b", ts_ns=rig.now_ns))
        pair, sent = outs
        assert isinstance(pair, OrderBracketed)
        assert isinstance(sent, OrderSubmitting)
        await rig.broker.place(family_tickets(sent, pair)[0])
        await rig.play(4)
        assert not rig.of(OrderFilled)
        told = await rig.broker.snapshot("s", rig.now_ns)
        assert told.ok
        assert told.open_orders == ()


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_stop_triggers_on_the_simulated_path(library: str) -> None:
    """A stop a long way off waits as PreSubmitted; one that the market has reached becomes a market order and fills."""
    async with rig_of(library) as rig:
        base, bid = _ticket(await rig.send(rig.intent(shares=1))), rig.quote().bid_nano
        tick = rig.world.state.instruments[SYMBOL].min_tick_nano
        seen: dict[int, list[str]] = {}
        for number, stop_nano in ((901, bid // 2 // tick * tick), (902, bid * 2 // tick * tick)):
            stop = msgspec.structs.replace(
                base,
                broker_order_id=number,
                client_order_id=f"stop-{number}",
                buy=False,
                limit_nano=None,
                stop_nano=stop_nano,
                good_till_ns=rig.now_ns + 300 * S,
            )
            await rig.broker.place(stop)
        for _ in range(4):
            await rig.server.playback.play_until(rig.server.playback.step_end_ns(rig.step))
            rig.step += 1
            await rig.broker.server_time_ns()
            for fact in rig.waiting:
                if isinstance(fact, OrderStatusObserved) and fact.broker_order_id in {901, 902}:
                    seen.setdefault(fact.broker_order_id, []).append(fact.status)
            await rig.settle()
        assert set(seen[901]) == {"PreSubmitted"}
        assert list(dict.fromkeys(seen[902])) == ["PreSubmitted", "Submitted", "Filled"]


@pytest.mark.parametrize("library", LIBRARIES)
async def test_fractions_meet_the_capability_and_the_gateway(library: str) -> None:
    """Without the capability the adapter refuses them; with it the simulated gateway does, by code 10243."""
    async with rig_of(library, orders=OrderGuardParameters()) as rig:
        sent = await rig.send(rig.intent(shares=1))
        broken = _ticket(sent)

        half = msgspec.structs.replace(broken, quantity_micro=QUANTITY_SCALE // 2, broker_order_id=900)
        with pytest.raises(BrokerRefusedError, match="10243"):
            await rig.broker.place(half)
