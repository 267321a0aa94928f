"""Owns access to a stored TAPE from the command line: a running log by URL, or a stopped session's state folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from walstreet.adapters.free_ports import free_port
from walstreet.adapters.nats import Connection, ConnectOptions, EmbeddedServer, TapeReader, running_url
from walstreet.adapters.nats.reader import RawMessage
from walstreet.adapters.nats.server import ADMIN
from walstreet.adapters.nats.streams import last_sequence
from walstreet.runtime.errors import UsageError
from walstreet_events import NANOS_PER_SECOND
from walstreet_events.subjects import Stream

EXCHANGE_ZONE = ZoneInfo("America/New_York")


@asynccontextmanager
async def open_tape(*, state: str | None, url: str | None, credentials_dir: str = "") -> AsyncIterator[Connection]:
    """Yield an administrator's connection to a TAPE.

    With ``state`` the folder's own server is started for the time of the command; if one runs on it (a session is
    under way), that one is asked.

    Raises:
        UsageError: Neither or both were given, or the folder holds no TAPE.
    """
    if (state is None) == (url is None):
        raise UsageError("name the TAPE: --state DIR of an embedded session, or --url nats://... of a running server")
    if url is not None:
        async with _connected(url, Path(credentials_dir) if credentials_dir else None) as connection:
            yield connection
        return
    folder = Path(str(state))
    if not (folder / "jetstream").is_dir():
        raise UsageError(f"--state {folder} holds no TAPE (no jetstream folder); `walstreet up --state DIR` makes one")
    running = running_url(folder)
    if running is not None:
        async with _connected(running, folder / "credentials") as connection:
            yield connection
        return
    server = EmbeddedServer(state=folder, port=free_port(), monitor_port=free_port())
    await server.start()
    try:
        async with _connected(server.url, server.credentials) as connection:
            yield connection
    finally:
        await server.stop()


@asynccontextmanager
async def _connected(url: str, credentials: Path | None) -> AsyncIterator[Connection]:
    connection = Connection(
        ConnectOptions(url=url, user=ADMIN, password_file=str(credentials / ADMIN) if credentials else "")
    )
    try:
        await connection.open()
        yield connection
    finally:
        await connection.close()


async def read_all(connection: Connection, stream: Stream = Stream.TAPE) -> tuple[list[RawMessage], int]:
    """Return every stored message of ``stream`` in order, and the last sequence the stream claims."""
    last = await last_sequence(connection, stream)
    messages = [message async for message in TapeReader(connection, stream).range(1, last)]
    return messages, last


def newest_state() -> str:
    """Return the folder under ``state/`` whose session began last.

    Raises:
        UsageError: There is none.
    """
    found = sorted(Path("state").glob("*/session.yaml"), key=lambda path: path.stat().st_mtime_ns)
    if not found:
        raise UsageError("there is no session under state/; name one with --state DIR")
    return str(found[-1].parent)


def local_time(ts_ns: int) -> str:
    """Return an event time at the exchange, to the second."""
    return f"{datetime.fromtimestamp(ts_ns // NANOS_PER_SECOND, UTC).astimezone(EXCHANGE_ZONE):%Y-%m-%d %H:%M:%S}"
