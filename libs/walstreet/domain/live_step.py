"""Owns document 003's ``live_step``: market data and current weights in, target weights out, in one pure call.

The same functions decide as in the live cycle (``cycle``), in the order of its pipeline: predict, blend, cost,
arbitrate, hard barrier gates, size, limits, soft barrier gate, limits, band, limits. What the document does otherwise
and why it is mended: costs shrink an alpha towards zero instead of being subtracted (which made every short more
attractive); z is not demeaned; caps come last and nothing is scaled up after them; the barrier gate multiplies weights.

A call has no memory, so there is no conformal gate, no netting, no session and no holding period here: a held symbol
whose edge is gone has the target 0. A symbol whose inputs are missing keeps its weight, and it uses up room under the
limits. The document's defaults for missing market data (2 bps, 15 %, 1 %) are not used: missing fails closed.

Units of the document's fields: ``spreads`` in bps, ``vol_short`` annualised as a fraction (.18 is 18 % a year, 12.8
bps in 5 minutes), ``participation`` as a share of the average daily volume.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import numpy as np

from walstreet import kernels
from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.arbitrate import Arbitration, arbitrate
from walstreet.domain.band import apply_band, band_width
from walstreet.domain.barrier import (
    BarrierParameters,
    RebasedBarriers,
    apply_soft_gate,
    entry_gate,
    rebase_forecast,
    without_entries,
)
from walstreet.domain.blend import aligned_scores, blend_horizons
from walstreet.domain.calibrate import ModelCalibration, horizon_sigma_bps
from walstreet.domain.cost import CostInputs, round_trip_cost_bps
from walstreet.domain.cycle_inputs import cycle_symbols
from walstreet.domain.inference import Models
from walstreet.domain.limits import apply_limits
from walstreet.domain.live_predictions import barrier_forecast, predict_all
from walstreet.domain.size import wanted_weights
from walstreet.domain.units import BPS, SESSION_MINUTES, SIGMA_BASE_MINUTES, BoolArray, FloatArray, IntArray

SESSIONS_PER_YEAR = 252
WEIGHT_ABS_MAX = 100.0
MARKET_ABS_MAX = 1e9
"""Larger market data are a fault and count as missing."""
_PERIODS_PER_YEAR = float(SESSIONS_PER_YEAR * SESSION_MINUTES // SIGMA_BASE_MINUTES)
_PERIODS_PER_SESSION = float(SESSION_MINUTES // SIGMA_BASE_MINUTES)


class MarketData(TypedDict):
    """Document 003's market data; a symbol may be absent from any mapping."""

    symbols: Sequence[str]
    features: Mapping[str, FloatArray]
    """Per symbol (F,) or (T, F), oldest row first."""
    spreads: Mapping[str, float]
    """Bps."""
    vol_short: Mapping[str, float]
    """Annualised, as a fraction."""
    participation: Mapping[str, float]
    """Order over average daily volume."""
    prices: NotRequired[Mapping[str, float]]
    """USD; needed by ``cost.model: round_trip`` for its fees per share."""
    sectors: NotRequired[Mapping[str, str]]
    """Symbols without one share one sector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveStep:
    """One step with the numbers behind it; N symbols, H horizons, NaN is *missing*."""

    symbols: tuple[str, ...]
    target_weights: dict[str, float]
    horizons_minutes: tuple[int, ...]
    alpha_blended_bps: FloatArray
    """(H, N)."""
    cost_bps: FloatArray
    """(H, N)."""
    choice: Arbitration
    movable: BoolArray
    """(N,) False where inputs are missing and the weight is kept."""
    blocked: BoolArray
    """(N,) True where a hard barrier gate stopped an entry."""
    weight_sized: FloatArray
    """(N,) before limits, gates and band."""
    skipped_models: dict[str, str]


def live_step(
    market_data: MarketData,
    current_weights: Mapping[str, float],
    *,
    models: Models,
    calibrations: Sequence[ModelCalibration],
    parameters: ArbiterParameters,
    barrier: BarrierParameters | None = None,
) -> dict[str, float]:
    """Return target weights of equity for every symbol of the market data and every other held one.

    Args:
        market_data: See ``MarketData``.
        current_weights: Signed weights of equity; an absent symbol is flat.
        models: The zoo; barrier models are those with the targets ``peak`` and ``valley``.
        calibrations: Slope and weight per (model, horizon); a return model without one is not used.
        parameters: As the arbiter's; freshness, session, mode and order parameters have no part in it.
        barrier: Barrier gates; None leaves them out.

    Raises:
        ValueError: Features of a wrong width, a weight that is not finite, or no calibration.
    """
    return explain_step(
        market_data,
        current_weights,
        models=models,
        calibrations=calibrations,
        parameters=parameters,
        barrier=barrier,
    ).target_weights


def explain_step(
    market_data: MarketData,
    current_weights: Mapping[str, float],
    *,
    models: Models,
    calibrations: Sequence[ModelCalibration],
    parameters: ArbiterParameters,
    barrier: BarrierParameters | None = None,
) -> LiveStep:
    """Return what ``live_step`` decides with the numbers behind it; arguments and errors are the same."""
    if not calibrations:
        raise ValueError("live_step has no model calibration, so no prediction has a meaning; pass the manifest's")
    symbols, current = _book(market_data, current_weights)
    horizons = tuple(sorted(dict.fromkeys(item.horizon_minutes for item in calibrations)))
    predictions = predict_all(models, symbols, market_data["features"])
    sigma_5m = _column(symbols, market_data["vol_short"]) * (BPS / float(np.sqrt(_PERIODS_PER_YEAR)))
    sigma_horizon = horizon_sigma_bps(sigma_5m, np.array(horizons, dtype=np.int64))
    alpha = blend_horizons(
        predictions.block,
        aligned_scores(predictions.block, symbols),
        calibrations=calibrations,
        horizons_minutes=horizons,
        sigma_horizon_bps=sigma_horizon,
    ).blended_bps
    cost = _cost(market_data, symbols, sigma_5m, horizons, parameters)
    spread = _column(symbols, market_data["spreads"])
    choice = arbitrate(alpha, cost, sigma_horizon, spread, parameters.arbitration)
    chosen = np.array(horizons, dtype=np.float64)[np.maximum(choice.best, 0)]
    run = _Run(
        current=current,
        sectors=_sector_codes(market_data, symbols),
        sigma_day_bps=sigma_5m * float(np.sqrt(_PERIODS_PER_SESSION)),
        movable=np.asarray(np.isfinite(choice.net_bps).any(axis=0)),
        choice=choice,
        barriers=rebase_forecast(barrier_forecast(predictions.block, models, chosen), barrier) if barrier else None,
        barrier=barrier,
        parameters=parameters,
    )
    sized, final, blocked = _weights(run)
    return LiveStep(
        symbols=symbols,
        target_weights=dict(zip(symbols, final.tolist(), strict=True)),
        horizons_minutes=horizons,
        alpha_blended_bps=alpha,
        cost_bps=cost,
        choice=choice,
        movable=run.movable,
        blocked=blocked,
        weight_sized=sized,
        skipped_models=predictions.skipped,
    )


# ---------------------------------------------------------------------------------------------------- market data


def _book(market_data: MarketData, current_weights: Mapping[str, float]) -> tuple[tuple[str, ...], FloatArray]:
    """Return the symbols of the step and the weight held in each."""
    named = tuple(dict.fromkeys(market_data["symbols"]))
    symbols = cycle_symbols(named, [symbol for symbol, weight in current_weights.items() if weight != 0.0])
    current = np.array([float(current_weights.get(symbol, 0.0)) for symbol in symbols])
    for symbol, weight in zip(symbols, current.tolist(), strict=True):
        if not abs(weight) <= WEIGHT_ABS_MAX:
            raise ValueError(
                f"current_weights[{symbol!r}] is {weight}; room under the limits is unknown without a weight of "
                f"equity within {WEIGHT_ABS_MAX}"
            )
    return symbols, current


def _column(symbols: Sequence[str], values: Mapping[str, float]) -> FloatArray:
    """Return (N,) with NaN for what is absent or beyond ``MARKET_ABS_MAX``."""
    column = np.array([float(values.get(symbol, np.nan)) for symbol in symbols])
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(column) <= MARKET_ABS_MAX, column, np.nan)


def _sector_codes(market_data: MarketData, symbols: Sequence[str]) -> IntArray:
    sectors, codes = market_data.get("sectors", {}), {"": 0}
    return np.array([codes.setdefault(sectors.get(symbol, ""), len(codes)) for symbol in symbols], dtype=np.int64)


def _cost(
    market_data: MarketData,
    symbols: Sequence[str],
    sigma_5m_bps: FloatArray,
    horizons: Sequence[int],
    parameters: ArbiterParameters,
) -> FloatArray:
    price = _column(symbols, market_data.get("prices", {}))
    if parameters.cost.model == "linear":
        # The linear model has no fee per share, so any price gives the same cost.
        price = np.ones(len(symbols))
    return round_trip_cost_bps(
        CostInputs(
            spread_bps=_column(symbols, market_data["spreads"]),
            sigma_5m_bps=sigma_5m_bps,
            sigma_day_bps=sigma_5m_bps * float(np.sqrt(_PERIODS_PER_SESSION)),
            price_usd=price,
            # Participation is given, so the order is stated in units of the day's volume.
            daily_volume_shares=np.ones(len(symbols)),
            shares_outstanding=np.full(len(symbols), np.nan),
            order_usd=_column(symbols, market_data["participation"]) * price,
            session_multiplier=1.0,
        ),
        np.array(horizons, dtype=np.int64),
        parameters.cost,
    )


# -------------------------------------------------------------------------------------------------------- weights


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What the steps from sizing on share, (N,) arrays."""

    current: FloatArray
    sectors: IntArray
    sigma_day_bps: FloatArray
    movable: BoolArray
    choice: Arbitration
    barriers: RebasedBarriers | None
    barrier: BarrierParameters | None
    parameters: ArbiterParameters


