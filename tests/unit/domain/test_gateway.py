"""The gateway core journals every minute, tick, phase and change of the session, before and after a crash.

It covers walstreet.domain.gateway with its parts gateway_state, gateway_status and bar_history.
"""

from __future__ import annotations

import pytest

from walstreet.domain.gateway import TICKS_PER_OBSERVATION_MAX, GatewayCore, to_tick
from walstreet.domain.gateway_parameters import GatewayParameters, SessionHours, SessionPlan
from walstreet.domain.observations import (
    AccountFacts,
    AccountObserved,
    BrokerBarObserved,
    FeedObserved,
    HaltObserved,
    HistoryBar,
    HistoryObserved,
    InstrumentFacts,
    InstrumentsObserved,
    LinkObserved,
    QuoteObserved,
    TimeObserved,
    TradeObserved,
    VolumeObserved,
)
from walstreet.testing.given import Scenario
from walstreet_events import (
    BarBlock,
    BarCheck,
    BarFlag,
    BrokerStatus,
    ClockTick,
    FeedStatus,
    InstrumentRef,
    PhaseName,
    PriorSession,
    Quote,
    SessionPhase,
    SessionRef,
    SymbolStatus,
    Trade,
    encode,
)

S = 1_000_000_000
MINUTE = 60 * S
OPEN = 1_000_000 * MINUTE
CLOSE = OPEN + 10 * MINUTE
USD = 1_000_000_000
SHARE = 1_000_000
HOLE = BarFlag.UNCHECKED | BarFlag.NO_QUOTE


def make_plan(**changes):
    """Return a session of ten minutes and two symbols."""
    facts = {
        "session_date": "2026-11-20",
        "open_ns": OPEN,
        "close_ns": CLOSE,
        "symbols": ("BBB", "AAA"),
        "market": "synthetic",
    }
    return SessionPlan(**{**facts, **changes})


def scenario(plan=None, **parameters):
    """Return a first life of the core."""
    chosen = plan or make_plan()
    return Scenario(lambda: GatewayCore(GatewayParameters(**parameters), chosen))


def time(at_s):
    """Return the clock's time."""
    return TimeObserved(ts_ns=OPEN + round(at_s * S))


def trade(at_s, price, symbol="AAA", size=100):
    """Return a trade so many seconds after the open."""
    return TradeObserved(symbol=symbol, ts_ns=OPEN + round(at_s * S), price_nano=price * USD, size_micro=size * SHARE)


def quote(at_s, bid=99, ask=101, symbol="AAA"):
    """Return a quote so many seconds after the open."""
    return QuoteObserved(
        symbol=symbol,
        ts_ns=OPEN + round(at_s * S),
        bid_nano=bid * USD,
        ask_nano=ask * USD,
        bid_size_micro=SHARE,
        ask_size_micro=SHARE,
    )


def link(at_s, *, connected=True, data_lost=False):
    """Return a state of the connection."""
    return LinkObserved(
        ts_ns=OPEN + round(at_s * S),
        connected=connected,
        data_lost=data_lost,
        client_id=11,
        next_order_id=1,
        code=0,
        detail="",
    )


def past(start_ns, close, shares=10):
    """Return a one-price bar of history."""
    return HistoryBar(
        start_ns=start_ns,
        open_nano=close * USD,
        high_nano=close * USD,
        low_nano=close * USD,
        close_nano=close * USD,
        volume_micro=shares * SHARE,
        vwap_nano=close * USD,
        trade_count=shares,
    )


def history(at_s, **bars):
    """Return an answer of the broker's history."""
    return HistoryObserved(ts_ns=OPEN + round(at_s * S), bar_ns=MINUTE, bars={k: tuple(v) for k, v in bars.items()})


def of(kind, events):
    """Return the events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def minutes(events):
    """Return the numbers of the minutes that blocks stand for."""
    return [(event.ts_ns - OPEN) // MINUTE for event in of(BarBlock, events)]


def closes(block):
    """Return the close per symbol in dollars."""
    return dict(zip(block.symbols, (block.close_nano.array() // USD).tolist(), strict=True))


def flags(block):
    """Return the flags per symbol."""
    return dict(zip(block.symbols, block.flags.array().tolist(), strict=True))


def test_the_session_is_journaled_once_with_the_first_observation():
    """The session's reference comes first and never again, also not after a restart."""
    play = scenario()
    (session,) = play.when(quote(-100))
    assert isinstance(session, SessionRef)
    assert session.symbols == ("BBB", "AAA")
    assert of(SessionRef, play.when(time(-90))) == []
    assert of(SessionRef, play.restarted().when(time(-80))) == []


