"""Owns the schedule of a working order: from the passive mid, step by step, to a cross whose price is capped.

At 0 the limit is the mid, rounded passively to the tick. At a third and at two thirds of the time in force it goes one
tick towards the other side, if less than 40 % is filled. Shortly before the end whatever is left crosses the spread, at
a limit that is capped twice: against the touch of that moment and against the mid at the order's arrival. The order is
modified in place, so it keeps its identity; it never becomes less aggressive.

Time comes in looks: live many in a second, in lockstep one in each market step. What could not be done any more at the
next look is done at this one.

Source: document 000 section 5 (``ExecutionMicroPlanner``) and document 001 (``ShortHorizonExecutionPolicy``), as
settled in the project's behaviour document.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import msgspec

from walstreet.domain.bounds import require_between, require_ordered
from walstreet.domain.tick_rules import US_STOCKS, Rung, TickRule, require_ladder
from walstreet_events import NANOS_PER_SECOND, QuoteSeen, Side

BPS = 10_000
MICRO_BPS = 1_000_000
"""Parts of one basis point in which price distances are computed, so that they stay integers."""
TRADING_MINUTES = 390


class Stage(IntEnum):
    """How far an order is along its schedule."""

    PLACED = 0
    FIRST = 1
    SECOND = 2
    CROSS = 3


REASONS: dict[Stage, str] = {Stage.FIRST: "step", Stage.SECOND: "step", Stage.CROSS: "cross"}


class PlannerParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a working order becomes more aggressive, and how far it may go."""

    first_share: float = 1 / 3
    """Share of the time in force at which the first step is due."""
    second_share: float = 2 / 3
    fill_share_min: float = 0.4
    """From this filled share on no step is made; the cross takes whatever is left."""
    step_ticks: int = 1
    cross_before_s: float = 2.0
    """The cross is due so long before the end."""
    look_s: float = 0.25
    """Longest time between two looks at the clock; the embedded lockstep session sets its step."""
    cross_slippage_bps: float = 5.0
    """Beyond the far touch that the cross may pay."""
    cap_bps: float = 25.0
    """Beyond the mid at the order's arrival that nothing may pay."""
    minute_volume_share_max: float = 0.08
    """Largest child, of the average volume of one minute; what only reduces a position is not capped."""
    modifies_per_second_max: int = 30
    """Of all orders together; the largest net edge goes first. The governor's messages also carry all else."""
    tick_ladder: tuple[Rung, ...] = US_STOCKS
    """(Price from which it holds, increment) in 1e-9 USD, on top of each contract's smallest increment."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        for name, low, high in _RANGES:
            require_between("execution.planner", name, float(getattr(self, name)), low, high)
        require_ordered("execution.planner", ("first_share", self.first_share), ("second_share", self.second_share))
        require_ladder(self.tick_ladder)


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("first_share", 0.01, 0.99),
    ("second_share", 0.01, 0.99),
    ("fill_share_min", 0.0, 1.0),
    ("step_ticks", 1, 100),
    ("cross_before_s", 0.0, 60.0),
    ("look_s", 0.0, 60.0),
    ("cross_slippage_bps", 0.0, 100.0),
    ("cap_bps", 0.0, 500.0),
    ("minute_volume_share_max", 0.0001, 10.0),
    ("modifies_per_second_max", 1, 1_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What the schedule depends on, of one working order."""

    side: Side
    quantity_micro: int
    filled_micro: int
    limit_nano: int
    submitted_ns: int
    good_till_ns: int
    stage: Stage
    """The furthest that was carried out."""
    arrival: QuoteSeen
    """The quote when the order was placed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A change that is due."""

    stage: Stage
    limit_nano: int


def first_limit(side: Side, quote: QuoteSeen, rule: TickRule) -> int:
    """Return the mid rounded passively to the tick, which never pays more than half the spread."""
    double_mid = quote.bid_nano + quote.ask_nano
    mid_nano = double_mid // 2 if side is Side.BUY else -(-double_mid // 2)
    return rule.passive(side, mid_nano)


