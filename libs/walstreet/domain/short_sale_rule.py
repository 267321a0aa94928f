"""Owns the state machine of SEC Rule 201 (short-sale price test) per symbol, kept over nights and restarts.

When the price falls by 10 % or more from the prior close during a session, short sales are restricted for the rest of
that session and the whole of the next one. The machine is fed the session's low so far, so that a start in the middle
of a session misses nothing, the final low when a session ends, and the date of the session before when one begins. If
a session was missed, or not watched to its end, the state is *unknown* and no short sale is allowed, until that
session's low and the close before it are given.

States: ``clear``, ``triggered`` (in this session), ``carried`` (in the session before), ``unknown``.
Source: 17 CFR 242.201(b)(1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from walstreet.domain.guard_verdict import exceeds_bps


class SsrState(StrEnum):
    """What is known of the restriction now."""

    UNKNOWN = "unknown"
    CLEAR = "clear"
    TRIGGERED = "triggered"
    CARRIED = "carried"

    @property
    def restricted(self) -> bool:
        """Return whether the price test applies for certain."""
        return self in {SsrState.TRIGGERED, SsrState.CARRIED}


TRANSITIONS: dict[tuple[SsrState, str], SsrState] = {
    (SsrState.UNKNOWN, "fall"): SsrState.TRIGGERED,
    (SsrState.CLEAR, "fall"): SsrState.TRIGGERED,
    (SsrState.CARRIED, "fall"): SsrState.TRIGGERED,
    (SsrState.CLEAR, "next_session"): SsrState.CLEAR,
    (SsrState.CARRIED, "next_session"): SsrState.CLEAR,
    (SsrState.TRIGGERED, "next_session"): SsrState.CARRIED,
    (SsrState.UNKNOWN, "next_session"): SsrState.UNKNOWN,
    (SsrState.CLEAR, "sessions_missed"): SsrState.UNKNOWN,
    (SsrState.CARRIED, "sessions_missed"): SsrState.UNKNOWN,
    (SsrState.TRIGGERED, "sessions_missed"): SsrState.UNKNOWN,
    (SsrState.UNKNOWN, "sessions_missed"): SsrState.UNKNOWN,
    (SsrState.UNKNOWN, "history_calm"): SsrState.CLEAR,
    (SsrState.UNKNOWN, "history_fell"): SsrState.CARRIED,
}
"""Every move that exists; a pair that is not listed leaves the state as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule201:
    """One symbol's state; a value to be persisted as it stands."""

    session: str = ""
    """ISO date of the session it speaks of; empty before the first."""
    state: SsrState = SsrState.UNKNOWN
    low_nano: int | None = None
    """Of this session so far; None before the first price."""
    prior_close_nano: int | None = None
    observed_ns: int | None = None
    """When the low was last reported or confirmed."""
    complete: bool = False
    """The session has ended and was judged by its final low."""

    def canonical(self) -> tuple[object, ...]:
        """Return the content for a digest."""
        return self.session, self.state.value, self.low_nano, self.prior_close_nano, self.observed_ns, self.complete


def fell(low_nano: int, prior_close_nano: int, fall_bps: float) -> bool:
    """Return whether a low is ``fall_bps`` or more below the prior close; exactly at the threshold it is."""
    return not exceeds_bps(low_nano - prior_close_nano, prior_close_nano, -fall_bps)


def begin_session(
    rule: Rule201, *, session: str, previous_session: str, prior_close_nano: int | None, fall_bps: float
) -> Rule201:
    """Return the state at the beginning of ``session``, whose trading day before was ``previous_session``.

    Args:
        rule: As it was left.
        session: ISO date; the same date again only fills in a prior close that was missing.
        previous_session: ISO date of the trading day before, by the exchange's calendar.
        prior_close_nano: Close of that day, None when unknown.
        fall_bps: Threshold, for prices that came before the prior close was known.

    Raises:
        ValueError: The dates run backwards.
    """
    prior_close = prior_close_nano if prior_close_nano is not None and prior_close_nano > 0 else None
    if session == rule.session:
        return _judged(replace(rule, prior_close_nano=rule.prior_close_nano or prior_close), fall_bps)
    if session < rule.session or previous_session >= session:
        raise ValueError(
            f"Rule 201: session {session} after {previous_session} cannot follow {rule.session}; dates must ascend"
        )
    # A trigger stands whether or not the rest of its session was watched; calm must have been watched to the end.
    watched = rule.session == previous_session and (rule.complete or rule.state is SsrState.TRIGGERED)
    move = "next_session" if watched else "sessions_missed"
    return Rule201(session=session, state=_moved(rule.state, move), prior_close_nano=prior_close)


def note_history(rule: Rule201, *, previous_low_nano: int, close_before_nano: int, fall_bps: float) -> Rule201:
    """Return the state after the previous session's low and the close before it became known.

    Only an unknown state needs them. They decide it alone: a restriction never lasts longer than the next session.
    """
    if previous_low_nano <= 0 or close_before_nano <= 0:
        return rule
    move = "history_fell" if fell(previous_low_nano, close_before_nano, fall_bps) else "history_calm"
    return replace(rule, state=_moved(rule.state, move))


def note_low(rule: Rule201, *, low_nano: int, ts_ns: int, fall_bps: float) -> Rule201:
    """Return the state after the session's low so far was reported; prices that are not positive say nothing."""
    if low_nano <= 0 or not rule.session or rule.complete:
        return rule
    low = low_nano if rule.low_nano is None else min(low_nano, rule.low_nano)
    return _judged(replace(rule, low_nano=low, observed_ns=max(ts_ns, rule.observed_ns or ts_ns)), fall_bps)


def end_session(rule: Rule201, *, low_nano: int, ts_ns: int, fall_bps: float) -> Rule201:
    """Return the state after the session ended with ``low_nano``, the low of the whole session."""
    after = note_low(rule, low_nano=low_nano, ts_ns=ts_ns, fall_bps=fall_bps)
    judged = low_nano > 0 and after.session != "" and after.prior_close_nano is not None
    return replace(after, complete=after.complete or judged)


def note_announced(rule: Rule201) -> Rule201:
    """Return the state after the exchange or the broker said that the price fell far enough in this session."""
    return replace(rule, state=_moved(rule.state, "fall"))


def _judged(rule: Rule201, fall_bps: float) -> Rule201:
    if rule.low_nano is None or rule.prior_close_nano is None:
        return rule
    if fell(rule.low_nano, rule.prior_close_nano, fall_bps):
        return replace(rule, state=_moved(rule.state, "fall"))
    return rule


def _moved(state: SsrState, move: str) -> SsrState:
    return TRANSITIONS.get((state, move), state)
