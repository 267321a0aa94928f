"""Owns the proof that `bot` works as a program: real processes, the documented files, the same bytes again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from walstreet.testing.daily_bars import write_daily_bars
from walstreet.testing.stack import Ended, command

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.spec("004.acceptance", "004.cli")]

CONFIG = Path(__file__).resolve().parents[2] / "config"
SYMBOLS = ("SPY", "QQQ", "TLT", "GLD")
DAYS = 700
SETTINGS = (
    *("--set", 'universe=["SPY","QQQ","TLT","GLD"]', "--set", "walkforward.train_years=1"),
    *("--set", 'walkforward.reoptimize={"ema_fast":[10,20],"ema_slow":[50],"top_n":[1,2],"corr_cap":[0.7]}'),
)
REBALANCES_PER_MONTH_MAX = 4.0
"""Document 004 section 16."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of synthetic bars."""
    return write_daily_bars(tmp_path_factory.mktemp("daily"), SYMBOLS, days=DAYS, seed=11, starts={"GLD": 200})


def bot(verb: str, data: Path, *arguments: str, out: Path | None = None) -> Ended:
    """Run one verb as a process on the synthetic bars."""
    folder = ("--out", str(out)) if out is not None else ()
    return command(verb, "--data", str(data), "--config", str(CONFIG), *SETTINGS, *arguments, *folder)


def digests(folder: Path) -> dict[str, str]:
    """Return the hash of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_verb_ends_well_and_repeats_itself(data: Path, tmp_path: Path) -> None:
    """Three verbs into one folder with one thread, and again with two: exit code 0 and the same bytes everywhere."""
    for threads in ("1", "2"):
        out = tmp_path / threads
        for verb, more in (("backtest", ()), ("walkforward", ()), ("permute", ("--runs", "4"))):
            ended = bot(verb, data, "--threads", threads, "--seed", "9", *more, out=out)
            assert ended.code == 0, ended.text[-2000:]
            assert ended.err == ""
    first = digests(tmp_path / "1")
    assert first == digests(tmp_path / "2")
    for name in ("metrics.json", "equity.png", "drawdown.png", "heatmap.png", "weights.csv", "logs/backtest.jsonl"):
        assert name in first
    for name in ("tearsheet.html", "walkforward/stability.png", "permutation/histogram.png"):
        assert name in first


def test_weights_print_json_of_the_day(data: Path, tmp_path: Path) -> None:
    """The process prints what the backtest wrote for that day, and nothing else."""
    ended = bot("weights", data, "--asof", "2017-06-30")
    assert ended.code == 0, ended.text
    found = json.loads(ended.out)
    assert bot("backtest", data, out=tmp_path).code == 0
    row = pl.read_csv(tmp_path / "target_weights.csv").filter(pl.col("date") == "2017-06-30").row(0, named=True)
    assert found["weights"] == {name: row[name] for name in SYMBOLS if row[name] > 0.0}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("backtest", "--data", "nowhere"), "--data nowhere is no folder"),
        (("permute", "--set", "permutation.run=3"), "did you mean 'permutation.runs'?"),
        (("walkforward", "--start", "tomorrow"), "write YYYY-MM-DD"),
    ],
)
def test_bad_input_ends_with_2(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    """One message without a traceback, and exit code 2, so that a script can tell."""
    ended = command(*arguments, "--config", str(CONFIG), cwd=tmp_path)
    assert ended.code == 2
    assert says in ended.text
    assert "Traceback" not in ended.err
    assert not (tmp_path / "reports").exists()


@pytest.mark.data
@pytest.mark.spec("004.backtest", "004.research")
def test_the_default_strategy_on_real_bars(market_data: Path, tmp_path: Path) -> None:
    """Document 004 section 16 on 2013 to 2023: the files, the six metrics, and few enough rebalances."""
    common = ("--data", str(market_data / "daily"), "--config", str(CONFIG), "--start", "2013-01-01")
    ended = command("backtest", *common, "--end", "2023-12-29", "--json", "--out", str(tmp_path))
    assert ended.code == 0, ended.text[-2000:]
    found: dict[str, Any] = json.loads(ended.out)
    assert (found["inputs"]["first"], found["inputs"]["last"]) == ("2013-01-02", "2023-12-29")
    assert found["rebalances_per_month"] <= REBALANCES_PER_MONTH_MAX
    assert found["variants"]["literal strategy"]["rebalances_per_month"] > REBALANCES_PER_MONTH_MAX
    assert found["MaxDD"] > 0.0
    assert found["Calmar"] == pytest.approx(found["CAGR"] / found["MaxDD"])
    held = pl.read_csv(tmp_path / "held_weights.csv")
    assert held.filter(pl.col("date") < "2021-10-20")["BITO"].sum() == 0.0, "BITO is listed in October 2021"
    lines = (tmp_path / "logs" / "backtest.jsonl").read_text().splitlines()
    assert len(lines) == 1 + found["rebalances"]
