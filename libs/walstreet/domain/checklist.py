"""Owns document 000's verification checklist, evaluated every hundred cycles from recorded facts.

| document 000 | items here |
|---|---|
| calibrated gates live: coverage about 80 %, barrier slope about 1 | ``coverage_<h>m``, ``barrier_slope_<event>`` |
| selector adapts: weights vary by regime, net bps improves | ``horizon_varies``, ``selector_net`` |
| message budget respected: no throttling, in time >= 95 % | ``no_throttling``, ``fill_in_time`` |
| churn under control: less turnover at equal or better net bps | ``churn``, ``turnover_reduced`` |
| no silent failures: skip per symbol, never abort | ``every_cycle_decided``, ``every_symbol_explained``, |
| | ``no_exceptions`` |
| renormalise always | ``blend_weights_sum``: weights of *blends* sum to 1; portfolio weights never have to |

``gate_<name>`` items fail where a selective gate always or never lets through; ``latency_p99`` is document 001's
target. ``turnover_reduced`` compares turnover only; whether net bps suffered is what ``selector_net`` and the alpha
budget show.
What there is too little of is unknown, never passed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from walstreet.domain.check_result import CheckResult
from walstreet.domain.monitor import BARRIER_EVENTS, MonitorReading
from walstreet.domain.monitor_parameters import MonitorParameters
from walstreet.domain.units import HORIZONS_MINUTES

ITEMS_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecklistFacts:
    """Counts over the cycles since the last evaluation; None and NaN mean that nothing was recorded."""

    cycles_due: int
    """Prediction blocks that asked for a decision."""
    cycles_decided: int
    """Decisions recorded for them."""
    symbols_unexplained: int
    """Symbols of decided cycles that have no verdict."""
    exceptions: int
    """Unhandled exceptions of all services."""
    throttles: int | None
    """Broker messages about pacing (codes 100, 420 and the like)."""
    blend_weight_error: float
    """Largest ``|sum of renormalised blend weights - 1|`` of a horizon and symbol that had a blend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecklistItem:
    """One line of the checklist."""

    code: str
    """Stable."""
    result: CheckResult
    value: float
    threshold: float
    detail: str


def checklist_due(cycles: int, parameters: MonitorParameters) -> bool:
    """Return whether the checklist is evaluated after this many cycles."""
    return cycles > 0 and cycles % parameters.checklist_every == 0


def evaluate_checklist(
    reading: MonitorReading, facts: ChecklistFacts, parameters: MonitorParameters
) -> tuple[ChecklistItem, ...]:
    """Return every item, always the same codes in the same order."""
    items = (
        *_calibration(reading, parameters),
        *_selector(reading, parameters),
        *_budget(reading, facts, parameters),
        *_churn(reading, parameters),
        *_failures(facts, parameters),
        *(
            ChecklistItem(
                code=f"gate_{name}",
                result=reading.gates[name].result,
                value=reading.gates[name].rate,
                threshold=float("nan"),
                detail=f"{reading.gates[name].passed} of {reading.gates[name].asked} symbols let through",
            )
            for name in parameters.selective_gates
        ),
    )
    assert len(items) <= ITEMS_MAX, len(items)
    return items


def _judged(known: bool, passed: bool) -> CheckResult:  # noqa: FBT001 - two conditions, named at every call
    if not known:
        return CheckResult.UNKNOWN
    return CheckResult.PASSED if passed else CheckResult.FAILED


def _calibration(reading: MonitorReading, parameters: MonitorParameters) -> tuple[ChecklistItem, ...]:
    target, tolerance = parameters.coverage_target, parameters.coverage_tolerance
    coverage = tuple(
        ChecklistItem(
            code=f"coverage_{horizon}m",
            result=_judged(
                known=reading.coverage_count[horizon] >= parameters.coverage_count_min,
                passed=abs(reading.coverage[horizon] - target) <= tolerance,
            ),
            value=reading.coverage[horizon],
            threshold=target,
            detail=f"{reading.coverage_count[horizon]} outcomes, allowed distance {tolerance}",
        )
        for horizon in HORIZONS_MINUTES
    )
    low, high = parameters.barrier_slope_min, parameters.barrier_slope_max
    barriers = tuple(
        ChecklistItem(
            code=f"barrier_slope_{event}",
            result=_judged(
                known=reading.barriers[event].count >= parameters.barrier_count_min
                and bool(np.isfinite(reading.barriers[event].slope)),
                passed=low <= reading.barriers[event].slope <= high,
            ),
            value=reading.barriers[event].slope,
            threshold=1.0,
            detail=f"{reading.barriers[event].count} probabilities, allowed {low} to {high}",
        )
        for event in BARRIER_EVENTS
    )
    return coverage + barriers


