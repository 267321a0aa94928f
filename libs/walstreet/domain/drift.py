"""Owns model health: has a model at a horizon stopped knowing what it was trained to know?

Learning happens from matured cross-sections only: the scores of one decision time and what became of the symbols
(``drift_memory``). Every ``evaluate_every`` of them an evaluation looks at the window (``drift_evaluate``).
``streak_max`` failures in a row quarantine, as many passes release; an unknown evaluation neither adds to a streak nor
breaks it. Quarantine begins the change test anew: what the world is like now is what a later change is measured
against, and the other checks decide on the release. A quarantined model's predictions go on being scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from walstreet.domain.check_result import CheckResult
from walstreet.domain.drift_evaluate import Evaluation, Reading, evaluate
from walstreet.domain.drift_memory import (
    DriftBank,
    DriftHealth,
    Matured,
    MaturedModels,
    drift_health,
    learn,
    learn_models,
)
from walstreet.domain.drift_parameters import TRANSITIONS, Check, DriftParameters, HealthStatus
from walstreet.domain.page_hinkley import BlockStandardiser, PageHinkley

__all__ = [
    "TRANSITIONS",
    "Check",
    "CheckResult",
    "DriftBank",
    "DriftHealth",
    "DriftParameters",
    "Evaluation",
    "HealthStatus",
    "Matured",
    "MaturedModels",
    "Reading",
    "StatusChange",
    "advance",
    "drift_health",
    "evaluate",
    "learn",
    "learn_models",
    "observe",
    "observe_models",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChange:
    """A model's status moved; the caller makes it an event."""

    model: str
    horizon_minutes: int
    previous: HealthStatus
    status: HealthStatus
    reason: str
    """The checks that failed, joined by ``+``, or the streak that released it; stable codes."""


def advance(health: DriftHealth, evaluation: Evaluation, parameters: DriftParameters) -> StatusChange | None:
    """Count the evaluation and move the status along ``drift_parameters.TRANSITIONS``; return the move, if any."""
    if evaluation.result is CheckResult.FAILED:
        health.failures, health.passes = health.failures + 1, 0
    elif evaluation.result is CheckResult.PASSED:
        health.failures, health.passes = 0, health.passes + 1
    previous, status, reason = health.status, _next_status(health, evaluation, parameters), _reason(evaluation)
    if previous is HealthStatus.QUARANTINED and status is not previous:
        reason = f"passed_{health.passes}_in_a_row"
    if status is HealthStatus.QUARANTINED and previous is not status:
        health.standardiser, health.page_hinkley = BlockStandardiser(), PageHinkley()
    health.status = status
    if status is previous:
        return None
    return StatusChange(
        model=health.model,
        horizon_minutes=health.horizon_minutes,
        previous=previous,
        status=status,
        reason=reason,
    )


def _next_status(health: DriftHealth, evaluation: Evaluation, parameters: DriftParameters) -> HealthStatus:
    passed = HealthStatus.WARNING if evaluation.warning else HealthStatus.HEALTHY
    if health.status is HealthStatus.QUARANTINED:
        return passed if health.passes >= parameters.streak_max else health.status
    if health.failures >= parameters.streak_max:
        return HealthStatus.QUARANTINED
    if evaluation.result is CheckResult.PASSED:
        return passed
    if evaluation.result is CheckResult.FAILED or evaluation.warning:
        return HealthStatus.WARNING
    return health.status


def _reason(evaluation: Evaluation) -> str:
    failed = [item.check.value for item in evaluation.readings if item.result is CheckResult.FAILED]
    warned = [f"{item.check.value}_warning" for item in evaluation.readings if item.warning]
    return "+".join(failed or warned) or evaluation.result.value


def observe(
    health: DriftHealth, matured: Matured, parameters: DriftParameters, *, input_shift: float = float("nan")
) -> tuple[Evaluation | None, StatusChange | None]:
    """Learn, and evaluate and advance when an evaluation is due: the whole step of one matured time."""
    if not learn(health, matured, parameters):
        return None, None
    evaluation = evaluate(health, parameters, input_shift=input_shift)
    return evaluation, advance(health, evaluation, parameters)


def observe_models(
    healths: Sequence[DriftHealth], matured: MaturedModels, parameters: DriftParameters
) -> list[StatusChange]:
    """Do the whole step of one matured time for (M,) models of one horizon; return the moves, in their order.

    The same as ``observe`` for each of them.
    """
    due = learn_models(healths, matured, parameters)
    moves = [
        advance(health, evaluate(health, parameters), parameters)
        for health, evaluated in zip(healths, due, strict=True)
        if evaluated
    ]
    return [move for move in moves if move is not None]
