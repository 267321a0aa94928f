"""Owns the tests of the running correlation of 5-minute returns."""

from pathlib import Path

import numpy as np
import pytest

from walstreet.domain.covariance import (
    BAR_NS,
    RETURNS_PER_SESSION,
    SYMBOLS_MAX,
    CovarianceParameters,
    CovarianceState,
    batch_correlation,
)
from walstreet.domain.pair_moments import PairMoments

PARAMETERS = CovarianceParameters()
START_NS = 1_000 * BAR_NS
HISTORY = PARAMETERS.history_bars_min


def feed(state: CovarianceState, returns: np.ndarray, symbols: tuple[str, ...], start_ns: int = START_NS) -> int:
    """Let the state see consecutive bars with these returns (fractions); NaN is a missing price. Return the end."""
    prices = 100.0 * np.cumprod(np.vstack([np.ones(returns.shape[1]), 1.0 + np.nan_to_num(returns)]), axis=0)
    prices[1:][np.isnan(returns)] = np.nan
    for index, row in enumerate(prices):
        state.observe_prices(start_ns + index * BAR_NS, symbols, row)
    return start_ns + len(returns) * BAR_NS


def sample(bars: int, count: int, seed: int = 0) -> np.ndarray:
    """Return (bars, count) correlated returns of about 10 bps."""
    rng = np.random.default_rng(seed)
    return 1e-3 * (0.6 * rng.standard_normal((bars, 1)) + 0.8 * rng.standard_normal((bars, count)))


def test_moments_by_hand():
    """With decay .5, returns (2, 1), (-1, 3) and (4, missing) leave the sums that the arithmetic below gives."""
    moments = PairMoments.create(2)
    for row in ([2.0, 1.0], [-1.0, 3.0], [4.0, np.nan]):
        moments.update(np.array(row), 0.5)
    # Common bars are the first two, now of age 2 and 1: weights .25 and .5.
    assert moments.weight.tolist() == [[1.75, 0.75], [0.75, 0.75]]
    assert moments.weight_square[0, 1] == 0.0625 + 0.25
    assert moments.cross[0, 1] == 0.25 * 2.0 + 0.5 * -3.0
    # The first symbol's own square: .25*4 + .5*1 = 1.5 beside the second, 1.5 + 16 beside itself.
    assert moments.own.tolist() == [[17.5, 1.5], [4.75, 4.75]]
    assert moments.fourth[0, 1] == 0.25 * 4.0 + 0.5 * 9.0
    assert moments.count.tolist() == [[3, 2], [2, 2]]
    assert not moments.complete()


def test_correlation_is_used_from_five_days_on():
    """One return less than five sessions' gives no correlation, the next one does."""
    assert HISTORY == 5 * RETURNS_PER_SESSION == 385
    state = CovarianceState(parameters=PARAMETERS)
    returns = sample(HISTORY, 2)
    end_ns = feed(state, returns[:-1], ("A", "B"))
    assert np.isnan(state.estimate().correlation[0, 1])
    assert state.estimate().intensity == 1.0
    price = state.price_usd * (1.0 + returns[-1])
    assert state.observe_prices(end_ns + BAR_NS, ("A", "B"), price)
    assert 0.0 < state.estimate().correlation[0, 1] < 0.5
    assert state.bars == HISTORY


def test_estimate_agrees_with_explicit_weights():
    """The running sums give what explicit weights 2^(-age/half life) give, shrunk by the weighted intensity."""
    returns = sample(600, 4, seed=1)
    state = CovarianceState(parameters=PARAMETERS)
    feed(state, returns, ("A", "B", "C", "D"))
    weight = 2.0 ** (-np.arange(599, -1, -1) / PARAMETERS.half_life_bars)
    second = (returns * weight[:, None]).T @ returns
    x = returns / np.sqrt(np.diag(second) / weight.sum())
    rho = (x * weight[:, None]).T @ x / weight.sum()
    products = np.einsum("ti,tj->tij", x, x)
    spread = np.einsum("t,tij->", weight, (products - rho) ** 2) / weight.sum()
    spread *= (weight**2).sum() / weight.sum() ** 2
    intensity = spread / ((rho - np.eye(4)) ** 2).sum()
    estimate = state.estimate()
    assert estimate.intensity == pytest.approx(intensity, rel=1e-8)
    expected = rho * (1.0 - intensity) + intensity * np.eye(4)
    assert estimate.correlation == pytest.approx(expected, rel=1e-8)


