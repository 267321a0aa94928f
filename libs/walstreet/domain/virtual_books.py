"""Owns one virtual book per strategy and symbol, whose sum is the broker's position, in exact integers.

Fills reach the books divided by ``fill_allocation``; trades between strategies move shares and cash from one to the
other and sum to nothing. What no strategy stands behind (an adopted foreign order, a position from before) belongs to
the *house* book, so that the sum is always the account's. Products are kept in price times quantity units (1e-15 USD)
and profit by average cost, as in ``ledger``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from walstreet.domain.fill_allocation import apportion

HOUSE = "house"
"""The book of what no strategy stands behind; no strategy may have this name."""
BOOKS_MAX = 100_000
"""Strategies times symbols; more come from a broken universe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualBook:
    """One strategy's position in one symbol; ``*_exact`` in price-nano times quantity-micro units."""

    position_micro: int = 0
    basis_exact: int = 0
    """What the open position cost, signed like the position."""
    realized_exact: int = 0
    cash_exact: int = 0
    """Sum of all payments, without commissions."""
    commission_nano: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualBooks:
    """Books by strategy and symbol; a value."""

    books: dict[tuple[str, str], VirtualBook] = field(default_factory=dict)

    def of(self, strategy: str, symbol: str) -> VirtualBook:
        """Return one book, an empty one if nothing was traded."""
        return self.books.get((strategy, symbol), VirtualBook())

    def position_micro(self, symbol: str) -> int:
        """Return the sum over all books of ``symbol``."""
        return sum(book.position_micro for (_, name), book in self.books.items() if name == symbol)

    def canonical(self) -> tuple[tuple[object, ...], ...]:
        """Return the content for a digest, sorted; exact sums as text, as they exceed 64 bits."""
        return tuple(
            (
                strategy,
                symbol,
                book.position_micro,
                str(book.basis_exact),
                str(book.realized_exact),
                str(book.cash_exact),
                book.commission_nano,
            )
            for (strategy, symbol), book in sorted(self.books.items())
        )


def traded(book: VirtualBook, signed_micro: int, price_nano: int) -> VirtualBook:
    """Return one book after it bought (positive) or sold; a trade through zero closes, then opens."""
    held = book.position_micro
    closing = min(abs(signed_micro), abs(held)) if held * signed_micro < 0 else 0
    realized, basis = book.realized_exact, book.basis_exact
    if closing:
        released = basis * closing // abs(held)
        realized += closing * price_nano * (1 if held > 0 else -1) - released
        basis -= released
    opening = (abs(signed_micro) - closing) * (1 if signed_micro > 0 else -1)
    return replace(
        book,
        position_micro=held + signed_micro,
        basis_exact=basis + opening * price_nano,
        realized_exact=realized,
        cash_exact=book.cash_exact - signed_micro * price_nano,
    )


def _with(books: VirtualBooks, symbol: str, changed: Mapping[str, VirtualBook]) -> VirtualBooks:
    after = {**books.books, **{(strategy, symbol): book for strategy, book in changed.items()}}
    assert len(after) <= BOOKS_MAX, f"{len(after)} virtual books, at most {BOOKS_MAX} are possible"
    return VirtualBooks(books=after)


def note_fill(
    books: VirtualBooks, *, symbol: str, strategies: Sequence[str], signed_micro: Sequence[int], price_nano: int
) -> VirtualBooks:
    """Return the books after a fill, or a trade between strategies, at one price.

    Args:
        books: Before it.
        symbol: What was traded.
        strategies: Distinct names; ``HOUSE`` for what nobody stands behind.
        signed_micro: What each bought (positive) or sold.
        price_nano: The price.
    """
    changed = {
        strategy: traded(books.of(strategy, symbol), signed, price_nano)
        for strategy, signed in zip(strategies, signed_micro, strict=True)
        if signed
    }
    return _with(books, symbol, changed)


def note_commission(
    books: VirtualBooks, *, symbol: str, strategies: Sequence[str], filled_micro: Sequence[int], commission_nano: int
) -> VirtualBooks:
    """Return the books after a fee, divided by what each strategy got of the execution; a rebate is negative.

    Raises:
        ValueError: A fee for nobody.
    """
    sign = -1 if commission_nano < 0 else 1
    parts = apportion(abs(commission_nano), [abs(filled) for filled in filled_micro])
    changed = {
        strategy: replace(book := books.of(strategy, symbol), commission_nano=book.commission_nano + sign * part)
        for strategy, part in zip(strategies, parts, strict=True)
        if part
    }
    return _with(books, symbol, changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class BookBreak:
    """A symbol whose books do not sum to the broker's position."""

    symbol: str
    books_micro: int
    broker_micro: int


def book_breaks(books: VirtualBooks, broker_micro: Mapping[str, int]) -> tuple[BookBreak, ...]:
    """Return where the sum of the books is not the broker's position, sorted by symbol; absent means flat."""
    sums: dict[str, int] = dict.fromkeys(broker_micro, 0)
    for (_, symbol), book in books.books.items():
        sums[symbol] = sums.get(symbol, 0) + book.position_micro
    return tuple(
        BookBreak(symbol=symbol, books_micro=sums[symbol], broker_micro=broker_micro.get(symbol, 0))
        for symbol in sorted(sums)
        if sums[symbol] != broker_micro.get(symbol, 0)
    )


def adopt(books: VirtualBooks, found: BookBreak, price_nano: int) -> VirtualBooks:
    """Return the books after an operator let the house take a difference at ``price_nano``."""
    difference = found.broker_micro - found.books_micro
    return note_fill(books, symbol=found.symbol, strategies=(HOUSE,), signed_micro=(difference,), price_nano=price_nano)
