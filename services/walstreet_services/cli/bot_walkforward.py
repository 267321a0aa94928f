"""Owns `bot walkforward`: parameters chosen on rolling training windows, tested on what follows, and its files."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from walstreet.domain.units import FloatArray
from walstreet.research.statistics import equity_curve, max_drawdown, objective_value, sharpe
from walstreet.research.swing_grid import GRID_FIELDS, stability_table, walk_forward
from walstreet.research.swing_types import SwingParameters, WalkForwardResult
from walstreet.runtime.errors import EXIT_OK
from walstreet_services.cli import bot_backtest
from walstreet_services.cli.bot_audit import audit_lines
from walstreet_services.cli.bot_canvas import require_pictures
from walstreet_services.cli.bot_engine import progress, watched
from walstreet_services.cli.bot_files import LOGS_DIR, prepare, write_lines, write_rows
from walstreet_services.cli.bot_grid_pictures import draw_choices, draw_stability
from walstreet_services.cli.bot_inputs import Inputs, load_inputs, notices, whole, windows_of
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
from walstreet_services.cli.bot_sheet import WALKFORWARD_DIR, write_sheet
from walstreet_services.cli.bot_tables import (
    PARAMETERS,
    benchmark_rows,
    headline_rows,
    interval_rows,
    sharpe_rows,
    variant_rows,
    window_rows,
)

VERB = "walkforward"
STRATEGY = "walk-forward"
FIXED = "fixed parameters"
PAIRS = (("ema_fast", "ema_slow"), ("top_n", "corr_cap"), ("ema_slow", "top_n"))
"""Parameters whose mean objectives are drawn against each other."""

assert PARAMETERS == GRID_FIELDS


def run(options: argparse.Namespace) -> int:
    """Run the command; see ``bot.add_arguments``."""
    require_pictures()
    inputs = load_inputs(options, end=options.end, environment=os.environ)
    windows = windows_of(inputs)
    prepare(options.out)
    objective = inputs.config.walkforward.objective
    first, last = windows[0].test_first, windows[-1].test_last
    with watched(inputs.engine, f"{len(windows)} windows, {len(inputs.grid)} grid points", calls=2) as engine:
        found = walk_forward(engine, inputs.bars, inputs.grid, windows, objective)
        trials = engine.objectives(inputs.bars, inputs.grid, [whole(first, last)], "Sharpe")[0]
    fixed = msgspec.structs.replace(inputs.parameters, first_day=first, last_day=last)
    fixed_net = inputs.engine.engine.simulate(inputs.bars, [fixed])
    series = benchmark_returns(inputs, first, last)
    content = {
        **_judged(inputs, found, series=series, trials=trials),
        "variants": {FIXED: metrics_plain(fixed_net)},
    }
    lines = list(audit_lines(inputs, VERB, chosen_segments(inputs, found), found.result))
    folder: Path = options.out / WALKFORWARD_DIR
    nets = {STRATEGY: found.result.net, **series, FIXED: fixed_net.net}
    bot_backtest.write(folder, inputs, found.result, content, nets=nets)
    _write_windows(folder, inputs, found)
    write_lines(options.out / LOGS_DIR / f"{VERB}.jsonl", lines)
    sheet = write_sheet(options.out)
    tables = [
        window_rows(content),
        headline_rows(content, inputs.config.backtest.metrics),
        variant_rows(content),
        benchmark_rows(content),
        interval_rows(content),
        sharpe_rows(content),
    ]
    show(inputs, content, tables, sheet, as_json=options.json)
    return EXIT_OK


def chosen_segments(inputs: Inputs, found: WalkForwardResult) -> list[SwingParameters]:
    """Return the parameters of each window over its test."""
    return [
        msgspec.structs.replace(inputs.grid[int(index)], first_day=window.test_first, last_day=window.test_last)
        for index, window in zip(found.chosen, found.windows, strict=True)
    ]


def _judged(inputs: Inputs, found: WalkForwardResult, *, series: dict[str, FloatArray], trials: FloatArray) -> Plain:
    """Return the content of walkforward/metrics.json without its variants, the documented metrics first."""
    section, net = inputs.config.walkforward, found.result.net
    with progress("bootstrap") as advance:
        intervals = intervals_plain(net, seed=inputs.seed, advance=advance)
    days = inputs.bars.dates[found.result.first_day : found.result.first_day + len(net)]
    return {
        **metrics_plain(found.result),
        "verb": VERB,
        "inputs": inputs.identity(),
        "notices": notices(inputs, found.result),
        "objective": section.objective,
        "train_years": section.train_years,
        "oos_months": section.oos_months,
        "grid_points": len(inputs.grid),
        "mean_objective_in_training": float(np.add.accumulate(_chosen_objectives(found))[-1]) / len(found.windows),
        "objective_out_of_sample": objective_value(net, section.objective),
        "windows": _windows_plain(inputs, found),
        "benchmarks": benchmarks_plain(net, series),
        "intervals": intervals,
        "sharpe_test": sharpe_plain(net, trials),
        "stability": [_stability_plain(inputs, found, pair) for pair in PAIRS],
        "monthly_returns": monthly_returns(days, net),
    }


def _chosen_objectives(found: WalkForwardResult) -> FloatArray:
    values: FloatArray = found.objectives[np.arange(len(found.windows)), found.chosen]
    return values


def _windows_plain(inputs: Inputs, found: WalkForwardResult) -> list[Plain]:
    """Return each window's days, choice, objective in training, and how it went on."""
    plain: list[Plain] = []
    for window, index, objective in zip(found.windows, found.chosen, _chosen_objectives(found), strict=True):
        start = window.test_first - found.result.first_day
        net = found.result.net[start : window.test_last - found.result.first_day + 1]
        point = inputs.grid[int(index)]
        plain.append(
            {
                "train_first": inputs.day(window.train_first),
                "train_last": inputs.day(window.train_last),
                "test_first": inputs.day(window.test_first),
                "test_last": inputs.day(window.test_last),
                "chosen": {name: getattr(point, name) for name in GRID_FIELDS},
                "objective": float(objective),
                "test": {
                    "return": float(equity_curve(net)[-1]) - 1.0,
                    "Sharpe": sharpe(net),
                    "MaxDD": max_drawdown(net),
                    "days": len(net),
                },
            }
        )
    return plain


