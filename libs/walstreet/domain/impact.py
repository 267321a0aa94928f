"""Owns market impact: how far an order moves the price against itself, in unsigned basis points.

Square root (the default): ``Y * sigma_day * sqrt(Q/ADV)`` with Y near 1; Toth et al., "Anomalous price impact and
the critical nature of liquidity in financial markets", Physical Review X 1, 021006 (2011).

Almgren, Thum, Hauptmann and Li, "Direct estimation of equity market impact", Risk 18 (July 2005): permanent
``I = .314 * sigma * (X/V) * (Theta/V)^(1/4)`` and temporary ``K = .142 * sigma * (X/(V*T))^(3/5)``, the realised
cost of one order being ``J = I/2 + K``. X is in shares, V in shares a day, T in days, Theta is the number of
shares outstanding. The paper's worked example orders 10 % of a day's volume: IBM (V 6.561 M, Theta 1,728 M,
sigma 1.57 %) has I = 20, and K = 22, 15, 8 for T = .1, .2, .5; DRI (V 1.929 M, Theta 168 M, sigma 2.26 %) has
I = 22 and K = 32, 21, 12 bps. The tests hold these functions to those figures.
"""

from __future__ import annotations

import numpy as np

from walstreet.domain.portable_math import power
from walstreet.domain.units import FloatArray

ALMGREN_PERMANENT = 0.314
ALMGREN_TEMPORARY = 0.142
ALMGREN_TEMPORARY_EXPONENT = 0.6


def square_root_bps(sigma_day_bps: FloatArray, participation: FloatArray, *, coefficient: float) -> FloatArray:
    """Return the impact of trading ``participation`` = Q/ADV of a day's volume."""
    result: FloatArray = coefficient * sigma_day_bps * np.sqrt(participation)
    return result


def almgren_temporary_bps(sigma_day_bps: FloatArray, participation: FloatArray, *, days: float) -> FloatArray:
    """Return the temporary impact of trading ``participation`` = X/V within ``days``, gone when the order ends."""
    return ALMGREN_TEMPORARY * sigma_day_bps * power(participation / days, ALMGREN_TEMPORARY_EXPONENT)


def almgren_permanent_bps(
    sigma_day_bps: FloatArray, participation: FloatArray, *, inverse_turnover_days: FloatArray
) -> FloatArray:
    """Return the permanent impact; ``inverse_turnover_days`` is Theta/V, NaN where it is unknown."""
    fourth_root = np.sqrt(np.sqrt(inverse_turnover_days))
    result: FloatArray = ALMGREN_PERMANENT * sigma_day_bps * participation * fourth_root
    return result
