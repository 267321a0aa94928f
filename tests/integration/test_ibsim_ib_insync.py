"""Unmodified ib_insync against the gateway simulator over real TCP, with the clock moved by the test."""

import asyncio
import contextlib
import json
import logging
import math
from datetime import date

import pytest
from ib_insync import IB, ExecutionFilter, LimitOrder, MarketOrder, Stock

from walstreet.adapters.free_ports import free_port
from walstreet_services.ibsim.conductor import SERVICES, TAIL_SECONDS, Conductor, ConductorError
from walstreet_services.ibsim.desk import DeskOptions
from walstreet_services.ibsim.gateway import GatewayOptions
from walstreet_services.ibsim.journal import Journal
from walstreet_services.ibsim.market_synthetic import SyntheticMarket
from walstreet_services.ibsim.matching import QueueMatching
from walstreet_services.ibsim.server import SimulatorServer

pytestmark = pytest.mark.integration

SYMBOLS = ("SYN01", "SYN02")
SECONDS_MAX = 10.0


@pytest.fixture(scope="module")
def market():
    """Return one small session; steps are pure, so that tests can share it."""
    return SyntheticMarket(SYMBOLS, seed=7, day=date(2026, 11, 20), step_ns=5_000_000_000, minutes=30)


class Simulator:
    """A simulator on a free port whose clock only the test moves."""

    def __init__(self, market, journal_path=None, **desk):
        self.market = market
        self.server = SimulatorServer(
            market,
            QueueMatching(market.instruments, market.session),
            Journal(journal_path),
            GatewayOptions(desk=DeskOptions(**desk)),
            speed=None,
        )
        self.port = 0
        self.clients: list[IB] = []
        self.step = 0

    async def connect(self, client_id: int = 1) -> IB:
        """Return a connected client."""
        ib = IB()
        ib.client.MaxRequests = 0
        self.clients.append(ib)
        await ib.connectAsync("127.0.0.1", self.port, clientId=client_id, timeout=SECONDS_MAX)
        return ib

    async def play(self, steps: int) -> None:
        """Play some steps and let the clients read what they brought."""
        self.step += steps
        await self.server.playback.play_until(self.server.playback.step_end_ns(self.step - 1))
        for ib in self.clients:
            if ib.isConnected():
                await asyncio.wait_for(ib.reqCurrentTimeAsync(), SECONDS_MAX)


@contextlib.asynccontextmanager
async def simulator(market, journal_path=None, **desk):
    """Run a simulator, and close it and its clients."""
    sim = Simulator(market, journal_path, **desk)
    sim.port = await sim.server.listen("127.0.0.1", free_port())
    try:
        yield sim
    finally:
        for ib in sim.clients:
            ib.disconnect()
        await sim.server.close()
        await asyncio.sleep(0.05)


async def settle(ib: IB) -> None:
    """Wait for everything that the server has answered so far."""
    await asyncio.wait_for(ib.reqCurrentTimeAsync(), SECONDS_MAX)


def clean(caplog) -> None:
    """Fail on any decoder error or time-out in the client's log."""
    bad = [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("ib_insync")
        and record.levelno >= logging.ERROR
        and not record.getMessage().startswith("Error ")
    ]
    assert bad == []


async def test_connect_synchronises_and_describes_contracts(market, caplog):
    """The whole start-up synchronisation ends without a time-out and contract data decode."""
    async with simulator(market) as sim:
        ib = await sim.connect()
        assert ib.client.serverVersion() == 176
        assert ib.managedAccounts() == ["DU000001"]
        values = {item.tag: item.value for item in ib.accountValues() if item.currency == "USD"}
        assert float(values["NetLiquidation"]) == 1_000_000.0
        assert float(values["BuyingPower"]) == 2_000_000.0
        (details,) = await ib.reqContractDetailsAsync(Stock("SYN01", "SMART", "USD"))
        instrument = market.instruments[0]
        assert details.contract.conId == instrument.con_id
        assert details.longName == instrument.long_name
        assert details.minTick == instrument.min_tick_nano / 1e9
        assert details.timeZoneId == "US/Eastern"
        assert details.liquidHours == "20261120:0930-20261120:1600"
        assert await ib.reqContractDetailsAsync(Stock("NOPE", "SMART", "USD")) == []
        rules = await ib.reqMarketRuleAsync(26)
        assert rules[0].increment == 0.01
        found = await ib.reqMatchingSymbolsAsync("SYN")
        assert [item.contract.symbol for item in found] == list(SYMBOLS)
    clean(caplog)


