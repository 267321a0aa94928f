"""Owns the tests of sizing, limits and band."""

import math

import numpy as np
import pytest

from walstreet.domain.band import BandParameters, apply_band, band_width
from walstreet.domain.limits import Binding, LimitParameters, apply_limits
from walstreet.domain.size import SizeParameters, proportional_weights, volatility_weights, wanted_weights

pytestmark = pytest.mark.spec("002.components")

LIMITS = LimitParameters()
ALL = np.ones(3, dtype=np.bool_)
APART = np.array([1, 2, 3])


def test_the_example_of_the_specification():
    """Gross .5 and z = (2, 1, -1) want (.25, .125, -.125); the name cap leaves (.05, .05, -.05)."""
    weights = proportional_weights(np.array([2.0, 1.0, -1.0]), 0.5)
    assert weights.tolist() == pytest.approx([0.25, 0.125, -0.125])
    limited, binding = apply_limits(weights, APART, ALL, LIMITS)
    assert limited.tolist() == pytest.approx([0.05, 0.05, -0.05])
    assert binding.tolist() == [Binding.NAME] * 3


def test_z_is_clipped_and_not_demeaned():
    """A z of (9, 3) counts as (3, 3), and a book of longs stays long."""
    parameters = SizeParameters(method="proportional")
    weights = wanted_weights(np.array([9.0, 3.0, np.nan]), np.ones(3), gross_budget=0.5, parameters=parameters)
    assert weights.tolist() == pytest.approx([0.25, 0.25, 0.0])


def test_volatility_target_by_hand():
    """One name at z = 1 and 100 bps a day gets 60/(sqrt(10)*100)."""
    weights = volatility_weights(np.array([1.0]), np.array([100.0]), 0.5, SizeParameters())
    assert weights[0] == pytest.approx(60.0 / (math.sqrt(10.0) * 100.0))


def test_volatility_target_bounds_volatility_and_gross():
    """Nine names at z = 3 keep to 60 bps and to the gross budget."""
    sigma = np.full(9, 400.0)
    weights = volatility_weights(np.full(9, 3.0), sigma, 10.0, SizeParameters())
    assert math.sqrt(float(((weights * sigma) ** 2).sum())) == pytest.approx(60.0)
    tight = volatility_weights(np.full(9, 3.0), sigma, 0.1, SizeParameters())
    assert float(np.abs(tight).sum()) == pytest.approx(0.1)


def test_unknown_volatility_gets_no_weight():
    """A name without a daily volatility is not sized."""
    weights = volatility_weights(np.array([1.0, 1.0]), np.array([np.nan, 100.0]), 0.5, SizeParameters())
    assert weights[0] == 0.0
    assert weights[1] > 0.0


def test_auto_changes_its_method_at_ten_names():
    """Nine names are sized to volatility, ten proportionally."""
    sigma = np.full(10, 100.0)
    z = np.full(10, 0.1)
    ten = wanted_weights(z, sigma, gross_budget=0.5, parameters=SizeParameters())
    z[0] = np.nan
    nine = wanted_weights(z, sigma, gross_budget=0.5, parameters=SizeParameters())
    assert ten.tolist() == pytest.approx([0.05] * 10)
    assert nine[1] == pytest.approx(0.1 * 60.0 / (math.sqrt(10.0) * 100.0))


def test_sector_cap_scales_the_sector_only():
    """Four names of .05 in one sector share .15; the fifth elsewhere keeps its weight."""
    weights, binding = apply_limits(
        np.array([0.05, 0.05, -0.05, 0.05, 0.05]), np.array([1, 1, 1, 1, 2]), np.ones(5, dtype=np.bool_), LIMITS
    )
    assert np.abs(weights).tolist() == pytest.approx([0.0375] * 4 + [0.05])
    assert binding.tolist() == [Binding.SECTOR] * 4 + [Binding.NONE]


def test_net_cap_scales_the_whole_book():
    """Seven longs and one short of .05 net .30 and are scaled by .25/.30."""
    weights, binding = apply_limits(np.array([0.05] * 7 + [-0.05]), np.arange(8), np.ones(8, dtype=np.bool_), LIMITS)
    assert weights.tolist() == pytest.approx([0.05 / 1.2] * 7 + [-0.05 / 1.2])
    assert set(binding.tolist()) == {Binding.NET}


def test_gross_cap_scales_the_whole_book():
    """Twelve balanced names of .05 gross .60 and are scaled by .5/.6."""
    weights, binding = apply_limits(np.array([0.05, -0.05] * 6), np.arange(12), np.ones(12, dtype=np.bool_), LIMITS)
    assert np.abs(weights).tolist() == pytest.approx([0.05 / 1.2] * 12)
    assert set(binding.tolist()) == {Binding.GROSS}


def test_fixed_weights_use_up_room_and_are_not_scaled():
    """A fixed .48 leaves .02 of gross to the two names that can move."""
    limits = LimitParameters(net_max=0.5)
    weights, _ = apply_limits(np.array([0.48, 0.05, 0.05]), APART, np.array([False, True, True]), limits)
    assert weights.tolist() == pytest.approx([0.48, 0.01, 0.01])


def test_fixed_weights_beyond_a_limit_leave_nothing():
    """A fixed .6 of gross scales everything else to 0."""
    weights, _ = apply_limits(np.array([0.6, 0.05, -0.05]), APART, np.array([False, True, True]), LIMITS)
    assert weights.tolist() == [0.6, 0.0, 0.0]


def test_band_keeps_small_differences_and_trades_to_its_edge():
    """Inside the band nothing happens, outside the weight goes to the edge, a target of 0 goes to 0."""
    weights = apply_band(np.array([0.05, 0.05, 0.0, -0.05]), np.array([0.045, 0.0, 0.004, 0.05]), 0.008)
    assert weights.tolist() == pytest.approx([0.045, 0.042, 0.0, -0.042])


def test_band_scales_with_the_typical_target():
    """A quarter of the median target, at most .008, twice that near the open."""
    assert band_width(np.array([0.0, 0.02, -0.02]), multiplier=1.0, parameters=BandParameters()) == pytest.approx(0.005)
    assert band_width(np.array([0.05]), multiplier=1.0, parameters=BandParameters()) == pytest.approx(0.008)
    assert band_width(np.array([0.05]), multiplier=2.0, parameters=BandParameters()) == pytest.approx(0.016)
    assert band_width(np.zeros(3), multiplier=1.0, parameters=BandParameters()) == pytest.approx(0.008)


def test_limits_refuse_a_name_cap_beyond_the_hard_one():
    """No configuration may hold more than 10 % of equity in a name, nor net more than gross."""
    with pytest.raises(ValueError, match=r"limits\.name_cap is 0\.11"):
        LimitParameters(name_cap=0.11)
    with pytest.raises(ValueError, match=r"limits\.net_max is 0\.6"):
        LimitParameters(net_max=0.6)
