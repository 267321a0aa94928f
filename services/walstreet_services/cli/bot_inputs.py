"""Owns what every research verb of `bot` begins with: arguments, configuration, bars, days and the engine."""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from walstreet.kernels.swing import SWING_THREADS_MAX
from walstreet.research.daily_store import SIMULATED, source_of
from walstreet.research.swing_config import CONFIG_FILE, SwingConfig, load_swing_config
from walstreet.research.swing_data import date_of, long_gaps, read_bars, simulated_rows
from walstreet.research.swing_grid import calendar_windows
from walstreet.research.swing_native import EngineChoice, choose_engine
from walstreet.research.swing_parallel import spread
from walstreet.research.swing_types import SwingBars, SwingParameters, SwingResult, Window
from walstreet.runtime.errors import UsageError

CONFIG_DIR = Path("config")
DATA_DIR = Path("data/parquet")
OUT_DIR = Path("reports")
DIGEST_CHARACTERS = 16
"""So much of a SHA-256 is enough to see whether two results come from the same input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Everything that a research verb computes from."""

    config: SwingConfig
    data: Path
    bars: SwingBars
    first: int
    """Row of the first simulated day."""
    last: int
    """Row of the last one."""
    parameters: SwingParameters
    """The configured strategy over these days."""
    grid: tuple[SwingParameters, ...]
    engine: EngineChoice

    @property
    def seed(self) -> int:
        """Return the seed of every random step."""
        return self.config.backtest.seed

    def day(self, row: int) -> str:
        """Return the ISO date of a row."""
        return date_of(self.bars.dates[row]).isoformat()

    def identity(self) -> dict[str, object]:
        """Return what tells one result from another: the same identity and code give the same bytes.

        Why the engine was taken is not in it: that text may have a path of the machine.
        """
        return {
            "first": self.day(self.first),
            "last": self.day(self.last),
            "symbols": list(self.bars.symbols),
            "seed": self.seed,
            "parameters_sha256": _digest(msgspec.json.encode(self.parameters), msgspec.json.encode(self.grid)),
            "data_sha256": data_digest(self.bars),
            "engine": self.engine.name,
        }


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe what all research verbs take."""
    parser.add_argument("--data", type=Path, default=DATA_DIR, help=f"folder of SYMBOL.parquet (default: {DATA_DIR}/)")
    parser.add_argument(
        "--config",
        type=Path,
        default=CONFIG_DIR,
        help=f"folder of {CONFIG_FILE} and perhaps config.local.yaml (default: {CONFIG_DIR}/)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="override a parameter; the value is JSON, or text; may be repeated, later ones on top",
    )
    parser.add_argument(
        "--start", type=parse_date, metavar="YYYY-MM-DD", help="first simulated day; bars before warm up"
    )
    parser.add_argument("--threads", type=int, help="of the native engine (default: all cores); changes no result")
    parser.add_argument("--workers", type=int, help="processes for grids and permutations (research.workers)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else, to stdout")


def add_range_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe what the verbs that write files take besides."""
    parser.add_argument("--end", type=parse_date, metavar="YYYY-MM-DD", help="last simulated day")
    parser.add_argument("--seed", type=int, help="of every random step (backtest.seed)")
    parser.add_argument("--out", type=Path, default=OUT_DIR, help=f"folder of the results (default: {OUT_DIR}/)")


def load_inputs(options: argparse.Namespace, *, end: dt.date | None, environment: Mapping[str, str]) -> Inputs:
    """Return what the arguments ask for.

    Args:
        options: Of ``add_common_arguments``; ``seed`` and ``runs`` are taken where a verb has them.
        end: Last simulated day; None is the configured one.
        environment: Variables of the process.

    Raises:
        UsageError: An argument, a file or a value cannot be used; the text says what to change.
    """
    config = load_swing_config(config_folder(options.config), environment, _settings(options, end))
    if config.ibkr.timeframe != "1 day":
        raise UsageError(f"ibkr.timeframe is {config.ibkr.timeframe!r}; research reads daily bars, set it to '1 day'")
    data: Path = options.data
    if not data.is_dir():
        raise UsageError(
            f"--data {data} is no folder; `bot fetch` fills {DATA_DIR}/, or name a folder of SYMBOL.parquet"
        )
    threads = _threads(options.threads, config.research.workers)
    bars = read_bars(data, config.universe)
    first, last = simulated_rows(bars, config.ibkr.start, config.ibkr.end)
    parameters, grid = config.parameters(first, last), config.grid(first, last)
    return Inputs(
        config=config,
        data=data,
        bars=bars,
        first=first,
        last=last,
        parameters=parameters,
        grid=grid,
        engine=spread(
            choose_engine([parameters, *grid], threads=threads),
            workers=config.research.workers,
            backend=config.research.backend,
        ),
    )


