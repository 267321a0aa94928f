"""Owns the kernels that learn from matured outcomes: model health, blend sums, medians of past scores.

They come with the native wheel as a module of their own; a wheel from before they existed still serves the other
kernels, and these run in NumPy. Native and reference have the same bits.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Final, NamedTuple, Protocol

import numpy as np

from walstreet.kernels import _checks as checks
from walstreet.kernels import facade
from walstreet.kernels.interface import FloatArray, IntArray
from walstreet.kernels.ranks import average_ranks

__all__ = [
    "MATURED_INTERFACE_VERSION",
    "Contribution",
    "MaturedBounds",
    "MaturedColumn",
    "RowMedians",
    "contribution",
    "matured_is_native",
    "matured_rows",
    "reference_contribution",
    "reference_matured_rows",
    "reference_row_medians",
    "row_medians",
]

# A native wheel with another number is refused: its functions take other arguments.
MATURED_INTERFACE_VERSION: Final = 1
PAIRS_MIN: Final = 3
"""Two pairs always correlate perfectly."""


class MaturedColumn(IntEnum):
    """Name what one model's matured cross-section comes to."""

    RANK_IC = 0
    CROSS = 1
    SQUARE = 2
    EDGE = 3
    TRADES = 4
    ERROR = 5


class Contribution(IntEnum):
    """Name the rows of what one decision time adds to the sums of every model."""

    SCORE_OUTCOME = 0
    OUTCOME_SQUARE = 1
    SURVIVING = 2
    PRICED = 3
    ANSWERED = 4


class MaturedBounds(NamedTuple):
    """What counts as missing or is clipped, and which error is meant."""

    score_abs_max: float
    sigma_bps_max: float
    slope_abs_max: float
    outcome_abs_max: float
    excess: bool
    """Squared error minus that of a zero forecast; else the absolute error."""


class RowMedians(NamedTuple):
    """What a row's values centre on, (rows,) each; NaN without a value."""

    medians: FloatArray
    spreads: FloatArray
    """Median absolute deviation."""
    counts: IntArray


class _Compiled(Protocol):
    """Describe ``walstreet_native.matured``; results are written in place."""

    MATURED_INTERFACE_VERSION: int

    def matured_rows(  # noqa: PLR0917 - mirrors the native call
        self,
        scores: FloatArray,
        slopes: FloatArray,
        return_bps: FloatArray,
        sigma_bps: FloatArray,
        cost_bps: FloatArray,
        score_abs_max: float,
        sigma_bps_max: float,
        slope_abs_max: float,
        outcome_abs_max: float,
        excess: bool,  # noqa: FBT001 - mirrors the native call
        rows: FloatArray,
    ) -> None:
        """Write one row per model."""
        ...

    def contribution(  # noqa: PLR0917 - mirrors the native call
        self,
        scores: FloatArray,
        alphas_bps: FloatArray,
        outcomes: FloatArray,
        cost_bps: FloatArray,
        score_abs_max: float,
        outcome_abs_max: float,
        products: FloatArray,
        sums: FloatArray,
    ) -> None:
        """Write the sums of one decision time."""
        ...

    def row_medians(  # noqa: PLR0917 - mirrors the native call
        self,
        history: FloatArray,
        used: int,
        first_row: int,
        row_step: int,
        medians: FloatArray,
        spreads: FloatArray,
        counts: IntArray,
    ) -> None:
        """Write medians and spreads of every ``row_step``-th row."""
        ...


_compiled: _Compiled | None = None
try:
    from walstreet_native import matured as _module
except ImportError:
    # A wheel from before these kernels, or none at all; matured_is_native says so.
    pass
else:
    if _module.MATURED_INTERFACE_VERSION == MATURED_INTERFACE_VERSION:
        _compiled = _module


def _native() -> _Compiled | None:
    return _compiled if facade.is_native() else None


def matured_is_native() -> bool:
    """Return whether this process runs these kernels natively."""
    return _native() is not None


def matured_rows(
    scores: FloatArray,
    slopes: FloatArray,
    *,
    return_bps: FloatArray,
    sigma_bps: FloatArray,
    cost_bps: FloatArray,
    bounds: MaturedBounds,
) -> FloatArray:
    """Return ``(models, 6)`` what one matured cross-section says of every model, columns as in ``MaturedColumn``.

    With forecast ``f = slope * score`` and outcome ``y = clip(return / sigma)``: Spearman's rank correlation of score
    and outcome; ``sum(f*y)``; ``sum(f*f)``; the sum of ``sign(f)*y*sigma - cost`` in bps over the symbols with
    ``abs(f)*sigma > cost``, and their number; the mean error ``f*(f - 2y)`` or ``abs(y - f)``. A symbol without a sound
    score, return or volatility counts nowhere. The correlation is NaN below three symbols or where one side is the same
    for all, and then, or with a slope that is not in use, the other columns are 0 and the error NaN.

    Args:
        scores: ``(models, symbols)``; NaN is missing, as in all that follows.
        slopes: ``(models,)`` calibration; what is not above 0 makes no forecast.
        return_bps: ``(symbols,)`` realised, signed.
        sigma_bps: ``(symbols,)`` volatility over the same horizon.
        cost_bps: ``(symbols,)`` round trip.
        bounds: What counts.

    Raises:
        TypeError: not arrays of float64.
        ValueError: wrong shape or strides, or an infinite cost that makes the edge infinite.
    """
    native = _native()
    if native is None:
        return reference_matured_rows(
            scores, slopes, return_bps=return_bps, sigma_bps=sigma_bps, cost_bps=cost_bps, bounds=bounds
        )
    rows = np.empty((len(scores), len(MaturedColumn)))
    native.matured_rows(scores, slopes, return_bps, sigma_bps, cost_bps, *bounds, rows)
    return rows


