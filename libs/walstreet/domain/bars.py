"""Owns the building of minute bars from ticks: accumulation per symbol, the quote rule and the sealing of a bar.

A bar that ends at E covers ``(E - bar_ns, E]``, as an observation stamped E belongs to the step that ends there.
The accumulators are columns with one Python integer per symbol, because a notional of one busy minute
(price in nano times size in micro) does not fit into 64 bits; sealing turns the columns into arrays.
Against the broker's own bars the sealed bar is checked in ``walstreet.domain.bar_check``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from walstreet.domain.bar_check import BrokerColumns, settle
from walstreet.domain.bar_types import AHEAD_MAX, BarCounters, Columns, IntArray, SealedBar
from walstreet.domain.observations import (
    BrokerBarObserved,
    QuoteObserved,
    TradeObserved,
    VolumeObserved,
)

BLIND_MAX = 64
"""Remembered intervals without a feed; further ones are merged with the last, which only marks more as blind."""
UNKNOWN = -1
"""Cumulative volume that was never observed."""

MarketObservation: TypeAlias = QuoteObserved | TradeObserved | VolumeObserved | BrokerBarObserved


class BarBuilder:
    """Accumulates the bars of a fixed tuple of symbols; one bar is current, later observations wait.

    Args:
        symbols: Order of every array.
        bar_ns: Length of a bar.
        first_end_ns: End of the first bar that will be sealed.
        session_open_ns: From here on cumulative volumes count; before it they only set the base.
        volume_tolerance_bps: Permitted difference between our volume and the broker's.
    """

    def __init__(
        self,
        symbols: tuple[str, ...],
        *,
        bar_ns: int,
        first_end_ns: int,
        session_open_ns: int,
        volume_tolerance_bps: int,
    ) -> None:
        self.counters = BarCounters()
        self.end_ns = first_end_ns
        self._symbols = symbols
        self._index = {symbol: position for position, symbol in enumerate(symbols)}
        self._bar_ns = bar_ns
        self._open_ns = session_open_ns
        self._tolerance_bps = volume_tolerance_bps
        self._ahead: deque[tuple[int, MarketObservation]] = deque()
        self._blind: list[list[int | None]] = []
        size = len(symbols)
        self._now = Columns.zeros(size)
        self._broker = BrokerColumns(size, bar_ns)
        self._volume, self._base = [UNKNOWN] * size, [UNKNOWN] * size
        self._in_session = [False] * size
        self._quote: list[QuoteObserved | None] = [None] * size
        self._quote_before: list[QuoteObserved | None] = [None] * size
        self._quote_ts = [0] * size
        self._quotes_void_ns = 0
        self._last_trade, self._tick_sign = [0] * size, [0] * size

    # --------------------------------------------------------------------------------------------- feed

    def blind_from(self, ts_ns: int) -> None:
        """Note that nothing is observed after ``ts_ns``; standing quotes are void until a fresh one comes."""
        if not self._blind or self._blind[-1][1] is not None:
            self._blind.append([ts_ns, None])
        size = len(self._symbols)
        self._quote, self._quote_before = [None] * size, [None] * size
        self._quotes_void_ns = ts_ns

    def seeing_from(self, ts_ns: int) -> None:
        """Note that observations are complete again from ``ts_ns`` on."""
        if self._blind and self._blind[-1][1] is None:
            self._blind[-1][1] = ts_ns
        if len(self._blind) > BLIND_MAX:
            last = self._blind.pop()
            self._blind[-1][1] = last[1]

    def begin_at(self, ts_ns: int) -> None:
        """Note that nothing before ``ts_ns`` was observed (start of the process)."""
        self._blind.insert(0, [0, ts_ns])
        if ts_ns <= self._open_ns:
            # Started before the open: the session's cumulative volume starts from nothing.
            self._base = [0] * len(self._symbols)

    def add(self, observation: MarketObservation) -> None:
        """Take one observation; one of a later bar waits until the current bar is sealed."""
        index = self._index.get(observation.symbol)
        if index is None:
            self.counters.unknown_symbol += 1
            return
        ts_ns = _stamp_ns(observation)
        if ts_ns > self.end_ns:
            if len(self._ahead) >= AHEAD_MAX:
                self.counters.ahead_dropped += 1
                return
            self._ahead.append((index, observation))
            return
        self._apply(index, observation)

    def seal(self) -> SealedBar:
        """Close the current bar, start the next one and take what had waited for it."""
        bar = self._sealed()
        size = len(self._symbols)
        self._move_base()
        self._now = Columns.zeros(size)
        self._broker = BrokerColumns(size, self._bar_ns)
        self.end_ns += self._bar_ns
        self._blind = [gap for gap in self._blind if gap[1] is None or gap[1] > self.end_ns - self._bar_ns]
        waiting, self._ahead = self._ahead, deque()
        for index, observation in waiting:
            if _stamp_ns(observation) > self.end_ns:
                self._ahead.append((index, observation))
            else:
                self._apply(index, observation)
        return bar

    def broker_complete(self) -> bool:
        """Return whether the broker's own bars of the current bar are all there, for every symbol."""
        return bool(self._broker.complete(self._now.slots, self._blind_mask()).all())

    # -------------------------------------------------------------------------------------------- ticks

    def _apply(self, index: int, observation: MarketObservation) -> None:
        if isinstance(observation, QuoteObserved):
            self._apply_quote(index, observation)
        elif isinstance(observation, TradeObserved):
            self._apply_trade(index, observation)
        elif isinstance(observation, VolumeObserved):
            self._apply_volume(index, observation)
        else:
            start_ns = self.end_ns - self._bar_ns
            if observation.bar.start_ns < start_ns:
                self.counters.late_broker_bars += start_ns >= self._open_ns
                return
            self._broker.add(index, observation, start_ns)

    def _apply_quote(self, index: int, quote: QuoteObserved) -> None:
        standing = self._quote[index]
        if quote.ts_ns <= self._quotes_void_ns or (standing is not None and quote.ts_ns < standing.ts_ns):
            return
        if standing is None or quote.ts_ns > standing.ts_ns:
            self._quote_before[index] = standing
        self._quote[index] = quote
        if quote.bid_nano <= 0 or quote.ask_nano <= 0:
            return
        self._quote_ts[index] = quote.ts_ns
        if quote.ts_ns <= self.end_ns - self._bar_ns:
            return
        now = self._now
        now.quotes[index] += 1
        if quote.ask_nano >= quote.bid_nano:
            now.spread[index] += quote.ask_nano - quote.bid_nano
            now.spreads[index] += 1

    def _apply_trade(self, index: int, trade: TradeObserved) -> None:
        start_ns = self.end_ns - self._bar_ns
        if trade.ts_ns <= start_ns:
            # Before the open there is no bar that the trade could be late for.
            self.counters.late_trades += start_ns >= self._open_ns and trade.ts_ns > self._open_ns
            return
        if trade.price_nano <= 0 or trade.size_micro < 0:
            return
        now, price = self._now, trade.price_nano
        sign = self._sign(index, trade)
        if now.count[index] == 0:
            now.open[index] = now.high[index] = now.low[index] = price
        now.high[index] = max(now.high[index], price)
        now.low[index] = min(now.low[index], price)
        now.close[index] = price
        now.count[index] += 1
        now.notional[index] += price * trade.size_micro
        now.traded[index] += trade.size_micro
        now.signed[index] += sign * trade.size_micro
        now.slots[index] |= 1 << self._broker.slot(trade.ts_ns - start_ns - 1)

    def _sign(self, index: int, trade: TradeObserved) -> int:
        """Return +1 for a buyer-, -1 for a seller-initiated trade, 0 unknown (Lee and Ready 1991).

        The trade is compared with the mid of the quote that stood before it, at the mid with the last different
        trade price (tick rule).
        """
        if self._last_trade[index] and trade.price_nano != self._last_trade[index]:
            self._tick_sign[index] = 1 if trade.price_nano > self._last_trade[index] else -1
        self._last_trade[index] = trade.price_nano
        quote = self._quote[index]
        if quote is not None and quote.ts_ns >= trade.ts_ns:
            quote = self._quote_before[index]
        if quote is None or quote.bid_nano <= 0 or quote.ask_nano <= 0:
            return self._tick_sign[index]
        excess = 2 * trade.price_nano - quote.bid_nano - quote.ask_nano
        if excess == 0:
            return self._tick_sign[index]
        return 1 if excess > 0 else -1

    def _apply_volume(self, index: int, observation: VolumeObserved) -> None:
        volume = observation.volume_micro
        if volume < 0:
            return
        if observation.ts_ns <= self._open_ns:
            # Before the open the broker shows the old session's count or the pre-market's.
            self._volume[index] = self._base[index] = volume
            return
        if not self._in_session[index]:
            self._in_session[index] = True
            if volume < self._base[index]:
                self._volume[index] = self._base[index] = 0
            elif self._base[index] == UNKNOWN:
                self._base[index] = max(0, volume - self._now.traded[index])
        # A stale count that arrives after a newer one is lower; the highest is the newest.
        self._volume[index] = max(self._volume[index], volume)

    # ------------------------------------------------------------------------------------------ sealing

    def _move_base(self) -> None:
        """Let the next bar's volume count from here; sizes stand in as long as no cumulative count came."""
        for index, have in enumerate(self._volume):
            if have != UNKNOWN:
                self._base[index] = max(self._base[index], have)
            elif self._base[index] != UNKNOWN:
                self._base[index] += self._now.traded[index]

    def _blind_mask(self) -> int:
        start_ns, mask = self.end_ns - self._bar_ns, 0
        for begin_ns, stop_ns in self._blind:
            stop = self.end_ns if stop_ns is None else stop_ns
            mask |= self._broker.slots_between((begin_ns or 0) - start_ns, stop - start_ns)
        return mask

    def _sealed(self) -> SealedBar:
        now = self._now
        volume = [
            max(0, have - base) if UNKNOWN not in (have, base) else traded
            for have, base, traded in zip(self._volume, self._base, now.traded, strict=True)
        ]
        vwap = [
            (notional + traded // 2) // traded if traded else close
            for notional, traded, close in zip(now.notional, now.traded, now.close, strict=True)
        ]
        spread = [
            (total + seen // 2) // seen if seen else 0 for total, seen in zip(now.spread, now.spreads, strict=True)
        ]
        quoted = [self._two_sided(quote) for quote in self._quote]
        bar = SealedBar(
            end_ns=self.end_ns,
            open=_array(now.open),
            high=_array(now.high),
            low=_array(now.low),
            close=_array(now.close),
            volume=_array(volume),
            vwap=_array(vwap),
            count=_array(now.count),
            bid=_array([quote.bid_nano if quote else 0 for quote in quoted]),
            ask=_array([quote.ask_nano if quote else 0 for quote in quoted]),
            bid_size=_array([quote.bid_size_micro if quote else 0 for quote in quoted]),
            ask_size=_array([quote.ask_size_micro if quote else 0 for quote in quoted]),
            spread_mean=_array(spread),
            signed=_array(now.signed),
            quote_count=_array(now.quotes),
            quote_ts=_array(self._quote_ts),
        )
        return settle(
            bar,
            self._broker,
            slots=now.slots,
            blind_mask=self._blind_mask(),
            tolerance_bps=self._tolerance_bps,
        )

    @staticmethod
    def _two_sided(quote: QuoteObserved | None) -> QuoteObserved | None:
        return quote if quote is not None and quote.bid_nano > 0 and quote.ask_nano > 0 else None


def _array(values: Sequence[int]) -> IntArray:
    return np.array(values, dtype=np.int64)


def _stamp_ns(observation: MarketObservation) -> int:
    """Return when an observation became complete; the broker stamps its bars with their start."""
    if isinstance(observation, BrokerBarObserved):
        return observation.bar.start_ns + observation.bar_ns
    return observation.ts_ns
