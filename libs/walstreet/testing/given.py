"""Owns the given/when/then helper for cores: it plays the shared loop's rules without log, sockets or clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from walstreet.domain.observations import Observation
from walstreet.ports import Core
from walstreet_events import AnyEvent, Event, encode

StateT = TypeVar("StateT")


class Scenario(Generic[StateT]):
    """One life of a core and everything it journaled.

    Facts are events of other services (inputs) or observations; outputs are folded as soon as they are decided,
    as the loop does after the durable append.
    """

    def __init__(self, build: Callable[[], Core[StateT]], log: Sequence[AnyEvent] = ()) -> None:
        """Start a life of the core that ``build`` makes; ``log`` is what earlier lives read and wrote, in order."""
        self._build = build
        self.core = build()
        self.state = self.core.initial()
        self.log: list[AnyEvent] = []
        self.outputs: list[AnyEvent] = []
        for event in log:
            self.state = self.core.evolve(self.state, event)
            self.log.append(event)

    def given(self, *facts: AnyEvent | Observation) -> Scenario[StateT]:
        """Let ``facts`` happen, whatever they cause."""
        for fact in facts:
            self.when(fact)
        return self

    def when(self, fact: AnyEvent | Observation) -> list[AnyEvent]:
        """Let one fact happen and return what the core journaled because of it."""
        if isinstance(fact, Event):
            event: AnyEvent = fact
            self._fold(event)
            outputs = self.core.decide(self.state, event)
        else:
            outputs = self.core.observe(self.state, fact)
        for output in outputs:
            self._fold(output)
        self.outputs.extend(outputs)
        return list(outputs)

    def restarted(self) -> Scenario[StateT]:
        """Return the next life: a new core whose state comes from the log alone."""
        return Scenario(self._build, self.log)

    def output_bytes(self) -> list[bytes]:
        """Return the wire bytes of everything this life journaled."""
        return [encode(event) for event in self.outputs]

    def _fold(self, event: AnyEvent) -> None:
        self.state = self.core.evolve(self.state, event)
        self.log.append(event)
