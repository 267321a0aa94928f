"""Owns what is remembered of a model's health, and how a matured cross-section enters it.

Each cross-section leaves one row in a bounded window: the rank IC across symbols, ``sum(f*y)`` and ``sum(f*f)`` of
calibrated forecast f and outcome y (both in units of sigma_h), and edge and number of the trades that the model alone
would have made. The standardised error goes to the change test (see ``page_hinkley``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from walstreet import kernels
from walstreet.domain.calibrate import SLOPE_ABS_MAX
from walstreet.domain.drift_parameters import DriftParameters, HealthStatus
from walstreet.domain.page_hinkley import BlockStandardiser, PageHinkley
from walstreet.domain.rank_ic import paired_rank_ic
from walstreet.domain.rolling_rows import RollingRows, rolling_rows
from walstreet.domain.units import FloatArray

KEYS_MAX = 1_024
"""Models times horizons of one bank; 130 kB each with the default window."""
SCORE_ABS_MAX = 1e6
"""A score beyond it comes from a broken model and counts as missing, so that no sum can overflow."""
SIGMA_BPS_MAX = 1e6
IC, CROSS, SQUARE, EDGE, TRADES = range(5)
"""Columns of a health's window."""
WIDTH = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Matured:
    """One model's matured cross-section at one horizon, (N,) each; NaN is *missing*."""

    ts_ns: int
    """When the decision was made."""
    score: FloatArray
    """The model's forecast of r/sigma_h before calibration."""
    slope: float
    """Calibration in force at the decision; what is not above 0 makes no forecast, and only the rank IC is learnt."""
    return_bps: FloatArray
    """Realised over the horizon, signed."""
    sigma_bps: FloatArray
    """Volatility of the horizon that was in force at the decision."""
    cost_bps: FloatArray
    """Round trip as it was priced at the decision."""


@dataclass(slots=True, kw_only=True)
class DriftHealth:
    """What is remembered of one model at one horizon."""

    model: str
    horizon_minutes: int
    window: RollingRows
    status: HealthStatus = HealthStatus.UNPROVEN
    failures: int = 0
    """In a row."""
    passes: int = 0
    """In a row."""
    skipped: int = 0
    """Matured times without a cross-section: fewer than three symbols, or all equal."""
    standardiser: BlockStandardiser = field(default_factory=BlockStandardiser)
    page_hinkley: PageHinkley = field(default_factory=PageHinkley)

    def canonical(self) -> tuple[object, ...]:
        """Return the content for a digest."""
        return (
            self.model,
            self.horizon_minutes,
            self.status.value,
            (self.failures, self.passes, self.skipped),
            self.window.canonical(),
            self.standardiser.canonical(),
            self.page_hinkley.canonical(),
        )


@dataclass(slots=True)
class DriftBank:
    """Health of every model at every horizon, in the order in which they were first seen."""

    members: dict[tuple[str, int], DriftHealth] = field(default_factory=dict)

    def of(self, model: str, horizon_minutes: int, parameters: DriftParameters) -> DriftHealth:
        """Return the health of one model, a fresh one at first sight.

        Raises:
            ValueError: More than ``KEYS_MAX`` models times horizons.
        """
        key = (model, horizon_minutes)
        if key not in self.members:
            if len(self.members) >= KEYS_MAX:
                raise ValueError(f"health of {key} would be the {KEYS_MAX + 1}st; split the models over instances")
            self.members[key] = drift_health(model, horizon_minutes, parameters)
        return self.members[key]

    def quarantined(self, model: str, horizon_minutes: int) -> bool:
        """Return whether a model may not be used; one never seen may."""
        member = self.members.get((model, horizon_minutes))
        return member is not None and member.status is HealthStatus.QUARANTINED

    def canonical(self) -> tuple[object, ...]:
        """Return the content for a digest."""
        return tuple(self.members[key].canonical() for key in sorted(self.members))


def drift_health(model: str, horizon_minutes: int, parameters: DriftParameters) -> DriftHealth:
    """Return the health of a model of which nothing has matured."""
    window = rolling_rows(parameters.window_times, WIDTH)
    return DriftHealth(model=model, horizon_minutes=horizon_minutes, window=window)


def learn(health: DriftHealth, matured: Matured, parameters: DriftParameters) -> bool:
    """Take one matured cross-section; return whether an evaluation is due.

    A symbol with a missing or broken score, return or volatility counts nowhere, one with a missing cost everywhere but
    in the edge. A time without a cross-section is counted in ``skipped`` and teaches nothing.
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        outcome = matured.return_bps / matured.sigma_bps
        known = (matured.sigma_bps > 0.0) & (matured.sigma_bps <= SIGMA_BPS_MAX)
        known &= (np.abs(matured.score) <= SCORE_ABS_MAX) & np.isfinite(outcome)
    score = matured.score[known]
    realised = np.clip(outcome[known], -parameters.outcome_abs_max, parameters.outcome_abs_max)
    information = paired_rank_ic(score, realised)
    if math.isnan(information):
        health.skipped += 1
        return False
    row = np.zeros(WIDTH)
    row[IC] = information
    if 0.0 < matured.slope <= SLOPE_ABS_MAX:
        forecast = matured.slope * score
        row[CROSS] = kernels.ordered_dot(forecast, realised)
        row[SQUARE] = kernels.ordered_dot(forecast, forecast)
        row[EDGE], row[TRADES] = _edge(forecast, realised, matured.sigma_bps[known], matured.cost_bps[known])
        _watch_error(health, forecast, realised, parameters)
    health.window.push(row)
    return health.window.pushed % parameters.evaluate_every == 0


def _edge(
    forecast: FloatArray, realised: FloatArray, sigma_bps: FloatArray, cost_bps: FloatArray
) -> tuple[float, float]:
    """Return the summed net edge in bps and the number of symbols whose alpha exceeds its cost."""
    with np.errstate(invalid="ignore"):
        traded = np.abs(forecast) * sigma_bps > cost_bps
        edge = np.sign(forecast) * realised * sigma_bps - cost_bps
    chosen = np.ascontiguousarray(edge[traded])
    return (kernels.ordered_sum(chosen) if chosen.size else 0.0), float(chosen.size)


def _watch_error(health: DriftHealth, forecast: FloatArray, realised: FloatArray, parameters: DriftParameters) -> None:
    # The excess (y - f)^2 - y^2 is written so that nothing large cancels.
    excess = parameters.error == "excess"
    errors = forecast * (forecast - 2.0 * realised) if excess else np.abs(realised - forecast)
    value = health.standardiser.update(
        kernels.ordered_sum(errors) / len(errors),
        block=max(1, round(parameters.overlap(health.horizon_minutes))),
        blocks_min=parameters.page_hinkley_blocks_min,
        abs_max=parameters.page_hinkley_abs_max,
    )
    if value is not None:
        health.page_hinkley.update(value, delta=parameters.page_hinkley_delta)
