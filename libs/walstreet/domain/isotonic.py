"""Owns isotonic regression: the closest series that never falls."""

from __future__ import annotations

import numpy as np

from walstreet.domain.units import BoolArray, FloatArray


def pool_adjacent_violators(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Return (K,) the non-decreasing series with the least ``sum(weights * (result - values)**2)``.

    Pool-adjacent-violators (Ayer, Brunk, Ewing, Reid and Silverman 1955; Barlow, Bartholomew, Bremner and Brunk
    1972): neighbours that fall are replaced by their weighted mean until none fall. Equal neighbours are left alone,
    so that values which need no pooling keep their bits. Observations at the same place must be merged before (see
    ``conformal_mean.equal_count_bins``).

    Args:
        values: (K,) in any unit; ignored where the weight is 0.
        weights: (K,) at least 0. An entry without weight takes the middle between the results on either side, or the
            nearest one at an end; without any weight everything is NaN.
    """
    assert values.shape == weights.shape, (values.shape, weights.shape)
    assert (weights >= 0.0).all(), weights
    present = np.flatnonzero(weights > 0.0)
    result = np.full(len(values), np.nan)
    result[present] = _pooled(values[present].tolist(), weights[present].tolist())
    return _filled(result[None, :], weights[None, :] > 0.0).reshape(-1)


def isotonic_rows(sums: FloatArray, weights: FloatArray) -> FloatArray:
    """Return (B, K) what ``pool_adjacent_violators`` gives for each row of ``sums / weights``, all rows at once.

    The k-th value is the largest over i <= k of the smallest over j >= k of the weighted mean from i to j (Robertson,
    Wright and Dykstra 1988, "Order restricted statistical inference", section 1.4). Work grows with K*K.

    Args:
        sums: (B, K) weighted sums of the values.
        weights: (B, K) at least 0.
    """
    assert sums.shape == weights.shape, (sums.shape, weights.shape)
    result = np.full(sums.shape, -np.inf)
    for first in range(sums.shape[1]):
        mass = np.cumsum(weights[:, first:], axis=1)
        held = mass > 0.0
        means = np.where(held, np.cumsum(sums[:, first:], axis=1) / np.where(held, mass, 1.0), np.inf)
        smallest = np.minimum.accumulate(means[:, ::-1], axis=1)[:, ::-1]
        np.maximum(result[:, first:], np.where(smallest < np.inf, smallest, -np.inf), out=result[:, first:])
    return _filled(result, weights > 0.0)


def _filled(values: FloatArray, known: BoolArray) -> FloatArray:
    """Return (B, K) values, those not known as the middle between their known neighbours, or as the nearest one."""
    if known.all():
        return values
    count = values.shape[1]
    places = np.arange(count)
    before = np.maximum.accumulate(np.where(known, places, -1), axis=1)
    after = np.minimum.accumulate(np.where(known, places, count)[:, ::-1], axis=1)[:, ::-1]
    before, after = np.where(before < 0, after, before), np.where(after >= count, before, after)
    inside = np.clip(np.stack((before, after)), 0, count - 1)
    left, right = np.take_along_axis(values, inside[0], axis=1), np.take_along_axis(values, inside[1], axis=1)
    filled: FloatArray = np.where(known, values, (left + right) * 0.5)
    return np.where(known.any(axis=1, keepdims=True), filled, np.nan)


def _pooled(values: list[float], weights: list[float]) -> list[float]:
    totals: list[float] = []
    masses: list[float] = []
    means: list[float] = []
    sizes: list[int] = []
    for value, weight in zip(values, weights, strict=True):
        totals.append(weight * value)
        masses.append(weight)
        means.append(value)
        sizes.append(1)
        while len(means) > 1 and means[-2] > means[-1]:
            total, mass, size = totals.pop(), masses.pop(), sizes.pop()
            means.pop()
            totals[-1] += total
            masses[-1] += mass
            sizes[-1] += size
            means[-1] = totals[-1] / masses[-1]
    return [mean for mean, size in zip(means, sizes, strict=True) for _ in range(size)]
