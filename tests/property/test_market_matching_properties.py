"""Owns the laws of matching: whatever the steps and orders, no fill is too good, too large or out of place."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import date

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet_services.ibsim.market_reference import MIN_TICK_NANO
from walstreet_services.ibsim.matching import MatchingParameters, QueueMatching
from walstreet_services.ibsim.model import Instrument, MarketStep, Match, RestingOrder, Session, Side

SHARE_MICRO = 1_000_000
SECOND_NS = 1_000_000_000
SESSION = Session(date=date(2024, 3, 6), open_ns=1_000 * SECOND_NS, close_ns=1_010 * SECOND_NS)
INSTRUMENTS = tuple(
    Instrument(
        con_id=number,
        symbol=f"S{number}",
        long_name="TEST",
        primary_exchange="NYSE",
        stock_type="COMMON",
        sector="Unknown",
        min_tick_nano=MIN_TICK_NANO,
        lot_size=100,
        prior_close_nano=0,
        average_daily_volume_micro=0,
        shares_outstanding=0,
    )
    for number in (1, 2)
)
# Few prices, so that quotes, prints and limits often meet.
prices = st.integers(3, 7).map(lambda ticks: ticks * MIN_TICK_NANO)
shares = st.integers(0, 40).map(lambda lots: lots * 25 * SHARE_MICRO)


@st.composite
def market_steps(draw: st.DrawFn) -> list[MarketStep]:
    """Draw up to twelve steps, some after the close, some without a quote, prints anywhere."""
    steps = []
    for index in range(draw(st.integers(3, 12))):
        columns = []
        for _ in INSTRUMENTS:
            bid = draw(prices) * draw(st.sampled_from([1, 1, 1, 1, 0]))
            ask = (bid + draw(st.integers(1, 3)) * MIN_TICK_NANO) if bid else 0
            size = draw(shares)
            side = draw(st.sampled_from([-1, 0, 1])) if size else 0
            columns.append((bid, ask, draw(shares), draw(shares), draw(prices) if size else 0, size, side))
        table = np.array(columns, dtype=np.int64).T
        steps.append(
            MarketStep(
                ts_ns=SESSION.open_ns + (index + 1) * SECOND_NS,
                bid_nano=table[0],
                ask_nano=table[1],
                bid_size_micro=table[2],
                ask_size_micro=table[3],
                trade_nano=table[4],
                trade_size_micro=table[5],
                trade_side=table[6],
                volume_micro=table[5],
            )
        )
    return steps


@st.composite
def order_lists(draw: st.DrawFn) -> list[RestingOrder]:
    """Draw up to five orders on two instruments."""
    orders = []
    for key in range(draw(st.integers(1, 5))):
        arrived = SESSION.open_ns + draw(st.integers(0, 6)) * SECOND_NS
        orders.append(
            RestingOrder(
                key=key,
                instrument_index=draw(st.integers(0, 1)),
                side=draw(st.sampled_from(list(Side))),
                remaining_micro=draw(st.integers(1, 2_000)) * SHARE_MICRO // draw(st.sampled_from([1, 2])),
                limit_nano=draw(st.one_of(st.none(), prices)),
                active_from_ns=arrived + draw(st.integers(0, 2)) * SECOND_NS,
                arrived_ns=arrived,
            )
        )
    return orders


parameter_sets = st.builds(
    MatchingParameters,
    queue_ahead_ppm=st.sampled_from([0, 500_000, 1_000_000, 2_000_000]),
    participation_ppm=st.sampled_from([0, 100_000, 500_000, 1_000_000]),
    impact_ticks_per_level=st.integers(1, 3),
    impact_levels_max=st.integers(0, 4),
)


def play(
    steps: list[MarketStep], orders: list[RestingOrder], parameters: MatchingParameters
) -> list[tuple[MarketStep, dict[int, RestingOrder], list[Match]]]:
    """Run the engine as a server would, reducing the orders by their fills."""
    engine = QueueMatching(INSTRUMENTS, SESSION, parameters)
    live = {order.key: order for order in orders}
    history = []
    for step in steps:
        matches = list(engine.match(step, list(live.values())))
        history.append((step, dict(live), matches))
        for match in matches:
            left = live[match.key].remaining_micro - match.quantity_micro
            live[match.key] = replace(live[match.key], remaining_micro=left)
        for key in [key for key, order in live.items() if order.remaining_micro == 0]:
            del live[key]
            engine.forget(key)
    return history


@settings(max_examples=500, deadline=None)
@given(steps=market_steps(), orders=order_lists(), parameters=parameter_sets)
def test_no_fill_is_better_than_the_quote_or_beyond_the_limit(
    steps: list[MarketStep], orders: list[RestingOrder], parameters: MatchingParameters
) -> None:
    """Taking buys pay the ask or more, passive ones exactly their limit and not below the bid; sells mirror it."""
    for step, live, matches in play(steps, orders, parameters):
        for match in matches:
            order = live[match.key]
            index = order.instrument_index
            bid, ask = int(step.bid_nano[index]), int(step.ask_nano[index])
            assert match.price_nano > 0
            if order.limit_nano is not None:
                beyond = match.price_nano - order.limit_nano
                assert beyond <= 0 if order.side is Side.BUY else beyond >= 0
            if match.passive:
                assert match.price_nano == order.limit_nano
                assert match.price_nano >= bid if order.side is Side.BUY else match.price_nano <= ask
            else:
                assert match.price_nano >= ask if order.side is Side.BUY else match.price_nano <= bid


@settings(max_examples=500, deadline=None)
@given(steps=market_steps(), orders=order_lists(), parameters=parameter_sets)
def test_fills_need_a_quote_an_open_session_an_active_order_and_liquidity(
    steps: list[MarketStep], orders: list[RestingOrder], parameters: MatchingParameters
) -> None:
    """Quantities are positive and conserved, and per step bounded by what printed and what was displayed."""
    total: dict[int, int] = defaultdict(int)
    for step, live, matches in play(steps, orders, parameters):
        taken: dict[tuple[int, Side], int] = defaultdict(int)
        passive: dict[int, int] = defaultdict(int)
        reached: dict[tuple[int, Side], int] = defaultdict(int)
        for match in matches:
            order = live[match.key]
            index = order.instrument_index
            assert match.quantity_micro > 0
            assert match.ts_ns == step.ts_ns <= SESSION.close_ns
            assert order.active_from_ns <= step.ts_ns
            assert step.bid_nano[index] > 0
            assert step.ask_nano[index] > 0
            total[match.key] += match.quantity_micro
            crossed = order.limit_nano is not None and (
                step.ask_nano[index] <= order.limit_nano
                if order.side is Side.BUY
                else step.bid_nano[index] >= order.limit_nano
            )
            if match.passive and not crossed:
                passive[index] += match.quantity_micro
            elif match.passive:
                reached[index, order.side] += match.quantity_micro
            else:
                taken[index, order.side] += match.quantity_micro
        for index, quantity in passive.items():
            shared = int(step.trade_size_micro[index]) * parameters.participation_ppm // 1_000_000
            assert quantity <= shared
        for (index, side), quantity in reached.items():
            shared = int(step.trade_size_micro[index]) * parameters.participation_ppm // 1_000_000
            sizes = step.ask_size_micro if side is Side.BUY else step.bid_size_micro
            assert quantity <= shared + int(sizes[index])
        for (index, side), quantity in taken.items():
            sizes = step.ask_size_micro if side is Side.BUY else step.bid_size_micro
            assert quantity <= int(sizes[index]) * (1 + parameters.impact_levels_max)
    for order in orders:
        assert total[order.key] <= order.remaining_micro


@settings(max_examples=500, deadline=None)
@given(
    steps=market_steps(),
    side=st.sampled_from(list(Side)),
    quantity=st.integers(1, 3_000),
    limits=st.tuples(prices, prices),
    parameters=parameter_sets,
)
def test_a_more_aggressive_resting_limit_never_gets_less(
    steps: list[MarketStep],
    side: Side,
    quantity: int,
    limits: tuple[int, int],
    parameters: MatchingParameters,
) -> None:
    """Of two limits that both rest on arrival, the better one has filled at least as much after every step."""
    first = steps[0]
    if not first.bid_nano[0]:
        return
    patient, eager = sorted(limits, reverse=side is Side.SELL)
    marketable = eager >= first.ask_nano[0] if side is Side.BUY else eager <= first.bid_nano[0]
    if marketable:
        return
    filled = [
        np.cumsum([sum(match.quantity_micro for match in matches) for _, _, matches in history])
        for history in (
            play(
                steps,
                [
                    RestingOrder(
                        key=1,
                        instrument_index=0,
                        side=side,
                        remaining_micro=quantity * SHARE_MICRO,
                        limit_nano=limit,
                        active_from_ns=SESSION.open_ns,
                        arrived_ns=SESSION.open_ns,
                    )
                ],
                parameters,
            )
            for limit in (patient, eager)
        )
    ]
    assert (filled[1] >= filled[0]).all()


@settings(max_examples=500, deadline=None)
@given(steps=market_steps(), orders=order_lists(), parameters=parameter_sets)
def test_matching_is_deterministic_and_answers_in_the_order_of_the_orders(
    steps: list[MarketStep], orders: list[RestingOrder], parameters: MatchingParameters
) -> None:
    """Two engines agree on every fill, and fills are listed by the position of their orders."""
    first, second = play(steps, orders, parameters), play(steps, orders, parameters)
    assert [matches for _, _, matches in first] == [matches for _, _, matches in second]
    for _, live, matches in first:
        positions = [list(live).index(match.key) for match in matches]
        assert positions == sorted(positions)