def _rank_correlation(score: FloatArray, realised: FloatArray) -> float:
    count = len(score)
    if count < PAIRS_MIN:
        return math.nan
    centre = 0.5 * (count + 1)
    left, right = average_ranks(score) - centre, average_ranks(realised) - centre
    scale = facade.ordered_dot(left, left) * facade.ordered_dot(right, right)
    return facade.ordered_dot(left, right) / math.sqrt(scale) if scale != 0.0 else math.nan


def reference_matured_rows(
    scores: FloatArray,
    slopes: FloatArray,
    *,
    return_bps: FloatArray,
    sigma_bps: FloatArray,
    cost_bps: FloatArray,
    bounds: MaturedBounds,
) -> FloatArray:
    """Return what ``matured_rows`` does, in NumPy."""
    checks.require_array(scores, "scores", "float64", 2)
    checks.require_array(slopes, "slopes", "float64", 1)
    checks.require_shape(slopes, "slopes", (len(scores),), "scores")
    for name, values in (("return_bps", return_bps), ("sigma_bps", sigma_bps), ("cost_bps", cost_bps)):
        checks.require_array(values, name, "float64", 1)
        checks.require_shape(values, name, scores.shape[1:], "scores")
    rows = np.zeros((len(scores), len(MaturedColumn)))
    rows[:, MaturedColumn.ERROR] = np.nan
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        outcome = return_bps / sigma_bps
        usable = (sigma_bps > 0.0) & (sigma_bps <= bounds.sigma_bps_max) & np.isfinite(outcome)
        known = usable[None, :] & (np.abs(scores) <= bounds.score_abs_max)
    for row, score, here, slope in zip(rows, scores, known, slopes.tolist(), strict=True):
        realised = np.clip(outcome[here], -bounds.outcome_abs_max, bounds.outcome_abs_max)
        information = _rank_correlation(score[here], realised)
        row[MaturedColumn.RANK_IC] = information
        if math.isnan(information) or not 0.0 < slope <= bounds.slope_abs_max:
            continue
        forecast = slope * score[here]
        row[MaturedColumn.CROSS] = facade.ordered_dot(forecast, realised)
        row[MaturedColumn.SQUARE] = facade.ordered_dot(forecast, forecast)
        with np.errstate(invalid="ignore", over="ignore"):
            traded = np.abs(forecast) * sigma_bps[here] > cost_bps[here]
            edge = np.sign(forecast) * realised * sigma_bps[here] - cost_bps[here]
        chosen = edge[traded]
        if not np.isfinite(chosen).all():
            raise ValueError(f"cost_bps: the edge of the trades is {np.sum(chosen)}, must be finite; repair the costs")
        row[MaturedColumn.EDGE] = facade.ordered_sum(chosen) if chosen.size else 0.0
        row[MaturedColumn.TRADES] = chosen.size
        # The excess (y - f)^2 - y^2 is written so that nothing large cancels.
        errors = forecast * (forecast - 2.0 * realised) if bounds.excess else np.abs(realised - forecast)
        row[MaturedColumn.ERROR] = facade.ordered_sum(errors) / len(errors)
    return rows


def contribution(
    scores: FloatArray,
    alphas_bps: FloatArray,
    outcomes: FloatArray,
    cost_bps: FloatArray,
    *,
    score_abs_max: float,
    outcome_abs_max: float,
) -> tuple[FloatArray, FloatArray]:
    """Return ``(models, models)`` sums of score products and ``(5, models)`` sums, rows as in ``Contribution``.

    Over the symbols in their order, of score s and clipped outcome y: ``s*y``, ``y*y``, the share of the alpha that
    survives its cost ``1 - min(1, cost/abs(alpha))``, the symbols that have one, and 1 if the model answered at all.
    What is missing counts as 0.

    Args:
        scores: ``(models, symbols)``; NaN is missing, as in all that follows.
        alphas_bps: ``(models, symbols)``, signed.
        outcomes: ``(symbols,)`` return over volatility.
        cost_bps: ``(symbols,)`` round trip; below 0 is missing.
        score_abs_max: A larger score counts as missing.
        outcome_abs_max: An outcome counts with at most this size.

    Raises:
        TypeError: not arrays of float64.
        ValueError: wrong shape or strides, no model, or no symbol.
    """
    native = _native()
    if native is None:
        return reference_contribution(
            scores, alphas_bps, outcomes, cost_bps, score_abs_max=score_abs_max, outcome_abs_max=outcome_abs_max
        )
    count = len(scores)
    products, sums = np.empty((count, count)), np.empty((len(Contribution), count))
    native.contribution(scores, alphas_bps, outcomes, cost_bps, score_abs_max, outcome_abs_max, products, sums)
    return products, sums


