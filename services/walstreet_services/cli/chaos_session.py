"""Owns one embedded session under a plan of crashes: `walstreet up`, with services that are forked anew when they die.

Log server, simulator, services, TAPE and journal are the real ones. Where the plan freezes a service (SIGSTOP) this
program carries out what stands in ``SERVICE.meanwhile``: it waits, or kills or freezes the log server, and lets go on.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from walstreet.adapters.nats import server as log_server
from walstreet.runtime.crash_points import VARIABLE, read_done
from walstreet.runtime.errors import EXIT_USAGE, UsageError
from walstreet.runtime.settings import Settings
from walstreet.runtime.supervisor import ManagedProcess
from walstreet_events.subjects import TURN_ORDER
from walstreet_services.cli import up
from walstreet_services.cli.recorded import encode_settings

WATCH_S = 0.01
FROZEN_S_MAX = 60.0
"""A process that has said that it will freeze does so at its next turn on the processor."""
READY_S = 300.0
"""A machine that runs several sessions at once takes longer to start one."""


class Meanwhile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens while a service stands frozen at a moment."""

    wait_s: float = 0.2
    log_server: str = ""
    """``SIGKILL`` or ``SIGSTOP`` for the log server; a frozen one goes on after ``wait_s``."""


class ChaosSession(up.Session):
    """A session whose services may be killed as often as the plan says."""

    def __init__(self, options: argparse.Namespace, plan: Path, patience: int) -> None:
        """Take the plan's folder and how many crashes each service may have."""
        super().__init__(options)
        self._plan = plan
        self._patience = patience

    def _spawn(self, parts: up.Parts, name: str, argv: Sequence[str], *, restart: bool) -> ManagedProcess:
        faults = self._plan / "faults.yaml"
        more = ["--faults", str(faults)] if name == "ibsim" and faults.is_file() else []
        return super()._spawn(parts, name, [*argv, *more], restart=restart)

    def _start_services(self, parts: up.Parts, settings: Settings) -> None:
        path = self._state / "session.yaml"
        path.write_bytes(encode_settings(settings))
        for service in TURN_ORDER:
            argv = [sys.executable, "-m", "walstreet_services.cli.chaos_life", service.value]
            argv += ["--patience", str(self._patience), "--config", str(path)]
            self._spawn(parts, service.value, argv, restart=True)
        parts.tasks.append(asyncio.create_task(self._thaw(parts), name="thaw"))

    async def _thaw(self, parts: up.Parts) -> None:
        """Let frozen services go on, after what the plan wants meanwhile; until the session ends."""
        seen = dict.fromkeys(TURN_ORDER, 0)
        while not all(parts.processes[service.value].ended.is_set() for service in TURN_ORDER):
            for service in TURN_ORDER:
                done = read_done(self._plan, service.value)
                for item in done[seen[service] :]:
                    if item.crash.signal == "SIGSTOP":
                        await _until_frozen(item.pid)
                        await self._meanwhile(parts, service.value, item.line)
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(item.pid, signal.SIGCONT)
                seen[service] = len(done)
            await asyncio.sleep(WATCH_S)

    async def _meanwhile(self, parts: up.Parts, service: str, line: int) -> None:
        path = self._plan / f"{service}.meanwhile"
        table = msgspec.json.decode(path.read_bytes(), type=dict[int, Meanwhile]) if path.is_file() else {}
        what = table.get(line, Meanwhile())
        process = parts.server.process
        if what.log_server and process is not None and process.returncode is None:
            process.send_signal(signal.Signals[what.log_server])
        await asyncio.sleep(what.wait_s)
        if what.log_server == "SIGSTOP" and process is not None and process.returncode is None:
            process.send_signal(signal.SIGCONT)


async def _until_frozen(pid: int) -> None:
    """Return when a process stands still or is gone; a SIGCONT that comes before its SIGSTOP would be lost.

    Raises:
        RuntimeError: It runs on.
    """
    for _ in range(round(FROZEN_S_MAX / WATCH_S)):
        if not _runs(pid):
            return
        await asyncio.sleep(WATCH_S)
    raise RuntimeError(f"process {pid} announced its SIGSTOP and ran on for {FROZEN_S_MAX:.0f} s")


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "TtZX"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one session and return its exit code."""
    parser = argparse.ArgumentParser(prog="walstreet chaos session")
    parser.add_argument("--plan", type=Path, required=True, help="folder of the plans, and of what was done")
    parser.add_argument("--patience", type=int, required=True, help="crashes that each process may have")
    up.add_arguments(parser)
    options = parser.parse_args(argv)
    os.environ[VARIABLE] = str(options.plan.resolve())
    # The supervisor of the log server is as patient as those of the services: the bound is this test's setting.
    up.SIMULATOR_READY_S = up.SERVICES_READY_S = READY_S
    log_server.RESTART_BACKOFF_S = (log_server.RESTART_BACKOFF_S[0],) * options.patience
    try:
        return asyncio.run(ChaosSession(options, options.plan, options.patience).run())
    except UsageError as error:
        sys.stderr.write(f"walstreet chaos session: {error}\n")
        return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
