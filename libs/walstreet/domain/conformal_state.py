"""Owns what the conformal gate remembers: a bounded ring of matured cross-sections per horizon, and what follows.

Everything here is a function of the sequence of ``learn`` calls. The residuals ``outcome - score`` of the ring are
also kept in one ascending array, which a refit brings up to date by taking out what has left the ring and putting in
what has come: the same bytes as sorting anew, at a tenth of the cost.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from walstreet.domain.conformal_mean import BlockPlan, MeanFit
from walstreet.domain.units import FloatArray, IntArray

SIGMA_ABS_MAX = 1_000.0
"""A score beyond this many sigmas is no prediction; an outcome beyond it counts as this much."""
SYMBOLS_MAX = 4_096
"""Widest cross-section; a wider one comes from a broken argument."""
IN_FORCE_MAX = 16_384
"""Intervals kept for predictions that have not matured: more than the decision times of the longest horizon."""
MONITORED, GATED = 0, 1
"""Rows of the adaptive levels: the interval whose coverage is watched, and that of ``gate: interval``."""
INTERVALS = 2
Interval = tuple[float, float]
"""Lower and upper end as residuals, in sigma."""
UNBOUNDED: Interval = (-math.inf, math.inf)


_NOTHING: FloatArray = np.zeros(0)


@dataclass(slots=True)
class ResidualRing:
    """The last matured cross-sections of one horizon, pooled over symbols."""

    capacity: int
    scores: FloatArray
    """(capacity, W), the pairs of a row first, then NaN."""
    outcomes: FloatArray
    counts: list[int]
    """Pairs per row."""
    products: FloatArray
    """(capacity,) sum of score * outcome per row."""
    squares: FloatArray
    """(capacity,) sum of score * score per row."""
    residual_sums: FloatArray
    """(capacity,) sum of outcome - score per row."""
    largest: FloatArray
    """(capacity,) largest |score| per row."""
    stored: int = 0
    """Rows ever written."""
    pairs: int = 0
    """Pairs in the ring now."""

    @property
    def rows(self) -> int:
        """Return the number of cross-sections in the ring."""
        return min(self.stored, self.capacity)

    def push(self, scores: FloatArray, outcomes: FloatArray, residual: FloatArray) -> FloatArray:
        """Write one cross-section of (n,) sound pairs; return the residuals of the one that leaves the ring.

        ``residual`` is that of the pairs. The row's sums are exactly rounded, so they do not depend on the order of
        the symbols.
        """
        count = len(scores)
        assert 0 < count <= SYMBOLS_MAX, count
        if count > self.scores.shape[1]:
            self._widen(count)
        row = self.stored % self.capacity
        kept_scores, kept_outcomes, before = self.scores[row], self.outcomes[row], self.counts[row]
        expired = residuals(kept_scores[:before], kept_outcomes[:before]) if before else _NOTHING
        if count < before:
            kept_scores[count:], kept_outcomes[count:] = np.nan, np.nan
        kept_scores[:count], kept_outcomes[:count] = scores, outcomes
        self.counts[row] = count
        self.products[row] = math.fsum((scores * outcomes).tolist())
        self.squares[row] = math.fsum((scores * scores).tolist())
        self.residual_sums[row] = math.fsum(residual.tolist())
        self.largest[row] = np.maximum.reduce(np.abs(scores))
        self.stored += 1
        self.pairs += count - before
        return expired

    def chronological(self, values: FloatArray) -> FloatArray:
        """Return the rows of one of this ring's arrays from old to new, as a copy."""
        if self.stored <= self.capacity:
            return values[: self.stored].copy()
        head = self.stored % self.capacity
        return np.concatenate((values[head:], values[:head]))

    def flat_pairs(self) -> tuple[IntArray, FloatArray, FloatArray]:
        """Return row, score and outcome of every pair, from old to new."""
        scores, outcomes = self.chronological(self.scores), self.chronological(self.outcomes)
        known = ~np.isnan(scores)
        return np.nonzero(known)[0].astype(np.int64), scores[known], outcomes[known]

    def _widen(self, width: int) -> None:
        extra = np.full((self.capacity, width - self.scores.shape[1]), np.nan)
        self.scores = np.concatenate((self.scores, extra), axis=1)
        self.outcomes = np.concatenate((self.outcomes, extra), axis=1)


