"""Owns how long to wait before the broker is called again: doubling, bounded, and spread so that nobody calls in step.

After a nightly restart every client of a gateway comes back at once; the spread keeps our connections apart.
"""

from __future__ import annotations

import msgspec

from walstreet.domain.bounds import require_between, require_ordered

DOUBLINGS_MAX = 32
"""Beyond it the longest wait is reached for certain; larger powers are not computed."""


class ReconnectParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to call again."""

    first_s: float = 1.0
    """Wait after the first failure; every further one doubles it."""
    longest_s: float = 60.0
    jitter_share: float = 0.2
    """A wait is spread evenly over this share of itself, half below and half above; 0 keeps it exact."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("reconnect", "first_s", self.first_s, 0.05, 60.0)
        require_between("reconnect", "longest_s", self.longest_s, 0.05, 3_600.0)
        require_between("reconnect", "jitter_share", self.jitter_share, 0.0, 1.0)
        require_ordered("reconnect", ("first_s", self.first_s), ("longest_s", self.longest_s))


def wait_s(failures: int, draw: float, parameters: ReconnectParameters) -> float:
    """Return the seconds to wait after ``failures`` attempts in a row: ``min(longest, first * 2^(n-1)) * spread``.

    Args:
        failures: At least 1.
        draw: Uniform in [0, 1); the randomness is the caller's.
        parameters: First and longest wait, and the spread, which is ``1 + jitter * (draw - 1/2)``.

    Raises:
        ValueError: No failure yet, or a draw outside its range.
    """
    if failures < 1 or not 0.0 <= draw < 1.0:
        raise ValueError(f"reconnect: {failures} failures and a draw of {draw}; need at least 1, and a draw in [0, 1)")
    doubled = parameters.first_s * 2.0 ** min(failures - 1, DOUBLINGS_MAX)
    return min(parameters.longest_s, doubled) * (1.0 + parameters.jitter_share * (draw - 0.5))
