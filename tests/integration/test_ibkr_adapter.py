"""Tests of the broker adapter against the gateway simulator, with whichever client library is installed."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar

import pytest

from walstreet.adapters.free_ports import free_port
from walstreet.adapters.ibkr import BrokerLostError, BrokerRefusedError, ConnectOptions, IbkrBroker
from walstreet.domain.observations import (
    AccountObserved,
    BrokerBarObserved,
    CommissionObserved,
    ExecutionObserved,
    FeedObserved,
    LinkObserved,
    Observation,
    OrderErrorObserved,
    OrderStatusObserved,
    OrderTicket,
    QuoteObserved,
    TradeObserved,
    VolumeObserved,
)
from walstreet_events import NANOS_PER_SECOND, QUANTITY_SCALE
from walstreet_services.ibsim.gateway import GatewayOptions
from walstreet_services.ibsim.journal import Journal
from walstreet_services.ibsim.market_synthetic import SyntheticMarket
from walstreet_services.ibsim.matching import QueueMatching
from walstreet_services.ibsim.server import SimulatorServer

T = TypeVar("T")
pytestmark = pytest.mark.integration

LIBRARIES = [name for name in ("ib_insync", "ib_async") if importlib.util.find_spec(name)]
SYMBOLS = ("SYN01", "SYN02")
ACCOUNT = "DU000001"
STEP_NS = 5 * NANOS_PER_SECOND
CASH_NANO = 1_000_000 * 1_000_000_000


@dataclass
class Rig:
    """A simulator whose time the test moves, one connected broker and what it observed."""

    server: SimulatorServer
    broker: IbkrBroker
    options: ConnectOptions
    seen: list[Observation] = field(default_factory=list)
    step: int = 0

    def now_ns(self) -> int:
        """Return session time; the rig is the broker's clock."""
        return self.server.playback.now_ns

    def of(self, kind: type[T]) -> list[T]:
        """Return the observations of one type."""
        return [each for each in self.seen if isinstance(each, kind)]

    async def play(self, steps: int = 1) -> None:
        """Play market steps; return when everything that they brought has been observed."""
        for _ in range(steps):
            await self.server.playback.play_until(self.server.playback.step_end_ns(self.step))
            self.step += 1
        await self.broker.server_time_ns()


@asynccontextmanager
async def rig_of(library: str, **changes: object) -> AsyncIterator[Rig]:
    """Yield a rig whose broker is connected, with ``changes`` of its options."""
    market = SyntheticMarket(list(SYMBOLS), seed=1, day=date(2026, 3, 2), step_ns=STEP_NS, minutes=30)
    server = SimulatorServer(
        market,
        QueueMatching(market.instruments, market.session),
        Journal(None),
        GatewayOptions(account=ACCOUNT, cash_nano=CASH_NANO),
        speed=None,
    )
    port = await server.listen("127.0.0.1", free_port())
    fields: dict[str, object] = {"port": port, "library": library, "paced": False, "request_timeout_s": 5.0, **changes}
    options = ConnectOptions(**fields)  # type: ignore[arg-type]
    seen: list[Observation] = []

    class _Clock:
        def now_ns(self) -> int:
            return server.playback.now_ns

    try:
        broker = IbkrBroker(options, clock=_Clock(), observer=seen.append)
        try:
            await broker.connect()
            yield Rig(server=server, broker=broker, options=options, seen=seen)
        finally:
            await broker.close()
    finally:
        await server.close()


@pytest.fixture(params=LIBRARIES)
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """Return a connected rig under each library that is installed."""
    async with rig_of(request.param) as built:
        yield built


async def ticket(rig: Rig, order_id: int, *, buy: bool = True, shares: int = 100, away: float = 0.01) -> OrderTicket:
    """Return a ticket ``away`` (as a share of the price) beyond the far touch, or behind it when negative."""
    facts = (await rig.broker.instruments(["SYN01"]))[0]
    quote = [each for each in rig.of(QuoteObserved) if each.symbol == "SYN01"][-1]
    price = quote.ask_nano * (1 + away) if buy else quote.bid_nano * (1 - away)
    tick = facts.min_tick_nano
    return OrderTicket(
        broker_order_id=order_id,
        client_order_id=f"{order_id:032x}",
        symbol="SYN01",
        con_id=facts.con_id,
        buy=buy,
        quantity_micro=shares * QUANTITY_SCALE,
        limit_nano=round(price / tick) * tick,
        good_till_ns=rig.now_ns() + 60 * NANOS_PER_SECOND,
    )


