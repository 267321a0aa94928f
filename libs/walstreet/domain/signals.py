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
from walstreet.domain.units import BoolArray, FloatArray, IntArray
from walstreet.domain.zoo_state import ZooState
from walstreet.domain.zoo_weights import weights
from walstreet_events import FeatureBlock, PredictionBlock


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ZooRows:
    """Every calibrated model in the order of the signals' rows; R rows, H horizons. It holds for a core's life."""

    horizons: tuple[int, ...]
    """(H,) minutes, ascending."""
    places: dict[tuple[str, int], int]
    """Row of each model and horizon."""
    keys: tuple[str, ...]
    """(R,) model and horizon of each row, in one word."""
    models: tuple[str, ...]
    spans: tuple[slice, ...]
    """(H,) rows of each horizon, which stand together."""
    horizon_rows: IntArray
    """(R,) place of each row's horizon."""
    slope: FloatArray
    """(R, 1), NaN for one that is not positive and gives no forecast."""
    score_slope: FloatArray
    """(R, 1) slope on the standardised score, NaN where it is not known."""
    oof: FloatArray
    """(R,) out-of-fold weights."""

    @classmethod
    def create(cls, calibrations: Sequence[ModelCalibration]) -> ZooRows:
        """Return the rows of ``calibrations``, one for every model and horizon."""
        items = sorted(calibrations, key=lambda item: item.horizon_minutes)
        minutes = [item.horizon_minutes for item in items]
        horizons = tuple(sorted(dict.fromkeys(minutes)))
        slope = np.array([item.slope if item.slope > 0.0 else np.nan for item in items])
        sigma = np.array([item.score_sigma if item.score_sigma > 0.0 else np.nan for item in items])
        return cls(
            horizons=horizons,
            places={(item.model, item.horizon_minutes): row for row, item in enumerate(items)},
            keys=tuple(f"{item.model}@{item.horizon_minutes}" for item in items),
            models=tuple(item.model for item in items),
            spans=tuple(
                slice(minutes.index(horizon), minutes.index(horizon) + minutes.count(horizon)) for horizon in horizons
            ),
            horizon_rows=np.array([horizons.index(horizon) for horizon in minutes], dtype=np.int64),
            slope=slope.reshape(-1, 1),
            score_slope=(slope * sigma).reshape(-1, 1),
            oof=np.array([item.weight for item in items]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleSignals:
    """Signals of one cycle; R rows of return models, H horizons, N symbols of the block. NaN is *missing*."""

    symbols: tuple[str, ...]
    horizons_minutes: IntArray
    zoo: ZooRows
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
    scores: FloatArray
    """(H, N) blended forecasts of r/sigma."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Return (R,) model and horizon of each row, in one word."""
        return self.zoo.keys

    @property
    def models(self) -> tuple[str, ...]:
        """Return (R,) model of each row."""
        return self.zoo.models

    def span(self, minutes: int) -> slice:
        """Return the rows of one horizon, which stand together."""
        return self.zoo.spans[self.row(minutes)]

    def row(self, minutes: int) -> int:
        """Return the place of one horizon.

        Raises:
            ValueError: No model has this horizon.
        """
        return self.zoo.horizons.index(minutes)

    def sigma_bps(self, minutes: int) -> FloatArray:
        """Return (N,) volatility over one horizon."""
        found: FloatArray = self.sigma_horizon_bps[self.row(minutes)]
        return found

    def score(self, minutes: int) -> FloatArray:
        """Return (N,) blended forecast of r/sigma of one horizon."""
        found: FloatArray = self.scores[self.row(minutes)]
        return found

    def canonical(self) -> tuple[object, ...]:
        """Return the content for a digest."""
        arrays = (self.raw, self.standardised, self.forecast, self.alpha_bps, self.weight, self.sigma_horizon_bps)
        blended = (self.blended.raw_bps, self.blended.blended_bps, self.blended.weight_present)
        return (self.symbols, self.keys, *(array.tobytes() for array in (*arrays, *blended)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalSources:
    """What turns values into forecasts and forecasts into one alpha."""

    zoo: ZooRows
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
    zoo = sources.zoo
    raw = np.full((len(zoo.keys), len(symbols)), np.nan)
    for index, key in answers_of(predictions):
        place = zoo.places.get(key)
        if place is not None:
            raw[place] = values[index]
    score = standardised(
        sources.standardiser, raw, models=zoo.keys, symbols=symbols, parameters=sources.parameters.standardiser
    )
    forecast = zoo.slope * raw
    if sources.parameters.standardise:
        by_score = zoo.score_slope * score
        forecast = np.where(np.isfinite(by_score), by_score, forecast)
    alphas = alpha_bps(forecast, np.ones(len(forecast)), sigma[zoo.horizon_rows])
    weight = _weights(alphas, sources)
    plain, blended, present = kernels.calibrate_blend(forecast, zoo.horizon_rows, np.ones(len(forecast)), weight, sigma)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = blended / sigma
    return CycleSignals(
        symbols=symbols,
        horizons_minutes=horizons_minutes,
        zoo=zoo,
        raw=raw,
        standardised=score,
        forecast=forecast,
        alpha_bps=alphas,
        weight=weight,
        sigma_horizon_bps=sigma,
        blended=BlendedAlpha(raw_bps=plain, blended_bps=blended, weight_present=present),
        scores=np.where(np.isfinite(ratio), ratio, np.nan),
    )


def _weights(alphas: FloatArray, sources: SignalSources) -> FloatArray:
    """Return (R,) weights of every horizon's models over those that answered and are healthy."""
    zoo, drift = sources.zoo, sources.drift
    present: BoolArray = np.logical_or.reduce(np.isfinite(alphas), axis=1)
    if sources.gates.drift:
        for (model, minutes), row in zoo.places.items():
            if drift.quarantined(model, minutes):
                present[row] = False
    found = np.zeros(len(alphas))
    for minutes, rows in zip(zoo.horizons, zoo.spans, strict=True):
        found[rows] = weights(
            sources.weights,
            minutes,
            models=zoo.models[rows],
            oof_weights=zoo.oof[rows],
            present=present[rows],
            parameters=sources.parameters.weights,
        )
    return found
