"""Ports of our own servers lie where no outgoing connection can take them."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from walstreet.adapters import free_ports
from walstreet.adapters.free_ports import EPHEMERAL_FLOOR, LOWEST, ephemeral_floor, free_port


def test_a_port_is_free_and_below_the_ephemeral_range() -> None:
    """Whatever the draw, the port can be bound and no outgoing connection is given it."""
    for _ in range(50):
        port = free_port()
        assert LOWEST <= port < ephemeral_floor()
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))


@pytest.mark.parametrize("text", ["", "many ports", "none"])
def test_a_machine_that_does_not_say_gets_the_usual_range(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreadable or odd answer means Linux's default."""
    path = tmp_path / "range"
    if text != "none":
        path.write_text(text, encoding="ascii")
    monkeypatch.setattr(free_ports, "EPHEMERAL_RANGE", path)
    assert ephemeral_floor() == EPHEMERAL_FLOOR


def test_a_machine_with_a_low_range_still_gets_a_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where outgoing connections start below our range, any free port has to do."""
    path = tmp_path / "range"
    path.write_text("1024\t65535\n", encoding="ascii")
    monkeypatch.setattr(free_ports, "EPHEMERAL_RANGE", path)
    assert LOWEST <= free_port() < EPHEMERAL_FLOOR


def test_no_free_port_is_said() -> None:
    """An address that is not this machine's has none."""
    with pytest.raises(OSError, match=r"no free port on 192\.0\.2\.1"):
        free_port("192.0.2.1")
