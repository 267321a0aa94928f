"""Owns the durable append of one producer: epoch fence, own sequence, hash chain, safe retry of unknown outcomes.

A message is appended only after the one before it was acknowledged, so that the producer's chain and the stream's
order agree. When an acknowledgement does not come, the outcome is unknown: the message is sent again under the
same message id, and the server answers either with a new sequence or with *duplicate*. The server looks at the
fence before it looks at the id, so a repeated epoch message is refused by its own first copy: it is read back, and
a header that only this life knows tells whether it is ours or a rival's.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

import nats.errors
import nats.js.errors
from nats.js.api import PubAck

import walstreet
from walstreet.adapters.nats.connection import REQUEST_TIMEOUT_S, Connection
from walstreet.adapters.nats.errors import AppendRefusedError, FencedError, LogError, LogUnreachableError
from walstreet.adapters.nats.reader import TapeReader
from walstreet.ports import Clock
from walstreet_events import AnyEvent, DeadLetter, ProducerEpoch, Service, derive_id, encode, subject_of, tag_of
from walstreet_events import headers as names
from walstreet_events.envelope import ID_DIGEST_BYTES, ROOT
from walstreet_events.subjects import Stream

APPEND_TRIES_MAX = 8
RETRY_WAIT_S = 0.25
ERR_WRONG_LAST_SEQUENCE = 10071
ERRORS_FOR_GOOD = (10023, 10047, 10077, 10122)
"""503 answers that repeating does not mend: no resources, no storage, stream full (bytes or messages)."""
MESSAGE_BYTES_MAX = 8 << 20
"""The server's ``max_payload``. It counts the headers too, and closes the connection for ever beyond it."""
HEADER_BYTES_RESERVED = 16 << 10
DEAD_DETAIL_CHARACTERS_MAX = 4_000
DEAD_ENVELOPE_BYTES_RESERVED = 48 << 10
"""What a dead letter needs besides the payload that it keeps: its fields, the subject and four bytes a character."""
PAYLOAD_BYTES_MAX = MESSAGE_BYTES_MAX - HEADER_BYTES_RESERVED - DEAD_ENVELOPE_BYTES_RESERVED
"""Whatever is appended can be kept whole as a dead letter."""

EXPECTED_LAST = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"
LIFE = "Ws-Life"
"""A random word for each journal object. Two processes that race for one epoch write equal messages otherwise."""
LIFE_BYTES = 8

assert DEAD_ENVELOPE_BYTES_RESERVED > 4 * DEAD_DETAIL_CHARACTERS_MAX


@dataclass(slots=True)
class ChainHead:
    """Last known link of one producer's chain."""

    epoch: int = 0
    seq: int = 0
    chain: str = names.CHAIN_START
    stream_seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One message with its link, before it is stored."""

    event_id: str
    subject: str
    payload: bytes
    seq: int
    chain: str
    header: dict[str, str]


@dataclass(slots=True, kw_only=True)
class ChainWriter:
    """Writes one producer's chain: drafts the next message, and moves on once its outcome is known."""

    service: Service
    wall: Clock
    head: ChainHead = field(default_factory=ChainHead)
    host: str = field(default_factory=socket.gethostname)
    life: str = field(default_factory=lambda: secrets.token_hex(LIFE_BYTES))
    unsettled: str = ""
    """Id of an event whose outcome is unknown; the chain cannot go on with another one."""

    def draft(self, event: AnyEvent, *, through: int, fence_seq: int) -> Draft:
        """Return the next message of the chain.

        Raises:
            AppendRefusedError: The event is larger than the log takes.
            LogError: The outcome of the message before is unknown.
        """
        if self.unsettled not in ("", event.id):
            raise LogError(
                f"{self.service.value} does not know whether {self.unsettled} was stored, so {event.id} cannot follow; "
                "append the same event again, or restart so that the log tells"
            )
        subject, payload = subject_of(event), encode(event)
        if len(payload) > PAYLOAD_BYTES_MAX:
            raise AppendRefusedError(
                f"{tag_of(type(event))} {event.id} has {len(payload)} bytes, the log takes {PAYLOAD_BYTES_MAX}"
            )
        producer, epoch, seq = self.service.value, self.head.epoch, self.head.seq + 1
        chain = names.chain_next(
            self.head.chain, producer=producer, epoch=epoch, seq=seq, subject=subject, payload=payload
        )
        header = {
            names.MSG_ID: f"{producer}:{event.id}",
            names.PRODUCER: producer,
            names.EPOCH: str(epoch),
            names.SEQ: str(seq),
            names.CHAIN: chain,
            names.THROUGH: str(through),
            names.WALL_NS: str(self.wall.now_ns()),
            names.HOST: self.host,
            names.VERSION: walstreet.__version__,
            LIFE: self.life,
            EXPECTED_LAST: str(fence_seq),
            EXPECTED_SUBJECT: f"epoch.{producer}",
        }
        return Draft(event_id=event.id, subject=subject, payload=payload, seq=seq, chain=chain, header=header)

    def epoch_event(self, previous: ChainHead, *, ts_ns: int, config_hash: str) -> ProducerEpoch:
        """Return the first event of the life after ``previous``, and begin its chain."""
        epoch = previous.epoch + 1
        self.head = ChainHead(epoch=epoch)
        return ProducerEpoch(
            id=derive_id(f"epoch:{self.service.value}", "producer_epoch.v1", epoch),
            cause=ROOT,
            ts_ns=ts_ns,
            service=self.service.value,
            epoch=epoch,
            config_hash=config_hash,
            previous_chain=previous.chain,
            previous_seq=previous.seq,
        )

    def stored(self, draft: Draft, stream_seq: int) -> None:
        """Move on behind ``draft``, which stands on the TAPE at ``stream_seq``."""
        self.head = ChainHead(epoch=self.head.epoch, seq=draft.seq, chain=draft.chain, stream_seq=stream_seq)

    def is_own(self, draft: Draft, headers: dict[str, str]) -> bool:
        """Return whether stored ``headers`` are of this very draft, not of an older life or a rival."""
        return headers.get(names.CHAIN) == draft.chain and headers.get(LIFE) == self.life

    def fenced(self, subject: str) -> FencedError:
        """Return the error that ends a zombie."""
        return FencedError(
            f"{self.service.value} epoch {self.head.epoch} is fenced off at {subject}: a newer {self.service.value} "
            "runs on this log. This process stops; make sure that only one instance is started"
        )


