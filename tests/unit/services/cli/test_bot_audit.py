"""The audit's correlations: the bits of the strategy's own, computed for one day."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from walstreet.domain.rotation_indicators import rolling_correlation
from walstreet.research.swing_data import read_bars
from walstreet.testing.daily_bars import write_daily_bars
from walstreet_services.cli.bot_audit import audit_table, window_correlation

pytestmark = pytest.mark.spec("004.backtest")

SYMBOLS = ("A", "B", "C")


@pytest.mark.parametrize("window", [2, 7, 90])
def test_a_single_day_has_the_bits_of_the_series(tmp_path: Path, window: int) -> None:
    """Every pair and every day, the ones without a full window and the late symbol among them."""
    bars = read_bars(write_daily_bars(tmp_path, SYMBOLS, days=200, seed=5, starts={"C": 60}), SYMBOLS)
    indicators = audit_table(bars).indicators
    returns = indicators.returns()
    for left, right in ((0, 1), (0, 2), (1, 2)):
        series = rolling_correlation(returns[:, left], returns[:, right], window)
        single = [indicators.correlation(left, right, window, day) for day in range(len(bars.dates))]
        np.testing.assert_array_equal(single, series)
    assert math.isfinite(indicators.correlation(0, 2, window, 199))


def test_a_constant_series_has_no_correlation() -> None:
    """Without a variance the answer is unknown, not 0."""
    assert math.isnan(window_correlation(np.zeros(5), np.arange(5.0)))
