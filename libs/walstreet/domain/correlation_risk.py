"""Owns the limits that see correlation: gross weight of a cluster and volatility of the book, by scaling down only.

A cluster is a connected component of the names with a weight, two names being tied where the size of their
correlation reaches a threshold: positions that move together, or exactly against each other, share one cap on their
*gross* weight. Components depend on no order, and by chaining names they are rather too large than too small. Then
the whole movable book is scaled until its volatility is within the cap. The order makes one pass enough: scaling a
cluster may take a hedge away and raise the volatility, but scaling the whole book raises no cluster.

Weights that cannot be traded are *fixed*, as in ``limits``: they use up room, and the others are scaled to what is
left, or as close to the cap as scaling down can bring them. An unknown correlation always adds risk, whatever the
directions, and an unknown volatility is read as a high one: neither is a cheap default.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import msgspec
import numpy as np

from walstreet import kernels
from walstreet.domain.bounds import require_between
from walstreet.domain.limits import Binding
from walstreet.domain.shrinkage import UnknownCorrelationParameters, unknown_rho
from walstreet.domain.units import BoolArray, FloatArray, IntArray

TOLERANCE = 1e-12
"""Relative excess of a cluster that counts as rounding, as in ``limits``."""
VOLATILITY_TOLERANCE = 1e-9
"""The same for the volatility, which is a difference of large numbers where positions hedge each other."""


class CorrelationRiskParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Caps of the book that depend on correlation."""

    volatility_day_bps_max: float = 80.0
    """Daily volatility of the book in bps of equity. Sizing aims at 60 without correlation; a daily loss of 2 %, which
    stops trading, is 2.5 times this."""
    cluster_gross_max: float = 0.15
    """Largest gross weight of a cluster, as a fraction of equity; what a sector may have."""
    cluster_rho_min: float = 0.7
    """From this size of the correlation on two names belong to one cluster."""
    sigma_unknown_day_bps: float = 500.0
    """Daily volatility of a name whose own is unknown."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("correlation_risk", "volatility_day_bps_max", self.volatility_day_bps_max, 1.0, 1_000.0)
        require_between("correlation_risk", "cluster_gross_max", self.cluster_gross_max, 0.0, 4.0)
        require_between("correlation_risk", "cluster_rho_min", self.cluster_rho_min, 0.3, 1.0)
        require_between("correlation_risk", "sigma_unknown_day_bps", self.sigma_unknown_day_bps, 200.0, 5_000.0)


class RiskBinding(IntEnum):
    """Which limit was the last to reduce a weight; the numbers go on where ``limits.Binding`` ends."""

    NONE = 0
    CLUSTER = 5
    VOLATILITY = 6
    UNKNOWN = 7
    """The wanted weight itself was missing, so it became 0."""


assert max(Binding) < RiskBinding.CLUSTER


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CorrelationRisk:
    """Weights within the caps, and the numbers behind them."""

    weights: FloatArray
    """(N,)."""
    binding: IntArray
    """(N,) ``RiskBinding``."""
    clusters: IntArray
    """(N,) smallest index of the name's cluster; -1 without a weight."""
    volatility_wanted_day_bps: float
    """Of the weights that were given."""
    volatility_day_bps: float
    """Of the weights that are returned; above the cap only where fixed weights are to blame."""


@dataclass(frozen=True, slots=True)
class _Variance:
    """The variance of the book as ``fixed + 2*factor*mixed + factor^2*movable``, bps^2."""

    fixed: float
    mixed: float
    movable: float

    def at(self, factor: float) -> float:
        return max(0.0, self.fixed + factor * (2.0 * self.mixed + factor * self.movable))


def apply_correlation_risk(
    weights: FloatArray,
    sigma_day_bps: FloatArray,
    correlation: FloatArray,
    sectors: IntArray,
    movable: BoolArray,
    *,
    parameters: CorrelationRiskParameters,
    unknown: UnknownCorrelationParameters,
) -> CorrelationRisk:
    """Return weights whose clusters and volatility are within the caps.

    Args:
        weights: (N,) signed fractions of equity; a movable one that is not finite becomes 0.
        sigma_day_bps: (N,) daily volatility; unless positive and finite it is unknown.
        correlation: (N, N) shrunk correlation, NaN where unknown (``CorrelationEstimate.aligned``), positive
            definite with its gaps read as 0.
        sectors: (N,) sector codes, for pairs whose correlation is unknown.
        movable: (N,) False where the weight is given and cannot be changed; such a weight must be finite.
        parameters: The caps.
        unknown: How unknown pairs are read.
    """
    assert correlation.shape == (len(weights), len(weights)), correlation.shape
    finite = np.isfinite(weights)
    assert bool(np.all(finite | movable)), "a fixed weight must be finite before limits are applied"
    result = np.where(finite, weights, 0.0)
    binding = np.where(finite, RiskBinding.NONE, RiskBinding.UNKNOWN).astype(np.int64)
    clusters = np.full(len(weights), -1, dtype=np.int64)
    # Names without a weight take no part, not even in the order of a sum.
    held = np.flatnonzero(result)
    if len(held) == 0:
        return CorrelationRisk(
            weights=result, binding=binding, clusters=clusters, volatility_wanted_day_bps=0.0, volatility_day_bps=0.0
        )
    part, free = result[held], movable[held]
    among = correlation[held[:, None], held]
    gap = ~np.isfinite(among)
    adverse = np.where(gap, unknown_rho(sectors[held], unknown), 0.0)
    np.fill_diagonal(adverse, 0.0)
    rho = np.where(gap, 0.0, among)
    np.fill_diagonal(rho, 1.0)
    labels = connected_components(np.abs(rho) + adverse >= parameters.cluster_rho_min)
    clusters[held] = held[labels]
    known = np.isfinite(sigma_day_bps[held]) & (sigma_day_bps[held] > 0.0)
    sigma = np.where(known, sigma_day_bps[held], parameters.sigma_unknown_day_bps)
    wanted = _variance(part * sigma, rho, adverse, free)
    factors = np.where(free, _cluster_factors(part, labels, free, parameters), 1.0)
    capped = part * factors
    variance = _variance(capped * sigma, rho, adverse, free)
    factor = _volatility_factor(variance, parameters.volatility_day_bps_max)
    result[held] = np.where(free, capped * factor, capped)
    code = np.where(capped != part, RiskBinding.CLUSTER, RiskBinding.NONE)
    binding[held] = np.where(result[held] != capped, RiskBinding.VOLATILITY, code)
    return CorrelationRisk(
        weights=result,
        binding=binding,
        clusters=clusters,
        volatility_wanted_day_bps=math.sqrt(wanted.at(1.0)),
        volatility_day_bps=math.sqrt(variance.at(factor)),
    )


