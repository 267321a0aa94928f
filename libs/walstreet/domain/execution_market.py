"""Owns what execution remembers of the market from the bars on the TAPE: volumes, volatility, session lows.

The guards judge by execution's own arithmetic over the bars, not by the numbers that the decision was made of. Bars of
the warm-up give what is typical and what the sessions before were like. Sessions are told apart by the UTC date of
their bars, which no session of the exchange spans.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from walstreet.domain.short_sale_rule import Rule201, begin_session, end_session, note_history, note_low
from walstreet.domain.units import BPS, DAY_NS, MINUTE_NS, SESSION_MINUTES, SIGMA_BASE_MINUTES
from walstreet_events import BarBlock, PriorSession
from walstreet_events.market import BarFlag

RETURNS_KEPT = 30
"""Bars over which volatility is taken."""
RETURNS_MIN = 10
SLOTS_MAX = 2 * SESSION_MINUTES
"""Bars of a session whose typical volume is kept; more come from a broken calendar and are left out."""
SLOT_MARGIN = 2
"""Bars on either side that count as the same time of the session: one minute alone is mostly chance."""
DATE_NONE = ""

assert RETURNS_MIN <= RETURNS_KEPT


@dataclass(slots=True, kw_only=True)
class PastSession:
    """What is kept of a session that is over."""

    date: str
    low_nano: int
    close_nano: int


@dataclass(slots=True, kw_only=True)
class SymbolMarket:
    """One symbol's memory; a function of its bars."""

    date: str = DATE_NONE
    bar_end_ns: int = 0
    slot: int = -1
    """Number of the newest bar within its session."""
    whole: bool = False
    """The newest session's bars are the broker's history, which has no gaps."""
    low_nano: int = 0
    close_nano: int = 0
    volume_micro: int | None = None
    """Of the newest bar."""
    bar_ns: int = MINUTE_NS
    returns: list[float] = field(default_factory=list)
    volume_sum: dict[int, int] = field(default_factory=dict)
    """Per slot, over the sessions before the newest."""
    volume_count: dict[int, int] = field(default_factory=dict)
    volumes: dict[int, int] = field(default_factory=dict)
    """Of the newest session by slot."""
    past: list[PastSession] = field(default_factory=list)
    """The last two sessions, oldest first."""
    rule: Rule201 = field(default_factory=Rule201)

    @property
    def volume_typical_micro(self) -> int | None:
        """Return the mean volume of a bar at this time of earlier sessions, None without any."""
        near = range(self.slot - SLOT_MARGIN, self.slot + SLOT_MARGIN + 1)
        count = sum(self.volume_count.get(slot, 0) for slot in near)
        return sum(self.volume_sum.get(slot, 0) for slot in near) // count if count else None

    @property
    def sigma_5m_bps(self) -> float | None:
        """Return the volatility of five minutes in bps from the bars' returns about zero, None from too few."""
        if len(self.returns) < RETURNS_MIN:
            return None
        bars = SIGMA_BASE_MINUTES * MINUTE_NS / self.bar_ns
        return math.sqrt(bars * math.fsum(x * x for x in self.returns) / len(self.returns)) * BPS


def fold_bars(
    markets: dict[str, SymbolMarket],
    block: BarBlock,
    *,
    close_ns: int,
    prior_closes_nano: dict[str, int],
    priors: dict[str, PriorSession],
    fall_bps: float,
) -> None:
    """Fold the newest bars.

    Args:
        markets: Memory per symbol, updated in place.
        block: One bar of every symbol.
        close_ns: End of the newest session that is known, 0 without one.
        prior_closes_nano: Official prior closes of the session now traded; they go before what bars say.
        priors: What the broker's daily bars say of the session before the one now traded.
        fall_bps: Rule 201's fall below the prior close.
    """
    date = str(np.datetime64(block.ts_ns // DAY_NS, "D"))
    lows, closes = block.low_nano.array().tolist(), block.close_nano.array().tolist()
    volumes, flags = block.volume_micro.array().tolist(), block.flags.array().tolist()
    for index, symbol in enumerate(block.symbols):
        market = markets.setdefault(symbol, SymbolMarket())
        if block.ts_ns <= market.bar_end_ns or closes[index] <= 0:
            continue
        if date != market.date:
            prior_nano = 0 if block.warmup else prior_closes_nano.get(symbol, 0)
            _begin(market, date, prior_nano=prior_nano, close_ns=close_ns, fall_bps=fall_bps)
            if symbol in priors:
                note_prior(market, priors[symbol], fall_bps)
        elif market.close_nano > 0:
            market.returns.append(closes[index] / market.close_nano - 1.0)
            del market.returns[:-RETURNS_KEPT]
        traded = not flags[index] & BarFlag.EMPTY
        market.slot += 1
        market.bar_end_ns, market.bar_ns = block.ts_ns, block.bar_ns
        market.whole = block.warmup
        market.close_nano = closes[index]
        market.volume_micro = volumes[index]
        if market.slot < SLOTS_MAX:
            market.volumes[market.slot] = volumes[index]
        # An empty bar repeats the last close, which confirms that nothing lower was traded.
        low = lows[index] if traded else closes[index]
        market.low_nano = low if market.low_nano == 0 else min(market.low_nano, low)
        market.rule = note_low(market.rule, low_nano=low, ts_ns=block.ts_ns, fall_bps=fall_bps)


def note_prior(market: SymbolMarket, prior: PriorSession, fall_bps: float) -> None:
    """Take what the broker's daily bars say of the session before, if the memory is in the session that it precedes."""
    if market.date == prior.session_date:
        market.rule = note_history(
            market.rule,
            previous_low_nano=prior.low_nano,
            close_before_nano=prior.close_before_nano,
            fall_bps=fall_bps,
        )


def _begin(market: SymbolMarket, date: str, *, prior_nano: int, close_ns: int, fall_bps: float) -> None:
    """Put the newest session among the past ones and begin ``date``."""
    previous = market.date
    rule, whole = market.rule, market.whole or (close_ns > 0 and market.bar_end_ns >= close_ns)
    if previous != DATE_NONE:
        for slot, volume in market.volumes.items():
            market.volume_sum[slot] = market.volume_sum.get(slot, 0) + volume
            market.volume_count[slot] = market.volume_count.get(slot, 0) + 1
        market.past = [
            *market.past[-1:],
            PastSession(date=previous, low_nano=market.low_nano, close_nano=market.close_nano),
        ]
        if whole:
            rule = end_session(rule, low_nano=market.low_nano, ts_ns=market.bar_end_ns, fall_bps=fall_bps)
        prior_nano = prior_nano or market.close_nano
    rule = begin_session(
        rule, session=date, previous_session=previous, prior_close_nano=prior_nano or None, fall_bps=fall_bps
    )
    if whole and len(market.past) == 2:
        rule = note_history(
            rule,
            previous_low_nano=market.past[1].low_nano,
            close_before_nano=market.past[0].close_nano,
            fall_bps=fall_bps,
        )
    market.rule = rule
    market.date, market.slot, market.low_nano, market.close_nano = date, -1, 0, 0
    market.volumes, market.volume_micro = {}, None
