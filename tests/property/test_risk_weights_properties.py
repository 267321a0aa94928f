"""Owns the properties of correlated sizing and of the solver below it, for every positive definite matrix."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.linear_solve import cholesky, solve_positive_definite
from walstreet.domain.risk_weights import (
    RiskWeightParameters,
    RiskWeightReason,
    RiskWeights,
    equal_risk,
    risk_contributions,
    risk_weights,
)
from walstreet.domain.shrinkage import UnknownCorrelationParameters

EXAMPLES = settings(max_examples=1_000, deadline=None)
UNKNOWN = UnknownCorrelationParameters()
METHODS = st.sampled_from([
    RiskWeightParameters(),
    RiskWeightParameters(ridge_lambda=0.15, opposed="keep"),
    RiskWeightParameters(method="erc"),
])  # fmt: skip

Book = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@st.composite
def books(draw: st.DrawFn, size_min: int = 1) -> Book:
    """Draw z (with gaps), volatilities (with gaps), a correlation (smallest eigenvalue .05 or more) and sectors."""
    count = draw(st.integers(size_min, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    loadings = rng.standard_normal((count, draw(st.integers(1, 4)))) + draw(st.floats(0.0, 2.0))
    covariance = loadings @ loadings.T + draw(st.floats(0.0, 2.0)) * np.eye(count) + 1e-6 * np.eye(count)
    spread = np.sqrt(np.diag(covariance))
    correlation = 0.95 * covariance / spread[:, None] / spread + 0.05 * np.eye(count)
    correlation = (correlation + correlation.T) / 2.0
    np.fill_diagonal(correlation, 1.0)
    gap = st.one_of(st.floats(-3.0, 3.0), st.sampled_from([np.nan, 0.0, 1.0, -1.0]))
    z = np.array(draw(st.lists(gap, min_size=count, max_size=count)))
    sigma = rng.uniform(20.0, 800.0, count)
    if draw(st.booleans()):
        sigma[draw(st.integers(0, count - 1))] = draw(st.sampled_from([np.nan, 0.0, -1.0, np.inf]))
    return z, sigma, correlation, rng.integers(0, 3, count)


def sized(book: Book, parameters: RiskWeightParameters) -> RiskWeights:
    """Return the weights of a book for a gross of .5."""
    z, sigma, correlation, sectors = book
    return risk_weights(
        z, sigma, correlation, sectors, gross_budget=0.5, parameters=parameters, unknown=UNKNOWN
    )  # fmt: skip


def with_gaps(book: Book, seed: int) -> Book:
    """Return the book with some pairs unknown; what is known stays definite with its gaps read as 0."""
    z, sigma, correlation, sectors = book
    lost = np.random.default_rng(seed).random(len(z)) < 0.4
    correlation = correlation.copy()
    correlation[lost, :] = np.nan
    correlation[:, lost] = np.nan
    np.fill_diagonal(correlation, 1.0)
    return z, sigma, correlation, sectors


@EXAMPLES
@given(books())
def test_equal_risk_contributions_are_equal(book: Book):
    """Every wanted name contributes the same to the variance to 1e-8, has the sign of its z, and none else a weight."""
    z, sigma, correlation, _ = book
    result = sized(book, RiskWeightParameters(method="erc"))
    wanted = np.isfinite(z) & (z != 0.0) & np.isfinite(sigma) & (sigma > 0.0)
    assert np.array_equal(np.sign(result.weights), np.where(wanted, np.sign(z), 0.0))
    if not wanted.any():
        assert result.reason is RiskWeightReason.EMPTY
        return
    assert result.reason is RiskWeightReason.OK
    shares = risk_contributions(result.weights, sigma, correlation)[wanted]
    assert np.abs(shares * wanted.sum() - 1.0).max() <= 1e-8
    # The same by other means: BLAS and the covariance itself.
    exposure = (result.weights * np.where(wanted, sigma, 0.0))[wanted]
    dense = exposure * (correlation[np.ix_(wanted, wanted)] @ exposure)
    assert np.abs(dense / dense.mean() - 1.0).max() <= 1e-8


@EXAMPLES
@given(books(), METHODS, st.one_of(st.none(), st.integers(0, 2**32 - 1)))
def test_opposite_scores_give_exactly_opposite_weights(book: Book, parameters: RiskWeightParameters, gaps: int | None):
    """Negating z flips every weight to the bit, also where correlations are unknown."""
    book = book if gaps is None else with_gaps(book, gaps)
    straight = sized(book, parameters)
    mirror = sized((-book[0], *book[1:]), parameters)
    assert np.array_equal(mirror.weights, -straight.weights)
    assert mirror.reason is straight.reason
    assert np.array_equal(mirror.dropped, straight.dropped)


@EXAMPLES
@given(books(), METHODS, st.one_of(st.none(), st.integers(0, 2**32 - 1)), st.randoms(use_true_random=False))
def test_weights_follow_their_symbols(book: Book, parameters: RiskWeightParameters, gaps: int | None, source):
    """Permuting the symbols permutes the weights to 1e-12 of equity; the order of sums and pivots changes bits."""
    book = book if gaps is None else with_gaps(book, gaps)
    z, sigma, correlation, sectors = book
    order = np.array(source.sample(range(len(z)), len(z)))
    straight = sized(book, parameters)
    permuted = sized((z[order], sigma[order], correlation[np.ix_(order, order)], sectors[order]), parameters)
    assert np.allclose(permuted.weights, straight.weights[order], rtol=1e-12, atol=1e-12)


@EXAMPLES
@given(books(size_min=2), METHODS, st.data())
def test_a_missing_symbol_is_as_if_it_were_not_there(book: Book, parameters: RiskWeightParameters, data: st.DataObject):
    """A name whose z becomes NaN gets exactly 0, and the others the bits of a book without it."""
    z, sigma, correlation, sectors = book
    gone = data.draw(st.integers(0, len(z) - 1))
    z = z.copy()
    z[gone] = np.nan
    rest = np.delete(np.arange(len(z)), gone)
    result = sized((z, sigma, correlation, sectors), parameters)
    alone = sized((z[rest], sigma[rest], correlation[np.ix_(rest, rest)], sectors[rest]), parameters)
    assert result.weights[gone] == 0.0
    assert np.array_equal(result.weights[rest], alone.weights)


@EXAMPLES
@given(books(), METHODS, st.one_of(st.none(), st.integers(0, 2**32 - 1)))
def test_gross_is_the_budget_and_directions_are_kept(book: Book, parameters: RiskWeightParameters, gaps: int | None):
    """Gross is .5 or nothing is wanted; but for the bare formula no weight opposes its z; all weights are finite."""
    book = book if gaps is None else with_gaps(book, gaps)
    result = sized(book, parameters)
    assert np.isfinite(result.weights).all()
    gross = np.abs(result.weights).sum()
    assert gross <= 0.5 * (1.0 + 1e-14)
    assert (result.reason is RiskWeightReason.EMPTY) == (gross == 0.0)
    if gross > 0.0:
        assert gross >= 0.5 * (1.0 - 1e-14)
    if parameters.opposed == "drop":
        assert np.all(result.weights * np.nan_to_num(book[0]) >= 0.0)


@EXAMPLES
@given(books())
def test_ridge_solves_its_system(book: Book):
    """The bare formula agrees with LAPACK: weights times volatility are in proportion to (C + lambda*I)^-1 z."""
    z, sigma, correlation, _ = book
    wanted = np.isfinite(z) & np.isfinite(sigma) & (sigma > 0.0)
    result = sized(book, RiskWeightParameters(ridge_lambda=0.3, opposed="keep"))
    if not np.any(z[wanted]):
        return
    score = z[wanted] / np.abs(z[wanted]).max()
    system = correlation[np.ix_(wanted, wanted)] + 0.3 * np.eye(wanted.sum())
    expected = np.linalg.solve(system, score) / sigma[wanted]
    expected *= 0.5 / np.abs(expected).sum()
    assert np.allclose(result.weights[wanted], expected, rtol=1e-9, atol=1e-12)


@EXAMPLES
@given(books(), st.integers(0, 2**32 - 1))
def test_solver_agrees_with_lapack_and_refuses_the_indefinite(book: Book, seed: int):
    """L L' is the matrix, the solution solves it, and a matrix with an eigenvalue below 0 has neither."""
    correlation = book[2]
    right = np.random.default_rng(seed).standard_normal(len(correlation))
    lower = cholesky(correlation)
    assert lower is not None
    assert np.allclose(lower @ lower.T, correlation, rtol=0.0, atol=1e-14)
    assert np.array_equal(lower, np.tril(lower))
    solution = solve_positive_definite(correlation, right)
    assert solution is not None
    assert np.allclose(solution, np.linalg.solve(correlation, right), rtol=1e-10, atol=1e-12)
    indefinite = correlation - (np.linalg.eigvalsh(correlation)[0] + 1e-6) * np.eye(len(correlation))
    assert cholesky(indefinite) is None


@EXAMPLES
@given(st.integers(1, 12), st.floats(0.0, 1.0), st.integers(0, 2**32 - 1))
def test_equal_risk_converges_near_singularity(count: int, share: float, seed: int):
    """Down to a smallest eigenvalue of .001, with any signs, it converges in at most 25 steps."""
    rng = np.random.default_rng(seed)
    factor = rng.standard_normal((count, 2))
    factor /= np.sqrt((factor**2).sum(axis=1))[:, None]
    gram = factor @ factor.T
    correlation = (1.0 - share) * gram + share * np.eye(count)
    correlation = 0.999 * correlation + 0.001 * np.eye(count)
    solution = equal_risk((correlation + correlation.T) / 2.0)
    assert solution.reason is RiskWeightReason.OK
    assert solution.steps <= 25
    assert solution.values is not None
    assert solution.values.min() > 0.0
