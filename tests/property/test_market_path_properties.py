"""Owns the laws of the path model: exact re-aggregation and a sane quote, for any bars."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet_services.ibsim.market_path import MinuteBars, SessionPath, build_path
from walstreet_services.ibsim.market_streams import Purpose, stream

TICK_NANO = 10_000_000
SHARE_MICRO = 1_000_000


@st.composite
def minute_bars(draw: st.DrawFn, volume_min: int = 4) -> MinuteBars:
    """Draw up to six minutes, some absent, with prices on and off the tick grid."""
    rows = []
    base = draw(st.integers(20, 200_000))
    for _ in range(draw(st.integers(1, 6))):
        off_grid = draw(st.sampled_from([0, 0, 1, 3_333_333, 9_999_999]))
        prices = [
            (base + draw(st.integers(0, 12))) * TICK_NANO + draw(st.sampled_from([0, off_grid])) for _ in range(4)
        ]
        low, first, second, high = sorted(prices)
        open_, close = (first, second) if draw(st.booleans()) else (second, first)
        volume = draw(st.one_of(st.integers(volume_min, 60), st.integers(61, 10**7)))
        rows.append((draw(st.booleans()), open_, high, low, close, volume))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return MinuteBars(
        present=columns[0].astype(np.bool_),
        open_nano=columns[1],
        high_nano=columns[2],
        low_nano=columns[3],
        close_nano=columns[4],
        volume_shares=columns[5],
    )


def path_of(bars: MinuteBars, steps: int, seed: int) -> SessionPath:
    """Build the path that a market would build."""
    generator = stream(seed, "PROP", 730_000, Purpose.PATH)
    return build_path(bars, steps=steps, tick_nano=TICK_NANO, lot_size=100, generator=generator)


@settings(max_examples=200, deadline=None)
@given(bars=minute_bars(), steps=st.sampled_from([4, 5, 12, 60]), seed=st.integers(0, 2**64 - 1))
def test_steps_add_up_to_the_bars_exactly(bars: MinuteBars, steps: int, seed: int) -> None:
    """First, last, largest and smallest print and the sum of sizes equal the bar's, minute by minute."""
    path = path_of(bars, steps, seed)
    for minute in range(len(bars.present)):
        part = slice(minute * steps, (minute + 1) * steps)
        size, price = path.trade_size_micro[part], path.trade_nano[part]
        if not bars.present[minute]:
            assert not size.any()
            continue
        printed = price[size > 0]
        assert (printed[0], printed.max(), printed.min(), printed[-1]) == (
            bars.open_nano[minute],
            bars.high_nano[minute],
            bars.low_nano[minute],
            bars.close_nano[minute],
        )
        assert size.sum() == bars.volume_shares[minute] * SHARE_MICRO
        assert (size % SHARE_MICRO == 0).all()


@settings(max_examples=200, deadline=None)
@given(bars=minute_bars(volume_min=0), steps=st.sampled_from([4, 12]), seed=st.integers(0, 2**32))
def test_too_small_volumes_keep_the_close_and_never_leave_the_range(bars: MinuteBars, steps: int, seed: int) -> None:
    """With fewer shares than prices the close is still last, and every print lies between low and high."""
    path = path_of(bars, steps, seed)
    for minute in np.flatnonzero(bars.present):
        part = slice(minute * steps, (minute + 1) * steps)
        printed = path.trade_nano[part][path.trade_size_micro[part] > 0]
        volume = int(bars.volume_shares[minute])
        assert printed[-1] == bars.close_nano[minute]
        assert bars.low_nano[minute] <= printed.min() <= printed.max() <= bars.high_nano[minute]
        if volume > 0:
            assert path.trade_size_micro[part].sum() == volume * SHARE_MICRO
        else:
            assert 1 <= path.trade_size_micro[part].sum() // SHARE_MICRO <= 4
            assert (printed.max(), printed.min()) == (bars.high_nano[minute], bars.low_nano[minute])


@settings(max_examples=200, deadline=None)
@given(bars=minute_bars(volume_min=0), steps=st.sampled_from([4, 12, 60]), seed=st.integers(0, 2**32))
def test_the_quote_is_never_locked_and_holds_the_print_at_its_touch(bars: MinuteBars, steps: int, seed: int) -> None:
    """Bid and ask are on the grid, apart by a tick at least, alive after the first bar, with a print inside."""
    path = path_of(bars, steps, seed)
    first = int(np.argmax(bars.present)) * steps if bars.present.any() else len(path.bid_nano)
    assert not path.bid_nano[:first].any()
    assert not path.ask_nano[:first].any()
    assert (path.bid_nano[first:] >= TICK_NANO).all()
    assert (path.ask_nano - path.bid_nano >= TICK_NANO)[first:].all()
    assert not (path.bid_nano % TICK_NANO).any()
    assert not (path.ask_nano % TICK_NANO).any()
    assert (path.bid_size_micro[first:] >= 100 * SHARE_MICRO).all()
    buys, sells = path.trade_side > 0, path.trade_side < 0
    assert (buys | sells == (path.trade_size_micro > 0)).all()
    assert (path.trade_nano >= path.bid_nano)[buys | sells].all()
    assert (path.trade_nano <= path.ask_nano)[buys | sells].all()
    assert (path.ask_nano - path.trade_nano < TICK_NANO)[buys].all()
    assert (path.trade_nano - path.bid_nano < TICK_NANO)[sells].all()


@settings(max_examples=100, deadline=None)
@given(bars=minute_bars(), seed=st.integers(0, 2**32))
def test_silent_minutes_drift_by_at_most_a_tick(bars: MinuteBars, seed: int) -> None:
    """In a minute without a bar, the quote stays within one tick of the last one."""
    steps = 12
    path = path_of(bars, steps, seed)
    last = None
    for minute, present in enumerate(bars.present):
        bid = path.bid_nano[minute * steps : (minute + 1) * steps]
        if present:
            last = bid[-1]
        elif last is not None:
            assert np.abs(bid - last).max() <= TICK_NANO
