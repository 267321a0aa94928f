"""Owns the account's virtual books as the TAPE tells them: opening, crossings, executions and fees, in exact integers.

The same fold serves the arbiter, which writes the divisions, and whoever reads them for a status. The sum of the books
is the ledger's position at all times, and the sum of their fees the ledger's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from walstreet.domain.fill_allocation import ParentShares, allocate_fill, apportion, parent_shares
from walstreet.domain.ledger import Ledger
from walstreet.domain.reconcile import execution_family
from walstreet.domain.virtual_books import (
    HOUSE,
    BookBreak,
    VirtualBook,
    VirtualBooks,
    book_breaks,
    note_fill,
)
from walstreet_events import (
    QUANTITY_SCALE,
    AccountPlan,
    AnyEvent,
    FeeAllocated,
    FillAllocated,
    OrderCommission,
    OrderFilled,
    Positions,
    Side,
    derive_id,
    tag_of,
)

FILLS_MAX = 200_000
"""Divided executions remembered for their fees and corrections, as many as the ledger knows; the oldest go first."""
PARENTS_MAX = 100_000
"""Parents of the account whose executions may still come; the oldest go first."""


@dataclass(slots=True, kw_only=True)
class AccountBooks:
    """Virtual books and what their next change needs."""

    opening: str = HOUSE
    """Whose book takes what stood at the beginning."""
    ledger: Ledger = field(default_factory=Ledger)
    """The account's, as the broker's facts give it."""
    books: VirtualBooks = field(default_factory=VirtualBooks)
    parents: dict[str, ParentShares] = field(default_factory=dict)
    """By the account's intent."""
    fills: dict[str, FillAllocated] = field(default_factory=dict)
    """The newest version of each execution, by its id without revision."""
    fees: dict[str, FeeAllocated] = field(default_factory=dict)
    """By execution id."""

    def canonical(self) -> tuple[object, ...]:
        """Return the content for a digest."""
        return (
            self.ledger.canonical(),
            self.books.canonical(),
            [(key, item.strategies, item.wanted_micro, item.filled_micro) for key, item in self.parents.items()],
            [(key, item.id) for key, item in self.fills.items()],
            [(key, item.id) for key, item in self.fees.items()],
        )

    def position_micro(self, strategy: str, symbol: str) -> int:
        """Return one book's position."""
        return self.books.of(strategy, symbol).position_micro

    def breaks(self) -> tuple[BookBreak, ...]:
        """Return where the books do not sum to the ledger; nowhere, unless an event is missing."""
        held = {symbol: self.ledger.position_micro(symbol) for symbol in self.ledger.books}
        return book_breaks(self.books, held)


# --------------------------------------------------------------------------------------------------- folding


def fold(state: AccountBooks, event: AnyEvent) -> None:
    """Fold one event; those that do not concern the books change nothing."""
    match event:
        case Positions():
            opened = state.ledger.opened
            state.ledger.apply(event)
            if not opened:
                _open(state)
        case AccountPlan():
            _plan(state, event)
        case FillAllocated():
            _fill(state, event)
        case FeeAllocated():
            _fee(state, event)
        case _:
            state.ledger.apply(event)


def _open(state: AccountBooks) -> None:
    """Give everything that stands now to the opening's book; executions seen before it count as part of it."""
    ledger = state.ledger
    state.books = VirtualBooks(
        books={
            (state.opening, symbol): VirtualBook(
                position_micro=book.position_micro,
                basis_exact=book.basis_exact,
                realized_exact=book.realized_exact,
                commission_nano=book.commission_nano,
            )
            for symbol, book in sorted(ledger.books.items())
        }
    )
    for _, fill in ledger.executions.values():
        if ledger.positions_ts_ns is not None and fill.ts_ns > ledger.positions_ts_ns:
            key = (state.opening, fill.symbol)
            book = state.books.books[key]
            state.books.books[key] = replace(book, cash_exact=book.cash_exact - _signed(fill) * fill.price_nano)
            _remember(state, _divided(fill, (state.opening,), (_signed(fill),), ""))


def _plan(state: AccountBooks, plan: AccountPlan) -> None:
    for planned in plan.symbols:
        strategies = tuple(share.strategy for share in planned.shares)
        state.books = note_fill(
            state.books,
            symbol=planned.symbol,
            strategies=strategies,
            signed_micro=tuple(share.crossed_micro for share in planned.shares),
            price_nano=planned.price_nano,
        )
        if planned.intent:
            wanted = tuple(share.parent_micro for share in planned.shares)
            state.parents[planned.intent] = parent_shares(strategies, wanted)
    while len(state.parents) > PARENTS_MAX:
        del state.parents[next(iter(state.parents))]


def _fill(state: AccountBooks, event: FillAllocated) -> None:
    earlier = state.fills.get(execution_family(event.exec_id)[0])
    if event.replaces and earlier is not None:
        state.books = note_fill(
            state.books,
            symbol=earlier.symbol,
            strategies=earlier.strategies,
            signed_micro=tuple(-part for part in earlier.signed_micro),
            price_nano=earlier.price_nano,
        )
        _count(state, earlier, -1)
    state.books = note_fill(
        state.books,
        symbol=event.symbol,
        strategies=event.strategies,
        signed_micro=event.signed_micro,
        price_nano=event.price_nano,
    )
    _count(state, event, 1)
    _remember(state, event)


