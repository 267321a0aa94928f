"""Waits double up to the longest, spread around themselves, and never shrink below half the jitter."""

from __future__ import annotations

import pytest

from walstreet.domain.reconnect import ReconnectParameters, wait_s

MIDDLE = 0.5
"""A draw that leaves the wait as it is."""


def test_waits_double_from_one_to_sixty_seconds():
    """1, 2, 4, 8, 16, 32, then 60 for ever."""
    waits = [wait_s(failures, MIDDLE, ReconnectParameters()) for failures in (1, 2, 3, 4, 5, 6, 7, 8, 1_000)]
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


@pytest.mark.parametrize("failures", [1, 4, 50])
def test_the_spread_is_even_around_the_wait(failures):
    """The smallest draw gives 0.9 of it, the largest 1.1, by the default of 20 %."""
    exact = wait_s(failures, MIDDLE, ReconnectParameters())
    assert wait_s(failures, 0.0, ReconnectParameters()) == pytest.approx(0.9 * exact)
    assert wait_s(failures, 0.999_999, ReconnectParameters()) == pytest.approx(1.1 * exact, rel=1e-5)
    assert wait_s(failures, 0.123, ReconnectParameters(jitter_share=0.0)) == exact


@pytest.mark.parametrize(("failures", "draw"), [(0, 0.5), (1, 1.0), (1, -0.1)])
def test_an_impossible_argument_is_refused(failures, draw):
    """No failure yet, or a draw outside its range."""
    with pytest.raises(ValueError, match="draw in"):
        wait_s(failures, draw, ReconnectParameters())


@pytest.mark.parametrize("bad", [{"first_s": 0.0}, {"longest_s": 0.5}, {"jitter_share": 1.1}])
def test_parameters_out_of_range_are_refused(bad):
    """The error names the field."""
    with pytest.raises(ValueError, match="reconnect"):
        ReconnectParameters(**bad)
