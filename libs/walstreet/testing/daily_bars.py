"""Owns small folders of synthetic daily bars for tests of research: seeded, with trends that the rotation finds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from walstreet.domain.units import FloatArray

FIRST_DAY = dt.date(2015, 1, 5)
"""A Monday; bars stand on weekdays, holidays are not left out."""
TREND_DAYS = 60
"""A drift lasts so long."""
DRIFT_DAILY = 0.002
"""Standard deviation of the drifts."""
DEVIATION_DAILY = 0.01


def weekdays(count: int, first: dt.date = FIRST_DAY) -> list[dt.date]:
    """Return ``count`` weekdays from ``first`` on."""
    days = (first + dt.timedelta(days=offset) for offset in range(2 * count + 7))
    return [day for day in days if day.weekday() < 5][:count]


def write_daily_bars(
    folder: Path, symbols: Sequence[str], *, days: int, seed: int, starts: Mapping[str, int] | None = None
) -> Path:
    """Write ``SYMBOL.parquet`` of each symbol and return the folder.

    Args:
        folder: Made where it is missing.
        symbols: Each with prices of its own.
        days: Number of bars.
        seed: The same seed gives the same files.
        starts: Symbols whose first bar is so many days later.
    """
    folder.mkdir(parents=True, exist_ok=True)
    every = weekdays(days)
    for index, symbol in enumerate(symbols):
        opened, high, low, close = walk_of_prices(days, np.random.default_rng((seed, index)))
        frame = pl.DataFrame({"date": every, "open": opened, "high": high, "low": low, "close": close})
        frame[(starts or {}).get(symbol, 0) :].write_parquet(folder / f"{symbol}.parquet")
    return folder


def walk_of_prices(days: int, generator: np.random.Generator) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return open, high, low and close (days,) of a walk whose drift changes now and then."""
    drifts = np.repeat(generator.normal(0.0, DRIFT_DAILY, -(-days // TREND_DAYS)), TREND_DAYS)[:days]
    close = 100.0 * np.exp(np.cumsum(drifts + generator.normal(0.0, DEVIATION_DAILY, days)))
    opened = np.concatenate(([100.0], close[:-1])) * np.exp(generator.normal(0.0, DEVIATION_DAILY / 4, days))
    room = 1.0 + np.abs(generator.normal(0.0, DEVIATION_DAILY / 2, (2, days)))
    return opened, np.maximum(opened, close) * room[0], np.minimum(opened, close) / room[1], close
