"""Owns the tests of the conformal gate's three questions, by hand."""

import numpy as np
import pytest

from walstreet.domain.conformal import ConformalReason, ConformalResult, gate
from walstreet.domain.conformal_mean import MeanFit
from walstreet.domain.conformal_parameters import ConformalParameters
from walstreet.domain.conformal_state import ConformalState, HorizonState, Interval, empty_horizon

pytestmark = pytest.mark.spec("000.1")

HORIZONS = np.array([5])


def known_horizon(
    *,
    minutes: int = 5,
    intervals: tuple[Interval, ...] = ((-1.0, 1.0), (-1.0, 1.0)),
    residuals: np.ndarray | None = None,
    residual_mean: float = 0.0,
    slopes: tuple[float, float] = (0.5, 1.5),
) -> HorizonState:
    """Return a horizon with enough evidence and the given quantities."""
    horizon = empty_horizon(minutes, capacity=2_730, misses=(0.1, 0.2))
    horizon.ring.stored = 2_730
    horizon.ordered = np.arange(-49, 50) / 100 if residuals is None else residuals
    horizon.residual_mean = residual_mean
    horizon.in_force.append((0, intervals))
    horizon.mean_fit = MeanFit(
        estimator="slope",
        edges=np.zeros(0),
        lower=np.array([slopes[0]]),
        upper=np.array([slopes[1]]),
        score_abs_max=1.0,
    )
    return horizon


def ask(horizon: HorizonState, scores: list[float], cost: float | list[float], kind: str = "mean") -> ConformalResult:
    """Return the gate's answer for one horizon."""
    return gate(
        ConformalState(horizons={horizon.horizon_minutes: horizon}),
        horizons_minutes=np.array([horizon.horizon_minutes]),
        scores=np.array([scores]),
        cost_sigma=np.broadcast_to(np.array(cost, dtype=float), (1, len(scores))),
        parameters=ConformalParameters(gate=kind),
    )


def test_mean_gate_by_hand() -> None:
    """Slopes .5 to 1.5 at .3: the mean lies in .15 to .45, which clears .1 but not .15 or .2; and mirrored."""
    result = ask(known_horizon(), [0.3, 0.3, 0.3, -0.3, -0.3], [0.1, 0.15, 0.2, 0.1, 0.2])
    assert result.conf_long.tolist() == [[True, False, False, False, False]]
    assert result.conf_short.tolist() == [[False, False, False, True, False]]
    passed, blocked = int(ConformalReason.PASS), int(ConformalReason.BLOCK)
    assert result.reason.tolist() == [[passed, blocked, blocked, passed, blocked]]
    np.testing.assert_allclose(result.lower_sigma, [[0.15, 0.15, 0.15, -0.45, -0.45]])
    np.testing.assert_allclose(result.upper_sigma, [[0.45, 0.45, 0.45, -0.15, -0.15]])


def test_a_negative_slope_is_no_prediction_and_never_an_inversion() -> None:
    """Slopes -1.5 to -.5 would promise a gain on selling what the model likes; nothing passes."""
    result = ask(known_horizon(slopes=(-1.5, -0.5)), [0.5, -0.5], 0.1)
    assert (result.reason == ConformalReason.BLOCK).all()
    assert not (result.conf_long | result.conf_short).any()


def test_interval_gate_is_the_documents_rule() -> None:
    """Residuals -.2 to .3 about .5 and -.5: .3 > .25 buys; -.2 is not below -.25, so -.5 is blocked and -.6 sells."""
    horizon = known_horizon(intervals=((-9.0, 9.0), (-0.2, 0.3)))
    result = ask(horizon, [0.5, -0.5, -0.6], 0.25, kind="interval")
    assert result.conf_long.tolist() == [[True, False, False]]
    assert result.conf_short.tolist() == [[False, False, True]]
    np.testing.assert_allclose(result.lower_sigma, [[0.3, -0.7, -0.8]])
    np.testing.assert_allclose(result.upper_sigma, [[0.8, -0.2, -0.3]])


@pytest.mark.parametrize("interval", [(np.inf, -np.inf), (np.inf, 1.0), (-1.0, -np.inf), (0.4, 0.1)])
def test_an_empty_interval_lets_nothing_pass(interval: Interval) -> None:
    """An interval whose ends crossed holds no outcome, so it can promise none."""
    result = ask(known_horizon(intervals=(interval, interval)), [0.9, -0.9], 0.0, kind="interval")
    assert (result.reason == ConformalReason.BLOCK).all()


