"""Owns two readings of what the gate has learned: a forecast in standard errors, and the interval of its outcome."""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist

import numpy as np

from walstreet.domain.conformal_mean import mean_intervals
from walstreet.domain.conformal_parameters import ConformalParameters
from walstreet.domain.conformal_state import MONITORED, ConformalState
from walstreet.domain.units import FloatArray, IntArray

QUANTILES_CACHED_MAX = 16
QUANTILE_DIGITS = 12
"""More than enough, and coarse enough that no mathematical library's last bit shows."""


@lru_cache(maxsize=QUANTILES_CACHED_MAX)
def _normal_quantile(share: float) -> float:
    return round(NormalDist().inv_cdf(share), QUANTILE_DIGITS)


def alpha_z(
    state: ConformalState, horizons_minutes: IntArray, scores: FloatArray, parameters: ConformalParameters
) -> FloatArray:
    """Return (H, N) ``s / SE(E[y|s])``, unitless; NaN without a score, or where a horizon is not calibrated.

    The standard error is that of the bootstrapped interval of the conditional mean, ``(upper - lower) / (2 z)`` with
    the normal quantile z of the interval's level (1.2816 for .1 on each side): one interval serves the gate and this
    number, so both see overlapping outcomes and symbols that move together. Source: Efron and Tibshirani, An
    Introduction to the Bootstrap, 1993, section 12.2.

    Args:
        state: What the gate has learned.
        horizons_minutes: (H,).
        scores: (H, N) forecasts over sigma.
        parameters: Those of the gate.
    """
    known = [state.horizons.get(horizon) for horizon in horizons_minutes.tolist()]
    lower, upper = mean_intervals([item.mean_fit if item is not None else None for item in known], scores)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = (upper - lower) / (2.0 * _normal_quantile(1.0 - parameters.miss_each_side))
        result = scores / error
    return np.where(np.isfinite(result), result, np.nan)


def outcome_interval(
    state: ConformalState, horizons_minutes: IntArray, scores: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return (H, N) ends of the monitored interval of the outcomes, in sigma; its coverage is watched in every mode.

    NaN without a score or before a horizon is calibrated; infinite where the adaptive level asks for everything.
    """
    known = [state.horizons.get(horizon) for horizon in horizons_minutes.tolist()]
    ends = [item.intervals[MONITORED] if item is not None and item.calibrated else (np.nan, np.nan) for item in known]
    shift = np.array(ends).reshape(-1, 2, 1)
    return scores + shift[:, 0], scores + shift[:, 1]
