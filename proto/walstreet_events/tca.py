"""Owns the facts of cost analysis: marks (execution), the report of a session and tuned parameters (reconciler)."""

from __future__ import annotations

import msgspec

from walstreet_events.envelope import Event
from walstreet_events.ops import ParameterChange

EXPIRY = -1
"""``offset_s`` of the mark at the end of a parent's time in force; its reference is the intent."""


class MarkSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The quote of MD in force at one instant that an analysis of costs asks about."""

    reference: str
    """Execution id, or the intent for ``EXPIRY``."""
    symbol: str
    offset_s: int
    """Seconds of session time after the execution, or ``EXPIRY``."""
    bid_nano: int
    """0, like the ask and the time, where no quote of that instant was seen."""
    ask_nano: int
    quote_ts_ns: int


class MarkoutBlock(Event, frozen=True, tag="markout_block.v1"):
    """The marks that became due; quotes are on MD only, so that execution copies those that costs are measured by."""

    marks: tuple[MarkSeen, ...]


class TcaRow(msgspec.Struct, frozen=True, kw_only=True):
    """Costs of a group of parent orders in 1e-9 USD; a cost is positive for buys and for sells."""

    by: str
    """``all``, ``horizon``, ``symbol``, ``side`` or ``hour``."""
    key: str
    """An hour is counted from the open, the first is ``00``."""
    parents: int
    sent: int
    filled_in_time: int
    """Sent parents that were filled whole before their time in force ended."""
    fills: int
    wanted_nano: int
    """Notional at the arrival mid."""
    traded_nano: int
    spread_nano: int
    impact_nano: int
    timing_nano: int
    unattributed_nano: int
    """Cost of prices for which no mark was seen; part of the total like the others."""
    fees_nano: int
    opportunity_nano: int
    """Of what was not filled, at the mid when the time in force ended."""
    delay_nano: int
    """The part of the timing until the order was sent."""
    fees_missing: int
    """Fills whose fee had not arrived."""
    unfilled_unmarked_nano: int
    """Notional not filled for which no mark was seen; it is in no opportunity cost."""
    markout_nano: tuple[int, ...]
    """Per offset 1, 5 and 30 s: ``side * (price - mid then)`` over the fills that were marked."""
    marked_nano: tuple[int, ...]
    """Notional of those fills."""
    predicted_nano: int
    """What the decision expected one side to cost, over the parents below."""
    predicted_cost_nano: int
    """What these parents really cost, without opportunity."""
    predicted_traded_nano: int
    """Their traded notional."""
    fill_ms: int
    """Sum over fills of the time since the order was sent."""


class TcaSamples(msgspec.Struct, frozen=True, kw_only=True):
    """What the tuning of one threshold needs of a day: a count, a mean, a standard deviation, a 99 % quantile."""

    path: str
    count: int
    mean: float
    deviation: float
    high: float


class TuningProposal(msgspec.Struct, frozen=True, kw_only=True):
    """What tuning says about one parameter, also when it changes nothing."""

    path: str
    current: float
    target: float
    """Where the samples of the window point; the current value where they say nothing."""
    proposed: float
    reason: str
    """Stable code, one of ``walstreet.domain.autotune.Reason``."""
    days: int
    samples: int


class TcaReport(Event, frozen=True, tag="tca_report.v1"):
    """The costs of one session, from which later days tune without reading it again."""

    session_date: str
    rows: tuple[TcaRow, ...]
    samples: tuple[TcaSamples, ...]
    autotune: str
    """``off``, ``propose`` or ``apply``, as it was in force."""
    proposals: tuple[TuningProposal, ...]


class ParameterTuned(ParameterChange, frozen=True, tag="parameter_tuned.v1"):
    """A change of a parameter that the daily tuning made; every service applies it as it applies an operator's."""

    session_date: str
    samples: int
    days: int
