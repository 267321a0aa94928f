"""The validation report: every kind of finding is made by data that has it, and clean data has none."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from walstreet.domain.daily_checks import CheckParameters, check_pair, check_series, doubts
from walstreet.domain.daily_series import DailySeries, day_number

FIRST = day_number(dt.date(2024, 1, 1))
SESSIONS = np.array([FIRST + i for i in range(100) if (FIRST + i + 3) % 7 < 5], dtype=np.int32)


def clean(days=60):
    """Return quiet bars on sessions."""
    close = 100.0 * np.exp(np.cumsum(np.random.default_rng(2).normal(0.0, 0.004, days)))
    return DailySeries(
        days=SESSIONS[:days].copy(),
        open=close * 0.999,
        high=close * 1.002,
        low=close * 0.997,
        close=close,
        volume=np.full(days, 1_000, dtype=np.int64),
        provisional=np.zeros(days, dtype=np.bool_),
    )


def found(series, asked_from=FIRST, **parameters):
    """Return kinds and days of the findings."""
    findings = check_series(
        series,
        symbol="XYZ",
        name="raw",
        sessions=SESSIONS,
        asked_from=asked_from,
        parameters=CheckParameters(**parameters),
    )
    return [(finding.kind, finding.day) for finding in findings]


def day(row):
    """Return the ISO date of a session."""
    return (dt.date(1970, 1, 1) + dt.timedelta(days=int(SESSIONS[row]))).isoformat()


def test_clean_bars_have_no_finding() -> None:
    """Sixty quiet sessions are nothing to talk about."""
    assert found(clean()) == []
    assert found(clean().rows(np.zeros(60, dtype=np.bool_))) == []


def test_missing_sessions_are_one_gap_each() -> None:
    """Three sessions in a row are one finding, a fourth elsewhere is another."""
    keep = ~np.isin(np.arange(60), [10, 11, 12, 40])
    assert found(clean().rows(keep)) == [("gap", day(10)), ("gap", day(40))]


def test_a_bar_without_a_session_is_named() -> None:
    """Nobody traded on a Saturday."""
    series = clean(6)
    days = series.days.copy()
    days[5] = days[4] + 1
    assert ("no_session", "2024-01-06") in found(replace(series, days=days))


@pytest.mark.parametrize(
    ("kind", "side", "factor"), [("ohlc", "high", 0.9), ("ohlc", "low", 1.1), ("not_positive", "open", -1.0)]
)
def test_impossible_bars_are_faults(kind: str, side: str, factor: float) -> None:
    """A high below the close, a low above it, a price below 0."""
    series = clean()
    values = getattr(series, side).copy()
    values[7] *= factor
    findings = check_series(
        replace(series, **{side: values}),
        symbol="XYZ",
        name="raw",
        sessions=SESSIONS,
        asked_from=FIRST,
        parameters=CheckParameters(),
    )
    assert [(f.kind, f.day, f.fault) for f in findings] == [(kind, day(7), True)]
    assert "open" in findings[0].text


def test_large_moves_and_moves_that_are_taken_back_are_named() -> None:
    """A fall by a third is an outlier; a jump of a tenth for one day is a spike."""
    series = clean()
    scale = np.where(np.arange(60) >= 20, 0.66, 1.0) * np.where(np.arange(60) == 40, 1.10, 1.0)
    sides = {name: getattr(series, name) * scale for name in ("open", "high", "low", "close")}
    assert found(replace(series, **sides)) == [("outlier", day(20)), ("spike", day(40))]
    assert found(replace(series, **sides), outlier_return=0.5, spike_return=0.2) == []


def test_repeated_closes_and_days_without_volume_are_named() -> None:
    """Four equal closes in a row are stale, three are not."""
    series = clean()
    close, volume = series.close.copy(), series.volume.copy()
    close[30:34] = close[30]
    close[50:53] = close[50]
    volume[5] = 0
    sides = {"high": np.maximum(series.high, close * 1.01), "low": np.minimum(series.low, close * 0.99)}
    assert found(replace(series, close=close, volume=volume, **sides)) == [("stale", day(30)), ("zero_volume", day(5))]


def test_a_late_start_and_a_provisional_bar_are_facts_and_no_doubts() -> None:
    """They are reported, and no reason to look into the data."""
    series = clean().rows(np.arange(60) >= 10)
    series = replace(series, provisional=series.days == series.days[-1])
    findings = check_series(
        series, symbol="XYZ", name="raw", sessions=SESSIONS, asked_from=FIRST, parameters=CheckParameters()
    )
    assert [finding.kind for finding in findings] == ["late_start", "provisional"]
    assert doubts(findings) == ()


def test_series_that_contradict_each_other_are_named() -> None:
    """Days that only one has, and an adjustment that undoes itself."""
    raw = clean()
    wrong = raw.close * np.where(np.arange(60) < 20, 1.2, 1.0)
    adjusted = replace(raw, close=wrong).rows(np.arange(60) != 33)
    findings = check_pair(raw, adjusted, symbol="XYZ", last=int(SESSIONS[-1]), parameters=CheckParameters())
    assert [(finding.kind, finding.day) for finding in findings] == [("mismatch", day(33)), ("mismatch", day(20))]
    assert check_pair(raw, raw, symbol="XYZ", last=int(SESSIONS[-1]), parameters=CheckParameters()) == ()


@pytest.mark.parametrize("name", ["outlier_return", "spike_return", "spike_taken_back", "stale_days"])
def test_limits_out_of_range_are_refused(name: str) -> None:
    """The text names the parameter."""
    with pytest.raises(ValueError, match=name):
        CheckParameters(**{name: 0})
