"""Owns the windowed sums from which the models of a horizon are weighted.

Matured decision times are added to buckets; the oldest bucket leaves the window whole. Buckets are added up in their
order and nothing is ever subtracted, so that the sums cannot drift and depend on the decisions in the window only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from walstreet.domain.units import DAY_NS, FloatArray, IntArray
from walstreet.domain.zoo_parameters import WeightParameters


class Sum(IntEnum):
    """Rows of the per-model sums."""

    SCORE_OUTCOME = 0
    OUTCOME_SQUARE = 1
    SURVIVING = 2
    PRICED = 3
    ANSWERED = 4


@dataclass(slots=True)
class HorizonZoo:
    """What one horizon has learned; M models, B buckets."""

    models: tuple[str, ...]
    products: FloatArray
    """(B, M, M) sums of ``s_i s_j`` per bucket."""
    sums: FloatArray
    """(B, 5, M) per-model sums per bucket, rows as in ``Sum``."""
    bucket_ts_ns: IntArray
    """(B,) latest decision time per bucket, 0 where empty."""
    closed_products: FloatArray
    """(M, M) over all buckets but the one being filled."""
    closed_sums: FloatArray
    shares: FloatArray
    """(M,) weights of the fixed-share forecaster."""
    bucket: int = 0
    filled: int = 0
    """Decision times in the bucket being filled."""
    decisions: int = 0
    """Matured decision times learned so far."""
    ready: bool = False
    """Whether ``solution`` rests on enough history."""
    solution: FloatArray = field(default_factory=lambda: np.empty(0))
    """(M,) tempered ridge weights of all models, summing to 1 or all 0."""

    def canonical(self) -> tuple[object, ...]:
        """Return everything as plain values, for a digest."""
        arrays = (
            self.products,
            self.sums,
            self.bucket_ts_ns,
            self.closed_products,
            self.closed_sums,
            self.shares,
            self.solution,
        )
        counters = (self.bucket, self.filled, self.decisions, self.ready)
        return (self.models, *(array.tobytes() for array in arrays), *counters)


@dataclass(slots=True)
class ZooState:
    """What has been learned, per horizon in minutes; at most one entry per known horizon."""

    horizons: dict[int, HorizonZoo] = field(default_factory=dict)

    def canonical(self) -> tuple[object, ...]:
        """Return everything as nested plain values, for a digest."""
        return tuple((minutes, self.horizons[minutes].canonical()) for minutes in sorted(self.horizons))


def normalised(values: FloatArray) -> FloatArray:
    """Return (M,) blend weights ``values / sum(values)``, or all 0 if there is nothing to share.

    For blend weights only: a portfolio's weights are never scaled up to a sum.
    """
    total = float(np.add.accumulate(values)[-1])
    if not total > 0.0:
        return np.zeros_like(values)
    shares: FloatArray = values / total
    return shares


def turn_bucket(zoo: HorizonZoo, ts_ns: int, parameters: WeightParameters) -> None:
    """Start the next bucket if the current one is full; the oldest bucket is forgotten whole.

    Raises:
        ValueError: The decision time is not after the last one learned.
    """
    newest = int(zoo.bucket_ts_ns[zoo.bucket] if zoo.filled else zoo.bucket_ts_ns.max())
    if ts_ns <= newest:
        raise ValueError(
            f"weights: decision time {ts_ns} is not after {newest}; learn from each decision once, in order"
        )
    if zoo.filled < parameters.decisions_per_bucket:
        return
    zoo.bucket = (zoo.bucket + 1) % parameters.buckets
    zoo.filled = 0
    stale = zoo.bucket_ts_ns < ts_ns - round(parameters.age_days_max * DAY_NS)
    stale[zoo.bucket] = True
    zoo.products[stale], zoo.sums[stale], zoo.bucket_ts_ns[stale] = 0.0, 0.0, 0
    _close(zoo)


def _close(zoo: HorizonZoo) -> None:
    """Add up all buckets but the one being filled, oldest position first."""
    open_bucket = np.arange(len(zoo.sums)) == zoo.bucket
    zoo.closed_products = np.add.accumulate(np.where(open_bucket[:, None, None], 0.0, zoo.products), axis=0)[-1]
    zoo.closed_sums = np.add.accumulate(np.where(open_bucket[:, None, None], 0.0, zoo.sums), axis=0)[-1]


def horizon_zoo(
    state: ZooState, horizon_minutes: int, models: tuple[str, ...], parameters: WeightParameters
) -> HorizonZoo:
    """Return the horizon's entry, made or realigned to ``models``."""
    zoo = state.horizons.get(horizon_minutes)
    count, buckets = len(models), parameters.buckets
    if zoo is None:
        zoo = HorizonZoo(
            models=models,
            products=np.zeros((buckets, count, count)),
            sums=np.zeros((buckets, len(Sum), count)),
            bucket_ts_ns=np.zeros(buckets, dtype=np.int64),
            closed_products=np.zeros((count, count)),
            closed_sums=np.zeros((len(Sum), count)),
            shares=np.full(count, 1.0 / count),
            solution=np.zeros(count),
        )
        state.horizons[horizon_minutes] = zoo
    elif zoo.models != models:
        by_row = by_name(zoo.products.transpose(1, 0, 2), zoo.models, models, 0.0)
        zoo.products = np.ascontiguousarray(
            by_name(by_row.transpose(2, 1, 0), zoo.models, models, 0.0).transpose(1, 2, 0)
        )
        zoo.sums = np.ascontiguousarray(
            by_name(zoo.sums.transpose(2, 0, 1), zoo.models, models, 0.0).transpose(1, 2, 0)
        )
        zoo.shares = normalised(by_name(zoo.shares[:, None], zoo.models, models, 1.0 / count)[:, 0])
        zoo.solution = normalised(by_name(zoo.solution[:, None], zoo.models, models, 0.0)[:, 0])
        zoo.models, zoo.ready = models, False
        _close(zoo)
    return zoo


def by_name(values: FloatArray, have: tuple[str, ...], wanted: tuple[str, ...], missing: float) -> FloatArray:
    """Return ``values`` (K, ...) with the rows of ``wanted``; ``missing`` where ``have`` lacks the name."""
    if have == wanted:
        return values
    row_of = {name: row for row, name in enumerate(have)}
    out = np.full((len(wanted), *values.shape[1:]), missing)
    for row, name in enumerate(wanted):
        if name in row_of:
            out[row] = values[row_of[name]]
    return out