def test_a_new_session_on_the_same_log_starts_afresh():
    """Another date gives its own reference, phases and bars; prices outlive the night."""
    first = scenario().given(quote(-100), time(-60), trade(5, 70), time(700))
    tomorrow = make_plan(session_date="2026-11-21", open_ns=OPEN + 1440 * MINUTE, close_ns=CLOSE + 1440 * MINUTE)
    second = Scenario(lambda: GatewayCore(GatewayParameters(), tomorrow), first.log)
    events = second.when(TimeObserved(ts_ns=tomorrow.open_ns - MINUTE))
    assert [type(event) for event in events] == [SessionRef, SessionPhase, ClockTick]
    (block,) = of(BarBlock, second.when(TimeObserved(ts_ns=tomorrow.open_ns + MINUTE)))
    assert closes(block) == {"BBB": 0, "AAA": 70}


def test_phases_and_ticks_stand_on_their_instants():
    """Pre-open, open and closed come once, in order; ticks on every multiple from pre-open to post-close."""
    play = scenario()
    for step in range(-120, 700):
        play.when(time(step))
    phases = [(event.phase, event.ts_ns - OPEN) for event in of(SessionPhase, play.outputs)]
    assert phases == [(PhaseName.PRE_OPEN, -MINUTE), (PhaseName.OPEN, 0), (PhaseName.CLOSED, CLOSE - OPEN)]
    ticks = [event.ts_ns - OPEN for event in of(ClockTick, play.outputs)]
    assert ticks == list(range(-60 * S, 660 * S + 1, 5 * S))
    assert minutes(play.outputs) == list(range(1, 11))


def test_events_of_one_observation_are_in_order_of_time():
    """After a jump the bar that ended stands before the phase and the tick of the same instant."""
    play = scenario().given(time(-60))
    events = play.when(time(601))
    stamps = [event.ts_ns for event in events]
    assert stamps == sorted(stamps)
    at_close = [type(event) for event in events if event.ts_ns == CLOSE]
    assert at_close == [BarBlock, SessionPhase, ClockTick]


def test_every_minute_has_a_block_also_when_time_jumps():
    """A jump over five minutes gives five blocks, each with the trades of its own minute."""
    play = scenario().given(time(-60), trade(10, 50), trade(130, 60), trade(60, 55))
    blocks = of(BarBlock, play.when(time(301)))
    assert minutes(blocks) == [1, 2, 3, 4, 5]
    assert [closes(block)["AAA"] for block in blocks] == [55, 55, 60, 60, 60]
    assert [bool(flags(block)["AAA"] & BarFlag.EMPTY) for block in blocks] == [False, True, False, True, True]


def test_catching_up_is_bounded_and_completes():
    """One observation gives a bounded number of ticks; the following ones bring the rest without a gap."""
    plan = make_plan(close_ns=OPEN + 120 * MINUTE)
    play = scenario(plan).given(time(-60))
    first = play.when(time(7_100))
    assert len(of(ClockTick, first)) == TICKS_PER_OBSERVATION_MAX
    assert max(event.ts_ns for event in first) == of(ClockTick, first)[-1].ts_ns
    play.when(time(7_100))
    play.when(time(7_100))
    ticks = [event.ts_ns for event in of(ClockTick, play.outputs)]
    assert ticks == list(range(OPEN - 60 * S, OPEN + 7_100 * S + 1, 5 * S))
    assert minutes(play.outputs) == list(range(1, 119))


def test_time_that_goes_back_gives_nothing():
    """An older time causes no event."""
    play = scenario().given(time(-60), time(70))
    assert play.when(time(30)) == []


def test_a_late_start_is_told_in_order():
    """A process that starts within the session journals the phases that began before it."""
    events = scenario().when(time(125))
    assert [event.phase for event in of(SessionPhase, events)] == [PhaseName.PRE_OPEN, PhaseName.OPEN]
    assert [event.ts_ns for event in of(ClockTick, events)] == [OPEN + 125 * S]


def test_status_is_written_on_change_only():
    """Repeated link, feed and halt states cause nothing; changes do, each with its own id."""
    play = scenario()
    feed = FeedObserved(ts_ns=OPEN, farm="usfarm", healthy=True, data_type="live", code=2104, detail="ok")
    broken = FeedObserved(ts_ns=OPEN, farm="usfarm", healthy=False, data_type="live", code=2103, detail="broken")
    halted = HaltObserved(symbol="AAA", ts_ns=OPEN, halted=True)
    resumed = HaltObserved(symbol="AAA", ts_ns=OPEN, halted=False)
    play.given(link(-70), link(-69), feed, feed, broken, feed, resumed, halted, halted, resumed, halted)
    kinds = [type(event) for event in play.outputs[1:]]
    assert kinds == [BrokerStatus, FeedStatus, FeedStatus, FeedStatus, SymbolStatus, SymbolStatus, SymbolStatus]
    assert len({event.id for event in play.outputs}) == len(play.outputs)
    again = play.restarted()
    assert again.given(link(-60), feed, halted).outputs == []
    assert [type(event) for event in again.when(link(-59, data_lost=True))] == [BrokerStatus]


