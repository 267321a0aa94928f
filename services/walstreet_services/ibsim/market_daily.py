"""Owns the daily bars of a synthetic market's far past: the same world as its minutes, made only when asked for."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from walstreet_services.ibsim.calendar_xnys import sessions_between
from walstreet_services.ibsim.market_errors import MarketRequestError
from walstreet_services.ibsim.market_path import MICRO_SHARES_PER_SHARE
from walstreet_services.ibsim.market_world import (
    MARKET_VOLATILITY,
    SECTOR_VOLATILITY,
    factor_moves,
    lead_in,
    symbol_world,
)
from walstreet_services.ibsim.model import Bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from walstreet_services.ibsim.market_path import MinuteBars
    from walstreet_services.ibsim.market_symbols import SymbolSpec
    from walstreet_services.ibsim.market_world import Moves
    from walstreet_services.ibsim.model import Session

DAILY_YEARS_MAX = 30
FIRST_DAY = date(1993, 1, 4)
"""The world needs a lead-in, and the calendar begins in 1990."""
BLOCK_YEARS = 4
"""Sessions are made in blocks: one block takes a fraction of a second, in which the simulator does nothing else."""


class DailyPast:
    """Daily bars before the sessions whose minutes can be asked for.

    Prices are those that the minutes of the day would have shown, so no day depends on from when it is looked at.
    """

    def __init__(self, seed: int, specs: Sequence[SymbolSpec], *, before: Session, years: int, drift: float) -> None:
        """Prepare the past of ``specs``; nothing is generated yet.

        Args:
            seed: The world's seed.
            specs: In the order of the instruments.
            before: The oldest session whose minutes the market has.
            years: How far back, 0 for no daily past at all.
            drift: From ``planted_drift``.

        Raises:
            MarketRequestError: ``years`` is out of range.
        """
        if not 0 <= years <= DAILY_YEARS_MAX:
            raise MarketRequestError(f"daily_years={years} is outside 0..{DAILY_YEARS_MAX}")
        self._seed, self._specs, self._drift = seed, tuple(specs), drift
        first = max(FIRST_DAY, date(before.date.year - years, 1, 1))
        self.sessions = tuple(s for s in sessions_between(first, before.date) if s.date < before.date) if years else ()
        self._factors: dict[tuple[str, int], Moves] = {}
        self._bars: dict[tuple[int, int], dict[date, Bar]] = {}

    def bar(self, index: int, session: Session) -> Bar | None:
        """Return the bar of an instrument's session, or None where the market had no print or the day is not past."""
        if not self.sessions or not self.sessions[0].date <= session.date <= self.sessions[-1].date:
            return None
        key = (index, session.date.year // BLOCK_YEARS)
        if key not in self._bars:
            self._bars[key] = self._block(*key)
        return self._bars[key].get(session.date)

    def _block(self, index: int, block: int) -> dict[date, Bar]:
        spec = self._specs[index]
        own = [session for session in self.sessions if session.date.year // BLOCK_YEARS == block]
        sessions = (*lead_in(own[0]), *own)
        world = symbol_world(
            self._seed,
            spec,
            sessions,
            detail=len(own),
            market=self._factor("market", MARKET_VOLATILITY, block, sessions),
            sector=self._factor(f"sector:{spec.sector}", SECTOR_VOLATILITY, block, sessions),
            drift=self._drift,
        )
        made = ((session, _daily(bars, session)) for session, bars in zip(own, world.bars, strict=True))
        return {session.date: bar for session, bar in made if bar is not None}

    def _factor(self, name: str, volatility: float, block: int, sessions: tuple[Session, ...]) -> Moves:
        key = (name, block)
        if key not in self._factors:
            self._factors[key] = factor_moves(self._seed, name, volatility, sessions)
        return self._factors[key]


def _daily(bars: MinuteBars, session: Session) -> Bar | None:
    """Return the day of minute bars; its weighted price is that of the minutes' closes, its prints the minutes."""
    rows = np.flatnonzero(bars.present)
    if not len(rows):
        return None
    shares = bars.volume_shares[rows]
    volume = int(shares.sum())
    weighted = sum(price * size for price, size in zip(bars.close_nano[rows].tolist(), shares.tolist(), strict=True))
    return Bar(
        start_ns=session.open_ns,
        open_nano=int(bars.open_nano[rows[0]]),
        high_nano=int(bars.high_nano[rows].max()),
        low_nano=int(bars.low_nano[rows].min()),
        close_nano=int(bars.close_nano[rows[-1]]),
        volume_micro=volume * MICRO_SHARES_PER_SHARE,
        wap_nano=weighted // volume,
        count=len(rows),
    )
