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
from walstreet_services.ibsim.faults import FaultOptions, Faults
from walstreet_services.ibsim.faulty_desk import FaultyDesk
from walstreet_services.ibsim.faulty_market import FaultyMarket, FaultyMatching
from walstreet_services.ibsim.history import History
from walstreet_services.ibsim.order_reports import EVERYBODY
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
    from walstreet_services.ibsim.tape import Change

SERVER_VERSION_MIN, SERVER_VERSION_MAX = 157, 176
CLIENTS_MAX = 32
DELAY_NS = 15 * 60 * 1_000_000_000
"""Delayed quotes are fifteen minutes old."""
SHORTABLE_EASILY = "3.0"
SHORTABLE_PART_BPS = 100
"""Share of the outstanding shares that is reported as available for lending."""
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
        faults: FaultOptions | None = None,
    ) -> None:
        """Build all parts; ``faults`` makes a gateway in which things can go wrong.

        Raises:
            FaultError: The script names a symbol or a time that cannot be.
        """
        faulty_market, faulty_matching = FaultyMarket(market), None
        if faults is not None:
            market = faulty_market
            matching = faulty_matching = FaultyMatching(matching, faulty_market)
        self.market = market
        self.clock = clock
        self.options = options
        self._journal = journal
        self._log: FilteringBoundLogger = structlog.get_logger("ibsim")
        self._connections: dict[Connection, ClientSession | None] = {}
        self._clients: dict[int, ClientSession] = {}
        self._traded: list[int] = []
        self._after_trades: Callable[[], None] | None = None
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
        self.desk = (OrderDesk if faults is None else FaultyDesk)(
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
        self.faults: Faults | None = None
        if faults is not None:
            assert faulty_matching is not None
            self.faults = Faults(self, faulty_market, faulty_matching, journal, faults)

    # Connections

    def opened(self, connection: Connection) -> None:
        """Take note of a new connection; too many are cut off."""
        if len(self._connections) >= CLIENTS_MAX:
            connection.refuse(f"more than {CLIENTS_MAX} connections")
            return
        if self.faults is not None and not self.faults.opened(connection):
            connection.refuse("fault: no connections now")
            return
        self._connections[connection] = None

    def closed(self, connection: Connection) -> None:
        """Forget a connection and its subscriptions; its orders live on."""
        session = self._connections.pop(connection, None)
        if self.faults is not None:
            self.faults.closed(connection, session)
        if session is not None and session.client_id is not None and self._clients.get(session.client_id) is session:
            del self._clients[session.client_id]
            self._log.info("client_disconnected", client_id=session.client_id, peer=connection.peer)

    def frame(self, connection: Connection, payload: bytes) -> None:
        """Handle one frame, unless a fault decides otherwise."""
        if self.faults is None:
            self.handle(connection, payload)
        else:
            self.faults.frame(connection, self._connections.get(connection), payload)

    def handle(self, connection: Connection, payload: bytes) -> None:
        """Handle the handshake line, startApi, or a request."""
        session = self._connections.get(connection)
        if session is None:
            self._greet(connection, payload)
            return
        try:
            request = parse(payload, session.server_version)
        except wire.FieldError as problem:
            self._log.warning("request_malformed", peer=connection.peer, problem=str(problem))
            if self.faults is not None:
                self.faults.malformed(session, payload, str(problem))
            session.error(request_id(payload), 320, f"Error reading request: {problem}")
            return
        if isinstance(request, StartApi):
            self._start(session, request.client_id)
        elif session.client_id is None:
            connection.refuse("a request came before startApi")
        else:
            if self.faults is None or not self.faults.request(session, request):
                self._answers.answer(session, request)
            self.announce_trades()

    def _greet(self, connection: Connection, payload: bytes) -> None:
        lowest, highest = wire.client_versions(payload)
        if highest < SERVER_VERSION_MIN or lowest > SERVER_VERSION_MAX:
            connection.refuse(f"client speaks {lowest}..{highest}, not {SERVER_VERSION_MIN}..{SERVER_VERSION_MAX}")
            return
        version = min(SERVER_VERSION_MAX, highest)
        faulty = None if self.faults is None else self.faults.send
        self._connections[connection] = ClientSession(connection=connection, server_version=version, faulty=faulty)
        # Nothing else may follow before startApi: one client drops what shares this read.
        connection.send(wire.frame(version, handshake_text(self.clock.now_ns())))

    def _start(self, session: ClientSession, client_id: int) -> None:
        if session.client_id is not None:
            return
        held = self.faults is not None and self.faults.holds_id(client_id)
        if client_id in self._clients or client_id < 0 or held:
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
        """Queue a frame for a client, or for everybody, and say whether one is connected."""
        if client_id == EVERYBODY:
            return sum(session.send(encode(session.server_version)) for session in self.sessions()) > 0
        session = self._clients.get(client_id)
        if session is None or not session.connection.open:
            return False
        return session.send(encode(session.server_version))

    def sessions(self) -> list[ClientSession]:
        """Return the sessions of the started clients, in the order of their start."""
        return [session for session in self._clients.values() if session.connection.open]

    # Market

    def before_step(self, number: int, ts_ns: int) -> None:
        """Let faults act before a step is looked at."""
        if self.faults is not None:
            self.faults.before_step(number, ts_ns)
            self.announce_trades()

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
        if self.faults is not None:
            self.faults.end_batch()

    def on_clock(self) -> None:
        """Let time alone act: expiries after the close, late commissions, stale account values."""
        now_ns = self.clock.now_ns()
        if self.faults is not None:
            self.faults.on_clock(now_ns)
        self.desk.on_clock(now_ns)
        self.announce_trades()
        for session in self._clients.values():
            self.feed.on_clock(session, now_ns)
        if self.faults is not None:
            self.faults.end_batch()

    def announce_trades(self) -> None:
        """Tell the account's subscribers about trades since the last call."""
        if not self._traded:
            return
        if self._after_trades is not None:
            self._after_trades()
        now_ns = self.clock.now_ns()
        for session in self._clients.values():
            self.feed.after_trades(session, self._traded, now_ns)
        self._traded.clear()

    def watch_trades(self, after_trades: Callable[[], None]) -> None:
        """Call back when holdings or cash have changed, before any client is told."""
        self._after_trades = after_trades

    def traded(self, index: int) -> None:
        """Remember that a holding has changed, for the next announcement."""
        self._traded.append(index)

    def refresh_account(self) -> None:
        """Tell the account's subscribers its values."""
        for session in self._clients.values():
            self.feed.after_trades(session, [], self.clock.now_ns())

    def halted_text(self, index: int) -> str:
        """Return tick 49 of an instrument: not halted, unless a fault says so."""
        return "0.0" if self.faults is None else self.faults.halted_text(index)

    def shortable(self, index: int) -> list[Change]:
        """Return ticks 46 and 89 of an instrument; a market says zero for what it does not know."""
        changed = None if self.faults is None else self.faults.shortable(index)
        if changed is not None:
            return changed
        outstanding = self.market.instruments[index].shares_outstanding
        if not outstanding:
            return []
        lendable = outstanding * SHORTABLE_PART_BPS // 10_000
        return [
            (b"45\x006\x00", f"46\0{SHORTABLE_EASILY}\0".encode()),
            (b"2\x006\x00", f"89\0{lendable}\0".encode()),
        ]

    @property
    def faulty_desk(self) -> FaultyDesk:
        """Return the desk with the levers of faults."""
        assert isinstance(self.desk, FaultyDesk), "only faults pull levers"
        return self.desk

    def connections(self) -> list[Connection]:
        """Return the open connections."""
        return [connection for connection in self._connections if connection.open]

    def flush(self) -> None:
        """Write everything that is queued."""
        for connection in self.connections():
            connection.flush()

    def close(self) -> None:
        """Close every connection and the journal."""
        if self.faults is not None:
            for open_connection, session in self._connections.items():
                self.faults.closed(open_connection, session)
        for connection in self.connections():
            connection.close()
        self._journal.close()
