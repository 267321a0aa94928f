"""Owns whole embedded sessions for tests: `walstreet up` as a process, its children by name, signals, and its end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from walstreet.adapters.free_ports import free_port
from walstreet.adapters.nats import Connection, ConnectOptions, EmbeddedServer, TapeReader
from walstreet.adapters.nats.reader import RawMessage
from walstreet.adapters.nats.server import ADMIN
from walstreet.adapters.nats.streams import last_sequence
from walstreet_events import (
    AnyEvent,
    MarginAsked,
    OperatorCommand,
    OrderBracketed,
    OrderCorrected,
    OrderFilled,
    OrderModifying,
    OrderSubmitting,
    decode,
)
from walstreet_events.subjects import TURN_ORDER, Stream

SERVICES = tuple(service.value for service in TURN_ORDER)
SESSION_BOUND_S = 240.0
COMMAND_BOUND_S = 60.0
CHILD_BOUND_S = 60.0
POLL_S = 0.02
PROGRESS = re.compile(r"^[\d:-]{8}\s+(\d+)%")


@dataclass(slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str
    elapsed_s: float
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Return everything that a user saw, in one line."""
        return " ".join((self.out + "\n" + self.err).split())


def command(
    *arguments: str, cwd: Path | None = None, bound_s: float = COMMAND_BOUND_S, python: str = sys.executable
) -> Ended:
    """Run ``walstreet`` with ``arguments`` and return how it ended."""
    return module("walstreet_services.cli.__main__", *arguments, cwd=cwd, bound_s=bound_s, python=python)


def module(
    name: str, *arguments: str, cwd: Path | None = None, bound_s: float = COMMAND_BOUND_S, python: str = sys.executable
) -> Ended:
    """Run the module ``name`` as a program and return how it ended."""
    started = time.monotonic()
    done = subprocess.run(
        [python, "-m", name, *arguments],
        capture_output=True,
        text=True,
        timeout=bound_s,
        check=False,
        cwd=cwd,
        env=_environment(),
    )
    return Ended(code=done.returncode, out=done.stdout, err=done.stderr, elapsed_s=time.monotonic() - started)


