"""Owns the tests of what the conformal gate learns and remembers, by hand."""

import numpy as np
import pytest

from walstreet.domain.conformal import coverage
from walstreet.domain.conformal_learn import learn
from walstreet.domain.conformal_parameters import ConformalParameters
from walstreet.domain.conformal_state import (
    GATED,
    IN_FORCE_MAX,
    MONITORED,
    ConformalState,
    HorizonState,
    exchange_sorted,
)

MINUTE_NS = 60_000_000_000
SMALL = ConformalParameters(
    outcomes_min=4,
    decision_times_min=2,
    disjoint_windows_min=2,
    window_decision_times=20,
    refit_every=1,
    decision_minutes=5,
)
"""One decision in five minutes: outcomes of the 5-minute horizon do not overlap."""


def teach(
    state: ConformalState,
    decision: int,
    residuals: list[float],
    *,
    known_at: int | None = None,
    parameters: ConformalParameters = SMALL,
    minutes: int = 5,
) -> HorizonState:
    """Learn a cross-section of scores .5 with the given residuals; times in decisions, known one later."""
    scores = np.full(len(residuals), 0.5)
    learn(
        state,
        horizon_minutes=minutes,
        ts_ns=decision * 5 * MINUTE_NS,
        now_ns=(decision + 1 if known_at is None else known_at) * 5 * MINUTE_NS,
        scores=scores,
        outcomes=scores + np.array(residuals),
        parameters=parameters,
    )
    return state.horizons[minutes]


def test_intervals_take_the_conformal_rank_of_signed_residuals() -> None:
    """Nine residuals 1..9: rank ceil(10 * .9) = 9 from either side gives 1 and 9; at .2 rank 8 gives 2 and 8."""
    state = ConformalState()
    parameters = ConformalParameters(
        outcomes_min=9,
        decision_times_min=2,
        disjoint_windows_min=2,
        window_decision_times=20,
        refit_every=1,
        decision_minutes=5,
    )
    teach(state, 0, [1.0, 4.0, 7.0, 2.0, 5.0], parameters=parameters)
    horizon = teach(state, 1, [8.0, 9.0, 6.0, 3.0], parameters=parameters)
    assert horizon.intervals[MONITORED] == pytest.approx((1.0, 9.0))
    assert horizon.intervals[GATED] == pytest.approx((2.0, 8.0))


def test_too_few_outcomes_or_decision_times_leave_it_uncalibrated() -> None:
    """Many outcomes of one time are not enough, nor are many times with one outcome each."""
    state = ConformalState()
    horizon = teach(state, 0, [0.1, 0.2, 0.3, 0.4, 0.5])
    assert not horizon.calibrated
    assert horizon.intervals[MONITORED] == (-np.inf, np.inf)
    state = ConformalState()
    for decision in range(3):
        assert not teach(state, decision, [0.1]).calibrated
    assert teach(state, 3, [0.1]).calibrated


def test_each_outcome_moves_each_level_once() -> None:
    """Of two outcomes one above: lower .1 + .005*2*.1 = .101, upper .1 + .005*(.2 - 1) = .096; gate's .202 and .197."""
    state = ConformalState()
    for decision in range(5):
        teach(state, decision, [-1.0, 0.0, 0.5, 1.0])
    horizon = state.horizons[5]
    horizon.levels = [[0.1, 0.1], [0.2, 0.2]]
    horizon.in_force.clear()
    horizon.in_force.append((5 * 5 * MINUTE_NS, ((-1.0, 1.0), (-0.5, 0.5))))
    judged = horizon.judged
    missed = [list(sides) for sides in horizon.missed]
    teach(state, 5, [0.3, 1.5])
    assert horizon.judged - judged == 2
    assert [
        [now - then for now, then in zip(*pair, strict=True)] for pair in zip(horizon.missed, missed, strict=True)
    ] == [
        [0, 1],
        [0, 1],
    ]
    assert horizon.levels[MONITORED] == pytest.approx([0.101, 0.096])
    assert horizon.levels[GATED] == pytest.approx([0.2 + 0.005 * 0.4, 0.2 + 0.005 * (0.4 - 1)])


