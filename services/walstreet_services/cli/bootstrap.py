"""Owns `walstreet bootstrap`: what a deployment in containers needs before its services start, in two steps.

``prepare`` runs before the log server: one password for each NATS user, the server's configuration from the subject
table, and the session's recorded settings. ``declare`` runs as soon as the server answers: streams, the proof that it
syncs before it acknowledges, and the refusal of a TAPE whose simulated broker is gone. Both may be repeated.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from walstreet.adapters.nats import Connection, ConnectOptions, LogError, declare_streams, require_durable
from walstreet.adapters.nats.server import ADMIN, server_config, write_credentials
from walstreet.adapters.nats.streams import last_sequence
from walstreet.domain.signing import KEY_NAME
from walstreet.runtime.config import Tree
from walstreet.runtime.errors import EXIT_BROKEN, EXIT_OK, EXIT_USAGE, UsageError
from walstreet.runtime.settings import Settings, load_settings
from walstreet_events.subjects import TURN_ORDER, Service
from walstreet_services.cli.recorded import encode_settings, with_history, with_models

DESCRIBE_TIMEOUT_S = 120.0
PROBE_TIMEOUT_S = 2.0
SECRET_MODE = 0o600
SHARED_MODE = 0o644
SERVER_HOST = "0.0.0.0"  # noqa: S104 - inside its container; the compose network is the fence
"""Where the server listens inside its container."""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    top = argparse.ArgumentParser(
        prog="walstreet bootstrap", description="Prepare what a deployment in containers needs before its services."
    )
    steps = top.add_subparsers(dest="step", required=True, metavar="STEP")
    first = steps.add_parser("prepare", help="passwords, server configuration and session, before the server starts")
    first.add_argument("--root", type=Path, default=Path("/run/walstreet"), help="folder that is shared out")
    first.add_argument("--store", type=Path, default=Path("/data"), help="the store, as the server's container sees it")
    first.add_argument("--config", action="append", default=[], help="configuration layers, in order")
    first.add_argument("simulator", nargs=argparse.REMAINDER, help="after --: exactly the simulator's own arguments")
    first.set_defaults(run=prepare)
    second = steps.add_parser("declare", help="streams and the proof of durability, once the server answers")
    second.add_argument("--config", action="append", default=[], required=True, help="the prepared session.yaml")
    second.set_defaults(run=lambda options: asyncio.run(declare(options)))
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one step and return its exit code."""
    options = parser().parse_args(argv)
    try:
        options.run(options)
    except (UsageError, OSError) as error:
        sys.stderr.write(f"walstreet bootstrap: {error}\n")
        return EXIT_USAGE
    except LogError as error:
        sys.stderr.write(f"walstreet bootstrap: {error}\n")
        return EXIT_BROKEN
    return EXIT_OK


def prepare(options: argparse.Namespace) -> None:
    """Write everything that can be written before the log server runs; what exists already must agree.

    Raises:
        UsageError: The settings cannot be used, or the folder belongs to a session with other settings.
    """
    root: Path = options.root
    settings = load_settings([Path(name) for name in options.config])
    if options.simulator:
        facts = describe([item for item in options.simulator if item != "--"])
        settings = load_settings([Path(name) for name in options.config], over=[session_layer(facts)])
    (root / "session").mkdir(parents=True, exist_ok=True)
    settings = with_history(with_models(settings), root / "session")
    _record(root / "session" / "session.yaml", settings)
    credentials = root / "credentials"
    write_credentials(credentials)
    for service in TURN_ORDER:
        # A folder, and in a deployment a volume, of its own: no service can read another one's password.
        own = root / "users" / service.value / service.value
        _write(own, (credentials / service.value).read_text(encoding="utf-8"), SECRET_MODE)
    for service in (Service.ARBITER, Service.EXECUTION):
        # Only who signs and who verifies has the key.
        _write(
            root / "users" / service.value / KEY_NAME, (credentials / KEY_NAME).read_text(encoding="utf-8"), SECRET_MODE
        )
    config = server_config(
        port=_port(settings.log.url, "log.url"),
        monitor_port=_port(settings.log.monitor_url, "log.monitor_url"),
        store=options.store,
        credentials=credentials,
        host=SERVER_HOST,
    )
    _write(root / "nats" / "nats.conf", config, SECRET_MODE)
    session = settings.session
    sys.stdout.write(
        f"prepared {session.market} session {session.date}: {len(session.symbols)} symbols, "
        f"{(session.close_ns - session.open_ns) // 60_000_000_000} minutes; passwords for {len(TURN_ORDER)} services\n"
    )


