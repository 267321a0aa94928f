"""Owns the conversions between wire integers and the floats that formulas use, and the constants of time.

Floats appear in decisions only; positions, cash and order quantities stay integers (see ``ledger``).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from walstreet_events import NANOS_PER_SECOND, PRICE_SCALE, QUANTITY_SCALE

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

SECONDS_PER_MINUTE = 60
MINUTE_NS = SECONDS_PER_MINUTE * NANOS_PER_SECOND
DAY_NS = 24 * 60 * MINUTE_NS
SESSION_MINUTES = 390
"""Trading minutes of a full session; a horizon of one day."""
SIGMA_BASE_MINUTES = 5
"""Horizon of the volatility that the feature builder delivers."""
BPS = 10_000.0
HORIZONS_MINUTES: tuple[int, ...] = (5, 10, 15, 30, 60, 120, 390, 1_950, 7_800)
"""5m to 120m, then 1d, 5d and 20d in trading minutes."""

assert tuple(sorted(HORIZONS_MINUTES)) == HORIZONS_MINUTES
assert SESSION_MINUTES in HORIZONS_MINUTES


def price_usd(nano: IntArray) -> FloatArray:
    """Return prices in USD; NaN where the wire value is not positive, which means *unknown*."""
    return np.where(nano > 0, nano / PRICE_SCALE, np.nan)


def shares(micro: IntArray) -> FloatArray:
    """Return quantities in shares, signed."""
    result: FloatArray = micro / QUANTITY_SCALE
    return result


def mid_nano(bid_nano: IntArray, ask_nano: IntArray) -> IntArray:
    """Return the mid in nano, rounded down; 0 without a sound two-sided quote (missing side, crossed)."""
    sound = (bid_nano > 0) & (ask_nano >= bid_nano)
    return np.where(sound, bid_nano + (ask_nano - bid_nano) // 2, 0)


def horizon_ns(horizon_minutes: int) -> int:
    """Return how long a horizon lasts: session minutes below one day, whole calendar days from one day on."""
    if horizon_minutes < SESSION_MINUTES:
        return horizon_minutes * MINUTE_NS
    return -(-horizon_minutes // SESSION_MINUTES) * DAY_NS


def is_overnight(horizon_minutes: int) -> bool:
    """Return whether a position of this horizon outlives the session."""
    return horizon_minutes >= SESSION_MINUTES
