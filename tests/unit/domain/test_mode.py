"""Owns the tests of the mode controller."""

from pathlib import Path

import pytest

from walstreet.domain.mode import (
    TRANSITIONS,
    ModeMemory,
    ModeParameters,
    next_mode,
    note_command,
    note_request,
    note_state,
    standing_causes,
    track_health,
    transition_diagram,
)
from walstreet_events import NANOS_PER_SECOND, ROOT, EventId, Mode, ModeRequest, ModeState, OperatorCommand

pytestmark = pytest.mark.spec("001.control")

PARAMETERS = ModeParameters()
FEED: tuple[Mode, str] = (Mode.OBSERVE, "feed_lost")


def request(mode: Mode, service: str = "execution") -> ModeRequest:
    """Return a service's request."""
    return ModeRequest(id=EventId("1" * 32), cause=ROOT, ts_ns=0, service=service, mode=mode, reason="why")


def command(name: str, **arguments: str) -> OperatorCommand:
    """Return an operator's command."""
    return OperatorCommand(id=EventId("2" * 32), cause=ROOT, ts_ns=0, command=name, arguments=arguments, operator="me")


def step(memory: ModeMemory, seconds: int, *causes: tuple[Mode, str]) -> Mode:
    """Let the controller see the causes at a time and enter the mode it wants."""
    now_ns = seconds * NANOS_PER_SECOND
    standing = [*standing_causes(memory), *causes]
    track_health(memory, standing, now_ns)
    change = next_mode(memory, standing, now_ns, PARAMETERS)
    if change is not None:
        assert (memory.mode, change[0]) in TRANSITIONS
        note_state(
            memory,
            ModeState(id=ROOT, cause=ROOT, ts_ns=now_ns, mode=change[0], previous=memory.mode, reason=change[1]),
        )
        track_health(memory, standing, now_ns)
    return memory.mode


def test_starts_in_observe_and_goes_live_at_once_when_nothing_stands():
    """The first way out of OBSERVE takes no waiting."""
    memory = ModeMemory()
    assert step(memory, 0, FEED) is Mode.OBSERVE
    assert step(memory, 1) is Mode.LIVE


def test_goes_down_at_once_and_up_one_step_each_five_minutes():
    """A lost feed means OBSERVE now; DEGRADED after 300 s without a cause, LIVE after 300 s more."""
    memory = ModeMemory()
    step(memory, 0)
    assert step(memory, 10, FEED) is Mode.OBSERVE
    assert step(memory, 100) is Mode.OBSERVE
    assert step(memory, 399) is Mode.OBSERVE
    assert step(memory, 400) is Mode.DEGRADED
    assert step(memory, 699) is Mode.DEGRADED
    assert step(memory, 700) is Mode.LIVE


def test_a_relapse_starts_the_waiting_again():
    """The 300 s must pass without interruption."""
    memory = ModeMemory()
    step(memory, 0)
    step(memory, 10, FEED)
    step(memory, 100)
    step(memory, 350, FEED)
    step(memory, 360)
    assert step(memory, 659) is Mode.OBSERVE
    assert step(memory, 660) is Mode.DEGRADED


def test_requests_stand_until_their_service_withdraws_them():
    """A request for DEGRADED holds the mode down; another service's LIVE does not lift it."""
    memory = ModeMemory()
    step(memory, 0)
    note_request(memory, request(Mode.DEGRADED))
    assert step(memory, 1) is Mode.DEGRADED
    note_request(memory, request(Mode.LIVE, service="reconciler"))
    assert step(memory, 1_000) is Mode.DEGRADED
    note_request(memory, request(Mode.LIVE))
    assert step(memory, 1_001) is Mode.DEGRADED
    assert step(memory, 1_301) is Mode.LIVE


def test_emergency_is_latched_until_the_operator_resumes():
    """Panic ends in OBSERVE by resume only, never by time, and then climbs step by step."""
    memory = ModeMemory()
    step(memory, 0)
    note_command(memory, command("panic"))
    assert step(memory, 1) is Mode.EMERGENCY
    assert step(memory, 10_000) is Mode.EMERGENCY
    note_command(memory, command("resume", reason="looked at it"))
    assert step(memory, 10_001) is Mode.OBSERVE
    assert step(memory, 10_300) is Mode.OBSERVE
    assert step(memory, 10_301) is Mode.DEGRADED


def test_resume_needs_the_cause_removed():
    """While a service still asks for EMERGENCY a resume has no effect; after it withdraws a new one is needed."""
    memory = ModeMemory()
    step(memory, 0)
    note_request(memory, request(Mode.EMERGENCY))
    assert step(memory, 1) is Mode.EMERGENCY
    note_command(memory, command("resume", reason="looked at it"))
    assert step(memory, 2) is Mode.EMERGENCY
    note_request(memory, request(Mode.LIVE))
    assert step(memory, 3) is Mode.EMERGENCY
    note_command(memory, command("resume", reason="looked at it"))
    assert step(memory, 4) is Mode.OBSERVE


def test_the_operator_sets_a_mode_and_typos_are_refused():
    """``mode observe`` holds the mode down until ``mode live``; an unknown mode is named."""
    memory = ModeMemory()
    step(memory, 0)
    note_command(memory, command("mode", mode="observe"))
    assert step(memory, 1) is Mode.OBSERVE
    note_command(memory, command("mode", mode="live"))
    step(memory, 2)
    assert step(memory, 302) is Mode.DEGRADED
    with pytest.raises(ValueError, match="mode is 'sleep'"):
        note_command(memory, command("mode", mode="sleep"))


def test_the_diagram_shows_every_transition():
    """The documentation's picture is the table's, to the letter."""
    lines = transition_diagram().splitlines()
    assert len(lines) == 2 + len(TRANSITIONS)
    assert "    live --> observe: a cause of OBSERVE stands" in lines
    page = Path(__file__).parents[3] / "docs" / "DECISION_CYCLE.md"
    assert transition_diagram() in page.read_text(encoding="utf-8")
