"""Owns the operating mode: the literal table of transitions, and what moves along it.

The mode goes down at once to the worst standing cause, and up one step after ``healthy_s`` without one. It starts in
OBSERVE and leaves it the first time without waiting, as soon as no cause stands (the first clean reconciliation,
link and feed up). EMERGENCY is latched: it ends only by the operator's ``resume`` after every service has withdrawn
its request for it, and always in OBSERVE. Requests stand until their service asks for something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from walstreet.domain.bounds import require_between
from walstreet_events import NANOS_PER_SECOND, Mode, ModeRequest, ModeState, OperatorCommand, Service

MODES: tuple[Mode, ...] = (Mode.LIVE, Mode.DEGRADED, Mode.OBSERVE, Mode.EMERGENCY)
"""From the best to the worst."""

TRANSITIONS: dict[tuple[Mode, Mode], str] = {
    (Mode.LIVE, Mode.DEGRADED): "a cause of DEGRADED stands",
    (Mode.LIVE, Mode.OBSERVE): "a cause of OBSERVE stands",
    (Mode.LIVE, Mode.EMERGENCY): "panic, or a request for EMERGENCY",
    (Mode.DEGRADED, Mode.OBSERVE): "a cause of OBSERVE stands",
    (Mode.DEGRADED, Mode.EMERGENCY): "panic, or a request for EMERGENCY",
    (Mode.OBSERVE, Mode.EMERGENCY): "panic, or a request for EMERGENCY",
    (Mode.DEGRADED, Mode.LIVE): "healthy for healthy_s",
    (Mode.OBSERVE, Mode.DEGRADED): "healthy for healthy_s, or the first start with a cause of DEGRADED",
    (Mode.OBSERVE, Mode.LIVE): "the first start, no cause stands",
    (Mode.EMERGENCY, Mode.OBSERVE): "the operator's resume, with no standing request for EMERGENCY",
}
"""Every move that exists; a pair that is not listed never happens."""

OPERATOR = "operator"
COMMAND_PANIC = "panic"
COMMAND_RESUME = "resume"
COMMAND_MODE = "mode"
PANIC_TOPIC = "panic"
"""Topic of execution's request when a flag or a signal began an emergency: a person's act, which resume lifts."""

Cause: TypeAlias = tuple[Mode, str]
"""The best mode that a standing fact allows, and its stable reason code."""


class ModeParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Timing of the mode controller."""

    healthy_s: float = 300.0
    """Without a cause for this long before the mode goes up by one step."""
    degraded_size_multiplier: float = 0.5

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("mode", "healthy_s", self.healthy_s, 0.0, 86_400.0)
        require_between("mode", "degraded_size_multiplier", self.degraded_size_multiplier, 0.0, 1.0)


@dataclass(slots=True, kw_only=True)
class ModeMemory:
    """What the controller remembers; rebuilt from the log."""

    mode: Mode = Mode.OBSERVE
    started: bool = False
    """True once OBSERVE has been left; from then on every step up takes its time."""
    healthy_since_ns: int | None = None
    """Since when no cause holds the mode down."""
    panic: bool = False
    resumed: bool = False
    requests: dict[str, tuple[Mode, str]] = field(default_factory=dict)
    """Standing request per service, or per service and topic."""


def rank(mode: Mode) -> int:
    """Return 0 for the best mode up to 3 for the worst."""
    return MODES.index(mode)


def worst(causes: Sequence[Cause]) -> Cause:
    """Return the first of the worst causes; LIVE with an empty reason without any."""
    found: Cause = (Mode.LIVE, "")
    for cause in causes:
        if rank(cause[0]) > rank(found[0]):
            found = cause
    return found


def standing_causes(memory: ModeMemory) -> list[Cause]:
    """Return the causes that panic and requests amount to, in a fixed order."""
    causes: list[Cause] = [(Mode.EMERGENCY, COMMAND_PANIC)] if memory.panic else []
    for service in sorted(memory.requests):
        mode, reason = memory.requests[service]
        causes.append((mode, f"request_{service}:{reason}"))
    return causes