async def test_quotes_agree_with_the_market(market, caplog):
    """After every step the client's ticker shows exactly the step's quote and the last trade."""
    async with simulator(market) as sim:
        ib = await sim.connect()
        contracts = await ib.qualifyContractsAsync(*(Stock(symbol, "SMART", "USD") for symbol in SYMBOLS))
        tickers = [ib.reqMktData(contract) for contract in contracts]
        last = [0.0, 0.0]
        for index in range(60):
            await sim.play(1)
            step = market.step(index)
            for place, ticker in enumerate(tickers):
                assert ticker.bid == step.bid_nano[place] / 1e9
                assert ticker.ask == step.ask_nano[place] / 1e9
                assert ticker.bidSize == step.bid_size_micro[place] / 1e6
                assert ticker.askSize == step.ask_size_micro[place] / 1e6
                if step.trade_size_micro[place]:
                    last[place] = step.trade_nano[place] / 1e9
                if last[place]:
                    assert ticker.last == last[place]
                    assert ticker.volume == step.volume_micro[place] / 1e6
        assert all(
            ticker.close == item.prior_close_nano / 1e9
            for ticker, item in zip(tickers, market.instruments, strict=True)
        )
        assert all(ticker.marketDataType == 1 for ticker in tickers)
    clean(caplog)


async def test_bars_historical_growing_and_real_time(market, caplog):
    """Historical bars, their updates and five-second bars agree with the market's own bars."""
    async with simulator(market) as sim:
        ib = await sim.connect()
        (contract,) = await ib.qualifyContractsAsync(Stock("SYN01", "SMART", "USD"))
        await sim.play(30)
        growing = await ib.reqHistoricalDataAsync(contract, "", "3600 S", "1 min", "TRADES", True, 1, keepUpToDate=True)
        real_time = ib.reqRealTimeBars(contract, 5, "TRADES", False)
        await settle(ib)
        await sim.play(30)
        now_ns = sim.server.playback.now_ns
        expected = market.bars(0, end_ns=now_ns, bar_seconds=60, start_ns=market.session.open_ns, what="TRADES")
        assert len(expected) == 5
        shown = {round(bar.date.timestamp()) * 10**9: bar for bar in growing}
        for bar in expected:
            seen = shown[bar.start_ns]
            assert (seen.open, seen.high, seen.low, seen.close) == (
                bar.open_nano / 1e9,
                bar.high_nano / 1e9,
                bar.low_nano / 1e9,
                bar.close_nano / 1e9,
            )
            assert seen.volume == bar.volume_micro / 1e6
        assert len(real_time) == 30
        assert sum(bar.volume for bar in real_time) == sum(
            market.step(index).trade_size_micro[0] / 1e6 for index in range(30, 60)
        )
        days = await ib.reqHistoricalDataAsync(contract, "", "3 D", "1 day", "TRADES", True)
        assert len(days) >= 2
        assert not await ib.reqHistoricalDataAsync(contract, "", "1 D", "7 mins", "TRADES", True)
        head = await ib.reqHeadTimeStampAsync(contract, "TRADES", True, 1)
        assert head.date() <= days[0].date
    clean(caplog)


