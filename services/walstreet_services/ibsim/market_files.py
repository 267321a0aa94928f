"""Owns reading the recorded Parquet files and refusing the broken ones with the exact place of the fault."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from walstreet_services.ibsim.calendar_xnys import sessions_between
from walstreet_services.ibsim.market_errors import MarketDataError
from walstreet_services.ibsim.market_path import NANOSECONDS_PER_MINUTE, MinuteBars

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from numpy.typing import NDArray

    from walstreet_services.ibsim.model import Int64Array, Session

NANO_PER_DOLLAR = 1_000_000_000
PRICE_COLUMNS = ("open", "high", "low", "close")
PRICE_DOLLARS_MAX = 1_000_000.0
"""Above it, prices times sizes would leave 64 bits; no listed share comes near except one (BRK A, below it)."""
FILE_ROWS_MAX = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteFile:
    """One symbol's minute bars, whole file, ascending; and the sessions that have at least one bar."""

    symbol: str
    start_ns: Int64Array
    prices_nano: dict[str, Int64Array]
    volume_shares: Int64Array
    sessions: tuple[Session, ...]
    segments: tuple[tuple[date, date], ...]

    def session_bars(self, session: Session) -> MinuteBars:
        """Return the bars of one session on the grid of its minutes; rows outside regular hours are ignored."""
        first, last = np.searchsorted(self.start_ns, [session.open_ns, session.close_ns])
        minutes = (session.close_ns - session.open_ns) // NANOSECONDS_PER_MINUTE
        position = (self.start_ns[first:last] - session.open_ns) // NANOSECONDS_PER_MINUTE
        present = np.zeros(minutes, dtype=np.bool_)
        present[position] = True

        def on_grid(values: Int64Array) -> Int64Array:
            result = np.zeros(minutes, dtype=np.int64)
            result[position] = values[first:last]
            return result

        return MinuteBars(
            present=present,
            open_nano=on_grid(self.prices_nano["open"]),
            high_nano=on_grid(self.prices_nano["high"]),
            low_nano=on_grid(self.prices_nano["low"]),
            close_nano=on_grid(self.prices_nano["close"]),
            volume_shares=on_grid(self.volume_shares),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyFile:
    """One symbol's daily bars; prices in nano-USD by column name, position by date."""

    position: dict[date, int]
    prices_nano: dict[str, Int64Array]
    volume_shares: Int64Array


def symbols_on(data_dir: Path, session: Session) -> tuple[str, ...]:
    """Return the symbols with at least one minute bar in ``session``, in alphabetical order.

    Raises:
        MarketDataError: The folder has no minute files, or none of them covers the session.
    """
    paths = sorted((data_dir / "minute").glob("*.parquet"))
    found = tuple(path.stem for path in paths if _covers(path, session))
    if not found:
        raise MarketDataError(
            f"{data_dir / 'minute'} has {len(paths)} Parquet files, none with bars on {session.date}; "
            "choose another --day, or another --data folder"
        )
    return found


def _covers(path: Path, session: Session) -> bool:
    start = pl.col("ts").dt.timestamp("ns")
    frame = pl.scan_parquet(path).filter((start >= session.open_ns) & (start < session.close_ns)).select(pl.len())
    return int(frame.collect().item()) > 0


def read_minute_file(data_dir: Path, symbol: str) -> MinuteFile:
    """Read ``minute/SYMBOL.parquet``.

    Raises:
        MarketDataError: If the file is missing, lacks a column, or holds an impossible row.
    """
    path = data_dir / "minute" / f"{symbol}.parquet"
    if not path.is_file():
        available = ", ".join(sorted(file.stem for file in path.parent.glob("*.parquet"))) or "none"
        raise MarketDataError(
            f"no minute bars of {symbol}: {path} does not exist; symbols available there: {available}"
        )
    frame = _read(path, {"ts": pl.Datetime})
    if frame.schema["ts"] != pl.Datetime("us", "UTC") and frame.schema["ts"] != pl.Datetime("ns", "UTC"):
        raise MarketDataError(f"{path}: column ts is {frame.schema['ts']}; it must be Datetime in UTC (us or ns)")
    start_ns = frame["ts"].dt.epoch("ns").to_numpy().astype(np.int64)
    misaligned = np.flatnonzero(start_ns % NANOSECONDS_PER_MINUTE)
    if len(misaligned):
        row = int(misaligned[0])
        raise MarketDataError(f"{path}: row {row} starts at {frame['ts'][row]}, which is no whole minute")
    _check_ascending(path, start_ns, frame["ts"])
    prices, volume = _checked_values(path, frame, frame["ts"])
    known = sessions_between(frame["ts"][0].date(), frame["ts"][-1].date())
    first = np.searchsorted(start_ns, [session.open_ns for session in known])
    last = np.searchsorted(start_ns, [session.close_ns for session in known])
    present = [bool(stop > start) for start, stop in zip(first, last, strict=True)]
    return MinuteFile(
        symbol=symbol,
        start_ns=start_ns,
        prices_nano=prices,
        volume_shares=volume,
        sessions=tuple(session for session, has_rows in zip(known, present, strict=True) if has_rows),
        segments=_segments(known, present),
    )


def read_daily_file(data_dir: Path, folder: str, symbol: str) -> DailyFile | None:
    """Read ``FOLDER/SYMBOL.parquet``, or return None where there is none.

    Raises:
        MarketDataError: If the file lacks a column or holds an impossible row.
    """
    path = data_dir / folder / f"{symbol}.parquet"
    if not path.is_file():
        return None
    frame = _read(path, {"date": pl.Date})
    days = frame["date"]
    _check_ascending(path, days.to_physical().to_numpy().astype(np.int64), days)
    prices, volume = _checked_values(path, frame, days)
    return DailyFile(
        position={day: row for row, day in enumerate(days.to_list())}, prices_nano=prices, volume_shares=volume
    )


def describe_segments(segments: tuple[tuple[date, date], ...]) -> str:
    """Return the periods of a file as text for error messages."""
    return ", ".join(f"{first} to {last}" for first, last in segments) or "none"


def _read(path: Path, time_column: dict[str, type[pl.DataType]]) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise MarketDataError(f"{path} cannot be read as Parquet ({error}); download it again") from error
    expected: dict[str, type[pl.DataType]] = {
        **time_column,
        **dict.fromkeys(PRICE_COLUMNS, pl.Float64),
        "volume": pl.Int64,
    }
    faults = [
        f"{name} is {frame.schema.get(name, 'missing')}, expected {dtype.__name__}"
        for name, dtype in expected.items()
        if name not in frame.schema or not isinstance(frame.schema[name], dtype)
    ]
    if faults:
        raise MarketDataError(f"{path}: bad columns: {'; '.join(faults)}")
    if not 0 < frame.height <= FILE_ROWS_MAX:
        raise MarketDataError(f"{path}: {frame.height} rows; 1 to {FILE_ROWS_MAX} are possible")
    for name in expected:
        if frame[name].null_count():
            row = int(frame[name].is_null().arg_true()[0])
            raise MarketDataError(f"{path}: column {name} is empty in row {row}; remove the row")
    return frame


def _check_ascending(path: Path, values: Int64Array, shown: pl.Series) -> None:
    wrong = np.flatnonzero(np.diff(values) <= 0)
    if len(wrong):
        row = int(wrong[0]) + 1
        raise MarketDataError(
            f"{path}: row {row} ({shown[row]}) does not come after row {row - 1} ({shown[row - 1]}); "
            "rows must ascend strictly, sort the file and remove duplicates"
        )


def _checked_values(path: Path, frame: pl.DataFrame, times: pl.Series) -> tuple[dict[str, Int64Array], Int64Array]:
    columns = {name: frame[name].to_numpy() for name in PRICE_COLUMNS}
    volume = frame["volume"].to_numpy().astype(np.int64)
    for name, values in columns.items():
        bad = ~np.isfinite(values) | (values <= 0.0) | (values > PRICE_DOLLARS_MAX)
        _refuse_first(path, times, bad, f"{name} is no price above 0 and up to {PRICE_DOLLARS_MAX}", values)
    high, low = columns["high"], columns["low"]
    _refuse_first(path, times, high < low, "high is below low, high", high)
    body_high = np.maximum(columns["open"], columns["close"])
    body_low = np.minimum(columns["open"], columns["close"])
    _refuse_first(path, times, high < body_high, "high is below open or close, high", high)
    _refuse_first(path, times, low > body_low, "low is above open or close, low", low)
    _refuse_first(path, times, volume < 0, "volume is negative", volume)
    nano = {name: np.rint(values * NANO_PER_DOLLAR).astype(np.int64) for name, values in columns.items()}
    return nano, volume


def _refuse_first(
    path: Path,
    times: pl.Series,
    bad: NDArray[np.bool_],
    fault: str,
    values: NDArray[np.float64] | Int64Array,
) -> None:
    rows = np.flatnonzero(bad)
    if len(rows):
        row = int(rows[0])
        raise MarketDataError(f"{path}: row {row} ({times[row]}): {fault} = {values[row]}; correct or remove it")


def _segments(known: tuple[Session, ...], present: list[bool]) -> tuple[tuple[date, date], ...]:
    segments: list[tuple[date, date]] = []
    open_segment = False
    for session, has_rows in zip(known, present, strict=True):
        if has_rows:
            first = segments.pop()[0] if open_segment else session.date
            segments.append((first, session.date))
        open_segment = has_rows
    return tuple(segments)
