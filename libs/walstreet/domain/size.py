"""Owns position sizing: from a clipped z per symbol to wanted weights of equity, before limits.

``z = clip(alpha/sigma, -3, 3)`` without demeaning. ``proportional``: ``w = gross * z / sum|z|``. ``vol_target``:
``w = z * target / (sqrt(n) * sigma_day)``, where n is the number of names from which proportional sizing takes
over: n uncorrelated names with |z| = 1 then have exactly the targeted daily volatility, and a lone small alpha
gets a small weight instead of the whole name cap. Both give at most the gross budget and, under ``vol_target``,
at most the targeted volatility (sum of variances; correlation belongs to a later step of the pipeline). ``auto``
takes ``vol_target`` while fewer than n names are wanted. Nothing after this step scales a weight up.
"""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from walstreet import kernels
from walstreet.domain.bounds import require_between
from walstreet.domain.units import FloatArray


class SizeParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How large a book is wanted."""

    method: Literal["auto", "proportional", "vol_target", "risk"] = "auto"
    """``risk`` weighs by the correlation too, see ``risk_weights``."""
    gross_target: float = 0.5
    """Gross weight of the book that is wanted; ``limits.gross_max`` cuts a larger one."""
    z_max: float = 3.0
    names_min_proportional: int = 10
    """From this many wanted names on ``auto`` sizes proportionally."""
    volatility_day_bps_target: float = 60.0
    """Daily volatility of the book under ``vol_target``; 60 bps are about 10 % a year."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("size", "gross_target", self.gross_target, 0.0, 4.0)
        require_between("size", "z_max", self.z_max, 0.1, 10.0)
        require_between("size", "names_min_proportional", self.names_min_proportional, 1, 1_000)
        require_between("size", "volatility_day_bps_target", self.volatility_day_bps_target, 1.0, 1_000.0)


def _gross(weights: FloatArray) -> float:
    return kernels.ordered_sum(np.ascontiguousarray(np.abs(weights)))


def proportional_weights(z: FloatArray, gross_budget: float) -> FloatArray:
    """Return (N,) ``gross_budget * z / sum|z|``; all zero if no z differs from zero."""
    total = _gross(z)
    if total <= 0.0:
        return np.zeros_like(z)
    result: FloatArray = gross_budget * (z / total)
    return result


def volatility_weights(
    z: FloatArray, sigma_day_bps: FloatArray, gross_budget: float, parameters: SizeParameters
) -> FloatArray:
    """Return (N,) weights to the volatility target; 0 where the daily volatility is unknown."""
    known = np.isfinite(sigma_day_bps) & (sigma_day_bps > 0.0)
    sigma = np.where(known, sigma_day_bps, np.inf)
    target = parameters.volatility_day_bps_target
    weights = z * (target / (np.sqrt(float(parameters.names_min_proportional)) * sigma))
    risk = weights * np.where(known, sigma_day_bps, 0.0)
    volatility = float(np.sqrt(kernels.ordered_sum(np.ascontiguousarray(risk * risk))))
    if volatility > target:
        weights = weights * (target / volatility)
    gross = _gross(weights)
    if gross > gross_budget:
        weights = weights * (gross_budget / gross)
    sized: FloatArray = weights
    return sized


def wanted_weights(
    z: FloatArray, sigma_day_bps: FloatArray, *, gross_budget: float, parameters: SizeParameters
) -> FloatArray:
    """Return (N,) wanted weights; ``z`` is NaN where the symbol is not wanted, which gives 0.

    Args:
        z: (N,) alpha over volatility of the chosen horizon.
        sigma_day_bps: (N,).
        gross_budget: What positions that are kept leave of the gross target, at least 0.
        parameters: Method and targets.
    """
    assert gross_budget >= 0.0, gross_budget
    clipped = np.clip(np.where(np.isfinite(z), z, 0.0), -parameters.z_max, parameters.z_max)
    names = int(np.count_nonzero(clipped))
    few = names < parameters.names_min_proportional
    if parameters.method == "vol_target" or (parameters.method == "auto" and few):
        return volatility_weights(clipped, sigma_day_bps, gross_budget, parameters)
    return proportional_weights(clipped, gross_budget)
