"""Owns the tests of the matching engine's single cases; its laws are under tests/property."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from walstreet_services.ibsim import matching
from walstreet_services.ibsim.market_errors import MarketRequestError
from walstreet_services.ibsim.matching import MatchingParameters, QueueMatching
from walstreet_services.ibsim.model import Instrument, MarketStep, Match, RestingOrder, Session, Side

SECOND_NS = 10**9
SHARE_MICRO = 10**6
TICK_NANO = 10_000_000
OPEN_NS = 1_000 * SECOND_NS
SESSION = Session(date=date(2024, 3, 6), open_ns=OPEN_NS, close_ns=OPEN_NS + 100 * SECOND_NS)
INSTRUMENT = Instrument(
    con_id=1,
    symbol="TEST",
    long_name="TEST",
    primary_exchange="NYSE",
    stock_type="COMMON",
    sector="Unknown",
    min_tick_nano=TICK_NANO,
    lot_size=100,
    prior_close_nano=0,
    average_daily_volume_micro=0,
    shares_outstanding=0,
)


def step(
    second: int,
    bid: int = 1_000,
    ask: int = 1_002,
    *,
    bid_size: int = 300,
    ask_size: int = 300,
    trade: tuple[int, int, int] = (0, 0, 0),
) -> MarketStep:
    """Build a step of one instrument in ticks and shares; ``trade`` is price, size and side."""
    price, size, side = trade

    def column(value: int) -> np.ndarray:
        return np.array([value], dtype=np.int64)

    return MarketStep(
        ts_ns=OPEN_NS + second * SECOND_NS,
        bid_nano=column(bid * TICK_NANO),
        ask_nano=column(ask * TICK_NANO),
        bid_size_micro=column(bid_size * SHARE_MICRO),
        ask_size_micro=column(ask_size * SHARE_MICRO),
        trade_nano=column(price * TICK_NANO),
        trade_size_micro=column(size * SHARE_MICRO),
        trade_side=column(side),
        volume_micro=column(size * SHARE_MICRO),
    )


def order(quantity: int, limit: int | None, *, side: Side = Side.BUY, key: int = 1, second: int = 0) -> RestingOrder:
    """Build an order in shares and ticks."""
    return RestingOrder(
        key=key,
        instrument_index=0,
        side=side,
        remaining_micro=quantity * SHARE_MICRO,
        limit_nano=None if limit is None else limit * TICK_NANO,
        active_from_ns=OPEN_NS + second * SECOND_NS,
        arrived_ns=OPEN_NS + second * SECOND_NS,
    )


def engine(**parameters: int) -> QueueMatching:
    """Build an engine with full participation unless told otherwise."""
    return QueueMatching([INSTRUMENT], SESSION, MatchingParameters(**{"participation_ppm": 1_000_000, **parameters}))


def in_shares(matches: list[Match]) -> list[tuple[int, int, bool]]:
    """Return (price in ticks, shares, passive) of each match."""
    return [(match.price_nano // TICK_NANO, match.quantity_micro // SHARE_MICRO, match.passive) for match in matches]


def test_a_market_order_takes_the_touch_then_walks() -> None:
    """Each further displayed size costs one tick more, up to the number of levels; the rest waits."""
    book = engine(impact_levels_max=2)
    assert in_shares(book.match(step(1), [order(1_000, None)])) == [
        (1_002, 300, False),
        (1_003, 300, False),
        (1_004, 300, False),
    ]
    assert in_shares(book.match(step(2), [order(100, None)])) == [(1_002, 100, False)]


def test_a_sell_mirrors_a_buy() -> None:
    """Sells take the bid and walk down."""
    assert in_shares(engine().match(step(1), [order(500, None, side=Side.SELL)])) == [
        (1_000, 300, False),
        (999, 200, False),
    ]


def test_a_limit_stops_the_walk_and_the_rest_rests_at_the_limit() -> None:
    """What is left after the limit is reached waits passively, with nobody ahead at a price better than the bid."""
    book = engine()
    assert in_shares(book.match(step(1), [order(1_000, 1_003)])) == [(1_002, 300, False), (1_003, 300, False)]
    rest = replace(order(1_000, 1_003), remaining_micro=400 * SHARE_MICRO)
    assert in_shares(book.match(step(2, 1_002, 1_004), [rest])) == []
    hit = step(3, 1_003, 1_005, trade=(1_003, 150, -1))
    assert in_shares(book.match(hit, [rest])) == [(1_003, 150, True)]


def test_own_orders_share_the_book_by_price_then_time() -> None:
    """The better limit eats first, although it is listed last; answers keep the order of the list."""
    orders = [order(300, 1_002, key=1), order(300, 1_005, key=2, second=1)]
    matches = engine().match(step(1), orders)
    assert [(match.key, match.price_nano // TICK_NANO) for match in matches] == [(2, 1_002)]
    roomy = [order(300, 1_003, key=1), order(300, 1_005, key=2, second=1)]
    matches = engine().match(step(1), roomy)
    assert [(match.key, match.price_nano // TICK_NANO) for match in matches] == [(1, 1_003), (2, 1_002)]


def test_a_joining_order_waits_for_the_queue_ahead() -> None:
    """Three hundred displayed shares trade first, then the order gets its turn."""
    book = engine()
    resting = order(100, 1_000)
    assert in_shares(book.match(step(1), [resting])) == []
    assert in_shares(book.match(step(2, trade=(1_000, 200, -1)), [resting])) == []
    assert in_shares(book.match(step(3, trade=(1_000, 150, -1)), [resting])) == [(1_000, 50, True)]


def test_resting_orders_get_their_share_of_a_print_at_their_price_together() -> None:
    """A fifth of the print is for all own orders of the instrument, the earlier one first."""
    book = engine(participation_ppm=200_000, queue_ahead_ppm=0)
    orders = [order(150, 1_000, key=2, second=1), order(150, 1_000, key=1)]
    book.match(step(1), orders)
    matches = book.match(step(2, trade=(1_000, 1_000, -1)), orders)
    assert [(match.key, match.quantity_micro // SHARE_MICRO) for match in matches] == [(2, 50), (1, 150)]


def test_prints_at_the_ask_do_not_hit_a_bid() -> None:
    """A buyer-initiated print at the order's price does not shorten its queue."""
    book = engine(queue_ahead_ppm=0)
    resting = order(100, 1_000)
    book.match(step(1), [resting])
    assert in_shares(book.match(step(2, trade=(1_000, 500, 1)), [resting])) == []
    assert in_shares(book.match(step(3, trade=(1_000, 500, 0)), [resting])) == [(1_000, 100, True)]


