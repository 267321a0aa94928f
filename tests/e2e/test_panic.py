"""Owns the proof of disaster recovery: flat in time by the broker's own record, with the arbiter or the log dead."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from walstreet.adapters.spool import SpoolFile
from walstreet.runtime.errors import EXIT_FALLBACK, EXIT_OK, EXIT_USAGE
from walstreet.testing.stack import Stack, command, compare_books, events, truth
from walstreet_events import FlattenPhase, FlattenState, Mode, ModeState, OrderSubmitting
from walstreet_services.cli.chaos import BUSY, FAULTS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.spec("001.recovery", "card.services")]

COMMON = ("--symbols", "SYN01,SYN02,SYN03,SYN04", "--set", "session.warmup_days=1", "--seed", "7")
LOCKSTEP = ("--minutes", "180", *COMMON)
"""Long enough for a person's four commands: nothing waits for them in lockstep."""
SPEED = 6
FREE = (
    *("--minutes", "60", "--speed", str(SPEED), *COMMON),
    *("--set", "execution.margin.enabled=false", "--set", "arbiter.mode_causes.latency_ms_max=60000"),
)
"""Free-running, because without the log or the arbiter no turns are granted."""
DEADLINE_S = 60.0
BOUND_S = 300.0
POLL_S = 0.05


def held(state: Path) -> dict[str, int]:
    """Return the positions that the broker's own record amounts to, in shares."""
    found: dict[str, int] = defaultdict(int)
    for record in truth(state):
        if record["kind"] == "execution":
            sign = 1 if record["side"] in {"BUY", "BOT", "buy"} else -1
            found[record["symbol"]] += sign * record["quantity_micro"] // 1_000_000
    return {symbol: shares for symbol, shares in found.items() if shares}


def wait_held(stack: Stack) -> None:
    """Return when the account holds something."""
    _until(lambda: (stack.state / "broker-truth.jsonl").is_file() and bool(_held_now(stack.state)), "no position")


def wait_flat(state: Path) -> None:
    """Return when the broker's record says that nothing is held."""
    _until(lambda: not _held_now(state), "not flat")


def session_s(state: Path) -> float:
    """Return session time by the newest record of the broker, in seconds."""
    return float(_last_ns(state)) / 1e9


def seconds_to_flat(told: list[Any]) -> float:
    """Return session seconds from the beginning of the first emergency until it was flat."""
    states = [event for event in told if isinstance(event, FlattenState)]
    began = next(event for event in states if event.phase is FlattenPhase.BEGAN)
    flat = next(event for event in states if event.phase is FlattenPhase.FLAT)
    return (flat.ts_ns - began.ts_ns) / 1e9


def check_books(state: Path) -> None:
    """Check the record of a session that was ended early: chains, exactly once, and the broker's truth."""
    verified = command("tape", "verify", "--state", str(state))
    assert verified.code == EXIT_OK, verified.text
    assert compare_books(state) == []
    assert held(state) == {}