def windows_of(inputs: Inputs) -> tuple[Window, ...]:
    """Return the windows of walk-forward and permutation.

    Raises:
        UsageError: The days are too few for one.
    """
    section = inputs.config.walkforward
    windows = calendar_windows(
        inputs.bars.dates,
        inputs.first,
        inputs.last,
        train_years=section.train_years,
        oos_months=section.oos_months,
    )
    if not windows:
        raise UsageError(
            f"{inputs.day(inputs.first)} to {inputs.day(inputs.last)} hold no window: training takes "
            f"{section.train_years} years and needs a day after them; choose an earlier --start, fetch more history, "
            "or --set walkforward.train_years=N"
        )
    return windows


def whole(first: int, last: int) -> Window:
    """Return a window that trains on all these rows; what is measured in it is measured over them."""
    return Window(train_first=first, train_last=last, test_first=last + 1, test_last=last + 1)


def notices(inputs: Inputs, result: SwingResult) -> list[str]:
    """Return what a reader of the result should know before the numbers."""
    lines = [f"{line}; the return over the gap belongs to nobody" for line in long_gaps(inputs.bars)]
    if source_of(inputs.data, inputs.bars.symbols[0]) == SIMULATED:
        lines.append("the prices are a simulator's: synthetic, no market has made them")
    end = inputs.config.ibkr.end
    if end is not None and end > date_of(inputs.bars.dates[-1]):
        lines.append(f"the data end on {inputs.day(inputs.last)}, before the {end} that was asked for")
    if not result.traded.any():
        lines.append("nothing was traded: no symbol passed every rule on any day; see the reasons of `bot weights`")
    return lines


def data_digest(bars: SwingBars) -> str:
    """Return a digest of symbols, days and prices, whatever file format they came in."""
    parts = [prices.tobytes() for prices in (bars.open, bars.high, bars.low, bars.close)]
    return _digest("\n".join(bars.symbols).encode(), bars.dates.tobytes(), *parts)


def parse_date(text: str) -> dt.date:
    """Return an ISO date of the command line."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; write YYYY-MM-DD") from error


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:DIGEST_CHARACTERS]


def _settings(options: argparse.Namespace, end: dt.date | None) -> Sequence[str]:
    """Return the ``--set`` arguments, the options that stand for one last."""
    named = {
        "ibkr.start": options.start,
        "ibkr.end": end,
        "backtest.seed": getattr(options, "seed", None),
        "permutation.runs": getattr(options, "runs", None),
        "research.workers": getattr(options, "workers", None),
    }
    return [*options.set, *(f"{path}={value}" for path, value in named.items() if value is not None)]


def config_folder(path: Path) -> Path:
    """Return the folder of the configuration, given it or its file.

    Raises:
        UsageError: It is neither.
    """
    if path.is_dir():
        return path
    if path.name == CONFIG_FILE and path.is_file():
        return path.parent
    raise UsageError(f"--config {path} is neither a folder with {CONFIG_FILE} nor such a file")


def _threads(asked: int | None, workers: int) -> int:
    if asked is None:
        return max(1, min(len(os.sched_getaffinity(0)) // workers, SWING_THREADS_MAX))
    if not 1 <= asked <= SWING_THREADS_MAX:
        raise UsageError(f"--threads is {asked}; allowed is 1 to {SWING_THREADS_MAX}")
    return asked
