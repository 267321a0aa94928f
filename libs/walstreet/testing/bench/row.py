"""Owns one measured row of the benchmark: its fields, its ratio and when it passes."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

NOISY_SHARE = 0.6
"""On a noisy machine a row passes at this share of its target."""
PEER_RATIO_MIN = 1.0
"""Whatever the noise, nothing may be slower than the best peer that does the same work."""
RATE_UNIT_ENDING = "/s"
BUDGET = "budget"
"""Name of the peer of rows that nobody else can be measured for: an absolute bound, as if a peer just met it."""
TAIL_PERCENT = 99.0

assert 0.0 < NOISY_SHARE < PEER_RATIO_MIN


class BenchError(RuntimeError):
    """A measurement that would be wrong: results differ, messages were lost, a program ended badly."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row; the fields are those of ``bench.json``."""

    name: str
    size: str
    unit: str
    """``us`` and ``ms``: less is better. Units that end in ``/s``: more is better."""
    median: float
    p99: float
    """The bad end: 99 % of samples are at least as good as this, for times and for rates."""
    peer: str
    peer_median: float
    ratio: float
    """How many times better than the peer's median ours is."""
    target: float
    """Ratio that must be reached. Below 1 the peer is a floor: it does only a part of the work."""

    def __post_init__(self) -> None:
        """Refuse numbers that no measurement gives."""
        for name in ("median", "p99", "peer_median", "ratio", "target"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0.0):
                raise ValueError(f"bench row {self.name!r} ({self.size}): {name} is {value}, it must be above 0")

    @property
    def required(self) -> float:
        """Return the least ratio that passes."""
        tolerated = NOISY_SHARE * self.target
        is_race = self.target >= PEER_RATIO_MIN and self.peer != BUDGET
        return max(tolerated, PEER_RATIO_MIN) if is_race else tolerated

    @property
    def passes(self) -> bool:
        """Return whether the row is good enough on a noisy machine."""
        return self.ratio >= self.required

    @property
    def meets_target(self) -> bool:
        """Return whether the row reaches its target in full."""
        return self.ratio >= self.target


def is_rate(unit: str) -> bool:
    """Return whether more is better in ``unit``."""
    return unit.endswith(RATE_UNIT_ENDING)


def make_row(
    *, name: str, size: str, unit: str, samples: FloatArray, peer: str, peer_samples: FloatArray, target: float
) -> Row:
    """Return the row of two sets of samples in ``unit``, each taken in the same run.

    Raises:
        BenchError: There are no samples.
    """
    if not len(samples) or not len(peer_samples):
        raise BenchError(f"bench row {name!r} ({size}) has no samples; give it more rounds")
    rate = is_rate(unit)
    median, peer_median = float(np.median(samples)), float(np.median(peer_samples))
    return Row(
        name=name,
        size=size,
        unit=unit,
        median=median,
        p99=float(np.percentile(samples, 100.0 - TAIL_PERCENT if rate else TAIL_PERCENT)),
        peer=peer,
        peer_median=peer_median,
        ratio=median / peer_median if rate else peer_median / median,
        target=target,
    )


def budget_row(*, name: str, size: str, unit: str, median: float, p99: float, budget: float) -> Row:
    """Return the row of a figure that has a bound in place of a peer."""
    ratio = median / budget if is_rate(unit) else budget / median
    return Row(
        name=name,
        size=size,
        unit=unit,
        median=median,
        p99=p99,
        peer=BUDGET,
        peer_median=budget,
        ratio=ratio,
        target=1.0,
    )


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What every group of rows is told."""

    quick: bool
    up: tuple[str, ...] = ()
    """Command line of ``walstreet up``, for rows that need a whole session."""

    def pick(self, *, quick: int, full: int) -> int:
        """Return the number of runs for this size of benchmark."""
        return quick if self.quick else full


Maker = Callable[[Setup], list[Row]]
