"""Owns the tests of the offline blend weights."""

import numpy as np
import pytest

from walstreet.domain.oof_weights import oof_ridge_weights


def test_ridge_then_simplex_by_hand():
    """Scores 2I (4 rows): X'X/n = I, ridge .01, X'y/n = y/2, b = y/2.02 = (.9, .5, .1, -.4), so (.7, .3, 0, 0)."""
    outcomes = 2.02 * np.array([0.9, 0.5, 0.1, -0.4])
    assert oof_ridge_weights(2.0 * np.eye(4), outcomes).tolist() == pytest.approx([0.7, 0.3, 0.0, 0.0], abs=1e-12)


def test_two_models_by_hand():
    """Rows (1,0), (1,1), outcomes 1, 1: X'X/2 = [[1,.5],[.5,.5]], ridge alpha*.75, X'y/2 = (1, .5).

    With alpha = 1 the system is [[1.75, .5], [.5, 1.25]], its determinant 1.9375, b = (1.25-.25, .875-.5)/1.9375 =
    (.516129, .193548); the simplex adds (1 - .709677)/2 = .145161 to each.
    """
    weights = oof_ridge_weights(np.array([[1.0, 0.0], [1.0, 1.0]]), np.ones(2), alpha=1.0)
    assert weights.tolist() == pytest.approx([0.661290, 0.338710], abs=1e-6)


def test_rows_with_holes_are_left_out():
    """Rows with a missing score or outcome do not change the weights."""
    generator = np.random.default_rng(1)
    scores = generator.normal(size=(200, 3))
    outcomes = scores @ np.array([0.6, 0.3, 0.0]) + generator.normal(size=200)
    holes = np.vstack([scores, [[np.nan, 1.0, 1.0], [9.0, 9.0, 9.0]]])
    expected = oof_ridge_weights(scores, outcomes)
    assert oof_ridge_weights(holes, np.append(outcomes, [1.0, np.nan])).tolist() == expected.tolist()
    assert expected.sum() == pytest.approx(1.0)
    assert expected[0] > expected[1] > expected[2] >= 0.0


def test_scale_of_the_scores_and_outcomes_does_not_change_the_ridge():
    """The penalty is relative: in other units of both the weights are the same."""
    generator = np.random.default_rng(2)
    scores, outcomes = generator.normal(size=(50, 3)), generator.normal(size=50)
    assert oof_ridge_weights(1e4 * scores, 1e4 * outcomes).tolist() == pytest.approx(
        oof_ridge_weights(scores, outcomes).tolist(), abs=1e-12
    )


def test_unusable_input_is_refused():
    """Wrong shapes, no row, all scores 0, no ridge and collinear scores with hardly any are named."""
    with pytest.raises(ValueError, match="do not fit"):
        oof_ridge_weights(np.zeros((2, 2)), np.zeros(3))
    with pytest.raises(ValueError, match="0 complete rows of 2"):
        oof_ridge_weights(np.full((2, 2), np.nan), np.zeros(2))
    with pytest.raises(ValueError, match="all scores are 0"):
        oof_ridge_weights(np.zeros((2, 2)), np.zeros(2))
    with pytest.raises(ValueError, match="alpha is 0"):
        oof_ridge_weights(np.eye(2), np.ones(2), alpha=0.0)
    with pytest.raises(ValueError, match="collinear"):
        oof_ridge_weights(np.ones((3, 2)), np.ones(3), alpha=1e-15)
