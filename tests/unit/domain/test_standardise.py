"""Owns the tests of the robust standardisation of scores."""

import numpy as np
import pytest

from walstreet.domain.standardise import (
    MAD_TO_SIGMA,
    ROWS_MAX,
    StandardiseParameters,
    StandardiserState,
    observe_scores,
    refresh_interval,
    standardised,
)
from walstreet.domain.units import DAY_NS, MINUTE_NS

MODELS, SYMBOLS = ("m",), ("A",)
SMALL = StandardiseParameters(window_days=1, decisions_per_day=5, samples_min=3)


def feed(state: StandardiserState, values: list[float], parameters: StandardiseParameters, start_ns: int = MINUTE_NS):
    """Feed one (model, symbol) minute by minute."""
    for index, value in enumerate(values):
        raw = np.array([[value]])
        ts_ns = start_ns + index * MINUTE_NS
        observe_scores(state, raw, models=MODELS, symbols=SYMBOLS, ts_ns=ts_ns, parameters=parameters)


def score(state: StandardiserState, value: float, parameters: StandardiseParameters = SMALL) -> float:
    """Return the standardised score of one value."""
    return float(standardised(state, np.array([[value]]), models=MODELS, symbols=SYMBOLS, parameters=parameters)[0, 0])


def test_score_by_hand():
    """Past (1, 2, 3, 4, 100): median 3, deviations (2, 1, 0, 1, 97), MAD 1; 5 scores 2/1.4826, 100 is clipped to 3."""
    state = StandardiserState()
    feed(state, [1.0, 2.0, 3.0, 4.0, 100.0], SMALL)
    assert score(state, 5.0) == pytest.approx(2.0 / 1.4826) == pytest.approx(1.348981518953190)
    assert score(state, 3.0) == 0.0
    assert (score(state, 100.0), score(state, -100.0)) == (3.0, -3.0)


def test_even_count_takes_the_mean_of_the_two_in_the_middle():
    """Past (1, 2, 4, 9): median 3, deviations (2, 1, 1, 6), MAD 1.5; 6 scores 3/(1.4826*1.5)."""
    state = StandardiserState()
    feed(state, [9.0, 1.0, 4.0, 2.0], SMALL)
    assert score(state, 6.0) == pytest.approx(3.0 / (1.4826 * 1.5))


def test_constant_past_gives_zero_and_a_short_one_nothing():
    """Two values are fewer than three: NaN; three equal ones have no spread: 0 for any value."""
    state = StandardiserState()
    assert np.isnan(score(state, 7.0))
    feed(state, [7.0, 7.0], SMALL)
    assert np.isnan(score(state, 7.0))
    feed(state, [7.0], SMALL, start_ns=3 * MINUTE_NS)
    assert score(state, 1e9) == 0.0
    assert np.isnan(score(state, np.nan))


def test_missing_and_absurd_values_take_no_part():
    """NaN, infinities and numbers beyond 1e150 take their place in time but not in the statistics."""
    state = StandardiserState()
    feed(state, [1.0, np.nan, 2.0, np.inf, 3.0], SMALL)
    assert score(state, 3.0) == pytest.approx(1.0 / 1.4826)
    assert np.isnan(score(state, np.inf))
    feed(state, [1e200, -np.inf], SMALL, start_ns=6 * MINUTE_NS)
    # The window of five now holds (2, -, 3, -, -): too few.
    assert np.isnan(score(state, 3.0))


def test_window_forgets_the_oldest_decision():
    """After 1..7 the window of five holds 3..7: median 5, MAD 1."""
    state = StandardiserState()
    feed(state, [float(value) for value in range(1, 8)], SMALL)
    assert score(state, 6.0) == pytest.approx(1.0 / 1.4826)


def test_old_values_are_forgotten_by_the_calendar():
    """Sixteen days later nothing of the past counts, although the window is not full."""
    state = StandardiserState()
    feed(state, [1.0, 2.0, 3.0], SMALL)
    feed(state, [4.0], SMALL, start_ns=16 * DAY_NS)
    assert np.isnan(score(state, 3.0))
    assert np.isfinite(state.history).sum() == 1


