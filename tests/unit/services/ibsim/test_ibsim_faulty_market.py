"""The market under faults: halts, shocks, bands and splits over steps and bars, and the truth that is folded back."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet_services.ibsim.faulty_market import Adjustment, FaultyMarket, Halted
from walstreet_services.ibsim.journal_truth import fold
from walstreet_services.ibsim.market_synthetic import SyntheticMarket

STEP_NS = 5 * 10**9
FIELDS = ("bid_nano", "ask_nano", "bid_size_micro", "ask_size_micro", "trade_nano", "trade_size_micro", "volume_micro")


@pytest.fixture(scope="module")
def plain():
    """Return a market without faults."""
    return SyntheticMarket(["SYN01", "SYN02"], seed=5, day=date(2026, 11, 20), step_ns=STEP_NS, minutes=10)


def shock(plain, step, bps):
    """Return a change of price after a step."""
    from_ns = plain.session.open_ns + (step + 1) * STEP_NS
    return Adjustment(from_ns=from_ns, numerator=10_000 + bps, denominator=10_000)


def assert_same(one, other, columns=(0, 1)):
    """Compare some instruments of two steps."""
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(one, name)[list(columns)], getattr(other, name)[list(columns)])


def test_without_faults_it_is_the_market(plain):
    """Steps and bars are the inner market's own."""
    market = FaultyMarket(plain)
    assert market.step(7) is plain.step(7) or market.step(7).ts_ns == plain.step(7).ts_ns
    assert_same(market.step(7), plain.step(7))
    span = {"end_ns": plain.session.close_ns, "bar_seconds": 60, "start_ns": plain.session.open_ns, "what": "TRADES"}
    assert market.bars(0, **span) == plain.bars(0, **span)


@settings(max_examples=50, deadline=None)
@given(st.integers(-2000, 2000), st.integers(0, 110))
def test_a_shock_moves_later_steps_only(plain, bps, at):
    """Up to the shock nothing changes; afterwards quotes stay on ticks, in order, and near the exact price."""
    market = FaultyMarket(plain)
    market.adjust(0, shock(plain, at, bps))
    for index in range(120):
        changed, before = market.step(index), plain.step(index)
        assert_same(changed, before, (1,))
        if index <= at:
            assert_same(changed, before)
            continue
        bid, ask = int(changed.bid_nano[0]), int(changed.ask_nano[0])
        assert 0 < bid < ask
        assert bid % 10_000_000 == ask % 10_000_000 == 0
        assert abs(bid - int(before.bid_nano[0]) * (10_000 + bps) // 10_000) <= 10_000_000
        assert not changed.bid_nano.flags.writeable


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 100), st.integers(1, 30), st.booleans())
def test_a_halt_has_no_trades_and_takes_its_volume_away(plain, start, length, gone):
    """In the halt nothing trades and the quote stands or is gone; the volume never falls and skips the halt's."""
    market = FaultyMarket(plain)
    open_ns = plain.session.open_ns
    halted = Halted(from_ns=open_ns + start * STEP_NS, gone=gone)
    market.halt(0, halted)
    assert market.halted(0, open_ns + (start + 1) * STEP_NS)
    halted.until_ns = open_ns + (start + length) * STEP_NS
    total, last_bid = 0, 0
    for index in range(120):
        step, inner = market.step(index), plain.step(index)
        inside = start <= index < start + length
        total += 0 if inside else int(inner.trade_size_micro[0])
        assert int(step.volume_micro[0]) == total
        if inside:
            assert int(step.trade_size_micro[0]) == 0
            assert int(step.bid_nano[0]) == (0 if gone else last_bid)
        else:
            assert_same(step, inner, (1,))
            assert int(step.bid_nano[0]) == int(inner.bid_nano[0])
            last_bid = int(inner.bid_nano[0])


def test_bars_of_a_changed_instrument_are_those_of_its_steps(plain):
    """Today's bars come from the changed steps; complete ones only; the past is the inner market's."""
    market = FaultyMarket(plain)
    market.adjust(0, shock(plain, 59, 500))
    open_ns = plain.session.open_ns
    end_ns = open_ns + 100 * STEP_NS
    span = {"bar_seconds": 60, "start_ns": open_ns, "what": "TRADES", "end_ns": end_ns}
    found, before = market.bars(0, **span), plain.bars(0, **span)
    assert [bar.start_ns for bar in found] == [bar.start_ns for bar in before]
    for changed, bar in zip(found, before, strict=True):
        shocked = bar.start_ns >= open_ns + 60 * STEP_NS
        expected = bar.close_nano * 105 / 100 if shocked else bar.close_nano
        assert abs(changed.close_nano - expected) <= 10_000_000
        assert changed.volume_micro == bar.volume_micro
    days = {"bar_seconds": 86_400, "start_ns": open_ns - 10 * 86_400 * 10**9, "what": "TRADES", "end_ns": end_ns}
    assert market.bars(0, **days) == list(plain.bars(0, **days))


