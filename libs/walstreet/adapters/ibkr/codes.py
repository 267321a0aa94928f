"""Owns the meaning of the broker's message codes for link, farms and requests, as data.

What a code means for an order stands in ``walstreet.domain.order_codes``.
"""

from __future__ import annotations

LINK_DOWN: dict[int, str] = {
    1100: "connectivity between gateway and broker lost",
    1300: "the gateway's socket port was reset",
    2110: "connectivity between gateway and server broken",
}
LINK_UP: dict[int, bool] = {1101: True, 1102: False}
"""Link restored; the value says whether subscriptions were lost."""
FARM_HEALTH: dict[int, bool] = {
    2103: False,
    2104: True,
    2105: False,
    2106: True,
    2107: True,
    2108: True,
    2119: True,
    2157: False,
    2158: True,
}
"""Data farms; *inactive but available on demand* (2107, 2108) is healthy."""
NO_DATA = (10197,)
"""Without a request: no market data come, because somebody else uses the log-in's. The first tick disproves it."""
DELAYED_INSTEAD = (10090, 10091, 10167, 10168, 10186)
"""A subscription gets delayed data, or none, for want of a live one."""
REFUSES_CONNECTION = (326, 501, 502, 503, 504, 505, 506, 507)
WARNING_FIRST = 2100
WARNING_LAST = 2199


def is_warning(code: int) -> bool:
    """Return whether a code on a request leaves the request alive."""
    return WARNING_FIRST <= code <= WARNING_LAST or code in DELAYED_INSTEAD or code == 165


def farm_of(text: str) -> str:
    """Return the farm's name from a notice such as ``Market data farm connection is OK:usfarm``."""
    _, colon, name = text.rpartition(":")
    return name.strip() if colon and name.strip() else "unknown"
