"""Owns cross-sectional ranks with average ties; what is missing has no rank."""

from typing import Final

import numpy as np

from walstreet.kernels import _checks as checks
from walstreet.kernels.compiled import compiled
from walstreet.kernels.interface import VALUE_ABS_MAX, FloatArray, IntArray

__all__ = ["RankBoard", "average_ranks", "reference_average_ranks"]

_COUNT_MAX: Final = 1 << 24


def reference_average_ranks(values: FloatArray, keys: IntArray, order: IntArray, ranks: FloatArray) -> int:
    """Write ranks in NumPy and return how many values have one; the scratch arrays are only checked."""
    checks.require_array(values, "values", "float64", 1)
    checks.require_array(keys, "keys", "int64", 2, written=True)
    checks.require_array(order, "order", "int64", 2, written=True)
    checks.require_array(ranks, "ranks", "float64", 1, written=True)
    checks.require_extent(values, "values", 0, _COUNT_MAX, "values")
    checks.require_shape(keys, "keys", (2, len(values)), "values")
    checks.require_shape(order, "order", (2, len(values)), "values")
    checks.require_shape(ranks, "ranks", values.shape, "values")
    checks.require_separate(("ranks", ranks), {"values": values, "keys": keys, "order": order})
    checks.require_separate(("keys", keys), {"values": values, "order": order})
    checks.require_separate(("order", order), {"values": values})
    usable = np.flatnonzero(np.abs(values) <= VALUE_ABS_MAX)
    _, group, sizes = np.unique(values[usable], return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    ranks[:] = np.nan
    ranks[usable] = (0.5 * (2 * last - sizes + 1))[group]
    return len(usable)


class RankBoard:
    """Rank cross-sections of one size without an allocation; belongs to one thread.

    Attributes:
        ranks: ``(symbols,)`` of the last cross-section, from 1 to the number ranked; NaN where missing.
    """

    __slots__ = ("_keys", "_order", "ranks")

    def __init__(self, symbol_count: int) -> None:
        """Allocate room for ``symbol_count`` symbols."""
        self._keys: IntArray = np.zeros((2, symbol_count), dtype=np.int64)
        self._order: IntArray = np.zeros((2, symbol_count), dtype=np.int64)
        self.ranks: FloatArray = np.full(symbol_count, np.nan)

    def update(self, values: FloatArray) -> int:
        """Rank ``values`` ``(symbols,)`` ascending and return how many have a rank.

        Equal values share the mean of their ranks; NaN, infinite and values beyond ``VALUE_ABS_MAX`` have none.

        Raises:
            TypeError: not an array of float64.
            ValueError: wrong shape or strides, or shared memory.
        """
        native = compiled()
        call = reference_average_ranks if native is None else native.average_ranks
        return call(values, self._keys, self._order, self.ranks)


def average_ranks(values: FloatArray) -> FloatArray:
    """Return ``(symbols,)`` ranks of ``values``; see ``RankBoard`` for repeated use.

    Raises:
        TypeError: not an array of float64.
        ValueError: wrong shape or strides.
    """
    board = RankBoard(len(values))
    board.update(values)
    return board.ranks
