"""Owns the weighted second and fourth moments of every pair of symbols, each over the bars that had both returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from walstreet.domain.units import BoolArray, FloatArray, IntArray


def _square(order: int) -> FloatArray:
    return np.zeros((order, order))


@dataclass(slots=True, kw_only=True, eq=False)
class PairMoments:
    """Weighted sums per pair (i, j) over the bars that had both returns, (N, N) each, the newest weight being 1."""

    weight: FloatArray
    weight_square: FloatArray
    cross: FloatArray
    """Sum of ``w r_i r_j``, bps^2."""
    own: FloatArray
    """Sum of ``w r_i^2``, bps^2, which is not symmetric."""
    fourth: FloatArray
    """Sum of ``w r_i^2 r_j^2``, bps^4."""
    count: IntArray
    """Common bars so far."""

    @classmethod
    def create(cls, order: int) -> Self:
        """Return moments of ``order`` symbols without any bar."""
        return cls(
            weight=_square(order),
            weight_square=_square(order),
            cross=_square(order),
            own=_square(order),
            fourth=_square(order),
            count=np.zeros((order, order), dtype=np.int64),
        )

    def update(self, returns_bps: FloatArray, decay: float) -> None:
        """Let every sum fade by ``decay`` and add one bar of (N,) returns; NaN is missing."""
        present = np.isfinite(returns_bps)
        value = np.where(present, returns_bps, 0.0)
        both = present[:, None] & present[None, :]
        square = value * value
        self.weight = self.weight * decay + both
        self.weight_square = self.weight_square * (decay * decay) + both
        self.cross = self.cross * decay + value[:, None] * value
        self.own = self.own * decay + square[:, None] * present
        self.fourth = self.fourth * decay + square[:, None] * square
        self.count = self.count + both

    def grown(self, order: int) -> Self:
        """Return the same moments with room for ``order`` symbols."""
        wider = type(self).create(order)
        size = len(self.weight)
        for name in ("weight", "weight_square", "cross", "own", "fourth", "count"):
            getattr(wider, name)[:size, :size] = getattr(self, name)
        return wider

    def chosen(self, index: IntArray) -> Self:
        """Return the moments among the symbols of ``index`` only."""
        rows, columns = index[:, None], index[None, :]
        return type(self)(
            weight=self.weight[rows, columns],
            weight_square=self.weight_square[rows, columns],
            cross=self.cross[rows, columns],
            own=self.own[rows, columns],
            fourth=self.fourth[rows, columns],
            count=self.count[rows, columns],
        )

    def usable(self, bars_min: int, weight_min: float) -> BoolArray:
        """Return (N, N) which pairs have history enough and moved at all."""
        moved = self.own * self.own.T > 0.0
        return moved & (self.count >= bars_min) & (self.weight >= weight_min) & (self.weight > 0.0)

    def complete(self) -> bool:
        """Return whether all symbols miss the same bars, so that the sample correlation is a Gram matrix."""
        return bool(np.array_equal(self.own, np.broadcast_to(np.diagonal(self.own)[:, None], self.own.shape)))
