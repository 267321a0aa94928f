"""Owns the verdict about a session: the broker's own record against the TAPE, and what may not have changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from walstreet.domain.order import TERMINAL
from walstreet.testing.stack import compare_books, events, truth
from walstreet_events import AnyEvent, OrderUpdated

ENDED = ("Filled", "Cancelled", "Inactive", "ApiCancelled")


def judge_books(state: Path, told: Sequence[AnyEvent] | None = None) -> dict[str, list[str]]:
    """Return what is wrong, by invariant; empty lists mean that it holds.

    Duplicates are orders that reached the broker more than once. Lost are executions of the broker that are not on the
    TAPE exactly once as they were, orphans orders that are alive at the broker and not in our books.
    """
    told = events(state) if told is None else told
    faults = compare_books(state, told)
    return {
        "duplicates": [text for text in faults if text.startswith("order ") and "times" in text],
        "lost": [text for text in faults if text.startswith("execution ")],
        "unannounced": [text for text in faults if "is not on the TAPE" in text],
        "orphans": orphans(truth(state), told),
    }


def orphans(records: Iterable[Mapping[str, Any]], told: Iterable[AnyEvent]) -> list[str]:
    """Return orders that are alive at the broker although our books hold them for ended, or do not know them."""
    alive: dict[str, str] = {}
    references: dict[int, str] = {}
    for record in records:
        if record["kind"] == "order_accepted":
            references[record["perm_id"]] = record["order_ref"]
            alive[record["order_ref"]] = "PreSubmitted"
        elif record["kind"] == "status" and record["perm_id"] in references:
            reference = references[record["perm_id"]]
            if record["status"] in ENDED:
                alive.pop(reference, None)
            else:
                alive[reference] = record["status"]
    states = {event.client_order_id: event.state for event in told if isinstance(event, OrderUpdated)}
    return [
        f"order {reference} is {status} at the broker and {states.get(reference, 'unknown')} in our books"
        for reference, status in alive.items()
        if states.get(reference) is None or states[reference] in TERMINAL
    ]
