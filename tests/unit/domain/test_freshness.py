"""Owns the tests of the staleness guard."""

import numpy as np
import pytest

from walstreet.domain.freshness import FreshnessParameters, bar_fresh, prediction_fresh, quote_fresh, within_age
from walstreet.domain.units import MINUTE_NS
from walstreet_events import NANOS_PER_SECOND

pytestmark = pytest.mark.spec("000.9", "000.12")

NOW_NS = 10_000 * NANOS_PER_SECOND
PARAMETERS = FreshnessParameters()


def test_ages_from_a_fault_are_never_fresh():
    """Negative, infinite and NaN ages fail; 0 and the limit itself pass."""
    ages = np.array([-1e-9, np.inf, -np.inf, np.nan, 0.0, 60.0, 60.001])
    assert within_age(ages, 60.0).tolist() == [False, False, False, False, True, True, False]


def test_quote_is_fresh_up_to_sixty_seconds_on_a_healthy_feed():
    """A confirmation 60 s ago passes, 60.000000001 s fails, one from the future fails, 0 means never."""
    stamps = np.array([NOW_NS - 60 * NANOS_PER_SECOND, NOW_NS - 60 * NANOS_PER_SECOND - 1, NOW_NS + 1, 0])
    fresh = quote_fresh(stamps, now_ns=NOW_NS, farms_healthy=1, farms_broken=0, parameters=PARAMETERS)
    assert fresh.tolist() == [True, False, False, False]


def test_quote_needs_its_own_confirmation_while_a_farm_is_broken():
    """With one of two farms broken only a symbol confirmed within one second is fresh, with none healthy nobody is."""
    stamps = np.array([NOW_NS - NANOS_PER_SECOND, NOW_NS - 2 * NANOS_PER_SECOND])
    one = quote_fresh(stamps, now_ns=NOW_NS, farms_healthy=1, farms_broken=1, parameters=PARAMETERS)
    none = quote_fresh(stamps, now_ns=NOW_NS, farms_healthy=0, farms_broken=2, parameters=PARAMETERS)
    assert one.tolist() == [True, False]
    assert none.tolist() == [False, False]


@pytest.mark.parametrize(("age_ns", "expected"), [(0, True), (90 * NANOS_PER_SECOND, True), (-1, False)])
def test_bar_is_fresh_for_one_and_a_half_bars_from_its_end(age_ns: int, expected: bool):
    """A minute bar passes at 90 s, fails after it, and fails when it ends in the future."""
    end_ns = NOW_NS - age_ns
    assert bar_fresh(bar_end_ns=end_ns, bar_ns=MINUTE_NS, now_ns=NOW_NS, parameters=PARAMETERS) is expected
    late = NOW_NS - 90 * NANOS_PER_SECOND - 1
    assert not bar_fresh(bar_end_ns=late, bar_ns=MINUTE_NS, now_ns=NOW_NS, parameters=PARAMETERS)
    assert not bar_fresh(bar_end_ns=NOW_NS, bar_ns=0, now_ns=NOW_NS, parameters=PARAMETERS)


def test_prediction_lives_for_two_of_its_own_horizons():
    """At an age of 11 minutes the 5-minute prediction is stale and the 15-minute one is not."""
    fresh = prediction_fresh(
        np.array([5, 15]), prediction_ts_ns=NOW_NS - 11 * MINUTE_NS, now_ns=NOW_NS, parameters=PARAMETERS
    )
    assert fresh.tolist() == [False, True]
    future = prediction_fresh(np.array([5]), prediction_ts_ns=NOW_NS + 1, now_ns=NOW_NS, parameters=PARAMETERS)
    assert future.tolist() == [False]


def test_contradictory_parameters_are_refused_by_name():
    """The limit for a broken farm may not exceed the ordinary one."""
    with pytest.raises(ValueError, match="quote_confirmed_s_max_broken_farm is 90"):
        FreshnessParameters(quote_confirmed_s_max_broken_farm=90.0)
    with pytest.raises(ValueError, match=r"freshness\.bar_age_bars_max is nan"):
        FreshnessParameters(bar_age_bars_max=float("nan"))
