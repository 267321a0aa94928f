"""Owns the blackout around the nightly resets of the broker and of the gateway, by the clock alone.

What is written to a gateway that is about to go down vanishes without an answer, and ids are issued again afterwards
(row 1 of the broker's known failures). So nothing new is sent from ``before_s`` ahead of a reset until ``after_s``
behind it. Cancels and the flattening of an emergency do not come here; an order that only reduces |position| passes.

A reset is given by local time. On a day on which the clocks are changed the time is read by both clocks, and both
readings are blacked out: an hour too much for safety, never one too little.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, get_args

import msgspec

from walstreet.domain.bounds import require_between
from walstreet.domain.daylight import DAY_S, HOUR_S, Zone, day_of, readings_s, seconds_of, weekday_of
from walstreet.domain.guard_verdict import Finding, GuardedOrder, Measure, guard

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[str, ...] = get_args(Weekday)
WINDOWS_MAX = 16
LASTS_S_MAX = 12.0 * HOUR_S
MARGIN_S_MAX = 1.0 * HOUR_S

assert LASTS_S_MAX + MARGIN_S_MAX < DAY_S, "a reset is found by its own day and the days next to it"


class ResetReason(StrEnum):
    """Stable codes of the guard."""

    RESET_CLOCK_UNKNOWN = "reset_clock_unknown"
    RESET_BLACKOUT = "reset_blackout"


class ResetWindow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One reset that comes again every week."""

    name: str
    """Whose it is; it stands in the refusal."""
    at: str
    """``HH:MM`` by the clocks of ``zone``: when it begins."""
    lasts_s: float
    """How long everything may be away."""
    zone: Zone = "America/New_York"
    days: tuple[Weekday, ...] = ()
    """Weekdays on which it begins; empty for every day."""

    def __post_init__(self) -> None:
        """Refuse what is no time of a day and values outside their ranges."""
        if not self.name.strip():
            raise ValueError(f"execution.resets.windows: the reset at {self.at} has no name")
        hours, colon, minutes = self.at.partition(":")
        digits = len(hours) == len(minutes) == 2 and (hours + minutes).isascii() and (hours + minutes).isdecimal()
        if not (colon and digits and int(hours) < 24 and int(minutes) < 60):
            raise ValueError(f"execution.resets.windows.{self.name}.at is {self.at!r}; allowed is '00:00' to '23:59'")
        require_between(f"execution.resets.windows.{self.name}", "lasts_s", self.lasts_s, 1.0, LASTS_S_MAX)

    @property
    def at_s(self) -> int:
        """Return the seconds from midnight to the reset."""
        return int(self.at[:2]) * HOUR_S + int(self.at[3:]) * 60

    def begins_on(self, day: int) -> bool:
        """Return whether the reset begins on the local day with this number."""
        return not self.days or WEEKDAYS[weekday_of(day)] in self.days


PUBLISHED: tuple[ResetWindow, ...] = (
    ResetWindow(name="broker", at="23:45", lasts_s=3_600.0, days=("sat", "sun", "mon", "tue", "wed", "thu")),
    ResetWindow(name="broker_friday", at="23:00", lasts_s=14_400.0, days=("fri",)),
)
"""The broker's maintenance of its servers for North America, within which its gateway restarts by default, too."""


class ResetParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When nothing new is sent because the gateway or the broker is about to go down, or not yet back."""

    windows: tuple[ResetWindow, ...] = PUBLISHED
    """Each with ``name``, ``at``, ``lasts_s``, ``zone`` and ``days``; none switches the guard off, which is said at
    the start and refused for live trading."""
    before_s: float = 180.0
    """Longer than any order is in force, so that none is at work when the reset comes."""
    after_s: float = 60.0

    def __post_init__(self) -> None:
        """Refuse values outside their ranges and names that stand twice."""
        require_between("execution.resets", "before_s", self.before_s, 0.0, MARGIN_S_MAX)
        require_between("execution.resets", "after_s", self.after_s, 0.0, MARGIN_S_MAX)
        names = [window.name for window in self.windows]
        if len(dict.fromkeys(names)) != len(names) or len(names) > WINDOWS_MAX:
            raise ValueError(f"execution.resets.windows has the names {names}; each once, {WINDOWS_MAX} at most")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetFacts:
    """What the guard looks at."""

    now_ns: int | None
    """None, or a time before 1970, when nothing has told the time yet."""
    order: GuardedOrder


def reset_now(now_ns: int, parameters: ResetParameters) -> tuple[ResetWindow, int] | None:
    """Return the reset whose blackout ``now_ns`` is in and its last second (UTC), or None; an end is excluded."""
    time_s = seconds_of(now_ns)
    before_s, after_s = round(parameters.before_s), round(parameters.after_s)
    for window in parameters.windows:
        until_s = 0
        for offset in readings_s(window.zone, time_s):
            today = day_of(time_s + offset)
            for day in (today - 1, today, today + 1):
                begin_s = day * DAY_S + window.at_s - offset
                end_s = begin_s + round(window.lasts_s) + after_s
                if window.begins_on(day) and begin_s - before_s <= time_s < end_s:
                    until_s = max(until_s, end_s)
        if until_s:
            return window, until_s
    return None


@guard("reset", bypass=True)
def check_reset(facts: ResetFacts, parameters: ResetParameters) -> Finding:
    """Refuse what is new around a nightly reset."""
    if not parameters.windows:
        return Finding(inactive=True, note="no reset is configured")
    if facts.now_ns is None or facts.now_ns <= 0:
        return Finding(reason=ResetReason.RESET_CLOCK_UNKNOWN)
    found = reset_now(facts.now_ns, parameters)
    if found is None:
        return Finding()
    window, until_s = found
    return Finding(
        reason=ResetReason.RESET_BLACKOUT,
        measures=(Measure(name="ends_in_s", value=float(until_s - seconds_of(facts.now_ns))),),
        note=f"{window.name} resets at {window.at} {window.zone}",
    )


def inactive_guards(parameters: ResetParameters) -> tuple[str, ...]:
    """Return the guard's name where no reset is configured, for the start and the dashboard."""
    return () if parameters.windows else ("reset",)
