"""Owns how the conformal gate learns from a matured cross-section of predictions.

Of every prediction, traded or not, it first judges the interval that was in force when the prediction was made, moves
the adaptive levels, and only then adds the pair to the ring; from time to time the quantities that the gate reads are
fitted anew.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right

import numpy as np

from walstreet.domain.conformal_mean import (
    MeanFit,
    block_plan,
    conformal_rank,
    fit_isotonic,
    fit_slope,
    plan_draws,
)
from walstreet.domain.conformal_parameters import ConformalParameters
from walstreet.domain.conformal_state import (
    SIGMA_ABS_MAX,
    ConformalState,
    HorizonState,
    Interval,
    empty_horizon,
    exchange_sorted,
    residuals,
)
from walstreet.domain.units import HORIZONS_MINUTES, FloatArray


def learn(
    state: ConformalState,
    *,
    horizon_minutes: int,
    ts_ns: int,
    now_ns: int,
    scores: FloatArray,
    outcomes: FloatArray,
    parameters: ConformalParameters,
) -> None:
    """Judge and add one matured cross-section, in place; call it once per decision time and horizon, traded or not.

    Args:
        state: What is learned so far.
        horizon_minutes: One of ``HORIZONS_MINUTES``.
        ts_ns: When the predictions were made; ascending from call to call of a horizon.
        now_ns: When the outcomes became known; what is learned holds for predictions made from then on. Within one
            cycle ``learn`` therefore comes before ``gate``.
        scores: (N,) forecasts over sigma; NaN where there was none.
        outcomes: (N,) realised returns over the same sigma; NaN where unknown.
        parameters: The same in every call for one state.

    Raises:
        ValueError: The arrays do not fit each other, or time runs backwards.
    """
    horizon = _horizon(state, horizon_minutes, parameters)
    _require_order(horizon, ts_ns, now_ns, scores, outcomes)
    horizon.last_ts_ns, horizon.last_now_ns = ts_ns, now_ns
    # Written so that NaN is never compared, which some NumPy versions warn about.
    sound = np.isfinite(scores) & np.isfinite(outcomes)
    if np.count_nonzero(sound) < len(sound):
        scores, outcomes = scores[sound], outcomes[sound]
    inside = np.abs(scores) <= SIGMA_ABS_MAX
    if np.count_nonzero(inside) < len(inside):
        scores, outcomes = scores[inside], outcomes[inside]
    if not len(scores):
        return
    outcomes = np.minimum(np.maximum(outcomes, -SIGMA_ABS_MAX), SIGMA_ABS_MAX)
    residual = residuals(scores, outcomes)
    _judge(horizon, ts_ns, residual, parameters)
    if horizon.learned % parameters.stride(horizon_minutes) == 0:
        expired = horizon.ring.push(scores, outcomes, residual)
        if horizon.calibrated:
            horizon.arrived.append(residual)
            horizon.expired.append(expired)
        if _refit_due(horizon, parameters):
            _refit(horizon, parameters)
    horizon.learned += 1
    if horizon.calibrated:
        horizon.in_force.append((now_ns, _intervals(horizon)))


def seed(
    state: ConformalState,
    *,
    horizon_minutes: int,
    scores: FloatArray,
    outcomes: FloatArray,
    parameters: ConformalParameters,
) -> None:
    """Start a horizon with (T, N) matured cross-sections of earlier sessions, oldest first.

    Nothing is judged by them: no interval was in force when they were predicted. What is learned holds at once.

    Raises:
        ValueError: The arrays do not fit each other, or the horizon has learned something already.
    """
    horizon = _horizon(state, horizon_minutes, parameters)
    if scores.ndim != 2 or scores.shape != outcomes.shape or horizon.learned:
        raise ValueError(
            f"conformal seed, {horizon_minutes} minutes: scores are {scores.shape} and outcomes {outcomes.shape}, with "
            f"{horizon.learned} cross-sections learned; both must be (T, N) and come first"
        )
    stride = parameters.stride(horizon_minutes)
    for row in range(max(0, len(scores) - horizon.ring.capacity * stride), len(scores), stride):
        sound = np.isfinite(scores[row]) & np.isfinite(outcomes[row]) & (np.abs(scores[row]) <= SIGMA_ABS_MAX)
        if sound.any():
            known, realised = scores[row][sound], np.clip(outcomes[row][sound], -SIGMA_ABS_MAX, SIGMA_ABS_MAX)
            horizon.ring.push(known, realised, residuals(known, realised))
            horizon.learned += stride
    if _refit_due(horizon, parameters):
        _refit(horizon, parameters)
        horizon.in_force.append((0, _intervals(horizon)))


def _horizon(state: ConformalState, minutes: int, parameters: ConformalParameters) -> HorizonState:
    if minutes not in HORIZONS_MINUTES:
        raise ValueError(f"conformal learn: horizon_minutes is {minutes}; allowed are {HORIZONS_MINUTES}")
    horizon = state.horizons.get(minutes)
    if horizon is None:
        misses = (parameters.miss_each_side, parameters.interval_miss_each_side)
        horizon = empty_horizon(minutes, capacity=parameters.window_decision_times, misses=misses)
        state.horizons[minutes] = horizon
    return horizon


def _require_order(horizon: HorizonState, ts_ns: int, now_ns: int, scores: FloatArray, outcomes: FloatArray) -> None:
    where = f"conformal learn, {horizon.horizon_minutes} minutes"
    if scores.ndim != 1 or scores.shape != outcomes.shape:
        raise ValueError(f"{where}: scores are {scores.shape} and outcomes {outcomes.shape}; both must be (N,)")
    if not horizon.last_ts_ns < ts_ns <= now_ns or now_ns < horizon.last_now_ns:
        raise ValueError(
            f"{where}: predicted at {ts_ns} and known at {now_ns} after {horizon.last_ts_ns} and "
            f"{horizon.last_now_ns}; give each decision time once, in order"
        )


def _judge(horizon: HorizonState, ts_ns: int, residual: FloatArray, parameters: ConformalParameters) -> None:
    """Count the outcomes outside the intervals that were in force at ``ts_ns`` and move the levels.

    ``a <- a + rate * (a* - err)`` per outcome (Gibbs and Candes 2021, "Adaptive conformal inference under distribution
    shift", eq. 2), over both tails. Outcomes overlap the ones of neighbouring decision times, and all of them answer
    with a delay of one horizon: at full step such a loop swings between infinite and empty. Each counts therefore
    for the part of it that is new, one over the overlap.
    """
    held = horizon.in_force
    while len(held) > 1 and held[1][0] <= ts_ns:
        held.popleft()
    if not held or held[0][0] > ts_ns:
        return
    count, ascending = len(residual), sorted(residual.tolist())
    rate = parameters.adaptation_rate
    if parameters.adaptation == "overlap":
        rate /= parameters.overlap(horizon.horizon_minutes)
    horizon.judged += count
    wanted = (parameters.miss_each_side, parameters.interval_miss_each_side)
    for (lower, upper), aim, missed, levels in zip(held[0][1], wanted, horizon.missed, horizon.levels, strict=True):
        below, above = bisect_left(ascending, lower), count - bisect_right(ascending, upper)
        missed[0] += below
        missed[1] += above
        levels[0] += rate * (count * aim - below)
        levels[1] += rate * (count * aim - above)


def _intervals(horizon: HorizonState) -> tuple[Interval, ...]:
    return tuple([_interval(horizon.ordered, lower, upper) for lower, upper in horizon.levels])


def _interval(ordered: FloatArray, lower: float, upper: float) -> Interval:
    """Return the residual with the rank of either miss rate; the lower one is counted from the largest residual.

    A rank beyond the residuals leaves its side open, one below the first leaves nothing inside.
    """
    count = len(ordered)
    down, up = conformal_rank(count, lower), conformal_rank(count, upper)
    low = ordered.item(count - down) if 1 <= down <= count else (-math.inf if down > count else math.inf)
    high = ordered.item(up - 1) if 1 <= up <= count else (math.inf if up > count else -math.inf)
    return low, high


def _refit_due(horizon: HorizonState, parameters: ConformalParameters) -> bool:
    ring = horizon.ring
    if not horizon.calibrated:
        return ring.rows >= parameters.decision_times_min and ring.pairs >= parameters.outcomes_min
    # Horizons refit at different times, so that no cycle pays for all of them.
    phase = HORIZONS_MINUTES.index(horizon.horizon_minutes)
    return (ring.stored + phase) % parameters.refit_every == 0


def _refit(horizon: HorizonState, parameters: ConformalParameters) -> None:
    ring = horizon.ring
    if horizon.calibrated:
        # What leaves may have come since the last refit, so the coming ones go in first.
        with_coming = exchange_sorted(horizon.ordered, np.zeros(0), np.concatenate(horizon.arrived))
        horizon.ordered = exchange_sorted(with_coming, np.concatenate(horizon.expired), np.zeros(0))
        horizon.arrived, horizon.expired = [], []
    else:
        _, scores, outcomes = ring.flat_pairs()
        horizon.ordered = np.sort(residuals(scores, outcomes))
    assert len(horizon.ordered) == ring.pairs, (len(horizon.ordered), ring.pairs)
    horizon.residual_mean = float(np.cumsum(ring.chronological(ring.residual_sums))[-1]) / ring.pairs
    if parameters.gate == "mean" and parameters.blocks_suffice(horizon.horizon_minutes, ring.rows):
        horizon.mean_fit = _mean_fit(horizon, parameters)


def _mean_fit(horizon: HorizonState, parameters: ConformalParameters) -> MeanFit | None:
    minutes, ring = horizon.horizon_minutes, horizon.ring
    epoch = ring.stored // ring.capacity
    if horizon.draws_epoch != epoch:
        horizon.draws, horizon.draws_epoch = plan_draws(minutes, epoch, parameters), epoch
        horizon.plan = None
    plan = horizon.plan
    if plan is None or plan.rows != ring.rows:
        plan = horizon.plan = block_plan(
            horizon.draws,
            rows=ring.rows,
            length=parameters.block_rows(minutes, ring.rows),
            overlap=parameters.overlap_rows(minutes),
            replicates=parameters.bootstrap_replicates,
        )
    if parameters.mean_estimator == "isotonic":
        rows, scores, outcomes = ring.flat_pairs()
        return fit_isotonic(rows, scores, outcomes, plan=plan, bins=parameters.bins, miss=parameters.miss_each_side)
    return fit_slope(
        ring.chronological(ring.products),
        ring.chronological(ring.squares),
        plan=plan,
        miss=parameters.miss_each_side,
        score_abs_max=float(np.max(ring.largest)),
    )
