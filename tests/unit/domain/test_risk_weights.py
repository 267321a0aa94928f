"""Owns the tests of ridge weights and of equal risk contribution."""

import math

import numpy as np
import pytest

from walstreet.domain import risk_weights as module
from walstreet.domain.linear_solve import ORDER_MAX
from walstreet.domain.risk_weights import (
    RiskWeightParameters,
    RiskWeightReason,
    RiskWeights,
    equal_risk,
    risk_contributions,
    risk_weights,
)
from walstreet.domain.shrinkage import UnknownCorrelationParameters

RIDGE = RiskWeightParameters(ridge_lambda=0.0)
ERC = RiskWeightParameters(method="erc")
UNKNOWN = UnknownCorrelationParameters()


def pair(rho: float) -> np.ndarray:
    """Return the correlation of two names."""
    return np.array([[1.0, rho], [rho, 1.0]])


def sized(
    z: list[float],
    sigma: list[float],
    correlation: np.ndarray,
    parameters: RiskWeightParameters,
    budget: float = 0.5,
) -> RiskWeights:
    """Return the weights of names that all have sectors of their own."""
    return risk_weights(
        np.array(z),
        np.array(sigma),
        correlation,
        np.arange(len(z)),
        gross_budget=budget,
        parameters=parameters,
        unknown=UNKNOWN,
    )


def test_ridge_by_hand():
    """Scores (2, 1), rho = .25, sigma = (100, 200): weights 1.75/100 to .5/200, so .4375 and .0625 of gross .5."""
    # C^-1 = [[1, -.25], [-.25, 1]] / (1 - .0625), so C^-1 z is in proportion to (2 - .25, 1 - .5) = (1.75, .5);
    # over sigma: (.0175, .0025), a sum of .02, shares 7/8 and 1/8.
    result = sized([2.0, 1.0], [100.0, 200.0], pair(0.25), RIDGE)
    assert result.weights.tolist() == pytest.approx([0.4375, 0.0625], rel=1e-12)
    assert result.reason is RiskWeightReason.OK


def test_ridge_parameter_by_hand():
    """Lambda = 1 makes the system [[2, .5], [.5, 2]]: z = (2, 1) gives (4 - .5, 2 - 1) = (3.5, 1) in proportion."""
    result = sized([2.0, 1.0], [100.0, 100.0], pair(0.5), RiskWeightParameters(ridge_lambda=1.0))
    assert result.weights.tolist() == pytest.approx([0.5 * 3.5 / 4.5, 0.5 * 1.0 / 4.5], rel=1e-12)


def test_ridge_without_correlation_is_score_over_volatility():
    """With C = I and any lambda the weights are z/sigma, not z: (2/100, 1/200, -1/50) of a sum of .045."""
    result = sized([2.0, 1.0, -1.0], [100.0, 200.0, 50.0], np.eye(3), RiskWeightParameters(ridge_lambda=0.7))
    expected = [0.5 * 0.02 / 0.045, 0.5 * 0.005 / 0.045, -0.5 * 0.02 / 0.045]
    assert result.weights.tolist() == pytest.approx(expected, rel=1e-12)


def test_ridge_never_takes_a_side_that_no_gate_has_seen():
    """At rho = .9 the bare formula shorts the weaker of two longs: (2 - .9, 1 - 1.8); by default that name is left."""
    bare = sized([2.0, 1.0], [100.0, 100.0], pair(0.9), RiskWeightParameters(ridge_lambda=0.0, opposed="keep"))
    assert bare.weights.tolist() == pytest.approx([0.5 * 1.1 / 1.9, -0.5 * 0.8 / 1.9], rel=1e-12)
    assert not bare.dropped.any()
    default = sized([2.0, 1.0], [100.0, 100.0], pair(0.9), RIDGE)
    assert default.weights.tolist() == [0.5, 0.0]
    assert default.dropped.tolist() == [False, True]
    assert default.steps == 2


def test_a_zero_score_is_a_hedge_in_the_bare_formula_only():
    """Scores (1, 0) at rho = .5: bare (1, -.5) in proportion, by default (1, 0), and so under equal risk."""
    bare = sized([1.0, 0.0], [100.0, 100.0], pair(0.5), RiskWeightParameters(ridge_lambda=0.0, opposed="keep"))
    assert bare.weights.tolist() == pytest.approx([0.5 / 1.5, -0.25 / 1.5], rel=1e-12)
    assert sized([1.0, 0.0], [100.0, 100.0], pair(0.5), RIDGE).weights.tolist() == [0.5, 0.0]
    assert sized([1.0, 0.0], [100.0, 100.0], pair(0.5), ERC).weights.tolist() == [0.5, 0.0]


