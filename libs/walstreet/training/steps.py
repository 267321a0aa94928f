"""Owns bars made from a market's steps, as the gateway would have made them from the same ticks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from walstreet_events import ROOT, BarBlock, BarFlag, derive_id, int_block, tag_of

Int64Array = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTable:
    """One session of N symbols in equal steps; arrays of shape (steps, N), prices in nano, sizes in micro.

    A row holds the trade within the step (size 0 for none) and the quote at the step's end (0 for none).
    """

    symbols: tuple[str, ...]
    open_ns: int
    step_ns: int
    bid_nano: Int64Array
    ask_nano: Int64Array
    bid_size_micro: Int64Array
    ask_size_micro: Int64Array
    trade_nano: Int64Array
    trade_size_micro: Int64Array


def bars_from_steps(table: StepTable, *, bar_ns: int, last_close_nano: Int64Array, quoted: bool) -> Iterator[BarBlock]:
    """Yield the session's bars in order.

    Signed volume follows the gateway's quote rule (Lee and Ready 1991): a trade is compared with the mid of the
    quote that stood before it, at the mid or without a quote with the last different trade price.

    Args:
        table: The session's steps.
        bar_ns: Length of a bar, a multiple of the step.
        last_close_nano: (N,) close before the session, which empty bars repeat until the first trade; 0 for none.
        quoted: False gives bars as they come from the broker's history: without quotes and order flow.

    Raises:
        ValueError: The bar is no multiple of the step.
    """
    if bar_ns % table.step_ns:
        raise ValueError(
            f"bar_ns = {bar_ns} is no multiple of step_ns = {table.step_ns}; choose a step that divides it"
        )
    width = bar_ns // table.step_ns
    sides = quote_rule_sides(table)
    close = last_close_nano.copy()
    for index in range(len(table.trade_nano) // width):
        rows = slice(index * width, (index + 1) * width)
        block = _bar(table, sides, rows, close, ts_ns=table.open_ns + (index + 1) * bar_ns, quoted=quoted)
        close = block.close_nano.array()
        yield block


def quote_rule_sides(table: StepTable) -> Int64Array:
    """Return +1, -1 or 0 per trade, shape (steps, N)."""
    price, size = table.trade_nano, table.trade_size_micro
    traded = size > 0
    bid, ask = np.roll(table.bid_nano, 1, axis=0), np.roll(table.ask_nano, 1, axis=0)
    bid[0] = ask[0] = 0
    excess = np.where((bid > 0) & (ask > 0), 2 * price - bid - ask, 0)
    last, tick = np.zeros_like(price[0]), np.zeros_like(price[0])
    sides = np.zeros_like(price)
    for row in range(len(price)):
        moved = traded[row] & (last > 0) & (price[row] != last)
        tick = np.where(moved, np.sign(price[row] - last), tick)
        last = np.where(traded[row], price[row], last)
        sides[row] = np.where(traded[row], np.where(excess[row] != 0, np.sign(excess[row]), tick), 0)
    return sides


def _bar(
    table: StepTable, sides: Int64Array, rows: slice, last_close: Int64Array, *, ts_ns: int, quoted: bool
) -> BarBlock:
    price, size = table.trade_nano[rows], table.trade_size_micro[rows]
    traded = size > 0
    count = np.count_nonzero(traded, axis=0)
    some = count > 0
    columns = np.arange(price.shape[1])
    first = np.argmax(traded, axis=0)
    final = len(price) - 1 - np.argmax(traded[::-1], axis=0)
    volume = size.sum(axis=0)
    notional = (price.astype(np.float64) * size).sum(axis=0)
    vwap = np.rint(notional / np.maximum(volume, 1)).astype(np.int64)
    close = np.where(some, price[final, columns], last_close)
    low = np.where(traded, price, np.iinfo(np.int64).max).min(axis=0)
    high = np.where(traded, price, 0).max(axis=0)
    bid, ask = table.bid_nano[rows], table.ask_nano[rows]
    two_sided = (bid > 0) & (ask >= bid)
    quotes = np.count_nonzero(two_sided, axis=0)
    spread = np.where(two_sided, ask - bid, 0).sum(axis=0) // np.maximum(quotes, 1)
    known = two_sided[-1] & quoted
    flags = np.where(some, 0, int(BarFlag.EMPTY)) | np.where(known, 0, int(BarFlag.NO_QUOTE))
    event = derive_id(f"bar:training:{ts_ns}", tag_of(BarBlock), 0)
    return BarBlock(
        id=event,
        cause=ROOT,
        ts_ns=ts_ns,
        symbols=table.symbols,
        bar_ns=len(price) * table.step_ns,
        warmup=not quoted,
        open_nano=int_block(np.where(some, price[first, columns], last_close)),
        high_nano=int_block(np.where(some, high, last_close)),
        low_nano=int_block(np.where(some, low, last_close)),
        close_nano=int_block(close),
        volume_micro=int_block(volume),
        trade_count=int_block(count),
        vwap_nano=int_block(np.where(some, vwap, last_close)),
        bid_nano=int_block(np.where(known, bid[-1], 0)),
        ask_nano=int_block(np.where(known, ask[-1], 0)),
        bid_size_micro=int_block(np.where(known, table.bid_size_micro[rows][-1], 0)),
        ask_size_micro=int_block(np.where(known, table.ask_size_micro[rows][-1], 0)),
        spread_mean_nano=int_block(spread * int(quoted)),
        signed_volume_micro=int_block((sides[rows] * size).sum(axis=0) * int(quoted)),
        quote_count=int_block(quotes * int(quoted)),
        quote_ts_ns=int_block(np.where(known, ts_ns, 0)),
        flags=int_block(flags),
    )
