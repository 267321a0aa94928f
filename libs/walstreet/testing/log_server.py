"""Owns a real log for tests: the embedded NATS server on free ports, which tests may kill, freeze and start again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from walstreet.adapters.clock import WallClock
from walstreet.adapters.free_ports import free_port
from walstreet.adapters.nats.connection import Connection, ConnectOptions
from walstreet.adapters.nats.log import NatsLog
from walstreet.adapters.nats.server import ADMIN, EmbeddedServer
from walstreet.adapters.nats.streams import declare_streams
from walstreet_events import Service

RECONNECT_WAIT_S = 15.0
POLL_S = 0.01


class LogServer:
    """An embedded server in a directory of its own; use it as an async context manager."""

    def __init__(self) -> None:
        """Take free ports and a new directory; entering the context starts the server."""
        self.state = Path(tempfile.mkdtemp(prefix="walstreet-log-"))
        self.server = EmbeddedServer(state=self.state, port=free_port(), monitor_port=free_port())
        self._connections: list[Connection] = []
        self._logs: list[NatsLog] = []
        self._frozen = False

    async def __aenter__(self) -> Self:
        """Start the server and declare the streams."""
        try:
            await self.server.start()
            await declare_streams(await self.connect(ADMIN))
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection that was handed out, end the server, remove the directory."""
        if self._frozen:
            self.cont()
        with contextlib.suppress(Exception):
            await asyncio.gather(
                *(log.close() for log in self._logs), *(connection.close() for connection in self._connections)
            )
        await self.server.stop()
        shutil.rmtree(self.state, ignore_errors=True)

    @property
    def pid(self) -> int:
        """Return the server's process id."""
        if self.server.process is None:
            raise RuntimeError("the server was not started; enter the context first")
        return self.server.process.pid

    def options(self, user: str) -> ConnectOptions:
        """Return how ``user`` connects."""
        return ConnectOptions(url=self.server.url, user=user, password_file=str(self.server.credentials / user))

    async def connect(self, user: str) -> Connection:
        """Return an open connection as ``user``; it is closed with the server."""
        connection = Connection(self.options(user))
        await connection.open()
        self._connections.append(connection)
        return connection

    def log(self, service: Service, *, lockstep: bool = False) -> NatsLog:
        """Return the log as ``service`` sees it, not yet open; it is closed with the server."""
        log = NatsLog(
            url=self.server.url,
            monitor_url=self.server.monitor_url,
            credentials_dir=str(self.server.credentials),
            service=service,
            wall=WallClock(),
            lockstep=lockstep,
        )
        self._logs.append(log)
        return log

    async def kill9(self) -> None:
        """Kill the server without a chance to tidy up, and return when it is gone."""
        process = self.server.process
        if process is None:
            raise RuntimeError("the server was not started; enter the context first")
        process.kill()
        await process.wait()

    def stop(self) -> None:
        """Freeze the server (SIGSTOP): it takes bytes and answers nothing from the return on.

        The signal alone comes back before all threads of the server stand still, and one of them could still answer.
        """
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)
        self._frozen = True

    def cont(self) -> None:
        """Let a frozen server go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)
        self._frozen = False

    async def restart(self) -> None:
        """Start the server anew on the same store, killing it first when it still runs."""
        process = self.server.process
        if process is not None and process.returncode is None:
            await self.kill9()
        await self.server.start()


async def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Return when ``condition`` holds.

    Raises:
        TimeoutError: It did not within ``timeout_s``.
    """
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - processes and vendor objects that offer nothing to wait for
            await asyncio.sleep(POLL_S)


async def until_reconnected(connection: Connection, count: int) -> None:
    """Return when ``connection`` has reconnected ``count`` times.

    Raises:
        TimeoutError: It did not within ``RECONNECT_WAIT_S``.
    """
    await until(lambda: connection.reconnects >= count and connection.connected, RECONNECT_WAIT_S)
