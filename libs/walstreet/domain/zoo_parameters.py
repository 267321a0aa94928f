"""Owns how models within a horizon are weighted: the methods and their parameters."""

from __future__ import annotations

from typing import Literal

import msgspec

from walstreet.domain.bounds import require_between, require_ordered

WeightMethod = Literal["ridge_ic", "oof", "hedge"]
WeightSource = Literal["ridge_ic", "oof", "hedge", "equal"]

MODELS_MAX = 40
"""Largest number of models within one horizon."""
SAMPLES_FLOOR = 3
"""Below this number of decision times no correlation is defined; document rule of the balancer."""
BUCKETS_MAX = 400


class WeightParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one horizon's models are weighted."""

    method: WeightMethod = "ridge_ic"
    ridge: float = 0.15
    """Added to the diagonal of the correlation matrix."""
    positive_edge_only: bool = True
    """Leave models without a positive edge out of the system; False is the document's literal formula."""
    temper_5m: float = 0.75
    """Exponent of the weights; below 1 it flattens them."""
    temper_10m: float = 0.85
    temper_15m: float = 0.90
    decisions_min: int = 780
    """Matured decision times that a model needs before its information coefficient counts; two sessions."""
    window_days: int = 7
    """Trading days of matured decisions that the sums cover."""
    decisions_per_day: int = 390
    decisions_per_bucket: int = 30
    """Decision times that leave the window together."""
    age_days_max: float = 15.0
    """Calendar days after which decisions are forgotten however few followed them."""
    refresh_decisions: int = 15
    """Matured decision times between two solutions of the ridge system."""
    outcome_clip_sigma: float = 5.0
    """Outcomes count at most this many sigma, so that one jump does not decide an information coefficient."""
    hedge_horizon_decisions: int = 500
    """T of ``eta = sqrt(8 ln K / T)``."""
    hedge_share: float = 0.01
    """Share of every model's weight that goes to the others after each loss."""
    hedge_clip_bps: float = 20.0
    """R: net returns are clipped at plus and minus this before they become a loss in [0, 1]."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges, and a minimum that the window can never reach."""
        require_between("weights", "ridge", self.ridge, 0.01, 10.0)
        for name in ("temper_5m", "temper_10m", "temper_15m"):
            require_between("weights", name, getattr(self, name), 0.1, 1.0)
        require_between("weights", "window_days", self.window_days, 1, 20)
        require_between("weights", "decisions_per_day", self.decisions_per_day, 1, 390)
        require_between("weights", "decisions_per_bucket", self.decisions_per_bucket, 1, 390)
        require_between("weights", "age_days_max", self.age_days_max, self.window_days, 60.0)
        require_between("weights", "refresh_decisions", self.refresh_decisions, 1, 390)
        require_between("weights", "outcome_clip_sigma", self.outcome_clip_sigma, 1.0, 100.0)
        require_between("weights", "hedge_horizon_decisions", self.hedge_horizon_decisions, 1, 1_000_000)
        require_between("weights", "hedge_share", self.hedge_share, 0.0, 0.5)
        require_between("weights", "hedge_clip_bps", self.hedge_clip_bps, 0.1, 10_000.0)
        require_between("weights", "buckets", self.buckets, 2, BUCKETS_MAX)
        reachable = (self.buckets - 1) * self.decisions_per_bucket
        require_between("weights", "decisions_min", self.decisions_min, SAMPLES_FLOOR, reachable)
        require_ordered("weights", ("temper_5m", self.temper_5m), ("temper_10m", self.temper_10m))
        require_ordered("weights", ("temper_10m", self.temper_10m), ("temper_15m", self.temper_15m))

    @property
    def buckets(self) -> int:
        """Return how many buckets the window holds, the one being filled included."""
        return -(-self.window_days * self.decisions_per_day // self.decisions_per_bucket)

    def temper(self, horizon_minutes: int) -> float:
        """Return the exponent for a horizon; 1 above 15 minutes."""
        return {5: self.temper_5m, 10: self.temper_10m, 15: self.temper_15m}.get(horizon_minutes, 1.0)
