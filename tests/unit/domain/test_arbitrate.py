"""Owns the tests of the arbitration between horizons."""

import math

import numpy as np
import pytest

from walstreet.domain.arbitrate import NO_HORIZON, ArbitrationParameters, arbitrate, net_edge_bps

pytestmark = pytest.mark.spec("001.arbitration")

WINNER = ArbitrationParameters()
SOFTMAX = ArbitrationParameters(method="softmax")
SIGMA = np.array([[10.0], [20.0], [40.0]])
SPREAD = np.array([2.0])


def column(*values: float) -> np.ndarray:
    """Return (H, 1)."""
    return np.array(values)[:, None]


def test_net_edge_keeps_the_sign_and_never_crosses_zero():
    """10 against 4 leaves 6, -10 leaves -6, 3 against 4 leaves 0, missing stays missing."""
    net = net_edge_bps(np.array([10.0, -10.0, 3.0, np.nan]), np.array([4.0, 4.0, 4.0, 4.0]))
    assert net.tolist() == pytest.approx([6.0, -6.0, 0.0, np.nan], nan_ok=True)


def test_winner_blends_seventy_thirty_in_z_units():
    """Net (4, 12, 8) over sigma (10, 20, 40) is z (.4, .6, .2): the middle wins, .7*.6 + .3*(.4+.2)/2 = .51."""
    result = arbitrate(column(6.0, 14.0, 10.0), column(2.0, 2.0, 2.0), SIGMA, SPREAD, WINNER)
    assert result.best.tolist() == [1]
    assert result.z[0] == pytest.approx(0.51)
    assert result.alpha_final_bps[0] == pytest.approx(0.51 * 20.0)
    assert result.reserve_bps[0] == pytest.approx(3.0)
    assert result.clears_reserve[0]


def test_the_nearest_present_horizon_is_the_neighbour():
    """With the middle silent the best of the ends has the other end as its neighbour: .7*.6 + .3*.2."""
    result = arbitrate(column(8.0, np.nan, 10.0), column(2.0, 2.0, 2.0), SIGMA, SPREAD, WINNER)
    assert result.best.tolist() == [0]
    assert result.z[0] == pytest.approx(0.7 * 0.6 + 0.3 * 0.2)


def test_a_lone_horizon_counts_whole():
    """Without a neighbour the best horizon is not diluted."""
    result = arbitrate(column(np.nan, 14.0, np.nan), column(2.0, 2.0, 2.0), SIGMA, SPREAD, WINNER)
    assert result.z[0] == pytest.approx(0.6)


def test_opposed_neighbours_weaken_but_never_flip():
    """With z = (-.5, .6, -.5) the blend is .7*.6 - .3*.5 = .27, still long."""
    result = arbitrate(column(-7.0, 14.0, -22.0), column(2.0, 2.0, 2.0), SIGMA, SPREAD, WINNER)
    assert result.best.tolist() == [1]
    assert result.z[0] == pytest.approx(0.27)


def test_the_reserve_is_compared_with_the_best_horizons_own_net():
    """A net of 2.9 at a reserve of 3.0 does not clear, 3.0 does, whatever the neighbours say."""
    below = arbitrate(column(4.9, np.nan, np.nan), column(2.0, 2.0, 2.0), SIGMA, SPREAD, WINNER)
    exact = arbitrate(column(5.0, np.nan, np.nan), column(2.0, 2.0, 2.0), SIGMA, SPREAD, WINNER)
    assert not below.clears_reserve[0]
    assert exact.clears_reserve[0]


def test_ties_go_to_the_shorter_horizon():
    """Equal |z| at all horizons chooses the first."""
    result = arbitrate(column(7.0, 12.0, 22.0), column(2.0, 2.0, 2.0), SIGMA, SPREAD, WINNER)
    assert result.best.tolist() == [0]


@pytest.mark.parametrize("parameters", [WINNER, SOFTMAX], ids=["winner", "softmax"])
def test_no_edge_or_no_input_chooses_nothing(parameters: ArbitrationParameters):
    """An alpha within its cost, a missing alpha, and a missing cost choose no horizon and clear nothing."""
    alpha = np.array([[1.0, np.nan, 9.0], [1.0, np.nan, 9.0], [1.0, np.nan, 9.0]])
    cost = np.array([[2.0, 2.0, np.nan]] * 3)
    result = arbitrate(alpha, cost, np.repeat(SIGMA, 3, axis=1), np.full(3, 2.0), parameters)
    assert result.best.tolist() == [NO_HORIZON] * 3
    assert np.all(np.isnan(result.alpha_final_bps))
    assert not result.clears_reserve.any()


def test_softmax_weights_by_edge_over_reserve():
    """Net (3, 6, 0) at a reserve of 3 and beta 2 weighs z (.3, .3) by e^2 and e^4; 0 is no candidate."""
    result = arbitrate(column(5.0, 8.0, 1.0), column(2.0, 2.0, 2.0), SIGMA, SPREAD, SOFTMAX)
    assert result.best.tolist() == [1]
    assert result.z[0] == pytest.approx(0.3)
    other = arbitrate(column(5.0, 14.0, 1.0), column(2.0, 2.0, 2.0), SIGMA, SPREAD, SOFTMAX)
    first, second = math.exp(2.0), math.exp(8.0)
    assert other.z[0] == pytest.approx((first * 0.3 + second * 0.6) / (first + second))


def test_softmax_survives_huge_edges():
    """Edges whose exponentials would overflow are shifted by the maximum."""
    result = arbitrate(column(1e6, 2e6, 1e6), column(2.0, 2.0, 2.0), SIGMA, SPREAD, SOFTMAX)
    assert math.isfinite(result.z[0])
    assert result.best.tolist() == [1]


def test_softmax_that_contradicts_its_best_horizon_is_no_alpha():
    """A larger z of the other sign at nearly the same edge would flip the blend, so nothing is traded."""
    result = arbitrate(column(-11.9, np.nan, 12.0), column(2.0, 2.0, 2.0), SIGMA, SPREAD, SOFTMAX)
    assert result.best.tolist() == [2]
    assert result.z[0] == 0.0
    assert not result.clears_reserve[0]


def test_a_share_that_could_flip_the_sign_is_refused():
    """Below .5 the neighbours could outweigh the best horizon."""
    with pytest.raises(ValueError, match=r"arbitration\.best_share is 0\.4"):
        ArbitrationParameters(best_share=0.4)
