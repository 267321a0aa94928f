"""Owns what a cash account's books say about settlement: settled cash, unsettled proceeds, good-faith violations.

A sale's proceeds settle on the next trading day (T+1); a purchase is paid from settled cash first, and what is bought
with proceeds that have not settled must be held until they have. Selling it earlier is a good-faith violation
(Regulation T, 12 CFR 220.8). Session dates are ISO text and compare as such; the exchange's calendar, which says when a
sale settles, is the caller's. All amounts are exact integers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

UNSETTLED_MAX = 10_000
"""Sales and lots that wait for settlement; with five orders a day two sessions hold ten."""
VIOLATIONS_MAX = 1_000
"""The newest are kept; a broker closes the account long before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proceeds:
    """What a sale brought and when it settles."""

    settles: str
    amount_nano: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FundedLot:
    """A purchase that was paid with proceeds which settle on a later day."""

    symbol: str
    quantity_micro: int
    settles: str
    """When the last of the proceeds behind it settles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A good-faith violation; the executions of one symbol's sale in one session are one."""

    session: str
    symbol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementBook:
    """Cash by settlement, and purchases that must not be sold yet; a value."""

    session: str
    settled_nano: int
    """May be negative only if more was bought than there was, which the guard prevents."""
    unsettled: tuple[Proceeds, ...] = ()
    """By day of settlement."""
    lots: tuple[FundedLot, ...] = ()
    violations: tuple[Violation, ...] = ()
    """Oldest first."""

    @property
    def unsettled_nano(self) -> int:
        """Return the proceeds that have not settled."""
        return sum(item.amount_nano for item in self.unsettled)


def begin_session(book: SettlementBook, session: str) -> SettlementBook:
    """Return the book on ``session``, with everything settled that settles by then.

    Raises:
        ValueError: The date runs backwards.
    """
    if session < book.session:
        raise ValueError(f"settlement: session {session} cannot follow {book.session}; dates must ascend")
    due = sum(item.amount_nano for item in book.unsettled if item.settles <= session)
    return replace(
        book,
        session=session,
        settled_nano=book.settled_nano + due,
        unsettled=tuple(item for item in book.unsettled if item.settles > session),
        lots=tuple(lot for lot in book.lots if lot.settles > session),
    )


def note_buy(book: SettlementBook, *, symbol: str, quantity_micro: int, amount_nano: int) -> SettlementBook:
    """Return the book after a purchase for ``amount_nano`` with its fee; unsettled proceeds pay what is missing."""
    _require_positive(symbol, quantity_micro, amount_nano)
    missing = amount_nano - max(0, min(amount_nano, book.settled_nano))
    after = replace(book, settled_nano=book.settled_nano - (amount_nano - missing))
    rest: list[Proceeds] = []
    settles = ""
    for item in after.unsettled:
        used = min(missing, item.amount_nano)
        missing -= used
        settles = item.settles if used else settles
        if item.amount_nano > used:
            rest.append(replace(item, amount_nano=item.amount_nano - used))
    # What nothing covers is a debt; it is kept in sight as negative settled cash.
    after = replace(after, unsettled=tuple(rest), settled_nano=after.settled_nano - missing)
    if not settles:
        return after
    lot = FundedLot(symbol=symbol, quantity_micro=quantity_micro, settles=settles)
    return _bounded(replace(after, lots=(*after.lots, lot)))


def note_sale(
    book: SettlementBook, *, symbol: str, quantity_micro: int, amount_nano: int, settles: str, free_micro: int
) -> SettlementBook:
    """Return the book after a sale for ``amount_nano`` after its fee, which settles on session ``settles``.

    Args:
        book: Before the sale.
        symbol: What was sold.
        quantity_micro: How much.
        amount_nano: Proceeds; what settles on or before today counts at once.
        settles: ISO date of settlement.
        free_micro: What was held of the symbol besides lots that wait for settlement; it is sold first.
    """
    _require_positive(symbol, quantity_micro, amount_nano)
    early = max(0, min(quantity_micro - free_micro, locked_micro(book, symbol)))
    lots: list[FundedLot] = []
    left = early
    for lot in book.lots:
        taken = min(left, lot.quantity_micro) if lot.symbol == symbol else 0
        left -= taken
        if lot.quantity_micro > taken:
            lots.append(replace(lot, quantity_micro=lot.quantity_micro - taken))
    violation = Violation(session=book.session, symbol=symbol)
    violations = book.violations
    if early and violation not in violations:
        violations = (*violations, violation)[-VIOLATIONS_MAX:]
    after = replace(book, lots=tuple(lots), violations=violations)
    if settles <= book.session:
        return replace(after, settled_nano=after.settled_nano + amount_nano)
    proceeds = (*after.unsettled, Proceeds(settles=settles, amount_nano=amount_nano))
    return _bounded(replace(after, unsettled=tuple(sorted(proceeds, key=lambda item: item.settles))))


def locked_micro(book: SettlementBook, symbol: str) -> int:
    """Return how much of ``symbol`` was paid with proceeds that have not settled yet."""
    return sum(lot.quantity_micro for lot in book.lots if lot.symbol == symbol)


def violations_since(book: SettlementBook, first_session: str) -> int:
    """Return the good-faith violations on or after ``first_session``."""
    return sum(violation.session >= first_session for violation in book.violations)


def _require_positive(symbol: str, quantity_micro: int, amount_nano: int) -> None:
    if quantity_micro <= 0 or amount_nano < 0:
        raise ValueError(
            f"settlement: {symbol} traded {quantity_micro} micro-shares for {amount_nano} nano; "
            "the quantity must be positive and the amount not negative"
        )


def _bounded(book: SettlementBook) -> SettlementBook:
    waiting = len(book.unsettled) + len(book.lots)
    assert waiting <= UNSETTLED_MAX, f"{waiting} entries wait for settlement, at most {UNSETTLED_MAX} are possible"
    return book