class _StaleFenceError(Exception):
    """The server says that the fence subject has moved."""


class TapeJournal:
    """Appends one producer's events; at most one append is under way."""

    def __init__(self, connection: Connection, service: Service, wall: Clock) -> None:
        """Append as ``service``; ``wall`` stamps headers only."""
        self._connection = connection
        self._service = service
        self._writer = ChainWriter(service=service, wall=wall)
        self._reader = TapeReader(connection)
        self._fence_seq = 0
        self._lock = asyncio.Lock()
        self.appended = 0
        self.last_stream_seq = 0
        self.retries = 0

    @property
    def epoch(self) -> int:
        """Return the epoch of this life, 0 before ``begin_epoch``."""
        return self._writer.head.epoch

    @property
    def head(self) -> ChainHead:
        """Return the last link that is known to be stored."""
        return self._writer.head

    async def begin_epoch(self, previous: ChainHead, *, epoch_seq: int, ts_ns: int, config_hash: str) -> int:
        """Start a new life after ``previous``; older lives of this producer are fenced off from here on.

        Args:
            previous: Last link of the producer's older life, as read from the TAPE.
            epoch_seq: Stream sequence of the producer's last epoch message, 0 without one.
            ts_ns: Event time of the epoch fact.
            config_hash: Identifies the configuration of this life.

        Raises:
            FencedError: Another process began an epoch at the same time and won.
        """
        event = self._writer.epoch_event(previous, ts_ns=ts_ns, config_hash=config_hash)
        self._fence_seq = epoch_seq
        self._fence_seq = await self.append(event, through=0)
        return event.epoch

    async def append(self, event: AnyEvent, *, through: int) -> int:
        """Append ``event`` and return its stream sequence once it is fsynced.

        The sequence is below that of an earlier append when the event stands on the TAPE already.

        Raises:
            FencedError: A newer epoch exists.
            AppendRefusedError: The server refuses the message for good (full, too large, not permitted).
            LogUnreachableError: The server stayed away longer than the bound.
        """
        async with self._lock:
            draft = self._writer.draft(event, through=through, fence_seq=self._fence_seq)
            self._writer.unsettled = event.id
            try:
                seq, own = await self._store(draft)
            except AppendRefusedError:
                self._writer.unsettled = ""
                raise
            self._writer.unsettled = ""
            self.last_stream_seq = max(self.last_stream_seq, seq)
            if own:
                self._writer.stored(draft, seq)
                self.appended += 1
            # Otherwise the id stands on the TAPE from before; the fact is recorded, the chain does not move.
            return seq

    async def _store(self, draft: Draft) -> tuple[int, bool]:
        """Return the stream sequence of ``draft``'s id and whether this very draft stands there."""
        try:
            ack = await self._publish(draft)
        except _StaleFenceError as error:
            seq = await self._own_epoch_message(draft)
            if seq is None:
                raise self._writer.fenced(draft.subject) from error
            return seq, True
        if not ack.duplicate:
            return ack.seq, True
        stored = [message async for message in self._reader.range(ack.seq, ack.seq)]
        return ack.seq, bool(stored) and self._writer.is_own(draft, stored[0].headers)

    async def _publish(self, draft: Draft) -> PubAck:
        def again() -> None:
            self.retries += 1

        return await _publish_until_known(
            self._connection, draft.subject, draft.payload, draft.header, who=self._service, on_retry=again
        )

    async def _own_epoch_message(self, draft: Draft) -> int | None:
        """Return where the epoch message of this life stands, if it is the newest one of this producer."""
        if draft.subject != f"epoch.{self._service.value}":
            return None
        failure: Exception | None = None
        for _ in range(APPEND_TRIES_MAX):
            await self._connection.wait_connected()
            try:
                found = await self._connection.client.jetstream().get_msg(
                    Stream.TAPE.value, subject=draft.subject, direct=True
                )
            except (nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError) as error:
                failure = error
                await asyncio.sleep(RETRY_WAIT_S)
                continue
            return found.seq if self._writer.is_own(draft, found.headers or {}) else None
        raise LogUnreachableError(
            f"{draft.subject} could not be read back in {APPEND_TRIES_MAX} tries ({failure!r})"
        ) from failure


