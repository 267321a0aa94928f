"""Every fault of the simulator as an unmodified ib_insync sees it over real TCP, row by row of the known failures."""

import asyncio
import contextlib
import itertools
import json
import math
import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from ib_insync import IB, ExecutionFilter, LimitOrder, MarketOrder, Stock

from walstreet.adapters.free_ports import free_port
from walstreet_services.ibsim.desk import DeskOptions
from walstreet_services.ibsim.fault_load import FaultError, convert
from walstreet_services.ibsim.fault_model import AnyFault, FaultScript
from walstreet_services.ibsim.fault_texts import TEXTS
from walstreet_services.ibsim.faults import FaultOptions
from walstreet_services.ibsim.gateway import GatewayOptions
from walstreet_services.ibsim.journal import Journal
from walstreet_services.ibsim.journal_truth import read_truth
from walstreet_services.ibsim.market_synthetic import SyntheticMarket
from walstreet_services.ibsim.matching import QueueMatching
from walstreet_services.ibsim.server import SimulatorServer

pytestmark = pytest.mark.integration

SYMBOLS = ("SYN01", "SYN02")
SECONDS_MAX = 10.0
SILENCE_SECONDS = 0.15
USUAL_CODES = (
    *(103, 110, 161, 162, 200, 201, 202, 321, 326, 354, 366, 399, 404, 420, 434),
    *(10147, 10148, 10197, 10243, 10349, 1100, 1101, 1102),
    *(2103, 2104, 2105, 2106, 2107, 2108, 2109, 2110, 2158),
)


@pytest.fixture(scope="module")
def market():
    """Return one small session; steps are pure, so that tests can share it."""
    return SyntheticMarket(SYMBOLS, seed=7, day=date(2026, 11, 20), step_ns=5_000_000_000, minutes=15)


class Client(IB):
    """An unmodified client that also keeps every message it decodes."""

    def __init__(self):
        super().__init__()
        self.client.MaxRequests = 0
        self.rows: list[list[str]] = []
        self.codes: list[tuple[int, int]] = []
        interpret = self.client.decoder.interpret

        def keep(fields):
            self.rows.append(list(fields))
            interpret(fields)

        self.client.decoder.interpret = keep
        self.errorEvent += lambda *facts: self.codes.append((facts[0], facts[1]))

    def take(self, *message_ids: int) -> list[list[str]]:
        """Return the messages of some kinds since the last call, and forget all."""
        found = [row for row in self.rows if int(row[0]) in message_ids]
        self.rows.clear()
        return found


class Simulator:
    """A simulator with faults on a free port, whose clock only the test moves."""

    def __init__(self, market, faults, journal_path, **desk):
        self.market = market
        script = convert({"seed": 3, "faults": list(faults)}, FaultScript, "test")
        self.server = SimulatorServer(
            market,
            QueueMatching(market.instruments, market.session),
            Journal(journal_path),
            GatewayOptions(desk=DeskOptions(**desk)),
            speed=None,
            faults=FaultOptions(script=script),
        )
        self.journal_path = journal_path
        self.port = 0
        self.clients: list[Client] = []
        self.step = 0

    @property
    def truth(self):
        """Return what truly became of the orders so far."""
        return read_truth(self.journal_path)

    def records(self, kind: str) -> list[dict]:
        """Return the journal's records of a kind."""
        lines = self.journal_path.read_text(encoding="utf-8").splitlines()
        return [record for record in map(json.loads, lines) if record["kind"] == kind]

    def inject(self, **fault) -> int:
        """Start a fault now."""
        return self.server.gateway.faults.inject(convert(fault, AnyFault, "test"))

    async def connect(self, client_id: int = 1, seconds_max: float = SECONDS_MAX) -> Client:
        """Return a connected client."""
        ib = Client()
        self.clients.append(ib)
        await ib.connectAsync("127.0.0.1", self.port, clientId=client_id, timeout=seconds_max)
        return ib

    async def trader(self, client_id: int = 1):
        """Return a connected client and its contract, after two steps of the market."""
        ib = await self.connect(client_id)
        (contract,) = await ib.qualifyContractsAsync(Stock("SYN01", "SMART", "USD"))
        await self.play(2)
        return ib, contract

    async def play(self, steps: int, *, hear: bool = True) -> None:
        """Play some steps after everything that was asked, and let the clients read what they brought."""
        self.step += steps
        await self._hear(hear=hear)
        await self.server.playback.play_until(self.server.playback.step_end_ns(self.step - 1))
        await self._hear(hear=hear)

    async def _hear(self, *, hear: bool) -> None:
        if not hear:
            await asyncio.sleep(SILENCE_SECONDS)
            return
        for ib in self.clients:
            if ib.isConnected():
                await settle(ib)


@contextlib.asynccontextmanager
async def simulator(market, tmp_path, *faults, **desk):
    """Run a simulator, and close it and its clients."""
    sim = Simulator(market, faults, tmp_path / "truth.jsonl", **desk)
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


def far(ref: str, shares: int = 100, side: str = "BUY") -> LimitOrder:
    """Return an order that rests."""
    return LimitOrder(side, shares, 20.0 if side == "BUY" else 900.0, tif="DAY", orderRef=ref)


def now(ref: str, shares: int = 100, side: str = "BUY") -> MarketOrder:
    """Return an order that fills in the next step."""
    return MarketOrder(side, shares, tif="DAY", orderRef=ref)


# Row 1 and 7: the nightly reset, and ids that come back.


async def test_nightly_reset_swallows_drops_and_reissues_ids(market, tmp_path):
    """Orders to the dying socket vanish, everybody is dropped, the port is away, and ids start again at one."""
    async with simulator(market, tmp_path) as sim:
        ib, contract = await sim.trader()
        first = ib.placeOrder(contract, now("first"))
        await sim.play(2)
        assert first.orderStatus.status == "Filled"
        resting = ib.placeOrder(contract, far("resting"))
        await settle(ib)
        sim.inject(kind="nightly_reset", dying_seconds=5, down_seconds=10)
        ib.placeOrder(contract, far("vanished"))
        await asyncio.sleep(SILENCE_SECONDS)
        await sim.play(2, hear=False)
        assert not ib.isConnected()
        with pytest.raises((ConnectionError, asyncio.TimeoutError, OSError)):
            await sim.connect(seconds_max=0.5)
        await sim.play(2, hear=False)
        again = await sim.connect()
        assert again.take(9)[-1] == ["9", "1", "1"]
        assert [trade.order.orderRef for trade in again.openTrades()] == ["resting"]
        reused = again.placeOrder(contract, far("reused"))
        reused.order.orderId = first.order.orderId
        again.client.placeOrder(first.order.orderId, contract, far("reused-1"))
        await settle(again)
        executions = await again.reqExecutionsAsync(ExecutionFilter())
        assert [item.execution.orderId for item in executions] == [first.order.orderId]
        truth = sim.truth
        assert [order.status for order in truth.by_ref("vanished")] == ["Lost"]
        assert [order.status for order in truth.by_ref("resting")] == ["Submitted"]
        (twin,) = truth.by_ref("reused-1")
        (old,) = truth.by_ref("first")
        assert twin.order_id == old.order_id
        assert twin.perm_id != old.perm_id
        assert resting.orderStatus.permId != twin.perm_id


# Row 2: placements without a word.


