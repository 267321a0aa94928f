"""The rotation's indicators against numbers worked out by hand, and their rules about missing bars."""

from __future__ import annotations

import numpy as np
import pytest

from walstreet.domain import rotation_indicators as indicators

NAN = float("nan")


def column(*values: float) -> np.ndarray:
    """Return one symbol's series as (T, 1)."""
    return np.array(values, dtype=np.float64)[:, None]


def test_ema_is_seeded_with_the_first_close_and_defined_from_bar_n() -> None:
    """With n = 3, a = 1/2: 10, 11, 13.5, 12.75, of which the first two are not defined."""
    averages = indicators.ema(column(10.0, 12.0, 16.0, 12.0), 3)
    np.testing.assert_array_equal(averages[:, 0], [NAN, NAN, 13.5, 12.75])


def test_ema_skips_days_without_a_bar() -> None:
    """A gap neither moves the average nor counts as a bar."""
    averages = indicators.ema(column(NAN, 10.0, NAN, 12.0, 16.0), 3)
    np.testing.assert_array_equal(averages[:, 0], [NAN, NAN, NAN, NAN, 13.5])


def test_true_range_begins_with_high_less_low_and_then_includes_the_gap() -> None:
    """Ranges 2; gap up 12 - 9 = 3; gap down 11.5 - 7 = 4.5."""
    high, low, close = column(10.0, 12.0, 8.0), column(8.0, 11.0, 7.0), column(9.0, 11.5, 7.5)
    np.testing.assert_array_equal(indicators.true_range(high, low, close)[:, 0], [2.0, 3.0, 4.5])


def test_atr_is_the_mean_of_the_first_ranges_and_then_wilders_smoothing() -> None:
    """N = 2: (2 + 3) / 2 = 2.5, then (2.5 * 1 + 4.5) / 2 = 3.5."""
    high, low, close = column(10.0, 12.0, 8.0), column(8.0, 11.0, 7.0), column(9.0, 11.5, 7.5)
    np.testing.assert_array_equal(indicators.atr(high, low, close, 2)[:, 0], [NAN, 2.5, 3.5])


def test_atr_takes_the_newest_close_across_a_gap() -> None:
    """The bar after a missing day gaps from 9: |12 - 9| = 3."""
    high, low, close = column(10.0, NAN, 12.0), column(8.0, NAN, 11.0), column(9.0, NAN, 11.5)
    np.testing.assert_array_equal(indicators.atr(high, low, close, 2)[:, 0], [NAN, NAN, 2.5])


def test_macd_is_the_difference_of_two_emas_and_its_signal_an_ema_of_it() -> None:
    """Fast 1, slow 3, signal 1: closes less 10, 11, 13.5, 12.75 from bar 3 on."""
    line, signal = indicators.macd(column(10.0, 12.0, 16.0, 12.0), fast=1, slow=3, signal=1)
    np.testing.assert_array_equal(line[:, 0], [NAN, NAN, 2.5, -0.75])
    np.testing.assert_array_equal(signal[:, 0], line[:, 0])


def test_returns_need_two_neighbouring_rows() -> None:
    """A gap takes the return on its own row and on the next one."""
    returns = indicators.row_returns(column(10.0, 11.0, NAN, 12.0, 15.0))
    np.testing.assert_allclose(returns[:, 0], [NAN, 0.1, NAN, NAN, 0.25], rtol=1e-15)


def test_last_close_and_close_before_bridge_gaps() -> None:
    """The newest close stays until the next bar; before the first there is none."""
    close = column(NAN, 10.0, NAN, 12.0)
    np.testing.assert_array_equal(indicators.last_close(close)[:, 0], [NAN, 10.0, 10.0, 12.0])
    np.testing.assert_array_equal(indicators.close_before(close)[:, 0], [NAN, NAN, 10.0, 10.0])


def test_rolling_deviation_is_of_the_sample() -> None:
    """(1, 2, 4): mean 7/3, squares 42/9, over 2 = 7/3."""
    deviation = indicators.rolling_deviation(column(1.0, 2.0, 4.0), 3)
    np.testing.assert_allclose(deviation[:, 0], [NAN, NAN, np.sqrt(7.0 / 3.0)], rtol=1e-15)


def test_rolling_statistics_are_missing_where_one_value_of_the_window_is() -> None:
    """A gap leaves the window only after as many rows as the window has."""
    values = column(1.0, NAN, 3.0, 5.0, 4.0)
    assert np.isnan(indicators.rolling_deviation(values, 2)[:, 0]).tolist() == [True, True, True, False, False]
    assert indicators.rolling_complete(values, 2)[:, 0].tolist() == [False, False, False, True, True]


def test_rolling_correlation_by_hand_and_against_numpy() -> None:
    """(1,2,3) with (1,3,2): 1 / sqrt(2 * 2) = .5; every window of random series agrees with np.corrcoef."""
    assert indicators.rolling_correlation(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]), 3)[2] == 0.5
    draw = np.random.default_rng(3)
    left, right = draw.normal(size=40), draw.normal(size=40)
    found = indicators.rolling_correlation(left, right, 7)
    assert np.isnan(found[:6]).all()
    for day in range(6, 40):
        expected = np.corrcoef(left[day - 6 : day + 1], right[day - 6 : day + 1])[0, 1]
        assert found[day] == pytest.approx(expected, abs=1e-13)


def test_correlation_with_a_constant_series_is_unknown() -> None:
    """Neither 0 nor 1 would be true, and the selection refuses what is unknown."""
    assert np.isnan(indicators.rolling_correlation(np.zeros(5), np.arange(5.0), 3)).all()


def test_simple_average_counts_bars() -> None:
    """The mean of the last two bars, not rows."""
    averages = indicators.simple_average(np.array([2.0, NAN, 4.0, 8.0]), 2)
    np.testing.assert_array_equal(averages, [NAN, NAN, 3.0, 6.0])


def test_windows_longer_than_the_data_give_nothing() -> None:
    """Every indicator is missing, and none fails."""
    close = column(10.0, 11.0)
    assert np.isnan(indicators.ema(close, 5)).all()
    assert np.isnan(indicators.atr(close, close, close, 5)).all()
    assert np.isnan(indicators.rolling_deviation(close, 5)).all()
    assert np.isnan(indicators.rolling_correlation(close[:, 0], close[:, 0], 5)).all()
    assert not indicators.rolling_complete(close, 5).any()
    assert np.isnan(indicators.simple_average(close[:, 0], 5)).all()
