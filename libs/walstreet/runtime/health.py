"""Owns the health endpoints of a service: ``/healthz`` (alive), ``/readyz`` (replayed, connected), ``/metrics``."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from walstreet.runtime.errors import UsageError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


REQUEST_TIMEOUT_S = 2.0
POLL_S = 0.1


class _QuietHandler(WSGIRequestHandler):
    timeout = REQUEST_TIMEOUT_S  # A client that connects and says nothing would hold up every probe after it.

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Keep scrapes out of the logs."""


class HealthServer:
    """Serves health in a thread of its own, so that it answers even when the loop is busy."""

    def __init__(
        self, *, host: str, port: int, registry: CollectorRegistry, ready: Callable[[], tuple[bool, str]]
    ) -> None:
        """Bind; port 0 takes any free one.

        Raises:
            UsageError: The port is in use.
        """
        self._registry = registry
        self._ready = ready
        try:
            self._server: WSGIServer = make_server(host, port, self._answer, handler_class=_QuietHandler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(
                f"health port {host}:{port} cannot be bound ({reason}); set runtime.health_port"
            ) from error
        self.port = int(self._server.server_port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": POLL_S}, name="health", daemon=True
        )

    def start(self) -> None:
        """Start serving."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and release the port."""
        # ``shutdown`` waits for a loop that must have begun, for ever if it never did.
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(timeout=REQUEST_TIMEOUT_S)
        self._server.server_close()

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            start_response("200 OK", [("Content-Type", CONTENT_TYPE_LATEST)])
            return [generate_latest(self._registry)]
        if path == "/healthz":
            start_response("200 OK", [("Content-Type", "application/json")])
            return [b'{"status":"alive"}\n']
        if path == "/readyz":
            ready, detail = self._ready()
            status = "200 OK" if ready else "503 Service Unavailable"
            start_response(status, [("Content-Type", "application/json")])
            return [json.dumps({"ready": ready, "detail": detail}).encode() + b"\n"]
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"walstreet serves /healthz, /readyz and /metrics\n"]
