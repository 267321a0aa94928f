"""Tests of the execution core on the real adapter and the simulator: fills, restarts with orders at work, expiry."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date

import pytest

from walstreet.adapters.free_ports import free_port
from walstreet.adapters.ibkr import BrokerError, ConnectOptions, IbkrBroker
from walstreet.domain.execution import ExecutionCore
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.execution_state import ExecutionState
from walstreet.domain.guard_margin import MarginParameters
from walstreet.domain.guard_market import MarketGuardParameters
from walstreet.domain.observations import MarginObserved, Observation, OrderTicket, QuoteObserved
from walstreet.domain.signing import seal
from walstreet.testing.execution_world import DAY_S, EPOCH, KEY, arbiter_epoch, bar, feed
from walstreet_events import (
    NANOS_PER_SECOND,
    ROOT,
    AnyEvent,
    ClockTick,
    EventId,
    ExternalOrder,
    InstrumentRef,
    IntentBlock,
    MarginAnswered,
    MarginAsked,
    OrderCancelling,
    OrderCommission,
    OrderFilled,
    OrderIntent,
    OrderRefused,
    OrderState,
    OrderSubmitting,
    PhaseName,
    ReconRequest,
    ReconSnapshot,
    SessionPhase,
    Side,
    derive_id,
)
from walstreet_services.ibsim.fault_load import convert
from walstreet_services.ibsim.fault_model import AnyFault
from walstreet_services.ibsim.faults import FaultOptions
from walstreet_services.ibsim.gateway import GatewayOptions
from walstreet_services.ibsim.journal import Journal
from walstreet_services.ibsim.market_synthetic import SyntheticMarket
from walstreet_services.ibsim.matching import QueueMatching
from walstreet_services.ibsim.server import SimulatorServer

pytestmark = pytest.mark.integration

LIBRARIES = [name for name in ("ib_insync", "ib_async") if importlib.util.find_spec(name)]
SYMBOL = "SYN01"
S = NANOS_PER_SECOND
WHAT_IF_S = 0.5
"""Wall time that a question for margin may take here."""


@dataclass
class Desk:
    """A service in miniature: the core, the broker, the log, and the rules of the shared loop between them."""

    server: SimulatorServer
    options: ConnectOptions
    core: ExecutionCore
    log: list[AnyEvent] = field(default_factory=list)
    inbox: list[Observation] = field(default_factory=list)
    step: int = 0
    state: ExecutionState = field(init=False)
    broker: IbkrBroker = field(init=False)
    deaf: bool = False
    """A desk that crashes between the durable append and the effect."""

    def now_ns(self) -> int:
        """Return session time; the desk is the broker's clock."""
        return self.server.playback.now_ns

    async def start(self) -> None:
        """Replay the log, connect and take in what the synchronisation brings."""
        self.state = self.core.initial()
        for event in self.log:
            self.state = self.core.evolve(self.state, event)
        self.broker = IbkrBroker(self.options, clock=self, observer=self.inbox.append)
        await self.broker.connect()
        await self.settle()

    async def settle(self) -> None:
        """Take in every observation until none is left."""
        await self.broker.server_time_ns()
        while self.inbox:
            await self._record(list(self.core.observe(self.state, self.inbox.pop(0))))

    async def give(self, event: AnyEvent) -> list[AnyEvent]:
        """Take one input."""
        self.log.append(event)
        self.state = self.core.evolve(self.state, event)
        outs = list(self.core.decide(self.state, event))
        await self._record(outs)
        if isinstance(event, ReconRequest):
            self.inbox.append(await self.broker.snapshot(event.id, self.now_ns()))
        await self.settle()
        return outs

    async def play(self, steps: int = 1) -> None:
        """Play market steps, each with a tick of the clock."""
        for _ in range(steps):
            await self.server.playback.play_until(self.server.playback.step_end_ns(self.step))
            self.step += 1
            await self.settle()
            now_ns = self.now_ns()
            await self.give(
                ClockTick(id=derive_id(f"{now_ns}", "clock", 0), cause=ROOT, ts_ns=now_ns, session_date="2026-03-02")
            )

    async def _record(self, outs: list[AnyEvent]) -> None:
        for out in outs:
            self.log.append(out)
            self.state = self.core.evolve(self.state, out)
            if self.deaf:
                continue
            if isinstance(out, OrderSubmitting):
                await self.broker.place(
                    OrderTicket(
                        broker_order_id=out.broker_order_id,
                        client_order_id=out.client_order_id,
                        symbol=out.symbol,
                        con_id=out.con_id,
                        buy=out.side is Side.BUY,
                        quantity_micro=out.quantity_micro,
                        limit_nano=out.limit_nano,
                        good_till_ns=out.good_till_ns,
                    )
                )
            elif isinstance(out, OrderCancelling):
                await self.broker.cancel(out.broker_order_id)
            elif isinstance(out, MarginAsked):
                self.inbox.append(await self._preview(out))

    async def _preview(self, asked: MarginAsked) -> MarginObserved:
        question = OrderTicket(
            broker_order_id=asked.broker_order_id,
            client_order_id=asked.id,
            symbol=asked.symbol,
            con_id=asked.order.con_id,
            buy=asked.order.side is Side.BUY,
            quantity_micro=asked.quantity_micro,
            limit_nano=asked.limit_nano,
            good_till_ns=asked.good_till_ns,
        )
        preview, detail = None, ""
        try:
            preview = await self.broker.preview(question, timeout_s=WHAT_IF_S)
        except BrokerError as error:
            detail = str(error)
        return MarginObserved(ts_ns=self.now_ns(), asked=asked.id, preview=preview, detail=detail)

    def intent(self, name: str, **changes: object) -> IntentBlock:
        """Return a block with one intent to buy 100 shares at the market's own mid."""
        quote = self.state.quotes[SYMBOL]
        wanted = {
            "id": derive_id(name, "intent", 0),
            "symbol": SYMBOL,
            "con_id": self.state.instruments[SYMBOL].con_id,
            "side": Side.BUY,
            "quantity_micro": 100_000_000,
            "reducing": False,
            "horizon_minutes": 15,
            "arrival_mid_nano": (quote.bid_nano + quote.ask_nano) // 2,
            "tif_s": 60,
            "expires_ns": self.now_ns() + 60 * S,
            "alpha_bps": 9.0,
            "target_weight": 0.01,
            **changes,
        }
        plain = IntentBlock(
            id=derive_id(name, "block", 0),
            cause=ROOT,
            ts_ns=self.now_ns(),
            decision="d",
            mode="live",
            intents=(OrderIntent(**wanted),),  # type: ignore[arg-type]
            epoch=0,
        )
        return seal(plain, epoch=EPOCH, key=KEY)

    def of_kind(self, kind: type) -> list[AnyEvent]:
        """Return the events of one type on the log."""
        return [event for event in self.log if isinstance(event, kind)]


