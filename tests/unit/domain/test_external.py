"""A foreign fact blocks its symbol until a person adopts it, and an adopted order until it has ended.

Covers walstreet.domain.external and its use by execution and the arbiter.
"""

from __future__ import annotations

import msgspec
import pytest

from walstreet.domain.external import OPENING, ORDERS_MAX, Externals, Origin, origin_of
from walstreet.domain.plan import child_id
from walstreet.testing.events_recon import adopt_command, external_order, ledger_correction
from walstreet.testing.execution_world import (
    NOW_NS,
    SYMBOL,
    S,
    block,
    execution,
    intent,
    link,
    listed,
    quote,
    ready_world,
    reasons,
    snapshot,
    submit,
)
from walstreet_events import ROOT, BreakKind, EventId, ExternalOrder, ReconBreak


def told(*events):
    """Return what is foreign after the events."""
    externals = Externals()
    for event in events:
        externals.apply(event)
    return externals


def broken(reference, kind=BreakKind.EXTERNAL_ORDER, policy="warn", symbol="AAA"):
    """Return a recorded break."""
    return ReconBreak(
        id=EventId("1" * 32),
        cause=ROOT,
        ts_ns=1,
        snapshot=ROOT,
        kind=kind,
        symbol=symbol,
        reference=reference,
        ours="0",
        brokers="7",
        policy=policy,
    )


@pytest.mark.parametrize("status", ["Submitted", "PreSubmitted", "Filled", "Cancelled", "execution"])
def test_any_foreign_fact_blocks_its_symbol_alone(status):
    """Also an order that has ended: what it did is in the account."""
    externals = told(external_order("AAA", 1, status=status))
    assert "AAA" in externals
    assert "BBB" not in externals


@pytest.mark.parametrize(
    ("event", "blocks"),
    [
        (broken(OPENING), True),
        (broken("position", BreakKind.QUANTITY, "warn"), True),
        (broken("position", BreakKind.QUANTITY, "strict"), False),
        (broken("position", BreakKind.QUANTITY, "auto_sync"), False),
        (broken("cash", BreakKind.CASH, "warn", symbol=""), False),
    ],
)
def test_which_breaks_block_a_symbol(event, blocks):
    """An unexplained position does under `warn`; under `strict` the whole book waits, `auto_sync` has ended it."""
    assert ("AAA" in told(event)) is blocks


def test_the_command_alone_unblocks_nothing():
    """Only the correction that follows it does: before it the books lack the position."""
    externals = told(external_order("AAA", 1, status="Filled"), adopt_command("AAA", 2))
    assert "AAA" in externals
    externals.apply(ledger_correction("AAA", 3, policy="auto_sync"))
    assert "AAA" in externals
    externals.apply(ledger_correction("AAA", 4))
    assert "AAA" not in externals
    assert externals.adopted(5)


def test_an_adopted_order_blocks_until_it_has_ended():
    """We could trade against it; more of its facts do not need a person again."""
    adopted = (external_order("AAA", 1), adopt_command("AAA", 2), ledger_correction("AAA", 3))
    assert "AAA" in told(*adopted)
    assert "AAA" in told(*adopted, external_order("AAA", 4, status="execution"))
    for ended in ("Filled", "Cancelled", "gone"):
        assert "AAA" not in told(*adopted, external_order("AAA", 4, status=ended))


def test_what_came_after_the_command_was_not_seen_by_the_person():
    """A second foreign order between command and correction keeps the symbol blocked."""
    externals = told(
        external_order("AAA", 1, status="Filled"),
        adopt_command("AAA", 2),
        external_order("AAA", 3, perm_id=6, status="Filled"),
        ledger_correction("AAA", 4),
    )
    assert externals.waiting == {"AAA": "order 6"}
    for event in (adopt_command("AAA", 5), ledger_correction("AAA", 6)):
        externals.apply(event)
    assert "AAA" not in externals


def test_only_absence_from_a_later_snapshot_says_that_an_order_is_gone():
    """A snapshot asked before the order was seen tells nothing about it."""
    externals = told(external_order("AAA", 10), external_order("BBB", 10, perm_id=6))
    assert [perm for perm, _ in externals.gone((5,), 11)] == [6]
    assert externals.gone((), 10) == []
    assert "AAA" in told(external_order("AAA", 1), external_order("AAA", 2, status="gone")), "gone is not adopted"