async def _publish_until_known(
    connection: Connection,
    subject: str,
    payload: bytes,
    header: dict[str, str],
    *,
    who: Service,
    on_retry: Callable[[], None],
) -> PubAck:
    """Publish under one message id until the outcome is known.

    Raises:
        _StaleFenceError: The fence subject has moved.
        AppendRefusedError: The server refuses the message for good.
        LogUnreachableError: The outcome stayed unknown.
    """
    failure: Exception | None = None
    for _ in range(APPEND_TRIES_MAX):
        await connection.wait_connected()
        try:
            async with connection.bounded(REQUEST_TIMEOUT_S):
                return await connection.client.jetstream().publish(
                    subject, payload, timeout=REQUEST_TIMEOUT_S, headers=header
                )
        except nats.js.errors.APIError as error:
            if error.err_code == ERR_WRONG_LAST_SEQUENCE:
                raise _StaleFenceError from error
            if error.code != 503 or error.err_code in ERRORS_FOR_GOOD:
                raise AppendRefusedError(
                    f"the log refused {subject} of {who.value}: {error}; if it is full, move the session into an "
                    "archive, or give the disk room and start a new --state"
                ) from error
            failure = error
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError) as error:
            if connection.denied(subject):
                raise AppendRefusedError(
                    f"NATS user {connection.options.user!r} may not publish {subject}; the table in "
                    "walstreet_events.subjects says who may"
                ) from error
            failure = error
        # The outcome is unknown. The same message id makes the repetition safe.
        on_retry()
        await asyncio.sleep(RETRY_WAIT_S)
    raise LogUnreachableError(
        f"{subject} of {who.value} was not acknowledged in {APPEND_TRIES_MAX} tries ({failure!r}); "
        "check the NATS server's log and its disk space"
    ) from failure


class DeadLetterBox:
    """Keeps what a service could not handle, whole and fsynced."""

    def __init__(self, connection: Connection, service: Service) -> None:
        """Write under ``dead.<service>.*``."""
        self._connection = connection
        self._service = service
        self.count = 0

    async def keep(
        self, *, reason: str, detail: str, subject: str, stream_seq: int, payload: bytes, ts_ns: int
    ) -> None:
        """Store one dead letter; a repetition for the same stream sequence and payload is stored once.

        Raises:
            AppendRefusedError: The server refuses it for good; nothing may go on as if it were kept.
            LogUnreachableError: The server stayed away longer than the bound.
        """
        letter = dead_letter(
            self._service,
            reason=reason,
            detail=detail,
            subject=subject,
            stream_seq=stream_seq,
            payload=payload,
            ts_ns=ts_ns,
        )
        await _publish_until_known(
            self._connection,
            subject_of(letter),
            encode(letter),
            {names.MSG_ID: letter.id},
            who=self._service,
            on_retry=lambda: None,
        )
        self.count += 1


def dead_letter(
    service: Service, *, reason: str, detail: str, subject: str, stream_seq: int, payload: bytes, ts_ns: int
) -> DeadLetter:
    """Return the letter; its id follows from what is kept, so that the same failure is kept once.

    Text is cut to ``DEAD_DETAIL_CHARACTERS_MAX``. A payload beyond ``PAYLOAD_BYTES_MAX`` was not written by a
    journal; it is cut, and the detail says so.
    """
    digest = hashlib.blake2b(payload, digest_size=ID_DIGEST_BYTES).hexdigest()
    if len(payload) > PAYLOAD_BYTES_MAX:
        detail = f"(payload of {len(payload)} bytes, BLAKE2b {digest}, cut to {PAYLOAD_BYTES_MAX}) {detail}"
        payload = payload[:PAYLOAD_BYTES_MAX]
    return DeadLetter(
        id=derive_id(f"dead:{service.value}:{subject}:{digest}", reason, stream_seq),
        cause=ROOT,
        ts_ns=ts_ns,
        service=service.value,
        reason=reason,
        detail=detail[:DEAD_DETAIL_CHARACTERS_MAX],
        subject=subject,
        stream_seq=stream_seq,
        payload=payload,
    )
