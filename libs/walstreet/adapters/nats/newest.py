"""Owns the question for the newest TAPE message under one subject: one request, however long the TAPE is."""

from __future__ import annotations

import nats.errors
import nats.js.errors

from walstreet.adapters.nats.connection import Connection
from walstreet.adapters.nats.errors import LogUnreachableError
from walstreet.adapters.nats.reader import RawMessage
from walstreet_events.subjects import Stream


async def newest(connection: Connection, subject: str) -> RawMessage | None:
    """Return the newest message under ``subject``, which names no wildcard; None without one.

    Raises:
        LogUnreachableError: The server did not answer.
    """
    try:
        found = await connection.client.jetstream().get_msg(Stream.TAPE.value, subject=subject, direct=True)
    except nats.js.errors.NotFoundError:
        return None
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise LogUnreachableError(f"the newest message under {subject} could not be read ({error!r})") from error
    assert found.seq is not None
    return RawMessage(found.seq, subject, dict(found.headers or {}), found.data or b"")
