"""Owns the tests of the confidence in a forecast."""

import math

import numpy as np
import pytest

from walstreet.domain.confidence import ConfidenceParameters, capacity, confidence, freshness, stability

DEFAULTS = ConfidenceParameters()


def test_freshness_by_hand():
    """A 10-minute forecast has tau = 5 minutes: e^-1 = .36788 after 5 of them, 1 when new."""
    values = freshness(np.array([0.0, 5.0, 10.0]), np.array([10.0]), DEFAULTS)
    assert values.tolist() == pytest.approx([1.0, math.exp(-1.0), math.exp(-2.0)])


@pytest.mark.parametrize(
    ("age", "horizon"), [(-0.1, 5.0), (math.nan, 5.0), (math.inf, 5.0), (1.0, 0.0), (1.0, math.nan)]
)
def test_an_age_that_is_none_is_missing(age: float, horizon: float):
    """Future, unknown and infinite ages and horizons that are none give NaN."""
    assert np.isnan(freshness(np.array([age]), np.array([horizon]), DEFAULTS)[0])


def test_capacity_by_hand():
    """A tenth of 1 M USD carries 100 k whole and 400 k at .25; no dollars cost nothing."""
    volume = np.full(4, 1e6)
    assert capacity(volume, np.array([1e5, 4e5, 0.0, 5e-324]), DEFAULTS).tolist() == [1.0, 0.25, 1.0, 1.0]


@pytest.mark.parametrize(
    ("volume", "dollars"), [(math.nan, 1.0), (0.0, 1.0), (-1.0, 1.0), (1e6, math.nan), (1e6, -1.0)]
)
def test_an_unknown_volume_or_size_is_missing(volume: float, dollars: float):
    """Both must be known."""
    assert np.isnan(capacity(np.array([volume]), np.array([dollars]), DEFAULTS)[0])


def test_stability_by_hand():
    """Training skill 1-.90 = .10: a live ratio of .95 keeps half of it, .90 and better all, 1 and worse none."""
    rmse = np.array([0.95, 0.90, 0.80, 1.0, 1.2])
    values = stability(rmse, np.ones(5), np.full(5, 0.9), np.ones(5))
    assert values.tolist() == pytest.approx([0.5, 1.0, 1.0, 0.0, 0.0])


def test_a_model_without_skill_in_training_has_none_to_keep():
    """Whatever happens live, 0."""
    assert stability(np.array([0.5]), np.ones(1), np.array([1.0]), np.ones(1)).tolist() == [0.0]


@pytest.mark.parametrize("position", range(4))
def test_a_missing_error_is_missing(position: int):
    """Any of the four errors being unknown gives NaN."""
    arguments = [np.array([0.9]), np.ones(1), np.array([0.9]), np.ones(1)]
    arguments[position] = np.array([math.nan])
    assert np.isnan(stability(*arguments)[0])


def test_confidence_is_the_product():
    """.5 * .8 * .5 = .2, and a missing factor is missing."""
    values = confidence(np.array([0.5, np.nan]), np.array([0.8, 0.8]), np.array([0.5, 0.5]))
    assert values[0] == pytest.approx(0.2)
    assert np.isnan(values[1])


def test_parameters_out_of_range_are_refused():
    """A time constant of 0 would divide by it."""
    with pytest.raises(ValueError, match=r"confidence\.freshness_horizons is 0"):
        ConfidenceParameters(freshness_horizons=0.0)
