"""Owns the tests of when a symbol may trade."""

import numpy as np
import pytest

from walstreet.domain.rebalance import (
    NEVER_SWEPT,
    REBALANCE_VERDICTS,
    RebalanceInputs,
    RebalanceParameters,
    RebalanceReason,
    rebalance,
    sweep_due,
)
from walstreet.domain.session_rules import SessionParameters, SessionWindow, session_window
from walstreet.domain.units import MINUTE_NS

pytestmark = pytest.mark.spec("000.4")

DEFAULTS = RebalanceParameters()
OPEN_NS = 1_000_000 * MINUTE_NS
FULL_NS = OPEN_NS + 390 * MINUTE_NS
EARLY_NS = OPEN_NS + 210 * MINUTE_NS
BAND = 0.008


def window_at(minutes: float, close_ns: int = FULL_NS) -> SessionWindow:
    """Return what the session allows ``minutes`` after its open."""
    return session_window(
        now_ns=OPEN_NS + int(minutes * MINUTE_NS), open_ns=OPEN_NS, close_ns=close_ns, parameters=SessionParameters()
    )


MIDDAY = window_at(200)


def judge(*, target=0.04, current=0.03, planned=None, band=BAND, spread=10.0, alpha_z=0.0, switch=False, **options):
    """Return reason, weight and flag of one symbol."""
    result = rebalance(
        RebalanceInputs(
            target=np.array([target]),
            planned=np.array([target if planned is None else planned]),
            current=np.array([current]),
            band=band,
            spread_bps=np.array([spread]),
            alpha_z=np.array([alpha_z]),
            regime_switch=switch,
        ),
        window=options.get("window", MIDDAY),
        sweep=options.get("sweep", False),
        parameters=options.get("parameters", DEFAULTS),
    )
    return RebalanceReason(int(result.reason[0])), float(result.weights[0]), bool(result.may_trade[0])


@pytest.mark.parametrize(
    ("changes", "reason", "passes"),
    [
        ({"target": 0.038}, RebalanceReason.IN_BAND, False),
        ({"target": 0.0381}, RebalanceReason.NO_EVENT, False),
        ({"spread": 4.9, "alpha_z": 2.1}, RebalanceReason.SIGNAL, True),
        ({"spread": 4.9, "alpha_z": -2.1}, RebalanceReason.SIGNAL, True),
        ({"spread": 5.0, "alpha_z": 2.1}, RebalanceReason.NO_EVENT, False),
        ({"spread": 4.9, "alpha_z": 2.0}, RebalanceReason.NO_EVENT, False),
        ({"spread": np.nan, "alpha_z": 9.0}, RebalanceReason.NO_EVENT, False),
        ({"spread": 1.0, "alpha_z": np.nan}, RebalanceReason.NO_EVENT, False),
        ({"switch": True}, RebalanceReason.REGIME, True),
        ({"target": 0.0459}, RebalanceReason.NO_EVENT, False),
        ({"target": 0.0461}, RebalanceReason.DRIFT, True),
        ({"sweep": True}, RebalanceReason.SWEEP, True),
        ({"parameters": RebalanceParameters(mode="always")}, RebalanceReason.ALWAYS, True),
        ({"target": 0.035, "switch": True}, RebalanceReason.IN_BAND, False),
        ({"target": 0.035, "sweep": True}, RebalanceReason.IN_BAND, False),
        ({"target": 0.035, "spread": 1.0, "alpha_z": 9.0}, RebalanceReason.IN_BAND, False),
        ({"planned": 0.03}, RebalanceReason.UNCHANGED, False),
    ],
)
def test_triggers(changes: dict[str, object], reason: RebalanceReason, passes: bool):
    """From .03, beyond .038 is outside the band and beyond .046 outside two; an event never replaces the drift."""
    got, weight, may_trade = judge(**changes)
    assert got is reason
    assert may_trade is passes
    assert weight == (changes.get("target", 0.04) if passes else 0.03)


def test_a_reduction_needs_no_event():
    """From .03 to .02 passes without anything having happened, without a window and with an unknown band."""
    assert judge(target=0.02) == (RebalanceReason.REDUCING, 0.02, True)
    assert judge(target=0.0, window=None) == (RebalanceReason.REDUCING, 0.0, True)
    assert judge(target=-0.0, current=-0.03, band=np.nan) == (RebalanceReason.REDUCING, 0.0, True)


def test_a_crossing_without_an_event_ends_flat():
    """From .004 to -.006 is outside the band and no event: the long is sold, the short is not opened."""
    assert judge(target=-0.006, current=0.004) == (RebalanceReason.NO_EVENT, 0.0, True)
    assert judge(target=-0.006, current=0.004, switch=True) == (RebalanceReason.REGIME, -0.006, True)


