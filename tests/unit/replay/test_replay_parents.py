"""Owns the tests of what became of parent orders."""

from __future__ import annotations

import msgspec

from walstreet.replay.parents import PARENTS_MAX, REPORT_NS, ParentOutcome, Parents
from walstreet.testing.events_base import OPEN_NS
from walstreet.testing.events_orders import order_examples, order_filled, order_submitting
from walstreet_events import NANOS_PER_SECOND, IntentBlock

EXPIRES_NS = OPEN_NS + 15 * NANOS_PER_SECOND
"""Of the example's parent of 100 shares."""
QUANTITY_MICRO = 100_000_000


def intents(*names: str) -> IntentBlock:
    """Return the example's block, its one parent repeated under ``names``."""
    block = order_examples(OPEN_NS)[0]
    assert isinstance(block, IntentBlock)
    parents = tuple(msgspec.structs.replace(block.intents[0], id=name) for name in names or ("intent-1",))
    return msgspec.structs.replace(block, intents=parents)


def sent() -> Parents:
    """Return the book of one parent that was sent."""
    parents = Parents()
    parents.take_intents(intents())
    parents.take_sent(order_submitting(OPEN_NS))
    return parents


def test_fills_in_time_are_added_and_each_counts_once() -> None:
    """40 shares, the same 40 again, 60 at the last instant, 10 a nanosecond later: 100 in time."""
    parents = sent()
    parents.take_fill(order_filled(OPEN_NS, exec_id="a"))
    parents.take_fill(order_filled(OPEN_NS, exec_id="a"))
    parents.take_fill(order_filled(EXPIRES_NS, exec_id="b", quantity_micro=60_000_000))
    parents.take_fill(order_filled(EXPIRES_NS + 1, exec_id="c", quantity_micro=10_000_000))
    assert parents.pass_time(EXPIRES_NS + REPORT_NS) == [
        ParentOutcome(quantity_micro=QUANTITY_MICRO, filled_in_time_micro=QUANTITY_MICRO)
    ]
    assert parents.pass_time(EXPIRES_NS + 2 * REPORT_NS) == []


def test_a_parent_waits_for_late_reports() -> None:
    """Its time is over, but an execution within it may still be reported."""
    parents = sent()
    assert parents.pass_time(EXPIRES_NS + REPORT_NS - 1) == []
    parents.take_fill(order_filled(EXPIRES_NS - 1))
    assert parents.pass_time(EXPIRES_NS + REPORT_NS)[0].filled_in_time_micro == 40_000_000


def test_a_parent_that_was_never_sent_counts_nowhere() -> None:
    """What execution refused says nothing about filling in time."""
    parents = Parents()
    parents.take_intents(intents())
    assert parents.pass_time(EXPIRES_NS + REPORT_NS) == []


def test_the_end_of_the_tape_judges_what_is_over() -> None:
    """A parent whose time still runs is left out."""
    parents = sent()
    parents.pass_time(EXPIRES_NS - 1)
    assert parents.finish() == []
    parents.pass_time(EXPIRES_NS)
    assert parents.finish() == [ParentOutcome(quantity_micro=QUANTITY_MICRO, filled_in_time_micro=0)]


def test_time_does_not_go_back_and_strangers_change_nothing() -> None:
    """An older tick judges nobody again, and a fill of an unknown parent belongs to none."""
    parents = sent()
    parents.pass_time(EXPIRES_NS)
    parents.pass_time(OPEN_NS)
    assert parents.clock_ns == EXPIRES_NS
    parents.take_fill(order_filled(OPEN_NS, order=""))
    assert parents.finish()[0].filled_in_time_micro == 0


def test_what_waits_is_bounded() -> None:
    """The oldest of too many parents are forgotten."""
    parents = Parents()
    parents.take_intents(intents(*(f"parent-{number}" for number in range(PARENTS_MAX + 10))))
    assert len(parents._waiting) == PARENTS_MAX
