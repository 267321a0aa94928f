"""Owns hierarchical risk parity: cluster names by correlation, order the leaves, split the budget from the top down.

López de Prado 2016, "Building diversified portfolios that outperform out of sample", Journal of Portfolio
Management 42(4).
Ties are broken by the order of the names, so that the result is a function of its input alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from walstreet.domain.units import FloatArray


def hierarchical_shares(volatilities: Sequence[float], correlation: FloatArray) -> list[float]:
    """Return (n,) positive shares that add up to 1, in the order of the names.

    Args:
        volatilities: (n,) positive.
        correlation: (n, n) without gaps, n at least 1.
    """
    count = len(volatilities)
    rows: list[list[float]] = correlation.tolist()
    covariance = [[rows[i][j] * volatilities[i] * volatilities[j] for j in range(count)] for i in range(count)]
    shares = [1.0] * count
    pending = [_leaves(correlation)]
    # Every split is of one cluster into two, so there are exactly n - 1 of them.
    while pending:
        cluster = pending.pop()
        if len(cluster) < 2:
            continue
        left, right = cluster[: len(cluster) // 2], cluster[len(cluster) // 2 :]
        left_variance, right_variance = _variance(left, covariance), _variance(right, covariance)
        both = left_variance + right_variance
        # The variance of the other half over both: the quieter half gets more. Two halves without any are alike.
        share = right_variance / both if both > 0.0 else 0.5
        for index in left:
            shares[index] *= share
        for index in right:
            shares[index] *= 1.0 - share
        pending += [right, left]
    return shares


def _leaves(correlation: FloatArray) -> list[int]:
    """Return the names in the order of the tree that single linkage builds on distances of distances."""
    count = len(correlation)
    # Rounding may put a correlation just above 1.
    near = np.sqrt(np.maximum(0.0, 0.5 * (1.0 - correlation)))
    squares = np.zeros((count, count))
    for row in near:
        difference = row[:, None] - row
        squares += difference * difference
    gaps = np.sqrt(squares)
    np.fill_diagonal(gaps, np.inf)
    clusters = {index: [index] for index in range(count)}
    for _ in range(count - 1):
        # The first smallest entry in row order, so that equal gaps join the names of lower index.
        first, second = divmod(int(np.argmin(gaps)), count)
        nearest = np.minimum(gaps[first], gaps[second])
        nearest[[first, second]] = np.inf
        gaps[first], gaps[:, first] = nearest, nearest
        gaps[second], gaps[:, second] = np.inf, np.inf
        clusters[first] += clusters.pop(second)
    return clusters[0]


def _variance(cluster: Sequence[int], covariance: list[list[float]]) -> float:
    """Return the variance of a cluster under inverse-variance shares."""
    inverse = [1.0 / covariance[index][index] for index in cluster]
    total = 0.0
    for value in inverse:
        total += value
    variance = 0.0
    for left, i in zip(inverse, cluster, strict=True):
        for right, j in zip(inverse, cluster, strict=True):
            variance += left / total * (right / total) * covariance[i][j]
    # Perfect hedges may leave a rounding error below 0.
    return max(0.0, variance)
