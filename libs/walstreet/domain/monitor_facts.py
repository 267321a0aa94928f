"""Owns the step from a recorded decision to the facts that monitoring counts."""

from __future__ import annotations

import numpy as np

from walstreet import kernels
from walstreet.domain.decision_record import column_values
from walstreet.domain.monitor import CycleFacts
from walstreet.domain.units import FloatArray
from walstreet_events import Decision


def _distance(left: FloatArray, right: FloatArray) -> float:
    """Return ``sum|left - right|`` over what is known on both sides; NaN without any."""
    difference = np.abs(left - right)
    known = np.ascontiguousarray(difference[np.isfinite(difference)])
    return kernels.ordered_sum(known) if known.size else float("nan")


def cycle_facts(
    decision: Decision,
    *,
    regime: int,
    latency_ms: float = float("nan"),
    intents_abs_weight: float = float("nan"),
    intents_net_weight: float = float("nan"),
) -> CycleFacts:
    """Return the facts of one recorded decision; a position without a value counts in no turnover.

    Args:
        decision: As it was journaled.
        regime: 0 to 3, or -1 where it is not known.
        latency_ms: Bar's end to decision as it was journaled, NaN where it was not.
        intents_abs_weight: Sum of |intent| before netting, NaN without netting.
        intents_net_weight: Sum over symbols of |net intent|.

    Raises:
        ValueError: The record lacks a column.
    """
    current = column_values(decision, "weight_current")
    wanted = column_values(decision, "wanted") > 0.0
    chosen = column_values(decision, "chosen_horizon_minutes")
    band = column_values(decision, "band")
    return CycleFacts(
        verdicts=decision.verdicts,
        turnover_weight=_distance(column_values(decision, "weight_final"), current),
        turnover_wanted_weight=_distance(column_values(decision, "weight_wanted"), current),
        band_weight=float(band[0]) if band.size else float("nan"),
        intents_abs_weight=intents_abs_weight,
        intents_net_weight=intents_net_weight,
        latency_ms=latency_ms,
        regime=regime,
        chosen_horizons_minutes=tuple(int(value) for value in chosen[wanted].tolist()),
    )
