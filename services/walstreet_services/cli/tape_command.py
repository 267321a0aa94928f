"""Owns `walstreet tape`: verify the chain, show events, list dead letters."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from walstreet.replay.verify import TapeReport, TapeVerifier
from walstreet.runtime.errors import EXIT_BROKEN, EXIT_OK
from walstreet.runtime.witness import WITNESS, newest_mark
from walstreet_events import DeadLetter, EventDecodeError, decode, matches, to_json
from walstreet_events.subjects import Stream
from walstreet_services.cli.tapes import open_tape, read_all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    verify = actions.add_parser("verify", help="check every hash chain, every gap and every schema")
    verify.set_defaults(run=lambda options: asyncio.run(_verify(options)))
    show = actions.add_parser("show", help="print events as JSON lines")
    show.add_argument("--subject", default=">", help="subject filter such as order.> (default: everything)")
    show.add_argument("--limit", type=int, default=0, help="stop after so many events (0: no limit)")
    show.set_defaults(run=lambda options: asyncio.run(_show(options)))
    dead = actions.add_parser("dead", help="list dead letters")
    dead.set_defaults(run=lambda options: asyncio.run(_dead(options)))
    for action in (verify, show, dead):
        action.add_argument("--state", help="state folder of an embedded session")
        action.add_argument("--url", help="address of a running NATS server")
        action.add_argument("--credentials", default="", help="folder with password files, with --url")
        action.add_argument("--json", action="store_true", help="for machines")


async def _verify(options: argparse.Namespace) -> int:
    async with open_tape(state=options.state, url=options.url, credentials_dir=options.credentials) as connection:
        started = time.perf_counter()
        messages, last = await read_all(connection)
        verifier = TapeVerifier()
        verifier.take(messages)
        # An embedded session's services have noted how far they saw the TAPE; its end may be missing.
        seen = newest_mark(Path(options.state) / WITNESS) if options.state else 0
        report = verifier.finish(max(last, seen))
        elapsed_s = time.perf_counter() - started
    if options.json:
        print(json.dumps(_as_json(report, elapsed_s)))
    else:
        _print(report, elapsed_s)
    return EXIT_OK if report.clean else EXIT_BROKEN


def _as_json(report: TapeReport, elapsed_s: float) -> dict[str, Any]:
    return {
        "clean": report.clean,
        "messages": report.messages,
        "last_seq": report.last_seq,
        "bytes": report.bytes,
        "seconds": round(elapsed_s, 3),
        "epochs": report.epochs,
        "types": dict(report.types),
        "faults_total": report.faults_total,
        "faults": [
            {"seq": fault.stream_seq, "subject": fault.subject, "kind": fault.kind, "detail": fault.detail}
            for fault in report.faults
        ],
    }


def _print(report: TapeReport, elapsed_s: float) -> None:
    console = Console()
    rate = report.messages / elapsed_s if elapsed_s else 0.0
    console.print(
        f"{report.messages:,} messages, sequences {report.first_seq} to {report.last_seq}, "
        f"{report.bytes / 1e6:,.1f} MB, read and verified in {elapsed_s:.2f} s ({rate:,.0f}/s)"
    )
    if report.clean:
        console.print("[green]clean[/]: every chain, every sequence and every schema holds")
        return
    table = Table("seq", "subject", "kind", "what is wrong", title=f"{report.faults_total} faults")
    for fault in report.faults:
        table.add_row(str(fault.stream_seq), fault.subject, fault.kind, escape(fault.detail))
    console.print(table)
    console.print(
        "[red]broken[/]: do not replay or trade on this TAPE. Restore it from the mirror, or rebuild the books from "
        "the broker with a fresh --state folder"
    )


async def _show(options: argparse.Namespace) -> int:
    async with open_tape(state=options.state, url=options.url, credentials_dir=options.credentials) as connection:
        messages, _ = await read_all(connection)
    shown = 0
    for message in messages:
        if not matches(options.subject, message.subject):
            continue
        try:
            print(to_json(decode(message.payload)))
        except EventDecodeError as error:
            print(json.dumps({"seq": message.seq, "subject": message.subject, "undecodable": str(error)}))
        shown += 1
        if options.limit and shown >= options.limit:
            break
    return EXIT_OK


async def _dead(options: argparse.Namespace) -> int:
    async with open_tape(state=options.state, url=options.url, credentials_dir=options.credentials) as connection:
        messages, _ = await read_all(connection, Stream.DEAD)
    letters = [letter for message in messages if isinstance(letter := decode(message.payload), DeadLetter)]
    if options.json:
        for letter in letters:
            print(to_json(letter))
        return EXIT_OK
    table = Table("service", "reason", "subject", "seq", "detail", title=f"{len(letters)} dead letters")
    for letter in letters:
        table.add_row(letter.service, letter.reason, letter.subject, str(letter.stream_seq), escape(letter.detail))
    Console().print(table)
    return EXIT_OK