def core(**changes: object) -> ExecutionCore:
    """Return a core that lets the market's first seconds pass and asks no margin unless ``changes`` say so."""
    changes.setdefault("margin", MarginParameters(enabled=False))
    market = MarketGuardParameters(
        spread_bps_max=50.0, collar_bps=500.0, feed_age_s_max=10.0, blackout_open_s=0.0, adv_usd_min=0.0
    )
    return ExecutionCore(
        ExecutionParameters(market=market, drift_bps_max=500.0, **changes),
        (KEY,),
    )  # type: ignore[arg-type]


def history(open_ns: int) -> list[AnyEvent]:
    """Return a quiet quarter of an hour of each of the two days before."""
    return [
        bar(open_ns + (minute * 60 - day * DAY_S) * S, close=100.0 + 0.01 * minute, warmup=True, symbols=(SYMBOL,))
        for day in (2, 1)
        for minute in range(1, 16)
    ]


async def prepared(desk: Desk) -> None:
    """Start a desk, give it reference facts and a few market steps."""
    await desk.start()
    facts = (await desk.broker.instruments([SYMBOL]))[0]
    session = desk.server.gateway.market.session
    await desk.give(
        InstrumentRef(
            id=derive_id(SYMBOL, "ref", 0),
            cause=ROOT,
            ts_ns=desk.now_ns(),
            symbol=SYMBOL,
            con_id=facts.con_id,
            exchange=facts.exchange,
            primary_exchange=facts.primary_exchange,
            currency=facts.currency,
            sector=facts.sector,
            min_tick_nano=facts.min_tick_nano,
            lot_micro=facts.lot_micro,
            prior_close_nano=desk.server.gateway.market.instruments[0].prior_close_nano,
            average_daily_volume_micro=desk.server.gateway.market.instruments[0].average_daily_volume_micro,
        )
    )
    for event in (arbiter_epoch(), feed(), *history(session.open_ns)):
        await desk.give(event)
    await desk.give(
        SessionPhase(
            id=derive_id("open", "phase", 0),
            cause=ROOT,
            ts_ns=session.open_ns,
            session_date="2026-03-02",
            phase=PhaseName.OPEN,
            open_ns=session.open_ns,
            close_ns=session.close_ns,
        )
    )
    await desk.broker.stream([SYMBOL])
    await desk.play(2)
    assert isinstance(desk.state.quotes[SYMBOL], QuoteObserved)