def test_an_infinite_interval_lets_nothing_pass() -> None:
    """A level at or below 0 promises nothing."""
    unbounded = (-np.inf, np.inf)
    result = ask(known_horizon(intervals=(unbounded, unbounded)), [900.0, -900.0], 0.0, kind="interval")
    assert (result.reason == ConformalReason.BLOCK).all()
    assert result.upper_sigma.tolist() == [[np.inf, np.inf]]


def test_probability_gate_by_hand() -> None:
    """Residuals -.49 to .49 by .01, score .1: above .075 lie those from -.02 on, 52 of 99, and 52/100 >= .52 passes.

    Above .085 lie 51 of them: .51 is not enough. Mirrored for -.1.
    """
    result = ask(known_horizon(), [0.1, 0.1, -0.1, -0.1], [0.075, 0.085, 0.075, 0.085], kind="probability")
    assert result.conf_long.tolist() == [[True, False, False, False]]
    assert result.conf_short.tolist() == [[False, False, True, False]]


def test_probability_gate_also_wants_an_expected_net() -> None:
    """With a mean residual of -.03 the score .1 expects .07, which does not pay a cost of .075."""
    horizon = known_horizon(residual_mean=-0.03)
    assert not ask(horizon, [0.1], 0.075, kind="probability").conf_long.any()
    assert ask(horizon, [0.1], 0.065, kind="probability").conf_long.all()


@pytest.mark.parametrize("kind", ["mean", "probability", "interval"])
def test_missing_scores_and_costs_do_not_pass_and_say_so(kind: str) -> None:
    """NaN, infinite or absurd scores and NaN, infinite or negative costs are missing; the neighbour passes."""
    horizon = known_horizon(intervals=((-0.1, 0.1), (-0.1, 0.1)))
    scores = [np.nan, np.inf, -np.inf, 2e3, 0.9, 0.9, 0.9, 0.9]
    result = ask(horizon, scores, [0.1, 0.1, 0.1, 0.1, np.nan, np.inf, -0.1, 0.1], kind=kind)
    assert result.reason[0, :7].tolist() == [ConformalReason.MISSING] * 7
    assert result.reason[0, 7] == ConformalReason.PASS
    assert not result.conf_long[0, :7].any()
    assert not result.conf_short.any()
    assert np.isnan(result.lower_sigma[0, :4]).all()


@pytest.mark.parametrize("kind", ["mean", "probability", "interval"])
def test_too_little_evidence_is_uncalibrated(kind: str) -> None:
    """An unknown horizon, one without intervals and one with fewer than 20 disjoint windows are blocked as such."""
    thin = known_horizon(minutes=15)
    thin.ring.stored = 299  # 20 windows of 15 minutes are 300 decision times
    unknown = known_horizon(minutes=30)
    unknown.ordered = np.zeros(0)
    state = ConformalState(horizons={15: thin, 30: unknown})
    parameters = ConformalParameters(gate=kind)

    def answer() -> ConformalResult:
        return gate(
            state,
            horizons_minutes=np.array([15, 30, 60]),
            scores=np.full((3, 1), 0.9),
            cost_sigma=np.zeros((3, 1)),
            parameters=parameters,
        )

    assert answer().reason[:, 0].tolist() == [ConformalReason.UNCALIBRATED] * 3
    thin.ring.stored = 300
    thin.in_force[-1] = (0, ((-0.1, 0.1), (-0.1, 0.1)))
    assert answer().reason[:, 0].tolist() == [ConformalReason.PASS] + [ConformalReason.UNCALIBRATED] * 2


def test_a_score_of_zero_has_no_direction() -> None:
    """Without a direction nothing is confirmed, not even at no cost."""
    assert ask(known_horizon(), [0.0, -0.0], 0.0).reason.tolist() == [[ConformalReason.BLOCK] * 2]


def test_nothing_to_ask_gives_nothing() -> None:
    """No horizon gives empty answers."""
    result = gate(
        ConformalState(),
        horizons_minutes=np.zeros(0, dtype=np.int64),
        scores=np.zeros((0, 3)),
        cost_sigma=np.zeros((0, 3)),
        parameters=ConformalParameters(),
    )
    assert result.conf_long.shape == (0, 3)


def test_arrays_that_do_not_fit_are_refused() -> None:
    """The message names all shapes."""
    with pytest.raises(ValueError, match=r"scores are \(1, 2\) and costs \(1, 3\)"):
        gate(
            ConformalState(),
            horizons_minutes=HORIZONS,
            scores=np.zeros((1, 2)),
            cost_sigma=np.zeros((1, 3)),
            parameters=ConformalParameters(),
        )
