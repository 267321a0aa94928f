"""Owns the tests of monitoring: windows, gate rates, reliability, association."""

import itertools
import math

import numpy as np
import pytest

from walstreet.domain.association import cramers_v
from walstreet.domain.check_result import CheckResult
from walstreet.domain.gate_rates import GATE_NAMES, GATES, UNCOUNTED, gate_counts, judge_gate
from walstreet.domain.monitor import (
    NO_REGIME,
    CycleFacts,
    MaturedEdge,
    monitor_memory,
    note_barriers,
    note_coverage,
    note_cycle,
    note_edges,
    note_parent,
    quantile,
    read,
)
from walstreet.domain.monitor_facts import cycle_facts
from walstreet.domain.monitor_parameters import MonitorParameters
from walstreet.domain.reliability import read_reliability, reliability_row
from walstreet.domain.rolling_rows import CELLS_MAX, rolling_rows
from walstreet_events import ROOT, Column, Decision, EventId, Mode, Verdict, float_block

pytestmark = pytest.mark.spec("000.11")

NAN = float("nan")
SMALL = MonitorParameters(window_cycles=4, window_outcomes=3, window_parents=4, gate_asked_min=6)


def cycle(*verdicts: Verdict, **changes: object) -> CycleFacts:
    """Return the facts of one cycle."""
    values: dict[str, object] = {
        "verdicts": verdicts or (Verdict.ACCEPTED,),
        "turnover_weight": 0.02,
        "turnover_wanted_weight": 0.05,
        "band_weight": 0.008,
        "intents_abs_weight": NAN,
        "intents_net_weight": NAN,
        "latency_ms": 10.0,
        "regime": NO_REGIME,
        "chosen_horizons_minutes": (),
    } | changes
    return CycleFacts(**values)


# ------------------------------------------------------------------------------------------------- rolling rows


def test_a_window_keeps_the_newest_rows_oldest_first():
    """Of rows 0..4 a window of three keeps 2, 3, 4, and sums each column."""
    window = rolling_rows(3, 2)
    for value in range(5):
        window.push(np.array([value, 10.0 * value]))
    assert window.ordered().tolist() == [[2.0, 20.0], [3.0, 30.0], [4.0, 40.0]]
    assert window.totals() == (9.0, 90.0)
    assert (window.count, window.pushed) == (3, 5)


