"""Owns the tests of the pass rates of gates, cycle by cycle."""

from __future__ import annotations

import math

import pytest

from walstreet.domain.check_result import CheckResult
from walstreet.domain.monitor_parameters import MonitorParameters
from walstreet.replay.gate_series import GateSeries
from walstreet_events import Verdict

CYCLES = (
    (Verdict.ACCEPTED, Verdict.NO_ALPHA),
    (Verdict.STALE_QUOTE, Verdict.STALE_QUOTE),
    (Verdict.ACCEPTED, Verdict.ACCEPTED),
)


def series() -> GateSeries:
    """Return three cycles of two symbols: one of two, none asked, two of two pass the gate of the edge."""
    found = GateSeries()
    for number, verdicts in enumerate(CYCLES):
        found.take(number, verdicts)
    return found


def test_each_cycle_has_its_rate() -> None:
    """A cycle in which a gate was not asked has none."""
    rates = series().rates("edge")
    assert (rates[0], rates[2]) == (0.5, 1.0)
    assert math.isnan(rates[1])
    assert series().rates("fresh") == [1.0, 0.0, 1.0]


def test_moving_rates_are_ratios_of_sums() -> None:
    """Over two cycles: 1/2, then (1+0)/(2+0), then (0+2)/(0+2); not means of rates."""
    assert series().moving_rates("edge", 2) == [0.5, 0.5, 1.0]
    assert series().moving_rates("edge", 30) == pytest.approx([0.5, 0.5, 0.75])


def test_totals_are_judged_like_the_checklist() -> None:
    """Three of four passed a selective gate that was asked often enough; others are not judged.

    The edge is asked about 2 + 0 + 2 = 4 symbols and stops one, so the conformal gate is asked about 3 and lets all by.
    """
    found = series().totals(MonitorParameters(gate_asked_min=3))
    edge, conformal = found["edge"], found["conformal"]
    assert (edge.asked, edge.passed, edge.result) == (4, 3, CheckResult.PASSED)
    assert (conformal.asked, conformal.passed, conformal.result) == (3, 3, CheckResult.FAILED)
    assert found["fresh"].result is CheckResult.UNKNOWN
    found = series().totals(MonitorParameters(gate_asked_min=4))
    assert found["edge"].result is CheckResult.PASSED
    assert found["conformal"].result is CheckResult.UNKNOWN
    assert series().totals(MonitorParameters(gate_asked_min=5))["edge"].result is CheckResult.UNKNOWN


def test_a_gate_that_is_forgotten_was_never_asked() -> None:
    """Its counts are gone, those of the others stay."""
    found = series()
    found.forget("conformal")
    assert all(math.isnan(rate) for rate in found.moving_rates("conformal"))
    assert found.totals(MonitorParameters())["conformal"].asked == 0
    assert found.totals(MonitorParameters())["edge"].asked == 4
