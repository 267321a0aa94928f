"""Owns the one entry through which bars become features, used by research, training and the live service."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from walstreet.features.bars import bar_arrays
from walstreet.features.memory import FeatureMemory
from walstreet.features.parameters import FeatureParameters
from walstreet.features.schema import schema_hash
from walstreet.features.table import FEATURE_COUNT, FEATURES, GROUPS
from walstreet_events import BarBlock, InstrumentRef, SessionRef

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

SYMBOLS_MAX = 5_000
"""Bound of the state: about 5 kB per symbol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureRow:
    """What one bar gave for N symbols."""

    ts_ns: int
    values: FloatArray
    """(N, F), NaN with too little history."""
    complete: BoolArray
    """(N,) True where every feature is finite and the bar itself was usable."""
    spread_bps: FloatArray
    sigma_5m_bps: FloatArray
    sigma_day_bps: FloatArray
    close: FloatArray
    """(N,) USD, the last close where the bar had none."""


class FeatureBuilder:
    """Features of a fixed set of symbols, one bar at a time.

    Offline code feeds recorded bars and live code the newest one through the same ``update``; there is no
    second implementation that could differ.
    """

    __slots__ = ("_memory", "_positions", "bar_ns", "parameters", "schema_hash", "symbols")

    def __init__(self, symbols: tuple[str, ...], parameters: FeatureParameters, *, bar_ns: int) -> None:
        if not 0 < len(symbols) <= SYMBOLS_MAX:
            raise ValueError(f"{len(symbols)} symbols are outside 1..{SYMBOLS_MAX}; split the universe over instances")
        self.symbols = symbols
        self._positions = {symbol: position for position, symbol in enumerate(symbols)}
        if len(self._positions) != len(symbols):
            raise ValueError("a symbol stands twice in the session's list; every symbol may appear once")
        self.parameters = parameters
        self.bar_ns = bar_ns
        self.schema_hash = schema_hash(FEATURES, parameters, bar_ns=bar_ns)
        self._memory = FeatureMemory(len(symbols), parameters, bar_ns=bar_ns)

    @property
    def last_ts_ns(self) -> int:
        """Return the end of the newest bar, 0 before the first."""
        return self._memory.last_ts_ns

    def describe_session(self, session: SessionRef) -> None:
        """Take open and close of the session to be traded."""
        self._memory.clock.describe(session.open_ns, session.close_ns)

    def describe_instrument(self, instrument: InstrumentRef) -> None:
        """Take the prior close, which gives the overnight gap where history does not."""
        position = self._positions.get(instrument.symbol)
        if position is not None and instrument.prior_close_nano > 0:
            self._memory.prior_close[position] = instrument.prior_close_nano / 1e9

    def update(self, block: BarBlock) -> FeatureRow:
        """Fold one bar and return its features.

        Raises:
            ValueError: Other symbols, another bar size, or a bar that is not later than the one before.
        """
        self._check(block)
        bar = bar_arrays(block)
        frame = self._memory.update(bar)
        columns = np.empty((FEATURE_COUNT, len(self.symbols)))
        column = 0
        for group in GROUPS:
            for values in group.compute(self._memory, frame):
                columns[column] = values
                column += 1
        assert column == FEATURE_COUNT
        limit = self.parameters.value_limit
        values = np.ascontiguousarray(np.clip(columns, -limit, limit).T)
        return FeatureRow(
            ts_ns=block.ts_ns,
            values=values,
            complete=np.isfinite(values).all(axis=1) & bar.valid,
            spread_bps=bar.spread_bps,
            sigma_5m_bps=self._memory.five.sigma_bps(),
            sigma_day_bps=self._memory.five.sigma_day_bps(),
            close=frame.bar.close,
        )

    def _check(self, block: BarBlock) -> None:
        if block.symbols != self.symbols:
            raise ValueError(
                f"bar block {block.id} at {block.ts_ns} has {len(block.symbols)} symbols {block.symbols[:3]}..., the "
                f"session has {len(self.symbols)} {self.symbols[:3]}...; symbols change only with a new SessionRef"
            )
        if block.bar_ns != self.bar_ns:
            raise ValueError(f"bar block {block.id} has bar_ns {block.bar_ns}, the session {self.bar_ns}; use one size")
        if block.ts_ns <= self._memory.last_ts_ns:
            raise ValueError(
                f"bar block {block.id} ends at {block.ts_ns}, not after the newest bar {self._memory.last_ts_ns}; "
                "bars must come in order of time"
            )


def compute_features(builder: FeatureBuilder, blocks: Iterable[BarBlock]) -> list[FeatureRow]:
    """Return the rows of many bars in order; the offline form of ``FeatureBuilder.update``."""
    return [builder.update(block) for block in blocks]
