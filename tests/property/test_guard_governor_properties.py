"""Owns the properties of the message governor and the market-data lines, for every pattern of wishes."""

import random
from collections import Counter
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.governor import (
    BROKER_MESSAGES_PER_SECOND_MAX,
    GovernorParameters,
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

EXAMPLES = settings(max_examples=1000, deadline=None)
DEFAULTS = GovernorParameters()
S = NANOS_PER_SECOND
START_NS = 1_800_000_000 * S
seeds = st.integers(0, 2**63)


def most_in_a_second(times_ns: list[int]) -> int:
    """Return the largest number of messages in any closed window of one second."""
    most = first = 0
    for last, time_ns in enumerate(times_ns):
        while times_ns[first] < time_ns - S:
            first += 1
        most = max(most, last - first + 1)
    return most


@EXAMPLES
@given(seeds)
def test_never_more_than_fifty_messages_in_any_second(seed):
    """Whatever is asked for when, by whom, with retries too early or in time, and with a clock that is set back."""
    rng = random.Random(seed)
    state, true_ns, offset_ns, sent = GovernorState(), START_NS, 0, []
    pace_ns = rng.choice((100_000, 5_000_000, 30_000_000, 400_000_000))
    wait_ns = 0
    for _ in range(rng.randint(50, 250)):
        true_ns += rng.choice((0, rng.randint(0, pace_ns), wait_ns, max(0, wait_ns - 1), 0, pace_ns))
        if rng.random() < 0.03:
            offset_ns -= rng.randint(0, 100 * S)
        priority = rng.choice((Priority.URGENT, Priority.NORMAL))
        grant = take(state, now_ns=true_ns + offset_ns, priority=priority, parameters=DEFAULTS)
        state, wait_ns = grant.state, grant.wait_ns
        if grant.granted:
            sent.append(true_ns)
    assert most_in_a_second(sent) <= BROKER_MESSAGES_PER_SECOND_MAX


@EXAMPLES
@given(seeds)
def test_a_greedy_sender_gets_forty_five_a_second(seed):
    """Waiting exactly as long as told always succeeds, never exceeds fifty, and wastes nothing of the rate."""
    rng = random.Random(seed)
    priority = rng.choice((Priority.URGENT, Priority.NORMAL))
    state, now_ns, sent = GovernorState(), START_NS, []
    while len(sent) < 120:
        grant = take(state, now_ns=now_ns, priority=priority, parameters=DEFAULTS)
        if not grant.granted:
            now_ns += grant.wait_ns
            grant = take(grant.state, now_ns=now_ns, priority=priority, parameters=DEFAULTS)
            assert grant.granted
        state = grant.state
        sent.append(now_ns)
    assert most_in_a_second(sent) <= BROKER_MESSAGES_PER_SECOND_MAX
    # 120 messages less what the full bucket gave, at 45 a second, each wait rounded up to a nanosecond.
    at_once = DEFAULTS.burst - (0 if priority is Priority.URGENT else DEFAULTS.urgent_reserve)
    exact_ns = Fraction((120 - at_once) * S, DEFAULTS.messages_per_second)
    assert exact_ns <= sent[-1] - START_NS <= exact_ns + 120


@EXAMPLES
@given(seeds)
def test_cancels_are_never_starved(seed):
    """However many ordinary messages push in first, cancels go no later than with a bucket of two for them alone."""
    rng = random.Random(seed)
    state, alone, now_ns = GovernorState(), 2 * S, START_NS
    waiting = waiting_alone = 0
    for _ in range(60):
        step_ns = rng.choice((0, rng.randint(0, S // 45), rng.randint(0, S // 5)))
        now_ns += step_ns
        alone = min(2 * S, alone + step_ns * DEFAULTS.messages_per_second)
        for _ in range(rng.choice((0, 0, 3, 20))):
            state = take(state, now_ns=now_ns, priority=Priority.NORMAL, parameters=DEFAULTS).state
        arrived = rng.choice((0, 0, 1, 2, 10))
        waiting, waiting_alone = waiting + arrived, waiting_alone + arrived
        while waiting and (grant := take(state, now_ns=now_ns, priority=Priority.URGENT, parameters=DEFAULTS)).granted:
            state, waiting = grant.state, waiting - 1
        while waiting_alone and alone >= S:
            alone, waiting_alone = alone - S, waiting_alone - 1
        assert waiting <= waiting_alone


@EXAMPLES
@given(seeds)
def test_historical_requests_keep_all_their_limits(seed):
    """Sixty in ten minutes, identical ones fifteen seconds apart, five of a contract in two seconds, fifty open."""
    rng = random.Random(seed)
    state, now_ns = GovernorState(), START_NS
    sent: list[tuple[int, HistoricalRequest]] = []
    pace_ns = rng.choice((S // 100, S, 5 * S))
    wait_ns = 0
    for index in range(90):
        now_ns += rng.choice((0, rng.randint(0, pace_ns), wait_ns))
        contract = f"c{rng.randint(0, 3)}"
        wanted = HistoricalRequest(
            request=f"r{index}", contract=contract, key=f"{contract}k{rng.randint(0, 12)}", weight=rng.choice((1, 1, 2))
        )
        grant = take_historical(state, wanted=wanted, now_ns=now_ns, parameters=DEFAULTS)
        state, wait_ns = grant.state, grant.wait_ns
        if grant.granted:
            sent.append((now_ns, wanted))
        if state.open_requests and rng.random() < 0.6:
            state = end_historical(state, rng.choice(state.open_requests).request)
        assert len(state.open_requests) <= 50
    for index, (time_ns, wanted) in enumerate(sent):
        before = sent[: index + 1]
        assert sum(other.weight for ns, other in before if ns > time_ns - 600 * S) <= 60
        assert sum(other.key == wanted.key for ns, other in before if ns > time_ns - 15 * S) == 1
        assert sum(other.contract == wanted.contract for ns, other in before if ns > time_ns - 2 * S) <= 5
    assert most_in_a_second([ns for ns, _ in sent]) <= BROKER_MESSAGES_PER_SECOND_MAX


@EXAMPLES
@given(st.integers(1, 10**6), st.floats(0.0, 1.0, exclude_max=True))
def test_reconnection_delays_are_bounded(attempt, jitter):
    """Between four fifths of the doubled delay and the whole of it, and never above a minute."""
    whole_ns = min(60 * S, S << min(attempt - 1, 10))
    delay_ns = reconnect_delay_ns(attempt=attempt, jitter=jitter, parameters=DEFAULTS)
    assert whole_ns * 0.8 <= delay_ns <= whole_ns


@EXAMPLES
@given(seeds)
def test_lines_never_exceed_their_number_and_the_plan_is_complete(seed):
    """Whatever is wanted and pinned when: begin and end lead to the holders, pinned symbols keep their lines."""
    rng = random.Random(seed)
    count = rng.randint(1, 6)
    parameters = LineParameters(lines_max=count, dwell_s=rng.choice((0.0, 10.0)))
    universe = [f"S{index}" for index in range(10)]
    lines, now_ns = Lines(), START_NS
    for _ in range(12):
        now_ns += rng.choice((0, 3 * S, 11 * S))
        wanted = tuple(rng.sample(universe, rng.randint(0, 10)))
        pinned = frozenset(rng.sample(universe, rng.choice((0, 1, 2, 8))))
        plan = plan_lines(lines, wanted=wanted, pinned=pinned, now_ns=now_ns, parameters=parameters)
        held = set(plan.lines.held_ns)
        assert len(held) <= count
        assert held == (set(lines.held_ns) - set(plan.end)) | set(plan.begin)
        assert held | set(plan.waiting) == set(wanted) | pinned
        assert set(plan.unserved_pinned) == pinned - held
        if len(pinned) <= count:
            assert pinned <= held
        if plan.waiting:
            assert len(held) == count
        lines = plan.lines


@EXAMPLES
@given(st.integers(1, 20), st.integers(1, 10), st.integers(0, 9))
def test_everybody_gets_a_line_in_turn(symbols, count, pins):
    """With fixed wishes every symbol has had a line after as many rounds as it takes, and turns stay even."""
    pinned = frozenset(f"S{index}" for index in range(min(pins, count - 1, symbols)))
    parameters = LineParameters(lines_max=count, dwell_s=10.0)
    wanted = tuple(f"S{index}" for index in range(symbols))
    lines, turns = Lines(), Counter()
    free, others = count - len(pinned), symbols - len(pinned)
    rounds = -(-others // free) if others else 1
    for turn in range(3 * rounds):
        plan = plan_lines(lines, wanted=wanted, pinned=pinned, now_ns=START_NS + turn * 10 * S, parameters=parameters)
        lines = plan.lines
        turns.update(symbol for symbol in lines.held_ns if symbol not in pinned)
        if turn == rounds - 1:
            assert len(turns) == others
    if others:
        assert min(turns.values()) >= 2
