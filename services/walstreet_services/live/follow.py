"""Owns the following of a running log from a thread: what was read is a portfolio that may be asked at any time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from walstreet.adapters.nats import Connection, ConnectOptions, LogError, LogUnreachableError, TapeInbox, running_url
from walstreet.adapters.nats.server import ADMIN
from walstreet.replay.portfolio import PortfolioProjection
from walstreet_events import EventDecodeError, decode

POLL_S = 0.1
STOP_BOUND_S = 5.0
"""The connection's own closing is bounded by less."""


class TapeFollower:
    """Reads the TAPE of a state folder, or of a server, until it is stopped or the log goes away."""

    def __init__(self, *, state: Path | None, url: str, credentials: str, opening: str) -> None:
        """Follow the server on ``state`` as soon as there is one, or the one at ``url``.

        Args:
            state: Folder of an embedded session.
            url: Of a server that runs already; empty for the one on ``state``.
            credentials: Folder with password files for ``url``; empty connects without a user.
            opening: As in ``strategies.opening``.
        """
        self._state = state
        self._url = url
        self._credentials = credentials
        self._projection = PortfolioProjection(opening=opening)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._first = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tape-follower", daemon=True)
        self.undecodable = 0
        self.error = ""
        """Why following ended by itself; empty while it goes on."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wait_first(self, bound_s: float, alive: Callable[[], bool]) -> bool:
        """Return whether a message was read within ``bound_s``; early and False when ``alive`` says no, or on error."""
        waited = 0.0
        while not self._first.wait(POLL_S):
            waited += POLL_S
            if waited >= bound_s or self.error or not alive():
                return self._first.is_set()
        return True

    def stop(self) -> None:
        """End within ``STOP_BOUND_S``."""
        self._stopping.set()
        self._thread.join(STOP_BOUND_S)

    def status(self) -> dict[str, Any]:
        """Return the portfolio as read so far."""
        with self._lock:
            return self._projection.status()

    def _run(self) -> None:
        try:
            asyncio.run(self._follow())
        except (LogError, OSError) as error:
            self.error = f"{type(error).__name__}: {error}"

    async def _follow(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, inbox = await self._open()
            except (LogError, OSError, ValueError) as error:
                if self._state is None:
                    raise LogUnreachableError(f"the log at {self._url} cannot be read: {error}") from error
                # The session is on its way up: no server yet, or one without its configuration or its stream.
                await asyncio.sleep(POLL_S)
                continue
            try:
                await self._until_stopped(inbox)
            finally:
                await connection.close()
            return

    async def _open(self) -> tuple[Connection, TapeInbox]:
        """Return a connection that reads.

        Raises:
            LogError: Nobody answers, or there is no TAPE.
            OSError: There is no server on the state folder.
        """
        url = self._url or (running_url(self._state) if self._state else None)
        if not url:
            raise FileNotFoundError(f"no server runs on {self._state}")
        folder = Path(self._credentials) if self._credentials else self._state and self._state / "credentials"
        password = str(folder / ADMIN) if folder else ""
        connection = Connection(ConnectOptions(url=url, user=ADMIN, password_file=password))
        try:
            await connection.open()
            inbox = TapeInbox(connection)
            await inbox.start()
        except BaseException:
            await connection.close()
            raise
        return connection, inbox

    async def _until_stopped(self, inbox: TapeInbox) -> None:
        reading = asyncio.create_task(self._read(inbox))
        while not reading.done() and not self._stopping.is_set():
            await asyncio.wait({reading}, timeout=POLL_S)
        if reading.done():
            await reading
        reading.cancel()
        await asyncio.wait({reading})

    async def _read(self, inbox: TapeInbox) -> None:
        while True:
            for message in await inbox.take():
                try:
                    event = decode(message.payload)
                except EventDecodeError:
                    # `walstreet tape verify` names it; a status must not end because of it.
                    self.undecodable += 1
                    continue
                with self._lock:
                    self._projection.take(event)
                self._first.set()
