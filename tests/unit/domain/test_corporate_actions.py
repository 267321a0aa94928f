"""Dividends and splits out of two series, through rounding to cents."""

import numpy as np
import pytest

from walstreet.domain.corporate_actions import corporate_actions, restated_scale, split_ratio
from walstreet.domain.daily_series import DailySeries


def series(close, first=100, provisional=0):
    """Return a series of closes; the last ``provisional`` bars are not final."""
    close = np.asarray(close, dtype=np.float64)
    days = np.arange(first, first + len(close), dtype=np.int32)
    flags = days >= first + len(close) - provisional
    volume = np.ones(len(close), dtype=np.int64)
    return DailySeries(days=days, open=close, high=close, low=close, close=close, volume=volume, provisional=flags)


def adjusted(close, dividends, digits=2):
    """Return the closes adjusted for dividends by row, rounded as a source would."""
    factor = np.ones(len(close))
    for row, dividend in dividends.items():
        factor[:row] *= 1.0 - dividend / close[row - 1]
    return np.round(close * factor, digits)


def walk(days, seed=1):
    """Return closes of a random walk, in cents."""
    moves = np.random.default_rng(seed).normal(0.0, 0.01, days)
    return np.round(150.0 * np.exp(np.cumsum(moves)), 2)


def test_dividends_are_found_on_their_day_with_their_value() -> None:
    """Of 750 days four pay, and rounding to cents makes no fifth."""
    close = walk(750)
    paid = {63: 0.91, 189: 1.02, 315: 0.55, 700: 1.33}
    found = corporate_actions(series(close), series(adjusted(close, paid)))
    assert [(action.day - 100, action.kind) for action in found] == [(row, "dividend") for row in sorted(paid)]
    for action in found:
        assert action.value == pytest.approx(paid[action.day - 100], abs=0.03)


def test_no_action_is_made_of_rounding() -> None:
    """A cheap stock whose adjusted prices are rounded to cents jitters, and pays nothing."""
    close = np.round(walk(500) / 20.0, 2)
    assert corporate_actions(series(close), series(np.round(close * 0.8137, 2))) == ()


@pytest.mark.parametrize(("ratio", "value"), [(2.0, 2.0), (3.0, 3.0), (1.5, 1.5), (20.0, 20.0), (0.1, 0.1)])
def test_a_split_is_no_dividend(ratio: float, value: float) -> None:
    """New shares for one old one, reverse splits among them."""
    close = walk(40) * 10.0
    raw = np.round(np.where(np.arange(40) < 20, close * ratio, close), 2)
    (action,) = corporate_actions(series(raw), series(close))
    assert (action.kind, action.day) == ("split", 120)
    assert action.value == pytest.approx(value)


def test_a_special_dividend_of_a_fifth_is_a_dividend() -> None:
    """5 for 4 would look the same; few splits are below 3 for 2."""
    close = walk(40)
    (action,) = corporate_actions(series(close), series(adjusted(close, {20: close[19] * 0.2})))
    assert action.kind == "dividend"


def test_an_adjustment_that_undoes_itself_is_no_action() -> None:
    """A dividend is never negative: such a day is a doubt about the data, for the validation to name."""
    close = walk(40)
    wrong = close * np.where(np.arange(40) < 20, 1.05, 1.0)
    assert corporate_actions(series(close), series(wrong)) == ()


def test_provisional_days_and_single_days_tell_nothing() -> None:
    """A dividend on a day that is not over may still be a wrong price."""
    close = walk(40)
    paid = adjusted(close, {39: 2.0})
    assert corporate_actions(series(close, provisional=1), series(paid, provisional=1)) == ()
    assert corporate_actions(series(close[:1]), series(close[:1])) == ()


def test_a_source_that_restated_its_past_is_seen_in_the_overlap() -> None:
    """After a 4 for 1 split the same days cost a quarter; cents of rounding are no restatement."""
    close = walk(10)
    assert restated_scale(series(close), series(close[5:] / 4.0, first=105)) == pytest.approx(0.25)
    assert restated_scale(series(close), series(close[5:] + 0.01, first=105)) is None
    assert restated_scale(series(close), series(close, first=500)) is None


@pytest.mark.parametrize("change", [0.0, -1.0, float("nan"), 0.99, 0.7123456])
def test_what_is_no_plain_ratio_is_no_split(change: float) -> None:
    """Odd numbers are somebody's error."""
    assert split_ratio(change, 1e-4) is None
