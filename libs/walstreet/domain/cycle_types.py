"""Owns what the steps of one decision cycle hand on to each other; N symbols, H horizons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.arbitrate import Arbitration
from walstreet.domain.barrier import (
    EntryGate,
    RebasedBarriers,
)
from walstreet.domain.barrier_exits import ExitPlan
from walstreet.domain.cycle_inputs import CycleInputs
from walstreet.domain.decision_record import VerdictBoard
from walstreet.domain.netting import Netting
from walstreet.domain.rebalance import Rebalance
from walstreet.domain.select_horizon import Selection
from walstreet.domain.units import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What the conformal gate said, (H, N) each."""

    passed: BoolArray
    reason: NDArray[np.int8]
    lower_bps: FloatArray
    """Ends of the interval that was compared with the cost; NaN without one."""
    upper_bps: FloatArray
    alpha_z: FloatArray
    """Forecast over the standard error of its conditional mean."""
    outcome_lower_bps: FloatArray
    """Ends of the interval of the single outcome, whose coverage is watched."""
    outcome_upper_bps: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a round trip costs, and what of it was learned."""

    round_trip_bps: FloatArray
    """(H, N)."""
    slippage_bps: FloatArray
    """(N,) what one side is expected to slip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Barriers:
    """What the barrier gates say of this cycle."""

    rebased: RebasedBarriers
    entry: EntryGate
    plan: ExitPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """The horizons chosen before and behind the gate."""

    ungated: Arbitration
    gated: Arbitration
    gate: Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """Weights within all limits, and which limit set each."""

    weights: FloatArray
    binding: IntArray
    """``Binding`` or ``RiskBinding``."""
    clusters: IntArray
    volatility_bps: float
    """Daily, of the whole book."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What the steps from sizing on share."""

    inputs: CycleInputs
    parameters: ArbiterParameters
    board: VerdictBoard
    choice: Arbitration
    movable: BoolArray
    """Tradable this cycle, whatever the models say."""
    wanted: BoolArray
    """With an edge that clears the reserve."""
    selection: Selection | None
    """What a learning choice said; None where winner or softmax chose."""
    current: FloatArray
    """Weight held; NaN where the position cannot be valued."""
    barriers: Barriers


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Weights along the pipeline."""

    sized: FloatArray
    target: FloatArray
    limited: FloatArray
    exited: FloatArray
    gated: FloatArray
    allowed: FloatArray
    banded: FloatArray
    final: FloatArray
    band: float
    binding: IntArray
    relimited: FloatArray
    """Within the limits once more, before the band."""
    last: Limited
    """The limits' last word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """From weights to quantities, (N,) each."""

    planned_micro: IntArray
    """What the final weights ask for."""
    netted: Netting
    trigger: Rebalance
    quantity_micro: IntArray
    """What netting and trigger leave of it."""
