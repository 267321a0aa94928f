"""Owns how a command is written to a running session, fast: from the last links, not from the whole TAPE."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from walstreet.adapters.clock import WallClock
from walstreet.adapters.nats import Connection, ConnectOptions, FencedError, TapeInbox, TapeJournal, running_url
from walstreet.adapters.nats.journal import ChainHead
from walstreet.adapters.nats.newest import newest
from walstreet.adapters.nats.server import ADMIN
from walstreet.adapters.nats.streams import last_sequence
from walstreet.runtime.errors import UsageError
from walstreet_events import ROOT, AnyEvent, EventDecodeError, OperatorCommand, decode, derive_id, tag_of
from walstreet_events import headers as names
from walstreet_events.subjects import Service

OWN_SUBJECTS = (f"epoch.{Service.OPERATOR.value}", "ctl.command", "ctl.param")
CLOCK_SUBJECTS = ("clock.minute", "clock.phase")
RIVALS_MAX = 3
"""Two people may command at once; the one who comes second looks again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Where the session to command is."""

    state: Path | None
    url: str | None
    credentials: str

    def log_url(self) -> str | None:
        """Return the address of the log, None when none runs on the state folder."""
        return self.url if self.url is not None else running_url(self.state) if self.state is not None else None

    def password_file(self) -> str:
        """Return the administrator's password file, empty for a log without users."""
        folder = self.state / "credentials" if self.url is None and self.state is not None else Path(self.credentials)
        return str(folder / ADMIN) if self.url is None or self.credentials else ""


@asynccontextmanager
async def connected(session: Session, url: str) -> AsyncIterator[Connection]:
    """Yield the administrator's connection.

    Raises:
        LogUnreachableError: Nobody answers.
    """
    connection = Connection(ConnectOptions(url=url, user=ADMIN, password_file=session.password_file()))
    try:
        await connection.open()
        yield connection
    finally:
        await connection.close()


async def newest_event(connection: Connection, subject: str) -> AnyEvent | None:
    """Return the newest event under ``subject``; what cannot be read says nothing."""
    message = await newest(connection, subject)
    try:
        return decode(message.payload) if message is not None else None
    except EventDecodeError:
        return None


async def write(
    connection: Connection, command: str, arguments: dict[str, str], operator: str
) -> tuple[int, OperatorCommand]:
    """Append a command as a new life of the operator's program, and return where it stands.

    Raises:
        FencedError: Other programs commanded at the same time, again and again.
    """
    for left in range(RIVALS_MAX, 0, -1):
        own = [message for subject in OWN_SUBJECTS if (message := await newest(connection, subject)) is not None]
        times = [event.ts_ns for subject in CLOCK_SUBJECTS if (event := await newest_event(connection, subject))]
        last = max(own, key=lambda message: message.seq, default=None)
        head = ChainHead()
        if last is not None:
            head = ChainHead(
                epoch=last.number(names.EPOCH),
                seq=last.number(names.SEQ),
                chain=last.headers.get(names.CHAIN, ""),
                stream_seq=last.seq,
            )
        epoch_seq = max((message.seq for message in own if message.subject == OWN_SUBJECTS[0]), default=0)
        ts_ns = max(times, default=0)
        journal = TapeJournal(connection, Service.OPERATOR, WallClock())
        try:
            epoch = await journal.begin_epoch(head, epoch_seq=epoch_seq, ts_ns=ts_ns, config_hash="")
            event = OperatorCommand(
                id=derive_id(ROOT, f"{tag_of(OperatorCommand)}:{epoch}", 0),
                cause=ROOT,
                ts_ns=ts_ns,
                command=command,
                arguments=arguments,
                operator=operator,
            )
            return await journal.append(event, through=0), event
        except FencedError:
            if left == 1:
                raise
    raise AssertionError("the last try returns or raises")


@asynccontextmanager
async def following(connection: Connection) -> AsyncIterator[TapeInbox]:
    """Yield what is appended from now on."""
    inbox = TapeInbox(connection)
    await inbox.start(await last_sequence(connection) + 1)
    try:
        yield inbox
    finally:
        await inbox.stop()


async def first(inbox: TapeInbox, wanted: Callable[[AnyEvent], bool], wait_s: float) -> AnyEvent | None:
    """Return the first event that is ``wanted``, None if it does not come in time."""
    try:
        async with asyncio.timeout(wait_s):
            while True:
                for message in await inbox.take():
                    try:
                        event = decode(message.payload)
                    except EventDecodeError:
                        continue
                    if wanted(event):
                        return event
    except TimeoutError:
        return None


def require_person(operator: str, reason: str, what: str) -> None:
    """Refuse a command of nobody, or for no reason.

    Raises:
        UsageError: The name or the reason is missing.
    """
    if not operator.strip() or not reason.strip():
        raise UsageError(f"{what} is a person's act: give --operator NAME and --reason TEXT")