def test_a_split_scales_prices_sizes_and_the_past(plain):
    """Two for one halves prices and doubles sizes of later steps and of past days' bars."""
    market = FaultyMarket(plain)
    open_ns = plain.session.open_ns
    market.adjust(0, Adjustment(from_ns=open_ns - 1, numerator=1, denominator=2, split=True))
    step, inner = market.step(50), plain.step(50)
    assert abs(int(step.bid_nano[0]) * 2 - int(inner.bid_nano[0])) <= 20_000_000
    assert int(step.bid_size_micro[0]) == 2 * int(inner.bid_size_micro[0])
    assert int(step.volume_micro[0]) == 2 * int(inner.volume_micro[0])
    days = {"bar_seconds": 86_400, "start_ns": open_ns - 10 * 86_400 * 10**9, "what": "TRADES", "end_ns": open_ns}
    for changed, bar in zip(market.bars(0, **days), plain.bars(0, **days), strict=True):
        assert abs(changed.close_nano * 2 - bar.close_nano) <= 20_000_000
        assert changed.volume_micro == 2 * bar.volume_micro


def test_a_band_hides_what_lies_beyond_it(plain):
    """Offers above the band are not shown, bids are capped, trades are clamped."""
    market = FaultyMarket(plain)
    step = plain.step(30)
    bid = int(step.bid_nano[0])
    market.band(0, step.ts_ns, bid - 100 * 10**9, bid - 10**9)
    changed = market.step(30)
    assert int(changed.bid_nano[0]) == bid - 10**9
    assert int(changed.ask_nano[0]) == int(changed.ask_size_micro[0]) == 0
    market.band(0, step.ts_ns, bid + 10**9, bid + 100 * 10**9)
    changed = market.step(30)
    assert int(changed.bid_nano[0]) == 0
    assert int(changed.ask_nano[0]) == max(int(step.ask_nano[0]), bid + 10**9)


def placed(sequence, order_id, ref, **more):
    """Return a record of a placement."""
    ids = {"client_id": 1, "order_id": order_id, "order_ref": ref, "symbol": "SYN01", "action": "BUY"}
    return {"sequence": sequence, "kind": "place_received", "what_if": False, **ids, **more}


def test_the_truth_of_a_journal():
    """Accepted, refused, rejected, lost and corrected orders are told apart; a reused id names two orders."""
    ids = {"client_id": 1, "order_id": 1}
    status = {"filled": "0", "remaining": "100"}
    records = [
        placed(1, 1, "filled"),
        {"kind": "order_accepted", **ids, "perm_id": 11, "order_ref": "filled"},
        {"kind": "execution", **ids, "perm_id": 11, "execution_id": "a.1.01", "quantity_micro": 100, "price_nano": 5},
        {"kind": "status", **ids, "perm_id": 11, "status": "Filled", "filled": "0.0001", "remaining": "0"},
        {"kind": "commission", "client_id": 1, "execution_id": "a.1.01", "commission_nano": 7},
        {"kind": "execution", **ids, "perm_id": 11, "execution_id": "a.1.02", "quantity_micro": 90, "price_nano": 6},
        placed(2, 1, "again"),
        {"kind": "order_accepted", **ids, "perm_id": 12, "order_ref": "again"},
        {"kind": "status", **ids, "perm_id": 12, "status": "Submitted", "shown": "Cancelled", **status},
        placed(3, 2, "bad price"),
        {"kind": "error", "client_id": 1, "order_id": 2, "code": 110},
        placed(4, 3, "poor"),
        {"kind": "error", "client_id": 1, "order_id": 3, "code": 201},
        {"kind": "status", "client_id": 1, "order_id": 3, "perm_id": 13, "status": "Inactive", **status},
        {**placed(5, 4, "lost"), "kind": "place_lost", "why": "hang"},
        placed(6, 5, "preview", what_if=True),
    ]
    truth = fold(records)
    assert [(order.order_ref, order.status) for order in truth.orders] == [
        ("filled", "Filled"),
        ("again", "Submitted"),
        ("bad price", "Refused"),
        ("poor", "Inactive"),
        ("lost", "Lost"),
    ]
    filled, again, refused, _, lost = truth.orders
    assert (filled.filled_micro, [item.execution_id for item in filled.executions.values()]) == (90, ["a.1.02"])
    assert (again.live, again.shown) == (True, "Cancelled")
    assert (refused.why, lost.why) == ("110", "hang")
    assert truth.position_micro("SYN01") == 90
