"""Owns what `bot` prints: tables for people, one JSON text for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from walstreet_services.cli.bot_inputs import Inputs
from walstreet_services.cli.bot_tables import NUMBER, Rows

PIPE_COLUMNS = 160
"""A file or a pipe has no width of its own."""


def show(inputs: Inputs, content: Mapping[str, Any], tables: Sequence[Rows], sheet: Path, *, as_json: bool) -> None:
    """Print a verb's result and where its files are."""
    if as_json:
        sys.stdout.write(json.dumps(content, indent=2, allow_nan=False) + "\n")
        return
    console = Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    span = f"{content['inputs']['first']} to {content['inputs']['last']}"
    engine = f"engine: {inputs.engine.name} ({inputs.engine.reason})"
    console.print(f"{content['verb']} {span}, {len(inputs.bars.symbols)} symbols; {engine}", **_PLAIN)
    for line in content.get("notices", ()):
        console.print(f"notice: {line}", **_PLAIN)
    for rows in tables:
        console.print(_table(rows))
    console.print(f"files: {sheet.parent}/ (open {sheet})", **_PLAIN)


def _table(rows: Rows) -> Table:
    heads, body = rows
    table = Table()
    for index, head in enumerate(heads):
        numeric = bool(body) and all(NUMBER.fullmatch(row[index]) for row in body)
        table.add_column(escape(head), justify="right" if numeric else "left")
    for row in body:
        table.add_row(*(escape(text) for text in row))
    return table


_PLAIN: dict[str, Any] = {"markup": False, "highlight": False, "soft_wrap": True}
