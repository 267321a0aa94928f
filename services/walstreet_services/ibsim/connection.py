"""Owns one TCP connection: bytes in to frames, frames out through one first-in-first-out buffer.

Everything that is queued between two flushes leaves in one write, so that answers keep their order and a market
step costs one write per client. A client that does not read is cut off when it lags for too long.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import structlog

from walstreet_services.ibsim.wire import FrameReader, ProtocolError

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

WRITE_HIGH_WATER_BYTES = 1 << 20
WRITE_BYTES_MAX = 64 << 20
"""More than this unread by a client means that it hangs; memory is bounded by cutting it off."""
DRAIN_SECONDS_MAX = 30.0

assert WRITE_HIGH_WATER_BYTES < WRITE_BYTES_MAX


class FrameHandler(Protocol):
    """What a connection needs to know of the gateway."""

    def opened(self, connection: Connection) -> None:
        """Take note of a new connection."""

    def frame(self, connection: Connection, payload: bytes) -> None:
        """Handle one frame; answers go through ``Connection.send``."""

    def closed(self, connection: Connection) -> None:
        """Take note that the connection ended."""


class Connection(asyncio.Protocol):
    """One client's socket."""

    def __init__(self, handler: FrameHandler) -> None:
        self._handler = handler
        self._reader = FrameReader()
        self._pending: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self.peer = ""
        self._log: FilteringBoundLogger = structlog.get_logger("ibsim")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start a connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.peer = str(transport.get_extra_info("peername"))
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
        self._handler.opened(self)

    def data_received(self, data: bytes) -> None:
        """Handle every complete frame, then write all answers at once."""
        try:
            payloads = self._reader.feed(data)
        except ProtocolError as problem:
            self.refuse(str(problem))
            return
        for payload in payloads:
            if not self.open:
                return
            try:
                self._handler.frame(self, payload)
            except ProtocolError as problem:
                self.refuse(str(problem))
                return
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection; orders outlive it."""
        if exc is not None:
            self._log.info("connection_broken", peer=self.peer, reason=str(exc))
        self._transport = None
        self._pending.clear()
        self._writable.set()
        self._handler.closed(self)

    def pause_writing(self) -> None:
        """Remember that the client lags."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Remember that the client has caught up."""
        self._writable.set()

    @property
    def open(self) -> bool:
        """Return whether frames can still be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, frame: bytes) -> None:
        """Queue one frame behind all earlier ones."""
        if self.open:
            self._pending.append(frame)

    def flush(self) -> None:
        """Write everything that is queued."""
        if not self._pending or self._transport is None:
            return
        if self._transport.get_write_buffer_size() > WRITE_BYTES_MAX:
            self.refuse(f"client has left more than {WRITE_BYTES_MAX} bytes unread")
            return
        self._transport.write(b"".join(self._pending))
        self._pending.clear()

    async def drain(self) -> None:
        """Wait until the client has read enough, and cut it off when it does not."""
        if self._writable.is_set():
            return
        try:
            await asyncio.wait_for(self._writable.wait(), DRAIN_SECONDS_MAX)
        except TimeoutError:
            self.refuse(f"client has not read for {DRAIN_SECONDS_MAX:.0f} s")

    def refuse(self, reason: str) -> None:
        """Cut the connection off and say why in the log."""
        self._log.warning("connection_refused", peer=self.peer, reason=reason)
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close the connection after everything that is queued has been written."""
        self.flush()
        if self._transport is not None:
            self._transport.close()
