"""Owns the command line of the gateway simulator; ``walstreet sim`` calls ``main``."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import signal
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from walstreet.adapters.free_ports import free_port
from walstreet_services.ibsim.account_file import AccountFile
from walstreet_services.ibsim.calendar_xnys import session_on
from walstreet_services.ibsim.conductor import (
    READY_SECONDS_MAX,
    TURN_SECONDS_MAX,
    Conductor,
    ConductorError,
    Turns,
)
from walstreet_services.ibsim.desk import DeskOptions
from walstreet_services.ibsim.fault_load import FaultError, load_script
from walstreet_services.ibsim.fault_model import FaultScript
from walstreet_services.ibsim.faults import FaultOptions
from walstreet_services.ibsim.gateway import GatewayOptions
from walstreet_services.ibsim.journal import Journal
from walstreet_services.ibsim.market_errors import MarketError
from walstreet_services.ibsim.market_files import symbols_on
from walstreet_services.ibsim.market_recorded import RecordedMarket, recorded_identity
from walstreet_services.ibsim.market_symbols import DEFAULT_SYMBOLS
from walstreet_services.ibsim.market_synthetic import PLANTED_DEFAULT, SyntheticMarket, synthetic_identity
from walstreet_services.ibsim.matching import QueueMatching
from walstreet_services.ibsim.server import LEAD_SECONDS, SimulatorServer
from walstreet_services.ibsim.units import NANO_PER_DOLLAR, NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from walstreet_services.ibsim.model import Market, MatchingEngine

    ConnectTurns = Callable[[str, Path | None], Awaitable[Turns]]

EXIT_OK, EXIT_USAGE, EXIT_LOCKSTEP = 0, 2, 3
CLOSE_SECONDS_MAX = 2.0
MILLISECOND_NS = 1_000_000
READ_BYTES = 4_096
SYNTHETIC_DAY = date(2024, 6, 12)
"""Session whose calendar a synthetic market takes when none is named."""
SPEED_MAX = 100_000.0


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; write it as YYYY-MM-DD") from None


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="walstreet sim", description="A gateway that speaks the TWS protocol over a simulated market."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7497, help="0 asks for any free port")
    parser.add_argument("--market", choices=["synthetic", "recorded"], default="synthetic")
    parser.add_argument("--data", type=Path, help="folder of recorded data")
    parser.add_argument("--day", type=_day, default=None, help="session, as YYYY-MM-DD")
    parser.add_argument("--symbols", default="", help="comma-separated; default: all that the market has")
    parser.add_argument("--account", default="DU000001")
    parser.add_argument("--account-file", type=Path, help="keeps the account: a later session goes on from it")
    parser.add_argument("--cash", type=float, default=1_000_000.0, help="USD at the start")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--planted", type=float, default=PLANTED_DEFAULT, help="information coefficient of the synthetic signal, 0..0.5"
    )
    parser.add_argument(
        "--daily-years", type=int, default=20, help="years of daily bars in a synthetic market's past, made when asked"
    )
    parser.add_argument("--speed", default="1", help="session seconds per wall second, or max")
    parser.add_argument("--minutes", type=int, default=390, help="minutes of the session that are played")
    parser.add_argument("--last-minutes", type=int, help="begin so long before the close; nobody saw what was before")
    parser.add_argument("--history-sessions", type=int, default=6, help="earlier sessions of a synthetic market")
    parser.add_argument("--step-seconds", type=int, default=5)
    parser.add_argument("--lead-seconds", type=int, default=LEAD_SECONDS, help="time before the open")
    parser.add_argument("--journal", type=Path, help="file of the ground truth, JSON lines, appended")
    parser.add_argument("--order-latency-ms", type=int, default=0)
    parser.add_argument("--cancel-latency-ms", type=int, default=0)
    parser.add_argument("--commission-delay-ms", type=int, default=0)
    parser.add_argument("--delayed-data", action="store_true", help="no permission for live quotes")
    parser.add_argument("--start-immediately", action="store_true", help="do not wait for a subscription")
    parser.add_argument("--start-on-signal", action="store_true", help="do not start before SIGUSR1 comes")
    parser.add_argument("--exit-at-end", action="store_true", help="end after the last step of --speed max")
    parser.add_argument(
        "--exit-with-stdin", action="store_true", help="end when standard input ends, as a caller's death"
    )
    parser.add_argument("--describe", action="store_true", help="print the session's facts as JSON and end")
    parser.add_argument("--faults", type=Path, help="fault script, YAML; see docs/FAULTS.md")
    parser.add_argument("--control", default="", help="control socket of the faults: a path or 127.0.0.1:PORT")
    parser.add_argument("--lockstep-url", help="NATS server that carries the turns; needs --speed max")
    parser.add_argument("--lockstep-credentials", type=Path)
    parser.add_argument("--turn-seconds", type=float, default=TURN_SECONDS_MAX, help="longest turn of a service, wall")
    return parser.parse_args(argv)


class UsageError(Exception):
    """The command line asks for something that cannot be; the message is one line. The operator's fault."""


