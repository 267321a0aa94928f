"""Owns a seeded source of bars for the tests of features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from walstreet.training.steps import StepTable, bars_from_steps
from walstreet_events import BarBlock

STEP_NS = 5_000_000_000
MINUTE_NS = 60_000_000_000
OPEN_NS = 1_709_649_000_000_000_000
DAY_NS = 86_400_000_000_000

BarSource = Callable[..., list[BarBlock]]


@pytest.fixture(name="make_bars")
def fixture_make_bars() -> BarSource:
    """Return a function that makes random sessions of bars."""

    def make(
        *, minutes: int, width: int = 3, seed: int = 1, day: int = 0, quoted: bool = True, activity: float = 0.9
    ) -> list[BarBlock]:
        rng = np.random.default_rng([seed, day])
        shape = (minutes * 12, width)
        mid = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 2e-4, shape), axis=0) + 0.05 * day)
        half = rng.integers(1, 4, shape) * 0.005
        bid = np.rint((mid - half) * 100).astype(np.int64) * 10_000_000
        ask = bid + np.rint(2 * half * 100).astype(np.int64) * 10_000_000
        traded = rng.random(shape) < activity
        table = StepTable(
            symbols=tuple(f"S{index:02d}" for index in range(width)),
            open_ns=OPEN_NS + day * DAY_NS,
            step_ns=STEP_NS,
            bid_nano=bid,
            ask_nano=ask,
            bid_size_micro=rng.integers(1, 20, shape) * 100_000_000,
            ask_size_micro=rng.integers(1, 20, shape) * 100_000_000,
            trade_nano=np.where(rng.random(shape) < 0.5, bid, ask),
            trade_size_micro=np.where(traded, rng.integers(1, 500, shape) * 1_000_000, 0),
        )
        last = np.full(width, 100_000_000_000, dtype=np.int64)
        return list(bars_from_steps(table, bar_ns=MINUTE_NS, last_close_nano=last, quoted=quoted))

    return make
