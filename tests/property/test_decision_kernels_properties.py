"""Owns what the decision kernels promise for any input: bounds, optimality, symmetry, invariance."""

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet import kernels
from walstreet.kernels import portable
from walstreet.kernels.covariance import covariance_update, shrunk_correlation
from walstreet.kernels.decision import DecisionArrays, DecisionCycle, DecisionSettings
from walstreet.kernels.flow import OrderFlowBank
from walstreet.kernels.linear import CholeskySolver, LowRankSolver, risk_parity
from walstreet.kernels.ranks import average_ranks

EXAMPLES = settings(max_examples=1_000, deadline=None)
FEWER_EXAMPLES = settings(max_examples=200, deadline=None)
"""For systems whose reference solves row by row."""
seeds = st.integers(0, 2**32 - 1)
maybe_missing = st.one_of(st.floats(-1e3, 1e3), st.sampled_from((0.0, -0.0, 1.0, float("nan"), float("inf"))))


@pytest.fixture(autouse=True, params=["default", "reference"])
def _implementation(request: pytest.FixtureRequest) -> Iterator[None]:
    before = kernels.implementation().name
    if request.param == "reference":
        kernels.select("reference")
    yield
    kernels.select(before)


@EXAMPLES
@given(value=st.floats(-700.0, 700.0))
def test_exp_and_log_stay_within_the_stated_error(value: float) -> None:
    """Relative errors are below 1e-14, and log undoes exp."""
    raised = portable.exp(np.array([value]))
    assert raised[0] == pytest.approx(math.exp(value), rel=1e-14)
    assert portable.log(raised)[0] == pytest.approx(value, rel=1e-14, abs=1e-14)


@EXAMPLES
@given(value=st.floats(0.0, 1e300), exponent=st.floats(0.01, 2.0))
def test_power_stays_within_its_error(value: float, exponent: float) -> None:
    """The error grows with the logarithm that is exponentiated; 0 stays 0."""
    got = float(portable.power(np.array([value]), exponent)[0])
    if value == 0.0:
        assert got == 0.0
        return
    scaled = exponent * math.log(value)
    if abs(scaled) < 690.0:
        assert got == pytest.approx(math.exp(scaled), rel=1e-13 * (1.0 + abs(scaled)))


@EXAMPLES
@given(values=st.lists(maybe_missing, max_size=40))
def test_ranks_are_a_fair_permutation(values: list[float]) -> None:
    """Ranks add up to n(n+1)/2, follow the values, tie where values tie, and leave out what is missing."""
    array = np.array(values, dtype=np.float64)
    ranks = average_ranks(array)
    known = np.isfinite(array)
    assert np.isnan(ranks).tolist() == (~known).tolist()
    count = int(known.sum())
    assert ranks[known].sum() == count * (count + 1) / 2
    for rank, value in zip(ranks[known], array[known], strict=True):
        below, same = int((array[known] < value).sum()), int((array[known] == value).sum())
        assert rank == below + (same + 1) / 2


@EXAMPLES
@given(
    bars=st.lists(st.lists(maybe_missing, min_size=5, max_size=5), min_size=1, max_size=6),
    alpha=st.floats(0.01, 1.0),
    shrinkage=st.floats(0.0, 1.0),
)
def test_covariance_is_symmetric_and_correlation_bounded(
    bars: list[list[float]], alpha: float, shrinkage: float
) -> None:
    """Every pair follows its own recursion, exactly mirrored; correlations shrink towards the identity."""
    covariance, status = np.full((5, 5), np.nan), np.zeros(5, dtype=np.uint8)
    expected: dict[tuple[int, int], float] = {}
    for bar in bars:
        covariance_update(np.array(bar), alpha, covariance, status)
        for row in range(5):
            for column in range(5):
                product = bar[row] * bar[column]
                if math.isfinite(bar[row]) and math.isfinite(bar[column]):
                    old = expected.get((row, column))
                    expected[row, column] = product if old is None else (1.0 - alpha) * old + alpha * product
    assert covariance.tobytes() == np.ascontiguousarray(covariance.T).tobytes()
    for (row, column), value in expected.items():
        assert covariance[row, column] == value
    assert int(np.isnan(covariance).sum()) == 25 - len(expected)
    correlation = np.empty((5, 5))
    shrunk_correlation(covariance, shrinkage, np.empty(5), correlation)
    assert correlation.tobytes() == np.ascontiguousarray(correlation.T).tobytes()
    assert (np.diagonal(correlation) == 1.0).all()
    assert (np.abs(correlation - np.eye(5)) <= 1.0 - shrinkage).all()


