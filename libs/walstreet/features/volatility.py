"""Owns the volatility of 5-minute returns that sizes, costs and labels are measured in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from walstreet.features.parameters import MINUTE_NS, FeatureParameters

FloatArray = NDArray[np.float64]

BLOCK_NS = 5 * MINUTE_NS
BLOCKS_PER_DAY = 78
"""390 trading minutes hold 78 returns of 5 minutes."""
MAD_TO_SIGMA = 1.4826
SEED_CLIP = 3.0


class FiveMinuteVolatility:
    """Robust exponential volatility of non-overlapping 5-minute returns within sessions, shape (N,).

    The first ``sigma_5m_count_min`` returns are kept: their mean square, each clipped at 3 x 1.4826 x their
    median magnitude, is the start. Afterwards ``v += a (min(|r|, c s)^2 - v)`` with ``s = sqrt(v)``: one jump
    moves the estimate by a bounded step. A clip at 4 standard deviations lowers the volatility of normal
    returns by less than 0.1 percent, so no correction is made.
    """

    __slots__ = ("_bars_per_block", "_clip", "_in_block", "_seed", "_sum", "_weight", "counts", "variance")

    def __init__(self, width: int, parameters: FeatureParameters, *, bar_ns: int) -> None:
        if bar_ns <= 0 or BLOCK_NS % bar_ns:
            raise ValueError(f"bar_ns = {bar_ns} does not divide 5 minutes; use bars of 1 or 5 minutes")
        self._bars_per_block = BLOCK_NS // bar_ns
        self._clip = parameters.sigma_5m_clip
        self._weight = 2.0 / (parameters.sigma_5m_span + 1.0)
        self._in_block = 0
        self._sum = np.zeros(width)
        self._seed = np.full((parameters.sigma_5m_count_min, width), np.nan)
        self.counts = np.zeros(width, dtype=np.int64)
        self.variance = np.full(width, np.nan)

    def update(self, returns: FloatArray, *, is_continuous: bool) -> None:
        """Fold one bar's returns, NaN where there is none; a new session or a hole drops the block begun."""
        if not is_continuous:
            self._in_block = 0
        if self._in_block == 0:
            self._sum = np.zeros(len(returns))
        self._sum = self._sum + returns
        self._in_block += 1
        if self._in_block == self._bars_per_block:
            self._in_block = 0
            self._fold(self._sum)

    def sigma_bps(self) -> FloatArray:
        """Return the volatility of 5-minute returns in bps, NaN with too few returns or without any move."""
        return 1e4 * np.sqrt(np.where(self.variance > 0.0, self.variance, np.nan))

    def sigma_day_bps(self) -> FloatArray:
        """Return the volatility of a full session in bps: sigma_5m times sqrt(78).

        Variances of uncorrelated returns add, and a session holds 78 of them. The overnight gap is left out
        on purpose: costs and intraday sizes are about moves while the market is open.
        """
        day: FloatArray = self.sigma_bps() * np.sqrt(float(BLOCKS_PER_DAY))
        return day

    def _fold(self, block: FloatArray) -> None:
        usable = np.isfinite(block)
        needed = len(self._seed)
        seeding = usable & (self.counts < needed)
        symbols = np.flatnonzero(seeding)
        self._seed[self.counts[symbols], symbols] = block[symbols]
        running = usable & ~seeding
        limit = self._clip * np.sqrt(self.variance)
        # A symbol that never moved has a limit of zero, which nothing could ever leave again.
        clipped = np.where(limit > 0.0, np.minimum(np.abs(block), limit), np.abs(block))
        weight = np.maximum(self._weight, 1.0 / (self.counts + 1.0))
        self.variance = np.where(running, self.variance + weight * (clipped * clipped - self.variance), self.variance)
        self.counts += usable
        ready = seeding & (self.counts == needed)
        if bool(ready.any()):
            magnitude = np.abs(self._seed[:, ready])
            typical = SEED_CLIP * MAD_TO_SIGMA * np.median(magnitude, axis=0)
            kept = np.where(typical > 0.0, np.minimum(magnitude, typical), magnitude)
            self.variance[ready] = np.add.reduce(kept * kept, axis=0) / needed
