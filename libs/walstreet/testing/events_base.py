"""Owns the fixed session of the event factories and the small events that many tests need."""

from __future__ import annotations

import msgspec

from walstreet_events import (
    ROOT,
    ClockTick,
    EventId,
    OperatorCommand,
    SessionRef,
    derive_id,
    tag_of,
)

SESSION_DATE = "2026-11-20"
OPEN_NS = 1_795_185_000_000_000_000
"""2026-11-20 09:30 in New York."""
CLOSE_NS = OPEN_NS + 390 * 60 * 1_000_000_000
BAR_NS = 60 * 1_000_000_000
SYMBOLS = ("AAA", "BBB")


def event_id(kind: type[msgspec.Struct], index: int = 0) -> EventId:
    """Return the fixed id of an example."""
    return derive_id("example", tag_of(kind), index)


def clock_tick(ts_ns: int = OPEN_NS) -> ClockTick:
    """Return a clock tick at ``ts_ns``."""
    tick_id = derive_id(f"tick:{SESSION_DATE}:{ts_ns}", tag_of(ClockTick), 0)
    return ClockTick(id=tick_id, cause=ROOT, ts_ns=ts_ns, session_date=SESSION_DATE)


def session_ref(session_date: str = SESSION_DATE, open_ns: int = OPEN_NS) -> SessionRef:
    """Return the reference facts of a full session of ``SYMBOLS``."""
    return SessionRef(
        id=derive_id(f"session:{session_date}", tag_of(SessionRef), 0),
        cause=ROOT,
        ts_ns=open_ns - BAR_NS,
        session_date=session_date,
        open_ns=open_ns,
        close_ns=open_ns + CLOSE_NS - OPEN_NS,
        symbols=SYMBOLS,
        bar_ns=BAR_NS,
        market="synthetic",
    )


def operator_command(command: str = "reconcile", ts_ns: int = OPEN_NS, index: int = 0) -> OperatorCommand:
    """Return a command of the operator."""
    return OperatorCommand(
        id=derive_id(f"{command}:{ts_ns}", tag_of(OperatorCommand), index),
        cause=ROOT,
        ts_ns=ts_ns,
        command=command,
        arguments={"note": "example"},
        operator="operator-1",
    )