def test_a_print_through_the_price_fills_at_the_limit() -> None:
    """When trades happen below a bid, the bid was hit first, at its own price and for its share only."""
    book = engine(participation_ppm=200_000)
    resting = order(1_000, 1_000)
    book.match(step(1), [resting])
    through = step(2, 998, 1_001, trade=(998, 600, -1))
    assert in_shares(book.match(through, [resting])) == [(1_000, 120, True)]


def test_a_quote_that_crosses_a_resting_order_fills_it_at_its_limit() -> None:
    """The ask falls to the bid's price without a print: the displayed size trades with the order."""
    book = engine()
    resting = order(1_000, 1_000)
    book.match(step(1), [resting])
    assert in_shares(book.match(step(2, 997, 999), [resting])) == [(1_000, 300, True)]


def test_own_orders_that_are_crossed_share_the_displayed_size() -> None:
    """Three hundred displayed shares fill the earlier order first, and the later one with what is left."""
    book = engine()
    orders = [order(200, 1_000, key=1), order(200, 1_000, key=2, second=1)]
    book.match(step(1), orders)
    matches = book.match(step(2, 997, 999), orders)
    assert [(match.key, match.quantity_micro // SHARE_MICRO) for match in matches] == [(1, 200), (2, 100)]


def test_a_better_price_stands_before_the_displayed_queue() -> None:
    """An order inside the spread is first in line, and partial prints fill it partially."""
    book = engine()
    resting = order(100, 1_001)
    book.match(step(1), [resting])
    inside = step(2, 1_000, 1_002, trade=(1_001, 40, -1))
    assert in_shares(book.match(inside, [resting])) == [(1_001, 40, True)]


def test_an_order_behind_the_touch_joins_when_the_quote_comes_to_it() -> None:
    """Its queue is what is displayed at its price then."""
    book = engine()
    resting = order(100, 998)
    book.match(step(1), [resting])
    book.match(step(2, 998, 1_000, bid_size=500), [resting])
    assert in_shares(book.match(step(3, 998, 1_000, trade=(998, 450, -1)), [resting])) == []
    assert in_shares(book.match(step(4, 998, 1_000, trade=(998, 100, -1)), [resting])) == [(998, 50, True)]


def test_a_changed_price_loses_its_place() -> None:
    """After a change the order queues again, behind the displayed size."""
    book = engine()
    book.match(step(1), [order(100, 1_000)])
    book.match(step(2, trade=(1_000, 290, -1)), [order(100, 1_000)])
    changed = order(100, 1_000, second=2)
    book.match(step(3), [changed])
    assert in_shares(book.match(step(4, trade=(1_000, 290, -1)), [changed])) == []


def test_forgetting_an_order_forgets_its_place() -> None:
    """The same key met again is a new arrival; unknown keys are no fault."""
    book = engine()
    resting = order(100, 1_000)
    book.match(step(1), [resting])
    book.match(step(2, trade=(1_000, 300, -1)), [resting])
    book.forget(1)
    book.forget(99)
    assert in_shares(book.match(step(3, trade=(1_000, 200, -1)), [resting])) == []
    assert in_shares(book.match(step(4, trade=(1_000, 200, -1)), [resting])) == []


def test_latency_keeps_an_order_out_of_earlier_steps() -> None:
    """A step that ends before the order is active passes it by; one that ends at that instant does not."""
    late = order(100, None, second=3)
    book = engine()
    assert book.match(step(2), [late]) == []
    assert in_shares(book.match(step(3), [late])) == [(1_002, 100, False)]


@pytest.mark.parametrize(
    "silent", [step(1, 0, 0), step(1, 1_000, 0), step(0), step(101)], ids=["none", "no ask", "open", "closed"]
)
def test_without_a_quote_or_outside_the_session_nothing_trades(silent: MarketStep) -> None:
    """No quote, the instant of the open and everything after the close give no fill."""
    assert list(engine().match(silent, [order(100, None)])) == []


def test_the_last_step_of_the_session_still_trades() -> None:
    """A step that ends with the close belongs to the session."""
    assert in_shares(engine().match(step(100), [order(100, None)])) == [(1_002, 100, False)]


def test_fractional_orders_complete() -> None:
    """Half a share is filled as half a share."""
    half = replace(order(1, None), remaining_micro=500_000)
    assert [match.quantity_micro for match in engine().match(step(1), [half])] == [500_000]


@pytest.mark.parametrize(
    "parameters",
    [
        {"queue_ahead_ppm": -1},
        {"participation_ppm": 1_000_001},
        {"impact_ticks_per_level": 0},
        {"impact_levels_max": 1_000},
    ],
)
def test_parameters_out_of_range_are_refused(parameters: dict[str, int]) -> None:
    """The message names the parameter."""
    with pytest.raises(MarketRequestError, match=next(iter(parameters))):
        MatchingParameters(**parameters)


def test_orders_that_are_never_forgotten_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the engine says what its owner failed to do."""
    monkeypatch.setattr(matching, "QUEUE_STATES_MAX", 3)
    book = engine()
    with pytest.raises(MarketRequestError, match="call forget"):
        book.match(step(1), [order(100, 1_000, key=key) for key in range(4)])
