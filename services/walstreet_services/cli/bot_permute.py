"""Owns `bot permute`: the permutation test of every training window, its pictures and its files."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

from walstreet.research.permutation import PermutationResult, permutation_test
from walstreet.runtime.errors import EXIT_OK
from walstreet_services.cli.bot_canvas import require_pictures
from walstreet_services.cli.bot_engine import watched
from walstreet_services.cli.bot_files import LOGS_DIR, METRICS_FILE, prepare, write_json, write_lines, write_rows
from walstreet_services.cli.bot_grid_pictures import draw_histograms, draw_p_values
from walstreet_services.cli.bot_inputs import Inputs, load_inputs, windows_of
from walstreet_services.cli.bot_judge import Plain
from walstreet_services.cli.bot_output import show
from walstreet_services.cli.bot_sheet import PERMUTATION_DIR, write_sheet
from walstreet_services.cli.bot_tables import Rows, permutation_rows

VERB = "permute"
RATE = 0.10
"""False discovery rate of the windows that are said to stand out."""
COLUMNS = ("train_first", "train_last", "symbols", "real", "p_value", "adjusted", "discovery")
SPREAD = {"permuted_q05": 0.05, "permuted_median": 0.5, "permuted_q95": 0.95}


def run(options: argparse.Namespace) -> int:
    """Run the command; see ``bot.add_arguments``."""
    require_pictures()
    inputs = load_inputs(options, end=options.end, environment=os.environ)
    windows = windows_of(inputs)
    prepare(options.out)
    section = inputs.config.permutation
    text = f"{section.runs} permutations of {len(windows)} windows, {len(inputs.grid)} grid points"
    with watched(inputs.engine, text, calls=2) as engine:
        found = permutation_test(
            engine, inputs.bars, inputs.grid, windows, section.objective, seed=inputs.seed, runs=section.runs
        )
    content = content_of(inputs, found)
    _write(options.out, inputs, found, content)
    sheet = write_sheet(options.out)
    show(inputs, content, [permutation_rows(content), _summary(content)], sheet, as_json=options.json)
    return EXIT_OK


def content_of(inputs: Inputs, found: PermutationResult) -> Plain:
    """Return the content of permutation/metrics.json."""
    quantiles = {name: np.quantile(found.permuted, share, axis=0) for name, share in SPREAD.items()}
    windows = [
        {
            "train_first": inputs.day(window.train_first),
            "train_last": inputs.day(window.train_last),
            "symbols": int(found.covered[index].sum()),
            "left_out": [s for s, takes in zip(inputs.bars.symbols, found.covered[index], strict=True) if not takes],
            "real": float(found.real[index]),
            **{name: float(values[index]) for name, values in quantiles.items()},
            "p_value": float(found.p_values[index]),
            "adjusted": float(found.adjusted[index]),
            "discovery": bool(found.adjusted[index] <= RATE),
        }
        for index, window in enumerate(found.windows)
    ]
    return {
        "p_value": found.p_value,
        "verb": VERB,
        "inputs": inputs.identity(),
        "runs": len(found.permuted),
        "objective": inputs.config.permutation.objective,
        "grid_points": len(inputs.grid),
        "rate": RATE,
        "discoveries": sum(1 for window in windows if window["discovery"]),
        "median_p_value": float(np.median(found.p_values)),
        "smallest_p_value_possible": 1.0 / (len(found.permuted) + 1),
        "windows": windows,
    }


def _write(folder: Path, inputs: Inputs, found: PermutationResult, content: Plain) -> None:
    out = folder / PERMUTATION_DIR
    windows = content["windows"]
    assert isinstance(windows, list)
    write_json(out / METRICS_FILE, content)
    heads = ("window", *COLUMNS, *SPREAD)
    rows = [[index, *(window[name] for name in heads[1:])] for index, window in enumerate(windows)]
    write_rows(out / "p_values.csv", heads, rows)
    names = ("run", *(f"window_{index}" for index in range(len(windows))))
    write_rows(out / "permuted.csv", names, [[run, *row] for run, row in enumerate(found.permuted.tolist())])
    labels = [str(window["train_last"]) for window in windows]
    objective = inputs.config.permutation.objective
    draw_histograms(out / "histogram.png", found, labels, objective=objective)
    draw_p_values(out / "p_values.png", found, labels, objective=objective, rate=RATE)
    head = {name: value for name, value in content.items() if name != "windows"}
    lines = [{"timestamp": inputs.day(inputs.last), "event": "run", **head}]
    events = [{"timestamp": window["train_last"], "event": "permutation", **window} for window in windows]
    write_lines(folder / LOGS_DIR / f"{VERB}.jsonl", [*lines, *events])


def _summary(content: Plain) -> Rows:
    windows = content["windows"]
    assert isinstance(windows, list)
    rows = [
        ("p-value", f"{content['p_value']:.4f}", "of all windows together (Simes)"),
        ("median p", f"{content['median_p_value']:.4f}", "of the windows; about .5 without any structure"),
        (
            "discoveries",
            f"{content['discoveries']}",
            f"of {len(windows)} windows at a false discovery rate of {RATE:.0%}",
        ),
    ]
    return ("permutation test", "value", "meaning"), rows