def test_a_client_library_is_installed() -> None:
    """Without one, every other test here would silently have no case."""
    assert LIBRARIES


async def test_connect_reports_link_account_and_floor(rig: Rig) -> None:
    """The link comes first, then account and farms; the order id floor is positive."""
    links = rig.of(LinkObserved)
    account = rig.of(AccountObserved)[-1]
    assert rig.broker.connected
    assert [(each.connected, each.data_lost) for each in links] == [(True, True)]
    assert links[0].next_order_id == rig.broker.next_order_id >= 1
    assert account.account.cash_nano == CASH_NANO
    assert account.account.net_liquidation_nano == CASH_NANO
    assert account.positions == ()
    assert {each.farm for each in rig.of(FeedObserved)} >= {"usfarm", "ushmds", "secdefil"}
    assert not [each for each in rig.of(FeedObserved) if each.farm == "decoder"]


async def test_quotes_match_the_market_exactly(rig: Rig) -> None:
    """The last merged quote and volume of every symbol equal the simulated market's integers."""
    await rig.broker.stream(SYMBOLS)
    await rig.play(24)
    step = rig.server.gateway.market.step(23)
    for index, symbol in enumerate(SYMBOLS):
        quote = [each for each in rig.of(QuoteObserved) if each.symbol == symbol][-1]
        assert (quote.bid_nano, quote.ask_nano) == (int(step.bid_nano[index]), int(step.ask_nano[index]))
        assert quote.bid_size_micro == int(step.bid_size_micro[index])
        assert quote.ask_size_micro == int(step.ask_size_micro[index])
        assert quote.ts_ns <= rig.now_ns()
        volume = [each for each in rig.of(VolumeObserved) if each.symbol == symbol][-1]
        assert volume.volume_micro == int(step.volume_micro[index])
    assert rig.of(TradeObserved)
    assert {each.symbol for each in rig.of(BrokerBarObserved)} == set(SYMBOLS)
    assert [each.data_type for each in rig.of(FeedObserved) if each.farm == "market_data"] == ["live"]


async def test_the_barrier_comes_after_every_earlier_message(rig: Rig) -> None:
    """When the time is answered, the quotes of the step have been observed; the time is session time."""
    await rig.broker.stream(SYMBOLS)
    for _ in range(5):
        before = len(rig.seen)
        await rig.play()
        assert len(rig.seen) > before
    assert await rig.broker.server_time_ns() == rig.now_ns() // NANOS_PER_SECOND * NANOS_PER_SECOND


async def test_a_marketable_order_fills_and_is_paid(rig: Rig) -> None:
    """Status, execution and fee carry our reference, exact numbers and no invented status."""
    await rig.broker.stream(SYMBOLS)
    await rig.play(2)
    order = await ticket(rig, rig.broker.next_order_id)
    await rig.broker.place(order)
    await rig.play(3)
    statuses = [each for each in rig.of(OrderStatusObserved) if each.client_order_id == order.client_order_id]
    executions = rig.of(ExecutionObserved)
    assert statuses[-1].status == "Filled"
    assert statuses[-1].filled_micro == order.quantity_micro
    assert {each.status for each in statuses} <= {"PreSubmitted", "Submitted", "Filled"}
    assert sum(each.quantity_micro for each in executions) == order.quantity_micro
    assert {each.client_order_id for each in executions} == {order.client_order_id}
    assert all(each.price_nano <= (order.limit_nano or 0) for each in executions)
    fees = rig.of(CommissionObserved)
    assert {each.exec_id for each in fees} == {each.exec_id for each in executions}
    assert all(each.realized_pnl_nano is None for each in fees), "an opening fill realises nothing"
    position = rig.of(AccountObserved)[-1].positions[0]
    assert (position.symbol, position.quantity_micro) == ("SYN01", order.quantity_micro)
    assert rig.broker.next_order_id > order.broker_order_id