@pytest.mark.parametrize(("fate", "status"), [("lost", "Lost"), ("silent", "Filled")])
async def test_placements_are_dropped_silently(market, tmp_path, fate, status):
    """A dropped placement brings no message at all; in one fate it never lived, in the other it even fills."""
    fault = {"kind": "drop_placements", "fate": fate, "count": 1, "after_orders": 1}
    async with simulator(market, tmp_path, fault) as sim:
        ib, contract = await sim.trader()
        ib.placeOrder(contract, far("fine"))
        await settle(ib)
        ib.take()
        trade = ib.placeOrder(contract, now("dropped"))
        await sim.play(3)
        assert ib.take(3, 4, 5, 11, 59) == []
        assert trade.orderStatus.status == "PendingSubmit"
        assert [order.status for order in sim.truth.by_ref("dropped")] == [status]
        found = await ib.reqExecutionsAsync(ExecutionFilter())
        assert [item.execution.orderRef for item in found] == ([] if fate == "lost" else ["dropped"])
        after = ib.placeOrder(contract, far("after"))
        await settle(ib)
        assert after.orderStatus.status == "Submitted"


# Rows 3 and 4: outages.


async def test_fills_are_lost_in_an_outage_and_found_afterwards(market, tmp_path):
    """During 1100 no report comes although the market fills; an executions query tells it after 1102."""
    async with simulator(market, tmp_path) as sim:
        ib, contract = await sim.trader()
        ticker = ib.reqMktData(contract)
        trade = ib.placeOrder(contract, now("unseen"))
        await settle(ib)
        sim.inject(kind="outage", seconds=20, notices=3)
        ib.take()
        await sim.play(3)
        assert [row[3] for row in ib.take(4)] == ["1100"] * 3
        assert ib.take(1, 2, 3, 5, 11, 59) == []
        assert trade.fills == []
        assert await asyncio.wait_for(_silence(ib.reqPositionsAsync()), 2.0)
        await sim.play(2)
        assert [code for _, code in ib.codes if code >= 1100][-1] == 1102
        found = await ib.reqExecutionsAsync(ExecutionFilter())
        assert [item.execution.orderRef for item in found] == ["unseen"]
        await sim.play(1)
        assert ticker.bid == market.step(sim.step - 1).bid_nano[0] / 1e9
        assert {row["message_id"] for row in sim.records("message_lost")} == {3, 5, 11, 59}


async def _silence(request) -> bool:
    """Return whether a request gets no answer for a while."""
    try:
        await asyncio.wait_for(request, SILENCE_SECONDS)
    except TimeoutError:
        return True
    return False


@pytest.mark.parametrize(
    ("end_code", "subscriptions"), [(1101, "kept"), (1101, "lost"), (1102, "kept"), (1102, "lost"), (None, "lost")]
)
async def test_restored_connectivity_may_lie(market, tmp_path, end_code, subscriptions):
    """Whether data come back is independent of the code that promises it."""
    async with simulator(market, tmp_path) as sim:
        ib, contract = await sim.trader()
        ib.reqMktData(contract)
        await sim.play(1)
        sim.inject(kind="outage", seconds=5, end_code=end_code, subscriptions=subscriptions)
        await sim.play(2)
        assert [code for _, code in ib.codes if code in {1100, 1101, 1102}] == [1100, *([end_code] if end_code else [])]
        ib.take()
        await sim.play(10)
        assert bool(ib.take(1, 2)) == (subscriptions == "kept")


async def test_placements_may_be_lost_in_an_outage(market, tmp_path):
    """With placements lost, neither an order nor a cancel reaches the book."""
    async with simulator(market, tmp_path) as sim:
        ib, contract = await sim.trader()
        resting = ib.placeOrder(contract, far("resting"))
        await settle(ib)
        sim.inject(kind="outage", seconds=5, placements="lost", requests="answered")
        ib.placeOrder(contract, far("lost"))
        ib.cancelOrder(resting.order)
        await settle(ib)
        await sim.play(2)
        truth = sim.truth
        assert [order.status for order in truth.by_ref("lost")] == ["Lost"]
        assert [order.status for order in truth.by_ref("resting")] == ["Submitted"]
        assert len(sim.records("cancel_lost")) == 1


async def test_a_query_is_answered_whole_in_an_outage(market, tmp_path):
    """Where requests are answered, live reports are lost and the executions query tells them all the same."""
    async with simulator(market, tmp_path) as sim:
        ib, contract = await sim.trader()
        sim.inject(kind="outage", requests="answered")
        ib.placeOrder(contract, now("unseen"))
        ib.placeOrder(contract, far("open"))
        await sim.play(2)
        assert ib.take(3, 5, 11) == []
        await ib.reqExecutionsAsync(ExecutionFilter())
        await ib.reqAllOpenOrdersAsync()
        assert [row[0] for row in ib.take(3, 5, 11)] == ["11", "5", "3"]


# Row 5: farms.


@pytest.mark.parametrize(("code", "ok"), [(2103, 2104), (2108, 2104), (2110, 2104), (2105, 2106), (2107, 2106)])
async def test_a_farm_breaks_and_only_its_data_stop(market, tmp_path, code, ok):
    """A market data farm stops quotes, a historical one bars; orders go on; then the farm says OK."""
    async with simulator(market, tmp_path) as sim:
        ib, contract = await sim.trader()
        ib.reqMktData(contract)
        await settle(ib)
        await sim.play(2)
        ib.codes.clear()
        sim.inject(kind="farm", code=code, seconds=30)
        ib.take()
        trade = ib.placeOrder(contract, now("trades"))
        await sim.play(4)
        assert trade.orderStatus.status == "Filled"
        quotes = code in {2103, 2108, 2110}
        assert bool(ib.take(1, 2)) != quotes
        bars = ib.reqHistoricalDataAsync(contract, "", "60 S", "5 secs", "TRADES", True)
        assert await asyncio.wait_for(_silence(bars), 2.0) != quotes
        await sim.play(4)
        assert [seen for _, seen in ib.codes if seen in {code, ok}] == [code, ok]
        assert ib.take(1, 2)


async def test_a_farm_may_claim_to_be_back(market, tmp_path):
    """After 2104 the quotes stay away until the fault truly ends; data may also go on although it is broken."""
    async with simulator(market, tmp_path) as sim:
        ib, contract = await sim.trader()
        ib.reqMktData(contract)
        await settle(ib)
        sim.inject(kind="farm", code=2103, ok_after_seconds=5, seconds=60)
        await sim.play(3)
        assert (-1, 2104) in ib.codes
        ib.take()
        await sim.play(5)
        assert ib.take(1, 2) == []
        await sim.play(6)
        assert ib.take(1, 2)
        sim.inject(kind="farm", code=2103, data="goes_on", seconds=60)
        await sim.play(5)
        assert ib.take(1, 2)


# Row 6: client ids.


async def test_a_leaked_session_keeps_the_client_id(market, tmp_path):
    """The id is refused with 326 while the fault lasts, and works afterwards."""
    async with simulator(market, tmp_path, {"kind": "hold_client_id", "client_id": 5, "seconds": 70}) as sim:
        refused = Client()
        with pytest.raises((ConnectionError, asyncio.TimeoutError)):
            await refused.connectAsync("127.0.0.1", sim.port, clientId=5, timeout=0.5)
        assert [code for _, code in refused.codes] == [326]
        await sim.connect(6)
        await sim.play(4)
        assert (await sim.connect(5)).isConnected()