@dataclass(slots=True)
class HorizonState:
    """What is known about the predictions of one horizon."""

    horizon_minutes: int
    ring: ResidualRing
    levels: list[list[float]]
    """Adaptive miss rates (lower, upper) per interval."""
    last_ts_ns: int = -1
    last_now_ns: int = -1
    learned: int = 0
    """Cross-sections with an outcome that were learned, kept in the ring or not."""
    judged: int = 0
    """Outcomes for which an interval was in force when they were predicted."""
    missed: list[list[int]] = field(default_factory=lambda: [[0, 0] for _ in range(INTERVALS)])
    """Of those, how many fell below the lower and above the upper end, per interval."""
    in_force: deque[tuple[int, tuple[Interval, ...]]] = field(default_factory=lambda: deque(maxlen=IN_FORCE_MAX))
    """Since when which intervals hold, from old to new."""
    ordered: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Residuals in the ring at the last refit, ascending; empty while uncalibrated."""
    residual_mean: float = math.nan
    mean_fit: MeanFit | None = None
    arrived: list[FloatArray] = field(default_factory=list)
    """Residuals stored since the last refit; at most ``refit_every`` rows, none while uncalibrated."""
    expired: list[FloatArray] = field(default_factory=list)
    """Residuals that left the ring since the last refit."""
    draws: FloatArray = field(default_factory=lambda: np.zeros(0))
    """The bootstrap's random numbers of ``draws_epoch``; derived, so left out of ``canonical``."""
    draws_epoch: int = -1
    plan: BlockPlan | None = None
    """The index matrix last used; derived."""

    @property
    def calibrated(self) -> bool:
        """Return whether there are enough outcomes for an interval."""
        return len(self.ordered) > 0

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """Return the residual intervals that hold for predictions made now."""
        return self.in_force[-1][1] if self.in_force else (UNBOUNDED,) * INTERVALS

    def canonical(self) -> tuple[object, ...]:
        """Return the state as nested tuples, numbers and bytes."""
        ring, fit = self.ring, self.mean_fit
        return (
            self.horizon_minutes,
            (self.last_ts_ns, self.last_now_ns, self.learned, self.judged, ring.stored, ring.pairs),
            tuple(
                ring.chronological(values).tobytes()
                for values in (ring.scores, ring.outcomes, ring.products, ring.squares)
            ),
            tuple(level.hex() for levels in self.levels for level in levels),
            tuple(count for counts in self.missed for count in counts),
            tuple(self.in_force),
            (self.ordered.tobytes(), self.residual_mean.hex()),
            () if fit is None else fit.canonical(),
            tuple(values.tobytes() for values in self.arrived),
            tuple(values.tobytes() for values in self.expired),
        )


@dataclass(slots=True)
class ConformalState:
    """What the gate has learned, per horizon in minutes."""

    horizons: dict[int, HorizonState] = field(default_factory=dict)

    def canonical(self) -> tuple[object, ...]:
        """Return the state as nested tuples, numbers and bytes, for a digest; horizons ascending."""
        return tuple(self.horizons[horizon].canonical() for horizon in sorted(self.horizons))


def empty_horizon(horizon_minutes: int, *, capacity: int, misses: tuple[float, ...]) -> HorizonState:
    """Return the state of a horizon of which nothing has matured; ``misses`` are the levels to start from."""
    assert len(misses) == INTERVALS, misses
    ring = ResidualRing(
        capacity=capacity,
        scores=np.zeros((capacity, 0)),
        outcomes=np.zeros((capacity, 0)),
        counts=[0] * capacity,
        products=np.zeros(capacity),
        squares=np.zeros(capacity),
        residual_sums=np.zeros(capacity),
        largest=np.zeros(capacity),
    )
    return HorizonState(horizon_minutes=horizon_minutes, ring=ring, levels=[[miss, miss] for miss in misses])


def residuals(scores: FloatArray, outcomes: FloatArray) -> FloatArray:
    """Return ``outcome - score`` with one zero only, so that equal residuals have equal bits."""
    result: FloatArray = (outcomes - scores) + 0.0
    return result


def exchange_sorted(ordered: FloatArray, leaving: FloatArray, coming: FloatArray) -> FloatArray:
    """Return ascending ``ordered`` without ``leaving``, each of which it holds, and with ``coming``."""
    if len(leaving):
        leaving = np.sort(leaving)
        # The k-th of several equal values leaves from the k-th place of their run.
        nth = np.arange(len(leaving)) - np.searchsorted(leaving, leaving, side="left")
        places = np.searchsorted(ordered, leaving, side="left") + nth
        assert np.array_equal(ordered[places], leaving)
        ordered = np.delete(ordered, places)
    if len(coming):
        coming = np.sort(coming)
        ordered = np.insert(ordered, np.searchsorted(ordered, coming, side="left"), coming)
    return ordered
