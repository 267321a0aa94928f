"""Owns the faults of connections: drops, resets, hangs, outages, broken farms, competing sessions and notices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from walstreet_services.ibsim.fault_model import (
    CompetingSession,
    Disconnect,
    Farm,
    Hang,
    HoldClientId,
    NightlyReset,
    Notice,
    Outage,
    RefuseConnections,
)
from walstreet_services.ibsim.fault_texts import FARM_OK, text_of
from walstreet_services.ibsim.requests import (
    CancelOrder,
    GlobalCancel,
    PlaceOrder,
    RequestCurrentTime,
    RequestHeadTimestamp,
    RequestHistoricalBars,
    RequestIds,
    RequestManagedAccounts,
)

if TYPE_CHECKING:
    from walstreet_services.ibsim.connection import Connection
    from walstreet_services.ibsim.fault_base import Fault
    from walstreet_services.ibsim.fault_engine import Active, FaultEngine, Step
    from walstreet_services.ibsim.fault_wire import FaultWire
    from walstreet_services.ibsim.gateway import Gateway
    from walstreet_services.ibsim.requests import Request

STALLED_REQUESTS_MAX = 10_000
HISTORY_CODES = (2105, 2107)
LOCAL_REQUESTS = (RequestCurrentTime, RequestIds, RequestManagedAccounts)
"""What the gateway itself knows, without the broker's servers."""


