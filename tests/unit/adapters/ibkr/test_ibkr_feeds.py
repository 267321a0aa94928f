"""Tests of what the broker's words about data mean: a line's refusal, a tick that disproves it, and mere notices."""

from __future__ import annotations

from walstreet.adapters.ibkr import ConnectOptions
from walstreet.adapters.ibkr.requests import REQUEST_ID_FIRST
from walstreet.adapters.ibkr.ticks import ON_THE_WAY_NS, TickBook
from walstreet.adapters.ibkr.wire import Wire
from walstreet.domain.observations import FeedObserved, Observation

LINE = REQUEST_ID_FIRST


class _Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.ns = 10 * ON_THE_WAY_NS

    def now_ns(self) -> int:
        return self.ns


class Bench:
    """A wire that takes raw fields, with two lines."""

    def __init__(self) -> None:
        """Open a line for SPY and one for QQQ."""
        self.seen: list[Observation] = []
        self.clock = _Clock()
        self.wire = Wire(ConnectOptions(), self.clock, self.seen.append)
        self.wire.ready = True
        for number, symbol in enumerate(("SPY", "QQQ")):
            self.wire.ticks.open(LINE + number, symbol)

    def error(self, subject: int, code: int) -> list[tuple[str, bool, int]]:
        """Take an error and return what was said of feeds."""
        self.seen.clear()
        self.wire.handlers()[4](["4", "2", str(subject), str(code), "text", ""])
        return self.feeds()

    def quote(self, number: int, price: str) -> list[tuple[str, bool, int]]:
        """Take a bid and an ask and return what was said of feeds."""
        self.seen.clear()
        for kind in ("1", "2"):
            self.wire.handlers()[1](["1", "6", str(LINE + number), kind, price, "100", "0"])
        return self.feeds()

    def feeds(self) -> list[tuple[str, bool, int]]:
        """Return feeds, health and codes in the order of their arrival."""
        return [(each.farm, each.healthy, each.code) for each in self.seen if isinstance(each, FeedObserved)]


async def test_a_tick_disproves_the_refusal_of_its_own_line() -> None:
    """The broker never says that a competing session is over; data that come do, once they cannot be older."""
    bench = Bench()
    assert bench.error(LINE, 10197) == [("subscription:SPY", False, 10197)]
    assert bench.quote(0, "100.00") == [], "it may have been on its way when the refusal was sent"
    bench.clock.ns += ON_THE_WAY_NS
    assert bench.quote(1, "50.00") == [], "another symbol's tick proves nothing"
    told = bench.quote(0, "100.01")
    assert ("subscription:SPY", True, 0) in told
    assert bench.quote(0, "100.02") == [], "it is told once"


async def test_the_loss_of_all_data_is_disproved_by_any_tick() -> None:
    """Without a request the code concerns every line."""
    bench = Bench()
    assert bench.error(-1, 10197) == [("gateway", False, 10197)]
    bench.clock.ns += ON_THE_WAY_NS
    assert ("gateway", True, 0) in bench.quote(1, "50.00")


async def test_a_code_that_nobody_knows_is_shown_and_breaks_no_feed() -> None:
    """A new notice of the broker must not hold the book at DEGRADED for the rest of the day."""
    bench = Bench()
    assert bench.error(-1, 12345) == [("notice:12345", True, 12345)]
    assert bench.error(LINE, 2169) == [("notice:2169", True, 2169)]


def test_a_doubt_concerns_its_line_or_all() -> None:
    """Where only a symbol is named the others stay proven."""
    book = TickBook(_Clock(), lambda _observation: None)
    book.open(1, "SPY")
    book.open(2, "QQQ")
    book.doubt("subscription:SPY")
    assert [book._lines[key].proven for key in ("1", "2")] == [False, True]
    book.doubt("gateway")
    assert [book._lines[key].proven for key in ("1", "2")] == [False, False]
