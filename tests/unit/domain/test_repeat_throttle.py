"""Owns the tests of the throttle on repeated executions: it trips, it stays tripped, and only a person re-arms it."""

import dataclasses

import pytest

from walstreet.domain import repeat_throttle
from walstreet.domain.guard_verdict import GuardedOrder, Outcome
from walstreet.domain.repeat_throttle import (
    ACCOUNT_KEY,
    ThrottleFacts,
    ThrottleParameters,
    ThrottleReason,
    ThrottleState,
    check_repeats,
    expire,
    key_of,
    note_execution,
    rearm,
    tripped,
)
from walstreet_events import NANOS_PER_SECOND, Side

S = NANOS_PER_SECOND
T0 = 1_800_000_000 * S
PARAMETERS = ThrottleParameters(repeats_max=3, window_s=300.0, account_repeats_max=5, account_window_s=600.0)
BUY = GuardedOrder(symbol="A", side=Side.BUY, quantity_micro=1_000_000, limit_nano=None, position_micro=0)
EXIT = dataclasses.replace(BUY, side=Side.SELL, position_micro=1_000_000)
KEY = key_of("alpha", BUY)


def after(times_s, *, order=BUY, state=None, strategy="alpha") -> ThrottleState:
    """Return the state after executions at ``times_s`` from T0."""
    state = state or ThrottleState()
    for time_s in times_s:
        state = note_execution(
            state, strategy=strategy, order=order, ts_ns=T0 + round(time_s * S), parameters=PARAMETERS
        )
    return state


def check(state, *, time_s=0.0, order=BUY, strategy="alpha"):
    """Return the verdict at ``time_s`` from T0."""
    facts = ThrottleFacts(now_ns=T0 + round(time_s * S), strategy=strategy, order=order, state=state)
    return check_repeats(facts, PARAMETERS)


@pytest.mark.guard("passes", "repeated_execution")
def test_two_of_three_executions_do_not_trip():
    """Below the allowed number everything passes, and the counts stand in the verdict."""
    verdict = check(after([0, 1]), time_s=2)
    assert verdict.outcome is Outcome.PASSED
    assert [(item.name, item.value, item.limit) for item in verdict.measures] == [
        ("repeats", 2, 3),
        ("account_repeats", 2, 5),
    ]


@pytest.mark.guard("blocks", "repeated_execution")
def test_the_last_allowed_execution_disables_until_a_person_comes():
    """After three the key is disabled; hours later it still is, and expiry does not lift it."""
    state = expire(after([0, 1, 2]), T0 + 86_400 * S, PARAMETERS)
    assert tripped(state) == (KEY,)
    verdict = check(state, time_s=86_400)
    assert (verdict.outcome, verdict.reason) == (Outcome.REFUSED, ThrottleReason.REPEATED_EXECUTION)
    assert "person" in verdict.note


def test_other_symbols_and_sides_go_on():
    """A trip is of one strategy, symbol and side."""
    state = after([0, 1, 2])
    other = dataclasses.replace(BUY, symbol="B")
    assert check(state, time_s=3, order=other).outcome is Outcome.PASSED
    assert check(state, time_s=3, strategy="beta").outcome is Outcome.PASSED


def test_slow_repetition_never_trips():
    """At exactly the window's length the oldest no longer counts, for the key and for the account."""
    assert tripped(after([0, 150, 300, 450, 600])) == ()


def test_what_is_slow_for_a_key_may_be_too_much_for_the_account():
    """The account counts over a longer window: the fifth execution within it trips it, and no key of its own."""
    state = ThrottleState()
    for index, time_s in enumerate([0, 100, 200, 300, 400]):
        state = after([time_s], order=dataclasses.replace(BUY, symbol="AB"[index % 2]), state=state)
    assert tripped(state) == (ACCOUNT_KEY,)


def test_the_account_trips_over_all_strategies_together():
    """Five executions of five symbols disable everything."""
    state = ThrottleState()
    for index in range(5):
        order = dataclasses.replace(BUY, symbol=f"S{index}")
        state = after([index], order=order, state=state, strategy=f"s{index}")
    assert tripped(state) == (ACCOUNT_KEY,)
    assert check(state, time_s=6, strategy="new").reason is ThrottleReason.REPEATED_EXECUTION


def test_a_person_re_arms_and_the_count_begins_anew():
    """After re-arming the next execution is the first; re-arming asks for a name and for something that tripped."""
    state = rearm(after([0, 1, 2]), key=KEY, operator="jane")
    assert tripped(state) == ()
    assert check(state, time_s=3).measures[0].value == 0
    with pytest.raises(ValueError, match="name of the person"):
        rearm(after([0, 1, 2]), key=KEY, operator=" ")
    with pytest.raises(ValueError, match="has not tripped"):
        rearm(after([0]), key=KEY, operator="jane")


@pytest.mark.guard("missing", "repeated_execution")
def test_lost_counts_refuse():
    """Without its state the throttle refuses with its own reason."""
    assert check(None).reason is ThrottleReason.REPEATS_UNKNOWN
    assert check(None).outcome is Outcome.REFUSED


@pytest.mark.guard("reduces", "repeated_execution")
def test_an_order_that_only_reduces_passes_a_tripped_throttle_and_counts():
    """Exits go on whatever has tripped, and are executions all the same."""
    state = after([0, 1, 2], order=EXIT)
    assert tripped(state) == (key_of("alpha", EXIT),)
    assert check(state, time_s=3, order=EXIT).outcome is Outcome.BYPASSED
    assert check(None, order=EXIT).outcome is Outcome.BYPASSED


def test_a_lower_limit_holds_at_once_without_a_trip():
    """Two executions under a limit changed to two refuse until the window has passed."""
    facts = ThrottleFacts(now_ns=T0 + 2 * S, strategy="alpha", order=BUY, state=after([0, 1]))
    assert not check_repeats(facts, ThrottleParameters(repeats_max=2)).allowed


@pytest.mark.parametrize("name", ["", ACCOUNT_KEY])
def test_a_strategy_must_have_a_name_of_its_own(name):
    """Else its trips would be mistaken for the account's."""
    with pytest.raises(ValueError, match="strategy"):
        key_of(name, BUY)


def test_the_number_of_keys_is_bounded(monkeypatch):
    """More combinations than a universe has are a fault that is said, not memory that grows."""
    monkeypatch.setattr(repeat_throttle, "KEYS_MAX", 2)
    state = after([0])
    with pytest.raises(ValueError, match="3 keys"):
        after([1], order=EXIT, state=state)


def test_what_no_longer_counts_is_forgotten():
    """Old, untripped keys leave the state, and the digest's content is sorted."""
    state = expire(after([0]), T0 + 300 * S, PARAMETERS)
    assert list(state.keys) == [ACCOUNT_KEY]
    assert expire(state, T0 + 600 * S, PARAMETERS).keys == {}
    assert [row[0] for row in after([0]).canonical()] == sorted([ACCOUNT_KEY, KEY])