class FaultLinks:
    """Says which connections and requests get through."""

    def __init__(self, gateway: Gateway, engine: FaultEngine, wire: FaultWire) -> None:
        self._gateway = gateway
        self._engine = engine
        self._wire = wire
        self._down_until_ns = 0
        self._dying_until_ns = 0
        self._mute: dict[Connection, int] = {}
        """Connections that opened during a hang of new ones, with the number of that fault."""
        self._stalled: list[tuple[Connection, bytes]] = []
        self.starts: dict[type[Fault], Step] = {
            Disconnect: self._disconnect,
            NightlyReset: self._reset,
            Outage: self._start_outage,
            Farm: self._start_farm,
            CompetingSession: self._start_competing,
            Notice: self._notice,
        }
        wire.mutes = self.mutes
        self.stops: dict[type[Fault], Step] = {
            Hang: self._stop_hang,
            Outage: self._stop_outage,
            Farm: self._stop_farm,
            CompetingSession: lambda _active, _now_ns: self._wire.repeat_images(),
        }

    # Questions

    def opened(self, connection: Connection) -> bool:
        """Take note of a new connection and say whether it may stay."""
        for active, fault in self._engine.of(Hang):
            if fault.scope == "new":
                self._mute[connection] = active.number
        return not self._engine.any_of(RefuseConnections) and self._engine.now_ns >= self._down_until_ns

    def closed(self, connection: Connection) -> list[bytes]:
        """Forget a connection and return its requests that a hang has kept, which die with it."""
        self._mute.pop(connection, None)
        dead = [payload for owner, payload in self._stalled if owner is connection]
        self._stalled = [item for item in self._stalled if item[0] is not connection]
        return dead

    def mutes(self, connection: Connection) -> bool:
        """Return whether a hang keeps everything from a connection."""
        return any(
            fault.scope == "all" or self._mute.get(connection) == active.number
            for active, fault in self._engine.of(Hang)
        )

    def holds_id(self, client_id: int) -> bool:
        """Return whether a leaked session keeps a client id."""
        return any(fault.client_id in {None, client_id} for _, fault in self._engine.of(HoldClientId))

    def stalls(self, connection: Connection, payload: bytes) -> str:
        """Return why a frame is not handled now, empty when it is; a hang may handle it later."""
        if self._engine.now_ns < self._dying_until_ns:
            return "dying socket"
        for active, fault in self._engine.of(Hang):
            if fault.scope == "new" and self._mute.get(connection) != active.number:
                continue
            if fault.requests == "lost":
                return "hang"
            assert len(self._stalled) < STALLED_REQUESTS_MAX, "a hang lasts longer than the memory for its requests"
            self._stalled.append((connection, payload))
            return "stalled"
        return ""

    def loses(self, request: Request) -> str:
        """Return why a request gets no answer, empty when it does."""
        orders = isinstance(request, (PlaceOrder, CancelOrder, GlobalCancel))
        for _, outage in self._engine.of(Outage):
            if orders and outage.placements == "lost":
                return "outage"
            if not orders and outage.requests == "lost" and not isinstance(request, LOCAL_REQUESTS):
                return "outage"
        if isinstance(request, (RequestHistoricalBars, RequestHeadTimestamp)):
            stopped = [farm for _, farm in self._engine.of(Farm) if farm.data == "stops" and farm.code in HISTORY_CODES]
            return "farm" if stopped else ""
        return ""

    # Starts and stops

    def _disconnect(self, active: Active, _now_ns: int) -> None:
        fault = active.fault
        assert isinstance(fault, Disconnect)
        for session in self._gateway.sessions():
            if fault.client_id in {None, session.client_id}:
                if fault.abort:
                    session.connection.refuse("fault: connection reset")
                else:
                    session.connection.close()

    def _reset(self, active: Active, now_ns: int) -> None:
        fault = active.fault
        assert isinstance(fault, NightlyReset)
        if fault.dying_seconds:
            self._dying_until_ns = now_ns + round(fault.dying_seconds * 1e9)
            self._engine.after(fault.dying_seconds, now_ns, lambda then_ns: self._drop_all(fault, then_ns))
        else:
            self._drop_all(fault, now_ns)

    def _drop_all(self, fault: NightlyReset, now_ns: int) -> None:
        self._down_until_ns = now_ns + round(fault.down_seconds * 1e9)
        for connection in self._gateway.connections():
            connection.close()
        if fault.forget_ended:
            self._gateway.faulty_desk.forget_ended()
        if fault.next_valid_id is not None:
            self._gateway.faulty_desk.roll_back_ids(fault.next_valid_id)
        self._engine.note("nightly_reset", now_ns, next_valid_id=fault.next_valid_id)

    def _stop_hang(self, active: Active, _now_ns: int) -> None:
        if self._engine.any_of(Hang):
            return
        self._mute = {connection: number for connection, number in self._mute.items() if number != active.number}
        self._wire.release_stalled()
        stalled, self._stalled = self._stalled, []
        for connection, payload in stalled:
            if connection.open:
                self._gateway.frame(connection, payload)
            else:
                # Its requests are written down as lost when the gateway hears of the end.
                self._stalled.append((connection, payload))

    def _say(self, code: int, text: str = "", *, request_id: int = -1, client_id: int | None = None) -> None:
        for session in self._gateway.sessions():
            if client_id in {None, session.client_id}:
                session.error(request_id, code, text_of(code, text))

    def _start_outage(self, active: Active, _now_ns: int) -> None:
        fault = active.fault
        assert isinstance(fault, Outage)
        for _ in range(fault.notices):
            self._say(1100)

    def _stop_outage(self, active: Active, _now_ns: int) -> None:
        fault = active.fault
        assert isinstance(fault, Outage)
        if fault.end_code is not None:
            self._say(fault.end_code)
        if fault.subscriptions == "lost":
            for session in self._gateway.sessions():
                session.drop_streams()
        else:
            self._wire.repeat_images()

    def _start_farm(self, active: Active, now_ns: int) -> None:
        fault = active.fault
        assert isinstance(fault, Farm)
        self._say(fault.code)
        if fault.ok_after_seconds is not None:
            self._engine.after(fault.ok_after_seconds, now_ns, lambda _: self._claim_ok(active, fault))

    def _claim_ok(self, active: Active, fault: Farm) -> None:
        if not active.ended:
            self._say(FARM_OK[fault.code])

    def _stop_farm(self, active: Active, _now_ns: int) -> None:
        fault = active.fault
        assert isinstance(fault, Farm)
        if fault.ok_after_seconds is None:
            self._say(FARM_OK[fault.code])
        self._wire.repeat_images()

    def _start_competing(self, _active: Active, _now_ns: int) -> None:
        for session in self._gateway.sessions():
            for req_id in session.quotes:
                session.error(req_id, 10197, text_of(10197))

    def _notice(self, active: Active, _now_ns: int) -> None:
        fault = active.fault
        assert isinstance(fault, Notice)
        self._say(fault.code, fault.text, request_id=fault.request_id, client_id=fault.client_id)
