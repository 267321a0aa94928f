"""Owns the tests of the bootstrap interval of the conditional mean, by hand."""

import math

import numpy as np
import pytest

from walstreet.domain.conformal_mean import (
    BlockPlan,
    MeanFit,
    bins_of,
    block_plan,
    conformal_rank,
    equal_count_bins,
    fit_isotonic,
    fit_slope,
    mean_intervals,
    plan_draws,
    widening,
)
from walstreet.domain.conformal_parameters import ConformalParameters

NINE_STARTS = np.array([[0, 2, 1, 1, 1, 1, 1, 1, 1], [0, 2, 1, 1, 1, 1, 1, 1, 1]])
"""Two blocks for each of nine replicates: old rows twice, new rows twice, else the middle twice."""


def plan(starts: np.ndarray, *, rows: int, length: int, overlap: int = 1) -> BlockPlan:
    """Return an index matrix with the given starts."""
    return BlockPlan(starts=starts, rows=rows, length=length, overlap=overlap)


@pytest.mark.parametrize(
    ("count", "miss", "rank"),
    [(99, 0.1, 90), (19, 0.1, 18), (8, 0.1, 9), (100, 0.2, 81), (10, -0.01, 12), (10, 1.0, 0), (10, 1.1, -1)],
)
def test_rank_by_hand(count: int, miss: float, rank: int) -> None:
    """Ceil((n + 1)(1 - a)): (8 + 1) * .9 = 8.1 gives 9, beyond the 8 there are; 100 * .9 gives 90 and not 91."""
    assert conformal_rank(count, miss) == rank


def test_widening_by_hand() -> None:
    """Without overlap 21 blocks give 1 + 1/20; overlap 5 in blocks of 5 sees 1 - 24/75 = .68 of the variance."""
    assert widening(plan(np.zeros((21, 1)), rows=21, length=1)) == pytest.approx(1.05)
    assert widening(plan(np.zeros((21, 1)), rows=105, length=5, overlap=5)) == pytest.approx(1.05 / math.sqrt(0.68))


def test_widening_matches_the_sum_it_stands_for() -> None:
    """The share of the variance is the sum of (1 - |k|/h)(1 - |k|/L) over |k| < h, over h."""
    for overlap, length in ((1, 1), (3, 3), (4, 9), (30, 30)):
        lags = range(1 - overlap, overlap)
        seen = sum((1 - abs(lag) / overlap) * (1 - abs(lag) / length) for lag in lags) / overlap
        rows = 20 * length
        factor = widening(plan(np.zeros((20, 1)), rows=rows, length=length, overlap=overlap))
        assert factor == pytest.approx((1 + 1 / 19) / math.sqrt(seen))


def test_slope_by_hand() -> None:
    """Replicates .75, 1.75 and seven of 1.25 about 10/8; 4/2 blocks double both half-widths: .25 and 2.25.

    Starts (0, 0): (1+2)+(1+2) = 6 over 8. Starts (2, 2): (3+4)*2 = 14 over 8. Starts (1, 1): (2+3)*2 = 10 over 8.
    Of nine replicates the rank ceil(10 * .9) = 9 takes the extremes.
    """
    fit = fit_slope(
        np.array([1.0, 2.0, 3.0, 4.0]),
        np.full(4, 2.0),
        plan=plan(NINE_STARTS, rows=4, length=2),
        miss=0.1,
        score_abs_max=0.3,
    )
    assert fit is not None
    assert fit.lower.tolist() == [0.25]
    assert fit.upper.tolist() == [2.25]


def test_slope_of_scores_that_are_all_zero_is_unknown() -> None:
    """Without a score there is nothing to regress on."""
    fitted = fit_slope(np.zeros(4), np.zeros(4), plan=plan(NINE_STARTS, rows=4, length=2), miss=0.1, score_abs_max=0.0)
    assert fitted is None


