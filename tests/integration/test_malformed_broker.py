"""Owns the proof that no message of the broker, however damaged, ends a service or passes without a word."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import random
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from walstreet.adapters.free_ports import free_port
from walstreet.adapters.ibkr import ConnectOptions, IbkrBroker
from walstreet.domain.execution import ExecutionCore
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.gateway import GatewayCore
from walstreet.domain.gateway_parameters import GatewayParameters, SessionPlan
from walstreet.domain.observations import FeedObserved, Observation, OrderTicket, QuoteObserved
from walstreet.testing.execution_world import KEY
from walstreet_events import AnyEvent, encode
from walstreet_services.ibsim.gateway import GatewayOptions
from walstreet_services.ibsim.journal import Journal
from walstreet_services.ibsim.market_synthetic import SyntheticMarket
from walstreet_services.ibsim.matching import QueueMatching
from walstreet_services.ibsim.server import SimulatorServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SEED = int(os.environ.get("WALSTREET_FUZZ_SEED", "20261121"))
COUNT = max(400, int(os.environ.get("WALSTREET_FUZZ_COUNT", "0")) // 3)
LIBRARIES = [name for name in ("ib_insync", "ib_async") if importlib.util.find_spec(name)]
SYMBOL = "SYN01"
ODD = (
    "",
    "-1",
    "nan",
    "1.7976931348623157E308",
    "2147483647",
    "9" * 40,
    "1e15",
    "-0.0",
    "x",
    "\x01",
    "\U0001f4a5",
    "1e-400",
)
PLACES = 2


class Replayer:
    """A connected adapter, the genuine frames of a busy minute, and the two cores that would hear of them."""

    def __init__(self, server: SimulatorServer, library: str, port: int) -> None:
        self.server = server
        self.seen: list[Observation] = []
        options = ConnectOptions(port=port, library=library, paced=False, request_timeout_s=5.0)
        self.broker = IbkrBroker(options, clock=self, observer=self.seen.append)
        session = server.gateway.market.session
        plan = SessionPlan(
            session_date="2026-03-02",
            open_ns=session.open_ns,
            close_ns=session.close_ns,
            symbols=(SYMBOL,),
            market="synthetic",
        )
        self.execution = ExecutionCore(ExecutionParameters(), (KEY,))
        self.gateway = GatewayCore(GatewayParameters(), plan)
        self.states = (self.execution.initial(), self.gateway.initial())
        self.outcomes: Counter[str] = Counter()
        self.step = 0

    def now_ns(self) -> int:
        """Return session time."""
        return self.server.playback.now_ns

    async def frames(self) -> list[list[str]]:
        """Return the fields of every message that a busy minute brings."""
        frames: list[list[str]] = []
        await self.broker.connect()
        handlers = self.broker._client.raw_handlers
        for number, handler in list(handlers.items()):

            def keep(fields: list[str], handler: object = handler) -> None:
                frames.append(list(fields))
                handler(fields)  # type: ignore[operator]

            handlers[number] = keep
        facts = (await self.broker.instruments([SYMBOL]))[0]
        await self.broker.stream([SYMBOL])
        await self.play(2)
        quote = [each for each in self.seen if isinstance(each, QuoteObserved)][-1]
        for order_id, buy in ((self.broker.next_order_id, True), (self.broker.next_order_id + 1, False)):
            price = quote.ask_nano * 1.01 if buy else quote.bid_nano * 0.99
            await self.broker.place(
                OrderTicket(
                    broker_order_id=order_id,
                    client_order_id=f"fuzz-{order_id}",
                    symbol=SYMBOL,
                    con_id=facts.con_id,
                    buy=buy,
                    quantity_micro=50_000_000,
                    limit_nano=round(price / facts.min_tick_nano) * facts.min_tick_nano,
                    good_till_ns=self.now_ns() + 60 * 10**9,
                )
            )
        await self.play(4)
        await self.broker.snapshot("fuzz", self.now_ns())
        return frames

    async def play(self, steps: int) -> None:
        """Play market steps and hear what they bring."""
        playback = self.server.playback
        for _ in range(steps):
            await playback.play_until(playback.step_end_ns(self.step))
            self.step += 1
            await self.broker.server_time_ns()

    def hear(self, fields: list[str]) -> None:
        """Let the adapter read one message as it comes off the socket, and the cores what it observed."""
        payload = "\0".join(fields).encode(errors="surrogateescape") + b"\0"
        before = len(self.seen)
        self.broker._client._onSocketHasData(len(payload).to_bytes(4, "big") + payload)
        fresh = self.seen[before:]
        self.outcomes["refused" if any(_is_refusal(each) for each in fresh) else "read"] += 1
        for observation in fresh:
            self._observe(observation)
        del self.seen[before:]

    def _observe(self, observation: Observation) -> None:
        for core, state in zip((self.execution, self.gateway), self.states, strict=True):
            outputs: list[AnyEvent] = list(core.observe(state, observation))  # type: ignore[arg-type]
            for output in outputs:
                # What the log cannot hold would end the service, again in each of its lives.
                encode(output)
                core.evolve(state, output)  # type: ignore[arg-type]


def _is_refusal(observation: Observation) -> bool:
    return isinstance(observation, FeedObserved) and observation.farm == "decoder"


def damaged(fields: list[str], draw: random.Random) -> list[str]:
    """Return a message with odd values, fewer or more fields."""
    found = list(fields)
    for _ in range(draw.randint(1, PLACES)):
        place = draw.randrange(len(found)) if found else 0
        match draw.randrange(5):
            case 0:
                found[place:] = []
            case 1:
                found[place:place] = [draw.choice(ODD)]
            case _ if found:
                found[place] = draw.choice(ODD)
            case _:
                found = [draw.choice(ODD)]
    return found or [""]


def tell(line: str) -> None:
    """Append the counts to the file that the environment names."""
    if path := os.environ.get("WALSTREET_FUZZ_OUT"):
        with Path(path).open("a", encoding="utf-8") as sink:
            sink.write(line + "\n")


@pytest.mark.parametrize("library", LIBRARIES)
async def test_damaged_messages_are_read_or_shown(library: str) -> None:
    """Every damaged message is read, or shown as ill health of the decoder; the connection and both cores live on."""
    market = SyntheticMarket([SYMBOL], seed=1, day=date(2026, 3, 2), step_ns=5 * 10**9, minutes=30)
    server = SimulatorServer(
        market, QueueMatching(market.instruments, market.session), Journal(None), GatewayOptions(), speed=None
    )
    port = await server.listen("127.0.0.1", free_port())
    draw = random.Random(f"{SEED}:{library}")
    replayer = Replayer(server, library, port)
    try:
        frames = await replayer.frames()
        assert len({fields[0] for fields in frames}) > 10
        replayer.seen.clear()
        for number in range(COUNT):
            fields = damaged(draw.choice(frames), draw)
            try:
                replayer.hear(fields)
            except Exception as error:
                raise AssertionError(f"seed {SEED}, message {number}: {fields}: {error!r}") from error
        async with asyncio.timeout(10.0):
            await replayer.broker.server_time_ns()
        assert replayer.broker.connected
        assert replayer.outcomes["refused"] > COUNT // 20, replayer.outcomes
    finally:
        await replayer.broker.close()
        await server.close()
    tell(f"broker-{library} {COUNT} {replayer.outcomes['read']} {replayer.outcomes['refused']} {SEED}")
