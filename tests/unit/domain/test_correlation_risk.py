"""Owns the tests of the caps on cluster weight and on the volatility of the book."""

import math

import numpy as np
import pytest

from walstreet.domain.correlation_risk import (
    CorrelationRisk,
    CorrelationRiskParameters,
    RiskBinding,
    apply_correlation_risk,
    connected_components,
)
from walstreet.domain.limits import Binding
from walstreet.domain.shrinkage import UnknownCorrelationParameters

pytestmark = pytest.mark.spec("000.7")

DEFAULT = CorrelationRiskParameters()
LOOSE = CorrelationRiskParameters(cluster_gross_max=4.0)
TIED = np.array([[1.0, 0.8, 0.0], [0.8, 1.0, 0.0], [0.0, 0.0, 1.0]])


def capped(
    weights: list[float],
    sigma: list[float],
    correlation: np.ndarray,
    parameters: CorrelationRiskParameters = DEFAULT,
    movable: list[bool] | None = None,
    sectors: list[int] | None = None,
) -> CorrelationRisk:
    """Return the book after the caps; by default all can move and every name has its own sector."""
    count = len(weights)
    return apply_correlation_risk(
        np.array(weights),
        np.array(sigma),
        correlation,
        np.arange(count) if sectors is None else np.array(sectors),
        np.ones(count, dtype=np.bool_) if movable is None else np.array(movable),
        parameters=parameters,
        unknown=UnknownCorrelationParameters(),
    )


def test_volatility_by_hand():
    """Weights .3 and .4 at 100 bps and rho .5: 30^2 + 40^2 + 2*.5*30*40 = 3700; a cap of 40 scales by 40/3700^.5."""
    rho = np.array([[1.0, 0.5], [0.5, 1.0]])
    parameters = CorrelationRiskParameters(cluster_gross_max=4.0, volatility_day_bps_max=40.0)
    result = capped([0.3, 0.4], [100.0, 100.0], rho, parameters)
    assert result.volatility_wanted_day_bps == pytest.approx(math.sqrt(3700.0))
    assert result.volatility_day_bps == pytest.approx(40.0)
    assert result.weights.tolist() == pytest.approx([0.3 * 40.0 / math.sqrt(3700.0), 0.4 * 40.0 / math.sqrt(3700.0)])
    assert result.binding.tolist() == [RiskBinding.VOLATILITY] * 2


def test_a_known_hedge_counts():
    """Long and short at rho .5: 30^2 + 40^2 - 1200 = 1300, so 36 bps and within a cap of 40."""
    rho = np.array([[1.0, 0.5], [0.5, 1.0]])
    parameters = CorrelationRiskParameters(cluster_gross_max=4.0, volatility_day_bps_max=40.0)
    result = capped([0.3, -0.4], [100.0, 100.0], rho, parameters)
    assert result.weights.tolist() == [0.3, -0.4]
    assert result.volatility_day_bps == pytest.approx(math.sqrt(1300.0))
    assert result.binding.tolist() == [RiskBinding.NONE] * 2


def test_cluster_by_hand():
    """Two names of .1 and .2 tied at .8 share .15 and are halved; the third keeps its .1."""
    result = capped([0.1, -0.2, 0.1], [50.0] * 3, TIED)
    assert result.weights.tolist() == pytest.approx([0.05, -0.1, 0.1])
    assert result.binding.tolist() == [RiskBinding.CLUSTER, RiskBinding.CLUSTER, RiskBinding.NONE]
    assert result.clusters.tolist() == [0, 0, 2]


def test_opposite_movers_are_one_cluster():
    """A correlation of -.8 ties as well as one of .8, and .7 itself does."""
    assert capped([0.1, 0.2, 0.1], [50.0] * 3, -TIED + 2.0 * np.eye(3)).clusters.tolist() == [0, 0, 2]
    exactly = np.array([[1.0, 0.7], [0.7, 1.0]])
    below = np.array([[1.0, 0.699], [0.699, 1.0]])
    assert capped([0.1, 0.1], [50.0] * 2, exactly).clusters.tolist() == [0, 0]
    assert capped([0.1, 0.1], [50.0] * 2, below).clusters.tolist() == [0, 1]


