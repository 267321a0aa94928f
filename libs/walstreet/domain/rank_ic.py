"""Owns the rank information coefficient of one cross-section: Spearman's correlation of forecasts and outcomes."""

from __future__ import annotations

import math

import numpy as np

from walstreet import kernels
from walstreet.domain.units import FloatArray

PAIRS_MIN = 3
"""Two pairs always correlate perfectly."""


def average_ranks(values: FloatArray) -> FloatArray:
    """Return (N,) ranks from 1 to N; equal values share the mean of their ranks.

    Args:
        values: (N,) finite. Ranks are whole or half numbers, so everything built on them is exact.
    """
    count = len(values)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    ranks = np.empty(count)
    different = ordered[1:] != ordered[:-1]
    if different.all():
        ranks[order] = np.arange(1.0, count + 1.0)
        return ranks
    first = np.flatnonzero(np.concatenate(([True], different)))
    sizes = np.diff(np.append(first, count))
    ranks[order] = np.repeat(first + 0.5 * (sizes + 1), sizes)
    return ranks


def rank_ic(forecast: FloatArray, outcome: FloatArray) -> float:
    """Return Spearman's rank correlation of (N,) forecasts and (N,) outcomes, in [-1, 1].

    Pairs with a missing side are left out. NaN where fewer than ``PAIRS_MIN`` pairs are left, or where one side is
    the same for all of them. The same bits for every order of the symbols, and for both sides negated.
    Source: Spearman, "The proof and measurement of association between two things", 1904, with mean ranks for ties.
    """
    known = np.isfinite(forecast) & np.isfinite(outcome)
    return paired_rank_ic(forecast[known], outcome[known])


def paired_rank_ic(forecast: FloatArray, outcome: FloatArray) -> float:
    """Return ``rank_ic`` of pairs that are known to be finite on both sides."""
    count = len(forecast)
    if count < PAIRS_MIN:
        return float("nan")
    centre = 0.5 * (count + 1)
    left = average_ranks(forecast) - centre
    right = average_ranks(outcome) - centre
    scale = kernels.ordered_dot(left, left) * kernels.ordered_dot(right, right)
    if scale == 0.0:
        return float("nan")
    return kernels.ordered_dot(left, right) / math.sqrt(scale)
