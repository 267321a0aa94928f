"""Owns the windows and marks of monitoring and of the verification checklist."""

from __future__ import annotations

import msgspec

from walstreet.domain.bounds import require_between, require_ordered
from walstreet.domain.gate_rates import GATE_NAMES
from walstreet.domain.rolling_rows import CAPACITY_MAX
from walstreet.domain.units import SESSION_MINUTES

REGIMES_MAX = 4
"""Regimes that monitoring tells apart."""


class MonitorParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What monitoring remembers, and from where on the checklist complains."""

    window_cycles: int = SESSION_MINUTES
    """Cycles behind gates, churn, latency and the selector's choices."""
    window_outcomes: int = 7 * SESSION_MINUTES
    """Matured decision times behind alpha budget, coverage and barrier reliability, per horizon."""
    window_parents: int = 500
    checklist_every: int = 100
    """Cycles between two evaluations of the checklist."""
    coverage_target: float = 0.80
    coverage_tolerance: float = 0.05
    coverage_count_min: int = 500
    """Outcomes before coverage is judged."""
    barrier_slope_min: float = 0.5
    barrier_slope_max: float = 2.0
    barrier_count_min: int = 500
    """Probabilities before their reliability is judged."""
    fill_rate_min: float = 0.95
    """Parents filled before their time in force ended."""
    parents_min: int = 20
    churn_max: float = 0.30
    latency_p99_ms_max: float = 350.0
    latencies_min: int = 100
    gate_asked_min: int = 1_000
    """Symbols that a gate must have been asked about before it is judged."""
    selective_gates: tuple[str, ...] = ("conformal", "edge")
    """Gates that select; one that always or never lets through is a defect. The others only guard."""
    choices_min: int = 200
    horizon_dependence_min: float = 0.05
    """Corrected Cramér's V of regime and chosen horizon."""
    selector_count_min: int = 200
    blend_weight_tolerance: float = 1e-9

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        for field in ("window_cycles", "window_outcomes", "window_parents"):
            require_between("monitor", field, getattr(self, field), 1, CAPACITY_MAX // 2)
        require_between("monitor", "checklist_every", self.checklist_every, 1, 100_000)
        for field in ("coverage_target", "coverage_tolerance", "fill_rate_min", "churn_max", "horizon_dependence_min"):
            require_between("monitor", field, getattr(self, field), 0.0, 1.0)
        require_between("monitor", "barrier_slope_min", self.barrier_slope_min, 0.0, 10.0)
        require_between("monitor", "barrier_slope_max", self.barrier_slope_max, 0.0, 10.0)
        require_ordered(
            "monitor",
            ("barrier_slope_min", self.barrier_slope_min),
            ("barrier_slope_max", self.barrier_slope_max),
        )
        require_between("monitor", "latency_p99_ms_max", self.latency_p99_ms_max, 1.0, 60_000.0)
        require_between("monitor", "blend_weight_tolerance", self.blend_weight_tolerance, 0.0, 1e-3)
        for field in (
            "coverage_count_min",
            "barrier_count_min",
            "parents_min",
            "latencies_min",
            "gate_asked_min",
            "choices_min",
            "selector_count_min",
        ):
            require_between("monitor", field, getattr(self, field), 1, 1_000_000)
        for name in self.selective_gates:
            if name not in GATE_NAMES:
                raise ValueError(f"monitor.selective_gates names {name!r}; allowed are {GATE_NAMES}")
