"""Owns tearsheet.html: one self-contained page of everything that `bot` has found in a folder; no script, no network.

The page is made from the files of the folder alone, anew after every verb: what has not been run is not on it, and a
page whose parts come from different inputs says so.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from walstreet.runtime.errors import UsageError
from walstreet_services.cli.bot_files import METRICS_FILE
from walstreet_services.cli.bot_tables import (
    NUMBER,
    Rows,
    benchmark_rows,
    headline_rows,
    interval_rows,
    permutation_rows,
    sharpe_rows,
    variant_rows,
    window_rows,
)

SHEET_FILE = "tearsheet.html"
WALKFORWARD_DIR = "walkforward"
PERMUTATION_DIR = "permutation"
SAME_INPUTS = ("first", "last", "parameters_sha256", "data_sha256", "seed")
"""What must agree between the parts of a page."""
SYMBOLS_LISTED_MAX = 40
STYLE = """
:root { color-scheme: light; --ink: #1c2430; --rule: #d8dee6; --quiet: #5b6675; --bad: #b3261e; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: #fff; margin: 2rem auto; max-width: 70rem;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.3rem; margin-top: 2.5rem;
  border-bottom: 2px solid var(--rule); } h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
table { border-collapse: collapse; width: 100%; font-size: .92em; } td, th { text-align: left; padding: .25rem .6rem;
  border-bottom: 1px solid var(--rule); vertical-align: top; } td.n, th.n { text-align: right;
  font-variant-numeric: tabular-nums; } .quiet { color: var(--quiet); } .bad { color: var(--bad); }
