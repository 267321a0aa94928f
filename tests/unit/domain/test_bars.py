"""The bar builder turns ticks into minute bars, checks them against the broker's and says what it doubts."""

from __future__ import annotations

import numpy as np
import pytest

from walstreet.domain.bar_types import SealedBar
from walstreet.domain.bars import BarBuilder
from walstreet.domain.observations import (
    BrokerBarObserved,
    HistoryBar,
    QuoteObserved,
    TradeObserved,
    VolumeObserved,
)
from walstreet_events import BarFlag

S = 1_000_000_000
MINUTE = 60 * S
OPEN = 1_000_000 * MINUTE
USD = 1_000_000_000
SHARE = 1_000_000


def make_builder(symbols=("AAA", "BBB"), tolerance_bps=0, begin_ns=OPEN - MINUTE):
    """Return a builder whose first bar begins at the open."""
    builder = BarBuilder(
        symbols,
        bar_ns=MINUTE,
        first_end_ns=OPEN + MINUTE,
        session_open_ns=OPEN,
        volume_tolerance_bps=tolerance_bps,
    )
    builder.begin_at(begin_ns)
    return builder


def trade(at_s, price, size=100, symbol="AAA"):
    """Return a trade so many seconds after the open."""
    return TradeObserved(
        symbol=symbol, ts_ns=OPEN + round(at_s * S), price_nano=round(price * USD), size_micro=size * SHARE
    )


def quote(at_s, bid, ask, symbol="AAA"):
    """Return a quote so many seconds after the open."""
    return QuoteObserved(
        symbol=symbol,
        ts_ns=OPEN + round(at_s * S),
        bid_nano=round(bid * USD),
        ask_nano=round(ask * USD),
        bid_size_micro=300 * SHARE,
        ask_size_micro=200 * SHARE,
    )


def volume(at_s, shares, symbol="AAA"):
    """Return a cumulative volume."""
    return VolumeObserved(symbol=symbol, ts_ns=OPEN + round(at_s * S), volume_micro=shares * SHARE)


def broker_bar(at_s, ohlc, shares, symbol="AAA", vwap=None):
    """Return a five-second bar of the broker."""
    prices = [round(price * USD) for price in ohlc]
    bar = HistoryBar(
        start_ns=OPEN + at_s * S,
        open_nano=prices[0],
        high_nano=prices[1],
        low_nano=prices[2],
        close_nano=prices[3],
        volume_micro=shares * SHARE,
        vwap_nano=round((vwap or ohlc[3]) * USD),
        trade_count=1 if shares else 0,
    )
    return BrokerBarObserved(symbol=symbol, bar=bar, bar_ns=5 * S)


def feed(builder, *observations):
    """Add observations in order."""
    for observation in observations:
        builder.add(observation)


def test_ohlc_vwap_and_count_come_from_the_last_ticks():
    """Four trades give open, high, low, close, exact VWAP and count."""
    builder = make_builder()
    feed(builder, trade(1, 100), trade(2, 102, 300), trade(3, 99), trade(4, 101))
    bar = builder.seal()
    got = [column[0] for column in (bar.open, bar.high, bar.low, bar.close)]
    assert got == [100 * USD, 102 * USD, 99 * USD, 101 * USD]
    assert bar.vwap[0] == (100 * 100 + 102 * 300 + 99 * 100 + 101 * 100) * USD // 600
    assert bar.count[0] == 4
    assert bar.close[1] == 0


def test_a_notional_beyond_64_bits_gives_an_exact_vwap():
    """A million shares at 900 dollars overflow int64 as a product and must not disturb the VWAP."""
    builder = make_builder()
    feed(builder, trade(1, 900, 1_000_000), trade(2, 902, 1_000_000))
    assert builder.seal().vwap[0] == 901 * USD


