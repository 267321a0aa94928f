"""Owns the Kolmogorov-Smirnov test of numbers that should be uniform on 0 to 1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from walstreet.domain.units import FloatArray

TERMS: Final = 100
"""Of the alternating series, whose terms vanish faster than any power."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UniformityTest:
    """How far an empirical distribution is from the uniform one."""

    distance: float
    """Largest distance of the two distribution functions."""
    p_value: float
    """Probability of so large a distance among uniform numbers."""


def uniformity_test(values: FloatArray) -> UniformityTest:
    """Return the two-sided one-sample test against the uniform distribution.

    The p-value is Kolmogorov's limit with Stephens's correction (1970),
    ``Q((sqrt(n) + .12 + .11 / sqrt(n)) D)`` with ``Q(x) = 2 sum (-1)^(k-1) exp(-2 k^2 x^2)``.

    Args:
        values: (N,) numbers, N at least 5; ties make the test conservative.

    Raises:
        ValueError: There are too few, or one lies outside 0 to 1.
    """
    count = len(values)
    if count < 5 or not bool(((values >= 0.0) & (values <= 1.0)).all()):
        raise ValueError(f"uniformity: {count} values; at least 5 between 0 and 1 are needed")
    ordered = np.sort(values)
    steps = np.arange(1, count + 1) / count
    distance = float(np.maximum(steps - ordered, ordered - (steps - 1.0 / count)).max())
    root = math.sqrt(count)
    reach = (root + 0.12 + 0.11 / root) * distance
    terms = [(-1.0) ** (k - 1) * math.exp(-2.0 * k * k * reach * reach) for k in range(1, TERMS + 1)]
    # Below a distance that is all but certain the series has not converged, and its sum is 1.
    p_value = 1.0 if reach < 0.2 else min(1.0, max(0.0, 2.0 * math.fsum(terms)))
    return UniformityTest(distance=distance, p_value=p_value)
