"""Owns the parameters of the conformal gate and the rules that follow from them per horizon."""

from __future__ import annotations

from typing import Literal

import msgspec

from walstreet.domain.bounds import require_between
from walstreet.domain.units import HORIZONS_MINUTES, SESSION_MINUTES

WINDOW_DAYS = 7
WINDOW_MAX = 60 * SESSION_MINUTES
REPLICATES_MAX = 2_000
BINS_MIN = 5
BINS_MAX = 25


class ConformalParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the conformal gate asks of a prediction before it may be traded."""

    gate: Literal["mean", "probability", "interval"] = "mean"
    """Which question: the interval of the conditional mean, the chance of clearing the cost, or the documents'
    interval of the single return."""
    mean_estimator: Literal["slope", "isotonic"] = "slope"
    """How ``mean`` estimates E[y|s]. The slope through the origin lets a signal of no skill pass least often and a
    skilled one most often; the isotonic curve also takes the market's drift for skill."""
    adaptation: Literal["overlap", "outcome"] = "overlap"
    """Whether an outcome moves the level by the rate over the number of outcomes that overlap it in time, or, like
    the formula's letter, by the whole rate; then long horizons swing between infinite and empty intervals."""
    miss_each_side: float = 0.1
    """Share of outcomes wanted beyond either end of the monitored interval and of the interval of the mean."""
    interval_miss_each_side: float = 0.2
    """The same for ``gate: interval``; the documents' quantiles are .2 and .8."""
    adaptation_rate: float = 0.005
    """Step of the adaptive level (Gibbs and Candes 2021)."""
    outcomes_min: int = 100
    """Fewer stored outcomes than this leave a horizon uncalibrated."""
    decision_times_min: int = 20
    """Fewer distinct decision times than this leave a horizon uncalibrated."""
    disjoint_windows_min: int = 20
    """Fewer horizons side by side than this leave a horizon uncalibrated for every gate: outcomes that overlap are
    not distinct evidence, and with fewer blocks the bootstrap's interval is too short."""
    window_decision_times: int = WINDOW_DAYS * SESSION_MINUTES
    """Cross-sections kept per horizon. Where these do not hold ``disjoint_windows_min`` blocks, only every n-th
    is kept, so that a day-long horizon can be calibrated at all."""
    decision_minutes: int = 1
    """Trading minutes between two decisions."""
    bins: int = 5
    """Equal-count bins of the isotonic curve; odd, so that buying and selling are mirror images."""
    bootstrap_replicates: int = 200
    block_horizons: int = 1
    """Shortest bootstrap block in horizons; below 1 it would cut overlapping outcomes apart."""
    blocks_max: int = 200
    """Blocks are made longer rather than more than this many."""
    probability_min: float = 0.52
    """Chance of clearing the cost that ``gate: probability`` asks."""
    refit_every: int = 30
    """Stored cross-sections between two refits."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        for field, low, high in (
            ("miss_each_side", 0.01, 0.49),
            ("interval_miss_each_side", 0.01, 0.49),
            ("adaptation_rate", 0.0, 0.1),
            ("outcomes_min", 2, WINDOW_MAX),
            ("decision_times_min", 2, WINDOW_MAX),
            ("disjoint_windows_min", 2, WINDOW_MAX),
            ("window_decision_times", 20, WINDOW_MAX),
            ("decision_minutes", 1, SESSION_MINUTES),
            ("bins", BINS_MIN, BINS_MAX),
            ("bootstrap_replicates", 50, REPLICATES_MAX),
            ("block_horizons", 1, 10),
            ("blocks_max", self.disjoint_windows_min, 10_000),
            ("probability_min", 0.5, 1.0),
            ("refit_every", 1, self.window_decision_times),
        ):
            require_between("conformal", field, getattr(self, field), low, high)
        for field in ("outcomes_min", "decision_times_min", "disjoint_windows_min"):
            # Otherwise no amount of history would ever be enough.
            require_between("conformal", field, getattr(self, field), 2, self.window_decision_times)
        if self.bins % 2 == 0:
            raise ValueError(f"conformal.bins is {self.bins}; allowed are odd numbers, so that the middle is a bin")

    def overlap(self, horizon_minutes: int) -> int:
        """Return the decision times within one horizon: so many outcomes overlap each other."""
        assert horizon_minutes in HORIZONS_MINUTES, horizon_minutes
        return -(-horizon_minutes // self.decision_minutes)

    def stride(self, horizon_minutes: int) -> int:
        """Return which n-th cross-section is kept, so that the window can hold enough blocks side by side."""
        needed = self.disjoint_windows_min * self.block_horizons * self.overlap(horizon_minutes)
        return -(-needed // self.window_decision_times)

    def overlap_rows(self, horizon_minutes: int) -> int:
        """Return the kept cross-sections within one horizon."""
        return -(-self.overlap(horizon_minutes) // self.stride(horizon_minutes))

    def block_rows(self, horizon_minutes: int, rows: int) -> int:
        """Return the length of a bootstrap block in kept cross-sections, of which there are ``rows``."""
        shortest = -(-self.block_horizons * self.overlap(horizon_minutes) // self.stride(horizon_minutes))
        return max(shortest, -(-rows // self.blocks_max))

    def blocks_suffice(self, horizon_minutes: int, rows: int) -> bool:
        """Return whether ``rows`` kept cross-sections hold enough blocks side by side for the bootstrap."""
        needed = self.disjoint_windows_min * self.block_horizons * self.overlap(horizon_minutes)
        return rows * self.stride(horizon_minutes) >= needed
