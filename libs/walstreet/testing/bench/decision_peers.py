"""Owns what a user would write in place of the decision kernels: one cycle in NumPy, and twice in numba.

All compute the same results as ``DecisionCycle`` into the same kind of arrays: missing scores drop out per model,
an unknown market fact leaves a symbol untraded, ties of horizons go to the shorter one. The numba peers are
written the two ways a practised user would try: symbol by symbol with everything in registers, and row by row
in loops that LLVM turns into vector instructions. Both without fast-math, compiled before they are timed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from walstreet.kernels.decision import DecisionArrays, DecisionSettings
from walstreet.testing.bench.row import BenchError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
FlagArray = NDArray[np.uint8]
Cycle = Callable[[], object]

ABS_MAX = 1e150
BPS = 10_000.0
BIGGEST = float(np.finfo(np.float64).max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One cycle's arrays, with the models sorted by horizon as a user of NumPy or numba would keep them."""

    arrays: DecisionArrays
    settings: DecisionSettings
    starts: IntArray
    """(H + 1,) first model of each horizon."""


def numpy_cycle(problem: Problem) -> Cycle:
    """Return one cycle in vectorised NumPy."""

    def run() -> None:
        with np.errstate(all="ignore"):
            _numpy_decide(problem)

    return run


def _known(values: FloatArray) -> FloatArray:
    return np.where((values > 0.0) & (values <= BIGGEST), values, np.nan)


def _numpy_decide(problem: Problem) -> None:
    a, s = problem.arrays, problem.settings
    sigma = a.horizon_scales[:, None] * _known(a.sigma_5m_bps)
    slopes = np.where(a.slopes > 0.0, a.slopes, np.nan)
    for row in range(len(a.horizon_scales)):
        members = slice(problem.starts[row], problem.starts[row + 1])
        alpha = (slopes[members, None] * sigma[row]) * a.scores[members]
        answered = np.abs(alpha) <= ABS_MAX
        weight = np.where(answered, a.weights[members, None], 0.0)
        present = weight.sum(axis=0)
        total = (weight * np.where(answered, alpha, 0.0)).sum(axis=0)
        a.weight_present[row] = present
        a.blended_bps[row] = np.where(present > 0.0, total / present, np.nan)
    price = _known(a.price_usd)
    participation = a.order_usd / (_known(a.daily_volume_shares) * price)
    impact = 2.0 * s.impact_coefficient * _known(a.sigma_day_bps) * np.sqrt(participation)
    fees = 2.0 * (s.fee_usd_per_share / price * BPS + s.fee_bps)
    a.cost_bps[:] = a.controls[0] * (a.spread_bps + impact) + fees
    alpha = np.where(a.fresh[:, None] != 0, a.blended_bps, np.nan)
    net = np.sign(alpha) * np.maximum(np.abs(alpha) - a.cost_bps, 0.0)
    a.net_bps[:] = net
    _numpy_arbitrate(a, s, sigma)
    _numpy_size(a, s)


def _numpy_arbitrate(a: DecisionArrays, s: DecisionSettings, sigma: FloatArray) -> None:
    horizons = len(sigma)
    z = a.net_bps / sigma
    present = ~np.isnan(z)
    rank = np.where(np.abs(z) > 0.0, np.abs(z), -1.0)
    best = rank.argmax(axis=0)
    columns = np.arange(z.shape[1])
    rows = np.arange(horizons)[:, None]
    chosen = rank[best, columns] > 0.0
    below = np.where(present & (rows < best), rows, -1).max(axis=0)
    above = np.where(present & (rows > best), rows, horizons).min(axis=0)
    has_below, has_above = below >= 0, above < horizons
    total = np.where(has_below, z[below, columns], 0.0)
    total += np.where(has_above, z[np.minimum(above, horizons - 1), columns], 0.0)
    found = has_below.astype(np.float64) + has_above
    share = np.where(found > 0.0, s.best_share, 1.0)
    final = share * z[best, columns] + (1.0 - share) * (total / np.maximum(found, 1.0))
    a.best[:] = np.where(chosen, best, -1)
    a.z[:] = np.where(chosen, final, np.nan)
    a.alpha_final_bps[:] = a.z * sigma[best, columns]
    a.reserve_bps[:] = s.reserve_spread_share * a.spread_bps + s.reserve_bps
    a.clears_reserve[:] = chosen & (np.abs(a.net_bps[best, columns]) >= a.reserve_bps)


