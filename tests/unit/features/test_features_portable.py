"""Tests of the portable elementary functions and the order-free statistics."""

from __future__ import annotations

import math

import numpy as np

from walstreet.features.crosssection import centred_ranks, finite_mean, finite_median
from walstreet.features.portable import cosine_of_turn, log, ordered_sum, sine_of_turn


def test_log_agrees_with_the_library_over_all_magnitudes() -> None:
    """The logarithm is within a few units in the last place of libm, near 1 too."""
    rng = np.random.default_rng(3)
    values = np.concatenate(
        [np.exp(rng.uniform(-700, 700, 2000)), 1.0 + rng.uniform(-1e-3, 1e-3, 2000), [1.0, 5e-324, 1.7e308, 2.0, 0.5]]
    )
    expected = np.array([math.log(value) for value in values])
    np.testing.assert_allclose(log(values), expected, rtol=2e-15, atol=0.0)


def test_log_of_what_has_no_logarithm_is_missing() -> None:
    """Zero, negative, infinite and missing inputs give NaN, without a warning."""
    assert np.isnan(log(np.array([0.0, -1.0, np.nan, np.inf]))).all()


def test_sine_and_cosine_agree_with_the_library() -> None:
    """The polynomial is within 1e-13 of libm for several turns."""
    for turn in np.linspace(-2.0, 2.0, 401):
        assert abs(sine_of_turn(float(turn)) - math.sin(2 * math.pi * turn)) < 1e-13
        assert abs(cosine_of_turn(float(turn)) - math.cos(2 * math.pi * turn)) < 1e-13


def test_ordered_sum_has_the_same_bits_in_any_order() -> None:
    """A sum over symbols does not depend on their order, and skips what is missing."""
    values = np.random.default_rng(5).normal(size=101) * 10.0 ** np.arange(-50, 51)
    assert ordered_sum(values) == ordered_sum(values[::-1])
    assert ordered_sum(np.array([np.nan, 2.0, np.nan])) == 2.0
    assert ordered_sum(np.array([np.nan])) == 0.0


def test_cross_section_statistics_skip_missing_symbols() -> None:
    """Mean, median and ranks see finite entries only."""
    values = np.array([3.0, np.nan, 1.0, 2.0])
    assert finite_mean(values) == 2.0
    assert finite_median(values) == 2.0
    assert math.isnan(finite_mean(np.array([np.nan])))
    assert math.isnan(finite_median(np.array([np.nan])))
    np.testing.assert_allclose(centred_ranks(values), [1 / 3, np.nan, -1 / 3, 0.0], atol=1e-15)


def test_tied_symbols_share_their_rank() -> None:
    """Equal values have equal, centred ranks."""
    np.testing.assert_array_equal(centred_ranks(np.array([1.0, 1.0, 1.0])), np.zeros(3))
    np.testing.assert_array_equal(centred_ranks(np.array([1.0, 2.0, 2.0, 3.0])), [-0.375, 0.0, 0.0, 0.375])
