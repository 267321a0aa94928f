"""Owns the choice between horizons: net edge, reserve, and one alpha per symbol.

``net_h = sign(a) * max(|a| - cost_h, 0)``. Horizons with an edge are ranked by ``|net_h|/sigma_h`` (ties go to the
shorter one), and the symbol is traded iff the best horizon's own ``|net| >= reserve = .5*spread + 2 bps``.

``winner``: 70 % of the best horizon and 30 % of its neighbours in z units (net/sigma), the neighbours being the
nearest horizon on either side that answered, in equal shares; without a neighbour the best counts whole. As no
neighbour's |z| exceeds the best one's, the sign cannot flip. ``softmax``: horizons with an edge are weighted by
``exp(beta * |net|/reserve)``, shifted by the maximum; the horizon with the largest weight names the holding
period, and a blend whose sign contradicts the best horizon is no alpha.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from walstreet.domain.bounds import require_between
from walstreet.domain.exp3ix import Exp3IxParameters
from walstreet.domain.meta_arbiter import MetaParameters
from walstreet.domain.portable_math import exp
from walstreet.domain.units import BoolArray, FloatArray, IntArray

NO_HORIZON = -1
LEARNED_METHODS: tuple[str, ...] = ("meta", "exp3ix")
"""Methods that choose by what earlier choices earned; see ``select_horizon``."""


class ArbitrationParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one horizon is chosen and how much edge a trade must leave."""

    method: Literal["winner", "softmax", "meta", "exp3ix"] = "winner"
    """``meta`` and ``exp3ix`` learn; until they know enough, and before the gate, the winner rule chooses."""
    best_share: float = 0.7
    softmax_beta: float = 2.0
    reserve_spread_share: float = 0.5
    reserve_bps: float = 2.0
    meta: MetaParameters = MetaParameters()
    exp3ix: Exp3IxParameters = Exp3IxParameters()

    def __post_init__(self) -> None:
        """Refuse values outside their ranges; below .5 the neighbours could flip the sign."""
        require_between("arbitration", "best_share", self.best_share, 0.5, 1.0)
        require_between("arbitration", "softmax_beta", self.softmax_beta, 0.0, 50.0)
        require_between("arbitration", "reserve_spread_share", self.reserve_spread_share, 0.0, 10.0)
        require_between("arbitration", "reserve_bps", self.reserve_bps, 0.01, 100.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arbitration:
    """Outcome per symbol, (N,) unless noted."""

    net_bps: FloatArray
    """(H, N) signed; NaN without an alpha or a cost."""
    reserve_bps: FloatArray
    best: IntArray
    """Row of the chosen horizon, ``NO_HORIZON`` where no horizon has an edge."""
    alpha_final_bps: FloatArray
    """Over the chosen horizon; NaN where no horizon has an edge."""
    z: FloatArray
    """``alpha_final / sigma`` of the chosen horizon."""
    clears_reserve: BoolArray


def net_edge_bps(alpha_bps: FloatArray, cost_bps: FloatArray) -> FloatArray:
    """Return signed net edge; 0 where the cost eats the alpha, NaN where either is missing."""
    result: FloatArray = np.sign(alpha_bps) * np.maximum(np.abs(alpha_bps) - cost_bps, 0.0)
    return result


def _neighbour_mean(z: FloatArray, best: IntArray) -> tuple[FloatArray, BoolArray]:
    """Return the mean z of the nearest present horizons below and above ``best``, and whether there is one."""
    count = z.shape[1]
    present = np.isfinite(z)
    total, found = np.zeros(count), np.zeros(count)
    for rows in (range(z.shape[0]), range(z.shape[0] - 1, -1, -1)):
        # Walking towards the best horizon, the last present one seen before it is the nearest on that side.
        nearest = np.full(count, np.nan)
        passed = np.zeros(count, dtype=np.bool_)
        for row in rows:
            passed |= best == row
            nearest = np.where(~passed & present[row], z[row], nearest)
        seen = np.isfinite(nearest)
        total += np.where(seen, nearest, 0.0)
        found += seen
    has_neighbour = found > 0
    return np.where(has_neighbour, total / np.maximum(found, 1.0), 0.0), has_neighbour


def _softmax_z(net_bps: FloatArray, z: FloatArray, reserve_bps: FloatArray, beta: float) -> tuple[IntArray, FloatArray]:
    edge = np.where(np.abs(net_bps) > 0.0, np.abs(net_bps) / reserve_bps, -np.inf)
    edge = np.where(np.isfinite(net_bps) & np.isfinite(reserve_bps), edge, -np.inf)
    top = edge.max(axis=0)
    any_edge = np.isfinite(top)
    shifted = np.where(np.isfinite(edge), edge - np.where(any_edge, top, 0.0), -np.inf)
    scores = np.where(np.isfinite(shifted), exp(np.where(np.isfinite(shifted), beta * shifted, 0.0)), 0.0)
    mass = np.zeros(z.shape[1])
    blended = np.zeros(z.shape[1])
    for row in range(z.shape[0]):
        mass = mass + scores[row]
        blended = blended + scores[row] * np.where(scores[row] > 0.0, z[row], 0.0)
    best = np.where(any_edge, np.argmax(edge, axis=0), NO_HORIZON)
    mean = blended / np.where(any_edge, mass, 1.0)
    best_sign = np.sign(_take(z, best))
    return best, np.where(any_edge & (np.sign(mean) == best_sign), mean, 0.0)


def _take(values: FloatArray, rows: IntArray) -> FloatArray:
    taken: FloatArray = np.take_along_axis(values, np.maximum(rows, 0)[None, :], axis=0)[0]
    return np.where(rows >= 0, taken, np.nan)


def arbitrate(
    alpha_bps: FloatArray,
    cost_bps: FloatArray,
    sigma_horizon_bps: FloatArray,
    spread_bps: FloatArray,
    parameters: ArbitrationParameters,
) -> Arbitration:
    """Choose a horizon per symbol.

    Args:
        alpha_bps: (H, N) blended, signed; NaN without a prediction.
        cost_bps: (H, N) round trip.
        sigma_horizon_bps: (H, N).
        spread_bps: (N,).
        parameters: Method and reserve.
    """
    net = net_edge_bps(alpha_bps, cost_bps)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = net / sigma_horizon_bps
    z = np.where(np.isfinite(z), z, np.nan)
    reserve = parameters.reserve_spread_share * spread_bps + parameters.reserve_bps
    if parameters.method != "softmax":
        rank = np.where(np.abs(z) > 0.0, np.abs(z), -1.0)
        best = np.where(rank.max(axis=0) > 0.0, np.argmax(rank, axis=0), NO_HORIZON)
        neighbours, has_neighbour = _neighbour_mean(z, best)
        share = np.where(has_neighbour, parameters.best_share, 1.0)
        final_z = share * _take(z, best) + (1.0 - share) * neighbours
    else:
        best, final_z = _softmax_z(net, z, reserve, parameters.softmax_beta)
    return _chosen(net, reserve, sigma_horizon_bps, best.astype(np.int64), final_z)


def with_choice(found: Arbitration, sigma_horizon_bps: FloatArray, best: IntArray, kept: BoolArray) -> Arbitration:
    """Return ``found`` with other horizons chosen, each counting whole, except where ``kept``.

    Args:
        found: What the winner rule chose.
        sigma_horizon_bps: (H, N).
        best: (N,) row of another choice, ``NO_HORIZON`` for none.
        kept: (N,) where the winner's choice and blend stay.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        z = found.net_bps / sigma_horizon_bps
    own = _chosen(found.net_bps, found.reserve_bps, sigma_horizon_bps, best, _take(z, best))
    return Arbitration(
        net_bps=found.net_bps,
        reserve_bps=found.reserve_bps,
        best=np.where(kept, found.best, own.best),
        alpha_final_bps=np.where(kept, found.alpha_final_bps, own.alpha_final_bps),
        z=np.where(kept, found.z, own.z),
        clears_reserve=np.where(kept, found.clears_reserve, own.clears_reserve),
    )


def _chosen(
    net: FloatArray,
    reserve: FloatArray,
    sigma_horizon_bps: FloatArray,
    best: IntArray,
    final_z: FloatArray,
) -> Arbitration:
    chosen = best >= 0
    final_z = np.where(chosen, final_z, np.nan)
    with np.errstate(invalid="ignore"):
        clears = chosen & (np.abs(_take(net, best)) >= reserve) & (np.abs(final_z) > 0.0)
    return Arbitration(
        net_bps=net,
        reserve_bps=reserve,
        best=best,
        alpha_final_bps=final_z * _take(sigma_horizon_bps, best),
        z=final_z,
        clears_reserve=clears,
    )
