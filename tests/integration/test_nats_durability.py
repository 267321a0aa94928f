"""Owns the tests of what must be true of a server and its streams before anything may depend on them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from walstreet.adapters.free_ports import free_port
from walstreet.adapters.nats import connection as connection_module
from walstreet.adapters.nats.connection import Connection, ConnectOptions
from walstreet.adapters.nats.errors import AppendRefusedError, LogUnreachableError, NotDurableError
from walstreet.adapters.nats.server import ADMIN, MEMORY_VARIABLE, EmbeddedServer, find_binary, running_url
from walstreet.adapters.nats.streams import (
    DEAD_CONFIG,
    MD_CONFIG,
    TAPE_CONFIG,
    declare_streams,
    require_durable,
    require_tape,
)
from walstreet.testing.log_server import LogServer
from walstreet_events import Service

pytestmark = pytest.mark.integration


@pytest.fixture
async def server() -> AsyncIterator[LogServer]:
    """Give a fresh server."""
    async with LogServer() as running:
        yield running


@asynccontextmanager
async def other_server(directory: Path, jetstream: dict[str, Any]) -> AsyncIterator[tuple[str, str]]:
    """Run a server that somebody else configured; give its client and monitor addresses."""
    port, monitor = free_port(), free_port()
    config = {
        "host": "127.0.0.1",
        "port": port,
        "http": f"127.0.0.1:{monitor}",
        "jetstream": {"store_dir": str(directory / "store"), **jetstream},
    }
    path = directory / "other.conf"
    path.write_text(json.dumps(config))
    process = await asyncio.create_subprocess_exec(
        find_binary(), "-c", str(path), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    connection = Connection(ConnectOptions(url=f"nats://127.0.0.1:{port}", user="admin"))
    async with asyncio.timeout(10):
        while True:
            try:
                await connection.open()
                break
            except LogUnreachableError:
                await asyncio.sleep(0.05)
    await connection.close()
    try:
        yield f"nats://127.0.0.1:{port}", f"http://127.0.0.1:{monitor}"
    finally:
        process.terminate()
        await process.wait()


async def test_our_own_server_syncs_always(server: LogServer) -> None:
    """The embedded server reports the policy that it is configured with."""
    report = await require_durable(server.server.monitor_url)
    assert report["sync_always"] is True


@pytest.mark.parametrize("jetstream", [{}, {"sync_interval": "100ms"}])
async def test_a_server_that_syncs_later_is_refused(tmp_path: Path, jetstream: dict[str, Any]) -> None:
    """Another sync interval, the default included, is refused with what was found and what to set."""
    async with other_server(tmp_path, jetstream) as (_, monitor):
        with pytest.raises(NotDurableError) as caught:
            await require_durable(monitor)
    text = str(caught.value)
    assert f"at {monitor}/jsz reports sync_always=" in text
    assert "acknowledges before the disk has the message" in text
    assert "sync_interval: always" in text


@pytest.mark.parametrize("address", ["http://127.0.0.1:{port}", "127.0.0.1:{port}", ""])
async def test_a_server_without_monitor_is_refused(address: str) -> None:
    """Without a report nobody can tell, so the answer is no, with the setting to mend."""
    url = address.format(port=free_port())
    with pytest.raises(NotDurableError, match=r"gives no report .*nobody can tell.*set log\.monitor_url"):
        await require_durable(url)


async def test_a_monitor_that_is_something_else_is_refused(server: LogServer) -> None:
    """A port that speaks no HTTP, such as the client port, is refused in the same words."""
    with pytest.raises(NotDurableError, match="gives no report"):
        await require_durable(f"http://127.0.0.1:{server.server.port}")


async def test_a_service_does_not_open_a_log_that_is_not_durable(tmp_path: Path, server: LogServer) -> None:
    """Opening the log includes the proof; a wrong monitor address is no way round it."""
    async with other_server(tmp_path, {}) as (_, monitor):
        log = server.log(Service.FEATURES)
        log._monitor_url = monitor
        with pytest.raises(NotDurableError):
            await log.open()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("persist_mode", "async"),
        ("max_age", 100_000_000_000_000),
        ("max_msgs", 1_000),
        ("duplicate_window", 120_000_000_000),
        ("discard", "old"),
        ("no_ack", True),
        ("deny_delete", False),
        ("republish", None),
        ("allow_direct", False),
        ("storage", "memory"),
    ],
)
async def test_a_tape_that_means_something_else_is_refused(server: LogServer, key: str, value: object) -> None:
    """A TAPE that would not sync, would forget, hide or lose messages is refused by name and value, by everybody."""
    admin = await server.connect(ADMIN)
    await admin.api("STREAM.DELETE.TAPE", {})
    await admin.api("STREAM.CREATE.TAPE", {**TAPE_CONFIG, "max_bytes": 1 << 20, key: value})
    with pytest.raises(AppendRefusedError, match=f"stream TAPE exists with {key}="):
        await declare_streams(admin)
    with pytest.raises(AppendRefusedError, match=f"stream TAPE exists with {key}="):
        await server.log(Service.FEATURES).open()


async def test_declaring_again_changes_nothing(server: LogServer) -> None:
    """Streams are declared at each start; existing ones of the same meaning are left as they are."""
    admin = await server.connect(ADMIN)
    before = [
        (await admin.api(f"STREAM.INFO.{c['name']}", {}))["config"] for c in (TAPE_CONFIG, DEAD_CONFIG, MD_CONFIG)
    ]
    await declare_streams(admin)
    await server.restart()
    again = await server.connect(ADMIN)
    await declare_streams(again)
    await require_tape(again)
    after = [(await again.api(f"STREAM.INFO.{c['name']}", {}))["config"] for c in (TAPE_CONFIG, DEAD_CONFIG, MD_CONFIG)]
    assert after == before


async def test_a_port_that_is_taken_is_told(server: LogServer, tmp_path: Path) -> None:
    """A second server on the same port is refused, instead of taking the first one for itself."""
    for ports in ((server.server.port, free_port()), (free_port(), server.server.monitor_port)):
        second = EmbeddedServer(state=tmp_path, port=ports[0], monitor_port=ports[1])
        with pytest.raises(LogUnreachableError, match=r"port \d+ is in use.*log\.port"):
            await second.start()
        assert second.process is None


async def test_a_store_has_one_server(server: LogServer) -> None:
    """A second server on a store in use is refused; the one that runs can be found, until it is stopped."""
    second = EmbeddedServer(state=server.state, port=free_port(), monitor_port=free_port())
    with pytest.raises(LogUnreachableError, match=r"a log server runs on .* already"):
        await second.start()
    assert running_url(server.state) == server.server.url
    await server.server.stop()
    assert running_url(server.state) is None
    await server.server.start()
    assert running_url(server.state) == server.server.url


async def test_a_server_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    """A server that ends at once is reported with its code and its own last words."""
    (tmp_path / "jetstream").mkdir()
    (tmp_path / "jetstream" / "jetstream").write_text("a file where a directory belongs")
    broken = EmbeddedServer(state=tmp_path, port=free_port(), monitor_port=free_port())
    with pytest.raises(LogUnreachableError, match=r"nats-server ended with code \d+; its log ends: .+"):
        await broken.start()


async def test_nobody_at_the_address_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing server is one line with address, user and what to start."""
    monkeypatch.setattr(connection_module, "CONNECT_TIMEOUT_S", 1.0)
    connection = Connection(ConnectOptions(url=f"nats://127.0.0.1:{free_port()}", user="features"))
    with pytest.raises(LogUnreachableError, match=r"no NATS server answers 'features' at nats://.*`walstreet up`"):
        await connection.open()


async def test_a_missing_password_file_is_told(server: LogServer, tmp_path: Path) -> None:
    """A password file that cannot be read is named with the setting that points to it."""
    options = ConnectOptions(url=server.server.url, user="features", password_file=str(tmp_path / "none"))
    with pytest.raises(
        LogUnreachableError, match=r"none' of NATS user 'features' cannot be read.*log\.credentials_dir"
    ):
        await Connection(options).open()


async def test_the_servers_heap_has_a_soft_limit(tmp_path: Path) -> None:
    """Its memory over a session is flat only with one (`walstreet soak`)."""
    server = EmbeddedServer(state=tmp_path, port=free_port(), monitor_port=free_port())
    await server.start()
    try:
        assert server.process is not None
        read = Path(f"/proc/{server.process.pid}/environ").read_bytes
        environment = (await asyncio.to_thread(read)).split(b"\0")
        assert any(item.startswith(f"{MEMORY_VARIABLE}=".encode()) for item in environment)
    finally:
        await server.stop()
