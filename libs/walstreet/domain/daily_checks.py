"""Owns the validation of a daily series against the exchange's calendar and against itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec
import numpy as np

from walstreet.domain.bounds import require_between
from walstreet.domain.corporate_actions import split_ratio
from walstreet.domain.daily_series import DailySeries, DayArray, day_date

Series = Literal["raw", "adjusted"]
Kind = Literal[
    "ohlc",
    "not_positive",
    "gap",
    "no_session",
    "outlier",
    "spike",
    "stale",
    "zero_volume",
    "mismatch",
    "late_start",
    "provisional",
]
FAULTS: frozenset[Kind] = frozenset({"ohlc", "not_positive"})
"""No market can have printed these: such a series is not stored."""
NOTES: frozenset[Kind] = frozenset({"late_start", "provisional"})
"""These are facts, no doubts."""


class CheckParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said to be remarkable."""

    outlier_return: float = 0.25
    """A day's return beyond it is named."""
    spike_return: float = 0.08
    """A return beyond it that the next day takes back is named: a bad print looks like that."""
    spike_taken_back: float = 0.8
    """Share of the move that the next day must take back."""
    stale_days: int = 4
    """So many bars in a row with one close are named."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("data", "outlier_return", self.outlier_return, 0.001, 100.0)
        require_between("data", "spike_return", self.spike_return, 0.001, 100.0)
        require_between("data", "spike_taken_back", self.spike_taken_back, 0.1, 1.0)
        require_between("data", "stale_days", self.stale_days, 2, 1_000)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One remarkable place of one series."""

    symbol: str
    series: Series
    kind: Kind
    day: str
    """ISO date, the first one where several days are meant."""
    text: str

    @property
    def fault(self) -> bool:
        """Return whether the series cannot be stored."""
        return self.kind in FAULTS

    @property
    def note(self) -> bool:
        """Return whether this is a fact that is no doubt about the data."""
        return self.kind in NOTES


def check_series(
    series: DailySeries,
    *,
    symbol: str,
    name: Series,
    sessions: DayArray,
    asked_from: int,
    parameters: CheckParameters,
) -> tuple[Finding, ...]:
    """Return what is remarkable in a series, by kind and then by day.

    Args:
        series: At least one bar, or nothing is found.
        symbol: Whose it is.
        name: Which of the two series.
        sessions: Days of the exchange's calendar, ascending, over the series' days at least.
        asked_from: Oldest day that was wanted.
        parameters: Limits.
    """
    if not len(series):
        return ()

    def finding(kind: Kind, day: int, text: str) -> Finding:
        return Finding(symbol=symbol, series=name, kind=kind, day=day_date(day).isoformat(), text=text)

    rows = [
        *_prices(series),
        *_calendar(series, sessions, asked_from),
        *_returns(series, parameters),
        *_repeats(series, parameters.stale_days),
        *(("zero_volume", int(day), "nothing was traded") for day in series.days[series.volume == 0].tolist()),
        *(("provisional", int(day), "the session was not over for long") for day in series.days[series.provisional]),
    ]
    return tuple(finding(kind, day, text) for kind, day, text in rows)


Row = tuple[Kind, int, str]


def _prices(series: DailySeries) -> Iterator[Row]:
    sides = np.stack([series.open, series.high, series.low, series.close])
    bad = ~(np.isfinite(sides) & (sides > 0.0)).all(axis=0)
    for row in np.flatnonzero(bad).tolist():
        yield "not_positive", int(series.days[row]), f"{_bar(series, row)} is no bar of prices"
    top, bottom = np.maximum(series.open, series.close), np.minimum(series.open, series.close)
    wrong = ~bad & ((series.high < np.maximum(top, series.low)) | (series.low > bottom))
    for row in np.flatnonzero(wrong).tolist():
        yield "ohlc", int(series.days[row]), f"{_bar(series, row)}: high or low does not hold the others"


