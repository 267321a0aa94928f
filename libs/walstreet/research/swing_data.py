"""Owns reading a folder of ``SYMBOL.parquet`` daily bars into the aligned arrays of research.

Columns are ``date`` (a Date, or a Datetime whose UTC date is taken), ``open``, ``high``, ``low`` and ``close`` in USD;
others, such as ``volume``, are not read. Days are the union over the universe: a symbol that begins later or misses a
day has NaN there. Nothing is repaired: a fault is refused with file, row and remedy.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from walstreet.domain.units import BoolArray, FloatArray
from walstreet.research.swing_types import DateArray, SwingBars
from walstreet.runtime.errors import UsageError

PRICES = ("open", "high", "low", "close")
SYMBOLS_MAX = 20_000
"""A larger universe comes from a broken argument."""
GAP_DAYS_MAX = 10
"""Calendar days between two bars of a symbol that holidays can explain; the longest closure since 1914 was 7."""

_EPOCH = dt.date(1970, 1, 1).toordinal()
_REMEDY = "fetch the symbol again or repair the file"


def read_bars(folder: Path, universe: Sequence[str]) -> SwingBars:
    """Return the bars of ``universe`` from ``folder``, columns in the order of the universe.

    Raises:
        UsageError: A file is missing, is no Parquet, or holds a bar that no market can have printed.
    """
    if not universe:
        raise UsageError("the universe is empty; name at least one symbol")
    if len(universe) > SYMBOLS_MAX or len(set(universe)) != len(universe):
        raise UsageError(f"the universe has {len(universe)} symbols; allowed are {SYMBOLS_MAX}, each once")
    series = [_read_symbol(folder / f"{symbol}.parquet") for symbol in universe]
    dates = np.unique(np.concatenate([days for days, _ in series])).astype(np.int32)
    prices = {name: np.full((len(dates), len(universe)), np.nan) for name in PRICES}
    for column, (days, values) in enumerate(series):
        rows = np.searchsorted(dates, days)
        for name, own in zip(PRICES, values, strict=True):
            prices[name][rows, column] = own
    return SwingBars(symbols=tuple(universe), dates=dates, **prices)


def simulated_rows(bars: SwingBars, start: dt.date | None, end: dt.date | None) -> tuple[int, int]:
    """Return the first and the last row of the days from ``start`` to ``end``, both inclusive; None is unlimited.

    Raises:
        UsageError: No bar lies between them.
    """
    first = 0 if start is None else bars.row_from(start.toordinal() - _EPOCH)
    last = (len(bars.dates) if end is None else bars.row_from(end.toordinal() - _EPOCH + 1)) - 1
    if first > last:
        have = f"{date_of(bars.dates[0])} to {date_of(bars.dates[-1])}"
        raise UsageError(f"no bar lies between {start} and {end}; the data hold {have}")
    return first, last


def date_of(day: int | np.int32) -> dt.date:
    """Return the date that is ``day`` days after 1970-01-01."""
    return dt.date.fromordinal(int(day) + _EPOCH)


def long_gaps(bars: SwingBars) -> list[str]:
    """Return a line for each place where a symbol has no bar for longer than holidays explain.

    Such a symbol is sold at its last close, and the return over the gap belongs to nobody.
    """
    lines = []
    for column, symbol in enumerate(bars.symbols):
        days = bars.dates[~np.isnan(bars.close[:, column])]
        lines += [
            f"{symbol}: no bar between {date_of(days[place])} and {date_of(days[place + 1])}"
            for place in np.flatnonzero(np.diff(days) > GAP_DAYS_MAX).tolist()
        ]
    return lines


def _read_symbol(path: Path) -> tuple[DateArray, tuple[FloatArray, ...]]:
    """Return the days of one file and its four prices."""
    if not path.is_file():
        have = sorted(entry.stem for entry in path.parent.glob("*.parquet"))
        known = ", ".join(have[:20]) if have else "no Parquet file"
        raise UsageError(f"{path} does not exist (the folder holds {known}); fetch it or take it out of the universe")
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UsageError(f"{path} is no readable Parquet file ({error}); {_REMEDY}") from error
    missing = [name for name in ("date", *PRICES) if name not in frame.columns]
    if missing:
        raise UsageError(f"{path} has no column {missing[0]!r}, only {', '.join(frame.columns)}; {_REMEDY}")
    if frame.height == 0:
        raise UsageError(f"{path} holds no bar; {_REMEDY}")
    days = _days(frame["date"], path)
    values = tuple(_price(frame[name], path) for name in PRICES)
    _require_sound(days, values, path)
    return days, values


def _days(column: pl.Series, path: Path) -> DateArray:
    if isinstance(column.dtype, pl.Datetime):
        zone = column.dtype.time_zone
        utc = column if zone is None else column.dt.convert_time_zone("UTC")
        column = utc.dt.date()
    if column.dtype != pl.Date:
        raise UsageError(f"{path}: column 'date' is {column.dtype}, it must be a Date or a Datetime; {_REMEDY}")
    if column.null_count():
        raise UsageError(f"{path} row {int(column.is_null().arg_true()[0])}: there is no date; {_REMEDY}")
    return column.to_physical().to_numpy().astype(np.int32)


def _price(column: pl.Series, path: Path) -> FloatArray:
    if not column.dtype.is_numeric():
        raise UsageError(f"{path}: column {column.name!r} is {column.dtype}, it must be a number; {_REMEDY}")
    return np.ascontiguousarray(column.cast(pl.Float64).fill_null(np.nan).to_numpy(), dtype=np.float64)


def _require_sound(days: DateArray, values: Sequence[FloatArray], path: Path) -> None:
    """Refuse the first row that breaks a rule of daily bars."""
    opened, high, low, close = values
    later = np.concatenate(([True], np.diff(days) > 0))
    known = np.logical_and.reduce([np.isfinite(side) for side in values])
    positive = np.logical_and.reduce([side > 0.0 for side in values])
    top, bottom = np.maximum(opened, close), np.minimum(opened, close)
    rules: tuple[tuple[BoolArray, str], ...] = (
        (later, "the date does not come after the row before"),
        (known, "a price is missing or not finite"),
        (positive, "a price is not positive"),
        (high >= np.maximum(top, low), "the high is below another price"),
        (low <= bottom, "the low is above another price"),
    )
    for holds, fault in rules:
        if bool(holds.all()):
            continue
        row = int(np.argmin(holds))
        bar = ", ".join(f"{name} {side[row]:g}" for name, side in zip(PRICES, values, strict=True))
        raise UsageError(f"{path} row {row} ({date_of(days[row])}): {fault} ({bar}); {_REMEDY}")
