"""Owns the session clock: frozen, running at a multiple of wall time, or moved only by the playback.

The wall is read from a monotonic source that is handed in, so the clock never jumps with the host's time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class SessionClock:
    """Tells session time; it never runs backwards."""

    def __init__(self, start_ns: int, speed: float | None, wall_ns: Callable[[], int]) -> None:
        """Freeze the clock at ``start_ns``; ``speed`` None means that only ``advance`` moves it."""
        assert speed is None or speed > 0
        self._now_ns = start_ns
        self._speed = speed
        self._wall_ns = wall_ns
        self._anchor: tuple[int, int] | None = None
        self._limit_ns: int | None = None

    @property
    def granted(self) -> bool:
        """Return whether only the playback moves the clock."""
        return self._speed is None

    @property
    def running(self) -> bool:
        """Return whether wall time moves the clock now."""
        return self._anchor is not None

    def start(self) -> None:
        """Let wall time move the clock from now on; a granted clock stays still."""
        if self._speed is not None and self._anchor is None:
            self._anchor = (self._wall_ns(), self._now_ns)

    def hold_before(self, ts_ns: int | None) -> None:
        """Let the clock show no time from ``ts_ns`` on, until it is told otherwise; None takes the limit away.

        A client that is told a time may rely on having been told everything that happened before it, so the clock
        waits for a step that is due and not played yet.
        """
        self._limit_ns = ts_ns

    def due_ns(self) -> int:
        """Return how far wall time has come, for whoever decides what is to be played."""
        if self._anchor is None or self._speed is None:
            return self._now_ns
        wall_ns, session_ns = self._anchor
        return max(self._now_ns, session_ns + round((self._wall_ns() - wall_ns) * self._speed))

    def now_ns(self) -> int:
        """Return session time in nanoseconds UTC."""
        due_ns = self.due_ns()
        if self._limit_ns is not None:
            due_ns = min(due_ns, self._limit_ns - 1)
        self._now_ns = max(self._now_ns, due_ns)
        return self._now_ns

    def advance(self, ts_ns: int) -> None:
        """Move a granted clock to ``ts_ns``; a clock that is ahead already stays where it is."""
        self._now_ns = max(self._now_ns, ts_ns)

    def wall_seconds_until(self, ts_ns: int) -> float:
        """Return how long wall time needs to bring a running clock to ``ts_ns``, at least zero."""
        assert self._speed is not None, "a granted clock reaches no instant by itself"
        assert self._anchor is not None, "a frozen clock reaches no instant"
        return max(0.0, (ts_ns - self.due_ns()) / self._speed / 1e9)
