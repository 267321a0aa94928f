"""The folder of daily bars: whole files, their origin in the metadata, one fetch at a time."""

import datetime as dt
import os

import polars as pl
import pytest

from walstreet.domain.corporate_actions import CorporateAction
from walstreet.domain.daily_series import DailyBar, day_number, series_of
from walstreet.research.daily_store import DailyStore, NoticedAction, Stored, source_of, write_whole
from walstreet.research.swing_data import read_bars
from walstreet.runtime.errors import UsageError

DAY = day_number(dt.date(2024, 1, 2))


def stored(count=3, source="ibkr"):
    """Return a series of ``count`` bars, the last one provisional."""
    bars = [
        DailyBar(day=DAY + i, open=10.0 + i, high=12.0 + i, low=9.0 + i, close=11.0 + i, volume=100 + i)
        for i in range(count)
    ]
    return Stored(series=series_of(bars, final_until=DAY + count - 2), source=source, asked_from=DAY - 5)


def test_a_series_comes_back_as_it_was(tmp_path) -> None:
    """Prices, volumes, flags, source and the day from which it was asked for."""
    store = DailyStore(tmp_path)
    assert store.read("SPY", "raw") is None
    store.write("SPY", "raw", stored())
    back = store.read("SPY", "raw")
    assert back.source == "ibkr"
    assert back.asked_from == DAY - 5
    for name in ("days", "open", "high", "low", "close", "volume", "provisional"):
        assert getattr(back.series, name).tolist() == getattr(stored().series, name).tolist()
    assert store.read("SPY", "adjusted") is None


def test_research_reads_the_adjusted_series(tmp_path) -> None:
    """``SYMBOL.parquet`` in the folder itself is what `bot backtest --data` takes; raw bars lie below."""
    store = DailyStore(tmp_path)
    store.write("SPY", "adjusted", stored(5))
    store.write("SPY", "raw", stored(2))
    assert read_bars(tmp_path, ["SPY"]).close[:, 0].tolist() == [11.0, 12.0, 13.0, 14.0, 15.0]
    assert source_of(tmp_path, "SPY") == "ibkr"
    assert source_of(tmp_path, "QQQ") == ""


def test_actions_come_back_in_order(tmp_path) -> None:
    """By day; those that no price shows any more keep their mark."""
    store = DailyStore(tmp_path)
    assert store.actions("SPY") == ()
    late = NoticedAction(action=CorporateAction(day=DAY + 9, kind="split", value=4.0), derived=False)
    early = NoticedAction(action=CorporateAction(day=DAY, kind="dividend", value=1.5), derived=True)
    store.write_actions("SPY", [late, early], source="ibkr")
    assert store.actions("SPY") == (early, late)
    store.write_actions("SPY", [], source="ibkr")
    assert store.actions("SPY") == ()


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    """The new file takes the old one's name only once it is whole and synced."""
    store = DailyStore(tmp_path)
    store.write("SPY", "adjusted", stored(3))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.write("SPY", "adjusted", stored(4))
    monkeypatch.undo()
    assert len(store.read("SPY", "adjusted").series) == 3
    store.write("SPY", "adjusted", stored(4))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["SPY.parquet"]


def test_foreign_and_broken_files_are_refused_with_a_remedy(tmp_path) -> None:
    """A file of somebody else is not overwritten, and damage is not taken for an empty history."""
    store = DailyStore(tmp_path)
    pl.DataFrame({"date": [dt.date(2024, 1, 2)], "close": [1.0]}).write_parquet(tmp_path / "SPY.parquet")
    with pytest.raises(UsageError, match=r"not written by `bot fetch`.*--data"):
        store.read("SPY", "adjusted")
    (tmp_path / "QQQ.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(UsageError, match="no readable Parquet"):
        store.read("QQQ", "adjusted")
    (tmp_path / "actions").mkdir()
    (tmp_path / "actions" / "QQQ.parquet").write_bytes(b"")
    with pytest.raises(UsageError, match="corporate actions"):
        store.actions("QQQ")
    frame = pl.DataFrame({"date": [dt.date(2024, 1, 3), dt.date(2024, 1, 2)], "provisional": [False, False]})
    frame = frame.with_columns([pl.lit(1.0).alias(name) for name in ("open", "high", "low", "close")])
    frame = frame.with_columns(pl.lit(1).alias("volume"))
    known = {"walstreet.source": "ibkr", "walstreet.asked_from": "2024-01-01"}
    write_whole(tmp_path / "TLT.parquet", frame, known)
    with pytest.raises(UsageError, match="ascend"):
        store.read("TLT", "adjusted")


def test_two_fetches_do_not_share_a_folder(tmp_path) -> None:
    """The second one is told; the first one's end frees the folder."""
    store = DailyStore(tmp_path / "deep" / "folder")
    with store.locked(), pytest.raises(UsageError, match="another fetch"), DailyStore(store.folder).locked():
        raise AssertionError("the lock did not hold")
    with store.locked():
        assert store.folder.is_dir()


def test_a_folder_that_cannot_be_written_is_named(tmp_path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "data").write_text("")
    with pytest.raises(UsageError, match="cannot be written"), DailyStore(tmp_path / "data").locked():
        raise AssertionError("a file is no folder")
