"""Owns the examples of what the decision kernels compute: portable math, cycle, sizes, covariance, ranks, flow."""

from collections.abc import Iterator

import numpy as np
import pytest

from walstreet import kernels
from walstreet.kernels import KernelsUnavailableError, Status, compiled, decision_reference, portable
from walstreet.kernels.covariance import covariance_update, shrunk_correlation
from walstreet.kernels.decision import (
    DecisionArrays,
    DecisionCycle,
    DecisionSettings,
    calibrate_blend,
    cost_arbitrate,
)
from walstreet.kernels.flow import OrderFlowBank
from walstreet.kernels.linear import CholeskySolver, LowRankSolver, risk_parity
from walstreet.kernels.ranks import RankBoard, average_ranks

nan = float("nan")


@pytest.fixture(autouse=True, params=["native", "reference"])
def _chosen(request: pytest.FixtureRequest) -> Iterator[None]:
    before = kernels.implementation()
    try:
        kernels.select(request.param)
    except KernelsUnavailableError as error:
        pytest.skip(str(error))
    if request.param == "native" and compiled.compiled() is None:
        pytest.skip(compiled.decision_implementation()[1])
    yield
    kernels.select(before.name, level=before.level if before.name == "native" else None)


def test_portable_math_keeps_shapes_and_marks_what_is_undefined() -> None:
    """Any shape goes in and comes out; logarithms of what is not positive are missing, powers of 0 are 0."""
    grid = np.array([[0.0, 1.0], [-1.0, nan]])
    assert portable.exp(grid)[0].tolist() == [1.0, pytest.approx(2.718281828459045)]
    assert np.isnan(portable.exp(grid)[1, 1])
    assert portable.log(grid)[0, 1] == 0.0
    assert np.isnan(portable.log(grid)[[0, 1, 1], [0, 0, 1]]).all()
    assert portable.power(grid, 0.6)[0].tolist() == [0.0, 1.0]
    assert portable.exp(np.array([1e9, -1e9])).tolist() == portable.exp(np.array([700.0, -700.0])).tolist()
    with pytest.raises(ValueError, match=r"exponent: value is 0.0, must be from"):
        portable.power(grid, 0.0)


def test_calibration_and_blend_by_hand() -> None:
    """Alpha is slope times sigma times score; a slope that is not positive, or no answer, drops the model."""
    raw, blended, present = calibrate_blend(
        np.array([[1.0, nan], [3.0, 2.0], [5.0, 5.0]]),
        np.array([0, 0, 1]),
        np.array([0.5, 0.1, -1.0]),
        np.array([1.0, 3.0, 1.0]),
        np.array([[10.0, 20.0], [10.0, 20.0]]),
    )
    assert raw[0].tolist() == [(5.0 + 3.0) / 2.0, 4.0]
    assert blended[0].tolist() == [(5.0 + 3.0 * 3.0) / 4.0, 4.0]
    assert present.tolist() == [[4.0, 3.0], [0.0, 0.0]]
    assert np.isnan(blended[1]).all()
    assert np.isnan(raw[1]).all()


def one_symbol() -> DecisionArrays:
    """Return a cycle of one symbol, two horizons and a model for each, whose cost is 4.4 bps."""
    arrays = DecisionArrays.create(horizon_of_model=(0, 1), horizons_minutes=(5, 20), symbol_count=1)
    arrays.scores[:] = [[2.0], [0.5]]
    arrays.slopes[:], arrays.weights[:], arrays.fresh[:], arrays.tradable[:] = 1.0, 1.0, 1, 1
    arrays.spread_bps[:], arrays.sigma_5m_bps[:], arrays.sigma_day_bps[:] = 2.0, 10.0, 100.0
    arrays.price_usd[:], arrays.daily_volume_shares[:], arrays.order_usd[:] = 100.0, 1e6, 1e4
    arrays.controls[:] = (1.0, 0.5)
    return arrays


