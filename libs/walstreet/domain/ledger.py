"""Owns our own books: positions, cash and realised profit from executions, in exact integers.

Opening positions come from the first ``Positions`` event, opening cash from the first ``AccountValues`` that names
cash; later ones are checks for the reconciler and change nothing here, unless a ``LedgerCorrection`` on the log takes
the broker's word over. Executions at or before an opening's time
are part of it. An execution counts once, by its id; the broker corrects one by sending its four-part id again with a
higher last part, which takes back the earlier version. All products are kept exactly in price times quantity units
(1e-15 USD), so neither order nor number of fills changes a sum. Realised profit uses the average cost; the part of
the basis that a closing trade releases is rounded down and the rest stays in the basis, so nothing is lost.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import msgspec

from walstreet.domain.corrections import corrected_fill
from walstreet_events import (
    QUANTITY_SCALE,
    AccountValues,
    AnyEvent,
    LedgerCorrection,
    OrderCommission,
    OrderCorrected,
    OrderFilled,
    Positions,
    Side,
)

EXECUTIONS_REMEMBERED_MAX = 200_000
"""Oldest ids are forgotten beyond it; the broker reports executions of a few days at most."""
EARLY_FILLS_MAX = 10_000
"""Executions that may be seen before the opening facts arrive."""
EXECUTION_ID_PARTS = 4
"""Parts of a broker's execution id; the last one is the revision."""

assert EARLY_FILLS_MAX < EXECUTIONS_REMEMBERED_MAX

_encoder = msgspec.msgpack.Encoder(order="deterministic")


@dataclass(slots=True, kw_only=True)
class Book:
    """One symbol's position; ``*_exact`` values are in price-nano times quantity-micro units (1e-15 USD)."""

    position_micro: int = 0
    basis_exact: int = 0
    """What the open position cost, signed like the position, without commissions."""
    realized_exact: int = 0
    """Without commissions."""
    commission_nano: int = 0
    mark_nano: int = 0
    """Price of the last execution, or the opening's average cost; 0 when unknown."""


