"""Owns the parameters of execution: guards, child orders and the timers of an order's life."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from walstreet.domain.arming import ArmingParameters
from walstreet.domain.bracket_prices import BracketParameters
from walstreet.domain.flatten_parameters import FlattenParameters
from walstreet.domain.guard_margin import MarginParameters
from walstreet.domain.guard_market import MarketGuardParameters
from walstreet.domain.guard_orders import RESTRICTED_MAX, OrderGuardParameters
from walstreet.domain.guard_reset import ResetParameters
from walstreet.domain.guard_short import ShortSaleParameters
from walstreet.domain.marks import MarkParameters
from walstreet.domain.micro_planner import PlannerParameters
from walstreet.domain.repeat_throttle import ThrottleParameters
from walstreet.domain.reslice import ResliceParameters
from walstreet.domain.signing import SigningParameters

Aggression = Literal["cross", "mid", "staged", "offset"]


class ExecutionParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What execution may send and how long it waits."""

    aggression: Aggression = "cross"
    """``cross``: limit at the far touch; ``mid``: limit at the mid, rounded passively to the
    tick; ``staged``: as ``mid``, then by the planner's schedule; ``offset``: ``mid_offset_bps`` beyond the mid."""
    cross_ticks: int = 0
    """Ticks beyond the far touch that a ``cross`` order may pay."""
    mid_offset_bps: float = 2.0
    """How far beyond the mid an ``offset`` order is limited."""
    planner: PlannerParameters = PlannerParameters()
    """The schedule of ``staged``, price increments and the size of a child."""
    brackets: BracketParameters = BracketParameters()
    reslice: ResliceParameters = ResliceParameters()
    fractional: bool = False
    """Whether the gateway takes fractions of a share; the TWS API refuses them with code 10243."""
    drift_bps_max: float = 50.0
    """Largest distance of the mid from the mid at the decision."""
    market: MarketGuardParameters = MarketGuardParameters()
    orders: OrderGuardParameters = OrderGuardParameters()
    resets: ResetParameters = ResetParameters()
    """When the gateway and the broker are restarted, and nothing new is sent."""
    throttle: ThrottleParameters = ThrottleParameters()
    short: ShortSaleParameters = ShortSaleParameters()
    """Borrow facts are not on the log yet, which execution says at its start; Rule 201 is judged from bars."""
    margin: MarginParameters = MarginParameters()
    restricted: tuple[str, ...] = ()
    """Symbols that may not be bought or sold short, if ``orders.restricted_configured``."""
    acknowledge_s_max: float = 10.0
    """Silence after a placement that makes its outcome unknown."""
    cancel_grace_s: float = 5.0
    """After the good-till time without a final status a cancel is sent, once."""
    absence_margin_s: float = 30.0
    """After the good-till time a query's silence about an order begins to count as absence."""
    absences_needed: int = 2
    signing: SigningParameters = SigningParameters()
    """For how long a signed block of intents may be acted on."""
    marks: MarkParameters = MarkParameters()
    """When the quotes are taken by which costs are measured."""
    flatten: FlattenParameters = FlattenParameters()
    """What an emergency does."""
    arming: ArmingParameters = ArmingParameters()
    """What live trading asks for before the first intent."""
    retention_days: int = 7
    """Ended orders are remembered this long for the deduplication of executions."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        for name, low, high in _RANGES:
            value = float(getattr(self, name))
            if not (math.isfinite(value) and low <= value <= high):
                raise ValueError(f"execution.{name} is {value}; allowed is {low} to {high}")
        if self.restricted and not self.orders.restricted_configured:
            raise ValueError(
                f"execution.restricted names {len(self.restricted)} symbols but execution.orders.restricted_configured "
                "is false, so none of them would be refused; set it to true"
            )
        if len(self.restricted) > RESTRICTED_MAX:
            raise ValueError(f"execution.restricted names {len(self.restricted)} symbols; allowed is {RESTRICTED_MAX}")
        if self.arming.trading == "live" and not self.resets.windows:
            raise ValueError(
                "execution.resets.windows is empty, but execution.arming.trading is live; name the nightly resets of "
                "broker and gateway, orders into which are lost (config/base.yaml has the published ones)"
            )
        if self.absence_margin_s < self.cancel_grace_s:
            raise ValueError(
                f"execution.absence_margin_s is {self.absence_margin_s}; allowed is at least cancel_grace_s "
                f"({self.cancel_grace_s}), because absence counts only after the cancel was sent"
            )


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("cross_ticks", 0, 100),
    ("mid_offset_bps", 0.0, 1_000.0),
    ("drift_bps_max", 1.0, 1_000.0),
    ("acknowledge_s_max", 1.0, 600.0),
    ("cancel_grace_s", 0.0, 600.0),
    ("absence_margin_s", 0.0, 3_600.0),
    ("absences_needed", 2, 10),
    ("retention_days", 1, 30),
)
