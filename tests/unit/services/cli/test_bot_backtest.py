"""`bot backtest`: the documented files, what stands in them, and what is printed."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from walstreet.domain.rotation import decide_rotation
from walstreet_services.cli import bot_audit

pytestmark = [pytest.mark.spec("004.cli", "004.backtest")]

BotRunner = Callable[..., int]
DOCUMENTED = ("CAGR", "Sharpe", "Calmar", "MaxDD", "PF", "Turnover")
SYMBOLS = ["SPY", "BBB", "CCC", "DDD"]
PNG = b"\x89PNG\r\n\x1a\n"


def content(folder: Path) -> dict[str, Any]:
    """Return metrics.json."""
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return found


def audit(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of the backtest's audit."""
    return [json.loads(line) for line in (folder / "logs" / "backtest.jsonl").read_text().splitlines()]


def test_the_documented_files_are_there(backtest_folder: Path) -> None:
    """Document 004 section 7.4, and the ones that issue 5 adds."""
    names = {path.name for path in backtest_folder.iterdir()}
    assert {"metrics.json", "equity.png", "drawdown.png", "heatmap.png", "weights.csv", "logs"} <= names
    assert {"target_weights.csv", "held_weights.csv", "daily.csv", "tearsheet.html"} <= names
    for name in ("equity", "drawdown", "heatmap", "weights"):
        assert (backtest_folder / f"{name}.png").read_bytes().startswith(PNG)


def test_the_documented_metrics_stand_first(backtest_folder: Path) -> None:
    """All six under their documented names, before everything else."""
    assert tuple(content(backtest_folder))[:6] == DOCUMENTED


def test_days_add_up_to_the_metrics(backtest_folder: Path) -> None:
    """Net is gross less cost, equity compounds net, turnover and rebalances are those of the days."""
    days, found = pl.read_csv(backtest_folder / "daily.csv"), content(backtest_folder)
    assert days.columns == ["date", "gross", "turnover", "cost", "net", "equity"]
    np.testing.assert_allclose(days["net"], days["gross"] - days["cost"], rtol=0, atol=0)
    np.testing.assert_allclose(days["equity"], np.cumprod(1.0 + days["net"].to_numpy()), rtol=1e-14)
    assert found["days"] == days.height == 420
    assert found["Turnover"] == pytest.approx(days["turnover"].sum(), rel=1e-12)
    assert found["rebalances"] == int((days["turnover"] > 0).sum()) > 5
    assert found["equity"] == days["equity"][-1]


def test_weights_are_consistent(backtest_folder: Path) -> None:
    """The long table is the wide one without zeros; no day is above 1, no name above its cap."""
    wide = pl.read_csv(backtest_folder / "target_weights.csv")
    held = pl.read_csv(backtest_folder / "held_weights.csv")
    assert wide.columns == held.columns == ["date", *SYMBOLS]
    long = wide.unpivot(index="date", variable_name="symbol", value_name="weight").filter(pl.col("weight") > 0)
    written = pl.read_csv(backtest_folder / "weights.csv")
    assert written.columns == ["date", "symbol", "weight"]
    assert written.sort("date", "symbol").equals(long.sort("date", "symbol"))
    targets = wide.drop("date").to_numpy()
    assert targets.max() <= 0.5
    assert targets.sum(axis=1).max() <= 0.95 + 1e-12
    assert held.drop("date").to_numpy().sum(axis=1).max() < 1.0


def test_the_audit_has_a_line_for_each_rebalance(backtest_folder: Path) -> None:
    """Each carries inputs with reasons, the selection, correlations, weights and orders that lead there."""
    first, *lines = audit(backtest_folder)
    assert first["event"] == "run"
    assert first["inputs"]["symbols"] == SYMBOLS
    assert "ibkr" not in first["config"]
    assert len(lines) == content(backtest_folder)["rebalances"]
    targets = {row["date"]: row for row in pl.read_csv(backtest_folder / "target_weights.csv").iter_rows(named=True)}
    for line in lines:
        wanted = {name: value for name, value in targets[line["timestamp"]].items() if name != "date" and value > 0}
        assert line["weights"] == wanted
        assert set(line["selected"]) == set(wanted)
        assert [name for name, seen in line["inputs"].items() if seen["reason"] == "chosen"] == [*wanted]
        moved = sum(order["weight"] for order in line["orders"])
        assert moved == pytest.approx(line["turnover"], abs=1e-12)
        sides = [order["side"] for order in line["orders"]]
        assert sides == sorted(sides, reverse=True), "sales come first"


def test_orders_are_fractional_shares_of_the_equity(backtest_folder: Path) -> None:
    """The first order of all buys the first target with the opening equity."""
    line = audit(backtest_folder)[1]
    order = line["orders"][0]
    assert line["equity_usd"] == 25_000.0
    assert order["side"] == "BUY"
    assert order["quantity"] == pytest.approx(line["weights"][order["symbol"]] * 25_000.0 / order["price"], rel=1e-12)


