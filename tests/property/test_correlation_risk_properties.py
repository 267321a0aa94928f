"""Owns the properties of the correlation caps and of the running correlation, for every book and every gap."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.correlation_risk import CorrelationRisk, CorrelationRiskParameters, apply_correlation_risk
from walstreet.domain.covariance import BAR_NS, CovarianceParameters, CovarianceState, batch_correlation
from walstreet.domain.pair_moments import PairMoments
from walstreet.domain.shrinkage import UnknownCorrelationParameters

EXAMPLES = settings(max_examples=1_000, deadline=None)
PARAMETERS = CorrelationRiskParameters()
UNKNOWN = UnknownCorrelationParameters()
EXCESS = 1e-8

Book = dict[str, np.ndarray]


@st.composite
def books(draw: st.DrawFn, *, fixed: bool = True) -> Book:
    """Draw a book: weights, volatilities with gaps, a correlation with gaps, sectors, what can move."""
    count = draw(st.integers(1, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    loadings = rng.standard_normal((count, 3)) + draw(st.floats(0.0, 2.0))
    covariance = loadings @ loadings.T + draw(st.floats(0.1, 2.0)) * np.eye(count)
    spread = np.sqrt(np.diag(covariance))
    correlation = 0.95 * covariance / spread[:, None] / spread + 0.05 * np.eye(count)
    correlation = (correlation + correlation.T) / 2.0
    np.fill_diagonal(correlation, 1.0)
    if draw(st.booleans()):
        lost = rng.random(count) < 0.3
        correlation[lost, :] = np.nan
        correlation[:, lost] = np.nan
        np.fill_diagonal(correlation, 1.0)
    weight = st.one_of(st.floats(-0.3, 0.3), st.just(0.0))
    sigma = rng.uniform(20.0, 600.0, count)
    sigma[rng.random(count) < 0.1] = np.nan
    return {
        "weights": np.array(draw(st.lists(weight, min_size=count, max_size=count))),
        "sigma_day_bps": sigma,
        "correlation": correlation,
        "sectors": rng.integers(0, 3, count),
        "movable": rng.random(count) < 0.7 if fixed else np.ones(count, dtype=np.bool_),
    }


def capped(book: Book, **changes: np.ndarray) -> CorrelationRisk:
    """Return the book after the caps."""
    return apply_correlation_risk(**(book | changes), parameters=PARAMETERS, unknown=UNKNOWN)


def volatility(book: Book, weights: np.ndarray) -> float:
    """Return the volatility pair by pair in plain Python, unknown pairs adding risk."""
    sigma = [value if np.isfinite(value) else PARAMETERS.sigma_unknown_day_bps for value in book["sigma_day_bps"]]
    total = 0.0
    for i, left in enumerate(weights):
        for j, right in enumerate(weights):
            product, rho = left * sigma[i] * right * sigma[j], book["correlation"][i, j]
            if np.isnan(rho):
                same = book["sectors"][i] == book["sectors"][j]
                total += abs(product) * (UNKNOWN.rho_same_sector if same else UNKNOWN.rho_other_sector)
            else:
                total += rho * product
    return float(np.sqrt(total))


def within(book: Book, weights: np.ndarray, cap: float) -> bool:
    """Return whether every component, found by depth-first search, keeps its gross cap."""
    count, seen = len(weights), [weight == 0.0 for weight in weights]
    for start in range(count):
        stack, gross = [start], 0.0
        while stack:
            node = stack.pop()
            if seen[node]:
                continue
            seen[node] = True
            gross += abs(weights[node])
            for other in range(count):
                rho = book["correlation"][node, other]
                same = book["sectors"][node] == book["sectors"][other]
                size = abs(rho) if np.isfinite(rho) else (1.0 if same else 0.6)
                if size >= PARAMETERS.cluster_rho_min:
                    stack.append(other)
        if gross > cap + EXCESS:
            return False
    return True


@EXAMPLES
@given(books(fixed=False))
def test_caps_hold_where_everything_moves(book: Book):
    """No cluster exceeds its gross and the book not its volatility, both computed by other means."""
    result = capped(book)
    assert within(book, result.weights, PARAMETERS.cluster_gross_max)
    assert volatility(book, result.weights) <= PARAMETERS.volatility_day_bps_max * (1.0 + EXCESS)
    assert abs(volatility(book, result.weights) - result.volatility_day_bps) <= 1e-6
    assert abs(volatility(book, book["weights"]) - result.volatility_wanted_day_bps) <= 1e-6


@EXAMPLES
@given(books())
def test_movable_weights_only_shrink_and_fixed_ones_stay(book: Book):
    """No |weight| grows, no sign turns, fixed weights keep their bits, and codes stand exactly where weights moved."""
    result, weights = capped(book), book["weights"]
    assert np.all(np.abs(result.weights) <= np.abs(weights))
    assert np.all(result.weights * weights >= 0.0)
    assert np.array_equal(result.weights[~book["movable"]], weights[~book["movable"]])
    assert np.array_equal(result.binding != 0, result.weights != weights)


@EXAMPLES
@given(books())
def test_movable_weights_never_exceed_what_fixed_ones_leave(book: Book):
    """The volatility is within the cap, or no other factor of the movable weights gives less."""
    result, movable = capped(book), book["movable"]
    reached = volatility(book, result.weights)
    assert abs(reached - result.volatility_day_bps) <= 1e-6
    if reached <= PARAMETERS.volatility_day_bps_max * (1.0 + EXCESS):
        return
    for factor in (0.0, 0.5, 0.9, 0.99):
        assert reached <= volatility(book, np.where(movable, result.weights * factor, result.weights)) * (1.0 + EXCESS)
    # Nor does a larger part of what the clusters allow: volatility is convex in the factor, so a little is enough.
    scaled = movable & (result.binding == 6)
    if scaled.any():
        more = np.where(movable, result.weights * 1.01, result.weights)
        assert volatility(book, more) >= reached * (1.0 - EXCESS)


@EXAMPLES
@given(books())
def test_a_second_application_changes_nothing(book: Book):
    """Where everything moves no bit changes; beside fixed weights nothing beyond rounding does."""
    once = capped(book)
    twice = capped(book, weights=once.weights)
    assert np.allclose(twice.weights, once.weights, rtol=1e-9, atol=1e-12)
    free = capped(book, movable=np.ones(len(once.weights), dtype=np.bool_))
    again = capped(book, weights=free.weights, movable=np.ones(len(once.weights), dtype=np.bool_))
    assert np.array_equal(again.weights, free.weights)


@EXAMPLES
@given(books())
def test_opposite_books_give_opposite_weights(book: Book):
    """Negating every weight flips the result to the bit."""
    straight, mirror = capped(book), capped(book, weights=-book["weights"])
    assert np.array_equal(mirror.weights, -straight.weights)
    assert np.array_equal(mirror.binding, straight.binding)
    assert mirror.volatility_day_bps == straight.volatility_day_bps


@EXAMPLES
@given(books(), st.randoms(use_true_random=False))
def test_weights_follow_their_symbols(book: Book, source):
    """Permuting the symbols permutes the weights to 1e-12 relative; the order of sums changes the last bits."""
    order = np.array(source.sample(range(len(book["weights"])), len(book["weights"])))
    permuted = {name: values[order] for name, values in book.items() if name != "correlation"}
    permuted["correlation"] = book["correlation"][np.ix_(order, order)]
    straight = capped(book)
    assert np.allclose(capped(permuted).weights, straight.weights[order], rtol=1e-12, atol=1e-15)


@EXAMPLES
@given(books(), st.data())
def test_a_missing_symbol_is_as_if_it_were_not_there(book: Book, data: st.DataObject):
    """A wanted weight that is NaN becomes exactly 0, and the others get the bits of a book without that symbol."""
    gone = data.draw(st.integers(0, len(book["weights"]) - 1))
    weights, movable = book["weights"].copy(), book["movable"].copy()
    weights[gone], movable[gone] = np.nan, True
    rest = np.delete(np.arange(len(weights)), gone)
    result = capped(book, weights=weights, movable=movable)
    part = {name: values[rest] for name, values in book.items() if name != "correlation"}
    part |= {"correlation": book["correlation"][np.ix_(rest, rest)]}
    assert result.weights[gone] == 0.0
    assert np.array_equal(result.weights[rest], capped(part).weights)


SYMBOLS = tuple("ABCDEF")


@EXAMPLES
@given(st.integers(1, 6), st.integers(2, 25), st.floats(0.0, 0.8), st.integers(0, 2**32 - 1))
def test_any_pattern_of_gaps_stays_definite(count: int, bars: int, missing: float, seed: int):
    """However returns are missing, the estimate is a correlation: symmetric, within [-1, 1], eigenvalues positive."""
    rng = np.random.default_rng(seed)
    returns = rng.standard_normal((bars, count)) + 2.0 * rng.standard_normal((bars, 1))
    returns[rng.random((bars, count)) < missing] = np.nan
    estimate = batch_correlation(returns, SYMBOLS[:count], CovarianceParameters(shrinkage="fixed", shrinkage_fixed=0.0))
    filled = np.nan_to_num(estimate.correlation)
    assert np.array_equal(filled, filled.T)
    assert np.abs(filled).max() <= 1.0
    assert np.diagonal(filled).tolist() == [1.0] * count
    assert np.linalg.eigvalsh(filled)[0] >= 1e-3 - 1e-12
    assert 0.0 <= estimate.intensity <= 1.0


@EXAMPLES
@given(st.integers(2, 6), st.integers(2, 15), st.integers(0, 2**32 - 1), st.data())
def test_gaps_of_one_symbol_leave_the_moments_of_the_others(count: int, bars: int, seed: int, data: st.DataObject):
    """NaN in one column changes no bit of the other pairs; a permutation permutes bits; signs turn with returns."""
    rng = np.random.default_rng(seed)
    returns = rng.standard_normal((bars, count))
    gone = data.draw(st.integers(0, count - 1))
    gaps = returns.copy()
    gaps[rng.random(bars) < 0.5, gone] = np.nan
    order = rng.permutation(count)
    whole, broken, permuted, mirror = (PairMoments.create(count) for _ in range(4))
    for row, gap in zip(returns, gaps, strict=True):
        whole.update(row, 0.9)
        broken.update(gap, 0.9)
        permuted.update(row[order], 0.9)
        mirror.update(-row, 0.9)
    rest = np.delete(np.arange(count), gone)
    for name in ("weight", "weight_square", "cross", "own", "fourth", "count"):
        values = getattr(whole, name)
        assert np.array_equal(getattr(broken, name)[np.ix_(rest, rest)], values[np.ix_(rest, rest)])
        assert np.array_equal(getattr(permuted, name), values[np.ix_(order, order)])
        assert np.array_equal(getattr(mirror, name), values)


@EXAMPLES
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=2, max_size=12), st.integers(0, 5))
def test_no_price_raises_or_makes_state_infinite(prices: list[float], offset_bars: int):
    """Whatever prices come, in whatever spacing, every sum stays finite and the known history never shrinks."""
    state = CovarianceState(parameters=CovarianceParameters())
    end_ns, count = 0, 0
    for index, price in enumerate(prices):
        end_ns += BAR_NS * (1 + (offset_bars if index % 3 == 2 else 0))
        state.observe_prices(end_ns, ("A", "B"), np.array([price, 100.0 + index % 2]))
        assert np.isfinite(state.moments.cross).all()
        assert np.isfinite(state.moments.fourth).all()
        assert int(state.moments.count[1, 1]) >= count
        count = int(state.moments.count[1, 1])
    assert np.isnan(state.estimate().correlation[0, 1])
