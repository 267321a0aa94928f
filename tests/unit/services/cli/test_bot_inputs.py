"""What every verb of `bot` begins with: arguments and their refusals, engines, digests, progress."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from walstreet.research.swing_data import read_bars
from walstreet.research.swing_engine import ReferenceEngine
from walstreet.research.swing_grid import calendar_windows
from walstreet.research.swing_types import SwingParameters
from walstreet.runtime.errors import UsageError
from walstreet.testing.daily_bars import write_daily_bars
from walstreet_services.cli.__main__ import parser
from walstreet_services.cli.bot_engine import WatchedEngine
from walstreet_services.cli.bot_inputs import data_digest, load_inputs

pytestmark = [pytest.mark.spec("004.cli", "004.errors")]

BotRunner = Callable[..., int]
ROOT = Path(__file__).resolve().parents[4]
POINT = SwingParameters(ema_fast=5, ema_slow=20, atr_window=10, corr_window=20, vol_window=10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "weights.bnd=1"), r"unknown key 'weights\.bnd'; did you mean 'weights\.band'\?.*config\.yaml"),
        (("--set", "weights.band"), r"--set takes section\.key=value"),
        (("--set", "weights.band=wide"), r"weights\.band: Expected `float`, got `str`"),
        (("--set", 'universe=["SPY","ABC"]'), r"ABC\.parquet does not exist \(the folder holds BBB, CCC, DDD, SPY\)"),
        (("--set", "ibkr.timeframe=1 hour"), r"research reads daily bars"),
        (("--start", "2031-01-01"), r"no bar lies between 2031-01-01"),
        (("--threads", "0"), r"--threads is 0; allowed is 1 to 64"),
        (("--config", "nowhere"), r"--config nowhere is neither a folder"),
        (("--data", "nowhere"), r"--data nowhere is no folder; `bot fetch` fills data/parquet"),
    ],
)
def test_bad_input_is_refused(run_bot: BotRunner, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    """The message names the argument or the file and what to do, and nothing is written."""
    with pytest.raises(UsageError, match=message):
        run_bot("backtest", *arguments, out=tmp_path / "reports")
    assert not (tmp_path / "reports").exists()


def test_a_folder_that_cannot_be_written_is_refused(run_bot: BotRunner, tmp_path: Path) -> None:
    """A file in its place is named before anything is computed."""
    (tmp_path / "reports").write_text("")
    with pytest.raises(UsageError, match=r"--out .*reports cannot be written"):
        run_bot("backtest", out=tmp_path / "reports")


def test_a_bad_date_is_refused_by_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The parser ends with 2 and says what a date looks like."""
    with pytest.raises(SystemExit) as caught:
        parser("backtest").parse_args(["backtest", "--start", "2020-13-01"])
    assert caught.value.code == 2
    assert "'2020-13-01' is no date; write YYYY-MM-DD" in capsys.readouterr().err


def test_missing_matplotlib_is_said_first(run_bot: BotRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy is in the message."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"matplotlib.*walstreet\[bench\]"):
        run_bot("backtest", out=tmp_path)


def test_options_lie_on_top_of_settings(bot_data: Path) -> None:
    """--start, --end, --seed and --runs are the parameters' short names; a config file may be named itself."""
    options = parser("permute").parse_args(
        [
            *("permute", "--data", str(bot_data), "--config", str(ROOT / "config" / "config.yaml")),
            *("--set", 'universe=["SPY"]', "--set", "backtest.seed=1", "--set", "ibkr.start=2015-02-02"),
            *("--start", "2015-03-02", "--end", "2016-03-01", "--seed", "7", "--runs", "11"),
        ]
    )
    inputs = load_inputs(options, end=options.end, environment={"BOT__PERMUTATION__RUNS": "5"})
    assert (inputs.day(inputs.first), inputs.day(inputs.last)) == ("2015-03-02", "2016-03-01")
    assert (inputs.seed, inputs.config.permutation.runs) == (7, 11)


def test_the_digest_sees_every_price_and_day(tmp_path: Path) -> None:
    """One price of one day changes it; the same bars have the same."""
    bars = read_bars(write_daily_bars(tmp_path, ["A", "B"], days=30, seed=1), ["A", "B"])
    before = data_digest(bars)
    assert data_digest(read_bars(tmp_path, ["A", "B"])) == before
    bars.high[3, 1] += 1e-9
    assert data_digest(bars) != before


@pytest.mark.parametrize("native", [True, False])
def test_watching_changes_nothing(tmp_path: Path, native: bool) -> None:
    """Parts are put together to the same bits, and what is reported adds up to the whole."""
    bars = read_bars(write_daily_bars(tmp_path, ["A", "B", "C"], days=330, seed=2), ["A", "B", "C"])
    windows = calendar_windows(bars.dates, 0, 329, train_years=1, oos_months=1)
    grid = [
        SwingParameters(ema_fast=fast, ema_slow=20, atr_window=10, corr_window=20, vol_window=10, top_n=top)
        for fast in (3, 4, 5, 6, 7)
        for top in (1, 2)
    ]
    shares: list[float] = []
    engine = ReferenceEngine()
    watched = WatchedEngine(engine=engine, native=native, advance=shares.append)
    np.testing.assert_array_equal(
        watched.objectives(bars, grid, windows, "Calmar"), engine.objectives(bars, grid, windows, "Calmar")
    )
    assert sum(shares) == pytest.approx(1.0)
    shares.clear()
    np.testing.assert_array_equal(
        watched.permuted_best(bars, [POINT], windows, "Sharpe", seed=1, runs=range(3)),
        engine.permuted_best(bars, [POINT], windows, "Sharpe", seed=1, runs=range(3)),
    )
    assert sum(shares) == pytest.approx(1.0)