def test_overlapping_outcomes_count_for_the_part_that_is_new() -> None:
    """Thirty-minute outcomes every five minutes overlap six-fold: the step is .005/6; the letter's is .005."""
    for adaptation, step in (("overlap", 0.005 / 6), ("outcome", 0.005)):
        parameters = ConformalParameters(
            outcomes_min=4,
            decision_times_min=2,
            disjoint_windows_min=2,
            window_decision_times=20,
            decision_minutes=5,
            refit_every=20,
            adaptation=adaptation,
        )
        state = ConformalState()
        for decision in range(4):
            teach(state, decision, [0.0, 1.0], parameters=parameters, minutes=30)
        horizon = state.horizons[30]
        horizon.levels = [[0.1, 0.1], [0.2, 0.2]]
        horizon.in_force.clear()
        horizon.in_force.append((0, ((-1.0, 1.0), (-1.0, 1.0))))
        teach(state, 6, [5.0], parameters=parameters, minutes=30)
        assert horizon.levels[MONITORED] == pytest.approx([0.1 + step * 0.1, 0.1 + step * (0.1 - 1.0)])


def test_an_outcome_is_judged_by_the_interval_of_its_decision_time() -> None:
    """What was learned between the decision and the outcome does not judge it, and before the first nothing does."""
    state = ConformalState()
    for decision in range(4):
        # Known only at 10, so nothing was in force when any of these was predicted.
        teach(state, decision, [-0.1, 0.0, 0.1], known_at=10)
    horizon = state.horizons[5]
    assert horizon.judged == 0
    horizon.in_force.clear()
    horizon.in_force.extend(
        [
            (50 * MINUTE_NS, ((-1.0, 1.0), (-1.0, 1.0))),
            (60 * MINUTE_NS, ((-9.0, 9.0), (-9.0, 9.0))),
        ]
    )
    teach(state, 11, [5.0], known_at=20)  # decided at minute 55: the narrow one
    assert (horizon.judged, horizon.missed[MONITORED]) == (1, [0, 1])
    horizon.in_force.clear()
    horizon.in_force.extend(
        [
            (50 * MINUTE_NS, ((-1.0, 1.0), (-1.0, 1.0))),
            (60 * MINUTE_NS, ((-9.0, 9.0), (-9.0, 9.0))),
        ]
    )
    teach(state, 12, [5.0], known_at=21)  # decided at minute 60: the wide one
    assert (horizon.judged, horizon.missed[MONITORED]) == (2, [0, 1])


@pytest.mark.parametrize(
    ("level", "expected"), [(0.0, np.inf), (-0.3, np.inf), (1.0, -np.inf), (1.2, -np.inf), (0.5, 0.1)]
)
def test_levels_outside_the_unit_interval_give_infinite_or_empty_intervals(level: float, expected: float) -> None:
    """At or below 0 nothing may be missed, at or above 1 everything is; of -.2, .1, .4 at .5 rank ceil(4 * .5) = 2."""
    state = ConformalState()
    for decision in range(2):
        teach(state, decision, [0.4, -0.2])
    horizon = state.horizons[5]
    horizon.levels = [[level, level], [0.2, 0.2]]
    horizon.ordered = np.array([-0.2, 0.1, 0.4])
    horizon.arrived, horizon.expired = [], []
    horizon.in_force.clear()
    # Two kept every refit: a parameter set that never refits again leaves ``ordered`` alone.
    lazy = ConformalParameters(
        outcomes_min=4,
        decision_times_min=2,
        disjoint_windows_min=2,
        window_decision_times=20,
        refit_every=20,
        decision_minutes=5,
    )
    teach(state, 2, [0.0], parameters=lazy)
    lower, upper = horizon.intervals[MONITORED]
    assert upper == expected
    assert lower == (expected if level == 0.5 else -expected)


def test_missing_pairs_are_skipped_and_wild_outcomes_are_held_to_the_bound() -> None:
    """NaN and infinite values and a score beyond 1,000 sigma are left out; a finite outcome of 1e9 counts as 1,000."""
    state = ConformalState()
    learn(
        state,
        horizon_minutes=5,
        ts_ns=0,
        now_ns=1,
        scores=np.array([np.nan, 0.1, np.inf, 1e4, 0.2, 0.0]),
        outcomes=np.array([1.0, np.nan, 1.0, 1.0, 1e9, np.inf]),
        parameters=SMALL,
    )
    ring = state.horizons[5].ring
    assert ring.pairs == 1
    assert ring.scores[0, 0] == 0.2
    assert ring.outcomes[0, 0] == 1_000.0
    learn(
        state,
        horizon_minutes=5,
        ts_ns=1,
        now_ns=2,
        scores=np.full(3, np.nan),
        outcomes=np.zeros(3),
        parameters=SMALL,
    )
    assert ring.stored == 1


