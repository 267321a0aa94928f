"""Tests of windows, exponential means, the session clock and the 5-minute volatility."""

from __future__ import annotations

import numpy as np
import pytest

from walstreet.features.banks import DistanceBank, EwmaBank, Window
from walstreet.features.parameters import MINUTE_NS, FeatureParameters
from walstreet.features.session import SessionClock
from walstreet.features.volatility import FiveMinuteVolatility


def test_window_returns_the_newest_rows_in_order() -> None:
    """After more rows than its length, the window holds the newest ones, oldest first."""
    window = Window(4, 2)
    for value in range(7):
        window.push(np.array([value, -value], dtype=float))
        expected = [row for row in range(value - 3, value + 1) if row >= 0]
        np.testing.assert_array_equal(window.last(4)[-len(expected) :, 0], expected)
    np.testing.assert_array_equal(window.last(2), [[5.0, -5.0], [6.0, -6.0]])


def test_exponential_mean_starts_as_a_plain_mean_and_then_forgets() -> None:
    """Until the span's weight is reached the bank averages; a masked value changes nothing."""
    bank = EwmaBank([3], [2], 1)
    on, off = np.array([[True]]), np.array([[False]])
    assert np.isnan(bank.update(np.array([[4.0]]), on)[0, 0])
    assert bank.update(np.array([[8.0]]), on)[0, 0] == 6.0
    assert bank.update(np.array([[99.0]]), off)[0, 0] == 6.0
    assert bank.update(np.array([[10.0]]), on)[0, 0] == 8.0


def test_distance_bank_equals_level_minus_its_mean() -> None:
    """The recursion on returns gives the same distance as an average of the cumulative level."""
    returns = np.random.default_rng(2).normal(size=50)
    bank = DistanceBank([9], 1)
    level = mean = 0.0
    for value in returns:
        level += value
        mean += 0.2 * (level - mean)
        distance = bank.update(np.array([value]))[0, 0]
        assert distance == pytest.approx(level - mean, abs=1e-12)


def test_session_begins_after_a_long_pause_and_at_a_described_open() -> None:
    """History is split at pauses, the traded session by its description, early close included."""
    clock = SessionClock(FeatureParameters())
    assert clock.advance(10 * MINUTE_NS, MINUTE_NS)
    assert not clock.advance(11 * MINUTE_NS, MINUTE_NS)
    assert not clock.advance(100 * MINUTE_NS, MINUTE_NS)
    assert clock.open_ns == 9 * MINUTE_NS
    clock.describe(1000 * MINUTE_NS, 1210 * MINUTE_NS)
    assert clock.advance(1005 * MINUTE_NS, MINUTE_NS)
    assert (clock.open_ns, clock.close_ns) == (1000 * MINUTE_NS, 1210 * MINUTE_NS)
    assert not clock.advance(1006 * MINUTE_NS, MINUTE_NS)


def _fold(volatility: FiveMinuteVolatility, blocks: np.ndarray) -> None:
    for value in blocks:
        for minute in range(5):
            volatility.update(np.array([value / 5]), is_continuous=minute > 0 or volatility.counts[0] > 0)


def test_five_minute_volatility_waits_for_twelve_returns() -> None:
    """There is no number before twelve 5-minute returns, then the root mean square in bps."""
    volatility = FiveMinuteVolatility(1, FeatureParameters(), bar_ns=MINUTE_NS)
    _fold(volatility, np.full(11, 0.001))
    assert np.isnan(volatility.sigma_bps()[0])
    _fold(volatility, np.array([-0.001]))
    assert volatility.sigma_bps()[0] == pytest.approx(10.0)
    assert volatility.sigma_day_bps()[0] == pytest.approx(10.0 * 78**0.5)


def test_one_jump_moves_the_volatility_by_a_bounded_step() -> None:
    """A return of a hundred standard deviations counts as four."""
    volatility = FiveMinuteVolatility(1, FeatureParameters(), bar_ns=MINUTE_NS)
    _fold(volatility, np.where(np.arange(40) % 2 == 0, 0.001, -0.001))
    before = volatility.sigma_bps()[0]
    weight = 2 / 79
    _fold(volatility, np.array([0.1]))
    assert volatility.sigma_bps()[0] == pytest.approx(before * (1 + weight * 15) ** 0.5)


def test_a_symbol_that_never_moves_has_no_volatility_but_can_get_one() -> None:
    """Zero is not published as a volatility, and the clip does not hold it at zero for ever."""
    volatility = FiveMinuteVolatility(1, FeatureParameters(), bar_ns=MINUTE_NS)
    _fold(volatility, np.zeros(20))
    assert np.isnan(volatility.sigma_bps()[0])
    _fold(volatility, np.array([0.001]))
    assert volatility.sigma_bps()[0] > 0.0


def test_a_hole_drops_the_block_that_it_cuts() -> None:
    """A 5-minute return is never assembled across a hole or a night."""
    volatility = FiveMinuteVolatility(1, FeatureParameters(), bar_ns=MINUTE_NS)
    for _ in range(3):
        volatility.update(np.array([0.01]), is_continuous=True)
    for minute in range(5):
        volatility.update(np.array([0.001]), is_continuous=minute > 0)
    assert volatility.counts[0] == 1


@pytest.mark.parametrize("bar_ns", [0, 7 * MINUTE_NS, -1])
def test_bar_sizes_that_do_not_divide_five_minutes_are_refused(bar_ns: int) -> None:
    """The refusal names the value."""
    with pytest.raises(ValueError, match="does not divide 5 minutes"):
        FiveMinuteVolatility(1, FeatureParameters(), bar_ns=bar_ns)


def test_parameters_out_of_range_are_refused_with_field_and_range() -> None:
    """A bad parameter says which, its value and what is allowed."""
    with pytest.raises(ValueError, match=r"features.sigma_5m_clip = 0.5 is outside 1.0..100.0"):
        FeatureParameters(sigma_5m_clip=0.5)