def test_a_cycle_by_hand() -> None:
    """Spread 2, impact 2 * 100 * sqrt(1e-4) = 2, fees 2 * (.5 + .2) = 1.4; the shorter horizon wins with z 1.46."""
    arrays = one_symbol()
    DecisionCycle(arrays, DecisionSettings(weight_abs_max=1.0)).run()
    cost_bps = 2.0 + 2.0 + 2.0 * (0.005 / 100.0 * 1e4 + 0.2)
    assert arrays.cost_bps[0] == pytest.approx(cost_bps)
    assert arrays.blended_bps[:, 0].tolist() == [20.0, 10.0]
    assert arrays.net_bps[:, 0].tolist() == pytest.approx([20.0 - cost_bps, 10.0 - cost_bps])
    z = 0.7 * (20.0 - cost_bps) / 10.0 + 0.3 * (10.0 - cost_bps) / 20.0
    assert arrays.best[0] == 0
    assert arrays.z[0] == pytest.approx(z)
    assert arrays.alpha_final_bps[0] == pytest.approx(10.0 * z)
    assert arrays.reserve_bps[0] == 3.0
    assert arrays.clears_reserve[0] == 1
    assert arrays.weight[0] == pytest.approx(z * 60.0 / (np.sqrt(10.0) * 100.0))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spread_bps", nan),
        ("price_usd", 0.0),
        ("sigma_day_bps", -1.0),
        ("daily_volume_shares", nan),
        ("order_usd", nan),
        ("sigma_5m_bps", nan),
        ("tradable", 0),
        ("fresh", 0),
        ("scores", nan),
        ("slopes", 0.0),
        ("weights", 0.0),
    ],
)
def test_a_missing_input_fails_closed(name: str, value: float) -> None:
    """Without any one input there is no weight, never a cheap default."""
    arrays = one_symbol()
    getattr(arrays, name)[:] = value
    DecisionCycle(arrays, DecisionSettings()).run()
    assert arrays.weight[0] == 0.0


def test_a_cycle_reads_its_inputs_each_time() -> None:
    """The workspace takes the arrays once; what is written into them between runs counts."""
    arrays = one_symbol()
    cycle = DecisionCycle(arrays, DecisionSettings())
    cycle.run()
    assert arrays.weight[0] > 0.0
    arrays.scores[:] = -arrays.scores
    cycle.run()
    assert arrays.weight[0] < 0.0
    arrays.controls[1] = 0.0
    cycle.run()
    assert arrays.weight[0] == 0.0
    arrays.controls[1] = -1.0
    with pytest.raises(ValueError, match=r"controls\[1\]: value is -1.0"):
        cycle.run()


def test_a_volatility_near_zero_is_refused_and_not_traded_on() -> None:
    """Its weight would overflow; the error names the input, because a silent NaN would be worse."""
    arrays = one_symbol()
    arrays.sigma_day_bps[:] = 5e-324
    with pytest.raises(ValueError, match="sigma_day_bps: a weight overflows float64"):
        DecisionCycle(arrays, DecisionSettings()).run()


def test_fresh_arrays_know_nothing() -> None:
    """A cycle over arrays that nobody filled wants nothing."""
    arrays = DecisionArrays.create(horizon_of_model=(0, 0), horizons_minutes=(5,), symbol_count=9)
    DecisionCycle(arrays, DecisionSettings()).run()
    assert np.isnan(arrays.blended_bps).all()
    assert (arrays.best == -1).all()
    assert not arrays.weight.any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"best_share": 0.4}, "best_share: value is 0.4, must be from 0.5 to 1.0"),
        ({"z_max": nan}, "z_max: value is nan, must be from 0.1"),
        ({"size_method": "kelly"}, "size_method: value is 'kelly', must be one of"),
    ],
)
def test_wrong_settings_are_refused(change: dict[str, object], words: str) -> None:
    """Settings are checked where they are made."""
    with pytest.raises(ValueError, match=words):
        DecisionSettings(**change)  # type: ignore[arg-type]


def test_net_edge_of_the_formulas() -> None:
    """The cost is taken from the size of the alpha, never beyond zero, and the sign stays."""
    alphas = np.array([5.0, -5.0, 1.0, -1.0, 0.0, nan])
    edges = decision_reference.net_edges(alphas, np.array([2.0, 2.0, 2.0, 2.0, 2.0, 2.0]))
    assert edges[:5].tolist() == [3.0, -3.0, 0.0, 0.0, 0.0]
    assert np.isnan(edges[5])


def test_cost_and_arbitration_as_a_call() -> None:
    """The call writes a cost row per horizon and the same choice as the cycle."""
    arrays = one_symbol()
    DecisionCycle(arrays, DecisionSettings()).run()
    expected = (arrays.z[0], int(arrays.best[0]), arrays.cost_bps[0])
    arrays.z[:], arrays.best[:] = nan, -1
    plane = np.empty((2, 1))
    named = arrays.named() | {
        "alpha_bps": arrays.blended_bps,
        "sigma_horizon_bps": arrays.horizon_scales[:, None] * arrays.sigma_5m_bps,
        "cost_bps": plane,
    }
    cost_arbitrate(named, DecisionSettings(), 1.0)
    assert (arrays.z[0], int(arrays.best[0]), plane[0, 0], plane[1, 0]) == (*expected, expected[2])


