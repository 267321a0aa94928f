"""Owns sizing with correlations: kept factors, their solutions, and equal risk contributions.

A solver takes a matrix in once (``factor``) and then serves any number of cycles without an allocation (native).
Same bits in NumPy and at every instruction-set level: each element is reduced one product after the other in the
order of the pivots, whatever the blocking.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from walstreet.kernels.compiled import compiled
from walstreet.kernels.interface import FloatArray
from walstreet.kernels.linear_reference import (
    PARITY_SWEEP_COUNT_MAX,
    ReferenceCholesky,
    ReferenceLowRank,
    reference_risk_parity,
)

__all__ = ["CholeskySolver", "LowRankSolver", "RiskParity", "risk_parity"]

_TOLERANCE: Final = 1e-10


class CholeskySolver:
    """Keep the Cholesky factor of ``matrix + ridge * I``; belongs to one thread.

    Outer-product form (Golub and Van Loan, Matrix Computations, 4th edition 2013, section 4.2.5).
    """

    __slots__ = ("_solver",)

    def __init__(self, symbol_count: int) -> None:
        """Allocate the factor of ``symbol_count`` symbols, from 1 to 2,048.

        Raises:
            ValueError: the count is out of range.
        """
        native = compiled()
        self._solver = ReferenceCholesky(symbol_count) if native is None else native.CholeskySolver(symbol_count)

    def factor(self, matrix: FloatArray, ridge: float) -> None:
        """Factor ``(symbols, symbols)`` symmetric ``matrix`` plus ``ridge`` on its diagonal.

        Raises:
            TypeError: not an array of float64.
            ValueError: wrong shape, not symmetric, not finite, or not positive definite; the solver then refuses
                to solve until a factor succeeds.
        """
        self._solver.factor(matrix, ridge)

    def solve(self, values: FloatArray, solution: FloatArray) -> None:
        """Write ``(matrix + ridge * I)^-1 values`` ``(symbols,)`` into ``solution``.

        Raises:
            TypeError: not arrays of float64.
            ValueError: wrong shape, a value that is not finite, shared memory, or no factor is held.
        """
        self._solver.solve(values, solution)

    def ridge_weights(self, z: FloatArray, sigma_day_bps: FloatArray, gross_budget: float, weights: FloatArray) -> None:
        """Write weights ``w ~ D^-1 (C + lambda I)^-1 z`` with a gross of ``gross_budget``.

        The whole factor takes part: names that are not wanted enter with z = 0 and are left out of the weights
        afterwards. (``domain.risk_weights`` solves for the wanted names alone; the two agree when all are wanted.)

        Args:
            z: ``(symbols,)``; NaN where a name is not wanted, which gives 0.
            sigma_day_bps: ``(symbols,)``; unknown gives weight 0.
            gross_budget: sum of the weights' magnitudes, from 0 to 1e6.
            weights: ``(symbols,)`` written in place.

        Raises:
            TypeError: not arrays of float64.
            ValueError: wrong shape, shared memory, a budget out of range, or no factor is held.
        """
        self._solver.ridge_weights(z, sigma_day_bps, gross_budget, weights)


class LowRankSolver:
    """Keep a factor model ``diagonal + loadings' loadings``; belongs to one thread.

    Solutions by Woodbury's identity (1950) cost symbols times factors instead of symbols squared.
    """

    __slots__ = ("_solver",)

    def __init__(self, symbol_count: int, factor_count: int) -> None:
        """Allocate room for ``factor_count`` factors, from 1 to 64, of up to 2**20 symbols.

        Raises:
            ValueError: a count is out of range.
        """
        native = compiled()
        self._solver = (
            ReferenceLowRank(symbol_count, factor_count)
            if native is None
            else native.LowRankSolver(symbol_count, factor_count)
        )

    def factor(self, diagonal: FloatArray, loadings: FloatArray) -> None:
        """Take in specific variances ``(symbols,)`` and loadings ``(factors, symbols)``; both are copied.

        Raises:
            TypeError: not arrays of float64.
            ValueError: wrong shape, a variance that is not positive, or a value that is not finite.
        """
        self._solver.factor(diagonal, loadings)

    def solve(self, values: FloatArray, solution: FloatArray) -> None:
        """Write ``(diagonal + loadings' loadings)^-1 values`` ``(symbols,)``; errors as in ``CholeskySolver``."""
        self._solver.solve(values, solution)

    def ridge_weights(self, z: FloatArray, sigma_day_bps: FloatArray, gross_budget: float, weights: FloatArray) -> None:
        """Write weights along the solution, as ``CholeskySolver.ridge_weights`` does."""
        self._solver.ridge_weights(z, sigma_day_bps, gross_budget, weights)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RiskParity:
    """Weights of equal risk, and how they were found.

    Attributes:
        weights: ``(symbols,)`` with the signs asked for; meaningless unless ``converged``.
        sweeps: passes over all names.
        converged: whether the last sweep moved no weight by more than the tolerance, relative to itself.
    """

    weights: FloatArray
    sweeps: int
    converged: bool


def risk_parity(
    covariance: FloatArray, signs: FloatArray, *, gross: float, tolerance: float = _TOLERANCE
) -> RiskParity:
    """Return weights that contribute equally to the variance of the book.

    Cyclical coordinate descent: Griveau-Billion, Richard and Roncalli 2013, "A fast algorithm for computing
    high-dimensional risk parity portfolios", equation 6, in signed weights. At most 1,000 sweeps.

    Args:
        covariance: ``(symbols, symbols)`` symmetric; positive definite, or it does not converge.
        signs: ``(symbols,)`` each -1, 0 or 1; 0 leaves a name out.
        gross: sum of the weights' magnitudes, from 0 to 1e6.
        tolerance: largest relative change of a weight in the last sweep, from 1e-14 to 1.

    Raises:
        TypeError: not arrays of float64.
        ValueError: wrong shape, not symmetric, not finite, another sign, or a variance that is not positive.
    """
    count = np.shape(signs)
    weights, marginal = np.empty(count), np.empty(count)
    native = compiled()
    call = reference_risk_parity if native is None else native.risk_parity
    sweeps = call(covariance, signs, gross, tolerance, marginal, weights)
    converged = sweeps <= PARITY_SWEEP_COUNT_MAX
    return RiskParity(weights=weights, sweeps=min(sweeps, PARITY_SWEEP_COUNT_MAX), converged=converged)