def describe(arguments: Sequence[str]) -> dict[str, Any]:
    """Return the facts of the session that a simulator with these arguments plays.

    Raises:
        UsageError: The simulator refuses its arguments; the text is its own.
    """
    # A process of its own: services, and the simulator is one of them, never import each other.
    argv = [sys.executable, "-m", "walstreet_services.ibsim", *arguments, "--describe"]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=DESCRIBE_TIMEOUT_S, check=False)
    if ended.returncode != 0:
        raise UsageError(f"the simulator cannot play this session: {ended.stderr.strip() or ended.returncode}")
    facts: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return facts


def session_layer(facts: dict[str, Any]) -> Tree:
    """Return the configuration layer that a simulator's facts spell; a shortened session closes when it ends."""
    return {
        "session": {
            "date": facts["day"],
            "open_ns": facts["open_ns"],
            "close_ns": facts["end_ns"],
            "symbols": facts["symbols"],
            "market": facts["market"],
            "identity": facts["identity"],
        },
        "broker": {"account": facts["account"], "port": facts["port"], "paced": False},
    }


async def declare(options: argparse.Namespace) -> None:
    """Declare the streams and prove durability.

    Raises:
        UsageError: The TAPE is an earlier simulated session's, and the broker that knew its orders is gone.
        LogError: The server cannot be reached, is not durable, or has streams that mean something else.
    """
    settings = load_settings([Path(name) for name in options.config])
    folder = settings.log.credentials_dir
    password = str(Path(folder) / ADMIN) if folder else ""
    connection = Connection(ConnectOptions(url=settings.log.url, user=ADMIN, password_file=password))
    await connection.open()
    try:
        await declare_streams(connection)
        report = await require_durable(settings.log.monitor_url)
        last = await last_sequence(connection)
    finally:
        await connection.close()
    if last and settings.session.market != "live" and not await _listens(settings.broker.host, settings.broker.port):
        raise UsageError(
            f"the TAPE holds {last} messages of the simulated session {settings.session.date}, and the simulator that "
            "kept its account is gone: a new one knows none of its orders. `docker compose down --volumes` makes room "
            "for a new session; docs/OPERATIONS.md says how to read the old one first"
        )
    sys.stdout.write(f"streams declared, last sequence {last}, sync_always={report['sync_always']}\n")


def _record(path: Path, settings: Settings) -> None:
    encoded = encode_settings(settings)
    if path.exists() and path.read_bytes() != encoded:
        raise UsageError(
            f"{path} records a session with other settings than are asked for now; a session keeps its settings, or "
            "its replay would decide something else. Go back to the old ones, or end it (`docker compose down "
            "--volumes` deletes its log as well) and start a new one"
        )
    _write(path, encoded.decode(), SHARED_MODE)


def _write(path: Path, text: str, mode: int) -> None:
    """Write a file whole or not at all, with ``mode`` from its first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=mode)
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _port(url: str, key: str) -> int:
    port = urlsplit(url).port
    if port is None:
        raise UsageError(f"{key}={url!r} names no port; write it out, for example nats://nats:4222")
    return port


async def _listens(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:  # TimeoutError is one of them.
        return False
    writer.close()
    return True


if __name__ == "__main__":
    sys.exit(main())
