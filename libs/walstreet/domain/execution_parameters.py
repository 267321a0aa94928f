"""Owns the parameters of execution: guards, child orders and the timers of an order's life."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

Aggression = Literal["cross", "mid"]


class ExecutionParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What execution may send and how long it waits."""

    aggression: Aggression = "cross"
    """``cross``: limit at the far touch; ``mid``: limit at the mid, rounded passively to the tick."""
    cross_ticks: int = 0
    """Ticks beyond the far touch that a ``cross`` order may pay."""
    spread_bps_max: float = 12.0
    quote_age_s_max: float = 60.0
    """Since the symbol's last confirmation: quotes arrive on change only, so a quiet symbol is not a stale one."""
    feed_age_s_max: float = 10.0
    """Since the last quote of any symbol."""
    collar_bps: float = 50.0
    """Largest distance of a limit from the mid, and of the mid from the mid at the decision."""
    order_notional_usd_max: float = 250_000.0
    order_shares_max: int = 50_000
    orders_per_minute_max: int = 10
    """Parents; orders that only reduce are not limited by it."""
    acknowledge_s_max: float = 10.0
    """Silence after a placement that makes its outcome unknown."""
    cancel_grace_s: float = 5.0
    """After the good-till time without a final status a cancel is sent, once."""
    absence_margin_s: float = 30.0
    """After the good-till time a query's silence about an order begins to count as absence."""
    absences_needed: int = 2
    retention_days: int = 7
    """Ended orders are remembered this long for the deduplication of executions."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        for name, low, high in _RANGES:
            value = float(getattr(self, name))
            if not (math.isfinite(value) and low <= value <= high):
                raise ValueError(f"execution.{name} is {value}; allowed is {low} to {high}")
        if self.absence_margin_s < self.cancel_grace_s:
            raise ValueError(
                f"execution.absence_margin_s is {self.absence_margin_s}; allowed is at least cancel_grace_s "
                f"({self.cancel_grace_s}), because absence counts only after the cancel was sent"
            )


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("cross_ticks", 0, 100),
    ("spread_bps_max", 0.1, 50.0),
    ("quote_age_s_max", 0.1, 3_600.0),
    ("feed_age_s_max", 0.1, 3_600.0),
    ("collar_bps", 1.0, 1_000.0),
    ("order_notional_usd_max", 1.0, 1e8),
    ("order_shares_max", 1, 1e7),
    ("orders_per_minute_max", 1, 1_000),
    ("acknowledge_s_max", 1.0, 600.0),
    ("cancel_grace_s", 0.0, 600.0),
    ("absence_margin_s", 0.0, 3_600.0),
    ("absences_needed", 2, 10),
    ("retention_days", 1, 30),
)