def test_intervals_of_the_mean_by_hand() -> None:
    """Slopes .25 to 2.25: .2 gives .05 to .45 and mirrored; the line ends at the largest score seen, .4."""
    fit = MeanFit(
        estimator="slope", edges=np.zeros(0), lower=np.array([0.25]), upper=np.array([2.25]), score_abs_max=0.4
    )
    falling = MeanFit(
        estimator="slope", edges=np.zeros(0), lower=np.array([-0.5]), upper=np.array([1.0]), score_abs_max=1.0
    )
    scores = np.array([[0.2, -0.2, 3.0, np.nan], [0.2, -0.2, 3.0, 0.0], [0.2, 0.2, 0.2, 0.2]])
    lower, upper = mean_intervals([fit, falling, None], scores)
    np.testing.assert_allclose(lower[:2], [[0.05, -0.45, 0.1, np.nan], [-0.1, -0.2, -0.5, 0.0]], rtol=1e-15)
    np.testing.assert_allclose(upper[:2], [[0.45, -0.05, 0.9, np.nan], [0.2, 0.1, 1.0, 0.0]], rtol=1e-15)
    assert np.isnan(lower[2]).all()
    assert np.isnan(upper[2]).all()


def test_bins_hold_equal_counts_and_keep_ties_together() -> None:
    """Ten scores in five bins: edges 2.5, 4.5, 6.5, 8.5; ten equal scores all fall in the middle bin."""
    scores = np.arange(1.0, 11.0)
    edges, bins = equal_count_bins(scores, 5)
    assert edges.tolist() == [2.5, 4.5, 6.5, 8.5]
    assert bins.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    _, tied = equal_count_bins(np.full(10, 0.3), 5)
    assert tied.tolist() == [2] * 10


def test_bins_are_mirror_images() -> None:
    """Negating scores with many ties maps bin k to bin 4 - k."""
    scores = np.array([0.1, 0.1, 0.2, 0.2, 0.2, 0.3, 0.5, 0.5, 0.9, -0.4, -0.4, 0.0, 0.0])
    _, bins = equal_count_bins(scores, 5)
    _, mirrored = equal_count_bins(-scores, 5)
    assert (mirrored == 4 - bins).all()
    assert bins_of(np.array([-1.0, 0.0, 0.0, 1.0]), np.array([-1.0, 1.0])).tolist() == [1, 3]


def test_isotonic_by_hand() -> None:
    """Five bins of one pair a row, outcomes equal to -2, -1, 1, 0, 2 in every row: the middle two become .5.

    Every replicate has the same means, so both ends are the curve itself.
    """
    scores = np.tile(np.array([-0.2, -0.1, 0.0, 0.1, 0.2]), 4)
    outcomes = np.tile(np.array([-2.0, -1.0, 1.0, 0.0, 2.0]), 4)
    fit = fit_isotonic(
        np.repeat(np.arange(4), 5),
        scores,
        outcomes,
        plan=plan(NINE_STARTS, rows=4, length=2),
        bins=5,
        miss=0.1,
    )
    assert fit.lower.tolist() == [-2.0, -1.0, 0.5, 0.5, 2.0]
    assert fit.upper.tolist() == fit.lower.tolist()
    lower, upper = mean_intervals([fit], np.array([[0.1, 5.0, np.nan]]))
    np.testing.assert_array_equal(lower, [[0.5, 2.0, np.nan]])
    np.testing.assert_array_equal(upper, lower)


def test_plan_covers_the_rows_and_is_a_function_of_its_key() -> None:
    """Blocks lie inside the rows, reach the last start, and depend on horizon and epoch only."""
    parameters = ConformalParameters(bootstrap_replicates=200)
    draws = plan_draws(30, 0, parameters)
    drawn = block_plan(draws, rows=605, length=30, overlap=30, replicates=200)
    assert drawn.starts.shape == (21, 200)
    assert drawn.starts.min() == 0
    assert drawn.starts.max() == 605 - 30
    assert plan_draws(30, 0, parameters).tobytes() == draws.tobytes()
    assert plan_draws(30, 1, parameters).tobytes() != draws.tobytes()
    assert plan_draws(60, 0, parameters).tobytes() != draws.tobytes()
