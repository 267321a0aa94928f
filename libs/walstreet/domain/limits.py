"""Owns the limits of the book: name, sector gross, net and gross weight, applied by scaling down only.

Order: name, then sector, then net, then gross; for net and gross the whole movable book is scaled. The step is
repeated until nothing changes, and applied again after every step of the pipeline that changes weights. Weights
that cannot be traded this cycle (no quote, an order at work) are *fixed*: they use up room but are not scaled, and
the others are scaled to what is left. Where fixed weights alone break a limit, the movable weights come as
close to it as scaling down can bring them.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec
import numpy as np

from walstreet import kernels
from walstreet.domain.bounds import require_between, require_ordered
from walstreet.domain.units import BoolArray, FloatArray, IntArray

NAME_CAP_HARD = 0.10
LIMIT_PASSES_MAX = 16
TOLERANCE = 1e-12
"""Relative excess that counts as rounding, so that a fixed point is reached."""


class LimitParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Largest absolute weights of equity."""

    name_cap: float = 0.05
    sector_gross_max: float = 0.15
    """Symbols without a known sector share one sector, which is the cautious reading of *unknown*."""
    net_max: float = 0.25
    """A long-only profile sets it to ``gross_max``."""
    gross_max: float = 0.5

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("limits", "name_cap", self.name_cap, 0.0, NAME_CAP_HARD)
        require_between("limits", "sector_gross_max", self.sector_gross_max, 0.0, 4.0)
        require_between("limits", "net_max", self.net_max, 0.0, 4.0)
        require_between("limits", "gross_max", self.gross_max, 0.0, 4.0)
        require_ordered("limits", ("net_max", self.net_max), ("gross_max", self.gross_max))


class Binding(IntEnum):
    """Which limit was the last to reduce a weight, so the one that set it."""

    NONE = 0
    NAME = 1
    SECTOR = 2
    NET = 3
    GROSS = 4


def _sum(values: FloatArray) -> float:
    return kernels.ordered_sum(np.ascontiguousarray(values))


def _room_factor(fixed: float, movable: float, limit: float) -> float:
    """Return the largest factor in [0, 1] with ``fixed + factor*movable <= limit``, 0 if there is none."""
    if fixed + movable <= limit * (1.0 + TOLERANCE) or movable <= 0.0:
        return 1.0
    return max(0.0, min(movable, limit - fixed)) / movable


def _net_factor(fixed: float, movable: float, limit: float) -> float:
    """Return the factor in [0, 1] that brings ``|fixed + factor*movable|`` within the limit, or closest to it."""
    if movable == 0.0 or abs(fixed + movable) <= limit * (1.0 + TOLERANCE):
        return 1.0
    if movable < 0.0:
        fixed, movable = -fixed, -movable
    # The sum now grows with the factor. If it ends below -limit, the movable side offsets a fixed excess.
    if fixed + movable < -limit:
        return 1.0
    return max(0.0, min(movable, limit - fixed)) / movable


def apply_limits(
    weights: FloatArray, sectors: IntArray, movable: BoolArray, parameters: LimitParameters
) -> tuple[FloatArray, IntArray]:
    """Return (N,) weights within the limits and (N,) the ``Binding`` that set each.

    Args:
        weights: (N,) signed weights; finite.
        sectors: (N,) sector codes at or above 0.
        movable: (N,) False where the weight is given and cannot be changed.
        parameters: The limits.
    """
    assert bool(np.all(np.isfinite(weights))), "weights must be finite before limits are applied"
    current = weights.copy()
    binding = np.zeros(len(weights), dtype=np.int64)
    for _ in range(LIMIT_PASSES_MAX):
        before = current
        current = _one_pass(current, sectors, movable, parameters, binding)
        if np.array_equal(before, current):
            break
    return current, binding


def _one_pass(
    weights: FloatArray, sectors: IntArray, movable: BoolArray, parameters: LimitParameters, binding: IntArray
) -> FloatArray:
    cap = parameters.name_cap
    current = np.where(movable, np.clip(weights, -cap, cap), weights)
    _note(binding, weights, current, Binding.NAME)
    before = current
    current = np.where(movable, current * _sector_factors(current, sectors, movable, parameters), current)
    _note(binding, before, current, Binding.SECTOR)
    before = current
    factor = _net_factor(
        _sum(np.where(movable, 0.0, current)), _sum(np.where(movable, current, 0.0)), parameters.net_max
    )
    current = np.where(movable, current * factor, current)
    _note(binding, before, current, Binding.NET)
    before = current
    size = np.abs(current)
    factor = _room_factor(_sum(np.where(movable, 0.0, size)), _sum(np.where(movable, size, 0.0)), parameters.gross_max)
    current = np.where(movable, current * factor, current)
    _note(binding, before, current, Binding.GROSS)
    return current


def _sector_factors(
    weights: FloatArray, sectors: IntArray, movable: BoolArray, parameters: LimitParameters
) -> FloatArray:
    """Return (N,) the factor of each symbol's sector; the sums run in symbol order, so their bits are fixed."""
    size = np.abs(weights)
    fixed = np.bincount(sectors, weights=np.where(movable, 0.0, size))
    free = np.bincount(sectors, weights=np.where(movable, size, 0.0))
    limit = parameters.sector_gross_max
    over = (fixed + free > limit * (1.0 + TOLERANCE)) & (free > 0.0)
    room = np.clip(limit - fixed, 0.0, free) / np.where(over, free, 1.0)
    factors: FloatArray = np.where(over, room, 1.0)[sectors]
    return factors


def _note(binding: IntArray, before: FloatArray, after: FloatArray, limit: Binding) -> None:
    binding[before != after] = limit
