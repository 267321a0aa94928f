"""Owns the tests of the ledger."""

import pytest

from walstreet.domain import ledger as ledger_module
from walstreet.domain.ledger import Ledger
from walstreet_events import (
    PRICE_SCALE,
    QUANTITY_SCALE,
    ROOT,
    AccountValues,
    OrderCommission,
    OrderFilled,
    Position,
    Positions,
    Side,
    derive_id,
)


def fill(
    exec_id: str, side: Side, quantity: float, price: float, *, ts_ns: int = 100, symbol: str = "AAA"
) -> OrderFilled:
    """Return one execution."""
    return OrderFilled(
        id=derive_id(exec_id, "fill", 0),
        cause=ROOT,
        ts_ns=ts_ns,
        client_order_id="c",
        intent="i",
        exec_id=exec_id,
        perm_id=1,
        symbol=symbol,
        con_id=1,
        side=side,
        price_nano=round(price * PRICE_SCALE),
        quantity_micro=round(quantity * QUANTITY_SCALE),
        cumulative_micro=round(quantity * QUANTITY_SCALE),
    )


def fee(exec_id: str, usd: float, *, ts_ns: int = 101) -> OrderCommission:
    """Return one commission report."""
    return OrderCommission(
        id=derive_id(exec_id, "fee", ts_ns),
        cause=ROOT,
        ts_ns=ts_ns,
        exec_id=exec_id,
        symbol="AAA",
        commission_nano=round(usd * PRICE_SCALE),
        realized_pnl_nano=None,
    )


def positions(ts_ns: int = 10, **held: int) -> Positions:
    """Return opening positions at an average cost of $50."""
    return Positions(
        id=derive_id("positions", "p", ts_ns),
        cause=ROOT,
        ts_ns=ts_ns,
        account="DU1",
        positions=tuple(
            Position(symbol=symbol, con_id=1, quantity_micro=count * QUANTITY_SCALE, average_cost_nano=50 * PRICE_SCALE)
            for symbol, count in held.items()
        ),
    )


def account(cash_usd: int | None, ts_ns: int = 10) -> AccountValues:
    """Return account totals."""
    return AccountValues(
        id=derive_id("account", "a", ts_ns),
        cause=ROOT,
        ts_ns=ts_ns,
        account="DU1",
        net_liquidation_nano=None,
        cash_nano=None if cash_usd is None else cash_usd * PRICE_SCALE,
        settled_cash_nano=None,
        available_funds_nano=None,
        gross_position_nano=None,
        initial_margin_nano=None,
        maintenance_margin_nano=None,
    )


def opened(**held: int) -> Ledger:
    """Return a ledger with opening positions and $10,000."""
    ledger = Ledger()
    ledger.apply(positions(**held))
    ledger.apply(account(10_000))
    return ledger


def test_buy_and_sell_by_hand():
    """100 at $10, 50 sold at $12 with $1 fees each: 50 left, $9,598 cash, $98 realised."""
    ledger = opened()
    for event in (
        fill("e1", Side.BUY, 100, 10),
        fee("e1", 1),
        fill("e2", Side.SELL, 50, 12),
        fee("e2", 1),
    ):
        ledger.apply(event)
    assert ledger.position_micro("AAA") == 50 * QUANTITY_SCALE
    assert ledger.cash_nano == 9_598 * PRICE_SCALE
    assert ledger.realized_nano == 98 * PRICE_SCALE
    assert ledger.held() == ["AAA"]


def test_crossing_zero_realises_the_closed_part_only():
    """Long 100 at $50, 150 sold at $60 realise $1,000 and leave 50 short, covered at $55 for $250 more."""
    ledger = opened(AAA=100)
    ledger.apply(fill("e1", Side.SELL, 150, 60))
    assert ledger.position_micro("AAA") == -50 * QUANTITY_SCALE
    assert ledger.realized_nano == 1_000 * PRICE_SCALE
    ledger.apply(fill("e2", Side.BUY, 50, 55))
    assert ledger.realized_nano == 1_250 * PRICE_SCALE
    assert ledger.books["AAA"].basis_exact == 0