def test_chains_make_one_cluster_only_through_names_with_a_weight():
    """0-2 and 2-1 are tied: with a weight in 2 all three are one cluster, without it there are two."""
    chain = np.array([[1.0, 0.3, 0.75], [0.3, 1.0, 0.75], [0.75, 0.75, 1.0]])
    assert capped([0.1, 0.1, 0.1], [50.0] * 3, chain).clusters.tolist() == [0, 0, 0]
    apart = capped([0.1, 0.1, 0.0], [50.0] * 3, chain)
    assert apart.clusters.tolist() == [0, 1, -1]
    assert apart.weights.tolist() == [0.1, 0.1, 0.0]


def test_components_of_a_long_chain():
    """A chain of 64 nodes in a scrambled order is one component with the label 0, and loners keep theirs."""
    order = np.random.default_rng(5).permutation(64)
    tied = np.eye(70, dtype=np.bool_)
    tied[order[:-1], order[1:]] = tied[order[1:], order[:-1]] = True
    assert connected_components(tied).tolist() == [0] * 64 + [64, 65, 66, 67, 68, 69]
    assert connected_components(np.zeros((0, 0), dtype=np.bool_)).tolist() == []


def test_fixed_weights_use_up_a_clusters_room():
    """A fixed .12 of the cluster's .15 leaves .03 to the movable .06; a fixed .2 leaves nothing and stays."""
    some = capped([0.12, 0.06, 0.1], [50.0] * 3, TIED, movable=[False, True, True])
    assert some.weights.tolist() == pytest.approx([0.12, 0.03, 0.1])
    assert some.binding.tolist() == [RiskBinding.NONE, RiskBinding.CLUSTER, RiskBinding.NONE]
    none = capped([0.2, 0.06, 0.1], [50.0] * 3, TIED, movable=[False, True, True])
    assert none.weights.tolist() == [0.2, 0.0, 0.1]


def test_fixed_weights_use_up_volatility():
    """A fixed 60 bps under a cap of 80 leaves sqrt(6400 - 3600) = 52.9 bps to an uncorrelated 100."""
    result = capped([0.6, 1.0], [100.0, 100.0], np.eye(2), LOOSE, movable=[False, True])
    assert result.weights.tolist() == pytest.approx([0.6, math.sqrt(2800.0) / 100.0])
    assert result.volatility_day_bps == pytest.approx(80.0)
    assert result.binding.tolist() == [RiskBinding.NONE, RiskBinding.VOLATILITY]


def test_fixed_excess_leaves_nothing_or_the_best_hedge():
    """A fixed 100 bps over a cap of 80 scales an uncorrelated name to 0 and a hedge of 90 bps to the 60 that help most.

    At rho = .6 the variance is least at an opposite exposure of .6*100 = 60 bps, where 80 bps are left.
    """
    alone = capped([1.0, 0.5], [100.0, 100.0], np.eye(2), LOOSE, movable=[False, True])
    assert alone.weights.tolist() == [1.0, 0.0]
    rho = np.array([[1.0, 0.6], [0.6, 1.0]])
    tight = CorrelationRiskParameters(cluster_gross_max=4.0, volatility_day_bps_max=70.0)
    hedge = capped([1.0, -0.9], [100.0, 100.0], rho, tight, movable=[False, True])
    assert hedge.weights.tolist() == pytest.approx([1.0, -0.6])
    assert hedge.volatility_day_bps == pytest.approx(80.0)
    small = capped([1.0, -0.3], [100.0, 100.0], rho, tight, movable=[False, True])
    assert small.weights.tolist() == [1.0, -0.3]
    same_side = capped([1.0, 0.3], [100.0, 100.0], rho, tight, movable=[False, True])
    assert same_side.weights.tolist() == [1.0, 0.0]
    # At a cap of 90 the cap would be met at two negative factors; scaling down ends at 0 all the same.
    nearer = CorrelationRiskParameters(cluster_gross_max=4.0, volatility_day_bps_max=90.0)
    assert capped([1.0, 0.3], [100.0, 100.0], rho, nearer, movable=[False, True]).weights.tolist() == [1.0, 0.0]
    # A hedge of 5 bps leaves 97 bps, too small to reach the cap: it stays whole.
    assert capped([1.0, -0.05], [100.0, 100.0], rho, nearer, movable=[False, True]).weights.tolist() == [1.0, -0.05]


