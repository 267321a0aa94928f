"""Owns which faults are in force: it starts them by time or count, ends them, and asks each part what they do.

Everything happens in session time and in one fixed order, and every random draw comes from the script's seed, so
that the same script over the same requests gives the same bytes.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from walstreet_services.ibsim.fault_base import Counted, Fault, Lasting
from walstreet_services.ibsim.fault_load import FaultError, kind_of, trigger_ns
from walstreet_services.ibsim.fault_model import StrayExecution
from walstreet_services.ibsim.units import NS_PER_SECOND

if TYPE_CHECKING:
    from walstreet_services.ibsim.clock import SessionClock
    from walstreet_services.ibsim.fault_model import AnyFault
    from walstreet_services.ibsim.journal import Journal, Value
    from walstreet_services.ibsim.model import Session

ACTIVE_MAX = 1_000
"""More faults at once than this are an accident of the script, and every message asks all of them."""
WAITING_MAX = 20_000
TIMERS_MAX = 1_000_000

FaultType = TypeVar("FaultType", bound=Fault)
Timer = Callable[[int], None]
"""Is called with the session time at which it acts."""


@dataclass(slots=True, eq=False, kw_only=True)
class Active:
    """One fault in force."""

    number: int
    fault: AnyFault
    since_ns: int
    left: int | None
    """How often it may still strike; None without limit."""
    generator: random.Random
    ended: bool = False
    indices: list[int] = field(default_factory=list)
    """The instruments that its symbols name."""


Step = Callable[[Active, int], None]


class Part(Protocol):
    """One family of faults."""

    starts: dict[type[Fault], Step]
    stops: dict[type[Fault], Step]


@dataclass(slots=True, eq=False, kw_only=True)
class _Waiting:
    """A fault that waits for a count; the base is what had been counted when it was handed in."""

    number: int
    fault: AnyFault
    base: dict[str, int]


class FaultEngine:
    """Keeps the faults; parts register what their kinds do."""

    def __init__(self, *, clock: SessionClock, session: Session, journal: Journal, seed: int) -> None:
        self._clock = clock
        self._session = session
        self._journal = journal
        self._seed = seed
        self._numbers = 0
        self._timers: list[tuple[int, int, Timer]] = []
        self._timers_count = 0
        self._waiting: list[_Waiting] = []
        self._active: dict[int, Active] = {}
        self._starts: dict[type[Fault], Step] = {}
        self._stops: dict[type[Fault], Step] = {}
        self._counts = {"orders": 0, "messages": 0, "fills": 0}
        self.resolve_symbols: Callable[[tuple[str, ...]], list[int]] = lambda _: []
        """Raises ``FaultError`` for a symbol that the market does not have."""

    # Set-up and questions

    def register(self, part: Part) -> None:
        """Take in what a family of faults does when one starts and stops."""
        assert not self._starts.keys() & part.starts.keys()
        self._starts.update(part.starts)
        self._stops.update(part.stops)

    @property
    def now_ns(self) -> int:
        """Return session time."""
        return self._clock.now_ns()

    def of(self, kind: type[FaultType]) -> list[tuple[Active, FaultType]]:
        """Return the faults of a kind that are in force, oldest first."""
        return [(item, item.fault) for item in self._active.values() if isinstance(item.fault, kind)]

    def any_of(self, *kinds: type[Fault]) -> bool:
        """Return whether a fault of one of the kinds is in force."""
        return any(isinstance(item.fault, kinds) for item in self._active.values())

    def state(self) -> list[dict[str, object]]:
        """Return the faults in force and those that wait, as builtins."""
        rows: list[dict[str, object]] = [
            {"number": item.number, "state": "in force", "left": item.left, **_plain(item.fault)}
            for item in self._active.values()
        ]
        rows += [{"number": entry.number, "state": "waits", **_plain(entry.fault)} for entry in self._waiting]
        return rows

    def counts(self) -> dict[str, int]:
        """Return how many orders, messages and fills have been counted."""
        return dict(self._counts)

    # Faults come and go

    def add(self, fault: AnyFault) -> int:
        """Take in a fault, start it if it has no trigger, and return its number.

        Counts run from here. Raises:
            FaultError: The time, a symbol, or the number of faults cannot be.
        """
        if len(self._waiting) >= WAITING_MAX or len(self._active) >= ACTIVE_MAX:
            raise FaultError(f"more than {WAITING_MAX} faults wait or {ACTIVE_MAX} are in force; clear some")
        names = _symbols(fault)
        indices = self.resolve_symbols(names)
        self._numbers += 1
        number = self._numbers
        if fault.at is not None:
            ts_ns = trigger_ns(fault.at, self._session)
            if ts_ns < self.now_ns:
                raise FaultError(f"at {fault.at!r} has passed; the session is already later, or starts later")
            self.at(ts_ns, lambda now_ns: self._start(number, fault, indices, now_ns))
        elif fault.after_orders or fault.after_messages or fault.after_fills:
            self._waiting.append(_Waiting(number=number, fault=fault, base=dict(self._counts)))
        else:
            self._start(number, fault, indices, self.now_ns)
        return number

    def clear(self, number: int) -> bool:
        """End a fault that is in force or waits for a count, and say whether there was one."""
        waiting = [entry for entry in self._waiting if entry.number != number]
        found = len(waiting) != len(self._waiting)
        self._waiting = waiting
        active = self._active.get(number)
        if active is not None:
            self.end(active, self.now_ns)
        return found or active is not None

    def _start(self, number: int, fault: AnyFault, indices: list[int], now_ns: int) -> None:
        left = fault.count if isinstance(fault, Counted) else None
        active = Active(
            number=number,
            fault=fault,
            since_ns=now_ns,
            left=left,
            generator=random.Random(f"{self._seed}/{number}"),
            indices=indices,
        )
        self._journal.write("fault_started", now_ns, fault=number, fault_kind=kind_of(fault))
        if isinstance(fault, Lasting):
            self._active[number] = active
            if fault.seconds is not None:
                self.after(fault.seconds, now_ns, lambda then_ns: self.end(active, then_ns))
        start = self._starts.get(type(fault))
        if start is not None:
            start(active, now_ns)

    def end(self, active: Active, now_ns: int) -> None:
        """End a fault, once."""
        if active.ended:
            return
        active.ended = True
        self._active.pop(active.number, None)
        self._journal.write("fault_ended", now_ns, fault=active.number, fault_kind=kind_of(active.fault))
        stop = self._stops.get(type(active.fault))
        if stop is not None:
            stop(active, now_ns)

    def strike(self, active: Active, now_ns: int, **facts: Value) -> None:
        """Count one use of a fault and write it down; the last one ends it."""
        self._journal.write("fault_struck", now_ns, fault=active.number, fault_kind=kind_of(active.fault), **facts)
        if active.left is not None:
            active.left -= 1
            if active.left <= 0:
                self.end(active, now_ns)

    def note(self, kind: str, now_ns: int, **facts: Value) -> None:
        """Write a record of the ground truth."""
        self._journal.write(kind, now_ns, **facts)

    # Time and counts

    def at(self, ts_ns: int, timer: Timer) -> None:
        """Call ``timer`` when session time has come to ``ts_ns``; equal times keep their order."""
        assert len(self._timers) < TIMERS_MAX, "faults have set too many timers"
        self._timers_count += 1
        heapq.heappush(self._timers, (ts_ns, self._timers_count, timer))

    def after(self, seconds: float, now_ns: int, timer: Timer) -> None:
        """Call ``timer`` after some seconds of session time."""
        self.at(now_ns + round(seconds * NS_PER_SECOND), timer)

    def advance(self, now_ns: int) -> None:
        """Call every timer that is due at ``now_ns``, each with its own time unless that has passed unseen."""
        seen_ns = self.now_ns
        while self._timers and self._timers[0][0] <= now_ns:
            ts_ns, _, timer = heapq.heappop(self._timers)
            timer(max(ts_ns, min(seen_ns, now_ns)))

    def count(self, what: str) -> None:
        """Count an order, message or fill, and start the faults that wait for it."""
        self._counts[what] += 1
        due = [entry for entry in self._waiting if self._due(entry)]
        if due:
            self._waiting = [entry for entry in self._waiting if entry not in due]
        for entry in due:
            self._start(entry.number, entry.fault, self.resolve_symbols(_symbols(entry.fault)), self.now_ns)

    def _due(self, entry: _Waiting) -> bool:
        fault = entry.fault
        wanted = {"orders": fault.after_orders, "messages": fault.after_messages, "fills": fault.after_fills}
        return any(
            number is not None and self._counts[what] - entry.base[what] >= number for what, number in wanted.items()
        )


def _symbols(fault: AnyFault) -> tuple[str, ...]:
    """Return the symbols that a fault names and that must exist."""
    if isinstance(fault, StrayExecution):
        return ()
    names: tuple[str, ...] = getattr(fault, "symbols", ())
    symbol: str | None = getattr(fault, "symbol", None)
    return names if symbol is None else (symbol,)


def _plain(fault: AnyFault) -> dict[str, object]:
    plain: dict[str, object] = msgspec.to_builtins(fault)
    return {name: value for name, value in plain.items() if value is not None}
