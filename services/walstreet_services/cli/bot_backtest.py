"""Owns `bot backtest`: one simulation of the configured strategy, what it is compared with, and its files."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import msgspec

from walstreet.domain.units import FloatArray
from walstreet.research.swing_types import SwingParameters, SwingResult
from walstreet.runtime.errors import EXIT_OK
from walstreet_services.cli.bot_audit import audit_lines
from walstreet_services.cli.bot_canvas import require_pictures
from walstreet_services.cli.bot_engine import progress, watched
from walstreet_services.cli.bot_files import LOGS_DIR, METRICS_FILE, prepare, write_json, write_lines, write_simulation
from walstreet_services.cli.bot_inputs import Inputs, load_inputs, notices, whole
from walstreet_services.cli.bot_judge import (
    Plain,
    benchmark_returns,
    benchmarks_plain,
    intervals_plain,
    metrics_plain,
    monthly_returns,
    sharpe_plain,
)
from walstreet_services.cli.bot_output import show
from walstreet_services.cli.bot_pictures import draw_drawdown, draw_equity, draw_heatmap, draw_weights
from walstreet_services.cli.bot_sheet import write_sheet
from walstreet_services.cli.bot_tables import benchmark_rows, headline_rows, interval_rows, sharpe_rows, variant_rows

VERB = "backtest"
STRATEGY = "strategy"
LITERAL = "literal strategy"
LINES_OF_DRAWDOWN = 2
"""The strategy and the first benchmark; falls of more lines hide each other."""


def run(options: argparse.Namespace) -> int:
    """Run the command; see ``bot.add_arguments``."""
    require_pictures()
    inputs = load_inputs(options, end=options.end, environment=os.environ)
    prepare(options.out)
    engine = inputs.engine.engine
    result = engine.simulate(inputs.bars, [inputs.parameters])
    variants = {
        name: engine.simulate(inputs.bars, [parameters]) for name, parameters in variants_of(inputs.parameters).items()
    }
    series = benchmark_returns(inputs, inputs.first, inputs.last)
    with watched(inputs.engine, f"{len(inputs.grid)} grid points for the deflated Sharpe ratio") as engine_watched:
        window = whole(inputs.first, inputs.last)
        trials = engine_watched.objectives(inputs.bars, inputs.grid, [window], "Sharpe")[0]
    content = content_of(inputs, result, variants, series=series, trials=trials)
    lines = list(audit_lines(inputs, VERB, [inputs.parameters], result))
    write(options.out, inputs, result, content, nets={STRATEGY: result.net, **series, LITERAL: variants[LITERAL].net})
    write_lines(options.out / LOGS_DIR / f"{VERB}.jsonl", lines)
    sheet = write_sheet(options.out)
    tables = [
        headline_rows(content, inputs.config.backtest.metrics),
        variant_rows(content),
        benchmark_rows(content),
        interval_rows(content),
        sharpe_rows(content),
    ]
    show(inputs, content, tables, sheet, as_json=options.json)
    return EXIT_OK


def variants_of(parameters: SwingParameters) -> dict[str, SwingParameters]:
    """Return the configured strategy with one thing changed at a time."""
    other = "t+0" if parameters.settlement == "t+1" else "t+1"
    return {
        LITERAL: msgspec.structs.replace(parameters, hold_bonus=0.0, band=0.0),
        f"settlement {other}": msgspec.structs.replace(parameters, settlement=other),
    }


def content_of(
    inputs: Inputs,
    result: SwingResult,
    variants: dict[str, SwingResult],
    *,
    series: dict[str, FloatArray],
    trials: FloatArray,
) -> Plain:
    """Return the content of metrics.json, the documented metrics first."""
    with progress("bootstrap") as advance:
        intervals = intervals_plain(result.net, seed=inputs.seed, advance=advance)
    days = inputs.bars.dates[inputs.first : inputs.last + 1]
    return {
        **metrics_plain(result),
        "verb": VERB,
        "inputs": inputs.identity(),
        "notices": notices(inputs, result),
        "benchmarks": benchmarks_plain(result.net, series),
        "variants": {name: metrics_plain(variant) for name, variant in variants.items()},
        "intervals": intervals,
        "sharpe_test": sharpe_plain(result.net, trials),
        "monthly_returns": monthly_returns(days, result.net),
    }


def write(folder: Path, inputs: Inputs, result: SwingResult, content: Plain, *, nets: dict[str, FloatArray]) -> None:
    """Write metrics, weights, days and pictures of a simulation that begins on the result's first day."""
    days = inputs.bars.dates[result.first_day : result.first_day + len(result.net)]
    write_json(folder / METRICS_FILE, content)
    write_simulation(folder, inputs.bars, result)
    span = f"{inputs.day(result.first_day)} to {inputs.day(result.first_day + len(result.net) - 1)}"
    draw_equity(folder / "equity.png", days, nets, title=f"Equity, {span}")
    compared = dict(list(nets.items())[:LINES_OF_DRAWDOWN])
    draw_drawdown(folder / "drawdown.png", days, compared, title=f"Drawdown, {span}")
    monthly = monthly_returns(days, result.net)
    draw_heatmap(folder / "heatmap.png", monthly, title=f"Monthly returns after costs, {span}")
    draw_weights(folder / "weights.png", days, inputs.bars.symbols, result.held, title=f"Held overnight, {span}")
