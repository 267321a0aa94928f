"""Owns the interval of the conditional mean of an outcome given its score, by moving-block bootstrap.

Outcomes of decision times within one horizon overlap, and symbols of one decision time move together. Whole
cross-sections are therefore drawn, in runs of at least one horizon (Kuensch 1989, "The jackknife and the bootstrap
for general stationary observations"). Two known shortcomings are corrected by a wider interval, see ``widening``;
without that, a signal of no skill passed too often (measured, docs/MATHEMATICS.md).

All sums run in an explicit order: prefix sums from old to new, then a fixed tree over the blocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from walstreet.domain.conformal_parameters import ConformalParameters
from walstreet.domain.counter_random import uniforms
from walstreet.domain.isotonic import isotonic_rows, pool_adjacent_violators
from walstreet.domain.units import FloatArray, IntArray

RANK_SLACK = 1e-9
"""Products such as 100 * (1 - .1) may end a few units in the last place above the whole number that is meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanFit:
    """Interval of E[y|s], y and s in units of sigma."""

    estimator: str
    edges: FloatArray
    """(K - 1,) inner edges of the bins; empty for the slope."""
    lower: FloatArray
    """(K,) lower ends per bin, or (1,) of the slope."""
    upper: FloatArray
    score_abs_max: float
    """Largest |score| behind the fit; beyond it nothing is known and the line is not prolonged."""

    def canonical(self) -> tuple[object, ...]:
        """Return the fit as numbers and bytes."""
        ends = (self.edges.tobytes(), self.lower.tobytes(), self.upper.tobytes())
        return (self.estimator, *ends, self.score_abs_max.hex())


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockPlan:
    """The bootstrap's index matrix."""

    starts: IntArray
    """(blocks, replicates) first row of each block."""
    length: int
    """Rows of a block."""
    overlap: int
    """Rows whose outcomes overlap one."""
    rows: int


def conformal_rank(count: int, miss: float) -> int:
    """Return ``ceil((n + 1) * (1 - a))``: which smallest of n values bounds a new one with a miss rate of ``a``.

    Vovk, Gammerman and Shafer 2005; Lei et al. 2018. Above ``count`` means plus infinity, below 1 minus infinity.
    """
    return math.ceil((count + 1) * (1.0 - miss) - RANK_SLACK)


def widening(plan: BlockPlan) -> float:
    """Return the factor on both half-widths of the bootstrap interval, at least 1.

    Blocks of length L see of the variance of a mean of outcomes that overlap over h rows, whose correlation falls
    like ``1 - k/h``, only the share ``1 - (h*h - 1)/(3*h*L)`` (sum of ``(1 - k/h)(1 - k/L)`` over |k| < h, over h), so
    the width is divided by its root: 1.22 for L = h. With m = rows/L blocks ``1 + 1/(m - 1)`` allows for the estimated
    mean (half of it) and for the fatter tails of a mean over so few (Student's quantile at 10 %, the other half).
    """
    overlap, length = plan.overlap, plan.length
    seen = 1.0 - (overlap * overlap - 1.0) / (3.0 * overlap * length)
    blocks = plan.rows / length
    assert blocks > 1.0, (plan.rows, length)
    return (1.0 + 1.0 / (blocks - 1.0)) / math.sqrt(seen)