def test_memory_forgets_ended_adopted_orders_only():
    """What still waits for a person, or still works, is never forgotten."""
    externals = told(external_order("AAA", 1, status="Filled"), adopt_command("AAA", 2), ledger_correction("AAA", 3))
    for number in range(ORDERS_MAX):
        externals.apply(external_order("BBB", 4, perm_id=100 + number))
    assert 5 not in externals.orders
    assert len(externals.orders) == ORDERS_MAX
    externals.apply(external_order("BBB", 5, perm_id=7))
    assert len(externals.orders) == ORDERS_MAX + 1


def test_equal_facts_give_equal_digests():
    """The content for a digest is the whole content."""
    facts = (external_order("AAA", 1), adopt_command("AAA", 2))
    assert told(*facts).canonical() == told(*facts).canonical()
    assert told(*facts).canonical() != told(*facts, ledger_correction("AAA", 3)).canonical()


@pytest.mark.parametrize(
    ("client_id", "reference", "origin"),
    [
        (0, "", Origin.MANUAL),
        (7, "", Origin.OTHER_CLIENT),
        (7, "rebalance-3", Origin.OTHER_CLIENT),
        (1, child_id(EventId("9" * 32), 0), Origin.EARLIER_LIFE),
        (0, child_id(EventId("9" * 32), 0), Origin.EARLIER_LIFE),
    ],
)
def test_whose_an_order_is(client_id, reference, origin):
    """A reference of our form with a lost log is an earlier life's, whatever client id the query names."""
    assert origin_of(client_id=client_id, order_ref=reference) is origin


# ------------------------------------------------------------------------------------------- execution


def foreign():
    """Return an order by hand as a query lists it."""
    return msgspec.structs.replace(listed("", "Submitted"), client_id=0)


def test_execution_refuses_a_foreign_symbol_until_the_order_is_adopted_and_over():
    """Ingested from the snapshot, refused, adopted, still refused while it works, then traded again."""
    world = ready_world()
    world.see(snapshot("first", NOW_NS + S, open_orders=(foreign(),)))
    assert reasons(world.give(block(intent("one"), name="one"))) == ["external_order"]
    world.give(adopt_command(SYMBOL, NOW_NS + 2 * S))
    world.give(ledger_correction(SYMBOL, NOW_NS + 3 * S))
    assert reasons(world.give(block(intent("two"), name="two"))) == ["external_order"]
    unanswered = world.see(snapshot("failed", NOW_NS + 4 * S, ok=False))
    assert not [out for out in unanswered if isinstance(out, ExternalOrder)], "a failed query ends no order"
    over = world.see(snapshot("later", NOW_NS + 5 * S))
    assert [out.status for out in over if isinstance(out, ExternalOrder)] == ["gone"]
    again = world.restarted()
    for life in (world, again):
        life.see(link(ts_ns=NOW_NS + 6 * S))
        life.see(quote())
        submit(life, intent("three"))


def test_an_order_of_an_earlier_life_is_foreign_when_the_log_is_lost():
    """Its reference is of our form; without its submission it is nobody's, and blocks."""
    world = ready_world()
    reference = child_id(EventId("8" * 32), 0)
    outs = world.see(snapshot("first", NOW_NS + S, open_orders=(listed(reference, "Submitted"),)))
    (found,) = [out for out in outs if isinstance(out, ExternalOrder)]
    assert (found.order_ref, origin_of(client_id=found.client_id, order_ref=found.order_ref)) == (
        reference,
        Origin.EARLIER_LIFE,
    )
    assert reasons(world.give(block(intent()))) == ["external_order"]


def test_a_foreign_fill_is_journaled_once_and_blocks():
    """The execution enters the books without an order of ours; its repetition changes nothing."""
    world = ready_world()
    first = world.see(execution("by hand", perm_id=3))
    assert [type(out).__name__ for out in first] == ["ExternalOrder", "OrderFilled"]
    assert world.see(execution("by hand", perm_id=3)) == []
    assert reasons(world.give(block(intent()))) == ["external_order"]
