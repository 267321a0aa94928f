"""Owns the blend: from the rows of a prediction block to one alpha per horizon and symbol.

Within a horizon the out-of-fold weights are renormalised over the models that answered for the symbol; where
none with a positive weight did there is *no prediction*, never a zero. The weighted mean is a kernel, so that
it has the same bits in every process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from walstreet import kernels
from walstreet.domain.calibrate import ModelCalibration, alpha_bps
from walstreet.domain.units import FloatArray
from walstreet_events import ModelStatus, PredictionBlock

RETURN_TARGET = "return"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendedAlpha:
    """Alphas of one cycle, all (H, N)."""

    raw_bps: FloatArray
    """Plain mean of the calibrated alphas that are present, before the weights; NaN without one."""
    blended_bps: FloatArray
    weight_present: FloatArray
    """Weight of the models that answered, before renormalisation."""


def aligned_scores(block: PredictionBlock, symbols: Sequence[str]) -> FloatArray:
    """Return the block's values as (M, N) in the order of ``symbols``; NaN for a symbol the block lacks.

    Raises:
        ValueError: The block's array does not fit its own models and symbols.
    """
    values = block.values.array()
    expected = (len(block.models), len(block.symbols))
    if values.shape != expected:
        raise ValueError(
            f"prediction block {block.id}: values have shape {values.shape} but the block names {expected[0]} "
            f"models and {expected[1]} symbols; the inference service wrote a malformed block"
        )
    if tuple(symbols) == block.symbols:
        return values
    column_of = {symbol: column for column, symbol in enumerate(block.symbols)}
    aligned = np.full((expected[0], len(symbols)), np.nan)
    for column, symbol in enumerate(symbols):
        if symbol in column_of:
            aligned[:, column] = values[:, column_of[symbol]]
    return aligned


def answers_of(block: PredictionBlock) -> list[tuple[int, tuple[str, int]]]:
    """Return row, and model and horizon, of every return model that answered."""
    return [
        (index, (column.model, column.horizon_minutes))
        for index, column in enumerate(block.models)
        if column.target == RETURN_TARGET and column.status is ModelStatus.OK
    ]


def blend_horizons(
    block: PredictionBlock,
    scores: FloatArray,
    *,
    calibrations: Sequence[ModelCalibration],
    horizons_minutes: Sequence[int],
    sigma_horizon_bps: FloatArray,
) -> BlendedAlpha:
    """Return the alphas per horizon of the models that are healthy, calibrated and answered.

    Args:
        block: Names the models of the rows; only ``return`` targets with status ``ok`` count.
        scores: (M, N) from ``aligned_scores``.
        calibrations: Slope and weight per (model, horizon); a model without one is not used.
        horizons_minutes: (H,) ascending.
        sigma_horizon_bps: (H, N).
    """
    calibration_of = {(item.model, item.horizon_minutes): item for item in calibrations}
    shape = (len(horizons_minutes), scores.shape[1])
    raw, blended, present = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape)
    for row, horizon in enumerate(horizons_minutes):
        members = [
            (index, calibration_of[key])
            for index, key in answers_of(block)
            if key[1] == horizon and key in calibration_of
        ]
        if not members:
            continue
        slopes = np.array([item.slope for _, item in members])
        weights = np.array([item.weight for _, item in members])
        sigma = np.broadcast_to(sigma_horizon_bps[row], (len(members), shape[1]))
        alphas = np.ascontiguousarray(alpha_bps(scores[[index for index, _ in members]], slopes, sigma))
        blended[row], present[row] = kernels.blend(alphas, weights)
        raw[row], _ = kernels.blend(alphas, np.ones(len(members)))
    return BlendedAlpha(raw_bps=raw, blended_bps=blended, weight_present=present)
