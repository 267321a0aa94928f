"""Two promises of research in their bounded form: white noise gives uniform p-values, and no day knows a later bar."""

import numpy as np
import pytest

from walstreet.research.swing_engine import ReferenceEngine
from walstreet.research.swing_native import choose_engine
from walstreet.research.swing_types import SwingParameters
from walstreet.research.uniformity import uniformity_test
from walstreet.testing.exhibits.look_ahead import DAYS, changed_days, random_point
from walstreet.testing.exhibits.white_noise import noise_p_values

WORLDS, RUNS = 80, 39
P_VALUE_MIN = 0.005
POINT = SwingParameters(corr_window=40, ema_slow=40, first_day=0, last_day=DAYS - 1)


def test_white_noise_has_uniform_p_values() -> None:
    """Eighty worlds without a pattern over time; `walstreet exhibit research` has four hundred, with a picture."""
    p_values = noise_p_values(WORLDS, runs=RUNS, seed=11)
    assert ((p_values > 0.0) & (p_values < 1.0)).all()
    assert uniformity_test(p_values).p_value > P_VALUE_MIN


@pytest.mark.parametrize(("engine", "dates"), [(choose_engine([POINT], threads=1).engine, 120), (ReferenceEngine(), 8)])
def test_another_future_changes_no_earlier_day(engine, dates: int) -> None:
    """After each of many days every later bar is another world's; all before stays."""
    for seed in (1, 2):
        assert changed_days(engine, POINT, dates=dates // 2, seed=seed) == 0


def test_a_look_ahead_would_be_seen() -> None:
    """An engine that is told tomorrow's closes today changes its past with the future."""
    honest = choose_engine([POINT], threads=1).engine

    class Peeking:
        """Shifts all bars by one day."""

        def simulate(self, bars, segments):
            sides = {n: np.roll(getattr(bars, n), -1, axis=0) for n in ("open", "high", "low", "close")}
            return honest.simulate(type(bars)(symbols=bars.symbols, dates=bars.dates, **sides), segments)

    assert changed_days(Peeking(), POINT, dates=20, seed=1) > 10


def test_random_points_differ() -> None:
    """The sets of the exhibit are not one set many times."""
    generator = np.random.default_rng(1)
    assert len({random_point(generator) for _ in range(60)}) == 60
