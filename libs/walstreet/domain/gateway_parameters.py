"""Owns the parameters of the gateway core and the plan of the session that it journals."""

from __future__ import annotations

import msgspec

from walstreet.domain.silence import SilenceParameters
from walstreet_events import NANOS_PER_SECOND

BAR_S_MAX = 300
SYMBOLS_MAX = 500
DAILY_LEAD_S_MAX = 3 * 3_600
"""Half of an early close's session: a rotation in the morning would decide on yesterday's prices."""
DAILY_DAYS_MAX = 365
"""The broker takes longer spans in years only."""
MARKETS = ("recorded", "synthetic", "live")


def check_range(name: str, value: int, low: int, high: int) -> None:
    """Refuse a value outside ``[low, high]``.

    Raises:
        ValueError: Naming field, value and range.
    """
    if not low <= value <= high:
        raise ValueError(f"{name}={value} is outside {low}..{high}; choose a value in that range")


class GatewayParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the gateway turns observations into facts."""

    bar_s: int = 60
    tick_s: int = 5
    """Distance of clock ticks; they stand on multiples of it."""
    pre_open_s: int = 60
    """The session's clock starts so long before the open."""
    post_close_s: int = 60
    """The session's clock runs so long after the close."""
    close_delay_ms: int = 0
    """How long a bar's end may wait for the broker's own last five-second bar; 0 in lockstep."""
    repair_wait_s: int = 30
    """How long a bar that was not wholly observed waits for the broker's history before it is written as it is."""
    borrow_s: int = 0
    """Distance of confirmations of what can be borrowed (generic tick 236), a multiple of ``tick_s``; 0 asks none."""
    volume_tolerance_bps: int = 100
    """Permitted difference of our volume from the broker's, relative to the broker's."""
    daily_lead_s: int = 0
    """So long before the close the broker is asked for daily bars, on which the rotation decides; 0 asks for none."""
    daily_days: int = 250
    """Complete days that are asked for; averages begin with the oldest, so that more of them change little."""
    daily_adjusted: bool = True
    """Days adjusted for splits and dividends; only a market without an adjusted history goes without."""
    daily_retry_s: int = 10
    """Distance of two attempts when the broker does not answer."""
    silence: SilenceParameters = SilenceParameters()
    """When market data that stay away are subscribed anew."""

    def __post_init__(self) -> None:
        """Refuse values out of range or at odds with each other."""
        check_range("gateway.bar_s", self.bar_s, 5, BAR_S_MAX)
        if self.bar_s % 5:
            raise ValueError(f"gateway.bar_s={self.bar_s} is no multiple of the broker's 5 s bars; use 5, 10 ... 300")
        check_range("gateway.tick_s", self.tick_s, 1, self.bar_s)
        check_range("gateway.pre_open_s", self.pre_open_s, 0, 3600)
        check_range("gateway.post_close_s", self.post_close_s, 0, 3600)
        check_range("gateway.close_delay_ms", self.close_delay_ms, 0, 5_000)
        check_range("gateway.repair_wait_s", self.repair_wait_s, 0, self.bar_s)
        check_range("gateway.borrow_s", self.borrow_s, 0, 60)
        if self.borrow_s % self.tick_s:
            raise ValueError(f"gateway.borrow_s={self.borrow_s} is no multiple of gateway.tick_s={self.tick_s}")
        check_range("gateway.volume_tolerance_bps", self.volume_tolerance_bps, 0, 10_000)
        check_range("gateway.daily_lead_s", self.daily_lead_s, 0, DAILY_LEAD_S_MAX)
        check_range("gateway.daily_days", self.daily_days, 2, DAILY_DAYS_MAX)
        check_range("gateway.daily_retry_s", self.daily_retry_s, 1, 600)

    @property
    def bar_ns(self) -> int:
        """Return the length of a bar in nanoseconds."""
        return self.bar_s * NANOS_PER_SECOND

    @property
    def tick_ns(self) -> int:
        """Return the distance of clock ticks in nanoseconds."""
        return self.tick_s * NANOS_PER_SECOND


class SessionHours(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Open and close of one regular session, early closes included."""

    open_ns: int
    close_ns: int


class SessionPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The session to be served and the regular sessions before it, as the exchange calendar gives them."""

    session_date: str
    """ISO date in New York."""
    open_ns: int
    close_ns: int
    symbols: tuple[str, ...]
    market: str
    """``recorded``, ``synthetic`` or ``live``."""
    past_sessions: tuple[SessionHours, ...] = ()
    """Sessions from which warm-up bars are taken; empty takes all that the broker calls regular hours."""

    def __post_init__(self) -> None:
        """Refuse a plan that no session can follow."""
        if self.open_ns >= self.close_ns:
            raise ValueError(f"session {self.session_date}: open_ns={self.open_ns} is not before {self.close_ns}")
        if self.market not in MARKETS:
            raise ValueError(f"session.market={self.market!r} is unknown; use one of {', '.join(MARKETS)}")
        check_range("session.symbols (count)", len(self.symbols), 1, SYMBOLS_MAX)
        if len(dict.fromkeys(self.symbols)) != len(self.symbols):
            raise ValueError(f"session.symbols names a symbol twice: {', '.join(self.symbols)}")
        for hours in self.past_sessions:
            if not hours.open_ns < hours.close_ns <= self.open_ns:
                raise ValueError(
                    f"session.past_sessions holds {hours.open_ns}..{hours.close_ns}, which is no session before "
                    f"{self.open_ns}"
                )