def alerts(state: Path) -> list[dict[str, Any]]:
    """Return what execution told about the emergency, at the level of an alert."""
    found = []
    for path in sorted((state / "logs").glob("execution*")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("{") and '"emergency"' in line:
                record = json.loads(line)
                if record.get("level") == "critical":
                    found.append(record)
    return found


def test_the_flag_flattens_a_session_in_time_and_stays_latched(tmp_path: Path) -> None:
    """Touching panic.flag with positions and orders at work: flat in 60 s, alert, latched, resumed by a person."""
    state = tmp_path / "session"
    with Stack(state, *LOCKSTEP) as stack:
        wait_held(stack)
        (state / "panic.flag").touch()
        _until(lambda: "emergency" in _log(state), "no alert")
        wait_flat(state)
        refused = command("resume", "--state", str(state), "--operator", "ann", "--reason", "seen")
        (state / "panic.flag").unlink()
        shown = command("mode", "--state", str(state), "--json")
        nobody = command("resume", "--state", str(state), "--operator", "ann")
        resumed = command("resume", "--state", str(state), "--operator", "ann", "--reason", "seen", "--json")
        ended = stack.wait()
    assert ended.code == 0, ended.text[-3000:]
    assert refused.code == EXIT_USAGE
    assert "still there" in refused.text
    assert json.loads(shown.out)["mode"] == "emergency"
    assert nobody.code == EXIT_USAGE
    assert resumed.code == EXIT_OK, resumed.text
    assert json.loads(resumed.out)["mode"] == "observe"
    told = events(state)
    assert seconds_to_flat(told) <= DEADLINE_S
    modes = [event.mode for event in told if isinstance(event, ModeState)]
    assert Mode.EMERGENCY in modes
    assert modes[modes.index(Mode.EMERGENCY) + 1] is Mode.OBSERVE
    assert alerts(state)
    assert compare_books(state) == []


@pytest.mark.long
def test_the_command_works_with_a_dead_arbiter(tmp_path: Path) -> None:
    """The arbiter hangs and nobody restarts it: the command on the log flattens all the same."""
    state = tmp_path / "session"
    with Stack(state, *FREE) as stack:
        wait_held(stack)
        stack.kill("arbiter", signal.SIGSTOP)
        done = command(
            "panic", "--state", str(state), "--operator", "ann", "--reason", "drill", "--json", "--wait", "60"
        )
        wait_flat(state)
        stack.kill("arbiter")
        stack.tell(signal.SIGTERM)
        stack.wait()
    assert done.code == EXIT_OK, done.text
    report = json.loads(done.out)
    assert (report["flat"], report["flag"]) == (True, None)
    assert seconds_to_flat(events(state)) <= DEADLINE_S
    check_books(state)


@pytest.mark.long
@pytest.mark.parametrize("crash", [False, True], ids=["execution-lives", "execution-killed-meanwhile"])
def test_without_the_log_execution_flattens_and_the_spool_is_imported(tmp_path: Path, *, crash: bool) -> None:
    """NATS is dead and stays so: the command falls back to the flag; later the TAPE holds everything, once."""
    state = tmp_path / "session"
    with Stack(state, *FREE) as stack:
        wait_held(stack)
        os.kill(stack.pid, signal.SIGSTOP)
        stack.kill("nats-server")
        if crash:
            stack.kill("execution")
        started_s = session_s(state)
        done = command(
            "panic", "--state", str(state), "--operator", "ann", "--reason", "drill", "--json", "--wait", "30"
        )
        if not crash:
            wait_flat(state)
            assert session_s(state) - started_s <= DEADLINE_S + 10
            assert json.loads(done.out)["flat"] is True
        os.kill(stack.pid, signal.SIGCONT)
        wait_flat(state)
        _until(lambda: bool(list(state.glob("execution-spool.bin.imported-*"))) or crash, "no import")
        _until(lambda: _told_flat(state), "nobody says flat")
        stack.tell(signal.SIGTERM)
        stack.wait()
    assert done.code == EXIT_FALLBACK, done.text
    assert json.loads(done.out)["flag"] == str(state / "panic.flag")
    told = events(state)
    imported = [event for path in state.glob("*.imported-*") for event in SpoolFile(path).read().events]
    ids = [event.id for event in told]
    assert len(set(ids)) == len(ids)
    assert {event.id for event in imported} <= set(ids)
    if not crash:
        assert any(isinstance(event, OrderSubmitting) for event in imported)
    check_books(state)


@pytest.mark.long
def test_a_crash_in_the_middle_of_flattening(tmp_path: Path) -> None:
    """Execution is killed as soon as its first closing order is at the broker; the rest is closed exactly once."""
    state = tmp_path / "session"
    with Stack(state, *FREE) as stack:
        wait_held(stack)
        before = len(_placed(state))
        (state / "panic.flag").touch()
        _until(lambda: len(_placed(state)) > before, "nothing was sent")
        stack.kill("execution")
        wait_flat(state)
        _until(lambda: _told_flat(state), "nobody says flat")
        stack.tell(signal.SIGTERM)
        stack.wait()
    assert seconds_to_flat(events(state)) <= DEADLINE_S + 10
    check_books(state)


@pytest.mark.long
def test_orders_at_work_are_cancelled_and_every_position_is_closed(tmp_path: Path) -> None:
    """Several positions and half filled orders when the flag appears: nothing alive, nothing held, within a minute."""
    state, script = tmp_path / "session", tmp_path / "small-fills.yaml"
    script.write_text(FAULTS, encoding="utf-8")
    busy = [word for setting in BUSY for word in ("--set", setting)]
    with Stack(state, *FREE, "--faults", str(script), *busy) as stack:
        _until((state / "broker-truth.jsonl").is_file, "the simulator never started")
        _until(lambda: len(_held_now(state)) >= 2 and len(_alive_now(state)) >= 2, "too little at work")
        (state / "panic.flag").touch()
        _until(lambda: not _alive_now(state) and not _held_now(state), "not flat")
        _until(lambda: _told_flat(state), "nobody says flat")
        stack.tell(signal.SIGTERM)
        stack.wait()
    told = events(state)
    began = next(event for event in told if isinstance(event, FlattenState) and event.phase is FlattenPhase.BEGAN)
    assert began.open_orders >= 1
    assert began.positions
    assert seconds_to_flat(told) <= DEADLINE_S
    assert alerts(state)
    check_books(state)


# --------------------------------------------------------------------------------------------------- helpers


def _records(state: Path) -> list[dict[str, Any]]:
    lines = (state / "broker-truth.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]


def _held_now(state: Path) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for record in _records(state):
        if record["kind"] == "execution":
            sign = 1 if record["side"] in {"BUY", "BOT", "buy"} else -1
            found[record["symbol"]] += sign * record["quantity_micro"] // 1_000_000
    return {symbol: shares for symbol, shares in found.items() if shares}


def _alive_now(state: Path) -> set[str]:
    alive: set[str] = set()
    for record in _records(state):
        if record["kind"] == "status" and record["order_ref"]:
            ended = record["status"] in {"Filled", "Cancelled", "Inactive"}
            (alive.discard if ended else alive.add)(record["order_ref"])
    return alive


def _placed(state: Path) -> list[dict[str, Any]]:
    return [record for record in _records(state) if record["kind"] == "place_received" and not record["what_if"]]


def _last_ns(state: Path) -> int:
    return max((int(record.get("ts_ns", 0)) for record in _records(state)), default=0)


def _log(state: Path) -> str:
    return "".join(path.read_text(errors="replace") for path in (state / "logs").glob("execution*"))


def _told_flat(state: Path) -> bool:
    return any('"phase": "flat"' in line or '"phase":"flat"' in line for line in _log(state).splitlines())


def _until(condition: Any, words: str) -> None:
    bound = time.monotonic() + BOUND_S
    while not condition():
        if time.monotonic() > bound:
            raise TimeoutError(words)
        time.sleep(POLL_S)
