"""Owns a small world for tests of the live rotation: daily bars from random walks, and an account that trades them.

The account is an oracle of its own: it counts settled cash the plain way, day by day, beside the books under test.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from walstreet.domain.daily_bars import EPOCH_ORDINAL, usd_table
from walstreet.domain.ledger import Ledger
from walstreet.domain.rotation_live import decision_event
from walstreet.domain.rotation_live_parameters import RotationLiveParameters
from walstreet.domain.rotation_memory import RotationMemory, note
from walstreet.domain.rotation_plan import AccountView, RotationPlan, plan_rotation
from walstreet.domain.units import DAY_NS, MINUTE_NS, FloatArray
from walstreet.research.swing_types import SwingBars
from walstreet_events import (
    PRICE_SCALE,
    QUANTITY_SCALE,
    ROOT,
    AccountValues,
    AnyEvent,
    DailyBars,
    EventId,
    Mode,
    OrderCommission,
    OrderFilled,
    OrderSubmitting,
    Position,
    Positions,
    QuoteSeen,
    RotationDecision,
    SessionRef,
    Side,
    derive_id,
    int_block,
    tag_of,
)

FIRST_DAY = dt.date(2024, 1, 1)
SESSION_NS = 390 * MINUTE_NS
LEAD_NS = 5 * MINUTE_NS
ORDER_FEE_NANO = PRICE_SCALE * 35 // 100


def random_prices(seed: int, *, days: int, symbols: int) -> dict[str, FloatArray]:
    """Return (T, S) open, high, low and close in USD with drifts that change, in whole cents."""
    draw = np.random.default_rng(seed)
    drift = np.repeat(draw.normal(0.0, 0.004, size=(days // 10 + 1, symbols)), 10, axis=0)[:days]
    close = 100.0 * np.exp(np.cumsum(drift + draw.normal(0.0, 0.01, size=(days, symbols)), axis=0))
    opened = close * (1.0 + draw.normal(0.0, 0.003, size=close.shape))
    high = np.maximum(opened, close) * (1.0 + draw.uniform(0.0, 0.01, size=close.shape))
    low = np.minimum(opened, close) * (1.0 - draw.uniform(0.0, 0.01, size=close.shape))
    tables = {"open": opened, "high": high, "low": low, "close": close}
    rounded = {name: np.maximum(np.round(table, 2), 0.01) for name, table in tables.items()}
    return rounded | {
        "high": np.maximum.reduce(list(rounded.values())),
        "low": np.minimum.reduce(list(rounded.values())),
    }


def dates(count: int) -> tuple[str, ...]:
    """Return ISO dates of consecutive days."""
    return tuple((FIRST_DAY + dt.timedelta(days=offset)).isoformat() for offset in range(count))


def open_ns(date: str) -> int:
    """Return the open of the session on a date: 14:30 UTC."""
    return (dt.date.fromisoformat(date).toordinal() - EPOCH_ORDINAL) * DAY_NS + 870 * MINUTE_NS


def daily_bars_of(prices: dict[str, FloatArray], symbols: tuple[str, ...], row: int) -> DailyBars:
    """Return the block of the session in ``row``: everything before it, and its own bar as the provisional one."""
    every = dates(row + 1)
    ts_ns = open_ns(every[-1]) + SESSION_NS - LEAD_NS
    tables = {
        f"{name}_nano": int_block(np.nan_to_num(np.round(table[: row + 1] * PRICE_SCALE)).astype(np.int64))
        for name, table in prices.items()
    }
    return DailyBars(
        id=derive_id(f"daily:{every[-1]}", tag_of(DailyBars), 0),
        cause=ROOT,
        ts_ns=ts_ns,
        session_date=every[-1],
        symbols=symbols,
        dates=every,
        what="ADJUSTED_LAST",
        provisional_end_ns=ts_ns,
        **tables,
    )


def research_bars(bars: DailyBars) -> SwingBars:
    """Return a block as research reads its files."""
    days = [dt.date.fromisoformat(date).toordinal() - EPOCH_ORDINAL for date in bars.dates]
    return SwingBars(
        symbols=bars.symbols,
        dates=np.array(days, dtype=np.int32),
        open=usd_table(bars.open_nano.array()),
        high=usd_table(bars.high_nano.array()),
        low=usd_table(bars.low_nano.array()),
        close=usd_table(bars.close_nano.array()),
    )


@dataclass(slots=True)
class CashAccount:
    """A broker's cash account, the log's view of it, and the days between."""

    symbols: tuple[str, ...]
    parameters: RotationLiveParameters
    cash_nano: int
    memory: RotationMemory = field(default_factory=RotationMemory)
    ledger: Ledger = field(default_factory=Ledger)
    unsettled_nano: int = 0
    shares_micro: dict[str, int] = field(default_factory=dict)
    number: int = 0
    orders: list[int] = field(default_factory=list)
    """Orders of each day."""

    def fold(self, event: AnyEvent) -> None:
        """Fold one fact as the arbiter does."""
        note(self.memory, event, self.ledger)
        self.ledger.apply(event)

    def begin(self, date: str, *, dividend_nano: int = 0) -> None:
        """Begin a session: everything has settled, and the broker says so."""
        self.unsettled_nano = 0
        self.cash_nano += dividend_nano
        opened = open_ns(date)
        self.fold(self.session(date))
        if not self.ledger.opened:
            held = tuple(
                Position(symbol=symbol, con_id=1, quantity_micro=quantity, average_cost_nano=PRICE_SCALE)
                for symbol, quantity in self.shares_micro.items()
            )
            self.fold(Positions(id=self._id("positions"), cause=ROOT, ts_ns=opened, account="DU1", positions=held))
        self.tell(opened)

    def session(self, date: str) -> SessionRef:
        """Return the reference facts of a session."""
        opened = open_ns(date)
        return SessionRef(
            id=self._id("session"),
            cause=ROOT,
            ts_ns=opened,
            session_date=date,
            open_ns=opened,
            close_ns=opened + SESSION_NS,
            symbols=self.symbols,
            bar_ns=MINUTE_NS,
            market="synthetic",
        )

    def tell(self, ts_ns: int) -> None:
        """Let the broker report the account."""
        self.fold(
            AccountValues(
                id=self._id("account"),
                cause=ROOT,
                ts_ns=ts_ns,
                account="DU1",
                net_liquidation_nano=None,
                cash_nano=self.cash_nano,
                settled_cash_nano=self.settled_nano,
                available_funds_nano=None,
                gross_position_nano=None,
                initial_margin_nano=None,
                maintenance_margin_nano=None,
            )
        )

    @property
    def settled_nano(self) -> int:
        """Return cash without the proceeds of today's sales."""
        return self.cash_nano - self.unsettled_nano

    def view(self, bars: DailyBars, *, mode: Mode = Mode.LIVE, **changes: object) -> AccountView:
        """Return what a plan is told, as the arbiter would tell it; ``changes`` replace fields."""
        prices = dict(zip(bars.symbols, bars.close_nano.array()[-1].tolist(), strict=True))
        worth = sum(quantity * prices[symbol] // QUANTITY_SCALE for symbol, quantity in self.shares_micro.items())
        fields: dict[str, Any] = {
            "session_date": self.memory.session_date,
            "close_ns": self.memory.close_ns,
            "now_ns": bars.ts_ns,
            "mode": mode,
            "reconciled": True,
            "equity_nano": self.cash_nano + worth,
            "positions_micro": dict(self.shares_micro),
            "lots_micro": dict.fromkeys(self.symbols, QUANTITY_SCALE),
            "working_micro": {},
            "halted": {},
            "external": {},
            "broker_settled_nano": self.memory.broker_settled_nano,
            "book": self.memory.book,
            "day_trades": self.memory.trades,
            "orders_today": len(self.memory.orders),
            "rebalance": derive_id(bars.id, tag_of(RotationDecision), 0),
            "rebalance_today": self.memory.rebalance,
            "year_ago": "2023-01-01",
        }
        return AccountView(**(fields | changes))

    def rebalance(self, bars: DailyBars, draw: np.random.Generator, *, slip: float, fill: float) -> RotationPlan:
        """Plan the session and let its orders fill in pieces, in any order of sides, with fees.

        Args:
            bars: Up to today.
            draw: Of the fills.
            slip: Largest adverse difference of a fill from the price that was planned with.
            fill: Probability that an order fills at all.
        """
        view = self.view(bars)
        plan = plan_rotation(bars, view, self.parameters)
        self.fold(decision_event(plan, view, bars, self.parameters, derive_id(bars.id, tag_of(RotationDecision), 0)))
        self.orders.append(len(plan.sequence))
        for column in draw.permutation(plan.sequence).tolist():
            self._work(plan, column, draw, ts_ns=bars.ts_ns, slip=slip, fill=fill)
        return plan

    def _work(
        self, plan: RotationPlan, column: int, draw: np.random.Generator, *, ts_ns: int, slip: float, fill: float
    ) -> None:
        symbol, signed = plan.symbols[column], plan.order_micro[column]
        intent = self._id("intent")
        buy = signed > 0
        self.fold(_submitting(intent, symbol, signed, plan.price_nano[column], ts_ns))
        if draw.uniform() > fill:
            return
        left = abs(signed) // QUANTITY_SCALE
        # The broker's least commission is of an order, and its first execution pays it.
        fee_nano = ORDER_FEE_NANO
        while left > 0:
            shares = int(draw.integers(1, left + 1))
            left -= shares
            change = 1.0 + slip * float(draw.uniform()) * (1.0 if buy else -1.0)
            price = plan.price_nano[column] * change
            self._execute(symbol, shares * QUANTITY_SCALE * (1 if buy else -1), price, ts_ns, fee=fee_nano)
            fee_nano = 0
            if draw.uniform() < 0.1:
                break

    def _execute(self, symbol: str, signed_micro: int, price: float, ts_ns: int, *, fee: int = ORDER_FEE_NANO) -> None:
        exec_id, price_nano = self._id("execution"), int(price)
        amount = price_nano * abs(signed_micro) // QUANTITY_SCALE
        self.shares_micro[symbol] = self.shares_micro.get(symbol, 0) + signed_micro
        self.cash_nano += (amount if signed_micro < 0 else -amount) - fee
        self.unsettled_nano += amount if signed_micro < 0 else 0
        self.fold(
            OrderFilled(
                id=self._id("filled"),
                cause=ROOT,
                ts_ns=ts_ns,
                client_order_id="",
                intent="",
                exec_id=exec_id,
                perm_id=0,
                symbol=symbol,
                con_id=1,
                side=Side.BUY if signed_micro > 0 else Side.SELL,
                price_nano=price_nano,
                quantity_micro=abs(signed_micro),
                cumulative_micro=abs(signed_micro),
            )
        )
        self.fold(
            OrderCommission(
                id=self._id("commission"),
                cause=ROOT,
                ts_ns=ts_ns,
                exec_id=exec_id,
                symbol=symbol,
                commission_nano=fee,
                realized_pnl_nano=None,
            )
        )

    def _id(self, kind: str) -> EventId:
        self.number += 1
        return derive_id(ROOT, kind, self.number)


def _submitting(intent: str, symbol: str, signed_micro: int, price_nano: int, ts_ns: int) -> OrderSubmitting:
    return OrderSubmitting(
        id=derive_id(intent, tag_of(OrderSubmitting), 0),
        cause=ROOT,
        ts_ns=ts_ns,
        intent=intent,
        client_order_id=derive_id(intent, "child", 0),
        slice_index=0,
        broker_order_id=1,
        symbol=symbol,
        con_id=1,
        side=Side.BUY if signed_micro > 0 else Side.SELL,
        quantity_micro=abs(signed_micro),
        limit_nano=price_nano,
        good_till_ns=ts_ns + MINUTE_NS,
        quote=QuoteSeen(
            bid_nano=price_nano, ask_nano=price_nano, bid_size_micro=1, ask_size_micro=1, ts_ns=ts_ns, seq=0
        ),
    )
