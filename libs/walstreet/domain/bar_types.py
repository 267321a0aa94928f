"""Owns the values of a bar in the making: accumulators, the sealed columns with their doubts, the wire form."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from walstreet_events import ROOT, BarBlock, BarFlag, EventId, int_block

IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

OhlcvField: TypeAlias = Literal["open", "high", "low", "close", "volume"]
OHLCV_FIELDS: tuple[OhlcvField, ...] = ("open", "high", "low", "close", "volume")


AHEAD_MAX = 1_000_000
"""Observations of a later bar that may wait until the current one is sealed; more are counted as dropped."""


@dataclass(slots=True)
class BarCounters:
    """What did not go into a bar; volatile, for metrics, and never silently zero."""

    late_trades: int = 0
    """Trades stamped inside a bar that had been sealed before they came."""
    late_broker_bars: int = 0
    ahead_dropped: int = 0
    """Observations lost because more than ``AHEAD_MAX`` waited."""
    unknown_symbol: int = 0


@dataclass(slots=True)
class Columns:
    """Accumulators of the current bar, replaced at every seal; one entry per symbol."""

    open: list[int]
    high: list[int]
    low: list[int]
    close: list[int]
    count: list[int]
    notional: list[int]
    """Sum of price times size in nano-micro; exact, beyond 64 bits."""
    traded: list[int]
    signed: list[int]
    quotes: list[int]
    spread: list[int]
    spreads: list[int]
    """Quotes that had a spread (not crossed)."""
    slots: list[int]
    """Bit k is set when a trade was seen in the k-th five-second slot of the bar."""

    @classmethod
    def zeros(cls, size: int) -> Columns:
        """Return accumulators that hold nothing."""
        return cls(*([0] * size for _ in fields(cls)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """One symbol's bar from ticks beside the broker's; (open, high, low, close in nano, volume in micro)."""

    index: int
    ticks: tuple[int, ...]
    broker: tuple[int, ...]


@dataclass(slots=True, kw_only=True)
class SealedBar:
    """One bar of every symbol, arrays (N,); prices in nano, sizes in micro; prices are 0 without a trade."""

    end_ns: int
    open: IntArray
    high: IntArray
    low: IntArray
    close: IntArray
    volume: IntArray
    vwap: IntArray
    count: IntArray
    bid: IntArray
    ask: IntArray
    bid_size: IntArray
    ask_size: IntArray
    spread_mean: IntArray
    signed: IntArray
    quote_count: IntArray
    quote_ts: IntArray
    flags: IntArray = field(init=False)
    incomplete: BoolArray = field(init=False)
    """Symbols of which part of the bar was not observed, from the feed nor from the broker's own bars."""
    disagreements: tuple[Disagreement, ...] = ()

    def __post_init__(self) -> None:
        """Start without flags and complete."""
        self.flags = np.zeros(len(self.close), dtype=np.int64)
        self.incomplete = np.zeros(len(self.close), dtype=np.bool_)

    def carry(self, last_close: IntArray) -> None:
        """Give symbols without a trade the last close and the flag EMPTY; note which have no quote.

        A volume without a price (the last tick was missed) keeps its volume at the last close, if there is one.
        """
        silent = self.close == 0
        self.volume[silent & (last_close == 0)] = 0
        empty = silent & (self.volume == 0)
        for column in (self.open, self.high, self.low, self.close, self.vwap):
            column[silent] = last_close[silent]
        self.count[empty] = 0
        self.signed[silent] = 0
        self.flags[empty] |= int(BarFlag.EMPTY)
        self.flags[(self.bid == 0) | (self.ask == 0)] |= int(BarFlag.NO_QUOTE)


def to_block(bar: SealedBar, symbols: tuple[str, ...], *, bar_ns: int, warmup: bool, event_id: EventId) -> BarBlock:
    """Return the event of a bar whose empty symbols have been given their last close."""
    return BarBlock(
        id=event_id,
        cause=ROOT,
        ts_ns=bar.end_ns,
        symbols=symbols,
        bar_ns=bar_ns,
        warmup=warmup,
        open_nano=int_block(bar.open),
        high_nano=int_block(bar.high),
        low_nano=int_block(bar.low),
        close_nano=int_block(bar.close),
        volume_micro=int_block(bar.volume),
        trade_count=int_block(bar.count),
        vwap_nano=int_block(bar.vwap),
        bid_nano=int_block(bar.bid),
        ask_nano=int_block(bar.ask),
        bid_size_micro=int_block(bar.bid_size),
        ask_size_micro=int_block(bar.ask_size),
        spread_mean_nano=int_block(bar.spread_mean),
        signed_volume_micro=int_block(bar.signed),
        quote_count=int_block(bar.quote_count),
        quote_ts_ns=int_block(bar.quote_ts),
        flags=int_block(bar.flags),
    )