def _calendar(series: DailySeries, sessions: DayArray, asked_from: int) -> Iterator[Row]:
    expected = sessions[(sessions >= series.days[0]) & (sessions <= series.days[-1])]
    missing = np.flatnonzero(~np.isin(expected, series.days))
    for run in np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1):
        if len(run):
            first, last = int(expected[run[0]]), int(expected[run[-1]])
            yield "gap", first, f"{len(run)} sessions are missing, until {day_date(last)}"
    for day in series.days[~np.isin(series.days, sessions)].tolist():
        yield "no_session", int(day), "the exchange was closed"
    before = sessions[(sessions >= asked_from) & (sessions < series.days[0])]
    if len(before):
        text = f"begins {len(before)} sessions after {day_date(asked_from)}, which was asked for"
        yield "late_start", int(series.days[0]), text


def _returns(series: DailySeries, parameters: CheckParameters) -> Iterator[Row]:
    with np.errstate(divide="ignore", invalid="ignore"):
        change = series.close[1:] / series.close[:-1] - 1.0
    for row in np.flatnonzero(np.abs(change) > parameters.outlier_return).tolist():
        yield "outlier", int(series.days[row + 1]), f"a return of {change[row]:+.1%} in one day"
    back = np.append(change[1:], 0.0)
    taken = np.abs(change + back) <= (1.0 - parameters.spike_taken_back) * np.abs(change)
    for row in np.flatnonzero((np.abs(change) > parameters.spike_return) & taken).tolist():
        yield "spike", int(series.days[row + 1]), f"{change[row]:+.1%}, and {back[row]:+.1%} on the day after"


def _repeats(series: DailySeries, stale_days: int) -> Iterator[Row]:
    begins = np.concatenate(([True], np.diff(series.close) != 0.0))
    starts = np.flatnonzero(begins)
    lengths = np.diff(np.append(starts, len(series)))
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        if length >= stale_days:
            yield "stale", int(series.days[start]), f"{length} bars in a row close at {series.close[start]:g}"


def _bar(series: DailySeries, row: int) -> str:
    names = ("open", "high", "low", "close")
    return ", ".join(f"{name} {getattr(series, name)[row]:g}" for name in names)


def check_pair(
    raw: DailySeries, adjusted: DailySeries, *, symbol: str, last: int, parameters: CheckParameters
) -> tuple[Finding, ...]:
    """Return where two series of one symbol contradict each other.

    Args:
        raw: Prices as they were.
        adjusted: The same, adjusted.
        symbol: Whose they are.
        last: Newest day that both were asked for.
        parameters: ``spike_taken_back`` and the like; the adjustment may not undo itself beyond ``spike_return``.
    """
    both = {"raw": set(raw.between(0, last).days.tolist()), "adjusted": set(adjusted.between(0, last).days.tolist())}
    rows: list[Finding] = []
    for name, other in (("raw", "adjusted"), ("adjusted", "raw")):
        lone = sorted(both[name] - both[other])
        if lone:
            text = f"{len(lone)} days are in the {name} series only, the last one is {day_date(lone[-1])}"
            rows.append(_mismatch(symbol, lone[0], text))
    days, at_raw, at_adjusted = np.intersect1d(raw.days, adjusted.days, return_indices=True)
    factor = adjusted.close[at_adjusted] / raw.close[at_raw]
    rises = factor[:-1] / factor[1:] - 1.0
    for row in np.flatnonzero(rises > parameters.spike_return).tolist():
        ratio = split_ratio(1.0 + float(rises[row]), 0.0)
        if ratio is None:
            text = f"the adjustment falls by {rises[row]:.1%}, which no dividend and no plain split does"
            rows.append(_mismatch(symbol, int(days[row + 1]), text))
    return tuple(rows)


def _mismatch(symbol: str, day: int, text: str) -> Finding:
    return Finding(symbol=symbol, series="adjusted", kind="mismatch", day=day_date(day).isoformat(), text=text)


def doubts(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings that an operator should look at."""
    return tuple(finding for finding in findings if not finding.note)
