#!/usr/bin/env -S python3 -IS
"""Owns the containers' health probe: exit 0 when an address answers well, 1 when it does not.

`probe.py http://127.0.0.1:8080/readyz` asks for status 200; `probe.py tcp://127.0.0.1:4002` asks for a connection.
It runs isolated and without site packages (-IS): eight containers probe every few seconds, which must cost nothing.
"""

import socket
import sys
from urllib.parse import urlsplit

TIMEOUT_S = 2.0
REPLY_BYTES_MAX = 64


def probe(address: str) -> bool:
    """Return whether the address answers well.

    Raises:
        OSError: Nobody answers in time.
    """
    url = urlsplit(address)
    with socket.create_connection((url.hostname, url.port), timeout=TIMEOUT_S) as link:
        if url.scheme == "tcp":
            return True
        link.sendall(f"GET {url.path} HTTP/1.0\r\nHost: {url.hostname}\r\n\r\n".encode())
        return link.recv(REPLY_BYTES_MAX).split(b" ")[1:2] == [b"200"]


if __name__ == "__main__":
    try:
        sys.exit(0 if probe(sys.argv[1]) else 1)
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
