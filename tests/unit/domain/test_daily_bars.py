"""Owns the tests of daily_bars: complete days, today from its minutes, and what the strategy reads from the block."""

from __future__ import annotations

import numpy as np

from walstreet.domain.daily_bars import daily_block, date_of_ns, indicator_table
from walstreet.domain.gateway_parameters import SessionPlan
from walstreet.domain.observations import DailyBarsObserved, HistoryBar
from walstreet.domain.units import DAY_NS, MINUTE_NS
from walstreet_events import PRICE_SCALE

OPEN_NS = 1_764_599_400_000_000_000
"""2025-12-01 9:30 in New York."""
PLAN = SessionPlan(
    session_date="2025-12-01",
    open_ns=OPEN_NS,
    close_ns=OPEN_NS + 390 * MINUTE_NS,
    symbols=("A", "B"),
    market="live",
)
NOW_NS = PLAN.close_ns - 5 * MINUTE_NS


def bar(start_ns: int, price: float, *, volume: int = 1) -> HistoryBar:
    """Return a bar around a price."""
    nano = round(price * PRICE_SCALE)
    return HistoryBar(
        start_ns=start_ns,
        open_nano=nano,
        high_nano=nano + PRICE_SCALE,
        low_nano=nano - PRICE_SCALE,
        close_nano=nano,
        volume_micro=volume,
        vwap_nano=nano,
        trade_count=1,
    )


def observed(**minutes: list[HistoryBar]) -> DailyBarsObserved:
    """Return three days of A and two of B, today's growing bar among them, and the minutes given."""
    day = OPEN_NS - DAY_NS
    return DailyBarsObserved(
        ts_ns=NOW_NS,
        what="ADJUSTED_LAST",
        daily={
            "A": (bar(day - DAY_NS, 10), bar(day, 11), bar(OPEN_NS, 99)),
            "B": (bar(day, 21),),
        },
        minutes={symbol: tuple(bars) for symbol, bars in minutes.items()},
    )


def test_today_is_made_of_its_minutes() -> None:
    """The last row has the first open, the extremes and the last close; the broker's own growing day is not taken."""
    minutes = [bar(OPEN_NS, 12), bar(OPEN_NS + MINUTE_NS, 15), bar(OPEN_NS + 2 * MINUTE_NS, 13)]
    block = daily_block(observed(A=minutes), PLAN, PLAN.symbols, days=250)
    assert block.dates == ("2025-11-29", "2025-11-30", "2025-12-01")
    column = [getattr(block, f"{name}_nano").array()[-1, 0] / PRICE_SCALE for name in ("open", "high", "low", "close")]
    assert column == [12, 16, 11, 13]
    assert block.provisional_end_ns == OPEN_NS + 3 * MINUTE_NS


def test_what_is_missing_is_zero_and_then_nan() -> None:
    """A symbol without a bar on a day, or without a trade today, has none; the strategy sees NaN."""
    block = daily_block(observed(A=[bar(OPEN_NS, 12)]), PLAN, PLAN.symbols, days=250)
    table = indicator_table(block, ("B", "A", "Z"))
    assert np.isnan(table.close[:, 0]).tolist() == [True, False, True]
    assert np.isnan(table.close[:, 1]).tolist() == [False, False, False]
    assert np.isnan(table.close[:, 2]).all()


def test_unfinished_and_empty_minutes_are_left_out() -> None:
    """A minute that has not ended, one before the open and one without a trade say nothing of today."""
    minutes = [bar(OPEN_NS - MINUTE_NS, 1), bar(OPEN_NS, 2, volume=0), bar(NOW_NS, 3)]
    block = daily_block(observed(A=minutes), PLAN, PLAN.symbols, days=250)
    assert block.close_nano.array()[-1].tolist() == [0, 0]
    assert block.provisional_end_ns == 0


def test_the_number_of_days_is_bounded() -> None:
    """Only the newest days are kept, and today comes besides."""
    block = daily_block(observed(A=[bar(OPEN_NS, 12)]), PLAN, PLAN.symbols, days=1)
    assert block.dates == ("2025-11-30", "2025-12-01")


def test_the_block_is_a_function_of_the_answer() -> None:
    """The same answer gives the same block, whose id is the session's."""
    answer = observed(A=[bar(OPEN_NS, 12)])
    assert daily_block(answer, PLAN, PLAN.symbols, days=9) == daily_block(answer, PLAN, PLAN.symbols, days=9)


def test_midnight_and_open_in_new_york_are_the_same_day() -> None:
    """Brokers date a day by midnight, simulators by the open."""
    assert date_of_ns(OPEN_NS) == date_of_ns(OPEN_NS - 9 * 60 * MINUTE_NS) == "2025-12-01"
