"""Owns the check of bars built from ticks against the broker's own five-second bars, and their use for repair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from walstreet.domain.bar_types import OHLCV_FIELDS, Disagreement, SealedBar
from walstreet.domain.observations import BrokerBarObserved
from walstreet_events import NANOS_PER_SECOND, BarFlag

BoolArray: TypeAlias = NDArray[np.bool_]

SLOT_NS = 5 * NANOS_PER_SECOND
"""Length of the broker's real-time bars; it offers no other."""
SLOTS_MAX = 62
"""Slots of one bar, as a mask of them must fit into a signed 64-bit integer."""
BPS = 10_000
UNSEEN = -1


class BrokerColumns:
    """The broker's five-second bars of one longer bar, summed; one entry per symbol."""

    def __init__(self, size: int, bar_ns: int) -> None:
        if bar_ns % SLOT_NS or not 0 < bar_ns // SLOT_NS <= SLOTS_MAX:
            raise ValueError(f"bar_ns={bar_ns} is no multiple of {SLOT_NS} ns up to {SLOTS_MAX} of them")
        self._slots = bar_ns // SLOT_NS
        self.mask = [0] * size
        self.first, self.last = [self._slots] * size, [UNSEEN] * size
        self.open, self.high, self.low, self.close = [0] * size, [0] * size, [0] * size, [0] * size
        self.volume, self.count, self.notional = [0] * size, [0] * size, [0] * size

    def slot(self, offset_ns: int) -> int:
        """Return the slot of an offset from the bar's start."""
        return offset_ns // SLOT_NS

    def slots_between(self, begin_ns: int, stop_ns: int) -> int:
        """Return the mask of slots that ``[begin_ns, stop_ns)``, offsets from the bar's start, touches."""
        begin = max(0, begin_ns // SLOT_NS)
        stop = min(self._slots, -(-stop_ns // SLOT_NS))
        return ((1 << (stop - begin)) - 1) << begin if stop > begin else 0

    def add(self, index: int, observation: BrokerBarObserved, start_ns: int) -> None:
        """Add one bar that starts in the bar that started at ``start_ns``; a repeated one changes nothing."""
        bar = observation.bar
        slot = self.slot(bar.start_ns - start_ns)
        if observation.bar_ns != SLOT_NS or self.mask[index] >> slot & 1:
            return
        self.mask[index] |= 1 << slot
        if bar.volume_micro <= 0:
            # Without a trade the broker repeats the last price, which is no price of this bar.
            return
        seen = self.volume[index] > 0
        if slot < self.first[index]:
            self.first[index], self.open[index] = slot, bar.open_nano
        if slot > self.last[index]:
            self.last[index], self.close[index] = slot, bar.close_nano
        self.high[index] = max(self.high[index], bar.high_nano)
        self.low[index] = min(self.low[index], bar.low_nano) if seen else bar.low_nano
        self.volume[index] += bar.volume_micro
        self.count[index] += bar.trade_count
        self.notional[index] += bar.vwap_nano * bar.volume_micro

    def complete(self, slots: Sequence[int], blind_mask: int) -> BoolArray:
        """Return per symbol whether the broker gave every slot that had a trade or that we did not see.

        A slot without a bar is complete when we watched it and saw no trade: some gateways send no bar then.
        """
        have = np.array(self.mask, dtype=np.int64)
        need = np.array(slots, dtype=np.int64) | blind_mask
        return np.asarray((have != 0) & ((have & need) == need), dtype=np.bool_)


def settle(
    bar: SealedBar, broker: BrokerColumns, *, slots: Sequence[int], blind_mask: int, tolerance_bps: int
) -> SealedBar:
    """Flag the symbols of ``bar`` and carry the broker's values where they differ or where ours are partial.

    Prices must agree exactly, volumes within ``tolerance_bps`` of the broker's.
    """
    complete = broker.complete(slots, blind_mask)
    ours = np.stack([getattr(bar, name) for name in OHLCV_FIELDS])
    theirs = np.array([getattr(broker, name) for name in OHLCV_FIELDS], dtype=np.int64)
    if blind_mask:
        # Only the broker saw the whole bar, so that there is nothing to check its values against.
        taken = complete
        bar.flags |= int(BarFlag.UNCHECKED)
        bar.incomplete = ~complete
    else:
        gap, allowed = np.abs(ours[-1] - theirs[-1]), theirs[-1] // BPS * tolerance_bps
        allowed += theirs[-1] % BPS * tolerance_bps // BPS
        taken = complete & ((ours[:-1] != theirs[:-1]).any(axis=0) | (gap > allowed))
        bar.flags[~complete] |= int(BarFlag.UNCHECKED)
        bar.flags[taken] |= int(BarFlag.MISMATCH)
        bar.disagreements = tuple(
            Disagreement(index=index, ticks=tuple(ours[:, index].tolist()), broker=tuple(theirs[:, index].tolist()))
            for index in np.flatnonzero(taken).tolist()
        )
    for position, name in enumerate(OHLCV_FIELDS):
        getattr(bar, name)[taken] = theirs[position][taken]
    bar.count[taken] = np.array(broker.count, dtype=np.int64)[taken]
    for index in np.flatnonzero(taken).tolist():
        volume = broker.volume[index]
        bar.vwap[index] = (broker.notional[index] + volume // 2) // volume if volume else 0
    return bar
