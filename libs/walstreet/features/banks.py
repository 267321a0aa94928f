"""Owns the bounded memories of features: rolling windows and banks of exponentially weighted means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class Window:
    """The last ``length`` rows of shape (N,), readable as one contiguous array without a copy.

    Every row is written twice into a buffer of double length, so that the newest ``length`` rows always
    stand in order. Rows that were never written are NaN.
    """

    __slots__ = ("_buffer", "_next", "length")

    def __init__(self, length: int, width: int) -> None:
        assert length > 0
        self.length = length
        self._buffer = np.full((2 * length, width), np.nan)
        self._next = 0

    def push(self, row: FloatArray | float) -> None:
        """Append one row of shape (N,), forgetting the oldest."""
        self._buffer[self._next] = row
        self._buffer[self._next + self.length] = row
        self._next = (self._next + 1) % self.length

    def last(self, count: int) -> FloatArray:
        """Return a view of the newest ``count`` rows, oldest first, shape (count, N)."""
        assert 0 < count <= self.length
        end = self._next + self.length
        return self._buffer[end - count : end]


class EwmaBank:
    """K exponentially weighted means of N symbols; weight ``max(2/(span+1), 1/count)`` on the newest value."""

    __slots__ = ("_count_min", "_weights", "counts", "means")

    def __init__(self, spans: Sequence[int], counts_min: Sequence[int], width: int) -> None:
        assert len(spans) == len(counts_min)
        self._weights = np.array([2.0 / (span + 1.0) for span in spans])[:, None]
        self._count_min = np.array(counts_min, dtype=np.int64)[:, None]
        self.means = np.zeros((len(spans), width))
        self.counts = np.zeros((len(spans), width), dtype=np.int64)

    def update(self, values: FloatArray, usable: BoolArray) -> FloatArray:
        """Fold values of shape (K, N) where ``usable`` (K, N) and return the means, NaN with too few values."""
        self.counts += usable
        weight = np.maximum(self._weights, 1.0 / np.maximum(self.counts, 1))
        self.means += np.where(usable, weight * (values - self.means), 0.0)
        return np.where(self.counts >= self._count_min, self.means, np.nan)

    def mean(self, row: int) -> FloatArray:
        """Return one row's means, shape (N,), NaN with too few values."""
        return np.where(self.counts[row] >= self._count_min[row], self.means[row], np.nan)


class DistanceBank:
    """Distances of a cumulative return from its exponential means, without keeping the level itself.

    With ``ema += a (x - ema)`` and x moving by r, the distance ``d = x - ema`` obeys ``d = (1 - a)(d + r)``.
    """

    __slots__ = ("_keep", "distances")

    def __init__(self, spans: Sequence[int], width: int) -> None:
        self._keep = np.array([1.0 - 2.0 / (span + 1.0) for span in spans])[:, None]
        self.distances = np.zeros((len(spans), width))

    def update(self, returns: FloatArray) -> FloatArray:
        """Fold one return per symbol, shape (N,), 0 where none; return the distances, shape (K, N)."""
        self.distances = self._keep * (self.distances + returns)
        return self.distances
