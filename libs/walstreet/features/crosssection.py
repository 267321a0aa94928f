"""Owns statistics over the symbols of one bar; none depends on the order of the symbols, to the last bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from walstreet.features.portable import ordered_sum

FloatArray = NDArray[np.float64]


def finite_mean(values: FloatArray) -> float:
    """Return the mean of the finite entries of shape (N,), NaN if there are none."""
    count = int(np.count_nonzero(np.isfinite(values)))
    return ordered_sum(values) / count if count else float("nan")


def finite_median(values: FloatArray) -> float:
    """Return the median of the finite entries of shape (N,), NaN if there are none."""
    ordered = np.sort(values[np.isfinite(values)])
    if not ordered.size:
        return float("nan")
    middle = ordered.size // 2
    return float(ordered[middle]) if ordered.size % 2 else float(0.5 * (ordered[middle - 1] + ordered[middle]))


def centred_ranks(values: FloatArray) -> FloatArray:
    """Return mid-ranks scaled into (-0.5, 0.5), ties sharing their mean; NaN stays NaN. Shape (N,)."""
    finite = np.isfinite(values)
    ordered = np.sort(values[finite])
    ranks = np.full(values.shape, np.nan)
    if ordered.size:
        below = np.searchsorted(ordered, values[finite], side="left")
        through = np.searchsorted(ordered, values[finite], side="right")
        ranks[finite] = (below + through) / (2.0 * ordered.size) - 0.5
    return ranks
