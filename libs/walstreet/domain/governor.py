"""Owns the pace of everything that is sent to the broker, as pure values over integer nanoseconds.

One token bucket for *all* messages: 45 a second with a burst of 5, so that no window of one second, wherever it
begins, holds more than ``5 + 45 = 50``, at which the broker disconnects. Two tokens are for cancels and flattening
alone; everything else waits until more than these are there. A cancel therefore never waits behind ordinary messages:
the k-th urgent message of a rush waits at most ``(k - 2) / 45`` seconds whatever else is sent.

Historical requests: 60 in ten minutes (a BID_ASK request counts twice), identical ones never within 15 s or while the
first is open, fewer than six for one contract in two seconds, at most 50 open.

All limits live on elapsed time, the sum of the steps forward of the clock that is passed in: a clock that is set back
neither stops the flow nor lets it run faster.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec

from walstreet.domain.bounds import require_between
from walstreet_events import NANOS_PER_SECOND

BROKER_MESSAGES_PER_SECOND_MAX = 50
HISTORICAL_KEYS_MAX = 4_096
"""Identical-request stamps kept; the ten-minute limit allows far fewer within fifteen seconds."""
CONTRACT_WINDOW_S = 2
BACKOFF_DOUBLINGS_MAX = 30
"""Beyond it doubling means nothing, and integers would grow without need."""
UNITS_PER_TOKEN = NANOS_PER_SECOND
"""A nanosecond adds ``messages_per_second`` units, so the level is exact."""


class Priority(StrEnum):
    """Who may use the reserve."""

    URGENT = "urgent"
    """Cancels, and orders that flatten."""
    NORMAL = "normal"


class GovernorReason(StrEnum):
    """Stable codes: which limit a request waits for, or why it is refused."""

    MESSAGE_RATE = "message_rate"
    HISTORICAL_RATE = "historical_rate"
    HISTORICAL_IDENTICAL = "historical_identical"
    HISTORICAL_CONTRACT = "historical_contract"
    HISTORICAL_OPEN = "historical_open"


class GovernorParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The pace; never above what the broker bears."""

    messages_per_second: int = 45
    burst: int = 5
    urgent_reserve: int = 2
    """Tokens of the burst that only cancels and flattening may use."""
    historical_in_window_max: int = 60
    historical_window_s: int = 600
    historical_identical_s: int = 15
    historical_per_contract_max: int = 5
    historical_open_max: int = 50
    backoff_first_s: float = 1.0
    backoff_max_s: float = 60.0
    backoff_jitter_share: float = 0.2
    """Part of a delay that the jitter may take away, so that it never exceeds ``backoff_max_s``."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges, and a pace that the broker would not bear."""
        for name, low, high in _RANGES:
            require_between("governor", name, float(getattr(self, name)), low, high)
        if self.messages_per_second + self.burst > BROKER_MESSAGES_PER_SECOND_MAX:
            raise ValueError(
                f"governor.messages_per_second + governor.burst is {self.messages_per_second + self.burst}; "
                f"the broker disconnects above {BROKER_MESSAGES_PER_SECOND_MAX} messages in a second"
            )
        if not 0 < self.urgent_reserve < self.burst:
            raise ValueError(
                f"governor.urgent_reserve is {self.urgent_reserve}; allowed is 1 to {self.burst - 1}, "
                "because both kinds of message need room in the burst"
            )


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("messages_per_second", 1, BROKER_MESSAGES_PER_SECOND_MAX),
    ("burst", 2, BROKER_MESSAGES_PER_SECOND_MAX),
    ("historical_in_window_max", 2, 60),
    ("historical_window_s", 600, 86_400),
    ("historical_identical_s", 15, 3_600),
    ("historical_per_contract_max", 1, 5),
    ("historical_open_max", 1, 50),
    ("backoff_first_s", 0.1, 60.0),
    ("backoff_max_s", 1.0, 3_600.0),
    ("backoff_jitter_share", 0.0, 0.9),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoricalRequest:
    """A historical request that wants to go out."""

    request: str
    """Its own id, by which its answer ends it."""
    contract: str
    """Contract, exchange and tick type."""
    key: str
    """Equal for identical requests."""
    weight: int = 1
    """2 for BID_ASK, which the broker counts twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """When something of a name was sent, in elapsed time."""

    name: str
    ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GovernorState:
    """Everything that the limits remember.

    It begins full, as the broker counts per connection; who goes on with a connection after losing the state
    begins with ``level=0``.
    """

    level: int | None = None
    """Units in the bucket; None before the first message, which finds it full."""
    clock_ns: int | None = None
    """The last reading."""
    elapsed_ns: int = 0
    historical_ns: tuple[int, ...] = ()
    """One per counted request of the window, oldest first."""
    identical: tuple[Stamp, ...] = ()
    contracts: tuple[Stamp, ...] = ()
    open_requests: tuple[HistoricalRequest, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The answer to one wish to send; the state must be kept in either case."""

    state: GovernorState
    wait_ns: int
    """0: sent, and counted. Else ask again after this time; nothing was counted."""
    reason: GovernorReason | None = None
    """What it waits for."""

    @property
    def granted(self) -> bool:
        """Return whether the message may go now."""
        return self.wait_ns == 0


