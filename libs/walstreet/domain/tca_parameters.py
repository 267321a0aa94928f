"""Owns the parameters of cost analysis: when a session is reported, and how far thresholds may be tuned."""

from __future__ import annotations

from typing import Literal

import msgspec

from walstreet.domain.bounds import require_between, require_ordered

WINDOW_DAYS_MAX = 60


class Tuning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of one tuned parameter; it never leaves them, and never moves by more than a step a day."""

    low: float
    high: float
    step: float
    """Largest change of one day."""
    deadband: float
    """A target closer than this to the value in force moves nothing."""

    def __post_init__(self) -> None:
        """Refuse bounds that contradict each other."""
        require_between("reconciler.tca", "low", self.low, 0.0, 1e6)
        require_between("reconciler.tca", "high", self.high, 0.0, 1e6)
        require_ordered("reconciler.tca", ("low", self.low), ("high", self.high))
        require_between("reconciler.tca", "step", self.step, 1e-3, 1e6)
        require_between("reconciler.tca", "deadband", self.deadband, 0.0, 1e6)


class TcaParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is reported after the close, and what tuning may do with it."""

    report_delay_s: float = 45.0
    """After the close the last marks and fees still come for so long; below gateway.post_close_s, or no clock ticks."""
    quote_age_s_max: float = 60.0
    """A mark from an older quote counts as not seen."""
    autotune: Literal["off", "propose", "apply"] = "propose"
    """``propose`` writes what would be changed into the report; ``apply`` changes it, one step a day."""
    window_days: int = 5
    """Sessions, the newest included, whose samples are pooled."""
    days_min: int = 3
    """Sessions with samples before anything is proposed."""
    samples_min: int = 100
    """Samples of the window before anything is proposed."""
    significance: float = 2.0
    """Standard errors by which a mean must differ from zero before the difference counts."""
    error_bps_max: float = 500.0
    """A single parent's cost error or edge is clipped here, so that one bad print does not rule for days."""
    drift_factor: float = 3.0
    """The permitted drift of the mid is this times what 99 % of the parents met."""
    hold_days: int = 5
    """Sessions for which an operator's own change of a parameter stands before it is tuned again."""
    reserve: Tuning = Tuning(low=1.0, high=6.0, step=0.25, deadband=0.25)
    """``arbiter.arbitration.reserve_bps``."""
    drift: Tuning = Tuning(low=10.0, high=50.0, step=5.0, deadband=5.0)
    """``execution.drift_bps_max``."""
    spread: Tuning = Tuning(low=6.0, high=12.0, step=1.0, deadband=0.5)
    """``execution.market.spread_bps_max``."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        for name, low, high in _RANGES:
            require_between("reconciler.tca", name, getattr(self, name), low, high)
        require_ordered("reconciler.tca", ("days_min", self.days_min), ("window_days", self.window_days))


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("report_delay_s", 0.0, 3_600.0),
    ("quote_age_s_max", 1.0, 3_600.0),
    ("window_days", 1, WINDOW_DAYS_MAX),
    ("days_min", 1, WINDOW_DAYS_MAX),
    ("samples_min", 2, 1_000_000),
    ("significance", 0.0, 10.0),
    ("error_bps_max", 1.0, 10_000.0),
    ("drift_factor", 1.0, 100.0),
    ("hold_days", 0, WINDOW_DAYS_MAX),
)