def _speed(text: str, *, lockstep: bool, carried: bool) -> float | None:
    if lockstep and (text != "max" or not carried):
        raise UsageError("--lockstep-url needs --speed max and a caller that carries turns over NATS")
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 < speed <= SPEED_MAX:
        raise UsageError(f"--speed {text} is neither max nor a number above 0, at most {SPEED_MAX:.0f}")
    return speed


def _market(arguments: argparse.Namespace) -> Market:
    symbols = [symbol.strip() for symbol in arguments.symbols.split(",") if symbol.strip()]
    step_ns = arguments.step_seconds * NS_PER_SECOND
    if arguments.step_seconds <= 0 or arguments.minutes <= 0:
        raise UsageError("--step-seconds and --minutes must not be below 1")
    if arguments.market == "synthetic":
        return SyntheticMarket(
            symbols or DEFAULT_SYMBOLS,
            seed=arguments.seed,
            day=arguments.day or SYNTHETIC_DAY,
            step_ns=step_ns,
            minutes=arguments.minutes,
            daily_years=arguments.daily_years,
            planted=arguments.planted,
            history_sessions=arguments.history_sessions,
        )
    if arguments.day is None:
        raise UsageError("--day YYYY-MM-DD is needed: it is the session that is played")
    if arguments.data is None or not arguments.data.is_dir():
        raise UsageError(f"--data {arguments.data} is no folder; a recorded market needs one")
    symbols = symbols or list(symbols_on(arguments.data, session_on(arguments.day)))
    return RecordedMarket(arguments.data, arguments.day, symbols, arguments.seed, step_ns)


def _server(arguments: argparse.Namespace, speed: float | None) -> SimulatorServer:
    if not math.isfinite(arguments.cash) or not 0 <= arguments.cash <= 1e9:
        raise UsageError(f"--cash {arguments.cash} is outside 0..1e9")
    market = _market(arguments)
    matching: MatchingEngine = QueueMatching(market.instruments, market.session)
    delays = (arguments.order_latency_ms, arguments.cancel_latency_ms, arguments.commission_delay_ms)
    if min(delays) < 0 or arguments.lead_seconds < 0:
        raise UsageError("latencies, delays and --lead-seconds must not be negative")
    if not 1.0 <= arguments.turn_seconds <= 3_600.0:
        raise UsageError(f"--turn-seconds {arguments.turn_seconds} is outside 1..3600")
    if arguments.last_minutes is not None and arguments.last_minutes <= 0:
        raise UsageError("--last-minutes must not be below 1")
    faults = None
    if arguments.faults is not None or arguments.control:
        faults = FaultOptions(script=FaultScript() if arguments.faults is None else load_script(arguments.faults))
    order_ns, cancel_ns, commission_ns = (value * MILLISECOND_NS for value in delays)
    server = SimulatorServer(
        market,
        matching,
        Journal(None if arguments.describe else arguments.journal),
        GatewayOptions(
            account=arguments.account,
            cash_nano=round(arguments.cash * NANO_PER_DOLLAR),
            live_permission=not arguments.delayed_data,
            desk=DeskOptions(
                order_latency_ns=order_ns,
                cancel_latency_ns=cancel_ns,
                commission_delay_ns=commission_ns,
                # Executions of several sessions of one account must not share an id.
                execution_prefix=f"{market.session.date.toordinal():08x}",
            ),
        ),
        speed=speed,
        lead_seconds=arguments.lead_seconds,
        steps_limit=arguments.minutes * 60 // arguments.step_seconds,
        start_on_subscription=not arguments.start_on_signal,
        faults=faults,
    )
    if arguments.account_file is not None and not arguments.describe:
        AccountFile(arguments.account_file, server.gateway).save()
    if arguments.last_minutes is not None and not arguments.describe:
        server.playback.skip_until(market.session.close_ns - arguments.last_minutes * 60 * NS_PER_SECOND)
    return server


