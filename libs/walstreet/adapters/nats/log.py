"""Owns the log as one service sees it: connection, inbox, journal, dead letters and turns, opened together."""

from __future__ import annotations

from pathlib import Path

from walstreet.adapters.nats.connection import Connection, ConnectOptions
from walstreet.adapters.nats.errors import LogUnreachableError
from walstreet.adapters.nats.inbox import TapeInbox
from walstreet.adapters.nats.journal import ChainHead, DeadLetterBox, TapeJournal
from walstreet.adapters.nats.reader import RawMessage
from walstreet.adapters.nats.streams import require_durable, require_tape
from walstreet.adapters.nats.turns import ServiceTurns
from walstreet.ports import Clock
from walstreet_events import Service


class NatsLog:
    """Everything a service needs of the log."""

    def __init__(
        self, *, url: str, monitor_url: str, credentials_dir: str, service: Service, wall: Clock, lockstep: bool
    ) -> None:
        """Prepare; ``open`` connects. An empty ``credentials_dir`` connects without a user."""
        password_file = str(Path(credentials_dir) / service.value) if credentials_dir else ""
        self._options = ConnectOptions(url=url, user=service.value, password_file=password_file)
        self.connection = Connection(self._options)
        self.inbox = TapeInbox(self.connection)
        self.journal = TapeJournal(self.connection, service, wall)
        self.dead = DeadLetterBox(self.connection, service)
        self.turns = ServiceTurns(self.connection, service) if lockstep else None
        self._monitor_url = monitor_url

    @property
    def connected(self) -> bool:
        """Return whether the connection stands now."""
        return self.connection.connected

    async def open(self) -> list[RawMessage]:
        """Connect, prove durability, and return the whole TAPE as it stands.

        Raises:
            LogUnreachableError: No server, or wrong credentials.
            NotDurableError: The server does not sync before it acknowledges.
            AppendRefusedError: There is no TAPE, or it exists with settings that change its meaning.
        """
        await self.connection.open()
        await require_durable(self._monitor_url)
        await require_tape(self.connection)
        last = await self.inbox.start()
        return await self.inbox.history(last)

    async def reachable(self) -> bool:
        """Return whether a log server would take this service now; asked on a connection of its own."""
        asked = Connection(self._options)
        try:
            await asked.open()
        except LogUnreachableError:
            return False
        await asked.close()
        return True

    async def begin_epoch(self, *, epoch: int, seq: int, chain: str, epoch_seq: int, config_hash: str) -> int:
        """Fence off earlier lives of this producer and return the stream sequence of the new epoch's first message."""
        previous = ChainHead(epoch=epoch, seq=seq, chain=chain)
        # An epoch is a fact about processes, not about the session: it has no session time.
        await self.journal.begin_epoch(previous, epoch_seq=epoch_seq, ts_ns=0, config_hash=config_hash)
        return self.journal.last_stream_seq

    async def close(self) -> None:
        """Drain and close."""
        await self.inbox.stop()
        await self.connection.close()