async def test_cancel_and_global_cancel_end_resting_orders(rig: Rig) -> None:
    """A cancel brings Cancelled and code 202 from the wire; a global cancel does it for all."""
    await rig.broker.stream(SYMBOLS)
    await rig.play(2)
    first = await ticket(rig, rig.broker.next_order_id, away=-0.05)
    await rig.broker.place(first)
    await rig.play()
    await rig.broker.cancel(first.broker_order_id)
    await rig.broker.server_time_ns()
    of_first = [each.status for each in rig.of(OrderStatusObserved) if each.broker_order_id == first.broker_order_id]
    assert of_first[-1] == "Cancelled"
    assert [(each.broker_order_id, each.code) for each in rig.of(OrderErrorObserved)] == [(first.broker_order_id, 202)]
    second = await ticket(rig, rig.broker.next_order_id, away=-0.05)
    await rig.broker.place(second)
    await rig.broker.cancel_all()
    await rig.broker.server_time_ns()
    assert rig.of(OrderStatusObserved)[-1].status == "Cancelled"


async def test_modify_keeps_the_order(rig: Rig) -> None:
    """A changed limit under the same id is the same order at the broker, and then fills."""
    await rig.broker.stream(SYMBOLS)
    await rig.play(2)
    resting = await ticket(rig, rig.broker.next_order_id, away=-0.05)
    await rig.broker.place(resting)
    await rig.play()
    moved = await ticket(rig, resting.broker_order_id)
    await rig.broker.modify(moved)
    await rig.play(3)
    statuses = [each for each in rig.of(OrderStatusObserved) if each.broker_order_id == resting.broker_order_id]
    assert statuses[-1].status == "Filled"
    assert len({each.perm_id for each in statuses}) == 1


async def test_a_cancel_of_an_unknown_order_is_an_error_not_a_status(rig: Rig) -> None:
    """Code 10147 is observed; nothing invents a status for it."""
    await rig.broker.cancel(999)
    await rig.broker.server_time_ns()
    assert [(each.broker_order_id, each.code) for each in rig.of(OrderErrorObserved)] == [(999, 10147)]
    assert not rig.of(OrderStatusObserved)


async def test_a_fraction_is_refused_before_it_is_sent(rig: Rig) -> None:
    """The gateway would answer 10243; the adapter says so itself."""
    await rig.broker.stream(SYMBOLS)
    await rig.play()
    whole = await ticket(rig, rig.broker.next_order_id)
    half = OrderTicket(**{name: getattr(whole, name) for name in whole.__slots__} | {"quantity_micro": 500_000})
    with pytest.raises(BrokerRefusedError, match="whole"):
        await rig.broker.place(half)


async def test_the_snapshot_holds_open_completed_executions_positions_and_account(rig: Rig) -> None:
    """After one fill and with one resting order the snapshot shows each where it belongs."""
    await rig.broker.stream(SYMBOLS)
    await rig.play(2)
    filled = await ticket(rig, rig.broker.next_order_id)
    await rig.broker.place(filled)
    await rig.play(3)
    resting = await ticket(rig, rig.broker.next_order_id, away=-0.05)
    await rig.broker.place(resting)
    await rig.play()
    snapshot = await rig.broker.snapshot("r" * 32, rig.now_ns())
    assert snapshot.ok, snapshot.detail
    assert [(each.client_order_id, each.status) for each in snapshot.open_orders] == [
        (resting.client_order_id, "Submitted")
    ]
    assert [(each.client_order_id, each.filled_micro) for each in snapshot.completed_orders] == [
        (filled.client_order_id, filled.quantity_micro)
    ]
    assert {each.exec_id for each in snapshot.executions} == {each.exec_id for each in rig.of(ExecutionObserved)}
    assert [(each.symbol, each.quantity_micro) for each in snapshot.positions] == [("SYN01", filled.quantity_micro)]
    assert snapshot.account is not None
    assert snapshot.account.net_liquidation_nano is not None
    assert (await rig.broker.snapshot("s" * 32, rig.now_ns())).ok, "summaries are given back"


async def test_a_snapshot_without_a_connection_is_unknown_not_flat(rig: Rig) -> None:
    """A failed query says that it failed, and carries no positions that could be read as flat."""
    await rig.broker.close()
    snapshot = await rig.broker.snapshot("r" * 32, rig.now_ns())
    assert not snapshot.ok
    assert "BrokerLostError" in snapshot.detail
    assert snapshot.account is None


