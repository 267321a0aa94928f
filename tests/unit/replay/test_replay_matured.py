"""Owns the tests of the join of decisions with the outcomes that matured later."""

from __future__ import annotations

from collections import Counter

import numpy as np

from walstreet.replay.matured import SLACK, Matured
from walstreet.replay.recorded_arrays import aligned
from walstreet.testing.watched_session import decision, outcome


def joined(*numbers: int) -> Matured:
    """Return the decisions that wait."""
    matured = Matured(Counter())
    for number in numbers:
        matured.take_decision(decision(number))
    return matured


def test_a_horizon_matures_once() -> None:
    """The same outcome, written again by a later life, teaches nothing more."""
    matured = joined(0)
    assert len(matured.take_outcomes(outcome(5, {5: (0, [1.0, 2.0])}))) == 1
    assert matured.take_outcomes(outcome(5, {5: (0, [1.0, 2.0])})) == []
    assert len(matured.take_outcomes(outcome(15, {15: (0, [1.0, 2.0])}))) == 1
    assert matured._past == {}


def test_outcomes_of_the_warm_up_have_no_decision() -> None:
    """They are outcomes of forecasts on which nothing was decided."""
    assert joined(3).take_outcomes(outcome(4, {5: (0, [1.0, 2.0])})) == []


def test_returns_find_their_symbols() -> None:
    """The outcome lists BBB first; AAA gets its own return of 9, and a symbol that is gone has none."""
    row = joined(0).take_outcomes(outcome(5, {5: (0, [-1.0, 9.0])}, symbols=("BBB", "AAA")))[0]
    assert row.edge is not None
    np.testing.assert_allclose(row.edge.realised_net_bps, [9.0 - 5.0])
    row = joined(0).take_outcomes(outcome(5, {5: (0, [-1.0])}, symbols=("BBB",)))[0]
    assert row.coverage is not None
    assert (row.coverage.covered, row.coverage.total) == (1, 1)


def test_decisions_wait_for_their_longest_horizon_only() -> None:
    """Fifteen minutes and some slack, not the whole session."""
    assert len(joined(*range(100))._past) == 15 + SLACK


def test_alignment_leaves_unknown_symbols_missing() -> None:
    """The last axis is put in order; one that is not there is NaN."""
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(
        aligned(values, ("B", "C", "A"), ("A", "B")), [[2.0, np.nan, 1.0], [4.0, np.nan, 3.0]]
    )
    assert aligned(values, ("A", "B"), ("A", "B")) is values