def test_the_ring_forgets_and_widens() -> None:
    """After 50 decision times 20 remain, narrow and wide ones mixed, and the sorted residuals are theirs."""
    state = ConformalState()
    rng = np.random.default_rng(7)
    rows = [np.round(rng.standard_normal(width), 1).tolist() for width in rng.integers(1, 6, 50)]
    for decision, row in enumerate(rows):
        teach(state, decision, row)
    horizon = state.horizons[5]
    kept = sorted(value for row in rows[-20:] for value in row)
    assert horizon.ring.rows == 20
    assert horizon.ring.pairs == len(kept)
    np.testing.assert_allclose(horizon.ordered, kept, atol=1e-12)
    assert horizon.residual_mean == pytest.approx(np.mean(kept))
    scores, outcomes = horizon.ring.flat_pairs()[1:]
    assert horizon.ordered.tobytes() == np.sort((outcomes - scores) + 0.0).tobytes()


def test_long_horizons_are_thinned_but_every_outcome_is_judged() -> None:
    """With a window of 20 for 2 horizons of 195 decisions every 20th is kept; all that had an interval are judged."""
    parameters = ConformalParameters(
        outcomes_min=2,
        decision_times_min=2,
        disjoint_windows_min=2,
        window_decision_times=20,
        decision_minutes=2,
        refit_every=20,
    )
    state = ConformalState()
    for decision in range(100):
        horizon = teach(state, decision, [0.1, -0.1], parameters=parameters, minutes=390)
    assert parameters.stride(390) == 20
    assert horizon.ring.stored == 5
    assert horizon.learned == 100
    assert horizon.judged == 2 * (100 - 21)


def test_memory_is_bounded() -> None:
    """However many predictions wait, the intervals kept for them do not exceed their bound."""
    assert ConformalState().horizons == {}
    state = ConformalState()
    horizon = teach(state, 0, [0.1])
    assert horizon.in_force.maxlen == IN_FORCE_MAX
    for decision in range(1, 200):
        horizon = teach(state, decision, [0.1, 0.3])
    # Outcomes come one decision later, so only the interval in force then and the newest are kept.
    assert len(horizon.in_force) <= 3
    assert len(horizon.arrived) <= SMALL.refit_every


def test_exchange_takes_out_as_many_equal_values_as_leave() -> None:
    """Of three twos two leave and one four comes."""
    ordered = np.array([1.0, 2.0, 2.0, 2.0, 3.0])
    changed = exchange_sorted(ordered, np.array([2.0, 2.0]), np.array([4.0, 0.0]))
    assert changed.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_time_may_not_run_backwards() -> None:
    """A decision time given twice, or an outcome known before its decision, is refused with both times named."""
    state = ConformalState()
    teach(state, 3, [0.1])
    with pytest.raises(ValueError, match="in order"):
        teach(state, 3, [0.1])
    with pytest.raises(ValueError, match="in order"):
        teach(state, 4, [0.1], known_at=3)
    with pytest.raises(ValueError, match="both must be"):
        learn(
            state,
            horizon_minutes=5,
            ts_ns=10**15,
            now_ns=10**15,
            scores=np.zeros(2),
            outcomes=np.zeros(3),
            parameters=SMALL,
        )
    with pytest.raises(ValueError, match="horizon_minutes is 7"):
        teach(state, 9, [0.1], minutes=7)


def test_coverage_reports_counts_and_levels() -> None:
    """Of four judged outcomes one lies below and two on the ends, which belong to the interval: .75 are covered."""
    state = ConformalState()
    assert coverage(state) == ()
    for decision in range(2):
        horizon = teach(state, decision, [0.0, 0.1])
    assert np.isnan(coverage(state)[0].covered)
    horizon.in_force.clear()
    horizon.in_force.append((0, ((-1.0, 1.0), (-1.0, 1.0))))
    teach(state, 2, [-3.0, -1.0, 0.1, 1.0])
    report = coverage(state)[0]
    assert (report.judged, report.missed_below, report.missed_above) == (4, 1, 0)
    assert report.covered == 0.75
    assert report.outcomes == 8
    assert report.calibrated
