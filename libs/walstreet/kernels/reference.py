"""Owns the NumPy oracle of the native kernels: the same operations in the same order, hence the same bits.

Only operations that IEEE 754 rounds correctly are used (+ - * / and square root) and every sum is
written out in its order; ``numpy.sum`` and ``numpy.dot`` are not, because their order depends on
the machine. Unlike the native kernels it trusts the thread's rounding and subnormal modes.
"""

import sys

import numpy as np

from walstreet.kernels import _checks as checks
from walstreet.kernels._checks import AnyArray
from walstreet.kernels.interface import (
    ALPHA_MIN,
    BARS_SEEN_MAX,
    LANE_COUNT,
    MODEL_COUNT_MAX,
    RING_CAPACITY_MAX_BARS,
    VALUE_ABS_MAX,
    WINDOW_COUNT_MAX,
    FloatArray,
    IntArray,
    Statistic,
    Status,
    StatusArray,
)

__all__ = [
    "blend",
    "ewma_update",
    "ordered_dot",
    "ordered_sum",
    "ring_returns",
    "rolling_update",
    "simplex_projection",
]

_FLOAT_MAX = sys.float_info.max
_EXTENT_MAX = sys.maxsize
_FILTER_PASSES_MAX = 8
_FINITE_RULE = "must be finite; mask or repair it before the call"
_WEIGHT_RULE = "must be from 0 to 1e+150; repair the weights before the call"
_ALPHA_RULE = "must be from 2.2250738585072014e-308 to 1.0; derive it with alpha_from_half_life_bars"
_WINDOW_RULE = "a window cannot be longer than the ring"
_PLANE_RULE = "a plane is one of Statistic"
_LAG_RULE = "a lag must leave both bars in the ring"
_BARS_RULE = "it counts the bars pushed into the ring"