def test_a_symbol_without_bars_is_not_seen(backtest_folder: Path) -> None:
    """The late symbol has no weight and no price before its first bar."""
    held = pl.read_csv(backtest_folder / "held_weights.csv")
    assert held["DDD"][:150].sum() == 0.0
    early = audit(backtest_folder)[1]["inputs"]["DDD"]
    assert early == {"close": None, "score": None, "volatility": None, "reason": "no_bar"}


def test_benchmarks_variants_and_intervals_are_judged(backtest_folder: Path) -> None:
    """The literal strategy trades more, intervals contain their value, probabilities are probabilities."""
    found = content(backtest_folder)
    assert set(found["benchmarks"]) == {"SPY", "equal weight"}
    assert found["variants"]["literal strategy"]["rebalances"] > found["rebalances"]
    assert found["variants"]["settlement t+1"]["days"] == found["days"]
    for name in ("CAGR", "Sharpe", "MaxDD"):
        assert found["intervals"][name]["low"] <= found[name] <= found["intervals"][name]["high"]
    test = found["sharpe_test"]
    assert test["trials"] == 5, "four points of the grid and the configured strategy"
    assert 0.0 <= test["deflated"] <= test["probabilistic"] <= 1.0


def test_the_benchmark_is_the_symbol_itself(backtest_folder: Path, bot_data: Path) -> None:
    """SPY's growth is its last close over its first."""
    close = pl.read_parquet(bot_data / "SPY.parquet")["close"]
    assert content(backtest_folder)["benchmarks"]["SPY"]["equity"] == pytest.approx(close[-1] / close[0], rel=1e-12)


def test_spy_is_read_beside_the_universe(run_bot: BotRunner, tmp_path: Path) -> None:
    """A universe without SPY is still compared with it, over the same days."""
    assert run_bot("backtest", "--set", 'universe=["BBB","CCC"]', "--start", "2015-06-01", out=tmp_path) == 0
    found = content(tmp_path)
    assert found["inputs"]["symbols"] == ["BBB", "CCC"]
    assert set(found["benchmarks"]) == {"SPY", "equal weight"}
    assert found["inputs"]["first"] == "2015-06-01"


def test_months_compound_to_the_whole(backtest_folder: Path) -> None:
    """The heat map's numbers multiply to the growth of the equity."""
    found = content(backtest_folder)
    assert np.prod([1.0 + value for value in found["monthly_returns"].values()]) == pytest.approx(found["equity"])


def test_json_is_all_that_is_printed(
    run_bot: BotRunner, backtest_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard output is the content of metrics.json, which is the same as before: nothing depends on the folder."""
    assert run_bot("backtest", "--json", out=tmp_path) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == content(tmp_path) == content(backtest_folder)
    assert printed.err == ""


def test_the_terminal_says_which_engine_ran(
    run_bot: BotRunner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Engine, its reason, every asked metric and where the files are."""
    assert run_bot("backtest", "--set", 'backtest.metrics=["CAGR"]', out=tmp_path) == 0
    text = capsys.readouterr().out
    assert "engine: native (" in text or "engine: reference (" in text
    assert "literal strategy" in text
    assert "tearsheet.html" in text
    assert "CAGR" in text
    assert "gains over losses" not in text, "the profit factor was not asked for"


def test_nothing_traded_is_said(run_bot: BotRunner, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rule that nothing passes leaves the equity at 1, draws its pictures, and says so."""
    assert run_bot("backtest", "--set", "selection.min_score=1000", out=tmp_path) == 0
    assert "nothing was traded" in capsys.readouterr().out
    found = content(tmp_path)
    assert (found["equity"], found["Turnover"], found["PF"]) == (1.0, 0.0, 0.0)
    with (tmp_path / "weights.csv").open() as stream:
        assert list(csv.reader(stream)) == [["date", "symbol", "weight"]]


def test_one_day_is_enough(run_bot: BotRunner, tmp_path: Path) -> None:
    """A single simulated day has pictures and metrics too."""
    assert run_bot("backtest", "--start", "2016-02-01", "--end", "2016-02-01", out=tmp_path) == 0
    assert content(tmp_path)["days"] == 1


def test_a_disagreement_with_the_live_decision_ends_with_1(
    run_bot: BotRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the live decision had other targets, the run fails before it writes a metric."""

    def other(*arguments: Any) -> Any:
        decision = decide_rotation(*arguments)
        decision.target[0] += 1e-15
        return decision

    monkeypatch.setattr(bot_audit, "decide_rotation", other)
    assert run_bot("backtest", out=tmp_path) == 1
    assert "this is a fault of walstreet" in capsys.readouterr().err
    assert not (tmp_path / "metrics.json").exists()
