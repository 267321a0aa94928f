"""Owns what the rotation remembers of the account over sessions: settled cash, day trades, orders and the rebalance.

All of it is folded from the log: executions, fees, orders and the broker's readings. Our own settled cash begins with
the broker's reading, follows every execution, and takes the broker's reading over again whenever nothing waits for
settlement and nothing has been traded in the session: dividends, interest and deposits come in only this way. Between
two such readings the smaller of the two counts, so a day on which the exchange trades and banks do not settle is safe.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from walstreet.domain import day_trades, settlement
from walstreet.domain.daily_bars import date_of_ns
from walstreet.domain.day_trades import DayTrades
from walstreet.domain.ledger import Ledger
from walstreet.domain.settlement import SettlementBook
from walstreet.domain.units import DAY_NS
from walstreet_events import (
    QUANTITY_SCALE,
    AccountValues,
    AnyEvent,
    OrderCommission,
    OrderFilled,
    OrderSubmitting,
    RotationDecision,
    SessionPhase,
    SessionRef,
    Side,
)

NEXT_SESSION = "+"
"""Behind a date: sorts after the session and before every later one, which is when a sale of it settles (T+1)."""
YEAR_NS = 365 * DAY_NS
DECIDED = ("rebalance", "in_band")
"""Statuses that are the session's one rebalance."""
FEES_MAX = 10_000
"""Fees remembered for their corrections; the oldest are forgotten."""


@dataclass(slots=True, kw_only=True)
class RotationMemory:
    """The account's cash rules as the log tells them; rebuilt by replay."""

    session_date: str = ""
    close_ns: int = 0
    book: SettlementBook | None = None
    """None until the broker has named settled cash."""
    broker_settled_nano: int | None = None
    broker_ts_ns: int = 0
    """Time of that reading."""
    trades: DayTrades | None = None
    orders: dict[str, bool] = field(default_factory=dict)
    """Intents of the session that became orders; a sell in two children is one order."""
    traded: bool = False
    """Whether anything was executed in the session."""
    rebalance: str = ""
    """Id of the session's rebalance; empty before it."""
    taken_over_nano: int = 0
    """What the broker's readings added to our own count so far: dividends, interest, deposits."""
    fees: dict[str, int] = field(default_factory=dict)

    def canonical(self) -> tuple[object, ...]:
        """Return everything as plain values in a fixed order, for the digest of the state."""
        return (
            self.session_date,
            self.close_ns,
            self.book,
            self.broker_settled_nano,
            self.broker_ts_ns,
            self.trades,
            list(self.orders),
            self.traded,
            self.rebalance,
            self.taken_over_nano,
            list(self.fees.items()),
        )


def note(memory: RotationMemory, event: AnyEvent, ledger: Ledger) -> None:
    """Fold one fact; ``ledger`` does not contain it yet, so that a repeated execution is recognised."""
    match event:
        case SessionRef() | SessionPhase():
            _session(memory, event.session_date, event.close_ns)
        case AccountValues():
            _account(memory, event)
        case OrderSubmitting():
            memory.orders[event.intent] = True
        case OrderFilled() if not ledger.knows(event.exec_id):
            _fill(memory, event, ledger.position_micro(event.symbol))
        case OrderCommission():
            _fee(memory, event)
        case RotationDecision() if event.status in DECIDED and event.session_date == memory.session_date:
            memory.rebalance = event.id
        case _:
            pass


def _session(memory: RotationMemory, session_date: str, close_ns: int) -> None:
    memory.close_ns = close_ns
    if session_date <= memory.session_date:
        return
    memory.session_date = session_date
    memory.orders, memory.traded, memory.rebalance = {}, False, ""
    trades = memory.trades or DayTrades(session=session_date)
    memory.trades = day_trades.begin_session(trades, session_date)
    if memory.book is not None:
        memory.book = settlement.begin_session(memory.book, session_date)
    _take_over(memory)


def _account(memory: RotationMemory, event: AccountValues) -> None:
    memory.broker_settled_nano, memory.broker_ts_ns = event.settled_cash_nano, event.ts_ns
    _take_over(memory)


def _take_over(memory: RotationMemory) -> None:
    """Make the broker's reading of this day our own count, as long as nothing of the session can be missing in it.

    The day's first reading may come before the session is known, and no further one comes unless something changes.
    """
    settled = memory.broker_settled_nano
    if settled is None or date_of_ns(memory.broker_ts_ns) < memory.session_date or not memory.session_date:
        return
    if memory.book is None:
        memory.book = SettlementBook(session=memory.session_date, settled_nano=settled)
    elif not memory.traded and not memory.book.unsettled:
        memory.taken_over_nano += settled - memory.book.settled_nano
        memory.book = replace(memory.book, settled_nano=settled)


def _fill(memory: RotationMemory, event: OrderFilled, position_micro: int) -> None:
    memory.traded = True
    buy = event.side is Side.BUY
    signed = event.quantity_micro if buy else -event.quantity_micro
    if memory.trades is not None:
        memory.trades = day_trades.note_execution(
            memory.trades, symbol=event.symbol, position_before_micro=position_micro, signed_micro=signed
        )
    if memory.book is None or event.quantity_micro <= 0:
        return
    amount = event.price_nano * event.quantity_micro
    if buy:
        memory.book = settlement.note_buy(
            memory.book,
            symbol=event.symbol,
            quantity_micro=event.quantity_micro,
            amount_nano=-(-amount // QUANTITY_SCALE),
        )
        return
    memory.book = settlement.note_sale(
        memory.book,
        symbol=event.symbol,
        quantity_micro=event.quantity_micro,
        amount_nano=amount // QUANTITY_SCALE,
        settles=memory.session_date + NEXT_SESSION,
        free_micro=max(0, position_micro - settlement.locked_micro(memory.book, event.symbol)),
    )


def _fee(memory: RotationMemory, event: OrderCommission) -> None:
    """Take a fee from settled cash at once; the report of an execution may be corrected by a later one."""
    change = event.commission_nano - memory.fees.get(event.exec_id, 0)
    memory.fees[event.exec_id] = event.commission_nano
    if len(memory.fees) > FEES_MAX:
        del memory.fees[next(iter(memory.fees))]
    if memory.book is not None:
        memory.book = replace(memory.book, settled_nano=memory.book.settled_nano - change)
