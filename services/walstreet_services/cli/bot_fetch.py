"""Owns `bot fetch`: daily bars of the universe into a folder, only what is missing, and whether they can be trusted."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from walstreet.adapters.exchange_calendar import exchange_sessions
from walstreet.adapters.history_source import DailySource, HistoryError, Patience, asked_again
from walstreet.domain.daily_series import day_date, day_number
from walstreet.research.daily_store import DailyStore
from walstreet.research.swing_config import CONFIG_FILE, SwingConfig, load_swing_config
from walstreet.runtime.errors import EXIT_BROKEN, EXIT_OK, UsageError
from walstreet_events import NANOS_PER_SECOND
from walstreet_services.cli.bot_engine import progress
from walstreet_services.cli.bot_fetch_report import content_of, show, write_report
from walstreet_services.cli.bot_fetch_sources import opened, source_failed
from walstreet_services.cli.bot_fetch_symbol import Outcome, Task, fetch_symbol
from walstreet_services.cli.bot_inputs import CONFIG_DIR, DATA_DIR, config_folder, parse_date

FAILURES_MAX = 3
"""So many symbols in a row that the source does not answer for, and the rest is not tried."""
GIVEN_UP = frozenset({"unavailable", "pacing", "permission"})
MINUTE_NS = 60 * NANOS_PER_SECOND
EPILOG = (
    "Raw bars are asked for in chunks, and only what is missing at either end; the adjusted series comes whole. "
    "Whatever stops a fetch, it goes on where it was: the files are its state. Exit codes: 0 all symbols are up to "
    "date, 1 some symbols failed, 2 bad input or no source (the message says what to change), 130 interrupted."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a fetch did."""

    place: str
    source: str
    span: tuple[str, str]
    outcomes: tuple[Outcome, ...]
    rest: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe what the command takes."""
    parser.epilog = EPILOG
    parser.add_argument("--data", type=Path, default=DATA_DIR, help=f"folder that is filled (default: {DATA_DIR}/)")
    parser.add_argument(
        "--config", type=Path, default=CONFIG_DIR, help=f"folder of {CONFIG_FILE} (default: {CONFIG_DIR}/)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a parameter")
    parser.add_argument("--symbols", metavar="A,B", help="in place of the universe")
    parser.add_argument("--start", type=parse_date, metavar="YYYY-MM-DD", help="first day (ibkr.start)")
    parser.add_argument("--end", type=parse_date, metavar="YYYY-MM-DD", help="last day (ibkr.end; default: the newest)")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--simulator",
        dest="simulator",
        action="store_const",
        const="always",
        default="never",
        help="ask a simulator that this command starts: synthetic prices",
    )
    choice.add_argument(
        "--or-simulator",
        dest="simulator",
        action="store_const",
        const="absent",
        help="the same, but only if nothing listens where the broker should be",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON, and nothing else, to stdout")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command.

    Raises:
        UsageError: An argument, the folder, a key or the source cannot be used.
    """
    config = _config(options)
    store = DailyStore(options.data)
    with store.locked():
        fetched = asyncio.run(_fetch(config, store, options.simulator))
        content = content_of(fetched.outcomes, source=fetched.source, span=fetched.span, rest=fetched.rest)
        path = write_report(options.data, content)
    show(content, fetched.outcomes, path, place=fetched.place, as_json=options.json)
    return EXIT_OK if content["ok"] else EXIT_BROKEN


def _config(options: argparse.Namespace) -> SwingConfig:
    named = {"ibkr.start": options.start, "ibkr.end": options.end}
    settings = [*options.set, *(f"{path}={value}" for path, value in named.items() if value is not None)]
    if options.symbols is not None:
        symbols = [symbol.strip().upper() for symbol in options.symbols.split(",") if symbol.strip()]
        settings.append("universe=[" + ",".join(f'"{symbol}"' for symbol in symbols) + "]")
    config = load_swing_config(config_folder(options.config), os.environ, settings)
    if config.ibkr.timeframe != "1 day":
        raise UsageError(f"ibkr.timeframe is {config.ibkr.timeframe!r}; fetch keeps daily bars, set it to '1 day'")
    return config


async def _fetch(config: SwingConfig, store: DailyStore, simulator: str) -> Fetched:
    async with opened(config, os.environ, simulator=simulator) as (source, place):
        with progress(f"fetching {len(config.universe)} symbols from {source.name}") as advance:
            task = await _task(config, store, source, _notice)
            outcomes = await _all(task, config.universe, lambda: advance(1.0 / len(config.universe)))
    return Fetched(
        place=place,
        source=source.name,
        span=(day_date(task.first).isoformat(), day_date(task.last).isoformat()),
        outcomes=tuple(outcomes),
        rest=config.universe[len(outcomes) :],
    )


async def _task(config: SwingConfig, store: DailyStore, source: DailySource, notice: Callable[[str], None]) -> Task:
    data = config.data
    patience = Patience(attempts=data.attempts, first_s=data.retry_first_s, max_s=data.retry_max_s)
    try:
        now_ns = await asked_again(source.now_ns, patience, notice=notice)
    except HistoryError as error:
        raise source_failed(error) from error
    sessions = exchange_sessions()
    try:
        today = sessions.newest_opened(now_ns)
        final_until = sessions.newest_closed(now_ns - round(data.final_after_minutes * MINUTE_NS))
    except ValueError as error:
        raise UsageError(str(error)) from error
    first = day_number(config.ibkr.start)
    last = today if config.ibkr.end is None else min(today, day_number(config.ibkr.end))
    if last < first:
        raise UsageError(
            f"ibkr.start is {config.ibkr.start}, after {day_date(last)}, the newest day that the source can have; "
            "choose an earlier --start"
        )
    # Days without a session can have no bar, so that a weekend is never missing.
    last = int(sessions.days[sessions.days <= last][-1])
    return Task(
        source=source,
        store=store,
        first=first,
        last=last,
        today=today,
        final_until=final_until,
        sessions=sessions.days,
        chunk_days=data.chunk_days,
        checks=data.checks,
        patience=patience,
        notice=notice,
    )


async def _all(task: Task, symbols: Sequence[str], done: Callable[[], None]) -> list[Outcome]:
    """Fetch one symbol after another: the pace is the source's, not ours."""
    outcomes: list[Outcome] = []
    in_a_row = 0
    for symbol in symbols:
        outcome = await fetch_symbol(task, symbol)
        outcomes.append(outcome)
        done()
        in_a_row = in_a_row + 1 if outcome.reason in GIVEN_UP else 0
        if in_a_row >= FAILURES_MAX:
            break
    return outcomes


def _notice(text: str) -> None:
    sys.stderr.write(f"notice: {text}\n")
