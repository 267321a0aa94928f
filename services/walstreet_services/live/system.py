"""Owns ``LiveTradingSystem`` and ``LiveTradingManager``: the runtime of `walstreet up` behind document 002's names.

A system is the same processes that the command line runs, started as children, or a deployment that runs already and is
only followed. Its status is read from the log, never from the processes. All calls are synchronous and bounded.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from walstreet.runtime.errors import EXIT_USAGE, UsageError
from walstreet_services.live.follow import TapeFollower
from walstreet_services.live.options import Config, Plan, plan_manager, plan_system

START_BOUND_S = 240.0
"""Until the log can be read and has its first message; the runtime gives up by itself before that."""
STOP_BOUND_S = 60.0
"""`walstreet up` lets everything go in bounded steps and writes its report; then it is killed, with its children."""
WAIT_POLL_S = 0.2
ERROR_CHARACTERS = 2_000


class _Runtime:
    """One session as a child process, and the reader of its log."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._process: subprocess.Popen[bytes] | None = None
        self._follower: TapeFollower | None = None
        self._folder = Path()
        self._last: dict[str, Any] = {}

    @property
    def running(self) -> bool:
        """Return whether the session runs, or, where one is only followed, whether it is followed."""
        if self._process is not None:
            return self._process.poll() is None
        return self._follower is not None and not self._follower.error

    def start(self) -> None:
        """Start, and return once the log can be read.

        Raises:
            UsageError: The runtime refuses the configuration, with its own words.
            RuntimeError: It is started already, or did not begin in time.
        """
        if self._follower is not None:
            raise RuntimeError("the system is started already; stop() it before it is started again")
        plan = self._plan
        if plan.url:
            follower = TapeFollower(state=None, url=plan.url, credentials=plan.credentials, opening=plan.opening)
        else:
            self._spawn()
            follower = TapeFollower(state=self._folder, url="", credentials="", opening=plan.opening)
        self._follower = follower
        follower.start()
        if follower.wait_first(START_BOUND_S, lambda: self.running):
            return
        detail = follower.error or self._failure() or f"no message on the log within {START_BOUND_S:.0f} s"
        code = self._process.poll() if self._process is not None else None
        self.stop()
        if code == EXIT_USAGE:
            raise UsageError(detail)
        raise RuntimeError(f"the system did not start: {detail}")

    def _spawn(self) -> None:
        wanted = self._plan.state
        self._folder = Path(wanted).resolve() if wanted else Path(tempfile.mkdtemp(prefix="walstreet-live-"))
        self._folder.mkdir(parents=True, exist_ok=True)
        layer = self._folder / "live.yaml"
        layer.write_bytes(msgspec.yaml.encode(self._plan.layer))
        argv = [sys.executable, "-m", "walstreet_services.cli.__main__", "up", "--no-view"]
        argv += ["--state", str(self._folder), "--config", str(layer), "--json", str(self._folder / "summary.json")]
        with self._output().open("wb") as output:
            self._process = subprocess.Popen(
                [*argv, *self._plan.arguments], stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    def stop(self) -> None:
        """Stop within ``STOP_BOUND_S``; what was acknowledged is on the log. A second call does nothing."""
        if self._follower is not None:
            # Asked while the log still runs: the status of the end.
            self._last = self._follower.status()
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_BOUND_S)
            except subprocess.TimeoutExpired:
                for pid in (process.pid, *_descendants(process.pid)):
                    _kill(pid)
                process.wait()
        if self._follower is not None:
            self._follower.stop()
            self._last = self._follower.status()
        self._follower, self._process = None, None

    def wait(self, bound_s: float) -> bool:
        """Return whether the session ended by itself within ``bound_s``."""
        bound = time.monotonic() + bound_s
        while self.running and time.monotonic() < bound:
            time.sleep(WAIT_POLL_S)
        return not self.running

    def status(self) -> dict[str, Any]:
        """Return the portfolio, from the log; behind ``stop`` the last one."""
        if self._follower is None and not self._last:
            raise RuntimeError("the system has not been started; call start() first")
        found = self._follower.status() if self._follower is not None else self._last
        return {
            **found,
            "running": self.running,
            "state": str(self._folder) if not self._plan.url else "",
            "error": self._follower.error if self._follower is not None else "",
        }

    def summary(self) -> dict[str, Any]:
        """Return the summary that a session writes at its end; empty before, and of a deployment that is followed."""
        path = self._folder / "summary.json"
        if self._plan.url or not path.is_file():
            return {}
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def _output(self) -> Path:
        return self._folder / "up.out"

    def _failure(self) -> str:
        if self._process is None or not self._output().is_file():
            return ""
        text = self._output().read_text(encoding="utf-8", errors="replace").strip()
        return text[-ERROR_CHARACTERS:]