def note_request(memory: ModeMemory, request: ModeRequest) -> None:
    """Let ``request`` replace what its service asked for before on the same topic; LIVE withdraws it."""
    source = f"{request.service}_{request.topic}" if request.topic else request.service
    _set_request(memory, source, request.mode, request.reason)


def note_command(memory: ModeMemory, command: OperatorCommand) -> None:
    """Take over an operator's command; those that do not concern the mode change nothing.

    Raises:
        ValueError: ``mode`` without a known mode in its arguments.
    """
    if command.command == COMMAND_PANIC:
        memory.panic, memory.resumed = True, False
    elif command.command == COMMAND_RESUME:
        if not lifts(command):
            return
        memory.panic = False
        memory.requests.pop(OPERATOR, None)
        memory.requests.pop(f"{Service.EXECUTION.value}_{PANIC_TOPIC}", None)
        latched = any(mode is Mode.EMERGENCY for mode, _ in memory.requests.values())
        memory.resumed = memory.mode is Mode.EMERGENCY and not latched
    elif command.command == COMMAND_MODE:
        text = command.arguments.get("mode", "")
        if text not in {mode.value for mode in MODES}:
            raise ValueError(
                f"operator command {command.id}: mode is {text!r}; allowed are {[mode.value for mode in MODES]}"
            )
        _set_request(memory, OPERATOR, Mode(text), command.arguments.get("reason", "command"))


def lifts(command: OperatorCommand) -> bool:
    """Return whether ``command`` lifts an emergency: a person resumes, with a name and a reason."""
    named = bool(command.operator.strip() and command.arguments.get("reason", "").strip())
    return command.command == COMMAND_RESUME and named


def _set_request(memory: ModeMemory, source: str, mode: Mode, reason: str) -> None:
    if mode is Mode.LIVE:
        memory.requests.pop(source, None)
    else:
        memory.requests[source] = (mode, reason)
    if mode is Mode.EMERGENCY:
        memory.resumed = False


def note_state(memory: ModeMemory, state: ModeState) -> None:
    """Enter the mode that was recorded."""
    memory.mode = state.mode
    memory.started = memory.started or state.mode is not Mode.OBSERVE
    memory.healthy_since_ns = None
    memory.resumed = False


def track_health(memory: ModeMemory, causes: Sequence[Cause], now_ns: int) -> None:
    """Start or stop the time that must pass before a step up; called after every fact."""
    floor, _ = worst(causes)
    if memory.mode is Mode.EMERGENCY or rank(floor) >= rank(memory.mode):
        memory.healthy_since_ns = None
    elif memory.healthy_since_ns is None:
        memory.healthy_since_ns = now_ns


def next_mode(
    memory: ModeMemory, causes: Sequence[Cause], now_ns: int, parameters: ModeParameters
) -> tuple[Mode, str] | None:
    """Return the mode to enter now and why, or None to stay."""
    floor, reason = worst(causes)
    if rank(floor) > rank(memory.mode):
        return floor, reason
    if memory.mode is Mode.EMERGENCY:
        return (Mode.OBSERVE, "operator_resume") if memory.resumed else None
    if rank(floor) == rank(memory.mode):
        return None
    if not memory.started:
        return floor, reason or "first_clean_reconciliation"
    since = memory.healthy_since_ns
    if since is None or now_ns - since < parameters.healthy_s * NANOS_PER_SECOND:
        return None
    return MODES[rank(memory.mode) - 1], "healthy"


def transition_diagram() -> str:
    """Return the table as a Mermaid diagram for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> observe"]
    lines += [f"    {before.value} --> {after.value}: {why}" for (before, after), why in TRANSITIONS.items()]
    return "\n".join(lines)
