"""Owns the streams: their declaration, and the proof that the server syncs before it acknowledges."""

from __future__ import annotations

import asyncio
import http.client
import json
import urllib.request
from typing import Any

from walstreet.adapters.nats.connection import Connection
from walstreet.adapters.nats.errors import AppendRefusedError, NotDurableError
from walstreet_events.subjects import DEAD_SUBJECTS, MD_SUBJECTS, REPUBLISH_PREFIX, TAPE_SUBJECTS, Stream

GIBIBYTE = 1 << 30
DAY_NS = 86_400 * 1_000_000_000
TAPE_BYTES_MAX = 2 * GIBIBYTE
DEAD_BYTES_MAX = GIBIBYTE // 4
MD_BYTES_MAX = GIBIBYTE
MD_AGE_MAX_NS = 2 * DAY_NS
DUPLICATE_WINDOW_NS = DAY_NS
"""Message ids are remembered this long; beyond it epochs and own ids protect."""
MONITOR_TIMEOUT_S = 3.0
MONITOR_BYTES_MAX = 1 << 20

assert DUPLICATE_WINDOW_NS >= DAY_NS, "a session must fit into the deduplication window"

TAPE_CONFIG: dict[str, Any] = {
    "name": Stream.TAPE.value,
    "subjects": list(TAPE_SUBJECTS),
    "storage": "file",
    "retention": "limits",
    # A full TAPE refuses new facts, loudly. Silently losing its head would be worse than stopping.
    "discard": "new",
    "max_bytes": TAPE_BYTES_MAX,
    "duplicate_window": DUPLICATE_WINDOW_NS,
    "num_replicas": 1,
    "republish": {"src": ">", "dest": f"{REPUBLISH_PREFIX}.>"},
    "allow_direct": True,
    "deny_delete": True,
    "deny_purge": True,
}
DEAD_CONFIG: dict[str, Any] = {
    "name": Stream.DEAD.value,
    "subjects": list(DEAD_SUBJECTS),
    "storage": "file",
    "retention": "limits",
    "discard": "new",
    "max_bytes": DEAD_BYTES_MAX,
    # A poisoned input that no output follows is handled again after each restart; its letter is kept once.
    "duplicate_window": DUPLICATE_WINDOW_NS,
    "num_replicas": 1,
    "allow_direct": True,
}
MD_CONFIG: dict[str, Any] = {
    "name": Stream.MD.value,
    "subjects": list(MD_SUBJECTS),
    "storage": "file",
    "retention": "limits",
    "discard": "old",
    "max_bytes": MD_BYTES_MAX,
    "max_age": MD_AGE_MAX_NS,
    "num_replicas": 1,
    # No acknowledgement: ticks are never waited for, and a PubAck cannot be reflected into another stream.
    "no_ack": True,
    "persist_mode": "async",
}
_MUST_AGREE: dict[str, Any] = {
    "subjects": None,
    "storage": None,
    "retention": None,
    "discard": None,
    "no_ack": False,
    "persist_mode": "default",
    "republish": None,
    "allow_direct": False,
    "deny_delete": False,
    "deny_purge": False,
    "duplicate_window": None,
    "max_age": 0,
    "max_msgs": -1,
    "max_msgs_per_subject": -1,
}
"""Settings that change what a stream means, each with what the server takes for granted when it is left out; None
where its own choice does not matter to a stream that states nothing."""


async def declare_streams(connection: Connection) -> None:
    """Create TAPE, DEAD and MD, or check that existing ones are what this version needs.

    Raises:
        AppendRefusedError: A stream of the name exists with settings that change its meaning.
    """
    for config in (TAPE_CONFIG, DEAD_CONFIG, MD_CONFIG):
        name = config["name"]
        info = await connection.api(f"STREAM.INFO.{name}", {})
        if "error" in info:
            await connection.api(f"STREAM.CREATE.{name}", config)
            continue
        _check_agrees(name, config, info["config"])


def _check_agrees(name: str, wanted: dict[str, Any], found: dict[str, Any]) -> None:
    for key, default in _MUST_AGREE.items():
        need = wanted.get(key, default)
        have = found.get(key) or default
        if need is not None and have != need:
            raise AppendRefusedError(
                f"stream {name} exists with {key}={have!r}, this version needs {need!r}; "
                "use another --state directory, or move the old stream into an archive"
            )


async def require_tape(connection: Connection) -> None:
    """Check that the TAPE exists and means what this version needs; a server that syncs does not prove that.

    Raises:
        AppendRefusedError: There is no TAPE, or it would lose, hide or not sync what is appended.
    """
    info = await connection.api(f"STREAM.INFO.{Stream.TAPE.value}", {})
    if "error" in info:
        raise AppendRefusedError(f"stream {Stream.TAPE.value} does not exist; start the log with `walstreet up` first")
    _check_agrees(Stream.TAPE.value, TAPE_CONFIG, info["config"])


async def last_sequence(connection: Connection, stream: Stream = Stream.TAPE) -> int:
    """Return the sequence of the newest message in ``stream``, 0 when it is empty."""
    info = await connection.api(f"STREAM.INFO.{stream.value}", {})
    if "error" in info:
        raise AppendRefusedError(f"stream {stream.value} does not exist; start the log with `walstreet up` first")
    return int(info["state"]["last_seq"])


async def require_durable(monitor_url: str) -> dict[str, Any]:
    """Return the server's own JetStream report after checking that it says fsync-always.

    Raises:
        NotDurableError: The server reports another sync policy, or reports nothing.
    """
    url = f"{monitor_url.rstrip('/')}/jsz"
    try:
        report = await asyncio.to_thread(_get_json, url)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotDurableError(
            f"the NATS server's monitor at {url} gives no report ({error}), so nobody can tell that it syncs before "
            "it acknowledges; set log.monitor_url to its http port"
        ) from error
    config = report.get("config", {})
    if config.get("sync_always") is not True:
        raise NotDurableError(
            f"the NATS server at {url} reports sync_always={config.get('sync_always')!r}, "
            f"sync_interval={config.get('sync_interval')!r}: it acknowledges before the disk has the message. "
            "Set `jetstream { sync_interval: always }` in its configuration"
        )
    return dict(config)


def _get_json(url: str) -> dict[str, Any]:
    if not url.startswith(("http://", "https://")):
        raise OSError(f"monitor address {url!r} is no http(s) address")
    with urllib.request.urlopen(url, timeout=MONITOR_TIMEOUT_S) as reply:  # noqa: S310 - the scheme is checked above
        body = json.loads(reply.read(MONITOR_BYTES_MAX))
    if not isinstance(body, dict):
        raise ValueError(f"a {type(body).__name__} instead of an object")  # noqa: TRY004 - the content is wrong, not a type
    return body
