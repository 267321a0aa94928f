"""Owns replay of a service's core from a recorded TAPE: same inputs, same decisions, byte for byte.

The recorded inputs are fed in the order in which the service processed them. What the core decides is compared
with what the service wrote. Several lives (epochs) of a service are one sequence of decisions: a crash changes
headers, never payloads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from walstreet.domain.signing import unsealed
from walstreet.ports import Core, StateT
from walstreet.runtime.loop_ports import Message
from walstreet_events import AnyEvent, IntentBlock, ModeRequest, ProducerEpoch, Service, decode, encode, reads, tag_of
from walstreet_events import headers as names

DIFFERENCES_SHOWN_MAX = 20
CHAIN_REQUEST_BEGINS = "chain_broken at "
"""Reason of the mode request that the shared loop writes by itself, whatever its core decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One output that was not reproduced."""

    stream_seq: int
    type: str
    event_id: str
    detail: str


@dataclass(slots=True)
class ReplayReport:
    """What replay compared."""

    inputs: int = 0
    compared: int = 0
    identical: int = 0
    unsolicited: int = 0
    """Own records that no input caused (mode requests after a chain fault): folded, not compared."""
    failed: int = 0
    """Inputs at which the core raised: the live loop kept them as dead letters and went on, and so does replay."""
    differences: list[Difference] = field(default_factory=list)
    by_type: dict[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Return whether every output was reproduced exactly."""
        return self.compared == self.identical

    def differ(self, difference: Difference) -> None:
        """Keep the first differences."""
        if len(self.differences) < DIFFERENCES_SHOWN_MAX:
            self.differences.append(difference)


def replay_core(core: Core[StateT], messages: Iterable[Message]) -> ReplayReport:
    """Feed ``messages`` (a whole TAPE, in stream order) to a fresh ``core`` and compare its outputs.

    Raises:
        walstreet_events.EventDecodeError: The TAPE holds something that is no event; verify it first.
    """
    service = core.service
    inputs: list[tuple[int, AnyEvent]] = []
    recorded: dict[int, list[tuple[int, bytes, AnyEvent]]] = {}
    seen: set[str] = set()
    for message in messages:
        if message.producer == service.value:
            event = decode(message.payload)
            if not isinstance(event, ProducerEpoch) and event.id not in seen:
                seen.add(event.id)
                entry = (message.seq, message.payload, event)
                recorded.setdefault(message.number(names.THROUGH), []).append(entry)
        elif reads(service, message.subject):
            inputs.append((message.seq, decode(message.payload)))
    return _compare(core, service, inputs, recorded)


def _compare(
    core: Core[StateT],
    service: Service,
    inputs: list[tuple[int, AnyEvent]],
    recorded: dict[int, list[tuple[int, bytes, AnyEvent]]],
) -> ReplayReport:
    report = ReplayReport()
    state = core.initial()
    for _, _, event in recorded.pop(0, ()):
        state = core.evolve(state, event)
        report.unsolicited += 1
    for seq, event in inputs:
        report.inputs += 1
        decided: list[AnyEvent] = []
        try:
            state = core.evolve(state, event)
            decided = list(core.decide(state, event))
        except Exception:  # noqa: BLE001 - what the core wrote then, if anything, shows up as a difference
            report.failed += 1
        have = recorded.pop(seq, [])
        report.unsolicited += sum(1 for _, _, own in have if _is_chain_request(own))
        _match(report, seq, decided, [entry for entry in have if not _is_chain_request(entry[2])])
        for _, _, own in have:
            state = core.evolve(state, own)
    for seq, have in sorted(recorded.items()):
        for position, _, own in have:
            detail = f"{service.value} wrote it after input {seq}, which is not an input of this core"
            report.compared += 1
            report.differ(Difference(stream_seq=position, type=tag_of(type(own)), event_id=own.id, detail=detail))
    return report


def _is_chain_request(event: AnyEvent) -> bool:
    return isinstance(event, ModeRequest) and event.reason.startswith(CHAIN_REQUEST_BEGINS)


def _compared(event: AnyEvent, payload: bytes) -> bytes:
    """Return what was decided: the bytes on the TAPE, without the seal of an intent block (docs/adr/0007)."""
    return encode(unsealed(event)) if isinstance(event, IntentBlock) else payload


def _match(report: ReplayReport, seq: int, decided: list[AnyEvent], have: list[tuple[int, bytes, AnyEvent]]) -> None:
    expected = {event.id: event for event in decided}
    turns = {event.id: turn for turn, event in enumerate(decided)}
    reached = -1
    for position, payload, own in have:
        tag = tag_of(type(own))
        again = expected.pop(own.id, None)
        report.compared += 1
        report.by_type[tag] = report.by_type.get(tag, 0) + 1
        if again is None:
            detail = "on the TAPE, but not decided again"
        elif encode(unsealed(again)) != _compared(own, payload):
            detail = "decided again with other bytes"
        elif turns[own.id] < reached:
            detail = "decided again, but in another order"
        else:
            reached = turns[own.id]
            report.identical += 1
            continue
        report.differ(Difference(stream_seq=position, type=tag, event_id=own.id, detail=detail))
    for missing in expected.values():
        report.compared += 1
        detail = f"decided after input {seq}, but not on the TAPE"
        report.differ(Difference(stream_seq=seq, type=tag_of(type(missing)), event_id=missing.id, detail=detail))
