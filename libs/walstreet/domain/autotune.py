"""Owns the daily tuning of thresholds by what trading cost: bounded, slow, reversible, silent without samples.

Three thresholds, each with a law that gives a target from the pooled samples of the window:

- *reserve* (``arbiter.arbitration.reserve_bps``), the edge a trade must leave beyond its expected cost: the configured
  value plus both sides of the mean cost error, ``base + 2 * soft(realised - predicted)``;
- *drift* (``execution.drift_bps_max``), how far the mid may have moved since the decision: a factor times what 99 % of
  the parents met, never above the configured value;
- *spread* (``execution.market.spread_bps_max``): a step tighter while parents sent at spreads in the upper half of what
  is permitted lose, ``soft(|alpha| - 2 * realised) < 0``, else back to the configured value and never above it.

``soft`` takes so many standard errors off a mean, so that chance moves nothing and thresholds return to their
configured values when their reason is gone. The way to a target is at most one step a day, inside absolute bounds,
and not worth less than the deadband. A parameter that an operator has changed stands for some sessions: a person's
word goes before a statistic's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from walstreet.domain.tca_parameters import WINDOW_DAYS_MAX, TcaParameters, Tuning
from walstreet_events import ParameterChange, ParameterTuned, TcaReport, TcaSamples, TuningProposal

RESERVE = "arbiter.arbitration.reserve_bps"
DRIFT = "execution.drift_bps_max"
SPREAD = "execution.market.spread_bps_max"
PATHS = (RESERVE, DRIFT, SPREAD)
DIGITS = 4
"""Decimals of a tuned value."""
OPERATOR = "autotune"
"""Who stands in a tuned change where a person's name would."""


class Reason(StrEnum):
    """Why a proposal is what it is."""

    MOVED = "moved"
    WITHIN_DEADBAND = "within_deadband"
    NO_SAMPLES = "no_samples"
    OPERATOR_HOLD = "operator_hold"
    OUTSIDE_BOUNDS = "outside_bounds"
    TUNED_TODAY = "tuned_today"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """The samples of several sessions as one."""

    count: int
    mean: float
    deviation: float
    high: float
    """Largest of the sessions' 99 % quantiles."""
    days: int


@dataclass(slots=True, kw_only=True)
class TuneMemory:
    """Values in force, and who changed them last; folded from the changes on the log."""

    base: dict[str, float] = field(default_factory=dict)
    """Of the configuration; parameters that are not here are not tuned."""
    current: dict[str, float] = field(default_factory=dict)
    tuned_on: dict[str, str] = field(default_factory=dict)
    """Session of the last tuned change."""
    held_for: dict[str, int] = field(default_factory=dict)
    """Sessions reported since an operator changed the parameter; absent where the last change was tuned."""

    def canonical(self) -> tuple[object, ...]:
        """Return the content for a digest."""
        return tuple(tuple(sorted(item.items())) for item in (self.current, self.tuned_on, self.held_for))


def tune_memory(base: dict[str, float]) -> TuneMemory:
    """Return the memory at the start: the configured values are in force."""
    return TuneMemory(base=dict(base), current=dict(base))


def note_change(memory: TuneMemory, change: ParameterChange) -> None:
    """Take a change of a tuned parameter; others, and texts that are no number, change nothing."""
    if change.path not in memory.base:
        return
    try:
        value = float(change.value)
    except ValueError:
        # The owner of the parameter refuses it as well; there it becomes a dead letter, which names it.
        return
    memory.current[change.path] = value
    if isinstance(change, ParameterTuned):
        memory.tuned_on[change.path] = change.session_date
        memory.held_for.pop(change.path, None)
    else:
        memory.held_for[change.path] = 0


def note_report(memory: TuneMemory) -> None:
    """Count a reported session for the parameters that an operator holds."""
    for path, sessions in memory.held_for.items():
        memory.held_for[path] = min(sessions + 1, WINDOW_DAYS_MAX + 1)