def _count(state: AccountBooks, event: FillAllocated, direction: int) -> None:
    parents = state.parents.get(event.intent)
    if parents is not None:
        state.parents[event.intent] = _moved(parents, event, direction)


def _moved(parents: ParentShares, event: FillAllocated, direction: int) -> ParentShares:
    got = dict(zip(event.strategies, event.signed_micro, strict=True))
    filled = (
        max(0, before + direction * abs(got.get(strategy, 0)))
        for strategy, before in zip(parents.strategies, parents.filled_micro, strict=True)
    )
    return replace(parents, filled_micro=tuple(filled))


def _remember(state: AccountBooks, event: FillAllocated) -> None:
    state.fills[execution_family(event.exec_id)[0]] = event
    while len(state.fills) > FILLS_MAX:
        del state.fills[next(iter(state.fills))]


def _fee(state: AccountBooks, event: FeeAllocated) -> None:
    earlier = state.fees.get(event.exec_id)
    changes = dict(zip(event.strategies, event.fee_nano, strict=True))
    for strategy, fee in zip(earlier.strategies, earlier.fee_nano, strict=True) if earlier else ():
        changes[strategy] = changes.get(strategy, 0) - fee
    books = dict(state.books.books)
    for strategy, change in changes.items():
        if change:
            book = state.books.of(strategy, event.symbol)
            books[strategy, event.symbol] = replace(book, commission_nano=book.commission_nano + change)
    state.books = VirtualBooks(books=books)
    state.fees[event.exec_id] = event
    while len(state.fees) > FILLS_MAX:
        del state.fees[next(iter(state.fees))]


# ------------------------------------------------------------------------------------------------- deciding


def divide_fill(state: AccountBooks, fill: OrderFilled) -> FillAllocated | None:
    """Return how an execution is divided, given the state whose ledger holds it; None where it changes no book."""
    opened_ns = state.ledger.positions_ts_ns
    if opened_ns is None or fill.ts_ns <= opened_ns:
        return None
    family, revision = execution_family(fill.exec_id)
    earlier = state.fills.get(family)
    if earlier is not None and execution_family(earlier.exec_id)[1] >= revision:
        return None
    replaces = earlier.exec_id if earlier is not None else ""
    parents = state.parents.get(fill.intent)
    if parents is None:
        return _divided(fill, (HOUSE,), (_signed(fill),), replaces)
    if earlier is not None:
        parents = _moved(parents, earlier, -1)
    sign = 1 if fill.side is Side.BUY else -1
    parts = tuple(sign * part for part in _in_lots(parents, fill.quantity_micro))
    return _divided(fill, parents.strategies, parts, replaces)


def _in_lots(parents: ParentShares, quantity_micro: int) -> tuple[int, ...]:
    """Return a fill's parts; whole shares stay whole, or a book could keep a fraction that nobody can sell."""
    if quantity_micro == 0:
        return (0,) * len(parents.strategies)
    lot = lot_of((quantity_micro, *parents.wanted_micro, *parents.filled_micro))
    scaled = replace(
        parents,
        wanted_micro=tuple(wanted // lot for wanted in parents.wanted_micro),
        filled_micro=tuple(filled // lot for filled in parents.filled_micro),
    )
    _, got = allocate_fill(scaled, quantity_micro // lot)
    return tuple(part * lot for part in got)


def lot_of(quantities_micro: tuple[int, ...]) -> int:
    """Return the unit in which quantities are divided: whole shares where all are whole."""
    return QUANTITY_SCALE if all(quantity % QUANTITY_SCALE == 0 for quantity in quantities_micro) else 1


def divide_fee(state: AccountBooks, fee: OrderCommission) -> FeeAllocated | None:
    """Return how the fee of an execution is divided; None where this report says nothing new."""
    fill = state.fills.get(execution_family(fee.exec_id)[0])
    known = state.fees.get(fee.exec_id)
    if known is not None and sum(known.fee_nano) == fee.commission_nano:
        return None
    strategies: tuple[str, ...] = (HOUSE,)
    parts: tuple[int, ...] = (fee.commission_nano,)
    if fill is not None and any(fill.signed_micro):
        sign = -1 if fee.commission_nano < 0 else 1
        strategies = fill.strategies
        parts = tuple(
            sign * part for part in apportion(abs(fee.commission_nano), [abs(part) for part in fill.signed_micro])
        )
    return FeeAllocated(
        id=derive_id(fee.id, tag_of(FeeAllocated), 0),
        cause=fee.id,
        ts_ns=fee.ts_ns,
        exec_id=fee.exec_id,
        symbol=fee.symbol,
        strategies=strategies,
        fee_nano=parts,
    )


def _signed(fill: OrderFilled) -> int:
    return fill.quantity_micro if fill.side is Side.BUY else -fill.quantity_micro


def _divided(fill: OrderFilled, strategies: tuple[str, ...], parts: tuple[int, ...], replaces: str) -> FillAllocated:
    return FillAllocated(
        id=derive_id(fill.id, tag_of(FillAllocated), 0),
        cause=fill.id,
        ts_ns=fill.ts_ns,
        exec_id=fill.exec_id,
        client_order_id=fill.client_order_id,
        intent=fill.intent,
        symbol=fill.symbol,
        price_nano=fill.price_nano,
        strategies=strategies,
        signed_micro=parts,
        replaces=replaces,
    )
