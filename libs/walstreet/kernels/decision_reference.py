"""Owns the NumPy oracle of the decision kernels: the formulas of ``walstreet.domain`` over whole arrays.

The operations and their order are those of ``domain.blend``, ``domain.calibrate``, ``domain.cost``,
``domain.arbitrate`` (winner) and ``domain.size``; contract tests hold all three to the same bits. What is not a
number leaves as the one canonical NaN.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from walstreet.kernels.interface import VALUE_ABS_MAX, FloatArray, IntArray, StatusArray
from walstreet.kernels.reference import _lane_sum as lane_sum

__all__ = [
    "AUTOMATIC",
    "PROPORTIONAL",
    "VOLATILITY_TARGET",
    "Choice",
    "blended_alphas",
    "chosen_horizons",
    "net_edges",
    "round_trip_costs",
    "sized_weights",
]

# Numbers of the sizing methods; part of the native interface.
AUTOMATIC: Final = 0.0
PROPORTIONAL: Final = 1.0
VOLATILITY_TARGET: Final = 2.0

_BPS: Final = 10_000.0
_FLOAT_MAX: Final = float(np.finfo(np.float64).max)
_NO_HORIZON: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What arbitration says about each symbol, ``(symbols,)`` each."""

    reserve: FloatArray
    best: IntArray
    alpha_final: FloatArray
    z: FloatArray
    clears: StatusArray


def _canonical(values: FloatArray) -> FloatArray:
    return np.where(np.isnan(values), np.nan, values)


def _positive(values: FloatArray) -> FloatArray:
    return np.where(np.isfinite(values) & (values > 0.0), values, np.nan)


def _not_negative(values: FloatArray) -> FloatArray:
    return np.where(np.isfinite(values) & (values >= 0.0), values, np.nan)


