"""Owns exp, log, powers and softmax that give the same bits on every x86-64 machine.

NumPy's own versions choose other instructions on other processors and differ in the last bits, which would
break byte-identical replay. These use only operations that IEEE 754 rounds exactly (add, subtract, multiply,
divide, scaling by a power of two) in a fixed order. Relative error below 1e-14 for arguments in range.
"""

from __future__ import annotations

import math

import numpy as np

from walstreet.domain.units import BoolArray, FloatArray

_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
"""Two-part ln 2 after Cody and Waite, so that the reduction below is exact to the last bit needed."""
_EXP_TERMS = 14
_LOG_TERMS = 13
EXPONENT_ABS_MAX = 700.0
"""Larger arguments of ``exp`` are clipped: the results would leave float64."""

_EXP_COEFFICIENTS = tuple(1.0 / math.factorial(order) for order in range(_EXP_TERMS))
_LOG_COEFFICIENTS = tuple(1.0 / (2 * order + 1) for order in range(_LOG_TERMS))


def exp(values: FloatArray) -> FloatArray:
    """Return e to the power of ``values``, clipped to ``EXPONENT_ABS_MAX``; NaN stays NaN."""
    clipped = np.clip(values, -EXPONENT_ABS_MAX, EXPONENT_ABS_MAX)
    exponent = np.rint(clipped / (_LN2_HIGH + _LN2_LOW))
    rest = (clipped - exponent * _LN2_HIGH) - exponent * _LN2_LOW
    total = np.full_like(rest, _EXP_COEFFICIENTS[-1])
    for coefficient in reversed(_EXP_COEFFICIENTS[:-1]):
        total = total * rest + coefficient
    scaled: FloatArray = np.ldexp(total, np.nan_to_num(exponent).astype(np.int32))
    return scaled


def log(values: FloatArray) -> FloatArray:
    """Return the natural logarithm; NaN where ``values`` is not a positive finite number."""
    valid = np.isfinite(values) & (values > 0.0)
    mantissa, exponent = np.frexp(np.where(valid, values, 1.0))
    small = mantissa < math.sqrt(0.5)
    mantissa = np.where(small, mantissa * 2.0, mantissa)
    power = (exponent - small).astype(np.float64)
    ratio = (mantissa - 1.0) / (mantissa + 1.0)
    square = ratio * ratio
    total = np.full_like(ratio, _LOG_COEFFICIENTS[-1])
    for coefficient in reversed(_LOG_COEFFICIENTS[:-1]):
        total = total * square + coefficient
    result = power * _LN2_HIGH + (2.0 * ratio * total + power * _LN2_LOW)
    return np.where(valid, result, np.nan)


def power(values: FloatArray, exponent: float) -> FloatArray:
    """Return ``values ** exponent`` for values at or above 0 and ``exponent`` above 0; NaN otherwise."""
    assert exponent > 0.0, exponent
    return np.where(values == 0.0, 0.0, exp(exponent * log(values)))


def masked_softmax(logits: FloatArray, mask: BoolArray) -> FloatArray:
    """Return softmax over axis 0 of the entries in ``mask``; 0 elsewhere, and all 0 in a column without any.

    Shifted by the column's maximum, and summed from the first row to the last.

    Args:
        logits: (K, N); finite wherever ``mask`` holds.
        mask: (K, N).
    """
    top = np.where(mask, logits, -np.inf).max(axis=0)
    shifted = np.where(mask, logits - np.where(np.isfinite(top), top, 0.0), 0.0)
    terms = np.where(mask, exp(shifted), 0.0)
    total = np.add.accumulate(terms, axis=0)[-1]
    shares: FloatArray = terms / np.where(total > 0.0, total, 1.0)
    return shares
