"""Owns where and at what price a minute bar prints: key prints, sizes, sides, the mid and prices in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from walstreet_services.ibsim.model import Int64Array

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]

PRINT_SIZE_TYPICAL_SHARES = 50.0
"""Decides how many steps of a thin minute trade at all."""
SIDE_RETURN_CORRELATION = 0.5
"""Share of a price move in the score that decides the side of a trade."""
SCORE_MAX = 3.0
PARKINSON_SCALE = float(np.sqrt(4.0 * np.log(2.0)))
"""Standard deviation of a Brownian motion = range / this (Parkinson 1980, J. of Business 53)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Prices of the bars that exist, in nano-USD; arrays of shape (bars,)."""

    open: Int64Array
    high: Int64Array
    low: Int64Array
    close: Int64Array


@dataclass(frozen=True, slots=True)
class Keys:
    """Where the bar's own prices are printed; arrays of shape (bars,)."""

    high_at: Int64Array
    low_at: Int64Array
    print_open: BoolArray
    print_high: BoolArray
    print_low: BoolArray
    volume_shares: Int64Array


def place_keys(
    prices: Prices,
    volume_shares: Int64Array,
    steps: int,
    generator: np.random.Generator,
) -> Keys:
    """Choose the steps of high and low, and which of the bar's prices its volume can print.

    A share is printed once, so a bar of one, two or three shares cannot show four prices: the close is served
    first, then open, high, low. A bar without volume gets one share for each price it must show.
    """
    open_, high, low, close = prices.open, prices.high, prices.low, prices.close
    count = len(open_)
    first = generator.integers(0, steps - 2, size=count)
    second = generator.integers(0, steps - 3, size=count)
    second += second >= first
    extremes = np.sort(np.stack([first, second]), axis=0) + 1
    high_first = generator.random(count) < 0.5
    needs_high = high > np.maximum(open_, close)
    needs_low = low < np.minimum(open_, close)
    needed = 1 + ((high > low) | (open_ != close)).astype(np.int64) + needs_high + needs_low
    volume = np.where(volume_shares > 0, volume_shares, needed).astype(np.int64)
    print_high = needs_high & (volume >= 3)
    return Keys(
        high_at=np.where(high_first, extremes[0], extremes[1]),
        low_at=np.where(high_first, extremes[1], extremes[0]),
        print_open=volume >= 2,
        print_high=print_high,
        print_low=needs_low & (volume >= 3 + print_high),
        volume_shares=volume,
    )


def print_sizes(keys: Keys, steps: int, generator: np.random.Generator) -> Int64Array:
    """Split the volume into prints; shape (bars, steps), whole shares, row sums equal the volume."""
    count = len(keys.volume_shares)
    everyone = np.arange(count)
    size = np.zeros((count, steps), dtype=np.int64)
    size[:, steps - 1] = 1
    size[:, 0] = keys.print_open
    size[everyone[keys.print_high], keys.high_at[keys.print_high]] = 1
    size[everyone[keys.print_low], keys.low_at[keys.print_low]] = 1
    active_probability = 1.0 - np.exp(-keys.volume_shares / (PRINT_SIZE_TYPICAL_SHARES * steps))
    active = generator.random((count, steps)) < active_probability[:, None]
    weights = generator.standard_exponential((count, steps)) * (active | (size > 0))
    # Where the open has no share of its own, nothing may print before the single share of the close.
    weights[~keys.print_open, : steps - 1] = 0.0
    cumulative = weights.cumsum(axis=1)
    rest = keys.volume_shares - size.sum(axis=1)
    edges = np.floor(cumulative / cumulative[:, -1:] * rest[:, None]).astype(np.int64)
    edges[:, -1] = rest
    size += np.diff(edges, axis=1, prepend=0)
    return size


def _bridge(at: Int64Array, values: FloatArray, noise: FloatArray) -> FloatArray:
    """Return paths through knots: linear between them plus the noise pinned to zero at each knot.

    Args:
        at: Steps of the four knots in ascending order, shape (4, bars).
        values: Values at the knots, shape (4, bars).
        noise: Random walks in price units, shape (bars, steps).
    """
    everyone = np.arange(noise.shape[0])[:, None]
    offsets = values - noise[everyone.T, at]
    step = np.arange(noise.shape[1])[None, :]
    segment = (step >= at[1][:, None]).astype(np.int64) + (step >= at[2][:, None])
    left, right = at[segment, everyone], at[segment + 1, everyone]
    weight = (step - left) / np.maximum(right - left, 1)
    result: FloatArray = (1.0 - weight) * offsets[segment, everyone] + weight * offsets[segment + 1, everyone] + noise
    return result