def test_a_hedge_that_is_too_large_is_cut_to_the_cap():
    """A fixed 60 and a short of 160 at rho .6 have 133 bps; cut until 3600 - 72 x + x^2 = 6400, so x = 100.02."""
    rho = np.array([[1.0, 0.6], [0.6, 1.0]])
    result = capped([0.6, -1.6], [100.0, 100.0], rho, LOOSE, movable=[False, True])
    assert result.weights[1] == pytest.approx(-(36.0 + math.sqrt(36.0**2 + 2800.0)) / 100.0)
    assert result.volatility_day_bps == pytest.approx(80.0)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_unknown_correlation_adds_risk_on_either_side(side: float):
    """Without an estimate 30 and 40 bps in two sectors are 900 + 1600 + 2*.6*1200 = 3940, long or short."""
    gaps = np.array([[1.0, np.nan], [np.nan, 1.0]])
    result = capped([0.3, side * 0.4], [100.0, 100.0], gaps, LOOSE)
    assert result.volatility_day_bps == pytest.approx(math.sqrt(3940.0))


def test_unknown_pairs_of_a_sector_are_a_cluster():
    """Without an estimate two names of one sector share a cap, names of two sectors do not."""
    gaps = np.full((3, 3), np.nan)
    result = capped([0.1, 0.2, 0.1], [50.0] * 3, gaps, sectors=[0, 0, 1])
    assert result.clusters.tolist() == [0, 0, 2]
    assert result.weights.tolist() == pytest.approx([0.05, 0.1, 0.1])


@pytest.mark.parametrize("sigma", [np.nan, np.inf, 0.0, -1.0])
def test_unknown_volatility_is_read_as_high(sigma: float):
    """A name of unknown volatility counts with 500 bps a day: .2 of it are 100 bps and are scaled to 80."""
    result = capped([0.2], [sigma], np.eye(1), LOOSE)
    assert result.weights.tolist() == pytest.approx([0.16])


def test_a_missing_wanted_weight_becomes_zero():
    """NaN and infinity become 0 with a code, and the others come out as without them, to the bit."""
    rho = np.array([[1.0, 0.5, 0.9, 0.9], [0.5, 1.0, 0.9, 0.9], [0.9, 0.9, 1.0, 0.9], [0.9, 0.9, 0.9, 1.0]])
    result = capped([0.7, 0.9, np.nan, np.inf], [100.0] * 4, rho, LOOSE)
    alone = capped([0.7, 0.9], [100.0] * 2, rho[:2, :2], LOOSE)
    assert result.weights.tolist() == [*alone.weights.tolist(), 0.0, 0.0]
    assert result.binding.tolist()[2:] == [RiskBinding.UNKNOWN] * 2


def test_an_unknown_fixed_weight_is_the_callers_fault():
    """What is held is known; a fixed NaN is a programming error, as in the limits."""
    with pytest.raises(AssertionError, match="fixed weight"):
        capped([np.nan], [100.0], np.eye(1), movable=[False])


def test_an_empty_book_has_no_risk():
    """No symbols, and symbols without weights, give zero volatility and no cluster."""
    assert capped([], [], np.zeros((0, 0))).volatility_day_bps == 0.0
    result = capped([0.0, 0.0], [100.0] * 2, np.eye(2))
    assert result.clusters.tolist() == [-1, -1]
    assert result.volatility_wanted_day_bps == 0.0


def test_codes_do_not_meet_those_of_the_limits():
    """One column of a decision record can hold either code."""
    ours = {int(code) for code in RiskBinding} - {0}
    assert ours.isdisjoint(int(code) for code in Binding)


def test_parameters_refuse_values_outside_their_ranges():
    """A volatility cap of 0, a low threshold and a cheap unknown volatility are refused by name."""
    for field, value in (("volatility_day_bps_max", 0.0), ("cluster_rho_min", 0.1), ("sigma_unknown_day_bps", 50.0)):
        with pytest.raises(ValueError, match=rf"correlation_risk\.{field} is"):
            CorrelationRiskParameters(**{field: value})
