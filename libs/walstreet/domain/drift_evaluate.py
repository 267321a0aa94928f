"""Owns the evaluation of a model's health: five checks over the window, each passed, failed or unknown.

- ``rank_ic``: fails if the lower bound of the mean IC is below ``ic_lower_min``, provided that the bound is narrow
  enough to say something (``ic_half_width_max``) or even its upper end is below the mark. One *observation* is one
  cross-section; at least ``times_min`` of them;
- ``reliability``: slope of y on f through the origin, 1 if the calibration still holds (times the calibration's
  slope it is the slope of y on the score); fails if its whole bound lies outside [``slope_min``, ``slope_max``];
- ``net_edge``: mean of ``sign(alpha)*return - cost`` in bps over the pairs with |alpha| > cost; fails if its upper
  bound is below ``net_edge_bps_min``;
- ``input_shift``: PSI of the inputs, warns from .10, fails from .25 (see ``psi``);
- ``page_hinkley``: fails while the test on the standardised error is in alarm (see ``page_hinkley``).

For slope and edge a value on the wrong side whose bound reaches across is *unknown*: neither a failure nor a pass.
Bounds respect that successive outcomes overlap (see ``drift_bounds``). An evaluation fails if any check failed; it
passed if none failed and at least one check of outcomes passed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from walstreet import kernels
from walstreet.domain.check_result import CheckResult
from walstreet.domain.drift_bounds import Estimate, ratio_estimate
from walstreet.domain.drift_memory import CROSS, EDGE, IC, SQUARE, TRADES, DriftHealth
from walstreet.domain.drift_parameters import Check, DriftParameters
from walstreet.domain.page_hinkley import PageHinkley
from walstreet.domain.units import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One check of one evaluation."""

    check: Check
    result: CheckResult
    value: float
    lower: float
    upper: float
    warning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What an evaluation found; ``result`` is what streaks count."""

    model: str
    horizon_minutes: int
    times: int
    """Cross-sections in the window."""
    readings: tuple[Reading, ...]
    result: CheckResult
    warning: bool

    def reading(self, check: Check) -> Reading:
        """Return one check's reading."""
        return next(item for item in self.readings if item.check is check)


def evaluate(health: DriftHealth, parameters: DriftParameters, *, input_shift: float = float("nan")) -> Evaluation:
    """Return what the window says now; nothing is changed.

    Args:
        health: Of one model at one horizon.
        parameters: The marks.
        input_shift: ``PsiReading.value`` of the model's inputs, NaN where it is unknown.
    """
    rows = np.ascontiguousarray(health.window.ordered().T)
    overlap, times = parameters.overlap(health.horizon_minutes), health.window.count
    enough = times >= parameters.times_min

    def bound(numerators: FloatArray, denominators: FloatArray) -> Estimate:
        return ratio_estimate(numerators, denominators, overlap=overlap, normal_quantile=parameters.normal_quantile)

    trades = kernels.ordered_sum(rows[TRADES])
    readings = (
        _judge_ic(bound(rows[IC], np.ones(times)), parameters, judged=enough),
        _judge_range(
            Check.RELIABILITY,
            bound(rows[CROSS], rows[SQUARE]),
            low=parameters.slope_min,
            high=parameters.slope_max,
            judged=enough,
        ),
        _judge_range(
            Check.NET_EDGE,
            bound(rows[EDGE], rows[TRADES]),
            low=parameters.net_edge_bps_min,
            high=float("inf"),
            judged=enough and trades >= parameters.trades_min,
        ),
        _judge_shift(input_shift, parameters),
        _judge_change(health.page_hinkley, parameters),
    )
    outcomes = (Check.RANK_IC, Check.RELIABILITY, Check.NET_EDGE)
    if any(item.result is CheckResult.FAILED for item in readings):
        result = CheckResult.FAILED
    elif any(item.check in outcomes and item.result is CheckResult.PASSED for item in readings):
        result = CheckResult.PASSED
    else:
        result = CheckResult.UNKNOWN
    return Evaluation(
        model=health.model,
        horizon_minutes=health.horizon_minutes,
        times=times,
        readings=readings,
        result=result,
        warning=any(item.warning for item in readings),
    )


def _reading(check: Check, estimate: Estimate, result: CheckResult) -> Reading:
    return Reading(check=check, result=result, value=estimate.value, lower=estimate.lower, upper=estimate.upper)


def _judge_ic(estimate: Estimate, parameters: DriftParameters, *, judged: bool) -> Reading:
    mark = parameters.ic_lower_min
    if not (judged and estimate.known):
        result = CheckResult.UNKNOWN
    elif estimate.lower >= mark:
        result = CheckResult.PASSED
    elif estimate.half_width <= parameters.ic_half_width_max or estimate.upper < mark:
        result = CheckResult.FAILED
    else:
        result = CheckResult.UNKNOWN
    return _reading(Check.RANK_IC, estimate, result)


def _judge_range(check: Check, estimate: Estimate, *, low: float, high: float, judged: bool) -> Reading:
    if not (judged and estimate.known):
        result = CheckResult.UNKNOWN
    elif low <= estimate.value <= high:
        result = CheckResult.PASSED
    elif estimate.upper < low or estimate.lower > high:
        result = CheckResult.FAILED
    else:
        result = CheckResult.UNKNOWN
    return _reading(check, estimate, result)


def _judge_shift(value: float, parameters: DriftParameters) -> Reading:
    if not np.isfinite(value):
        result = CheckResult.UNKNOWN
    else:
        result = CheckResult.FAILED if value >= parameters.psi.quarantine else CheckResult.PASSED
    warning = bool(value >= parameters.psi.warn)
    return Reading(check=Check.INPUT_SHIFT, result=result, value=value, lower=value, upper=value, warning=warning)


def _judge_change(test: PageHinkley, parameters: DriftParameters) -> Reading:
    value = test.statistic if test.count else float("nan")
    if not test.count:
        result = CheckResult.UNKNOWN
    else:
        result = CheckResult.FAILED if value > parameters.page_hinkley_lambda else CheckResult.PASSED
    return Reading(check=Check.PAGE_HINKLEY, result=result, value=value, lower=value, upper=value)
