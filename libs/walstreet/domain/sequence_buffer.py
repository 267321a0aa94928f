"""Owns the last T feature rows of every symbol, as sequence models read them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

LENGTH_DEFAULT = 60
LENGTH_MAX = 512
TTL_BARS = 5
"""300 s for one-minute bars, scaled with the bar size."""


class SequenceBuffer:
    """Ring buffer per symbol; a row counts only if it is finite, a window only if it is full and fresh.

    A hole longer than the time to live empties the symbol's ring, because rows before and after it are no
    neighbours. A pause of at least ``session_gap_ns`` is a night: features carry no overnight return, so the
    rows on both sides are neighbours as far as a model can tell, and the ring is kept.
    """

    __slots__ = ("_buffer", "_counts", "_length", "_newest_ns", "_next", "_session_gap_ns", "ttl_ns")

    def __init__(self, *, symbols: int, features: int, length: int, bar_ns: int, session_gap_ns: int) -> None:
        if not 0 < length <= LENGTH_MAX:
            raise ValueError(f"sequence length {length} is outside 1..{LENGTH_MAX}")
        self._length = length
        self.ttl_ns = TTL_BARS * bar_ns
        assert session_gap_ns > self.ttl_ns
        self._session_gap_ns = session_gap_ns
        # Each row stands twice, ``length`` apart, so that a window is one contiguous slice.
        self._buffer = np.zeros((symbols, 2 * length, features))
        self._next = np.zeros(symbols, dtype=np.int64)
        self._counts = np.zeros(symbols, dtype=np.int64)
        self._newest_ns = np.zeros(symbols, dtype=np.int64)

    def push(self, rows: FloatArray, usable: BoolArray, ts_ns: int) -> None:
        """Append one row per symbol, shape (N, F), where ``usable`` (N,) and the row is finite.

        Args:
            rows: Features of this bar.
            usable: False rejects the symbol's row whatever it holds.
            ts_ns: End of the bar; not earlier than that of the last push.
        """
        accepted = np.flatnonzero(usable & np.isfinite(rows).all(axis=1))
        hole_ns = ts_ns - self._newest_ns[accepted]
        assert bool((hole_ns >= 0).all())
        broken = (hole_ns > self.ttl_ns) & (hole_ns < self._session_gap_ns)
        self._counts[accepted[broken]] = 0
        at = self._next[accepted]
        self._buffer[accepted, at] = rows[accepted]
        self._buffer[accepted, at + self._length] = rows[accepted]
        self._next[accepted] = (at + 1) % self._length
        self._counts[accepted] = np.minimum(self._counts[accepted] + 1, self._length)
        self._newest_ns[accepted] = ts_ns

    def ready(self, now_ns: int) -> BoolArray:
        """Return which symbols have a full window whose newest row is within its time to live, shape (N,)."""
        ready: BoolArray = (self._counts == self._length) & (now_ns - self._newest_ns <= self.ttl_ns)
        return ready

    def windows(self, symbols: NDArray[np.int64]) -> FloatArray:
        """Return the windows of ready symbols, oldest row first, shape (len(symbols), T, F)."""
        assert bool((self._counts[symbols] == self._length).all())
        steps = self._next[symbols][:, None] + np.arange(self._length)[None, :]
        windows: FloatArray = self._buffer[symbols[:, None], steps]
        return windows