class LiveTradingSystem:
    """One system in one account, under the names of document 002; usable as a context manager."""

    def __init__(self, config: Config) -> None:
        """Check ``config``; nothing is started.

        Raises:
            UsageError: A key or value that cannot be used; docs/LIVE_TRADING.md lists them.
        """
        self._runtime = _Runtime(plan_system(config))

    def start(self) -> None:
        """Start the services, or attach to running ones; see ``_Runtime.start`` for the errors."""
        self._runtime.start()

    def stop(self) -> None:
        """Stop within a minute; what was acknowledged is on the log."""
        self._runtime.stop()

    def wait(self, timeout_s: float) -> bool:
        """Return whether the session ended by itself within ``timeout_s``."""
        return self._runtime.wait(timeout_s)

    def get_portfolio_status(self) -> dict[str, Any]:
        """Return positions, weights, exposure, profit, mode, orders and health, from the log.

        Raises:
            RuntimeError: The system was never started.
        """
        return self._runtime.status()

    def get_summary(self) -> dict[str, Any]:
        """Return what the session wrote at its end: invariants, hashes, verdicts; empty before."""
        return self._runtime.summary()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *reason: object) -> None:
        """Stop."""
        self.stop()


class LiveTradingManager:
    """Several strategies in one account: netted with each other, limited at their sum, each with a book of its own."""

    def __init__(self, configs: Sequence[Config], account: Config | None = None) -> None:
        """Check the configurations; nothing is started.

        Args:
            configs: One for each strategy, with ``name`` and ``capital_share`` (equal shares by default).
            account: What belongs to the account, such as ``settings`` or ``market``; it may also stand in the others.

        Raises:
            UsageError: A key or value that cannot be used, or configurations that contradict each other.
        """
        plan = plan_manager(configs, account)
        self._names = plan.strategies
        self._runtime = _Runtime(plan)

    def start_all(self) -> None:
        """Start the services with all strategies, or attach to running ones."""
        self._runtime.start()

    def stop_all(self) -> None:
        """Stop within a minute; what was acknowledged is on the log."""
        self._runtime.stop()

    def wait(self, timeout_s: float) -> bool:
        """Return whether the session ended by itself within ``timeout_s``."""
        return self._runtime.wait(timeout_s)

    def get_all_status(self) -> dict[str, dict[str, Any]]:
        """Return the status of every strategy by name: its book's positions, exposure and profit.

        Raises:
            RuntimeError: The strategies were never started.
        """
        found = self._runtime.status()
        empty = {
            "positions": {},
            "gross_exposure": 0.0,
            "net_exposure": 0.0,
            "realized_pnl": 0.0,
            "unrealized_pnl": 0.0,
            "commission": 0.0,
        }
        shared = {"running": found["running"], "mode": found["mode"]}
        return {name: {**(found["strategies"].get(name) or empty), **shared} for name in self._names}

    def get_portfolio_status(self) -> dict[str, Any]:
        """Return the status of the account, which is the sum of all books.

        Raises:
            RuntimeError: The strategies were never started.
        """
        return self._runtime.status()

    def get_summary(self) -> dict[str, Any]:
        """Return what the session wrote at its end: invariants, hashes, verdicts; empty before."""
        return self._runtime.summary()

    def __enter__(self) -> Self:
        """Start."""
        self.start_all()
        return self

    def __exit__(self, *reason: object) -> None:
        """Stop."""
        self.stop_all()


def _descendants(pid: int) -> list[int]:
    """Return the living children of a process and theirs; each has a session of its own, so no group holds them all."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue  # It ended while we looked.
        parents.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found, waiting = [], [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
