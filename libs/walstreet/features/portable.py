"""Owns elementary functions that give the same bits on every machine, for features that must replay exactly.

``numpy.log`` and libm choose other code paths on other processors, so their last bit may differ. The
functions here use only operations that IEEE 754 rounds correctly (add, multiply, divide, frexp), each as one
NumPy call, which leaves a compiler nothing to contract. A native kernel may replace ``log`` if it returns
the same bits.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

LOG_TWO = 0.6931471805599453
SQRT_HALF = 0.7071067811865476
TWO_PI = 6.283185307179586
_LOG_TERMS = 11
_LOG_COEFFICIENTS = tuple(2.0 / (2 * k + 1) for k in range(_LOG_TERMS, -1, -1))
_SINE_TERMS = 13


def _sine_coefficients() -> tuple[float, ...]:
    """Return (-1)^k / (2k+1)! from the highest order down, each rounded once."""
    terms: list[float] = []
    factorial = 1
    for k in range(_SINE_TERMS):
        if k:
            factorial *= 2 * k * (2 * k + 1)
        terms.append(float(Fraction((-1) ** k, factorial)))
    return tuple(reversed(terms))


_SINE_COEFFICIENTS = _sine_coefficients()


def log(values: FloatArray) -> FloatArray:
    """Return the natural logarithm within 4 units in the last place (near 1: of the result), NaN unless > 0.

    ``x = m 2^e`` with m in [sqrt(1/2), sqrt(2)), then ``log m = 2 atanh(s)``, ``s = (m - 1) / (m + 1)``
    (Abramowitz and Stegun 4.1.27); twelve terms leave a remainder below 1e-18.
    """
    usable = (values > 0.0) & (values < np.inf)
    mantissa, exponent = np.frexp(np.where(usable, values, 1.0))
    low = mantissa < SQRT_HALF
    mantissa = np.where(low, mantissa + mantissa, mantissa)
    power = exponent - low
    s = (mantissa - 1.0) / (mantissa + 1.0)
    square = s * s
    series = np.full_like(s, _LOG_COEFFICIENTS[0])
    for coefficient in _LOG_COEFFICIENTS[1:]:
        series *= square
        series += coefficient
    series *= s
    series += power * LOG_TWO
    series[~usable] = np.nan
    return series


def sine_of_turn(turn: float) -> float:
    """Return sin(2 pi turn) for a finite ``turn``, within 1e-14."""
    reduced = turn - round(turn)
    angle = TWO_PI * reduced
    square = angle * angle
    series = 0.0
    for coefficient in _SINE_COEFFICIENTS:
        series = series * square + coefficient
    return series * angle


def cosine_of_turn(turn: float) -> float:
    """Return cos(2 pi turn) for a finite ``turn``, within 1e-14."""
    return sine_of_turn(turn + 0.25)


def ordered_sum(values: FloatArray) -> float:
    """Return the sum of the finite entries, the same bits for every permutation of ``values``; 0.0 if none."""
    finite = np.sort(values[np.isfinite(values)])
    return float(np.cumsum(finite)[-1]) if finite.size else 0.0
