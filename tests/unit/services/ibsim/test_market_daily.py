"""The far past of a synthetic market: the same world as its minutes, complete, and nothing unless asked for."""

from datetime import date

import pytest

from walstreet_services.ibsim.calendar_xnys import sessions_between
from walstreet_services.ibsim.market_errors import MarketRequestError
from walstreet_services.ibsim.market_synthetic import SyntheticMarket

DAY = date(2024, 6, 12)
STEP_NS = 5 * 10**9


def market_of(**options):
    """Return a market of two symbols."""
    return SyntheticMarket(("SPY", "TLT"), seed=3, day=DAY, step_ns=STEP_NS, minutes=1, **options)


def daily(market, what="TRADES", index=0):
    """Return all daily bars before the played session."""
    return market.bars(index, start_ns=0, end_ns=market.session.open_ns, bar_seconds=86_400, what=what)


def test_the_past_has_every_session_and_the_prices_of_its_minutes() -> None:
    """A day looked at from afar is the day that its own minute bars would show, to the last share."""
    near, far = daily(market_of(history_sessions=30)), daily(market_of(history_sessions=4, daily_years=1))
    expected = [s.open_ns for s in sessions_between(date(2023, 1, 1), DAY) if s.date < DAY]
    assert [bar.start_ns for bar in far] == expected
    by_start = {bar.start_ns: bar for bar in far}
    for bar in near:
        other = by_start[bar.start_ns]
        for name in ("open_nano", "high_nano", "low_nano", "close_nano", "volume_micro"):
            assert getattr(other, name) == getattr(bar, name)


def test_nothing_is_adjusted_and_quotes_have_no_far_past() -> None:
    """Synthetic companies pay nothing; midpoints exist where minutes do."""
    market = market_of(history_sessions=4, daily_years=1)
    assert daily(market, "ADJUSTED_LAST", 1) == daily(market, "TRADES", 1)
    assert len(daily(market, "MIDPOINT")) == 4


def test_without_years_the_past_is_what_it_was() -> None:
    """A session's market keeps its few earlier sessions."""
    assert len(daily(market_of(history_sessions=4))) == 4


@pytest.mark.parametrize("years", [-1, 31])
def test_years_out_of_range_are_refused(years: int) -> None:
    """The calendar begins in 1990."""
    with pytest.raises(MarketRequestError, match="daily_years"):
        market_of(daily_years=years)
