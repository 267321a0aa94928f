"""Owns the tests of the message governor and of the market-data lines."""

import pytest

from walstreet.domain.governor import (
    GovernorParameters,
    GovernorReason,
    GovernorState,
    HistoricalRequest,
    Priority,
    end_historical,
    reconnect_delay_ns,
    take,
    take_historical,
)
from walstreet.domain.market_lines import LineParameters, Lines, plan_lines
from walstreet_events import NANOS_PER_SECOND

S = NANOS_PER_SECOND
T0 = 1_800_000_000 * S
DEFAULTS = GovernorParameters()
URGENT, NORMAL = Priority.URGENT, Priority.NORMAL


def burst(state, count, *, now_ns=T0, priority=NORMAL):
    """Return the state after ``count`` wishes at once, and how many were granted."""
    granted = 0
    for _ in range(count):
        grant = take(state, now_ns=now_ns, priority=priority, parameters=DEFAULTS)
        state = grant.state
        granted += grant.granted
    return state, granted


def test_ordinary_messages_leave_the_reserve():
    """Of the burst of five, three are for everybody; the two kept are there for cancels at once."""
    state, ordinary = burst(GovernorState(), 100)
    assert ordinary == 3
    state, cancels = burst(state, 100, priority=URGENT)
    assert cancels == 2


def test_the_wait_is_exact():
    """After the burst the next ordinary message waits for one token: 1/45 s, rounded up to a nanosecond."""
    state, _ = burst(GovernorState(), 3)
    refused = take(state, now_ns=T0, priority=NORMAL, parameters=DEFAULTS)
    assert (refused.wait_ns, refused.reason) == (22_222_223, GovernorReason.MESSAGE_RATE)
    assert not take(refused.state, now_ns=T0 + refused.wait_ns - 1, priority=NORMAL, parameters=DEFAULTS).granted
    assert take(refused.state, now_ns=T0 + refused.wait_ns, priority=NORMAL, parameters=DEFAULTS).granted


def test_a_clock_set_back_neither_stops_nor_hastens():
    """An hour back gives nothing, and from there time counts again."""
    state, _ = burst(GovernorState(), 3)
    back = T0 - 3_600 * S
    state, granted = burst(state, 10, now_ns=back)
    assert granted == 0
    assert burst(state, 10, now_ns=back + S)[1] == 3


def historical(state, *, now_ns, request="r", contract="c", key="k", weight=1):
    """Return the grant for one historical request."""
    wanted = HistoricalRequest(request=request, contract=contract, key=key, weight=weight)
    return take_historical(state, wanted=wanted, now_ns=now_ns, parameters=DEFAULTS)


def sent(count, *, step_ns=S, weight=1, open_=False) -> GovernorState:
    """Return the state after ``count`` different requests, ``step_ns`` apart, ended unless ``open_``."""
    state = GovernorState()
    for index in range(count):
        name = f"q{index}"
        grant = historical(state, now_ns=T0 + index * step_ns, request=name, contract=name, key=name, weight=weight)
        assert grant.granted, (index, grant.reason)
        state = grant.state if open_ else end_historical(grant.state, name)
    return state


def test_sixty_historical_requests_in_ten_minutes():
    """The sixty-first waits until the first is ten minutes old."""
    state = sent(60)
    grant = historical(state, now_ns=T0 + 60 * S)
    assert (grant.wait_ns, grant.reason) == (540 * S, GovernorReason.HISTORICAL_RATE)
    assert historical(state, now_ns=T0 + 600 * S).granted


def test_a_request_for_bid_and_ask_counts_twice():
    """Thirty of them use the window up; with 59 used one waits for the first to leave, with 60 for the second."""
    assert historical(sent(30, weight=2), now_ns=T0 + 30 * S).wait_ns == 570 * S
    grant = historical(sent(59), now_ns=T0 + 59 * S, weight=2)
    assert grant.wait_ns == 541 * S
    assert historical(sent(60), now_ns=T0 + 60 * S, weight=2).wait_ns == 541 * S
    with pytest.raises(ValueError, match="weight"):
        historical(GovernorState(), now_ns=T0, weight=3)


def test_identical_requests_never_within_fifteen_seconds():
    """The same key waits to the second; while the first is open it waits longer; another key goes."""
    first = historical(GovernorState(), now_ns=T0).state
    again = historical(end_historical(first, "r"), now_ns=T0 + S, request="r2")
    assert (again.wait_ns, again.reason) == (14 * S, GovernorReason.HISTORICAL_IDENTICAL)
    assert historical(end_historical(first, "r"), now_ns=T0 + 15 * S, request="r2").granted
    still_open = historical(first, now_ns=T0 + 15 * S, request="r2")
    assert still_open.reason is GovernorReason.HISTORICAL_IDENTICAL
    assert historical(first, now_ns=T0 + S, request="r2", key="other").granted


