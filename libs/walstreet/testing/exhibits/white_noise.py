"""Owns the exhibit of the permutation test on white noise: where there is nothing to find, its p-values are uniform."""

from __future__ import annotations

from typing import Final

import numpy as np

from walstreet.domain.units import FloatArray
from walstreet.research.permutation import permutation_test
from walstreet.research.swing_grid import make_grid
from walstreet.research.swing_native import choose_engine
from walstreet.research.swing_types import SwingBars, SwingEngine, SwingParameters, Window
from walstreet.research.uniformity import uniformity_test
from walstreet.testing.exhibits.row import Exhibit, Line, Panel, Row

NAME: Final = "white_noise"
WORLDS: Final = 400
RUNS: Final = 99
SYMBOLS: Final = 4
WARM_DAYS, TRAIN_DAYS = 60, 250
BINS: Final = 20
SEED: Final = 20_241
P_VALUE_MIN: Final = 0.01
SMALL: Final = 0.05
SMALL_SHARE: Final = (0.02, 0.09)
"""Of 400 uniform p-values the share up to .05 lies in it with a probability of more than 99.5 %."""


def exhibit() -> Exhibit:
    """Test many worlds without any pattern over time, and the p-values against the uniform distribution."""
    p_values = noise_p_values(WORLDS, runs=RUNS, seed=SEED)
    test = uniformity_test(p_values)
    share = float((p_values <= SMALL).mean())
    counts, edges = np.histogram(p_values, bins=BINS, range=(0.0, 1.0))
    rows = (
        Row(
            exhibit="permutation on white noise",
            case="Kolmogorov-Smirnov p-value",
            value=test.p_value,
            low=P_VALUE_MIN,
            note=f"{WORLDS} worlds, {RUNS} runs each, distance {test.distance:.4f} from the uniform distribution",
        ),
        Row(
            exhibit="permutation on white noise",
            case="share of p-values up to .05",
            value=share,
            low=SMALL_SHARE[0],
            high=SMALL_SHARE[1],
            note="a test that finds something where nothing is would have more",
        ),
    )
    histogram = Panel(
        title=f"p-values of {WORLDS} worlds of white noise (shade: what chance allows a bin, 99 %)",
        x_label="p-value",
        y_label="worlds",
        lines=(Line(name="worlds", x=stairs(edges), y=np.repeat(counts, 2).tolist()),),
        allowed=chance_band(WORLDS, BINS),
    )
    ordered = np.sort(p_values)
    steps = np.arange(1, WORLDS + 1) / WORLDS
    distribution = Panel(
        title=f"distribution function: distance {test.distance:.3f}, Kolmogorov-Smirnov p = {test.p_value:.2f}",
        x_label="p-value",
        y_label="share",
        lines=(
            Line(name="worlds", x=ordered.tolist(), y=steps.tolist()),
            Line(name="uniform", x=[0.0, 1.0], y=[0.0, 1.0], style="dashed"),
        ),
    )
    return Exhibit(
        name=NAME,
        title="The permutation test where there is nothing to find",
        rows=rows,
        panels=(histogram, distribution),
    )


def noise_p_values(worlds: int, *, runs: int, seed: int) -> FloatArray:
    """Return (worlds,) p-values of one window each, in the middle of the step that their number of runs leaves.

    A p-value is a multiple of ``1 / (runs + 1)``; uniform numbers are not, so that half a step is taken off.
    """
    point = SwingParameters(
        ema_fast=5, ema_slow=15, atr_window=10, corr_window=20, vol_window=10, top_n=1, first_day=0, last_day=0
    )
    window = Window(
        train_first=WARM_DAYS,
        train_last=WARM_DAYS + TRAIN_DAYS - 1,
        test_first=WARM_DAYS + TRAIN_DAYS,
        test_last=WARM_DAYS + TRAIN_DAYS,
    )
    grid = make_grid(point, {"ema_fast": (3, 5), "ema_slow": (15,), "top_n": (1, 2), "corr_cap": (0.7,)})
    engine: SwingEngine = choose_engine(grid, threads=1).engine
    found = [
        permutation_test(
            engine, noise_bars(np.random.default_rng([seed, world])), grid, [window], "CAGR", seed=world, runs=runs
        ).p_values[0]
        for world in range(worlds)
    ]
    return np.array(found) - 0.5 / (runs + 1)


def noise_bars(generator: np.random.Generator) -> SwingBars:
    """Return bars whose days are independent of each other; symbols share a part, as markets do."""
    days = WARM_DAYS + TRAIN_DAYS + 1
    shape = (days, SYMBOLS)
    gap = np.exp(generator.normal(0.0, 0.004, shape))
    move = np.exp(generator.normal(0.0, 0.009, shape) + generator.normal(0.0, 0.006, (days, 1)))
    room = np.abs(generator.normal(0.0, 0.004, (2, *shape)))
    close = 100.0 * np.multiply.accumulate(gap * move, axis=0)
    opened = close / move
    return SwingBars(
        symbols=tuple(f"N{index}" for index in range(SYMBOLS)),
        dates=np.arange(days, dtype=np.int32),
        open=opened,
        high=np.maximum(opened, close) * np.exp(room[0]),
        low=np.minimum(opened, close) * np.exp(-room[1]),
        close=close,
    )


def chance_band(count: int, bins: int) -> tuple[float, float]:
    """Return how many of ``count`` uniform numbers lie in one of ``bins`` bins, in 99 of 100 cases (normal law)."""
    mean = count / bins
    reach = 2.576 * (mean * (1.0 - 1.0 / bins)) ** 0.5
    return max(0.0, mean - reach), mean + reach


def stairs(edges: FloatArray) -> list[float]:
    """Return the x of a histogram drawn as a line: both ends of each bin."""
    return np.stack([edges[:-1], edges[1:]], axis=1).reshape(-1).tolist()
