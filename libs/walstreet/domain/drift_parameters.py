"""Owns the parameters of model health and what its parts agree on: checks, results and states."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from walstreet.domain.bounds import require_between, require_ordered
from walstreet.domain.psi import PsiParameters
from walstreet.domain.rank_ic import PAIRS_MIN
from walstreet.domain.rolling_rows import CAPACITY_MAX
from walstreet.domain.units import SESSION_MINUTES


class HealthStatus(StrEnum):
    """What is known of one model at one horizon."""

    UNPROVEN = "unproven"
    """No evaluation has passed or failed yet; the model may be used."""
    HEALTHY = "healthy"
    WARNING = "warning"
    """The last evaluation failed or warned; the model is still used."""
    QUARANTINED = "quarantined"
    """Not used; its predictions go on being scored, which is how it gets out."""


TRANSITIONS: dict[tuple[HealthStatus, HealthStatus], str] = {
    (HealthStatus.UNPROVEN, HealthStatus.HEALTHY): "an evaluation passed",
    (HealthStatus.UNPROVEN, HealthStatus.WARNING): "an evaluation failed or warned",
    (HealthStatus.HEALTHY, HealthStatus.WARNING): "an evaluation failed or warned",
    (HealthStatus.WARNING, HealthStatus.HEALTHY): "an evaluation passed without a warning",
    (HealthStatus.WARNING, HealthStatus.QUARANTINED): "streak_max evaluations failed in a row",
    (
        HealthStatus.QUARANTINED,
        HealthStatus.HEALTHY,
    ): "streak_max evaluations passed in a row, the last without a warning",
    (HealthStatus.QUARANTINED, HealthStatus.WARNING): "streak_max evaluations passed in a row, the last with a warning",
}
"""Every move that exists."""


class Check(StrEnum):
    """What an evaluation looks at."""

    RANK_IC = "rank_ic"
    RELIABILITY = "reliability"
    NET_EDGE = "net_edge"
    INPUT_SHIFT = "input_shift"
    PAGE_HINKLEY = "page_hinkley"


class DriftParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a model's health is judged and by which marks."""

    cycle_minutes: float = 1.0
    """Distance of two decisions, from which the overlap of outcomes follows."""
    window_times: int = 7 * SESSION_MINUTES
    """Matured decision times that are judged together: seven sessions."""
    times_min: int = 600
    """Matured decision times (cross-sections) before outcomes are judged at all."""
    evaluate_every: int = 100
    """Matured decision times between two evaluations."""
    streak_max: int = 3
    """Failures in a row that quarantine; release needs as many passes."""
    normal_quantile: float = 1.2815515655446004
    """One-sided confidence of every bound as a normal quantile: 1.2816 is 90 %, 1.6449 is 95 %."""
    outcome_abs_max: float = 10.0
    """A realised return counts with at most this many standard deviations, so that one broken print decides nothing."""
    ic_lower_min: float = 0.0
    """Smallest lower bound of the mean rank IC."""
    ic_half_width_max: float = 0.03
    """A wider bound is too uncertain to fail a model, unless even its upper end is below the mark; 2 is the literal
    rule, under which every model of a long horizon would be quarantined for want of data."""
    slope_min: float = 0.25
    """Smallest slope of outcome on calibrated forecast; 1 is perfect."""
    slope_max: float = 4.0
    net_edge_bps_min: float = 0.0
    """Smallest mean of outcome minus cost over what the model would have traded."""
    trades_min: int = 100
    """(time, symbol) pairs whose forecast exceeded the cost, before their edge is judged."""
    error: Literal["excess", "absolute"] = "excess"
    """What Page-Hinkley watches. ``excess``: squared error minus that of a zero forecast, which does not move with the
    market's volatility; ``absolute``: mean absolute error, which does."""
    page_hinkley_delta: float = 0.005
    page_hinkley_lambda: float = 50.0
    page_hinkley_blocks_min: int = 30
    """Independent blocks that set the scale before the test begins."""
    page_hinkley_abs_max: float = 5.0
    psi: PsiParameters = PsiParameters()

    def __post_init__(self) -> None:
        """Refuse values outside their ranges and marks that contradict each other."""
        require_between("drift", "cycle_minutes", self.cycle_minutes, 0.01, float(SESSION_MINUTES))
        require_between("drift", "window_times", self.window_times, 1, CAPACITY_MAX)
        require_between("drift", "times_min", self.times_min, PAIRS_MIN, self.window_times)
        require_between("drift", "evaluate_every", self.evaluate_every, 1, CAPACITY_MAX)
        require_between("drift", "streak_max", self.streak_max, 2, 100)
        require_between("drift", "normal_quantile", self.normal_quantile, 0.0, 4.0)
        require_between("drift", "outcome_abs_max", self.outcome_abs_max, 1.0, 1_000.0)
        require_between("drift", "ic_lower_min", self.ic_lower_min, -1.0, 1.0)
        require_between("drift", "ic_half_width_max", self.ic_half_width_max, 0.0, 2.0)
        require_between("drift", "slope_min", self.slope_min, 0.0, 1.0)
        require_between("drift", "slope_max", self.slope_max, 1.0, 100.0)
        require_between("drift", "net_edge_bps_min", self.net_edge_bps_min, -100.0, 100.0)
        require_between("drift", "trades_min", self.trades_min, 1, 1_000_000)
        require_between("drift", "page_hinkley_delta", self.page_hinkley_delta, 0.0, 1.0)
        require_between("drift", "page_hinkley_lambda", self.page_hinkley_lambda, 0.1, 10_000.0)
        require_between("drift", "page_hinkley_blocks_min", self.page_hinkley_blocks_min, 2, 10_000)
        require_between("drift", "page_hinkley_abs_max", self.page_hinkley_abs_max, 1.0, 100.0)
        require_ordered("drift", ("slope_min", self.slope_min), ("slope_max", self.slope_max))

    def overlap(self, horizon_minutes: int) -> float:
        """Return L, how many successive decisions share an outcome over ``horizon_minutes``."""
        return max(1.0, horizon_minutes / self.cycle_minutes)