def blended_alphas(
    scores: FloatArray,
    horizon_of_model: IntArray,
    slopes: FloatArray,
    weights: FloatArray,
    sigma_horizon: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return raw mean, weighted mean and weight present, ``(horizons, symbols)`` each."""
    shape = sigma_horizon.shape
    sums = {name: np.zeros(shape) for name in ("weighted", "present", "raw", "answered")}
    usable = np.where(slopes > 0.0, slopes, np.nan)
    for model, row in enumerate(horizon_of_model.tolist()):
        alpha = usable[model] * sigma_horizon[row] * scores[model]
        answered = np.abs(alpha) <= VALUE_ABS_MAX
        sums["weighted"][row] += np.where(answered, weights[model] * alpha, 0.0)
        sums["present"][row] += np.where(answered, weights[model], 0.0)
        sums["raw"][row] += np.where(answered, alpha, 0.0)
        sums["answered"][row] += np.where(answered, 1.0, 0.0)
    raw = np.where(sums["answered"] > 0.0, sums["raw"] / sums["answered"], np.nan)
    blended = np.where(sums["present"] > 0.0, sums["weighted"] / sums["present"], np.nan)
    return raw, blended, sums["present"]


def round_trip_costs(
    market: Mapping[str, FloatArray], settings: Mapping[str, float], session_multiplier: float
) -> FloatArray:
    """Return ``(symbols,)`` cost of a round trip with square-root impact; the same for every horizon."""
    price = _positive(market["price_usd"])
    volume_usd = _positive(market["daily_volume_shares"]) * price
    participation = _not_negative(market["order_usd"]) / volume_usd
    sigma_day = _positive(market["sigma_day_bps"])
    impact = 2.0 * (settings["impact_coefficient"] * sigma_day * np.sqrt(participation))
    market_bps = session_multiplier * (_not_negative(market["spread_bps"]) + impact)
    fees = 2.0 * (settings["fee_usd_per_share"] / price * _BPS + settings["fee_bps"])
    return _canonical(market_bps + fees)


def net_edges(alpha: FloatArray, cost: FloatArray) -> FloatArray:
    """Return signed net edges; 0 where the cost eats the alpha, NaN where either is missing."""
    return _canonical(np.sign(alpha) * np.maximum(np.abs(alpha) - cost, 0.0))


def _neighbour_mean(z: FloatArray, best: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return the mean z of the nearest present horizons on either side of ``best``, and how many there are."""
    total, found = np.zeros(z.shape[1]), np.zeros(z.shape[1])
    for rows in (range(z.shape[0]), range(z.shape[0] - 1, -1, -1)):
        nearest = np.full(z.shape[1], np.nan)
        passed = np.zeros(z.shape[1], dtype=np.bool_)
        for row in rows:
            passed |= best == row
            nearest = np.where(~passed & ~np.isnan(z[row]), z[row], nearest)
        seen = ~np.isnan(nearest)
        total = total + np.where(seen, nearest, 0.0)
        found = found + seen
    return np.where(found > 0.0, total / np.maximum(found, 1.0), 0.0), found


def _take(values: FloatArray, rows: IntArray) -> FloatArray:
    taken = np.take_along_axis(values, np.maximum(rows, 0)[None, :], axis=0)[0]
    return np.where(rows >= 0, taken, np.nan)


def chosen_horizons(
    net: FloatArray, sigma_horizon: FloatArray, spread: FloatArray, settings: Mapping[str, float]
) -> Choice:
    """Choose per symbol the horizon with the largest ``|net| / sigma`` and blend in its neighbours."""
    z = net / sigma_horizon
    z = np.where(np.isfinite(z), z, np.nan)
    rank = np.where(np.abs(z) > 0.0, np.abs(z), -1.0)
    best = np.where(rank.max(axis=0) > 0.0, np.argmax(rank, axis=0), _NO_HORIZON).astype(np.int64)
    neighbours, found = _neighbour_mean(z, best)
    share = np.where(found > 0.0, settings["best_share"], 1.0)
    blended = share * _take(z, best) + (1.0 - share) * neighbours
    reserve = _canonical(settings["reserve_spread_share"] * spread + settings["reserve_bps"])
    final_z = _canonical(np.where(best >= 0, blended, np.nan))
    clears = (best >= 0) & (np.abs(_take(net, best)) >= reserve) & (np.abs(final_z) > 0.0)
    return Choice(
        reserve=reserve,
        best=best,
        alpha_final=_canonical(final_z * _take(sigma_horizon, best)),
        z=final_z,
        clears=clears.astype(np.uint8),
    )


def _gross(weights: FloatArray) -> float:
    return lane_sum(np.abs(weights))


def sized_weights(
    z: FloatArray, sigma_day: FloatArray, gross_budget: float, settings: Mapping[str, float]
) -> tuple[FloatArray, bool]:
    """Return ``(symbols,)`` weights, z being NaN where a name is not wanted; and whether nothing overflowed."""
    clipped = np.clip(np.where(np.isfinite(z), z, 0.0), -settings["z_max"], settings["z_max"])
    bound = settings["weight_abs_max"]
    few = np.count_nonzero(clipped) < settings["names_min_proportional"]
    method = settings["size_method"]
    if not (method == VOLATILITY_TARGET or (method == AUTOMATIC and few)):
        total = _gross(clipped)
        weights = gross_budget * (clipped / total) if total > 0.0 else np.zeros_like(clipped)
        return np.clip(weights, -bound, bound), True
    target = settings["volatility_day_bps_target"]
    known = np.isfinite(sigma_day) & (sigma_day > 0.0)
    sigma = np.where(known, sigma_day, np.inf)
    weights = clipped * (target / (np.sqrt(settings["names_min_proportional"]) * sigma))
    risk = weights * np.where(known, sigma_day, 0.0)
    volatility = float(np.sqrt(lane_sum(risk * risk)))
    if volatility > target:
        weights = weights * (target / volatility)
    gross = _gross(weights)
    if gross > gross_budget:
        weights = weights * (gross_budget / gross)
    sound = volatility <= _FLOAT_MAX and gross <= _FLOAT_MAX
    return np.clip(weights, -bound, bound), sound
