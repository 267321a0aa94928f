"""Owns the tests of Rule 201's state machine: trigger, the night, missed sessions and what resolves them."""

import itertools

import pytest

from walstreet.domain.short_sale_rule import (
    TRANSITIONS,
    Rule201,
    SsrState,
    begin_session,
    end_session,
    fell,
    note_announced,
    note_history,
    note_low,
)

FALL = 1_000.0
USD = 1_000_000_000
MON, TUE, WED, THU = "2026-11-16", "2026-11-17", "2026-11-18", "2026-11-19"
DAYS = ("2026-11-13", MON, TUE, WED, THU)


def begun(rule=None, day=MON, *, close=100 * USD) -> Rule201:
    """Return the state at the start of ``day``, by default after a calm day that was watched."""
    before = DAYS[DAYS.index(day) - 1]
    rule = rule or Rule201(session=before, state=SsrState.CLEAR, complete=True)
    return begin_session(rule, session=day, previous_session=before, prior_close_nano=close, fall_bps=FALL)


def low(rule, price_usd) -> Rule201:
    """Return the state after the session's low was reported."""
    return note_low(rule, low_nano=round(price_usd * USD), ts_ns=5, fall_bps=FALL)


def ended(rule, price_usd) -> Rule201:
    """Return the state after the session's end."""
    return end_session(rule, low_nano=round(price_usd * USD), ts_ns=9, fall_bps=FALL)


def test_ten_percent_exactly_triggers():
    """From 100, 90 triggers and 90.000000001 does not."""
    assert fell(90 * USD, 100 * USD, FALL)
    assert not fell(90 * USD + 1, 100 * USD, FALL)
    assert low(begun(), 90.01).state is SsrState.CLEAR
    assert low(begun(), 90.0).state is SsrState.TRIGGERED


def test_the_restriction_lasts_this_session_and_the_next():
    """Triggered on Monday it stays through a recovery, is carried on Tuesday and over on Wednesday."""
    monday = ended(low(low(begun(), 89.0), 99.0), 89.0)
    assert (monday.state, monday.low_nano) == (SsrState.TRIGGERED, 89 * USD)
    tuesday = begun(monday, TUE, close=95 * USD)
    assert tuesday.state is SsrState.CARRIED
    assert tuesday.state.restricted
    assert begun(ended(low(tuesday, 94.0), 94.0), WED).state is SsrState.CLEAR


def test_a_fall_on_the_second_day_begins_anew():
    """Carried on Tuesday and fallen again, Wednesday is restricted too."""
    tuesday = low(begun(ended(low(begun(), 89.0), 89.0), TUE, close=95 * USD), 85.5)
    assert tuesday.state is SsrState.TRIGGERED
    assert begun(ended(tuesday, 85.5), WED).state is SsrState.CARRIED


def test_the_state_survives_the_night_as_a_value():
    """A copy made from its fields goes on like the original."""
    monday = low(begun(), 89.0)
    copy = Rule201(
        session=monday.session,
        state=SsrState(monday.state.value),
        low_nano=monday.low_nano,
        prior_close_nano=monday.prior_close_nano,
        observed_ns=monday.observed_ns,
        complete=monday.complete,
    )
    assert begun(copy, TUE) == begun(monday, TUE)
    assert begun(copy, TUE).state is SsrState.CARRIED
    assert copy.canonical() == monday.canonical()


def test_a_trigger_stands_though_its_session_was_not_watched_to_the_end():
    """What fell before we went down is carried; what was calm until then is unknown."""
    assert begun(low(begun(), 89.0), TUE).state is SsrState.CARRIED
    assert begun(low(begun(), 99.0), TUE).state is SsrState.UNKNOWN


@pytest.mark.parametrize("state", [SsrState.CLEAR, SsrState.TRIGGERED, SsrState.CARRIED, SsrState.UNKNOWN])
def test_a_missed_session_makes_the_state_unknown(state):
    """After a whole session down nobody knows; history decides alone, either way."""
    rule = begun(Rule201(session=MON, state=state, complete=True), WED)
    assert rule.state is SsrState.UNKNOWN
    fallen = note_history(rule, previous_low_nano=90 * USD, close_before_nano=100 * USD, fall_bps=FALL)
    assert fallen.state is SsrState.CARRIED
    calm = note_history(rule, previous_low_nano=91 * USD, close_before_nano=100 * USD, fall_bps=FALL)
    assert calm.state is SsrState.CLEAR


def test_history_without_prices_says_nothing_and_never_lifts_a_known_state():
    """Zero is no price; a carried restriction is not argued away."""
    unknown = begun(Rule201(), MON)
    assert note_history(unknown, previous_low_nano=0, close_before_nano=100 * USD, fall_bps=FALL) == unknown
    carried = begun(low(begun(), 89.0), TUE)
    assert note_history(carried, previous_low_nano=99 * USD, close_before_nano=100 * USD, fall_bps=FALL) == carried


def test_a_start_in_the_middle_of_a_session_misses_nothing():
    """The session's low so far is what counts, not the price now; a low that rises is an older report."""
    assert low(low(begun(), 89.0), 120.0).low_nano == 89 * USD
    fresh = low(begun(Rule201(), MON), 89.0)
    assert fresh.state is SsrState.TRIGGERED, "even from unknown, because today's fall is proved"


def test_a_prior_close_that_comes_late_judges_the_low_that_is_known():
    """The same session begun again with its prior close triggers at once; until then nothing is complete."""
    blind = low(begun(close=None), 89.0)
    assert blind.state is SsrState.CLEAR
    assert not ended(blind, 89.0).complete
    seen = begin_session(blind, session=MON, previous_session=DAYS[0], prior_close_nano=100 * USD, fall_bps=FALL)
    assert seen.state is SsrState.TRIGGERED


def test_an_announcement_triggers():
    """The exchange's word needs no price of ours."""
    assert note_announced(begun()).state is SsrState.TRIGGERED


def test_prices_before_a_session_after_its_end_or_of_nothing_are_no_lows():
    """They change nothing."""
    assert low(Rule201(), 1.0) == Rule201()
    assert low(begun(), 0.0) == begun()
    closed = ended(begun(), 99.0)
    assert low(closed, 1.0) == closed


def test_dates_must_ascend():
    """A session before the present one is refused, and so is one that is its own predecessor."""
    with pytest.raises(ValueError, match="dates must ascend"):
        begin_session(begun(day=TUE), session=MON, previous_session=DAYS[0], prior_close_nano=None, fall_bps=FALL)
    with pytest.raises(ValueError, match="dates must ascend"):
        begin_session(Rule201(), session=MON, previous_session=MON, prior_close_nano=None, fall_bps=FALL)


def test_no_session_lifts_a_restriction_but_the_one_after_the_next():
    """Of all moves in the table only a next session leads from carried to clear, and none from triggered."""
    lifted = [
        (before, move)
        for (before, move), after in TRANSITIONS.items()
        if before.restricted and not after.restricted and after is not SsrState.UNKNOWN
    ]
    assert lifted == [(SsrState.CARRIED, "next_session")]
    moves = {move for _, move in TRANSITIONS}
    for state, move in itertools.product(SsrState, moves):
        assert TRANSITIONS.get((state, move), state) in SsrState
