"""Owns the files of a research run: metrics as JSON, weights and days as CSV, the audit as JSON lines.

No clock and no host is in them. Numbers are written with as many digits as their value needs, so that reading them
back gives the same bits.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from walstreet.domain.units import FloatArray
from walstreet.research.swing_data import date_of
from walstreet.research.swing_types import SwingBars, SwingResult
from walstreet.runtime.errors import UsageError

METRICS_FILE = "metrics.json"
LOGS_DIR = "logs"
DAILY_COLUMNS = ("gross", "turnover", "cost", "net", "equity")


def prepare(folder: Path) -> None:
    """Make the folder of the results, before anything long is computed.

    Raises:
        UsageError: It cannot be made or written into.
    """
    try:
        (folder / LOGS_DIR).mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"--out {folder} cannot be written by user {os.getuid()} ({error.strerror}); choose another folder, or in "
            "a container run `export UID GID=$(id -g)` before, so that it works as you"
        ) from error


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write one mapping; an infinity or NaN in it is a mistake of ours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_lines(path: Path, lines: Iterable[Mapping[str, object]]) -> None:
    """Write one mapping a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as stream:
        for line in lines:
            stream.write(json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n")


def write_rows(path: Path, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a small table as CSV; texts in it hold no comma and no quote."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(heads), *(",".join(_cell(value) for value in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_simulation(folder: Path, bars: SwingBars, result: SwingResult) -> None:
    """Write daily.csv, target_weights.csv, held_weights.csv and weights.csv of one simulation.

    ``weights.csv`` has a row for each weight above 0 of ``target_weights.csv``; a day without one is in cash.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = bars.dates[result.first_day : result.first_day + len(result.net)]
    dates = pl.Series("date", [date_of(day) for day in rows.tolist()], dtype=pl.Date)
    daily = {name: getattr(result, name) for name in DAILY_COLUMNS}
    pl.DataFrame({"date": dates, **daily}).write_csv(folder / "daily.csv")
    _wide(dates, bars.symbols, result.target).write_csv(folder / "target_weights.csv")
    _wide(dates, bars.symbols, result.held).write_csv(folder / "held_weights.csv")
    day, column = np.nonzero(result.target)
    long = {
        "date": dates.gather(day),
        "symbol": pl.Series(bars.symbols, dtype=pl.String).gather(column),
        "weight": result.target[day, column],
    }
    pl.DataFrame(long).write_csv(folder / "weights.csv")


def _wide(dates: pl.Series, symbols: Sequence[str], weights: FloatArray) -> pl.DataFrame:
    columns = {symbol: np.ascontiguousarray(weights[:, column]) for column, symbol in enumerate(symbols)}
    return pl.DataFrame({"date": dates, **columns})


def _cell(value: object) -> str:
    text = repr(value) if isinstance(value, float) else "" if value is None else str(value)
    assert "," not in text, text
    assert '"' not in text, text
    return text
