"""Owns the simulated gateway: who is connected, which request goes where, and what one market step causes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from walstreet_services.ibsim import replies, streams, wire
from walstreet_services.ibsim.account import Account, CommissionModel, MarginModel
from walstreet_services.ibsim.account_feed import AccountFeed
from walstreet_services.ibsim.answers import Answers
from walstreet_services.ibsim.contracts import ContractBook
from walstreet_services.ibsim.desk import DeskOptions, OrderDesk
from walstreet_services.ibsim.history import History
from walstreet_services.ibsim.parse import NO_REQUEST_ID, parse, request_id
from walstreet_services.ibsim.requests import StartApi
from walstreet_services.ibsim.sessions import ClientSession
from walstreet_services.ibsim.tape import Tape
from walstreet_services.ibsim.times import handshake_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from walstreet_services.ibsim.clock import SessionClock
    from walstreet_services.ibsim.connection import Connection
    from walstreet_services.ibsim.journal import Journal
    from walstreet_services.ibsim.model import Market, MarketStep, MatchingEngine
    from walstreet_services.ibsim.order_reports import Encode

SERVER_VERSION_MIN, SERVER_VERSION_MAX = 157, 176
CLIENTS_MAX = 32
DELAY_NS = 15 * 60 * 1_000_000_000
"""Delayed quotes are fifteen minutes old."""
FARM_NOTICES = (
    (2104, "Market data farm connection is OK:usfarm"),
    (2106, "HMDS data farm connection is OK:ushmds"),
    (2158, "Sec-def data farm connection is OK:secdefil"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOptions:
    """Parameters of the simulated account and gateway."""

    account: str = "DU000001"
    cash_nano: int = 1_000_000 * 1_000_000_000
    live_permission: bool = True
    """Without it, quotes need data type 3 and are delayed."""
    desk: DeskOptions = field(default_factory=DeskOptions)
    commission: CommissionModel = field(default_factory=CommissionModel)
    margin: MarginModel = field(default_factory=MarginModel)


class Gateway:
    """The state of the simulator behind all connections; single-threaded."""

    def __init__(
        self,
        market: Market,
        matching: MatchingEngine,
        clock: SessionClock,
        journal: Journal,
        options: GatewayOptions,
        *,
        on_first_subscription: Callable[[], None],
    ) -> None:
        self.market = market
        self.clock = clock
        self.options = options
        self._journal = journal
        self._log: FilteringBoundLogger = structlog.get_logger("ibsim")
        self._connections: dict[Connection, ClientSession | None] = {}
        self._clients: dict[int, ClientSession] = {}
        self._traded: list[int] = []
        self.live = Tape(market.instruments)
        self.delayed = None if options.live_permission else Tape(market.instruments, delayed=True)
        images = self.live.images
        self.account = Account(
            name=options.account,
            cash_nano=options.cash_nano,
            mark=lambda index: images[index].mark_nano,
            commission=options.commission,
            margin=options.margin,
        )
        self.book = ContractBook(market.instruments, [market.session])
        self.desk = OrderDesk(
            book=self.book,
            account=self.account,
            matching=matching,
            session=market.session,
            journal=journal,
            options=options.desk,
            send=self.send_to,
            on_trade=self._traded.append,
        )
        self.feed = AccountFeed(self.account, self.book)
        self.history = History(market)
        self._answers = Answers(self, on_first_subscription)

    # Connections

    def opened(self, connection: Connection) -> None:
        """Take note of a new connection; too many are cut off."""
        if len(self._connections) >= CLIENTS_MAX:
            connection.refuse(f"more than {CLIENTS_MAX} connections")
            return
        self._connections[connection] = None

    def closed(self, connection: Connection) -> None:
        """Forget a connection and its subscriptions; its orders live on."""
        session = self._connections.pop(connection, None)
        if session is not None and session.client_id is not None and self._clients.get(session.client_id) is session:
            del self._clients[session.client_id]
            self._log.info("client_disconnected", client_id=session.client_id, peer=connection.peer)

    def frame(self, connection: Connection, payload: bytes) -> None:
        """Handle the handshake line, startApi, or a request."""
        session = self._connections.get(connection)
        if session is None:
            self._greet(connection, payload)
            return
        try:
            request = parse(payload, session.server_version)
        except wire.FieldError as problem:
            self._log.warning("request_malformed", peer=connection.peer, problem=str(problem))
            session.error(request_id(payload), 320, f"Error reading request: {problem}")
            return
        if isinstance(request, StartApi):
            self._start(session, request.client_id)
        elif session.client_id is None:
            connection.refuse("a request came before startApi")
        else:
            self._answers.answer(session, request)
            self.announce_trades()

    def _greet(self, connection: Connection, payload: bytes) -> None:
        lowest, highest = wire.client_versions(payload)
        if highest < SERVER_VERSION_MIN or lowest > SERVER_VERSION_MAX:
            connection.refuse(f"client speaks {lowest}..{highest}, not {SERVER_VERSION_MIN}..{SERVER_VERSION_MAX}")
            return
        version = min(SERVER_VERSION_MAX, highest)
        self._connections[connection] = ClientSession(connection=connection, server_version=version)
        # Nothing else may follow before startApi: one client drops what shares this read.
        connection.send(wire.frame(version, handshake_text(self.clock.now_ns())))

    def _start(self, session: ClientSession, client_id: int) -> None:
        if session.client_id is not None:
            return
        if client_id in self._clients or client_id < 0:
            text = "Unable to connect as the client id is already in use. Retry with a unique client id."
            session.error(NO_REQUEST_ID, 326, text)
            self._log.warning("client_id_in_use", client_id=client_id, peer=session.connection.peer)
            session.connection.close()
            return
        session.client_id = client_id
        self._clients[client_id] = session
        session.send(replies.managed_accounts(self.options.account))
        session.send(replies.next_valid_id(self.desk.next_id(client_id)))
        for code, text in FARM_NOTICES:
            session.error(NO_REQUEST_ID, code, text)
        self._log.info("client_connected", client_id=client_id, version=session.server_version)

    def send_to(self, client_id: int, encode: Encode) -> bool:
        """Queue a frame for a client and say whether it is connected."""
        session = self._clients.get(client_id)
        if session is None or not session.connection.open:
            return False
        session.send(encode(session.server_version))
        return True

    # Market

    def on_step(self, step: MarketStep, late: MarketStep | None) -> None:
        """Play one step: quotes are taken in, orders meet it, then everybody is told; nothing is flushed."""
        self.live.on_step(step)
        if self.delayed is not None and late is not None:
            self.delayed.on_step(late)
        self.desk.on_step(step)
        self.announce_trades()
        for session in self._clients.values():
            delayed = self.delayed if late is not None else None
            streams.on_step(session, step, self.live, delayed, self.account)
            self.feed.on_clock(session, step.ts_ns)

    def on_clock(self) -> None:
        """Let time alone act: expiries after the close, late commissions, stale account values."""
        now_ns = self.clock.now_ns()
        self.desk.on_clock(now_ns)
        self.announce_trades()
        for session in self._clients.values():
            self.feed.on_clock(session, now_ns)

    def announce_trades(self) -> None:
        """Tell the account's subscribers about trades since the last call."""
        if not self._traded:
            return
        now_ns = self.clock.now_ns()
        for session in self._clients.values():
            self.feed.after_trades(session, self._traded, now_ns)
        self._traded.clear()

    def connections(self) -> list[Connection]:
        """Return the open connections."""
        return [connection for connection in self._connections if connection.open]

    def flush(self) -> None:
        """Write everything that is queued."""
        for connection in self.connections():
            connection.flush()

    def close(self) -> None:
        """Close every connection and the journal."""
        for connection in self.connections():
            connection.close()
        self._journal.close()