def test_ridge_weights_hedge_correlated_names() -> None:
    """Two names that move together share their edge; the third stands alone. Unwanted names get nothing."""
    matrix = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]])
    weights, sigma = np.empty(3), np.full(3, 100.0)
    solver = CholeskySolver(3)
    solver.factor(matrix, 0.1)
    solver.ridge_weights(np.ones(3), sigma, 1.0, weights)
    assert weights[0] == pytest.approx(weights[1])
    assert weights[2] / weights[0] == pytest.approx(2.0 / 1.1)
    solver.ridge_weights(np.array([1.0, nan, 1.0]), sigma, 1.0, weights)
    assert weights[1] == 0.0
    solver.ridge_weights(np.full(3, nan), sigma, 1.0, weights)
    assert weights.tolist() == [0.0, 0.0, 0.0]


def test_low_rank_agrees_with_the_full_matrix() -> None:
    """Woodbury's identity gives what solving the full matrix gives."""
    generator = np.random.default_rng(2)
    diagonal, loadings = generator.uniform(0.5, 1.0, 30), generator.normal(size=(4, 30))
    values, solution = generator.normal(size=30), np.empty(30)
    solver = LowRankSolver(30, 4)
    with pytest.raises(ValueError, match="solver: holds no factor"):
        solver.solve(values, solution)
    solver.factor(diagonal, loadings)
    solver.solve(values, solution)
    np.testing.assert_allclose(solution, np.linalg.solve(np.diag(diagonal) + loadings.T @ loadings, values))


def test_equal_risk_of_two_names_is_inverse_volatility() -> None:
    """For two names the correlation does not matter; signs are kept and a name without one is left out."""
    covariance = np.array([[4.0, 0.6, 0.5], [0.6, 1.0, 0.1], [0.5, 0.1, 9.0]])
    found = risk_parity(covariance, np.array([1.0, -1.0, 0.0]), gross=0.6)
    assert found.converged
    assert found.weights.tolist() == [pytest.approx(0.2), pytest.approx(-0.4), 0.0]
    nothing = risk_parity(covariance, np.zeros(3), gross=0.6)
    assert (nothing.converged, nothing.sweeps, nothing.weights.tolist()) == (True, 0, [0.0, 0.0, 0.0])


def test_equal_risk_says_when_it_does_not_converge() -> None:
    """A matrix that is not positive definite has no solution, and that is said, not hidden."""
    covariance = np.array([[1.0, -5.0], [-5.0, 1.0]])
    found = risk_parity(covariance, np.ones(2), gross=1.0)
    assert not found.converged
    assert found.sweeps == 1_000


def test_covariance_waits_for_both_values() -> None:
    """A pair is seeded by its first common bar and untouched by bars that lack one of the two."""
    covariance, status = np.full((2, 2), nan), np.zeros(2, dtype=np.uint8)
    covariance_update(np.array([2.0, nan]), 0.5, covariance, status)
    assert status.tolist() == [Status.UPDATED, Status.MISSING]
    assert covariance[0, 0] == 4.0
    assert np.isnan(covariance[[0, 1, 1], [1, 0, 1]]).all()
    covariance_update(np.array([4.0, 3.0]), 0.5, covariance, status)
    assert covariance.tolist() == [[10.0, 12.0], [12.0, 9.0]]
    correlation, deviations = np.empty((2, 2)), np.empty(2)
    shrunk_correlation(covariance, 0.5, deviations, correlation)
    assert correlation.tolist() == [[1.0, 0.5], [0.5, 1.0]]


def test_ranks_share_ties_and_skip_what_is_missing() -> None:
    """Minus zero ties with zero; the board is used again without a trace of the bar before."""
    assert average_ranks(np.array([3.0, -0.0, 0.0, nan, 1e200])).tolist()[:3] == [3.0, 1.5, 1.5]
    board = RankBoard(3)
    assert board.update(np.array([5.0, 4.0, 6.0])) == 3
    assert board.ranks.tolist() == [2.0, 1.0, 3.0]
    assert board.update(np.array([nan, 4.0, np.inf])) == 1
    assert board.ranks[1] == 1.0
    assert np.isnan(board.ranks[[0, 2]]).all()


def test_order_flow_of_the_three_moves() -> None:
    """A higher bid adds its whole size, an unchanged price the change of size, a lower bid takes the old size."""
    bank = OrderFlowBank.create(3)
    same = np.full(3, 101.0), np.full(3, 7.0)
    bank.update(np.full(3, 100.0), same[0], np.full(3, 5.0), same[1])
    assert bank.imbalance.tolist() == [0.0, 0.0, 0.0]
    bank.update(np.array([100.5, 100.0, 99.5]), same[0], np.array([3.0, 8.0, 4.0]), same[1])
    assert bank.take().tolist() == [3.0, 3.0, -5.0]
    bank.update(np.full(3, nan), same[0], np.full(3, 5.0), same[1])
    assert bank.status.tolist() == [Status.MISSING] * 3
    assert bank.imbalance.tolist() == [0.0, 0.0, 0.0]
