"""Owns the verification of a TAPE: every chain, every gap, every schema; finds damage and names it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from walstreet.runtime.chain import ChainFault, ChainVerifier
from walstreet.runtime.loop_ports import Message
from walstreet_events import EventDecodeError, decode, subject_of, tag_of

FAULTS_SHOWN_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class TapeFault:
    """One thing that is wrong with the TAPE."""

    stream_seq: int
    subject: str
    kind: str
    """``stream_gap``, ``stream_order``, ``schema``, ``subject``, or a kind of ``runtime.chain.ChainFault``."""
    detail: str


@dataclass(slots=True)
class TapeReport:
    """Result of a verification."""

    messages: int = 0
    first_seq: int = 0
    last_seq: int = 0
    bytes: int = 0
    types: Counter[str] = field(default_factory=Counter)
    epochs: dict[str, int] = field(default_factory=dict)
    faults: list[TapeFault] = field(default_factory=list)
    faults_total: int = 0

    @property
    def clean(self) -> bool:
        """Return whether nothing is wrong."""
        return self.faults_total == 0

    def add(self, fault: TapeFault) -> None:
        """Count a fault and keep the first ``FAULTS_SHOWN_MAX``."""
        self.faults_total += 1
        if len(self.faults) < FAULTS_SHOWN_MAX:
            self.faults.append(fault)


class TapeVerifier:
    """Takes the messages of a TAPE in stream order and reports what is wrong."""

    def __init__(self) -> None:
        """Start before the first message."""
        self._chain = ChainVerifier()
        self.report = TapeReport()

    def take(self, messages: Sequence[Message]) -> None:
        """Check the next messages."""
        for message in messages:
            self._one(message)

    def finish(self, last_seq: int) -> TapeReport:
        """Return the report, given the last sequence that the stream claims to hold."""
        report = self.report
        if report.last_seq < last_seq:
            report.add(_gap(report.last_seq + 1, last_seq))
        return report

    def _one(self, message: Message) -> None:
        report = self.report
        if report.messages == 0:
            report.first_seq = message.seq
        expected = report.last_seq + 1
        if message.seq > expected:
            report.add(_gap(expected, message.seq - 1))
        if message.seq < expected:
            report.add(_fault(message, "stream_order", f"sequence {message.seq} stands behind {report.last_seq}"))
        report.last_seq = max(report.last_seq, message.seq)
        report.messages += 1
        report.bytes += len(message.payload)
        fault = self._chain.check(
            stream_seq=message.seq, subject=message.subject, headers=message.headers, payload=message.payload
        )
        if fault is not None:
            report.add(_chain_fault(fault))
        self._check_schema(message)
        link = self._chain.newest(message.producer)
        if link is not None:
            report.epochs[message.producer] = link.epoch

    def _check_schema(self, message: Message) -> None:
        report = self.report
        try:
            event = decode(message.payload)
        except EventDecodeError as error:
            report.add(_fault(message, "schema", str(error)))
            return
        tag = tag_of(type(event))
        report.types[tag] += 1
        # The chain has checked that the producer may write this subject; what it may write there is checked here.
        if subject_of(event) != message.subject:
            report.add(_fault(message, "subject", f"{tag} belongs under {subject_of(event)}"))


def _fault(message: Message, kind: str, detail: str) -> TapeFault:
    return TapeFault(stream_seq=message.seq, subject=message.subject, kind=kind, detail=detail)


def _gap(first: int, last: int) -> TapeFault:
    return TapeFault(
        stream_seq=first,
        subject="",
        kind="stream_gap",
        detail=f"stream sequences {first} to {last} are missing from the store",
    )


def _chain_fault(fault: ChainFault) -> TapeFault:
    detail = f"{fault.producer or 'unknown producer'} epoch {fault.epoch} message {fault.producer_seq}: {fault.detail}"
    return TapeFault(stream_seq=fault.stream_seq, subject=fault.subject, kind=fault.kind, detail=detail)