@pytest.mark.parametrize("rho", [-0.9, -0.3, 0.0, 0.5, 0.95])
def test_equal_risk_of_two_is_inverse_volatility(rho: float):
    """Two names contribute the same iff |w| is in proportion to 1/sigma, whatever rho: (2/3, 1/3) for 100 and 200."""
    # w1 s1 (w1 s1 + rho w2 s2) = w2 s2 (w2 s2 + rho w1 s1) means w1 s1 = w2 s2 (Maillard et al. 2010, section 2.3).
    result = sized([3.0, -0.1], [100.0, 200.0], pair(rho), ERC, budget=1.0)
    assert result.weights.tolist() == pytest.approx([2.0 / 3.0, -1.0 / 3.0], rel=1e-12)


def test_equal_risk_of_three_by_hand():
    """Two names tied at rho = .5 and a free one, sigma 1: x = (2/3)^.5 twice and 1, since 1.5 x^2 = 1."""
    correlation = np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])
    tied = math.sqrt(2.0 / 3.0)
    solution = equal_risk(correlation)
    assert solution.values is not None
    assert solution.values.tolist() == pytest.approx([tied, tied, 1.0], rel=1e-10)
    weights = sized([1.0, 2.0, 3.0], [100.0] * 3, correlation, ERC, budget=1.0).weights
    gross = 2.0 * tied + 1.0
    assert weights.tolist() == pytest.approx([tied / gross, tied / gross, 1.0 / gross], rel=1e-10)
    assert risk_contributions(weights, np.full(3, 100.0), correlation).tolist() == pytest.approx([1.0 / 3.0] * 3)


def test_equal_risk_keeps_signs_in_the_correlation_too():
    """A long and a short tied at .5 hedge each other, so they may be larger: 1 x^2 (1 - .5) = 1 gives x = 2^.5."""
    correlation = np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])
    weights = sized([1.0, -1.0, 1.0], [100.0] * 3, correlation, ERC, budget=1.0).weights
    gross = 2.0 * math.sqrt(2.0) + 1.0
    expected = [math.sqrt(2.0) / gross, -math.sqrt(2.0) / gross, 1.0 / gross]
    assert weights.tolist() == pytest.approx(expected, rel=1e-10)


def test_contributions_by_hand():
    """Weights (.5, .25), sigma = (100, 200), rho = .5: exposures 50 and 50, each 50*(50+25) of 7500, so half each."""
    shares = risk_contributions(np.array([0.5, 0.25, 0.0]), np.array([100.0, 200.0, np.nan]), np.full((3, 3), 0.5))
    assert shares[2] == 0.0
    filled = np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])
    shares = risk_contributions(np.array([0.5, 0.25, 0.0]), np.array([100.0, 200.0, np.nan]), filled)
    assert shares.tolist() == [0.5, 0.5, 0.0]
    assert risk_contributions(np.zeros(3), np.ones(3), filled).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("parameters", [RIDGE, ERC])
def test_missing_facts_give_zero_and_leave_the_others(parameters: RiskWeightParameters):
    """A name without z, or whose volatility is NaN, infinite, zero or negative, is as if it were not there."""
    rng = np.random.default_rng(4)
    correlation = np.corrcoef(rng.standard_normal((7, 30)) + rng.standard_normal(30))
    z = [1.0, np.nan, -2.0, 1.5, 1.0, 1.0, 1.0]
    sigma = [100.0, 120.0, 150.0, np.nan, 0.0, -5.0, np.inf]
    weights = sized(z, sigma, correlation, parameters).weights
    alone = sized([1.0, -2.0], [100.0, 150.0], correlation[np.ix_([0, 2], [0, 2])], parameters).weights
    assert weights[[0, 2]].tolist() == alone.tolist()
    assert np.count_nonzero(weights) == 2


@pytest.mark.parametrize("parameters", [RIDGE, ERC])
def test_nothing_wanted_gives_nothing(parameters: RiskWeightParameters):
    """Without a name, or with zero scores only, every weight is 0 and the reason says so."""
    for z in ([], [np.nan, np.nan], [0.0, 0.0]):
        result = sized(z, [100.0] * len(z), np.eye(len(z)), parameters)
        assert result.weights.tolist() == [0.0] * len(z)
        assert result.reason is RiskWeightReason.EMPTY
    assert sized([1.0, 2.0], [1.0, 1.0], np.eye(2), parameters, budget=0.0).weights.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("parameters", "expected"), [(RIDGE, [0.5 * 4.0 / 5.0, -0.5 / 5.0]), (ERC, [0.5 * 2.0 / 3.0, -0.5 / 3.0])]
)
def test_an_indefinite_matrix_falls_back_to_inverse_volatility(parameters: RiskWeightParameters, expected: list[float]):
    """Rho = 1.5 has no solution: ridge gives z/sigma = (2/100, -1/200), equal risk sign/sigma, both with a reason."""
    result = sized([2.0, -1.0], [100.0, 200.0], pair(1.5), parameters)
    assert result.weights.tolist() == pytest.approx(expected)
    assert result.reason is RiskWeightReason.NOT_DEFINITE