quotes = st.tuples(
    st.sampled_from((99.0, 100.0, 101.0)),
    st.sampled_from((100.0, 101.0, 102.0)),
    st.integers(1, 50).map(float),
    st.one_of(st.integers(1, 50).map(float), st.just(float("nan"))),
)


@EXAMPLES
@given(history=st.lists(quotes, max_size=12))
def test_order_flow_follows_the_published_definition(history: list[tuple[float, float, float, float]]) -> None:
    """The sum of the published contributions over the quotes that are complete, exactly."""
    bank = OrderFlowBank.create(1)
    expected = Fraction(0)
    before: tuple[float, float, float, float] | None = None
    for quote in history:
        bank.update(*(np.array([field]) for field in quote))
        if any(math.isnan(field) for field in quote):
            continue
        if before is not None:
            bid, ask, bid_size, ask_size = quote
            expected += Fraction(bid_size) * (bid >= before[0]) - Fraction(before[2]) * (bid <= before[0])
            expected -= Fraction(ask_size) * (ask <= before[1]) - Fraction(before[3]) * (ask >= before[1])
        before = quote
    assert Fraction(float(bank.take()[0])) == expected
    assert bank.take()[0] == 0.0


def _matrix(generator: np.random.Generator, count: int) -> np.ndarray:
    draws = generator.normal(size=(count, count + 2))
    matrix = draws @ draws.T / count + 0.1 * np.eye(count)
    return 0.5 * (matrix + matrix.T)


@FEWER_EXAMPLES
@given(seed=seeds, count=st.integers(1, 24), ridge=st.floats(0.0, 10.0))
def test_a_solution_solves_its_system(seed: int, count: int, ridge: float) -> None:
    """The residual is small against the matrix and the solution, for full and for low-rank systems."""
    generator = np.random.default_rng(seed)
    matrix, values, solution = _matrix(generator, count), generator.normal(size=count), np.empty(count)
    solver = CholeskySolver(count)
    solver.factor(matrix, ridge)
    solver.solve(values, solution)
    system = matrix + ridge * np.eye(count)
    scale = np.abs(system).sum() * np.abs(solution).max() + 1.0
    assert np.abs(system @ solution - values).max() <= 1e-13 * scale
    diagonal, loadings = generator.uniform(0.1, 2.0, count), generator.normal(size=(3, count))
    low_rank = LowRankSolver(count, 3)
    low_rank.factor(diagonal, loadings)
    low_rank.solve(values, solution)
    full = np.diag(diagonal) + loadings.T @ loadings
    assert np.abs(full @ solution - values).max() <= 1e-11 * (np.abs(full).sum() * np.abs(solution).max() + 1.0)


@FEWER_EXAMPLES
@given(seed=seeds, count=st.integers(1, 16))
def test_equal_risk_contributions_are_equal(seed: int, count: int) -> None:
    """Every name with a sign contributes the same, keeps its sign, and the book has the gross asked for."""
    generator = np.random.default_rng(seed)
    matrix = _matrix(generator, count)
    signs = generator.choice((-1.0, 0.0, 1.0), count)
    found = risk_parity(matrix, signs, gross=0.5)
    assert found.converged
    assert np.sign(found.weights).tolist() == signs.tolist()
    held = signs != 0.0
    if not held.any():
        return
    contributions = (found.weights * (matrix @ found.weights))[held]
    np.testing.assert_allclose(contributions, contributions.mean(), rtol=1e-7)
    assert np.abs(found.weights).sum() == pytest.approx(0.5, rel=1e-12)