def _knots(
    prices: Prices,
    keys: Keys,
    shifts: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    steps: int,
) -> tuple[Int64Array, FloatArray]:
    """Return steps and values of the knots; an extreme that is not printed falls onto the open."""
    open_, high, low, close = (
        price + shift for price, shift in zip((prices.open, prices.high, prices.low, prices.close), shifts, strict=True)
    )
    high_at = np.where(keys.print_high, keys.high_at, 0)
    low_at = np.where(keys.print_low, keys.low_at, 0)
    high_value = np.where(keys.print_high, high, open_)
    low_value = np.where(keys.print_low, low, open_)
    high_first = high_at <= low_at
    at = np.stack(
        [
            np.zeros_like(high_at),
            np.minimum(high_at, low_at),
            np.maximum(high_at, low_at),
            np.full_like(high_at, steps - 1),
        ]
    )
    values = np.stack(
        [
            open_,
            np.where(high_first, high_value, low_value),
            np.where(high_first, low_value, high_value),
            close,
        ]
    )
    return at, values


def _volatility(prices: Prices, steps: int) -> FloatArray:
    result: FloatArray = (prices.high - prices.low) / (PARKINSON_SCALE * np.sqrt(steps))
    return result


def choose_sides(
    prices: Prices,
    keys: Keys,
    noise: FloatArray,
    tilt: FloatArray,
    generator: np.random.Generator,
) -> Int64Array:
    """Choose +1 or -1 per step from the move of the price in the step, chance and the tilt of the minute."""
    open_, high, low, close = prices.open, prices.high, prices.low, prices.close
    count, steps = noise.shape
    volatility = _volatility(prices, steps)
    none = np.zeros(count)
    at, values = _knots(prices, keys, (none, none, none, none), steps)
    path = _bridge(at, values, noise * volatility[:, None])
    before = np.concatenate([open_[:1], close[:-1]]).astype(np.float64)
    moves = np.diff(path, axis=1, prepend=before[:, None])
    score = np.clip(moves / np.maximum(volatility, 1.0)[:, None], -SCORE_MAX, SCORE_MAX)
    chance = generator.standard_normal((count, steps))
    blend = SIDE_RETURN_CORRELATION * score + np.sqrt(1.0 - SIDE_RETURN_CORRELATION**2) * chance
    sides: Int64Array = np.where(blend + tilt[:, None] > 0.0, 1, -1).astype(np.int64)
    # A minute at one price shows one side of the spread; two sides would make the quote jump around it.
    flat = high == low
    sides[flat] = sides[flat, :1]
    everyone = np.arange(count)
    sides[everyone[keys.print_high], keys.high_at[keys.print_high]] = 1
    sides[everyone[keys.print_low], keys.low_at[keys.print_low]] = -1
    return sides


def mid_path(
    prices: Prices,
    keys: Keys,
    sides: Int64Array,
    half_spread: FloatArray,
    noise: FloatArray,
) -> FloatArray:
    """Return the mid, shape (bars, steps): half a spread below a buy's print, above a sell's."""
    steps = noise.shape[1]
    shifts = (-sides[:, 0] * half_spread, -half_spread, half_spread, -sides[:, -1] * half_spread)
    at, values = _knots(prices, keys, shifts, steps)
    path = _bridge(at, values, noise * _volatility(prices, steps)[:, None])
    result: FloatArray = np.clip(path, (prices.low - half_spread)[:, None], (prices.high + half_spread)[:, None])
    return result


def print_prices(
    prices: Prices,
    keys: Keys,
    sides: Int64Array,
    half_spread: FloatArray,
    mid: FloatArray,
    tick_nano: int,
) -> Int64Array:
    """Return the price at which each step would print, the bar's own prices exact even where off the grid."""
    open_, high, low, close = prices.open, prices.high, prices.low, prices.close
    on_grid = np.rint((mid + sides * half_spread[:, None]) / tick_nano).astype(np.int64) * tick_nano
    trade = np.clip(on_grid, low[:, None], high[:, None])
    everyone = np.arange(len(open_))
    trade[everyone[keys.print_high], keys.high_at[keys.print_high]] = high[keys.print_high]
    trade[everyone[keys.print_low], keys.low_at[keys.print_low]] = low[keys.print_low]
    trade[:, 0] = open_
    trade[:, -1] = close
    return trade
