"""Owns what faults do to messages on their way to a client: lost, doubled, late, held back, reordered, rewritten."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from walstreet_services.ibsim import replies, streams, wire
from walstreet_services.ibsim.fault_base import MESSAGE_IDS, WireFault
from walstreet_services.ibsim.fault_model import (
    CompetingSession,
    Delay,
    DelayedData,
    Duplicate,
    Farm,
    Hold,
    Lose,
    Outage,
    Reorder,
    StaleStatus,
    TimeText,
)
from walstreet_services.ibsim.sessions import DELAYED, LIVE
from walstreet_services.ibsim.tape import DELAYED_BY_LIVE
from walstreet_services.ibsim.times import utc_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from walstreet_services.ibsim.connection import Connection
    from walstreet_services.ibsim.fault_base import Fault
    from walstreet_services.ibsim.fault_engine import Active, FaultEngine, Step, Timer
    from walstreet_services.ibsim.gateway import Gateway
    from walstreet_services.ibsim.sessions import ClientSession

_LENGTH = struct.Struct(">I")
QUOTES = frozenset({1, 2, 45, 46, 50, 99})
HISTORY = frozenset({17, 88, 90, 106})
REPORTS = frozenset({3, 5, 11, 59, 101})
ORDER_ID_PLACES = {3: 1, 5: 1, 11: 2, 4: 3}
EXECUTION_TIME_PLACE = 15
QUOTE_TYPE_PLACES = {1: 3, 2: 3, 45: 3, 46: 3}
QUOTE_REQUEST_PLACE = 2
HELD_FRAMES_MAX = 200_000
"""What a fault keeps back; beyond it a script would eat the memory."""
STATUS, ERROR, EXECUTION, MARKET_DATA_TYPE = 3, 4, 11, 58


@dataclass(slots=True, eq=False, kw_only=True)
class _Held:
    """A frame that a fault keeps."""

    session: ClientSession
    frame: bytes
    order_id: str
    until: int
    active: Active


@dataclass(slots=True, eq=False)
class _Message:
    """One frame with its fields, decoded once."""

    frame: bytes
    fields: list[str] = field(init=False)
    message_id: int = field(init=False)

    def __post_init__(self) -> None:
        self.fields = self.frame[_LENGTH.size :].decode().split("\0")
        self.message_id = int(self.fields[0])

    @property
    def order_id(self) -> str:
        """Return the order's or request's id, empty when the message has none."""
        place = ORDER_ID_PLACES.get(self.message_id)
        return "" if place is None else self.fields[place]


def frames_of(data: bytes) -> list[bytes]:
    """Return the single frames of some whole ones."""
    found: list[bytes] = []
    position = 0
    while position < len(data):
        (length,) = _LENGTH.unpack_from(data, position)
        end = position + _LENGTH.size + length
        found.append(data[position:end])
        position = end
    return found


class FaultWire:
    """Stands between a client's session and its connection."""

    def __init__(self, gateway: Gateway, engine: FaultEngine) -> None:
        self._gateway = gateway
        self._engine = engine
        self._held: list[_Held] = []
        self._batch: list[tuple[ClientSession, bytes, Active]] = []
        self._statuses: dict[tuple[int, str], bytes] = {}
        """Per client and order, the last status that was sent; the desk bounds the orders of a session."""
        self._stalled: list[tuple[ClientSession, bytes]] = []
        self.mutes: Callable[[Connection], bool] = lambda _: False
        """Whether a hang keeps everything from a connection; the faults of connections know."""
        self.answering = False
        """While a query is answered, neither outage nor delay takes its rows: half an answer would be a lie."""
        self.starts: dict[type[Fault], Step] = {DelayedData: self._start_delayed}
        self.stops: dict[type[Fault], Step] = {
            Hold: self._release_all,
            Reorder: lambda _active, _now_ns: self.end_batch(),
            DelayedData: self._stop_delayed,
        }

    def send(self, session: ClientSession, data: bytes) -> bool:
        """Send a session's frames as the faults in force let it, and say whether any is on its way."""
        if self.mutes(session.connection):
            self._stalled.append((session, data))
            assert len(self._stalled) < HELD_FRAMES_MAX, "a hang lasts longer than the memory for its messages"
            return True
        if not self._engine.any_of(WireFault, Outage, Farm, CompetingSession, StaleStatus, TimeText, DelayedData):
            session.connection.send(data)
            return True
        sent = False
        for frame in frames_of(data):
            sent = self._one(session, _Message(frame)) or sent
        return sent

    def release_stalled(self) -> None:
        """Send what a hang has kept."""
        stalled, self._stalled = self._stalled, []
        for session, data in stalled:
            self.send(session, data)

    def _release(self, session: ClientSession, frame: bytes) -> None:
        """Send a frame that was kept, unless a hang keeps it further."""
        if self.mutes(session.connection):
            self._stalled.append((session, frame))
        else:
            session.connection.send(frame)

    def _sender(self, session: ClientSession, frame: bytes) -> Timer:
        return lambda _now_ns: self._release(session, frame)

    # One message

    def _one(self, session: ClientSession, message: _Message) -> bool:
        if self._blacked_out(message.message_id):
            self._note_lost(session, message, "outage")
            return False
        message = self._rewritten(session, message)
        for active, fault in self._engine.of(WireFault):
            if not self._fits(session, message, active, fault):
                continue
            if isinstance(fault, Lose):
                self._strike(session, message, active)
                self._note_lost(session, message, "lose")
                return False
            if isinstance(fault, Duplicate):
                self._strike(session, message, active)
                for _ in range(fault.copies - 1):
                    session.connection.send(message.frame)
            elif isinstance(fault, Delay):
                if self.answering:
                    continue
                self._strike(session, message, active)
                self._engine.after(fault.delay_seconds, self._engine.now_ns, self._sender(session, message.frame))
                return True
            elif isinstance(fault, Hold):
                self._hold(session, message, active, MESSAGE_IDS[fault.until])
                return True
            else:
                self._batch.append((session, message.frame, active))
                return True
        session.connection.send(message.frame)
        self._after(session, message)
        return True

    def _fits(self, session: ClientSession, message: _Message, active: Active, fault: WireFault) -> bool:
        fits = (
            message.message_id in {MESSAGE_IDS[name] for name in fault.messages}
            and fault.client_id in {None, session.client_id}
            and (fault.order_id is None or message.order_id == str(fault.order_id))
            and (fault.status is None or (message.message_id == STATUS and message.fields[2] == fault.status))
        )
        return fits and (fault.probability_ppm >= 1_000_000 or active.generator.random() * 1e6 < fault.probability_ppm)

    def _strike(self, session: ClientSession, message: _Message, active: Active) -> None:
        self._engine.strike(
            active,
            self._engine.now_ns,
            client_id=session.client_id,
            message_id=message.message_id,
            id=message.order_id,
        )

    def _note_lost(self, session: ClientSession, message: _Message, why: str) -> None:
        if message.message_id in REPORTS or message.message_id == ERROR:
            self._engine.note(
                "message_lost",
                self._engine.now_ns,
                client_id=session.client_id,
                message_id=message.message_id,
                id=message.order_id or message.fields[2],
                why=why,
            )

    def _blacked_out(self, message_id: int) -> bool:
        for _, outage in self._engine.of(Outage):
            reported = message_id in REPORTS and outage.reports == "lost" and not self.answering
            if reported or message_id in QUOTES | HISTORY:
                return True
        if message_id in QUOTES and self._engine.any_of(CompetingSession):
            return True
        for _, farm in self._engine.of(Farm):
            stopped = QUOTES if farm.code in {2103, 2108, 2110} else HISTORY
            if farm.data == "stops" and farm.code != 2157 and message_id in stopped:
                return True
        return False

    # Holding back and reordering

    def _hold(self, session: ClientSession, message: _Message, active: Active, until: int) -> None:
        assert len(self._held) < HELD_FRAMES_MAX, "a hold keeps more messages than the memory for them"
        self._held.append(
            _Held(session=session, frame=message.frame, order_id=message.order_id, until=until, active=active)
        )

    def _after(self, session: ClientSession, message: _Message) -> None:
        """Release what waited for this message, then the state that goes backwards."""
        due = [
            item
            for item in self._held
            if item.session is session and item.until == message.message_id and item.order_id == message.order_id
        ]
        if due:
            self._held = [item for item in self._held if item not in due]
        for item in due:
            self._release(session, item.frame)
        for active in dict.fromkeys(item.active for item in due):
            self._engine.strike(active, self._engine.now_ns, client_id=session.client_id, id=message.order_id)
        if message.message_id == STATUS:
            key = (session.client_id or 0, message.order_id)
            before = self._statuses.get(key)
            self._statuses[key] = message.frame
            for active, _ in self._engine.of(StaleStatus)[:1]:
                if before is not None and before != message.frame:
                    session.connection.send(before)
                    self._strike(session, message, active)

    def _release_all(self, active: Active, _now_ns: int) -> None:
        due = [item for item in self._held if item.active is active]
        self._held = [item for item in self._held if item.active is not active]
        for item in due:
            self._release(item.session, item.frame)

    def end_batch(self) -> None:
        """Send what one request or step has caused, in the order that a fault gives it."""
        batch, self._batch = self._batch, []
        actives = list(dict.fromkeys(active for _, _, active in batch))
        for active in actives:
            frames = [(session, frame) for session, frame, owner in batch if owner is active]
            fault = active.fault
            if isinstance(fault, Reorder) and fault.order == "shuffle":
                active.generator.shuffle(frames)
            else:
                frames.reverse()
            for session, frame in frames:
                self._release(session, frame)
            if len(frames) > 1 and not active.ended:
                self._engine.strike(active, self._engine.now_ns, messages=len(frames))

    # Rewriting

    def _rewritten(self, session: ClientSession, message: _Message) -> _Message:
        forms = self._engine.of(TimeText)
        if message.message_id == EXECUTION and forms:
            fields = list(message.fields)
            fields[EXECUTION_TIME_PLACE] = self._time_text(fields, forms[-1][1].form)
            return _Message(wire.frame_raw("\0".join(fields).encode()))
        place = QUOTE_TYPE_PLACES.get(message.message_id)
        if place is not None and self._delayed(session, message.fields[QUOTE_REQUEST_PLACE]):
            fields = list(message.fields)
            kind = int(fields[place])
            fields[place] = str(DELAYED_BY_LIVE.get(kind, kind))
            return _Message(wire.frame_raw("\0".join(fields).encode()))
        return message

    def _time_text(self, fields: list[str], form: str) -> str:
        found = [item for item in self._gateway.desk.fills.all() if item.execution_id == fields[14]]
        if not found or form == "no_zone":
            return fields[EXECUTION_TIME_PLACE].rpartition(" ")[0]
        text = utc_text(found[0].ts_ns)
        return text.replace("-", " ") if form == "utc_no_zone" else f"{text.replace('-', ' ')} UTC"

    def _delayed(self, session: ClientSession, req_id: str) -> bool:
        faults = self._engine.of(DelayedData)
        stream = session.quotes.get(int(req_id)) if faults else None
        return stream is not None and any(
            not fault.symbols or stream.index in active.indices for active, fault in faults
        )

    def _start_delayed(self, active: Active, _now_ns: int) -> None:
        self._tell_type(active, DELAYED)

    def _stop_delayed(self, active: Active, _now_ns: int) -> None:
        self._tell_type(active, LIVE)
        self.repeat_images()

    def _tell_type(self, active: Active, data_type: int) -> None:
        fault = active.fault
        assert isinstance(fault, DelayedData)
        for session in self._gateway.sessions():
            for req_id, stream in session.quotes.items():
                if fault.announce and (not fault.symbols or stream.index in active.indices):
                    session.send(replies.market_data_type(req_id, data_type))

    def repeat_images(self) -> None:
        """Send every quote subscription the present image: changes that were lost do not come again."""
        for session in self._gateway.sessions():
            for stream in session.quotes.values():
                tape = self._gateway.delayed if stream.delayed else self._gateway.live
                if tape is not None:
                    session.send(streams.quote_frames(stream.head, tape.image_changes(stream.index)))
