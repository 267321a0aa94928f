"""Owns the cost of a round trip in unsigned basis points, per horizon and symbol.

``2*half_spread + 2*fees + impact(entry) + impact(exit)``. The session multiplier applies to spread and impact
only. With ``impact: almgren`` one's own permanent impact is paid once on a round trip: half of it is charged at the
entry, none at the exit; the temporary part is charged at both. ``model: linear`` is the specification's
literal ``k1*spread + k2*sigma_h + k3*participation^.6`` with either coefficient set; document 003 names a timing
penalty without a formula, which is ``.1*sigma_h``. A missing input is never a cheap default: the result is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from walstreet.domain.bounds import require_between
from walstreet.domain.calibrate import horizon_sigma_bps
from walstreet.domain.impact import almgren_permanent_bps, almgren_temporary_bps, square_root_bps
from walstreet.domain.portable_math import power
from walstreet.domain.units import BPS, SESSION_MINUTES, FloatArray, IntArray

LINEAR_COEFFICIENTS: dict[str, tuple[float, float, float, float]] = {
    "document_000": (1.0, 0.15, 1.0, 0.0),
    "document_003": (0.5, 0.3, 0.1, 0.1),
}
"""k1 (spread), k2 (volatility), k3 (participation) and the timing penalty, as the documents print them."""
LINEAR_PARTICIPATION_EXPONENT = 0.6


class CostParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a round trip is assumed to cost."""

    model: Literal["round_trip", "linear"] = "round_trip"
    impact: Literal["square_root", "almgren"] = "square_root"
    square_root_coefficient: float = 1.0
    """Y of the square-root law."""
    order_weight: float = 0.05
    """Weight of equity whose trade is priced, before sizes are known; the name cap is the cautious choice."""
    fee_usd_per_share: float = 0.005
    """Commission of one side."""
    fee_bps: float = 0.2
    """Exchange and regulatory fees of one side, on notional."""
    execution_minutes: float = 1.0
    """T of Almgren's temporary impact: how long an order is worked."""
    linear_coefficients: Literal["document_000", "document_003"] = "document_003"

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("cost", "square_root_coefficient", self.square_root_coefficient, 0.0, 10.0)
        require_between("cost", "order_weight", self.order_weight, 0.0, 1.0)
        require_between("cost", "fee_usd_per_share", self.fee_usd_per_share, 0.0, 1.0)
        require_between("cost", "fee_bps", self.fee_bps, 0.0, 100.0)
        require_between("cost", "execution_minutes", self.execution_minutes, 0.01, float(SESSION_MINUTES))


@dataclass(frozen=True, slots=True, kw_only=True)
class CostInputs:
    """Market facts of one cycle, (N,) each; NaN means unknown."""

    spread_bps: FloatArray
    sigma_5m_bps: FloatArray
    sigma_day_bps: FloatArray
    price_usd: FloatArray
    daily_volume_shares: FloatArray
    shares_outstanding: FloatArray
    """Needed by Almgren's permanent impact only."""
    order_usd: FloatArray
    session_multiplier: float


def _positive(values: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(values) & (values > 0.0), values, np.nan)


def _not_negative(values: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(values) & (values >= 0.0), values, np.nan)


def _participation(inputs: CostInputs) -> FloatArray:
    volume_usd = _positive(inputs.daily_volume_shares) * _positive(inputs.price_usd)
    result: FloatArray = _not_negative(inputs.order_usd) / volume_usd
    return result


def round_trip_impact_bps(inputs: CostInputs, parameters: CostParameters) -> FloatArray:
    """Return (N,) impact of entry plus exit, before the session multiplier."""
    sigma_day, participation = _positive(inputs.sigma_day_bps), _participation(inputs)
    if parameters.impact == "square_root":
        return 2.0 * square_root_bps(sigma_day, participation, coefficient=parameters.square_root_coefficient)
    temporary = almgren_temporary_bps(sigma_day, participation, days=parameters.execution_minutes / SESSION_MINUTES)
    inverse_turnover = _positive(inputs.shares_outstanding) / _positive(inputs.daily_volume_shares)
    permanent = almgren_permanent_bps(sigma_day, participation, inverse_turnover_days=inverse_turnover)
    return 2.0 * temporary + 0.5 * permanent


def round_trip_cost_bps(inputs: CostInputs, horizons_minutes: IntArray, parameters: CostParameters) -> FloatArray:
    """Return (H, N) cost of opening and closing a position; NaN where an input is missing."""
    shape = (len(horizons_minutes), len(inputs.spread_bps))
    spread = _not_negative(inputs.spread_bps)
    if parameters.model == "linear":
        k1, k2, k3, timing = LINEAR_COEFFICIENTS[parameters.linear_coefficients]
        sigma = horizon_sigma_bps(inputs.sigma_5m_bps, horizons_minutes)
        level = k1 * spread + k3 * power(_participation(inputs), LINEAR_PARTICIPATION_EXPONENT)
        linear: FloatArray = level[None, :] + (k2 + timing) * sigma
        return linear
    market = inputs.session_multiplier * (spread + round_trip_impact_bps(inputs, parameters))
    fees = 2.0 * (parameters.fee_usd_per_share / _positive(inputs.price_usd) * BPS + parameters.fee_bps)
    return np.broadcast_to(market + fees, shape).copy()