@FEWER_EXAMPLES
@given(seed=seeds, count=st.integers(1, 16), budget=st.floats(0.0, 4.0))
def test_ridge_weights_use_exactly_the_budget(seed: int, count: int, budget: float) -> None:
    """The gross of the book is the budget whenever anything is wanted; nothing unwanted is held."""
    generator = np.random.default_rng(seed)
    z, sigma = generator.normal(size=count), generator.uniform(50.0, 300.0, count)
    z[generator.random(count) < 0.3] = np.nan
    sigma[generator.random(count) < 0.1] = np.nan
    weights = np.empty(count)
    solver = CholeskySolver(count)
    solver.factor(_matrix(generator, count), 0.15)
    solver.ridge_weights(z, sigma, budget, weights)
    held = ~np.isnan(z) & ~np.isnan(sigma)
    assert (weights[~held] == 0.0).all()
    assert np.abs(weights).sum() == pytest.approx(budget if held.any() else 0.0, rel=1e-12)


def _random_cycle(seed: int, count: int, method: str) -> DecisionCycle:
    generator = np.random.default_rng(seed)
    arrays = DecisionArrays.create(horizon_of_model=(0, 1, 1, 2), horizons_minutes=(5, 30, 390), symbol_count=count)
    arrays.scores[:] = generator.normal(size=(4, count))
    arrays.scores[generator.random((4, count)) < 0.1] = np.nan
    arrays.slopes[:], arrays.weights[:], arrays.fresh[:] = generator.uniform(0.1, 0.9, 4), generator.random(4), 1
    for name, low, high in (
        ("spread_bps", 0.5, 6.0),
        ("sigma_5m_bps", 5.0, 30.0),
        ("sigma_day_bps", 80.0, 300.0),
        ("price_usd", 5.0, 500.0),
        ("daily_volume_shares", 1e5, 1e8),
        ("order_usd", 0.0, 5e4),
    ):
        values = generator.uniform(low, high, count)
        values[generator.random(count) < 0.05] = np.nan
        getattr(arrays, name)[:] = values
    arrays.tradable[:] = generator.random(count) < 0.9
    arrays.controls[:] = (1.0, generator.uniform(0.0, 1.0))
    return DecisionCycle(arrays, DecisionSettings(size_method=method))  # type: ignore[arg-type]


@EXAMPLES
@given(seed=seeds, count=st.integers(0, 20), method=st.sampled_from(("auto", "proportional", "vol_target")))
def test_a_cycle_never_breaks_its_promises(seed: int, count: int, method: str) -> None:
    """Weights stay in budget and cap, have the sign of the best edge, and are zero where an input is missing."""
    cycle = _random_cycle(seed, count, method)
    arrays = cycle.arrays
    cycle.run()
    assert np.abs(arrays.weight).sum() <= arrays.controls[1] * (1.0 + 1e-12)
    assert (np.abs(arrays.weight) <= 0.05).all()
    held = arrays.weight != 0.0
    assert (arrays.best[held] >= 0).all()
    assert (arrays.clears_reserve[held] == 1).all()
    assert (arrays.tradable[held] == 1).all()
    columns = np.flatnonzero(held)
    edges = arrays.net_bps[arrays.best[columns], columns]
    assert (np.sign(edges) == np.sign(arrays.weight[columns])).all()
    assert (np.abs(edges) >= arrays.reserve_bps[columns]).all()
    for name in ("spread_bps", "sigma_5m_bps", "sigma_day_bps", "price_usd", "daily_volume_shares", "order_usd"):
        assert (arrays.weight[np.isnan(getattr(arrays, name))] == 0.0).all(), name


@EXAMPLES
@given(seed=seeds, count=st.integers(1, 20), at=st.integers(0, 19))
def test_a_broken_symbol_leaves_the_others_alone(seed: int, count: int, at: int) -> None:
    """A missing price changes that symbol's row only, up to the common scale of the sizes."""
    whole, broken = _random_cycle(seed, count, "proportional"), _random_cycle(seed, count, "proportional")
    broken.arrays.price_usd[at % count] = np.nan
    whole.run()
    broken.run()
    others = np.arange(count) != at % count
    for name in ("cost_bps", "best", "z", "alpha_final_bps", "clears_reserve"):
        left, right = getattr(whole.arrays, name), getattr(broken.arrays, name)
        assert left[others].tobytes() == right[others].tobytes(), name
    assert broken.arrays.weight[at % count] == 0.0