@pytest.mark.parametrize("close_ns", [FULL_NS, EARLY_NS], ids=["full", "early"])
def test_no_entries_in_the_last_quarter_hour_and_exits_always(close_ns: int):
    """From 15 minutes before the close nothing grows or crosses, whatever has happened; exits go on to the close."""
    length = (close_ns - OPEN_NS) / MINUTE_NS
    late = window_at(length - 15, close_ns)
    assert judge(target=0.2, window=window_at(length - 15.1, close_ns))[0] is RebalanceReason.DRIFT
    assert judge(target=0.2, window=late, switch=True) == (RebalanceReason.NO_ENTRY, 0.03, False)
    assert judge(target=-0.2, window=late) == (RebalanceReason.NO_ENTRY, 0.0, True)
    leaving = window_at(length - 2.1, close_ns)
    assert leaving.flatten_intraday
    assert judge(target=0.0, window=leaving) == (RebalanceReason.REDUCING, 0.0, True)


def test_nothing_is_opened_outside_the_session_or_in_an_unknown_one():
    """Before the open, after the close and without a session no entry passes."""
    for window in (window_at(-1), window_at(390), None):
        assert judge(target=0.2, window=window) == (RebalanceReason.NO_ENTRY, 0.03, False)


def test_the_opening_band_arrives_doubled():
    """In the first quarter hour .0461 is inside two doubled bands, and half the size is the sizer's business."""
    window = window_at(5)
    band = BAND * window.band_multiplier
    assert judge(target=0.0461, band=band, window=window)[0] is RebalanceReason.NO_EVENT
    assert judge(target=0.0621, band=band, window=window)[0] is RebalanceReason.DRIFT
    assert window.size_multiplier == 0.5


@pytest.mark.parametrize(
    "changes", [{"target": np.nan, "planned": 0.04}, {"band": np.nan}, {"planned": np.nan}, {"current": np.nan}]
)
def test_missing_facts_fail_closed(changes: dict[str, float]):
    """Without a weight or the band nothing grows."""
    reason, _, may_trade = judge(**changes)
    assert reason is RebalanceReason.MISSING
    assert not may_trade


def test_flags_may_differ_per_symbol():
    """A regime switch of one symbol does not let its neighbour trade; a band may be given per symbol."""
    result = rebalance(
        RebalanceInputs(
            target=np.full(3, 0.04),
            planned=np.full(3, 0.04),
            current=np.full(3, 0.03),
            band=np.array([0.008, 0.008, 0.004]),
            spread_bps=np.full(3, np.nan),
            alpha_z=np.full(3, np.nan),
            regime_switch=np.array([True, False, False]),
        ),
        window=MIDDAY,
        sweep=False,
        parameters=DEFAULTS,
    )
    assert result.may_trade.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("minutes", "close_ns", "due"),
    [
        (299.99, FULL_NS, False),
        (300, FULL_NS, True),
        (374.9, FULL_NS, True),
        (375, FULL_NS, False),
        (119.99, EARLY_NS, False),
        (120, EARLY_NS, True),
    ],
)
def test_the_sweep_is_due_ninety_minutes_before_the_close(minutes: float, close_ns: int, due: bool):
    """14:30 on a full day and 11:30 on a half day, until entries end; a delayed one is made up for."""
    now_ns = OPEN_NS + int(minutes * MINUTE_NS)
    got = sweep_due(
        now_ns=now_ns,
        close_ns=close_ns,
        swept_close_ns=NEVER_SWEPT,
        window=window_at(minutes, close_ns),
        parameters=DEFAULTS,
    )
    assert got is due


def test_a_session_is_swept_once():
    """After the sweep was noted it is not due again in that session, and is in the next."""
    now_ns = OPEN_NS + 301 * MINUTE_NS
    arguments = {"now_ns": now_ns, "close_ns": FULL_NS, "window": window_at(301), "parameters": DEFAULTS}
    assert not sweep_due(swept_close_ns=FULL_NS, **arguments)
    assert sweep_due(swept_close_ns=EARLY_NS, **arguments)


def test_every_reason_that_stops_a_symbol_has_a_verdict():
    """The stable codes cover all reasons but those that pass."""
    stopped = {"MISSING", "UNCHANGED", "NO_ENTRY", "IN_BAND", "NO_EVENT"}
    assert {reason.name for reason in REBALANCE_VERDICTS} == stopped


def test_parameters_out_of_range_are_refused():
    """Fewer than one band would trade inside the band."""
    with pytest.raises(ValueError, match=r"rebalance\.drift_bands is 0.5"):
        RebalanceParameters(drift_bands=0.5)
