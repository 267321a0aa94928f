"""Owns the tests of isotonic regression by hand."""

import numpy as np
import pytest

from walstreet.domain.isotonic import pool_adjacent_violators


@pytest.mark.parametrize(
    ("values", "weights", "expected"),
    [
        ([1.0, 2.0, 4.0], [1, 1, 1], [1.0, 2.0, 4.0]),
        ([1.0, 3.0, 2.0, 4.0], [1, 1, 1, 1], [1.0, 2.5, 2.5, 4.0]),  # (3 + 2) / 2
        ([1.0, 3.0, 2.0, 4.0], [1, 1, 3, 1], [1.0, 2.25, 2.25, 4.0]),  # (3 + 3*2) / 4
        ([3.0, 2.0, 1.0], [1, 1, 1], [2.0, 2.0, 2.0]),
        ([2.0, 2.0, 1.0], [1, 1, 1], [5 / 3, 5 / 3, 5 / 3]),  # (2, 1) -> 1.5, which falls below the 2 before it
        ([5.0, 1.0, 9.0], [1, 0, 1], [5.0, 7.0, 9.0]),
        ([7.0, 1.0, 3.0], [0, 1, 0], [1.0, 1.0, 1.0]),
        ([0.1, 0.1, 0.1], [3, 1, 2], [0.1, 0.1, 0.1]),
    ],
    ids=["rising", "pool", "weighted", "cascade", "back", "weightless", "weightless ends", "ties keep their bits"],
)
def test_pools_by_hand(values: list[float], weights: list[float], expected: list[float]) -> None:
    """Falling neighbours become their weighted mean, equal ones stay as they are."""
    assert pool_adjacent_violators(np.array(values), np.array(weights, dtype=float)).tolist() == expected


def test_without_any_weight_nothing_is_known() -> None:
    """No observation gives no value."""
    assert np.isnan(pool_adjacent_violators(np.array([1.0, 2.0]), np.zeros(2))).all()