@pytest.fixture(params=LIBRARIES)
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    """Return a desk that is ready to trade, under each installed library."""
    market = SyntheticMarket([SYMBOL], seed=1, day=date(2026, 3, 2), step_ns=5 * S, minutes=30)
    server = SimulatorServer(
        market,
        QueueMatching(market.instruments, market.session),
        Journal(None),
        GatewayOptions(),
        speed=None,
        faults=FaultOptions(),
    )
    try:
        port = await server.listen("127.0.0.1", free_port())
        options = ConnectOptions(port=port, library=request.param, paced=False, broker_bars=False)
        built = Desk(
            server=server,
            options=options,
            core=core(),
        )
        try:
            await prepared(built)
            yield built
        finally:
            await built.broker.close()
    finally:
        await server.close()


def request(name: str, ts_ns: int) -> ReconRequest:
    """Return a request for a snapshot."""
    return ReconRequest(id=EventId(derive_id(name, "request", 0)), cause=ROOT, ts_ns=ts_ns, number=1, reason="start")


async def restarted(desk: Desk) -> Desk:
    """Return a new process over the same log, after the old one's connection has gone."""
    await desk.broker.close()
    again = Desk(server=desk.server, options=desk.options, core=desk.core, log=list(desk.log), step=desk.step)
    await again.start()
    return again


async def test_an_intent_is_filled_paid_and_reconciled(desk: Desk) -> None:
    """From intent to fee, with one submission, no external order and a snapshot that agrees."""
    await desk.give(desk.intent("one"))
    await desk.play(3)
    sent = desk.of_kind(OrderSubmitting)
    fills = desk.of_kind(OrderFilled)
    assert len(sent) == 1
    assert sum(fill.quantity_micro for fill in fills) == 100_000_000
    assert {fill.client_order_id for fill in fills} == {sent[0].client_order_id}
    assert len(desk.of_kind(OrderCommission)) == len(fills)
    assert desk.of_kind(ExternalOrder) == []
    assert desk.state.orders[sent[0].client_order_id].state is OrderState.FILLED
    await desk.give(request("r", desk.now_ns()))
    snapshot = desk.of_kind(ReconSnapshot)[-1]
    assert snapshot.ok, snapshot.detail
    assert {each.exec_id for each in snapshot.executions} == {fill.exec_id for fill in fills}


async def test_a_restart_with_an_order_at_work_finds_it_and_sends_nothing(desk: Desk) -> None:
    """The new process sees unknown, then working, then the fill that it missed; the broker has one order."""
    desk.core = core(aggression="mid")
    await desk.give(desk.intent("one", quantity_micro=100_000_000))
    sent = desk.of_kind(OrderSubmitting)[0]
    again = await restarted(desk)
    try:
        states = [event.state for event in again.log[len(desk.log) :] if hasattr(event, "state")]
        assert states[0] is OrderState.UNKNOWN
        final = again.state.orders[sent.client_order_id].state
        assert final in {OrderState.WORKING, OrderState.PARTIALLY_FILLED, OrderState.FILLED}
        assert len(again.of_kind(OrderSubmitting)) == 1
        assert again.of_kind(ExternalOrder) == []
        assert again.state.next_order_id > sent.broker_order_id
    finally:
        await again.broker.close()


async def test_fills_while_the_process_was_dead_are_found(desk: Desk) -> None:
    """The order fills between two lives; the second learns it from the executions, once."""
    await desk.give(desk.intent("one"))
    await desk.broker.close()
    for _ in range(3):
        await desk.server.playback.play_until(desk.server.playback.step_end_ns(desk.step))
        desk.step += 1
    again = await restarted(desk)
    try:
        await again.give(request("r", again.now_ns()))
        order = next(iter(again.state.orders.values()))
        assert order.state is OrderState.FILLED
        assert order.executed_micro == 100_000_000
        assert sum(fill.quantity_micro for fill in again.of_kind(OrderFilled)) == 100_000_000
        assert len(again.of_kind(OrderCommission)) == len(again.of_kind(OrderFilled))
    finally:
        await again.broker.close()