# Row 8: a modification that duplicates.


async def test_a_modification_leaves_two_live_orders(market, tmp_path):
    """Both incarnations are open under one order id; each takes a cancel of its own."""
    async with simulator(market, tmp_path, {"kind": "split_modification", "count": 1}) as sim:
        ib, contract = await sim.trader()
        order = far("twice")
        ib.placeOrder(contract, order)
        await settle(ib)
        order.lmtPrice = 21.0
        ib.placeOrder(contract, order)
        await settle(ib)
        ib.take()
        await ib.reqAllOpenOrdersAsync()
        shown = ib.take(3)
        assert [row[1] for row in shown] == [str(order.orderId)] * 2
        assert len({row[6] for row in shown}) == 2
        assert [item.live for item in sim.truth.by_ref("twice")] == [True, True]
        ib.client.cancelOrder(order.orderId)
        ib.client.cancelOrder(order.orderId)
        await settle(ib)
        assert [item.status for item in sim.truth.by_ref("twice")] == ["Cancelled", "Cancelled"]


async def test_a_duplicate_of_a_half_filled_order_wants_the_rest(market, tmp_path):
    """The second incarnation wants what the first had left, so both together fill too much."""
    faults = [{"kind": "partial_fills", "shares": 30}, {"kind": "split_modification", "count": 1}]
    async with simulator(market, tmp_path, *faults) as sim:
        ib, contract = await sim.trader()
        price = round(market.step(1).ask_nano[0] / 1e9 + 5, 2)
        order = LimitOrder("BUY", 100, price, tif="DAY", orderRef="half")
        ib.placeOrder(contract, order)
        await sim.play(1)
        order.lmtPrice = price + 1
        ib.placeOrder(contract, order)
        await sim.play(5)
        assert [item.filled_micro for item in sim.truth.by_ref("half")] == [100 * 10**6, 70 * 10**6]
        assert [position.position for position in ib.positions()] == [170]


# Row 9: working orders over a restart of the connection.


@pytest.mark.parametrize("abort", [False, True])
async def test_working_orders_outlive_a_disconnect(market, tmp_path, abort):
    """The socket closes under a half-filled order; after the reconnect it is there, replayed and cancellable."""
    async with simulator(market, tmp_path, {"kind": "partial_fills", "shares": 10}) as sim:
        ib, contract = await sim.trader()
        ib.placeOrder(contract, now("half", 1000))
        await sim.play(2)
        sim.inject(kind="disconnect", client_id=1, abort=abort)
        await sim.play(2, hear=False)
        assert not ib.isConnected()
        again = await sim.connect()
        (trade,) = again.openTrades()
        assert trade.orderStatus.filled >= 30
        again.take()
        sim.inject(kind="replay")
        await settle(again)
        assert len(again.take(11)) == len(again.fills())
        again.cancelOrder(trade.order)
        await settle(again)
        (true,) = sim.truth.by_ref("half")
        assert true.status == "Cancelled"
        assert true.filled_micro == trade.orderStatus.filled * 1e6


# Row 10: orders from elsewhere.


@pytest.mark.parametrize(("client_id", "order_id"), [(0, 0), (9, 77)])
async def test_a_foreign_order_trades(market, tmp_path, client_id, order_id):
    """An order by hand, or of another client, is announced, fills, and moves the position."""
    async with simulator(market, tmp_path) as sim:
        ib, _ = await sim.trader()
        ib.take()
        sim.inject(kind="foreign_order", symbol="SYN01", side="BUY", shares=50, client_id=client_id, order_id=order_id)
        await sim.play(2)
        statuses = [(row[1], row[2], row[9]) for row in ib.take(3)]
        assert statuses[0] == (str(order_id), "PreSubmitted", str(client_id))
        assert statuses[-1][1] == "Filled"
        assert [position.position for position in ib.positions()] == [50]
        assert [record["origin"] for record in sim.records("foreign_received")] == ["foreign_order"]


async def test_an_unannounced_foreign_order_shows_only_in_the_account(market, tmp_path):
    """Without announcement the position moves and no order message comes; the open-order query tells it."""
    async with simulator(market, tmp_path) as sim:
        ib, _ = await sim.trader()
        ib.take()
        sim.inject(kind="foreign_order", symbol="SYN01", side="BUY", shares=50, announce=False)
        sim.inject(kind="foreign_order", symbol="SYN01", side="SELL", shares=5, limit_usd=900, announce=False)
        await sim.play(2)
        assert ib.take(3, 5, 11) == []
        assert [position.position for position in ib.positions()] == [50]
        await ib.reqAllOpenOrdersAsync()
        assert [row[1] for row in ib.take(3)] == ["0"]


# Row 11: disorder.


async def test_executions_come_before_their_order(market, tmp_path):
    """The first message of an order is its execution; what was held follows at once."""
    fault = {"kind": "hold", "messages": ["open_order", "order_status"], "until": "execution", "count": 1}
    async with simulator(market, tmp_path, fault) as sim:
        ib, contract = await sim.trader()
        ib.take()
        trade = ib.placeOrder(contract, now("held"))
        await settle(ib)
        assert ib.take(3, 5) == []
        await sim.play(1)
        kinds = [row[0] for row in ib.take(3, 5, 11)]
        assert kinds[0] == "11"
        assert kinds[1:3] == ["5", "3"]
        await sim.play(2)
        assert trade.orderStatus.status == "Filled"


async def test_messages_of_one_step_are_reversed(market, tmp_path):
    """The commission comes first and the execution last; nothing is missing."""
    messages = ["open_order", "order_status", "execution", "commission"]
    async with simulator(market, tmp_path, {"kind": "reorder", "messages": messages}) as sim:
        ib, contract = await sim.trader()
        ib.placeOrder(contract, now("reversed"))
        await settle(ib)
        ib.take()
        await sim.play(1)
        assert [row[0] for row in ib.take(3, 5, 11, 59)] == ["59", "3", "5", "3", "5", "11"]


async def test_a_fill_of_an_unknown_contract_arrives(market, tmp_path):
    """An execution of a contract nobody asked for reaches the client, and the truth knows no such order."""
    async with simulator(market, tmp_path, {"kind": "stray_execution", "after_messages": 12}) as sim:
        ib, contract = await sim.trader()
        ib.placeOrder(contract, far("mine"))
        await settle(ib)
        for _ in range(4):
            await settle(ib)
        strays = ib.take(11)
        assert [(row[3], row[4], row[2]) for row in strays] == [("999999999", "STRAY", "0")]
        assert ib.positions() == []
        assert [order.order_ref for order in sim.truth.orders] == ["mine"]


# Row 12: partial fills, states that go backwards, doubles.


async def test_status_goes_backwards_and_executions_come_twice(market, tmp_path):
    """After each new status the old one comes again, and each execution comes twice under one id."""
    faults = [
        {"kind": "partial_fills", "shares": 30},
        {"kind": "stale_status"},
        {"kind": "duplicate", "messages": ["execution"], "copies": 2},
    ]
    async with simulator(market, tmp_path, *faults) as sim:
        ib, contract = await sim.trader()
        ib.placeOrder(contract, now("parts", 100))
        await settle(ib)
        ib.take()
        await sim.play(5)
        rows = ib.rows[:]
        filled = [float(row[3]) for row in rows if row[0] == "3"]
        assert any(later < earlier for earlier, later in itertools.pairwise(filled))
        ids = [row[14] for row in rows if row[0] == "11"]
        assert len(ids) == 8
        assert len(set(ids)) == 4
        (true,) = sim.truth.by_ref("parts")
        assert (true.status, true.filled_micro, len(true.executions)) == ("Filled", 100 * 10**6, 4)


