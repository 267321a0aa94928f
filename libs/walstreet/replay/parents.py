"""Owns what became of parent orders on a TAPE: was each one that was sent filled whole before its time ended?"""

from __future__ import annotations

from dataclasses import dataclass, field

from walstreet.domain.units import MINUTE_NS
from walstreet.replay.recorded_arrays import keep_newest
from walstreet_events import IntentBlock, OrderFilled, OrderIntent, OrderSubmitting

REPORT_NS = MINUTE_NS
"""An execution is reported at most this much later than it happened; a parent is judged after it."""
PARENTS_MAX = 4_096
"""Parents that wait at most; the oldest are forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentOutcome:
    """A parent that was sent and whose time in force is over."""

    quantity_micro: int
    filled_in_time_micro: int


@dataclass(slots=True)
class _Parent:
    intent: OrderIntent
    sent: bool = False
    filled_micro: int = 0
    executions: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Parents:
    """Parents whose time in force is not over; one that was never sent counts nowhere."""

    clock_ns: int = 0
    """Newest session time seen."""
    _waiting: dict[str, _Parent] = field(default_factory=dict)

    def take_intents(self, block: IntentBlock) -> None:
        """Begin to watch the parents of one decision."""
        for intent in block.intents:
            if intent.id not in self._waiting and intent.quantity_micro > 0:
                keep_newest(self._waiting, intent.id, _Parent(intent), PARENTS_MAX)

    def take_sent(self, order: OrderSubmitting) -> None:
        """Note that a child order of a parent went out."""
        parent = self._waiting.get(order.intent)
        if parent is not None:
            parent.sent = True

    def take_fill(self, fill: OrderFilled) -> None:
        """Add an execution that happened in time; the same one counts once."""
        parent = self._waiting.get(fill.intent)
        if parent is None or fill.exec_id in parent.executions or fill.ts_ns > parent.intent.expires_ns:
            return
        parent.executions.append(fill.exec_id)
        parent.filled_micro += fill.quantity_micro

    def pass_time(self, ts_ns: int) -> list[ParentOutcome]:
        """Move the session's time on and return the parents about which nothing more can be heard."""
        self.clock_ns = max(self.clock_ns, ts_ns)
        return self._over(self.clock_ns - REPORT_NS)

    def finish(self) -> list[ParentOutcome]:
        """Return the parents whose time was over when the TAPE ended."""
        return self._over(self.clock_ns)

    def _over(self, before_ns: int) -> list[ParentOutcome]:
        over = [key for key, parent in self._waiting.items() if parent.intent.expires_ns <= before_ns]
        ended = [self._waiting.pop(key) for key in over]
        return [
            ParentOutcome(quantity_micro=parent.intent.quantity_micro, filled_in_time_micro=parent.filled_micro)
            for parent in ended
            if parent.sent
        ]
