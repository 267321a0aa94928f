"""Owns the faults of answers: errors and silence instead of them, previews without values, limits and pacing."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from walstreet_services.ibsim import requests as rq
from walstreet_services.ibsim.fault_base import RequestName
from walstreet_services.ibsim.fault_model import AnswerError, CompetingSession, LineLimit, NoAnswer, Pacing, WhatIf
from walstreet_services.ibsim.fault_texts import text_of
from walstreet_services.ibsim.units import NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

    from walstreet_services.ibsim.connection import Connection
    from walstreet_services.ibsim.fault_base import Fault
    from walstreet_services.ibsim.fault_engine import FaultEngine, Step
    from walstreet_services.ibsim.gateway import Gateway
    from walstreet_services.ibsim.sessions import ClientSession

NAMES: dict[type[rq.Request], RequestName] = {
    rq.RequestMarketData: "market_data",
    rq.RequestHistoricalBars: "historical",
    rq.RequestHeadTimestamp: "head_timestamp",
    rq.RequestRealTimeBars: "real_time_bars",
    rq.RequestTickByTick: "tick_by_tick",
    rq.RequestContractDetails: "contract_details",
    rq.RequestMatchingSymbols: "matching_symbols",
    rq.RequestOpenOrders: "open_orders",
    rq.RequestCompletedOrders: "completed_orders",
    rq.RequestExecutions: "executions",
    rq.RequestIds: "ids",
    rq.RequestManagedAccounts: "accounts",
    rq.RequestCurrentTime: "current_time",
    rq.RequestAccountUpdates: "account_updates",
    rq.RequestAccountUpdatesMulti: "account_updates",
    rq.RequestAccountSummary: "account_summary",
    rq.RequestPositions: "positions",
    rq.RequestPositionsMulti: "positions",
    rq.RequestPnl: "profit_and_loss",
}
HISTORICAL_KEPT_MAX = 10_000
"""Requests that pacing remembers per connection; a longer window than this holds is judged by these."""


def name_of(request: rq.Request) -> RequestName | None:
    """Return how scripts name a request; placements and cancels have faults of their own."""
    if isinstance(request, rq.PlaceOrder):
        return "what_if" if request.ticket.what_if else None
    return NAMES.get(type(request))


def id_of(request: rq.Request) -> int:
    """Return the id by which the client finds an answer to a request."""
    if isinstance(request, rq.IdRequest):
        return request.req_id
    return request.order_id if isinstance(request, rq.PlaceOrder) else -1


class FaultAnswers:
    """Answers requests badly."""

    def __init__(self, gateway: Gateway, engine: FaultEngine) -> None:
        self._gateway = gateway
        self._engine = engine
        self.starts: dict[type[Fault], Step] = {}
        self.stops: dict[type[Fault], Step] = {}

    def handle(self, session: ClientSession, request: rq.Request, now_ns: int) -> bool:
        """Answer a request, or swallow it, if a fault wants that, and say whether one did."""
        name = name_of(request)
        if name is None:
            return False
        for active, silence in self._engine.of(NoAnswer):
            if silence.request == name:
                self._engine.strike(active, now_ns, request=name, id=id_of(request))
                return True
        for active, fault in self._engine.of(AnswerError):
            if fault.request == name:
                self._engine.strike(active, now_ns, request=name, id=id_of(request))
                session.error(id_of(request), fault.code, text_of(fault.code, fault.text))
                return True
        if isinstance(request, rq.PlaceOrder):
            return self._what_if(session, request, now_ns)
        if isinstance(request, rq.RequestMarketData):
            return self._market_data(session, request)
        return False

    def _what_if(self, session: ClientSession, request: rq.PlaceOrder, now_ns: int) -> bool:
        for active, fault in self._engine.of(WhatIf):
            assert session.client_id is not None
            self._engine.strike(active, now_ns, request="what_if", id=request.order_id)
            if fault.answer != "never":
                self._gateway.faulty_desk.preview_as(session.client_id, request, now_ns, zeros=fault.answer == "zeros")
            return True
        return False

    def _market_data(self, session: ClientSession, request: rq.RequestMarketData) -> bool:
        limits = [fault.lines for _, fault in self._engine.of(LineLimit)]
        if limits and len(session.quotes) >= min(limits):
            session.error(request.req_id, 101, text_of(101))
            return True
        if self._engine.any_of(CompetingSession):
            session.error(request.req_id, 10197, text_of(10197))
        # The subscription stands: data come once the other session is over.
        return False


@dataclass(frozen=True, slots=True)
class _Asked:
    """One historical request."""

    ts_ns: int
    contract: tuple[object, ...]
    whole: tuple[object, ...]
    weight: int


def _within(past: deque[_Asked], seconds: float, now_ns: int) -> list[_Asked]:
    return [item for item in past if item.ts_ns > now_ns - round(seconds * 1e9)]


@dataclass(slots=True)
class _Record:
    """What pacing remembers of one connection."""

    messages_ns: deque[int] = field(default_factory=deque)
    strikes: int = 0
    historical: deque[_Asked] = field(default_factory=deque)
    historical_strikes: int = 0


class PacingJudge:
    """Counts messages and historical requests against the limits in force, per connection."""

    def __init__(self, engine: FaultEngine, wall_ns: Callable[[], int]) -> None:
        self._engine = engine
        self._wall_ns = wall_ns
        self._records: dict[Connection, _Record] = {}

    def forget(self, connection: Connection) -> None:
        """Forget a connection that ended."""
        self._records.pop(connection, None)

    def message(self, session: ClientSession) -> bool:
        """Count one message and say whether it may be handled; too many excesses close the socket."""
        for active, fault in self._engine.of(Pacing)[:1]:
            record = self._records.setdefault(session.connection, _Record())
            now_ns = self._wall_ns() if fault.clock == "wall" else self._engine.now_ns
            recent = record.messages_ns
            while recent and recent[0] <= now_ns - NS_PER_SECOND:
                recent.popleft()
            recent.append(now_ns)
            if len(recent) <= fault.messages_per_second:
                return True
            # The window starts anew: one burst is one excess.
            recent.clear()
            record.strikes += 1
            text = f"{text_of(100)}: max={fault.messages_per_second} rec={fault.messages_per_second + 1} (1)"
            session.error(-1, 100, text)
            self._engine.strike(active, self._engine.now_ns, client_id=session.client_id, strikes=record.strikes)
            if record.strikes >= fault.strikes:
                session.connection.close()
                return False
            return fault.excess == "handled"
        return True

    def historical(self, session: ClientSession, request: rq.RequestHistoricalBars) -> bool:
        """Count one historical request and say whether it may be answered; else it is refused with 162."""
        for active, fault in self._engine.of(Pacing)[:1]:
            record = self._records.setdefault(session.connection, _Record())
            now_ns = self._wall_ns() if fault.clock == "wall" else self._engine.now_ns
            contract = (request.contract.con_id, request.contract.symbol, request.contract.exchange, request.what)
            whole = (*contract, request.end, request.duration, request.bar_size)
            past = record.historical
            horizon_s = max(fault.historical_window_seconds, fault.identical_seconds, fault.contract_seconds)
            while past and (past[0].ts_ns <= now_ns - round(horizon_s * 1e9) or len(past) >= HISTORICAL_KEPT_MAX):
                past.popleft()
            identical = any(item.whole == whole for item in _within(past, fault.identical_seconds, now_ns))
            same = sum(item.contract == contract for item in _within(past, fault.contract_seconds, now_ns))
            weight = sum(item.weight for item in _within(past, fault.historical_window_seconds, now_ns))
            # Requests for both sides of the quote count twice.
            past.append(_Asked(now_ns, contract, whole, 2 if request.what == "BID_ASK" else 1))
            if not identical and same + 1 < fault.contract_count and weight < fault.historical_count:
                return True
            record.historical_strikes += 1
            session.error(request.req_id, 162, text_of(162))
            self._engine.strike(
                active, self._engine.now_ns, client_id=session.client_id, historical=record.historical_strikes
            )
            if fault.historical_strikes is not None and record.historical_strikes >= fault.historical_strikes:
                session.connection.close()
            return False
        return True