def _numpy_size(a: DecisionArrays, s: DecisionSettings) -> None:
    wanted = (a.clears_reserve != 0) & (a.tradable != 0)
    z = np.where(wanted, np.clip(a.z, -s.z_max, s.z_max), 0.0)
    total = np.abs(z).sum()
    weight = a.controls[1] * (z / total) if total > 0.0 else z
    np.clip(weight, -s.weight_abs_max, s.weight_abs_max, out=a.weight)


def _arguments(problem: Problem) -> tuple[object, ...]:
    """Return what both numba peers take, in the order of their parameters."""
    a, s = problem.arrays, problem.settings
    numbers = np.array(
        [
            s.impact_coefficient,
            s.fee_usd_per_share,
            s.fee_bps,
            s.best_share,
            s.reserve_spread_share,
            s.reserve_bps,
            s.z_max,
            s.weight_abs_max,
        ]
    )
    market = (a.spread_bps, a.sigma_5m_bps, a.sigma_day_bps, a.price_usd, a.daily_volume_shares, a.order_usd)
    planes = (a.blended_bps, a.weight_present, a.net_bps)
    rows = (a.cost_bps, a.reserve_bps, a.alpha_final_bps, a.z, a.weight)
    models = (a.scores, a.slopes, a.weights)
    flags = (a.fresh, a.tradable, a.clears_reserve)
    return (models, problem.starts, a.horizon_scales, market, flags, a.controls, numbers, planes, rows, a.best)


@cache
def _compiled_peers() -> dict[str, Callable[..., Any]]:
    try:
        import numba  # noqa: PLC0415 - a peer of the bench extra, seconds to import
    except ImportError as error:
        raise BenchError("the decision rows need numba; install the bench extra") from error

    def jit(function: Callable[..., Any]) -> Callable[..., Any]:
        compiled: Callable[..., Any] = numba.njit(function, fastmath=False, error_model="numpy", nogil=True)
        return compiled

    return {"numba by symbol": _by_symbol(jit), "numba by row": _by_row(jit)}


def numba_cycles(problems: tuple[Problem, Problem]) -> dict[str, Cycle]:
    """Return the two numba cycles, each over a problem of its own, compiled.

    Raises:
        BenchError: numba is not installed.
    """
    cycles: dict[str, Cycle] = {}
    for (name, function), problem in zip(_compiled_peers().items(), problems, strict=True):
        cycles[name] = partial(function, *_arguments(problem))
        cycles[name]()
    return cycles


Jit = Callable[[Callable[..., Any]], Callable[..., Any]]


def _size(weight: FloatArray, gross_budget: float, weight_abs_max: float) -> None:
    """Turn clipped z into weights in place; compiled into both numba peers."""
    total = 0.0
    for n in range(len(weight)):
        total += abs(weight[n])
    for n in range(len(weight)):
        scaled = gross_budget * (weight[n] / total) if total > 0.0 else 0.0
        weight[n] = min(max(scaled, -weight_abs_max), weight_abs_max)


