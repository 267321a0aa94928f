"""Owns the model that makes trades and quotes inside minute bars, in exact agreement with their OHLCV.

The model in one paragraph (formulas and limits: ``docs/SIMULATED_MARKETS.md``). Every minute with a bar gets
one print per step. The first print is the open, the last one the close; a high (low) beyond both sits at a
random step in between and is buyer- (seller-) initiated. The other prints come from a Brownian bridge of the
mid between these knots, plus or minus half a spread by the side of the trade, rounded to the tick and clipped
to [low, high]. The quote after a print has the print at its touch: the ask for a buy, the bid for a sell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from walstreet_services.ibsim.market_errors import MarketDataError, MarketRequestError
from walstreet_services.ibsim.market_prints import (
    Prices,
    choose_sides,
    mid_path,
    place_keys,
    print_prices,
    print_sizes,
)
from walstreet_services.ibsim.market_spread import displayed_size_shares, spread_ticks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from walstreet_services.ibsim.model import Int64Array

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]

STEPS_PER_MINUTE_MIN = 4
NANOSECONDS_PER_MINUTE = 60 * 1_000_000_000
MICRO_SHARES_PER_SHARE = 1_000_000
PRICE_TICKS_MIN = 2
"""Below two ticks there is no room for a bid above zero under a print at the ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteBars:
    """One session of minute bars, all arrays of shape (minutes,); where ``present`` is false, there is no bar."""

    present: BoolArray
    open_nano: Int64Array
    high_nano: Int64Array
    low_nano: Int64Array
    close_nano: Int64Array
    volume_shares: Int64Array


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPath:
    """One symbol's session in steps, all arrays of shape (steps,); units and meaning as in ``MarketStep``."""

    bid_nano: Int64Array
    ask_nano: Int64Array
    bid_size_micro: Int64Array
    ask_size_micro: Int64Array
    trade_nano: Int64Array
    trade_size_micro: Int64Array
    trade_side: Int64Array


def steps_per_minute(step_ns: int) -> int:
    """Return how many steps make one minute.

    Raises:
        MarketRequestError: If the step does not divide a minute, or leaves fewer than four steps in it.
    """
    if step_ns <= 0 or NANOSECONDS_PER_MINUTE % step_ns or NANOSECONDS_PER_MINUTE // step_ns < STEPS_PER_MINUTE_MIN:
        raise MarketRequestError(
            f"step_ns={step_ns} is refused; a step must divide one minute into at least {STEPS_PER_MINUTE_MIN} "
            "parts, for example 1, 5 or 15 seconds"
        )
    return NANOSECONDS_PER_MINUTE // step_ns


def build_path(
    bars: MinuteBars,
    *,
    steps: int,
    tick_nano: int,
    lot_size: int,
    generator: np.random.Generator,
    buy_tilt: FloatArray | None = None,
) -> SessionPath:
    """Make one session of steps which re-aggregates to the bars exactly.

    Args:
        bars: The session's bars, shape (minutes,).
        steps: Steps per minute, at least four.
        tick_nano: Grid of the quotes.
        lot_size: Shares in a round lot; displayed sizes are whole lots.
        generator: The symbol's stream of this session.
        buy_tilt: Shift of the side score per minute, shape (minutes,); None means balanced flow.

    Raises:
        MarketDataError: If a price is below two ticks.
    """
    assert steps >= STEPS_PER_MINUTE_MIN
    minutes = len(bars.present)
    rows = np.flatnonzero(bars.present)
    if len(rows) == 0:
        return _silent_session(minutes * steps)
    if int(bars.low_nano[rows].min()) < PRICE_TICKS_MIN * tick_nano:
        raise MarketDataError(
            f"a low of {int(bars.low_nano[rows].min())} nano-USD is below {PRICE_TICKS_MIN} ticks of {tick_nano}; "
            "the quote model cannot place a bid under it, drop the symbol"
        )
    prices = Prices(
        open=bars.open_nano[rows],
        high=bars.high_nano[rows],
        low=bars.low_nano[rows],
        close=bars.close_nano[rows],
    )
    tilt = np.zeros(len(rows)) if buy_tilt is None else buy_tilt[rows]
    spread = spread_ticks(bars, tick_nano=tick_nano, generator=generator)[rows]
    keys = place_keys(prices, bars.volume_shares[rows], steps, generator)
    size_shares = print_sizes(keys, steps, generator)
    noise = generator.standard_normal((len(rows), steps)).cumsum(axis=1)
    sides = choose_sides(prices, keys, noise, tilt, generator)
    half_spread = 0.5 * tick_nano * spread.astype(np.float64)
    mid = mid_path(prices, keys, sides, half_spread, noise)
    trade = print_prices(prices, keys, sides, half_spread, mid, tick_nano)
    bid, ask = _quotes(mid, trade, sides, size_shares > 0, spread, tick_nano)
    traded = (size_shares > 0).astype(np.int64)
    bid_sizes, ask_sizes = displayed_size_shares(bars, steps=steps, lot_size=lot_size, generator=generator)
    quote_bid, quote_ask = _spread_over_silence(bid, ask, rows, minutes, steps, tick_nano, generator)
    quoted = (quote_bid > 0).astype(np.int64)
    return SessionPath(
        bid_nano=quote_bid,
        ask_nano=quote_ask,
        bid_size_micro=bid_sizes * MICRO_SHARES_PER_SHARE * quoted,
        ask_size_micro=ask_sizes * MICRO_SHARES_PER_SHARE * quoted,
        trade_nano=_scatter(trade * traded, rows, minutes),
        trade_size_micro=_scatter(size_shares * MICRO_SHARES_PER_SHARE, rows, minutes),
        trade_side=_scatter(sides * traded, rows, minutes),
    )


