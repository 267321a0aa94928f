"""Owns looking at the TAPE of a session that still runs: everything so far, and waiting for what is to come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from walstreet.adapters.nats import Connection, ConnectOptions, LogError, TapeReader, running_url
from walstreet.adapters.nats.server import ADMIN
from walstreet.adapters.nats.streams import last_sequence
from walstreet_events import AnyEvent, decode

WAIT_S = 120.0
POLL_S = 0.5
CLOSING_S = 0.05


def events_so_far(state: Path) -> list[AnyEvent]:
    """Return the events of a running session, in the order of its TAPE.

    Raises:
        RuntimeError: No log server runs on ``state``.
    """
    url = running_url(state)
    if url is None:
        raise RuntimeError(f"no log server runs on {state}")
    return asyncio.run(_read(url, state))


def wait_events(
    state: Path, wanted: Callable[[AnyEvent], bool], *, after: int = 0, wait_s: float = WAIT_S
) -> list[AnyEvent]:
    """Return the TAPE once it holds an event that is ``wanted`` behind the first ``after`` ones.

    A session that has not begun is waited for, too.

    Raises:
        TimeoutError: None came in time.
    """
    bound = time.monotonic() + wait_s
    while True:
        told = _so_far_if_any(state)
        if any(wanted(event) for event in told[after:]):
            return told
        if time.monotonic() > bound:
            raise TimeoutError(f"{len(told) - after} events in {wait_s:.0f} s, none of them wanted")
        time.sleep(POLL_S)


def _so_far_if_any(state: Path) -> list[AnyEvent]:
    try:
        return events_so_far(state) if running_url(state) is not None else []
    except (LogError, FileNotFoundError):
        return []  # The server is on its way: no configuration yet, or no streams.


async def _read(url: str, state: Path) -> list[AnyEvent]:
    options = ConnectOptions(url=url, user=ADMIN, password_file=str(state / "credentials" / ADMIN))
    connection = Connection(options)
    try:
        await connection.open()
        last = await last_sequence(connection)
        return [decode(message.payload) async for message in TapeReader(connection).range(1, last)]
    finally:
        await connection.close()
        # The transport is closed by a callback that a loop which ends at once would never run.
        await asyncio.sleep(CLOSING_S)
