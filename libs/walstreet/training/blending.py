"""Owns out-of-fold statistics of scores: calibration, information coefficients and blend weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

RIDGE_ALPHA = 0.01


def correlation(left: FloatArray, right: FloatArray) -> float:
    """Return Pearson's correlation over rows where both are finite, 0 if one is constant."""
    both = np.isfinite(left) & np.isfinite(right)
    if int(both.sum()) < 2 or left[both].std() == 0.0 or right[both].std() == 0.0:
        return 0.0
    return float(np.corrcoef(left[both], right[both])[0, 1])


def slope_through_origin(scores: FloatArray, labels: FloatArray) -> float:
    """Return the least-squares slope of labels on scores without an intercept; 0 if the scores are all 0."""
    both = np.isfinite(scores) & np.isfinite(labels)
    square = float(scores[both] @ scores[both])
    return float(scores[both] @ labels[both]) / square if square > 0.0 else 0.0


def simplex_projection(values: FloatArray) -> FloatArray:
    """Return the nearest point of the probability simplex (Duchi et al. 2008, figure 1)."""
    ordered = np.sort(values)[::-1]
    excess = np.cumsum(ordered) - 1.0
    rank = np.arange(1, len(values) + 1)
    last = int(np.flatnonzero(ordered * rank > excess)[-1])
    projected: FloatArray = np.maximum(values - excess[last] / (last + 1), 0.0)
    return projected


def blend_weights(scores: FloatArray, labels: FloatArray) -> FloatArray:
    """Return weights of K calibrated scores (rows, K): ridge without intercept, then the simplex.

    The ridge penalty is relative: ``(X'X / n + alpha * mean variance * I)^-1 X'y / n``.
    """
    both = np.isfinite(scores).all(axis=1) & np.isfinite(labels)
    inputs = scores[both]
    count = len(inputs)
    gram = inputs.T @ inputs / count
    penalty = RIDGE_ALPHA * float(np.trace(gram)) / len(gram)
    wanted = inputs.T @ labels[both] / count
    ridge = np.asarray(np.linalg.solve(gram + penalty * np.eye(len(gram)), wanted), dtype=np.float64)
    return simplex_projection(ridge)
