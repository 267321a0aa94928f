"""A farm concerns all of its symbols, a line its own one, and a notice none."""

from __future__ import annotations

import msgspec

from walstreet.domain import feeds
from walstreet.domain.gateway_parameters import SessionPlan
from walstreet.domain.gateway_state import GatewayState
from walstreet.domain.gateway_status import feed_event
from walstreet.domain.observations import FeedObserved
from walstreet.testing.execution_world import SHARE, World, block, feed, intent, ready_world, reasons
from walstreet_events import FeedStatus, OrderSubmitting

PLAN = SessionPlan(session_date="2026-11-20", open_ns=100, close_ns=200, symbols=("AAA",), market="synthetic")


def told(farm: str, *, healthy: bool, data_type: str = "live") -> FeedObserved:
    """Return a word about a feed."""
    return FeedObserved(ts_ns=150, farm=farm, healthy=healthy, data_type=data_type, code=0, detail="")


def test_a_name_says_what_it_concerns() -> None:
    """One symbol's subscription and a notice stop nobody else."""
    assert feeds.symbol_of_line(feeds.line("AAA")) == "AAA"
    assert feeds.symbol_of_line("usfarm") is None
    names = ("usfarm", feeds.MARKET_DATA, feeds.GATEWAY, feeds.TICKS, feeds.line("AAA"), feeds.notice(12345))
    assert [feeds.concerns_all(name) for name in names] == [True, True, True, True, False, False]


def test_that_a_line_is_healthy_is_news_after_trouble_only() -> None:
    """Each subscription made anew says so; the log hears of it where something else stands there."""
    state = GatewayState.empty(PLAN.symbols)
    assert feed_event(state, PLAN, told(feeds.line("AAA"), healthy=True)) == ()
    (broken,) = feed_event(state, PLAN, told(feeds.line("AAA"), healthy=False))
    assert isinstance(broken, FeedStatus)
    state.feeds[broken.farm] = (broken.healthy, broken.data_type)
    (mended,) = feed_event(state, PLAN, told(feeds.line("AAA"), healthy=True, data_type="unknown"))
    assert isinstance(mended, FeedStatus)
    state.feeds[mended.farm] = (mended.healthy, mended.data_type)
    assert feed_event(state, PLAN, told(feeds.line("AAA"), healthy=True)) == ()


def named(farm: str, *, healthy: bool, data_type: str = "live") -> FeedStatus:
    """Return the journaled form of a word about a feed."""
    return msgspec.structs.replace(feed(data_type), farm=farm, healthy=healthy)


def sent(world: World) -> list[object]:
    """Return what an intent gives."""
    return list(world.give(block(intent())))


def test_a_symbol_whose_own_line_is_broken_takes_no_order() -> None:
    """Its last quote looks young for a while; another symbol's line is none of its business."""
    world = ready_world()
    world.give(named(feeds.line("SPY"), healthy=False))
    assert reasons(sent(world)) == ["data_not_live"]  # type: ignore[arg-type]
    world = ready_world()
    world.give(named(feeds.line("OTHER"), healthy=False))
    assert isinstance(sent(world)[0], OrderSubmitting)
    assert intent().quantity_micro >= SHARE


def test_a_farm_told_of_before_the_first_tick_does_not_unsettle_the_kind_of_data() -> None:
    """A new connection knows no kind yet; what its farms say meanwhile carries none."""
    world = ready_world()
    world.give(named("usfarm", healthy=True, data_type="unknown"))
    assert isinstance(sent(world)[0], OrderSubmitting)
    world = ready_world()
    world.give(named(feeds.MARKET_DATA, healthy=True, data_type="unknown"))
    assert reasons(sent(world)) == ["data_type_unknown"]  # type: ignore[arg-type]