def test_a_window_is_bounded():
    """More cells than the bound, or none, are refused."""
    with pytest.raises(ValueError, match="choose a shorter one"):
        rolling_rows(CELLS_MAX // 100 + 1, 100)
    with pytest.raises(ValueError, match="0 rows"):
        rolling_rows(0, 1)


# -------------------------------------------------------------------------------------------------------- gates


def test_every_verdict_is_counted_or_left_out_on_purpose():
    """Gates, the uncounted ones and ``accepted`` are all verdicts, each once."""
    counted = [verdict for _, verdicts in GATES for verdict in verdicts]
    assert sorted([*counted, *UNCOUNTED, Verdict.ACCEPTED]) == sorted(Verdict)


def test_a_verdict_says_passed_of_every_gate_before_it():
    """Of five that count, one each is stale, without prediction, without edge, blocked: 5, 4, 3, 2 asked, then 1.

    What has no reference and what is held count nowhere.
    """
    verdicts = (
        Verdict.STALE_QUOTE,
        Verdict.NO_PRED,
        Verdict.NO_ALPHA,
        Verdict.CONF_BLOCK,
        Verdict.ACCEPTED,
        Verdict.NO_REF,
        Verdict.HOLD,
    )
    counts = dict(zip(GATE_NAMES, gate_counts(verdicts), strict=True))
    assert counts["fresh"] == (5, 4)
    assert counts["prediction"] == (4, 3)
    assert counts["edge"] == (3, 2)
    assert counts["conformal"] == (2, 1)
    assert all(counts[name] == (1, 1) for name in GATE_NAMES[4:])


@pytest.mark.parametrize(
    ("asked", "passed", "selective", "result"),
    [
        (100, 0, True, CheckResult.FAILED),
        (100, 100, True, CheckResult.FAILED),
        (100, 1, True, CheckResult.PASSED),
        (99, 0, True, CheckResult.UNKNOWN),
        (100, 100, False, CheckResult.UNKNOWN),
    ],
)
def test_a_gate_that_never_or_always_fires_is_a_defect(asked: int, passed: int, selective: bool, result: CheckResult):
    """Only gates that are meant to select are judged, and only once they were asked often enough."""
    assert judge_gate(asked=asked, passed=passed, asked_min=100, selective=selective).result is result


def test_gate_rates_follow_the_window():
    """Cycles in which the edge gate stopped everything leave the window of four cycles after four that mix."""
    memory = monitor_memory(SMALL)
    for _ in range(4):
        note_cycle(memory, cycle(Verdict.NO_ALPHA, Verdict.NO_ALPHA))
    edge = read(memory, SMALL).gates["edge"]
    assert (edge.asked, edge.passed, edge.result) == (8, 0, CheckResult.FAILED)
    for _ in range(4):
        note_cycle(memory, cycle(Verdict.NO_ALPHA, Verdict.ACCEPTED))
    edge = read(memory, SMALL).gates["edge"]
    assert (edge.asked, edge.passed, edge.rate, edge.result) == (8, 4, 0.5, CheckResult.PASSED)


# ------------------------------------------------------------------------------------------------- reliability


def test_reliability_by_hand():
    """P (.15, .15, .85, .85) and y (0, 1, 1, 1).

    Brier (.0225 + .7225 + .0225 + .0225)/4 = .1975; bins .15 against .5 and .85 against 1: (2*.35 + 2*.15)/4 = .25;
    slope cov/var = (.35*.25)/(.35^2) = .7143.
    """
    row = reliability_row(np.array([0.15, 0.15, 0.85, 0.85]), np.array([0.0, 1.0, 1.0, 1.0]))
    result = read_reliability(row)
    assert result.count == 4
    assert result.base_rate == 0.75
    assert result.brier == pytest.approx(0.1975)
    assert result.calibration_error == pytest.approx(0.25)
    assert result.slope == pytest.approx(0.25 / 0.35)
    assert result.bin_count == (0, 2, 0, 0, 0, 0, 0, 0, 2, 0)
    assert result.bin_frequency[1] == 0.5
    assert result.bin_probability[8] == pytest.approx(0.85)
    assert math.isnan(result.bin_frequency[0])


def test_reliability_leaves_out_what_is_no_probability():
    """NaN, 1.2 and an outcome of .5 count nowhere; 1 falls into the last bin; one value has no slope."""
    row = reliability_row(np.array([NAN, 1.2, 0.5, 1.0]), np.array([1.0, 1.0, 0.5, 1.0]))
    result = read_reliability(row)
    assert result.count == 1
    assert result.bin_count[9] == 1
    assert math.isnan(result.slope)
    assert math.isnan(read_reliability(reliability_row(np.zeros(0), np.zeros(0))).brier)


# ------------------------------------------------------------------------------------------------- association


def test_association_of_independent_and_of_dependent_labels():
    """Equal rows have V = 0; a diagonal of 50 and 50 has phi2 = 1: (1 - 1/99)/(2 - 1/99 - 1) = 1."""
    assert cramers_v(np.array([[30.0, 20.0], [30.0, 20.0]])) == 0.0
    assert cramers_v(np.array([[50.0, 0.0], [0.0, 50.0]])) == pytest.approx(1.0)


def test_association_is_corrected_for_the_size_of_the_table():
    """[[30, 20], [20, 30]]: phi2 = .04, minus 1/99, over 1 - 1/99: V = sqrt(.029899/.989899) = .17379."""
    by_hand = math.sqrt((0.04 - 1 / 99) / (1 - 1 / 99))
    assert cramers_v(np.array([[30.0, 20.0], [20.0, 30.0]])) == pytest.approx(by_hand)


def test_association_needs_two_rows_and_columns():
    """Empty rows and columns are left out, and what remains may be too little."""
    assert math.isnan(cramers_v(np.array([[30.0, 20.0], [0.0, 0.0]])))
    assert math.isnan(cramers_v(np.zeros((4, 9))))
    assert cramers_v(np.array([[50.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 50.0]])) == pytest.approx(1.0)


# ----------------------------------------------------------------------------------------------------- numbers


def test_alpha_budget_is_predicted_minus_realised_of_what_was_wanted():
    """Predicted (6, 4), realised (2, -2) among the wanted: (10 - 0)/2 = 5; all candidates realised (0 + 9)/3 = 3."""
    memory = monitor_memory(SMALL)
    note_edges(
        memory,
        MaturedEdge(
            horizon_minutes=15,
            predicted_net_bps=np.array([6.0, 4.0, 3.0, 8.0]),
            realised_net_bps=np.array([2.0, -2.0, 9.0, NAN]),
            wanted=np.array([1.0, 1.0, 0.0, 1.0]),
        ),
    )
    reading = read(memory, SMALL)
    assert reading.alpha_budget_bps[15] == 5.0
    assert reading.realised_net_bps[15] == 0.0
    assert (reading.selector_net_bps, reading.candidates_net_bps, reading.selector_count) == (0.0, 3.0, 2)
    assert math.isnan(reading.alpha_budget_bps[5])


def test_coverage_is_a_share_over_the_window():
    """8 of 10, then 7 of 10: .75; the window of three forgets the oldest."""
    memory = monitor_memory(SMALL)
    for covered in (0, 8, 7, 9):
        note_coverage(memory, 30, covered=covered, total=10)
    reading = read(memory, SMALL)
    assert reading.coverage[30] == 0.8
    assert reading.coverage_count[30] == 30
    assert math.isnan(reading.coverage[5])


def test_barrier_reliability_of_each_event():
    """Peaks and valleys are kept apart."""
    memory = monitor_memory(SMALL)
    note_barriers(memory, "peak", np.array([0.2, 0.8]), np.array([0.0, 1.0]))
    reading = read(memory, SMALL)
    assert reading.barriers["peak"].brier == pytest.approx(0.04)
    assert reading.barriers["valley"].count == 0


def test_fill_rate_counts_whole_parents_in_time():
    """Whole, half, none, whole: 2 of 4 parents, and (1 + .5 + 0 + 1)/4 of the quantity."""
    memory = monitor_memory(SMALL)
    for filled in (100, 50, 0, 100):
        note_parent(memory, quantity_micro=100, filled_in_time_micro=filled)
    reading = read(memory, SMALL)
    assert (reading.fill_rate, reading.fill_quantity_share, reading.parents) == (0.5, 0.625, 4)


def test_churn_and_turnover():
    """Intents .1 and .3 net to .05 and .15: churn 1 - .2/.4; turnover .02 is 2.5 bands of .008."""
    memory = monitor_memory(SMALL)
    note_cycle(memory, cycle(intents_abs_weight=0.1, intents_net_weight=0.05))
    note_cycle(memory, cycle(intents_abs_weight=0.3, intents_net_weight=0.15, band_weight=0.0))
    note_cycle(memory, cycle(turnover_weight=NAN))
    reading = read(memory, SMALL)
    assert reading.churn == pytest.approx(0.5)
    assert reading.turnover_bands == pytest.approx(2.5)
    assert reading.turnover_weight == pytest.approx(0.04)
    assert reading.turnover_wanted_weight == pytest.approx(0.10)


def test_latency_quantiles_are_ranks():
    """Of 1..100 the median is the 50th and p99 the 99th; unknown latencies are left out."""
    values = np.arange(1.0, 101.0)
    assert [quantile(values, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert math.isnan(quantile(np.zeros(0), 0.5))
    memory = monitor_memory(SMALL)
    for latency in (5.0, NAN, 900.0):
        note_cycle(memory, cycle(latency_ms=latency))
    reading = read(memory, SMALL)
    assert (reading.latencies, reading.latency_p50_ms, reading.latency_max_ms) == (2, 5.0, 900.0)


def test_the_selectors_choices_are_counted_by_regime():
    """Regime 0 chooses 5m and regime 1 chooses 60m: fully dependent; a cycle without a regime counts nowhere."""
    memory = monitor_memory(SMALL)
    note_cycle(memory, cycle(regime=0, chosen_horizons_minutes=(5,) * 50))
    note_cycle(memory, cycle(regime=1, chosen_horizons_minutes=(60,) * 50))
    note_cycle(memory, cycle(regime=NO_REGIME, chosen_horizons_minutes=(5,) * 50))
    reading = read(memory, SMALL)
    assert reading.choices == 100
    assert reading.horizon_dependence == pytest.approx(1.0)


def test_an_empty_memory_reads_as_unknown():
    """Nothing noted gives NaN and zero counts, never a passing number."""
    reading = read(monitor_memory(SMALL), SMALL)
    assert reading.cycles == 0
    for value in (reading.fill_rate, reading.churn, reading.latency_p99_ms, reading.horizon_dependence):
        assert math.isnan(value)


def test_facts_come_from_a_recorded_decision():
    """Weights (0, .02, NaN) to (.01, 0, 0) turn over .03 of what is known; wanted (.05, .02, 0) would have been .05."""
    columns = {
        "weight_current": [0.0, 0.02, NAN],
        "weight_final": [0.01, 0.0, 0.0],
        "weight_wanted": [0.05, 0.02, 0.0],
        "wanted": [1.0, 0.0, 0.0],
        "chosen_horizon_minutes": [15.0, 5.0, NAN],
        "band": [0.008, 0.008, 0.008],
    }
    decision = Decision(
        id=EventId("1" * 32), cause=ROOT, ts_ns=0, symbols=("A", "B", "C"), horizons_minutes=(5, 15), features="",
        predictions="", mode=Mode.LIVE, equity_nano=0, config_hash="",
        verdicts=(Verdict.ACCEPTED, Verdict.NO_ALPHA, Verdict.NO_REF),
        columns=tuple(Column(name=name, unit="", values=float_block(values)) for name, values in columns.items()),
    )  # fmt: skip
    facts = cycle_facts(decision, regime=2, latency_ms=3.0)
    assert facts.turnover_weight == pytest.approx(0.03)
    assert facts.turnover_wanted_weight == pytest.approx(0.05)
    assert facts.chosen_horizons_minutes == (15,)
    assert (facts.band_weight, facts.regime, facts.latency_ms) == (0.008, 2, 3.0)


def test_a_digest_sees_every_window():
    """Each note changes the canonical form."""
    memory = monitor_memory(SMALL)
    seen = [memory.canonical()]
    note_cycle(memory, cycle())
    seen.append(memory.canonical())
    note_coverage(memory, 5, covered=1, total=1)
    seen.append(memory.canonical())
    note_parent(memory, quantity_micro=1, filled_in_time_micro=1)
    seen.append(memory.canonical())
    assert all(left != right for left, right in itertools.pairwise(seen))


def test_an_unknown_selective_gate_is_refused():
    """A name that is no gate would never be judged."""
    with pytest.raises(ValueError, match="'conformol'"):
        MonitorParameters(selective_gates=("conformol",))
