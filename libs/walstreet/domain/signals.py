"""Owns the signals of one cycle: from the rows of a prediction block to calibrated forecasts and one alpha per horizon.

A model's value is a forecast of r/sigma_h as it was trained. Standardised against its own recent past it is a score s,
and its forecast is ``score_sigma * s``: the slope of r/sigma_h on s through the origin, fitted out of fold. As long as
the past is too short for a score, the value counts as it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from walstreet import kernels
from walstreet.domain.blend import BlendedAlpha, aligned_scores, answers_of
from walstreet.domain.calibrate import ModelCalibration, alpha_bps, horizon_sigma_bps
from walstreet.domain.drift_memory import DriftBank
from walstreet.domain.learning_parameters import GateSwitches, LearningParameters
from walstreet.domain.standardise import StandardiserState, standardised
from walstreet.domain.units import FloatArray, IntArray
from walstreet.domain.zoo_state import ZooState
from walstreet.domain.zoo_weights import weights
from walstreet_events import FeatureBlock, PredictionBlock


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleSignals:
    """Signals of one cycle; R rows of return models, H horizons, N symbols of the block. NaN is *missing*."""

    symbols: tuple[str, ...]
    horizons_minutes: IntArray
    keys: tuple[str, ...]
    """(R,) model and horizon of each row, in one word."""
    models: tuple[str, ...]
    row_minutes: IntArray
    """(R,)."""
    raw: FloatArray
    """(R, N) values of the models."""
    standardised: FloatArray
    """(R, N)."""
    forecast: FloatArray
    """(R, N) calibrated forecasts of r/sigma_h."""
    alpha_bps: FloatArray
    """(R, N)."""
    weight: FloatArray
    """(R,) blend weight in force; 0 for a model that is out of service."""
    sigma_horizon_bps: FloatArray
    """(H, N)."""
    blended: BlendedAlpha

    def members(self, minutes: int) -> IntArray:
        """Return the rows of one horizon."""
        return np.flatnonzero(self.row_minutes == minutes).astype(np.int64)

    def _row(self, minutes: int) -> int:
        return int(np.flatnonzero(self.horizons_minutes == minutes)[0])

    def sigma_bps(self, minutes: int) -> FloatArray:
        """Return (N,) volatility over one horizon."""
        row: FloatArray = self.sigma_horizon_bps[self._row(minutes)]
        return row

    def score(self, minutes: int) -> FloatArray:
        """Return (N,) blended forecast of r/sigma of one horizon."""
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = self.blended.blended_bps[self._row(minutes)] / self.sigma_bps(minutes)
        return np.where(np.isfinite(ratio), ratio, np.nan)

    def canonical(self) -> tuple[object, ...]:
        """Return the content for a digest."""
        arrays = (self.raw, self.standardised, self.forecast, self.alpha_bps, self.weight, self.sigma_horizon_bps)
        blended = (self.blended.raw_bps, self.blended.blended_bps, self.blended.weight_present)
        return (self.symbols, self.keys, *(array.tobytes() for array in (*arrays, *blended)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalSources:
    """What turns values into forecasts and forecasts into one alpha."""

    calibrations: Sequence[ModelCalibration]
    standardiser: StandardiserState
    weights: ZooState
    drift: DriftBank
    parameters: LearningParameters
    gates: GateSwitches


def cycle_signals(
    block: FeatureBlock, predictions: PredictionBlock, horizons_minutes: IntArray, sources: SignalSources
) -> CycleSignals:
    """Return the signals of the cycle that ``predictions`` completes."""
    symbols = block.symbols
    values = aligned_scores(predictions, symbols)
    sigma = horizon_sigma_bps(block.sigma_5m_bps.array(), horizons_minutes)
    # Every calibrated model has its row in every cycle, so that one that fails for a while keeps its past.
    items = sorted(sources.calibrations, key=lambda item: item.horizon_minutes)
    keys = tuple(f"{item.model}@{item.horizon_minutes}" for item in items)
    minutes_of_row = np.array([item.horizon_minutes for item in items], dtype=np.int64)
    horizon_rows = np.searchsorted(horizons_minutes, minutes_of_row)
    answered = {key: index for index, key in answers_of(predictions)}
    raw = np.full((len(items), len(symbols)), np.nan)
    for position, item in enumerate(items):
        if (item.model, item.horizon_minutes) in answered:
            raw[position] = values[answered[item.model, item.horizon_minutes]]
    score = standardised(
        sources.standardiser, raw, models=keys, symbols=symbols, parameters=sources.parameters.standardiser
    )
    forecast = _forecasts(raw, score, items, standardise=sources.parameters.standardise)
    alphas = np.ascontiguousarray(alpha_bps(forecast, np.ones(len(items)), sigma[horizon_rows]))
    shape = (len(horizons_minutes), len(symbols))
    plain, blended, present = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape)
    weight = np.zeros(len(items))
    for row, minutes in enumerate(horizons_minutes.tolist()):
        members = np.flatnonzero(horizon_rows == row)
        if not members.size:
            continue
        weight[members] = _weights([items[member] for member in members], alphas[members], minutes, sources)
        group = np.ascontiguousarray(alphas[members])
        blended[row], present[row] = kernels.blend(group, np.ascontiguousarray(weight[members]))
        plain[row], _ = kernels.blend(group, np.ones(members.size))
    return CycleSignals(
        symbols=symbols,
        horizons_minutes=horizons_minutes,
        keys=keys,
        models=tuple(item.model for item in items),
        row_minutes=minutes_of_row,
        raw=raw,
        standardised=score,
        forecast=forecast,
        alpha_bps=alphas,
        weight=weight,
        sigma_horizon_bps=sigma,
        blended=BlendedAlpha(raw_bps=plain, blended_bps=blended, weight_present=present),
    )


def _forecasts(
    raw: FloatArray, score: FloatArray, items: Sequence[ModelCalibration], *, standardise: bool
) -> FloatArray:
    """Return (R, N) forecasts of r/sigma_h; a slope that is not positive gives none."""
    slope = np.array([item.slope if item.slope > 0.0 else np.nan for item in items]).reshape(-1, 1)
    forecast: FloatArray = slope * raw
    if not standardise or not items:
        return forecast
    sigma = np.array([item.score_sigma if item.score_sigma > 0.0 else np.nan for item in items]).reshape(-1, 1)
    by_score = slope * sigma * score
    return np.where(np.isfinite(by_score), by_score, forecast)


def _weights(items: Sequence[ModelCalibration], alphas: FloatArray, minutes: int, sources: SignalSources) -> FloatArray:
    """Return (M,) weights of one horizon's models over those that answered and are healthy."""
    healthy = [not (sources.gates.drift and sources.drift.quarantined(item.model, minutes)) for item in items]
    oof = np.array([item.weight for item in items])
    found = weights(
        sources.weights,
        minutes,
        models=[item.model for item in items],
        oof_weights=oof,
        present=np.array(healthy, dtype=np.bool_) & np.isfinite(alphas).any(axis=1),
        parameters=sources.parameters.weights,
    )
    return np.ascontiguousarray(found)