def test_an_observation_at_the_bars_end_belongs_to_the_bar():
    """A trade stamped with the end is in the bar, one nanosecond later is in the next."""
    builder = make_builder()
    last = trade(60, 100)
    later = TradeObserved(symbol="AAA", ts_ns=last.ts_ns + 1, price_nano=101 * USD, size_micro=SHARE)
    feed(builder, last, later)
    assert builder.seal().close[0] == 100 * USD
    assert builder.seal().close[0] == 101 * USD


def test_volume_is_the_change_of_the_cumulative_count_and_survives_missed_ticks():
    """Trades that were never seen still count, because the cumulative count tells of them."""
    builder = make_builder()
    feed(builder, trade(1, 100), volume(1, 100), volume(30, 5_000))
    assert builder.seal().volume[0] == 5_000 * SHARE
    feed(builder, trade(61, 100), volume(61, 5_100), volume(62, 5_050))
    assert builder.seal().volume[0] == 100 * SHARE


def test_volume_restarts_at_the_session_and_is_never_negative():
    """The old session's count before the open is only a base; a lower first count is a reset."""
    builder = make_builder()
    feed(builder, volume(-30, 9_000_000), volume(5, 700), trade(5, 100, 700))
    assert builder.seal().volume[0] == 700 * SHARE
    feed(builder, volume(70, 600))
    assert builder.seal().volume[0] == 0


def test_a_premarket_count_is_not_counted_into_the_first_bar():
    """Volume before the open is subtracted."""
    builder = make_builder()
    feed(builder, volume(-1, 400), volume(5, 1_000), trade(5, 100, 600))
    assert builder.seal().volume[0] == 600 * SHARE


def test_sizes_stand_in_without_a_cumulative_count_and_are_not_counted_twice():
    """Without a count the sizes are summed; when a count comes later it does not repeat them."""
    builder = make_builder()
    feed(builder, trade(1, 100, 250))
    assert builder.seal().volume[0] == 250 * SHARE
    feed(builder, trade(61, 100, 50), volume(61, 300))
    assert builder.seal().volume[0] == 50 * SHARE


def test_a_start_within_the_session_does_not_book_the_whole_day_into_one_bar():
    """The first count after a restart is the base of what follows."""
    builder = make_builder(begin_ns=OPEN + 10 * S)
    feed(builder, trade(12, 100, 200), volume(12, 8_000_000), volume(20, 8_000_300))
    assert builder.seal().volume[0] == 500 * SHARE


@pytest.mark.parametrize(
    ("price", "sign"),
    [(100.02, 1), (100.03, 1), (99.98, -1), (99.99, -1)],
)
def test_the_quote_rule_compares_with_the_mid(price, sign):
    """Above the mid is a purchase, below a sale (Lee and Ready 1991)."""
    builder = make_builder()
    feed(builder, quote(1, 99.98, 100.02), trade(2, price))
    assert builder.seal().signed[0] == sign * 100 * SHARE


def test_the_quote_that_stood_before_the_trade_decides():
    """A quote with the trade's own stamp came after it, whatever the order of arrival."""
    builder = make_builder()
    feed(builder, quote(1, 99.98, 100.02), quote(2, 100.10, 100.20), trade(2, 100.02))
    assert builder.seal().signed[0] == 100 * SHARE


def test_the_tick_rule_decides_at_the_mid_and_without_a_quote():
    """Up-tick buys, down-tick sells, an equal price repeats the last direction, the first trade is unknown."""
    builder = make_builder()
    feed(builder, trade(1, 100, 1), trade(2, 101, 10), trade(3, 101, 100), trade(4, 100, 1_000))
    assert builder.seal().signed[0] == (10 + 100 - 1_000) * SHARE
    feed(builder, quote(61, 99, 101), trade(62, 100, 7))
    assert builder.seal().signed[0] == -7 * SHARE


