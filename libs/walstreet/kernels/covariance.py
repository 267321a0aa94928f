"""Owns the exponentially weighted covariance of many symbols and its correlation shrunk to the identity."""

from typing import Final

import numpy as np

from walstreet.kernels import _checks as checks
from walstreet.kernels.compiled import compiled
from walstreet.kernels.interface import ALPHA_MIN, VALUE_ABS_MAX, FloatArray, Status, StatusArray

__all__ = [
    "covariance_update",
    "reference_covariance_update",
    "reference_shrunk_correlation",
    "shrunk_correlation",
]

_FLOAT_MAX: Final = float(np.finfo(np.float64).max)


def reference_covariance_update(values: FloatArray, alpha: float, covariance: FloatArray, status: StatusArray) -> None:
    """Move the smoothed covariance by one bar, in NumPy."""
    checks.require_array(values, "values", "float64", 1)
    checks.require_array(covariance, "covariance", "float64", 2, written=True)
    checks.require_array(status, "status", "uint8", 1, written=True)
    checks.require_shape(covariance, "covariance", (len(values), len(values)), "values")
    checks.require_shape(status, "status", values.shape, "values")
    checks.require_separate(("covariance", covariance), {"values": values, "status": status})
    checks.require_separate(("status", status), {"values": values})
    checks.require_between("alpha", alpha, ALPHA_MIN, 1.0)
    usable = np.abs(values) <= VALUE_ABS_MAX
    unusable = np.where(np.isnan(values), Status.MISSING, Status.OUT_OF_RANGE)
    status[:] = np.where(usable, Status.UPDATED, unusable)
    with np.errstate(all="ignore"):
        product = values[:, None] * values
        moved = np.where(np.isnan(covariance), product, (1.0 - alpha) * covariance + alpha * product)
    covariance[:] = np.where(usable[:, None] & usable, moved, covariance)


def covariance_update(values: FloatArray, alpha: float, covariance: FloatArray, status: StatusArray) -> None:
    """Move an exponentially weighted covariance by one bar, in place: ``(1 - alpha) * C + alpha * v v'``.

    Means are taken as zero, as is usual for returns of minutes. A pair moves only when both of its values are
    usable, and its first product seeds it (NaN marks a pair that was never seen). Symmetric to the bit.

    Args:
        values: ``(symbols,)`` in any one unit; NaN is missing.
        alpha: share of the newest value, in (0, 1]; see ``alpha_from_half_life_bars``.
        covariance: ``(symbols, symbols)`` in the unit squared; start it full of NaN.
        status: ``(symbols,)`` uint8, receives a ``Status`` per symbol.

    Raises:
        TypeError: not arrays of the stated element types.
        ValueError: wrong shape or strides, shared memory, or an alpha out of range.
    """
    native = compiled()
    call = reference_covariance_update if native is None else native.covariance_update
    call(values, alpha, covariance, status)


def reference_shrunk_correlation(
    covariance: FloatArray, shrinkage: float, deviations: FloatArray, correlation: FloatArray
) -> None:
    """Write the correlation shrunk to the identity, in NumPy."""
    checks.require_array(covariance, "covariance", "float64", 2)
    checks.require_array(deviations, "deviations", "float64", 1, written=True)
    checks.require_array(correlation, "correlation", "float64", 2, written=True)
    shape = (len(deviations), len(deviations))
    checks.require_shape(covariance, "covariance", shape, "deviations")
    checks.require_shape(correlation, "correlation", shape, "deviations")
    checks.require_separate(("correlation", correlation), {"covariance": covariance, "deviations": deviations})
    checks.require_separate(("deviations", deviations), {"covariance": covariance})
    checks.require_between("shrinkage", shrinkage, 0.0, 1.0)
    with np.errstate(all="ignore"):
        deviations[:] = np.sqrt(np.diagonal(covariance))
        ratio = covariance / (deviations[:, None] * deviations)
        bounded = np.clip(np.where(np.abs(ratio) <= _FLOAT_MAX, ratio, 0.0), -1.0, 1.0)
        correlation[:] = (1.0 - shrinkage) * bounded
    np.fill_diagonal(correlation, 1.0)


def shrunk_correlation(
    covariance: FloatArray, shrinkage: float, deviations: FloatArray, correlation: FloatArray
) -> None:
    """Write ``(1 - shrinkage) * correlation + shrinkage * I``.

    Args:
        covariance: ``(symbols, symbols)``; a pair that is NaN, and a name without variance, has correlation 0.
        shrinkage: weight of the identity, in [0, 1].
        deviations: ``(symbols,)`` receives the square roots of the diagonal.
        correlation: ``(symbols, symbols)`` written in place; its diagonal is 1.

    Raises:
        TypeError: not arrays of float64.
        ValueError: wrong shape or strides, shared memory, or a shrinkage out of range.
    """
    native = compiled()
    call = reference_shrunk_correlation if native is None else native.shrunk_correlation
    call(covariance, shrinkage, deviations, correlation)
