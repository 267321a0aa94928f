"""Owns the wiring of faults into one gateway: every hook that the gateway calls, in one place."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from walstreet_services.ibsim import requests as rq
from walstreet_services.ibsim.fault_account import FaultAccount
from walstreet_services.ibsim.fault_answers import FaultAnswers, PacingJudge, id_of
from walstreet_services.ibsim.fault_engine import FaultEngine
from walstreet_services.ibsim.fault_links import FaultLinks
from walstreet_services.ibsim.fault_load import FaultError
from walstreet_services.ibsim.fault_model import FaultScript, HoldClientId
from walstreet_services.ibsim.fault_orders import FaultOrders
from walstreet_services.ibsim.fault_prices import FaultPrices
from walstreet_services.ibsim.fault_wire import FaultWire
from walstreet_services.ibsim.parse import parse, request_id
from walstreet_services.ibsim.wire import FieldError

if TYPE_CHECKING:
    from collections.abc import Callable

    from walstreet_services.ibsim.connection import Connection
    from walstreet_services.ibsim.fault_model import AnyFault
    from walstreet_services.ibsim.faulty_market import FaultyMarket, FaultyMatching
    from walstreet_services.ibsim.gateway import Gateway
    from walstreet_services.ibsim.journal import Journal
    from walstreet_services.ibsim.order_record import Order
    from walstreet_services.ibsim.sessions import ClientSession
    from walstreet_services.ibsim.tape import Change

QUERIES = (rq.RequestOpenOrders, rq.RequestCompletedOrders, rq.RequestExecutions, rq.RequestPositions)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultOptions:
    """What makes a gateway one in which things go wrong."""

    script: FaultScript = field(default_factory=FaultScript)
    wall_ns: Callable[[], int] = time.monotonic_ns
    """Only pacing on the wall clock asks it."""


def _cancel_of(order: Order) -> rq.CancelOrder:
    return rq.CancelOrder(order_id=order.order_id)


class Faults:
    """All faults of one gateway."""

    def __init__(
        self,
        gateway: Gateway,
        market: FaultyMarket,
        matching: FaultyMatching,
        journal: Journal,
        options: FaultOptions,
    ) -> None:
        self._gateway = gateway
        self._market = market
        engine = FaultEngine(clock=gateway.clock, session=market.session, journal=journal, seed=options.script.seed)
        engine.resolve_symbols = self._indices
        self.engine = engine
        self._wire = FaultWire(gateway, engine)
        self._links = FaultLinks(gateway, engine, self._wire)
        self._answers = FaultAnswers(gateway, engine)
        self._pacing = PacingJudge(engine, options.wall_ns)
        self._orders = FaultOrders(gateway, engine, self.note_lost)
        self._prices = FaultPrices(gateway, engine, market, self._orders)
        self._account = FaultAccount(gateway, engine)
        for part in (self._wire, self._links, self._answers, self._orders, self._prices, self._account):
            engine.register(part)
        matching.rules.append(self._orders)
        gateway.desk.fills.watch(lambda: engine.count("fills"))
        for number, fault in enumerate(options.script.faults):
            try:
                engine.add(fault)
            except FaultError as problem:
                raise FaultError(f"faults[{number}]: {problem}") from problem

    def _indices(self, symbols: tuple[str, ...]) -> list[int]:
        known = {item.symbol: index for index, item in enumerate(self._market.instruments)}
        for symbol in symbols:
            if symbol not in known:
                raise FaultError(f"symbol {symbol!r} is not played; known are {', '.join(known)}")
        return [known[symbol] for symbol in symbols]

    def inject(self, fault: AnyFault) -> int:
        """Take in a fault at run time and return its number.

        Raises:
            FaultError: The fault cannot be.
        """
        number = self.engine.add(fault)
        self._gateway.announce_trades()
        self.end_batch()
        self._gateway.flush()
        return number

    def clear(self, number: int) -> bool:
        """End a fault and say whether there was one."""
        found = self.engine.clear(number)
        self._gateway.announce_trades()
        self.end_batch()
        self._gateway.flush()
        return found

    # Connections

    def opened(self, connection: Connection) -> bool:
        """Say whether a new connection may stay."""
        self.engine.advance(self.engine.now_ns)
        return self._links.opened(connection)

    def closed(self, connection: Connection, session: ClientSession | None) -> None:
        """Forget a connection."""
        for payload in self._links.closed(connection):
            self._lost_frame(session, payload, "hang")
        self._pacing.forget(connection)

    def holds_id(self, client_id: int) -> bool:
        """Say whether a client id is kept by a leaked session."""
        return self.engine.any_of(HoldClientId) and self._links.holds_id(client_id)

    def send(self, session: ClientSession, data: bytes) -> bool:
        """Send a session's frames as the faults let it."""
        return self._wire.send(session, data)

    # Requests

    def frame(self, connection: Connection, session: ClientSession | None, payload: bytes) -> None:
        """Handle one frame, now, later or never."""
        self.engine.advance(self.engine.now_ns)
        why = self._links.stalls(connection, payload)
        if why:
            if why != "stalled":
                self._lost_frame(session, payload, why)
        elif session is not None and session.client_id is not None and not self._pacing.message(session):
            self._lost_frame(session, payload, "pacing")
        else:
            started = session is not None and session.client_id is not None
            self._gateway.handle(connection, payload)
            self._wire.answering = False
            if started:
                self.engine.count("messages")
        self.end_batch()

    def _lost_frame(self, session: ClientSession | None, payload: bytes, why: str) -> None:
        if session is None:
            return  # A handshake line orders nothing.
        client_id = -1 if session.client_id is None else session.client_id
        try:
            request = parse(payload, session.server_version)
        except FieldError:
            self.engine.note("request_lost", self.engine.now_ns, client_id=client_id, request="malformed", why=why)
            return
        self.note_lost(client_id, request, why)

    def note_lost(self, client_id: int, request: rq.Request, why: str) -> None:
        """Write down a request that never reached the order book."""
        now_ns = self.engine.now_ns
        if isinstance(request, rq.PlaceOrder) and not request.ticket.what_if:
            ticket = request.ticket
            self.engine.note(
                "place_lost",
                now_ns,
                client_id=client_id,
                order_id=request.order_id,
                symbol=request.contract.symbol,
                con_id=request.contract.con_id,
                action=ticket.action,
                quantity=str(ticket.quantity),
                order_type=ticket.order_type,
                limit_price=str(ticket.limit_price),
                order_ref=ticket.order_ref,
                why=why,
            )
        elif isinstance(request, rq.CancelOrder):
            self.engine.note("cancel_lost", now_ns, client_id=client_id, order_id=request.order_id, why=why)
        else:
            name = type(request).__name__
            self.engine.note("request_lost", now_ns, client_id=client_id, request=name, id=id_of(request), why=why)

    def request(self, session: ClientSession, request: rq.Request) -> bool:
        """Handle a request of a started client if a fault wants that, and say whether one did."""
        assert session.client_id is not None
        why = self._links.loses(request)
        if why:
            self.note_lost(session.client_id, request, why)
            return True
        if isinstance(request, rq.RequestHistoricalBars) and not self._pacing.historical(session, request):
            return True
        if self._answers.handle(session, request, self.engine.now_ns):
            return True
        self._wire.answering = isinstance(request, QUERIES)
        return self._order_request(session.client_id, request, self.engine.now_ns)

    def _order_request(self, client_id: int, request: rq.Request, now_ns: int) -> bool:
        if isinstance(request, rq.PlaceOrder) and not request.ticket.what_if:
            if not self._orders.place(client_id, request, now_ns):
                self._gateway.desk.place(client_id, request, now_ns)
            self.engine.count("orders")
            return True
        if isinstance(request, rq.CancelOrder):
            return self._orders.cancel(client_id, request, now_ns)
        if isinstance(request, rq.GlobalCancel):
            desk = self._gateway.faulty_desk
            spared = [o for o in desk.live() if self._orders.cancel(o.client_id, _cancel_of(o), now_ns)]
            desk.cancel_all_but(spared, now_ns)
            return True
        return False

    def malformed(self, session: ClientSession, payload: bytes, problem: str) -> None:
        """Write down a request that could not be read; it may have been meant as an order."""
        message_id = payload.split(b"\0", 1)[0].decode("utf-8", "replace")[:20]
        client_id = -1 if session.client_id is None else session.client_id
        now_ns = self.engine.now_ns
        self.engine.note(
            "request_malformed", now_ns, client_id=client_id, message_id=message_id, id=request_id(payload), why=problem
        )

    # Time

    def before_step(self, number: int, ts_ns: int) -> None:
        """Start and end what is due before a step is looked at; a fault holds for the steps that end after it."""
        self.engine.advance(ts_ns - 1)
        self._prices.before_step(number, ts_ns)
        self._account.before_step(ts_ns)

    def on_clock(self, now_ns: int) -> None:
        """Start and end what is due."""
        self.engine.advance(now_ns)
        self.end_batch()

    def end_batch(self) -> None:
        """Send what a fault of the order of messages has gathered."""
        self._wire.end_batch()

    # Market

    def halted_text(self, index: int) -> str:
        """Return tick 49 of an instrument."""
        return self._prices.halted_text(index)

    def shortable(self, index: int) -> list[Change] | None:
        """Return ticks 46 and 89 of an instrument, None without a fault."""
        return self._prices.shortable(index)