def test_what_does_not_converge_falls_back_with_a_reason(monkeypatch: pytest.MonkeyPatch):
    """With a bound of one step a skewed system is not solved in time, and the weights are sign/sigma."""
    correlation = np.array([[1.0, 0.9, 0.1], [0.9, 1.0, -0.3], [0.1, -0.3, 1.0]])
    monkeypatch.setattr(module, "NEWTON_STEPS_MAX", 1)
    result = sized([1.0, -1.0, 1.0], [100.0, 200.0, 400.0], correlation, ERC, budget=0.7)
    assert result.reason is RiskWeightReason.NOT_CONVERGED
    assert result.weights.tolist() == pytest.approx([0.4, -0.2, 0.1])


@pytest.mark.parametrize("parameters", [RIDGE, ERC])
def test_too_many_names_fall_back(parameters: RiskWeightParameters):
    """One name beyond the largest system gives inverse volatility with a reason."""
    count = ORDER_MAX + 1
    result = sized([1.0] * count, [100.0] * count, np.eye(count), parameters)
    assert result.reason is RiskWeightReason.TOO_MANY
    assert result.weights.tolist() == pytest.approx([0.5 / count] * count)


@pytest.mark.parametrize("signs", [(1.0, 1.0), (1.0, -1.0)])
def test_an_unknown_pair_is_one_bet_in_both_directions(signs: tuple[float, float]):
    """Unknown at .6 across sectors, beside a free third name: 1.6 x^2 = 1, the same for long-long and long-short."""
    gaps = np.array([[1.0, np.nan, 0.0], [np.nan, 1.0, 0.0], [0.0, 0.0, 1.0]])
    weights = sized([signs[0], signs[1], 1.0], [100.0] * 3, gaps, ERC, budget=1.0).weights
    tied = math.sqrt(1.0 / 1.6)
    expected = [signs[0] * tied, signs[1] * tied, 1.0]
    assert (weights * (2.0 * tied + 1.0)).tolist() == pytest.approx(expected, rel=1e-10)


def test_hard_systems_converge_quickly():
    """Near-singular matrices with every mix of signs need few steps, also with 200 names."""
    rng = np.random.default_rng(8)
    for count in (5, 20, 200):
        correlation = 0.99 * np.corrcoef(rng.standard_normal((count, 4))) + 0.01 * np.eye(count)
        solution = equal_risk(correlation)
        assert solution.reason is RiskWeightReason.OK
        assert solution.steps <= 15
        assert solution.values is not None
        assert np.abs(solution.values * (correlation @ solution.values) - 1.0).max() < 1e-9


def test_a_name_without_direction_is_no_hedge_on_an_unknown_correlation():
    """The bare formula with z = (0, 1) and an unknown pair gives (0, .5), and (0, -.5) for the mirror image."""
    bare = RiskWeightParameters(opposed="keep")
    gaps = np.array([[1.0, np.nan], [np.nan, 1.0]])
    assert sized([0.0, 1.0], [100.0, 100.0], gaps, bare).weights.tolist() == [0.0, 0.5]
    assert sized([0.0, -1.0], [100.0, 100.0], gaps, bare).weights.tolist() == [0.0, -0.5]


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e-300, 5e-324, 1e300])
@pytest.mark.parametrize("parameters", [RIDGE, RiskWeightParameters(opposed="keep"), ERC])
def test_weights_do_not_depend_on_the_scale_of_the_scores(scale: float, parameters: RiskWeightParameters):
    """Scores of (1, 1, 1) times anything, down to the smallest float, give the weights of (1, 1, 1)."""
    correlation = np.array([[1.0, -0.95, 0.95], [-0.95, 1.0, -0.95], [0.95, -0.95, 1.0]])
    sigma = [33.0, 654.0, 732.0]
    expected = sized([1.0, 1.0, 1.0], sigma, correlation, parameters).weights
    assert sized([scale] * 3, sigma, correlation, parameters).weights.tolist() == expected.tolist()


def test_parameters_refuse_a_negative_ridge():
    """Lambda below 0 could make the system indefinite."""
    with pytest.raises(ValueError, match=r"risk_weights\.ridge_lambda is -0\.1"):
        RiskWeightParameters(ridge_lambda=-0.1)
