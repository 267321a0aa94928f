"""Owns the record of one session's parent orders, folded from the TAPE: what was wanted, sent, filled, paid, marked."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from walstreet.domain.marks import MARK_OFFSETS_S
from walstreet.domain.reconcile import execution_family
from walstreet.domain.tca import Fill, Parent, ParentCost, TwiceMid, cost_of
from walstreet_events import (
    EXPIRY,
    NANOS_PER_SECOND,
    AnyEvent,
    Decision,
    IntentBlock,
    MarkoutBlock,
    MarkSeen,
    OrderCommission,
    OrderFilled,
    OrderIntent,
    OrderRefused,
    OrderSubmitting,
    QuoteSeen,
    Side,
)

PARENTS_MAX = 100_000
"""Parents of one session that are analysed; what comes beyond them is counted."""
COST_COLUMN = "cost_bps"
"""Round trip, (H, N), of a decision's record."""


@dataclass(slots=True)
class _Fill:
    fill: OrderFilled
    marks: dict[int, TwiceMid] = field(default_factory=dict)


@dataclass(slots=True)
class _Parent:
    intent: OrderIntent
    decided_ns: int
    predicted_bps: float
    sent: OrderSubmitting | None = None
    refused: OrderRefused | None = None
    end: MarkSeen | None = None
    fills: dict[str, _Fill] = field(default_factory=dict)
    """By execution id without its revision."""


@dataclass(slots=True)
class TcaBook:
    """What one session's orders met; a function of its events."""

    parents: dict[str, _Parent] = field(default_factory=dict)
    fees: dict[str, int] = field(default_factory=dict)
    """By execution id without its revision; the newest word counts."""
    parent_of: dict[str, str] = field(default_factory=dict)
    """Intent by execution id without its revision."""
    decision: str = ""
    expected: dict[tuple[int, str], float] = field(default_factory=dict)
    """What the newest decision expected one side to cost, bps by horizon and symbol."""
    dropped: int = 0

    def canonical(self) -> tuple[object, ...]:
        """Return the sizes and keys for a digest."""
        return tuple(self.parents), tuple(self.fees.items()), tuple(self.parent_of.items()), self.decision, self.dropped


def fold_book(book: TcaBook, event: AnyEvent, *, quote_age_s_max: float) -> None:
    """Fold one fact; those of no order change nothing."""
    match event:
        case Decision():
            _note_decision(book, event)
        case IntentBlock():
            _note_intents(book, event)
        case OrderSubmitting():
            parent = book.parents.get(event.intent)
            if parent is not None and parent.sent is None:
                parent.sent = event
        case OrderRefused():
            parent = book.parents.get(event.intent)
            if parent is not None:
                parent.refused = event
        case OrderFilled():
            _note_fill(book, event)
        case OrderCommission():
            book.fees[execution_family(event.exec_id)[0]] = event.commission_nano
        case MarkoutBlock():
            for mark in event.marks:
                _note_mark(book, mark, event.ts_ns, quote_age_s_max)
        case _:
            return


def costs(book: TcaBook) -> tuple[ParentCost, ...]:
    """Return the cost of every parent in the order of the TAPE."""
    return tuple(cost_of(_parent(book, parent)) for parent in book.parents.values())


def _note_decision(book: TcaBook, decision: Decision) -> None:
    book.decision, book.expected = decision.id, {}
    column = next((column for column in decision.columns if column.name == COST_COLUMN), None)
    if column is None:
        return
    shape = (len(decision.horizons_minutes), len(decision.symbols))
    values = column.values.array()
    if values.shape != shape:
        return
    for minutes, row in zip(decision.horizons_minutes, values.tolist(), strict=True):
        for symbol, value in zip(decision.symbols, row, strict=True):
            book.expected[minutes, symbol] = 0.5 * value


