"""Owns what the tests of `bot` share: a small universe of synthetic bars, and a way to run a verb on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from walstreet.research.swing_config import SwingConfig, load_swing_config
from walstreet.testing.daily_bars import write_daily_bars
from walstreet_services.cli import bot_judge
from walstreet_services.cli.__main__ import parser

ROOT = Path(__file__).resolve().parents[4]
SYMBOLS = ("SPY", "BBB", "CCC", "DDD")
DAYS = 420
LATE = "DDD"
LATE_DAYS = 150
SMALL = (
    'universe=["SPY","BBB","CCC","DDD"]',
    "ibkr.start=2015-01-01",
    "features.ema_fast=10",
    "features.ema_slow=30",
    "features.atr_window=10",
    "selection.corr_window=20",
    "weights.vol_window=10",
    "walkforward.train_years=1",
    'walkforward.reoptimize={"ema_fast":[5,10],"ema_slow":[30],"top_n":[1,2],"corr_cap":[0.7]}',
)
"""Windows short enough for little data, and a grid of four points."""

BOOTSTRAP_RUNS = 40
"""Enough to see that intervals are computed; the thousand of a real run would take most of the tests' time."""
BotRunner = Callable[..., int]


@pytest.fixture(scope="session")
def bot_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of four symbols, one of which begins later."""
    return write_daily_bars(tmp_path_factory.mktemp("daily"), SYMBOLS, days=DAYS, seed=3, starts={LATE: LATE_DAYS})


@pytest.fixture(scope="session")
def run_bot(bot_data: Path) -> BotRunner:
    """Return a function that runs one verb on the small universe and returns its exit code."""

    def run(verb: str, *arguments: str, out: Path | None = None, data: Path = bot_data) -> int:
        settings = [part for setting in SMALL for part in ("--set", setting)]
        folder = ["--out", str(out)] if out is not None else []
        common = ["--data", str(data), "--config", str(ROOT / "config"), *settings, *folder]
        options = parser(verb).parse_args([verb, *common, *arguments])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bot_judge, "BOOTSTRAP_RUNS", BOOTSTRAP_RUNS)
            code: int = options.run(options)
        return code

    return run


@pytest.fixture(scope="session")
def backtest_folder(run_bot: BotRunner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the files of one backtest and, in the same folder, of a walk-forward and a permutation test."""
    out = tmp_path_factory.mktemp("reports")
    assert run_bot("backtest", out=out) == 0
    assert run_bot("walkforward", out=out) == 0
    assert run_bot("permute", "--runs", "9", out=out) == 0
    return out


@pytest.fixture
def bot_config() -> Callable[..., SwingConfig]:
    """Return a maker of the shipped configuration with other days."""

    def make(**days: str) -> SwingConfig:
        settings = [f"ibkr.{name}={day}" for name, day in days.items()]
        return load_swing_config(ROOT / "config", {}, settings)

    return make