def test_gaps_and_odd_times_give_no_return():
    """The first bar, a bar after a gap, one between the five minutes and one that is repeated change no moment."""
    state = CovarianceState(parameters=PARAMETERS)
    one, two = np.array([100.0, 50.0]), np.array([101.0, 50.5])
    assert not state.observe_prices(START_NS, ("A", "B"), one)
    assert not state.observe_prices(START_NS + BAR_NS // 5, ("A", "B"), two)
    assert not state.observe_prices(START_NS, ("A", "B"), two)
    assert state.observe_prices(START_NS + BAR_NS, ("A", "B"), two)
    overnight_ns = START_NS + BAR_NS + 17 * 12 * BAR_NS
    # Only 1 % away, so that nothing but the gap can stop it.
    assert not state.observe_prices(overnight_ns, ("A", "B"), 1.01 * two)
    assert state.bars == 1
    assert state.moments.cross[0, 1] == pytest.approx(100.0 * 100.0)


@pytest.mark.parametrize("price", [np.nan, np.inf, 0.0, -1.0, 130.0])
def test_a_missing_or_broken_price_touches_one_symbol_only(price: float):
    """Missing, infinite, zero, negative and 30 % higher prices leave the other pair as if nothing had happened."""
    state, alone = CovarianceState(parameters=PARAMETERS), CovarianceState(parameters=PARAMETERS)
    rows = [[100.0, 50.0, 20.0], [price, 50.5, 20.1], [101.0, 50.4, 20.3]]
    for index, row in enumerate(rows):
        state.observe_prices(START_NS + index * BAR_NS, ("A", "B", "C"), np.array(row))
        alone.observe_prices(START_NS + index * BAR_NS, ("B", "C"), np.array(row[1:]))
    assert np.array_equal(state.moments.cross[1:, 1:], alone.moments.cross)
    assert np.array_equal(state.moments.own[1:, 1:], alone.moments.own)
    assert state.moments.count.tolist() == [[0, 0, 0], [0, 2, 2], [0, 2, 2]]


def test_a_symbol_without_history_leaves_the_others_bits_alone():
    """With a third symbol that never has a price the estimate of the other two is the same to the bit."""
    returns = sample(400, 2)
    with_gap, without = CovarianceState(parameters=PARAMETERS), CovarianceState(parameters=PARAMETERS)
    feed(with_gap, np.column_stack([returns, np.full(400, np.nan)]), ("A", "B", "X"))
    feed(without, returns, ("A", "B"))
    first, second = with_gap.estimate(), without.estimate()
    assert np.array_equal(first.correlation[:2, :2], second.correlation)
    assert first.shrinkage == second.shrinkage
    assert np.isnan(first.correlation[2, :2]).all()
    assert first.correlation[2, 2] == 1.0


def test_a_symbol_that_was_long_away_is_unknown_again():
    """After more than a half-life without prices a pair has less than half the weight, so no history."""
    state = CovarianceState(parameters=PARAMETERS)
    returns = sample(HISTORY, 3)
    end_ns = feed(state, returns, ("A", "B", "C"))
    assert not np.isnan(state.estimate().correlation).any()
    away = sample(450, 3, seed=2)
    away[:, 2] = np.nan
    feed(state, away, ("A", "B", "C"), start_ns=end_ns + BAR_NS)
    correlation = state.estimate().correlation
    assert np.isnan(correlation[2, :2]).all()
    assert not np.isnan(correlation[:2, :2]).any()


def test_pairs_seen_at_different_times_stay_definite():
    """Three pairs that contradict each other, each seen in its own third of the time, end up positive definite."""
    wave = np.tile([1.0, -1.0, -1.0, 1.0], 100)
    nothing = np.full(400, np.nan)
    table = np.vstack(
        [
            np.column_stack([wave, wave, nothing]),
            np.column_stack([wave, nothing, wave]),
            np.column_stack([nothing, wave, -wave]),
        ]
    )
    fixed = CovarianceParameters(shrinkage="fixed", shrinkage_fixed=0.02)
    estimate = batch_correlation(table, ("A", "B", "C"), fixed)
    # The raw pairs are (1, 1, -1) with the eigenvalue -1: (1-s)*-1 + s >= .001 needs s >= .5005.
    assert 0.5005 <= estimate.shrinkage <= 0.5005 + 2.0**-8
    assert np.linalg.eigvalsh(estimate.correlation)[0] >= 0.001 - 1e-12
    assert estimate.correlation[1, 2] == -estimate.correlation[0, 1] < -0.49


def test_alignment_marks_strangers_as_unknown():
    """Symbols in another order are picked, one that is not followed has NaN beside the others and 1 with itself."""
    estimate = batch_correlation(sample(100, 3), ("A", "B", "C"), PARAMETERS)
    aligned = estimate.aligned(("C", "?", "A"))
    assert aligned[0, 2] == estimate.correlation[2, 0]
    assert np.isnan(aligned[1, [0, 2]]).all()
    assert np.diagonal(aligned).tolist() == [1.0, 1.0, 1.0]


def test_symbols_join_later_and_the_number_is_bounded():
    """A symbol that comes later starts without history; symbols beyond the bound are left out, not refused."""
    state = CovarianceState(parameters=PARAMETERS)
    feed(state, sample(3, 1), ("A",))
    many = tuple(f"S{index}" for index in range(SYMBOLS_MAX + 5))
    assert not state.observe_prices(START_NS + 4 * BAR_NS, many, np.ones(len(many)))
    assert len(state.symbols) == SYMBOLS_MAX
    assert state.symbols[:2] == ("A", "S0")
    assert state.moments.count[0, 0] == 3
    assert np.isnan(state.estimate().aligned(("A", "S504"))[0, 1])


def test_restored_state_goes_on_with_the_same_bits():
    """A state built from the fields of another gives the same digest after the same bars; one bar more changes it."""
    state = CovarianceState(parameters=PARAMETERS)
    end_ns = feed(state, sample(50, 2), ("A", "B"))
    twin = CovarianceState(
        parameters=PARAMETERS,
        symbols=state.symbols,
        end_ns=state.end_ns,
        price_usd=state.price_usd.copy(),
        weight=state.weight,
        bars=state.bars,
        moments=state.moments.grown(2),
    )
    assert twin.canonical() == state.canonical()
    state.observe_prices(end_ns + BAR_NS, ("A", "B"), np.array([100.0, 101.0]))
    assert twin.canonical() != state.canonical()
    twin.observe_prices(end_ns + BAR_NS, ("A", "B"), np.array([100.0, 101.0]))
    assert twin.canonical() == state.canonical()


def test_parameters_refuse_less_than_five_days():
    """History below five sessions, a zero floor and a half-life without bound are refused by name."""
    with pytest.raises(ValueError, match=r"covariance\.history_bars_min is 384"):
        CovarianceParameters(history_bars_min=384)
    with pytest.raises(ValueError, match=r"covariance\.shrinkage_min is 0\.0"):
        CovarianceParameters(shrinkage_min=0.0)
    with pytest.raises(ValueError, match=r"covariance\.half_life_bars is 1000000000\.0"):
        CovarianceParameters(half_life_bars=1e9)


@pytest.mark.data
def test_real_five_minute_returns_tie_stocks_and_bonds_apart(market_data: Path):
    """Over 17 real sessions bond funds move with bonds, shares with shares, and bonds against shares."""
    polars = pytest.importorskip("polars")
    symbols = ("EWZ", "XBI", "TLT", "IEF")
    state = CovarianceState(parameters=PARAMETERS)
    frame = None
    for symbol in symbols:
        part = polars.read_parquet(market_data / "minute" / f"{symbol}.parquet").select(
            (polars.col("ts").dt.epoch("ns") + 60_000_000_000).alias("end"), polars.col("close").alias(symbol)
        )
        frame = part if frame is None else frame.join(part, on="end", how="full", coalesce=True)
    for row in frame.filter(polars.col("end") % BAR_NS == 0).sort("end").iter_rows():
        prices = np.array([np.nan if price is None else price for price in row[1:]])
        state.observe_prices(row[0], symbols, prices)
    estimate = state.estimate()
    correlation = estimate.correlation
    assert not np.isnan(correlation).any()
    assert correlation[2, 3] > 0.6
    assert correlation[0, 1] > 0.1
    assert correlation[0, 2] < 0.0
    assert np.linalg.eigvalsh(correlation)[0] > 0.0
    assert 0.01 <= estimate.intensity < 0.3