def _advanced(state: GovernorState, now_ns: int, parameters: GovernorParameters) -> tuple[GovernorState, int]:
    """Return the state at ``now_ns`` and its level."""
    full = parameters.burst * UNITS_PER_TOKEN
    step_ns = 0 if state.clock_ns is None else max(0, now_ns - state.clock_ns)
    level = full if state.level is None else min(full, state.level + step_ns * parameters.messages_per_second)
    return replace(state, level=level, clock_ns=now_ns, elapsed_ns=state.elapsed_ns + step_ns), level


def take(state: GovernorState, *, now_ns: int, priority: Priority, parameters: GovernorParameters) -> Grant:
    """Return whether one message may go at ``now_ns``, or how long until it may."""
    state, level = _advanced(state, now_ns, parameters)
    kept = 0 if priority is Priority.URGENT else parameters.urgent_reserve
    missing = (1 + kept) * UNITS_PER_TOKEN - level
    if missing > 0:
        return Grant(
            state=state, wait_ns=-(-missing // parameters.messages_per_second), reason=GovernorReason.MESSAGE_RATE
        )
    return Grant(state=replace(state, level=level - UNITS_PER_TOKEN), wait_ns=0)


# -------------------------------------------------------------------------------------------------- historical


def take_historical(
    state: GovernorState, *, wanted: HistoricalRequest, now_ns: int, parameters: GovernorParameters
) -> Grant:
    """Return whether a historical request may go at ``now_ns``; it counts as a message too.

    Raises:
        ValueError: A weight that the broker does not know, or a request id that is open already.
    """
    if wanted.weight not in {1, 2}:
        raise ValueError(f"governor: request {wanted.request} has weight {wanted.weight}; it is 1, or 2 for BID_ASK")
    if any(known.request == wanted.request for known in state.open_requests):
        raise ValueError(f"governor: request {wanted.request} is open already; ids must not be used twice")
    state, _ = _advanced(state, now_ns, parameters)
    state = _forgotten(state, parameters)
    wait_ns, reason = _historical_wait(state, wanted, parameters)
    if wait_ns > 0:
        return Grant(state=state, wait_ns=wait_ns, reason=reason)
    grant = take(state, now_ns=now_ns, priority=Priority.NORMAL, parameters=parameters)
    if not grant.granted:
        return grant
    after = grant.state
    return replace(
        grant,
        state=replace(
            after,
            historical_ns=(*after.historical_ns, *([after.elapsed_ns] * wanted.weight)),
            identical=(*after.identical, Stamp(name=wanted.key, ns=after.elapsed_ns)),
            contracts=(*after.contracts, Stamp(name=wanted.contract, ns=after.elapsed_ns)),
            open_requests=(*after.open_requests, wanted),
        ),
    )


def end_historical(state: GovernorState, request: str) -> GovernorState:
    """Return the state after a historical request was answered, refused or given up; an unknown id changes nothing."""
    return replace(state, open_requests=tuple(known for known in state.open_requests if known.request != request))


def _forgotten(state: GovernorState, parameters: GovernorParameters) -> GovernorState:
    """Return the state without what no limit needs any more."""
    now_ns = state.elapsed_ns
    window_ns = now_ns - parameters.historical_window_s * NANOS_PER_SECOND
    identical_ns = now_ns - parameters.historical_identical_s * NANOS_PER_SECOND
    contract_ns = now_ns - CONTRACT_WINDOW_S * NANOS_PER_SECOND
    kept = replace(
        state,
        historical_ns=tuple(ns for ns in state.historical_ns if ns > window_ns),
        identical=tuple(stamp for stamp in state.identical if stamp.ns > identical_ns),
        contracts=tuple(stamp for stamp in state.contracts if stamp.ns > contract_ns),
    )
    assert len(kept.identical) <= HISTORICAL_KEYS_MAX, f"{len(kept.identical)} identical-request stamps"
    return kept


def _historical_wait(
    state: GovernorState, wanted: HistoricalRequest, parameters: GovernorParameters
) -> tuple[int, GovernorReason | None]:
    """Return the longest wait of the historical limits and whose it is; those of open requests are guesses."""
    now_ns, waits = state.elapsed_ns, [(0, GovernorReason.HISTORICAL_RATE)]
    over = len(state.historical_ns) + wanted.weight - parameters.historical_in_window_max
    if over > 0:
        frees_ns = state.historical_ns[over - 1] + parameters.historical_window_s * NANOS_PER_SECOND
        waits.append((frees_ns - now_ns, GovernorReason.HISTORICAL_RATE))
    identical_ns = parameters.historical_identical_s * NANOS_PER_SECOND
    waits += [
        (stamp.ns + identical_ns - now_ns, GovernorReason.HISTORICAL_IDENTICAL)
        for stamp in state.identical
        if stamp.name == wanted.key
    ]
    of_contract = [stamp.ns for stamp in state.contracts if stamp.name == wanted.contract]
    if len(of_contract) >= parameters.historical_per_contract_max:
        oldest_ns = of_contract[-parameters.historical_per_contract_max]
        waits.append((oldest_ns + CONTRACT_WINDOW_S * NANOS_PER_SECOND - now_ns, GovernorReason.HISTORICAL_CONTRACT))
    # When an open request ends nobody knows; a second is soon enough to ask again.
    if any(known.key == wanted.key for known in state.open_requests):
        waits.append((NANOS_PER_SECOND, GovernorReason.HISTORICAL_IDENTICAL))
    if len(state.open_requests) >= parameters.historical_open_max:
        waits.append((NANOS_PER_SECOND, GovernorReason.HISTORICAL_OPEN))
    wait_ns, reason = max(waits, key=lambda item: item[0])
    return (wait_ns, reason) if wait_ns > 0 else (0, None)


# --------------------------------------------------------------------------------------------------- reconnecting


def reconnect_delay_ns(*, attempt: int, jitter: float, parameters: GovernorParameters) -> int:
    """Return the pause before connection attempt ``attempt``: 1, 2, 4, ... 60 s less up to a fifth.

    Args:
        attempt: 1 for the first attempt after a failure.
        jitter: Uniform in [0, 1); an argument, so that nothing here is random.
        parameters: First and largest delay, and the part that the jitter may take away.

    Raises:
        ValueError: ``attempt`` below 1, or ``jitter`` outside [0, 1).
    """
    if attempt < 1:
        raise ValueError(f"governor: reconnection attempt is {attempt}; the first is 1")
    if not 0.0 <= jitter < 1.0:
        raise ValueError(f"governor: jitter is {jitter}; allowed is 0 up to but not 1")
    doublings = min(attempt - 1, BACKOFF_DOUBLINGS_MAX)
    whole_ns = min(
        round(parameters.backoff_first_s * NANOS_PER_SECOND) << doublings,
        round(parameters.backoff_max_s * NANOS_PER_SECOND),
    )
    return whole_ns - int(whole_ns * parameters.backoff_jitter_share * jitter)
