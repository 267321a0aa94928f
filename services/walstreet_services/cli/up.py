"""Owns `walstreet up`: the embedded default. Log server, simulator and six services, watched until the close."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from walstreet.adapters.free_ports import free_port
from walstreet.adapters.nats import (
    Connection,
    ConnectOptions,
    EmbeddedServer,
    LogError,
    TapeInbox,
    declare_streams,
    require_durable,
)
from walstreet.adapters.nats.reader import RawMessage
from walstreet.adapters.nats.server import ADMIN, SIMULATOR
from walstreet.adapters.nats.streams import last_sequence
from walstreet.replay.summary import Summarizer, Summary
from walstreet.replay.verify import TapeReport, TapeVerifier
from walstreet.runtime.config import Tree, setting
from walstreet.runtime.errors import EXIT_BROKEN, EXIT_OK, EXIT_SIGNAL_BASE, UsageError
from walstreet.runtime.logs import configure_logs
from walstreet.runtime.settings import Settings, load_settings
from walstreet.runtime.supervisor import ManagedProcess, tail
from walstreet.runtime.witness import WITNESS
from walstreet_events import EventDecodeError, SessionPhase, decode
from walstreet_events.market import PhaseName
from walstreet_events.subjects import TURN_ORDER, Stream
from walstreet_services.cli.outcome import Outcome, broken_invariants, print_outcome, write_json
from walstreet_services.cli.readiness import Readiness
from walstreet_services.cli.recorded import encode_settings, with_history, with_models
from walstreet_services.cli.report import write_report
from walstreet_services.cli.tapes import read_all
from walstreet_services.cli.view import SessionView

SIMULATOR_READY_S = 60.0
SERVICES_READY_S = 90.0
SETTLE_S = 2.0
"""After the close, fills and reconciliations on their way still arrive for so long (wall time, free-running)."""
VIEW_INTERVAL_S = 0.25
READY_POLL_S = 0.05
FREE_CLOSE_DELAY_MS = 2_000
"""Free-running: the broker's own last five-second bar of a minute may come so much later (session time)."""
STEP_S = 5.0
"""Session time of one step of the simulated market."""
MEMORY_INTERVAL_S = 1.0
CONFIG_DIR = Path("config")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("--market", choices=("synthetic", "recorded"), default="synthetic")
    parser.add_argument("--data", help="folder with minute/SYMBOL.parquet, for --market recorded")
    parser.add_argument("--day", help="session date YYYY-MM-DD")
    parser.add_argument("--symbols", help="comma-separated; default: all that the market has, 20 synthetic ones")
    parser.add_argument("--minutes", type=int, help="play only so many minutes of the session")
    parser.add_argument("--speed", default="max", help="multiple of real time, or max: lockstep (default)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--planted", type=float, help="information coefficient of the synthetic signal, 0..0.5")
    parser.add_argument("--state", help="folder for the TAPE, logs and reports (default: a new one under state/)")
    parser.add_argument("--json", help="write the summary as JSON to this file (- for standard output)")
    parser.add_argument("--broker-library", choices=("ib_insync", "ib_async"))
    parser.add_argument("--cash", type=float, default=1_000_000.0, help="opening cash of the simulated account, USD")
    parser.add_argument("--faults", help="fault script of the simulated broker, YAML; see docs/FAULTS.md")
    parser.add_argument("--control", help="control socket of the faults: a path or 127.0.0.1:PORT")
    parser.add_argument("--config", action="append", default=[], help="more configuration layers, in order")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a parameter")
    parser.add_argument("--no-view", action="store_true", help="plain lines instead of the live view")
    parser.set_defaults(run=lambda options: asyncio.run(Session(options).run()))