async def test_market_order_fills_in_parts_with_late_commission(market, caplog, tmp_path):
    """A large market order fills in parts; cost, position, account and journal agree with its executions."""
    path = tmp_path / "truth.jsonl"
    async with simulator(market, path, commission_delay_ns=7_000_000_000) as sim:
        ib = await sim.connect()
        (contract,) = await ib.qualifyContractsAsync(Stock("SYN01", "SMART", "USD"))
        await sim.play(2)
        trade = ib.placeOrder(contract, MarketOrder("BUY", 4000, tif="DAY", orderRef="parts"))
        await settle(ib)
        assert trade.orderStatus.status == "PreSubmitted"
        await sim.play(1)
        assert trade.fills
        assert trade.fills[0].commissionReport.execId == ""
        for _ in range(40):
            await sim.play(1)
        assert trade.orderStatus.status == "Filled"
        shares = [fill.execution.shares for fill in trade.fills]
        assert len(shares) > 1
        assert sum(shares) == 4000
        assert [fill.execution.cumQty for fill in trade.fills] == [
            sum(shares[: place + 1]) for place in range(len(shares))
        ]
        value = sum(fill.execution.shares * fill.execution.price for fill in trade.fills)
        fees = sum(fill.commissionReport.commission for fill in trade.fills)
        assert fees == pytest.approx(20.0)
        (position,) = ib.positions()
        assert position.position == 4000
        assert position.avgCost == pytest.approx((value + fees) / 4000)
        cash = next(item for item in ib.accountValues() if item.tag == "TotalCashValue")
        assert float(cash.value) == pytest.approx(1_000_000 - value - fees, abs=0.01)
        executions = await ib.reqExecutionsAsync(ExecutionFilter(clientId=1))
        assert [item.execution.execId for item in executions] == [item.execution.execId for item in trade.fills]
        assert all(item.execution.orderRef == "parts" for item in executions)
        closing = ib.placeOrder(contract, MarketOrder("SELL", 100, tif="DAY"))
        await settle(ib)
        for _ in range(4):
            await sim.play(1)
        assert closing.orderStatus.status == "Filled"
        assert math.isfinite(closing.fills[0].commissionReport.realizedPNL)
        assert closing.fills[0].commissionReport.realizedPNL != 0.0
    records = [json.loads(line) for line in path.read_text().splitlines()]
    truth = [item for item in records if item["kind"] == "execution" and item["order_ref"] == "parts"]
    assert sum(item["quantity_micro"] for item in truth) == 4000 * 10**6
    assert [item["sequence"] for item in records] == list(range(1, len(records) + 1))
    clean(caplog)


async def test_limit_order_rests_is_modified_and_cancelled(market, caplog):
    """A far limit order goes PreSubmitted, Submitted, takes a new price, and ends Cancelled with notice 202."""
    async with simulator(market) as sim:
        ib = await sim.connect()
        (contract,) = await ib.qualifyContractsAsync(Stock("SYN01", "SMART", "USD"))
        await sim.play(2)
        price = round(market.step(1).bid_nano[0] / 1e9 * 0.8, 2)
        order = LimitOrder("BUY", 100, price, tif="DAY")
        trade = ib.placeOrder(contract, order)
        await settle(ib)
        assert [entry.status for entry in trade.log] == ["PendingSubmit", "PreSubmitted", "Submitted"]
        order.lmtPrice = round(price - 1, 2)
        ib.placeOrder(contract, order)
        await settle(ib)
        assert trade.log[-1].message == "Modified"
        (shown,) = await ib.reqOpenOrdersAsync()
        assert shown.order.lmtPrice == round(price - 1, 2)
        errors = []
        ib.errorEvent += lambda *facts: errors.append(facts[1])
        ib.cancelOrder(order)
        await settle(ib)
        assert trade.orderStatus.status == "Cancelled"
        assert errors == [202]
        ib.client.cancelOrder(order.orderId)
        ib.client.cancelOrder(987654)
        await settle(ib)
        assert errors == [202, 10148, 10147]
        assert await ib.reqOpenOrdersAsync() == []
        done = await ib.reqCompletedOrdersAsync(False)
        assert [item.orderStatus.status for item in done] == ["Cancelled"]
    clean(caplog)


