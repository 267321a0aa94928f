"""Owns the bar of all symbols as float arrays, with unusable bars of single symbols made harmless."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from walstreet_events import PRICE_SCALE, QUANTITY_SCALE, BarBlock, BarFlag

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class BarArrays:
    """One bar of N symbols; prices in USD, sizes in shares, all arrays of shape (N,)."""

    ts_ns: int
    """End of the bar."""
    bar_ns: int
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    """NaN for a symbol without any price so far."""
    volume: FloatArray
    vwap: FloatArray
    signed_volume: FloatArray
    bid: FloatArray
    ask: FloatArray
    """Bid and ask are NaN without a usable two-sided quote at the bar's end."""
    bid_size: FloatArray
    ask_size: FloatArray
    spread_bps: FloatArray
    """Mean spread of the bar over the mid at its end, NaN without a quote."""
    valid: BoolArray
    """False where the bar's own numbers contradict each other or are missing; such bars are taken as empty."""


def bar_arrays(block: BarBlock) -> BarArrays:
    """Return the block's numbers as floats; nothing is repaired here beyond marking.

    Raises:
        ValueError: An array's shape is not (N,) for the block's N symbols.
    """
    count = len(block.symbols)
    prices = {
        name: _scaled(block, name, count, PRICE_SCALE)
        for name in ("open_nano", "high_nano", "low_nano", "close_nano", "vwap_nano", "bid_nano", "ask_nano")
    }
    sizes = {
        name: _scaled(block, name, count, QUANTITY_SCALE)
        for name in ("volume_micro", "signed_volume_micro", "bid_size_micro", "ask_size_micro")
    }
    spread = _scaled(block, "spread_mean_nano", count, PRICE_SCALE)
    flags = _checked(block, "flags", count)
    open_, high, low, close = (prices[f"{name}_nano"] for name in ("open", "high", "low", "close"))
    volume = sizes["volume_micro"]
    valid = (low > 0.0) & (low <= open_) & (low <= close) & (high >= open_) & (high >= close) & (volume >= 0.0)
    bid, ask = prices["bid_nano"], prices["ask_nano"]
    quoted = (bid > 0.0) & (ask >= bid) & ((flags & int(BarFlag.NO_QUOTE)) == 0)
    mid = np.where(quoted, 0.5 * (bid + ask), np.nan)
    spread = np.where(spread > 0.0, spread, np.where(quoted, ask - bid, np.nan))
    traded = valid & (volume > 0.0) & ((flags & int(BarFlag.EMPTY)) == 0)
    vwap = prices["vwap_nano"]
    return BarArrays(
        ts_ns=block.ts_ns,
        bar_ns=block.bar_ns,
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=np.where(traded, volume, 0.0),
        vwap=np.where(traded & (vwap > 0.0), np.clip(vwap, low, high), close),
        signed_volume=np.where(traded, np.clip(sizes["signed_volume_micro"], -volume, volume), 0.0),
        bid=np.where(quoted, bid, np.nan),
        ask=np.where(quoted, ask, np.nan),
        bid_size=np.where(quoted, np.maximum(sizes["bid_size_micro"], 0.0), 0.0),
        ask_size=np.where(quoted, np.maximum(sizes["ask_size_micro"], 0.0), 0.0),
        spread_bps=1e4 * spread / mid,
        valid=valid,
    )


def _checked(block: BarBlock, name: str, count: int) -> NDArray[np.int64]:
    wire = getattr(block, name)
    if wire.shape != (count,):
        raise ValueError(
            f"bar block {block.id} at {block.ts_ns}: {name} has shape {wire.shape}, but there are {count} symbols; "
            "the gateway that wrote it is broken"
        )
    values: NDArray[np.int64] = wire.array()
    return values


def _scaled(block: BarBlock, name: str, count: int, scale: int) -> FloatArray:
    return _checked(block, name, count) / float(scale)