def test_fewer_than_six_for_one_contract_in_two_seconds():
    """The sixth of one contract waits until the first is two seconds old."""
    state = GovernorState()
    for index in range(5):
        grant = historical(state, now_ns=T0 + index * S // 10, request=f"r{index}", key=f"k{index}")
        assert grant.granted
        state = grant.state
    sixth = historical(state, now_ns=T0 + S, request="r5", key="k5")
    assert (sixth.wait_ns, sixth.reason) == (S, GovernorReason.HISTORICAL_CONTRACT)
    assert historical(state, now_ns=T0 + S, request="r5", key="k5", contract="d").granted


def test_at_most_fifty_open():
    """The fifty-first waits for an answer; ids must not be used twice."""
    state = sent(50, open_=True)
    assert historical(state, now_ns=T0 + 100 * S).reason is GovernorReason.HISTORICAL_OPEN
    assert historical(end_historical(state, "q7"), now_ns=T0 + 100 * S).granted
    with pytest.raises(ValueError, match="open already"):
        historical(state, now_ns=T0 + 100 * S, request="q7")
    assert end_historical(state, "never asked") == state


def test_a_historical_request_is_a_message_too():
    """Without a token it waits, and is not counted in the historical window."""
    state, _ = burst(GovernorState(), 3)
    grant = historical(state, now_ns=T0)
    assert (grant.reason, grant.state.historical_ns, grant.state.open_requests) == (
        GovernorReason.MESSAGE_RATE,
        (),
        (),
    )
    sent_then = historical(grant.state, now_ns=T0 + grant.wait_ns)
    assert sent_then.granted
    assert len(sent_then.state.historical_ns) == 1


def test_reconnecting_backs_off_to_a_minute():
    """1, 2, 4, 8, 16, 32, 60, 60 seconds without jitter; the jitter takes up to a fifth away."""
    delays = [reconnect_delay_ns(attempt=n, jitter=0.0, parameters=DEFAULTS) // S for n in (*range(1, 9), 10_000)]
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert reconnect_delay_ns(attempt=3, jitter=0.5, parameters=DEFAULTS) == round(3.6 * S)


@pytest.mark.parametrize(("attempt", "jitter"), [(0, 0.0), (1, 1.0), (1, -0.1), (1, float("nan"))])
def test_a_wrong_attempt_or_jitter_is_refused(attempt, jitter):
    """Both are the caller's fault."""
    with pytest.raises(ValueError, match="governor"):
        reconnect_delay_ns(attempt=attempt, jitter=jitter, parameters=DEFAULTS)


@pytest.mark.parametrize(
    "changes",
    [
        {"messages_per_second": 46},
        {"burst": 6},
        {"urgent_reserve": 0},
        {"urgent_reserve": 5},
        {"historical_in_window_max": 61},
        {"historical_identical_s": 14},
    ],
)
def test_a_pace_above_the_brokers_is_refused(changes):
    """No configuration may exceed what the broker bears, nor leave one kind of message without room."""
    with pytest.raises(ValueError, match="governor"):
        GovernorParameters(**changes)


# ------------------------------------------------------------------------------------------------ market lines


def plan(lines, wanted, *, pinned=(), now_s=0.0, lines_max=3):
    """Return the plan at ``now_s``."""
    return plan_lines(
        lines,
        wanted=tuple(wanted),
        pinned=frozenset(pinned),
        now_ns=T0 + round(now_s * S),
        parameters=LineParameters(lines_max=lines_max, dwell_s=30.0),
    )


def test_enough_lines_for_all():
    """Everybody gets one, and nothing moves afterwards."""
    first = plan(Lines(), "ABC")
    assert (first.end, first.begin, first.waiting) == ((), ("A", "B", "C"), ())
    later = plan(first.lines, "ABC", now_s=1_000)
    assert (later.end, later.begin, later.lines) == ((), (), first.lines)


def test_lines_rotate_after_their_time():
    """Five symbols share three lines: for 30 s nothing moves, then those without one take over, then the others."""
    first = plan(Lines(), "ABCDE")
    assert first.waiting == ("D", "E")
    assert plan(first.lines, "ABCDE", now_s=29.9).begin == ()
    second = plan(first.lines, "ABCDE", now_s=30)
    assert (second.begin, len(second.end), second.end) == (("D", "E"), 2, ("B", "C"))
    third = plan(second.lines, "ABCDE", now_s=60)
    assert set(third.begin) == {"B", "C"}


def test_pinned_symbols_keep_their_line():
    """A held name never rotates out, comes before all others, and a new one takes a line at once."""
    first = plan(Lines(), "ABCDE", pinned="A")
    second = plan(first.lines, "ABCDE", pinned="A", now_s=30)
    assert "A" in second.lines.held_ns
    taken = plan(second.lines, "ABCDE", pinned="AZ", now_s=31)
    assert taken.begin == ("Z",)
    assert len(taken.end) == 1
    assert len(taken.lines.held_ns) == 3


def test_more_pinned_symbols_than_lines_are_named():
    """Those that hold a line keep it, the others are reported for an alert."""
    first = plan(Lines(), "CD", pinned="CD", lines_max=2)
    more = plan(first.lines, "ABCD", pinned="ABCD", lines_max=2, now_s=100)
    assert (more.begin, more.end, more.unserved_pinned) == ((), (), ("A", "B"))


def test_what_is_no_longer_wanted_ends():
    """A symbol that nobody wants gives its line back and is forgotten."""
    first = plan(Lines(), "ABC")
    after = plan(first.lines, "AD", now_s=1)
    assert (after.end, after.begin) == (("B", "C"), ("D",))
    assert after.lines.served_ns == {}


def test_wrong_wishes_are_refused():
    """A symbol twice is a fault, and so are more lines than an account has."""
    with pytest.raises(ValueError, match="distinct"):
        plan(Lines(), "AA")
    with pytest.raises(ValueError, match="market_lines"):
        LineParameters(lines_max=101)
