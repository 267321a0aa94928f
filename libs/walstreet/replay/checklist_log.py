"""Owns the evaluations of the verification checklist over a TAPE, and the counts between two of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from walstreet.domain.check_result import CheckResult
from walstreet.domain.checklist import ChecklistFacts, ChecklistItem, evaluate_checklist
from walstreet.domain.mode_causes import TOPIC_EXCEPTION
from walstreet.domain.monitor import MonitorReading
from walstreet.domain.monitor_parameters import MonitorParameters
from walstreet.replay.recorded_arrays import keep_newest
from walstreet_events import (
    AnyEvent,
    BrokerStatus,
    Decision,
    FeedStatus,
    ModeRequest,
    OrderUpdated,
    PredictionBlock,
    RotationDecision,
)

COUNTED = (PredictionBlock, RotationDecision, ModeRequest, BrokerStatus, FeedStatus, OrderUpdated)
"""Events that ``ChecklistClerk.take`` looks at."""
PACING_CODES = (100, 420)
"""Broker's codes for too many messages, and for too many real-time queries."""
HISTORY_CODE, HISTORY_PACING = 162, "pacing"
"""A refused request for history is about pacing if its text says so."""
EVALUATIONS_MAX = 1_000
"""Evaluations kept; the oldest are forgotten, what failed in them is not."""
PENDING_MAX = 10_000
"""Prediction blocks that wait for their decisions; beyond it the oldest are taken for undecided at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The checklist after so many cycles."""

    cycle: int
    ts_ns: int
    items: tuple[ChecklistItem, ...]

    @property
    def failed(self) -> tuple[str, ...]:
        """Return the codes of what failed."""
        return tuple(item.code for item in self.items if item.result is CheckResult.FAILED)


@dataclass(slots=True)
class ChecklistLog:
    """Every evaluation of a session, oldest first."""

    evaluations: list[Evaluation] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    """Items that failed at any time, with the number of evaluations in which they did."""
    notes: list[str] = field(default_factory=list)
    """What the TAPE does not say, and which items are unknown for it."""

    @property
    def last(self) -> Evaluation | None:
        """Return the newest evaluation, None before the first."""
        return self.evaluations[-1] if self.evaluations else None

    def add(self, evaluation: Evaluation) -> None:
        """Keep an evaluation."""
        self.failures.update(evaluation.failed)
        self.evaluations.append(evaluation)
        del self.evaluations[:-EVALUATIONS_MAX]


@dataclass(slots=True)
class ChecklistClerk:
    """Counts what happens between two evaluations."""

    throttles_seen: int = 0
    """Pacing messages of the whole TAPE."""
    rotates: bool = False
    """The daily rotation has decided."""
    _pending: dict[str, None] = field(default_factory=dict)
    """Prediction blocks without a decision, oldest first."""
    _known: dict[str, None] = field(default_factory=dict)
    """Prediction blocks seen; a later life of the service may write one again."""
    _due: int = 0
    _decided: int = 0
    _unexplained: int = 0
    _exceptions: int = 0
    _throttles: int = 0

    def take(self, event: AnyEvent) -> None:
        """Count an event; decisions are counted by ``take_decision``."""
        match event:
            case PredictionBlock() if not event.warmup and event.id not in self._known:
                keep_newest(self._known, event.id, None, PENDING_MAX)
                self._pending[event.id] = None
                if len(self._pending) > PENDING_MAX:
                    self._give_up(next(iter(self._pending)))
            case RotationDecision():
                self.rotates = True
            case ModeRequest() if event.topic == TOPIC_EXCEPTION:
                self._exceptions += 1
            case BrokerStatus() | FeedStatus() | OrderUpdated() if _about_pacing(event):
                self._throttles += 1
                self.throttles_seen += 1
            case _:
                pass

    def take_decision(self, decision: Decision) -> None:
        """Count a decision; an older block that still waits has been passed over."""
        self._unexplained += max(0, len(decision.symbols) - len(decision.verdicts))
        if decision.predictions not in self._pending:
            return
        while (oldest := next(iter(self._pending))) != decision.predictions:
            self._give_up(oldest)
        del self._pending[decision.predictions]
        self._due += 1
        self._decided += 1

    def close(self, *, ended: bool) -> bool:
        """Take what still waits for undecided, and return whether anything is left to evaluate.

        Args:
            ended: Whether the session is over. While it runs, the newest block may be decided any moment.
        """
        waiting = list(self._pending)
        for name in waiting if ended else waiting[:-1]:
            self._give_up(name)
        return bool(self._due or self._decided or self._unexplained or self._exceptions or self._throttles)

    def forget_due(self) -> None:
        """Take nothing for due: the intraday cycle was switched off, and forecasts only served learning."""
        self._pending.clear()
        self._due = 0

    def evaluate(self, cycle: int, ts_ns: int, reading: MonitorReading, parameters: MonitorParameters) -> Evaluation:
        """Return the checklist now, and begin to count anew."""
        facts = ChecklistFacts(
            cycles_due=self._due,
            cycles_decided=self._decided,
            symbols_unexplained=self._unexplained,
            exceptions=self._exceptions,
            # One that was seen is a fact. None seen says nothing: the order connection's are not recorded.
            throttles=self._throttles or None,
            blend_weight_error=float("nan"),
        )
        self._due = self._decided = self._unexplained = self._exceptions = self._throttles = 0
        return Evaluation(cycle=cycle, ts_ns=ts_ns, items=evaluate_checklist(reading, facts, parameters))

    def _give_up(self, name: str) -> None:
        del self._pending[name]
        self._due += 1


def _about_pacing(event: BrokerStatus | FeedStatus | OrderUpdated) -> bool:
    return event.code in PACING_CODES or (event.code == HISTORY_CODE and HISTORY_PACING in event.detail.lower())
