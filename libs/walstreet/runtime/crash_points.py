"""Owns the named moments at which a test may end or freeze a service process; outside of tests it does nothing.

``passed`` is called at every moment of ``POINTS``. In production it is a function that returns at once. When the
environment variable ``WALSTREET_CRASH_PLAN`` names a folder, which only the test stack sets, the entry point of a
service calls ``arm`` once, and from then on the process counts its passages and kills or freezes itself where the plan
says.

The plan of a service is ``FOLDER/SERVICE.plan``, one crash for each line; what was done is appended to
``FOLDER/SERVICE.done`` and synced before the signal, so that a restarted process goes on with the next line.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

VARIABLE = "WALSTREET_CRASH_PLAN"
TIMER_S_MAX = 1.0
"""A crash that waits inside a moment waits no longer than this."""
LINES_AWAITED_MAX = 4
"""So many lines of a plan wait at once, so that a moment which never comes does not hold up the others."""

POINTS: Mapping[str, str] = {
    "log_opened": "recovery: the TAPE is read, the new epoch is not begun",
    "epoch_begun": "recovery: earlier lives are fenced off, nothing is connected",
    "outside_connected": "recovery: the broker is connected, nothing is replayed",
    "replayed": "recovery: the state is rebuilt, the service is about to be ready",
    "turn_begun": "lockstep: a turn is granted, nothing is done in it",
    "turn_ended": "lockstep: a turn's work is done, nobody was told",
    "input_taken": "an input is read from the TAPE, not folded",
    "decided": "an input is folded and decided, nothing of it is appended",
    "append_begins": "one consequence is about to be sent to the log",
    "append_under_way": "that message is on its way: the process dies a random moment later, before or after the fsync",
    "appended": "the log has acknowledged it, fsynced; nothing has followed from it",
    "folded": "it is folded into the state; its effect has not begun",
    "reacted": "its effect is carried out",
    "callback": "the broker's callback has come in; it waits for the loop",
    "observation_taken": "the loop has taken it; nothing is decided or appended",
    "place_begins": "execution: the order is durable as submitting, nothing is sent",
    "place_ended": "execution: the order is handed to the socket, the broker has not answered",
    "modify_begins": "execution: the change of a working order is durable, nothing is sent",
    "modify_ended": "execution: the change is handed to the socket, the broker has not answered",
    "cancel_begins": "execution: the cancel is durable, nothing is sent",
    "cancel_ended": "execution: the cancel is handed to the socket",
    "margin_begins": "execution: the question for margin is durable, not sent",
    "margin_ended": "execution: the broker has answered it, the answer is not journaled",
    "snapshot_begins": "execution: the reconciler's question is taken, the broker is not asked",
    "snapshot_ended": "execution: the broker has answered it, the answer is not journaled",
}
"""Every moment by name, with what is true there."""


class Crash(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a plan."""

    point: str
    passage: int = 1
    """At which passage of this life; 1 is the first."""
    what: str = ""
    """Only passages with this event tag or observation; empty for any."""
    signal: str = "SIGKILL"
    """``SIGKILL``, or ``SIGSTOP``: then somebody else must send SIGCONT."""
    after_s: float = 0.0
    """So much later, by a timer of the kernel: a message handed to the socket has left then, or not."""

    def __post_init__(self) -> None:
        """Refuse a plan that could never come true."""
        if self.point not in POINTS:
            raise ValueError(f"no crash point {self.point!r}; there are {', '.join(POINTS)}")
        if self.passage < 1 or not 0.0 <= self.after_s <= TIMER_S_MAX or self.signal not in ("SIGKILL", "SIGSTOP"):
            raise ValueError(f"impossible crash: {self}")


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What a process wrote down just before its signal."""

    line: int
    """Which line of the plan, from 0."""
    crash: Crash
    pid: int
    what: str
    passages: int
    """All passages of all moments in this life so far."""


Hook = Callable[[str, str], None]
LineT = TypeVar("LineT", Crash, Done)


@dataclass(slots=True)
class _Awaited:
    """A line of the plan that waits for its moment."""

    line: int
    crash: Crash
    count: int = 0


def _nothing(point: str, what: str) -> None:
    """Return at once: no test is running."""


_hook: Hook = _nothing


def passed(point: str, what: str = "") -> None:
    """Say that this process is at ``point``, with ``what`` in hand; returns at once outside of tests."""
    _hook(point, what)


def arm(service: str) -> bool:
    """Follow the plan of ``service`` if the environment names one; call it once, at the start of the process.

    Raises:
        ValueError: The plan names a moment that does not exist.
    """
    global _hook  # noqa: PLW0603 - one switch for each process, set once before anything runs
    folder = os.environ.get(VARIABLE, "")
    if not folder or not (Path(folder) / f"{service}.plan").is_file():
        return False
    _hook = _Armed(Path(folder), service).passed
    return True


def disarm() -> None:
    """Do nothing at any moment again."""
    global _hook  # noqa: PLW0603 - see ``arm``
    _hook = _nothing


class _Armed:
    """Counts passages and carries out the next lines of the plan."""

    def __init__(self, folder: Path, service: str) -> None:
        plan = read_plan(folder, service)
        self._done_path = folder / f"{service}.done"
        done = {item.line for item in read_done(folder, service)}
        left = [_Awaited(line, crash) for line, crash in enumerate(plan) if line not in done]
        self._awaited, self._later = left[:LINES_AWAITED_MAX], left[LINES_AWAITED_MAX:]
        self._passages = 0
        self._reached_path = folder / f"{service}.reached"
        self._reached: set[str] = set()

    def passed(self, point: str, what: str) -> None:
        """Count a passage; end or freeze the process when it is the one."""
        self._passages += 1
        if point not in self._reached:
            self._reached.add(point)
            with self._reached_path.open("a", encoding="ascii") as sink:
                sink.write(f"{point}\n")
        for awaited in self._awaited:
            crash = awaited.crash
            if crash.point != point or crash.what not in ("", what):
                continue
            awaited.count += 1
            if awaited.count >= crash.passage:
                self._strike(awaited, what)
                return

    def _strike(self, awaited: _Awaited, what: str) -> None:
        self._awaited.remove(awaited)
        self._awaited += self._later[:1]
        del self._later[:1]
        crash = awaited.crash
        done = Done(line=awaited.line, crash=crash, pid=os.getpid(), what=what, passages=self._passages)
        with self._done_path.open("ab") as sink:
            sink.write(msgspec.json.encode(done) + b"\n")
            sink.flush()
            os.fsync(sink.fileno())
        if crash.after_s > 0.0:
            # SIGALRM ends a process that does not handle it as SIGKILL does, wherever it is then.
            self._awaited, self._later = [], []
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, crash.after_s)
            return
        os.kill(os.getpid(), signal.Signals[crash.signal])


def read_plan(folder: Path, service: str) -> list[Crash]:
    """Return the plan of ``service``, empty without one."""
    return _read(folder / f"{service}.plan", Crash)


def read_done(folder: Path, service: str) -> list[Done]:
    """Return what was carried out of the plan of ``service``."""
    return _read(folder / f"{service}.done", Done)


def read_reached(folder: Path, service: str) -> set[str]:
    """Return the moments that the lives of ``service`` have passed."""
    path = folder / f"{service}.reached"
    return set(path.read_text(encoding="ascii").split()) if path.is_file() else set()


def write_plan(folder: Path, service: str, plan: Sequence[Crash]) -> None:
    """Write the plan of ``service``; its process reads it at its start."""
    (folder / f"{service}.plan").write_bytes(b"".join(msgspec.json.encode(crash) + b"\n" for crash in plan))


def _read(path: Path, kind: type[LineT]) -> list[LineT]:
    if not path.is_file():
        return []
    return [msgspec.json.decode(line, type=kind) for line in path.read_bytes().splitlines() if line]
