"""`bot permute`: p-values, their adjustment, and the files of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from walstreet.research.statistics import adjusted_p_values
from walstreet.runtime.errors import UsageError

pytestmark = [pytest.mark.spec("004.cli", "004.research")]

BotRunner = Callable[..., int]


@pytest.fixture
def folder(backtest_folder: Path) -> Path:
    """Return the folder of the permutation test."""
    return backtest_folder / "permutation"


@pytest.fixture
def content(folder: Path) -> dict[str, Any]:
    """Return its metrics.json."""
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return found


def test_p_values_follow_from_the_runs(content: dict[str, Any], folder: Path) -> None:
    """Each is one more than the runs at least as good as the real order, over one more than the runs."""
    permuted = pl.read_csv(folder / "permuted.csv")
    assert permuted.height == content["runs"] == 9
    for index, window in enumerate(content["windows"]):
        reached = int((permuted[f"window_{index}"] >= window["real"]).sum())
        assert window["p_value"] == (1 + reached) / 10
        assert window["permuted_median"] == pytest.approx(permuted[f"window_{index}"].median())


def test_windows_are_adjusted_together(content: dict[str, Any]) -> None:
    """Benjamini-Hochberg over the windows; the smallest is the p-value of all."""
    adjusted = adjusted_p_values(np.array([window["p_value"] for window in content["windows"]]))
    assert [window["adjusted"] for window in content["windows"]] == adjusted.tolist()
    assert content["p_value"] == adjusted.min()
    assert content["discoveries"] == int((adjusted <= content["rate"]).sum())


def test_who_took_part_is_said(content: dict[str, Any]) -> None:
    """The late symbol does not cover the first training window."""
    assert content["windows"][0]["left_out"] == ["DDD"]
    assert content["windows"][0]["symbols"] == 3


def test_the_files_are_there(content: dict[str, Any], folder: Path) -> None:
    """Both pictures, the table, and a line of the log for each window."""
    assert {"histogram.png", "p_values.png", "p_values.csv", "permuted.csv"} <= {path.name for path in folder.iterdir()}
    table = pl.read_csv(folder / "p_values.csv")
    assert table["p_value"].to_list() == [window["p_value"] for window in content["windows"]]
    lines = (folder.parent / "logs" / "permute.jsonl").read_text().splitlines()
    assert len(lines) == 1 + len(content["windows"])


def test_the_p_value_is_printed(run_bot: BotRunner, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Document 004 section 10: print the p-value."""
    assert run_bot("permute", "--runs", "3", out=tmp_path) == 0
    text = capsys.readouterr().out
    assert "p-value" in text
    found = json.loads((tmp_path / "permutation" / "metrics.json").read_text())
    assert f"{found['p_value']:.4f}" in text


def test_the_seed_decides_the_orders(run_bot: BotRunner, tmp_path: Path) -> None:
    """The same seed gives the same bytes, another one other runs."""
    for name, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        assert run_bot("permute", "--runs", "3", "--seed", seed, out=tmp_path / name) == 0
    runs = [(tmp_path / name / "permutation" / "permuted.csv").read_bytes() for name in "abc"]
    assert runs[0] == runs[1] != runs[2]


def test_no_run_is_refused(run_bot: BotRunner, tmp_path: Path) -> None:
    """The message has the path of the parameter and what is allowed."""
    with pytest.raises(UsageError, match=r"permutation\.runs is 0; allowed is 1"):
        run_bot("permute", "--runs", "0", out=tmp_path)
