"""Owns what `bot fetch` says in the end: a row for each symbol, the validation's findings, and the same as JSON."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from walstreet.domain.daily_checks import Finding, doubts
from walstreet_services.cli.bot_fetch_symbol import Outcome
from walstreet_services.cli.bot_output import PIPE_COLUMNS

REPORT_FILE = "validation.json"
FINDINGS_SHOWN_MAX = 25
"""More are in the file."""


def content_of(
    outcomes: Sequence[Outcome], *, source: str, span: tuple[str, str], rest: Sequence[str]
) -> dict[str, Any]:
    """Return the report: what was fetched, what failed, what is remarkable in the data.

    Args:
        outcomes: One for each symbol that was tried.
        source: Where the bars came from.
        span: First and last wanted day.
        rest: Symbols that were not tried.
    """
    found = [finding for outcome in outcomes for finding in outcome.findings]
    return {
        "ok": all(outcome.ok for outcome in outcomes) and not rest,
        "verb": "fetch",
        "source": source,
        "first": span[0],
        "last": span[1],
        "requests": sum(outcome.requests for outcome in outcomes),
        "symbols": {
            outcome.symbol: {
                name: value
                for name, value in msgspec.to_builtins(outcome).items()
                if name not in {"symbol", "findings"}
            }
            for outcome in outcomes
        },
        "not_tried": list(rest),
        "doubts": dict(sorted(Counter(finding.kind for finding in doubts(found)).items())),
        "findings": [msgspec.to_builtins(finding) for finding in found],
    }


def write_report(folder: Path, content: dict[str, Any]) -> Path:
    """Write the report beside the data, as a whole, and return its path."""
    path = folder / REPORT_FILE
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=1, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return path


def show(content: dict[str, Any], outcomes: Sequence[Outcome], path: Path, *, place: str, as_json: bool) -> None:
    """Print the report."""
    if as_json:
        sys.stdout.write(json.dumps(content, indent=1, allow_nan=False) + "\n")
        return
    console = Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    _say(console, f"fetch {content['first']} to {content['last']} from {place}; {content['requests']} requests")
    console.print(_symbols(outcomes))
    found = doubts([finding for outcome in outcomes for finding in outcome.findings])
    if found:
        console.print(_findings(found[:FINDINGS_SHOWN_MAX]))
    if len(found) > FINDINGS_SHOWN_MAX:
        _say(console, f"{len(found) - FINDINGS_SHOWN_MAX} more findings are in {path}")
    for outcome in outcomes:
        if not outcome.ok:
            _say(console, f"failed: {outcome.text} [{outcome.reason}]")
    if content["not_tried"]:
        _say(console, f"not tried, because the source failed too often: {', '.join(content['not_tried'])}")
    _say(console, f"validation: {len(found)} doubts in {len(outcomes)} symbols, see {path}")


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _symbols(outcomes: Sequence[Outcome]) -> Table:
    table = Table()
    table.add_column("symbol")
    for head in ("bars", "new", "requests", "dividends", "splits", "doubts"):
        table.add_column(head, justify="right")
    for head in ("first", "last", "state"):
        table.add_column(head)
    for outcome in outcomes:
        state = "ok" if outcome.ok else outcome.reason
        if outcome.ok and outcome.restated is not None:
            state = f"all anew: restated by {outcome.restated:.4g}"
        elif outcome.ok and outcome.provisional:
            state = f"ok, {outcome.provisional} provisional"
        counts = (outcome.bars, outcome.fresh, outcome.requests, outcome.dividends, outcome.splits)
        cells = [
            outcome.symbol,
            *map(str, counts),
            str(len(doubts(outcome.findings))),
            outcome.first,
            outcome.last,
            state,
        ]
        table.add_row(*map(escape, cells))
    return table


def _findings(found: Sequence[Finding]) -> Table:
    table = Table(title="Validation")
    for head in ("symbol", "series", "kind", "day", "what"):
        table.add_column(head, overflow="fold")
    for finding in found:
        table.add_row(*map(escape, (finding.symbol, finding.series, finding.kind, finding.day, finding.text)))
    return table
