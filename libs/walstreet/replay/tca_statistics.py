"""Owns the statistics of a cost report: markouts with a band, predicted against realised cost, fill rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from walstreet.domain.marks import MARK_OFFSETS_S
from walstreet.domain.tca import ParentCost, markout_nano, notional_nano
from walstreet.domain.units import BPS

Z95 = 1.959964
"""Two-sided 95 % of the normal distribution."""
BINS_MAX = 8
BIN_PARENTS_MIN = 5
"""Parents in one bin of the calibration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkoutPoint:
    """Mean markout over parents at one offset, in bps, with its 95 % band (normal approximation)."""

    offset_s: int
    count: int
    mean_bps: float
    low_bps: float
    high_bps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationBin:
    """Parents of similar predicted cost."""

    count: int
    predicted_bps: float
    realised_bps: float
    error_bps: float
    """Half of the 95 % band of the realised mean, NaN for one parent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FillRate:
    """Parents of one horizon that were filled whole in time, of those sent, with Wilson's 95 % interval."""

    horizon_minutes: int
    sent: int
    filled: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        """Return the share."""
        return self.filled / self.sent


def markout_points(costs: Sequence[ParentCost]) -> tuple[MarkoutPoint, ...]:
    """Return a point for every offset; the fills of one parent are one observation, for they share its fate."""
    points = []
    for offset_s in MARK_OFFSETS_S:
        values = [value for cost in costs if (value := _parent_markout_bps(cost, offset_s)) is not None]
        mean, half = mean_and_half_band(values)
        points.append(
            MarkoutPoint(offset_s=offset_s, count=len(values), mean_bps=mean, low_bps=mean - half, high_bps=mean + half)
        )
    return tuple(points)


def calibration(costs: Sequence[ParentCost]) -> tuple[CalibrationBin, ...]:
    """Return bins of equal count over parents whose cost was predicted and is known whole, cheapest first."""
    pairs = sorted(calibration_pairs(costs))
    count = min(BINS_MAX, len(pairs) // BIN_PARENTS_MIN) or (1 if pairs else 0)
    bins = []
    for index in range(count):
        part = pairs[index * len(pairs) // count : (index + 1) * len(pairs) // count]
        realised, half = mean_and_half_band([real for _, real in part])
        predicted = math.fsum(expected for expected, _ in part) / len(part)
        bins.append(CalibrationBin(count=len(part), predicted_bps=predicted, realised_bps=realised, error_bps=half))
    return tuple(bins)


def calibration_pairs(costs: Sequence[ParentCost]) -> list[tuple[float, float]]:
    """Return predicted and realised cost of one side in bps, fees included, of every parent that has both."""
    return [
        (cost.parent.predicted_bps, cost.realised_bps)
        for cost in costs
        if cost.traded_nano and not cost.fees_missing and math.isfinite(cost.parent.predicted_bps)
    ]


def fill_rates(costs: Sequence[ParentCost]) -> tuple[FillRate, ...]:
    """Return the fill rate before the end of the time in force per horizon, of parents that were sent."""
    by_horizon: dict[int, list[ParentCost]] = {}
    for cost in costs:
        if cost.parent.sent_ns is not None:
            by_horizon.setdefault(cost.parent.horizon_minutes, []).append(cost)
    rates = []
    for horizon, group in sorted(by_horizon.items()):
        filled = sum(cost.filled_in_time for cost in group)
        low, high = wilson(filled, len(group))
        rates.append(FillRate(horizon_minutes=horizon, sent=len(group), filled=filled, low=low, high=high))
    return tuple(rates)


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share (Wilson, JASA 22, 1927); needs a trial."""
    share, z2 = successes / trials, Z95 * Z95
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials))
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_and_half_band(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and half of its 95 % band; NaN for what too few values give."""
    count = len(values)
    if not count:
        return math.nan, math.nan
    mean = math.fsum(values) / count
    if count == 1:
        return mean, math.nan
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    return mean, Z95 * math.sqrt(variance / count)


def _parent_markout_bps(cost: ParentCost, offset_s: int) -> float | None:
    parent = cost.parent
    total, notional = 0, 0
    for fill in parent.fills:
        value = markout_nano(buy=parent.buy, fill=fill, offset_s=offset_s)
        if value is not None:
            total += value
            notional += notional_nano(parent.arrival_mid_nano, fill.quantity_micro)
    return total / notional * BPS if notional else None
