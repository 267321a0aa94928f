"""Owns what makes an estimated correlation matrix usable: shrinkage, the proof of definiteness, cautious gaps.

Three steps, each a pure function. The Ledoit-Wolf intensity says how much of the sample correlation is noise. The
shrunk matrix is proved positive definite by a Cholesky factorisation, and shrunk further where it is not. A pair
without an estimate is never read as uncorrelated: it gets a high correlation with the sign that *adds* risk.
"""

from __future__ import annotations

import msgspec
import numpy as np

from walstreet import kernels
from walstreet.domain.bounds import require_between, require_ordered
from walstreet.domain.linear_solve import cholesky
from walstreet.domain.units import BoolArray, FloatArray, IntArray

EIGENVALUE_MIN = 1e-3
"""Every matrix that leaves this module has no smaller eigenvalue, up to rounding."""
REPAIR_STEPS = 8
"""Halvings of the interval in which the smallest sufficient shrinkage is sought."""
RHO_UNKNOWN_MIN = 0.3
"""Less than this for a pair without an estimate would be a cheap default."""

assert 0.0 < EIGENVALUE_MIN < 1.0


class UnknownCorrelationParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a pair of symbols without enough common history is read."""

    rho_same_sector: float = 1.0
    """Within one sector, symbols without a known sector being one: the same bet until shown otherwise."""
    rho_other_sector: float = 0.6
    """Across sectors: what large US stocks reach on a nervous day."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges and a sector that ties less than none."""
        require_between("correlation", "rho_same_sector", self.rho_same_sector, RHO_UNKNOWN_MIN, 1.0)
        require_between("correlation", "rho_other_sector", self.rho_other_sector, RHO_UNKNOWN_MIN, 1.0)
        require_ordered(
            "correlation",
            ("rho_other_sector", self.rho_other_sector),
            ("rho_same_sector", self.rho_same_sector),
        )


def _total(values: FloatArray) -> float:
    return kernels.ordered_sum(np.ascontiguousarray(values).reshape(-1))


def ledoit_wolf_intensity(
    correlation: FloatArray, product_square: FloatArray, concentration: FloatArray, known: BoolArray
) -> float:
    """Return the optimal weight of the identity in [0, 1].

    Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices", Journal of
    Multivariate Analysis 88, section 3.3, for standardised returns x (so that S is the correlation, the scale
    ``m = tr(S)/N`` is 1 and the target the identity): ``d2 = |S - I|^2``, ``b2 = sum_t |x_t x_t' - S|^2 / T^2``
    over all elements with the diagonal, ``intensity = min(b2, d2) / d2``; the paper's common factor 1/N cancels.
    With weights ``w_t``, 1/T becomes ``sum w^2 / (sum w)^2``, the variance of a weighted mean; equal weights
    give the paper's numbers. Pairs that are not known are left out of both sums. No correlation at all gives 1.

    Args:
        correlation: (N, N) sample correlation about zero, not shrunk; any value where not known.
        product_square: (N, N) weighted mean of ``x_i^2 x_j^2``.
        concentration: (N, N) ``sum w^2 / (sum w)^2`` over the bars of the pair.
        known: (N, N) which pairs count, the diagonal included.
    """
    square = np.where(known, correlation * correlation, 0.0)
    spread = np.where(known, concentration * np.maximum(product_square - square, 0.0), 0.0)
    np.fill_diagonal(square, 0.0)
    distance = _total(square)
    if distance <= 0.0:
        return 1.0
    return min(1.0, _total(spread) / distance)


def shrunk(correlation: FloatArray, shrinkage: float) -> FloatArray:
    """Return (N, N) ``(1 - shrinkage)*correlation + shrinkage*I``, with a diagonal of exactly 1.

    Args:
        correlation: (N, N) with a unit diagonal.
        shrinkage: Weight of the identity in [0, 1].
    """
    result: FloatArray = correlation * (1.0 - shrinkage)
    np.fill_diagonal(result, 1.0)
    return result


def is_definite(correlation: FloatArray) -> bool:
    """Return whether a factorisation proves every eigenvalue to be at least ``EIGENVALUE_MIN``."""
    lowered = correlation.copy()
    np.fill_diagonal(lowered, np.diagonal(correlation) - EIGENVALUE_MIN)
    return cholesky(lowered) is not None


def definite_shrinkage(correlation: FloatArray, shrinkage: float) -> float:
    """Return the shrinkage, ``shrinkage`` or more, whose result ``is_definite``.

    Eigenvalues move as ``(1 - s)*eigenvalue + s``, so what suffices suffices for every larger s, and s = 1 is the
    identity. The bisection keeps an upper end that is proved and gives it back, within ``2**-REPAIR_STEPS`` of the
    smallest that would do. It works where returns missing at different times made the matrix indefinite.

    Args:
        correlation: (N, N) symmetric with a unit diagonal, finite.
        shrinkage: Weight of the identity to start from, in [0, 1].
    """
    if is_definite(shrunk(correlation, shrinkage)):
        return shrinkage
    low, high = shrinkage, 1.0
    for _ in range(REPAIR_STEPS):
        middle = 0.5 * (low + high)
        if is_definite(shrunk(correlation, middle)):
            high = middle
        else:
            low = middle
    return high


def unknown_rho(sectors: IntArray, parameters: UnknownCorrelationParameters) -> FloatArray:
    """Return (N, N) the size of the correlation that each pair has while it is unknown.

    Args:
        sectors: (N,) sector codes; symbols without a known sector share one.
        parameters: The two values.
    """
    same = sectors[:, None] == sectors[None, :]
    return np.where(same, parameters.rho_same_sector, parameters.rho_other_sector)


def cautious_correlation(
    correlation: FloatArray, signs: FloatArray, sectors: IntArray, parameters: UnknownCorrelationParameters
) -> FloatArray:
    """Return (N, N) positive definite correlation without gaps.

    An unknown pair gets ``sign_i * sign_j * rho_unknown``: two longs count as one bet, and so do a long and a short,
    whose unknown correlation must not pass for a hedge. Without unknown pairs the matrix is returned as it is.

    Args:
        correlation: (N, N) shrunk correlation, positive definite with its gaps read as 0; NaN is unknown.
        signs: (N,) +1 or -1, the direction of each position; 0 for a name that has none and only hedges others,
            which it may not do on a correlation that nobody knows.
        sectors: (N,) sector codes.
        parameters: How unknown pairs are read.
    """
    unknown = ~np.isfinite(correlation)
    if not bool(unknown.any()):
        return correlation.copy()
    adverse = unknown_rho(sectors, parameters) * (signs[:, None] * signs[None, :])
    filled = np.where(unknown, adverse, correlation)
    np.fill_diagonal(filled, 1.0)
    return shrunk(filled, definite_shrinkage(filled, 0.0))
