"""Owns sizing with correlations: ``ridge`` weights and equal risk contribution, scaled to a gross budget and no more.

Both work on the names that are wanted: a missing or zero z and an unknown volatility give weight 0, and such a name
is no part of the system, so the others come out as if it did not exist. Limits, caps and the volatility target
belong to later steps.

``ridge``: ``w ~ D^-1 (C + lambda*I)^-1 z``, with D the volatilities and C the correlation: a mean-variance book of the
scores. Without correlation (C = I) it is ``z/sigma``, **unlike** plain sizing, which is ``z`` itself: a name with
twice the volatility gets half the weight. It may want a name *against* its own score, as a hedge for others; no gate
has approved that direction and a long-only account could not hold it, so by default such names are taken out and
the rest is solved again.

``erc``: every name contributes the same to the variance of the book. The signs of z are kept, its size is ignored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import msgspec
import numpy as np

from walstreet import kernels
from walstreet.domain.bounds import require_between
from walstreet.domain.linear_solve import ORDER_MAX, cholesky, ordered_product, solve_positive_definite
from walstreet.domain.shrinkage import UnknownCorrelationParameters, cautious_correlation
from walstreet.domain.units import BoolArray, FloatArray, IntArray

NEWTON_STEPS_MAX = 100
LINE_STEPS_MAX = 16
DECREMENT_FULL_STEP = 0.25
"""Below this Newton decrement a full step converges quadratically."""
CONTRIBUTION_ERROR_GOAL = 1e-12
CONTRIBUTION_ERROR_MAX = 1e-9
"""Largest relative difference of a contribution from the others' that counts as equal."""
LINE_TOLERANCE = 1e-3

assert 0.0 < CONTRIBUTION_ERROR_GOAL < CONTRIBUTION_ERROR_MAX < 1e-8


class RiskWeightParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which correlated sizing is used."""

    method: Literal["ridge", "erc"] = "ridge"
    ridge_lambda: float = 0.01
    """Added to the diagonal of the shrunk correlation; a large one leads to z/sigma."""
    opposed: Literal["drop", "keep"] = "drop"
    """What ``ridge`` does with weights against their own z: leave the name out, or the bare formula."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("risk_weights", "ridge_lambda", self.ridge_lambda, 0.0, 1_000.0)


class RiskWeightReason(StrEnum):
    """How the weights came about; everything but ``OK`` and ``EMPTY`` is a fall-back to inverse volatility."""

    OK = "ok"
    EMPTY = "empty"
    """No name is wanted."""
    NOT_CONVERGED = "not_converged"
    NOT_DEFINITE = "not_definite"
    TOO_MANY = "too_many"
    """More names than one system may have."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RiskWeights:
    """Weights and how they were found."""

    weights: FloatArray
    """(N,) signed, gross at most the budget."""
    reason: RiskWeightReason
    steps: int
    """Newton steps of ``erc``, solutions of ``ridge``."""
    dropped: BoolArray
    """(N,) wanted names that ``ridge`` left out because their weight would have opposed their z."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solution:
    """The solution of one system, or why there is none."""

    values: FloatArray | None
    """(n,) weight times volatility, up to a factor common to all; None where there is no solution."""
    reason: RiskWeightReason
    steps: int