def test_a_flapping_link_at_one_instant_gives_different_ids():
    """Equal changes with an equal time are different facts."""
    play = scenario().given(link(1), link(1, connected=False), link(1), link(1, connected=False))
    changes = of(BrokerStatus, play.outputs)
    assert [event.connected for event in changes] == [True, False, True, False]
    assert len({event.id for event in changes}) == 4


def test_instruments_become_references_in_symbol_order_and_only_when_they_changed():
    """The order is the session's; an unchanged fact is not repeated after a restart, a changed one is."""

    def facts(tick_nano):
        instruments = tuple(
            InstrumentFacts(
                symbol=symbol,
                con_id=index,
                exchange="SMART",
                primary_exchange="ARCA",
                currency="USD",
                sector="",
                min_tick_nano=tick_nano if symbol == "AAA" else 1,
                lot_micro=SHARE,
            )
            for index, symbol in enumerate(("AAA", "BBB", "ZZZ"))
        )
        return InstrumentsObserved(
            ts_ns=OPEN - MINUTE,
            instruments=instruments,
            prior_close_nano={"AAA": 40 * USD},
            average_daily_volume_micro={},
            prior_low_nano={"AAA": 38 * USD},
            close_before_nano={"AAA": 41 * USD},
        )

    play = scenario()
    first = facts(5)
    (told,) = of(PriorSession, scenario().when(first))
    assert (told.symbol, told.low_nano, told.close_nano, told.close_before_nano) == (
        "AAA",
        38 * USD,
        40 * USD,
        41 * USD,
    )
    refs = of(InstrumentRef, play.when(facts(5)))
    assert [(ref.symbol, ref.prior_close_nano) for ref in refs] == [("BBB", 0), ("AAA", 40 * USD)]
    again = play.restarted()
    assert again.when(facts(5)) == []
    assert [ref.symbol for ref in again.when(facts(6))] == ["AAA"]
    (block,) = of(BarBlock, again.given(time(-60)).when(time(60)))
    assert closes(block) == {"BBB": 0, "AAA": 40}


