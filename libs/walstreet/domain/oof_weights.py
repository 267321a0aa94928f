"""Owns the offline blend weights: ridge regression on out-of-fold scores, then the simplex.

The ridge is relative to the scores' own size: ``b = (X'X/n + alpha * mean(diag X'X/n) * I)^-1 X'y/n`` without an
intercept (Hoerl and Kennard 1970), because an absolute .01 beside sums over thousands of rows would do nothing. The
nearest point of the simplex (Duchi et al. 2008) makes it a blend: ``[.9, .5, .1, -.4]`` becomes ``[.7, .3, 0, 0]``.
"""

from __future__ import annotations

import numpy as np

from walstreet import kernels
from walstreet.domain.linear_solve import solve_positive_definite
from walstreet.domain.units import FloatArray
from walstreet.domain.zoo_parameters import MODELS_MAX


def oof_ridge_weights(scores: FloatArray, outcomes: FloatArray, *, alpha: float = 0.01) -> FloatArray:
    """Return (K,) blend weights at least 0 that sum to 1.

    Args:
        scores: (rows, K) calibrated out-of-fold scores; rows with anything missing are left out.
        outcomes: (rows,) what they forecast, in the same unit.
        alpha: Ridge relative to the mean square of the scores, above 0.

    Raises:
        ValueError: Arrays do not fit, ``alpha`` is not positive, no complete row, all scores are 0, or collinear ones.
    """
    if scores.ndim != 2 or outcomes.shape != scores.shape[:1] or not 1 <= scores.shape[1] <= MODELS_MAX:
        raise ValueError(
            f"oof_ridge_weights: scores {scores.shape} and outcomes {outcomes.shape} do not fit; "
            f"(rows, K) and (rows,) with K from 1 to {MODELS_MAX} are needed"
        )
    if not (np.isfinite(alpha) and alpha > 0.0):
        raise ValueError(f"oof_ridge_weights: alpha is {alpha}; it must be above 0")
    complete = np.isfinite(scores).all(axis=1) & np.isfinite(outcomes)
    columns = np.ascontiguousarray(scores[complete].T)
    wanted = np.ascontiguousarray(outcomes[complete])
    rows, count = len(wanted), len(columns)
    if not rows or not columns.any():
        raise ValueError(
            f"oof_ridge_weights: {rows} complete rows of {len(scores)}, or all scores are 0; check the folds"
        )
    gram = np.empty((count, count))
    for row in range(count):
        for column in range(row + 1):
            gram[row, column] = gram[column, row] = kernels.ordered_dot(columns[row], columns[column]) / rows
    penalty = alpha * kernels.ordered_sum(np.ascontiguousarray(np.diagonal(gram))) / count
    right = np.array([kernels.ordered_dot(column, wanted) / rows for column in columns])
    coefficients = solve_positive_definite(gram + penalty * np.eye(count), right)
    if coefficients is None:
        raise ValueError(f"oof_ridge_weights: the scores are collinear beyond alpha {alpha}; raise it or drop a model")
    return kernels.simplex_projection(coefficients)
