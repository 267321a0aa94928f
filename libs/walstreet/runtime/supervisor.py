"""Owns child processes: start, restart with back-off, stop in time, and the memory they used."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import structlog

from walstreet.runtime.errors import EXIT_OK, EXIT_USAGE

BACKOFF_FIRST_S = 0.25
BACKOFF_MAX_S = 8.0
HEALTHY_AFTER_S = 30.0
"""A process that lived this long starts again without back-off."""
RESTARTS_MAX = 4
"""Restarts in a row (without a healthy life between) before the supervisor gives up."""
STOP_BOUND_S = 5.0
LINE_BYTES_MAX = 1 << 20
"""The first line is cut here; what a child writes without line ends must not end its supervisor."""
CHUNK_BYTES = 1 << 16
EXIT_NOT_STARTED = 127
"""As a shell says when there is no such program."""

assert BACKOFF_FIRST_S <= BACKOFF_MAX_S


@dataclass(slots=True)
class Life:
    """What happened to one managed process."""

    starts: int = 0
    exits: list[int] = field(default_factory=list)
    gave_up: str = ""
    memory_peak_kib: int = 0
    cpu_s: float = 0.0
    """Processor time of the present life, user and system."""


class ManagedProcess:
    """One child process that is kept alive until it is stopped."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        restart: bool = True,
        endless: bool = False,
    ) -> None:
        """Prepare; output goes to ``log``. With ``endless`` even a clean end that nobody asked for is a failure."""
        self.name = name
        self._argv = list(argv)
        self._log_path = log
        self._environment = dict(environment)
        self._restart = restart
        self._endless = endless
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._stop_asked = asyncio.Event()
        self._log = structlog.get_logger().bind(process=name)
        self.life = Life()
        self.ended = asyncio.Event()
        self.first_line: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    @property
    def pid(self) -> int | None:
        """Return the process id while it lives."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def wait_first_line(self) -> bytes:
        """Return the first line that the process wrote to its standard output."""
        return await asyncio.shield(self.first_line)

    async def run(self) -> None:
        """Keep the process alive until ``stop``, a clean end, or too many failures."""
        backoff_s = BACKOFF_FIRST_S
        failures = 0
        try:
            while not self._stopping:
                started = asyncio.get_running_loop().time()
                code = await self._once()
                self.life.exits.append(code)
                if self._told_to_stop() or (code == EXIT_OK and not self._endless):
                    return
                if asyncio.get_running_loop().time() - started >= HEALTHY_AFTER_S:
                    backoff_s, failures = BACKOFF_FIRST_S, 0
                failures += 1
                if not self._restart or code == EXIT_USAGE or failures > RESTARTS_MAX:
                    self.life.gave_up = f"{self.name} ended with code {code}: {tail(self._log_path)}"
                    self._log.error("gave_up", code=code, failures=failures, log=str(self._log_path))
                    return
                self._log.warning("restarting", code=code, in_s=backoff_s, failures=failures)
                with contextlib.suppress(TimeoutError):
                    # A stop must not wait for a back-off that is longer than its own bound.
                    await asyncio.wait_for(self._stop_asked.wait(), backoff_s)
                backoff_s = min(BACKOFF_MAX_S, backoff_s * 2)
        finally:
            self.ended.set()

    def _told_to_stop(self) -> bool:
        """Return whether ``stop`` was called meanwhile."""
        return self._stopping

    async def _once(self) -> int:
        self.life.starts += 1
        with self._log_path.open("ab") as sink:
            try:
                process = await asyncio.create_subprocess_exec(
                    *self._argv,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=sink,
                    env=self._environment,
                    start_new_session=True,
                )
            except OSError as error:
                sink.write(f"{self._argv[0]!r} cannot be started: {error}\n".encode())
                return EXIT_NOT_STARTED
            self._process = process
            if self._stopping:
                process.terminate()
            try:
                await self._pump(process, sink)
                return await process.wait()
            finally:
                # Left early means cancelled: a child without a supervisor must not go on trading.
                self._kill_group()

    async def _pump(self, process: asyncio.subprocess.Process, sink: BinaryIO) -> None:
        """Copy the output to the log until it ends, and hand out the first line."""
        assert process.stdout is not None
        first = b""
        while chunk := await process.stdout.read(CHUNK_BYTES):
            sink.write(chunk)
            sink.flush()
            if self.first_line.done():
                continue
            first += chunk
            if b"\n" in first or len(first) >= LINE_BYTES_MAX:
                self.first_line.set_result(first[: first.find(b"\n") + 1] or first[:LINE_BYTES_MAX])

    def sample(self) -> None:
        """Remember the peak resident size and the processor time of the living process."""
        if self.pid is None:
            return
        with contextlib.suppress(OSError, ValueError):
            for line in Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines():
                if line.startswith("VmHWM:"):
                    self.life.memory_peak_kib = max(self.life.memory_peak_kib, int(line.split()[1]))
            # The fields after the command's closing parenthesis begin with the third of proc(5).
            fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            self.life.cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def stop(self) -> None:
        """Ask the process to end, and kill it after ``STOP_BOUND_S``."""
        self._stopping = True
        self._stop_asked.set()
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_BOUND_S):
                await self.ended.wait()
        except TimeoutError:
            self._log.error("killed_after_bound", bound_s=STOP_BOUND_S)
            self._kill_group()
            await self.ended.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _kill_group(self) -> None:
        """Kill the process and what it started: a child of it that keeps the output open would be waited for."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                # The process leads a session, and therefore a group, of its own.
                os.killpg(self.pid, signal.SIGKILL)


def tail(path: Path, lines: int = 6) -> str:
    """Return the last lines of a log, for a message."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "(no log)"
    return " | ".join(line for line in text.splitlines()[-lines:] if line.strip())