def connected_components(tied: BoolArray) -> IntArray:
    """Return (n,) the smallest index of each node's component.

    Every node takes the smallest label among its neighbours and then its label's label, until nothing changes. Each
    round settles at least one node more, so n rounds are enough.

    Args:
        tied: (n, n) symmetric, True on the diagonal.
    """
    count = len(tied)
    labels = np.arange(count)
    for _ in range(count):
        smallest = np.where(tied, labels, count).min(axis=1)
        smallest = smallest[smallest]
        if np.array_equal(smallest, labels):
            break
        labels = smallest
    return labels


def _cluster_factors(
    weights: FloatArray, labels: IntArray, movable: BoolArray, parameters: CorrelationRiskParameters
) -> FloatArray:
    """Return (n,) the factor of each name's cluster; the sums run in symbol order, so their bits are fixed."""
    size = np.abs(weights)
    fixed = np.bincount(labels, weights=np.where(movable, 0.0, size))
    free = np.bincount(labels, weights=np.where(movable, size, 0.0))
    limit = parameters.cluster_gross_max
    over = (fixed + free > limit * (1.0 + TOLERANCE)) & (free > 0.0)
    room = np.clip(limit - fixed, 0.0, free) / np.where(over, free, 1.0)
    factors: FloatArray = np.where(over, room, 1.0)[labels]
    return factors


def _variance(exposure: FloatArray, rho: FloatArray, adverse: FloatArray, movable: BoolArray) -> _Variance:
    """Return the variance of (n,) exposures in bps of equity, ``sum rho_ij u_i u_j + sum adverse_ij |u_i u_j|``.

    Markowitz 1952, "Portfolio Selection", with the second sum over the pairs whose correlation is unknown. The first
    is positive because rho is positive definite, the second cannot be negative.
    """
    product = exposure[:, None] * exposure
    pairs = rho * product + adverse * np.abs(product)
    fixed = ~movable
    return _Variance(
        fixed=_total(pairs, fixed[:, None] & fixed),
        mixed=_total(pairs, fixed[:, None] & movable),
        movable=_total(pairs, movable[:, None] & movable),
    )


def _total(pairs: FloatArray, chosen: BoolArray) -> float:
    return kernels.ordered_sum(np.where(chosen, pairs, 0.0).reshape(-1))


def _volatility_factor(variance: _Variance, volatility_max: float) -> float:
    """Return the largest factor in [0, 1] that keeps the volatility, or the one that brings it closest.

    ``movable*f^2 + 2*mixed*f + fixed - cap^2 = 0`` has its roots where the volatility equals the cap. The movable part
    can also offset a fixed excess; then the factor with the least volatility is taken.
    """
    limit = volatility_max * volatility_max
    room = volatility_max * (1.0 + VOLATILITY_TOLERANCE)
    if variance.movable <= 0.0 or variance.at(1.0) <= room * room:
        return 1.0
    discriminant = variance.mixed * variance.mixed - variance.movable * (variance.fixed - limit)
    lowest = -variance.mixed / variance.movable
    reach = math.sqrt(max(0.0, discriminant)) / variance.movable
    if discriminant < 0.0 or lowest + reach < 0.0 or lowest - reach > 1.0:
        # Snapped, so that a second application does not move by its own rounding.
        return float(lowest > VOLATILITY_TOLERANCE) if abs(lowest - 0.5) > 0.5 - VOLATILITY_TOLERANCE else lowest
    # Written without the difference of nearly equal numbers where the fixed part takes most of the room.
    if variance.mixed > 0.0:
        return min(1.0, (limit - variance.fixed) / (variance.mixed + math.sqrt(discriminant)))
    return min(1.0, lowest + reach)
