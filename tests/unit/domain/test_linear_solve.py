"""Owns the tests of the factorisation and solution of symmetric positive definite systems."""

import math

import numpy as np
import pytest

from walstreet.domain.linear_solve import (
    ORDER_MAX,
    cholesky,
    ordered_product,
    solve_factored,
    solve_positive_definite,
)

SMALL = np.array([[4.0, 2.0, 2.0], [2.0, 5.0, 3.0], [2.0, 3.0, 6.0]])


def test_factor_by_hand():
    """L of [[4,2,2],[2,5,3],[2,3,6]]: column (2,1,1); then sqrt(5-1)=2, (3-1)/2=1; then sqrt(6-1-1)=2."""
    lower = cholesky(SMALL)
    assert lower is not None
    assert lower.tolist() == [[2.0, 0.0, 0.0], [1.0, 2.0, 0.0], [1.0, 1.0, 2.0]]


def test_solution_by_hand():
    """The right side (8, 10, 11) gives y = (4, 3, 2) forward and x = (1, 1, 1) backward."""
    # Forward: 8/2 = 4; (10-4)/2 = 3; (11-4-3)/2 = 2. Backward: 2/2 = 1; (3-1*1)/2 = 1; (4-1*1-1*1)/2 = 1.
    solution = solve_positive_definite(SMALL, np.array([8.0, 10.0, 11.0]))
    assert solution is not None
    assert solution.tolist() == [1.0, 1.0, 1.0]
    assert ordered_product(SMALL, np.ones(3)).tolist() == [8.0, 10.0, 11.0]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e308])
def test_a_right_side_without_an_answer_gives_none(value: float):
    """NaN, infinity and a solution beyond float64 are no solution."""
    assert solve_positive_definite(np.array([[1e-3, 0.0], [0.0, 1.0]]), np.array([value, 1.0])) is None


@pytest.mark.parametrize(
    "matrix",
    [
        [[1.0, 2.0], [2.0, 1.0]],
        [[1.0, 1.0], [1.0, 1.0]],
        [[1.0, 1.0 - 1e-13], [1.0 - 1e-13, 1.0]],
        [[0.0, 0.0], [0.0, 1.0]],
        [[-1.0, 0.0], [0.0, 1.0]],
        [[np.nan, 0.0], [0.0, 1.0]],
        [[1.0, np.inf], [np.inf, 1.0]],
        [[1e-300, 1e200], [1e200, 1.0]],
    ],
)
def test_what_is_not_definite_gives_none(matrix: list[list[float]]):
    """Indefinite, singular, numerically singular, zero, negative, NaN, infinite and overflowing matrices have none."""
    assert cholesky(np.array(matrix)) is None
    assert solve_positive_definite(np.array(matrix), np.ones(2)) is None


def test_nothing_given_is_changed_and_nothing_is_a_system():
    """The arguments stay as they were, and the system of no equations has the solution of no numbers."""
    matrix, right = SMALL.copy(), np.array([8.0, 10.0, 11.0])
    assert solve_positive_definite(matrix, right) is not None
    assert np.array_equal(matrix, SMALL)
    assert right.tolist() == [8.0, 10.0, 11.0]
    empty = solve_positive_definite(np.zeros((0, 0)), np.zeros(0))
    assert empty is not None
    assert len(empty) == 0
    assert len(ordered_product(np.zeros((0, 0)), np.zeros(0))) == 0


def test_only_the_upper_triangle_is_read():
    """Garbage below the diagonal changes nothing."""
    garbage = SMALL + np.tril(np.full((3, 3), 7.0), -1)
    straight, twisted = cholesky(SMALL), cholesky(garbage)
    assert straight is not None
    assert twisted is not None
    assert np.array_equal(straight, twisted)


def test_the_largest_system_is_solved():
    """500 equations with a correlation of .5 have the solution 1/(1 + 499*.5) for a right side of ones."""
    matrix = np.full((ORDER_MAX, ORDER_MAX), 0.5)
    np.fill_diagonal(matrix, 1.0)
    solution = solve_positive_definite(matrix, np.ones(ORDER_MAX))
    assert solution is not None
    assert solution == pytest.approx(np.full(ORDER_MAX, 1.0 / 250.5), rel=1e-12)
    with pytest.raises(AssertionError, match="exceeds the bound of 500"):
        cholesky(np.eye(ORDER_MAX + 1))


def test_element_by_element_oracle_has_the_same_bits():
    """The vectorised factor equals, bit for bit, plain Python that reduces each element pivot by pivot."""
    raw = np.sin(np.arange(7 * 12, dtype=np.float64)).reshape(12, 7)
    matrix = raw.T @ raw + 0.1 * np.eye(7)
    expected = np.zeros((7, 7))
    for column in range(7):
        for row in range(column, 7):
            value = float(matrix[column, row])
            for pivot in range(column):
                value = value - float(expected[row, pivot]) * float(expected[column, pivot])
            expected[row, column] = math.sqrt(value) if row == column else value / float(expected[column, column])
    lower = cholesky(matrix)
    assert lower is not None
    assert np.array_equal(lower, expected)
    values: list[float] = [float(index + 1) for index in range(7)]
    for step in range(7):
        values[step] /= float(expected[step, step])
        for row in range(step + 1, 7):
            values[row] = values[row] - float(expected[row, step]) * values[step]
    for step in range(6, -1, -1):
        values[step] /= float(expected[step, step])
        for row in range(step):
            values[row] = values[row] - float(expected[step, row]) * values[step]
    solution = solve_positive_definite(matrix, np.arange(1.0, 8.0))
    assert solution is not None
    assert solution.tolist() == values
    assert solve_factored(lower, np.arange(1.0, 8.0)).tolist() == values
