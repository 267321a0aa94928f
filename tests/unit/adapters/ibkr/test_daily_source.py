"""Daily history from the broker: what is asked, how days are counted, and what its error codes mean for a fetch."""

import asyncio
import datetime as dt

import pytest

from walstreet.adapters.ibkr.daily_source import BrokerHistory, daily_bar, named, weekdays
from walstreet.adapters.ibkr.errors import BrokerLostError, BrokerRefusedError, BrokerTimeoutError
from walstreet.adapters.ibkr.history_request import duration_text
from walstreet.adapters.ibkr.numbers import time_ns
from walstreet.domain.daily_series import day_number
from walstreet.domain.observations import HistoryBar

MONDAY = day_number(dt.date(2024, 3, 11))
NOW_NS = time_ns("20240315-20:30:00")


def bar(text, close=100):
    """Return a broker's daily bar."""
    nano = close * 10**9
    return HistoryBar(
        start_ns=time_ns(text),
        open_nano=nano,
        high_nano=nano + 10**9,
        low_nano=nano - 10**9,
        close_nano=nano,
        volume_micro=5_000_000,
        vwap_nano=nano,
        trade_count=3,
    )


class ScriptedBroker:
    """The part of the ``Broker`` port that history needs."""

    def __init__(self, bars=(), failure=None):
        self.bars, self.failure = bars, failure
        self.connected = False
        self.asked = []

    async def connect(self):
        """Connect."""
        self.connected = True

    async def server_time_ns(self):
        """Return a Friday afternoon."""
        return NOW_NS

    async def instruments(self, symbols):
        """Qualify."""
        self.asked.append(("instruments", tuple(symbols)))
        return ()

    async def history(self, symbol, **options):
        """Return the scripted bars, or fail."""
        self.asked.append((symbol, options))
        if self.failure is not None:
            raise self.failure
        return tuple(self.bars)


def test_raw_bars_end_at_midnight_and_are_cut_to_the_asked_days() -> None:
    """A broker that sends a day more is not believed that it was asked for."""
    broker = ScriptedBroker([bar("20240308"), bar("20240311"), bar("20240312"), bar("20240313")])
    history = BrokerHistory(broker, name="ibkr")
    found = asyncio.run(history.raw("SPY", MONDAY, MONDAY + 1, growing=False))
    assert [b.day for b in found] == [MONDAY, MONDAY + 1]
    assert (found[0].close, found[0].volume) == (100.0, 5)
    assert broker.asked[0] == ("instruments", ("SPY",))
    _, options = broker.asked[1]
    assert options["end_ns"] == time_ns("20240313")
    assert (options["days"], options["what"], options["growing"]) == (2, "TRADES", False)
    asyncio.run(history.raw("SPY", MONDAY, MONDAY + 1, growing=True))
    assert len([1 for name, _ in broker.asked if name == "instruments"]) == 1


def test_the_adjusted_series_is_asked_for_whole_and_until_now() -> None:
    """The broker refuses an end for it."""
    broker = ScriptedBroker([bar("20240311"), bar("20240315")])
    found = asyncio.run(BrokerHistory(broker, name="ibkr").adjusted("SPY", MONDAY))
    assert [b.day for b in found] == [MONDAY, MONDAY + 4]
    _, options = broker.asked[-1]
    assert (options["what"], options["growing"], options["days"]) == ("ADJUSTED_LAST", True, 5)


@pytest.mark.parametrize(
    ("error", "reason", "words"),
    [
        (BrokerRefusedError("HMDS query returned no data: SPY@SMART", code=162), "no_data", "no data"),
        (BrokerRefusedError("Historical data request pacing violation", code=162), "pacing", "pacing"),
        (BrokerRefusedError("connected from a different IP address", code=162), "permission", "log that one out"),
        (BrokerRefusedError("No market data permissions for NYSE", code=162), "permission", "subscribe"),
        (BrokerRefusedError("No security definition", code=200), "unknown_symbol", "mend the universe"),
        (BrokerRefusedError("instruments cannot be qualified: X (broker code 200)"), "unknown_symbol", "qualified"),
        (BrokerRefusedError("Error validating request", code=321), "refused", "ibkr.timeframe"),
        (BrokerRefusedError("No historical data query found", code=366), "unavailable", "asked again"),
        (BrokerRefusedError("not subscribed", code=354), "permission", "ibkr.market_mode"),
        (BrokerTimeoutError("no answer within 60 s"), "unavailable", "no answer"),
        (BrokerLostError("cut off"), "unavailable", "cut off"),
    ],
)
def test_failures_have_a_reason_and_a_remedy(error, reason: str, words: str) -> None:
    """What passes with time is asked again, what the operator must mend says how."""
    history = BrokerHistory(ScriptedBroker(failure=error), name="ibkr")
    found = named(error, "SPY")
    assert (found.reason, words in str(found)) == (reason, True)
    with pytest.raises(type(found), match="SPY"):
        asyncio.run(history.raw("SPY", MONDAY, MONDAY, growing=False))


@pytest.mark.parametrize(("length", "count"), [(1, 1), (5, 5), (6, 5), (7, 5), (8, 6), (365, 261), (0, 1)])
def test_weekdays_are_no_fewer_than_sessions(length: int, count: int) -> None:
    """From a Monday on; holidays only make it fewer."""
    assert weekdays(MONDAY, MONDAY + length - 1) == count


@pytest.mark.parametrize(("days", "text"), [(1, "1 D"), (365, "365 D"), (366, "3 Y"), (2_500, "11 Y"), (9_750, "40 Y")])
def test_long_spans_are_whole_years(days: int, text: str) -> None:
    """The broker takes at most 365 days as days; years reach at least as far back."""
    assert duration_text(days, 86_400) == text


@pytest.mark.parametrize(("days", "seconds"), [(0, 86_400), (366, 60), (9_751, 86_400), (5, 61)])
def test_impossible_spans_are_refused(days: int, seconds: int) -> None:
    """The text names what is allowed."""
    with pytest.raises(BrokerRefusedError, match="allowed are"):
        duration_text(days, seconds)


def test_a_bar_of_midnight_and_of_the_open_are_the_same_day() -> None:
    """Gateways write daily bars as dates, the simulator's past may carry the open."""
    assert daily_bar(bar("20240311")).day == daily_bar(bar("20240311-13:30:00")).day == MONDAY
