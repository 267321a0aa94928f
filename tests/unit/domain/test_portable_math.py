"""Owns the tests of the portable exp, log, power and softmax."""

import math

import numpy as np
import pytest

from walstreet.domain.portable_math import exp, log, masked_softmax, power


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


def test_masked_softmax_by_hand():
    """Logits (0, ln 3) share 1 to 3; a masked row gets 0 whatever it holds; an empty column stays 0; shifts cancel."""
    logits = np.array([[0.0, 1e9, 1.0], [math.log(3.0), 7.0, 1.0], [np.nan, 7.0, 1.0]])
    mask = np.array([[True, False, False], [True, True, False], [False, True, False]])
    assert masked_softmax(logits, mask).T.tolist() == [
        pytest.approx([0.25, 0.75, 0.0]),
        [0.0, 0.5, 0.5],
        [0.0, 0.0, 0.0],
    ]
    shifted = masked_softmax(np.array([[1e6], [1e6 + 1.0]]), np.full((2, 1), fill_value=True))
    assert shifted[:, 0].tolist() == pytest.approx([1.0 / (1.0 + math.e), math.e / (1.0 + math.e)])
