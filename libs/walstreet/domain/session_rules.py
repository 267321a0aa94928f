"""Owns what the time of the session allows; every time is relative to this session's open and close.

After the open spreads are wide and prices unsettled: smaller sizes and a wider band. Before the close no new entries,
then intraday positions are given up, early enough that the orders can be filled before two minutes to the close.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from walstreet.domain.bounds import require_between, require_ordered
from walstreet.domain.units import MINUTE_NS


class SessionParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Windows of a session, in minutes after its open or before its close."""

    opening_minutes: float = 15.0
    opening_band_multiplier: float = 2.0
    opening_size_multiplier: float = 0.5
    no_entry_minutes: float = 15.0
    flatten_start_minutes: float = 10.0
    """Early enough that several cycles can fill the exits before two minutes to the close."""
    cost_edge_minutes: float = 30.0
    cost_edge_multiplier: float = 1.5
    cost_midday_start_minutes: float = 90.0
    """11:00 for an open at 9:30."""
    cost_midday_end_minutes: float = 270.0
    """14:00 for an open at 9:30."""
    cost_midday_multiplier: float = 0.8

    def __post_init__(self) -> None:
        """Refuse values outside their ranges and windows that contradict each other."""
        for field in (
            "opening_minutes",
            "no_entry_minutes",
            "flatten_start_minutes",
            "cost_edge_minutes",
            "cost_midday_start_minutes",
            "cost_midday_end_minutes",
        ):
            require_between("session", field, getattr(self, field), 0.0, 390.0)
        for field in ("opening_band_multiplier", "cost_edge_multiplier", "cost_midday_multiplier"):
            require_between("session", field, getattr(self, field), 0.1, 10.0)
        require_between("session", "opening_size_multiplier", self.opening_size_multiplier, 0.0, 1.0)
        require_ordered(
            "session",
            ("flatten_start_minutes", self.flatten_start_minutes),
            ("no_entry_minutes", self.no_entry_minutes),
        )
        require_ordered(
            "session",
            ("cost_midday_start_minutes", self.cost_midday_start_minutes),
            ("cost_midday_end_minutes", self.cost_midday_end_minutes),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionWindow:
    """What is allowed now."""

    trading: bool
    """The market is in its regular session."""
    entries_allowed: bool
    flatten_intraday: bool
    size_multiplier: float
    band_multiplier: float
    cost_multiplier: float


def session_window(*, now_ns: int, open_ns: int, close_ns: int, parameters: SessionParameters) -> SessionWindow:
    """Return the rules in force at ``now_ns``; a window includes its start and excludes its end."""
    since_open = now_ns - open_ns
    to_close = close_ns - now_ns
    opening = since_open < parameters.opening_minutes * MINUTE_NS
    edge = parameters.cost_edge_minutes * MINUTE_NS
    multiplier = 1.0
    if since_open < edge or to_close <= edge:
        multiplier = parameters.cost_edge_multiplier
    elif (
        parameters.cost_midday_start_minutes * MINUTE_NS <= since_open < parameters.cost_midday_end_minutes * MINUTE_NS
    ):
        multiplier = parameters.cost_midday_multiplier
    return SessionWindow(
        trading=since_open >= 0 and to_close > 0,
        entries_allowed=to_close > parameters.no_entry_minutes * MINUTE_NS,
        flatten_intraday=to_close <= parameters.flatten_start_minutes * MINUTE_NS,
        size_multiplier=parameters.opening_size_multiplier if opening else 1.0,
        band_multiplier=parameters.opening_band_multiplier if opening else 1.0,
        cost_multiplier=multiplier,
    )