def reference_contribution(
    scores: FloatArray,
    alphas_bps: FloatArray,
    outcomes: FloatArray,
    cost_bps: FloatArray,
    *,
    score_abs_max: float,
    outcome_abs_max: float,
) -> tuple[FloatArray, FloatArray]:
    """Return what ``contribution`` does, in NumPy."""
    checks.require_array(scores, "scores", "float64", 2)
    checks.require_array(alphas_bps, "alphas_bps", "float64", 2)
    checks.require_extent(scores, "scores", 1, 4_096, "models")
    checks.require_extent(scores, "scores", 1, 1 << 20, "symbols", axis=1)
    checks.require_shape(alphas_bps, "alphas_bps", scores.shape, "scores")
    for name, values in (("outcomes", outcomes), ("cost_bps", cost_bps)):
        checks.require_array(values, name, "float64", 1)
        checks.require_shape(values, name, scores.shape[1:], "scores")
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        valid = (np.abs(scores) <= score_abs_max) & np.isfinite(outcomes)
        share = np.where(cost_bps >= 0.0, cost_bps, np.nan) / np.abs(alphas_bps)
        surviving = 1.0 - np.minimum(share, 1.0)
        priced = valid & np.isfinite(surviving) & np.isfinite(alphas_bps) & np.isfinite(cost_bps)
        bounded = np.minimum(np.maximum(outcomes, -outcome_abs_max), outcome_abs_max)
    score = np.where(valid, scores, 0.0)
    outcome = np.where(valid, bounded, 0.0)
    products = np.add.accumulate((score[:, None, :] * score[None, :, :]).transpose(2, 0, 1), axis=0)[-1]
    per_model = np.empty((Contribution.ANSWERED, *score.shape))
    per_model[Contribution.SCORE_OUTCOME] = score * outcome
    per_model[Contribution.OUTCOME_SQUARE] = outcome * outcome
    per_model[Contribution.SURVIVING] = np.where(priced, surviving, 0.0)
    per_model[Contribution.PRICED] = priced
    sums = np.empty((len(Contribution), len(scores)))
    sums[: Contribution.ANSWERED] = np.add.accumulate(per_model, axis=2)[:, :, -1]
    sums[Contribution.ANSWERED] = valid.any(axis=1)
    return products, sums


def row_medians(history: FloatArray, *, used: int, first_row: int, row_step: int) -> RowMedians:
    """Return median and median absolute deviation of every ``row_step``-th row from ``first_row`` on.

    The median of an even number of values is half the lower plus half the upper middle one.

    Args:
        history: ``(rows, columns)``; NaN is missing, and nothing is infinite or -0.
        used: Columns that count, from the first.
        first_row: First row wanted.
        row_step: Distance of the wanted rows, at least 1.

    Raises:
        TypeError: not an array of float64.
        ValueError: wrong shape or strides, or more columns used than there are.
    """
    native = _native()
    if native is None:
        return reference_row_medians(history, used=used, first_row=first_row, row_step=row_step)
    count = len(range(first_row, len(history), row_step))
    medians, spreads, counts = np.empty(count), np.empty(count), np.empty(count, dtype=np.int64)
    native.row_medians(history, used, first_row, row_step, medians, spreads, counts)
    return RowMedians(medians, spreads, counts)


def reference_row_medians(history: FloatArray, *, used: int, first_row: int, row_step: int) -> RowMedians:
    """Return what ``row_medians`` does, in NumPy."""
    checks.require_array(history, "history", "float64", 2)
    if used > history.shape[1]:
        raise ValueError(f"used: value is {used}, must be at most the {history.shape[1]} columns of history")
    rows = history[first_row::row_step, :used]
    if not rows.size:
        empty = np.full(len(rows), np.nan)
        return RowMedians(empty, empty.copy(), np.zeros(len(rows), dtype=np.int64))
    ordered = np.sort(rows, axis=1)  # NaN comes last.
    counts = used - np.isnan(ordered).sum(axis=1)
    medians = _middle(ordered, counts)
    spreads = _middle(np.sort(np.abs(ordered - medians[:, None]), axis=1), counts)
    return RowMedians(medians, spreads, counts)


def _middle(ordered: FloatArray, count: IntArray) -> FloatArray:
    """Return the median per row of the first ``count`` values of sorted rows; NaN of none."""
    at = np.arange(len(ordered))
    low = ordered[at, np.maximum(count - 1, 0) // 2]
    high = ordered[at, np.minimum(count // 2, ordered.shape[1] - 1)]
    middle: FloatArray = 0.5 * low + 0.5 * high
    return np.where(count > 0, middle, np.nan)
