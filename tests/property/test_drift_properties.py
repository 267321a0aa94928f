"""Owns the properties of model health that must hold for every history."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.check_result import CheckResult
from walstreet.domain.drift import (
    TRANSITIONS,
    Check,
    DriftParameters,
    Evaluation,
    HealthStatus,
    Matured,
    Reading,
    advance,
    drift_health,
    learn,
    observe,
)
from walstreet.domain.drift_bounds import ratio_estimate
from walstreet.domain.page_hinkley import PageHinkley
from walstreet.domain.psi import (
    PsiParameters,
    learn_inputs,
    psi_memory,
    read_inputs,
    reference_deciles,
    stability_index,
)
from walstreet.domain.rank_ic import rank_ic
from walstreet.domain.rolling_rows import rolling_rows

EXAMPLES = settings(max_examples=1_000, deadline=None)
PARAMETERS = DriftParameters(window_times=12, times_min=5, evaluate_every=3, trades_min=2, ic_half_width_max=2.0)

values = st.one_of(st.floats(-20.0, 20.0), st.integers(-3, 3).map(float), st.just(math.nan))
cross_sections = st.lists(st.tuples(values, values), min_size=0, max_size=12)
orders = st.permutations(range(12))


def cross_section(pairs: list[tuple[float, float]], *, sign: float = 1.0, cost_bps: float = 3.0) -> Matured:
    """Return a matured cross-section of (score, outcome in sigmas) pairs, mirrored by ``sign``."""
    table = sign * np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return Matured(
        ts_ns=0,
        score=np.ascontiguousarray(table[:, 0]),
        slope=0.8,
        return_bps=10.0 * table[:, 1],
        sigma_bps=np.full(len(pairs), 10.0),
        cost_bps=np.full(len(pairs), cost_bps),
    )


@EXAMPLES
@given(cross_sections, orders)
def test_rank_ic_does_not_depend_on_the_order_of_symbols(pairs: list[tuple[float, float]], order: list[int]):
    """Permuting the symbols gives the same bits."""
    table = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    permuted = table[[index for index in order if index < len(table)]]
    straight, shuffled = rank_ic(table[:, 0], table[:, 1]), rank_ic(permuted[:, 0], permuted[:, 1])
    assert np.array_equal(straight, shuffled, equal_nan=True)


@EXAMPLES
@given(cross_sections)
def test_rank_ic_is_mirror_symmetric_and_a_correlation(pairs: list[tuple[float, float]]):
    """Negating both sides changes no bit, negating one side the sign, and the value lies within [-1, 1]."""
    table = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    left, right = table[:, 0], table[:, 1]
    value = rank_ic(left, right)
    assert np.array_equal(value, rank_ic(-left, -right), equal_nan=True)
    assert np.array_equal(-value, rank_ic(-left, right), equal_nan=True)
    assert np.array_equal(value, rank_ic(4.0 * left, right), equal_nan=True)
    assert math.isnan(value) or abs(value) <= 1.0 + 1e-12


@EXAMPLES
@given(cross_sections)
def test_learning_is_mirror_symmetric(pairs: list[tuple[float, float]]):
    """A model and its outcomes, both negated, are as healthy: every number remembered has the same bits."""
    straight, mirrored = drift_health("m", 5, PARAMETERS), drift_health("m", 5, PARAMETERS)
    learn(straight, cross_section(pairs), PARAMETERS)
    learn(mirrored, cross_section(pairs, sign=-1.0), PARAMETERS)
    assert straight.canonical() == mirrored.canonical()


@EXAMPLES
@given(cross_sections, orders)
def test_learning_does_not_depend_on_the_order_of_symbols(pairs: list[tuple[float, float]], order: list[int]):
    """Permuting the symbols changes the sums by rounding only, and nothing else."""
    straight, permuted = drift_health("m", 5, PARAMETERS), drift_health("m", 5, PARAMETERS)
    learn(straight, cross_section(pairs), PARAMETERS)
    learn(permuted, cross_section([pairs[index] for index in order if index < len(pairs)]), PARAMETERS)
    assert straight.skipped == permuted.skipped
    assert np.allclose(straight.window.ordered(), permuted.window.ordered(), rtol=1e-12, atol=1e-9)


@EXAMPLES
@given(cross_sections, st.data())
def test_a_missing_symbol_is_as_if_it_were_not_there(pairs: list[tuple[float, float]], data: st.DataObject):
    """A pair without a score teaches what the cross-section without that symbol teaches."""
    if not pairs:
        return
    gone = data.draw(st.integers(0, len(pairs) - 1))
    holed = [(math.nan, outcome) if index == gone else (score, outcome) for index, (score, outcome) in enumerate(pairs)]
    without = [pair for index, pair in enumerate(pairs) if index != gone]
    first, second = drift_health("m", 5, PARAMETERS), drift_health("m", 5, PARAMETERS)
    learn(first, cross_section(holed), PARAMETERS)
    learn(second, cross_section(without), PARAMETERS)
    assert first.canonical() == second.canonical()


PATTERNS = (
    [(1.0, 1.0), (0.0, 0.0), (-1.0, -2.0), (2.0, 1.0)],
    [(1.0, -1.0), (0.0, 0.5), (-1.0, 2.0), (2.0, -3.0)],
    [(1.0, 2.0), (0.5, -1.0), (-2.0, 1.0), (2.0, 2.0)],
    [(0.0, 1.0)] * 4,
)
histories = st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=15)


@EXAMPLES
@given(histories, st.data())
def test_no_evaluation_looks_ahead(history: list[list[tuple[float, float]]], data: st.DataObject):
    """Whatever comes after a time, everything up to it is the same; and a history told twice is the same twice."""
    cut = data.draw(st.integers(0, len(history)))
    tail = [[(-score, outcome) for score, outcome in pairs] for pairs in history[cut:]]
    whole = drift_health("m", 1, PARAMETERS)
    other = drift_health("m", 1, PARAMETERS)
    told = [observe(whole, cross_section(pairs), PARAMETERS, input_shift=0.01) for pairs in history]
    changed = [observe(other, cross_section(pairs), PARAMETERS, input_shift=0.01) for pairs in [*history[:cut], *tail]]
    assert repr(told[:cut]) == repr(changed[:cut])
    again = drift_health("m", 1, PARAMETERS)
    for pairs in history:
        observe(again, cross_section(pairs), PARAMETERS, input_shift=0.01)
    assert again.canonical() == whole.canonical()


def evaluation(result: CheckResult, *, warning: bool) -> Evaluation:
    """Return an evaluation with one reading."""
    reading = Reading(check=Check.RANK_IC, result=result, value=0.0, lower=0.0, upper=0.0, warning=warning)
    return Evaluation(model="m", horizon_minutes=5, times=600, readings=(reading,), result=result, warning=warning)


steps = st.lists(st.tuples(st.sampled_from(list(CheckResult)), st.booleans()), max_size=40)


@EXAMPLES
@given(steps, st.integers(2, 4))
def test_quarantine_moves_only_as_specified(sequence: list[tuple[CheckResult, bool]], streak: int):
    """A model is in quarantine iff the last full streak was one of failures; every move is in the table."""
    parameters = DriftParameters(streak_max=streak)
    health = drift_health("m", 5, parameters)
    quarantined = False
    known: list[CheckResult] = []
    for result, warning in sequence:
        before = health.status
        change = advance(health, evaluation(result, warning=warning), parameters)
        if result is not CheckResult.UNKNOWN:
            known.append(result)
        if known[-streak:] == [CheckResult.FAILED] * streak:
            quarantined = True
        elif known[-streak:] == [CheckResult.PASSED] * streak:
            quarantined = False
        assert (health.status is HealthStatus.QUARANTINED) == quarantined
        assert (change is not None) == (health.status is not before)
        if change is not None:
            assert (before, health.status) in TRANSITIONS
            assert change.reason
        if result is CheckResult.PASSED and not quarantined:
            assert health.status is (HealthStatus.WARNING if warning else HealthStatus.HEALTHY)


shares = st.lists(st.integers(0, 50), min_size=10, max_size=10).filter(lambda counts: sum(counts) > 0)


@EXAMPLES
@given(shares, shares, st.permutations(range(10)))
def test_stability_index_is_a_symmetric_distance(first: list[int], second: list[int], order: list[int]):
    """It is 0 for equal shares, never negative, the same both ways, and does not depend on the order of the bins."""
    left, right = (np.array([counts]) / sum(counts) for counts in (first, second))
    index = stability_index(left, right)[0]
    assert index >= 0.0
    assert stability_index(left, left)[0] == 0.0
    assert stability_index(right, left)[0] == index
    assert np.isclose(stability_index(left[:, order], right[:, order])[0], index, rtol=1e-12, atol=1e-15)


@EXAMPLES
@given(st.lists(values, min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_inputs_count_the_same_in_any_order(column: list[float], random: st.DataObject):
    """Shuffling rows or the times within a window changes nothing; missing rows add nothing."""
    parameters = PsiParameters(rows_min=1, times_min=0, bucket_times=3, buckets=1)
    reference = reference_deciles(np.arange(40.0)[:, None] - 20.0)
    shuffled = list(column)
    random.shuffle(shuffled)
    readings = []
    for rows in (column, shuffled, [value for value in column if not math.isnan(value)]):
        memory = psi_memory(1, parameters)
        learn_inputs(memory, np.array(rows, dtype=np.float64)[:, None].reshape(-1, 1), reference, parameters)
        readings.append(read_inputs(memory, reference, parameters).value)
    assert np.array_equal(readings[0], readings[1], equal_nan=True)
    assert np.array_equal(readings[0], readings[2], equal_nan=True)


@EXAMPLES
@given(st.lists(st.floats(-5.0, 5.0), min_size=12, max_size=40), st.floats(1.0, 2.0), st.floats(0.5, 3.0))
def test_bounds_mirror_and_widen_with_overlap(numbers: list[float], overlap: float, quantile: float):
    """Negated values give the mirrored interval; more overlap never narrows it."""
    u, v = np.array(numbers), np.ones(len(numbers))
    straight = ratio_estimate(u, v, overlap=overlap, normal_quantile=quantile)
    mirrored = ratio_estimate(-u, v, overlap=overlap, normal_quantile=quantile)
    wider = ratio_estimate(u, v, overlap=1.2 * overlap, normal_quantile=quantile)
    assert straight.known
    assert (mirrored.lower, mirrored.upper) == (-straight.upper, -straight.lower)
    assert wider.half_width >= straight.half_width


@EXAMPLES
@given(st.lists(st.floats(-10.0, 10.0), min_size=1, max_size=40), st.floats(0.0, 1.0))
def test_page_hinkley_is_the_rise_above_its_lowest_point(stream: list[float], delta: float):
    """The running state equals the definition computed from the whole stream, and is never negative."""
    test = PageHinkley()
    sums = [0.0]
    for count, value in enumerate(stream, start=1):
        test.update(value, delta=delta)
        sums.append(sums[-1] + value - sum(stream[:count]) / count - delta)
    assert test.statistic >= 0.0
    assert math.isclose(test.statistic, sums[-1] - min(sums), rel_tol=1e-9, abs_tol=1e-9)


@EXAMPLES
@given(st.lists(st.floats(-1e6, 1e6), max_size=40), st.integers(1, 10))
def test_a_window_is_the_tail_of_its_stream(stream: list[float], capacity: int):
    """Whatever was pushed, the window holds the newest rows in their order."""
    window = rolling_rows(capacity, 1)
    for value in stream:
        window.push(np.array([value]))
    assert window.ordered()[:, 0].tolist() == stream[-capacity:]
    assert window.count == len(stream[-capacity:])
