"""Owns when market data are subscribed anew: fresh ticks prove that they live, the broker's codes do not.

The broker's codes for a restored link say whether subscriptions were kept, and are wrong in both directions. Therefore
everything is subscribed anew after either of them, and again whenever a session goes on and nothing at all arrives.
A single quiet symbol proves nothing, because only changes are sent; a whole universe is never quiet for long.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from walstreet.domain.bounds import require_between, require_ordered
from walstreet.domain.observations import (
    BrokerBarObserved,
    LinkObserved,
    Observation,
    QuoteObserved,
    TradeObserved,
    VolumeObserved,
)
from walstreet.domain.reconnect import DOUBLINGS_MAX
from walstreet_events import NANOS_PER_SECOND

_DATA = (QuoteObserved, TradeObserved, VolumeObserved, BrokerBarObserved)


class SilenceParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a silence may last."""

    after_s: float = 15.0
    """In the session, so long without any tick of any symbol: everything is subscribed anew."""
    longest_s: float = 120.0
    """Each attempt that changes nothing doubles the wait for the next one, up to this."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("silence", "after_s", self.after_s, 5.0, 600.0)
        require_between("silence", "longest_s", self.longest_s, 5.0, 3_600.0)
        require_ordered("silence", ("after_s", self.after_s), ("longest_s", self.longest_s))


class Renewal(StrEnum):
    """Why market data are subscribed anew."""

    RESTORED = "link_restored"
    """The broker says that the link is back; whatever it says of the subscriptions."""
    SILENT = "silent"


class SilenceWatch:
    """What is known of the market data's liveness on one connection; a restart begins anew."""

    def __init__(self, parameters: SilenceParameters, *, open_ns: int, close_ns: int) -> None:
        """Watch one session; outside of it nothing need arrive."""
        self._parameters = parameters
        self._open_ns = open_ns
        self._close_ns = close_ns
        self._linked = False
        self._restored = False
        self._since_ns = 0
        """Of the last tick, or of the last attempt."""
        self._attempts = 0

    @property
    def silent(self) -> bool:
        """Return whether nothing has arrived since the last attempt."""
        return self._attempts > 0

    def note(self, observation: Observation, now_ns: int) -> bool:
        """Take one observation, and return whether it is the tick that ends a silence."""
        if isinstance(observation, _DATA):
            ended = self.silent
            self._since_ns, self._attempts = now_ns, 0
            return ended
        if isinstance(observation, LinkObserved):
            self._linked = observation.connected
            # A connection of our own is subscribed by whoever made it; it carries no code.
            self._restored = observation.connected and observation.code != 0
            self._since_ns = now_ns
        return False

    def due(self, now_ns: int) -> Renewal | None:
        """Return why everything should be subscribed anew now, None when it need not."""
        if not self._linked:
            return None
        if self._restored:
            return Renewal.RESTORED
        since_ns = max(self._since_ns, self._open_ns)
        if not self._open_ns < now_ns <= self._close_ns or now_ns - since_ns < self._wait_ns():
            return None
        return Renewal.SILENT

    def asked(self, now_ns: int) -> None:
        """Take that everything was subscribed anew; the next silence is waited for longer until something arrives."""
        self._restored = False
        self._since_ns = now_ns
        self._attempts += 1

    def _wait_ns(self) -> int:
        doubled = self._parameters.after_s * 2.0 ** min(self._attempts, DOUBLINGS_MAX)
        return round(min(doubled, self._parameters.longest_s) * NANOS_PER_SECOND)
