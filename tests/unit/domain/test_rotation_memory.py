"""Owns the tests of rotation_memory: settled cash over sessions, day trades, orders and the rebalance of a session."""

from __future__ import annotations

import numpy as np

from walstreet.domain.rotation_live_parameters import RotationLiveParameters
from walstreet.domain.rotation_memory import FEES_MAX, RotationMemory, note
from walstreet.testing.rotation_world import CashAccount, dates, open_ns
from walstreet_events import PRICE_SCALE, QUANTITY_SCALE, ROOT, OrderCommission, derive_id

FIRST, SECOND, THIRD = dates(3)
DRAW = np.random.default_rng(0)


def account(cash_usd: int = 10_000) -> CashAccount:
    """Return an account at the start of the first session."""
    found = CashAccount(("A", "B"), RotationLiveParameters(), cash_usd * PRICE_SCALE)
    found.begin(FIRST)
    return found


def trade(found: CashAccount, symbol: str, shares: int, price: float = 100.0) -> None:
    """Execute an order of whole shares, sells negative."""
    found._execute(symbol, shares * QUANTITY_SCALE, price * PRICE_SCALE, 1 << 62)


def settled(found: CashAccount) -> float:
    """Return our own settled cash in USD."""
    assert found.memory.book is not None
    return found.memory.book.settled_nano / PRICE_SCALE


def test_a_sale_settles_in_the_next_session() -> None:
    """Proceeds wait for the next session; fees are gone at once."""
    found = account()
    trade(found, "A", 50)
    assert settled(found) == 10_000 - 5_000 - 0.35
    trade(found, "A", -50)
    assert settled(found) == 10_000 - 5_000 - 0.70
    found.begin(SECOND)
    assert settled(found) == 10_000 - 0.70


def test_a_dividend_comes_in_by_the_brokers_reading() -> None:
    """On a day without a trade the broker's settled cash is taken over; the difference is remembered."""
    found = account()
    found.begin(SECOND, dividend_nano=12 * PRICE_SCALE)
    assert settled(found) == 10_012
    assert found.memory.taken_over_nano == 12 * PRICE_SCALE


def test_a_reading_before_the_session_counts_from_its_begin() -> None:
    """Execution may report the account before the gateway names the session; yesterday's reading does not count."""
    found = account()
    found.cash_nano += 12 * PRICE_SCALE
    found.tell(open_ns(SECOND) - 3_600 * 10**9)
    assert settled(found) == 10_012, "the first session has neither ended nor traded"
    late = account()
    trade(late, "A", 10)
    late.cash_nano += 12 * PRICE_SCALE
    late.tell(open_ns(SECOND) - 3_600 * 10**9)
    assert settled(late) == 10_000 - 1_000 - 0.35
    note(late.memory, late.session(SECOND), late.ledger)
    assert settled(late) == 10_012 - 1_000 - 0.35


def test_a_reading_after_a_trade_changes_nothing() -> None:
    """Once something was traded in the session our own count goes on by itself: readings may lag behind executions."""
    found = account()
    trade(found, "A", 10)
    found.cash_nano += 500 * PRICE_SCALE
    found.tell(1 << 61)
    assert settled(found) == 10_000 - 1_000 - 0.35
    assert found.memory.broker_settled_nano == found.settled_nano


def test_a_round_trip_is_a_day_trade_and_a_session_forgets_its_orders() -> None:
    """Bought and sold within a session counts once; the next session begins without orders and rebalance."""
    found = account()
    trade(found, "A", 10)
    trade(found, "A", -10)
    assert found.memory.trades is not None
    assert found.memory.trades.total == 1
    found.memory.rebalance = "r"
    found.begin(SECOND)
    assert (found.memory.rebalance, found.memory.orders, found.memory.traded) == ("", {}, False)
    assert found.memory.trades.total == 1


def test_nothing_is_known_before_the_broker_has_spoken() -> None:
    """Without a reading of settled cash there is no book, whatever is executed."""
    found = CashAccount(("A",), RotationLiveParameters(), 0)
    trade(found, "A", 1)
    assert found.memory.book is None


def test_a_corrected_fee_counts_once() -> None:
    """A later report of the same execution replaces the earlier one; the memory of fees is bounded."""
    found = account()
    memory: RotationMemory = found.memory
    for fee in (0, 2, 1):
        note(memory, _fee("e1", fee), found.ledger)
    assert settled(found) == 9_999
    for index in range(FEES_MAX + 5):
        note(memory, _fee(f"x{index}", 0), found.ledger)
    assert len(memory.fees) == FEES_MAX


def _fee(exec_id: str, usd: int) -> OrderCommission:
    return OrderCommission(
        id=derive_id(exec_id, "fee", usd),
        cause=ROOT,
        ts_ns=0,
        exec_id=exec_id,
        symbol="A",
        commission_nano=usd * PRICE_SCALE,
        realized_pnl_nano=None,
    )