@dataclass(slots=True)
class Parts:
    """What runs in one embedded session."""

    server: EmbeddedServer
    admin: Connection
    keeper: asyncio.Task[None]
    processes: dict[str, ManagedProcess] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class Session:
    """One embedded session from nothing to its report."""

    simulator_ready_s = SIMULATOR_READY_S

    def __init__(self, options: argparse.Namespace) -> None:
        """Check the arguments that can be checked before anything starts."""
        self._options = options
        self._lockstep = options.speed == "max"
        if not self._lockstep and not _positive(options.speed):
            raise UsageError(f"--speed takes a positive number or max, got {options.speed!r}")
        if options.market == "recorded" and not (options.data and options.day):
            raise UsageError("--market recorded needs --data DIR and --day YYYY-MM-DD")
        self._console = Console(stderr=options.json == "-")
        self._state = _state_folder(options.state)
        self._summarizer = Summarizer()
        self._view = SessionView(self._console, live=not options.no_view)
        self._closed = asyncio.Event()
        self._ending = False
        """A signal has come. A cancellation alone can get lost: `asyncio.wait_for` of Python 3.11 returns a result that
        is ready at the same moment, and forgets that it was cancelled."""
        self._readiness = Readiness()
        self._before = 0
        """Sequence of the TAPE's last message of earlier sessions."""

    async def run(self) -> int:
        """Run the session to its report and return the exit code; SIGTERM and SIGINT end it early, in order.

        A session that was ended early returns 128 plus the signal's number, as a shell would say.
        """
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[signal.Signals] = asyncio.Queue()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told.put_nowait, number)
        session = asyncio.create_task(self._run(), name="session")
        stop = asyncio.create_task(told.get(), name="stop")
        await asyncio.wait({session, stop}, return_when=asyncio.FIRST_COMPLETED)
        if session.done():
            stop.cancel()
            return await session
        # Everything is let go in the session's own ``finally`` blocks; each of them is bounded.
        self._ending = True
        session.cancel()
        await asyncio.wait({session})
        if not session.cancelled() and (error := session.exception()) is not None:
            self._console.print(f"while stopping: {error}", markup=False)
        name = stop.result().name
        self._console.print(
            f"ended early by {name}; what was acknowledged is on the TAPE: `walstreet tape verify --state "
            f"{self._state}` checks it",
            soft_wrap=True,
        )
        return EXIT_SIGNAL_BASE + stop.result()

    async def _run(self) -> int:
        started = time.perf_counter()
        settings = self._settings({})
        logs = self._state / "logs"
        configure_logs(service="up", directory=str(logs), level=settings.runtime.log_level, terminal=False)
        parts: Parts | None = None
        failure = ""
        try:
            parts = await self._start_log()
            try:
                ready = await self._start_simulator(parts, settings)
                settings = with_models(self._settings(self._session_layer(parts, ready)))
                settings = with_history(settings, self._state)
                self._say_history(settings)
                self._start_services(parts, settings)
                await self._watch(parts, ready)
            except (LogError, TimeoutError, RuntimeError) as error:
                failure = str(error)
            await self._stop_processes(parts)
            try:
                outcome = await self._conclude(parts, settings, failure, time.perf_counter() - started)
            except LogError as error:
                raise LogError("; ".join(text for text in (failure, str(error)) if text)) from error
        finally:
            # Also behind a message about bad input, and behind the operator's signal: nothing is left running.
            if parts is not None:
                await self._stop_processes(parts)
                await self._stop_log(parts)
        return self._deliver(outcome)

    # ----------------------------------------------------------------------------------------- start

    async def _start_log(self) -> Parts:
        server = EmbeddedServer(state=self._state, port=free_port(), monitor_port=free_port())
        admin = Connection(ConnectOptions(url=server.url, user=ADMIN, password_file=str(server.credentials / ADMIN)))
        try:
            await server.start()
            await admin.open()
            await declare_streams(admin)
            await require_durable(server.monitor_url)
            await self._require_empty(admin)
        except BaseException:
            await admin.close()
            await server.stop()
            raise
        keeper = asyncio.create_task(server.keep(), name="log-server")
        return Parts(server=server, admin=admin, keeper=keeper)

    async def _require_empty(self, admin: Connection) -> None:
        if await last_sequence(admin) > 0:
            raise UsageError(
                f"--state {self._state} holds the TAPE of an earlier session; choose another folder, or look at "
                f"it with `walstreet tape verify --state {self._state}`"
            )

    async def _stop_log(self, parts: Parts) -> None:
        await parts.admin.close()
        parts.keeper.cancel()
        await asyncio.wait({parts.keeper})
        await parts.server.stop()

    async def _start_simulator(self, parts: Parts, settings: Settings) -> dict[str, Any]:
        options = self._options
        argv = ["--host", "127.0.0.1", "--port", "0", "--market", options.market, "--seed", str(options.seed)]
        argv += ["--account", settings.broker.account, "--cash", str(options.cash), "--speed", str(options.speed)]
        argv += ["--step-seconds", str(int(STEP_S)), "--journal", str(self._state / "broker-truth.jsonl")]
        argv += ["--daily-years", "0"]
        for name in ("data", "day", "symbols", "minutes", "planted", "faults", "control"):
            value = getattr(options, name)
            if value is not None:
                argv += [f"--{name}", str(value)]
        argv += self._simulator_arguments()
        if self._lockstep:
            argv += ["--exit-at-end", "--lockstep-url", parts.server.url]
            argv += ["--lockstep-credentials", str(parts.server.credentials / SIMULATOR)]
        else:
            argv.append("--start-on-signal")
        process = self._spawn(parts, "ibsim", [sys.executable, "-m", "walstreet_services.ibsim", *argv], restart=False)
        ended = asyncio.create_task(process.ended.wait(), name="ibsim-ended")
        first = asyncio.create_task(process.wait_first_line(), name="ibsim-ready")
        await asyncio.wait({ended, first}, timeout=self.simulator_ready_s, return_when=asyncio.FIRST_COMPLETED)
        for task in (ended, first):
            task.cancel()
        if not process.first_line.done():
            text = _last_error(self._state / "logs" / "ibsim.log")
            if process.life.exits and process.life.exits[-1] == 2:
                raise UsageError(text)
            raise RuntimeError(f"the simulator did not become ready: {text}")
        ready: dict[str, Any] = json.loads(process.first_line.result())
        step_ns = 60 * 1_000_000_000 * (options.minutes or 0)
        ready["close_ns"] = min(ready["close_ns"], ready["open_ns"] + step_ns) if step_ns else ready["close_ns"]
        return ready

    def _simulator_arguments(self) -> list[str]:
        """Return further arguments of the simulator."""
        return []

    def _session_layer(self, parts: Parts, ready: dict[str, Any]) -> Tree:
        return {
            "session": {
                "date": ready["day"],
                "open_ns": ready["open_ns"],
                "close_ns": ready["close_ns"],
                "symbols": ready["symbols"],
                "market": self._options.market,
                "identity": ready["identity"],
            },
            "log": {
                "url": parts.server.url,
                "monitor_url": parts.server.monitor_url,
                "credentials_dir": str(parts.server.credentials),
                "witness_dir": str(self._state / WITNESS),
            },
            "broker": {"host": "127.0.0.1", "port": ready["port"], "paced": False},
            "emergency": {
                "panic_flag": str(self._state / "panic.flag"),
                "spool": str(self._state / "execution-spool.bin"),
            },
            "runtime": {
                "clock": "turns" if self._lockstep else "broker",
                "log_dir": str(self._state / "logs"),
                "log_terminal": False,
            },
        }

    def _settings(self, session: Tree) -> Settings:
        options = self._options
        names = ["rehearsal.yaml"] if options.market == "recorded" else []
        files = [CONFIG_DIR / name for name in (*names, "base.yaml", "config.local.yaml")]
        files = [path for path in files if path.is_file()]
        files += [Path(name) for name in options.config]
        over = [setting(text) for text in options.set]
        if options.broker_library:
            over.append({"broker": {"library": options.broker_library}})
        # In lockstep execution looks at the clock once in each of the simulator's steps.
        looks: Tree = {"execution": {"planner": {"look_s": STEP_S}}}
        mode: Tree = looks if self._lockstep else {"gateway": {"close_delay_ms": FREE_CLOSE_DELAY_MS}}
        return load_settings(files, over=[mode, *over, session])

    def _say_history(self, settings: Settings) -> None:
        if not settings.arbiter.gates.conformal:
            text = "off: orders go out without proof that the models have skill on this market"
        elif settings.history.file:
            text = f"starts from what the models forecast on earlier sessions of this market ({settings.history.file})"
        else:
            text = f"knows nothing of the market {settings.session.identity!r} yet and blocks until enough has matured"
            if self._options.market == "recorded":
                text += "; `walstreet calibrate --data DIR --day DAY --symbols A,B` learns from the sessions before it"
        self._console.print(f"conformal gate: {text}", markup=False, soft_wrap=True)

    def _start_services(self, parts: Parts, settings: Settings) -> None:
        path = self._state / "session.yaml"
        path.write_bytes(encode_settings(settings))
        for service in TURN_ORDER:
            argv = [sys.executable, "-m", f"walstreet_services.{service.value}", "--config", str(path)]
            self._spawn(parts, service.value, argv, restart=True)

    def _spawn(self, parts: Parts, name: str, argv: Sequence[str], *, restart: bool) -> ManagedProcess:
        logs = self._state / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("WALSTREET__")}
        log = logs / f"{name}.out"
        process = ManagedProcess(name, argv, log=log, environment=environment, restart=restart, endless=restart)
        parts.processes[name] = process
        parts.tasks.append(asyncio.create_task(process.run(), name=name))
        return process

    # ----------------------------------------------------------------------------------------- watch

    async def _watch(self, parts: Parts, ready: dict[str, Any]) -> None:
        """Follow the TAPE until the session has closed, or something gave up."""
        inbox = TapeInbox(parts.admin)
        await inbox.start()
        self._view.begin(ready["open_ns"], ready["close_ns"])
        follow = asyncio.create_task(self._follow(inbox), name="follow")
        memory = asyncio.create_task(self._sample(parts), name="memory")
        try:
            if not self._lockstep:
                await self._begin_clock(parts, follow)
            await self._until_closed(parts, follow)
        finally:
            for task in (follow, memory):
                task.cancel()
            await asyncio.gather(follow, memory, return_exceptions=True)
            self._view.end()

    async def _begin_clock(self, parts: Parts, follow: asyncio.Task[None]) -> None:
        """Let the simulator's clock run as soon as every service is ready for the session's first minute."""
        bound = time.perf_counter() + SERVICES_READY_S
        while not self._readiness.reached:
            await self._require_running(parts, follow)
            if time.perf_counter() > bound:
                raise TimeoutError(
                    f"the services were not ready within {SERVICES_READY_S:.0f} s; see {self._state}/logs"
                )
            await asyncio.sleep(READY_POLL_S)
        pid = parts.processes["ibsim"].pid
        if pid is not None:
            os.kill(pid, signal.SIGUSR1)

    async def _require_running(self, parts: Parts, follow: asyncio.Task[None]) -> None:
        """Raise what ended the session, the log or the following of it, or name the process that was given up."""
        if self._ending:
            raise asyncio.CancelledError
        if follow.done():
            await follow
        if parts.keeper.done():
            await parts.keeper
        for process in parts.processes.values():
            if process.life.gave_up:
                raise RuntimeError(f"{process.life.gave_up} (whole log: {self._state}/logs/{process.name}.out)")

    async def _until_closed(self, parts: Parts, follow: asyncio.Task[None]) -> None:
        simulator = parts.processes["ibsim"]
        while True:
            await self._require_running(parts, follow)
            if self._lockstep and simulator.ended.is_set():
                return
            if not self._lockstep and self._closed.is_set():
                await asyncio.sleep(SETTLE_S)
                return
            self._view.refresh(self._summarizer.summary, _restarts(parts))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(simulator.ended.wait(), VIEW_INTERVAL_S)

    async def _follow(self, inbox: TapeInbox) -> None:
        while True:
            messages = await inbox.take()
            self._summarizer.take(messages)
            for message in messages:
                self._view.observe(message)
                self._readiness.observe(message)
                if message.subject == "clock.phase" and _closes(message):
                    self._closed.set()

    async def _sample(self, parts: Parts) -> None:
        while True:
            for process in parts.processes.values():
                process.sample()
            await asyncio.sleep(MEMORY_INTERVAL_S)

    # -------------------------------------------------------------------------------------- conclude

    async def _stop_processes(self, parts: Parts) -> None:
        for process in parts.processes.values():
            process.sample()
        services = [process for name, process in parts.processes.items() if name != "ibsim"]
        await asyncio.gather(*(process.stop() for process in services))
        if "ibsim" in parts.processes:
            await parts.processes["ibsim"].stop()
        await asyncio.gather(*parts.tasks)

    async def _conclude(self, parts: Parts, settings: Settings, failure: str, elapsed_s: float) -> Outcome:
        messages, last = await read_all(parts.admin)
        dead = await last_sequence(parts.admin, Stream.DEAD)
        tape = _verify(messages, last)
        messages = [message for message in messages if message.seq > self._before]
        summary = _summarize(messages) if tape.clean else self._summarizer.finish()
        memory = {name: process.life.memory_peak_kib for name, process in parts.processes.items()}
        outcome = Outcome(
            summary=summary,
            tape=tape,
            dead_letters=dead,
            restarts=_restarts(parts),
            memory_peak_kib=memory,
            cpu_s={name: process.life.cpu_s for name, process in parts.processes.items()},
            elapsed_s=elapsed_s,
            failure=failure,
            state=str(self._state),
            settings=settings,
            seed=self._options.seed,
        )
        outcome.broken.extend(broken_invariants(outcome))
        return outcome

    def _deliver(self, outcome: Outcome) -> int:
        report = self._state / "report.html"
        write_report(outcome, report)
        if self._options.json:
            write_json(outcome, self._options.json)
        print_outcome(self._console, outcome, report)
        return EXIT_BROKEN if outcome.broken else EXIT_OK


