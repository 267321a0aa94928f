"""Owns the synthetic histories of scores and outcomes on which the conformal gate is measured.

Returns have fat tails (Student, 4 degrees of freedom) and share a market factor (correlation .35); outcomes are sums
over the horizon, so that those of neighbouring minutes overlap; scores are persistent, correlated between symbols
(.3), and a tenth of a standard normal, as a calibrated forecast with an information coefficient of .1 is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

SCORE_SIGMA = 0.1
MARKET_SHARE = 0.35
SCORE_SHARE = 0.3
DEGREES_OF_FREEDOM = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One history of N symbols at one horizon."""

    scores: FloatArray
    """(T + 1, N); the last row is asked after the history."""
    outcomes: FloatArray
    """(T, N) in sigma of the horizon."""


def history(
    rng: np.random.Generator,
    *,
    rows: int,
    symbols: int,
    horizon: int,
    persistence: float,
    volatility: FloatArray | float = 1.0,
    mean: FloatArray | float = 0.0,
    skill: float = 0.0,
) -> History:
    """Return one history.

    Args:
        rng: Source of the noise.
        rows: T decision times, one a minute.
        symbols: N.
        horizon: Minutes.
        persistence: Autocorrelation of a score from minute to minute.
        volatility: (T + horizon,) of the minutes' returns, or one for all.
        mean: The same for their mean, in units of a minute's volatility.
        skill: Information coefficient of the scores.
    """
    minutes = rows + horizon
    market = rng.standard_t(DEGREES_OF_FREEDOM, (minutes, 1)) * np.sqrt(MARKET_SHARE)
    own = rng.standard_t(DEGREES_OF_FREEDOM, (minutes, symbols)) * np.sqrt(1.0 - MARKET_SHARE)
    # A Student variable of 4 degrees of freedom has variance 2.
    noise = (market + own) / np.sqrt(2.0)
    per_minute = np.broadcast_to(volatility, (minutes,))[:, None]
    returns = noise * per_minute + np.broadcast_to(mean, (minutes,))[:, None]
    total = np.concatenate((np.zeros((1, symbols)), np.cumsum(returns, axis=0)))
    outcomes = (total[horizon : horizon + rows] - total[:rows]) / np.sqrt(horizon)
    shared = rng.standard_normal((rows + 1, 1)) * np.sqrt(SCORE_SHARE)
    scores = shared + rng.standard_normal((rows + 1, symbols)) * np.sqrt(1.0 - SCORE_SHARE)
    scores[1:] *= np.sqrt(1.0 - persistence**2)
    for row in range(1, rows + 1):
        scores[row] += persistence * scores[row - 1]
    return History(scores=scores * SCORE_SIGMA, outcomes=outcomes + skill * scores[:rows])
