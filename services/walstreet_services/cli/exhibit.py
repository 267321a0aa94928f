"""Owns `walstreet exhibit`: measure what the decision core or research promises, print rows, draw pictures, judge."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from walstreet.runtime.errors import EXIT_BROKEN, EXIT_OK, EXIT_USAGE, UsageError
from walstreet.testing.bench.chart import ChartUnavailableError
from walstreet.testing.bench.machine import describe_machine
from walstreet.testing.exhibits import (
    coverage,
    equal_risk,
    forests,
    hashes,
    look_ahead,
    no_skill,
    pictures,
    regret,
    universe,
    white_noise,
)
from walstreet.testing.exhibits.row import Exhibit, Row

PIPE_COLUMNS = 200
TITLES = {"decision": "Decision core", "research": "Research"}
"""What can be exhibited; files are called the same."""
NOT_MEASURED = "coverage on real minutes was not measured: --data names no folder of market data"

Maker = Callable[[Path | None], Exhibit]
MAKERS: Mapping[str, Maker] = {
    coverage.NAME: coverage.exhibit,
    regret.NAME: lambda _: regret.exhibit(),
    equal_risk.NAME: lambda _: equal_risk.exhibit(),
    forests.NAME: lambda _: forests.exhibit(),
    no_skill.NAME: lambda _: no_skill.exhibit(),
    hashes.NAME: lambda _: hashes.exhibit(),
}
"""What is measured of the decision core, by name, in the order of the table."""
RESEARCH: Mapping[str, Maker] = {
    white_noise.NAME: lambda _: white_noise.exhibit(),
    look_ahead.NAME: lambda _: look_ahead.exhibit(),
    universe.NAME: lambda _: universe.exhibit(),
}
"""The same of research."""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    top = argparse.ArgumentParser(
        prog="walstreet exhibit",
        description="Measure what the decision core promises (coverage, regret, equal risk, forests, gates, bits), or "
        "research (p-values of white noise, no look-ahead, equal engines, a universe of 3,000 symbols).",
        epilog="Exit codes: 0 every row passes, 1 a row or a measurement failed, 2 bad input.",
    )
    top.add_argument("what", choices=list(TITLES), help="which part of the system")
    top.add_argument(
        "--out", type=Path, required=True, help="folder of the pictures and of the result as JSON and text"
    )
    top.add_argument("--data", type=Path, help="folder of real market data (minute/*.parquet); only read")
    top.add_argument(
        "--only", action="append", choices=[*MAKERS, *RESEARCH], metavar="NAME", help="measure just this; repeatable"
    )
    top.add_argument("--json", action="store_true", help="print the result as JSON instead of the table")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = parser().parse_args(argv)
    try:
        return run(options)
    except (UsageError, ChartUnavailableError, OSError) as error:
        print(f"walstreet exhibit: {error}", file=sys.stderr)
        return EXIT_USAGE


def run(options: argparse.Namespace) -> int:
    """Measure, draw and print.

    Raises:
        UsageError: The data folder is none, or ``--only`` names something of another part.
        ChartUnavailableError: matplotlib is missing.
        OSError: The output folder cannot be written.
    """
    data: Path | None = options.data
    if data is not None and not (data / "minute").is_dir():
        raise UsageError(f"--data {data} has no folder minute with Parquet files")
    makers = MAKERS if options.what == "decision" else RESEARCH
    others = [name for name in options.only or () if name not in makers]
    if others:
        raise UsageError(f"--only {others[0]} is no exhibit of {options.what}; it has {', '.join(makers)}")
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    stream = sys.stderr if options.json else sys.stdout
    console = Console(file=stream, width=None if stream.isatty() else PIPE_COLUMNS)
    started = time.perf_counter()
    exhibits, failures = measure(options.only or list(makers), data, console, makers)
    rows = [row for exhibit in exhibits for row in exhibit.rows]
    files = [path.name for exhibit in exhibits for path in pictures.draw(exhibit, out)]
    machine = describe_machine()
    result = as_json(rows, failures, files, machine=machine, elapsed_s=time.perf_counter() - started)
    text = json.dumps(result, indent=1) + "\n"
    (out / f"{options.what}.json").write_text(text, encoding="utf-8")
    (out / f"{options.what}.md").write_text(as_text(rows, machine), encoding="utf-8")
    if options.json:
        sys.stdout.write(text)
    else:
        print_rows(console, rows, TITLES[options.what])
    if data is None and coverage.NAME in makers and coverage.NAME in (options.only or makers):
        console.print(NOT_MEASURED, highlight=False)
    for name, problem in failures.items():
        console.print(f"[red]{name} failed:[/] {problem}", highlight=False, soft_wrap=True)
    return EXIT_OK if result["ok"] else EXIT_BROKEN


def measure(
    names: Sequence[str], data: Path | None, console: Console, makers: Mapping[str, Maker] = MAKERS
) -> tuple[list[Exhibit], dict[str, str]]:
    """Return the exhibits, and why one has none; one that fails does not stop the others."""
    found: list[Exhibit] = []
    failures: dict[str, str] = {}
    for name, maker in makers.items():
        if name not in names:
            continue
        started = time.perf_counter()
        try:
            found.append(maker(data))
        except RuntimeError as error:
            failures[name] = str(error)
        console.print(f"{name}: {time.perf_counter() - started:.1f} s", highlight=False)
    return found, failures


def as_json(
    rows: Sequence[Row],
    failures: Mapping[str, str],
    files: Sequence[str],
    *,
    machine: Mapping[str, Any],
    elapsed_s: float,
) -> dict[str, Any]:
    """Return the content of the JSON file; ``ok`` needs at least one row, and all of them to pass."""
    return {
        "ok": bool(rows) and all(row.passes for row in rows) and not failures,
        "elapsed_s": round(elapsed_s, 1),
        "machine": dict(machine),
        "rows": [{**msgspec.to_builtins(row), "target": row.target, "passes": row.passes} for row in rows],
        "failures": dict(failures),
        "pictures": list(files),
    }


def as_text(rows: Sequence[Row], machine: Mapping[str, Any]) -> str:
    """Return the rows as a table for a Markdown page."""
    kernel = machine["kernels"]
    place = f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}"
    lines = [
        f"{place}, kernels {kernel['name']} ({kernel['level']}).",
        "",
        "| exhibit | case | value | target | passes | note |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.exhibit} | {row.case} | {number(row.value)} | {row.target} | {verdict(row)} | {row.note} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def print_rows(console: Console, rows: Sequence[Row], title: str = TITLES["decision"]) -> None:
    """Print the table."""
    table = Table(title=title)
    for head in ("exhibit", "case"):
        table.add_column(head, overflow="fold")
    for head in ("value", "target"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("")
    table.add_column("note", overflow="fold")
    for row in rows:
        colour = "green" if row.passes else "red"
        table.add_row(row.exhibit, row.case, number(row.value), row.target, f"[{colour}]{verdict(row)}[/]", row.note)
    console.print(table)


def number(value: float) -> str:
    """Return a value with four significant digits."""
    return f"{value:,.4g}"


def verdict(row: Row) -> str:
    """Return whether the row passes, in a word."""
    return "yes" if row.passes else "FAILS"


if __name__ == "__main__":
    sys.exit(main())
