"""Owns what models learn: volatility-scaled forward returns and the barrier that is hit first.

Labels look ahead by definition and never leave a session: where the horizon reaches past the session's last
bar there is no label (NaN). They are made from the same volatility that the live service publishes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

LABEL_LIMIT = 5.0
VOLATILITY_MINUTES = 5.0
TARGET_MULTIPLE = 1.5
"""Distance of the profitable barrier, in sigma_5m * sqrt(h)."""
STOP_MULTIPLE = 1.0


def forward_return(close: FloatArray, sigma_5m_bps: FloatArray, *, horizon_bars: int, bar_minutes: float) -> FloatArray:
    """Return clip(r / sigma_h, +-5), ``r`` the log return from this close to the one ``horizon_bars`` later.

    ``sigma_h = sigma_5m * sqrt(h / 5)`` with h in minutes. Shapes (bars, N); one session.
    """
    labels = np.full(close.shape, np.nan)
    if len(close) > horizon_bars:
        moves = 1e4 * np.log(close[horizon_bars:] / close[:-horizon_bars])
        scale = sigma_5m_bps[:-horizon_bars] * np.sqrt(horizon_bars * bar_minutes / VOLATILITY_MINUTES)
        labels[:-horizon_bars] = np.clip(moves / scale, -LABEL_LIMIT, LABEL_LIMIT)
    return labels


def barrier_first(
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    sigma_5m_bps: FloatArray,
    *,
    horizon_bars: int,
    bar_minutes: float,
    lower: bool,
) -> FloatArray:
    """Return 1.0 where the adverse barrier is touched first, 0.0 where not, NaN without a whole horizon.

    ``lower=True`` is the label *peak*: for a long, the stop at ``c (1 - 1.0 s)`` against the target at
    ``c (1 + 1.5 s)``, with ``s = sigma_5m * sqrt(h / 5)``. ``lower=False`` is *valley*, its mirror in price for a
    short. A bar that touches both counts as the stop; a path that touches none counts as 0. Decided at the close
    of bar t, the path is bars t+1 to t+H (Lopez de Prado 2018, triple barrier). Shapes (bars, N); one session.
    """
    scale = 1e-4 * sigma_5m_bps * np.sqrt(horizon_bars * bar_minutes / VOLATILITY_MINUTES)
    sign = 1.0 if lower else -1.0
    stop = close * (1.0 - sign * STOP_MULTIPLE * scale)
    target = close * (1.0 + sign * TARGET_MULTIPLE * scale)
    labels = np.full(close.shape, np.nan)
    whole = len(close) - horizon_bars
    if whole <= 0:
        return labels
    open_paths = np.isfinite(scale[:whole])
    labels[:whole] = np.where(open_paths, 0.0, np.nan)
    for ahead in range(1, horizon_bars + 1):
        top, bottom = high[ahead : ahead + whole], low[ahead : ahead + whole]
        stopped = bottom <= stop[:whole] if lower else top >= stop[:whole]
        reached = top >= target[:whole] if lower else bottom <= target[:whole]
        labels[:whole][open_paths & stopped] = 1.0
        open_paths = open_paths & ~stopped & ~reached
    return labels
