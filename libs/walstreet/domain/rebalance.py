"""Owns the decision whether a symbol may trade now: drift, events, and one safety sweep a session.

In ``mode: event`` a symbol whose drift ``|target - current|`` is outside the band trades only when something has
happened: a strong signal at a narrow spread, a regime switch, or a drift beyond twice the band. Once a session, 90
minutes before the close (14:30 in New York on a full day, 11:30 on a half day), everything outside its band may trade,
so that nothing is forgotten. ``mode: always`` asks for the drift only.

What the time of the session allows comes from ``session_rules``: the band arrives multiplied by the window's
multiplier and the sizes by its own, and where the window allows no entries, none is made here. A weight that moves
towards 0 without crossing it always passes, as does the part of a crossing that leads to 0. No rule looks at an
earlier session. Source: document 000, section 4, with *and* in place of its first *or*, as the behaviour document says.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import msgspec
import numpy as np

from walstreet.domain.bounds import require_between
from walstreet.domain.session_rules import SessionWindow
from walstreet.domain.units import MINUTE_NS, SESSION_MINUTES, BoolArray, FloatArray, IntArray
from walstreet_events import Verdict

NEVER_SWEPT = -1


class RebalanceParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What counts as an event."""

    mode: Literal["event", "always"] = "event"
    spread_bps_max: float = 5.0
    """The spread of a strong signal must be below it."""
    alpha_z_min: float = 2.0
    """``|alpha_z|`` (alpha over its standard error) of a strong signal must exceed it."""
    drift_bands: float = 2.0
    """Drift in bands beyond which no event is needed."""
    sweep_before_close_minutes: float = 90.0
    """14:30 in New York for a close at 16:00."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("rebalance", "spread_bps_max", self.spread_bps_max, 0.0, 1_000.0)
        require_between("rebalance", "alpha_z_min", self.alpha_z_min, 0.0, 100.0)
        require_between("rebalance", "drift_bands", self.drift_bands, 1.0, 100.0)
        require_between(
            "rebalance", "sweep_before_close_minutes", self.sweep_before_close_minutes, 0.0, SESSION_MINUTES
        )


class RebalanceReason(IntEnum):
    """Why a symbol may or may not trade now; the first that applies in the order of this list, except as noted."""

    MISSING = 0
    """A weight or the band is unknown; only what leads to 0 between two known weights passes."""
    UNCHANGED = 1
    """The planned weight is the current one."""
    REDUCING = 2
    """Towards 0; always passes."""
    NO_ENTRY = 3
    """The session allows no entries; of a crossing, the part to 0 passes."""
    IN_BAND = 4
    """The drift is inside the band; of a crossing, the part to 0 passes."""
    ALWAYS = 5
    """Outside the band in ``mode: always``."""
    DRIFT = 6
    """Beyond ``drift_bands`` bands."""
    REGIME = 7
    SIGNAL = 8
    """A strong signal at a narrow spread."""
    SWEEP = 9
    NO_EVENT = 10
    """Outside the band, but nothing has happened; of a crossing, the part to 0 passes."""


REBALANCE_VERDICTS: dict[RebalanceReason, Verdict] = {
    RebalanceReason.MISSING: Verdict.NO_REF,
    RebalanceReason.UNCHANGED: Verdict.IN_BAND,
    RebalanceReason.NO_ENTRY: Verdict.NO_ENTRY_WINDOW,
    RebalanceReason.IN_BAND: Verdict.IN_BAND,
    RebalanceReason.NO_EVENT: Verdict.HOLD,
}
"""Verdicts of the reasons that keep a symbol from trading."""
_PASSING = (
    RebalanceReason.ALWAYS,
    RebalanceReason.DRIFT,
    RebalanceReason.REGIME,
    RebalanceReason.SIGNAL,
    RebalanceReason.SWEEP,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RebalanceInputs:
    """Facts of one cycle, (N,) unless noted."""

    target: FloatArray
    """Weights before the band; with ``current`` they are the drift."""
    planned: FloatArray
    """Weights after the band and the limits, which an order would establish."""
    current: FloatArray
    """Weights held; NaN where unknown."""
    band: float | FloatArray
    """Half width, already multiplied by the session's band multiplier."""
    spread_bps: FloatArray
    """NaN is never narrow."""
    alpha_z: FloatArray
    """Alpha over its standard error; NaN is never strong."""
    regime_switch: BoolArray | bool
    """Per symbol, or one flag for the market; see ``regime``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebalance:
    """Outcome of one cycle, (N,) each."""

    may_trade: BoolArray
    """Something of the planned change passes."""
    weights: FloatArray
    """Planned where it passes, 0 where only the part of a crossing to 0 does, else the current weight."""
    reason: IntArray
    """``RebalanceReason``."""


def sweep_due(
    *, now_ns: int, close_ns: int, swept_close_ns: int, window: SessionWindow, parameters: RebalanceParameters
) -> bool:
    """Return whether this cycle is the session's safety sweep.

    It is due once, from its time until entries end, so that an outage at that very moment only delays it.

    Args:
        now_ns: Event time of the cycle.
        close_ns: Close of this session, early or not.
        swept_close_ns: Close of the session swept last, ``NEVER_SWEPT`` before the first; the caller stores
            ``close_ns`` there after a cycle for which this returned True.
        window: What the session allows now.
        parameters: Time of the sweep.
    """
    reached = close_ns - now_ns <= parameters.sweep_before_close_minutes * MINUTE_NS
    return window.trading and window.entries_allowed and reached and swept_close_ns != close_ns


def rebalance(
    inputs: RebalanceInputs, *, window: SessionWindow | None, sweep: bool, parameters: RebalanceParameters
) -> Rebalance:
    """Return which symbols may trade, what of their change passes, and why.

    Args:
        inputs: Weights and events.
        window: What the session allows now; ``None`` (unknown) allows no entries.
        sweep: From ``sweep_due``.
        parameters: Mode and levels.
    """
    target, planned, current = inputs.target, inputs.planned, inputs.current
    band = np.broadcast_to(np.asarray(inputs.band, dtype=np.float64), target.shape)
    switch = np.broadcast_to(np.asarray(inputs.regime_switch, dtype=np.bool_), target.shape)
    entries = window is not None and window.trading and window.entries_allowed
    everywhere = np.ones(len(target), dtype=np.bool_)
    with np.errstate(invalid="ignore", over="ignore"):
        known = np.isfinite(planned) & np.isfinite(current)
        drift_known = np.isfinite(target) & (band >= 0.0)
        drift = np.abs(target - current)
        reducing = (np.abs(planned) < np.abs(current)) & (planned * np.sign(current) >= 0.0)
        crossing = np.sign(planned) * np.sign(current) < 0.0
        strong = (inputs.spread_bps < parameters.spread_bps_max) & (np.abs(inputs.alpha_z) > parameters.alpha_z_min)
        far = drift > parameters.drift_bands * band
        inside = drift <= band
    reason = np.full(len(target), RebalanceReason.NO_EVENT, dtype=np.int64)
    decided = np.zeros(len(target), dtype=np.bool_)
    for where, code in (
        (~known, RebalanceReason.MISSING),
        (planned == current, RebalanceReason.UNCHANGED),
        (reducing, RebalanceReason.REDUCING),
        (~drift_known, RebalanceReason.MISSING),
        (everywhere & (not entries), RebalanceReason.NO_ENTRY),
        (inside, RebalanceReason.IN_BAND),
        (everywhere & (parameters.mode == "always"), RebalanceReason.ALWAYS),
        (far, RebalanceReason.DRIFT),
        (switch, RebalanceReason.REGIME),
        (strong, RebalanceReason.SIGNAL),
        (everywhere & sweep, RebalanceReason.SWEEP),
    ):
        reason[~decided & where] = code
        decided |= where
    passes = (reason == RebalanceReason.REDUCING) | np.isin(reason, _PASSING)
    to_flat = ~passes & known & crossing
    weights = np.where(passes, planned, np.where(to_flat, 0.0, current))
    return Rebalance(may_trade=passes | to_flat, weights=weights, reason=reason)
