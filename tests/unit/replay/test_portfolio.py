"""Owns the tests of the portfolio that is read from the TAPE: account, books of strategies, and what is not known."""

import msgspec
import pytest

from walstreet.replay.portfolio import PortfolioProjection
from walstreet.testing.events import every_event
from walstreet_events import AccountPlan, AccountValues, FillAllocated, OrderFilled, Positions, Side

pytestmark = pytest.mark.spec("002.python")
SHARE = 1_000_000
USD = 1_000_000_000


def example(kind: type, **changes: object):
    """Return the example of a type with ``changes``."""
    (event,) = [event for event in every_event().values() if isinstance(event, kind)]
    return msgspec.structs.replace(event, **changes)


def opened(**options: str) -> PortfolioProjection:
    """Return a projection of an account that is known and flat."""
    projection = PortfolioProjection(**options)
    projection.take(example(AccountValues, net_liquidation_nano=100_000 * USD, cash_nano=100_000 * USD, ts_ns=1))
    projection.take(example(Positions, positions=(), ts_ns=1))
    return projection


def test_before_anything_is_known_nothing_is_claimed():
    """An empty log has no equity, and its books agree."""
    status = PortfolioProjection().status()
    assert status["equity"] is None
    assert status["mode"] == "observe"
    assert status["positions"] == status["strategies"] == {}
    assert status["books_agree"] is True


def test_a_crossing_and_a_fill_by_hand():
    """40 cross at 100.25; then 60 fill at 101: one book is long 100, the other short 40, the account long 60."""
    projection = opened()
    projection.take(example(AccountPlan, ts_ns=2))
    fill = example(
        OrderFilled, ts_ns=3, exec_id="e.1.01.01", intent="intent-1", symbol="AAA", side=Side.BUY,
        price_nano=101 * USD, quantity_micro=60 * SHARE,
    )  # fmt: skip
    projection.take(fill)
    projection.take(
        example(
            FillAllocated, ts_ns=3, exec_id=fill.exec_id, symbol="AAA", price_nano=101 * USD, strategies=("fast",),
            signed_micro=(60 * SHARE,), replaces="",
        )
    )  # fmt: skip
    status = projection.status()
    assert status["books_agree"] is True
    assert status["positions"]["AAA"]["shares"] == 60
    assert status["positions"]["AAA"]["value"] == pytest.approx(6_060)
    assert status["weights"]["AAA"] == pytest.approx(0.0606)
    fast, slow = status["strategies"]["fast"], status["strategies"]["slow"]
    assert fast["positions"]["AAA"]["shares"] == 100
    assert fast["positions"]["AAA"]["average_cost"] == pytest.approx((40 * 100.25 + 60 * 101) / 100)
    assert slow["positions"]["AAA"]["shares"] == -40
    assert slow["unrealized_pnl"] == pytest.approx(-40 * 0.75)


def test_a_fill_without_its_division_is_shown_as_a_disagreement():
    """The status must not pretend: between execution and division the books are not the account."""
    projection = opened()
    projection.take(example(OrderFilled, ts_ns=3, exec_id="e.1.01.01"))
    assert projection.status()["books_agree"] is False


def test_every_event_can_be_taken():
    """Nothing on a TAPE ends a status."""
    projection = opened(opening="fast")
    for event in every_event().values():
        if hasattr(event, "cause"):
            projection.take(event)
    assert projection.status()["decisions"] == 1
