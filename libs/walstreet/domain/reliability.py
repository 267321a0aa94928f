"""Owns the reliability of probabilities: do things said to happen with probability p happen that often?

From counts in ten bins and two moments, so that the newest observations can be added and the oldest dropped: the Brier
score ``mean((p - y)^2)`` (Brier 1950), the expected calibration error ``sum(n_k/n * |mean p_k - mean y_k|)`` (Naeini,
Cooper and Hauskrecht 2015), and the slope of y on p, which is 1 for calibrated probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from walstreet import kernels
from walstreet.domain.units import FloatArray

BINS = 10
WIDTH = 3 * BINS + 2
"""Counts, sums of p and hits of each bin, then ``sum(p*p)`` and ``sum(p*y)``."""
SPREAD_MIN = 1e-12
"""Probabilities with a smaller variance have no slope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """How well probabilities matched what happened; NaN without observations."""

    count: int
    base_rate: float
    """Share that happened."""
    brier: float
    calibration_error: float
    slope: float
    """Of y on p with an intercept; NaN where all p are the same."""
    bin_count: tuple[int, ...]
    bin_probability: tuple[float, ...]
    """Mean p of each bin, NaN for an empty one."""
    bin_frequency: tuple[float, ...]


def reliability_row(probability: FloatArray, happened: FloatArray) -> FloatArray:
    """Return the (WIDTH,) sums of (K,) probabilities and (K,) outcomes 0 or 1; pairs with a missing side are left out.

    A pair with a probability outside [0, 1] or another outcome than 0 and 1 counts as missing.
    """
    with np.errstate(invalid="ignore"):
        known = (probability >= 0.0) & (probability <= 1.0) & ((happened == 0.0) | (happened == 1.0))
    p, y = np.ascontiguousarray(probability[known]), np.ascontiguousarray(happened[known])
    row = np.zeros(WIDTH)
    if not p.size:
        return row
    bins = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    row[:BINS] = np.bincount(bins, minlength=BINS)
    row[BINS : 2 * BINS] = np.bincount(bins, weights=p, minlength=BINS)
    row[2 * BINS : 3 * BINS] = np.bincount(bins, weights=y, minlength=BINS)
    row[3 * BINS] = kernels.ordered_dot(p, p)
    row[3 * BINS + 1] = kernels.ordered_dot(p, y)
    return row


def read_reliability(totals: FloatArray) -> Reliability:
    """Return the reliability behind (WIDTH,) sums of rows from ``reliability_row``."""
    counts, sums, hits = totals[:BINS], totals[BINS : 2 * BINS], totals[2 * BINS : 3 * BINS]
    squares, cross = float(totals[3 * BINS]), float(totals[3 * BINS + 1])
    count = kernels.ordered_sum(np.ascontiguousarray(counts))
    nan = float("nan")
    if count == 0.0:
        none = (nan,) * BINS
        return Reliability(
            count=0, base_rate=nan, brier=nan, calibration_error=nan, slope=nan,
            bin_count=(0,) * BINS, bin_probability=none, bin_frequency=none,
        )  # fmt: skip
    p_mean = kernels.ordered_sum(np.ascontiguousarray(sums)) / count
    y_mean = kernels.ordered_sum(np.ascontiguousarray(hits)) / count
    spread = squares / count - p_mean * p_mean
    slope = (cross / count - p_mean * y_mean) / spread if spread > SPREAD_MIN else nan
    divisor = np.where(counts > 0.0, counts, nan)
    return Reliability(
        count=int(count),
        base_rate=y_mean,
        # An outcome of 0 or 1 is its own square.
        brier=squares / count - 2.0 * cross / count + y_mean,
        calibration_error=kernels.ordered_sum(np.abs(sums - hits)) / count,
        slope=slope,
        bin_count=tuple(int(value) for value in counts.tolist()),
        bin_probability=tuple((sums / divisor).tolist()),
        bin_frequency=tuple((hits / divisor).tolist()),
    )
