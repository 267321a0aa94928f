"""Owns everything that speaks NATS: the embedded server, streams, journal, inbox, ticks and turns.

Exceptions::

    LogError                     the log cannot be used as asked; the text says why and what to do
     +-- LogUnreachableError     no server at the address, or it went away for longer than the bound
     +-- NotDurableError         the server does not report fsync-always: arming is refused
     +-- FencedError             a newer epoch of the same producer exists: this process must stop
     +-- AppendRefusedError      the server refused a message (stream full, too large, no permission)
     +-- TapeRegressedError      the stream ends before what was read already (power loss, wrong store)
"""

from walstreet.adapters.nats.connection import Connection, ConnectOptions
from walstreet.adapters.nats.errors import (
    AppendRefusedError,
    FencedError,
    LogError,
    LogUnreachableError,
    NotDurableError,
    TapeRegressedError,
)
from walstreet.adapters.nats.inbox import TapeInbox
from walstreet.adapters.nats.journal import DeadLetterBox, TapeJournal
from walstreet.adapters.nats.reader import TapeReader
from walstreet.adapters.nats.server import EmbeddedServer, running_url
from walstreet.adapters.nats.streams import declare_streams, require_durable
from walstreet.adapters.nats.ticks import TickPublisher, TickSubscriber
from walstreet.adapters.nats.turns import ServiceTurns, TurnMaster

__all__ = [
    "AppendRefusedError",
    "ConnectOptions",
    "Connection",
    "DeadLetterBox",
    "EmbeddedServer",
    "FencedError",
    "LogError",
    "LogUnreachableError",
    "NotDurableError",
    "ServiceTurns",
    "TapeInbox",
    "TapeJournal",
    "TapeReader",
    "TapeRegressedError",
    "TickPublisher",
    "TickSubscriber",
    "TurnMaster",
    "declare_streams",
    "require_durable",
    "running_url",
]