def _cost(n: int, market: tuple[FloatArray, ...], multiplier: float, numbers: FloatArray) -> float:
    """Return one symbol's round trip; compiled into both numba peers."""
    spread, _, sigma_day, price, volume, order = market
    known = spread[n] >= 0.0 and sigma_day[n] > 0.0 and price[n] > 0.0 and volume[n] > 0.0 and order[n] >= 0.0
    impact = 2.0 * (numbers[0] * sigma_day[n] * math.sqrt(order[n] / (volume[n] * price[n])))
    fees = 2.0 * (numbers[1] / price[n] * BPS + numbers[2])
    return multiplier * (spread[n] + impact) + fees if known else math.nan


def _by_symbol(jit: Jit) -> Callable[..., Any]:
    """Return the cycle that decides one symbol after the other."""
    size, cost_of = jit(_size), jit(_cost)

    def cycle(models, starts, scales, market, flags, controls, numbers, planes, rows, best):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0917
        scores, slopes, weights = models
        fresh, tradable, clears = flags
        blended, present_plane, net_plane = planes
        cost_row, reserve_row, alpha_row, z_row, weight_row = rows
        for n in range(scores.shape[1]):
            spread, sigma_5m = market[0][n], market[1][n]
            cost = cost_of(n, market, controls[0], numbers)
            cost_row[n] = cost
            chosen, best_z, best_net, best_sigma = -1, math.nan, math.nan, math.nan
            magnitude, last, below, above = 0.0, math.nan, math.nan, math.nan
            for h in range(len(scales)):
                sigma = scales[h] * sigma_5m if sigma_5m > 0.0 else math.nan
                total = present = 0.0
                for m in range(starts[h], starts[h + 1]):
                    alpha = slopes[m] * sigma * scores[m, n]
                    if slopes[m] > 0.0 and abs(alpha) <= ABS_MAX:
                        total += weights[m] * alpha
                        present += weights[m]
                mean = total / present if present > 0.0 else math.nan
                blended[h, n], present_plane[h, n] = mean, present
                acting = mean if fresh[h] else math.nan
                excess = abs(acting) - cost
                net = math.copysign(max(excess, 0.0), acting) if not math.isnan(excess) else math.nan
                net_plane[h, n] = net
                z = net / sigma
                if abs(z) > magnitude:
                    chosen, best_z, best_net, best_sigma, magnitude = h, z, net, sigma, abs(z)
                    below, above = last, math.nan
                elif math.isnan(above):
                    above = z
                last = last if math.isnan(z) else z
            mean_z, count = 0.0, 0.0
            if not math.isnan(below):
                mean_z, count = mean_z + below, count + 1.0
            if not math.isnan(above):
                mean_z, count = mean_z + above, count + 1.0
            final = numbers[3] * best_z + (1.0 - numbers[3]) * (mean_z / count) if count > 0.0 else best_z
            reserve = numbers[4] * spread + numbers[5]
            clear = chosen >= 0 and abs(best_net) >= reserve and abs(final) > 0.0
            best[n], z_row[n], alpha_row[n] = chosen, final, final * best_sigma
            reserve_row[n], clears[n] = reserve, clear
            clipped = min(max(final, -numbers[6]), numbers[6])
            weight_row[n] = clipped if clear and tradable[n] else 0.0
        size(weight_row, controls[1], numbers[7])

    return jit(cycle)


def _row_blend(jit: Jit) -> Callable[..., Any]:
    """Return the blend and net edge of one horizon, in loops without branches."""

    def blend(models, first, end, scale, sigma_5m, fresh, cost, blended, present, net):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0917
        scores, slopes, weights = models
        for n in range(len(cost)):
            blended[n] = 0.0
            present[n] = 0.0
        for m in range(first, end):
            if slopes[m] > 0.0:
                slope, weight, row = slopes[m], weights[m], scores[m]
                for n in range(len(cost)):
                    alpha = slope * (scale * sigma_5m[n]) * row[n]
                    answered = abs(alpha) <= ABS_MAX
                    blended[n] += weight * alpha if answered else 0.0
                    present[n] += weight if answered else 0.0
        for n in range(len(cost)):
            mean = blended[n] / present[n]
            blended[n] = mean if present[n] > 0.0 else math.nan
            acting = blended[n] if fresh else math.nan
            excess = abs(acting) - cost[n]
            sign = 1.0 if acting > 0.0 else -1.0
            # Written out: numba would drop a NaN in max.
            net[n] = sign * (0.0 if excess <= 0.0 else excess)  # noqa: FURB136

    return jit(blend)


