"""Owns the tests of a forecast in standard errors and of the interval of its outcome, by hand."""

from __future__ import annotations

import numpy as np

from walstreet.domain.conformal_alpha import alpha_z, outcome_interval
from walstreet.domain.conformal_mean import MeanFit
from walstreet.domain.conformal_parameters import ConformalParameters
from walstreet.domain.conformal_state import ConformalState, HorizonState, empty_horizon

HORIZONS = np.array([5, 15])


def known_horizon(slopes: tuple[float, float], score_abs_max: float = 1.0) -> HorizonState:
    """Return five minutes with an interval of the slope, and the monitored interval -1.2 to 1.3 of residuals."""
    horizon = empty_horizon(5, capacity=2_730, misses=(0.1, 0.2))
    horizon.ordered = np.zeros(200)
    horizon.in_force.append((0, ((-1.2, 1.3), (-0.8, 0.9))))
    horizon.mean_fit = MeanFit(
        estimator="slope",
        edges=np.zeros(0),
        lower=np.array([slopes[0]]),
        upper=np.array([slopes[1]]),
        score_abs_max=score_abs_max,
    )
    return horizon


def asked(slopes: tuple[float, float], scores: list[float], **options: float) -> np.ndarray:
    """Return (2, N) alpha_z; nothing is known about the second horizon."""
    state = ConformalState(horizons={5: known_horizon(slopes, **options)})
    return alpha_z(state, HORIZONS, np.array([scores, scores]), ConformalParameters())


def test_alpha_z_by_hand() -> None:
    """Slopes .6 to 1.4 at s = .3: mean .18 to .42, SE = .24/(2*1.281552) = .0936365, z = .3/.0936365 = 3.203879."""
    z = asked((0.6, 1.4), [0.3, -0.3, np.nan])
    np.testing.assert_allclose(z[0, :2], [3.203879, -3.203879], atol=1e-6)
    assert np.isnan(z[0, 2])
    assert np.isnan(z[1]).all()


def test_alpha_z_is_the_same_for_every_score_of_a_slope() -> None:
    """The interval of a line through the origin grows with s: z is 3.203879 at .1 and at .9, until s leaves the data.

    Beyond the largest score seen, 1, the interval stays that of 1: SE = .8/2.563103 = .312122 and z(2) = 6.407758.
    """
    z = asked((0.6, 1.4), [0.1, 0.9, 2.0])
    np.testing.assert_allclose(z[0], [3.203879, 3.203879, 6.407758], atol=1e-6)


def test_an_interval_without_width_has_no_standard_error() -> None:
    """Slopes of exactly 1 would make any score infinitely sure: NaN; so does a score of 0, whose interval is 0 wide."""
    assert np.isnan(asked((1.0, 1.0), [0.5])[0, 0])
    assert np.isnan(asked((0.6, 1.4), [0.0])[0, 0])


def test_outcome_interval_by_hand() -> None:
    """Residuals -1.2 to 1.3 about .3: the outcome is expected in -.9 to 1.6; unknown horizons and scores give NaN."""
    state = ConformalState(horizons={5: known_horizon((0.6, 1.4))})
    lower, upper = outcome_interval(state, HORIZONS, np.array([[0.3, np.nan], [0.3, 0.3]]))
    np.testing.assert_allclose([lower[0, 0], upper[0, 0]], [-0.9, 1.6])
    assert np.isnan([lower[0, 1], upper[0, 1], *lower[1], *upper[1]]).all()