# Row 13: cancels.


async def test_a_cancel_stays_pending_for_ever_and_the_order_fills(market, tmp_path):
    """PendingCancel is all that comes; a second cancel is refused; the order is truly alive and fills."""
    async with simulator(market, tmp_path, {"kind": "cancel", "answer": "pending", "count": 1}) as sim:
        ib, contract = await sim.trader()
        trade = ib.placeOrder(contract, far("stuck"))
        await settle(ib)
        ib.cancelOrder(trade.order)
        await sim.play(3)
        assert trade.orderStatus.status == "PendingCancel"
        ib.client.cancelOrder(trade.order.orderId)
        await settle(ib)
        assert ib.codes[-1] == (trade.order.orderId, 10148)
        (true,) = sim.truth.by_ref("stuck")
        assert (true.status, true.shown) == ("Submitted", "PendingCancel")


@pytest.mark.parametrize(
    ("answer", "code", "codes"),
    [("silent", 161, []), ("refused", 161, [161]), ("refused", 10147, [10147]), ("refused", 10148, [10148])],
)
async def test_cancels_are_unanswered_or_refused(market, tmp_path, answer, code, codes):
    """The order stays alive whatever the client makes of the answer; a second cancel works."""
    fault = {"kind": "cancel", "answer": answer, "code": code, "count": 1}
    async with simulator(market, tmp_path, fault) as sim:
        ib, contract = await sim.trader()
        trade = ib.placeOrder(contract, far("kept"))
        await settle(ib)
        ib.take()
        ib.cancelOrder(trade.order)
        await settle(ib)
        assert [int(row[3]) for row in ib.take(3, 4) if row[0] == "4"] == codes
        assert sim.truth.by_ref("kept")[0].live
        ib.client.cancelOrder(trade.order.orderId)
        await settle(ib)
        assert sim.truth.by_ref("kept")[0].status == "Cancelled"


@pytest.mark.parametrize("outcome", ["filled", "cancelled"])
async def test_cancelled_is_untrue_until_the_outcome(market, tmp_path, outcome):
    """Cancelled and 202 come, the order is gone from the open orders, and later it fills or truly ends."""
    fault = {"kind": "cancel", "answer": "untrue", "outcome_seconds": 12, "outcome": outcome}
    async with simulator(market, tmp_path, fault) as sim:
        ib, contract = await sim.trader()
        trade = ib.placeOrder(contract, far("zombie"))
        await settle(ib)
        ib.cancelOrder(trade.order)
        await settle(ib)
        assert trade.orderStatus.status == "Cancelled"
        assert ib.codes[-1][1] == 202
        assert await ib.reqAllOpenOrdersAsync() == []
        done = await ib.reqCompletedOrdersAsync(False)
        assert [item.orderStatus.status for item in done] == ["Cancelled"]
        (true,) = sim.truth.by_ref("zombie")
        assert (true.status, true.shown) == ("Submitted", "Cancelled")
        ib.take()
        await sim.play(4)
        executions = ib.take(11)
        assert len(executions) == (1 if outcome == "filled" else 0)
        assert sim.truth.by_ref("zombie")[0].status == outcome.capitalize()


# Row 14: codes.


def test_the_usual_codes_have_words():
    """Every usual code has the broker's text."""
    assert set(USUAL_CODES) <= set(TEXTS)


async def test_any_code_comes_without_a_cause(market, tmp_path):
    """A notice brings each of the usual codes, to one client or all, with the broker's words or others."""
    async with simulator(market, tmp_path) as sim:
        ib, other = await sim.connect(1), await sim.connect(2)
        ib.codes.clear()
        other.codes.clear()
        for code in USUAL_CODES:
            sim.inject(kind="notice", code=code, client_id=1)
        sim.inject(kind="notice", code=12345, text="never seen before", request_id=7)
        await settle(ib)
        await settle(other)
        assert ib.codes == [*((-1, code) for code in USUAL_CODES), (7, 12345)]
        assert other.codes == [(7, 12345)]


@pytest.mark.parametrize("code", [10349, 2109, 399, 110, 321])
async def test_an_order_with_an_error_works_all_the_same(market, tmp_path, code):
    """The error names the order, and the order then works with the terms that were left of it."""
    fault = {"kind": "warn_orders", "code": code, "strip": ["tif", "outside_rth"], "count": 1}
    async with simulator(market, tmp_path, fault) as sim:
        ib, contract = await sim.trader()
        order = LimitOrder("BUY", 100, 20.0, tif="GTC", outsideRth=True, orderRef="warned")
        trade = ib.placeOrder(contract, order)
        await settle(ib)
        assert (order.orderId, code) in ib.codes
        assert trade.orderStatus.status == "Submitted"
        ib.take()
        await ib.reqOpenOrdersAsync()
        (shown,) = ib.take(5)
        assert (shown[18], shown[26]) == ("DAY", "0")


@pytest.mark.parametrize(
    ("code", "status"), [(201, "Inactive"), (103, "Refused"), (10243, "Refused"), (434, "Refused")]
)
async def test_orders_are_refused(market, tmp_path, code, status):
    """A refusal brings its code; 201 is followed by Inactive; nothing lives."""
    async with simulator(market, tmp_path, {"kind": "refuse_orders", "code": code, "symbols": ["SYN01"]}) as sim:
        ib, contract = await sim.trader()
        order = far("refused")
        ib.take()
        ib.placeOrder(contract, order)
        await settle(ib)
        rows = ib.take(3, 4)
        assert rows[0][3] == str(code)
        assert [row[2] for row in rows[1:]] == (["Inactive"] if code == 201 else [])
        assert [item.status for item in sim.truth.by_ref("refused")] == [status]
        (elsewhere,) = await ib.qualifyContractsAsync(Stock("SYN02", "SMART", "USD"))
        assert ib.placeOrder(elsewhere, far("other")).order.orderId
        await settle(ib)
        assert sim.truth.by_ref("other")[0].live


# Row 15: held orders.


@pytest.mark.parametrize(("outcome", "final"), [("found", "Submitted"), ("inactive", "Inactive")])
async def test_a_short_sale_waits_for_its_locate(market, tmp_path, outcome, final):
    """404 and whyHeld come first; then the shares are found, or the order ends Inactive; a buy is not held."""
    fault = {"kind": "locate", "locate_seconds": 12, "outcome": outcome}
    async with simulator(market, tmp_path, fault) as sim:
        ib, contract = await sim.trader()
        short = ib.placeOrder(contract, far("short", side="SELL"))
        bought = ib.placeOrder(contract, far("long"))
        await sim.play(1)
        assert (short.orderStatus.status, short.orderStatus.whyHeld) == ("PreSubmitted", "locate")
        assert bought.orderStatus.status == "Submitted"
        assert (short.order.orderId, 404) in ib.codes
        await sim.play(3)
        assert short.orderStatus.status == final
        assert short.orderStatus.whyHeld in {"", "locate"}
        assert sim.truth.by_ref("short")[0].status == final


