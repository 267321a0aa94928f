"""Owns what every wrapper around a service's log has in common: all that it does not change."""

from __future__ import annotations

from collections.abc import Sequence

from walstreet.ports import Journal
from walstreet.runtime.loop_ports import DeadLetters, Inbox, Message
from walstreet.runtime.service import Log, Turns


class LogWrapper:
    """A log that hands everything on to another; satisfies ``walstreet.runtime.service.Log``."""

    def __init__(self, log: Log) -> None:
        """Wrap ``log``."""
        self._log = log

    @property
    def inbox(self) -> Inbox:
        """Return the ordered input."""
        return self._log.inbox

    @property
    def journal(self) -> Journal:
        """Return the durable output."""
        return self._log.journal

    @property
    def dead(self) -> DeadLetters:
        """Return where unhandled messages go."""
        return self._log.dead

    @property
    def turns(self) -> Turns | None:
        """Return the lockstep side, None when the service runs freely."""
        return self._log.turns

    @property
    def connected(self) -> bool:
        """Return whether the connection stands now."""
        return self._log.connected

    async def open(self) -> Sequence[Message]:
        """Connect and return the whole TAPE."""
        return await self._log.open()

    async def begin_epoch(self, *, epoch: int, seq: int, chain: str, epoch_seq: int, config_hash: str) -> int:
        """Fence off earlier lives; return the stream sequence of the epoch message."""
        return await self._log.begin_epoch(
            epoch=epoch, seq=seq, chain=chain, epoch_seq=epoch_seq, config_hash=config_hash
        )

    async def close(self) -> None:
        """Drain and close."""
        await self._log.close()
