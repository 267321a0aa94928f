"""Owns the second half of a cycle: from wanted symbols to weights within every limit."""

from __future__ import annotations

import numpy as np

from walstreet import kernels
from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.band import apply_band, band_width
from walstreet.domain.barrier import (
    apply_soft_gate,
    without_entries,
)
from walstreet.domain.barrier_exits import apply_exits
from walstreet.domain.correlation_risk import apply_correlation_risk
from walstreet.domain.cycle_inputs import CycleInputs
from walstreet.domain.cycle_types import Book, Limited, Run
from walstreet.domain.limits import Binding, apply_limits
from walstreet.domain.risk_weights import risk_weights
from walstreet.domain.size import wanted_weights
from walstreet.domain.units import SESSION_MINUTES, FloatArray, IntArray, shares
from walstreet_events import Mode, Verdict

NO_EDGE = (Verdict.NO_ALPHA, Verdict.BELOW_THETA, Verdict.CONF_BLOCK, Verdict.CONF_UNCALIBRATED)
"""Verdicts of a symbol that no forecast wants; a position in it is held until its signal has run out."""


def weights_of(inputs: CycleInputs, micro: IntArray) -> FloatArray:
    """Return (N,) weights of a position; NaN where it cannot be valued, 0 for none."""
    with np.errstate(invalid="ignore"):
        weights = shares(micro) * inputs.mark_usd / inputs.equity_usd
    return np.where(micro == 0, 0.0, weights)


def _within_limits(run: Run, weights: FloatArray) -> Limited:
    """Return ``weights`` within the limits, then those of correlation, then again within the limits."""
    inputs, parameters = run.inputs, run.parameters
    limited, binding = apply_limits(weights, inputs.sectors, run.movable, parameters.limits)
    if not parameters.gates.correlation:
        nowhere = np.full(len(weights), -1, dtype=np.int64)
        return Limited(weights=limited, binding=binding, clusters=nowhere, volatility_bps=float("nan"))
    risk = apply_correlation_risk(
        limited,
        inputs.sigma_day_bps,
        inputs.book.correlation,
        inputs.sectors,
        run.movable,
        parameters=parameters.correlation,
        unknown=parameters.unknown_correlation,
    )
    if np.array_equal(risk.weights, limited):
        final, again = limited, np.zeros(len(weights), dtype=np.int64)
    else:
        # Scaling one cluster may take away what offset another one's net weight.
        final, again = apply_limits(risk.weights, inputs.sectors, run.movable, parameters.limits)
    for later in (risk.binding, again):
        binding = np.where(later == Binding.NONE, binding, later)
    return Limited(weights=final, binding=binding, clusters=risk.clusters, volatility_bps=risk.volatility_day_bps)


def _sized(run: Run, gross_budget: float) -> FloatArray:
    """Return (N,) wanted weights; 0 where a symbol is not wanted."""
    inputs, parameters = run.inputs, run.parameters
    z = np.where(run.wanted, run.choice.z, np.nan)
    if parameters.size.method != "risk":
        return wanted_weights(z, inputs.sigma_day_bps, gross_budget=gross_budget, parameters=parameters.size)
    return risk_weights(
        np.clip(z, -parameters.size.z_max, parameters.size.z_max),
        inputs.sigma_day_bps,
        inputs.book.correlation,
        inputs.sectors,
        gross_budget=gross_budget,
        parameters=parameters.risk_weights,
        unknown=parameters.unknown_correlation,
    ).weights


def weigh(run: Run) -> Book:
    """Return the weights after every step of the pipeline, from sizing to the last limits."""
    inputs, parameters, movable = run.inputs, run.parameters, run.movable
    current = np.where(np.isfinite(run.current), run.current, 0.0)
    base = _base_weights(run, current)
    used = kernels.ordered_sum(np.ascontiguousarray(np.abs(base)))
    budget = max(0.0, parameters.size.gross_target - used)
    sized = _size_multiplier(inputs, parameters) * _sized(run, budget)
    target = np.where(run.wanted, sized, base)
    target = np.where(movable, without_entries(target, current, run.barriers.entry), target)
    first = _within_limits(run, target)
    limited = first.weights
    exited = apply_exits(limited, run.current, inputs.position_micro, movable, run.barriers.plan)
    gated = apply_soft_gate(exited, run.wanted, run.barriers.rebased, parameters.barrier)
    allowed = _allowed(run, gated, current)
    relimited = _within_limits(run, allowed).weights
    multiplier = inputs.window.band_multiplier if inputs.window else 1.0
    band = band_width(relimited[movable], multiplier=multiplier, parameters=parameters.band)
    banded = np.where(movable, apply_band(relimited, current, band), relimited)
    last = _within_limits(run, banded)
    return Book(
        sized=sized,
        target=target,
        limited=limited,
        exited=exited,
        gated=gated,
        allowed=allowed,
        banded=banded,
        final=last.weights,
        band=band,
        binding=first.binding,
        relimited=relimited,
        last=last,
    )


def _base_weights(run: Run, current: FloatArray) -> FloatArray:
    """Return the weights of what is not wanted: fixed, kept for its horizon, or on its way out."""
    inputs, board = run.inputs, run.board
    prospective = weights_of(inputs, inputs.prospective_micro)
    larger = np.where(np.abs(prospective) > np.abs(current), prospective, current)
    held = run.movable & ~run.wanted & (inputs.position_micro != 0)
    kept = held & (inputs.now_ns < inputs.hold_until_ns)
    board.reopen(held & ~kept)
    board.replace(kept & board.has(*NO_EDGE), Verdict.HOLD)
    return np.where(run.movable, np.where(kept, current, 0.0), larger)


def _size_multiplier(inputs: CycleInputs, parameters: ArbiterParameters) -> float:
    session = inputs.window.size_multiplier if inputs.window else 0.0
    return session * (parameters.mode.degraded_size_multiplier if inputs.mode is Mode.DEGRADED else 1.0)


def _allowed(run: Run, limited: FloatArray, current: FloatArray) -> FloatArray:
    """Return what mode and session let through; a symbol that they keep from any trade gets their verdict."""
    inputs, board, movable = run.inputs, run.board, run.movable
    toward_zero = np.clip(limited, np.minimum(current, 0.0), np.maximum(current, 0.0))
    entries = inputs.window is not None and inputs.window.entries_allowed
    allowed = limited
    # Without a price for one position the room under the limits is unknown, so nothing may grow.
    for active, verdict in (
        (inputs.mode is Mode.OBSERVE, Verdict.MODE_OBSERVE),
        (not entries, Verdict.NO_ENTRY_WINDOW),
        (not np.isfinite(run.current).all(), Verdict.NO_REF),
    ):
        if active:
            allowed = np.where(movable, toward_zero, limited)
            board.stop(movable & (limited != allowed) & (allowed == current), verdict)
    if inputs.mode is Mode.DEGRADED:
        new_name = movable & (limited * current <= 0.0)
        allowed = np.where(new_name, 0.0, allowed)
        board.stop(new_name & (limited != 0.0) & (current == 0.0), Verdict.MODE_OBSERVE)
    if inputs.window is not None and inputs.window.flatten_intraday:
        long_horizon = run.wanted & (inputs.horizons_minutes[np.maximum(run.choice.best, 0)] >= SESSION_MINUTES)
        leaving = movable & ~(long_horizon | inputs.signal_overnight)
        board.reopen(leaving & (inputs.position_micro != 0))
        allowed = np.where(leaving, 0.0, allowed)
        board.stop(leaving & (inputs.position_micro == 0), Verdict.NO_ENTRY_WINDOW)
    return allowed
