"""Owns the tests of the conformal gate's parameters and of the rules that follow from them."""

import pytest

from walstreet.domain.conformal_parameters import ConformalParameters
from walstreet.domain.units import HORIZONS_MINUTES


def test_defaults_keep_every_cross_section_up_to_two_hours() -> None:
    """Twenty horizons of 120 minutes are 2,400 of 2,730 decision times; twenty days need every third."""
    parameters = ConformalParameters()
    assert [parameters.stride(minutes) for minutes in (5, 60, 120, 390, 1_950)] == [1, 1, 1, 3, 15]
    # 7,800 minutes, thinned by 3, are 2,600 rows, and a block of one day is 130 of them.
    assert parameters.block_rows(390, 2_600) == 130
    assert parameters.overlap_rows(390) == 130
    assert parameters.blocks_suffice(390, 2_600)
    assert not parameters.blocks_suffice(390, 2_599)


@pytest.mark.parametrize("minutes", HORIZONS_MINUTES)
@pytest.mark.parametrize("decision_minutes", [1, 5, 15])
def test_a_full_window_always_suffices(minutes: int, decision_minutes: int) -> None:
    """Whatever the horizon, the window can hold enough blocks, and a block is at least one horizon long."""
    parameters = ConformalParameters(decision_minutes=decision_minutes)
    rows = parameters.window_decision_times
    assert parameters.blocks_suffice(minutes, rows)
    assert parameters.overlap_rows(minutes) <= parameters.block_rows(minutes, rows) < rows
    assert parameters.block_rows(minutes, rows) * parameters.stride(minutes) * decision_minutes >= minutes


def test_blocks_grow_rather_than_multiply() -> None:
    """2,730 rows in at most 200 blocks need blocks of 14 rows, although five minutes are 5."""
    parameters = ConformalParameters()
    assert parameters.block_rows(5, 100) == 5
    assert parameters.block_rows(5, 2_730) == 14


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"miss_each_side": 0.0}, "miss_each_side"),
        ({"adaptation_rate": 0.2}, "adaptation_rate"),
        ({"bins": 3}, "bins"),
        ({"bins": 6}, "bins is 6"),
        ({"outcomes_min": 3_000}, "outcomes_min"),
        ({"window_decision_times": 50, "outcomes_min": 40, "disjoint_windows_min": 60}, "disjoint_windows_min"),
        ({"refit_every": 0}, "refit_every"),
        ({"blocks_max": 10}, "blocks_max"),
        ({"probability_min": float("nan")}, "probability_min"),
    ],
)
def test_values_out_of_range_are_refused_by_name(changes: dict[str, float], named: str) -> None:
    """The message names the field."""
    with pytest.raises(ValueError, match=named):
        ConformalParameters(**changes)
