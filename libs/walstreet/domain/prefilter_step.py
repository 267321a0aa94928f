"""Owns the prefilter's step of a cycle: from its numbers to the names for which the expensive models run next.

A choice is made in a cycle for which every name was run, holds for ``cache_s``, and is an event that inference reads.
A name that comes to be held meanwhile is added by another event with the same expiry.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from walstreet import kernels
from walstreet.domain import confidence
from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.conformal_state import ConformalState
from walstreet.domain.cycle_inputs import CycleInputs
from walstreet.domain.prefilter import PrefilterMemory, in_force, select
from walstreet.domain.units import MINUTE_NS, FloatArray, price_usd
from walstreet_events import NANOS_PER_SECOND, PredictionBlock, Prefilter, derive_id, tag_of


def prefilter_event(
    inputs: CycleInputs,
    columns: Mapping[str, FloatArray],
    memory: PrefilterMemory,
    predictions: PredictionBlock,
    *,
    score_sigma: FloatArray,
    parameters: ArbiterParameters,
) -> Prefilter | None:
    """Return the choice that is new with this cycle, None while the old one holds for every held name.

    Args:
        inputs: Of the cycle.
        columns: Of its decision record.
        memory: The choice in force, from earlier events.
        predictions: The cycle's cause.
        score_sigma: (H,) standard deviation of the forecasts in training, in sigma; 0 or NaN where unknown.
        parameters: Thresholds.
    """
    rules = parameters.prefilter
    if not rules.enabled:
        return None
    held = [symbol for symbol, micro in zip(inputs.symbols, inputs.position_micro.tolist(), strict=True) if micro]
    if in_force(memory, now_ns=inputs.ts_ns, parameters=rules):
        assert memory.selected_ns is not None
        missing = [symbol for symbol in held if symbol not in memory.names]
        if not missing:
            return None
        names, selected_ns = (*memory.names, *missing), memory.selected_ns
    else:
        chosen = _choose(inputs, columns, score_sigma, parameters)
        names = tuple(symbol for symbol in inputs.symbols if symbol in chosen or symbol in held)
        selected_ns = inputs.ts_ns
    return Prefilter(
        id=derive_id(predictions.id, tag_of(Prefilter), 0),
        cause=predictions.id,
        ts_ns=inputs.ts_ns,
        symbols=names,
        # Inference still obeys at the very time of expiry, when the next scan is due.
        expires_ns=selected_ns + round(rules.cache_s * NANOS_PER_SECOND) - 1,
    )


def remembered(event: Prefilter, cache_s: float) -> PrefilterMemory:
    """Return the memory that a recorded choice leaves."""
    return PrefilterMemory(selected_ns=event.expires_ns + 1 - round(cache_s * NANOS_PER_SECOND), names=event.symbols)


def _choose(
    inputs: CycleInputs, columns: Mapping[str, FloatArray], score_sigma: FloatArray, parameters: ArbiterParameters
) -> frozenset[str]:
    alpha, cost = columns["alpha_blended_bps"], columns["cost_bps"]
    edge = np.abs(alpha) - cost
    # The proxy of a name is the forecast of the horizon that would leave most behind its cost.
    best = np.argmax(np.where(np.isfinite(edge), edge, -np.inf), axis=0)[None, :]
    trust = forecast_confidence(inputs, score_sigma, parameters)
    kept = select(
        np.take_along_axis(alpha, best, axis=0)[0],
        np.take_along_axis(cost, best, axis=0)[0],
        np.take_along_axis(trust, best, axis=0)[0],
        inputs.sectors,
        parameters.prefilter,
    )
    return frozenset(symbol for symbol, chosen in zip(inputs.symbols, kept.tolist(), strict=True) if chosen)


def forecast_confidence(inputs: CycleInputs, score_sigma: FloatArray, parameters: ArbiterParameters) -> FloatArray:
    """Return (H, N) ``freshness * capacity * stability``; NaN where a factor is not known.

    Args:
        inputs: Of the cycle.
        score_sigma: (H,) standard deviation of the forecasts in training, in sigma.
        parameters: Scales of the factors, and the size of a trade.
    """
    minutes = inputs.horizons_minutes.astype(np.float64)[:, None]
    age = np.full(minutes.shape, (inputs.now_ns - inputs.ts_ns) / MINUTE_NS)
    volume_usd = inputs.daily_volume_shares * price_usd(inputs.mid_nano)
    size_usd = np.full(len(inputs.symbols), parameters.cost.order_weight * inputs.equity_usd)
    steady = [
        _stability(inputs.conformal, horizon, trained)
        for horizon, trained in zip(inputs.horizons_minutes.tolist(), score_sigma.tolist(), strict=True)
    ]
    return confidence.confidence(
        confidence.freshness(age, minutes, parameters.confidence),
        confidence.capacity(volume_usd, size_usd, parameters.confidence)[None, :],
        np.array(steady)[:, None],
    )


def _stability(state: ConformalState, horizon_minutes: int, score_sigma: float) -> float:
    """Return the live skill of a horizon's forecasts as a share of the skill in training.

    A calibrated forecast of standard deviation s leaves a return of unit variance the error ``sqrt(1 - s^2)``.
    """
    horizon = state.horizons.get(horizon_minutes)
    if horizon is None or not horizon.ring.pairs or not 0.0 < score_sigma < 1.0:
        return float("nan")
    ring = horizon.ring
    rows = slice(0, ring.rows)
    known = ~np.isnan(ring.scores[rows])
    outcomes = np.where(known, ring.outcomes[rows], 0.0).reshape(-1)
    errors = outcomes - np.where(known, ring.scores[rows], 0.0).reshape(-1)
    left = math.sqrt(kernels.ordered_dot(errors, errors) / ring.pairs)
    zero = math.sqrt(kernels.ordered_dot(outcomes, outcomes) / ring.pairs)
    result = confidence.stability(
        np.array(left), np.array(zero), np.array(math.sqrt(1.0 - score_sigma * score_sigma)), np.array(1.0)
    )
    return float(result)