def _row_contest(jit: Jit) -> Callable[..., Any]:
    """Return the entry of one horizon into the contest, in a loop without branches."""

    def enter(h, scale, sigma_5m, net, state):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        chosen, best_z, best_net, best_sigma, last, below, above = state
        for n in range(len(net)):
            sigma = scale * sigma_5m[n]
            z = net[n] / sigma
            wins = abs(z) > abs(best_z[n])
            seen = z == z  # noqa: PLR0124 - not a number is not equal
            upper = z if above[n] != above[n] else above[n]
            above[n] = math.nan if wins else upper
            below[n] = last[n] if wins else below[n]
            best_net[n] = net[n] if wins else best_net[n]
            best_sigma[n] = sigma if wins else best_sigma[n]
            chosen[n] = h if wins else chosen[n]
            best_z[n] = z if wins else best_z[n]
            last[n] = z if seen else last[n]

    return jit(enter)


def _row_conclude(jit: Jit) -> Callable[..., Any]:
    """Return the end of the contest and the clipped z of wanted names."""

    def conclude(state, spread, tradable, numbers, rows, clears, best):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0917
        chosen, best_z, best_net, best_sigma, _, below, above = state
        _, reserve_row, alpha_row, z_row, weight_row = rows
        for n in range(len(spread)):
            low = 0.0 if below[n] != below[n] else below[n]
            high = 0.0 if above[n] != above[n] else above[n]
            count = (0.0 if below[n] != below[n] else 1.0) + (0.0 if above[n] != above[n] else 1.0)
            mean = (low + high) / max(count, 1.0)
            share = numbers[3] if count > 0.0 else 1.0
            final = share * best_z[n] + (1.0 - share) * mean
            final = final if chosen[n] >= 0.0 else math.nan
            reserve = numbers[4] * spread[n] + numbers[5]
            clear = (abs(best_net[n]) >= reserve) & (abs(final) > 0.0)
            reserve_row[n], z_row[n], alpha_row[n] = reserve, final, final * best_sigma[n]
            clipped = min(max(final, -numbers[6]), numbers[6])
            weight_row[n] = clipped if clear & (tradable[n] != 0) else 0.0
            clears[n] = clear
            best[n] = int(chosen[n])

    return jit(conclude)


def _by_row(jit: Jit) -> Callable[..., Any]:
    """Return the cycle that goes over whole rows."""
    size, cost_of = jit(_size), jit(_cost)
    blend, enter, conclude = _row_blend(jit), _row_contest(jit), _row_conclude(jit)

    def cycle(models, starts, scales, market, flags, controls, numbers, planes, rows, best):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0917
        fresh, tradable, clears = flags
        blended, present, net = planes
        cost, sigma_5m = rows[0], market[1]
        count = len(cost)
        scratch = np.empty((7, count))
        for n in range(count):
            cost[n] = cost_of(n, market, controls[0], numbers)
            scratch[0, n], scratch[1, n] = -1.0, 0.0
            for field in range(2, 7):
                scratch[field, n] = math.nan
        state = (scratch[0], scratch[1], scratch[2], scratch[3], scratch[4], scratch[5], scratch[6])
        for h in range(len(scales)):
            blend(models, starts[h], starts[h + 1], scales[h], sigma_5m, fresh[h], cost, blended[h], present[h], net[h])
            enter(h, scales[h], sigma_5m, net[h], state)
        conclude(state, market[0], tradable, numbers, rows, clears, best)
        size(rows[4], controls[1], numbers[7])

    return jit(cycle)
