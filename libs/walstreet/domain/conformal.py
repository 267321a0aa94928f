"""Owns the conformal gate: what may be traded at its cost, given how earlier predictions turned out.

Scores s (forecast over sigma_h) and outcomes y (realised return over sigma_h) are pooled over symbols, per horizon.
``conformal_learn.learn`` takes in what matures; ``gate`` never changes anything. Three gates answer three questions:

- ``mean``: does the 80 % interval of E[y|s] lie beyond the cost? It is the question a trader of many small edges asks.
- ``probability``: does the conformal predictive distribution give the cost a chance of ``probability_min``, and is
  the expected net positive?
- ``interval``: the documents' rule, the interval of the single outcome itself. It asks for an IC near .4.

A gate only confirms the forecast's own sign: buying needs s > 0, selling s < 0, whatever the interval says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from walstreet.domain.conformal_mean import mean_intervals
from walstreet.domain.conformal_parameters import ConformalParameters
from walstreet.domain.conformal_state import GATED, MONITORED, SIGMA_ABS_MAX, ConformalState, HorizonState
from walstreet.domain.units import BoolArray, FloatArray, IntArray


class ConformalReason(IntEnum):
    """Why a prediction passed the gate or not."""

    MISSING = 0
    """No usable score or cost."""
    UNCALIBRATED = 1
    """Too few matured predictions of this horizon, or too few that do not overlap."""
    BLOCK = 2
    """The interval does not clear the cost in the forecast's direction."""
    PASS = 3


_MISSING, _UNCALIBRATED, _BLOCK, _PASS = (np.int8(reason) for reason in ConformalReason)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformalResult:
    """What the gate says, (H, N) each."""

    conf_long: BoolArray
    conf_short: BoolArray
    reason: NDArray[np.int8]
    """A ``ConformalReason``."""
    lower_sigma: FloatArray
    """Lower end of the interval that was compared with the cost; for ``probability`` of the monitored one. NaN where
    the reason is ``MISSING`` or ``UNCALIBRATED``."""
    upper_sigma: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How often the intervals of one horizon held, since the start."""

    horizon_minutes: int
    judged: int
    """Outcomes that had an interval in force when they were predicted."""
    missed_below: int
    missed_above: int
    gated_missed_below: int
    """The same for the interval of ``gate: interval``."""
    gated_missed_above: int
    level_lower: float
    """Adaptive miss rate of the monitored interval's lower end; wanted is ``miss_each_side``."""
    level_upper: float
    lower_sigma: float
    """Ends of the monitored interval now, as residuals; infinite while uncalibrated."""
    upper_sigma: float
    outcomes: int
    """Pairs in the ring."""
    calibrated: bool
    """Whether there are intervals at all."""
    mean_calibrated: bool
    """Whether there is an interval of the mean; only ``gate: mean`` makes one."""

    @property
    def covered(self) -> float:
        """Return the share of outcomes inside the monitored interval, wanted .8; NaN before the first."""
        return 1.0 - (self.missed_below + self.missed_above) / self.judged if self.judged else float("nan")