def risk_weights(
    z: FloatArray,
    sigma_day_bps: FloatArray,
    correlation: FloatArray,
    sectors: IntArray,
    *,
    gross_budget: float,
    parameters: RiskWeightParameters,
    unknown: UnknownCorrelationParameters,
) -> RiskWeights:
    """Return (N,) weights with a gross of ``gross_budget``; all 0 if no name is wanted.

    Where the system has no solution, ``erc`` falls back to ``sign(z)/sigma`` and ``ridge`` to ``z/sigma``.

    Args:
        z: (N,) clipped alpha over volatility; NaN is not wanted.
        sigma_day_bps: (N,) daily volatility.
        correlation: (N, N) shrunk correlation, NaN where unknown (``CorrelationEstimate.aligned``).
        sectors: (N,) sector codes, for pairs whose correlation is unknown.
        gross_budget: Sum of |weights|, at least 0.
        parameters: Method and its parameters.
        unknown: How unknown pairs are read: always as adding risk.
    """
    assert correlation.shape == (len(z), len(z)), correlation.shape
    assert gross_budget >= 0.0, gross_budget
    known = np.isfinite(sigma_day_bps) & (sigma_day_bps > 0.0)
    wanted = np.isfinite(z) & known
    if parameters.method == "erc" or parameters.opposed == "drop":
        wanted &= z != 0.0
    active = np.flatnonzero(wanted)
    dropped = np.zeros(len(z), dtype=np.bool_)
    weights = np.zeros(len(z))
    score, sigma = z[active], sigma_day_bps[active]
    signs = np.sign(score)
    if not bool(score.any()):
        return RiskWeights(weights=weights, reason=RiskWeightReason.EMPTY, steps=0, dropped=dropped)
    # Weights do not depend on the scale of z, and numbers near the smallest float have lost their digits.
    score = score / float(np.abs(score).max())
    if len(active) > ORDER_MAX:
        solution = Solution(values=None, reason=RiskWeightReason.TOO_MANY, steps=0)
    else:
        among = cautious_correlation(correlation[active[:, None], active], signs, sectors[active], unknown)
        if parameters.method == "erc":
            solution = equal_risk(among * (signs[:, None] * signs))
        else:
            solution = _ridge(among, score, parameters)
    fallback = signs if parameters.method == "erc" else score
    values = fallback if solution.values is None else solution.values
    if parameters.method == "erc" and solution.values is not None:
        values = values * signs
    dropped[active] = (values == 0.0) & (parameters.opposed == "drop")
    # The smallest volatility has the factor 1 and the largest value becomes 1, so nothing overflows.
    raw = values / float(np.abs(values).max()) * (float(sigma.min()) / sigma)
    weights[active] = raw / kernels.ordered_sum(np.abs(raw)) * gross_budget
    return RiskWeights(weights=weights, reason=solution.reason, steps=solution.steps, dropped=dropped)


def _ridge(correlation: FloatArray, score: FloatArray, parameters: RiskWeightParameters) -> Solution:
    """Return ``(C + lambda*I)^-1 z``; opposed names leave, all at once, until none is left that is opposed.

    Every repetition has fewer names, and ``z'(C + lambda*I)^-1 z > 0`` leaves at least one, but for rounding.
    """
    system = correlation.copy()
    np.fill_diagonal(system, np.diagonal(correlation) + parameters.ridge_lambda)
    inside = np.arange(len(score))
    for step in range(1, len(score) + 1):
        solved = solve_positive_definite(system[inside[:, None], inside], score[inside])
        if solved is None:
            return Solution(values=None, reason=RiskWeightReason.NOT_DEFINITE, steps=step)
        agrees = np.sign(solved) == np.sign(score[inside])
        if parameters.opposed == "keep" or bool(agrees.all()):
            values = np.zeros(len(score))
            values[inside] = solved
            return Solution(values=values, reason=RiskWeightReason.OK, steps=step)
        if not bool(agrees.any()):
            break
        inside = inside[agrees]
    return Solution(values=None, reason=RiskWeightReason.NOT_CONVERGED, steps=len(score))