def test_spread_count_and_last_quote():
    """The mean spread is over the quotes of the bar; the last quote stands at the end, also in a later bar."""
    builder = make_builder()
    feed(builder, quote(-5, 99, 101), quote(1, 99.98, 100.02), quote(2, 99.99, 100.01), quote(3, 100.02, 100.01))
    bar = builder.seal()
    assert bar.spread_mean[0] == 30_000_000
    assert bar.quote_count[0] == 3
    assert (bar.bid[0], bar.ask[0], bar.quote_ts[0]) == (100_020_000_000, 100_010_000_000, OPEN + 3 * S)
    following = builder.seal()
    assert (following.quote_count[0], following.spread_mean[0]) == (0, 0)
    assert following.bid[0] == 100_020_000_000


def test_a_one_sided_quote_is_no_quote():
    """When a side goes away, the bar has no quote, and the last confirmation keeps its time."""
    builder = make_builder()
    feed(builder, quote(1, 99, 101), quote(2, 0, 101))
    bar = builder.seal()
    bar.carry(np.array([100 * USD, 0]))
    assert (bar.bid[0], bar.ask[0], bar.ask_size[0]) == (0, 0, 0)
    assert bar.quote_ts[0] == OPEN + S
    assert bar.flags[0] & BarFlag.NO_QUOTE


def test_a_lost_feed_voids_quotes_even_those_that_waited():
    """After the connection went down only a fresh quote counts."""
    builder = make_builder()
    feed(builder, quote(1, 99, 101), quote(61, 98, 102))
    builder.blind_from(OPEN + 62 * S)
    builder.seal()
    assert builder.seal().bid[0] == 0
    builder.seeing_from(OPEN + 125 * S)
    feed(builder, quote(126, 97, 103))
    assert builder.seal().bid[0] == 97 * USD


def test_an_empty_bar_is_explicit():
    """Without a trade prices repeat the last close, volume is 0 and the flag says so."""
    bar = make_builder().seal()
    bar.carry(np.array([50 * USD, 0]))
    assert [column[0] for column in (bar.open, bar.high, bar.low, bar.close, bar.vwap)] == [50 * USD] * 5
    assert bar.volume.tolist() == [0, 0]
    assert bar.flags.tolist() == [int(BarFlag.EMPTY | BarFlag.NO_QUOTE | BarFlag.UNCHECKED)] * 2


def test_volume_without_a_price_is_kept_at_the_last_close():
    """A missed last tick does not make the bar empty, unless no price was ever known."""
    builder = make_builder()
    feed(builder, volume(3, 500), volume(3, 500, "BBB"))
    bar = builder.seal()
    bar.carry(np.array([50 * USD, 0]))
    assert bar.volume.tolist() == [500 * SHARE, 0]
    assert bar.flags[0] & BarFlag.EMPTY == 0
    assert bar.flags[1] & BarFlag.EMPTY


def test_agreement_with_the_brokers_bars_leaves_no_flag():
    """Five-second bars that sum to our bar make it checked."""
    builder = make_builder()
    feed(builder, trade(3, 100), trade(17, 102), trade(58, 101), volume(58, 300))
    feed(builder, broker_bar(0, (100, 100, 100, 100), 100), broker_bar(15, (102, 102, 102, 102), 100))
    feed(builder, broker_bar(55, (101, 101, 101, 101), 100), broker_bar(20, (102, 102, 102, 102), 0))
    bar = builder.seal()
    assert bar.flags[0] == 0
    assert bar.disagreements == ()


def test_disagreement_carries_the_brokers_values_and_reports_both():
    """A high that we missed is taken from the broker, flagged and recorded with both bars."""
    builder = make_builder()
    feed(builder, trade(3, 100), trade(4, 101), volume(4, 200))
    feed(builder, broker_bar(0, (100, 105, 99, 101), 400, vwap=102))
    bar = builder.seal()
    assert bar.flags[0] == BarFlag.MISMATCH
    assert (bar.high[0], bar.low[0], bar.volume[0], bar.vwap[0]) == (105 * USD, 99 * USD, 400 * SHARE, 102 * USD)
    (found,) = bar.disagreements
    assert found.ticks == (100 * USD, 101 * USD, 100 * USD, 101 * USD, 200 * SHARE)
    assert found.broker == (100 * USD, 105 * USD, 99 * USD, 101 * USD, 400 * SHARE)


