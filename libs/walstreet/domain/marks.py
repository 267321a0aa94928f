"""Owns the marks that execution journals for the analysis of costs: quotes in force at instants after an execution.

Quotes are on MD, not on the TAPE, so that nobody could measure a cost by the TAPE alone. Execution sees quotes anyway:
it remembers those of symbols with an intent or an execution of late, and copies the ones that count into a
``MarkoutBlock``: at the execution, 1, 5 and 30 s after it, and where a parent was not filled whole at the end of its
time in force. What is pending is a function of the log; the remembered quotes are volatile, so a mark that a crash has
swallowed is journaled as not seen rather than guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from walstreet.domain.bounds import require_between
from walstreet.domain.observations import QuoteObserved
from walstreet_events import (
    EXPIRY,
    NANOS_PER_SECOND,
    AnyEvent,
    ClockTick,
    IntentBlock,
    MarkoutBlock,
    MarkSeen,
    OrderFilled,
    derive_id,
    tag_of,
)

MARK_OFFSETS_S = (0, 1, 5, 30)
"""Seconds after an execution; 0 is the mid at the fill, 5 tells the impact."""
PENDING_MAX = 65_536
"""Marks that may wait; what comes beyond them is not marked and counted."""
MARKS_PER_BLOCK_MAX = 2_048
"""More than that wait for the next tick of the clock."""
QUOTES_MAX = 2_048
"""Quotes remembered for one symbol; at ten a second more than three minutes, longer than any time in force."""

assert tuple(sorted(MARK_OFFSETS_S)) == MARK_OFFSETS_S
assert MARKS_PER_BLOCK_MAX <= PENDING_MAX

MarkKey = tuple[str, int]
"""Execution id and offset, or intent and ``EXPIRY``."""
QuotePoint = tuple[int, int, int]
"""Time, bid and ask."""


class MarkParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long execution waits before it marks."""

    settle_s: float = 1.0
    """MD and the clock come by different ways: a mark is taken so long after its instant, from the quote in force
    then."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("execution.marks", "settle_s", self.settle_s, 0.0, 60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A mark that is not taken yet."""

    symbol: str
    due_ns: int


@dataclass(slots=True)
class MarkBook:
    """Marks that wait, and the quotes they are taken from."""

    pending: dict[MarkKey, Pending] = field(default_factory=dict)
    unfilled_micro: dict[str, int] = field(default_factory=dict)
    """Per intent whose end is to be marked."""
    waiting: dict[str, int] = field(default_factory=dict)
    """Pending marks per symbol."""
    dropped: int = 0
    """Marks that found no room."""
    quotes: dict[str, list[QuotePoint]] = field(default_factory=dict)
    """Volatile, oldest first; the symbols with pending marks."""

    def canonical(self) -> tuple[object, ...]:
        """Return the durable content for a digest."""
        rows = tuple((key, item.symbol, item.due_ns) for key, item in self.pending.items())
        return rows, tuple(self.unfilled_micro.items()), self.dropped


def note_quote(book: MarkBook, quote: QuoteObserved) -> None:
    """Remember a quote if a mark of its symbol waits."""
    points = book.quotes.get(quote.symbol)
    if points is None or (points and quote.ts_ns < points[-1][0]):
        return
    points.append((quote.ts_ns, quote.bid_nano, quote.ask_nano))
    if len(points) > QUOTES_MAX:
        del points[: QUOTES_MAX // 2]


def fold_marks(book: MarkBook, event: AnyEvent, latest: dict[str, QuoteObserved], *, believed: bool) -> None:
    """Fold one fact of the log.

    Args:
        book: Changed in place.
        event: Any fact; those that concern no mark change nothing.
        latest: Newest quote per symbol, with which the memory of a symbol begins.
        believed: Whether a block of intents is one of the arbiter's; one that nobody vouches for is not marked.
    """
    match event:
        case IntentBlock() if believed:
            for intent in event.intents:
                key = (intent.id, EXPIRY)
                if intent.id not in book.unfilled_micro and intent.quantity_micro > 0:
                    book.unfilled_micro[intent.id] = intent.quantity_micro
                    _wait(book, key, Pending(symbol=intent.symbol, due_ns=intent.expires_ns), latest)
        case OrderFilled() if event.intent:
            for offset_s in MARK_OFFSETS_S:
                due_ns = event.ts_ns + offset_s * NANOS_PER_SECOND
                _wait(book, (event.exec_id, offset_s), Pending(symbol=event.symbol, due_ns=due_ns), latest)
            _filled(book, event)
        case MarkoutBlock():
            for mark in event.marks:
                _done(book, (mark.reference, mark.offset_s))
        case _:
            return


def mark_events(book: MarkBook, tick: ClockTick, parameters: MarkParameters) -> list[AnyEvent]:
    """Return the block of the marks that are due at a tick of the clock, nothing if none is."""
    before_ns = tick.ts_ns - round(parameters.settle_s * NANOS_PER_SECOND)
    due = [(key, item) for key, item in book.pending.items() if item.due_ns <= before_ns][:MARKS_PER_BLOCK_MAX]
    if not due:
        return []
    return [
        MarkoutBlock(
            id=derive_id(tick.id, tag_of(MarkoutBlock), 0),
            cause=tick.id,
            ts_ns=tick.ts_ns,
            marks=tuple(_seen(book, key, item) for key, item in due),
        )
    ]


def _seen(book: MarkBook, key: MarkKey, item: Pending) -> MarkSeen:
    ts_ns, bid_nano, ask_nano = 0, 0, 0
    for point in reversed(book.quotes.get(item.symbol, ())):
        if point[0] <= item.due_ns:
            ts_ns, bid_nano, ask_nano = point
            break
    return MarkSeen(
        reference=key[0],
        symbol=item.symbol,
        offset_s=key[1],
        bid_nano=bid_nano,
        ask_nano=ask_nano,
        quote_ts_ns=ts_ns,
    )


def _wait(book: MarkBook, key: MarkKey, item: Pending, latest: dict[str, QuoteObserved]) -> None:
    if key in book.pending:
        return
    if len(book.pending) >= PENDING_MAX:
        book.dropped += 1
        return
    book.pending[key] = item
    book.waiting[item.symbol] = book.waiting.get(item.symbol, 0) + 1
    if item.symbol not in book.quotes:
        newest = latest.get(item.symbol)
        book.quotes[item.symbol] = [] if newest is None else [(newest.ts_ns, newest.bid_nano, newest.ask_nano)]


def _filled(book: MarkBook, fill: OrderFilled) -> None:
    left = book.unfilled_micro.get(fill.intent)
    if left is None:
        return
    book.unfilled_micro[fill.intent] = left - fill.quantity_micro
    if left <= fill.quantity_micro:
        _done(book, (fill.intent, EXPIRY))


def _done(book: MarkBook, key: MarkKey) -> None:
    item = book.pending.pop(key, None)
    if key[1] == EXPIRY:
        book.unfilled_micro.pop(key[0], None)
    if item is None:
        return
    left = book.waiting[item.symbol] - 1
    if left:
        book.waiting[item.symbol] = left
    else:
        del book.waiting[item.symbol], book.quotes[item.symbol]
