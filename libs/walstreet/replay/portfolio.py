"""Owns the portfolio as the TAPE tells it: positions, weights, profit, mode, and the book of every strategy.

A projection: everything in it is a function of the messages read so far, in JSON's types.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from walstreet.domain import strategy_books
from walstreet.domain.strategy_books import AccountBooks
from walstreet.domain.virtual_books import HOUSE, VirtualBook
from walstreet_events import (
    PRICE_SCALE,
    QUANTITY_SCALE,
    AccountValues,
    AnyEvent,
    BarBlock,
    Decision,
    Mode,
    ModeState,
    OrderFilled,
    OrderRefused,
    OrderSubmitting,
    OrderUpdated,
    ReconReport,
    SessionPhase,
    SessionRef,
)

EXACT_SCALE = PRICE_SCALE * QUANTITY_SCALE
"""Units of an exact product in one USD."""


class PortfolioProjection:
    """Folds the TAPE into what a person asks of a running system."""

    def __init__(self, *, opening: str = HOUSE) -> None:
        """Start before the first message; ``opening`` as in ``strategies.opening``."""
        self._books = AccountBooks(opening=opening)
        self._account: AccountValues | None = None
        self._mode = Mode.OBSERVE
        self._mode_reason = ""
        self._session: SessionRef | None = None
        self._phase = ""
        self._price_nano: dict[str, int] = {}
        self._orders: dict[str, str] = {}
        self._refused: Counter[str] = Counter()
        self._fills = 0
        self._decisions = 0
        self._ts_ns = 0
        self._recon = ""

    def take(self, event: AnyEvent) -> None:
        """Fold the next event."""
        strategy_books.fold(self._books, event)
        self._ts_ns = max(self._ts_ns, event.ts_ns)
        match event:
            case AccountValues():
                self._account = event
            case ModeState():
                self._mode, self._mode_reason = event.mode, event.reason
            case SessionRef():
                self._session = event
            case SessionPhase():
                self._phase = event.phase.value
            case BarBlock():
                closes = zip(event.symbols, event.close_nano.array().tolist(), strict=True)
                self._price_nano.update((symbol, close) for symbol, close in closes if close > 0)
            case Decision():
                self._decisions += 1
            case OrderSubmitting():
                self._orders[event.client_order_id] = "submitting"
            case OrderUpdated() if event.client_order_id in self._orders:
                self._orders[event.client_order_id] = event.state.value
            case OrderRefused():
                self._refused[event.reason] += 1
            case OrderFilled():
                self._fills += 1
            case ReconReport():
                self._recon = event.status
            case _:
                pass

    def status(self) -> dict[str, Any]:
        """Return the account and every strategy's book; amounts in USD, None where the broker has not said."""
        account, ledger = self._account, self._books.ledger
        equity = _usd(account.net_liquidation_nano) if account else None
        positions = {
            symbol: self._position(symbol, book.position_micro, book.basis_exact, equity)
            for symbol, book in sorted(ledger.books.items())
            if book.position_micro
        }
        return {
            "time_ns": self._ts_ns,
            "session": self._session.session_date if self._session else "",
            "phase": self._phase,
            "symbols": list(self._session.symbols) if self._session else [],
            "mode": self._mode.value,
            "mode_reason": self._mode_reason,
            "equity": equity,
            "cash": _usd(account.cash_nano) if account else None,
            "positions": positions,
            "weights": {symbol: item["weight"] for symbol, item in positions.items()},
            "gross_exposure": sum(abs(item["value"]) for item in positions.values()),
            "net_exposure": sum(item["value"] for item in positions.values()),
            "realized_pnl": sum(book.realized_exact for book in ledger.books.values()) / EXACT_SCALE,
            "commission": sum(book.commission_nano for book in ledger.books.values()) / PRICE_SCALE,
            "orders": dict(Counter(self._orders.values())),
            "orders_refused": dict(self._refused),
            "fills": self._fills,
            "decisions": self._decisions,
            "reconciliation": self._recon,
            "books_agree": not self._books.breaks(),
            "strategies": {name: self._strategy(name, equity) for name in self._names()},
        }

    def _names(self) -> list[str]:
        return sorted({name for name, _ in self._books.books.books})

    def _strategy(self, name: str, equity: float | None) -> dict[str, Any]:
        books: dict[str, VirtualBook] = {
            symbol: book for (owner, symbol), book in sorted(self._books.books.books.items()) if owner == name
        }
        positions = {
            symbol: self._position(symbol, book.position_micro, book.basis_exact, equity)
            for symbol, book in books.items()
            if book.position_micro
        }
        return {
            "positions": positions,
            "gross_exposure": sum(abs(item["value"]) for item in positions.values()),
            "net_exposure": sum(item["value"] for item in positions.values()),
            "realized_pnl": sum(book.realized_exact for book in books.values()) / EXACT_SCALE,
            "unrealized_pnl": sum(item["unrealized_pnl"] for item in positions.values()),
            "commission": sum(book.commission_nano for book in books.values()) / PRICE_SCALE,
        }

    def _position(self, symbol: str, position_micro: int, basis_exact: int, equity: float | None) -> dict[str, Any]:
        price_nano = self._price_nano.get(symbol) or self._books.ledger.mark_nano(symbol)
        value = position_micro * price_nano / EXACT_SCALE
        return {
            "shares": position_micro / QUANTITY_SCALE,
            "price": price_nano / PRICE_SCALE,
            "value": value,
            "weight": value / equity if equity else None,
            "average_cost": basis_exact / position_micro / PRICE_SCALE,
            "unrealized_pnl": (position_micro * price_nano - basis_exact) / EXACT_SCALE,
        }


def _usd(nano: int | None) -> float | None:
    return None if nano is None else nano / PRICE_SCALE
