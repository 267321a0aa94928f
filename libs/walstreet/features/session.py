"""Owns where a session begins and ends, for bars of the described session and for history before it."""

from __future__ import annotations

from walstreet.features.parameters import MINUTE_NS, FeatureParameters


class SessionClock:
    """Tells which bar opens a session.

    Inside the session that a ``SessionRef`` described, its own open and close count (early closes included).
    History has no such description: there a session begins with the first bar after a long pause and is
    taken to last the usual number of minutes.
    """

    __slots__ = ("_gap_ns", "_known_close_ns", "_known_open_ns", "_last_ts_ns", "_length_ns", "close_ns", "open_ns")

    def __init__(self, parameters: FeatureParameters) -> None:
        self._gap_ns = parameters.session_gap_minutes * MINUTE_NS
        self._length_ns = parameters.session_minutes * MINUTE_NS
        self._known_open_ns = 0
        self._known_close_ns = 0
        self._last_ts_ns: int | None = None
        self.open_ns = 0
        self.close_ns = 0

    def describe(self, open_ns: int, close_ns: int) -> None:
        """Take the open and close of the session to be traded."""
        assert open_ns < close_ns
        self._known_open_ns, self._known_close_ns = open_ns, close_ns

    def advance(self, ts_ns: int, bar_ns: int) -> bool:
        """Take the end of the next bar and return whether it is the first of a session."""
        start_ns = ts_ns - bar_ns
        previous, self._last_ts_ns = self._last_ts_ns, ts_ns
        if self._known_open_ns <= start_ns < self._known_close_ns:
            is_first = self.open_ns != self._known_open_ns or previous is None
            self.open_ns, self.close_ns = self._known_open_ns, self._known_close_ns
            return is_first
        if previous is not None and start_ns - previous < self._gap_ns:
            return False
        self.open_ns, self.close_ns = start_ns, start_ns + self._length_ns
        return True
