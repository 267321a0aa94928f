"""Owns the tests of what the time of the session allows."""

import pytest

from walstreet.domain.session_rules import SessionParameters, session_window
from walstreet.domain.units import MINUTE_NS

OPEN_NS = 1_000_000 * MINUTE_NS
FULL_NS = OPEN_NS + 390 * MINUTE_NS
EARLY_NS = OPEN_NS + 210 * MINUTE_NS


def window_at(minutes: float, close_ns: int = FULL_NS):
    """Return the window ``minutes`` after the open."""
    return session_window(
        now_ns=OPEN_NS + int(minutes * MINUTE_NS), open_ns=OPEN_NS, close_ns=close_ns, parameters=SessionParameters()
    )


@pytest.mark.parametrize(
    ("minutes", "band", "size"), [(0, 2.0, 0.5), (14.99, 2.0, 0.5), (15, 1.0, 1.0), (200, 1.0, 1.0)]
)
def test_the_opening_quarter_hour_is_cautious(minutes: float, band: float, size: float):
    """Until 15 minutes after the open the band doubles and sizes halve."""
    window = window_at(minutes)
    assert (window.band_multiplier, window.size_multiplier) == (band, size)


@pytest.mark.parametrize("close_ns", [FULL_NS, EARLY_NS], ids=["full", "early"])
@pytest.mark.parametrize(
    ("before_close", "entries", "flatten"),
    [(15.01, True, False), (15, False, False), (10.01, False, False), (10, False, True)],
)
def test_the_end_of_the_session_is_relative_to_its_close(
    close_ns: int, before_close: float, entries: bool, flatten: bool
):
    """No entries from 15 minutes and exits from 10 minutes before the close, on half days too."""
    window = window_at((close_ns - OPEN_NS) / MINUTE_NS - before_close, close_ns)
    assert (window.entries_allowed, window.flatten_intraday) == (entries, flatten)
    assert window.trading


@pytest.mark.parametrize(("minutes", "trading"), [(-0.01, False), (0, True), (389.99, True), (390, False)])
def test_nothing_trades_outside_the_session(minutes: float, trading: bool):
    """The session includes its open and excludes its close."""
    assert window_at(minutes).trading is trading


@pytest.mark.parametrize(
    ("minutes", "multiplier"),
    [(0, 1.5), (29.9, 1.5), (30, 1.0), (89.9, 1.0), (90, 0.8), (269.9, 0.8), (270, 1.0), (359.9, 1.0), (360, 1.5)],
)
def test_costs_are_high_at_the_edges_and_low_at_midday(minutes: float, multiplier: float):
    """1.5 in the first and last half hour, .8 from 11:00 to 14:00 for an open at 9:30."""
    assert window_at(minutes).cost_multiplier == multiplier


def test_the_close_of_a_half_day_beats_midday():
    """On a session that ends at 13:00 the last half hour is dear although it is midday."""
    assert window_at(185, EARLY_NS).cost_multiplier == 1.5


def test_contradictory_windows_are_refused():
    """Exits may not begin before entries end."""
    with pytest.raises(ValueError, match=r"session\.flatten_start_minutes is 20"):
        SessionParameters(flatten_start_minutes=20.0)
