"""Owns the verification of the producers' hash chains while the TAPE is read."""

from __future__ import annotations

from dataclasses import dataclass

from walstreet_events import EventDecodeError, ProducerEpoch, Service, decode, may_write
from walstreet_events import headers as names

NUMBER_DIGITS_MAX = 19
WRITERS_KEPT_MAX = 16_384
_PRODUCERS = frozenset(service.value for service in Service)


@dataclass(slots=True)
class Link:
    """The last verified link of one (producer, epoch)."""

    epoch: int
    seq: int
    chain: str
    stream_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainFault:
    """One place where the TAPE is not what its producer wrote."""

    stream_seq: int
    producer: str
    epoch: int
    producer_seq: int
    subject: str
    kind: str
    """``digest`` (content changed), ``gap`` (messages missing before this one), ``order`` (repeated, reordered, or
    of a life that a newer one had fenced off), ``unsigned`` (no chain headers), ``writer`` (the producer may not
    write this subject), ``tail`` (the TAPE ends before what a witness has seen)."""
    detail: str

    @property
    def genuine(self) -> bool:
        """Return whether the message itself may still be what its producer wrote."""
        return self.kind == "gap"


class ChainVerifier:
    """Follows every producer's chain in stream order and tells the first fault of each break."""

    def __init__(self) -> None:
        """Start before the first message of the TAPE."""
        self._links: dict[tuple[str, int], Link] = {}
        self._newest: dict[str, int] = {}
        self._writers: dict[tuple[str, str], bool] = {}
        self.verified = 0

    def newest(self, producer: str) -> Link | None:
        """Return the last link of the producer's newest epoch."""
        epoch = self._newest.get(producer)
        return None if epoch is None else self._links[(producer, epoch)]

    def check(self, *, stream_seq: int, subject: str, headers: dict[str, str], payload: bytes) -> ChainFault | None:
        """Verify one message and return its fault, or None.

        After a fault the producer's chain continues from the message as it stands, so that one damaged message
        is one fault (and its successor's digest does not fail merely because of it).
        """
        producer = headers.get(names.PRODUCER, "")
        found = Link(
            _positive(headers.get(names.EPOCH, "")),
            _positive(headers.get(names.SEQ, "")),
            headers.get(names.CHAIN, ""),
            stream_seq,
        )
        broken = self._stranger(producer, subject, found) or self._broken(producer, subject, found, payload)
        if broken is None:
            self.verified += 1
            return None
        kind, detail = broken
        return ChainFault(
            stream_seq=stream_seq,
            producer=producer,
            epoch=found.epoch,
            producer_seq=found.seq,
            subject=subject,
            kind=kind,
            detail=detail,
        )

    def _stranger(self, producer: str, subject: str, found: Link) -> tuple[str, str] | None:
        """Return why the message belongs to no chain that could be followed."""
        if producer not in _PRODUCERS or not (found.epoch and found.seq and found.chain):
            return "unsigned", "chain headers are missing or damaged"
        if not self._may_write(producer, subject):
            return "writer", f"{producer} may not write {subject}"
        newest = self._newest.get(producer, 0)
        if found.epoch < newest:
            return "order", f"message of epoch {found.epoch} stands behind the beginning of epoch {newest}"
        return None

    def _broken(self, producer: str, subject: str, found: Link, payload: bytes) -> tuple[str, str] | None:
        """Return why the message does not follow its producer's newest link, and move the chain."""
        link = self._links.get((producer, found.epoch))
        before = Link(found.epoch, 0, names.CHAIN_START, 0) if link is None else link
        if found.seq <= before.seq:
            # The chain does not move: its next message follows the newest one, not the repeated one.
            return "order", f"message {found.seq} follows {before.seq}: repeated or out of order"
        expected = names.chain_next(
            before.chain, producer=producer, epoch=found.epoch, seq=found.seq, subject=subject, payload=payload
        )
        self._links[(producer, found.epoch)] = found
        self._newest[producer] = found.epoch
        if found.seq > before.seq + 1:
            return "gap", f"messages {before.seq + 1} to {found.seq - 1} of the producer are missing"
        if found.chain != expected:
            text = f"chain value is {found.chain}, the content gives {expected}"
            return "digest", f"{text}: payload, subject or headers were changed"
        lost = self._lost_before(producer, found.epoch, payload) if link is None else ""
        return ("gap", lost) if lost else None

    def _may_write(self, producer: str, subject: str) -> bool:
        known = self._writers.get((producer, subject))
        if known is None:
            if len(self._writers) >= WRITERS_KEPT_MAX:
                self._writers.clear()
            known = self._writers[(producer, subject)] = may_write(Service(producer), subject)
        return known

    def _lost_before(self, producer: str, epoch: int, payload: bytes) -> str:
        """Return what is missing at the end of the life before, which only the next life's first message tells."""
        try:
            event = decode(payload)
        except EventDecodeError:
            return ""
        if not isinstance(event, ProducerEpoch) or event.previous_seq == 0:
            return ""
        before = self._links.get((producer, epoch - 1))
        reached = 0 if before is None else before.seq
        # Its last message may have come after the new life had looked, so more than it knew is no fault.
        if reached < event.previous_seq:
            return f"messages {reached + 1} to {event.previous_seq} of epoch {epoch - 1} are missing"
        if before is not None and reached == event.previous_seq and before.chain != event.previous_chain:
            return f"epoch {epoch - 1} ended with chain {event.previous_chain}, the TAPE has {before.chain}"
        return ""


def _positive(text: str) -> int:
    """Return a number of plain digits, 0 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS_MAX else 0
