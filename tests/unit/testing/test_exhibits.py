"""Owns the tests of the exhibits: rows judge, quick measurements hold, pictures are drawn."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from walstreet.testing.exhibits import coverage, equal_risk, no_skill, pictures, regret
from walstreet.testing.exhibits.row import Exhibit, Line, Panel, Row
from walstreet.testing.exhibits.worlds import SCORE_SIGMA, history


@pytest.mark.parametrize(
    ("value", "low", "high", "passes", "target"),
    [
        (0.8, 0.78, 0.82, True, "0.78 to 0.82"),
        (0.78, 0.78, 0.82, True, "0.78 to 0.82"),
        (0.83, 0.78, 0.82, False, "0.78 to 0.82"),
        (1e-9, None, 1e-8, True, "<= 1e-08"),
        (0.2, 0.3, None, False, ">= 0.3"),
        (2.0, 1.0, 1.0, False, "1"),
        (math.nan, None, 1.0, False, "<= 1"),
        (math.nan, 0.0, None, False, ">= 0"),
    ],
)
def test_rows_judge(value: float, low: float | None, high: float | None, passes: bool, target: str) -> None:
    """The ends of a range pass, and what is not a number never does."""
    row = Row(exhibit="e", case="c", value=value, low=low, high=high)
    assert (row.passes, row.target) == (passes, target)


def test_histories_have_the_moments_they_promise() -> None:
    """Over 20,000 minutes: scores of .1, outcomes of 1, correlated at .35, and a skill of .1 is a slope of 1."""
    made = history(np.random.default_rng(3), rows=20_000, symbols=4, horizon=1, persistence=0.5, skill=0.1)
    assert made.scores.shape == (20_001, 4)
    assert made.outcomes.shape == (20_000, 4)
    assert made.scores.std() == pytest.approx(SCORE_SIGMA, rel=0.03)
    assert made.outcomes.std() == pytest.approx(1.0, rel=0.1)
    assert np.corrcoef(made.outcomes.T)[0, 1] == pytest.approx(0.35, abs=0.1)
    scores = made.scores[:-1]
    assert (scores * made.outcomes).sum() / (scores * scores).sum() == pytest.approx(1.0, abs=0.2)


def test_coverage_counts_what_fell_outside() -> None:
    """Outcomes of a standard normal and a score of 0: about 80 % inside, nothing infinite, the curves end there."""
    rng = np.random.default_rng(5)
    run = coverage.watch(np.zeros((1_500, 10)) + 0.01, rng.normal(size=(1_500, 10)), 5)
    assert run.covered == pytest.approx(0.8, abs=0.02)
    assert run.since_start[-1] == pytest.approx(run.covered)
    assert run.judged > 10_000
    assert run.infinite == 0.0
    assert run.minutes[-1] == 1_499.0


@pytest.mark.data
def test_real_minutes_have_no_past_and_no_future_across_a_night(market_data: Path) -> None:
    """The first five bars of a session have no score and the last thirty no outcome; sigma needs a day."""
    scores, outcomes = coverage.real_history(market_data, coverage.REAL_SETS[2], 30)
    assert scores.shape == outcomes.shape
    assert scores.shape[1] == 8
    assert np.isnan(scores[:391]).all()
    assert np.isnan(outcomes[-30:]).all()
    known = np.isfinite(scores) & np.isfinite(outcomes)
    assert 1_000 < known[:, 0].sum() < 5 * 360
    assert 0.5 < outcomes[known].std() < 2.0


def test_the_bandit_stays_below_its_bound_and_even_play_does_not_win() -> None:
    """On the first 1,000 rounds of the turning leader the regret is a fraction of the bound of 3,008 at 10,000."""
    losses = regret.late_turn(np.random.default_rng(1))[:1_000]
    found = regret.regret_of(losses, key="test")
    limit = regret.bound()
    assert (found <= limit[:1_000]).all()
    assert limit[-1] == pytest.approx(3_008, abs=1.0)


def test_equal_risk_is_measured_independently() -> None:
    """A book of two has equal contributions to 1e-12 by NumPy's own product."""
    rng = np.random.default_rng(2)
    deviation, solved = equal_risk._deviation(rng, np.array([[1.0, 0.5], [0.5, 1.0]]))
    assert solved
    assert deviation < 1e-12
    for kind in equal_risk.KINDS:
        assert np.linalg.eigvalsh(equal_risk._correlation(rng, kind, 12))[0] > 0.0009


def test_a_strong_skill_passes_and_a_case_that_cannot_be_asked_is_refused() -> None:
    """With a skill of 2 every history passes; ten minutes of history calibrate nothing."""
    case = no_skill.Case(name="short", horizon=5, rows=120, symbols=8, persistence=0.9, histories=5)
    assert no_skill.passed_share(case, np.random.default_rng(1), histories=5, skill=2.0) == 1.0
    short = no_skill.Case(name="too short", horizon=5, rows=10, symbols=8, persistence=0.9, histories=1)
    with pytest.raises(RuntimeError, match="too short: 10 rows"):
        no_skill.passed_share(short, np.random.default_rng(1), histories=1, skill=0.0)


def test_pictures_are_two_files_and_equal_again(tmp_path: Path) -> None:
    """Lines and bars, also with a 0 on a logarithmic axis; the same exhibit gives the same SVG."""
    pytest.importorskip("matplotlib", reason="the pictures need the extra walstreet[bench]")
    line = Line(name="a", x=[1.0, 2.0], y=[0.5, float("nan")])
    exhibit = Exhibit(
        name="picture",
        title="t",
        rows=(),
        panels=(
            Panel(title="lines", x_label="x", y_label="y", lines=(line,), allowed=(0.4, 0.6)),
            Panel(
                title="bars",
                x_label="x",
                y_label="",
                bars=(("zero", 0.0), ("some", 1e-16)),
                allowed=(1e-18, 1e-12),
                logarithmic=("x",),
            ),
        ),
    )
    first, second = tmp_path / "1", tmp_path / "2"
    for folder in (first, second):
        folder.mkdir()
        assert [path.name for path in pictures.draw(exhibit, folder)] == ["picture.svg", "picture.png"]
    assert (first / "picture.svg").read_bytes() == (second / "picture.svg").read_bytes()
    assert (first / "picture.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert pictures.draw(Exhibit(name="none", title="t", rows=()), first) == []
