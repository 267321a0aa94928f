"""Owns one connection to the NATS server with the settings that the measured pitfalls ask for.

What nats-py does by default and why it is changed here (each has a test in ``tests/integration``):

* Publishes while disconnected are buffered and sent after the reconnect: an order could leave minutes late.
  ``pending_size=0`` makes them fail at once.
* 60 reconnect attempts and pings every two minutes: endless reconnects and pings every few seconds instead.
* A raising error callback kills the reader silently: ours only records, and never raises.
* ``drain`` swallows a cancellation and then flushes for ten seconds: it runs in a task of its own with a bound.
* Some errors of the server close the client for ever, in spite of endless reconnects: that ends every wait at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import nats.errors
from nats.aio.client import Client

from walstreet.adapters.nats.errors import AppendRefusedError, LogUnreachableError

CONNECT_TIMEOUT_S = 5.0
PING_INTERVAL_S = 5
PINGS_OUTSTANDING_MAX = 2
RECONNECT_WAIT_S = 1
RECONNECT_BOUND_S = 60.0
"""A connection that stays away longer than this ends the service; the supervisor starts it anew."""
REQUEST_TIMEOUT_S = 5.0
DRAIN_TIMEOUT_S = 0.8
CLOSE_BOUND_S = 1.1
"""A frozen server must not hold up the end of a process; the supervisor waits 5 s in all."""
ERRORS_KEPT_MAX = 64

assert DRAIN_TIMEOUT_S < CLOSE_BOUND_S


class FastHeadersClient(Client):
    """nats-py's client with a header parser that does not look at every character.

    Every TAPE message carries a dozen headers, and the library's parser was half of the cost of reading the TAPE.
    Headers here are written by walstreet and the server as ``Name: value``; anything else goes the library's way.
    """

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in raw.decode("utf-8", "replace").split("\r\n"):
            if not line:
                continue
            name, separator, value = line.partition(": ")
            if not separator or " " in name:
                slow: dict[str, str] = super(FastHeadersClient, FastHeadersClient)._parse_header_lines(raw)
                return slow
            found[name] = value
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectOptions:
    """Where the log is and as whom to connect; the password stands in a file, never in configuration."""

    url: str
    user: str
    password_file: str = ""


class Connection:
    """A connection that reconnects for ever, buffers nothing and remembers what went wrong."""

    def __init__(self, options: ConnectOptions) -> None:
        """Keep the options; ``open`` connects."""
        self.options = options
        self.client: Client = FastHeadersClient()
        self.errors: list[str] = []
        self.reconnects = 0
        self._bounds: set[asyncio.Timeout] = set()
        self._up = asyncio.Event()

    async def open(self) -> None:
        """Connect.

        Raises:
            LogUnreachableError: Nobody answers, or the credentials are refused.
        """
        options = self.options
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self.client.connect(
                    servers=[options.url],
                    name=f"walstreet-{options.user}",
                    user=options.user if options.password_file else None,
                    password=_read_password(options),
                    inbox_prefix=f"_INBOX_{options.user}".encode(),
                    pending_size=0,
                    ping_interval=PING_INTERVAL_S,
                    max_outstanding_pings=PINGS_OUTSTANDING_MAX,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=RECONNECT_WAIT_S,
                    drain_timeout=DRAIN_TIMEOUT_S,  # type: ignore[arg-type]  # any number of seconds works
                    connect_timeout=int(CONNECT_TIMEOUT_S),
                    allow_reconnect=True,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_disconnected,
                    reconnected_cb=self._on_reconnected,
                    closed_cb=self._on_closed,
                )
        except (TimeoutError, OSError, nats.errors.Error) as error:
            # With endless reconnects nats-py keeps trying; a failed first connection must end it.
            with contextlib.suppress(Exception):
                await self.client.close()
            reason = self.errors[-1] if self.errors else (str(error) or type(error).__name__)
            raise LogUnreachableError(
                f"no NATS server answers {options.user!r} at {options.url} ({reason}); start it with "
                "`walstreet up`, or set log.url and log.credentials_dir to the server you run"
            ) from error
        self._up.set()

    async def close(self) -> None:
        """Drain, so that what was received is handled and what was published is flushed; then close."""
        if self.closed:
            return
        if await _ended(self.client.drain(), CLOSE_BOUND_S) and self.client.is_closed:
            return
        self._remember("drain did not end in time; closing")
        await _ended(self.client.close(), CLOSE_BOUND_S - DRAIN_TIMEOUT_S)

    @property
    def connected(self) -> bool:
        """Return whether the socket is up now."""
        return self.client.is_connected

    @property
    def closed(self) -> bool:
        """Return whether the connection is gone for good."""
        return self.client.is_closed

    async def wait_connected(self) -> None:
        """Return when the socket is up.

        Raises:
            LogUnreachableError: It stayed down for ``RECONNECT_BOUND_S``, or it is closed for good.
        """
        try:
            async with asyncio.timeout(RECONNECT_BOUND_S):
                await self._up.wait()
        except TimeoutError as error:
            raise LogUnreachableError(
                f"the NATS server at {self.options.url} stayed away for {RECONNECT_BOUND_S:.0f} s; "
                "check that it runs and has disk space"
            ) from error
        if self.closed:
            reason = self.errors[-1] if self.errors else "closed by this process"
            raise LogUnreachableError(
                f"the connection of {self.options.user!r} to {self.options.url} is closed for good ({reason}); "
                "restart the service, and check its credentials and the size of its messages"
            )

    @contextlib.asynccontextmanager
    async def bounded(self, seconds: float) -> AsyncIterator[None]:
        """Bound what awaits an answer; a lost connection ends it at once, because that answer cannot come any more.

        Raises:
            TimeoutError: The time is over, or the connection was lost. What was asked may have happened.
        """
        async with asyncio.timeout(seconds) as bound:
            self._bounds.add(bound)
            try:
                yield
            finally:
                self._bounds.discard(bound)

    async def barrier(self) -> None:
        """Return when the server has handled everything that was sent on this connection, subscriptions included.

        One ``flush`` of nats-py does not do that: its ping goes to the socket at once and overtakes what still waits
        for the flusher (5 of 60 subscriptions were not known to the server behind it). The second one cannot.

        Raises:
            LogUnreachableError: The server did not answer in time, or the connection is gone.
        """
        try:
            await self.client.flush()
            await self.client.flush()
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise LogUnreachableError(
                f"the NATS server at {self.options.url} did not say that it has handled what was sent ({error!r})"
            ) from error

    def denied(self, subject: str) -> bool:
        """Return whether the server said that this user may not publish ``subject`` (it says so out of band)."""
        text = f'permissions violation for publish to "{subject}"'.lower()
        return any(text in error.lower() for error in self.errors)

    async def api(self, subject: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask the JetStream API and return its answer.

        Raises:
            AppendRefusedError: The server answered with an error other than *not found*.
            LogUnreachableError: No answer in time, or JetStream is not available at the moment.
        """
        try:
            async with self.bounded(REQUEST_TIMEOUT_S):
                reply = await self.client.request(
                    f"$JS.API.{subject}", json.dumps(body).encode(), timeout=REQUEST_TIMEOUT_S
                )
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise LogUnreachableError(
                f"JetStream at {self.options.url} did not answer {subject!r} in {REQUEST_TIMEOUT_S:.0f} s ({error!r})"
            ) from error
        answer: dict[str, Any] = json.loads(reply.data)
        failure = answer.get("error")
        if failure and failure.get("code") == 503:
            raise LogUnreachableError(f"JetStream is not available for {subject!r}: {failure.get('description')}")
        if failure and failure.get("code") != 404:
            raise AppendRefusedError(f"JetStream refused {subject!r}: {failure.get('description')} ({failure})")
        return answer

    def _remember(self, text: str) -> None:
        self.errors.append(text)
        del self.errors[:-ERRORS_KEPT_MAX]

    async def _on_error(self, error: Exception) -> None:
        self._remember(f"{type(error).__name__}: {error}")

    async def _on_disconnected(self) -> None:
        self._up.clear()
        now = asyncio.get_running_loop().time()
        for bound in self._bounds:
            if not bound.expired():
                bound.reschedule(now)

    async def _on_reconnected(self) -> None:
        self.reconnects += 1
        self._up.set()

    async def _on_closed(self) -> None:
        # Nobody shall wait for a connection that cannot come back; ``wait_connected`` looks which of the two it is.
        self._up.set()


async def _ended(work: Coroutine[Any, Any, None], bound_s: float) -> bool:
    """Run ``work`` beside this task, which it cannot hold up, and return whether it ended well within the bound."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=bound_s)
    finally:
        task.cancel()
    return task.done() and not task.cancelled() and task.exception() is None


def _read_password(options: ConnectOptions) -> str | None:
    if not options.password_file:
        return None
    try:
        return Path(options.password_file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise LogUnreachableError(
            f"password file {options.password_file!r} of NATS user {options.user!r} cannot be read ({error}); "
            "check log.credentials_dir"
        ) from error
