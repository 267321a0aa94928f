"""Owns `walstreet param`: change a parameter while a session trades, show what is in force, take a change back.

A change is validated here against the session's own configuration and everything changed since, appended to the TAPE
as an event of the operator, and applied by each service at its next cycle boundary. Replay reads the same event.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from walstreet.adapters.clock import WallClock
from walstreet.adapters.nats import Connection, TapeInbox, TapeJournal, running_url
from walstreet.adapters.nats.journal import ChainHead
from walstreet.adapters.nats.reader import RawMessage
from walstreet.domain.arbiter_parameters import ArbiterParameters, config_hash
from walstreet.domain.inference import SECTION as INFERENCE_SECTION
from walstreet.domain.parameter_changes import ChangeRefusedError, changed, require_changeable
from walstreet.runtime.config import known_keys
from walstreet.runtime.cores import conformal_history
from walstreet.runtime.errors import EXIT_OK, EXIT_TIMEOUT, UsageError
from walstreet.runtime.settings import Settings
from walstreet_events import ROOT, ClockTick, Decision, ParameterChange, ParameterTuned, decode, derive_id, tag_of
from walstreet_events import headers as names
from walstreet_events.subjects import Service, row_of
from walstreet_services.cli.recorded import recorded_settings
from walstreet_services.cli.tapes import local_time, newest_state, open_tape, read_all

SECTIONS = ("arbiter", "execution", "reconciler", INFERENCE_SECTION)
"""What may change while a session runs; everything else needs a restart."""
ALIASES = {"risk": "arbiter.limits", "tca": "reconciler.tca"}
"""Names of the specification for sections of ours."""
TUNED_SUBJECT = row_of(ParameterTuned).template
"""Changes that the daily tuning made; they are shown and taken back like an operator's."""
WAIT_S = 30.0


@dataclass(slots=True)
class Book:
    """What the TAPE says about parameters: the start, the changes since, and the operator's last link."""

    base: Settings
    changes: list[ParameterChange]
    head: ChainHead
    epoch_seq: int
    ts_ns: int

    def section(self, name: str, extra: dict[str, str]) -> msgspec.Struct:
        """Return a section with every change, the ``extra`` ones by full path included.

        Raises:
            ChangeRefusedError: They do not go together.
        """
        values = {change.path: change.value for change in self.changes} | extra
        prefix = f"{name}."
        inside = {path.removeprefix(prefix): value for path, value in values.items() if path.startswith(prefix)}
        base: msgspec.Struct = _at(self.base, name)
        return changed(base, inside)

    def value(self, path: str) -> str:
        """Return the JSON text of the value in force at ``path``."""
        for change in reversed(self.changes):
            if change.path == path:
                return change.value
        return _json(_at(self.base, path))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    change = actions.add_parser("set", help="change parameters, for example risk.gross_max=0.4")
    change.add_argument("settings", nargs="+", metavar="PATH=VALUE", help="JSON values; several are one change")
    undo = actions.add_parser("undo", help="put parameters back to what they were before their last change")
    undo.add_argument("paths", nargs="+", metavar="PATH")
    show = actions.add_parser("show", help="what was changed, and with PATH the value in force")
    show.add_argument("paths", nargs="*", metavar="PATH")
    for action in (change, undo, show):
        action.add_argument("--state", help="state folder of the session (default: the newest under state/)")
        action.add_argument("--url", help="address of a running NATS server, with --config")
        action.add_argument("--credentials", default="", help="folder with password files, with --url")
        action.add_argument("--config", action="append", default=[], help="the services' configuration, with --url")
        action.add_argument("--json", action="store_true", help="for machines")
    for action in (change, undo):
        action.add_argument("--wait", type=float, default=WAIT_S, help="seconds to wait for the cycle (0: do not)")
        action.add_argument("--operator", default=getpass.getuser(), help="who changes it (default: this user)")
    change.set_defaults(run=lambda options: asyncio.run(_set(options)))
    undo.set_defaults(run=lambda options: asyncio.run(_undo(options)))
    show.set_defaults(run=lambda options: asyncio.run(_show(options)))