def test_rows_take_turns_and_use_their_last_refresh():
    """With 64 decisions or more a row's median is that of its last turn, at most two intervals ago."""
    parameters = StandardiseParameters(window_days=1, decisions_per_day=390, samples_min=3, refresh_decisions_max=6)
    generator = np.random.default_rng(3)
    models, symbols = ("m", "n"), ("A", "B", "C")
    state = StandardiserState()
    past: list[np.ndarray] = []
    turn = np.zeros(6, dtype=np.int64)
    for decision in range(1, 500):
        raw = generator.normal(size=(2, 3))
        observe_scores(state, raw, models=models, symbols=symbols, ts_ns=decision * MINUTE_NS, parameters=parameters)
        past.append(raw.reshape(-1))
        interval = refresh_interval(decision, parameters)
        turn[(np.arange(6) + decision) % interval == 0] = decision
        assert np.all(decision - turn < 2 * interval)
        if decision < 3:
            continue
        for row in range(6):
            seen = np.array(past[max(0, int(turn[row]) - 390) : int(turn[row])])[:, row]
            median = np.median(seen)
            assert state.centre[row] == pytest.approx(median, abs=1e-12)
            assert state.scale[row] == pytest.approx(MAD_TO_SIGMA * np.median(np.abs(seen - median)), abs=1e-12)
    assert refresh_interval(499, parameters) == 6


def test_rows_follow_their_names():
    """A reordered block keeps every past; a new symbol has none; one that left starts anew."""
    state = StandardiserState()
    for index, value in enumerate([1.0, 2.0, 3.0]):
        raw = np.array([[value, 10.0 * value]])
        observe_scores(state, raw, models=MODELS, symbols=("A", "B"), ts_ns=index + 1, parameters=SMALL)
    raw = np.array([[30.0, 3.0, 3.0]])
    values = standardised(state, raw, models=MODELS, symbols=("B", "A", "C"), parameters=SMALL)
    assert values[0].tolist() == pytest.approx([1.0 / 1.4826, 1.0 / 1.4826, np.nan], nan_ok=True)
    observe_scores(state, raw, models=MODELS, symbols=("B", "A", "C"), ts_ns=4, parameters=SMALL)
    assert state.symbols == ("B", "A", "C")
    assert state.history[:2, :4].tolist() == [[10.0, 20.0, 30.0, 30.0], [1.0, 2.0, 3.0, 3.0]]
    assert np.isnan(state.history[2, :3]).all()
    assert state.history[2, 3] == 3.0


def test_scoring_changes_nothing_and_the_digest_sees_every_decision():
    """Scoring leaves the canonical form alone, a decision changes it, and the same input gives it again."""
    states = [StandardiserState(), StandardiserState()]
    for state in states:
        feed(state, [1.0, 2.0, 3.0], SMALL)
    before = states[0].canonical()
    score(states[0], 5.0)
    assert states[0].canonical() == before == states[1].canonical()
    feed(states[0], [4.0], SMALL, start_ns=9 * MINUTE_NS)
    assert states[0].canonical() != before


def test_malformed_input_is_refused():
    """Wrong shapes, repeated names, time running backwards and too many rows are named."""
    state = StandardiserState()
    raw = np.zeros((1, 2))
    with pytest.raises(ValueError, match=r"shape \(1, 2\) but 1 models and 1 symbols"):
        standardised(state, raw, models=MODELS, symbols=SYMBOLS, parameters=SMALL)
    with pytest.raises(ValueError, match="not distinct"):
        observe_scores(state, raw, models=MODELS, symbols=("A", "A"), ts_ns=1, parameters=SMALL)
    feed(state, [1.0], SMALL)
    with pytest.raises(ValueError, match="is not after"):
        feed(state, [1.0], SMALL)
    symbols = tuple(str(index) for index in range(ROWS_MAX + 1))
    wide = np.zeros((1, ROWS_MAX + 1))
    with pytest.raises(ValueError, match="run fewer models or symbols"):
        observe_scores(StandardiserState(), wide, models=MODELS, symbols=symbols, ts_ns=1, parameters=SMALL)


def test_parameters_refuse_what_can_never_score():
    """More samples than the window holds, a zero clip and a window longer than the calendar bound are refused."""
    with pytest.raises(ValueError, match=r"samples_min is 6 but standardise\.window is 5"):
        StandardiseParameters(window_days=1, decisions_per_day=5, samples_min=6)
    with pytest.raises(ValueError, match=r"standardise\.clip"):
        StandardiseParameters(clip=0.0)
    with pytest.raises(ValueError, match="age_days_max"):
        StandardiseParameters(window_days=10, age_days_max=9.0)
