"""Owns the tests of the change test and of its standardiser."""

import math

import numpy as np
import pytest

from walstreet.domain.page_hinkley import BlockStandardiser, PageHinkley


def test_a_rise_by_hand():
    """0, 0, 10 with delta 0: means 0, 0, 10/3, so m = 0, 0, 20/3 and PH = 20/3."""
    test = PageHinkley()
    for value in (0.0, 0.0, 10.0):
        test.update(value, delta=0.0)
    assert test.statistic == pytest.approx(20.0 / 3.0)


def test_a_fall_is_no_alarm():
    """0, 0, -10: m falls to -20/3, which is its own minimum, so PH = 0; delta lowers m further."""
    test = PageHinkley()
    for value in (0.0, 0.0, -10.0):
        test.update(value, delta=0.005)
    assert test.statistic == 0.0
    assert test.total == pytest.approx(-20.0 / 3.0 - 0.015)


def test_a_constant_stream_never_alarms():
    """Every step lowers m by delta."""
    test = PageHinkley()
    for _ in range(1_000):
        test.update(3.0, delta=0.005)
    assert test.statistic == 0.0


def test_a_shift_of_one_deviation_is_seen_in_about_fifty_values():
    """Lambda 50 is passed between 40 and 100 values after a shift by one (two thousand quiet ones before it)."""
    random = np.random.default_rng(11)
    test = PageHinkley()
    for value in random.standard_normal(300):
        test.update(float(value), delta=0.005)
    before = test.statistic
    count = 0
    while test.statistic <= 50.0:
        test.update(float(random.standard_normal() + 1.0), delta=0.005)
        count += 1
    assert before < 50.0
    assert 20 <= count <= 100


def test_false_alarms_are_as_rare_as_the_formula_says():
    """(exp(.5) - 1 - .5)/(2*.005^2) = 2,974 values for a known mean; with the running one they are rarer still."""
    formula = (math.exp(0.5) - 1.5) / (2 * 0.005**2)
    assert formula == pytest.approx(2_974.4, abs=0.1)
    random = np.random.default_rng(12)
    lengths = []
    for _ in range(60):
        test, count = PageHinkley(), 0
        while test.statistic <= 50.0 and count < 20_000:
            test.update(float(random.standard_normal()), delta=0.005)
            count += 1
        lengths.append(count)
    assert 0.8 * formula <= float(np.mean(lengths))


def test_blocks_are_standardised_by_the_blocks_before():
    """Block means 1, 3 have mean 2 and deviation sqrt(2); the next block mean of 5 is 3/sqrt(2) of them."""
    standardiser = BlockStandardiser()
    results = [
        standardiser.update(value, block=2, blocks_min=2, abs_max=5.0) for value in (0.0, 2.0, 3.0, 3.0, 4.0, 6.0)
    ]
    assert results[:5] == [None] * 5
    assert results[5] == pytest.approx(3.0 / math.sqrt(2.0))
    assert (standardiser.blocks, standardiser.mean) == (3, 3.0)


def test_a_broken_print_is_clipped_and_equal_blocks_have_no_scale():
    """A block a thousand deviations away counts five; without any spread nothing can be judged."""
    standardiser = BlockStandardiser()
    for value in (1.0, 3.0):
        standardiser.update(value, block=1, blocks_min=2, abs_max=5.0)
    assert standardiser.update(1e6, block=1, blocks_min=2, abs_max=5.0) == 5.0
    flat = BlockStandardiser()
    assert [flat.update(1.0, block=1, blocks_min=2, abs_max=5.0) for _ in range(4)] == [None] * 4
