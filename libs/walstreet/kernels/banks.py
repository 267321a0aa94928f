"""Owns the arrays of rolling state for many symbols; the kernels update them in place.

A bank is plain data: copying its arrays is a snapshot, building a bank from them restores it, and
the next update gives the same bits. An update allocates nothing. A bank belongs to one thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from walstreet.kernels import facade
from walstreet.kernels.interface import LANE_COUNT, FloatArray, IntArray, Statistic, StatusArray

__all__ = ["EwmaBank", "RollingBank"]


@dataclass(slots=True, kw_only=True, eq=False)
class EwmaBank:
    """Keep exponentially weighted means and variances of one quantity.

    Attributes:
        alphas: ``(decays,)`` share of the newest value.
        mean: ``(decays, symbols)`` in the quantity's unit, NaN until the first usable value.
        variance: ``(decays, symbols)`` in the unit squared.
        status: ``(symbols,)`` ``Status`` of the last update.
    """

    alphas: FloatArray
    mean: FloatArray
    variance: FloatArray
    status: StatusArray

    @classmethod
    def create(cls, *, half_lives_bars: Sequence[float], symbol_count: int) -> Self:
        """Return an unseeded bank.

        Raises:
            ValueError: a half-life is out of range.
        """
        alphas = np.array([facade.alpha_from_half_life_bars(half_life) for half_life in half_lives_bars])
        shape = (len(half_lives_bars), symbol_count)
        return cls(
            alphas=alphas,
            mean=np.full(shape, np.nan),
            variance=np.zeros(shape),
            status=np.zeros(symbol_count, dtype=np.uint8),
        )

    def update(self, values: FloatArray) -> None:
        """Move the state by one bar of ``values`` ``(symbols,)``; NaN leaves a symbol untouched."""
        facade.ewma_update(values, self.alphas, self.mean, self.variance, self.status)


@dataclass(slots=True, kw_only=True, eq=False)
class RollingBank:
    """Keep the last bars of one quantity and the statistics of several windows over them.

    Attributes:
        windows_bars: ``(windows,)`` int64, strictly ascending.
        planes: ``(planes,)`` int64 ``Statistic`` numbers, strictly ascending.
        ring: ``(ceil(symbols / 8), capacity, 8)``, eight symbols to a block; see ``bar``.
        bars_seen: ``(1,)`` int64, bars pushed so far.
        status: ``(symbols,)`` ``Status`` of the last update.
        statistics: ``(planes, windows, symbols)``, one plane per statistic asked for.
    """

    windows_bars: IntArray
    planes: IntArray
    ring: FloatArray
    bars_seen: IntArray
    status: StatusArray
    statistics: FloatArray

    @classmethod
    def create(
        cls,
        *,
        windows_bars: Sequence[int],
        capacity_bars: int,
        symbol_count: int,
        statistics: Sequence[Statistic] = tuple(Statistic),
    ) -> Self:
        """Return a bank whose ring is empty; the first update refuses windows that do not fit."""
        planes = np.array(sorted(statistics), dtype=np.int64)
        shape = (len(planes), len(windows_bars), symbol_count)
        block_count = -(-symbol_count // LANE_COUNT)
        return cls(
            windows_bars=np.array(windows_bars, dtype=np.int64),
            planes=planes,
            ring=np.full((block_count, capacity_bars, LANE_COUNT), np.nan),
            bars_seen=np.zeros(1, dtype=np.int64),
            status=np.zeros(symbol_count, dtype=np.uint8),
            statistics=np.full(shape, np.nan),
        )

    def update(self, values: FloatArray) -> None:
        """Push one bar of ``values`` ``(symbols,)`` and recompute every statistic."""
        facade.rolling_update(
            values, self.ring, self.bars_seen, self.windows_bars, self.planes, self.status, self.statistics
        )

    def bar(self, age_bars: int) -> FloatArray:
        """Return a copy ``(symbols,)`` of the bar ``age_bars`` before the newest; NaN where missing.

        Raises:
            ValueError: the ring does not hold that bar.
        """
        held_bars = min(int(self.bars_seen[0]), self.ring.shape[1])
        if not 0 <= age_bars < held_bars:
            raise ValueError(
                f"age_bars: value is {age_bars}, but the ring holds {held_bars} bars; ask for a younger one"
            )
        row = (int(self.bars_seen[0]) - 1 - age_bars) % self.ring.shape[1]
        return self.ring[:, row].reshape(-1)[: len(self.status)].copy()

    def plane(self, statistic: Statistic) -> FloatArray:
        """Return the view ``(windows, symbols)`` of one statistic, valid until the next update.

        Raises:
            ValueError: the bank was not asked for that statistic.
        """
        index = int(np.searchsorted(self.planes, statistic))
        if index == len(self.planes) or self.planes[index] != statistic:
            raise ValueError(f"statistic: {statistic.name} is not kept; name it when the bank is created")
        plane: FloatArray = self.statistics[index]
        return plane

    def returns(self, lags_bars: IntArray, returns: FloatArray) -> None:
        """Write the newest bar's simple returns ``(lags, symbols)`` over ``lags_bars`` ``(lags,)``."""
        facade.ring_returns(self.ring, self.bars_seen, lags_bars, returns)