def _restarts(parts: Parts) -> dict[str, int]:
    """Return how often each process was started again, the log server included."""
    services = {name: process.life.starts - 1 for name, process in parts.processes.items()}
    return {"nats-server": parts.server.restarts, **services}


def _closes(message: RawMessage) -> bool:
    """Return whether the message says that the session has closed; what cannot be read says nothing."""
    try:
        event = decode(message.payload)
    except EventDecodeError:
        return False
    return isinstance(event, SessionPhase) and event.phase is PhaseName.CLOSED


def _verify(messages: list[RawMessage], last: int) -> TapeReport:
    verifier = TapeVerifier()
    verifier.take(messages)
    return verifier.finish(last)


def _summarize(messages: list[RawMessage]) -> Summary:
    summarizer = Summarizer()
    summarizer.take(messages)
    return summarizer.finish()


def _state_folder(name: str | None) -> Path:
    """Return the session's folder, made if need be; the default is the first free ``state/run-N``."""
    if name is not None:
        folder = Path(name)
    else:
        number = 1
        while (Path("state") / f"run-{number}").exists():
            number += 1
        folder = Path("state") / f"run-{number}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"--state {folder} cannot be made ({error.strerror}); choose a folder you may write"
        ) from error
    if shutil.disk_usage(folder).free < 1 << 30:
        raise UsageError(f"--state {folder} has less than 1 GiB free; the log must not run full")
    return folder.resolve()


def _positive(text: str) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False


def _last_error(path: Path) -> str:
    return tail(path.with_suffix(".out"), 3)
