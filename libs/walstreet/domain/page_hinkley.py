"""Owns the Page-Hinkley test: has the mean of a stream risen for good?

``m_T = sum over t of (x_t - mean_t - delta)`` with ``mean_t`` the mean of the first t values, ``PH_T = m_T - min(0,
m_1, ..., m_T)``; an alarm is ``PH_T > lambda``. Page, "Continuous inspection schemes", Biometrika 41 (1954); Hinkley,
"Inference about the change-point from cumulative sum tests", Biometrika 58 (1971).

With the defaults (delta .005, lambda 50) and independent values of unit variance the mean time to a false alarm is
``(exp(2*delta*lambda) - 1 - 2*delta*lambda) / (2*delta^2)``, about 2,970 values, and a rise by one standard
deviation is seen after about 50. Values that overlap in time are not independent and would give alarms without end, so
``BlockStandardiser`` first takes the means of blocks as long as the overlap, each in units of the blocks before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Canonical = tuple[int | float, ...]


@dataclass(slots=True)
class PageHinkley:
    """State of one test."""

    count: int = 0
    mean: float = 0.0
    total: float = 0.0
    """m_T."""
    lowest: float = 0.0
    """min(0, m_1, ..., m_T)."""

    @property
    def statistic(self) -> float:
        """Return PH_T, at least 0, in the unit of the values."""
        return self.total - self.lowest

    def update(self, value: float, *, delta: float) -> None:
        """Take the next value."""
        self.count += 1
        self.mean += (value - self.mean) / self.count
        self.total += value - self.mean - delta
        self.lowest = min(self.lowest, self.total)

    def canonical(self) -> Canonical:
        """Return the content for a digest."""
        return self.count, self.mean, self.total, self.lowest


@dataclass(slots=True)
class BlockStandardiser:
    """Turns overlapping values into block means in units of the deviation of the blocks before."""

    block_sum: float = 0.0
    block_count: int = 0
    blocks: int = 0
    """Finished blocks."""
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared deviations of the finished blocks from their mean (Welford 1962)."""

    def update(self, value: float, *, block: int, blocks_min: int, abs_max: float) -> float | None:
        """Take a value; return the standardised mean of the block that it completes, or None.

        Args:
            value: The next value, finite.
            block: Values in a block.
            blocks_min: Blocks that must have been seen before one can be judged by them; at least 2.
            abs_max: A standardised value counts with at most this size, so that one broken print is no alarm.
        """
        self.block_sum += value
        self.block_count += 1
        if self.block_count < block:
            return None
        mean = self.block_sum / self.block_count
        self.block_sum, self.block_count = 0.0, 0
        result: float | None = None
        if self.blocks >= blocks_min:
            deviation = float(np.sqrt(self.squares / (self.blocks - 1)))
            if deviation > 0.0:
                result = min(abs_max, max(-abs_max, (mean - self.mean) / deviation))
        self.blocks += 1
        before = mean - self.mean
        self.mean += before / self.blocks
        self.squares += before * (mean - self.mean)
        return result

    def canonical(self) -> Canonical:
        """Return the content for a digest."""
        return self.block_sum, self.block_count, self.blocks, self.mean, self.squares