def full_path(text: str) -> str:
    """Return the full path that ``text`` names: as it stands, by an alias, or by a unique end.

    Raises:
        UsageError: It names none or several, or one that cannot change while a session runs.
    """
    head, dot, rest = text.partition(".")
    wanted = f"{ALIASES[head]}.{rest}" if dot and head in ALIASES else text
    known = known_keys(Settings)
    open_keys = [key for key in known if key.startswith(tuple(f"{name}." for name in SECTIONS))]
    if wanted in open_keys:
        return wanted
    if wanted in known:
        raise UsageError(f"{wanted} cannot change while a session runs (only {', '.join(SECTIONS)}); restart with it")
    found = [key for key in open_keys if key.endswith(f".{wanted}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{text!r} is ambiguous: {', '.join(found)}")
    raise UsageError(f"there is no parameter {text!r}; all are in docs/CONFIGURATION.md")


def changeable_path(text: str) -> str:
    """Return the full path that ``text`` names, if it may change while a session runs.

    Raises:
        UsageError: It names no such parameter; the message says what to do instead.
    """
    path = full_path(text)
    try:
        require_changeable(path)
    except ChangeRefusedError as error:
        raise UsageError(f"refused, nothing was changed: {error}") from error
    return path


async def _set(options: argparse.Namespace) -> int:
    wanted: dict[str, str] = {}
    for text in options.settings:
        path, found, value = text.partition("=")
        if not found:
            raise UsageError(f"param set takes PATH=VALUE, got {text!r}")
        wanted[changeable_path(path.strip())] = _as_json(value.strip())
    _require_running(options)
    async with open_tape(state=_state(options), url=options.url, credentials_dir=options.credentials) as connection:
        return await _write(options, connection, await _book(options, connection), wanted)


async def _undo(options: argparse.Namespace) -> int:
    _require_running(options)
    async with open_tape(state=_state(options), url=options.url, credentials_dir=options.credentials) as connection:
        book = await _book(options, connection)
        wanted: dict[str, str] = {}
        for path in map(changeable_path, options.paths):
            last = next((change for change in reversed(book.changes) if change.path == path), None)
            if last is None:
                raise UsageError(f"{path} was not changed in this session; it is {book.value(path)}")
            wanted[path] = last.previous
        return await _write(options, connection, book, wanted)


async def _show(options: argparse.Namespace) -> int:
    async with open_tape(state=_state(options), url=options.url, credentials_dir=options.credentials) as connection:
        book = await _book(options, connection)
    paths = [full_path(path) for path in options.paths]
    if options.json:
        result = {
            "changes": [msgspec.to_builtins(change) for change in book.changes],
            "in_force": {path: json.loads(book.value(path)) for path in paths},
        }
        print(json.dumps(result))
        return EXIT_OK
    console = Console()
    for path in paths:
        console.print(f"{path} = {escape(book.value(path))}")
    table = Table("parameter", "from", "to", "by", title=f"{len(book.changes)} changes")
    for change in book.changes:
        table.add_row(change.path, escape(change.previous), escape(change.value), escape(change.operator))
    console.print(table)
    return EXIT_OK


async def _write(options: argparse.Namespace, connection: Connection, book: Book, wanted: dict[str, str]) -> int:
    sections = dict.fromkeys(name for name in SECTIONS for path in wanted if path.startswith(f"{name}."))
    for name in sections:
        try:
            book.section(name, wanted)
        except ChangeRefusedError as error:
            raise UsageError(f"refused, nothing was changed: {name}: {error}") from error
    waits = "arbiter" in sections and options.wait > 0
    inbox = TapeInbox(connection)
    await inbox.start()
    try:
        report = await _append(options, connection, book, wanted)
        arbiter = book.section("arbiter", wanted)
        assert isinstance(arbiter, ArbiterParameters)
        expected = config_hash(arbiter, book.base.calibrations, conformal_history(book.base))
        cycle = await _applied(inbox, expected, report[-1]["seq"], options.wait) if waits else None
    finally:
        await inbox.stop()
    _tell(options, report, cycle, waited=waits)
    return EXIT_TIMEOUT if waits and cycle is None else EXIT_OK


async def _append(
    options: argparse.Namespace, connection: Connection, book: Book, wanted: dict[str, str]
) -> list[dict[str, Any]]:
    """Append the changes as a new life of the operator's program, and return where they stand."""
    journal = TapeJournal(connection, Service.OPERATOR, WallClock())
    epoch = await journal.begin_epoch(book.head, epoch_seq=book.epoch_seq, ts_ns=book.ts_ns, config_hash="")
    report: list[dict[str, Any]] = []
    for index, (path, value) in enumerate(wanted.items()):
        change = ParameterChange(
            id=derive_id(ROOT, f"{tag_of(ParameterChange)}:{epoch}", index),
            cause=ROOT,
            ts_ns=book.ts_ns,
            path=path,
            value=value,
            previous=book.value(path),
            operator=options.operator,
        )
        seq = await journal.append(change, through=0)
        report.append({"path": path, "previous": change.previous, "value": value, "seq": seq})
    return report


def _tell(
    options: argparse.Namespace, report: list[dict[str, Any]], cycle: tuple[int, Decision] | None, *, waited: bool
) -> None:
    if options.json:
        applied = {"seq": cycle[0], "decision": cycle[1].id, "ts_ns": cycle[1].ts_ns} if cycle else None
        print(json.dumps({"changes": report, "applied": applied}))
        return
    console = Console()
    for item in report:
        console.print(
            f"{item['path']}: {item['previous']} -> {item['value']}, on the TAPE as {item['seq']}", markup=False
        )
    if cycle:
        console.print(
            f"in force since the cycle of {local_time(cycle[1].ts_ns)}: decision {cycle[1].id} (TAPE {cycle[0]})"
        )
    elif waited:
        console.print(f"no cycle was decided within {options.wait:g} s; the change holds from the next one on")
    else:
        console.print("each service applies it at its next boundary")


async def _applied(inbox: TapeInbox, expected: str, after: int, wait_s: float) -> tuple[int, Decision] | None:
    """Return the first decision made with the expected parameters, None if none came in time."""
    try:
        async with asyncio.timeout(wait_s):
            while True:
                for message in await inbox.take():
                    if message.subject != "decision.cycle" or message.seq <= after:
                        continue
                    event = decode(message.payload)
                    if isinstance(event, Decision) and event.config_hash == expected:
                        return message.seq, event
    except TimeoutError:
        return None


async def _book(options: argparse.Namespace, connection: Connection) -> Book:
    messages, _ = await read_all(connection)
    book = Book(
        base=recorded_settings(_state(options), options.config), changes=[], head=ChainHead(), epoch_seq=0, ts_ns=0
    )
    note_messages(book, messages)
    return book


def note_messages(book: Book, messages: Iterable[RawMessage]) -> None:
    """Fold the TAPE: changes of the operator and of the daily tuning in order, the operator's last link, the time."""
    for message in messages:
        if message.producer == Service.OPERATOR.value:
            _note_own(book, message)
        elif message.subject == TUNED_SUBJECT:
            tuned = decode(message.payload)
            book.changes += [tuned] if isinstance(tuned, ParameterTuned) else []
        elif message.subject.startswith("clock."):
            event = decode(message.payload)
            book.ts_ns = event.ts_ns if isinstance(event, ClockTick) else book.ts_ns


def _note_own(book: Book, message: RawMessage) -> None:
    book.head = ChainHead(
        epoch=message.number(names.EPOCH),
        seq=message.number(names.SEQ),
        chain=message.headers.get(names.CHAIN, ""),
        stream_seq=message.seq,
    )
    if message.subject == f"epoch.{Service.OPERATOR.value}":
        book.epoch_seq = message.seq
        return
    event = decode(message.payload)
    if isinstance(event, ParameterChange):
        book.changes.append(event)


def _state(options: argparse.Namespace) -> str | None:
    return newest_state() if options.state is None and options.url is None else options.state


def _require_running(options: argparse.Namespace) -> None:
    """Refuse to write to the record of a session that has ended."""
    state = _state(options)
    if state is not None and running_url(Path(state)) is None:
        raise UsageError(f"no session runs on {state}; start the next one with --set SECTION.KEY=VALUE instead")


def _at(settings: msgspec.Struct, path: str) -> Any:
    value: Any = settings
    for part in path.split("."):
        value = getattr(value, part)
    return value


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _as_json(text: str) -> str:
    """Return ``text`` as JSON; a bare word is a text, as in a configuration file."""
    try:
        return _json(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise UsageError(f"{text!r} cannot be read as a value: {error}") from error
