"""Owns the tests of the daily tuning: laws by hand, the way there and back, and when it keeps still."""

from __future__ import annotations

import math

import pytest

from walstreet.domain.autotune import (
    DRIFT,
    PATHS,
    RESERVE,
    SPREAD,
    Reason,
    TuneMemory,
    note_change,
    note_report,
    pool,
    propose,
    soft,
    target_of,
    tune_memory,
)
from walstreet.domain.tca_parameters import TcaParameters, Tuning
from walstreet_events import ROOT, ParameterChange, ParameterTuned, TcaSamples, derive_id

BASE = {RESERVE: 2.0, DRIFT: 50.0, SPREAD: 12.0}
ENOUGH = TcaParameters(days_min=1, samples_min=50)


def samples(path: str = RESERVE, count: int = 100, mean: float = 0.0, deviation: float = 0.0, high: float = 0.0):
    """Return the samples of one session about one parameter."""
    return (TcaSamples(path=path, count=count, mean=mean, deviation=deviation, high=high),)


def proposal(memory: TuneMemory, days: list[tuple[TcaSamples, ...]], path: str = RESERVE, date: str = "2026-01-05"):
    """Return the proposal for one parameter."""
    return next(item for item in propose(memory, days, date, ENOUGH) if item.path == path)


def operator(path: str, value: str) -> ParameterChange:
    """Return a change by a person."""
    return ParameterChange(
        id=derive_id(path, value, 0), cause=ROOT, ts_ns=0, path=path, value=value, previous="0", operator="anna"
    )


def tuned(path: str, value: float, date: str) -> ParameterTuned:
    """Return a change by the tuning."""
    return ParameterTuned(
        id=derive_id(path, date, 0), cause=ROOT, ts_ns=0, path=path, value=str(value), previous="0",
        operator="autotune", session_date=date, samples=1, days=1,
    )  # fmt: skip


def test_pooling_by_hand() -> None:
    """(0, 2) and (4, 4, 4, 4): six samples of mean 3, variance (9 + 1 + 4 * 1) / 6."""
    pooled = pool([*samples(count=2, mean=1.0, deviation=1.0, high=3.0), *samples(count=4, mean=4.0, high=2.0)])
    assert (pooled.count, pooled.days, pooled.high) == (6, 2, 3.0)
    assert pooled.mean == pytest.approx(3.0)
    assert pooled.deviation == pytest.approx(math.sqrt(14.0 / 6.0))
    assert pool(samples(count=0)).days == 0


def test_soft_by_hand() -> None:
    """Mean 1, deviation 2, 101 samples: an error of .2, two of them leave .6; noise leaves nothing."""
    assert soft(pool(samples(count=101, mean=1.0, deviation=2.0)), 2.0) == pytest.approx(0.6)
    assert soft(pool(samples(count=101, mean=-1.0, deviation=2.0)), 2.0) == pytest.approx(-0.6)
    assert soft(pool(samples(count=101, mean=0.1, deviation=2.0)), 2.0) == 0.0
    assert soft(pool(samples(count=1, mean=5.0)), 2.0) == 0.0


@pytest.mark.parametrize(
    ("path", "current", "pooled", "target"),
    [
        (RESERVE, 2.5, samples(mean=0.4), 2.8),
        (RESERVE, 2.5, samples(mean=0.0), 2.0),
        (DRIFT, 50.0, samples(DRIFT, high=7.0), 21.0),
        (DRIFT, 20.0, samples(DRIFT, high=70.0), 50.0),
        (SPREAD, 11.0, samples(SPREAD, mean=-1.0), 10.0),
        (SPREAD, 11.0, samples(SPREAD, mean=1.0), 12.0),
    ],
)
def test_laws_by_hand(path: str, current: float, pooled: tuple[TcaSamples, ...], target: float) -> None:
    """Twice the error beyond the configured reserve; three times the drift met; a step tighter while it loses."""
    found = target_of(path, base=BASE[path], current=current, pooled=pool(pooled), parameters=ENOUGH)
    assert found == pytest.approx(target)


def test_the_way_there_and_back() -> None:
    """An error of .4 bps a side calls for 2.8: 2.25, 2.5, 2.75 and then within the deadband; without it back to 2."""
    memory, values = tune_memory(BASE), []
    for day in range(10):
        dear = day < 5
        found = proposal(memory, [samples(mean=0.4 if dear else 0.0)], date=f"2026-01-{day + 1:02d}")
        if found.reason == Reason.MOVED.value:
            note_change(memory, tuned(RESERVE, found.proposed, f"2026-01-{day + 1:02d}"))
        values.append(memory.current[RESERVE])
    assert values == [2.25, 2.5, 2.75, 2.75, 2.75, 2.5, 2.25, 2.0, 2.0, 2.0]


def test_only_the_window_counts() -> None:
    """A bad day six sessions ago is forgotten."""
    days = [samples(mean=5.0), *[samples(mean=0.0)] * 5]
    assert proposal(tune_memory(BASE), days).reason == Reason.WITHIN_DEADBAND.value
    assert proposal(tune_memory(BASE), days[:-1]).reason == Reason.MOVED.value


@pytest.mark.parametrize("count", [0, 49])
def test_without_enough_samples_nothing_is_proposed(count: int) -> None:
    """The value in force is target and proposal."""
    found = proposal(tune_memory(BASE), [samples(count=count, mean=5.0)])
    assert (found.reason, found.target, found.proposed) == (Reason.NO_SAMPLES.value, 2.0, 2.0)


def test_a_person_goes_before_a_statistic() -> None:
    """What an operator has set, an undo among it, stands for five sessions."""
    memory = tune_memory(BASE)
    note_change(memory, tuned(RESERVE, 2.25, "2026-01-01"))
    note_change(memory, operator(RESERVE, "2.0"))
    reasons = []
    for day in range(2, 8):
        reasons.append(proposal(memory, [samples(mean=5.0)], date=f"2026-01-{day:02d}").reason)
        note_report(memory)
    assert reasons == [Reason.OPERATOR_HOLD.value] * 5 + [Reason.MOVED.value]


def test_a_value_outside_the_bounds_is_left_alone() -> None:
    """An operator who has set a wider drift than tuning may give has a reason."""
    memory = tune_memory({**BASE, DRIFT: 80.0})
    found = proposal(memory, [samples(DRIFT, high=1.0)], DRIFT)
    assert (found.reason, found.proposed) == (Reason.OUTSIDE_BOUNDS.value, 80.0)


def test_other_changes_concern_nothing() -> None:
    """A parameter that is not tuned, or a text that is no number, changes no value in force."""
    memory = tune_memory(BASE)
    note_change(memory, operator("arbiter.limits.gross_max", "0.4"))
    note_change(memory, operator(RESERVE, '"wide"'))
    assert memory.current == BASE
    assert memory.held_for == {}
    assert {item.path for item in propose(memory, [()], "2026-01-01", ENOUGH)} == set(PATHS)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Tuning(low=2.0, high=1.0, step=0.1, deadband=0.1),
        lambda: Tuning(low=1.0, high=2.0, step=0.0, deadband=0.1),
        lambda: TcaParameters(days_min=6),
        lambda: TcaParameters(samples_min=1),
    ],
)
def test_parameters_that_contradict_are_refused(make) -> None:
    """Bounds out of order, a way of no steps, more days than the window has."""
    with pytest.raises(ValueError, match=r"reconciler\.tca"):
        make()
