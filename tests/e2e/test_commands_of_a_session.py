"""Owns the proof of what people command a live session: the two keys of arming, modes, and lifting the throttle.

The sessions run freely against the simulator on a real socket and are ended when the last command has had its effect.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from walstreet.runtime.errors import EXIT_BROKEN, EXIT_OK, EXIT_USAGE
from walstreet.testing.running_tape import events_so_far, wait_events
from walstreet.testing.stack import Ended, Stack, command, compare_books, events, truth
from walstreet_events import (
    AnyEvent,
    GatewayProbed,
    Mode,
    ModeState,
    OperatorCommand,
    OrderRefused,
    OrderSubmitting,
    ProducerEpoch,
    Service,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200), pytest.mark.spec("001.recovery", "card.services")]

GATES_OFF = ("conformal", "barrier", "rebalance", "netting")
COMMON = (
    *("--minutes", "240", "--speed", "12", "--symbols", "SYN01,SYN02", "--seed", "7"),
    *("--set", "session.warmup_days=1", "--set", "arbiter.mode_causes.latency_ms_max=60000"),
    # So that there are intents in every minute; what is proved here is what becomes of them.
    *(word for gate in GATES_OFF for word in ("--set", f"arbiter.gates.{gate}=false")),
    *("--set", "arbiter.session.cost_edge_multiplier=0.1"),
)
ACCOUNT = "U7654321"
LIVE = ("--set", "execution.arming.trading=live")
COMMAND_S = 240.0
WAIT_S = 480.0
"""A session may begin late on a busy machine."""


def walstreet(state: Path, name: str, *arguments: str, operator: str = "", reason: str = "drill") -> Ended:
    """Run a person's command on a session."""
    person = ("--operator", operator, "--reason", reason) if operator else ()
    return command(name, *arguments, "--state", str(state), *person, bound_s=COMMAND_S)


def arm(state: Path, operator: str) -> tuple[int, dict[str, Any]]:
    """Turn a key; return the exit code and what the probe of the gateway said."""
    ended = walstreet(state, "arm", "--json", "--wait", "60", operator=operator)
    return ended.code, json.loads(ended.out)["probe"]


def refused_as(reason: str) -> Any:
    """Return the test for a refusal with this code."""
    return lambda event: isinstance(event, OrderRefused) and event.reason == reason


def is_sent(event: AnyEvent) -> bool:
    """Return whether an event is an order on its way."""
    return isinstance(event, OrderSubmitting)


def position_of(told: list[AnyEvent], wanted: Any, after: int = 0) -> int:
    """Return where the first wanted event stands."""
    return next(index for index in range(after, len(told)) if wanted(told[index]))


def placed(state: Path) -> list[dict[str, Any]]:
    """Return the orders that reached the broker by its own record."""
    return [record for record in truth(state) if record["kind"] == "place_received" and not record["what_if"]]


def test_live_trading_needs_two_people_and_forgets_them_in_an_emergency(tmp_path: Path) -> None:
    """Unarmed nothing leaves; one person arms nothing; two do; kill -9 keeps the keys; disarm and panic take them."""
    state = tmp_path / "session"
    unarmed = refused_as("not_armed")
    with Stack(state, *COMMON, *LIVE, "--set", f"broker.account={ACCOUNT}") as stack:
        wait_events(state, unarmed, wait_s=WAIT_S)
        changed = walstreet(state, "param", "set", "execution.arming.trading=paper")
        nobody = walstreet(state, "arm")
        first = arm(state, "ann")
        again = arm(state, " Ann ")
        before = len(wait_events(state, unarmed, after=len(events_so_far(state))))
        sent_unarmed = placed(state)
        second = arm(state, "bob")
        armed = len(wait_events(state, is_sent, after=before))
        stack.kill("execution")
        restarted = len(wait_events(state, _life_of_execution, after=armed))
        sent = len(wait_events(state, is_sent, after=restarted))
        disarmed = walstreet(state, "disarm", operator="ann")
        wait_events(state, unarmed, after=sent)
        back = [arm(state, person) for person in ("ann", "bob")]
        panicked = walstreet(state, "panic", "--wait", "120", operator="ann")
        resumed = walstreet(state, "resume", "--not-flat", "--wait", "60", operator="ann")
        wait_events(state, unarmed, after=len(events_so_far(state)))
        stack.tell(signal.SIGTERM)
        stack.wait()
    assert (changed.code, nobody.code) == (EXIT_USAGE, EXIT_USAGE)
    assert "walstreet arm" in changed.text
    assert sent_unarmed == []
    assert (first[0], first[1]["ok"], first[1]["armed"], first[1]["keys"]) == (EXIT_OK, True, False, ["ann"])
    assert (again[1]["armed"], again[1]["detail"]) == (False, "1 of 2 people have armed")
    assert (second[0], second[1]["armed"], second[1]["keys"]) == (EXIT_OK, True, ["ann", "bob"])
    assert (second[1]["account"], second[1]["what_if"]) == (ACCOUNT, True)
    assert disarmed.code == EXIT_OK
    assert [probe["armed"] for _, probe in back] == [False, True]
    assert (panicked.code, resumed.code) == (EXIT_OK, EXIT_OK), panicked.text + resumed.text
    _check_order(events(state), unarmed)
    assert compare_books(state) == []


