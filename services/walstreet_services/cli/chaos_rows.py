"""Owns `walstreet chaos-rows`: a session for each known failure of the broker, under its fault script, judged."""

from __future__ import annotations

import argparse
import concurrent.futures
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from walstreet.runtime.errors import EXIT_BROKEN, EXIT_OK
from walstreet.testing.chaos.judge import judge_books
from walstreet.testing.chaos.row_facts import Facts
from walstreet.testing.chaos.rows import ROWS, Row
from walstreet.testing.stack import events, truth
from walstreet_services.cli.chaos import run_session

SCRIPTS = Path("tests/faults")
MINUTES = 16


class RowResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one script."""

    numbers: str
    script: str
    duty: str
    lockstep: bool
    struck: int
    """How often the script's faults truly acted."""
    orders: int
    fills: int
    elapsed_s: float
    faults: dict[str, list[str]]
    """What is wrong, by invariant; ``duty`` is the row's own."""


class RowsResult(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run."""

    elapsed_s: float
    rows: list[RowResult]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the scripts and return the exit code."""
    top = argparse.ArgumentParser(prog="walstreet chaos-rows", description="Known failures of the broker, one by one.")
    top.add_argument("--only", action="append", help="scripts whose names begin so; repeatable")
    top.add_argument("--workers", type=int, default=2, help="sessions at once")
    top.add_argument("--json", type=Path, help="write the outcome to this file")
    top.add_argument("--keep", type=Path, help="keep the state of all sessions here")
    options = top.parse_args(argv)
    console = Console(width=160, markup=False, highlight=False)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="walstreet-rows-"))
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    wanted = [row for row in ROWS if not options.only or row.script.startswith(tuple(options.only))]
    rows: list[RowResult] = []
    with concurrent.futures.ThreadPoolExecutor(options.workers) as pool:
        for found in pool.map(partial(run_row, folder=folder), wanted):
            rows.append(found)
            verdict = "met" if not found.faults else f"NOT MET {found.faults}"
            console.print(
                f"{found.numbers:>5} {found.script}: {found.struck} strikes, {found.orders} orders, "
                f"{found.fills} fills, {found.elapsed_s:.0f} s: {verdict}",
                soft_wrap=True,
            )
    if options.json:
        result = RowsResult(elapsed_s=time.perf_counter() - started, rows=rows)
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1))
    clean = all(not row.faults for row in rows)
    if options.keep is None and clean:
        shutil.rmtree(folder)
    return EXIT_OK if clean else EXIT_BROKEN


def run_row(row: Row, *, folder: Path) -> RowResult:
    """Run one session under the row's script, and judge it."""
    state, plans = folder / row.script, folder / f"{row.script}-plan"
    plans.mkdir(parents=True, exist_ok=True)
    script = (SCRIPTS / f"{row.script}.yaml").read_text(encoding="utf-8")
    started = time.perf_counter()
    code, summary, text = run_session(
        state, plans, MINUTES, speed="max" if row.lockstep else "40", faults=script, settings=row.settings
    )
    broken = [line for line in summary.get("broken", [text[-600:]]) if not any(word in line for word in row.allowed)]
    if not (state / "broker-truth.jsonl").is_file():
        # A machine that was too busy to start the simulator shows nothing of the duty, and ends no other row.
        text = f"code {code}, the simulator never started: {text[-600:]}"
        return _result(row, started, faults={"session": [text]})
    told = events(state)
    faults = {name: found for name, found in judge_books(state, told).items() if found}
    faults.update({"session": [f"code {code}", *broken]} if broken else {})
    facts = Facts(events=told, truth=truth(state), summary=summary, logs=_logs(state))
    duty = row.check(facts)
    faults.update({"duty": duty} if duty else {})
    struck = len(facts.records("fault_struck")) + len(facts.records("fault_started"))
    if not struck:
        faults["session"] = [*faults.get("session", []), "the script never acted"]
    return _result(row, started, faults=faults, summary=summary, struck=struck)


def _result(
    row: Row, started: float, *, faults: dict[str, list[str]], summary: dict[str, Any] | None = None, struck: int = 0
) -> RowResult:
    known = summary or {}
    return RowResult(
        numbers=row.numbers,
        script=row.script,
        duty=row.duty,
        lockstep=row.lockstep,
        struck=struck,
        orders=known.get("orders", {}).get("sent", 0),
        fills=known.get("fills", {}).get("count", 0),
        elapsed_s=time.perf_counter() - started,
        faults=faults,
    )


def _logs(state: Path) -> str:
    return "\n".join(
        path.read_text(encoding="utf-8", errors="replace") for path in sorted((state / "logs").glob("*.log"))
    )


if __name__ == "__main__":
    sys.exit(main())