def pool(samples: Sequence[TcaSamples]) -> Pooled:
    """Return the samples of several sessions as one: counts add, means and variances combine exactly."""
    used = [item for item in samples if item.count > 0]
    count = sum(item.count for item in used)
    if not count:
        return Pooled(count=0, mean=math.nan, deviation=math.nan, high=math.nan, days=0)
    mean = math.fsum(item.count * item.mean for item in used) / count
    squares = math.fsum(item.count * (item.deviation**2 + (item.mean - mean) ** 2) for item in used)
    return Pooled(
        count=count,
        mean=mean,
        deviation=math.sqrt(squares / count),
        high=max(item.high for item in used),
        days=len(used),
    )


def soft(pooled: Pooled, significance: float) -> float:
    """Return the mean less ``significance`` standard errors towards zero, and zero where nothing is left."""
    if pooled.count < 2:
        return 0.0
    error = significance * pooled.deviation / math.sqrt(pooled.count - 1)
    return math.copysign(max(0.0, abs(pooled.mean) - error), pooled.mean)


def target_of(path: str, *, base: float, current: float, pooled: Pooled, parameters: TcaParameters) -> float:
    """Return where the samples point, before bounds and step.

    Args:
        path: One of ``PATHS``.
        base: The configured value.
        current: The value in force.
        pooled: Samples of the window, at least one.
        parameters: Significance, factor and steps.
    """
    if path == RESERVE:
        return base + 2.0 * soft(pooled, parameters.significance)
    if path == DRIFT:
        return min(base, parameters.drift_factor * pooled.high)
    assert path == SPREAD, path
    return current - parameters.spread.step if soft(pooled, parameters.significance) < 0.0 else base


def propose(
    memory: TuneMemory, days: Sequence[tuple[TcaSamples, ...]], session_date: str, parameters: TcaParameters
) -> tuple[TuningProposal, ...]:
    """Return a proposal for every tuned parameter, also where nothing is to be changed.

    Args:
        memory: Values in force.
        days: Samples of the sessions, oldest first, the newest one last; only the window counts.
        session_date: The newest session.
        parameters: Bounds, window, minimum samples.
    """
    window = days[-parameters.window_days :]
    return tuple(
        _proposal(memory, path, [item for day in window for item in day if item.path == path], session_date, parameters)
        for path in PATHS
        if path in memory.base
    )


def tuned_days(reports: Sequence[TcaReport], parameters: TcaParameters) -> list[tuple[TcaSamples, ...]]:
    """Return the samples of the earlier sessions that the window may still reach."""
    return [report.samples for report in reports[-parameters.window_days :]]


def tuning_of(path: str, parameters: TcaParameters) -> Tuning:
    """Return the bounds of a tuned parameter."""
    return {RESERVE: parameters.reserve, DRIFT: parameters.drift, SPREAD: parameters.spread}[path]


def _proposal(
    memory: TuneMemory, path: str, samples: Sequence[TcaSamples], session_date: str, parameters: TcaParameters
) -> TuningProposal:
    tuning = tuning_of(path, parameters)
    pooled, current = pool(samples), memory.current[path]
    target, value, reason = current, current, Reason.NO_SAMPLES
    if memory.tuned_on.get(path) == session_date:
        reason = Reason.TUNED_TODAY
    elif memory.held_for.get(path, parameters.hold_days) < parameters.hold_days:
        reason = Reason.OPERATOR_HOLD
    elif not tuning.low <= current <= tuning.high:
        reason = Reason.OUTSIDE_BOUNDS
    elif pooled.count >= parameters.samples_min and pooled.days >= parameters.days_min:
        target = target_of(path, base=memory.base[path], current=current, pooled=pooled, parameters=parameters)
        value = _step(current, target, tuning)
        reason = Reason.MOVED if value != current else Reason.WITHIN_DEADBAND
    return TuningProposal(
        path=path,
        current=current,
        target=round(target, DIGITS),
        proposed=value,
        reason=reason.value,
        days=pooled.days,
        samples=pooled.count,
    )


def _step(current: float, target: float, tuning: Tuning) -> float:
    """Return the value one step on the way to the target, inside the bounds; ``current`` is inside."""
    wanted = min(max(target, tuning.low), tuning.high)
    if abs(wanted - current) < tuning.deadband or wanted == current:
        return current
    moved = current + min(max(wanted - current, -tuning.step), tuning.step)
    return min(max(round(moved, DIGITS), tuning.low), tuning.high)
