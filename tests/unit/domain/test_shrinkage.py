"""Owns the tests of Ledoit-Wolf shrinkage, of definiteness and of the reading of unknown correlations."""

import numpy as np
import pytest

from walstreet.domain.covariance import CovarianceParameters, batch_correlation
from walstreet.domain.shrinkage import (
    EIGENVALUE_MIN,
    UnknownCorrelationParameters,
    cautious_correlation,
    definite_shrinkage,
    is_definite,
    ledoit_wolf_intensity,
    shrunk,
    unknown_rho,
)

UNKNOWN = UnknownCorrelationParameters()


def dense_ledoit_wolf(returns: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Return scale, intensity and result of the 2004 paper's section 3.3, matrix by matrix, on standardised returns."""
    bars, count = returns.shape
    x = returns / np.sqrt((returns**2).mean(axis=0))
    sample = x.T @ x / bars
    scale = np.trace(sample) / count
    distance = np.sum((sample - scale * np.eye(count)) ** 2) / count
    spread = sum(np.sum((np.outer(row, row) - sample) ** 2) / count for row in x) / bars**2
    intensity = min(spread, distance) / distance
    return scale, intensity, intensity * scale * np.eye(count) + (1.0 - intensity) * sample


def test_intensity_by_hand():
    """Returns (1,1), (1,1), (1,-1), (-1,-1) of two symbols: rho = .5, intensity .375/.5 = .75, so .125 is left."""
    # x = r, S = [[1, .5], [.5, 1]]. d2 = 2*.25 = .5. The products x1*x2 are (1, 1, -1, 1), their squares 1, so the
    # off-diagonal spread is 1 - .25 = .75 each, the diagonal's 0: b2 = 2*.75/4 = .375.
    returns = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    estimate = batch_correlation(returns, ("A", "B"), CovarianceParameters())
    assert estimate.intensity == 0.75
    assert estimate.shrinkage == 0.75
    assert estimate.correlation.tolist() == [[1.0, 0.125], [0.125, 1.0]]


@pytest.mark.parametrize(("bars", "count"), [(40, 3), (200, 10), (30, 40)])
def test_intensity_agrees_with_the_paper_written_out(bars: int, count: int):
    """The pairwise sums give the dense formula's intensity and matrix, also with more symbols than bars."""
    rng = np.random.default_rng(bars)
    common = rng.standard_normal((bars, 1))
    returns = (rng.standard_t(5, (bars, count)) + 1.5 * common) * rng.uniform(1.0, 30.0, count)
    scale, intensity, expected = dense_ledoit_wolf(returns)
    symbols = tuple(f"S{index}" for index in range(count))
    estimate = batch_correlation(returns, symbols, CovarianceParameters())
    assert scale == pytest.approx(1.0, rel=1e-12)
    assert 0.0 < intensity < 1.0
    assert estimate.intensity == pytest.approx(intensity, rel=1e-10)
    assert estimate.correlation == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_intensity_of_pure_noise_and_of_no_pair():
    """Independent returns are shrunk almost away, a lone symbol and exactly uncorrelated ones wholly."""
    noise = np.random.default_rng(3).standard_normal((100, 30))
    estimate = batch_correlation(noise, tuple(f"S{index}" for index in range(30)), CovarianceParameters())
    assert estimate.intensity > 0.9
    one = np.ones((1, 1))
    assert ledoit_wolf_intensity(one, one, one, np.ones((1, 1), dtype=np.bool_)) == 1.0


def test_shrinking_keeps_the_diagonal():
    """A quarter of the identity leaves three quarters of each correlation and a diagonal of exactly 1."""
    result = shrunk(np.array([[1.0, 0.8], [0.8, 1.0]]), 0.25)
    assert result == pytest.approx(np.array([[1.0, 0.6], [0.6, 1.0]]))
    assert np.diagonal(result).tolist() == [1.0, 1.0]


def test_contradicting_pairs_are_shrunk_until_they_agree():
    """Rho = (.9, .9, -.9) has the eigenvalue -.8 and needs (1-s)*-.8 + s >= .001, so s >= .801/1.8 = .445."""
    rho = np.array([[1.0, 0.9, 0.9], [0.9, 1.0, -0.9], [0.9, -0.9, 1.0]])
    assert not is_definite(rho)
    found = definite_shrinkage(rho, 0.01)
    needed = (0.8 + EIGENVALUE_MIN) / 1.8
    assert needed <= found <= needed + 2.0**-8
    assert is_definite(shrunk(rho, found))
    assert definite_shrinkage(rho, 0.6) == 0.6


def test_unknown_pairs_add_risk_in_both_directions():
    """Unknown pairs of one sector are 1, others .6; a long and a short get the opposite sign, so they do not hedge."""
    sectors = np.array([0, 0, 2])
    assert unknown_rho(sectors, UNKNOWN)[0].tolist() == [1.0, 1.0, 0.6]
    gaps = np.array([[1.0, 0.3, np.nan], [0.3, 1.0, np.nan], [np.nan, np.nan, 1.0]])
    same = cautious_correlation(gaps, np.ones(3), sectors, UNKNOWN)
    assert same.tolist() == [[1.0, 0.3, 0.6], [0.3, 1.0, 0.6], [0.6, 0.6, 1.0]]
    against = cautious_correlation(gaps, np.array([1.0, 1.0, -1.0]), sectors, UNKNOWN)
    assert against.tolist() == [[1.0, 0.3, -0.6], [0.3, 1.0, -0.6], [-0.6, -0.6, 1.0]]


def test_a_book_without_any_estimate_stays_definite():
    """Three symbols of one sector that are all unknown are one bet, minus what definiteness needs."""
    result = cautious_correlation(np.full((3, 3), np.nan), np.ones(3), np.zeros(3, dtype=np.int64), UNKNOWN)
    assert is_definite(result)
    assert np.all(result >= 1.0 - 2.0**-8)


def test_a_matrix_without_gaps_is_left_alone():
    """Nothing is filled or shrunk where nothing is unknown."""
    rho = np.array([[1.0, -0.4], [-0.4, 1.0]])
    assert np.array_equal(cautious_correlation(rho, np.ones(2), np.zeros(2, dtype=np.int64), UNKNOWN), rho)


def test_parameters_refuse_cheap_defaults():
    """An unknown correlation below .3, or a sector that ties less than none, is refused."""
    with pytest.raises(ValueError, match=r"correlation\.rho_other_sector is 0\.0"):
        UnknownCorrelationParameters(rho_other_sector=0.0)
    with pytest.raises(ValueError, match=r"correlation\.rho_other_sector is 0\.9"):
        UnknownCorrelationParameters(rho_other_sector=0.9, rho_same_sector=0.5)