def cap_nano(side: Side, arrival: QuoteSeen, rule: TickRule, parameters: PlannerParameters) -> int:
    """Return the worst price that the order may ever have, rounded so that it is within the cap."""
    mid_nano = (arrival.bid_nano + arrival.ask_nano) // 2
    return rule.passive(side, beyond(side, mid_nano, parameters.cap_bps))


def stage_due(schedule: Schedule, now_ns: int, parameters: PlannerParameters) -> Stage:
    """Return the stage that the order should have reached at ``now_ns``, whatever is filled."""
    length_ns = schedule.good_till_ns - schedule.submitted_ns
    elapsed_ns = now_ns - schedule.submitted_ns
    cross_ns = schedule.good_till_ns - round(parameters.cross_before_s * NANOS_PER_SECOND)
    last_look = now_ns + round(parameters.look_s * NANOS_PER_SECOND) >= schedule.good_till_ns
    if now_ns >= cross_ns or (last_look and elapsed_ns > 0):
        return Stage.CROSS
    if elapsed_ns >= math.floor(length_ns * parameters.second_share):
        return Stage.SECOND
    if elapsed_ns >= math.floor(length_ns * parameters.first_share):
        return Stage.FIRST
    return Stage.PLACED


def due_step(
    schedule: Schedule, quote: QuoteSeen, now_ns: int, *, rule: TickRule, parameters: PlannerParameters
) -> Step | None:
    """Return the change that is due at ``now_ns``, or None.

    Args:
        schedule: The order.
        quote: The market now, two-sided.
        now_ns: Session time.
        rule: Price increments.
        parameters: The schedule's.
    """
    stage = stage_due(schedule, now_ns, parameters)
    left_micro = schedule.quantity_micro - schedule.filled_micro
    if stage <= schedule.stage or left_micro <= 0 or now_ns >= schedule.good_till_ns:
        return None
    if stage is not Stage.CROSS and schedule.filled_micro >= schedule.quantity_micro * parameters.fill_share_min:
        return None
    side, sign = schedule.side, 1 if schedule.side is Side.BUY else -1
    far_nano = quote.ask_nano if side is Side.BUY else quote.bid_nano
    touch_nano = rule.aggressive(side, far_nano)
    if stage is Stage.CROSS:
        slipped_nano = rule.passive(side, beyond(side, far_nano, parameters.cross_slippage_bps))
        wanted = _further(sign, slipped_nano, touch_nano)
    else:
        stepped_nano = rule.worse(side, schedule.limit_nano, parameters.step_ticks)
        wanted = _nearer(sign, stepped_nano, touch_nano)
    limit_nano = _nearer(sign, wanted, cap_nano(side, schedule.arrival, rule, parameters))
    if sign * limit_nano <= sign * schedule.limit_nano or limit_nano <= 0:
        return None
    return Step(stage=stage, limit_nano=limit_nano)


def net_edge_bps(alpha_bps: float, quote: QuoteSeen) -> float:
    """Return |alpha| less half the spread: what decides who goes first when messages are short."""
    mid_nano = (quote.bid_nano + quote.ask_nano) / 2.0
    return abs(alpha_bps) - (quote.ask_nano - quote.bid_nano) / 2.0 / mid_nano * BPS


def largest_child_micro(average_daily_volume_micro: int, parameters: PlannerParameters) -> int:
    """Return the largest child in 1e-6 shares: a share of the average volume of one minute."""
    return math.floor(average_daily_volume_micro / TRADING_MINUTES * parameters.minute_volume_share_max)


def beyond(side: Side, price_nano: int, bps: float) -> int:
    """Return the price that is worse than ``price_nano`` by ``bps``, rounded towards it."""
    distance = price_nano * round(bps * MICRO_BPS) // (BPS * MICRO_BPS)
    return price_nano + distance if side is Side.BUY else price_nano - distance


def _nearer(sign: int, one_nano: int, other_nano: int) -> int:
    """Return the less aggressive of two prices."""
    return sign * min(sign * one_nano, sign * other_nano)


def _further(sign: int, one_nano: int, other_nano: int) -> int:
    """Return the more aggressive of two prices."""
    return sign * max(sign * one_nano, sign * other_nano)
