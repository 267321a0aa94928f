"""Owns session time for the imperative shell: a clock that is told, because the log or the broker knows better."""

from __future__ import annotations


class ToldClock:
    """Session time as the last turn, or the last answer of the broker, told it; it never goes back."""

    def __init__(self, now_ns: int = 0) -> None:
        """Start at ``now_ns``."""
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """Return the last time told, nanoseconds UTC."""
        return self._now_ns

    def tell(self, now_ns: int) -> None:
        """Move forward to ``now_ns``; an older time is ignored."""
        self._now_ns = max(self._now_ns, now_ns)
