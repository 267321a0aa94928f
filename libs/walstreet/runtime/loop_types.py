"""Owns the small values of the shared loop: what a replay found, what no life has finished, and its overrun."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from walstreet.runtime.loop_ports import Message
from walstreet_events import AnyEvent


class LoopOverrunError(RuntimeError):
    """Our fault: observations came faster than the loop could take them, beyond the named bound."""


@dataclass(slots=True)
class Replayed:
    """What replay found out about the service's earlier lives."""

    through: int = 0
    """Last input that an earlier life had processed for certain."""
    inputs: int = 0
    outputs: int = 0
    recorded: set[str] = field(default_factory=set)
    """Ids of own outputs that follow from the input ``through``."""


class Undone(NamedTuple):
    """An input that no life has processed for certain; without an event it is to be dead-lettered."""

    message: Message
    event: AnyEvent | None
    reason: str
    detail: str
