"""Owns what the gateway remembers of one connected client: version, id, subscriptions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from walstreet_services.ibsim import replies

if TYPE_CHECKING:
    from walstreet_services.ibsim.bars import BarBuilder
    from walstreet_services.ibsim.connection import Connection
    from walstreet_services.ibsim.model import Bar

MARKET_DATA_LINES_MAX = 100
STREAMS_MAX = 500
"""Bars, ticks and results of one client together; real gateways allow fewer."""
LIVE, FROZEN, DELAYED, DELAYED_FROZEN = 1, 2, 3, 4
FaultySend = Callable[["ClientSession", bytes], bool]
"""Sends, changes or swallows a client's frames and says whether any is on its way."""


@dataclass(slots=True, kw_only=True)
class QuoteStream:
    """One subscription of quotes; ``head`` is the request id as it stands in each message."""

    index: int
    head: bytes
    delayed: bool
    real_time_volume: bool
    shortable: bool = False


@dataclass(slots=True, kw_only=True)
class BarStream:
    """One subscription of growing bars: of five seconds, or kept up to date."""

    index: int
    builder: BarBuilder
    what: str
    real_time: bool
    format_date: int
    bar_seconds: int
    latest: Bar | None = None


@dataclass(slots=True, kw_only=True)
class TickStream:
    """One subscription of every trade (1, 2), every quote (3) or midpoint (4)."""

    index: int
    kind: int
    shown: tuple[int, ...] = ()


@dataclass(slots=True, kw_only=True)
class PnlStream:
    """One subscription of results; ``index`` None means the account."""

    index: int | None
    shown: tuple[int, ...] = ()


@dataclass(slots=True, kw_only=True)
class ClientSession:
    """One connection after its handshake line; ``client_id`` is None until startApi."""

    connection: Connection
    server_version: int
    client_id: int | None = None
    market_data_type: int = LIVE
    quotes: dict[int, QuoteStream] = field(default_factory=dict)
    bars: dict[int, BarStream] = field(default_factory=dict)
    ticks: dict[int, TickStream] = field(default_factory=dict)
    results: dict[int, PnlStream] = field(default_factory=dict)
    account_updates: bool = False
    account_multi: set[int] = field(default_factory=set)
    summaries: dict[int, tuple[str, ...]] = field(default_factory=dict)
    positions: bool = False
    positions_multi: set[int] = field(default_factory=set)
    account_shown_ns: int = 0
    faulty: FaultySend | None = None
    """Where faults are possible, it decides what becomes of each frame."""

    def send(self, frame: bytes) -> bool:
        """Queue one frame, or more in one, and say whether they are on their way."""
        if self.faulty is not None:
            return self.faulty(self, frame)
        self.connection.send(frame)
        return True

    def error(self, req_id: int, code: int, text: str) -> None:
        """Queue an error."""
        self.send(replies.error(self.server_version, req_id, code, text))

    @property
    def streams_count(self) -> int:
        """Return how many streams besides quotes this client has."""
        return len(self.bars) + len(self.ticks) + len(self.results)

    def drop_streams(self) -> None:
        """End every quote, bar, tick and result stream, without a word."""
        for streams in (self.quotes, self.bars, self.ticks, self.results):
            streams.clear()

    def drop_stream(self, req_id: int) -> bool:
        """End the quote, bar, tick or result stream of an id and say whether there was one."""
        ended = (
            self.quotes.pop(req_id, None),
            self.bars.pop(req_id, None),
            self.ticks.pop(req_id, None),
            self.results.pop(req_id, None),
        )
        return any(stream is not None for stream in ended)
