"""Owns the only place that reads the machine's clock."""

from __future__ import annotations

import time


class WallClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Return nanoseconds UTC."""
        return time.time_ns()
