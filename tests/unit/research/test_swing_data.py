"""Reading a folder of daily bars: alignment, days, and faults named with file and row."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from walstreet.research.benchmark import equal_weight, hold_one
from walstreet.research.statistics import metrics
from walstreet.research.swing_config import SwingConfig
from walstreet.research.swing_data import date_of, long_gaps, read_bars, simulated_rows
from walstreet.research.swing_engine import ReferenceEngine
from walstreet.research.swing_types import SwingBars
from walstreet.runtime.errors import UsageError

D = dt.date


def write(folder: Path, symbol: str, days: list[Any], closes: list[float], **changes: Any) -> Path:
    """Write a file of bars with a range of 1 around the close."""
    columns = {
        "date": days,
        "open": closes,
        "high": [value + 1.0 for value in closes],
        "low": [value - 1.0 for value in closes],
        "close": closes,
        "volume": [100] * len(days),
        **changes,
    }
    path = folder / f"{symbol}.parquet"
    pl.DataFrame(columns).write_parquet(path)
    return path


def test_symbols_are_aligned_on_the_union_of_their_days(tmp_path: Path) -> None:
    """Columns in universe order, NaN where a symbol has no bar."""
    write(tmp_path, "A", [D(2020, 1, 2), D(2020, 1, 3)], [10.0, 11.0])
    write(tmp_path, "B", [D(2020, 1, 3), D(2020, 1, 6)], [20.0, 21.0])
    bars = read_bars(tmp_path, ["B", "A"])
    assert bars.symbols == ("B", "A")
    assert [date_of(day) for day in bars.dates] == [D(2020, 1, 2), D(2020, 1, 3), D(2020, 1, 6)]
    np.testing.assert_array_equal(bars.close, [[np.nan, 10.0], [20.0, 11.0], [21.0, np.nan]])
    np.testing.assert_array_equal(bars.high, bars.close + 1.0)


def test_a_time_in_utc_counts_as_its_date(tmp_path: Path) -> None:
    """The cache of ``bot fetch`` may hold timestamps."""
    stamps = [dt.datetime(2020, 1, 2, tzinfo=dt.UTC), dt.datetime(2020, 1, 3, tzinfo=dt.UTC)]
    write(tmp_path, "A", stamps, [10.0, 11.0])
    assert [date_of(day) for day in read_bars(tmp_path, ["A"]).dates] == [D(2020, 1, 2), D(2020, 1, 3)]


def test_simulated_rows_are_limited_by_both_dates_inclusive(tmp_path: Path) -> None:
    """A date without a bar begins at the next and ends at the one before."""
    days = [D(2020, 1, 2), D(2020, 1, 3), D(2020, 1, 6)]
    write(tmp_path, "A", days, [10.0, 11.0, 12.0])
    bars = read_bars(tmp_path, ["A"])
    assert simulated_rows(bars, None, None) == (0, 2)
    assert simulated_rows(bars, D(2020, 1, 3), D(2020, 1, 3)) == (1, 1)
    assert simulated_rows(bars, D(2020, 1, 4), D(2020, 1, 9)) == (2, 2)
    with pytest.raises(UsageError, match="2020-01-02 to 2020-01-06"):
        simulated_rows(bars, D(2020, 1, 4), D(2020, 1, 5))


DAYS = [D(2020, 1, 2), D(2020, 1, 3)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"date": DAYS[::-1]}, r"row 1 \(2020-01-02\): the date does not come after"),
        ({"close": [10.0, None]}, r"row 1 \(2020-01-03\): a price is missing"),
        ({"open": [0.0, 10.0]}, r"row 0 \(2020-01-02\): a price is not positive"),
        ({"high": [11.0, 9.5]}, r"row 1 \(2020-01-03\): the high is below another price \(open 10, high 9.5"),
        ({"low": [11.5, 9.0]}, r"row 0 \(2020-01-02\): the high is below|row 0 \(2020-01-02\): the low is above"),
        ({"low": [10.5, 9.0]}, r"row 0 \(2020-01-02\): the low is above"),
        ({"date": ["2020-01-02", "2020-01-03"]}, "'date' is String"),
        ({"date": [DAYS[0], None]}, "row 1: there is no date"),
        ({"close": ["x", "y"]}, "'close' is String"),
    ],
)
def test_faults_name_file_row_and_remedy(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """What no market can have printed is refused, not repaired."""
    write(tmp_path, "A", DAYS, [10.0, 10.0], **changes)
    with pytest.raises(UsageError, match=message) as caught:
        read_bars(tmp_path, ["A"])
    assert "A.parquet" in str(caught.value)
    assert "fetch the symbol again or repair the file" in str(caught.value)


def test_missing_files_columns_and_bars_are_named(tmp_path: Path) -> None:
    """And what is there instead."""
    write(tmp_path, "A", DAYS, [10.0, 10.0])
    with pytest.raises(UsageError, match=r"B\.parquet does not exist \(the folder holds A\)"):
        read_bars(tmp_path, ["A", "B"])
    pl.DataFrame({"date": DAYS, "open": [1.0, 1.0]}).write_parquet(tmp_path / "C.parquet")
    with pytest.raises(UsageError, match="no column 'high'"):
        read_bars(tmp_path, ["C"])
    write(tmp_path, "E", [], [])
    with pytest.raises(UsageError, match="holds no bar"):
        read_bars(tmp_path, ["E"])
    (tmp_path / "F.parquet").write_text("no parquet", encoding="utf-8")
    with pytest.raises(UsageError, match="no readable Parquet"):
        read_bars(tmp_path, ["F"])


@pytest.mark.parametrize("universe", [[], ["A", "A"]])
def test_a_universe_must_name_symbols_once(tmp_path: Path, universe: list[str]) -> None:
    """Nothing and twice the same are mistakes."""
    with pytest.raises(UsageError, match="universe"):
        read_bars(tmp_path, universe)


def test_long_gaps_are_reported(tmp_path: Path) -> None:
    """A month without a bar is named, a weekend is not."""
    write(tmp_path, "A", [D(2020, 1, 3), D(2020, 1, 6), D(2020, 2, 6)], [10.0, 10.0, 11.0])
    assert long_gaps(read_bars(tmp_path, ["A"])) == ["A: no bar between 2020-01-06 and 2020-02-06"]


def hand_bars() -> SwingBars:
    """Return two symbols, the second from the second day on."""
    close = np.array([[10.0, np.nan], [11.0, 20.0], [12.1, 18.0]])
    return SwingBars(
        symbols=("A", "B"),
        dates=np.arange(3, dtype=np.int32),
        open=close.copy(),
        high=close.copy(),
        low=close.copy(),
        close=close,
    )


def test_benchmarks_by_hand() -> None:
    """Holding A earns 10 % a day; equal weights earn A alone, then the mean of 10 % and -10 %."""
    bars = hand_bars()
    assert hold_one(bars, "A", 0, 2) == pytest.approx([0.0, 0.1, 0.1])
    assert equal_weight(bars, 0, 2) == pytest.approx([0.0, 0.1, 0.0], abs=1e-15)
    assert hold_one(bars, "A", 1, 2) == pytest.approx([0.0, 0.1])
    with pytest.raises(ValueError, match="SPY is not among A, B"):
        hold_one(bars, "SPY", 0, 2)


@pytest.mark.data
def test_the_default_changes_its_names_at_most_four_times_a_month(market_data: Path) -> None:
    """2013 to 2023 on the real daily bars: at most four rebalances a month by default, above eight literally."""
    config = SwingConfig()
    bars = read_bars(market_data / "daily", config.universe)
    rows = simulated_rows(bars, D(2013, 1, 1), D(2023, 12, 29))
    assert rows[1] - rows[0] + 1 == 2768
    default = config.parameters(*rows)
    literal = msgspec.structs.replace(default, hold_bonus=0.0, band=0.0)
    engine = ReferenceEngine()
    kept, changed = (engine.simulate(bars, [parameters]) for parameters in (default, literal))
    assert metrics(kept).rebalances_per_month <= 4.0
    assert metrics(changed).rebalances_per_month > 8.0
    assert not long_gaps(bars)
    # BITO lists in October 2021 and needs 90 returns before it may be held.
    bito = np.flatnonzero(changed.target[:, bars.symbols.index("BITO")] > 0.0)
    assert date_of(bars.dates[rows[0] + bito[0]]) >= D(2022, 3, 1)
