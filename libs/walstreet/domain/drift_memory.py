"""Owns what is remembered of a model's health, and how a matured cross-section enters it.

Each cross-section leaves one row in a bounded window: the rank IC across symbols, ``sum(f*y)`` and ``sum(f*f)`` of
calibrated forecast f and outcome y (both in units of sigma_h), and edge and number of the trades that the model alone
would have made. The standardised error goes to the change test (see ``page_hinkley``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from walstreet.domain.calibrate import SLOPE_ABS_MAX
from walstreet.domain.drift_parameters import DriftParameters, HealthStatus
from walstreet.domain.page_hinkley import BlockStandardiser, PageHinkley
from walstreet.domain.rolling_rows import RollingRows, rolling_rows
from walstreet.domain.units import FloatArray
from walstreet.kernels.matured import MaturedBounds, MaturedColumn, matured_rows

KEYS_MAX = 1_024
"""Models times horizons of one bank; 130 kB each with the default window."""
SCORE_ABS_MAX = 1e6
"""A score beyond it comes from a broken model and counts as missing, so that no sum can overflow."""
SIGMA_BPS_MAX = 1e6
IC, CROSS, SQUARE, EDGE, TRADES = range(5)
"""Columns of a health's window."""
WIDTH = 5

assert tuple(MaturedColumn)[:WIDTH] == (IC, CROSS, SQUARE, EDGE, TRADES)
assert tuple(MaturedColumn)[WIDTH:] == (MaturedColumn.ERROR,)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class MaturedModels:
    """The matured cross-section of all models of one horizon; M models, N symbols, NaN is *missing*."""

    ts_ns: int
    """When the decision was made."""
    scores: FloatArray
    """(M, N) forecasts of r/sigma_h before calibration."""
    slopes: FloatArray
    """(M,) calibrations in force at the decision; see ``Matured.slope``."""
    return_bps: FloatArray
    """(N,) like the next two; see ``Matured``."""
    sigma_bps: FloatArray
    cost_bps: FloatArray


def learn(health: DriftHealth, matured: Matured, parameters: DriftParameters) -> bool:
    """Take one matured cross-section; return whether an evaluation is due.

    A symbol with a missing or broken score, return or volatility counts nowhere, one with a missing cost everywhere but
    in the edge. A time without a cross-section is counted in ``skipped`` and teaches nothing.
    """
    models = MaturedModels(
        ts_ns=matured.ts_ns,
        scores=matured.score[None, :],
        slopes=np.array([matured.slope], dtype=np.float64),
        return_bps=matured.return_bps,
        sigma_bps=matured.sigma_bps,
        cost_bps=matured.cost_bps,
    )
    return learn_models((health,), models, parameters)[0]


def learn_models(
    healths: Sequence[DriftHealth], matured: MaturedModels, parameters: DriftParameters
) -> tuple[bool, ...]:
    """Take one matured cross-section of (M,) models of one horizon; return for each whether an evaluation is due.

    The same as ``learn`` for each of them, at a fraction of the cost.
    """
    rows = matured_rows(
        np.ascontiguousarray(matured.scores),
        matured.slopes,
        return_bps=np.ascontiguousarray(matured.return_bps),
        sigma_bps=np.ascontiguousarray(matured.sigma_bps),
        cost_bps=np.ascontiguousarray(matured.cost_bps),
        bounds=MaturedBounds(
            SCORE_ABS_MAX, SIGMA_BPS_MAX, SLOPE_ABS_MAX, parameters.outcome_abs_max, parameters.error == "excess"
        ),
    )
    return tuple(
        _take(health, row, values[IC], values[MaturedColumn.ERROR], parameters)
        for health, row, values in zip(healths, rows[:, :WIDTH], rows.tolist(), strict=True)
    )


def _take(health: DriftHealth, row: FloatArray, information: float, error: float, parameters: DriftParameters) -> bool:
    if math.isnan(information):
        health.skipped += 1
        return False
    if not math.isnan(error):
        _watch_error(health, error, parameters)
    health.window.push(row)
    return health.window.pushed % parameters.evaluate_every == 0


def _watch_error(health: DriftHealth, error: float, parameters: DriftParameters) -> None:
    value = health.standardiser.update(
        error,
        block=max(1, round(parameters.overlap(health.horizon_minutes))),
        blocks_min=parameters.page_hinkley_blocks_min,
        abs_max=parameters.page_hinkley_abs_max,
    )
    if value is not None:
        health.page_hinkley.update(value, delta=parameters.page_hinkley_delta)
