"""Owns the folder of daily bars that `bot fetch` fills: a file for each series, replaced whole or not at all.

``SYMBOL.parquet`` is the adjusted series, which research reads; ``raw/SYMBOL.parquet`` has prices as they were traded,
``actions/SYMBOL.parquet`` the dividends and splits between the two. Where a series came from, and from which day on it
was asked for, stands in the file's metadata: the files are the whole state of a fetch.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import polars as pl

from walstreet.domain.corporate_actions import CorporateAction
from walstreet.domain.daily_series import PRICES, DailySeries, day_date, day_number
from walstreet.runtime.errors import UsageError

SOURCE: Final = "walstreet.source"
ASKED_FROM: Final = "walstreet.asked_from"
LOCK_FILE: Final = ".fetch.lock"
SIMULATED: Final = "simulator"
"""The source of prices that no market has made."""
_REMEDY: Final = "move it away, or name another folder with --data"

SeriesName = Literal["raw", "adjusted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One series on file."""

    series: DailySeries
    source: str
    asked_from: int
    """Oldest day that was asked for, in days since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticedAction:
    """An action and how it is known."""

    action: CorporateAction
    derived: bool
    """From the two series; otherwise a source restated its past, and the action is kept though no price shows it."""


class DailyStore:
    """One folder of daily bars."""

    def __init__(self, folder: Path) -> None:
        """Keep files under ``folder``."""
        self.folder = folder

    def path(self, symbol: str, name: SeriesName) -> Path:
        """Return where a series is kept."""
        return self.folder / f"{symbol}.parquet" if name == "adjusted" else self.folder / "raw" / f"{symbol}.parquet"

    def read(self, symbol: str, name: SeriesName) -> Stored | None:
        """Return a series, or None where there is no file.

        Raises:
            UsageError: The file was not written by this module, or is broken.
        """
        path = self.path(symbol, name)
        if not path.is_file():
            return None
        try:
            frame = pl.read_parquet(path)
            known = pl.read_parquet_metadata(path)
            return Stored(
                series=_series(frame),
                source=known[SOURCE],
                asked_from=day_number(dt.date.fromisoformat(known[ASKED_FROM])),
            )
        except (OSError, pl.exceptions.PolarsError) as error:
            raise UsageError(f"{path} is no readable Parquet file ({error}); {_REMEDY}") from error
        except (KeyError, ValueError) as error:
            raise UsageError(f"{path} was not written by `bot fetch` ({error!r}); {_REMEDY}") from error

    def write(self, symbol: str, name: SeriesName, stored: Stored) -> None:
        """Replace a series; whatever happens, the file is the old or the new one."""
        known = {SOURCE: stored.source, ASKED_FROM: day_date(stored.asked_from).isoformat()}
        write_whole(self.path(symbol, name), _frame(stored.series), known)

    def actions(self, symbol: str) -> tuple[NoticedAction, ...]:
        """Return the actions on file.

        Raises:
            UsageError: The file is broken.
        """
        path = self._actions_path(symbol)
        if not path.is_file():
            return ()
        try:
            rows = pl.read_parquet(path).to_dicts()
            return tuple(
                NoticedAction(
                    action=CorporateAction(day=day_number(row["ex_date"]), kind=row["kind"], value=row["value"]),
                    derived=row["derived"],
                )
                for row in rows
            )
        except (OSError, KeyError, pl.exceptions.PolarsError) as error:
            raise UsageError(f"{path} is no file of corporate actions ({error!r}); {_REMEDY}") from error

    def write_actions(self, symbol: str, actions: Sequence[NoticedAction], *, source: str) -> None:
        """Replace the actions of a symbol."""
        ordered = sorted(actions, key=lambda noticed: (noticed.action.day, noticed.action.kind))
        frame = pl.DataFrame(
            {
                "symbol": [symbol] * len(ordered),
                "ex_date": [day_date(noticed.action.day) for noticed in ordered],
                "kind": [noticed.action.kind for noticed in ordered],
                "value": [noticed.action.value for noticed in ordered],
                "derived": [noticed.derived for noticed in ordered],
            },
            schema={
                "symbol": pl.String,
                "ex_date": pl.Date,
                "kind": pl.String,
                "value": pl.Float64,
                "derived": pl.Boolean,
            },
        )
        write_whole(self._actions_path(symbol), frame, {SOURCE: source})

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other fetches out of the folder; the lock ends with the process, however that ends.

        Raises:
            UsageError: Another fetch works in the folder, or it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / LOCK_FILE).open("w", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--data {self.folder} cannot be written ({error}); name another folder") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UsageError(
                    f"another fetch works in {self.folder}; wait for it, or name another folder"
                ) from error
            yield

    def _actions_path(self, symbol: str) -> Path:
        return self.folder / "actions" / f"{symbol}.parquet"


def source_of(folder: Path, symbol: str) -> str:
    """Return where the adjusted series of a symbol came from, or "" where the file does not say."""
    try:
        return pl.read_parquet_metadata(folder / f"{symbol}.parquet").get(SOURCE, "")
    except (OSError, pl.exceptions.PolarsError):
        # Whoever reads the prices themselves will say what is wrong with the file.
        return ""


def write_whole(path: Path, frame: pl.DataFrame, metadata: Mapping[str, str]) -> None:
    """Write a Parquet file so that a reader, or a crash at any moment, finds the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # One name for each file: what a killed fetch has left behind is written over by the next.
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        frame.write_parquet(file, metadata=dict(metadata))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _frame(series: DailySeries) -> pl.DataFrame:
    columns = {name: getattr(series, name) for name in (*PRICES, "volume", "provisional")}
    dates = pl.Series("date", series.days, dtype=pl.Int32).cast(pl.Date)
    return pl.DataFrame([dates, *(pl.Series(name, values) for name, values in columns.items())])


def _series(frame: pl.DataFrame) -> DailySeries:
    missing = [name for name in ("date", *PRICES, "volume", "provisional") if name not in frame.columns]
    if missing:
        raise KeyError(missing[0])
    days = frame["date"].to_physical().to_numpy().astype(np.int32)
    if not (np.diff(days) > 0).all():
        raise ValueError("its days do not ascend")
    return DailySeries(
        days=days,
        open=frame["open"].to_numpy().astype(np.float64),
        high=frame["high"].to_numpy().astype(np.float64),
        low=frame["low"].to_numpy().astype(np.float64),
        close=frame["close"].to_numpy().astype(np.float64),
        volume=frame["volume"].to_numpy().astype(np.int64),
        provisional=frame["provisional"].to_numpy().astype(np.bool_),
    )