def test_an_execution_counts_once():
    """The same execution and the same fee reported again change nothing."""
    ledger = opened()
    ledger.apply(fill("e1", Side.BUY, 100, 10))
    ledger.apply(fee("e1", 1))
    digest = ledger.digest()
    ledger.apply(fill("e1", Side.BUY, 100, 10))
    ledger.apply(fee("e1", 1, ts_ns=999))
    assert ledger.digest() == digest
    assert ledger.has_execution("e1")


def test_a_correction_replaces_the_execution_it_corrects():
    """The id with a higher last part takes back the earlier version; a lower one is too late."""
    ledger = opened()
    ledger.apply(fill("0a.0b.01.01", Side.BUY, 100, 10))
    ledger.apply(fill("0a.0b.01.02", Side.BUY, 90, 10))
    ledger.apply(fill("0a.0b.01.01", Side.BUY, 100, 10))
    assert ledger.position_micro("AAA") == 90 * QUANTITY_SCALE
    assert ledger.cash_nano == 9_100 * PRICE_SCALE
    assert ledger.knows("0a.0b.01.03")
    assert not ledger.has_execution("0a.0b.01.03")


def test_a_late_fee_replaces_a_preliminary_one():
    """A fee reported as 0 and later as $1 is charged once, as $1."""
    ledger = opened()
    ledger.apply(fill("e1", Side.BUY, 1, 10))
    ledger.apply(fee("e1", 0))
    ledger.apply(fee("e1", 1))
    assert ledger.cash_nano == 9_989 * PRICE_SCALE


def test_opening_facts_contain_what_happened_before_them():
    """Executions at or before the openings' time, seen before or after them, are not counted again."""
    ledger = Ledger()
    ledger.apply(fill("old", Side.BUY, 5, 10, ts_ns=9))
    ledger.apply(fill("early", Side.BUY, 7, 10, ts_ns=11))
    assert ledger.cash_nano is None
    assert not ledger.opened
    ledger.apply(positions(AAA=100))
    ledger.apply(account(None))
    assert ledger.position_micro("AAA") == 107 * QUANTITY_SCALE
    ledger.apply(account(1_000))
    ledger.apply(fill("also_old", Side.BUY, 3, 10, ts_ns=10))
    assert ledger.position_micro("AAA") == 107 * QUANTITY_SCALE
    assert ledger.cash_nano == 930 * PRICE_SCALE
    assert ledger.early_fills == []


def test_later_positions_are_checks_and_change_nothing():
    """Only the first Positions and the first cash open the books."""
    ledger = opened(AAA=100)
    ledger.apply(positions(ts_ns=500, AAA=1))
    ledger.apply(account(5, ts_ns=500))
    assert ledger.position_micro("AAA") == 100 * QUANTITY_SCALE
    assert ledger.cash_nano == 10_000 * PRICE_SCALE


def test_amounts_beyond_64_bits_stay_exact():
    """Cash flows of fractional quantities and huge sums neither round nor overflow, and can be hashed."""
    ledger = opened()
    ledger.apply(fill("e1", Side.BUY, 9_000_000, 9_000_000))
    ledger.apply(fill("e2", Side.SELL, 9_000_000, 9_000_000))
    ledger.apply(fill("e3", Side.BUY, 0.000001, 0.000000001))
    assert ledger.cash_exact == 10_000 * PRICE_SCALE * QUANTITY_SCALE - 1
    assert len(ledger.digest()) == 64


def test_too_many_executions_before_the_opening_are_refused(monkeypatch: pytest.MonkeyPatch):
    """The bound on executions before the opening facts says what is wrong."""
    monkeypatch.setattr(ledger_module, "EARLY_FILLS_MAX", 2)
    ledger = Ledger()
    ledger.apply(fill("e1", Side.BUY, 1, 10))
    ledger.apply(fill("e2", Side.BUY, 1, 10))
    with pytest.raises(ValueError, match="before the opening positions and cash"):
        ledger.apply(fill("e3", Side.BUY, 1, 10))


def test_the_oldest_executions_are_forgotten_beyond_the_bound(monkeypatch: pytest.MonkeyPatch):
    """The memory of ids is bounded and forgets in order of arrival."""
    monkeypatch.setattr(ledger_module, "EXECUTIONS_REMEMBERED_MAX", 2)
    ledger = opened()
    for index in range(3):
        ledger.apply(fill(f"e{index}", Side.BUY, 1, 10))
    assert [ledger.knows(f"e{index}") for index in range(3)] == [False, True, True]