class Stack:
    """One `walstreet up` in a process of its own; leaving the context kills whatever is left of it."""

    def __init__(self, state: Path, *arguments: str, python: str = sys.executable) -> None:
        """Prepare a session under ``state``; ``start`` runs it."""
        self.state = state
        self._summary = state.with_name(state.name + ".json")
        self._argv = [
            *(python, "-m", "walstreet_services.cli.__main__", "up", "--no-view"),
            *("--state", str(state), "--json", str(self._summary), *arguments),
        ]
        self._process: subprocess.Popen[str] | None = None
        self._lines: list[str] = []
        self._percent = -1
        self._reader: threading.Thread | None = None
        self._started = 0.0

    def __enter__(self) -> Self:
        """Start the session."""
        self._started = time.monotonic()
        # Errors go to a file: a pipe that nobody reads while the test waits would stop the session.
        with self._errors().open("wb") as errors:
            self._process = subprocess.Popen(
                self._argv, stdout=subprocess.PIPE, stderr=errors, text=True, env=_environment()
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *reason: object) -> None:
        """Kill what is left: a failed test must not leave processes behind."""
        assert self._process is not None
        assert self._reader is not None
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for pid in self.children().values():
            os.kill(pid, signal.SIGKILL)
        self._reader.join(COMMAND_BOUND_S)
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        """Return the process id of `walstreet up` itself."""
        assert self._process is not None
        return self._process.pid

    def wait_progress(self, percent: int) -> None:
        """Return when the session has played ``percent`` of its minutes.

        Raises:
            TimeoutError: It did not get there in time, or ended before.
        """
        bound = time.monotonic() + SESSION_BOUND_S
        while self._percent < percent:
            assert self._process is not None
            if time.monotonic() > bound or self._process.poll() is not None:
                raise TimeoutError(f"at {self._percent} %, not {percent} %: {''.join(self._lines[-20:])}{self._err()}")
            time.sleep(POLL_S)

    def wait_truth(self, kind: str, count: int = 1) -> None:
        """Return when the broker's own record holds ``count`` records of a kind.

        Raises:
            TimeoutError: It did not get there in time, or the session ended before.
        """
        path = self.state / "broker-truth.jsonl"
        mark, bound = f'"kind":"{kind}"', time.monotonic() + 2 * SESSION_BOUND_S
        while not path.is_file() or path.read_text(encoding="utf-8").replace(": ", ":").count(mark) < count:
            assert self._process is not None
            if time.monotonic() > bound or self._process.poll() is not None:
                raise TimeoutError(f"no {count} records of {kind}: {''.join(self._lines[-20:])}{self._err()}")
            time.sleep(POLL_S)

    def child(self, name: str) -> int:
        """Return the process id of a service, of ``ibsim`` or of ``nats-server``, waiting until it runs.

        Raises:
            TimeoutError: There is none in time.
        """
        bound = time.monotonic() + CHILD_BOUND_S
        while (pid := self.children().get(name)) is None:
            if time.monotonic() > bound:
                raise TimeoutError(f"no process {name} of {self.state} within {CHILD_BOUND_S:.0f} s")
            time.sleep(POLL_S)
        return pid

    def children(self) -> dict[str, int]:
        """Return the living processes of this session by name."""
        marks = {
            **{name: (f"walstreet_services.{name}", "--config", str(self.state / "session.yaml")) for name in SERVICES},
            "ibsim": ("walstreet_services.ibsim", str(self.state / "broker-truth.jsonl")),
            "nats-server": ("-c", str(self.state / "nats.conf")),
        }
        found: dict[str, int] = {}
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode(errors="replace").split("\0")
                dead = (path.parent / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
            except OSError:
                continue  # It ended while we looked.
            for name, needed in marks.items():
                if not dead and all(word in words for word in needed):
                    found[name] = int(path.parent.name)
        return found

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to one child, and return its process id."""
        pid = self.child(name)
        os.kill(pid, number)
        return pid

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to `walstreet up` itself, and to none of its children."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, bound_s: float = SESSION_BOUND_S) -> Ended:
        """Return how the session ended."""
        assert self._process is not None
        assert self._reader is not None
        code = self._process.wait(bound_s)
        elapsed_s = time.monotonic() - self._started
        self._reader.join(COMMAND_BOUND_S)
        summary = json.loads(self._summary.read_text(encoding="utf-8")) if self._summary.is_file() else {}
        return Ended(code=code, out="".join(self._lines), err=self._err(), elapsed_s=elapsed_s, summary=summary)

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)
            if found := PROGRESS.match(line):
                self._percent = int(found[1])

    def _errors(self) -> Path:
        return self.state.with_name(self.state.name + ".err")

    def _err(self) -> str:
        return self._errors().read_text(encoding="utf-8", errors="replace")


def session(state: Path, *arguments: str, python: str = sys.executable) -> Ended:
    """Run one whole session and return how it ended."""
    with Stack(state, *arguments, python=python) as stack:
        return stack.wait()


def tape(state: Path, stream: Stream = Stream.TAPE) -> list[RawMessage]:
    """Return the stored messages of a session that has ended."""
    return asyncio.run(_tape(state, stream))


def events(state: Path) -> list[AnyEvent]:
    """Return the events of a session that has ended, in the order of its TAPE."""
    return [decode(message.payload) for message in tape(state)]


def truth(state: Path) -> list[dict[str, Any]]:
    """Return the broker's own record of a session: orders received, statuses and executions sent."""
    text = (state / "broker-truth.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


async def _tape(state: Path, stream: Stream) -> list[RawMessage]:
    server = EmbeddedServer(state=state, port=free_port(), monitor_port=free_port())
    await server.start()
    connection = Connection(ConnectOptions(url=server.url, user=ADMIN, password_file=str(server.credentials / ADMIN)))
    try:
        await connection.open()
        last = await last_sequence(connection, stream)
        return [message async for message in TapeReader(connection, stream).range(1, last)]
    finally:
        await connection.close()
        await server.stop()


def _environment() -> dict[str, str]:
    """Return this process's environment without settings of walstreet, which would leak into the session."""
    return {key: value for key, value in os.environ.items() if not key.startswith("WALSTREET__")}


def same_hashes(one: Ended, other: Ended, groups: Sequence[str] = ("decisions", "orders", "fills")) -> bool:
    """Return whether two sessions decided, ordered and filled the same, byte for byte."""
    return all(one.summary["hashes"][group] == other.summary["hashes"][group] for group in groups)


def compare_books(state: Path, told: Sequence[AnyEvent] | None = None) -> list[str]:
    """Return every difference between the broker's own record and the TAPE; none means that both tell the same story.

    No client order id reached the broker twice, everything that reached it stood on the TAPE before (questions for
    margin, which place nothing, among it), and every execution of the broker stands on the TAPE exactly once, with its
    price and quantity; a correction is an execution of its own. ``told`` is the TAPE where it has been read already.
    """
    records, told = truth(state), events(state) if told is None else told
    received = [record for record in records if record["kind"] == "place_received"]
    placed = [record["order_ref"] for record in received if not record["what_if"]]
    questions = [record["order_ref"] for record in received if record["what_if"]]
    # The probe of `walstreet arm` asks the broker under the name of the command that asked for it.
    asked = {event.id for event in told if isinstance(event, MarginAsked | OperatorCommand)}
    sent = [event.client_order_id for event in told if isinstance(event, OrderSubmitting)]
    # Protective orders are sent by the submission that they belong to.
    pairs = [event for event in told if isinstance(event, OrderBracketed) and event.client_order_id in sent]
    sent += [child.client_order_id for pair in pairs for child in pair.children]
    changes = [record["order_ref"] for record in records if record["kind"] == "modify_received"]
    announced = Counter(event.client_order_id for event in told if isinstance(event, OrderModifying))
    filled = [event for event in told if isinstance(event, OrderFilled | OrderCorrected)]
    # What a fault script told clients although it never happened is judged by whoever wrote the script.
    untrue = {record["execution_id"] for record in records if record["kind"] == "untrue_execution"}
    executed = {
        record["execution_id"]: (record["order_ref"], record["price_nano"], record["quantity_micro"])
        for record in records
        if record["kind"] == "execution"
    }
    booked = {event.exec_id: (event.client_order_id, event.price_nano, event.quantity_micro) for event in filled}
    faults = [f"order {ref} reached the broker {count} times" for ref, count in Counter(placed).items() if count > 1]
    faults += [f"order {ref} stands on the TAPE {count} times" for ref, count in Counter(sent).items() if count > 1]
    faults += [f"order {ref} reached the broker, but is not on the TAPE" for ref in placed if ref not in sent]
    faults += [
        f"order {ref} was changed {count} times at the broker, {announced[ref]} times on the TAPE"
        for ref, count in Counter(changes).items()
        if count > announced[ref]
    ]
    faults += [f"question {ref} reached the broker, but is not on the TAPE" for ref in questions if ref not in asked]
    faults += [
        f"execution {exec_id} stands on the TAPE {count} times"
        for exec_id, count in Counter(event.exec_id for event in filled).items()
        if count > 1
    ]
    faults += [
        f"execution {exec_id}: broker {executed.get(exec_id)}, TAPE {booked.get(exec_id)}"
        for exec_id in sorted((executed.keys() | booked.keys()) - untrue)
        if executed.get(exec_id) != booked.get(exec_id)
    ]
    return faults