def gate(
    state: ConformalState,
    *,
    horizons_minutes: IntArray,
    scores: FloatArray,
    cost_sigma: FloatArray,
    parameters: ConformalParameters,
) -> ConformalResult:
    """Return which predictions clear their cost, in which direction; changes nothing.

    Args:
        state: What is learned so far.
        horizons_minutes: (H,).
        scores: (H, N) forecasts over sigma; NaN where there is none.
        cost_sigma: (H, N) round-trip cost over sigma, at least 0; NaN where unknown.
        parameters: As for ``learn``.

    Raises:
        ValueError: The arrays do not fit each other.
    """
    if scores.shape != cost_sigma.shape or scores.shape[0] != len(horizons_minutes):
        raise ValueError(
            f"conformal gate: scores are {scores.shape} and costs {cost_sigma.shape} for {len(horizons_minutes)} "
            "horizons; all must be (H, N)"
        )
    with np.errstate(invalid="ignore"):
        known = (np.abs(scores) <= SIGMA_ABS_MAX) & (cost_sigma >= 0.0) & np.isfinite(cost_sigma)
    usable, cost = np.where(known, scores, np.nan), np.where(known, cost_sigma, np.nan)
    horizons = [_evidence(state, minutes, parameters) for minutes in horizons_minutes.tolist()]
    if parameters.gate == "mean":
        fits = [horizon.mean_fit if horizon else None for horizon in horizons]
        ready = np.array([fit is not None for fit in fits], dtype=np.bool_)[:, None]
        lower, upper = mean_intervals(fits, usable)
    else:
        ready = np.array([horizon is not None for horizon in horizons], dtype=np.bool_)[:, None]
        which = GATED if parameters.gate == "interval" else MONITORED
        ends = [horizon.intervals[which] if horizon else (np.nan, np.nan) for horizon in horizons]
        shift = np.array(ends).reshape(-1, 2, 1)
        lower, upper = usable + shift[:, 0], usable + shift[:, 1]
    if parameters.gate == "probability":
        long, short = _likely(horizons, usable, cost, parameters.probability_min)
    else:
        # An empty interval, its ends crossed by a level above 1, holds nothing that could clear a cost.
        sound = lower <= upper
        long, short = sound & (lower > cost), sound & (upper < -cost)
    long, short = long & (usable > 0.0), short & (usable < 0.0)
    reason = np.where(long | short, _PASS, _BLOCK)
    reason = np.where(known, np.where(ready, reason, _UNCALIBRATED), _MISSING)
    return ConformalResult(conf_long=long, conf_short=short, reason=reason, lower_sigma=lower, upper_sigma=upper)


def coverage(state: ConformalState) -> tuple[Coverage, ...]:
    """Return how the intervals held so far, per horizon, ascending."""
    return tuple(_coverage(state.horizons[minutes]) for minutes in sorted(state.horizons))


def _coverage(horizon: HorizonState) -> Coverage:
    missed, levels = horizon.missed, horizon.levels
    return Coverage(
        horizon_minutes=horizon.horizon_minutes,
        judged=horizon.judged,
        missed_below=missed[MONITORED][0],
        missed_above=missed[MONITORED][1],
        gated_missed_below=missed[GATED][0],
        gated_missed_above=missed[GATED][1],
        level_lower=levels[MONITORED][0],
        level_upper=levels[MONITORED][1],
        lower_sigma=horizon.intervals[MONITORED][0],
        upper_sigma=horizon.intervals[MONITORED][1],
        outcomes=horizon.ring.pairs,
        calibrated=horizon.calibrated,
        mean_calibrated=horizon.mean_fit is not None,
    )


def _evidence(state: ConformalState, minutes: int, parameters: ConformalParameters) -> HorizonState | None:
    """Return what is known about a horizon if it is enough to trade on.

    A hundred outcomes that overlap each other may all tell of one move of the market, so besides being calibrated the
    ring must reach over ``disjoint_windows_min`` horizons side by side, whatever the gate asks.
    """
    horizon = state.horizons.get(minutes)
    if horizon is None or not horizon.calibrated or not parameters.blocks_suffice(minutes, horizon.ring.rows):
        return None
    return horizon


def _likely(
    horizons: Sequence[HorizonState | None], scores: FloatArray, cost: FloatArray, probability_min: float
) -> tuple[BoolArray, BoolArray]:
    """Return where ``P(y > cost) >= probability_min`` and the expected net is positive, and the mirror image.

    ``P(y > c) = #{residuals > c - s} / (n + 1)``, the lower one of the two values of the conformal predictive
    distribution (Vovk, Shen, Manokhin and Xie 2019); the expectation is ``s + mean(residuals)``.
    """
    long, short = np.zeros(scores.shape, dtype=np.bool_), np.zeros(scores.shape, dtype=np.bool_)
    for row, horizon in enumerate(horizons):
        if horizon is None:
            continue
        count = len(horizon.ordered)
        above = count - np.searchsorted(horizon.ordered, cost[row] - scores[row], side="right")
        below = np.searchsorted(horizon.ordered, -cost[row] - scores[row], side="left")
        expected = scores[row] + horizon.residual_mean
        long[row] = (above / (count + 1) >= probability_min) & (expected > cost[row])
        short[row] = (below / (count + 1) >= probability_min) & (expected < -cost[row])
    return long, short
