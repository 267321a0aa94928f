"""Owns the import of the client library and everything in which the two libraries differ.

``ib_insync`` and ``ib_async`` both install a package named ``eventkit``, each overwriting the other's files, so
exactly one of them may be installed, and only the configured one is ever imported.

What is used of a library is small on purpose: its socket client (handshake, framing, serialisation of
requests) and its decoding of the three long messages (contractDetails, openOrder, completedOrder). Its ``IB``
and ``Wrapper`` classes are not used: they keep ``Trade`` objects whose status the library itself changes (to
``Cancelled`` on error codes that leave an order alive, to ``ValidationError`` on warnings), turn unset numbers
into 0.0 and leave requests unanswered after some errors. As that state never exists here, nothing that the
library makes up can reach us, and both libraries behave alike. A connection is one fresh client object.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from walstreet.adapters.ibkr.errors import LibraryMissingError
from walstreet.adapters.ibkr.options import LibraryName

FRAME_BYTES_MAX = 1 << 24
"""No message of the broker comes near 16 MiB; a longer length means that the framing is lost."""
SERVER_VERSION_MIN = 157
VERSIONS: dict[str, str] = {"ib_insync": "0.9.86", "ib_async": "2.1.0"}
"""The versions whose client and decoder this adapter was checked against; it relies on their inner names."""
_HEADER_BYTES = 4

_log = logging.getLogger(__name__)
Handler = Callable[[list[str]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """The parts of a client library that the adapter uses; vendors ship no types, hence ``Any``."""

    name: str
    version: str
    client: Any
    contract: Any
    order: Any
    execution_filter: Any
    library_decodes: tuple[tuple[int, str], ...] = ((5, "openOrder"), (10, "contractDetails"), (101, "completedOrder"))
    """Message ids that the library's decoder keeps, with the decoder's method."""


def load(name: LibraryName) -> Library:
    """Import the client library ``name``.

    Raises:
        LibraryMissingError: It is not installed, or in another version; the text names the remedy.
    """
    package: Any
    try:
        # Only the configured library may be imported, because the other one's eventkit may lie in its place.
        if name == "ib_insync":
            import ib_insync  # noqa: PLC0415

            package = ib_insync
        else:
            import ib_async  # noqa: PLC0415

            package = ib_async
    except ImportError as error:
        extra = name.replace("_", "-")
        raise LibraryMissingError(
            f"the configured broker library {name} cannot be imported ({error}); install walstreet[{extra}] in an "
            "environment of its own: ib_insync and ib_async overwrite each other's eventkit package"
        ) from error
    version = str(package.__version__)
    if version != VERSIONS[name]:
        raise LibraryMissingError(
            f"{name} {version} is installed, this adapter was checked against {VERSIONS[name]}; install that version"
        )
    return Library(
        name=name,
        version=version,
        client=package.client.Client,
        contract=package.Contract,
        order=package.Order,
        execution_filter=package.ExecutionFilter,
    )


def new_client(library: Library, wrapper: object, handlers: dict[int, Handler]) -> Any:
    """Return a fresh, unconnected client whose messages go to ``handlers`` as raw text fields.

    Args:
        library: The imported library.
        wrapper: Takes the connection callbacks and the decoded long messages.
        handlers: Message id to handler; ids that are neither here nor decoded by the library are ignored.
    """
    client = _client_class(library.client)(wrapper)
    decoder = client.decoder
    table: dict[int, Handler] = dict.fromkeys(decoder.handlers, _ignore)
    for message_id, method in library.library_decodes:
        table[message_id] = getattr(decoder, method)
    table.update(handlers)
    decoder.handlers = table
    client.raw_handlers = {str(message_id): handler for message_id, handler in table.items()}
    return client


def _ignore(fields: list[str]) -> None:
    """Drop a message that nobody asked for."""


def _client_class(base: Any) -> Any:
    """Return the library's client with its throttle off and a reader that costs linear time."""

    class WireClient(base):  # type: ignore[misc]  # the vendor's class has no types
        """The library's socket client; once the session is up, frames go straight to our handlers."""

        # Zero switches the library's first-in-first-out throttle off: ``RateGovernor`` is the only one.
        MaxRequests = 0
        MinClientVersion = SERVER_VERSION_MIN
        raw_handlers: dict[str, Handler]
        _data: bytes

        def _onSocketHasData(self, data: bytes) -> None:  # noqa: N802 - the vendor's name
            if not self._apiReady:
                super()._onSocketHasData(data)
                return
            # The library cuts each frame off the front of the buffer, which copies the rest every time.
            buffer = self._data + data if self._data else data
            end = len(buffer)
            start = 0
            handlers = self.raw_handlers
            while end - start > _HEADER_BYTES:
                length = int.from_bytes(buffer[start : start + _HEADER_BYTES], "big")
                stop = start + _HEADER_BYTES + length
                if stop > end:
                    if length > FRAME_BYTES_MAX:
                        self.wrapper.damaged(f"frame of {length} bytes announced, allowed {FRAME_BYTES_MAX}")
                        return
                    break
                fields = buffer[start + _HEADER_BYTES : stop].decode(errors="backslashreplace").split("\0")
                fields.pop()
                start = stop
                try:
                    handlers.get(fields[0], _ignore)(fields)
                except Exception as error:  # noqa: BLE001 - one bad message must not end the stream
                    self.wrapper.malformed(fields, error)
            if self._apiReady:
                self._data = buffer[start:]

    return WireClient
