"""Owns which symbols hold one of the broker's market-data lines, and their rotation where there are too few.

Symbols with a position or an order at work are *pinned*: they keep their line while others rotate. The rest share the
lines that remain: each keeps its own for ``dwell_s``, then the symbol that has waited longest takes over. The plan says
what to end first and what to begin then, so that there are never more than ``lines_max`` at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from walstreet.domain.bounds import require_between
from walstreet.domain.guard_verdict import nanos

LINES_MAX = 100
"""What an account without booster packs has."""
SYMBOLS_MAX = 5_000
"""Symbols that may share the lines; more come from a broken universe."""


class LineParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many lines there are and how long a symbol keeps one."""

    lines_max: int = LINES_MAX
    dwell_s: float = 30.0

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("market_lines", "lines_max", self.lines_max, 1, LINES_MAX)
        require_between("market_lines", "dwell_s", self.dwell_s, 0.0, 3_600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Who holds a line and since when, and when those without one last had theirs; a value."""

    held_ns: dict[str, int] = field(default_factory=dict)
    """Begin of the present line."""
    served_ns: dict[str, int] = field(default_factory=dict)
    """End of the last line of symbols that have none now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePlan:
    """What to do now, in this order: end, then begin."""

    lines: Lines
    """After the plan was carried out."""
    end: tuple[str, ...]
    begin: tuple[str, ...]
    waiting: tuple[str, ...]
    """Wanted and without a line."""
    unserved_pinned: tuple[str, ...]
    """Pinned and without a line: more are pinned than there are lines, which must be alerted."""


def plan_lines(
    lines: Lines, *, wanted: tuple[str, ...], pinned: frozenset[str], now_ns: int, parameters: LineParameters
) -> LinePlan:
    """Return who gets a line at ``now_ns``.

    Args:
        lines: As the last plan left them.
        wanted: Distinct symbols, the most important first; pinned ones that are not among them come before all.
        pinned: Symbols that must not lose their line.
        now_ns: Time of the plan; a time before that of a line counts as no time passed.
        parameters: Lines there are, and how long one is kept.

    Raises:
        ValueError: A symbol stands twice in ``wanted``, or there are too many.
    """
    order = (*sorted(pinned.difference(wanted)), *wanted)
    rank = {symbol: index for index, symbol in enumerate(order)}
    if len(rank) != len(order) or len(order) > SYMBOLS_MAX:
        raise ValueError(
            f"market lines: {len(order)} symbols wanted, {len(rank)} of them distinct; "
            f"all must be, and at most {SYMBOLS_MAX} are possible"
        )
    firm = [symbol for symbol in order if symbol in pinned]
    # A pinned symbol that holds a line goes before one that does not: nothing is won by exchanging them.
    firm.sort(key=lambda symbol: (symbol not in lines.held_ns, rank[symbol]))
    chosen = firm[: parameters.lines_max]
    room = parameters.lines_max - len(chosen)
    dwell_ns = nanos(parameters.dwell_s)
    others = [symbol for symbol in order if symbol not in pinned]
    fresh = [s for s in others if s in lines.held_ns and now_ns - lines.held_ns[s] < dwell_ns]
    due = [s for s in others if s in lines.held_ns and now_ns - lines.held_ns[s] >= dwell_ns]
    waiting = [s for s in others if s not in lines.held_ns]
    # Those that never had a line come first, then those that have been without one for longest.
    waiting.sort(key=lambda symbol: (lines.served_ns.get(symbol, -1), rank[symbol]))
    # Among lines of equal right the younger one stays: it has been served for a shorter time.
    fresh.sort(key=lambda symbol: (-lines.held_ns[symbol], rank[symbol]))
    due.sort(key=lambda symbol: (-lines.held_ns[symbol], rank[symbol]))
    chosen += [*fresh, *waiting, *due][:room]
    return _plan(lines, order, chosen, pinned=pinned, now_ns=now_ns)


def _plan(lines: Lines, order: tuple[str, ...], chosen: list[str], *, pinned: frozenset[str], now_ns: int) -> LinePlan:
    keep = dict.fromkeys(chosen)
    end = tuple(symbol for symbol in lines.held_ns if symbol not in keep)
    begin = tuple(symbol for symbol in chosen if symbol not in lines.held_ns)
    without = tuple(symbol for symbol in order if symbol not in keep)
    known = dict.fromkeys(order)
    served = {symbol: ns for symbol, ns in lines.served_ns.items() if symbol in known and symbol not in keep}
    served.update({symbol: now_ns for symbol in end if symbol in known})
    return LinePlan(
        lines=Lines(held_ns={symbol: lines.held_ns.get(symbol, now_ns) for symbol in chosen}, served_ns=served),
        end=end,
        begin=begin,
        waiting=without,
        unserved_pinned=tuple(symbol for symbol in without if symbol in pinned),
    )
