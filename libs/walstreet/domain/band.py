"""Owns the no-trade band: small differences between target and holding are not worth their cost.

The band is ``min(.008, .25 * median|target|)`` over the targets that differ from zero, so that it scales with the
typical position. Outside it the weight trades to the band's *edge*, the optimal policy under proportional costs
(Davis and Norman, Mathematics of Operations Research 15, 1990). A target of 0 trades to 0, never to an edge.
Limits are applied again afterwards and beat the band.
"""

from __future__ import annotations

import msgspec
import numpy as np

from walstreet.domain.bounds import require_between
from walstreet.domain.units import FloatArray


class BandParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Width of the no-trade band, in weight of equity."""

    band_max: float = 0.008
    target_share: float = 0.25
    """Of the median absolute target."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("band", "band_max", self.band_max, 0.0, 0.1)
        require_between("band", "target_share", self.target_share, 0.0, 1.0)


def band_width(targets: FloatArray, *, multiplier: float, parameters: BandParameters) -> float:
    """Return the half width of the band around every target."""
    sizes = np.abs(targets[targets != 0.0])
    typical = float(np.median(sizes)) if sizes.size else np.inf
    return multiplier * min(parameters.band_max, parameters.target_share * typical)


def apply_band(targets: FloatArray, current: FloatArray, band: float) -> FloatArray:
    """Return (N,) weights to hold: the current one inside the band, its edge outside, 0 for a target of 0."""
    difference = targets - current
    edge = targets - np.sign(difference) * band
    inside = np.abs(difference) <= band
    return np.where(targets == 0.0, 0.0, np.where(inside, current, edge))
