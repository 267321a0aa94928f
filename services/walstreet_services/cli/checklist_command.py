"""Owns `walstreet checklist`: the verification checklist and the gates of one session, read from its TAPE."""

from __future__ import annotations

import argparse
import asyncio
import json

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from walstreet.adapters.nats.reader import RawMessage
from walstreet.replay.checklist_log import ChecklistLog
from walstreet.replay.summary import Summarizer, Summary
from walstreet.runtime.errors import EXIT_BROKEN, EXIT_OK
from walstreet_services.cli.checks import (
    CHECK_HEADS,
    GATE_HEADS,
    checklist_json,
    checklist_rows,
    checklist_text,
    gate_rows,
    gates_json,
)
from walstreet_services.cli.tapes import local_time, newest_state, open_tape, read_all

COLOURS = {"passed": "green", "failed": "red", "unknown": "yellow"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("--state", help="state folder of the session (default: the newest under state/)")
    parser.add_argument("--url", help="address of a running NATS server")
    parser.add_argument("--credentials", default="", help="folder with password files, with --url")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(run=lambda options: asyncio.run(_checklist(options)))


async def _checklist(options: argparse.Namespace) -> int:
    state = newest_state() if options.state is None and options.url is None else options.state
    async with open_tape(state=state, url=options.url, credentials_dir=options.credentials) as connection:
        messages, _ = await read_all(connection)
    return show(messages, as_json=options.json)


def show(messages: list[RawMessage], *, as_json: bool) -> int:
    """Print the checklist of a whole TAPE; return 1 if an item failed at any time, or something cannot be read."""
    summarizer = Summarizer()
    summarizer.take(messages)
    summary = summarizer.finish()
    if as_json:
        print(json.dumps(_as_json(summary)))
    else:
        _print(summary)
    return EXIT_BROKEN if summary.checklist.failures or summary.undecodable else EXIT_OK


def _as_json(summary: Summary) -> dict[str, object]:
    return {
        "ok": not summary.checklist.failures and not summary.undecodable,
        "session": {"date": summary.session_date, "market": summary.market},
        "cycles": summary.decisions,
        "undecodable": summary.undecodable,
        "gates": gates_json(summary),
        "checklist": checklist_json(summary.checklist),
    }


def _print(summary: Summary) -> None:
    console, log = Console(), summary.checklist
    console.print(f"session {escape(summary.session_date or 'unknown')}, {summary.decisions:,} decisions")
    rows = gate_rows(summary)
    if rows:
        gates = Table(*GATE_HEADS, title="Gates, over the session")
        for row in rows:
            gates.add_row(*row)
        console.print(gates)
    if log.last is not None:
        console.print(_items(log))
    for found in log.evaluations:
        text = ", ".join(found.failed) or "nothing"
        console.print(f"after {found.cycle:,} cycles, at {local_time(found.ts_ns)}: failed {text}", highlight=False)
    for note in log.notes:
        console.print(f"[yellow]not on the TAPE:[/] {escape(note)}", highlight=False)
    if summary.undecodable:
        console.print(f"[red]{summary.undecodable} messages cannot be read[/]; `walstreet tape verify` names them")
    console.print(checklist_text(log), highlight=False)


def _items(log: ChecklistLog) -> Table:
    table = Table(*CHECK_HEADS, title="Checklist, the newest evaluation")
    for code, result, *rest in checklist_rows(log):
        table.add_row(code, f"[{COLOURS[result]}]{result}[/]", *(escape(text) for text in rest))
    return table
