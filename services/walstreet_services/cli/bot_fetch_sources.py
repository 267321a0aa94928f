"""Owns the opening of a source of daily history: the broker, a simulator of its own, or a vendor over HTTP."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from walstreet.adapters.alpaca import KEY_VARIABLES, AlpacaHistory
from walstreet.adapters.clock import WallClock
from walstreet.adapters.history_source import DailySource, HistoryError
from walstreet.adapters.ibkr import BrokerError, BrokerRefusedError, ConnectOptions, IbkrBroker
from walstreet.adapters.ibkr.daily_source import BrokerHistory
from walstreet.adapters.tiingo import KEY_VARIABLE, TiingoHistory
from walstreet.research.daily_store import SIMULATED
from walstreet.research.swing_config import SwingConfig
from walstreet.runtime.errors import UsageError
from walstreet_events import NANOS_PER_SECOND

SIMULATOR_YEARS = 12
SIMULATOR_START_S = 300.0
SIMULATOR_STOP_S = 10.0
SIMULATED_CLOCK_NS = 3_600 * NANOS_PER_SECOND
"""A broker whose clock is so far from this machine's is no broker but a simulation of another day."""
LISTENS_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the broker is."""

    host: str
    port: int
    paced: bool


@asynccontextmanager
async def opened(
    config: SwingConfig, environment: Mapping[str, str], *, simulator: str
) -> AsyncIterator[tuple[DailySource, str]]:
    """Open the configured source and say in words what it is.

    Args:
        config: Whose ``data.source`` and ``ibkr`` section count.
        environment: Has the keys of the vendors.
        simulator: ``never``, ``always``, or ``absent``: only if nothing listens where the broker should be.

    Raises:
        UsageError: A key is missing, or nobody answers; the text says what to start.
    """
    data = config.data
    if data.source == "tiingo":
        key = _key(environment, KEY_VARIABLE, data.source)
        source: DailySource = TiingoHistory(key, clock=WallClock(), url=data.tiingo_url, timeout_s=data.timeout_s)
        yield source, f"tiingo at {data.tiingo_url}"
        return
    if data.source == "alpaca":
        key, secret = (_key(environment, name, data.source) for name in KEY_VARIABLES)
        yield (
            AlpacaHistory(
                key,
                secret,
                clock=WallClock(),
                url=data.alpaca_url,
                feed=data.alpaca_feed,
                timeout_s=data.timeout_s,
            ),
            f"alpaca at {data.alpaca_url}, feed {data.alpaca_feed}",
        )
        return
    place = Place(host=config.ibkr.host, port=config.ibkr.port, paced=data.paced)
    listens = simulator != "always" and await _listens(place)
    if not listens and simulator == "never":
        raise _nobody(place, "nothing listens there")
    if not listens:
        async with _simulator(config) as started, _broker(config, started) as history:
            yield history, "a simulator of this command: PRICES ARE SYNTHETIC, no market has made them"
        return
    async with _broker(config, place) as history:
        kind = "a simulator" if history.name == SIMULATED else "TWS or IB Gateway"
        yield history, f"{kind} at {place.host}:{place.port}"


def _key(environment: Mapping[str, str], name: str, source: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise UsageError(f"data.source is {source}, which needs its key in the environment: set {name}")
    return value


async def _listens(place: Place) -> bool:
    try:
        async with asyncio.timeout(LISTENS_S):
            _, writer = await asyncio.open_connection(place.host, place.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


@asynccontextmanager
async def _broker(config: SwingConfig, place: Place) -> AsyncIterator[BrokerHistory]:
    """Connect, for data only, as the first account that the login lets us name."""
    ibkr = config.ibkr
    clock = WallClock()
    refusal: BrokerError | None = None
    for account in dict.fromkeys(("", ibkr.account_paper, ibkr.account_live)):
        options = ConnectOptions(
            host=place.host,
            port=place.port,
            client_id=ibkr.client_id,
            account=account,
            market_data_type="live" if ibkr.market_mode == "live" else "delayed",
            request_timeout_s=config.data.timeout_s,
            paced=place.paced,
            orders=False,
            broker_bars=False,
        )
        broker = IbkrBroker(options, clock=clock, observer=_ignore)
        try:
            await broker.connect()
            now_ns = await broker.server_time_ns()
        except BrokerError as error:
            refusal = error
            await broker.close()
            if isinstance(error, BrokerRefusedError) and "broker.account" in str(error):
                continue
            break
        try:
            simulated = abs(now_ns - clock.now_ns()) > SIMULATED_CLOCK_NS
            yield BrokerHistory(broker, name=SIMULATED if simulated else "ibkr")
        finally:
            await broker.close()
        return
    raise _nobody(place, str(refusal)) from refusal


def _nobody(place: Place, why: str) -> UsageError:
    return UsageError(
        f"no broker at {place.host}:{place.port} ({why}); start TWS or IB Gateway and enable its API, start "
        "`walstreet sim`, name another place (ibkr.host, ibkr.port), or add --simulator for synthetic prices"
    )


def _ignore(observation: object) -> None:
    """Take an observation: a fetch asks, and what comes unasked says nothing to it."""
    del observation


@asynccontextmanager
async def _simulator(config: SwingConfig) -> AsyncIterator[Place]:
    """Run a simulator with the universe and its past, as long as it is needed."""
    argv = ["--port", "0", "--symbols", ",".join(config.universe), "--daily-years", f"{SIMULATOR_YEARS}"]
    argv += ["--minutes", "1", "--seed", f"{config.backtest.seed}", "--start-on-signal", "--exit-with-stdin"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "walstreet_services.ibsim", *argv),
        # A fetch that is killed closes the pipe, which ends the simulator, too.
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        try:
            async with asyncio.timeout(SIMULATOR_START_S):
                line = await process.stdout.readline()
                said = b"" if line else await process.stderr.read()
        except TimeoutError as error:
            raise UsageError(f"the simulator did not start within {SIMULATOR_START_S:.0f} s; try again") from error
        if not line:
            raise UsageError(f"the simulator did not start: {said.decode(errors='replace').strip()}")
        facts = json.loads(line)
        drained = asyncio.create_task(process.stderr.read())
        try:
            yield Place(host="127.0.0.1", port=int(facts["port"]), paced=False)
        finally:
            drained.cancel()
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), SIMULATOR_STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()


def source_failed(error: HistoryError) -> UsageError:
    """Return a source's first failure as what ends the command."""
    return UsageError(f"the source did not answer: {error}")