async def _serve(arguments: argparse.Namespace, server: SimulatorServer, connect_turns: ConnectTurns | None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, server.started.set)
    if arguments.exit_with_stdin:
        loop.add_reader(sys.stdin.fileno(), _stop_at_end, stop)
    try:
        port = await server.listen(arguments.host, arguments.port or free_port(arguments.host))
    except OSError as problem:
        raise UsageError(
            f"cannot listen on {arguments.host}:{arguments.port}: {problem}; choose another --port (0: any free)"
        ) from None
    control: dict[str, str] = {}
    if arguments.control:
        try:
            control["control"] = await server.control(arguments.control)
        except (OSError, FaultError) as problem:
            await server.close()
            raise UsageError(f"cannot open --control {arguments.control}: {problem}; choose another place") from None
    _say(ready=True, port=port, **_facts(arguments, server), **control)
    if arguments.start_immediately:
        server.started.set()
    if arguments.lockstep_url:
        assert connect_turns is not None
        turns = await connect_turns(arguments.lockstep_url, arguments.lockstep_credentials)
        player: asyncio.Task[None] | asyncio.Task[int] = loop.create_task(_conductor(arguments, server, turns).run())
    else:
        player = server.play()
    stopped = loop.create_task(stop.wait())
    code = EXIT_OK
    try:
        await asyncio.wait({player, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if player.done():
            player.result()
            _say(finished=True, steps=server.playback.steps_count, now_ns=server.playback.now_ns)
            if not arguments.exit_at_end:
                await stopped
    except ConductorError as problem:
        sys.stderr.write(f"walstreet sim: {problem}\n")
        code = EXIT_LOCKSTEP
    finally:
        player.cancel()
        stopped.cancel()
        await asyncio.wait_for(server.close(), CLOSE_SECONDS_MAX)
    return code


def _conductor(arguments: argparse.Namespace, server: SimulatorServer, turns: Turns) -> Conductor:
    longest = arguments.turn_seconds
    return Conductor(
        server.playback, turns, turn_seconds_max=longest, ready_seconds_max=max(READY_SECONDS_MAX, longest)
    )


def _facts(arguments: argparse.Namespace, server: SimulatorServer) -> dict[str, str | int | bool | list[str]]:
    """Return what a stack must know; ``end_ns`` is the close, or earlier when fewer minutes are played."""
    session, playback = server.gateway.market.session, server.playback
    return {
        "host": arguments.host,
        "market": arguments.market,
        "identity": synthetic_identity(arguments.planted)
        if arguments.market == "synthetic"
        else recorded_identity(session.date),
        "day": session.date.isoformat(),
        "open_ns": session.open_ns,
        "close_ns": session.close_ns,
        "end_ns": min(session.close_ns, playback.step_end_ns(playback.steps_count - 1)),
        "steps": playback.steps_count,
        "symbols": [item.symbol for item in server.gateway.market.instruments],
        "account": arguments.account,
    }


def _stop_at_end(stop: asyncio.Event) -> None:
    """Stop once standard input has ended; what is written there means nothing."""
    if not os.read(sys.stdin.fileno(), READ_BYTES):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.set()


def _say(**facts: str | int | bool | list[str]) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None, *, connect_turns: ConnectTurns | None = None) -> int:
    """Run the simulator until it is told to stop, and return the exit code.

    Args:
        argv: The arguments after the program's name; None means those of the process.
        connect_turns: Opens the transport of lockstep from an address and a credentials file.
    """
    arguments = _arguments(argv)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    try:
        speed = _speed(arguments.speed, lockstep=bool(arguments.lockstep_url), carried=connect_turns is not None)
        server = _server(arguments, speed)
        if arguments.describe:
            _say(port=arguments.port, **_facts(arguments, server))
            return EXIT_OK
        return asyncio.run(_serve(arguments, server, connect_turns))
    except (UsageError, FaultError, MarketError, OSError) as problem:
        sys.stderr.write(f"walstreet sim: {problem}\n")
        return EXIT_USAGE


async def carry_turns(url: str, credentials: Path | None) -> Turns:
    """Return the turns of lockstep over NATS; the adapter is imported only where it is wired."""
    from walstreet.adapters.nats import Connection, ConnectOptions, TurnMaster  # noqa: PLC0415 - as said above
    from walstreet.adapters.nats.server import SIMULATOR  # noqa: PLC0415

    connection = Connection(ConnectOptions(url=url, user=SIMULATOR, password_file=str(credentials or "")))
    await connection.open()
    master = TurnMaster(connection)
    await master.start()
    return master


if __name__ == "__main__":
    sys.exit(main(connect_turns=carry_turns))
