"""Owns the count of day trades: a position opened and closed in one session, over the last five sessions.

Every change from opening to closing executions of a symbol within a session counts once, however many executions
either took: buy, buy, sell, sell is one day trade, buy, sell, buy, sell is two, and a sale of what was held overnight
followed by a purchase is none. Source: FINRA rule 4210(f)(8)(B).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

SESSIONS_COUNTED = 5
SYMBOLS_MAX = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DayTrades:
    """Day trades of the last sessions; a value."""

    session: str
    counts: tuple[tuple[str, int], ...] = ()
    """Session and its day trades, this one last; none older than the window."""
    opened_last: dict[str, bool] = field(default_factory=dict)
    """Per symbol traded in this session: whether its last execution opened."""

    @property
    def total(self) -> int:
        """Return the day trades of the window, this session included."""
        return sum(count for _, count in self.counts)


def begin_session(trades: DayTrades, session: str) -> DayTrades:
    """Return the count in ``session``; sessions without a trade must be begun too, because the window counts them.

    Raises:
        ValueError: The date runs backwards.
    """
    if session < trades.session:
        raise ValueError(f"day trades: session {session} cannot follow {trades.session}; dates must ascend")
    if session == trades.session:
        return trades
    known = trades.counts or ((trades.session, 0),)
    return DayTrades(session=session, counts=(*known, (session, 0))[-SESSIONS_COUNTED:])


def note_execution(trades: DayTrades, *, symbol: str, position_before_micro: int, signed_micro: int) -> DayTrades:
    """Return the count after an execution of ``signed_micro`` on a position; one through zero closes, then opens."""
    if signed_micro == 0:
        return trades
    closes = position_before_micro * signed_micro < 0
    opens = not closes or abs(signed_micro) > abs(position_before_micro)
    counts = trades.counts or ((trades.session, 0),)
    if closes and trades.opened_last.get(symbol, False):
        session, count = counts[-1]
        counts = (*counts[:-1], (session, count + 1))
    opened = {**trades.opened_last, symbol: opens}
    assert len(opened) <= SYMBOLS_MAX, f"{len(opened)} symbols traded in a session, at most {SYMBOLS_MAX} are possible"
    return replace(trades, counts=counts, opened_last=opened)
