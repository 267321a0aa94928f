"""Owns the step from the rows of a prediction block to barrier probabilities per symbol."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from walstreet.domain.barrier import BarrierForecast
from walstreet.domain.blend import aligned_scores
from walstreet.domain.calibrate import BarrierModel
from walstreet.domain.units import FloatArray, IntArray
from walstreet_events import ModelStatus, PredictionBlock


def barrier_forecast(
    block: PredictionBlock | None,
    symbols: Sequence[str],
    models: Sequence[BarrierModel],
    chosen_minutes: IntArray,
) -> BarrierForecast:
    """Return the probabilities of the horizon nearest to each symbol's own, (N,) each; NaN is absent.

    Several models of one target and horizon are averaged over those that answered, and so are their base rates.

    Args:
        block: The cycle's predictions, None without any.
        symbols: (N,) of the cycle; one that the block lacks has no probability.
        models: Those of the manifest.
        chosen_minutes: (N,) horizon that each symbol is judged on.
    """
    absent = np.full(len(symbols), np.nan)
    if block is None or not models:
        return BarrierForecast(p_peak_long=absent, p_valley_long=absent, base_peak_long=absent, base_valley_long=absent)
    values = aligned_scores(block, symbols)
    rows = {
        (column.model, column.horizon_minutes, column.target): index
        for index, column in enumerate(block.models)
        if column.status is ModelStatus.OK
    }
    peak, base_peak = _target("peak", values, rows, models, chosen_minutes)
    valley, base_valley = _target("valley", values, rows, models, chosen_minutes)
    return BarrierForecast(
        p_peak_long=peak, p_valley_long=valley, base_peak_long=base_peak, base_valley_long=base_valley
    )


def _target(
    target: str,
    values: FloatArray,
    rows: dict[tuple[str, int, str], int],
    models: Sequence[BarrierModel],
    chosen_minutes: IntArray,
) -> tuple[FloatArray, FloatArray]:
    """Return (N,) probability and base rate of one target."""
    count = values.shape[1]
    horizons = sorted(dict.fromkeys(item.horizon_minutes for item in models if item.target == target))
    probability, base = np.full(count, np.nan), np.full(count, np.nan)
    if not horizons:
        return probability, base
    # Ties go to the shorter horizon.
    distance = np.abs(np.array(horizons, dtype=np.int64)[:, None] - chosen_minutes[None, :])
    nearest = np.argmin(distance, axis=0)
    for position, minutes in enumerate(horizons):
        total, total_base, answered = np.zeros(count), np.zeros(count), np.zeros(count)
        for item in models:
            row = rows.get((item.model, minutes, target))
            if item.target != target or item.horizon_minutes != minutes or row is None:
                continue
            known = np.isfinite(values[row])
            total += np.where(known, values[row], 0.0)
            total_base += np.where(known, item.base_rate, 0.0)
            answered += known
        here = (nearest == position) & (answered > 0)
        share = np.maximum(answered, 1.0)
        probability = np.where(here, total / share, probability)
        base = np.where(here, total_base / share, base)
    return probability, base