async def test_inactive_is_not_the_end_and_presubmitted_may_be_stale(market, tmp_path):
    """An order turns Inactive and works again; another is never announced as Submitted and fills."""
    async with simulator(market, tmp_path, {"kind": "stale_presubmitted", "order_ref": "stale"}) as sim:
        ib, contract = await sim.trader()
        trade = ib.placeOrder(contract, far("sleeps"))
        bid = market.step(1).ask_nano[0] / 1e9 + 1
        stale = ib.placeOrder(contract, LimitOrder("BUY", 10, round(bid, 2), tif="DAY", orderRef="stale"))
        await settle(ib)
        assert stale.orderStatus.status == "PreSubmitted"
        sim.inject(kind="deactivate", order_ref="sleeps", seconds=10, why_held="locate")
        await sim.play(1)
        assert trade.orderStatus.status == "Inactive"
        assert stale.orderStatus.status == "Filled"
        await sim.play(3)
        assert trade.orderStatus.status == "Submitted"


# Row 16: previews.


async def test_previews_are_unset_zero_or_never_answered(market, tmp_path):
    """The three bad answers to a what-if, one after the other, and then a good one."""
    faults = [{"kind": "what_if", "answer": answer, "count": 1} for answer in ("unset", "zeros", "never")]
    async with simulator(market, tmp_path, *faults) as sim:
        ib, contract = await sim.trader()
        order = LimitOrder("BUY", 100, 150.0, tif="DAY")
        unset = await asyncio.wait_for(ib.whatIfOrderAsync(contract, order), SECONDS_MAX)
        assert unset.initMarginAfter == unset.equityWithLoanAfter == "1.7976931348623157E308"
        zeros = await asyncio.wait_for(ib.whatIfOrderAsync(contract, order), SECONDS_MAX)
        assert float(zeros.initMarginAfter) == float(zeros.equityWithLoanAfter) == zeros.commission == 0.0
        assert await _silence(ib.whatIfOrderAsync(contract, order))
        fine = await asyncio.wait_for(ib.whatIfOrderAsync(contract, order), SECONDS_MAX)
        assert float(fine.initMarginAfter) > 0
        assert sim.truth.orders == []


# Row 17: commissions and corrections.


async def test_commissions_come_late_or_never(market, tmp_path):
    """Within the delay there is no commission; one of the second order never comes, even when asked for."""
    async with simulator(market, tmp_path, {"kind": "commission", "delay_seconds": 30}) as sim:
        ib, contract = await sim.trader()
        late = ib.placeOrder(contract, now("late"))
        await sim.play(2)
        assert late.orderStatus.status == "Filled"
        assert ib.take(59) == []
        await sim.play(7)
        assert len(ib.take(59)) == 1
        sim.inject(kind="commission")
        never = ib.placeOrder(contract, now("never"))
        await sim.play(20)
        await ib.reqExecutionsAsync(ExecutionFilter())
        assert never.orderStatus.status == "Filled"
        assert [row[2] for row in ib.take(59)] == [late.fills[0].execution.execId]
        (true,) = sim.truth.by_ref("never")
        assert [item.commission_nano for item in true.executions.values()] == [None]


async def test_an_execution_is_corrected(market, tmp_path):
    """The same id comes with suffix .02, another price and fewer shares; cash and position follow."""
    async with simulator(market, tmp_path) as sim:
        ib, contract = await sim.trader()
        trade = ib.placeOrder(contract, now("corrected"))
        await sim.play(2)
        (fill,) = trade.fills
        cash = sim.server.gateway.account.cash_nano
        ib.take()
        sim.inject(kind="correction", price_change_usd=0.5, shares=90)
        await sim.play(1)
        (row,) = ib.take(11)
        assert row[14] == fill.execution.execId[:-2] + "02"
        assert (float(row[19]), float(row[20])) == (90.0, pytest.approx(fill.execution.price + 0.5))
        difference = 100 * fill.execution.price - 90 * (fill.execution.price + 0.5)
        assert sim.server.gateway.account.cash_nano - cash == pytest.approx(difference * 1e9, abs=10)
        assert [position.position for position in ib.positions()] == [90]
        (true,) = sim.truth.by_ref("corrected")
        (execution,) = true.executions.values()
        assert (execution.execution_id[-2:], true.filled_micro) == ("02", 90 * 10**6)
        sim.inject(kind="correction", execution=99)
        assert len(sim.records("fault_idle")) == 1


# Row 18: the account.


async def test_portfolio_and_account_lag(market, tmp_path):
    """Account messages come a minute after the trade, in their order."""
    messages = ["account_value", "portfolio", "position", "account_time"]
    async with simulator(market, tmp_path) as sim:
        ib, contract = await sim.trader()
        sim.inject(kind="delay", messages=messages, delay_seconds=60)
        ib.take()
        ib.placeOrder(contract, now("lag"))
        await sim.play(3)
        assert ib.take(6, 7, 61) == []
        await sim.play(12)
        rows = ib.take(7, 61)
        assert [row[0] for row in rows] == ["61", "7"]


async def test_a_forced_liquidation_is_unseen(market, tmp_path):
    """Holdings are closed by orders that nobody is told of; only the position shows it."""
    async with simulator(market, tmp_path) as sim:
        ib, contract = await sim.trader()
        ib.placeOrder(contract, now("held"))
        await sim.play(2)
        ib.take()
        sim.inject(kind="liquidation", symbols=["SYN01"])
        await sim.play(2)
        assert ib.take(3, 5, 11) == []
        assert ib.positions() == []
        assert sim.records("foreign_received")[0]["origin"] == "liquidation"


async def test_a_margin_call_is_followed_by_liquidation(market, tmp_path):
    """Raised rates make the excess negative, at once visible; after the grace the holding is sold."""
    async with simulator(market, tmp_path) as sim:
        ib, contract = await sim.trader()
        price = market.step(1).ask_nano[0] / 1e9
        ib.placeOrder(contract, now("big", int(1_500_000 / price)))
        for _ in range(30):
            await sim.play(1)
        held = ib.positions()[0].position
        sim.inject(kind="margin_call", maintenance_bps=9000, grace_seconds=15, announce=True)
        await sim.play(1)
        excess = next(item for item in ib.accountValues() if item.tag == "ExcessLiquidity")
        assert float(excess.value) < 0
        assert ib.positions()[0].position == held
        ib.take()
        await sim.play(6)
        assert {row[1] for row in ib.take(3)} == {"0"}
        await sim.play(40)
        assert ib.positions() == []
        assert len(sim.records("margin_call")) == 1


# Row 19: texts of time; the refusals 110 and 10243 need no fault.


@pytest.mark.parametrize(
    ("form", "text"),
    [("utc", "20261120 14:30:15 UTC"), ("no_zone", "20261120 09:30:15"), ("utc_no_zone", "20261120 14:30:15")],
)
async def test_execution_times_come_in_other_forms(market, tmp_path, form, text):
    """Execution times are in UTC, or without a zone, live and when asked for."""
    async with simulator(market, tmp_path, {"kind": "time_text", "form": form}) as sim:
        ib, contract = await sim.trader()
        ib.placeOrder(contract, now("stamped"))
        await sim.play(1)
        await ib.reqExecutionsAsync(ExecutionFilter())
        assert [row[15] for row in ib.take(11)] == [text] * 2


# Row 20: data, limits, hangs.


