"""Owns the beginning and the end of one socket to the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from walstreet.adapters.ibkr.errors import BrokerLostError, BrokerRefusedError, BrokerTimeoutError
from walstreet.adapters.ibkr.wire import Wire

CLOSE_TURNS_MAX = 100
CLOSE_TURN_S = 0.01


async def handshake(client: Any, wired: Wire) -> None:
    """Open the socket and begin the session.

    Raises:
        BrokerRefusedError: The gateway named a reason, such as a client id in use.
        BrokerTimeoutError: The port is open and nobody answers.
        BrokerLostError: No gateway there, or it closed the connection.
    """
    options = wired.options
    attempt = asyncio.ensure_future(
        client.connectAsync(options.host, options.port, options.client_id, options.request_timeout_s)
    )
    try:
        # A gateway that refuses closes the socket at once; the library alone would wait for its timeout.
        await asyncio.wait({attempt, wired.lost}, return_when=asyncio.FIRST_COMPLETED)
        if attempt.done() and attempt.exception() is None and not wired.lost.done():
            return
    finally:
        if not attempt.done():
            attempt.cancel()
        outcome = (await asyncio.gather(attempt, return_exceptions=True))[0]
    where = f"{options.host}:{options.port} as client {options.client_id}"
    if wired.refusal is not None:
        raise BrokerRefusedError(f"{where} was refused: {wired.refusal[1]}", code=wired.refusal[0])
    if isinstance(outcome, TimeoutError):
        raise BrokerTimeoutError(f"{where} did not answer within {options.request_timeout_s} s") from outcome
    raise BrokerLostError(f"{where} cannot be reached ({outcome!r}); start the gateway and enable its API port") from (
        outcome if isinstance(outcome, Exception) else None
    )


def choose_account(wanted: str, accounts: Sequence[str]) -> str:
    """Return the account to trade: the wanted one, or the only one.

    Raises:
        BrokerRefusedError: The login does not have it, or has several and none was named.
    """
    if wanted in accounts:
        return wanted
    if not wanted and len(accounts) == 1:
        return accounts[0]
    raise BrokerRefusedError(
        f"broker.account is {wanted!r}; this login has {', '.join(accounts) or 'none'}: name one of them"
    )


async def drop(client: Any, wired: Wire) -> None:
    """Close the socket for good, so that the gateway frees the client id."""
    was_ready, wired.ready = wired.ready, False
    if was_ready:
        wired.link(connected=False, data_lost=True, code=0, detail="closed by us")
    wired.requests.lose("the connection was closed by us")
    client.disconnect()
    for _ in range(CLOSE_TURNS_MAX):
        if client.conn.transport is None:
            return
        await asyncio.sleep(CLOSE_TURN_S)
    # A peer that does not read keeps the transport from closing; its unsent bytes are given up.
    client.conn.transport.abort()
