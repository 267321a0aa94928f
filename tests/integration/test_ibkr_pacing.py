"""Owns the proof that the adapter keeps the broker's pace where it is enforced: never told off, never disconnected."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path

import pytest

from walstreet.adapters.clock import WallClock
from walstreet.adapters.free_ports import free_port
from walstreet.adapters.ibkr import BrokerLostError, ConnectOptions, IbkrBroker
from walstreet.domain.observations import Observation, OrderTicket
from walstreet_events import NANOS_PER_SECOND
from walstreet_services.ibsim.fault_load import convert
from walstreet_services.ibsim.fault_model import FaultScript
from walstreet_services.ibsim.faults import FaultOptions
from walstreet_services.ibsim.gateway import GatewayOptions
from walstreet_services.ibsim.journal import Journal
from walstreet_services.ibsim.market_synthetic import SyntheticMarket
from walstreet_services.ibsim.matching import QueueMatching
from walstreet_services.ibsim.server import SimulatorServer

pytestmark = pytest.mark.integration

_log = logging.getLogger(__name__)
LIBRARIES = [name for name in ("ib_insync", "ib_async") if importlib.util.find_spec(name)]
SYMBOL = "SYN01"
PLACEMENTS = 100
CANCEL_WAIT_S_MAX = 0.5
"""Ten cancels: two from the reserve, eight more at 45 a second; the rest is for a slow machine."""


@asynccontextmanager
async def enforced(library: str, journal: Path, *, paced: bool) -> AsyncIterator[tuple[IbkrBroker, SimulatorServer]]:
    """Yield a connected broker at a simulator that ends a connection at the first message too many."""
    market = SyntheticMarket([SYMBOL], seed=1, day=date(2026, 3, 2), step_ns=5 * NANOS_PER_SECOND, minutes=30)
    script = convert({"seed": 1, "faults": [{"kind": "pacing", "strikes": 1, "clock": "wall"}]}, FaultScript, "test")
    server = SimulatorServer(
        market,
        QueueMatching(market.instruments, market.session),
        Journal(journal),
        GatewayOptions(),
        speed=None,
        faults=FaultOptions(script=script),
    )
    port = await server.listen("127.0.0.1", free_port())
    options = ConnectOptions(port=port, library=library, paced=paced, broker_bars=False)  # type: ignore[arg-type]
    seen: list[Observation] = []
    try:
        broker = IbkrBroker(options, clock=WallClock(), observer=seen.append)
        try:
            await broker.connect()
            yield broker, server
        finally:
            await broker.close()
    finally:
        await server.close()


def ticket(server: SimulatorServer, order_id: int, con_id: int) -> OrderTicket:
    """Return an order far from the market."""
    return OrderTicket(
        broker_order_id=order_id,
        client_order_id=f"{order_id:032x}",
        symbol=SYMBOL,
        con_id=con_id,
        buy=True,
        quantity_micro=1_000_000,
        limit_nano=1_000_000_000,
        good_till_ns=server.playback.now_ns + 3_600 * NANOS_PER_SECOND,
    )


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_rush_of_orders_is_paced_and_cancels_overtake_it(library: str, tmp_path: Path) -> None:
    """A hundred orders at once and ten cancels among them: all arrive, none is told off, cancels do not queue."""
    journal = tmp_path / "truth.jsonl"
    async with enforced(library, journal, paced=True) as (broker, server):
        con_id = (await broker.instruments([SYMBOL]))[0].con_id
        first = broker.next_order_id
        for number in range(10):
            await broker.place(ticket(server, first + number, con_id))
        started = time.monotonic()
        placing = [
            asyncio.create_task(broker.place(ticket(server, first + number, con_id)))
            for number in range(10, PLACEMENTS)
        ]
        await asyncio.sleep(0.05)
        cancelling = time.monotonic()
        await asyncio.gather(*(broker.cancel(first + number) for number in range(10)))
        cancel_s = time.monotonic() - cancelling
        await asyncio.gather(*placing)
        elapsed_s = time.monotonic() - started
        await broker.server_time_ns()
        assert broker.connected
    records = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
    kinds = [record["kind"] for record in records]
    assert kinds.count("place_received") == PLACEMENTS
    assert kinds.count("cancel_received") == 10
    assert not {"place_lost", "cancel_lost", "request_lost"} & set(kinds)
    assert elapsed_s >= (PLACEMENTS - 5) / 50, "faster than the broker allows"
    assert cancel_s <= CANCEL_WAIT_S_MAX
    _log.info("%s: %.1f messages/s, ten cancels in %.3f s", library, PLACEMENTS / elapsed_s, cancel_s)


async def test_without_pace_the_simulator_really_disconnects(tmp_path: Path) -> None:
    """The same rush without the governor ends the connection, so the test above could fail."""
    async with enforced(LIBRARIES[0], tmp_path / "truth.jsonl", paced=False) as (broker, server):
        con_id = (await broker.instruments([SYMBOL]))[0].con_id
        first = broker.next_order_id

        async def rush() -> None:
            for number in range(2 * PLACEMENTS):
                await broker.place(ticket(server, first + number, con_id))
            await broker.server_time_ns()

        with pytest.raises(BrokerLostError):
            await rush()
        assert not broker.connected
