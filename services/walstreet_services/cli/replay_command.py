"""Owns `walstreet replay`: feed a recorded session to the cores again and compare every byte."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from walstreet.adapters.nats.reader import RawMessage
from walstreet.ports import Core
from walstreet.replay.again import ReplayReport, replay_core
from walstreet.runtime.cores import arbiter_core, features_core, reconciler_core
from walstreet.runtime.errors import EXIT_BROKEN, EXIT_OK
from walstreet.runtime.settings import Settings
from walstreet_services.cli.recorded import recorded_settings
from walstreet_services.cli.tapes import open_tape, read_all

CORES = ("arbiter", "features", "reconciler")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("--verify", action="store_true", required=True, help="compare with what is on the TAPE")
    parser.add_argument("--state", help="state folder of an embedded session")
    parser.add_argument("--url", help="address of a running NATS server")
    parser.add_argument("--credentials", default="", help="folder with password files, with --url")
    parser.add_argument("--config", action="append", default=[], help="configuration of the session, with --url")
    parser.add_argument("--core", choices=CORES, action="append", help="which cores (default: arbiter)")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(run=lambda options: asyncio.run(_replay(options)))


async def _replay(options: argparse.Namespace) -> int:
    settings = recorded_settings(options.state, options.config)
    async with open_tape(state=options.state, url=options.url, credentials_dir=options.credentials) as connection:
        messages, _ = await read_all(connection)
    results: dict[str, tuple[ReplayReport, float]] = {}
    for name in options.core or ["arbiter"]:
        started = time.perf_counter()
        results[name] = (_run(name, settings, messages), time.perf_counter() - started)
    if options.json:
        print(json.dumps({name: _as_json(report, seconds) for name, (report, seconds) in results.items()}))
    else:
        _print(results)
    return EXIT_OK if all(report.clean for report, _ in results.values()) else EXIT_BROKEN


def _run(name: str, settings: Settings, messages: list[RawMessage]) -> ReplayReport:
    if name == "arbiter":
        core: Core[Any] = arbiter_core(settings)
        return replay_core(core, messages)
    if name == "features":
        return replay_core(features_core(settings), messages)
    return replay_core(reconciler_core(settings), messages)


def _as_json(report: ReplayReport, seconds: float) -> dict[str, Any]:
    return {
        "identical": report.identical,
        "compared": report.compared,
        "inputs": report.inputs,
        "seconds": round(seconds, 3),
        "events_per_second": round(report.inputs / seconds) if seconds else None,
        "clean": report.clean,
        "differences": [
            {"seq": item.stream_seq, "type": item.type, "id": item.event_id, "detail": item.detail}
            for item in report.differences
        ],
    }


def _print(results: dict[str, tuple[ReplayReport, float]]) -> None:
    console = Console()
    table = Table("core", "inputs", "outputs compared", "identical", "events/s", title="Replay from the TAPE")
    for name, (report, seconds) in results.items():
        share = 100.0 * report.identical / report.compared if report.compared else 100.0
        rate = report.inputs / seconds if seconds else 0.0
        table.add_row(
            name, f"{report.inputs:,}", f"{report.compared:,}", f"{report.identical:,} ({share:.2f} %)", f"{rate:,.0f}"
        )
    console.print(table)
    for name, (report, _) in results.items():
        for item in report.differences:
            console.print(f"[red]{name}[/] seq {item.stream_seq} {item.type} {item.event_id}: {escape(item.detail)}")
