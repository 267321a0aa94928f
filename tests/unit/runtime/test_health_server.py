"""Owns the tests of the health endpoints."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from walstreet.runtime.errors import UsageError
from walstreet.runtime.health import HealthServer
from walstreet.runtime.metrics import ServiceMetrics

pytestmark = pytest.mark.spec("001.audit")


@pytest.fixture
def readiness() -> list[tuple[bool, str]]:
    """Give what the service says about itself; tests change it."""
    return [(False, "replaying")]


@pytest.fixture
def health(readiness: list[tuple[bool, str]]) -> Iterator[HealthServer]:
    """Give a running server with one counter."""
    metrics = ServiceMetrics("features")
    metrics.events_in.labels("features", "bar_block.v1").inc(3)
    server = HealthServer(host="127.0.0.1", port=0, registry=metrics.registry, ready=lambda: readiness[0])
    server.start()
    yield server
    server.stop()


def get(health: HealthServer, path: str) -> tuple[int, str, bytes]:
    """Return status, content type and body of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", health.port, timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.getheader("Content-Type") or "", body


def test_alive_and_ready(health: HealthServer, readiness: list[tuple[bool, str]]) -> None:
    """A process is alive from the start and ready when it says so, with the reason while it is not."""
    assert get(health, "/healthz")[0] == 200
    status, _, body = get(health, "/readyz")
    assert (status, json.loads(body)) == (503, {"ready": False, "detail": "replaying"})
    readiness[0] = (True, "live")
    assert get(health, "/readyz")[0] == 200


def test_metrics_are_served(health: HealthServer) -> None:
    """Counters appear in the Prometheus text format with their labels."""
    status, kind, body = get(health, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain")
    assert b'walstreet_events_in_total{service="features",type="bar_block.v1"} 3.0' in body


def test_unknown_paths_say_what_there_is(health: HealthServer) -> None:
    """A wrong path answers 404 and names the right ones."""
    status, _, body = get(health, "/")
    assert status == 404
    assert b"/readyz" in body


def test_a_taken_port_is_a_usage_error(health: HealthServer) -> None:
    """Two services on one port is a mistake of configuration, told with address and setting."""
    with pytest.raises(UsageError, match=rf"127\.0\.0\.1:{health.port} cannot be bound .*runtime\.health_port"):
        HealthServer(
            host="127.0.0.1", port=health.port, registry=ServiceMetrics("x").registry, ready=lambda: (True, "")
        )


def test_an_impossible_port_is_a_usage_error() -> None:
    """A number that is no port is told like a taken one."""
    with pytest.raises(UsageError, match="70000 cannot be bound"):
        HealthServer(host="127.0.0.1", port=70_000, registry=ServiceMetrics("x").registry, ready=lambda: (True, ""))


def test_a_silent_client_cannot_hold_up_the_probes(health: HealthServer) -> None:
    """A connection that never asks anything is dropped after its bound, and the probe behind it is answered."""
    with socket.create_connection(("127.0.0.1", health.port)):
        assert get(health, "/healthz")[0] == 200


def test_stopping_a_server_that_never_ran_returns() -> None:
    """A service that fails before its health server started must still end."""
    server = HealthServer(host="127.0.0.1", port=0, registry=ServiceMetrics("x").registry, ready=lambda: (True, ""))
    stopper = threading.Thread(target=server.stop, daemon=True)
    stopper.start()
    stopper.join(timeout=5)
    assert not stopper.is_alive()