async def test_a_submission_that_never_left_expires_by_proof_and_is_not_resent(desk: Desk) -> None:
    """The crash came between append and effect: two snapshots after the good-till time prove the absence."""
    desk.deaf = True
    await desk.give(desk.intent("one"))
    again = await restarted(desk)
    try:
        order_id = next(iter(again.state.orders))
        assert again.state.orders[order_id].state is OrderState.UNKNOWN
        await again.give(request("early", again.now_ns()))
        assert again.state.orders[order_id].state is OrderState.UNKNOWN
        await again.play(19)
        for name in ("first", "second"):
            assert not again.state.orders[order_id].terminal
            await again.give(request(name, again.now_ns()))
        assert again.state.orders[order_id].state is OrderState.EXPIRED
        snapshot = again.of_kind(ReconSnapshot)[-1]
        assert (snapshot.open_orders, snapshot.completed_orders, snapshot.executions) == ((), (), ())
    finally:
        await again.broker.close()


async def test_the_broker_ends_an_order_at_its_good_till_time(desk: Desk) -> None:
    """A passive order that is not reached is over at the broker without a cancel of ours, as expired."""
    desk.core = core(cancel_grace_s=15.0)
    # Far below the market: a quote that is older and lower than the broker's own makes the limit passive.
    real = desk.state.quotes[SYMBOL]
    desk.state.quotes[SYMBOL] = QuoteObserved(
        symbol=SYMBOL,
        ts_ns=real.ts_ns,
        bid_nano=real.bid_nano * 97 // 100,
        ask_nano=real.ask_nano * 97 // 100,
        bid_size_micro=real.bid_size_micro,
        ask_size_micro=real.ask_size_micro,
    )
    await desk.give(desk.intent("one", tif_s=10))
    await desk.play(4)
    order = next(iter(desk.state.orders.values()))
    assert (order.state, order.filled_micro) == (OrderState.EXPIRED, 0)
    assert desk.of_kind(OrderCancelling) == []


async def test_margin_is_asked_answered_and_then_the_order_is_filled(desk: Desk) -> None:
    """The what-if is a fact before the order is, places nothing itself, and its id is not the order's."""
    desk.core = core(margin=MarginParameters())
    await desk.give(desk.intent("one"))
    await desk.play(3)
    (asked,), (told,), (sent,) = (desk.of_kind(kind) for kind in (MarginAsked, MarginAnswered, OrderSubmitting))
    kinds = [type(event) for event in desk.log]
    assert kinds.index(MarginAsked) < kinds.index(MarginAnswered) < kinds.index(OrderSubmitting)
    assert told.answered
    assert 0 < told.initial_margin_after_nano < told.equity_with_loan_after_nano
    assert asked.broker_order_id < sent.broker_order_id
    assert desk.state.orders[sent.client_order_id].state is OrderState.FILLED
    assert desk.of_kind(ExternalOrder) == []
    await desk.give(request("r", desk.now_ns()))
    snapshot = desk.of_kind(ReconSnapshot)[-1]
    assert {each.order_ref for each in (*snapshot.open_orders, *snapshot.completed_orders)} <= {sent.client_order_id}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": "what_if", "answer": "unset"}, "margin_unknown"),
        ({"kind": "what_if", "answer": "zeros"}, "margin_unknown"),
        ({"kind": "what_if", "answer": "never"}, "margin_unknown"),
    ],
)
async def test_without_numbers_nothing_is_sent(desk: Desk, fault: dict[str, object], reason: str) -> None:
    """Unset values, zeros and silence are refusals with a journaled answer, and the broker gets no order."""
    desk.core = core(margin=MarginParameters())
    desk.server.gateway.faults.inject(convert(fault, AnyFault, "test"))
    await desk.give(desk.intent("one"))
    await desk.play(1)
    assert len(desk.of_kind(MarginAnswered)) == 1
    assert [event.reason for event in desk.of_kind(OrderRefused)] == [reason]
    assert desk.of_kind(OrderSubmitting) == []
    await desk.give(request("r", desk.now_ns()))
    snapshot = desk.of_kind(ReconSnapshot)[-1]
    assert (snapshot.ok, snapshot.open_orders, snapshot.completed_orders) == (True, (), ())
