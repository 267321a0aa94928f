"""Owns the throttle on repeated executions: what has been applied too often is disabled until a person re-arms it.

MiFID II RTS 6, article 15(3): after a pre-determined number of repeated executions the system is automatically
disabled until it is re-enabled by a designated person. Counted are parents sent, per strategy, symbol and side, and
over everything in the account. A trip is latched and survives restarts as part of the state that is folded from the
log; only ``rearm`` with a person's name lifts it. Orders that only reduce |position| count, and pass all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

import msgspec

from walstreet.domain.bounds import require_between
from walstreet.domain.guard_verdict import Finding, GuardedOrder, Measure, guard, nanos

KEYS_MAX = 100_000
"""Strategy, symbol and side combinations remembered; more come from a broken universe."""
REPEATS_MAX = 1_000
"""Times kept per key at most."""
ACCOUNT_KEY = "*"
"""The key that counts everything in the account; no strategy may have this name."""


class ThrottleReason(StrEnum):
    """Stable codes of the throttle."""

    REPEATS_UNKNOWN = "repeats_unknown"
    REPEATED_EXECUTION = "repeated_execution"


class ThrottleParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often the same may be done before a person has to look."""

    window_s: float = 300.0
    repeats_max: int = 10
    """Of one strategy, symbol and side in the window; the last of them trips."""
    account_window_s: float = 1_800.0
    account_repeats_max: int = 240
    """Of everything in the account's window: eight a minute for half an hour, below what ten orders a minute would
    allow for ever, above the bursts in which twenty symbols are entered and left."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("throttle", "window_s", self.window_s, 1.0, 86_400.0)
        require_between("throttle", "repeats_max", self.repeats_max, 1, REPEATS_MAX)
        require_between("throttle", "account_window_s", self.account_window_s, 1.0, 86_400.0)
        require_between("throttle", "account_repeats_max", self.account_repeats_max, 1, REPEATS_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """One key's executions."""

    times_ns: tuple[int, ...] = ()
    """Within the window of the newest, in order of arrival."""
    tripped_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottleState:
    """Counts per key; a value, replaced as a whole."""

    keys: dict[str, Repeats] = field(default_factory=dict)

    def canonical(self) -> tuple[tuple[str, tuple[int, ...], int], ...]:
        """Return the content for a digest, sorted by key."""
        return tuple(
            (key, self.keys[key].times_ns, -1 if (tripped := self.keys[key].tripped_ns) is None else tripped)
            for key in sorted(self.keys)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottleFacts:
    """What the throttle's guard looks at."""

    now_ns: int
    strategy: str
    order: GuardedOrder
    state: ThrottleState | None
    """None when the counts were lost, which is no permission."""


def key_of(strategy: str, order: GuardedOrder) -> str:
    """Return the key under which executions of ``order`` count as repetitions of each other.

    Raises:
        ValueError: The strategy has no name, or the account's key for a name.
    """
    if strategy in {"", ACCOUNT_KEY}:
        raise ValueError(f"throttle: strategy is {strategy!r}; it must have a name other than {ACCOUNT_KEY!r}")
    return f"{strategy}\x1f{order.symbol}\x1f{order.side.value}"


def _since_ns(key: str, now_ns: int, parameters: ThrottleParameters) -> int:
    return now_ns - nanos(parameters.account_window_s if key == ACCOUNT_KEY else parameters.window_s)


def _counted(known: Repeats, ts_ns: int, maximum: int, since_ns: int) -> Repeats:
    times = (*(time_ns for time_ns in known.times_ns if time_ns > since_ns), ts_ns)[-REPEATS_MAX:]
    tripped = known.tripped_ns
    if tripped is None and len(times) >= maximum:
        tripped = ts_ns
    return Repeats(times_ns=times, tripped_ns=tripped)


def note_execution(
    state: ThrottleState, *, strategy: str, order: GuardedOrder, ts_ns: int, parameters: ThrottleParameters
) -> ThrottleState:
    """Return the state after a parent was sent; the last one allowed trips its key.

    Raises:
        ValueError: The strategy has no name of its own, or there are more than ``KEYS_MAX`` keys.
    """
    keys = dict(state.keys)
    for key, maximum in (
        (key_of(strategy, order), parameters.repeats_max),
        (ACCOUNT_KEY, parameters.account_repeats_max),
    ):
        keys[key] = _counted(keys.get(key, Repeats()), ts_ns, maximum, _since_ns(key, ts_ns, parameters))
    if len(keys) > KEYS_MAX:
        raise ValueError(f"throttle: {len(keys)} keys, at most {KEYS_MAX} are possible; expire the state daily")
    return ThrottleState(keys=keys)


def expire(state: ThrottleState, now_ns: int, parameters: ThrottleParameters) -> ThrottleState:
    """Return the state without what no longer counts; what has tripped stays."""
    kept = {}
    for key, known in state.keys.items():
        since_ns = _since_ns(key, now_ns, parameters)
        times_ns = tuple(time_ns for time_ns in known.times_ns if time_ns > since_ns)
        if times_ns or known.tripped_ns is not None:
            kept[key] = replace(known, times_ns=times_ns)
    return ThrottleState(keys=kept)


def tripped(state: ThrottleState) -> tuple[str, ...]:
    """Return the keys that wait for a person, sorted."""
    return tuple(key for key in sorted(state.keys) if state.keys[key].tripped_ns is not None)


def rearm(state: ThrottleState, *, key: str, operator: str) -> ThrottleState:
    """Return the state after a person has looked at ``key``; its count begins anew.

    Raises:
        ValueError: No person is named, or nothing has tripped under ``key``.
    """
    if not operator.strip():
        raise ValueError(f"throttle: re-arming {key!r} needs the name of the person who decided it")
    known = state.keys.get(key)
    if known is None or known.tripped_ns is None:
        raise ValueError(f"throttle: {key!r} has not tripped; tripped are {[*tripped(state)]}")
    return ThrottleState(keys={name: repeats for name, repeats in state.keys.items() if name != key})


@guard("repeated_execution", bypass=True)
def check_repeats(facts: ThrottleFacts, parameters: ThrottleParameters) -> Finding:
    """Refuse what has tripped, and what the present limits would not have let come so far."""
    if facts.state is None:
        return Finding(reason=ThrottleReason.REPEATS_UNKNOWN)
    reason, note, measures = None, "", []
    for name, key, maximum in (
        ("repeats", key_of(facts.strategy, facts.order), parameters.repeats_max),
        ("account_repeats", ACCOUNT_KEY, parameters.account_repeats_max),
    ):
        known = facts.state.keys.get(key, Repeats())
        since_ns = _since_ns(key, facts.now_ns, parameters)
        count = sum(time_ns > since_ns for time_ns in known.times_ns)
        measures.append(Measure(name=name, value=count, limit=maximum))
        if known.tripped_ns is not None:
            reason, note = ThrottleReason.REPEATED_EXECUTION, "disabled until a person re-arms it"
        elif count >= maximum and reason is None:
            reason, note = ThrottleReason.REPEATED_EXECUTION, "the allowed number is used up"
    return Finding(reason=reason, measures=tuple(measures), note=note)