def _note_intents(book: TcaBook, block: IntentBlock) -> None:
    for intent in block.intents:
        if intent.id in book.parents or intent.quantity_micro <= 0 or intent.arrival_mid_nano <= 0:
            continue
        if len(book.parents) >= PARENTS_MAX:
            book.dropped += 1
            continue
        known = block.decision == book.decision
        predicted = book.expected.get((intent.horizon_minutes, intent.symbol), math.nan) if known else math.nan
        book.parents[intent.id] = _Parent(intent=intent, decided_ns=block.ts_ns, predicted_bps=predicted)


def _note_fill(book: TcaBook, fill: OrderFilled) -> None:
    parent = book.parents.get(fill.intent)
    if parent is None:
        return
    family, revision = execution_family(fill.exec_id)
    known = parent.fills.get(family)
    if known is not None and execution_family(known.fill.exec_id)[1] >= revision:
        return
    # A correction changes price or quantity, not when it happened: the marks stay.
    parent.fills[family] = _Fill(fill, {} if known is None else known.marks)
    book.parent_of[family] = fill.intent


def _note_mark(book: TcaBook, mark: MarkSeen, ts_ns: int, quote_age_s_max: float) -> None:
    if mark.offset_s == EXPIRY:
        parent = book.parents.get(mark.reference)
        if parent is not None and _sound(mark, parent.intent.expires_ns, quote_age_s_max):
            parent.end = mark
        return
    family = execution_family(mark.reference)[0]
    parent = book.parents.get(book.parent_of.get(family, ""))
    if parent is None or mark.offset_s not in MARK_OFFSETS_S:
        return
    record = parent.fills[family]
    due_ns = min(ts_ns, record.fill.ts_ns + mark.offset_s * NANOS_PER_SECOND)
    if mark.offset_s not in record.marks and _sound(mark, due_ns, quote_age_s_max):
        record.marks[mark.offset_s] = mark.bid_nano + mark.ask_nano


def _sound(mark: MarkSeen, due_ns: int, quote_age_s_max: float) -> bool:
    """Return whether a mark was seen, has two sides in order, and was not stale at its instant."""
    two_sided = 0 < mark.bid_nano <= mark.ask_nano
    return two_sided and due_ns - mark.quote_ts_ns <= quote_age_s_max * NANOS_PER_SECOND


def _twice_mid(quote: QuoteSeen | None) -> TwiceMid | None:
    return quote.bid_nano + quote.ask_nano if quote is not None and 0 < quote.bid_nano <= quote.ask_nano else None


def _parent(book: TcaBook, record: _Parent) -> Parent:
    intent, sent, refused = record.intent, record.sent, record.refused
    sent_mid = None if sent is None else _twice_mid(sent.quote)
    spread = math.nan
    if sent is not None and sent_mid is not None:
        spread = (sent.quote.ask_nano - sent.quote.bid_nano) / sent_mid * 2e4
    return Parent(
        intent=intent.id,
        symbol=intent.symbol,
        buy=intent.side is Side.BUY,
        horizon_minutes=intent.horizon_minutes,
        quantity_micro=intent.quantity_micro,
        arrival_mid_nano=intent.arrival_mid_nano,
        decided_ns=record.decided_ns,
        expires_ns=intent.expires_ns,
        alpha_bps=intent.alpha_bps,
        predicted_bps=record.predicted_bps,
        sent_ns=None if sent is None else sent.ts_ns,
        sent_mid=sent_mid,
        sent_spread_bps=spread,
        refused="" if refused is None else refused.reason,
        refused_mid=None if refused is None else _twice_mid(refused.quote),
        end_mid=None if record.end is None else record.end.bid_nano + record.end.ask_nano,
        fills=tuple(
            Fill(
                ts_ns=item.fill.ts_ns,
                price_nano=item.fill.price_nano,
                quantity_micro=item.fill.quantity_micro,
                fee_nano=book.fees.get(family),
                marks=dict(item.marks),
            )
            for family, item in record.fills.items()
        ),
    )
