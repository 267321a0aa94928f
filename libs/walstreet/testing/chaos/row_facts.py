"""Owns what is known after a session under a fault script: its TAPE, the broker's own record, its summary, its logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from walstreet.domain.order import TERMINAL
from walstreet_events import AnyEvent, OrderFilled, OrderLink, OrderState, OrderSubmitting, OrderUpdated

OURS = 12
"""Client id of execution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known after a session."""

    events: Sequence[AnyEvent]
    truth: Sequence[Mapping[str, Any]]
    summary: Mapping[str, Any]
    logs: str
    """The structured logs of all services."""

    def of(self, kind: type) -> list[Any]:
        """Return the events of one type."""
        return [event for event in self.events if isinstance(event, kind)]

    def records(self, kind: str) -> list[Mapping[str, Any]]:
        """Return the broker's records of one kind."""
        return [record for record in self.truth if record["kind"] == kind]

    def states(self, client_order_id: str) -> list[OrderState]:
        """Return the states that an order went through in our books."""
        return [event.state for event in self.of(OrderUpdated) if event.client_order_id == client_order_id]

    def windows(self, kind: str) -> list[tuple[int, int]]:
        """Return when faults of one kind were in force."""
        begun: dict[int, int] = {}
        found: list[tuple[int, int]] = []
        for record in self.truth:
            if record["kind"] == "fault_started" and record["fault_kind"] == kind:
                begun[record["fault"]] = record["ts_ns"]
            elif record["kind"] == "fault_ended" and record["fault"] in begun:
                found.append((begun.pop(record["fault"]), record["ts_ns"]))
        return found


def expect(*conditions: tuple[bool, str]) -> list[str]:
    """Return the texts of what does not hold."""
    return [text for holds, text in conditions if not holds]


def sent_after(facts: Facts, ts_ns: int, what: str) -> list[str]:
    """Return a fault when no order was sent after ``ts_ns``."""
    late = any(event.ts_ns > ts_ns for event in facts.of(OrderSubmitting))
    return expect((ts_ns > 0, f"there was no {what}"), (late, f"no order was sent after {what}"))


def trades_after(facts: Facts) -> list[str]:
    """Return a fault when no order was sent after the last fault of the script had ended."""
    ended = max((record["ts_ns"] for record in facts.records("fault_ended")), default=0)
    return sent_after(facts, ended, "the end of the faults")


def all_ended(facts: Facts) -> list[str]:
    """Return our orders without a final state, and that there were any."""
    last = {event.client_order_id: event.state for event in facts.of(OrderUpdated)}
    sent = facts.of(OrderSubmitting)
    return [
        *expect((bool(sent), "no order was sent")),
        *(
            f"order {event.client_order_id} ends as {last.get(event.client_order_id, 'submitting')}"
            for event in sent
            if last.get(event.client_order_id) not in TERMINAL
        ),
    ]


def trades(facts: Facts) -> list[str]:
    """Return a fault when nothing was filled, and orders without a final state."""
    return [*expect((bool(facts.of(OrderFilled)), "nothing was filled")), *all_ended(facts)]


def links(facts: Facts, least: int) -> list[str]:
    """Return a fault when the order link was not said to be up ``least`` times."""
    connected = [event for event in facts.of(OrderLink) if event.connected]
    return expect((len(connected) >= least, f"{len(connected)} connections of the order link, at least {least} wanted"))
