"""Owns the step from a model's output to an alpha in basis points.

A ``return`` model forecasts s, its estimate of r/sigma_h. Grinold and Kahn (Active Portfolio Management, 1999,
chapter 10) turn such a score into an expected return as ``alpha = IC * volatility * score``; here the place of
the IC is taken by the fitted slope of r/sigma_h on s through the origin, per (model, horizon). A slope that is not
positive means *no prediction*, never an inversion.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec
import numpy as np

from walstreet.domain.units import HORIZONS_MINUTES, SIGMA_BASE_MINUTES, FloatArray, IntArray

SLOPE_ABS_MAX = 100.0
WEIGHT_MIN = 1e-9
"""Smallest weight besides 0; far smaller ones would underflow in the blend and lose the model's answer."""
WEIGHT_MAX = 1e6


class ModelCalibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one model's score for one horizon becomes an alpha, from the model manifest."""

    model: str
    horizon_minutes: int
    slope: float
    """Slope of r/sigma_h on the score, through the origin, fitted out of fold."""
    weight: float
    """Out-of-fold blend weight within the horizon, at least 0; weights need not sum to 1."""
    score_sigma: float = 0.0
    """Standard deviation of the calibrated value out of fold, so also the slope of r/sigma_h on the standardised
    score; 0 if it is not known, and then scores are not standardised."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        where = f"calibration of model {self.model!r}"
        if self.horizon_minutes not in HORIZONS_MINUTES:
            raise ValueError(f"{where}: horizon_minutes is {self.horizon_minutes}; allowed are {HORIZONS_MINUTES}")
        if not (math.isfinite(self.slope) and abs(self.slope) <= SLOPE_ABS_MAX):
            raise ValueError(f"{where}: slope is {self.slope}; allowed is -{SLOPE_ABS_MAX} to {SLOPE_ABS_MAX}")
        if not (math.isfinite(self.score_sigma) and 0.0 <= self.score_sigma <= SLOPE_ABS_MAX):
            raise ValueError(f"{where}: score_sigma is {self.score_sigma}; allowed is 0 to {SLOPE_ABS_MAX}")
        if self.weight != 0.0 and not WEIGHT_MIN <= self.weight <= WEIGHT_MAX:
            raise ValueError(f"{where}: weight is {self.weight}; allowed is 0, or {WEIGHT_MIN} to {WEIGHT_MAX}")


class BarrierModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model of a barrier probability, from the model manifest."""

    model: str
    horizon_minutes: int
    target: Literal["peak", "valley"]
    """``peak``: the lower barrier is hit first; ``valley``: the upper one. Both as a long position sees it."""
    base_rate: float
    """Share of positive labels in training, inside 0..1; re-basing divides it out."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        where = f"barrier model {self.model!r}"
        if self.horizon_minutes not in HORIZONS_MINUTES:
            raise ValueError(f"{where}: horizon_minutes is {self.horizon_minutes}; allowed are {HORIZONS_MINUTES}")
        if not 0.0 < self.base_rate < 1.0:
            raise ValueError(f"{where}: base_rate is {self.base_rate}; allowed is inside 0..1")


def horizon_sigma_bps(sigma_5m_bps: FloatArray, horizons_minutes: IntArray) -> FloatArray:
    """Return (H, N) volatility per horizon, ``sigma_5m * sqrt(h/5)``; NaN unless positive and finite.

    The square root of time assumes uncorrelated returns; one day is 390 trading minutes.
    """
    known = np.isfinite(sigma_5m_bps) & (sigma_5m_bps > 0.0)
    base = np.where(known, sigma_5m_bps, np.nan)
    scaled: FloatArray = np.sqrt(horizons_minutes / SIGMA_BASE_MINUTES)[:, None] * base[None, :]
    return scaled


def alpha_bps(scores: FloatArray, slopes: FloatArray, sigma_horizon_bps: FloatArray) -> FloatArray:
    """Return (M, N) alphas ``slope * sigma_h * s``; NaN where any factor is missing or the slope is not positive.

    Args:
        scores: (M, N) forecasts of r/sigma_h.
        slopes: (M,) calibration slopes.
        sigma_horizon_bps: (M, N) volatility over each model's horizon.
    """
    usable = np.where(slopes > 0.0, slopes, np.nan)
    with np.errstate(invalid="ignore", over="ignore"):
        alphas = usable[:, None] * sigma_horizon_bps * scores
    return np.where(np.isfinite(alphas), alphas, np.nan)