async def test_a_competing_session_takes_the_data(market, tmp_path):
    """10197 comes for each subscription, quotes stop, and come back with their image at the end."""
    async with simulator(market, tmp_path) as sim:
        ib, contract = await sim.trader()
        ticker = ib.reqMktData(contract)
        await sim.play(1)
        number = sim.inject(kind="competing_session")
        ib.take()
        await sim.play(4)
        assert [code for _, code in ib.codes if code == 10197] == [10197]
        assert ib.take(1, 2) == []
        (second,) = await ib.qualifyContractsAsync(Stock("SYN02", "SMART", "USD"))
        ib.reqMktData(second)
        await settle(ib)
        assert [code for _, code in ib.codes if code == 10197] == [10197] * 2
        assert sim.server.gateway.faults.clear(number)
        await settle(ib)
        assert ticker.bid == market.step(sim.step - 1).bid_nano[0] / 1e9


async def test_lines_are_limited(market, tmp_path):
    """The second subscription is one too many."""
    async with simulator(market, tmp_path, {"kind": "line_limit", "lines": 1}) as sim:
        ib = await sim.connect()
        for contract in await ib.qualifyContractsAsync(*(Stock(symbol, "SMART", "USD") for symbol in SYMBOLS)):
            ib.reqMktData(contract)
        await settle(ib)
        assert [code for _, code in ib.codes if code == 101] == [101]


async def test_too_many_messages_end_the_connection(market, tmp_path):
    """The 51st message of a second brings error 100 and is lost; the third excess closes the socket."""
    async with simulator(market, tmp_path, {"kind": "pacing", "strikes": 3, "at": "open+1"}) as sim:
        ib, contract = await sim.trader()
        for burst in range(2):
            await sim.play(1, hear=False)
            for _ in range(50):
                ib.client.reqCurrentTime()
            ib.placeOrder(contract, far(f"excess-{burst}"))
            await settle(ib)
            assert [code for _, code in ib.codes if code == 100] == [100] * (burst + 1)
            assert sim.truth.by_ref(f"excess-{burst}")[0].status == "Lost"
        await sim.play(1, hear=False)
        for _ in range(51):
            ib.client.reqCurrentTime()
        await asyncio.sleep(SILENCE_SECONDS)
        assert not ib.isConnected()


async def test_fifty_messages_a_second_are_allowed(market, tmp_path):
    """A client at the limit is never told off."""
    async with simulator(market, tmp_path, {"kind": "pacing", "strikes": 1, "at": "open+1"}) as sim:
        ib, _ = await sim.trader()
        await sim.play(1, hear=False)
        for _ in range(5):
            for _ in range(50):
                ib.client.reqCurrentTime()
            await sim.play(1, hear=False)
        assert ib.isConnected()
        assert [code for _, code in ib.codes if code == 100] == []


async def test_historical_pacing(market, tmp_path):
    """An identical request within 15 s is refused with 162, and so is the 61st within ten minutes."""
    async with simulator(market, tmp_path, {"kind": "pacing", "contract_count": 1000, "historical_strikes": 9}) as sim:
        ib, contract = await sim.trader()

        async def ask(seconds: int) -> bool:
            before = len(ib.codes)
            bars = await ib.reqHistoricalDataAsync(contract, "", f"{seconds} S", "5 secs", "TRADES", True)
            refused = [code for _, code in ib.codes[before:]] == [162]
            assert refused == (not bars)
            return not refused

        await sim.play(10)
        assert await ask(100)
        assert not await ask(100)
        await sim.play(4)
        assert await ask(100)
        answers = []
        for place in range(70):
            if place % 20 == 0:
                await sim.play(1)
            if not ib.isConnected():
                break
            with contextlib.suppress(ConnectionError):
                answers.append(await ask(200 + place))
        assert answers.count(True) == 57
        await asyncio.sleep(SILENCE_SECONDS)
        assert not ib.isConnected()


async def test_six_requests_for_one_contract_within_two_seconds(market, tmp_path):
    """The sixth is refused."""
    async with simulator(market, tmp_path, {"kind": "pacing"}) as sim:
        ib, contract = await sim.trader()
        await sim.play(5)
        for place in range(6):
            await ib.reqHistoricalDataAsync(contract, "", f"{60 + place} S", "5 secs", "TRADES", True)
            assert [code for _, code in ib.codes if code == 162] == ([162] if place == 5 else [])


@pytest.mark.parametrize("announce", [True, False])
async def test_live_data_turn_delayed(market, tmp_path, announce):
    """Quotes come under the delayed tick types, announced or not, and turn live again at the end."""
    async with simulator(market, tmp_path) as sim:
        ib, contract = await sim.trader()
        ib.reqMktData(contract)
        await settle(ib)
        ib.take()
        sim.inject(kind="delayed_data", announce=announce, seconds=60)
        await sim.play(8)
        rows = ib.take(1, 2, 46, 58)
        assert {row[3] for row in rows if row[0] in {"1", "2"}} <= {str(kind) for kind in range(66, 77)}
        assert [row[3] for row in rows if row[0] == "58"] == (["3"] if announce else [])
        await sim.play(8)
        types = {row[3] for row in ib.take(1, 2)}
        assert {"1", "2"} <= types


async def test_shortable_ticks(market, tmp_path):
    """Borrow comes as ticks 46 and 89, also as NaN; short sales beyond it are held and go when it is back."""
    async with simulator(market, tmp_path) as sim:
        ib, contract = await sim.trader()
        ticker = ib.reqMktData(contract, "236")
        await settle(ib)
        ib.take()
        unknown = sim.inject(kind="borrow", symbols=["SYN01"], shares=None, level=None, short_sales="allowed")
        await settle(ib)
        assert math.isnan(ticker.shortableShares)
        assert [row[4] for row in ib.take(45, 2) if row[3] in {"46", "89"}] == ["nan", "nan"]
        sim.server.gateway.faults.clear(unknown)
        scarce = sim.inject(kind="borrow", symbols=["SYN01"], shares=50)
        short = ib.placeOrder(contract, far("too many", side="SELL"))
        small = ib.placeOrder(contract, far("few", 50, side="SELL"))
        await settle(ib)
        assert ticker.shortableShares == 50
        assert (short.orderStatus.status, short.orderStatus.whyHeld) == ("PreSubmitted", "locate")
        assert small.orderStatus.status == "Submitted"
        sim.server.gateway.faults.clear(scarce)
        await settle(ib)
        assert short.orderStatus.status == "Submitted"
        sim.inject(kind="borrow", symbols=["SYN01"], shares=0, short_sales="rejected")
        rejected = ib.placeOrder(contract, far("none", side="SELL"))
        await settle(ib)
        assert rejected.orderStatus.status == "Inactive"


async def test_a_hung_gateway_is_mute_and_answers_later(market, tmp_path):
    """The port is open and the socket lives, nothing is answered; at the end everything comes, in order."""
    async with simulator(market, tmp_path) as sim:
        ib, contract = await sim.trader()
        trade = ib.placeOrder(contract, now("before"))
        await settle(ib)
        number = sim.inject(kind="hang")
        ib.take()
        ib.placeOrder(contract, far("during"))
        assert await _silence(ib.reqCurrentTimeAsync())
        mute = Client()
        with pytest.raises((TimeoutError, asyncio.TimeoutError)):
            await mute.connectAsync("127.0.0.1", sim.port, clientId=4, timeout=0.3)
        await sim.play(2, hear=False)
        assert ib.rows == []
        assert ib.isConnected()
        assert sim.server.gateway.faults.clear(number)
        await settle(ib)
        assert trade.orderStatus.status == "Filled"
        assert [order.status for order in sim.truth.by_ref("during")] == ["Submitted"]


