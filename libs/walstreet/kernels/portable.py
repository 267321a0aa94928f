"""Owns exp, log and power of whole arrays with the same bits on every machine, native or in NumPy.

The bits are those of ``walstreet.domain.portable_math``: only operations that IEEE 754 rounds exactly, in a fixed
order. NumPy's and the C library's own versions differ between processors in the last bits. The relative error is
below 1e-14 for arguments in range.
"""

import math
from typing import Final

import numpy as np

from walstreet.kernels import _checks as checks
from walstreet.kernels.compiled import compiled
from walstreet.kernels.interface import FloatArray

__all__ = ["exp", "log", "power", "reference_exp", "reference_log", "reference_power"]

# Two-part ln 2 after Cody and Waite, so that the reduction is exact to the last bit needed.
_LN2_HIGH: Final = 6.93147180369123816490e-01
_LN2_LOW: Final = 1.90821492927058770002e-10
_EXPONENT_ABS_MAX: Final = 700.0
_EXP_COEFFICIENTS: Final = tuple(1.0 / math.factorial(order) for order in range(14))
_LOG_COEFFICIENTS: Final = tuple(1.0 / (2 * order + 1) for order in range(13))


def _horner(coefficients: tuple[float, ...], values: FloatArray) -> FloatArray:
    total = np.full_like(values, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * values + coefficient
    return total


def reference_exp(values: FloatArray, results: FloatArray) -> None:
    """Write e to the power of the values, in NumPy."""
    _require(values, results)
    with np.errstate(all="ignore"):
        clipped = np.clip(values, -_EXPONENT_ABS_MAX, _EXPONENT_ABS_MAX)
        exponent = np.rint(clipped / (_LN2_HIGH + _LN2_LOW))
        rest = (clipped - exponent * _LN2_HIGH) - exponent * _LN2_LOW
        total = _horner(_EXP_COEFFICIENTS, rest)
        results[:] = np.ldexp(total, np.nan_to_num(exponent).astype(np.int32))


def reference_log(values: FloatArray, results: FloatArray) -> None:
    """Write natural logarithms, in NumPy."""
    _require(values, results)
    with np.errstate(all="ignore"):
        valid = np.isfinite(values) & (values > 0.0)
        mantissa, exponent = np.frexp(np.where(valid, values, 1.0))
        small = mantissa < math.sqrt(0.5)
        mantissa = np.where(small, mantissa * 2.0, mantissa)
        exponents = (exponent - small).astype(np.float64)
        ratio = (mantissa - 1.0) / (mantissa + 1.0)
        total = _horner(_LOG_COEFFICIENTS, ratio * ratio)
        result = exponents * _LN2_HIGH + (2.0 * ratio * total + exponents * _LN2_LOW)
        results[:] = np.where(valid, result, np.nan)


def reference_power(values: FloatArray, exponent: float, results: FloatArray) -> None:
    """Write powers, in NumPy."""
    _require(values, results)
    checks.require_between("exponent", exponent, _SMALLEST, _LARGEST)
    logarithms, raised = np.empty_like(values), np.empty_like(values)
    reference_log(values, logarithms)
    with np.errstate(all="ignore"):
        reference_exp(exponent * logarithms, raised)
    results[:] = np.where(values == 0.0, 0.0, raised)


_SMALLEST: Final = float(np.finfo(np.float64).smallest_normal)
_LARGEST: Final = float(np.finfo(np.float64).max)


def _require(values: FloatArray, results: FloatArray) -> None:
    checks.require_array(values, "values", "float64", 1)
    checks.require_array(results, "results", "float64", 1, written=True)
    checks.require_shape(results, "results", values.shape, "values")
    checks.require_separate(("results", results), {"values": values})


def _flat(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    flat = np.ascontiguousarray(values, dtype=np.float64).reshape(-1)
    return flat, np.empty(len(flat))


def exp(values: FloatArray) -> FloatArray:
    """Return e to the power of ``values`` of any shape, clipped to [-700, 700]; NaN stays NaN."""
    flat, results = _flat(values)
    native = compiled()
    if native is None:
        reference_exp(flat, results)
    else:
        native.portable_exp(flat, results)
    return results.reshape(np.shape(values))


def log(values: FloatArray) -> FloatArray:
    """Return the natural logarithm of ``values`` of any shape; NaN unless positive and finite."""
    flat, results = _flat(values)
    native = compiled()
    if native is None:
        reference_log(flat, results)
    else:
        native.portable_log(flat, results)
    return results.reshape(np.shape(values))


def power(values: FloatArray, exponent: float) -> FloatArray:
    """Return ``values ** exponent`` for values of any shape at or above 0; NaN otherwise.

    Raises:
        ValueError: the exponent is not positive, normal and finite.
    """
    flat, results = _flat(values)
    native = compiled()
    if native is None:
        reference_power(flat, exponent, results)
    else:
        native.portable_power(flat, exponent, results)
    return results.reshape(np.shape(values))
