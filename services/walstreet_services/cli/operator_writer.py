"""Owns how a command of this program becomes the operator's event on the TAPE of a running session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from walstreet.adapters.clock import WallClock
from walstreet.adapters.nats import Connection, TapeJournal, running_url
from walstreet.adapters.nats.journal import ChainHead
from walstreet.adapters.nats.reader import RawMessage
from walstreet.runtime.errors import UsageError
from walstreet_events import ROOT, AnyEvent, ClockTick, OperatorCommand, decode, derive_id, tag_of
from walstreet_events import headers as names
from walstreet_events.subjects import Service


class OperatorWriter:
    """The operator's chain as the TAPE tells it, and the next link of it."""

    def __init__(self) -> None:
        """Begin with a TAPE on which no operator has written."""
        self._head = ChainHead()
        self._epoch_seq = 0
        self.ts_ns = 0
        """Session time of the last clock event."""

    def note(self, message: RawMessage) -> AnyEvent | None:
        """Take one stored message, in order; return its event, None for an epoch of the operator."""
        own = message.producer == Service.OPERATOR.value
        if own:
            self._head = ChainHead(
                epoch=message.number(names.EPOCH),
                seq=message.number(names.SEQ),
                chain=message.headers.get(names.CHAIN, ""),
                stream_seq=message.seq,
            )
            if message.subject == f"epoch.{Service.OPERATOR.value}":
                self._epoch_seq = message.seq
                return None
        event = decode(message.payload)
        if isinstance(event, ClockTick):
            self.ts_ns = event.ts_ns
        return event

    async def command(
        self, connection: Connection, *, command: str, arguments: dict[str, str], operator: str
    ) -> tuple[int, OperatorCommand]:
        """Append a command as a new life of the operator's program; return its stream sequence and the event."""
        journal = TapeJournal(connection, Service.OPERATOR, WallClock())
        epoch = await journal.begin_epoch(self._head, epoch_seq=self._epoch_seq, ts_ns=self.ts_ns, config_hash="")
        event = OperatorCommand(
            id=derive_id(ROOT, f"{tag_of(OperatorCommand)}:{epoch}", 0),
            cause=ROOT,
            ts_ns=self.ts_ns,
            command=command,
            arguments=arguments,
            operator=operator,
        )
        return await journal.append(event, through=0), event


def require_running(state: str | None, remedy: Callable[[str], str]) -> None:
    """Refuse to write to the record of a session that has ended; ``remedy`` completes the message.

    Raises:
        UsageError: No server runs on the folder.
    """
    if state is not None and running_url(Path(state)) is None:
        raise UsageError(f"no session runs on {state}; {remedy(state)}")
