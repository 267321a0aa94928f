"""Owns the solution of symmetric positive definite systems with the same bits on every machine.

BLAS and LAPACK add in an order that depends on the processor, so they may not decide anything. Here every element
is reduced by one product after the other, in the order of the pivots; NumPy only does this for many elements at
once. A multiplication and a subtraction are separate operations, so nothing can be contracted to a fused one.
"""

from __future__ import annotations

import math

import numpy as np

from walstreet.domain.units import FloatArray

ORDER_MAX = 500
"""Largest system; the work grows with the cube, and a larger one would take longer than a cycle may."""
PIVOT_SHARE_MIN = 1e-12
"""A pivot below this share of its diagonal element is rounding, so the matrix is not *numerically* definite."""


def cholesky(matrix: FloatArray) -> FloatArray | None:
    """Return the lower triangular (N, N) factor L with ``L L' = matrix``; None if not positive definite.

    Outer-product form (Golub and Van Loan, Matrix Computations, 4th edition 2013, section 4.2.5): after pivot k every
    remaining element (i, j) loses ``L[i, k] * L[j, k]``. Only the upper triangle and the diagonal are read.

    Args:
        matrix: (N, N) symmetric, N at most ``ORDER_MAX``; a value that is not finite gives None.
    """
    rest = np.array(matrix, dtype=np.float64, order="C")
    if not _eliminate(rest):
        return None
    return np.ascontiguousarray(np.triu(rest).T)


def solve_positive_definite(matrix: FloatArray, right: FloatArray) -> FloatArray | None:
    """Return (N,) x with ``matrix x = right``; None if not positive definite or the result leaves float64.

    The right side is one more column of the factorisation, which does the forward substitution; the backward
    substitution goes by columns. The operations and their order are those of ``cholesky``, then L y = right,
    then L' x = y.

    Args:
        matrix: (N, N) symmetric, N at most ``ORDER_MAX``.
        right: (N,); a value that is not finite gives None.
    """
    order = len(matrix)
    assert right.shape == (order,), right.shape
    rest = np.empty((order, order + 1))
    rest[:, :order] = matrix
    rest[:, order] = right
    if not _eliminate(rest):
        return None
    solution = _back_substituted(np.ascontiguousarray(rest[:, :order].T), rest[:, order].copy())
    return solution if bool(np.isfinite(solution).all()) else None


def solve_factored(lower: FloatArray, right: FloatArray) -> FloatArray:
    """Return (N,) x with ``L L' x = right``, the same bits as ``solve_positive_definite``; for several right sides.

    Args:
        lower: (N, N) factor from ``cholesky``.
        right: (N,) finite; what is not finite, or overflows, makes the result not finite.
    """
    order = len(lower)
    assert right.shape == (order,), right.shape
    solution = np.array(right, dtype=np.float64)
    upper = np.ascontiguousarray(lower.T)
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(order):
            row = upper[step]
            value = float(solution[step]) / float(row[step])
            solution[step] = value
            below = solution[step + 1 :]
            below -= row[step + 1 :] * value
    return _back_substituted(lower, solution)


def _back_substituted(lower: FloatArray, solution: FloatArray) -> FloatArray:
    """Solve ``L' x = solution`` in place, row of L by row from the last, and return it.

    What stands above the diagonal of ``lower`` is not read.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(len(lower) - 1, -1, -1):
            row = lower[step]
            value = float(solution[step]) / float(row[step])
            solution[step] = value
            above = solution[:step]
            above -= row[:step] * value
    return solution


def _eliminate(rest: FloatArray) -> bool:
    """Overwrite the upper triangle of (N, N + k) ``rest`` by L' and the k columns by ``L^-1`` times them.

    Returns False, and leaves nothing of use, where a pivot is not clearly positive.
    """
    order, width = rest.shape
    assert order <= width, rest.shape
    assert order <= ORDER_MAX, f"a system of {order} equations exceeds the bound of {ORDER_MAX}"
    if not bool(np.isfinite(rest).all()):
        return False
    smallest: list[float] = (np.diagonal(rest) * PIVOT_SHARE_MIN).tolist()
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(order):
            row = rest[step, step:]
            pivot = float(row[0])
            # An infinite or NaN pivot fails this comparison too.
            if not max(0.0, smallest[step]) < pivot < math.inf:
                return False
            tail, block = row[1:], rest[step + 1 :, step + 1 :]
            root = math.sqrt(pivot)
            # Not pivot / root, which may differ from the root in its last bit.
            row[0] = root
            tail /= root
            # Named first: an augmented assignment to a slice would copy the block onto itself once more.
            block -= tail[: order - step - 1, None] * tail
    return True


def ordered_product(matrix: FloatArray, vector: FloatArray) -> FloatArray:
    """Return (N,) ``matrix @ vector`` for a symmetric matrix, adding in the order of the rows.

    Args:
        matrix: (N, N) symmetric.
        vector: (N,).
    """
    if len(vector) == 0:
        return np.zeros(0)
    # ``accumulate`` has to give every partial sum, so its order cannot depend on the machine.
    product: FloatArray = np.add.accumulate(matrix * vector[:, None], axis=0)[-1]
    return product