def _stability_plain(inputs: Inputs, found: WalkForwardResult, pair: tuple[str, str]) -> Plain:
    row, column = pair
    rows, columns, means = stability_table(found.objectives, inputs.grid, row=row, column=column)
    return {"row": row, "column": column, "rows": rows, "columns": columns, "mean_objective": means.tolist()}


def _write_windows(folder: Path, inputs: Inputs, found: WalkForwardResult) -> None:
    """Write windows.csv, the objective of every grid point, and the pictures of the parameters."""
    windows = _windows_plain(inputs, found)
    days = ("train_first", "train_last", "test_first", "test_last")
    tests = ("return", "Sharpe", "MaxDD", "days")
    rows = [
        [
            index,
            *_values(window, days),
            *_values(window["chosen"], GRID_FIELDS),
            window["objective"],
            *_values(window["test"], tests),
        ]
        for index, window in enumerate(windows)
    ]
    heads = ("window", *days, *GRID_FIELDS, "train_objective", *(f"test_{name}" for name in tests))
    write_rows(folder / "windows.csv", heads, rows)
    points = [
        [*(getattr(point, name) for name in GRID_FIELDS), *column]
        for point, column in zip(inputs.grid, found.objectives.T.tolist(), strict=True)
    ]
    write_rows(folder / "objectives.csv", (*GRID_FIELDS, *(f"window_{i}" for i in range(len(windows)))), points)
    objective = inputs.config.walkforward.objective
    tables = [_stability_plain(inputs, found, pair) for pair in PAIRS]
    draw_stability(folder / "stability.png", tables, objective=objective)
    starts = inputs.bars.dates[[window.test_first for window in found.windows]]
    choices = {name: [getattr(inputs.grid[int(index)], name) for index in found.chosen] for name in GRID_FIELDS}
    offered = {name: sorted({getattr(point, name) for point in inputs.grid}) for name in GRID_FIELDS}
    draw_choices(folder / "choices.png", starts, choices, offered)


def _values(mapping: object, names: Sequence[str]) -> list[object]:
    assert isinstance(mapping, dict)
    return [mapping[name] for name in names]
