"""Owns the weights of the models within a horizon, learned from matured decisions.

``ridge_ic`` (the balancer of the documents): over the trailing window, ``IC_m = sum(s y) / sqrt(sum s^2 sum y^2)``
of standardised scores s and outcomes y = r/sigma, taken through the origin like the calibration slope;
``mu = IC * (1 - cost_share)``; ``w = (C + .15 I)^-1 mu`` with ``C_ij = sum(s_i s_j) / sqrt(sum s_i^2 sum s_j^2)``,
negative weights clipped, normalised, tempered. A missing score counts as 0 in C, which keeps C positive semidefinite.

Models whose mu is not positive are left out of the system first: as negative weights are clipped they cannot serve as
hedges, and of two correlated models with negative ICs the less bad one would otherwise get the whole weight (C_12 = .5
and mu = (-.3, -.1) solve to (0, 1)).

``cost_share = min(1, cost/|alpha|)`` is averaged over matured observations *after* the cap, so that
``1 - cost_share`` is the mean share of an alpha that survives its cost. The mean of the bare ratio is ruled by
alphas near 0 and would set every model to 0 for good.

``hedge``: fixed share (Herbster and Warmuth 1998) on what every model's sign would have earned. Fall-back of
``ridge_ic``: enough history, else the out-of-fold weights if there are any, else equal ones. Weights are
renormalised over the models that are present; if none of them has any, all are 0, which means *no prediction*.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from walstreet.domain import fixed_share
from walstreet.domain.calibrate import WEIGHT_MIN
from walstreet.domain.linear_solve import solve_positive_definite
from walstreet.domain.portable_math import power
from walstreet.domain.units import HORIZONS_MINUTES, BoolArray, FloatArray
from walstreet.domain.zoo_parameters import MODELS_MAX, WeightParameters, WeightSource
from walstreet.domain.zoo_state import HorizonZoo, Sum, ZooState, by_name, horizon_zoo, normalised, turn_bucket
from walstreet.kernels.matured import Contribution, contribution

EDGE_MIN = 1e-9
"""An edge below this is rounding."""
SCORE_ABS_MAX = 1e6
"""A larger score is no standardised score and counts as missing."""

assert [row.name for row in Contribution] == [row.name for row in Sum]


def learn(
    state: ZooState,
    horizon_minutes: int,
    *,
    models: Sequence[str],
    scores: FloatArray,
    alphas_bps: FloatArray,
    outcomes: FloatArray,
    returns_bps: FloatArray,
    cost_bps: FloatArray,
    ts_ns: int,
    parameters: WeightParameters,
) -> None:
    """Take one matured decision time into the sums of its horizon; call it once for each, in order.

    Every matured prediction counts, traded or not. A missing number leaves out its own observation only. Only what the
    method in force needs is learned.

    Args:
        state: Changed in place.
        horizon_minutes: One of the known horizons.
        models: (M,) distinct names; sums follow a model by name.
        scores: (M, N) standardised scores at the decision.
        alphas_bps: (M, N) calibrated alphas at the decision, signed.
        outcomes: (N,) realised return in units of sigma over the horizon.
        returns_bps: (N,) the same return.
        cost_bps: (N,) round-trip cost expected at the decision.
        ts_ns: The decision time.
        parameters: Method and window; they must not change during the life of ``state``.

    Raises:
        ValueError: Unknown horizon, too many or repeated models, arrays that do not fit, or time runs backwards.
    """
    _require_sound(horizon_minutes, models, scores, alphas_bps, outcomes, returns_bps, cost_bps)
    zoo = horizon_zoo(state, horizon_minutes, tuple(models), parameters)
    turn_bucket(zoo, ts_ns, parameters)
    zoo.filled += 1
    zoo.decisions += 1
    zoo.bucket_ts_ns[zoo.bucket] = ts_ns
    if parameters.method == "hedge":
        losses = fixed_share.sign_losses(alphas_bps, returns_bps, cost_bps, clip_bps=parameters.hedge_clip_bps)
        zoo.shares = fixed_share.updated_shares(
            zoo.shares, losses, horizon_decisions=parameters.hedge_horizon_decisions, share=parameters.hedge_share
        )
    elif parameters.method == "ridge_ic":
        products, sums = _contribution(scores, alphas_bps, outcomes, cost_bps, parameters)
        zoo.products[zoo.bucket] += products
        zoo.sums[zoo.bucket] += sums
        if zoo.decisions % parameters.refresh_decisions == 0 or not zoo.ready:
            _solve(zoo, horizon_minutes, parameters)


def weight_source(
    state: ZooState, horizon_minutes: int, *, oof_weights: FloatArray | None, parameters: WeightParameters
) -> WeightSource:
    """Return which weights are in force for a horizon, after fall-backs."""
    zoo = state.horizons.get(horizon_minutes)
    if parameters.method == "hedge" and zoo is not None:
        return "hedge"
    if parameters.method == "ridge_ic" and zoo is not None and zoo.ready:
        return "ridge_ic"
    return "oof" if oof_weights is not None and parameters.method != "hedge" else "equal"


def weights(
    state: ZooState,
    horizon_minutes: int,
    *,
    models: Sequence[str],
    oof_weights: FloatArray | None,
    present: BoolArray,
    parameters: WeightParameters,
) -> FloatArray:
    """Return (M,) weights at least 0 that sum to 1 over the models present, or all 0: *no prediction*.

    Args:
        state: What was learned from matured decisions.
        horizon_minutes: One of the known horizons.
        models: (M,) names in the order wanted.
        oof_weights: (M,) out-of-fold weights at least 0, or None without any.
        present: (M,) which models answered and are healthy.
        parameters: Method.

    Raises:
        ValueError: An out-of-fold weight is negative or not finite, or arrays do not fit.
    """
    count = len(models)
    if present.shape != (count,) or (oof_weights is not None and oof_weights.shape != (count,)):
        raise ValueError(f"weights: {count} models are named, but present or the out-of-fold weights do not fit them")
    source = weight_source(state, horizon_minutes, oof_weights=oof_weights, parameters=parameters)
    if source == "equal":
        wanted = np.ones(count)
    elif source == "oof":
        assert oof_weights is not None
        if np.count_nonzero((oof_weights >= 0.0) & (oof_weights < np.inf)) < count:
            raise ValueError(f"weights: out-of-fold weights {oof_weights.tolist()} must be finite and at least 0")
        wanted = oof_weights
    else:
        zoo = state.horizons[horizon_minutes]
        learned = zoo.solution if source == "ridge_ic" else zoo.shares
        wanted = by_name(learned, zoo.models, tuple(models), 0.0)
    return normalised(np.where(present, wanted, 0.0))


def ridge_ic_weights(
    correlation: FloatArray, edge: FloatArray, *, ridge: float, temper: float, positive_edge_only: bool = True
) -> FloatArray:
    """Return (M,) ``(C + ridge I)^-1 edge``, clipped at 0, normalised, tempered, normalised again; or all 0.

    The direction of largest expected information ratio for forecasts with correlation C (Grinold and Kahn 1999,
    chapter 12), with the ridge of document 001.

    Args:
        correlation: (M, M), positive semidefinite, ones on the diagonal.
        edge: (M,) information coefficient after costs.
        ridge: Above 0.
        temper: Exponent in (0, 1].
        positive_edge_only: Leave models without a positive edge out of the system.
    """
    if positive_edge_only:
        inside = edge >= EDGE_MIN
        correlation = np.where(inside[:, None] & inside[None, :], correlation, np.eye(len(edge)))
        edge = np.where(inside, edge, 0.0)
    raw = solve_positive_definite(correlation + ridge * np.eye(len(edge)), edge)
    assert raw is not None, "a positive semidefinite matrix with a ridge is positive definite"
    shares = normalised(np.maximum(raw, 0.0))
    # What rounding leaves above 0 is no weight; renormalised over absentees it could become the whole blend.
    shares = np.where(shares >= WEIGHT_MIN, shares, 0.0)
    return shares if temper == 1.0 else normalised(power(shares, temper))


def _contribution(
    scores: FloatArray,
    alphas_bps: FloatArray,
    outcomes: FloatArray,
    cost_bps: FloatArray,
    parameters: WeightParameters,
) -> tuple[FloatArray, FloatArray]:
    """Return what one decision time adds to the sums, symbols added in their order."""
    return contribution(
        np.ascontiguousarray(scores),
        np.ascontiguousarray(alphas_bps),
        np.ascontiguousarray(outcomes),
        np.ascontiguousarray(cost_bps),
        score_abs_max=SCORE_ABS_MAX,
        outcome_abs_max=parameters.outcome_clip_sigma,
    )


def _solve(zoo: HorizonZoo, horizon_minutes: int, parameters: WeightParameters) -> None:
    sums = zoo.closed_sums + zoo.sums[zoo.bucket]
    enough = sums[Sum.ANSWERED] >= parameters.decisions_min
    zoo.ready = bool(enough.any())
    if not zoo.ready:
        zoo.solution = np.zeros(len(zoo.models))
        return
    products = zoo.closed_products + zoo.products[zoo.bucket]
    square = np.diagonal(products)
    known = enough & (square > 0.0)
    size = np.sqrt(np.where(known, square, 1.0))
    correlation = np.where(known[:, None] & known[None, :], products / size[:, None] / size[None, :], 0.0)
    np.fill_diagonal(correlation, 1.0)
    spread = size * np.sqrt(sums[Sum.OUTCOME_SQUARE])
    coefficient = np.where(known & (spread > 0.0), sums[Sum.SCORE_OUTCOME] / np.where(spread > 0.0, spread, 1.0), 0.0)
    surviving = sums[Sum.SURVIVING] / np.maximum(sums[Sum.PRICED], 1.0)
    zoo.solution = ridge_ic_weights(
        correlation,
        coefficient * surviving,
        ridge=parameters.ridge,
        temper=parameters.temper(horizon_minutes),
        positive_edge_only=parameters.positive_edge_only,
    )


def _require_sound(
    horizon_minutes: int,
    models: Sequence[str],
    scores: FloatArray,
    alphas_bps: FloatArray,
    *per_symbol: FloatArray,
) -> None:
    count = len(models)
    if horizon_minutes not in HORIZONS_MINUTES:
        raise ValueError(f"weights: horizon {horizon_minutes} minutes is unknown; allowed are {HORIZONS_MINUTES}")
    if not 1 <= count <= MODELS_MAX or len(frozenset(models)) != count:
        raise ValueError(f"weights: {count} models {tuple(models)}; 1 to {MODELS_MAX} distinct ones are allowed")
    symbols = scores.shape[1] if scores.ndim == 2 else -1
    fits = scores.shape == alphas_bps.shape == (count, symbols) and symbols > 0
    if not fits or any(values.shape != (symbols,) for values in per_symbol):
        raise ValueError(
            f"weights: scores {scores.shape}, alphas {alphas_bps.shape} and per-symbol arrays "
            f"{[values.shape for values in per_symbol]} do not fit {count} models"
        )
