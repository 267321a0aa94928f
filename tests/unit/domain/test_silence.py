"""Market data are subscribed anew when nothing arrives, and after every link that is said to be restored."""

from __future__ import annotations

import pytest

from walstreet.domain.observations import FeedObserved, LinkObserved, QuoteObserved
from walstreet.domain.silence import Renewal, SilenceParameters, SilenceWatch
from walstreet_events import NANOS_PER_SECOND as S

OPEN, CLOSE = 1_000 * S, 2_000 * S


def watch():
    """Return a watch that waits 10 s, then 20, then 30."""
    return SilenceWatch(SilenceParameters(after_s=10.0, longest_s=30.0), open_ns=OPEN, close_ns=CLOSE)


def link(*, connected, code=0):
    """Return a word about the link."""
    return LinkObserved(
        ts_ns=0, connected=connected, data_lost=code == 1101, client_id=11, next_order_id=0, code=code, detail=""
    )


def tick():
    """Return a quote."""
    return QuoteObserved(symbol="A", ts_ns=0, bid_nano=1, ask_nano=2, bid_size_micro=1, ask_size_micro=1)


def test_a_session_without_ticks_is_asked_for_anew_at_growing_distances():
    """The wait doubles up to the longest, and begins anew with the first tick."""
    seen = watch()
    seen.note(link(connected=True), OPEN - 60 * S)
    asked = []
    for now_s in range(1_000, 1_101):
        if seen.due(now_s * S):
            asked.append(now_s - 1_000)
            seen.asked(now_s * S)
    assert asked == [10, 30, 60, 90]
    assert seen.note(tick(), 1_105 * S), "the tick that ends the silence is told"
    assert not seen.note(tick(), 1_106 * S)
    assert seen.due(1_115 * S) is None
    assert seen.due(1_116 * S) is Renewal.SILENT


def test_nothing_need_arrive_outside_of_the_session():
    """Before the open and after the close silence is the rule."""
    seen = watch()
    seen.note(link(connected=True), 0)
    assert seen.due(OPEN) is None
    assert seen.due(OPEN + 9 * S) is None
    assert seen.due(CLOSE) is Renewal.SILENT
    assert seen.due(CLOSE + 1) is None


@pytest.mark.parametrize("code", [1101, 1102])
def test_neither_code_of_a_restored_link_is_believed(code):
    """1102 says that subscriptions were kept, and may lie; both codes ask for everything anew, once."""
    seen = watch()
    seen.note(link(connected=True), OPEN)
    seen.note(link(connected=False, code=1100), OPEN + S)
    assert seen.due(OPEN + 60 * S) is None, "while the link is down nothing can be asked"
    seen.note(link(connected=True, code=code), OPEN + 61 * S)
    assert seen.due(OPEN + 61 * S) is Renewal.RESTORED
    seen.asked(OPEN + 61 * S)
    assert seen.due(OPEN + 62 * S) is None
    assert seen.due(OPEN + 81 * S) is Renewal.SILENT


def test_a_connection_of_our_own_is_not_asked_for_twice():
    """Whoever connects subscribes; the watch only begins to count."""
    seen = watch()
    seen.note(link(connected=True), OPEN + S)
    assert seen.due(OPEN + 2 * S) is None


def test_what_the_broker_says_of_its_farms_is_no_tick():
    """Only market data prove that market data arrive."""
    seen = watch()
    seen.note(link(connected=True), OPEN)
    seen.note(FeedObserved(ts_ns=0, farm="usfarm", healthy=True, data_type="live", code=2104, detail=""), OPEN + 9 * S)
    assert seen.due(OPEN + 10 * S) is Renewal.SILENT


def test_the_longest_wait_is_not_shorter_than_the_first():
    """Values at odds with each other are refused by name."""
    with pytest.raises(ValueError, match="longest_s"):
        SilenceParameters(after_s=60.0, longest_s=30.0)