async def test_refusals_have_their_codes(market, caplog):
    """Bad tick, unknown type, fraction, poverty and a changed side are refused with the broker's codes."""
    async with simulator(market) as sim:
        ib = await sim.connect()
        (contract,) = await ib.qualifyContractsAsync(Stock("SYN01", "SMART", "USD"))
        await sim.play(1)
        codes = []
        ib.errorEvent += lambda *facts: codes.append(facts[1])
        ib.placeOrder(contract, LimitOrder("BUY", 10, 50.003, tif="DAY"))
        ib.placeOrder(contract, LimitOrder("BUY", 0.5, 50.0, tif="DAY"))
        ib.placeOrder(contract, MarketOrder("BUY", 0, tif="DAY"))
        odd = MarketOrder("BUY", 10, tif="DAY")
        odd.orderType = "REL"
        ib.placeOrder(contract, odd)
        rich = ib.placeOrder(contract, MarketOrder("BUY", 100_000, tif="DAY"))
        await settle(ib)
        assert codes == [110, 10243, 434, 387, 201]
        assert rich.orderStatus.status == "Inactive"
        order = LimitOrder("BUY", 10, 50.0, tif="DAY")
        trade = ib.placeOrder(contract, order)
        await settle(ib)
        order.action = "SELL"
        ib.placeOrder(contract, order)
        await settle(ib)
        assert codes[-1] == 105
        assert trade.orderStatus.status == "Submitted"
    clean(caplog)


async def test_what_if_gives_finite_margins(market, caplog):
    """In the session a preview is finite; with a warning, an unset message comes first; nothing is placed."""
    async with simulator(market) as sim:
        ib = await sim.connect()
        (contract,) = await ib.qualifyContractsAsync(Stock("SYN01", "SMART", "USD"))
        order = LimitOrder("BUY", 100, 150.0, tif="DAY")
        early = await asyncio.wait_for(ib.whatIfOrderAsync(contract, order), SECONDS_MAX)
        assert early.initMarginAfter == "1.7976931348623157E308"
        await sim.play(1)
        state = await asyncio.wait_for(ib.whatIfOrderAsync(contract, order), SECONDS_MAX)
        assert 0 < float(state.initMarginAfter) < 1e6
        assert float(state.equityWithLoanAfter) == 999_999.0
        assert state.commission == 1.0
        assert await ib.reqAllOpenOrdersAsync() == []
    clean(caplog)


async def test_orders_outlive_the_connection(market, caplog):
    """After a disconnect the working order is still there, the ids go on, and fills meanwhile are reported."""
    async with simulator(market) as sim:
        ib = await sim.connect()
        (contract,) = await ib.qualifyContractsAsync(Stock("SYN01", "SMART", "USD"))
        await sim.play(1)
        resting = ib.placeOrder(contract, LimitOrder("BUY", 10, 50.0, tif="GTC", orderRef="stays"))
        filling = ib.placeOrder(contract, MarketOrder("BUY", 10, tif="DAY", orderRef="fills"))
        await settle(ib)
        ids = (resting.order.orderId, filling.order.orderId)
        ib.disconnect()
        await asyncio.sleep(0.05)
        await sim.play(2)
        again = await sim.connect()
        assert [trade.order.orderRef for trade in again.openTrades()] == ["stays"]
        assert [fill.execution.orderRef for fill in again.fills()] == ["fills"]
        assert again.fills()[0].commissionReport.commission > 0
        assert again.client.getReqId() > max(ids)
        stranger = await sim.connect(client_id=2)
        assert stranger.openTrades() == []
        assert len(await stranger.reqAllOpenOrdersAsync()) == 1
        stranger.client.cancelOrder(ids[0])
        await settle(stranger)
        assert len(again.openTrades()) == 1
        stranger.reqGlobalCancel()
        await settle(stranger)
        await settle(again)
        assert again.openTrades() == []
    clean(caplog)


async def test_client_id_in_use_and_unknown_requests(market, caplog):
    """A second client with the same id is turned away; a request that is not served gets an error."""
    async with simulator(market) as sim:
        ib = await sim.connect(client_id=5)
        codes = []
        second = IB()
        second.errorEvent += lambda *facts: codes.append(facts[1])
        with pytest.raises((ConnectionError, asyncio.TimeoutError)):
            await second.connectAsync("127.0.0.1", sim.port, clientId=5, timeout=0.5)
        assert codes == [326]
        ib.errorEvent += lambda *facts: codes.append(facts[1])
        chains = await asyncio.wait_for(ib.reqSecDefOptParamsAsync("SYN01", "", "STK", 1), SECONDS_MAX)
        assert chains == []
        assert codes[-1] == 505
        await settle(ib)


