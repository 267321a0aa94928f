"""Owns the choice of a port for a server of our own that clients reconnect to."""

from __future__ import annotations

import random
import socket
from pathlib import Path

LOWEST = 10_000
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
EPHEMERAL_FLOOR = 32_768
"""Where Linux starts to number outgoing connections, unless the machine says otherwise."""
ATTEMPTS_MAX = 200

_random = random.SystemRandom()


def ephemeral_floor() -> int:
    """Return the lowest port that this machine gives to outgoing connections."""
    try:
        return int(EPHEMERAL_RANGE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return EPHEMERAL_FLOOR


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port of ``host`` that nobody listens on and that no outgoing connection will take.

    The system's own choice (port 0) lies among the ports of outgoing connections: one of those can take it between
    the choice and the server's bind, and a client that reconnects while its server is down can even be connected
    to itself there, which keeps the server from ever coming back.

    Raises:
        OSError: No port was free in ``ATTEMPTS_MAX`` attempts.
    """
    below = ephemeral_floor()
    candidates = range(LOWEST, below if below > LOWEST + ATTEMPTS_MAX else EPHEMERAL_FLOOR)
    for port in _random.sample(candidates, ATTEMPTS_MAX):
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        return port
    raise OSError(f"no free port on {host} among {ATTEMPTS_MAX} tried from {candidates.start} to {candidates.stop}")