img { width: 100%; height: auto; } code { font-size: .85em; word-break: break-all; }
.wide { overflow-x: auto; }
"""

Content = Mapping[str, Any]


def write_sheet(folder: Path) -> Path:
    """Write the page of ``folder`` and return its path.

    Raises:
        UsageError: A file of an earlier run in the folder is not what `bot` writes.
    """
    parts = {name: _read(folder / name / METRICS_FILE) for name in (".", WALKFORWARD_DIR, PERMUTATION_DIR)}
    found = {name: content for name, content in parts.items() if content is not None}
    path = folder / SHEET_FILE
    try:
        path.write_text(_render(folder, found), encoding="utf-8")
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{folder} holds a {METRICS_FILE} that this version of bot did not write ({error!r}); take another --out"
        ) from error
    return path


def table(rows: Rows) -> str:
    """Return an HTML table; a column of numbers only is aligned to the right, its head with it."""
    heads, body = rows
    numeric = [bool(body) and all(NUMBER.fullmatch(row[index]) for row in body) for index in range(len(heads))]

    def cells(tag: str, texts: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{' class=n' if numeric[index] else ''}>{escape(text)}</{tag}>" for index, text in enumerate(texts)
        )

    lines = [f"<tr>{cells('td', row)}</tr>" for row in body]
    return f"<div class=wide><table><tr>{cells('th', heads)}</tr>{''.join(lines)}</table></div>"


def _read(path: Path) -> Content | None:
    if not path.is_file():
        return None
    try:
        content: Content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as JSON ({error}); remove it or take another --out") from error
    return content


def _render(folder: Path, parts: Mapping[str, Content]) -> str:
    first = next(iter(parts.values()))["inputs"]
    title = f"ETF rotation, {first['first']} to {first['last']}"
    symbols = first["symbols"]
    named = ", ".join(symbols) if len(symbols) <= SYMBOLS_LISTED_MAX else f"{len(symbols)} symbols"
    body = [
        f"<h1>{escape(title)}</h1>",
        _quiet(f"{named}; {_engine(first)}"),
        _differences(parts),
    ]
    if "." in parts:
        body.append(_backtest(folder, parts["."]))
    if WALKFORWARD_DIR in parts:
        body.append(_walkforward(folder / WALKFORWARD_DIR, parts[WALKFORWARD_DIR]))
    if PERMUTATION_DIR in parts:
        body.append(_permutation(folder / PERMUTATION_DIR, parts[PERMUTATION_DIR]))
    body.append(_inputs(parts))
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width, "
        f"initial-scale=1'><title>{escape(title)}</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body></html>\n"
    )


def _backtest(folder: Path, content: Content) -> str:
    literal = (
        "The literal strategy has no bonus for held names and no band. With t+1 settlement buys wait for the proceeds "
        "of the same day's sales."
    )
    return "".join(
        [
            "<h2>Backtest</h2>",
            _notes(content["notices"]),
            table(headline_rows(content)),
            *_curves(folder, "of the backtest"),
            "<h3>The same with one thing changed</h3>",
            _quiet(literal),
            table(variant_rows(content)),
            *_confidence(content),
        ]
    )


def _walkforward(folder: Path, content: Content) -> str:
    how = (
        f"{content['train_years']} years of training choose by {content['objective']} among {content['grid_points']} "
        f"points, {content['oos_months']} months test; {len(content['windows'])} windows, joined and simulated once "
        "from flat."
    )
    stable = (
        "Mean objective in training over all windows and all other parameters: a choice whose neighbours are as good "
        "is stable, a lone peak is not."
    )
    return "".join(
        [
            "<h2>Walk-forward, out of sample</h2>",
            _quiet(how),
            _notes(content["notices"]),
            table(headline_rows(content)),
            *_curves(folder, "out of sample"),
            "<h3>What re-optimising brought</h3>",
            table(variant_rows(content)),
            *_confidence(content),
            "<h3>How stable the parameters are</h3>",
            _quiet(stable),
            _picture(folder / "stability.png", "Mean objective in training for pairs of parameters"),
            _picture(folder / "choices.png", "Parameters that each window chose"),
            "<h3>Windows</h3>",
            table(window_rows(content)),
        ]
    )


def _permutation(folder: Path, content: Content) -> str:
    found = (
        f"<p>All windows together: <b>p = {content['p_value']:.4f}</b> (Simes). {content['discoveries']} of "
        f"{len(content['windows'])} windows stand out at a false discovery rate of {content['rate']:.0%} "
        "(Benjamini-Hochberg).</p>"
    )
    how = (
        f"Each of {content['runs']} runs puts a window's training days in another order, one order for all symbols, "
        "and optimises the whole grid again. p is the share of runs, the real order counted as one, whose best "
        f"{content['objective']} is at least the real one."
    )
    return "".join(
        [
            "<h2>Permutation test</h2>",
            found,
            _quiet(how),
            _picture(folder / "p_values.png", "Best objective in the real order and in permuted ones, and p-values"),
            _picture(folder / "histogram.png", "Best objectives of the permuted orders, for each window"),
            table(permutation_rows(content)),
        ]
    )


def _curves(folder: Path, what: str) -> list[str]:
    return [
        _picture(folder / "equity.png", f"Growth {what}, with benchmarks"),
        _picture(folder / "drawdown.png", f"Fall from the highest equity so far, {what}"),
        _picture(folder / "heatmap.png", f"Monthly returns {what}"),
        _picture(folder / "weights.png", f"Weights held overnight, {what}"),
    ]


def _confidence(content: Content) -> list[str]:
    return [
        "<h3>Against benchmarks</h3>",
        _quiet("Benchmarks pay no costs."),
        table(benchmark_rows(content)),
        "<h3>How sure</h3>",
        table(interval_rows(content)),
        table(sharpe_rows(content)),
    ]


def _differences(parts: Mapping[str, Content]) -> str:
    """Return a warning where the parts of the page do not come from the same inputs."""
    every = [content["inputs"] for content in parts.values()]
    differing = [name for name in SAME_INPUTS if any(inputs[name] != every[0][name] for inputs in every)]
    if not differing:
        return ""
    names = ", ".join(differing)
    return f"<p class=bad>The parts of this page come from different inputs ({escape(names)}); run the verbs again.</p>"


def _inputs(parts: Mapping[str, Content]) -> str:
    rows = [
        (verb, inputs["first"], inputs["last"], str(inputs["seed"]), inputs["parameters_sha256"], inputs["data_sha256"])
        for verb, inputs in ((content["verb"], content["inputs"]) for content in parts.values())
    ]
    heads = ("verb", "first day", "last day", "seed", "parameters", "data")
    engines = sorted({_engine(content["inputs"]) for content in parts.values()})
    return f"<h2>Inputs</h2>{table((heads, rows))}{_quiet('; '.join(engines))}"


def _engine(inputs: Content) -> str:
    return f"engine: {inputs['engine']}"


def _quiet(text: str) -> str:
    return f"<p class=quiet>{escape(text)}</p>"


def _notes(lines: Sequence[str]) -> str:
    return "".join(f"<p class=bad>{escape(line)}</p>" for line in lines)


def _picture(path: Path, label: str) -> str:
    if not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"<img alt='{escape(label)}' src='data:image/png;base64,{data}'>"
