"""Owns the confidence in a forecast: ``c = freshness * capacity * stability``, each factor in [0, 1].

A factor whose inputs are missing is NaN, so that whoever compares c with a threshold fails closed for that symbol.
Source: the project's behaviour document, sections 1 and 9; ``1 - error/reference error`` is a skill score (Murphy,
Monthly Weather Review 116, 1988, for squared errors).
"""

from __future__ import annotations

import msgspec
import numpy as np

from walstreet.domain.bounds import require_between
from walstreet.domain.portable_math import exp
from walstreet.domain.units import FloatArray


class ConfidenceParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Scales of the factors."""

    freshness_horizons: float = 0.5
    """Time constant of the decay with age, in horizons."""
    capacity_share: float = 0.1
    """Share of a day's volume up to which a size costs no confidence."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("confidence", "freshness_horizons", self.freshness_horizons, 0.01, 100.0)
        require_between("confidence", "capacity_share", self.capacity_share, 1e-6, 1.0)


def freshness(age_minutes: FloatArray, horizon_minutes: FloatArray, parameters: ConfidenceParameters) -> FloatArray:
    """Return ``exp(-age / tau)`` with ``tau = freshness_horizons * h``, unitless; NaN for an age that is no age.

    Args:
        age_minutes: Of the forecast; from a horizon of one day (390 minutes) on, in trading minutes. An age below 0
            lies in the future and is refused.
        horizon_minutes: Broadcasts against the ages.
        parameters: Time constant.
    """
    age, tau = np.broadcast_arrays(age_minutes, parameters.freshness_horizons * np.asarray(horizon_minutes))
    with np.errstate(invalid="ignore"):
        known = np.isfinite(age) & (age >= 0.0) & np.isfinite(tau) & (tau > 0.0)
    with np.errstate(over="ignore"):
        ratio = np.where(known, age, 0.0) / np.where(known, tau, 1.0)
    return np.where(known, exp(-ratio), np.nan)


def capacity(daily_volume_usd: FloatArray, order_usd: FloatArray, parameters: ConfidenceParameters) -> FloatArray:
    """Return ``min(1, capacity_share * ADV / dollars)``, unitless; 1 for no dollars, NaN for an unknown volume or size.

    Args:
        daily_volume_usd: Average daily volume in USD.
        order_usd: Size of the trade, at least 0.
        parameters: Share of the volume.
    """
    with np.errstate(invalid="ignore"):
        known = np.isfinite(daily_volume_usd) & (daily_volume_usd > 0.0) & np.isfinite(order_usd) & (order_usd >= 0.0)
    room, size = parameters.capacity_share * np.where(known, daily_volume_usd, 1.0), np.where(known, order_usd, 1.0)
    # Comparing first keeps the quotient at or below 1, so that a tiny size cannot overflow it.
    fits = size <= room
    return np.where(known, np.where(fits, 1.0, room / np.where(fits, 1.0, size)), np.nan)


def stability(
    rmse: FloatArray, rmse_of_zero: FloatArray, training_rmse: FloatArray, training_rmse_of_zero: FloatArray
) -> FloatArray:
    """Return the live skill as a share of the training skill, in [0, 1], unitless.

    ``skill = 1 - min(1, RMSE of the calibrated forecast / RMSE of forecasting zero)``; the result is
    ``min(1, live skill / training skill)``: no skill is 0, the training skill is 1. A model without skill in training
    has none to keep: 0. All arguments are in the same unit (r/sigma_h) and broadcast; a missing one gives NaN.
    """
    live, trained = _skill(rmse, rmse_of_zero), _skill(training_rmse, training_rmse_of_zero)
    with np.errstate(invalid="ignore"):
        none = trained <= 0.0
        keeps = live >= trained
    share = live / np.where(none | keeps, 1.0, trained)
    return np.where(np.isnan(live) | np.isnan(trained), np.nan, np.where(none, 0.0, np.where(keeps, 1.0, share)))


def _skill(rmse: FloatArray, rmse_of_zero: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore"):
        known = np.isfinite(rmse) & (rmse >= 0.0) & np.isfinite(rmse_of_zero) & (rmse_of_zero > 0.0)
        worse = known & (rmse >= rmse_of_zero)
    ratio = np.where(worse, 1.0, np.where(known, rmse, 0.0) / np.where(known & ~worse, rmse_of_zero, 1.0))
    return np.where(known, 1.0 - ratio, np.nan)


def confidence(freshness_: FloatArray, capacity_: FloatArray, stability_: FloatArray) -> FloatArray:
    """Return ``freshness * capacity * stability`` in [0, 1]; NaN where a factor is missing."""
    result: FloatArray = freshness_ * capacity_ * stability_
    return result
