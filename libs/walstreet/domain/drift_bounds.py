"""Owns confidence bounds for means over overlapping windows of time.

A forecast over H minutes made every c minutes shares its outcome with the L = H/c - 1 next ones, so n of them are worth
about n/L independent ones (Hansen and Hodrick, Journal of Political Economy 88, 1980: with serially independent returns
the sum of all autocovariances of overlapping ones is L times their variance). The sample variance around a mean that is
itself so uncertain is too small by the factor (n - L)/n, which the divisor ``n - L`` mends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from walstreet import kernels
from walstreet.domain.units import FloatArray

FREEDOM_MIN = 4.0
"""Degrees of freedom below which a bound says nothing; also where the quantile's expansion is still good to 1 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with a symmetric confidence interval; NaN is *unknown*."""

    value: float
    half_width: float

    @property
    def lower(self) -> float:
        """Return the lower bound."""
        return self.value - self.half_width

    @property
    def upper(self) -> float:
        """Return the upper bound."""
        return self.value + self.half_width

    @property
    def known(self) -> bool:
        """Return whether there was enough to say anything."""
        return bool(np.isfinite(self.value) and np.isfinite(self.half_width))


UNKNOWN = Estimate(value=float("nan"), half_width=float("nan"))


def student_quantile(normal_quantile: float, freedom: float) -> float:
    """Return the Student t quantile at the probability whose normal quantile is ``normal_quantile``.

    Cornish-Fisher expansion to the third order (Abramowitz and Stegun 1964, 26.7.5); at 90 % its error is below
    1e-4 from 9 degrees of freedom and below 1e-2 from 4.
    """
    z = normal_quantile
    z2 = z * z
    first = z * (z2 + 1.0) / 4.0
    second = z * ((5.0 * z2 + 16.0) * z2 + 3.0) / 96.0
    third = z * (((3.0 * z2 + 19.0) * z2 + 17.0) * z2 - 15.0) / 384.0
    return z + (first + (second + third / freedom) / freedom) / freedom


def ratio_estimate(
    numerators: FloatArray, denominators: FloatArray, *, overlap: float, normal_quantile: float
) -> Estimate:
    """Return ``sum(u)/sum(v)`` with a bound that treats each time as one cluster.

    ``b = sum(u)/sum(v)``, ``g_t = u_t - b*v_t``, ``se = sqrt(n*L*sum(g^2)/(n - L)) / sum(v)``, half width ``t*se`` with
    ``n/L - 1`` degrees of freedom. With all v = 1 and L = 1 this is Student's bound for a mean; with u = sum(x*y) and
    v = sum(x*x) the cluster-robust bound of a slope through the origin (Liang and Zeger, Biometrika 73, 1986).

    Args:
        numerators: (n,) u, one for each time.
        denominators: (n,) v, at least 0.
        overlap: L, how many successive times share an outcome; at least 1.
        normal_quantile: One-sided confidence as a normal quantile, 1.2816 for 90 %.
    """
    count = float(len(numerators))
    freedom = count / overlap - 1.0
    weight = kernels.ordered_sum(np.ascontiguousarray(denominators)) if len(numerators) else 0.0
    if freedom < FREEDOM_MIN or not weight > 0.0:
        return UNKNOWN
    value = kernels.ordered_sum(np.ascontiguousarray(numerators)) / weight
    rest = np.ascontiguousarray(numerators - value * denominators)
    variance = kernels.ordered_dot(rest, rest) / (count - overlap)
    error = float(np.sqrt(count * overlap * variance)) / weight
    return Estimate(value=value, half_width=student_quantile(normal_quantile, freedom) * error)
