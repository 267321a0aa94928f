"""Weights of the chosen names: inverse volatility, water-filling, clipping, HRP and equal risk by hand."""

from __future__ import annotations

import numpy as np
import pytest

from walstreet.domain.rotation_hrp import hierarchical_shares
from walstreet.domain.rotation_parameters import RotationParameters
from walstreet.domain.rotation_weights import inverse_volatilities, target_weights, water_fill


def test_inverse_volatility_within_the_cap() -> None:
    """Volatilities .01 and .0125 share .9 as 5 to 4: .5 and .4."""
    parameters = RotationParameters(cash_buffer=0.1, max_weight=0.6)
    assert target_weights([0.01, 0.0125], None, parameters) == pytest.approx([0.5, 0.4], abs=1e-15)


def test_water_fill_gives_the_excess_to_the_others() -> None:
    """.95 as 3 to 1 is .7125 and .2375; the cap .5 leaves .45 for the second."""
    assert target_weights([0.01, 0.03], None, RotationParameters()) == pytest.approx([0.5, 0.45], abs=1e-15)


def test_clip_sends_the_excess_to_cash() -> None:
    """The same names under clip: .5 and .2375."""
    parameters = RotationParameters(cap_mode="clip")
    assert target_weights([0.01, 0.03], None, parameters) == pytest.approx([0.5, 0.2375], abs=1e-15)


def test_one_name_gets_the_cap_and_the_rest_is_cash() -> None:
    """No other name can take the excess."""
    for mode in ("water_fill", "clip"):
        assert target_weights([0.02], None, RotationParameters(cap_mode=mode)) == [0.5]


def test_water_fill_repeats_until_no_name_is_above_the_cap() -> None:
    """6 : 3 : 1 of 1 with cap .4: .6 is capped, .45 of the rest is capped too, the last takes .2."""
    assert water_fill([6.0, 3.0, 1.0], 1.0, 0.4) == pytest.approx([0.4, 0.4, 0.2], abs=1e-15)
    assert water_fill([6.0, 3.0, 1.0], 1.0, 0.3) == pytest.approx([0.3, 0.3, 0.3], abs=1e-15)
    assert water_fill([1.0, 1.0], 0.0, 0.5) == [0.0, 0.0]


def test_a_constant_price_is_read_as_the_smallest_volatility() -> None:
    """Not as a division by 0."""
    assert inverse_volatilities([0.0, 1e-12, 0.5]) == pytest.approx([1e9, 1e9, 2.0], rel=1e-15)


def test_no_name_has_no_weight() -> None:
    """An empty selection is cash."""
    assert target_weights([], None, RotationParameters()) == []


def test_hrp_of_two_names_is_inverse_variance() -> None:
    """Variances 1 and 4 split 4 to 1."""
    assert hierarchical_shares([1.0, 2.0], np.eye(2)) == pytest.approx([0.8, 0.2], abs=1e-15)


def test_hrp_splits_between_clusters_before_names() -> None:
    """Of a perfectly correlated pair and a lone name of the same volatility the pair is one cluster."""
    correlation = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    # Leaves in tree order are 0, 2, 1, cut as (0) and (2, 1): variances 1 and 1/2, so 1/3 and 2/3, halved below.
    assert hierarchical_shares([1.0, 1.0, 1.0], correlation) == pytest.approx([1 / 3, 1 / 3, 1 / 3], abs=1e-15)


def test_hrp_of_four_names_by_hand() -> None:
    """Two pairs at .5 within and 0 across, volatilities 1, 1, 2, 2: cluster variances .75 and 3, shares .4 and .1."""
    correlation = np.array([[1.0, 0.5, 0.0, 0.0], [0.5, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.5], [0.0, 0.0, 0.5, 1.0]])
    shares = hierarchical_shares([1.0, 1.0, 2.0, 2.0], correlation)
    assert shares == pytest.approx([0.4, 0.4, 0.1, 0.1], abs=1e-15)


def test_hrp_orders_leaves_by_cluster_and_not_by_universe() -> None:
    """The same pairs interleaved give each name what it had."""
    correlation = np.eye(4)
    correlation[0, 2] = correlation[2, 0] = correlation[1, 3] = correlation[3, 1] = 0.5
    shares = hierarchical_shares([1.0, 2.0, 1.0, 2.0], correlation)
    assert shares == pytest.approx([0.4, 0.1, 0.4, 0.1], abs=1e-15)


def test_hrp_of_perfect_hedges_divides_nothing_by_zero() -> None:
    """Both halves without variance are alike."""
    correlation = np.eye(4)
    correlation[0, 1] = correlation[1, 0] = correlation[2, 3] = correlation[3, 2] = -1.0
    shares = hierarchical_shares([1.0, 1.0, 1.0, 1.0], correlation)
    assert all(np.isfinite(shares))
    assert sum(shares) == pytest.approx(1.0, abs=1e-12)


def test_equal_risk_of_two_names_is_inverse_volatility_whatever_the_correlation() -> None:
    """With two names the contributions are equal exactly there."""
    correlation = np.array([[1.0, 0.6], [0.6, 1.0]])
    parameters = RotationParameters(weight_method="erc", max_weight=1.0, cash_buffer=0.0)
    assert target_weights([0.01, 0.03], correlation, parameters) == pytest.approx([0.75, 0.25], abs=1e-12)


def test_equal_risk_of_three_names_has_equal_contributions() -> None:
    """w_i (S w)_i is the same for all three."""
    correlation = np.array([[1.0, 0.6, 0.1], [0.6, 1.0, -0.2], [0.1, -0.2, 1.0]])
    volatilities = np.array([0.01, 0.03, 0.02])
    parameters = RotationParameters(weight_method="erc", max_weight=1.0, cash_buffer=0.0)
    weights = np.array(target_weights(volatilities.tolist(), correlation, parameters))
    contributions = weights * (correlation * np.outer(volatilities, volatilities) @ weights)
    assert contributions == pytest.approx(np.full(3, contributions.mean()), rel=1e-9)


def test_equal_risk_without_a_solution_is_inverse_volatility() -> None:
    """A correlation that is no correlation has no equal-risk book."""
    impossible = np.array([[1.0, -0.9, -0.9], [-0.9, 1.0, -0.9], [-0.9, -0.9, 1.0]])
    parameters = RotationParameters(weight_method="erc", max_weight=1.0, cash_buffer=0.0)
    assert target_weights([0.01, 0.01, 0.02], impossible, parameters) == pytest.approx([0.4, 0.4, 0.2], abs=1e-15)