async def test_day_orders_expire_at_the_close(market, caplog):
    """At the close an order of the day ends Cancelled and a lasting one stays."""
    async with simulator(market) as sim:
        ib = await sim.connect()
        (contract,) = await ib.qualifyContractsAsync(Stock("SYN01", "SMART", "USD"))
        await sim.play(1)
        day = ib.placeOrder(contract, LimitOrder("BUY", 10, 50.0, tif="DAY"))
        lasting = ib.placeOrder(contract, LimitOrder("BUY", 10, 50.0, tif="GTC"))
        now = ib.placeOrder(contract, LimitOrder("BUY", 10, 50.0, tif="IOC"))
        dated = ib.placeOrder(
            contract, LimitOrder("BUY", 10, 50.0, tif="GTD", goodTillDate="20261120 09:31:00 US/Eastern")
        )
        await settle(ib)
        await sim.play(1)
        assert now.orderStatus.status == "Cancelled"
        await sim.play(11)
        assert dated.orderStatus.status == "Cancelled"
        assert day.orderStatus.status == "Submitted"
        await sim.server.playback.play_until(market.session.close_ns)
        await settle(ib)
        assert day.orderStatus.status == "Cancelled"
        assert lasting.orderStatus.status == "Submitted"
    clean(caplog)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(range(256)) * 20,
        b"API\0\0\0\0\x09v157..176\xff\xff\xff\xff",
        b"API\0\0\0\0\x09v157..176\0\0\0\x04" + b"49\0001",
        b"API\0\0\0\0\x09v300..400",
    ],
)
async def test_strangers_are_cut_off_and_clients_unharmed(market, data):
    """A stranger's bytes end the stranger's connection within a second, and nobody else's."""
    async with simulator(market) as sim:
        ib = await sim.connect()
        reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
        writer.write(data)
        with contextlib.suppress(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 1.0)
        writer.close()
        await settle(ib)
        await sim.play(1)


class RecordedTurns:
    """Turns that answer at once, except for one service that hangs when told so."""

    def __init__(self, hanging: str = ""):
        self.granted: list[tuple[str, int, int, bool]] = []
        self.hanging = hanging

    async def wait_ready(self, services):
        """Every service is ready."""

    async def grant(self, service, *, step, now_ns, upto, final):
        """Record the turn and let the log grow by one."""
        if service == self.hanging:
            await asyncio.Event().wait()
        self.granted.append((service, step, now_ns, final))
        return upto + 1


async def test_conductor_grants_turns_in_order_on_frozen_time(market):
    """Every step is followed by one turn of each service, in order, at the step's time; the last is final."""
    async with simulator(market) as sim:
        turns = RecordedTurns()
        start_ns = sim.server.playback.now_ns
        conductor = Conductor(sim.server.playback, turns, tail_seconds=TAIL_SECONDS)
        before, after = ((market.session.open_ns - start_ns) // market.step_ns, TAIL_SECONDS * 10**9 // market.step_ns)
        steps = before + sim.server.playback.steps_count + after
        assert await conductor.run() == steps * len(SERVICES)
        assert [row[0] for row in turns.granted[:6]] == list(SERVICES)
        assert turns.granted[0][2] == start_ns + market.step_ns
        assert [row[3] for row in turns.granted].count(True) == len(SERVICES)
        assert turns.granted[-1][1] == steps - 1


async def test_conductor_names_the_service_that_hangs(market):
    """A service that does not finish its turn stops the run with its name."""
    async with simulator(market) as sim:
        conductor = Conductor(sim.server.playback, RecordedTurns("arbiter"), turn_seconds_max=0.05)
        with pytest.raises(ConductorError, match="service arbiter did not finish its turn of step 0"):
            await conductor.run()
