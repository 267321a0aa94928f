"""Owns the arbiter's one observation from outside the log: how late its decisions are.

Replay must agree with the mode that a late decision leads to, so the lateness becomes a fact on the TAPE. In lockstep
a decision is never late by the session's clock, and at another speed than one the wall says nothing about it: then this
shell is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from walstreet.domain.observations import DecisionTimed
from walstreet.ports import Clock
from walstreet.runtime.loop import ServiceLoop
from walstreet.runtime.metrics import ServiceMetrics
from walstreet.runtime.service import NoBackground, NoEffects
from walstreet_events import NANOS_PER_SECOND, Decision

NANOS_PER_MILLISECOND = NANOS_PER_SECOND // 1_000


class LatencyShell(NoEffects, NoBackground):
    """Measures bar's end to durable decision by the wall clock; satisfies ``Shell``, ``Effects`` and ``Background``."""

    def __init__(self, wall: Clock) -> None:
        """Measure with ``wall``, which a live session's bars follow."""
        self._wall = wall
        self._observe: Callable[[Any], None] | None = None
        self._metrics: ServiceMetrics | None = None

    def attach(self, observe: Callable[[Any], None]) -> None:
        """Deliver observations to ``observe`` from now on."""
        self._observe = observe

    def attach_metrics(self, _loop: ServiceLoop[Any], metrics: ServiceMetrics) -> None:
        """Count every decision in ``metrics`` from now on."""
        self._metrics = metrics

    async def react(self, event: object) -> None:
        """Hand the latency of a decision, just appended, to the core."""
        if not isinstance(event, Decision):
            return
        assert self._observe is not None, "the shell is attached before the loop runs"
        now_ns = self._wall.now_ns()
        late_ns = now_ns - event.ts_ns
        if self._metrics is not None:
            self._metrics.bar_to_decision_seconds.labels(self._metrics.service).observe(late_ns / NANOS_PER_SECOND)
        self._observe(DecisionTimed(ts_ns=now_ns, decision=event, latency_ms=late_ns / NANOS_PER_MILLISECOND))
