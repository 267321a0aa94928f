"""Owns `walstreet bench`: measure against peers, print the rows, write bench.json and bench.png, judge the targets."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from walstreet.runtime.errors import EXIT_BROKEN, EXIT_OK, EXIT_USAGE
from walstreet.testing.bench.catalog import KNOWN, MAKERS, UnknownGroupError, choose
from walstreet.testing.bench.chart import ChartUnavailableError, draw, number
from walstreet.testing.bench.machine import describe_machine
from walstreet.testing.bench.peers import absent_peers
from walstreet.testing.bench.row import NOISY_SHARE, PEER_RATIO_MIN, BenchError, Maker, Row, Setup

UP = (sys.executable, "-m", "walstreet_services.cli", "up")
PIPE_COLUMNS = 200
NOISY_RATIO = 1.5
"""Beyond this p99 over median of an idle loop the machine is called noisy in the output."""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    top = argparse.ArgumentParser(
        prog="walstreet bench",
        description="Measure walstreet against what a user would pick instead: same data, same run, in turns.",
        epilog=(
            f"A row passes at {NOISY_SHARE:.0%} of its target, and never below {PEER_RATIO_MIN:g}x a peer "
            "that does the same work. Exit codes: 0 all rows pass, 1 a row or a measurement failed, 2 bad input."
        ),
    )
    have = ", ".join(name for name in KNOWN if name in MAKERS)
    top.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure (default: all of {have})")
    top.add_argument("--quick", action="store_true", help="fewer runs: under a minute in all")
    top.add_argument("--json", metavar="FILE", help="write rows and machine as JSON (- for standard output)")
    top.add_argument("--plot", metavar="FILE", help="draw the ratios as PNG (default: beside the JSON file)")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit code."""
    options = parser().parse_args(argv)
    stream = sys.stderr if options.json == "-" else sys.stdout
    # A file or a pipe has no width of its own, and the table does not fit into what is assumed for it.
    console = Console(file=stream, width=None if stream.isatty() else PIPE_COLUMNS)
    try:
        makers = choose(options.names)
    except UnknownGroupError as error:
        print(f"walstreet bench: {error}", file=sys.stderr)
        return EXIT_USAGE
    started = time.perf_counter()
    machine = describe_machine()
    rows, failures = measure(makers, Setup(quick=options.quick, up=UP), console)
    result = as_json(rows, failures, machine=machine, quick=options.quick, elapsed_s=time.perf_counter() - started)
    result["absent_peers"] = absent_peers(list(makers))
    try:
        deliver(options, result, rows)
    except (OSError, ChartUnavailableError) as error:
        print(f"walstreet bench: {error}", file=sys.stderr)
        return EXIT_USAGE
    print_rows(console, rows, machine)
    for name, problem in result["absent_peers"].items():
        console.print(f"peer {name} was not measured: {problem}", highlight=False, soft_wrap=True)
    for name, text in failures.items():
        console.print(f"[red]{name} failed:[/] {text}", highlight=False, soft_wrap=True)
    return EXIT_OK if result["ok"] else EXIT_BROKEN


def measure(makers: Mapping[str, Maker], setup: Setup, console: Console) -> tuple[list[Row], dict[str, str]]:
    """Return the rows of every group, and why a group has none; one that fails does not stop the others."""
    rows: list[Row] = []
    failures: dict[str, str] = {}
    for name, maker in makers.items():
        started = time.perf_counter()
        try:
            rows += maker(setup)
        except (BenchError, AssertionError) as error:
            # Peers are compared by assertions before they are timed: a difference is a failed measurement.
            failures[name] = str(error) or type(error).__name__
        console.print(f"{name}: {time.perf_counter() - started:.1f} s", highlight=False)
    return rows, failures


def as_json(
    rows: Sequence[Row], failures: Mapping[str, str], *, machine: Mapping[str, Any], quick: bool, elapsed_s: float
) -> dict[str, Any]:
    """Return the content of bench.json."""
    failing = [f"{row.name} ({row.size}) vs {row.peer}" for row in rows if not row.passes]
    return {
        "ok": not failing and not failures,
        "quick": quick,
        "elapsed_s": round(elapsed_s, 1),
        "machine": dict(machine),
        "rows": [msgspec.to_builtins(row) for row in rows],
        "failing": failing,
        "failures": dict(failures),
    }


def deliver(options: argparse.Namespace, result: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Write the JSON and the chart that were asked for.

    Raises:
        OSError: A file cannot be written.
        ChartUnavailableError: The chart was asked for, and matplotlib is missing.
    """
    if options.json == "-":
        sys.stdout.write(json.dumps(result, indent=1) + "\n")
    elif options.json:
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    path = options.plot
    if path is None and options.json not in (None, "-"):
        path = str(Path(options.json).with_suffix(".png"))
    if path and rows:
        machine = result["machine"]
        kernel = machine["kernels"]
        title = (
            f"walstreet bench: {machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, "
            f"kernels {kernel['name']}/{kernel['level']}"
        )
        draw(rows, Path(path), title=title)


def print_rows(console: Console, rows: Sequence[Row], machine: Mapping[str, Any]) -> None:
    """Print the table and one line about the machine."""
    table = Table(title="Benchmark")
    for head in ("name", "size", "unit"):
        table.add_column(head, overflow="fold")
    for head in ("median", "p99"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("peer", overflow="fold")
    for head in ("peer median", "ratio", "target"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("")
    for row in rows:
        table.add_row(
            row.name,
            row.size,
            row.unit,
            number(row.median),
            number(row.p99),
            row.peer,
            number(row.peer_median),
            f"{row.ratio:,.2f}",
            f"{row.target:g}",
            verdict(row),
        )
    console.print(table)
    noise = float(machine["noise_ratio"])
    kernel = machine["kernels"]
    console.print(
        f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, kernels {kernel['name']} "
        f"({kernel['level']}), load {machine['load_average']}, noise {noise:.2f}"
        f"{' (a noisy machine: trust ratios, not tails)' if noise > NOISY_RATIO else ''}",
        highlight=False,
        soft_wrap=True,
    )


def verdict(row: Row) -> str:
    """Return how a row stands to its target."""
    if row.meets_target:
        return "[green]met[/]"
    return "[yellow]passes[/]" if row.passes else "[red]FAILS[/]"


if __name__ == "__main__":
    sys.exit(main())