@pytest.mark.parametrize(("shares", "flag"), [(1_010, BarFlag.NONE), (1_011, BarFlag.MISMATCH)])
def test_volume_has_a_tolerance_and_prices_have_none(shares, flag):
    """One percent of the broker's 1,000 shares is allowed and not one share more."""
    builder = make_builder(tolerance_bps=100)
    feed(builder, trade(3, 100, shares), volume(3, shares), broker_bar(0, (100, 100, 100, 100), 1_000))
    assert builder.seal().flags[0] == flag


def test_a_slot_with_a_trade_but_without_a_broker_bar_leaves_the_bar_unchecked():
    """A partial set of the broker's bars proves nothing and replaces nothing."""
    builder = make_builder()
    feed(builder, trade(3, 100), trade(33, 110), broker_bar(0, (100, 100, 100, 100), 100))
    bar = builder.seal()
    assert bar.flags[0] == BarFlag.UNCHECKED
    assert bar.high[0] == 110 * USD


def test_a_repeated_broker_bar_counts_once():
    """The same five-second bar twice does not double the volume."""
    builder = make_builder()
    feed(builder, trade(3, 100), volume(3, 100), *[broker_bar(0, (100, 100, 100, 100), 100)] * 2)
    assert builder.seal().flags[0] == 0


def test_late_trades_are_counted_and_change_nothing():
    """A trade of a bar that was sealed is counted; the next bar does not contain it."""
    builder = make_builder()
    builder.seal()
    feed(builder, trade(30, 100), broker_bar(30, (1, 1, 1, 1), 5))
    assert (builder.counters.late_trades, builder.counters.late_broker_bars) == (1, 1)
    assert builder.seal().count[0] == 0


def test_unknown_symbols_are_counted():
    """A symbol outside the session is no error and no bar."""
    builder = make_builder()
    builder.add(trade(1, 100, symbol="ZZZ"))
    assert builder.counters.unknown_symbol == 1


def test_waiting_observations_are_bounded(monkeypatch):
    """Beyond the bound observations of later bars are dropped and counted."""
    monkeypatch.setattr("walstreet.domain.bars.AHEAD_MAX", 2)
    builder = make_builder()
    feed(builder, trade(61, 100), trade(62, 100), trade(63, 100))
    assert builder.counters.ahead_dropped == 1
    builder.seal()
    assert builder.seal().count[0] == 2


def test_a_start_within_the_bar_is_completed_by_a_full_set_of_broker_bars():
    """With every unseen slot from the broker its values are carried; with one missing the bar is incomplete."""
    whole, partial = (make_builder(("AAA",), begin_ns=OPEN + 7 * S) for _ in range(2))
    for builder in (whole, partial):
        feed(builder, trade(20, 100), broker_bar(5, (97, 97, 97, 97), 10), broker_bar(15, (100, 100, 100, 100), 100))
    whole.add(broker_bar(0, (98, 98, 98, 98), 10))
    bar = whole.seal()
    assert (bar.open[0], bar.low[0], bar.close[0], bar.volume[0]) == (98 * USD, 97 * USD, 100 * USD, 120 * SHARE)
    assert bar.flags[0] == BarFlag.UNCHECKED
    assert not bar.incomplete[0]
    assert partial.seal().incomplete[0]


def test_many_interruptions_are_merged_into_more_blindness():
    """More gaps than are remembered never make an unseen slot look seen."""
    builder = make_builder()
    for second in range(200):
        builder.blind_from(OPEN + second * S // 4)
        builder.seeing_from(OPEN + second * S // 4)
    assert builder.seal().incomplete.all()
    assert not builder.seal().incomplete.any()


def test_sealed_bars_have_one_entry_per_symbol():
    """Every array of a sealed bar has the session's length."""
    bar = make_builder(("A", "B", "C")).seal()
    assert isinstance(bar, SealedBar)
    assert {len(bar.open), len(bar.flags), len(bar.quote_ts), len(bar.incomplete)} == {3}
