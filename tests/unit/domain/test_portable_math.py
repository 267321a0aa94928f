"""Owns the tests of the portable exp, log and power."""

import math

import numpy as np
import pytest

from walstreet.domain.portable_math import exp, log, power


def test_exp_agrees_with_libm_over_its_whole_range():
    """The relative error of exp stays below 1e-14 from the smallest to the largest exponent."""
    values = np.linspace(-690.0, 690.0, 20_001)
    expected = np.array([math.exp(value) for value in values])
    assert np.max(np.abs(exp(values) / expected - 1.0)) < 1e-14
    assert exp(np.array([0.0]))[0] == 1.0
    assert np.isnan(exp(np.array([np.nan]))[0])


def test_log_agrees_with_libm_and_refuses_what_has_no_logarithm():
    """The error of log stays below 1e-14, and 0, negative, infinite and NaN give NaN."""
    values = np.geomspace(1e-300, 1e300, 20_001)
    expected = np.array([math.log(value) for value in values])
    assert np.max(np.abs(log(values) - expected) / np.maximum(np.abs(expected), 1.0)) < 1e-14
    assert np.all(np.isnan(log(np.array([0.0, -1.0, np.inf, np.nan]))))


@pytest.mark.parametrize(("base", "exponent", "expected"), [(0.0, 0.6, 0.0), (1.0, 0.6, 1.0), (32.0, 0.6, 8.0)])
def test_power_of_known_values(base: float, exponent: float, expected: float):
    """0, 1 and a power of two give the values known by hand."""
    assert power(np.array([base]), exponent)[0] == pytest.approx(expected, rel=1e-14)
