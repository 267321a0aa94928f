"""Tests of walstreet.domain.micro_planner: schedules worked by hand, the caps, and looks that come seldom."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walstreet.domain.micro_planner import (
    PlannerParameters,
    Schedule,
    Stage,
    Step,
    cap_nano,
    due_step,
    first_limit,
    largest_child_micro,
    net_edge_bps,
    stage_due,
)
from walstreet.domain.tick_rules import TickRule
from walstreet_events import NANOS_PER_SECOND as S
from walstreet_events import QuoteSeen, Side

pytestmark = pytest.mark.spec("000.5", "001.policy")
DOLLAR = 1_000_000_000
SHARE = 1_000_000
RULE = TickRule(min_tick_nano=DOLLAR // 100)
LIVE = PlannerParameters()
T0 = 1_000 * S


def quote(bid: float, ask: float) -> QuoteSeen:
    """Return a quote."""
    return QuoteSeen(
        bid_nano=round(bid * DOLLAR),
        ask_nano=round(ask * DOLLAR),
        bid_size_micro=100 * SHARE,
        ask_size_micro=100 * SHARE,
        ts_ns=T0,
        seq=0,
    )


def schedule(side: Side = Side.BUY, *, limit: float, filled: int = 0, tif_s: int = 30, stage: int = 0) -> Schedule:
    """Return an order of 100 shares that arrived at 99.95 to 100.05."""
    return Schedule(
        side=side,
        quantity_micro=100 * SHARE,
        filled_micro=filled * SHARE,
        limit_nano=round(limit * DOLLAR),
        submitted_ns=T0,
        good_till_ns=T0 + tif_s * S,
        stage=Stage(stage),
        arrival=quote(99.95, 100.05),
    )


def test_the_whole_schedule_of_a_buy_by_hand() -> None:
    """TIF 30 s: mid 100.00 at 0, 100.01 at 10 s, 100.02 at 20 s, and at 28 s the ask plus 5 bps, 100.10."""
    market = quote(99.95, 100.05)
    assert first_limit(Side.BUY, market, RULE) == 100 * DOLLAR
    order = schedule(limit=100.0)
    told: list[tuple[float, Step]] = []
    for tenth in range(300):
        step = due_step(order, market, T0 + tenth * S // 10, rule=RULE, parameters=LIVE)
        if step is not None:
            told.append((tenth / 10, step))
            order = replace(order, limit_nano=step.limit_nano, stage=step.stage)
    assert told == [
        (10.0, Step(stage=Stage.FIRST, limit_nano=round(100.01 * DOLLAR))),
        (20.0, Step(stage=Stage.SECOND, limit_nano=round(100.02 * DOLLAR))),
        (28.0, Step(stage=Stage.CROSS, limit_nano=round(100.10 * DOLLAR))),
    ]


def test_a_sell_is_the_mirror_image() -> None:
    """Mid rounded up, a cent lower at a third, the bid less 5 bps at the end: 99.95 less .049975 is 99.91 at worst."""
    market = quote(99.95, 100.06)
    assert first_limit(Side.SELL, market, RULE) == round(100.01 * DOLLAR)
    order = schedule(Side.SELL, limit=100.01)
    assert due_step(order, market, T0 + 10 * S, rule=RULE, parameters=LIVE) == Step(
        stage=Stage.FIRST, limit_nano=100 * DOLLAR
    )
    assert due_step(order, market, T0 + 28 * S, rule=RULE, parameters=LIVE) == Step(
        stage=Stage.CROSS, limit_nano=round(99.91 * DOLLAR)
    )


@pytest.mark.parametrize(("tif_s", "instants"), [(15, (5, 10, 13)), (25, (9, 17, 23)), (120, (40, 80, 118))])
def test_stages_are_due_at_thirds_and_shortly_before_the_end(tif_s: int, instants: tuple[int, int, int]) -> None:
    """The first whole second at which each stage is due."""
    order = schedule(limit=100.0, tif_s=tif_s)
    first = {stage: next(t for t in range(tif_s) if stage_due(order, T0 + t * S, LIVE) >= stage) for stage in Stage}
    assert tuple(first[stage] for stage in (Stage.FIRST, Stage.SECOND, Stage.CROSS)) == instants


def test_from_40_percent_on_no_step_is_made_but_the_rest_crosses() -> None:
    """39 shares filled step, 40 do not; the cross comes whatever is filled, unless nothing is left."""
    market = quote(99.95, 100.05)
    at = T0 + 10 * S
    assert due_step(schedule(limit=100.0, filled=39), market, at, rule=RULE, parameters=LIVE) is not None
    assert due_step(schedule(limit=100.0, filled=40), market, at, rule=RULE, parameters=LIVE) is None
    late = T0 + 28 * S
    crossing = due_step(schedule(limit=100.0, filled=99), market, late, rule=RULE, parameters=LIVE)
    assert crossing is not None
    assert crossing.stage is Stage.CROSS
    assert due_step(schedule(limit=100.0, filled=100), market, late, rule=RULE, parameters=LIVE) is None


def test_the_cross_is_capped_at_the_arrival() -> None:
    """The market ran to 100.40; 25 bps above the arrival mid is 100.25, and there the order stays."""
    order = schedule(limit=100.02, stage=2)
    step = due_step(order, quote(100.38, 100.40), T0 + 28 * S, rule=RULE, parameters=LIVE)
    assert step == Step(stage=Stage.CROSS, limit_nano=round(100.25 * DOLLAR))
    assert cap_nano(Side.SELL, quote(99.95, 100.05), RULE, LIVE) == round(99.75 * DOLLAR)


def test_a_step_stops_at_the_far_touch_and_never_goes_back() -> None:
    """At a one-tick spread the second step would pay beyond the ask; a market that came to us changes nothing."""
    narrow = quote(100.00, 100.01)
    at = T0 + 20 * S
    assert due_step(schedule(limit=100.01, stage=1), narrow, at, rule=RULE, parameters=LIVE) is None
    assert due_step(schedule(limit=100.01, stage=1), quote(99.80, 99.81), at, rule=RULE, parameters=LIVE) is None


def test_seldom_looks_do_at_the_last_one_what_the_next_would_miss() -> None:
    """A look every 5 s and TIF 15 s: step at 5 s, and the cross already at 10 s, as the next look is the end."""
    seldom = PlannerParameters(look_s=5.0)
    order = schedule(limit=100.0, tif_s=15)
    assert [stage_due(order, T0 + t * S, seldom) for t in (0, 5, 10)] == [Stage.PLACED, Stage.FIRST, Stage.CROSS]
    assert due_step(order, quote(99.95, 100.05), T0 + 15 * S, rule=RULE, parameters=seldom) is None


def test_an_order_missed_in_an_outage_makes_one_step_for_two() -> None:
    """First look after both thirds: one tick, as the second stage."""
    step = due_step(schedule(limit=100.0), quote(99.95, 100.05), T0 + 21 * S, rule=RULE, parameters=LIVE)
    assert step == Step(stage=Stage.SECOND, limit_nano=round(100.01 * DOLLAR))


def test_size_and_edge_by_hand() -> None:
    """.08 of a minute of 3.9 million shares a day is 800 shares; 9 bps of forecast less half of 10 bps is 4."""
    assert largest_child_micro(3_900_000 * SHARE, LIVE) == 800 * SHARE
    assert net_edge_bps(-9.0, quote(99.95, 100.05)) == pytest.approx(4.0)


@pytest.mark.parametrize(
    "change", [{"first_share": 0.7}, {"cap_bps": -1.0}, {"look_s": float("nan")}, {"tick_ladder": ((0, 0),)}]
)
def test_parameters_that_contradict_are_refused(change: dict[str, float]) -> None:
    """Order of the shares, ranges, and increments."""
    with pytest.raises(ValueError, match=r"execution\.planner|ladder"):
        PlannerParameters(**change)  # type: ignore[arg-type]


@given(
    st.sampled_from(list(Side)),
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(9_900, 10_100), st.integers(1, 30), st.integers(0, 30)), max_size=30
    ),
)
def test_the_price_only_becomes_more_aggressive_and_never_passes_the_cap(
    side: Side, looks: list[tuple[int, int, int, int]]
) -> None:
    """Whatever the market does and whenever we look: monotone, on the grid, at most three changes, within the cap."""
    sign = 1 if side is Side.BUY else -1
    arrival = quote(99.95, 100.05)
    order = replace(schedule(side, limit=100.0), limit_nano=first_limit(side, arrival, RULE))
    now, changes = T0, 0
    cap = cap_nano(side, arrival, RULE, LIVE)
    for seconds, bid_cents, spread_cents, shares in looks:
        now += seconds * S // 10
        market = quote(bid_cents / 100, (bid_cents + spread_cents) / 100)
        order = replace(order, filled_micro=min(order.quantity_micro, order.filled_micro + shares * SHARE))
        step = due_step(order, market, now, rule=RULE, parameters=LIVE)
        if step is None:
            continue
        changes += 1
        assert sign * order.limit_nano < sign * step.limit_nano <= sign * cap
        assert RULE.conforms(step.limit_nano)
        assert step.stage > order.stage
        order = replace(order, limit_nano=step.limit_nano, stage=step.stage)
    assert changes <= len(Stage) - 1
