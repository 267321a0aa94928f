"""`bot walkforward`: windows, choices, out-of-sample numbers and the files of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from walstreet.runtime.errors import UsageError

pytestmark = [pytest.mark.spec("004.cli", "004.research")]

BotRunner = Callable[..., int]


@pytest.fixture
def folder(backtest_folder: Path) -> Path:
    """Return the folder of the walk-forward."""
    return backtest_folder / "walkforward"


@pytest.fixture
def content(folder: Path) -> dict[str, Any]:
    """Return its metrics.json."""
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return found


def test_tests_follow_each_other(content: dict[str, Any]) -> None:
    """Training ends before its test, each test begins on the day after the one before, and all are simulated."""
    windows = content["windows"]
    assert len(windows) >= 2
    for window in windows:
        assert window["train_first"] < window["train_last"] < window["test_first"] <= window["test_last"]
    assert sum(window["test"]["days"] for window in windows) == content["days"]
    for before, after in itertools.pairwise(windows):
        assert before["test_last"] < after["test_first"]


def test_the_best_training_objective_is_chosen(content: dict[str, Any], folder: Path) -> None:
    """The choice is the first of the largest in its column of objectives.csv."""
    table = pl.read_csv(folder / "objectives.csv")
    assert table.height == content["grid_points"] == 4
    for index, window in enumerate(content["windows"]):
        column = table[f"window_{index}"].to_numpy()
        row = table.row(int(np.argmax(column)), named=True)
        assert window["objective"] == column.max()
        assert window["chosen"] == {name: row[name] for name in window["chosen"]}


def test_windows_compound_to_the_whole(content: dict[str, Any], folder: Path) -> None:
    """The tests' returns multiply to the equity out of sample, which daily.csv has too."""
    growth = np.prod([1.0 + window["test"]["return"] for window in content["windows"]])
    assert growth == pytest.approx(content["equity"], rel=1e-12)
    assert pl.read_csv(folder / "daily.csv")["equity"][-1] == content["equity"]


def test_windows_are_a_table_too(content: dict[str, Any], folder: Path) -> None:
    """windows.csv has the days, the choice, the objective and the test of each window."""
    table = pl.read_csv(folder / "windows.csv")
    assert table.columns == [
        *("window", "train_first", "train_last", "test_first", "test_last"),
        *("ema_fast", "ema_slow", "top_n", "corr_cap", "train_objective"),
        *("test_return", "test_Sharpe", "test_MaxDD", "test_days"),
    ]
    assert table["train_objective"].to_list() == [window["objective"] for window in content["windows"]]
    assert table["test_first"].to_list() == [window["test_first"] for window in content["windows"]]


def test_stability_is_the_mean_over_everything_else(content: dict[str, Any], folder: Path) -> None:
    """The heat map's cell is the mean of its rows in objectives.csv, over all windows."""
    cells = content["stability"][0]
    assert (cells["row"], cells["column"]) == ("ema_fast", "ema_slow")
    table = pl.read_csv(folder / "objectives.csv")
    for value, means in zip(cells["rows"], cells["mean_objective"], strict=True):
        among = table.filter(pl.col("ema_fast") == value).select(pl.col("^window_.*$")).to_numpy()
        assert means == [pytest.approx(among.mean())]


def test_the_pictures_and_the_audit_are_there(folder: Path) -> None:
    """The same as of a backtest, and the parameters' two."""
    names = {path.name for path in folder.iterdir()}
    assert {"equity.png", "drawdown.png", "heatmap.png", "weights.png", "stability.png", "choices.png"} <= names
    lines = [json.loads(line) for line in (folder.parent / "logs" / "walkforward.jsonl").read_text().splitlines()]
    assert lines[0]["verb"] == "walkforward"
    assert len(lines) > 1


def test_fixed_parameters_are_simulated_over_the_same_days(content: dict[str, Any]) -> None:
    """What re-optimising brought is told beside what it replaced."""
    assert content["variants"]["fixed parameters"]["days"] == content["days"]
    assert content["sharpe_test"]["trials"] == 5


def test_too_few_days_are_refused(run_bot: BotRunner, tmp_path: Path) -> None:
    """The message has the days, the need and three remedies; nothing is written."""
    with pytest.raises(UsageError, match=r"2016-01-01 to .* hold no window: training takes 1 years.*--start.*--set"):
        run_bot("walkforward", "--start", "2016-01-01", out=tmp_path)
    assert list(tmp_path.iterdir()) == []