async def test_history_is_complete_and_ends_before_the_end(rig: Rig) -> None:
    """Minute bars come oldest first, none beyond the end, none repeated."""
    await rig.play(24)
    end_ns = rig.now_ns()
    bars = await rig.broker.history("SYN01", end_ns=end_ns, days=2, bar_seconds=60)
    starts = [bar.start_ns for bar in bars]
    assert len(bars) > 390
    assert starts == sorted(set(starts))
    assert starts[-1] + 60 * NANOS_PER_SECOND <= end_ns
    assert all(bar.low_nano <= min(bar.open_nano, bar.close_nano) <= bar.high_nano for bar in bars)
    daily = await rig.broker.history("SYN01", end_ns=end_ns, days=5, bar_seconds=86_400)
    assert daily
    with pytest.raises(BrokerRefusedError, match="bars of 7 s"):
        await rig.broker.history("SYN01", end_ns=end_ns, days=2, bar_seconds=7)


async def test_an_unknown_symbol_is_named(rig: Rig) -> None:
    """Qualification refuses what the broker does not know and says which."""
    with pytest.raises(BrokerRefusedError, match="NOSUCH"):
        await rig.broker.instruments(["SYN01", "NOSUCH"])


async def test_a_preview_has_margins_and_places_nothing(rig: Rig) -> None:
    """A what-if answers with finite numbers and leaves no order."""
    await rig.broker.stream(SYMBOLS)
    await rig.play(2)
    preview = await rig.broker.preview(await ticket(rig, rig.broker.next_order_id), timeout_s=5.0)
    assert preview.initial_margin_after_nano is not None
    assert preview.equity_with_loan_after_nano is not None
    snapshot = await rig.broker.snapshot("r" * 32, rig.now_ns())
    assert snapshot.open_orders == ()


async def test_losing_the_socket_is_reported_and_fails_what_waits(rig: Rig) -> None:
    """When the gateway goes away the link is down, and requests fail instead of hanging."""
    rig.server.gateway.close()
    for _ in range(100):
        if not rig.broker.connected:
            break
        await asyncio.sleep(0.01)
    assert not rig.broker.connected
    assert [each.connected for each in rig.of(LinkObserved)] == [True, False]
    with pytest.raises(BrokerLostError):
        await rig.broker.server_time_ns()


@pytest.mark.parametrize("library", LIBRARIES)
async def test_orders_outlive_a_reconnection_and_ids_stay_above(library: str) -> None:
    """A second connection of the same client sees its working order and gets a higher floor."""
    async with rig_of(library) as rig:
        await rig.broker.stream(SYMBOLS)
        await rig.play(2)
        resting = await ticket(rig, rig.broker.next_order_id, away=-0.05)
        await rig.broker.place(resting)
        await rig.play()
        await rig.broker.close()
        silent = len(rig.seen)
        await asyncio.sleep(0.05)
        assert len(rig.seen) == silent, "nothing is observed after close returns"
        await rig.broker.connect()
        again = [each for each in rig.seen[silent:] if isinstance(each, OrderStatusObserved)]
        assert [(each.client_order_id, each.status) for each in again] == [(resting.client_order_id, "Submitted")]
        assert rig.broker.next_order_id > resting.broker_order_id


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_client_id_in_use_is_refused_at_once(library: str) -> None:
    """Code 326 is told with its number, long before the timeout."""
    async with rig_of(library) as rig:
        clone = IbkrBroker(rig.options, clock=rig, observer=lambda _: None)
        with pytest.raises(BrokerRefusedError, match="326") as caught:
            await asyncio.wait_for(clone.connect(), 2.0)
        assert caught.value.code == 326
        assert rig.broker.connected


@pytest.mark.parametrize("library", LIBRARIES)
async def test_no_gateway_is_a_loss_with_the_remedy(library: str) -> None:
    """A closed port says where it tried and what to do."""
    async with rig_of(library) as rig:
        options = ConnectOptions(port=1, library=library, paced=False)  # type: ignore[arg-type]
        with pytest.raises(BrokerLostError, match="enable its API port"):
            await IbkrBroker(options, clock=rig, observer=lambda _: None).connect()
