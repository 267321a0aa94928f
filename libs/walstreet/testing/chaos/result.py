"""Owns what a chaos run found: sessions and crashes as data, as a table, and as JSON to make documents from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from walstreet.runtime.crash_points import Done


class SessionResult(msgspec.Struct, frozen=True, kw_only=True):
    """One session and what was wrong after it."""

    kind: str
    seed: int
    lockstep: bool
    code: int
    """Exit code of the session; it checks chains, dead letters and reconciliation itself."""
    elapsed_s: float
    crashes: dict[str, list[Done]]
    """By service, in the order in which they came."""
    restarts_of_log_server: int = 0
    orders: int = 0
    fills: int = 0
    faults: dict[str, list[str]] = {}
    """By invariant; only what is wrong."""

    @property
    def count(self) -> int:
        """Return how many times a process was killed or frozen; with the log server, that counts too."""
        return sum(map(len, self.crashes.values())) + self.restarts_of_log_server

    @property
    def clean(self) -> bool:
        """Return whether everything held."""
        return self.code == 0 and not self.faults


class ChaosResult(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run."""

    seed: int
    wanted: int
    elapsed_s: float
    machine: str
    sessions: list[SessionResult]

    @property
    def count(self) -> int:
        """Return the crashes of all sessions."""
        return sum(session.count for session in self.sessions)

    @property
    def clean(self) -> bool:
        """Return whether every session was clean and the crashes wanted came about."""
        return self.count >= self.wanted and all(session.clean for session in self.sessions)


INVARIANTS: dict[str, str] = {
    "duplicates": "orders that reached the broker twice",
    "unannounced": "orders at the broker that are not on the TAPE",
    "lost": "executions not booked exactly once as they were",
    "orphans": "orders alive at the broker that our books hold for ended",
    "hashes": "decisions, orders or fills other than without the crashes",
    "replay": "decisions that replay does not repeat byte for byte",
    "session": "sessions that did not end well",
}
"""What must stay at zero."""


def matrix(result: ChaosResult) -> dict[tuple[str, str], int]:
    """Return how often each process was killed or frozen at each moment."""
    counted: Counter[tuple[str, str]] = Counter()
    for session in result.sessions:
        for service, crashes in session.crashes.items():
            for done in crashes:
                counted[service, done.crash.point] += 1
    return dict(counted)


def by_signal(result: ChaosResult) -> dict[str, int]:
    """Return how often each thing was done."""
    counted: Counter[str] = Counter()
    for session in result.sessions:
        for crashes in session.crashes.values():
            for done in crashes:
                late = " (while a message was on its way)" if done.crash.after_s else ""
                counted["frozen, then let go on" if done.crash.signal == "SIGSTOP" else f"killed{late}"] += 1
        counted["log server killed"] += session.restarts_of_log_server
    return dict(counted)


def summary_rows(result: ChaosResult) -> list[tuple[str, int]]:
    """Return each invariant with the number of its violations."""
    return [
        (text, sum(len(session.faults.get(name, ())) for session in result.sessions))
        for name, text in INVARIANTS.items()
    ]


def session_rows(sessions: Sequence[SessionResult]) -> list[tuple[str, ...]]:
    """Return one row for each kind of session: runs, crashes, orders, fills, and how many were clean."""
    rows: list[tuple[str, ...]] = []
    for kind in dict.fromkeys(session.kind for session in sessions):
        mine = [session for session in sessions if session.kind == kind]
        rows.append(
            (
                kind,
                str(len(mine)),
                str(sum(session.count for session in mine)),
                str(sum(session.orders for session in mine)),
                str(sum(session.fills for session in mine)),
                f"{sum(session.clean for session in mine)} of {len(mine)}",
            )
        )
    return rows