async def test_a_hang_may_lose_requests_and_concern_new_connections_only(market, tmp_path):
    """What is sent into a losing hang never arrives; one of new connections leaves the old ones alone."""
    async with simulator(market, tmp_path) as sim:
        ib, contract = await sim.trader()
        number = sim.inject(kind="hang", requests="lost")
        ib.placeOrder(contract, far("eaten"))
        await asyncio.sleep(SILENCE_SECONDS)
        sim.server.gateway.faults.clear(number)
        await settle(ib)
        assert [order.status for order in sim.truth.by_ref("eaten")] == ["Lost"]
        number = sim.inject(kind="hang", scope="new")
        with pytest.raises((TimeoutError, asyncio.TimeoutError)):
            await sim.connect(7, seconds_max=0.3)
        await settle(ib)
        sim.server.gateway.faults.clear(number)
        assert (await sim.connect(8)).isConnected()


async def test_connections_are_refused(market, tmp_path):
    """No new connection stays; the old one lives on."""
    async with simulator(market, tmp_path) as sim:
        ib = await sim.connect()
        sim.inject(kind="refuse_connections", seconds=100)
        with pytest.raises((ConnectionError, asyncio.TimeoutError, OSError)):
            await sim.connect(2, seconds_max=0.5)
        await settle(ib)


# Answers in general.


@pytest.mark.parametrize("code", [200, 321, 354, 366, 420, 162])
async def test_requests_are_answered_with_errors(market, tmp_path, code):
    """A subscription and a bar request get the error instead; the next ones are served."""
    faults = [
        {"kind": "answer_error", "request": name, "code": code, "count": 1} for name in ("market_data", "historical")
    ]
    async with simulator(market, tmp_path, *faults) as sim:
        ib, contract = await sim.trader()
        ib.reqMktData(contract)
        await settle(ib)
        bars = ib.reqHistoricalDataAsync(contract, "", "60 S", "5 secs", "TRADES", True)
        if code in {162, 200, 321, 354, 366, 420}:
            await asyncio.wait_for(bars, SECONDS_MAX)
        assert [seen for _, seen in ib.codes if seen == code] == [code] * 2
        ib.take()
        ib.cancelMktData(contract)
        ib.reqMktData(contract)
        await sim.play(1)
        assert ib.take(1)


async def test_requests_are_not_answered(market, tmp_path):
    """The swallowed request waits for ever; other requests are answered."""
    async with simulator(market, tmp_path, {"kind": "no_answer", "request": "positions", "after_messages": 30}) as sim:
        ib, _ = await sim.trader()
        while sim.server.gateway.faults.engine.counts()["messages"] < 30:
            await settle(ib)
        assert await _silence(ib.reqPositionsAsync())
        await settle(ib)


async def test_messages_are_lost(market, tmp_path):
    """The status Filled never arrives, and only that."""
    fault = {"kind": "lose", "messages": ["order_status"], "status": "Filled"}
    async with simulator(market, tmp_path, fault) as sim:
        ib, contract = await sim.trader()
        trade = ib.placeOrder(contract, now("lost"))
        await sim.play(2)
        assert len(trade.fills) == 1
        assert trade.orderStatus.status == "PreSubmitted"
        assert len(sim.records("message_lost")) == 2
        assert sim.truth.by_ref("lost")[0].status == "Filled"


# Market.


async def test_a_halt_stops_trading_and_is_told(market, tmp_path):
    """Tick 49 says halted, a market order waits, quotes stand, bars are empty; then all goes on."""
    fault = {"kind": "halt", "symbols": ["SYN01"], "reason": "volatility", "at": "open+10", "seconds": 60}
    async with simulator(market, tmp_path, fault) as sim:
        ib, contract = await sim.trader()
        ticker = ib.reqMktData(contract)
        await sim.play(1)
        assert ticker.halted == 2.0
        trade = ib.placeOrder(contract, now("waits"))
        volume = ticker.volume
        ib.take()
        await sim.play(8)
        assert ib.take(1, 2) == []
        assert trade.orderStatus.status == "PreSubmitted"
        await sim.play(6)
        assert ticker.halted == 0.0
        assert trade.orderStatus.status == "Filled"
        assert ticker.bid == market.step(sim.step - 1).bid_nano[0] / 1e9
        halted = sum(market.step(index).trade_size_micro[0] for index in range(2, 14)) / 1e6
        assert ticker.volume == market.step(sim.step - 1).volume_micro[0] / 1e6 - halted
        assert ticker.volume >= volume


async def test_a_limit_state_becomes_a_pause(market, tmp_path):
    """A shock through the band shows no offer beyond it, and after the limit state trading pauses with tick 49."""
    faults = [
        {"kind": "luld", "symbols": ["SYN01"], "band_bps": 300, "limit_state_seconds": 10, "pause_seconds": 60},
        {"kind": "price_shock", "symbol": "SYN01", "change_bps": -800, "at": "open+60"},
    ]
    async with simulator(market, tmp_path, *faults) as sim:
        ib, contract = await sim.trader()
        ticker = ib.reqMktData(contract)
        await sim.play(10)
        before = ticker.last
        trade = ib.placeOrder(contract, now("sells", 10, side="SELL"))
        await sim.play(1)
        assert trade.orderStatus.status in {"PreSubmitted", "Filled"}
        await sim.play(3)
        assert ticker.halted == 2.0
        assert ticker.last >= before * 0.96
        await sim.play(16)
        assert ticker.halted == 0.0
        assert ticker.last < before * 0.95
        assert len(sim.records("limit_pause")) == 1


async def test_rule_201(market, tmp_path):
    """A short market sale waits for a passive fill; a sale of what is held goes; the broker may also reject."""
    fault = {"kind": "ssr", "symbols": ["SYN01"], "at": "open+10"}
    async with simulator(market, tmp_path, fault) as sim:
        ib, contract = await sim.trader()
        bought = ib.placeOrder(contract, now("long", 10))
        await sim.play(2)
        assert bought.orderStatus.status == "Filled"
        sold = ib.placeOrder(contract, now("sell", 10, side="SELL"))
        await sim.play(2)
        assert sold.orderStatus.status == "Filled"
        short = ib.placeOrder(contract, now("short", 10, side="SELL"))
        await sim.play(6)
        assert short.orderStatus.status == "PreSubmitted"
        assert short.fills == []
        sim.inject(kind="ssr", symbols=["SYN01"], effect="reject")
        rejected = ib.placeOrder(contract, far("rejected", side="SELL"))
        await settle(ib)
        assert rejected.orderStatus.status == "Inactive"


