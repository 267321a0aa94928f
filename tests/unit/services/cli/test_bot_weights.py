"""`bot weights`: one day's targets as JSON, equal to those of the backtest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from walstreet.runtime.errors import UsageError

pytestmark = [pytest.mark.spec("004.cli", "004.strategy")]

BotRunner = Callable[..., int]


def weights(run_bot: BotRunner, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Run the verb and return what it printed."""
    assert run_bot("weights", *arguments) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("day", ["2015-09-01", "2016-02-01", "2016-05-06"])
def test_weights_are_those_of_the_backtest(
    run_bot: BotRunner, backtest_folder: Path, capsys: pytest.CaptureFixture[str], day: str
) -> None:
    """The targets of a day are its line of target_weights.csv, although later bars exist there."""
    found = weights(run_bot, capsys, "--asof", day)
    row = pl.read_csv(backtest_folder / "target_weights.csv").filter(pl.col("date") == day).row(0, named=True)
    assert found["bar"] == day
    assert found["weights"] == {name: value for name, value in row.items() if name != "date" and value > 0}
    assert found["cash"] == pytest.approx(1.0 - sum(found["weights"].values()))
    assert [name for name, seen in found["symbols"].items() if seen["reason"] == "chosen"] == [*found["weights"]]


def test_a_weekend_takes_the_bar_before(run_bot: BotRunner, capsys: pytest.CaptureFixture[str]) -> None:
    """On a Saturday Friday's weights are what there is, and both days are named."""
    saturday, friday = (
        weights(run_bot, capsys, "--asof", "2016-02-06"),
        weights(run_bot, capsys, "--asof", "2016-02-05"),
    )
    assert (saturday["asof"], saturday["bar"]) == ("2016-02-06", "2016-02-05")
    assert saturday["weights"] == friday["weights"]


def test_without_a_day_the_newest_bar_counts(run_bot: BotRunner, capsys: pytest.CaptureFixture[str]) -> None:
    """The last of 420 weekdays."""
    found = weights(run_bot, capsys)
    assert found["asof"] == found["bar"] == "2016-08-12"


def test_the_band_decides_whether_to_trade(run_bot: BotRunner, capsys: pytest.CaptureFixture[str]) -> None:
    """A band that nothing can leave never trades; without one every drift does."""
    assert weights(run_bot, capsys, "--asof", "2016-02-01", "--set", "weights.band=1")["trade"] is False
    found = weights(run_bot, capsys, "--asof", "2016-05-06", "--set", "weights.band=0")
    assert found["trade"] is (found["weights"] != found["weights_before"])


def test_one_line_for_programs(run_bot: BotRunner, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json the text is one line, and the same."""
    assert run_bot("weights", "--json") == 0
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert json.loads(line) == weights(run_bot, capsys)


def test_a_day_that_the_data_do_not_reach_is_refused(run_bot: BotRunner) -> None:
    """Weights of an old bar would look like those of the day."""
    with pytest.raises(UsageError, match=r"--asof 2016-12-30: the newest bar before it is of 2016-08-12, 140 days"):
        run_bot("weights", "--asof", "2016-12-30")