def block_plan(draws: FloatArray, *, rows: int, length: int, overlap: int, replicates: int) -> BlockPlan:
    """Return the index matrix for ``rows`` cross-sections from uniform ``draws``, as many as it takes of them."""
    blocks = -(-rows // length)
    used = draws[: blocks * replicates].reshape(blocks, replicates)
    starts = np.floor(used * (rows - length + 1)).astype(np.int64)
    return BlockPlan(starts=starts, length=length, overlap=overlap, rows=rows)


def plan_draws(horizon_minutes: int, epoch: int, parameters: ConformalParameters) -> FloatArray:
    """Return the uniforms behind the index matrices of one horizon while its window is renewed once."""
    key = f"conformal mean {horizon_minutes} {epoch}".encode("ascii")
    return uniforms(key, parameters.blocks_max * parameters.bootstrap_replicates)


def fit_slope(
    products: FloatArray, squares: FloatArray, *, plan: BlockPlan, miss: float, score_abs_max: float
) -> MeanFit | None:
    """Return the interval of b in ``E[y|s] = b*s``, ``b = sum(s*y)/sum(s*s)``; None while every score is 0.

    Args:
        products: (T,) per cross-section, from old to new, the sum of ``s*y`` over symbols.
        squares: (T,) the sum of ``s*s``.
        plan: Index matrix of the bootstrap for T rows.
        miss: Share of replicates beyond either end.
        score_abs_max: Largest |score| among them.
    """
    total_square = float(np.cumsum(squares)[-1])
    if total_square <= 0.0:
        return None
    slope = float(np.cumsum(products)[-1]) / total_square
    numerator, denominator = _replicate_sums(products, plan), _replicate_sums(squares, plan)
    known = denominator > 0.0
    replicates = np.where(known, numerator / np.where(known, denominator, 1.0), 0.0)
    lower, upper = _ends(replicates[:, None], np.array([slope]), miss, widening(plan))
    return MeanFit(estimator="slope", edges=np.zeros(0), lower=lower, upper=upper, score_abs_max=score_abs_max)


def fit_isotonic(
    rows: IntArray,
    scores: FloatArray,
    outcomes: FloatArray,
    *,
    plan: BlockPlan,
    bins: int,
    miss: float,
) -> MeanFit:
    """Return the intervals of E[y|s] per equal-count bin of s, each replicate made non-decreasing first.

    Args:
        rows: (P,) cross-section of every pair, 0 being the oldest.
        scores: (P,).
        outcomes: (P,).
        plan: Index matrix of the bootstrap.
        bins: Odd number of bins.
        miss: Share of replicates beyond either end.
    """
    edges, bin_of = equal_count_bins(scores, bins)
    cell = rows * bins + bin_of
    size = plan.rows * bins
    sums = np.asarray(np.bincount(cell, weights=outcomes, minlength=size), dtype=np.float64).reshape(plan.rows, bins)
    counts = np.bincount(cell, minlength=size).astype(np.float64).reshape(plan.rows, bins)
    point = _curve(np.cumsum(sums, axis=0)[-1], np.cumsum(counts, axis=0)[-1])
    columns = range(bins)
    replicates = isotonic_rows(
        np.stack([_replicate_sums(sums[:, column], plan) for column in columns], axis=1),
        np.stack([_replicate_sums(counts[:, column], plan) for column in columns], axis=1),
    )
    lower, upper = _ends(replicates, point, miss, widening(plan))
    return MeanFit(
        estimator="isotonic",
        edges=edges,
        lower=lower,
        upper=upper,
        score_abs_max=float(np.max(np.abs(scores))),
    )


def equal_count_bins(scores: FloatArray, bins: int) -> tuple[FloatArray, IntArray]:
    """Return the (K - 1,) inner edges of equal-count bins and the (P,) bin of each score.

    Equal scores always share a bin. Negating the scores mirrors the bins exactly: a score on an edge belongs to the
    bin nearer the middle one.
    """
    assert bins % 2 == 1, bins
    ordered = np.sort(scores)
    count = len(ordered)
    below = np.arange(1, bins // 2 + 1) * count // bins
    ranks = np.concatenate((below, count - below[::-1]))
    left, right = np.clip(ranks - 1, 0, count - 1), np.clip(ranks, 0, count - 1)
    edges: FloatArray = (ordered[left] + ordered[right]) * 0.5
    return edges, bins_of(edges, scores)


def bins_of(edges: FloatArray, scores: FloatArray) -> IntArray:
    """Return the bin of each score under the (K - 1,) edges of ``equal_count_bins``; any shape."""
    half = len(edges) // 2
    passed = np.searchsorted(edges[:half], scores, side="right") + np.searchsorted(edges[half:], scores, side="left")
    return np.asarray(passed, dtype=np.int64)


def mean_intervals(fits: Sequence[MeanFit | None], scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the lower and upper ends of E[y|s] in sigma, (H, N) for ``scores`` (H, N).

    NaN where the score is NaN or the horizon has no fit.
    """
    ends = [(fit.lower[0], fit.upper[0], fit.score_abs_max) if fit else (np.nan, np.nan, 0.0) for fit in fits]
    slopes = np.array(ends).reshape(len(fits), 3, 1)
    inside = np.minimum(np.maximum(scores, -slopes[:, 2]), slopes[:, 2])
    one, other = slopes[:, 0] * inside, slopes[:, 1] * inside
    lower, upper = np.minimum(one, other), np.maximum(one, other)
    for row, fit in enumerate(fits):
        if fit is not None and fit.estimator == "isotonic":
            bin_of = bins_of(fit.edges, scores[row])
            known = ~np.isnan(scores[row])
            lower[row] = np.where(known, fit.lower[bin_of], np.nan)
            upper[row] = np.where(known, fit.upper[bin_of], np.nan)
    return lower, upper


def _replicate_sums(values: FloatArray, plan: BlockPlan) -> FloatArray:
    """Return (B,) sums of ``values`` (T,) over the drawn blocks."""
    prefix = np.concatenate((np.zeros(1), np.cumsum(values)))
    block = prefix[plan.length :] - prefix[: -plan.length]
    # Every start is inside (block_plan), and without the check for it the gathering takes half the time.
    drawn = np.take(block, plan.starts, mode="clip")
    while len(drawn) > 1:
        half = len(drawn) // 2
        folded = drawn[:half] + drawn[half : 2 * half]
        drawn = np.concatenate((folded, drawn[2 * half :])) if len(drawn) % 2 else folded
    result: FloatArray = drawn[0]
    return result


def _curve(sums: FloatArray, counts: FloatArray) -> FloatArray:
    means = np.where(counts > 0.0, sums / np.where(counts > 0.0, counts, 1.0), 0.0)
    return pool_adjacent_violators(means, counts)


def _ends(replicates: FloatArray, point: FloatArray, miss: float, factor: float) -> tuple[FloatArray, FloatArray]:
    """Return the (K,) ends of the percentile interval of (B, K) replicates, widened about ``point`` (K,)."""
    count = len(replicates)
    ordered = np.sort(replicates, axis=0)
    rank = min(conformal_rank(count, miss), count)
    lower, upper = ordered[count - rank], ordered[rank - 1]
    # An end on the wrong side of the estimate, as a skewed bootstrap may have it, must not move away from it.
    return point + factor * np.minimum(lower - point, 0.0), point + factor * np.maximum(upper - point, 0.0)