async def test_a_split_and_a_dividend(market, tmp_path):
    """Four for one: holding, prices, history and open orders follow; a dividend pays and lowers the price."""
    async with simulator(market, tmp_path) as sim:
        ib, contract = await sim.trader()
        ticker = ib.reqMktData(contract)
        ib.placeOrder(contract, now("held"))
        resting = ib.placeOrder(contract, far("resting"))
        await sim.play(2)
        value = sim.server.gateway.account.equity()
        days = await ib.reqHistoricalDataAsync(contract, "", "3 D", "1 day", "TRADES", True)
        sim.inject(kind="split", symbol="SYN01", new_shares=4)
        assert sim.server.gateway.account.equity() == pytest.approx(value, abs=2 * 10**9)
        await sim.play(1)
        assert resting.orderStatus.status == "Cancelled"
        assert [position.position for position in ib.positions()] == [400]
        assert ticker.bid == pytest.approx(market.step(sim.step - 1).bid_nano[0] / 4e9, abs=0.011)
        after = await ib.reqHistoricalDataAsync(contract, "", "3 D", "1 day", "TRADES", True)
        assert after[0].close == pytest.approx(days[0].close / 4, abs=0.01)
        cash, bid = sim.server.gateway.account.cash_nano, ticker.bid
        sim.inject(kind="dividend", symbol="SYN01", usd_per_share=2.0)
        await sim.play(1)
        assert sim.server.gateway.account.cash_nano - cash == 800 * 10**9
        assert ticker.bid < bid - 1.5
        reverse = sim.inject(kind="split", symbol="SYN01", new_shares=1, old_shares=3)
        await sim.play(1)
        assert reverse
        assert [position.position for position in ib.positions()] == [133]


# The control socket.


@pytest.mark.parametrize("place", ["path", "port"])
async def test_the_control_socket_injects_clears_and_refuses(market, tmp_path, place):
    """A fault goes in over the socket and acts on a connected client; mistakes are refused with path and remedy."""
    async with simulator(market, tmp_path) as sim:
        ib = await sim.connect()
        address = await sim.server.control(str(tmp_path / "control") if place == "path" else "127.0.0.1:0")
        if place == "path":
            reader, writer = await asyncio.open_unix_connection(address)
        else:
            reader, writer = await asyncio.open_connection(*address.split(":"))

        async def ask(line: bytes) -> dict:
            writer.write(line + b"\n")
            return json.loads(await asyncio.wait_for(reader.readline(), SECONDS_MAX))

        done = await ask(b'{"command": "inject", "fault": {"kind": "notice", "code": 1100}}')
        assert done["ok"]
        await settle(ib)
        assert ib.codes[-1] == (-1, 1100)
        hang = await ask(b'{"command": "inject", "fault": {"kind": "hang"}}')
        assert await _silence(ib.reqCurrentTimeAsync())
        state = await ask(b'{"command": "status"}')
        assert [(row["kind"], row["state"]) for row in state["faults"]] == [("hang", "in force")]
        assert (await ask(b'{"command": "clear", "number": %d}' % hang["number"]))["ok"]
        await settle(ib)
        for line, words in (
            (b'{"command": "inject", "fault": {"kind": "hang", "secnds": 3}}', "unknown key 'secnds'"),
            (b'{"command": "inject", "fault": {"kind": "halt", "symbols": ["NOPE"]}}', "'NOPE' is not played"),
            (b'{"command": "clear", "number": 999}', "no fault 999"),
            (b"not json", "malformed"),
        ):
            refused = await ask(line)
            assert not refused["ok"]
            assert words in refused["error"]
        writer.close()
        await writer.wait_closed()


# The program.


def sim_command(*options: str) -> list[str]:
    """Return the command line of a small synthetic simulator."""
    base = ["-m", "walstreet_services.ibsim", "--day", "2026-11-20", "--symbols", "SYN01", "--minutes", "5"]
    return [sys.executable, *base, "--port", "0", *options]


def environment() -> dict[str, str]:
    """Return an environment in which the source roots can be imported."""
    root = Path(__file__).parents[2]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(root / name) for name in ("proto", "libs", "services"))}


def test_the_command_line_refuses_in_one_line(tmp_path):
    """A script that names what is not played ends with 2 and one line."""
    path = tmp_path / "faults.yaml"
    path.write_text("faults: [{kind: hang}, {kind: halt, symbols: [NOPE]}]", encoding="utf-8")
    done = subprocess.run(
        sim_command("--faults", str(path)), capture_output=True, text=True, env=environment(), timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    said = [line for line in done.stderr.splitlines() if line.startswith("walstreet sim: ")]
    assert said == ["walstreet sim: faults[1]: symbol 'NOPE' is not played; known are SYN01"]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("0.0.0.0:9000", "not on loopback"),
        ("example.org:80", "not on loopback"),
        ("127.0.0.1:99999", "not on loopback"),
        ("x" * 200, "longer than 100 bytes"),
    ],
)
async def test_the_control_socket_is_not_for_strangers(market, tmp_path, address, words):
    """It listens on loopback or on a path of sane length only."""
    async with simulator(market, tmp_path) as sim:
        with pytest.raises(FaultError, match=words):
            await sim.server.control(address)


async def test_the_program_runs_a_script_and_a_control_socket(tmp_path):
    """Started with both, it says where the socket is, obeys it, follows the script, and removes the socket."""
    path = tmp_path / "faults.yaml"
    path.write_text("faults: [{kind: notice, code: 2110, after_messages: 8}]", encoding="utf-8")
    options = ["--faults", str(path), "--control", str(tmp_path / "control"), "--journal", str(tmp_path / "truth")]
    process = await asyncio.create_subprocess_exec(
        *sim_command(*options), stdout=asyncio.subprocess.PIPE, env=environment()
    )
    ib = Client()
    try:
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
        assert ready["control"] == str(tmp_path / "control")
        await ib.connectAsync("127.0.0.1", ready["port"], clientId=1, timeout=SECONDS_MAX)
        for _ in range(8):
            await settle(ib)
        assert (-1, 2110) in ib.codes
        reader, writer = await asyncio.open_unix_connection(ready["control"])
        writer.write(b'{"command": "inject", "fault": {"kind": "disconnect"}}\n')
        assert json.loads(await asyncio.wait_for(reader.readline(), SECONDS_MAX))["ok"]
        await asyncio.sleep(SILENCE_SECONDS)
        assert not ib.isConnected()
        writer.close()
    finally:
        ib.disconnect()
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), SECONDS_MAX)
    assert process.returncode == 0
    assert not (tmp_path / "control").exists()
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "truth").read_text(encoding="utf-8").splitlines()]
    assert kinds.count("fault_started") == 2


async def test_a_kill_switch_spares_what_the_broker_hides(market, tmp_path):
    """A global cancel ends plain orders; one whose cancel is stuck, and one untruly cancelled, live on."""
    fault = {"kind": "cancel", "answer": "pending", "order_ref": "stuck"}
    async with simulator(market, tmp_path, fault) as sim:
        ib, contract = await sim.trader()
        plain, stuck = ib.placeOrder(contract, far("plain")), ib.placeOrder(contract, far("stuck"))
        await settle(ib)
        ib.reqGlobalCancel()
        await settle(ib)
        assert plain.orderStatus.status == "Cancelled"
        assert stuck.orderStatus.status == "PendingCancel"
        ib.reqGlobalCancel()
        await settle(ib)
        assert sim.truth.by_ref("stuck")[0].status == "Submitted"


async def test_orders_that_cannot_be_read_are_in_the_truth(market, tmp_path):
    """A malformed placement is written down with its id."""
    async with simulator(market, tmp_path) as sim:
        ib = await sim.connect()
        ib.client.send(3, 41, "not", "an", "order")
        await settle(ib)
        (record,) = sim.records("request_malformed")
        assert (record["message_id"], record["id"]) == ("3", 41)