def equal_risk(correlation: FloatArray) -> Solution:
    """Return (n,) x > 0 with ``x_i * (C x)_i = 1`` for all i: each name contributes the same to the variance.

    Maillard, Roncalli and Teiletche 2010, "The properties of equally weighted risk contribution portfolios", Journal
    of Portfolio Management 36(4). x minimises the strictly convex ``x'Cx/2 - sum ln x_i`` (Spinu 2013, "An
    algorithm for computing risk parity weights"), which is self-concordant, so that the damped Newton step
    ``1/(1 + decrement)`` never leaves x > 0 and always descends. From there the step is lengthened towards the minimum
    along the line, never beyond it, so it descends at least as much; near the solution full steps are taken.
    Deterministic; at most ``NEWTON_STEPS_MAX`` steps.

    Args:
        correlation: (n, n) positive definite, already multiplied by the signs of the positions; n at least 1.
    """
    # Without this proof there may be no minimum, and the steps would run away.
    if cholesky(correlation) is None:
        return Solution(values=None, reason=RiskWeightReason.NOT_DEFINITE, steps=0)
    with np.errstate(all="ignore"):
        x = _start(correlation)
        error = math.inf
        for step in range(NEWTON_STEPS_MAX):
            image = ordered_product(correlation, x)
            before, error = error, float(np.max(np.abs(x * image - 1.0)))
            # At the limit of rounding the error no longer halves, which is as good as it gets.
            if error <= CONTRIBUTION_ERROR_GOAL or (error <= CONTRIBUTION_ERROR_MAX and error > 0.5 * before):
                return Solution(values=x, reason=RiskWeightReason.OK, steps=step)
            curvature = correlation.copy()
            np.fill_diagonal(curvature, np.diagonal(correlation) + 1.0 / (x * x))
            slope = 1.0 / x - image
            move = solve_positive_definite(curvature, slope)
            if move is None:
                return Solution(values=None, reason=RiskWeightReason.NOT_DEFINITE, steps=step)
            decrement = math.sqrt(max(0.0, kernels.ordered_dot(slope, move)))
            length = 1.0 if decrement <= DECREMENT_FULL_STEP else _line_length(correlation, x, image, move, decrement)
            x = x + length * move
    return Solution(values=None, reason=RiskWeightReason.NOT_CONVERGED, steps=NEWTON_STEPS_MAX)


def _start(correlation: FloatArray) -> FloatArray:
    """Return positive x of about the right shape with exactly the right scale, ``x'Cx = n``."""
    count = len(correlation)
    row_sums = ordered_product(correlation, np.ones(count))
    x = 1.0 / np.sqrt(np.maximum(row_sums, 1.0))
    variance = kernels.ordered_sum(x * ordered_product(correlation, x))
    scaled: FloatArray = x * math.sqrt(count / variance) if variance > 0.0 else x
    return scaled


def _line_length(
    correlation: FloatArray, x: FloatArray, image: FloatArray, move: FloatArray, decrement: float
) -> float:
    """Return how far to go along ``move``: from the damped length towards the minimum, never beyond it.

    The derivative along the line, ``x'Cd + t*d'Cd - sum d_i/(x_i + t*d_i)``, grows with t; its root is sought by
    Newton's method inside a bracket, and the bracket's lower end is given back.
    """
    level = kernels.ordered_dot(image, move)
    bend = kernels.ordered_dot(move, ordered_product(correlation, move))
    ratio = move / x
    steepest = float(ratio.min())
    low = 1.0 / (1.0 + decrement)
    high = -1.0 / steepest if steepest < 0.0 else math.inf
    length = low
    for _ in range(LINE_STEPS_MAX):
        share = ratio / (1.0 + length * ratio)
        slope = level + length * bend - kernels.ordered_sum(share)
        if slope > 0.0:
            high = length
        else:
            low = length
        target = length - slope / (bend + kernels.ordered_dot(share, share))
        if not low < target < high:
            target = 0.5 * (low + high) if high < math.inf else 2.0 * low
        if abs(target - length) <= LINE_TOLERANCE * length:
            break
        length = target
    return low


def risk_contributions(weights: FloatArray, sigma_day_bps: FloatArray, correlation: FloatArray) -> FloatArray:
    """Return (N,) share of each name in the variance of the book, ``w_i (S w)_i / w'Sw``; they add up to 1.

    Maillard, Roncalli and Teiletche 2010, with S the covariance; all 0 for an empty book.

    Args:
        weights: (N,) signed.
        sigma_day_bps: (N,) known and positive where the weight is not 0.
        correlation: (N, N) without gaps.
    """
    held = np.flatnonzero(weights)
    shares = np.zeros(len(weights))
    exposure = weights[held] * sigma_day_bps[held]
    contribution = exposure * ordered_product(np.ascontiguousarray(correlation[held[:, None], held]), exposure)
    variance = kernels.ordered_sum(contribution)
    if variance > 0.0:
        shares[held] = contribution / variance
    return shares
