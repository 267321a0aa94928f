"""Rank, correlation cap and reasons of the selection."""

from __future__ import annotations

import pytest

from walstreet.domain.rotation_parameters import RotationParameters
from walstreet.domain.rotation_select import Correlation, RotationReason, choose, rank


def pairs(values: dict[tuple[int, int], float]) -> Correlation:
    """Return a lookup that fails on a pair it does not know."""
    return lambda left, right: values[left, right]


def test_rank_is_descending_and_ties_keep_universe_order() -> None:
    """Scores 1, 3, 1, 3 rank as 1, 3, 0, 2."""
    assert rank([0, 1, 2, 3], [1.0, 3.0, 1.0, 3.0], [False] * 4, 1.0) == [1, 3, 0, 2]


def test_the_bonus_lifts_held_names_only() -> None:
    """A held .5 with a bonus of 1 stands above 1.4 and below 1.6."""
    assert rank([0, 1, 2], [1.4, 0.5, 1.6], [False, True, False], 1.0) == [2, 1, 0]


def test_a_name_correlated_with_a_chosen_one_is_passed_over() -> None:
    """Rank 0, 1, 2 with 0-1 at .8 gives 0 and 2; the pair 1-2 is never asked."""
    reasons: dict[int, RotationReason] = {}
    found = choose([0, 1, 2], pairs({(0, 1): 0.8, (0, 2): 0.1}), RotationParameters(top_n=2), reasons)
    assert found == [0, 2]
    assert reasons == {0: RotationReason.CHOSEN, 1: RotationReason.CORRELATED, 2: RotationReason.CHOSEN}


def test_the_cap_itself_is_allowed() -> None:
    """`<=`, as the document writes it."""
    assert choose([0, 1], pairs({(0, 1): 0.7}), RotationParameters(corr_cap=0.7)) == [0, 1]


@pytest.mark.parametrize(("signed", "expected"), [(False, [0]), (True, [0, 1])])
def test_hedges_pass_only_with_signed_correlation(signed: bool, expected: list[int]) -> None:
    """-.9 is above the cap in absolute value and below it with its sign."""
    parameters = RotationParameters(signed_correlation=signed)
    assert choose([0, 1], pairs({(0, 1): -0.9}), parameters) == expected


def test_an_unknown_correlation_is_refused_with_its_own_reason() -> None:
    """NaN means that returns are constant; such a pair is not held."""
    reasons: dict[int, RotationReason] = {}
    assert choose([0, 1], pairs({(0, 1): float("nan")}), RotationParameters(), reasons) == [0]
    assert reasons[1] is RotationReason.NO_CORRELATION


def test_names_after_the_top_are_named_so() -> None:
    """The third name is out of the top two, and its correlations are not asked."""
    reasons: dict[int, RotationReason] = {}
    assert choose([2, 0, 1], pairs({(0, 2): 0.0}), RotationParameters(top_n=2), reasons) == [2, 0]
    assert reasons[1] is RotationReason.OUT_OF_TOP


def test_the_lookup_is_asked_with_the_smaller_column_first() -> None:
    """So that a cache of pairs needs one entry a pair."""
    assert choose([3, 1], pairs({(1, 3): 0.0}), RotationParameters()) == [3, 1]
