"""Owns the tests of marks: the quote in force then, never a guess, each mark once, nothing without end."""

from __future__ import annotations

import pytest

from walstreet.domain import marks
from walstreet.domain.marks import MarkBook, MarkParameters, fold_marks, mark_events, note_quote
from walstreet.testing.execution_world import NOW_NS, SHARE, S, block, clock, intent, quote
from walstreet_events import EXPIRY, ROOT, MarkoutBlock, MarkSeen, OrderFilled, Side, derive_id

INTENT = intent()


def filled(exec_id: str = "e1", *, ts_ns: int = NOW_NS + 5 * S, shares: int = 100) -> OrderFilled:
    """Return an execution of the example's intent."""
    return OrderFilled(
        id=derive_id(exec_id, "fill", 0),
        cause=ROOT,
        ts_ns=ts_ns,
        client_order_id="c1",
        intent=INTENT.id,
        exec_id=exec_id,
        perm_id=1,
        symbol="SPY",
        con_id=11,
        side=Side.BUY,
        price_nano=100_010_000_000,
        quantity_micro=shares * SHARE,
        cumulative_micro=shares * SHARE,
    )


def begun() -> MarkBook:
    """Return a book that has seen the example's intent while 99.99 to 100.01 was quoted."""
    book = MarkBook()
    fold_marks(book, block(INTENT), {"SPY": quote()}, believed=True)
    return book


def taken(book: MarkBook, seconds: int) -> tuple[MarkSeen, ...]:
    """Let the clock reach ``seconds`` after the intent and return the marks, folded as the loop does."""
    events = mark_events(book, clock(NOW_NS + seconds * S), MarkParameters())
    for event in events:
        fold_marks(book, event, {}, believed=False)
    assert len(events) <= 1
    return events[0].marks if events and isinstance(events[0], MarkoutBlock) else ()


def test_each_mark_is_the_quote_in_force_then() -> None:
    """Fill at 5: the quotes of 0, of 6 exactly, of 9 and of 20 are in force at 5, 6, 10 and 35."""
    book = begun()
    fold_marks(book, filled(), {}, believed=False)
    for second, bid in ((6, 100.10), (9, 100.20), (20, 100.30), (36, 100.40)):
        note_quote(book, quote(bid, bid + 0.02, ts_ns=NOW_NS + second * S))
    found = [(mark.offset_s, mark.bid_nano, mark.quote_ts_ns) for mark in taken(book, 40)]
    assert found == [
        (0, 99_990_000_000, NOW_NS),
        (1, 100_100_000_000, NOW_NS + 6 * S),
        (5, 100_200_000_000, NOW_NS + 9 * S),
        (30, 100_300_000_000, NOW_NS + 20 * S),
    ]
    assert taken(book, 45) == ()


def test_a_mark_waits_until_quotes_have_settled() -> None:
    """The mark of the fill itself is due at 5 and taken from 6 on; the later ones wait for their time."""
    book = begun()
    fold_marks(book, filled(), {}, believed=False)
    assert taken(book, 5) == ()
    assert [mark.offset_s for mark in taken(book, 6)] == [0]
    assert [mark.offset_s for mark in taken(book, 11)] == [1, 5]


def test_what_was_not_filled_is_marked_at_the_end() -> None:
    """60 of 100 shares: the end of the time in force is marked once; a parent filled whole needs none."""
    book = begun()
    fold_marks(book, filled(shares=60), {}, believed=False)
    assert [mark.offset_s for mark in taken(book, 40)] == [0, 1, 5, 30]
    (end,) = taken(book, 61)
    assert (end.reference, end.offset_s, end.bid_nano) == (INTENT.id, EXPIRY, 99_990_000_000)
    whole = begun()
    fold_marks(whole, filled(shares=60), {}, believed=False)
    fold_marks(whole, filled("e2", shares=40), {}, believed=False)
    assert EXPIRY not in [mark.offset_s for mark in taken(whole, 70)]
    assert whole.pending == whole.quotes == whole.waiting == whole.unfilled_micro == {}


def test_a_restart_has_no_quotes_and_says_so() -> None:
    """A new process knows what it owes from the log, and journals what it has not seen as not seen."""
    again = MarkBook()
    fold_marks(again, block(INTENT), {}, believed=True)
    fold_marks(again, filled(), {}, believed=False)
    note_quote(again, quote(ts_ns=NOW_NS + 20 * S))
    found = [(mark.offset_s, mark.bid_nano, mark.quote_ts_ns) for mark in taken(again, 40)]
    assert found == [(0, 0, 0), (1, 0, 0), (5, 0, 0), (30, 99_990_000_000, NOW_NS + 20 * S)]


def test_nobodys_block_is_not_marked() -> None:
    """A block that the arbiter did not sign makes execution remember nothing."""
    book = MarkBook()
    fold_marks(book, block(INTENT), {}, believed=False)
    assert book.pending == {}
    note_quote(book, quote())
    assert book.quotes == {}


def test_a_foreign_fill_is_not_marked() -> None:
    """Without an intent there is no cost to be measured."""
    book = MarkBook()
    stranger = OrderFilled(**{name: getattr(filled(), name) for name in OrderFilled.__struct_fields__} | {"intent": ""})
    fold_marks(book, stranger, {}, believed=False)
    assert book.pending == {}


def test_quotes_out_of_order_do_not_rewrite_the_past() -> None:
    """An older quote that comes late is dropped."""
    book = begun()
    note_quote(book, quote(100.5, 100.6, ts_ns=NOW_NS - S))
    assert [point[0] for point in book.quotes["SPY"]] == [NOW_NS]


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks beyond the bound are counted, quotes beyond it make room, and a tick writes one block of bounded size."""
    monkeypatch.setattr(marks, "PENDING_MAX", 3)
    monkeypatch.setattr(marks, "QUOTES_MAX", 10)
    monkeypatch.setattr(marks, "MARKS_PER_BLOCK_MAX", 2)
    book = begun()
    fold_marks(book, filled(shares=60), {}, believed=False)
    assert (len(book.pending), book.dropped) == (3, 2)
    for second in range(1, 30):
        note_quote(book, quote(ts_ns=NOW_NS + second * S))
    assert len(book.quotes["SPY"]) <= 10
    assert len(taken(book, 100)) == 2
    assert len(taken(book, 105)) == 1