def _selector(reading: MonitorReading, parameters: MonitorParameters) -> tuple[ChecklistItem, ...]:
    gain = reading.selector_net_bps - reading.candidates_net_bps
    return (
        ChecklistItem(
            code="horizon_varies",
            result=_judged(
                known=reading.choices >= parameters.choices_min and bool(np.isfinite(reading.horizon_dependence)),
                passed=reading.horizon_dependence >= parameters.horizon_dependence_min,
            ),
            value=reading.horizon_dependence,
            threshold=parameters.horizon_dependence_min,
            detail=f"corrected Cramér's V of regime and horizon over {reading.choices} choices",
        ),
        ChecklistItem(
            code="selector_net",
            result=_judged(
                known=reading.selector_count >= parameters.selector_count_min and bool(np.isfinite(gain)),
                passed=gain >= 0.0,
            ),
            value=gain,
            threshold=0.0,
            detail=f"bps of {reading.selector_count} choices beyond the mean candidate",
        ),
    )


def _budget(reading: MonitorReading, facts: ChecklistFacts, parameters: MonitorParameters) -> tuple[ChecklistItem, ...]:
    throttles = float("nan") if facts.throttles is None else float(facts.throttles)
    return (
        ChecklistItem(
            code="no_throttling",
            result=_judged(known=facts.throttles is not None, passed=throttles == 0.0),
            value=throttles,
            threshold=0.0,
            detail="pacing messages of the broker",
        ),
        ChecklistItem(
            code="fill_in_time",
            result=_judged(
                known=reading.parents >= parameters.parents_min, passed=reading.fill_rate >= parameters.fill_rate_min
            ),
            value=reading.fill_rate,
            threshold=parameters.fill_rate_min,
            detail=(
                f"{reading.parents} parents, on average {reading.fill_quantity_share:.4f} of the quantity in time"
                if reading.parents
                else "no parents yet"
            ),
        ),
        ChecklistItem(
            code="latency_p99",
            result=_judged(
                known=reading.latencies >= parameters.latencies_min,
                passed=reading.latency_p99_ms <= parameters.latency_p99_ms_max,
            ),
            value=reading.latency_p99_ms,
            threshold=parameters.latency_p99_ms_max,
            detail=f"{reading.latencies} decisions, p50 {reading.latency_p50_ms:.1f}, max {reading.latency_max_ms:.1f}",
        ),
    )


def _churn(reading: MonitorReading, parameters: MonitorParameters) -> tuple[ChecklistItem, ...]:
    return (
        ChecklistItem(
            code="churn",
            result=_judged(known=bool(np.isfinite(reading.churn)), passed=reading.churn <= parameters.churn_max),
            value=reading.churn,
            threshold=parameters.churn_max,
            detail=f"1 - |net|/sum|intent|; turnover is {reading.turnover_bands:.2f} bands a cycle",
        ),
        ChecklistItem(
            code="turnover_reduced",
            result=_judged(
                known=reading.turnover_wanted_weight > 0.0,
                passed=reading.turnover_weight <= reading.turnover_wanted_weight,
            ),
            value=reading.turnover_weight,
            threshold=reading.turnover_wanted_weight,
            detail="turnover decided against turnover without limits and band",
        ),
    )


def _failures(facts: ChecklistFacts, parameters: MonitorParameters) -> tuple[ChecklistItem, ...]:
    missing = facts.cycles_due - facts.cycles_decided
    return (
        ChecklistItem(
            code="every_cycle_decided",
            result=_judged(known=facts.cycles_due > 0, passed=missing == 0),
            value=float(missing),
            threshold=0.0,
            detail=f"{facts.cycles_decided} decisions for {facts.cycles_due} prediction blocks",
        ),
        ChecklistItem(
            code="every_symbol_explained",
            result=_judged(known=facts.cycles_decided > 0, passed=facts.symbols_unexplained == 0),
            value=float(facts.symbols_unexplained),
            threshold=0.0,
            detail="symbols of decided cycles without a verdict",
        ),
        ChecklistItem(
            code="no_exceptions",
            result=_judged(known=True, passed=facts.exceptions == 0),
            value=float(facts.exceptions),
            threshold=0.0,
            detail="unhandled exceptions of all services",
        ),
        ChecklistItem(
            code="blend_weights_sum",
            result=_judged(
                known=bool(np.isfinite(facts.blend_weight_error)),
                passed=facts.blend_weight_error <= parameters.blend_weight_tolerance,
            ),
            value=facts.blend_weight_error,
            threshold=parameters.blend_weight_tolerance,
            detail="largest distance of a blend's weights from a sum of 1",
        ),
    )
