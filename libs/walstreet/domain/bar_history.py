"""Owns bars made from the broker's history: warm-up before the open and repair of minutes that were missed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from walstreet.domain.bar_types import SealedBar
from walstreet.domain.gateway_parameters import SessionPlan
from walstreet.domain.observations import HistoryBar, HistoryObserved

IntArray: TypeAlias = NDArray[np.int64]

_ATTRIBUTES = ("open_nano", "high_nano", "low_nano", "close_nano", "volume_micro", "vwap_nano", "trade_count")
_COLUMNS = ("open", "high", "low", "close", "volume", "vwap", "count")


def warmup_bars(
    history: HistoryObserved, plan: SessionPlan, *, after_ns: int, last_close: IntArray
) -> Iterator[SealedBar]:
    """Yield one bar per minute of the union over all symbols, oldest first, empty symbols carried.

    Only whole bars inside regular sessions before the plan's open are taken, and only those that end after
    ``after_ns`` (what an earlier life has written already). ``last_close`` (N,) is 0 where none is known.
    """
    series = [history.bars.get(symbol, ()) for symbol in plan.symbols]
    starts = [_regular_starts(bars, history.bar_ns, plan, after_ns) for bars in series]
    minutes = np.unique(np.concatenate(starts)) if starts else np.empty(0, dtype=np.int64)
    table = np.zeros((len(_COLUMNS), len(minutes), len(plan.symbols)), dtype=np.int64)
    for position, (bars, wanted) in enumerate(zip(series, starts, strict=True)):
        rows = np.searchsorted(minutes, wanted)
        chosen = {bar.start_ns: bar for bar in bars}
        picked = [chosen[start] for start in wanted.tolist()]
        for column, attribute in enumerate(_ATTRIBUTES):
            values = np.fromiter((getattr(bar, attribute) for bar in picked), dtype=np.int64, count=len(picked))
            table[column, rows, position] = values
    zeros = np.zeros(len(plan.symbols), dtype=np.int64)
    for row, start_ns in enumerate(minutes.tolist()):
        columns = {name: table[column, row].copy() for column, name in enumerate(_COLUMNS)}
        bar = _unquoted(start_ns + history.bar_ns, columns, zeros)
        bar.carry(last_close)
        last_close = bar.close
        yield bar


def _regular_starts(bars: Sequence[HistoryBar], bar_ns: int, plan: SessionPlan, after_ns: int) -> IntArray:
    """Return the starts of the whole bars that the plan wants, ascending and without repetition."""
    # A bar without volume only repeats the last price.
    starts = np.unique(np.array([bar.start_ns for bar in bars if bar.volume_micro > 0], dtype=np.int64))
    wanted = (starts % bar_ns == 0) & (starts + bar_ns > after_ns) & (starts + bar_ns <= plan.open_ns)
    if plan.past_sessions:
        regular = np.zeros(len(starts), dtype=np.bool_)
        for hours in plan.past_sessions:
            regular |= (starts >= hours.open_ns) & (starts + bar_ns <= hours.close_ns)
        wanted &= regular
    return np.asarray(starts[wanted], dtype=np.int64)


def _unquoted(end_ns: int, columns: Mapping[str, IntArray], zeros: IntArray) -> SealedBar:
    return SealedBar(
        end_ns=end_ns,
        open=columns["open"],
        high=columns["high"],
        low=columns["low"],
        close=columns["close"],
        volume=columns["volume"],
        vwap=columns["vwap"],
        count=columns["count"],
        bid=zeros,
        ask=zeros,
        bid_size=zeros,
        ask_size=zeros,
        spread_mean=zeros,
        signed=zeros.copy(),
        quote_count=zeros,
        quote_ts=zeros,
    )


@dataclass(slots=True)
class Repair:
    """History of the running session that mends minutes which were not observed; volatile."""

    size: int
    bars: dict[tuple[int, int], HistoryBar] = field(default_factory=dict)
    """By (end of the bar, position of the symbol); bounded by the session's bars."""
    known_ns: list[int] = field(init=False)
    """Per symbol: the history of every bar that ends until then has been told."""

    def __post_init__(self) -> None:
        """Start without any history."""
        self.known_ns = [0] * self.size

    def learn(self, history: HistoryObserved, plan: SessionPlan, after_ns: int) -> None:
        """Remember the session's bars that end after ``after_ns``."""
        for position, symbol in enumerate(plan.symbols):
            if symbol not in history.bars:
                continue
            self.known_ns[position] = max(self.known_ns[position], history.ts_ns)
            for bar in history.bars[symbol]:
                end_ns = bar.start_ns + history.bar_ns
                whole = bar.start_ns % history.bar_ns == 0 and end_ns <= min(plan.close_ns, history.ts_ns)
                if whole and bar.start_ns >= plan.open_ns and end_ns > after_ns and bar.volume_micro > 0:
                    self.bars[(end_ns, position)] = bar

    def mend(self, bar: SealedBar) -> None:
        """Fill the incomplete symbols of ``bar`` as far as history is known; no bar means that none traded."""
        for position in np.flatnonzero(bar.incomplete).tolist():
            if self.known_ns[position] < bar.end_ns:
                continue
            found = self.bars.get((bar.end_ns, position))
            for name, attribute in zip(_COLUMNS, _ATTRIBUTES, strict=True):
                getattr(bar, name)[position] = 0 if found is None else getattr(found, attribute)
            bar.signed[position] = 0
            bar.incomplete[position] = False

    def forget(self, until_ns: int) -> None:
        """Drop what belongs to bars that have been written."""
        self.bars = {key: bar for key, bar in self.bars.items() if key[0] > until_ns}
