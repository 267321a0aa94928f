"""For any ticks a bar is a bar: ordered prices, no negative volume, nothing lost between bars, same twice."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.bars import BarBuilder
from walstreet.domain.gateway import GatewayCore
from walstreet.domain.gateway_parameters import GatewayParameters, SessionPlan
from walstreet.domain.observations import QuoteObserved, TimeObserved, TradeObserved, VolumeObserved
from walstreet.testing.given import Scenario
from walstreet_events import BarBlock, BarFlag

S = 1_000_000_000
MINUTE = 60 * S
OPEN = 1_000_000 * MINUTE
MINUTES = 4
SYMBOLS = ("AAA", "BBB", "CCC")
CENT = 10_000_000
SHARE = 1_000_000
QUICK = settings(max_examples=150, deadline=None)

instants = st.integers(1, MINUTES * 60 * 10).map(lambda tenth: OPEN + tenth * S // 10)
prices = st.integers(1, 100_000).map(lambda cents: cents * CENT)
sizes = st.integers(1, 10**6).map(lambda shares: shares * SHARE)
trades = st.builds(TradeObserved, symbol=st.sampled_from(SYMBOLS), ts_ns=instants, price_nano=prices, size_micro=sizes)
quotes = st.builds(
    QuoteObserved,
    symbol=st.sampled_from(SYMBOLS),
    ts_ns=instants,
    bid_nano=prices | st.just(0),
    ask_nano=prices | st.just(0),
    bid_size_micro=sizes,
    ask_size_micro=sizes,
)
days = st.lists(trades | quotes, max_size=60).map(lambda ticks: sorted(ticks, key=lambda tick: tick.ts_ns))


def build():
    """Return a builder that starts before the open."""
    builder = BarBuilder(
        SYMBOLS, bar_ns=MINUTE, first_end_ns=OPEN + MINUTE, session_open_ns=OPEN, volume_tolerance_bps=0
    )
    builder.begin_at(OPEN - S)
    return builder


def bars_of(ticks):
    """Return the builder and its sealed bars after all ticks came at once."""
    builder = build()
    for tick in ticks:
        builder.add(tick)
    return builder, [builder.seal() for _ in range(MINUTES)]


@QUICK
@given(days)
def test_prices_are_ordered_and_volume_is_whole(ticks):
    """Low <= open, close, VWAP <= high where there was a trade; signed volume is bounded by volume."""
    _, bars = bars_of(ticks)
    for bar in bars:
        there = bar.count > 0
        for column in (bar.open, bar.close, bar.vwap):
            assert (bar.low[there] <= column[there]).all()
            assert (column[there] <= bar.high[there]).all()
        assert (bar.volume >= 0).all()
        assert (np.abs(bar.signed) <= bar.volume).all()
        assert (bar.close[~there] == 0).all()


@QUICK
@given(days)
def test_no_trade_is_lost_or_counted_twice(ticks):
    """Counts and sizes over all bars are those of the trades, each in the bar of its own minute."""
    builder, bars = bars_of(ticks)
    wanted = [tick for tick in ticks if isinstance(tick, TradeObserved)]
    assert sum(int(bar.count.sum()) for bar in bars) == len(wanted)
    assert sum(int(bar.volume.sum()) for bar in bars) == sum(tick.size_micro for tick in wanted)
    assert builder.counters.late_trades == 0
    for bar in bars:
        inside = [tick for tick in wanted if bar.end_ns - MINUTE < tick.ts_ns <= bar.end_ns]
        for index, symbol in enumerate(SYMBOLS):
            prices_of_symbol = [tick.price_nano for tick in inside if tick.symbol == symbol]
            assert bar.high[index] == max(prices_of_symbol, default=0)


@QUICK
@given(days, st.lists(st.booleans(), min_size=60, max_size=60))
def test_sealing_early_or_late_gives_the_same_bars(ticks, choices):
    """Whether ticks of later minutes wait or come after the seal makes no difference."""
    _, late = bars_of(ticks)
    builder, early = build(), []
    for tick, eager in zip(ticks, choices, strict=False):
        while eager and tick.ts_ns > builder.end_ns:
            early.append(builder.seal())
        builder.add(tick)
    while len(early) < MINUTES:
        early.append(builder.seal())
    for one, other in zip(early, late, strict=True):
        for name in ("open", "high", "low", "close", "volume", "signed", "bid", "ask", "quote_count", "quote_ts"):
            assert getattr(one, name).tolist() == getattr(other, name).tolist(), name


@QUICK
@given(st.lists(st.tuples(instants, st.integers(0, 10**9)), min_size=1, max_size=40))
def test_cumulative_volume_is_conserved(counts):
    """In whatever order counts come, the bars' volumes sum to the highest one."""
    builder = build()
    ticks = sorted(counts)
    for ts_ns, shares in ticks:
        builder.add(VolumeObserved(symbol="AAA", ts_ns=ts_ns, volume_micro=shares * SHARE))
    total = sum(int(builder.seal().volume[0]) for _ in range(MINUTES))
    assert total == max(shares for _, shares in counts) * SHARE


@QUICK
@given(days, st.lists(st.integers(-60, MINUTES * 60 + 30), min_size=1, max_size=30))
def test_every_minute_is_accounted_for_whatever_the_clock_does(ticks, seconds):
    """Blocks have no gap and no repetition, their stamps rise, and an empty one carries the last close."""
    plan = SessionPlan(
        session_date="2026-11-20",
        open_ns=OPEN,
        close_ns=OPEN + MINUTES * MINUTE,
        symbols=SYMBOLS,
        market="synthetic",
    )
    play = Scenario(lambda: GatewayCore(GatewayParameters(), plan)).given(TimeObserved(ts_ns=OPEN - MINUTE))
    waiting = list(ticks)
    for now_ns in [*(OPEN + second * S for second in sorted(seconds)), OPEN + (MINUTES * 60 + 40) * S]:
        while waiting and waiting[0].ts_ns <= now_ns:
            play.given(waiting.pop(0))
        play.given(TimeObserved(ts_ns=now_ns))
    blocks = [event for event in play.outputs if isinstance(event, BarBlock)]
    assert [block.ts_ns for block in blocks] == [OPEN + number * MINUTE for number in range(1, MINUTES + 1)]
    last = np.zeros(len(SYMBOLS), dtype=np.int64)
    for block in blocks:
        empty = (block.flags.array() & int(BarFlag.EMPTY)) > 0
        assert (block.close_nano.array()[empty] == last[empty]).all()
        assert (block.volume_micro.array()[empty] == 0).all()
        last = block.close_nano.array()
    again = play.restarted()
    assert again.state.bar_end_ns == blocks[-1].ts_ns
    assert again.state.last_close.tolist() == last.tolist()
