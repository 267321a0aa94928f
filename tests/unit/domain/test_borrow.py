"""What can be borrowed is collected from the ticks, repeated while the connection is up, and read by the guard.

Covers walstreet.domain.borrow with its use in the gateway, in execution and in the broker's tick book.
"""

from __future__ import annotations

import pytest

from walstreet.adapters.ibkr.ticks import TickBook
from walstreet.domain.borrow import borrow_block, sound_level
from walstreet.domain.gateway import GatewayCore
from walstreet.domain.gateway_parameters import GatewayParameters, SessionPlan
from walstreet.domain.guard_short import ShortSaleParameters
from walstreet.domain.observations import BorrowObserved, LinkObserved, TimeObserved
from walstreet.runtime.clocks import ToldClock
from walstreet.testing.execution_world import NOW_NS, SHARE, SYMBOL, S, block, intent, ready_world, reasons
from walstreet.testing.given import Scenario
from walstreet_events import BorrowBlock, OrderSubmitting, Side

OPEN = 1_000_000 * 60 * S
PLAN = SessionPlan(
    session_date="2026-11-20", open_ns=OPEN, close_ns=OPEN + 600 * S, symbols=("BBB", "AAA"), market="synthetic"
)
BORROWED = ShortSaleParameters(borrow_configured=True, fee_configured=False)


def told(symbol="AAA", level=3.0, shares=5_000, at_ns=OPEN):
    """Return what the ticks say of a symbol."""
    micro = None if shares is None else shares * SHARE
    return BorrowObserved(symbol=symbol, ts_ns=at_ns, level=level, shortable_micro=micro)


def linked(at_s, *, connected=True):
    """Return a state of the market-data connection."""
    return LinkObserved(
        ts_ns=OPEN + at_s * S,
        connected=connected,
        data_lost=connected,
        client_id=11,
        next_order_id=1,
        code=0,
        detail="",
    )


def blocks(events):
    """Return the confirmations among events."""
    return [event for event in events if isinstance(event, BorrowBlock)]


def gateway(borrow_s=30):
    """Return a gateway that is connected."""
    play = Scenario(lambda: GatewayCore(GatewayParameters(borrow_s=borrow_s), PLAN))
    return play.given(linked(0))


def test_everything_told_is_repeated_at_a_fixed_distance():
    """One event for all symbols, by name, dated by its boundary; the last word counts."""
    play = gateway().given(told("BBB", level=None), told("AAA", shares=10), told("AAA", shares=7))
    (first,) = blocks(play.when(TimeObserved(ts_ns=OPEN + 32 * S)))
    assert (first.ts_ns, first.symbols, first.levels) == (OPEN + 30 * S, ("AAA", "BBB"), (3.0, None))
    assert first.shortable_micro == (7 * SHARE, 5_000 * SHARE)
    assert blocks(play.when(TimeObserved(ts_ns=OPEN + 55 * S))) == []
    assert [item.ts_ns for item in blocks(play.when(TimeObserved(ts_ns=OPEN + 60 * S)))] == [OPEN + 60 * S]


def test_a_lost_connection_ends_the_repetition():
    """What the old lines told is confirmed by nobody; new lines tell it anew."""
    play = gateway().given(told())
    play.given(linked(10, connected=False))
    assert blocks(play.when(TimeObserved(ts_ns=OPEN + 40 * S))) == []
    play.given(linked(50))
    assert blocks(play.when(TimeObserved(ts_ns=OPEN + 65 * S))) == []
    play.given(told(shares=9))
    (again,) = blocks(play.when(TimeObserved(ts_ns=OPEN + 95 * S)))
    assert again.shortable_micro == (9 * SHARE,)


def test_without_the_parameter_nothing_is_written():
    """The default asks for no shortability, and an odd distance is refused by name."""
    play = gateway(borrow_s=0).given(told())
    assert blocks(play.when(TimeObserved(ts_ns=OPEN + 65 * S))) == []
    with pytest.raises(ValueError, match="borrow_s=12 is no multiple"):
        GatewayParameters(borrow_s=12)


@pytest.mark.parametrize(
    ("facts", "age_s", "reason"),
    [
        (None, 0, "borrow_unknown"),
        (told(SYMBOL, level=None), 0, "borrow_unknown"),
        (told(SYMBOL, shares=None), 0, "borrow_unknown"),
        (told(SYMBOL, level=2.0), 0, "borrow_unavailable"),
        (told(SYMBOL, shares=50), 0, "borrow_shares"),
        (told(SYMBOL), 61, "borrow_stale"),
        (told(SYMBOL), 30, None),
    ],
)
def test_the_guard_reads_the_log(facts, age_s, reason):
    """Each missing, bad or old fact refuses the short sale; a fresh good one lets it go."""
    world = ready_world(short=BORROWED)
    if facts is not None:
        world.give(borrow_block({SYMBOL: facts}, session_date="1970-01-12", ts_ns=NOW_NS - age_s * S))
    for life in (world, world.restarted()):
        outs = life.give(block(intent(side=Side.SELL)))
        if life is world:
            found = reasons([out for out in outs if not isinstance(out, OrderSubmitting)])
            assert found == ([] if reason is None else [reason])
        assert life.state.borrow.keys() == ({SYMBOL} if facts is not None else set())


def test_ticks_become_facts():
    """Types 46 and 89 in any order, each change once; NaN is no number, an unknown line nothing."""
    seen = []
    ticks = TickBook(ToldClock(5), seen.append)
    ticks.open(7, "AAA")
    for handler, fields in (
        (ticks.on_generic, ["45", "6", "7", "46", "3.0"]),
        (ticks.on_generic, ["45", "6", "7", "46", "3.0"]),
        (ticks.on_size, ["2", "6", "7", "89", "1500"]),
        (ticks.on_size, ["2", "6", "7", "89", "NaN"]),
        (ticks.on_size, ["2", "6", "8", "89", "1"]),
        (ticks.on_generic, ["45", "6", "7", "46", "NaN"]),
        (ticks.on_generic, ["45", "6", "8", "46", "1"]),
    ):
        handler(fields)
    assert [(item.level, item.shortable_micro) for item in seen] == [
        (3.0, None),
        (3.0, 1_500 * SHARE),
        (3.0, None),
        (None, None),
    ]


@pytest.mark.parametrize(
    ("text", "level"), [("3.0", 3.0), ("0", 0.0), ("-1", None), ("NaN", None), ("inf", None), ("x", None)]
)
def test_a_level_is_a_sound_number_or_nothing(text, level):
    """What cannot be compared is not known."""
    assert sound_level(text) == level
