"""Owns the control socket: JSON lines in, JSON lines out, on a Unix path or on loopback only.

Requests: ``{"command": "inject", "fault": {"kind": ...}}``, ``{"command": "clear", "number": 3}`` and
``{"command": "status"}``. Every answer has ``ok``; a refusal has ``error`` with path and remedy.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from walstreet_services.ibsim.fault_load import FaultError, convert
from walstreet_services.ibsim.fault_model import AnyFault

if TYPE_CHECKING:
    from walstreet_services.ibsim.faults import Faults

LINE_BYTES_MAX = 1 << 16
CONNECTIONS_MAX = 8
UNIX_PATH_BYTES_MAX = 100
"""Kernels refuse socket paths of 108 bytes and more."""


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="command", tag=False):
    """A request to the control socket."""


class Inject(Command, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="command", tag="inject"):
    """Takes in a fault; counts in its trigger run from now."""

    fault: AnyFault


class Clear(Command, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="command", tag="clear"):
    """Ends a fault."""

    number: int


class Status(Command, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="command", tag="status"):
    """Asks what is in force and what waits."""


ANY_COMMAND = cast("type[Inject | Clear | Status]", Inject | Clear | Status)


class FaultControl:
    """Serves the faults of one gateway."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._path: Path | None = None

    async def listen(self, address: str) -> str:
        """Open ``HOST:PORT`` (0: any free port) or a Unix path, and return where it listens.

        Raises:
            FaultError: The address is not local, or cannot be.
            OSError: It cannot be opened.
        """
        host, separator, port = address.rpartition(":")
        if separator and "/" not in address:
            if not _loopback(host) or not port.isdigit() or int(port) > 65_535:
                raise FaultError(
                    f"{host!r} with port {port!r} is not on loopback; write 127.0.0.1:PORT or a socket's path"
                )
            self._server = await asyncio.start_server(self._serve, host, int(port), limit=LINE_BYTES_MAX)
            return f"{host}:{self._server.sockets[0].getsockname()[1]}"
        if len(address.encode()) > UNIX_PATH_BYTES_MAX:
            raise FaultError(f"the path is longer than {UNIX_PATH_BYTES_MAX} bytes")
        self._server = await asyncio.start_unix_server(self._serve, address, limit=LINE_BYTES_MAX)
        self._path = Path(address)
        self._path.chmod(0o600)
        return address

    async def close(self) -> None:
        """Close the socket and its connections."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            if len(self._writers) > CONNECTIONS_MAX:
                return
            while line := await reader.readline():
                writer.write(msgspec.json.encode(self.answer(line)) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError, asyncio.CancelledError):
            # A peer that is gone, or a line beyond the limit, ends this connection and nothing else.
            return
        finally:
            self._writers.remove(writer)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def answer(self, line: bytes) -> dict[str, object]:
        """Carry out one line and return the answer."""
        faults = self._faults
        try:
            command = convert(msgspec.json.decode(line), ANY_COMMAND, "control")
            if isinstance(command, Inject):
                return {"ok": True, "number": faults.inject(command.fault)}
            if isinstance(command, Clear):
                if faults.clear(command.number):
                    return {"ok": True}
                return {"ok": False, "error": f"no fault {command.number} is in force or waits; ask for status"}
        except (msgspec.DecodeError, FaultError) as problem:
            return {"ok": False, "error": str(problem)}
        return {
            "ok": True,
            "now_ns": faults.engine.now_ns,
            "counts": faults.engine.counts(),
            "faults": faults.engine.state(),
        }


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