@dataclass(slots=True, kw_only=True)
class Ledger:
    """Positions and cash as our own facts give them; see the module for the rules."""

    books: dict[str, Book] = field(default_factory=dict)
    executions: dict[str, tuple[int, OrderFilled]] = field(default_factory=dict)
    """Counted or skipped executions by id without revision: revision and the fill itself."""
    commissions: dict[str, int] = field(default_factory=dict)
    """Fee counted per execution id."""
    positions_ts_ns: int | None = None
    """Time of the opening positions; None before them."""
    cash_ts_ns: int | None = None
    cash_exact: int = 0
    early_fills: list[OrderFilled] = field(default_factory=list)
    """Executions seen before both openings, whose time decides whether these contain them."""

    # ------------------------------------------------------------------------------------------ reading

    def position_micro(self, symbol: str) -> int:
        """Return the signed position, 0 for an unknown symbol."""
        book = self.books.get(symbol)
        return book.position_micro if book else 0

    @property
    def opened(self) -> bool:
        """Return whether the opening positions are known; before that positions mean nothing."""
        return self.positions_ts_ns is not None

    @property
    def cash_nano(self) -> int | None:
        """Return cash after fees, rounded down to nano; None until the broker has named an opening amount."""
        return None if self.cash_ts_ns is None else self.cash_exact // QUANTITY_SCALE

    @property
    def realized_nano(self) -> int:
        """Return realised profit of all symbols after commissions, rounded down to nano."""
        exact = sum(book.realized_exact for book in self.books.values())
        return exact // QUANTITY_SCALE - sum(book.commission_nano for book in self.books.values())

    def mark_nano(self, symbol: str) -> int:
        """Return the last price the books know for ``symbol``, 0 without one."""
        book = self.books.get(symbol)
        return book.mark_nano if book else 0

    def held(self) -> list[str]:
        """Return the symbols with a position, sorted."""
        return sorted(symbol for symbol, book in self.books.items() if book.position_micro)

    def has_execution(self, exec_id: str) -> bool:
        """Return whether this version of the execution has been taken in."""
        family, revision = _split(exec_id)
        return family in self.executions and self.executions[family][0] >= revision

    def knows(self, exec_id: str) -> bool:
        """Return whether any version of the execution has been taken in."""
        return _split(exec_id)[0] in self.executions

    def canonical(self) -> dict[str, object]:
        """Return everything as plain values in a fixed order; exact sums as text, as they exceed 64 bits."""
        return {
            "books": [
                (
                    symbol,
                    book.position_micro,
                    str(book.basis_exact),
                    str(book.realized_exact),
                    book.commission_nano,
                    book.mark_nano,
                )
                for symbol, book in sorted(self.books.items())
            ],
            "executions": [(family, entry[0], entry[1].id) for family, entry in self.executions.items()],
            "commissions": list(self.commissions.items()),
            "positions_ts_ns": self.positions_ts_ns,
            "cash_ts_ns": self.cash_ts_ns,
            "cash_exact": str(self.cash_exact),
            "early_fills": [fill.id for fill in self.early_fills],
        }

    def digest(self) -> str:
        """Return a hash of the complete ledger, equal iff the ledgers are."""
        return hashlib.sha256(_encoder.encode(self.canonical())).hexdigest()

    # ------------------------------------------------------------------------------------------ folding

    def apply(self, event: AnyEvent) -> None:
        """Fold one event; those that do not concern the books change nothing.

        Raises:
            ValueError: More executions than ``EARLY_FILLS_MAX`` came before the opening facts.
        """
        if isinstance(event, OrderFilled):
            self._fill(event)
        elif isinstance(event, OrderCorrected):
            self._fill(corrected_fill(event))
        elif isinstance(event, OrderCommission):
            self._commission(event)
        elif isinstance(event, LedgerCorrection):
            self._correct(event)
        elif isinstance(event, Positions) and self.positions_ts_ns is None:
            self._open_positions(event)
        elif isinstance(event, AccountValues) and self.cash_ts_ns is None and event.cash_nano is not None:
            self._open_cash(event.ts_ns, event.cash_nano)

    def _open_positions(self, event: Positions) -> None:
        self.positions_ts_ns = event.ts_ns
        for position in event.positions:
            self.books[position.symbol] = Book(
                position_micro=position.quantity_micro,
                basis_exact=position.quantity_micro * position.average_cost_nano,
                mark_nano=position.average_cost_nano,
            )
        for fill in self.early_fills:
            if fill.ts_ns > event.ts_ns:
                self._trade(fill, 1)
        self._forget_early()

    def _open_cash(self, ts_ns: int, cash_nano: int) -> None:
        self.cash_ts_ns = ts_ns
        # Fees are dated by their execution, because a report may come much later than the cash it lowered.
        self.cash_exact = cash_nano * QUANTITY_SCALE
        for fill in self.early_fills:
            if fill.ts_ns > ts_ns:
                self.cash_exact += _cash_flow(fill)
                self.cash_exact -= self.commissions.get(fill.exec_id, 0) * QUANTITY_SCALE
        self._forget_early()

    def _forget_early(self) -> None:
        if self.positions_ts_ns is not None and self.cash_ts_ns is not None:
            self.early_fills = []

    def _fill(self, fill: OrderFilled, *, replaces: bool = False) -> None:
        """Count an execution once; one that ``replaces`` takes the place of the same version too."""
        family, revision = _split(fill.exec_id)
        earlier = self.executions.get(family)
        if earlier is not None and (earlier[0] > revision or (earlier[0] == revision and not replaces)):
            return
        if earlier is not None:
            self._count(earlier[1], -1)
        self.executions[family] = (revision, fill)
        self._count(fill, 1)
        if len(self.executions) > EXECUTIONS_REMEMBERED_MAX:
            oldest = next(iter(self.executions))
            _, forgotten = self.executions.pop(oldest)
            self.commissions.pop(forgotten.exec_id, None)

    def _count(self, fill: OrderFilled, direction: int) -> None:
        if self.positions_ts_ns is None or self.cash_ts_ns is None:
            if direction < 0:
                self.early_fills = [known for known in self.early_fills if known.exec_id != fill.exec_id]
            elif len(self.early_fills) >= EARLY_FILLS_MAX:
                raise ValueError(
                    f"execution {fill.exec_id} is number {EARLY_FILLS_MAX + 1} before the opening positions and cash; "
                    "execution must journal the account before it journals executions"
                )
            else:
                self.early_fills.append(fill)
        if self.positions_ts_ns is not None and fill.ts_ns > self.positions_ts_ns:
            self._trade(fill, direction)
        if self.cash_ts_ns is not None and fill.ts_ns > self.cash_ts_ns:
            self.cash_exact += direction * _cash_flow(fill)

    def _trade(self, fill: OrderFilled, direction: int) -> None:
        signed = direction * (fill.quantity_micro if fill.side is Side.BUY else -fill.quantity_micro)
        book = self.books.setdefault(fill.symbol, Book())
        held = book.position_micro
        closing = min(abs(signed), abs(held)) if held * signed < 0 else 0
        if closing:
            released = book.basis_exact * closing // abs(held)
            proceeds = closing * fill.price_nano * (1 if held > 0 else -1)
            book.realized_exact += proceeds - released
            book.basis_exact -= released
        opening = (abs(signed) - closing) * (1 if signed > 0 else -1)
        book.basis_exact += opening * fill.price_nano
        book.position_micro += signed
        book.mark_nano = fill.price_nano

    def _correct(self, event: LedgerCorrection) -> None:
        if event.execution is not None:
            self._fill(execution_as_fill(event), replaces=True)
        if event.position_change_micro:
            self._transfer(event.symbol, event.position_change_micro, event.average_cost_nano)
        self.cash_exact += event.cash_change_nano * QUANTITY_SCALE

    def _transfer(self, symbol: str, change_micro: int, cost_nano: int) -> None:
        """Move a position without a trade: what leaves takes its share of the basis along and realises nothing."""
        book = self.books.setdefault(symbol, Book())
        held = book.position_micro
        closing = min(abs(change_micro), abs(held)) if held * change_micro < 0 else 0
        if closing:
            book.basis_exact -= book.basis_exact * closing // abs(held)
        book.basis_exact += (abs(change_micro) - closing) * (1 if change_micro > 0 else -1) * cost_nano
        book.position_micro += change_micro
        book.mark_nano = book.mark_nano or cost_nano

    def _commission(self, event: OrderCommission) -> None:
        counted = self.commissions.get(event.exec_id)
        if counted == event.commission_nano:
            return
        # A later report of the same execution corrects the earlier one (brokers first report 0, then the fee).
        change = event.commission_nano - (counted or 0)
        self.commissions[event.exec_id] = event.commission_nano
        self.books.setdefault(event.symbol, Book()).commission_nano += change
        family, _ = _split(event.exec_id)
        known = self.executions.get(family)
        executed_ns = known[1].ts_ns if known else event.ts_ns
        if self.cash_ts_ns is not None and executed_ns > self.cash_ts_ns:
            self.cash_exact -= change * QUANTITY_SCALE


def execution_as_fill(event: LedgerCorrection) -> OrderFilled:
    """Return the execution that a correction takes over in the form in which the log tells executions."""
    execution = event.execution
    assert execution is not None, "a correction of an execution carries it"
    return OrderFilled(
        id=event.id,
        cause=event.cause,
        ts_ns=execution.ts_ns,
        client_order_id=execution.order_ref,
        intent="",
        exec_id=execution.exec_id,
        perm_id=execution.perm_id,
        symbol=execution.symbol,
        con_id=0,
        side=Side(execution.side),
        price_nano=execution.price_nano,
        quantity_micro=execution.quantity_micro,
        cumulative_micro=0,
    )


def _cash_flow(fill: OrderFilled) -> int:
    amount = fill.price_nano * fill.quantity_micro
    return -amount if fill.side is Side.BUY else amount


def _split(exec_id: str) -> tuple[str, int]:
    """Return an execution id without its revision, and the revision (0 for ids of another form)."""
    parts = exec_id.rsplit(".", 1)
    if exec_id.count(".") == EXECUTION_ID_PARTS - 1 and parts[1].isdecimal():
        return parts[0], int(parts[1])
    return exec_id, 0
