"""Owns the population stability index: how far today's inputs are from those the models were trained on.

``PSI = sum over bins of (a - e) * ln(a/e)`` with e the share of the reference and a the share of now in ten bins cut at
the reference's deciles (Siddiqi, Credit Risk Scorecards, 2006, with .10 and .25 as the usual marks; it is the symmetric
divergence of Jeffreys 1946). A share below ``SHARE_FLOOR`` counts as that, so that an empty bin is not infinite.
Without any change the expected value is about ``9*(1/n + 1/m)`` for n values now and m in the reference.

Rows of one minute share its time of day, so ``rows_min`` alone would compare a morning with whole days: the window also
has to span ``times_min`` decision times, one session by default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from walstreet import kernels
from walstreet.domain.bounds import require_between
from walstreet.domain.portable_math import log
from walstreet.domain.units import SESSION_MINUTES, FloatArray, IntArray

BINS = 10
SHARE_FLOOR = 1e-4
COLUMNS_MAX = 2_000
BUCKETS_MAX = 64
BUCKET_TIMES_MAX = 10_000


class PsiParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a shift of the inputs counts."""

    warn: float = 0.10
    quarantine: float = 0.25
    rows_min: int = 500
    """Values of an input before its index says anything."""
    times_min: int = SESSION_MINUTES
    """Decision times before any index says anything; 0 is the literal rule."""
    bucket_times: int = SESSION_MINUTES
    """Decision times that leave the window together."""
    buckets: int = 7
    """Buckets in the window: seven sessions."""
    aggregate: Literal["mean", "max"] = "mean"
    """How the indices of a model's inputs become one number. ``max`` lets one of many inputs quarantine every model:
    seven sessions of one synthetic market against five of another had a mean of .03 over 74 features and a maximum of
    .9, from one feature."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("psi", "warn", self.warn, 0.0, 10.0)
        require_between("psi", "quarantine", self.quarantine, self.warn, 10.0)
        require_between("psi", "rows_min", self.rows_min, 1, 1_000_000)
        require_between("psi", "buckets", self.buckets, 1, BUCKETS_MAX)
        require_between("psi", "bucket_times", self.bucket_times, 1, BUCKET_TIMES_MAX)
        require_between("psi", "times_min", self.times_min, 0, self.buckets * self.bucket_times)


@dataclass(frozen=True, slots=True, kw_only=True)
class PsiReference:
    """What the inputs looked like in training."""

    edges: FloatArray
    """(F, 9) deciles, ascending; equal ones (an input of few values) leave the bins between them empty."""
    shares: FloatArray
    """(F, 10) share of the reference in each bin; a value equal to an edge lies below it."""


@dataclass(slots=True, kw_only=True)
class PsiMemory:
    """Counts of the newest inputs, in buckets of time."""

    counts: IntArray
    """(buckets, F, 10)."""
    times: IntArray
    """(buckets,) decision times in each."""
    current: int = 0
    """The bucket being filled."""

    def canonical(self) -> tuple[int, bytes, bytes]:
        """Return the content for a digest."""
        return self.current, self.times.tobytes(), self.counts.tobytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class PsiReading:
    """Indices of the window."""

    columns: FloatArray
    """(F,) index of each input; NaN where there is too little."""
    value: float
    """The one number of ``aggregate``; NaN where no input has an index."""
    worst: int
    """Column with the largest index, -1 where there is none."""


def _bins(values: FloatArray, edges: FloatArray) -> IntArray:
    """Return the bin of each of (N, F) values, -1 where it is missing."""
    bins = (values[:, :, None] > edges[None, :, :]).sum(axis=2)
    return np.where(np.isfinite(values), bins, -1)


def _counts(values: FloatArray, edges: FloatArray) -> IntArray:
    """Return (F, 10) counts of (N, F) values; missing ones are left out."""
    columns = edges.shape[0]
    bins = _bins(values, edges)
    flat = (bins + np.arange(columns) * BINS)[bins >= 0]
    return np.bincount(flat, minlength=columns * BINS).reshape(columns, BINS).astype(np.int64)


def reference_deciles(sample: FloatArray) -> PsiReference:
    """Return the deciles of a (n, F) training sample; the k-th edge is the ``ceil(k*n/10)``-th smallest value.

    Raises:
        ValueError: Fewer than ten finite values of an input, or no input, or too many.
    """
    columns = sample.shape[1]
    if not 1 <= columns <= COLUMNS_MAX:
        raise ValueError(f"a reference of {columns} inputs is outside 1..{COLUMNS_MAX}; split it over models")
    edges = np.empty((columns, BINS - 1))
    for column in range(columns):
        values = np.sort(sample[np.isfinite(sample[:, column]), column])
        if len(values) < BINS:
            raise ValueError(
                f"input {column} has {len(values)} finite values in the reference; deciles need at least {BINS}"
            )
        edges[column] = values[[-(-step * len(values) // BINS) - 1 for step in range(1, BINS)]]
    counts = _counts(sample, edges)
    return PsiReference(edges=edges, shares=counts / counts.sum(axis=1)[:, None])


def psi_memory(columns: int, parameters: PsiParameters) -> PsiMemory:
    """Return an empty memory for F inputs.

    Raises:
        ValueError: No input, or too many.
    """
    if not 1 <= columns <= COLUMNS_MAX:
        raise ValueError(f"a memory of {columns} inputs is outside 1..{COLUMNS_MAX}; split it over models")
    return PsiMemory(
        counts=np.zeros((parameters.buckets, columns, BINS), dtype=np.int64),
        times=np.zeros(parameters.buckets, dtype=np.int64),
    )


def learn_inputs(memory: PsiMemory, values: FloatArray, reference: PsiReference, parameters: PsiParameters) -> None:
    """Take the (N, F) inputs of one decision time; missing ones count nowhere."""
    if memory.times[memory.current] >= parameters.bucket_times:
        memory.current = (memory.current + 1) % len(memory.times)
        memory.counts[memory.current] = 0
        memory.times[memory.current] = 0
    memory.counts[memory.current] += _counts(values, reference.edges)
    memory.times[memory.current] += 1


def stability_index(shares: FloatArray, reference_shares: FloatArray) -> FloatArray:
    """Return (F,) indices of (F, 10) shares against (F, 10) reference shares, at least 0."""
    actual, expected = np.maximum(shares, SHARE_FLOOR), np.maximum(reference_shares, SHARE_FLOOR)
    terms = (actual - expected) * (log(actual) - log(expected))
    total = np.zeros(len(terms))
    for column in range(BINS):
        total = total + terms[:, column]
    return total


def read_inputs(memory: PsiMemory, reference: PsiReference, parameters: PsiParameters) -> PsiReading:
    """Return the indices of the window; the same whatever the order of the rows in it."""
    counts = memory.counts.sum(axis=0)
    rows = counts.sum(axis=1)
    enough = (rows >= parameters.rows_min) & (int(memory.times.sum()) >= parameters.times_min)
    shares = counts / np.maximum(rows, 1)[:, None]
    columns = np.where(enough, stability_index(shares, reference.shares), np.nan)
    known = columns[np.isfinite(columns)]
    if not known.size:
        return PsiReading(columns=columns, value=float("nan"), worst=-1)
    worst = int(np.argmax(np.where(np.isfinite(columns), columns, -1.0)))
    value = float(columns[worst]) if parameters.aggregate == "max" else kernels.ordered_sum(known) / len(known)
    return PsiReading(columns=columns, value=value, worst=worst)
