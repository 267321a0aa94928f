"""Owns the tests of what execution remembers of the market from bars: typical volume, volatility, sessions and lows."""

from __future__ import annotations

import math

import pytest

from walstreet.domain.execution_market import RETURNS_MIN, SymbolMarket, fold_bars, note_prior
from walstreet.domain.short_sale_rule import SsrState
from walstreet.testing.execution_world import DAY_S, DOLLAR, OPEN_NS, SHARE, SYMBOL, S, bar, prior
from walstreet_events import PriorSession

CLOSE_NS = OPEN_NS + 600 * S
FALL_BPS = 1_000.0


def folded(
    *specs: tuple[int, int, float, float, int],
    close_ns: int = CLOSE_NS,
    priors: dict[str, PriorSession] | None = None,
) -> SymbolMarket:
    """Return the memory after bars given as (day, minute, close, low, shares); day 0 is live, others are warm-up."""
    markets: dict[str, SymbolMarket] = {}
    for day, minute, close, low, shares in specs:
        end_ns = OPEN_NS + day * DAY_S * S + minute * 60 * S
        block = bar(end_ns, close=close, low=low, shares=shares, warmup=day < 0)
        closes = {SYMBOL: 100 * DOLLAR}
        fold_bars(markets, block, close_ns=close_ns, prior_closes_nano=closes, priors=priors or {}, fall_bps=FALL_BPS)
    return markets[SYMBOL]


def test_typical_volume_is_that_of_the_same_minutes_of_earlier_sessions() -> None:
    """The mean over both days and five minutes about now, today's own bars left out."""
    past = [(day, minute, 100.0, 100.0, 100 * minute) for day in (-2, -1) for minute in range(1, 9)]
    market = folded(*past, *((0, minute, 100.0, 100.0, 9_999) for minute in range(1, 5)))
    assert market.volume_micro == 9_999 * SHARE
    # The fourth minute's neighbours are the second to the sixth: 200 ... 600.
    assert market.volume_typical_micro == 400 * SHARE
    assert folded((0, 1, 100.0, 100.0, 5)).volume_typical_micro is None


def test_volatility_is_that_of_five_minutes_without_the_night() -> None:
    """Alternating returns of one basis point give sqrt(5); a jump overnight is no return, too few are unknown."""
    closes = [100.0 if minute % 2 else 100.01 for minute in range(1, 12)]
    market = folded(*((0, minute, close, close, 1) for minute, close in enumerate(closes, 1)))
    assert market.sigma_5m_bps == pytest.approx(math.sqrt(5.0), rel=1e-3)
    jumped = folded((-1, 1, 50.0, 50.0, 1), *((0, minute, 100.0, 100.0, 1) for minute in range(1, RETURNS_MIN + 2)))
    assert jumped.sigma_5m_bps == 0.0
    assert folded(*((0, minute, 100.0, 100.0, 1) for minute in range(1, RETURNS_MIN + 1))).sigma_5m_bps is None


def test_bars_that_come_again_or_late_change_nothing() -> None:
    """A restart asks for the warm-up again; only what is newer counts."""
    once = [(-1, 1, 100.0, 100.0, 7), (-1, 2, 101.0, 101.0, 9)]
    assert folded(*once, *once) == folded(*once)


def test_the_rule_is_known_after_two_sessions_of_history() -> None:
    """Calm, fallen before, and not known: by the low of the session before and the close before that."""
    calm = [(-2, 1, 100.0, 100.0, 1), (-1, 1, 99.0, 90.01, 1), (0, 1, 99.0, 99.0, 1)]
    assert folded(*calm).rule.state is SsrState.CLEAR
    fallen = [(-2, 1, 100.0, 100.0, 1), (-1, 1, 99.0, 90.0, 1), (0, 1, 99.0, 99.0, 1)]
    assert folded(*fallen).rule.state is SsrState.CARRIED
    assert folded(*calm[1:]).rule.state is SsrState.UNKNOWN
    assert folded(*calm, (0, 2, 99.0, 90.0, 1)).rule.state is SsrState.TRIGGERED


def test_a_session_that_was_not_watched_to_its_end_leaves_the_next_one_unknown() -> None:
    """Live bars that stop before the close prove no calm; bars to the close do."""
    first = [(-2, 1, 100.0, 100.0, 1), (-1, 1, 100.0, 100.0, 1), (0, 1, 100.0, 100.0, 1)]
    following = (1, 1, 100.0, 100.0, 1)
    assert folded(*first, following).rule.state is SsrState.UNKNOWN
    assert folded(*first, (0, 10, 100.0, 100.0, 1), following).rule.state is SsrState.CLEAR


def test_daily_bars_make_the_rule_known_without_any_history() -> None:
    """Calm or fallen, told before the first bar or after it; daily bars of another session say nothing."""
    today = (0, 1, 99.0, 99.0, 1)
    assert folded(today).rule.state is SsrState.UNKNOWN
    assert folded(today, priors={SYMBOL: prior(low=90.01)}).rule.state is SsrState.CLEAR
    assert folded(today, priors={SYMBOL: prior(low=90.0)}).rule.state is SsrState.CARRIED
    assert folded(today, priors={SYMBOL: prior(low=90.01, date="1970-01-11")}).rule.state is SsrState.UNKNOWN
    late = folded(today)
    note_prior(late, prior(low=90.01), FALL_BPS)
    assert late.rule.state is SsrState.CLEAR
    note_prior(late, prior(low=0.0), FALL_BPS)
    assert late.rule.state is SsrState.CLEAR