def _lane_sum(values: FloatArray) -> float:
    """Add with one accumulator per lane, then halves, quarters and the last pair."""
    rows = -(-len(values) // LANE_COUNT)
    padded = np.zeros((rows + 1, LANE_COUNT))
    padded.reshape(-1)[LANE_COUNT : LANE_COUNT + len(values)] = values
    lane = np.add.accumulate(padded, axis=0)[-1]
    even = (lane[0] + lane[4]) + (lane[2] + lane[6])
    odd = (lane[1] + lane[5]) + (lane[3] + lane[7])
    return float(even + odd)


def _require_finite_sum(total: float, values: FloatArray, name: str) -> float:
    if not -_FLOAT_MAX <= total <= _FLOAT_MAX:
        checks.require_range(values, name, -_FLOAT_MAX, _FLOAT_MAX, _FINITE_RULE)
        raise ValueError(f"{name}: the sum overflows float64; scale the values down")
    return total


def ordered_sum(values: FloatArray) -> float:
    """Add all values in the fixed order of eight lanes."""
    checks.require_array(values, "values", "float64", 1)
    with np.errstate(all="ignore"):
        total = _lane_sum(values)
    return _require_finite_sum(total, values, "values")


def ordered_dot(left: FloatArray, right: FloatArray) -> float:
    """Add all products in the fixed order of eight lanes."""
    checks.require_array(left, "left", "float64", 1)
    checks.require_array(right, "right", "float64", 1)
    checks.require_shape(right, "right", left.shape, "left")
    with np.errstate(all="ignore"):
        total = _lane_sum(left * right)
    if not -_FLOAT_MAX <= total <= _FLOAT_MAX:
        checks.require_range(right, "right", -_FLOAT_MAX, _FLOAT_MAX, _FINITE_RULE)
    return _require_finite_sum(total, left, "left")


def simplex_projection(values: FloatArray, projection: FloatArray) -> None:
    """Write the Euclidean projection onto the probability simplex (Duchi et al. 2008)."""
    checks.require_array(values, "values", "float64", 1)
    checks.require_array(projection, "projection", "float64", 1, written=True)
    checks.require_extent(values, "values", 1, _EXTENT_MAX, "values")
    checks.require_shape(projection, "projection", values.shape, "values")
    checks.require_separate(("projection", projection), {"values": values})
    checks.require_range(values, "values", -_FLOAT_MAX, _FLOAT_MAX, _FINITE_RULE)
    with np.errstate(all="ignore"):
        shifted = values - values.max()
        support = shifted[shifted > -1.0]
        for _ in range(_FILTER_PASSES_MAX):
            bound = (_lane_sum(support) - 1.0) / len(support)
            kept = support[support > bound]
            if len(kept) == len(support):
                break
            support = kept
        descending = np.sort(support)[::-1]
        ranks = np.arange(1, len(descending) + 1)
        thresholds = (np.add.accumulate(descending) - 1.0) / ranks
        fails = ~(descending - thresholds > 0.0)
        support_count = int(fails.argmax()) if fails.any() else len(descending)
        weights = shifted - thresholds[support_count - 1]
        projection[:] = np.where(weights > 0.0, weights, 0.0)


def blend(predictions: FloatArray, weights: FloatArray, blended: FloatArray, weight_present: FloatArray) -> None:
    """Write per symbol the weighted mean over the models that answered, and their weight."""
    checks.require_array(predictions, "predictions", "float64", 2)
    checks.require_array(weights, "weights", "float64", 1)
    checks.require_array(blended, "blended", "float64", 1, written=True)
    checks.require_array(weight_present, "weight_present", "float64", 1, written=True)
    model_count, symbol_count = predictions.shape
    checks.require_extent(predictions, "predictions", 1, MODEL_COUNT_MAX, "models")
    checks.require_shape(weights, "weights", (model_count,), "predictions")
    checks.require_shape(blended, "blended", (symbol_count,), "predictions")
    checks.require_shape(weight_present, "weight_present", (symbol_count,), "predictions")
    inputs = {"predictions": predictions, "weights": weights}
    checks.require_separate(("blended", blended), {**inputs, "weight_present": weight_present})
    checks.require_separate(("weight_present", weight_present), inputs)
    checks.require_range(weights, "weights", 0.0, VALUE_ABS_MAX, _WEIGHT_RULE)
    weighted = np.zeros(symbol_count)
    present = np.zeros(symbol_count)
    with np.errstate(all="ignore"):
        for prediction, weight in zip(predictions, weights, strict=True):
            answered = np.abs(prediction) <= VALUE_ABS_MAX
            weighted = weighted + np.where(answered, weight * prediction, 0.0)
            present = present + np.where(answered, weight, 0.0)
        blended[:] = np.where(present > 0.0, weighted / present, np.nan)
    weight_present[:] = present


def _write_status(values: FloatArray, status: StatusArray) -> None:
    unusable = np.where(np.isnan(values), Status.MISSING, Status.OUT_OF_RANGE)
    status[:] = np.where(np.abs(values) <= VALUE_ABS_MAX, Status.UPDATED, unusable)


def ewma_update(
    values: FloatArray,
    alphas: FloatArray,
    mean: FloatArray,
    variance: FloatArray,
    status: StatusArray,
) -> None:
    """Move the smoothed means and variances by one bar (Finch 2009, eq. 124 and 143)."""
    checks.require_array(values, "values", "float64", 1)
    checks.require_array(alphas, "alphas", "float64", 1)
    checks.require_array(mean, "mean", "float64", 2, written=True)
    checks.require_array(variance, "variance", "float64", 2, written=True)
    checks.require_array(status, "status", "uint8", 1, written=True)
    checks.require_extent(alphas, "alphas", 1, WINDOW_COUNT_MAX, "decays")
    state_shape = (len(alphas), len(values))
    checks.require_shape(mean, "mean", state_shape, "alphas and values")
    checks.require_shape(variance, "variance", state_shape, "alphas and values")
    checks.require_shape(status, "status", values.shape, "values")
    inputs = {"values": values, "alphas": alphas}
    checks.require_separate(("mean", mean), {**inputs, "variance": variance, "status": status})
    checks.require_separate(("variance", variance), {**inputs, "status": status})
    checks.require_separate(("status", status), inputs)
    checks.require_range(alphas, "alphas", ALPHA_MIN, 1.0, _ALPHA_RULE)
    _write_status(values, status)
    usable = status == Status.UPDATED
    with np.errstate(all="ignore"):
        alpha = alphas[:, None]
        difference = values - mean
        step = alpha * difference
        unseeded = np.isnan(mean)
        moved_mean = np.where(unseeded, values, mean + step)
        moved_variance = np.where(unseeded, 0.0, (1.0 - alpha) * (variance + difference * step))
        mean[:] = np.where(usable, moved_mean, mean)
        variance[:] = np.where(usable, moved_variance, variance)


def _block_count(symbol_count: int) -> int:
    return -(-symbol_count // LANE_COUNT)


def _bar(ring: FloatArray, row: int, symbol_count: int) -> FloatArray:
    """Return one bar of all symbols from the ring's blocks of eight."""
    return ring[:, row].reshape(-1)[:symbol_count]


def _write_planes(target: FloatArray, planes: IntArray, newest: FloatArray, sums: dict[str, FloatArray]) -> None:
    """Write the asked statistics ``(planes, symbols)`` of one window."""
    count, reference = sums["count"], sums["reference"]
    total_difference, squared_difference = sums["difference"], sums["squares"]
    smallest, largest = sums["smallest"], sums["largest"]
    mean_difference = total_difference * (1.0 / count)
    total = count * reference + total_difference
    squares = squared_difference + reference * (total_difference + total)
    raw_centred = squared_difference - total_difference * mean_difference
    centred = np.where(raw_centred > 0.0, raw_centred, 0.0)
    deviation = np.sqrt(centred * (1.0 / (count - 1.0)))
    span = largest - smallest
    some, several = count > 0.0, count > 1.0
    scorable = several & ~np.isnan(newest) & (deviation > 0.0)
    placeable = some & ~np.isnan(newest) & (span > 0.0)
    by_statistic = {
        Statistic.COUNT: count,
        Statistic.SUM: np.where(some, total, np.nan),
        Statistic.SUM_OF_SQUARES: np.where(some, np.where(squares > 0.0, squares, 0.0), np.nan),
        Statistic.CENTRED_SQUARES: np.where(some, centred, np.nan),
        Statistic.MINIMUM: np.where(some, smallest, np.nan),
        Statistic.MAXIMUM: np.where(some, largest, np.nan),
        Statistic.MEAN: np.where(some, reference + mean_difference, np.nan),
        Statistic.DEVIATION: np.where(several, deviation, np.nan),
        Statistic.SCORE: np.where(scorable, (0.0 - mean_difference) / deviation, np.nan),
        Statistic.POSITION: np.where(placeable, (newest - smallest) / span, np.nan),
    }
    for row, plane in zip(target, planes, strict=True):
        row[:] = by_statistic[Statistic(plane)]


def _scan(ring: FloatArray, bars_before: int, windows: IntArray, planes: IntArray, statistics: FloatArray) -> None:
    """Walk from the newest bar to the oldest and write each window where the walk reaches it."""
    capacity, symbol_count = ring.shape[1], statistics.shape[2]
    newest_row = bars_before % capacity
    newest = _bar(ring, newest_row, symbol_count)
    sums = {
        "count": np.zeros(symbol_count),
        "reference": newest.copy(),
        "difference": np.zeros(symbol_count),
        "squares": np.zeros(symbol_count),
        "smallest": np.full(symbol_count, np.inf),
        "largest": np.full(symbol_count, -np.inf),
    }
    age = 0
    for index, window in enumerate(windows):
        while age < min(int(window), bars_before + 1):
            value = _bar(ring, (newest_row - age) % capacity, symbol_count)
            present = ~np.isnan(value)
            sums["reference"] = np.where(np.isnan(sums["reference"]), value, sums["reference"])
            difference = np.where(present, value - sums["reference"], 0.0)
            sums["count"] = sums["count"] + present
            sums["difference"] = sums["difference"] + difference
            sums["squares"] = sums["squares"] + difference * difference
            sums["smallest"] = np.where(value < sums["smallest"], value, sums["smallest"])
            sums["largest"] = np.where(value > sums["largest"], value, sums["largest"])
            age += 1
        _write_planes(statistics[:, index], planes, newest, sums)


def rolling_update(  # noqa: PLR0917 - mirrors the native call, which takes no keywords
    values: FloatArray,
    ring: FloatArray,
    bars_seen: IntArray,
    windows: IntArray,
    planes: IntArray,
    status: StatusArray,
    statistics: FloatArray,
) -> None:
    """Push one bar into the ring and recompute the statistics of every window from it."""
    checks.require_array(values, "values", "float64", 1)
    checks.require_array(ring, "ring", "float64", 3, written=True)
    checks.require_array(bars_seen, "bars_seen", "int64", 1, written=True)
    checks.require_array(windows, "windows", "int64", 1)
    checks.require_array(planes, "planes", "int64", 1)
    checks.require_array(status, "status", "uint8", 1, written=True)
    checks.require_array(statistics, "statistics", "float64", 3, written=True)
    checks.require_extent(ring, "ring", 1, RING_CAPACITY_MAX_BARS, "bars", axis=1)
    checks.require_extent(windows, "windows", 1, WINDOW_COUNT_MAX, "windows")
    checks.require_extent(planes, "planes", 1, len(Statistic), "planes")
    symbol_count = len(values)
    planes_shape = (len(planes), len(windows), symbol_count)
    ring_shape = (_block_count(symbol_count), ring.shape[1], LANE_COUNT)
    checks.require_shape(ring, "ring", ring_shape, "values in blocks of eight")
    checks.require_shape(bars_seen, "bars_seen", (1,), "one ring")
    checks.require_shape(status, "status", values.shape, "values")
    checks.require_shape(statistics, "statistics", planes_shape, "planes, windows and values")
    inputs: dict[str, AnyArray] = {"values": values, "windows": windows, "planes": planes}
    outputs: dict[str, AnyArray] = {"status": status, "statistics": statistics}
    checks.require_separate(("ring", ring), {"values": values, "bars_seen": bars_seen, "windows": windows, **outputs})
    checks.require_separate(("bars_seen", bars_seen), {**inputs, **outputs})
    checks.require_separate(("status", status), {**inputs, "statistics": statistics})
    checks.require_separate(("statistics", statistics), inputs)
    checks.require_integer_range(windows, "windows", 1, ring.shape[1], _WINDOW_RULE)
    checks.require_ascending(windows, "windows")
    checks.require_integer_range(planes, "planes", 0, len(Statistic) - 1, _PLANE_RULE)
    checks.require_ascending(planes, "planes")
    checks.require_integer_range(bars_seen, "bars_seen", 0, BARS_SEEN_MAX, _BARS_RULE)
    bars_before = int(bars_seen[0])
    _write_status(values, status)
    padded = np.zeros(ring.shape[0] * LANE_COUNT)
    padded[:symbol_count] = np.where(status == Status.UPDATED, values, np.nan)
    ring[:, bars_before % ring.shape[1]] = padded.reshape(-1, LANE_COUNT)
    with np.errstate(all="ignore"):
        _scan(ring, bars_before, windows, planes, statistics)
    bars_seen[0] = bars_before + 1


def ring_returns(ring: FloatArray, bars_seen: IntArray, lags: IntArray, returns: FloatArray) -> None:
    """Write the newest bar's simple return over each lag."""
    checks.require_array(ring, "ring", "float64", 3)
    checks.require_array(bars_seen, "bars_seen", "int64", 1)
    checks.require_array(lags, "lags", "int64", 1)
    checks.require_array(returns, "returns", "float64", 2, written=True)
    checks.require_extent(ring, "ring", 2, RING_CAPACITY_MAX_BARS, "bars", axis=1)
    checks.require_extent(lags, "lags", 1, WINDOW_COUNT_MAX, "lags")
    checks.require_shape(bars_seen, "bars_seen", (1,), "one ring")
    symbol_count = returns.shape[1]
    ring_shape = (_block_count(symbol_count), ring.shape[1], LANE_COUNT)
    checks.require_shape(returns, "returns", (len(lags), symbol_count), "lags")
    checks.require_shape(ring, "ring", ring_shape, "returns in blocks of eight")
    checks.require_separate(("returns", returns), {"ring": ring, "bars_seen": bars_seen, "lags": lags})
    checks.require_integer_range(lags, "lags", 1, ring.shape[1] - 1, _LAG_RULE)
    checks.require_integer_range(bars_seen, "bars_seen", 0, BARS_SEEN_MAX, _BARS_RULE)
    capacity = ring.shape[1]
    newest_row = (int(bars_seen[0]) - 1) % capacity
    newest = _bar(ring, newest_row, symbol_count)
    base = np.array([_bar(ring, (newest_row - int(lag)) % capacity, symbol_count) for lag in lags])
    known = (lags < bars_seen[0])[:, None]
    with np.errstate(all="ignore"):
        change = newest / base - 1.0
        valid = known & (base > 0.0) & (np.abs(change) <= _FLOAT_MAX)
    returns[:] = np.where(valid, change, np.nan)