def _silent_session(count: int) -> SessionPath:
    zeros = np.zeros(count, dtype=np.int64)
    return SessionPath(
        bid_nano=zeros,
        ask_nano=zeros,
        bid_size_micro=zeros,
        ask_size_micro=zeros,
        trade_nano=zeros,
        trade_size_micro=zeros,
        trade_side=zeros,
    )


def _quotes(
    mid: FloatArray,
    trade: Int64Array,
    sides: Int64Array,
    traded: BoolArray,
    spread: Int64Array,
    tick_nano: int,
) -> tuple[Int64Array, Int64Array]:
    """Return bid and ask on the grid with a print at its touch, never locked, never below one tick."""
    width = spread[:, None] * tick_nano
    ask_of_buy = -(-trade // tick_nano) * tick_nano
    bid_of_sell = trade // tick_nano * tick_nano
    bid_of_mid = np.rint((mid - 0.5 * width) / tick_nano).astype(np.int64) * tick_nano
    bid = np.where(traded, np.where(sides > 0, ask_of_buy - width, bid_of_sell), bid_of_mid)
    bid = np.maximum(bid, tick_nano)
    return bid, bid + width


def _spread_over_silence(
    bid: Int64Array,
    ask: Int64Array,
    rows: Int64Array,
    minutes: int,
    steps: int,
    tick_nano: int,
    generator: np.random.Generator,
) -> tuple[Int64Array, Int64Array]:
    """Carry the last quote through minutes without a bar, where it drifts by at most one tick; flat arrays."""
    drift_ticks = generator.integers(-1, 2, size=minutes)
    last_row = np.searchsorted(rows, np.arange(minutes), side="right") - 1
    silent = np.ones(minutes, dtype=np.bool_)
    silent[rows] = False
    begun = last_row >= 0
    source = np.maximum(last_row, 0)
    held_bid = np.where(silent, bid[source, -1], 0)
    held_ask = np.where(silent, ask[source, -1], 0)
    # The drift sets in half-way through the silent minute, and never takes the bid below one tick.
    drift = np.where((drift_ticks < 0) & (held_bid <= tick_nano), 0, drift_ticks) * tick_nano
    late = (np.arange(steps) >= steps // 2).astype(np.int64)[None, :]
    full_bid = np.where(silent[:, None], held_bid[:, None] + drift[:, None] * late, bid[source])
    full_ask = np.where(silent[:, None], held_ask[:, None] + drift[:, None] * late, ask[source])
    full_bid[~begun] = 0
    full_ask[~begun] = 0
    return full_bid.ravel(), full_ask.ravel()


def _scatter(values: Int64Array, rows: Int64Array, minutes: int) -> Int64Array:
    result = np.zeros((minutes, values.shape[1]), dtype=np.int64)
    result[rows] = values
    return result.ravel()