def _check_order(told: list[AnyEvent], unarmed: Any) -> None:
    """No submission before the keys, some in the life after the crash, none once an intent was refused again."""
    armed = position_of(told, lambda event: isinstance(event, GatewayProbed) and event.armed)
    assert not any(is_sent(event) for event in told[:armed])
    restarted = position_of(told, _life_of_execution, after=armed)
    gone = position_of(told, _commanded("disarm"))
    assert any(is_sent(event) for event in told[restarted:gone])
    closed = position_of(told, unarmed, after=gone)
    again = position_of(told, lambda event: isinstance(event, GatewayProbed) and event.armed, after=closed)
    assert not any(is_sent(event) for event in told[closed:again])
    resumed = position_of(told, _commanded("resume"))
    assert not any(is_sent(event) for event in told[resumed:])
    assert any(unarmed(event) for event in told[resumed:])


def test_a_paper_account_is_not_armed(tmp_path: Path) -> None:
    """The probe says what is wrong with the gateway to both people, and no order leaves."""
    state = tmp_path / "session"
    with Stack(state, *COMMON, *LIVE) as stack:
        wait_events(state, refused_as("not_armed"), wait_s=WAIT_S)
        probes = [arm(state, person) for person in ("ann", "bob")]
        wait_events(state, refused_as("not_armed"), after=len(events_so_far(state)))
        stack.tell(signal.SIGTERM)
        stack.wait()
    assert [code for code, _ in probes] == [EXIT_BROKEN, EXIT_BROKEN]
    assert all(not probe["armed"] and "is a paper account" in probe["detail"] for _, probe in probes)
    assert placed(state) == []


def test_modes_are_asked_for_and_the_throttle_is_lifted_by_a_person(tmp_path: Path) -> None:
    """Three orders trip the account's throttle for good, a named person lifts it; a mode is asked for and withdrawn."""
    state = tmp_path / "session"
    throttle = ("--set", "execution.throttle.account_repeats_max=3", "--set", "execution.throttle.window_s=86400")
    tripped = refused_as("repeated_execution")
    with Stack(state, *COMMON, *throttle, "--set", "execution.margin.enabled=false") as stack:
        told = wait_events(state, tripped, wait_s=WAIT_S)
        nobody = walstreet(state, "rearm")
        half = walstreet(state, "rearm", "--symbol", "SYN01", operator="ann")
        lifted = walstreet(state, "rearm", operator="ann")
        wait_events(state, is_sent, after=len(told))
        observed = walstreet(state, "mode", "observe", "--wait", "60", "--json", operator="ann")
        shown = walstreet(state, "mode", "--json")
        withdrawn = walstreet(state, "mode", "live", "--wait", "120", "--json", operator="ann")
        stack.tell(signal.SIGTERM)
        stack.wait()
    assert (nobody.code, half.code, lifted.code) == (EXIT_USAGE, EXIT_USAGE, EXIT_OK), lifted.text
    assert (observed.code, json.loads(observed.out)["mode"]) == (EXIT_OK, "observe"), observed.text
    assert json.loads(shown.out)["mode"] == "observe"
    assert (withdrawn.code, json.loads(withdrawn.out)["mode"] in {"degraded", "live"}) == (EXIT_OK, True)
    told = events(state)
    first = position_of(told, tripped)
    person = position_of(told, _commanded("rearm"))
    assert not any(is_sent(event) for event in told[first:person])
    asked = position_of(told, _commanded("mode"), after=person)
    assert sum(is_sent(event) for event in told[person:asked]) > 0
    below = position_of(told, lambda event: isinstance(event, ModeState) and event.mode is Mode.OBSERVE, after=asked)
    assert below > asked
    # The session was ended with orders at work, whose last executions nobody was left to book.
    assert [fault for fault in compare_books(state) if not fault.startswith("execution ")] == []


def _life_of_execution(event: AnyEvent) -> bool:
    return isinstance(event, ProducerEpoch) and event.service == Service.EXECUTION.value


def _commanded(name: str) -> Any:
    return lambda event: isinstance(event, OperatorCommand) and event.command == name