def test_warm_up_has_one_block_per_minute_of_the_union():
    """Missing minutes repeat the last close; before a symbol's first bar the close is 0."""
    before = OPEN - 1_000 * MINUTE
    bars = history(-50, AAA=[past(before, 10), past(before + 3 * MINUTE, 12)], BBB=[past(before + MINUTE, 20)])
    blocks = of(BarBlock, scenario().when(bars))
    assert [(block.ts_ns - before) // MINUTE for block in blocks] == [1, 2, 4]
    assert all(block.warmup for block in blocks)
    assert [closes(block) for block in blocks] == [
        {"BBB": 0, "AAA": 10},
        {"BBB": 20, "AAA": 10},
        {"BBB": 20, "AAA": 12},
    ]
    assert flags(blocks[0]) == {"BBB": BarFlag.EMPTY | BarFlag.NO_QUOTE, "AAA": BarFlag.NO_QUOTE}
    assert blocks[0].volume_micro.array().tolist() == [0, 10 * SHARE]


def test_warm_up_takes_whole_minutes_of_regular_sessions_only():
    """Bars outside the plan's sessions, off the grid, of no volume or after the open are left out."""
    start = OPEN - 1_000 * MINUTE
    hours = SessionHours(open_ns=start, close_ns=start + 2 * MINUTE)
    bars = [past(start + offset, 10) for offset in (-MINUTE, 0, MINUTE, MINUTE + S, 2 * MINUTE)]
    bars += [past(OPEN, 11), past(start + 1, 9, shares=0)]
    events = scenario(make_plan(past_sessions=(hours,))).when(history(90, AAA=bars))
    assert [block.ts_ns for block in of(BarBlock, events)] == [start + MINUTE, start + 2 * MINUTE]


def test_warm_up_is_not_repeated_and_never_comes_after_a_session_bar():
    """A second history brings only newer minutes; once the session has a bar it brings none."""
    before = OPEN - 1_000 * MINUTE
    play = scenario().given(history(-50, AAA=[past(before, 10)])).restarted()
    more = history(-40, AAA=[past(before, 10), past(before + MINUTE, 11)])
    assert [block.ts_ns for block in of(BarBlock, play.when(more))] == [before + 2 * MINUTE]
    play.given(time(-30), time(61))
    assert play.when(history(62, AAA=[past(before + 5 * MINUTE, 12)])) == []


def test_history_of_another_bar_size_is_refused_with_both_sizes():
    """Our own request was wrong, so it is an error that names what to do."""
    bars = HistoryObserved(ts_ns=OPEN, bar_ns=5 * MINUTE, bars={})
    with pytest.raises(ValueError, match=r"300000000000.*60000000000"):
        scenario().when(bars)


def test_minutes_missed_by_a_crash_come_from_history():
    """After a restart the minutes since the last block are written from history, unchecked and without a quote."""
    play = scenario().given(time(-60), trade(10, 50), time(60)).restarted()
    bars = [past(OPEN + minute * MINUTE, 60 + minute) for minute in (1, 2, 3)]
    play.given(link(245, data_lost=True), history(245, AAA=bars, BBB=[]), quote(246))
    blocks = of(BarBlock, play.when(time(246)))
    assert minutes(blocks) == [2, 3, 4]
    assert not any(block.warmup for block in blocks)
    assert [closes(block) for block in blocks] == [{"BBB": 0, "AAA": 60 + minute} for minute in (1, 2, 3)]
    assert flags(blocks[0]) == {"BBB": HOLE | BarFlag.EMPTY, "AAA": HOLE}


def test_a_partial_minute_waits_for_history_and_says_which():
    """The minute of the restart is written when history tells it, with the quote that stands at its end."""
    play = scenario().given(time(-60), time(60)).restarted()
    play.given(link(90, data_lost=True), time(90), quote(100), trade(110, 77))
    assert of(BarBlock, play.when(time(121))) == []
    assert play.core.missing(play.state) == (OPEN + MINUTE, OPEN + 2 * MINUTE)
    (block,) = of(BarBlock, play.when(history(125, AAA=[past(OPEN + MINUTE, 78)], BBB=[])))
    assert closes(block) == {"BBB": 0, "AAA": 78}
    assert flags(block)["AAA"] == BarFlag.UNCHECKED
    assert play.core.missing(play.state) is None


def test_without_history_a_partial_minute_is_written_as_it_is_after_the_wait():
    """The clock does not wait for ever; what was seen is carried and flagged."""
    play = scenario(repair_wait_s=30).given(time(-60), time(60)).restarted()
    play.given(link(90, data_lost=True), time(90), trade(110, 77), time(149))
    assert minutes(play.outputs) == []
    (block,) = of(BarBlock, play.when(time(150)))
    assert closes(block)["AAA"] == 77
    assert flags(block) == {"BBB": HOLE | BarFlag.EMPTY, "AAA": HOLE}


def test_a_broken_connection_makes_its_minutes_wait_and_never_look_empty():
    """Minutes without a feed are told from history, also when the process lives on."""
    play = scenario().given(time(-60), quote(1), trade(2, 50), time(60), link(70, connected=False))
    assert of(BarBlock, play.when(time(120))) == []
    play.given(link(130, data_lost=True))
    events = play.when(history(140, AAA=[past(OPEN + MINUTE, 51)], BBB=[]))
    assert [closes(block)["AAA"] for block in of(BarBlock, events)] == [51]
    assert flags(of(BarBlock, events)[0])["AAA"] == HOLE


def test_a_disagreement_is_journaled_beside_the_bar():
    """The broker's bar that differs gives the flag, its values and a check that names both."""
    five = HistoryBar(
        start_ns=OPEN,
        open_nano=USD,
        high_nano=3 * USD,
        low_nano=USD,
        close_nano=2 * USD,
        volume_micro=SHARE,
        vwap_nano=2 * USD,
        trade_count=4,
    )
    play = scenario().given(time(-60), trade(1, 1), trade(2, 2))
    play.given(BrokerBarObserved(symbol="AAA", bar=five, bar_ns=5 * S))
    events = play.when(time(60))
    block, check = of(BarBlock, events)[0], of(BarCheck, events)[0]
    assert events.index(check) == events.index(block) + 1
    assert flags(block)["AAA"] & BarFlag.MISMATCH
    assert (check.symbol, check.cause, check.bar_start_ns) == ("AAA", block.id, OPEN)
    assert check.broker_ohlcv.array().tolist() == [USD, 3 * USD, USD, 2 * USD, SHARE]


def test_a_bar_may_wait_a_moment_for_the_brokers_last_bar():
    """With a close delay the bar is written when the broker's bar is there, at the latest after the delay."""
    play = scenario(make_plan(symbols=("AAA",)), close_delay_ms=500).given(time(-60), trade(58, 9))
    assert of(BarBlock, play.when(time(60.1))) == []
    play.given(trade(60.2, 13))
    last = past(OPEN + 55 * S, 9, shares=100)
    play.given(BrokerBarObserved(symbol="AAA", bar=last, bar_ns=5 * S))
    (block,) = of(BarBlock, play.when(time(60.3)))
    assert (closes(block)["AAA"], flags(block)["AAA"]) == (9, BarFlag.NO_QUOTE)
    assert of(BarBlock, play.when(time(120.4))) == []
    assert minutes(play.when(time(120.5))) == [2]


def test_after_the_close_observations_are_not_kept():
    """The accumulators do not grow after the last bar."""
    play = scenario().given(time(-60), time(601))
    play.given(*[trade(700 + step, 5) for step in range(100)])
    assert play.state.builder._ahead == type(play.state.builder._ahead)()


def test_facts_of_orders_and_account_are_not_the_gateways():
    """They belong to execution's connection and cause nothing."""
    facts = AccountFacts(
        account="DU1",
        net_liquidation_nano=1,
        cash_nano=1,
        settled_cash_nano=1,
        available_funds_nano=1,
        gross_position_nano=1,
        initial_margin_nano=1,
        maintenance_margin_nano=1,
    )
    play = scenario().given(time(-60))
    assert play.when(AccountObserved(ts_ns=OPEN, account=facts, positions=())) == []


def test_ticks_for_md():
    """Quotes and trades become MD messages under the producer's sequence; other observations none."""
    assert to_tick(quote(1), 7) == Quote(
        seq=7,
        ts_ns=OPEN + S,
        symbol="AAA",
        bid_nano=99 * USD,
        ask_nano=101 * USD,
        bid_size_micro=SHARE,
        ask_size_micro=SHARE,
    )
    made = to_tick(trade(1, 5), 8)
    assert isinstance(made, Trade)
    assert (made.seq, made.price_nano) == (8, 5 * USD)
    assert to_tick(VolumeObserved(symbol="AAA", ts_ns=1, volume_micro=1), 9) is None


def test_a_session_that_no_bar_divides_is_refused():
    """The last bar would be cut; the error names the remedy."""
    with pytest.raises(ValueError, match="no multiple"):
        GatewayCore(GatewayParameters(), make_plan(close_ns=CLOSE + S))


@pytest.mark.parametrize(
    "bad",
    [{"bar_s": 7}, {"bar_s": 0}, {"tick_s": 61}, {"repair_wait_s": 61}, {"volume_tolerance_bps": -1}],
)
def test_parameters_out_of_range_are_refused_by_name(bad):
    """The error names field and value."""
    with pytest.raises(ValueError, match=f"gateway.{next(iter(bad))}={next(iter(bad.values()))}"):
        GatewayParameters(**bad)


@pytest.mark.parametrize(
    "bad",
    [
        {"close_ns": OPEN},
        {"market": "paper"},
        {"symbols": ()},
        {"symbols": ("AAA", "AAA")},
        {"past_sessions": (SessionHours(open_ns=OPEN, close_ns=CLOSE),)},
    ],
)
def test_impossible_plans_are_refused(bad):
    """Each names the session."""
    with pytest.raises(ValueError, match="session"):
        make_plan(**bad)


def day(play):
    """Play a small day with quotes, trades and broken links and return the scenario."""
    play.given(link(-70, data_lost=True), history(-65, AAA=[past(OPEN - 900 * MINUTE, 40)]))
    for step in range(-60, 660):
        if step % 7 == 0:
            play.given(quote(step, 90 + step % 5, 100), trade(step, 95 + step % 3))
        play.given(time(step))
    return play


def test_the_same_day_gives_the_same_bytes():
    """Two lives over the same observations write the same bytes."""
    assert day(scenario()).output_bytes() == day(scenario()).output_bytes()


def test_replay_rebuilds_the_durable_state():
    """A life that folds the log knows what the first one wrote, and writes nothing of it again."""
    first = day(scenario())
    second = first.restarted()
    for name in ("tick_ns", "bar_end_ns", "warmup_end_ns", "phase", "link", "statuses", "session"):
        assert getattr(second.state, name) == getattr(first.state, name)
    assert second.state.last_close.tolist() == first.state.last_close.tolist()
    assert second.when(time(659)) == []
    ids = [encode(event) for event in first.outputs]
    assert len(set(ids)) == len(ids)
