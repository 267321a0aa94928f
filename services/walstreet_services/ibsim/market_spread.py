"""Owns the liquidity model of a session's quotes: how wide the spread is and how much is displayed.

Sources of the shapes: spreads grow with volatility and shrink with activity (Madhavan 2000, J. of Financial
Markets 3, section 2), and decay after the open (McInish and Wood 1992, J. of Finance 47). The constants are
ours, set so that one-cent names of 2019 come out at one cent and the widest (AMZN, TSLA) at their known spreads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from walstreet_services.ibsim.market_path import MinuteBars
    from walstreet_services.ibsim.model import Int64Array

    FloatArray = NDArray[np.float64]

SPREAD_PER_VOLATILITY = 0.8
"""Spread in units of the one-minute standard deviation at the reference volume."""
VOLUME_REFERENCE_SHARES = 7_000.0
"""Shares per minute at which the volume factor is one."""
VOLUME_EXPONENT = 0.75
VOLUME_FACTOR_MAX = 8.0
SPREAD_FRACTION_MAX = 0.01
OPEN_EXTRA = 2.0
"""The spread of the first minute is 1 + this times the usual one."""
OPEN_DECAY_MINUTES = 5.0
"""After 15 minutes 5 % of the extra width is left."""
VOLATILITY_DECAY_MINUTES = 7.0
VOLATILITY_EXPONENT = 0.5
VOLATILITY_FACTOR_MIN = 0.7
VOLATILITY_FACTOR_MAX = 3.0
RANGE_PER_VOLATILITY = 1.6
"""Expected range of a Brownian motion over its standard deviation, sqrt(8 / pi), rounded."""
SPREAD_PRICE_DIVISOR = 10
"""A spread never exceeds a tenth of the price, so that penny prices keep a positive bid."""
DISPLAYED_FRACTION = 0.02
"""Median displayed size at the touch, as a fraction of a typical minute's volume."""
DISPLAYED_LOG_DEVIATION = 0.5


def spread_ticks(bars: MinuteBars, *, tick_nano: int, generator: np.random.Generator) -> Int64Array:
    """Return the spread of every minute in whole ticks, shape (minutes,), at least one.

    ``spread = price * k * sigma * (V0 / V)^0.75 * open * volatility``, rounded up or down at random so that its
    mean is kept, and bounded by the bar's own range: where both sides traded, the range is at least the spread.
    The volatility factor of a minute looks at earlier minutes only.
    """
    minutes = len(bars.present)
    close = np.where(bars.present, bars.close_nano, 1).astype(np.float64)
    price_range = np.where(bars.present, bars.high_nano - bars.low_nano, 0).astype(np.float64)
    relative_range = price_range / close
    typical_range = float(relative_range[bars.present].mean())
    volume = max(typical_volume_shares(bars), 1.0)
    volume_factor = min((VOLUME_REFERENCE_SHARES / volume) ** VOLUME_EXPONENT, VOLUME_FACTOR_MAX)
    fraction = SPREAD_PER_VOLATILITY * typical_range / RANGE_PER_VOLATILITY * volume_factor
    open_factor = 1.0 + OPEN_EXTRA * np.exp(-np.arange(minutes) / OPEN_DECAY_MINUTES)
    factor = open_factor * _volatility_factor(relative_range, typical_range)
    wanted = np.minimum(fraction * factor, SPREAD_FRACTION_MAX) * close / tick_nano
    ticks = np.maximum(np.floor(wanted + generator.random(minutes)), 1.0)
    range_ticks = np.floor(price_range / tick_nano)
    ticks = np.where(range_ticks >= 1.0, np.minimum(ticks, range_ticks), ticks)
    low = np.where(bars.present, bars.low_nano, 1).astype(np.float64)
    price_bound = np.maximum(np.floor(low / tick_nano / SPREAD_PRICE_DIVISOR), 1.0)
    result: Int64Array = np.minimum(ticks, price_bound).astype(np.int64)
    return result


def displayed_size_shares(
    bars: MinuteBars, *, steps: int, lot_size: int, generator: np.random.Generator
) -> tuple[Int64Array, Int64Array]:
    """Return displayed bid and ask sizes of every step, whole lots, each of shape (minutes * steps,)."""
    lots = max(typical_volume_shares(bars) * DISPLAYED_FRACTION / lot_size, 1.0)
    spread = generator.standard_normal((2, len(bars.present) * steps))
    sizes = np.maximum(np.rint(lots * np.exp(DISPLAYED_LOG_DEVIATION * spread)), 1.0).astype(np.int64) * lot_size
    return sizes[0], sizes[1]


def typical_volume_shares(bars: MinuteBars) -> float:
    """Return the mean volume per minute of the session, silent minutes counted as zero."""
    return float(np.where(bars.present, bars.volume_shares, 0).mean())


def _volatility_factor(relative_range: FloatArray, typical_range: float) -> FloatArray:
    keep = 0.5 ** (1.0 / VOLATILITY_DECAY_MINUTES)
    recent = np.empty(len(relative_range))
    average = typical_range
    for minute, value in enumerate(relative_range):
        recent[minute] = average
        average = keep * average + (1.0 - keep) * value
    ratio = recent / max(typical_range, np.finfo(np.float64).tiny)
    result: FloatArray = np.clip(ratio**VOLATILITY_EXPONENT, VOLATILITY_FACTOR_MIN, VOLATILITY_FACTOR_MAX)
    return result
