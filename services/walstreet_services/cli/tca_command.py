"""Owns `walstreet tca`: what trading cost, computed again from the TAPE; tables, JSON, pictures."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from walstreet.domain.tca_parameters import TcaParameters
from walstreet.domain.tca_report import ALL, GROUPS
from walstreet.replay.tca_log import SessionCosts, TcaLog, combined_rows
from walstreet.replay.tca_statistics import calibration, fill_rates, markout_points
from walstreet.runtime.errors import EXIT_OK
from walstreet_events import TcaReport, TcaRow, decode
from walstreet_services.cli.bot_canvas import require_pictures
from walstreet_services.cli.recorded import recorded_settings
from walstreet_services.cli.tapes import newest_state, open_tape, read_all
from walstreet_services.cli.tca_pictures import draw_all
from walstreet_services.cli.tca_tables import HEADS, PROPOSAL_HEADS, TITLES, cost_rows, grouped, notes, proposal_rows

PIPE_COLUMNS = 220
"""A file or a pipe has no width of its own."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("--state", help="state folder of the session (default: the newest under state/)")
    parser.add_argument("--url", help="address of a running NATS server")
    parser.add_argument("--credentials", default="", help="folder with password files, with --url")
    parser.add_argument("--session", help="only this session, YYYY-MM-DD (default: all on the TAPE)")
    parser.add_argument("--out", help="folder for the pictures (PNG)")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(run=lambda options: asyncio.run(_tca(options)))


async def _tca(options: argparse.Namespace) -> int:
    if options.out:
        require_pictures()
    state = newest_state() if options.state is None and options.url is None else options.state
    parameters = recorded_settings(state, []).reconciler.tca if state is not None else TcaParameters()
    async with open_tape(state=state, url=options.url, credentials_dir=options.credentials) as connection:
        messages, _ = await read_all(connection)
    log = TcaLog(parameters)
    log.take(decode(message.payload) for message in messages)
    log.finish()
    sessions = [item for item in log.sessions if options.session in (None, item.session_date)]
    rows = combined_rows(sessions)
    pictures: list[Path] = []
    if options.out:
        title = ", ".join(item.session_date for item in sessions) or "no session"
        first = next((row for row in rows if row.by == ALL), None)
        pictures = draw_all(Path(options.out), first, [cost for item in sessions for cost in item.costs], title)
    if options.json:
        sys.stdout.write(json.dumps(content(log, sessions, rows, pictures)) + "\n")
    else:
        show(log, sessions, rows, pictures)
    return EXIT_OK


def content(
    log: TcaLog, sessions: Sequence[SessionCosts], rows: Sequence[TcaRow], pictures: Sequence[Path]
) -> dict[str, Any]:
    """Return everything for programs; a number that is not known is null."""
    costs = [cost for item in sessions for cost in item.costs]
    return {
        "sessions": [
            {"date": item.session_date, "parents": len(item.costs), "dropped": item.dropped} for item in sessions
        ],
        "groups": grouped(rows),
        "markouts": [_known(asdict(point)) for point in markout_points(costs)],
        "calibration": [_known(asdict(item)) for item in calibration(costs)],
        "fill_rates": [asdict(item) | {"rate": item.rate} for item in fill_rates(costs)],
        "reports": [_report_json(report) for report in log.reports],
        "changes": [msgspec.to_builtins(change) for change in log.changes],
        "pictures": [str(path) for path in pictures],
    }


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in values.items()}


def _report_json(report: TcaReport) -> dict[str, Any]:
    return {
        "id": report.id,
        "session_date": report.session_date,
        "ts_ns": report.ts_ns,
        "autotune": report.autotune,
        "samples": [msgspec.to_builtins(item) for item in report.samples],
        "proposals": [msgspec.to_builtins(item) for item in report.proposals],
    }


def show(log: TcaLog, sessions: Sequence[SessionCosts], rows: Sequence[TcaRow], pictures: Sequence[Path]) -> None:
    """Print the tables."""
    console = Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    named = ", ".join(item.session_date for item in sessions) or "none"
    console.print(
        f"sessions on the TAPE: {named}; costs in bps of the notional wanted, a cost is positive", markup=False
    )
    for by in GROUPS:
        found = cost_rows(rows, by)
        if found:
            console.print(_table(TITLES[by], HEADS, found))
    for note in notes(rows[0]) if rows else ["no parent order on this TAPE"]:
        console.print(f"note: {note}", markup=False)
    for report in log.reports:
        if report.proposals:
            title = f"Tuning after {report.session_date} ({report.autotune})"
            console.print(_table(title, PROPOSAL_HEADS, proposal_rows(report)))
    for change in log.changes:
        console.print(f"changed: {change.path} {change.previous} -> {change.value} by {change.operator}", markup=False)
    for path in pictures:
        console.print(f"picture: {path}", markup=False, soft_wrap=True)


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for index, head in enumerate(heads):
        table.add_column(escape(head), justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*(escape(text) for text in row))
    return table