def _weights(run: _Run) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return sized weights, final weights and where an entry was blocked."""
    parameters, current, movable = run.parameters, run.current, run.movable
    wished = movable & run.choice.clears_reserve
    direction = np.where(wished, run.choice.z, 0.0)
    gate = None
    blocked = np.zeros(len(current), dtype=np.bool_)
    if run.barriers is not None and run.barrier is not None:
        gate = entry_gate(direction, np.full(len(current), np.nan), run.barriers, run.barrier)
        blocked = gate.peak_risk | gate.valley_risk
    # A blocked symbol that is held on the wanted side is sized too, because it may still be reduced.
    wanted = wished & ~(blocked & (current * direction <= 0.0))
    base = np.where(movable, 0.0, current)
    used = kernels.ordered_sum(np.abs(base)) if base.size else 0.0
    sized = wanted_weights(
        np.where(wanted, run.choice.z, np.nan),
        run.sigma_day_bps,
        gross_budget=max(0.0, parameters.size.gross_target - used),
        parameters=parameters.size,
    )
    target = _limited(run, np.where(wanted, sized, base))
    if gate is not None and run.barriers is not None and run.barrier is not None:
        target = without_entries(target, current, gate)
        fresh = wanted & ~(blocked & (target == current))
        target = _limited(run, apply_soft_gate(target, fresh, run.barriers, run.barrier))
    band = band_width(target[movable], multiplier=1.0, parameters=parameters.band)
    final = _limited(run, np.where(movable, apply_band(target, current, band), target))
    return sized, final, blocked


def _limited(run: _Run, weights: FloatArray) -> FloatArray:
    limited, _ = apply_limits(weights, run.sectors, run.movable, run.parameters.limits)
    return limited
