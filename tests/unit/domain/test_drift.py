"""Owns the tests of model health with hand-computed numbers."""

import math

import numpy as np
import pytest

from walstreet.domain.check_result import CheckResult
from walstreet.domain.drift import (
    TRANSITIONS,
    Check,
    DriftBank,
    DriftHealth,
    DriftParameters,
    Evaluation,
    HealthStatus,
    Matured,
    Reading,
    advance,
    drift_health,
    evaluate,
    learn,
    observe,
)
from walstreet.domain.drift_bounds import ratio_estimate, student_quantile
from walstreet.domain.drift_memory import KEYS_MAX
from walstreet.domain.rank_ic import average_ranks, rank_ic

pytestmark = [pytest.mark.spec("001.control"), pytest.mark.spec("001.control")]

NAN = float("nan")
NINETY = 1.2815515655446004


def matured(
    score: list[float],
    outcome: list[float],
    *,
    slope: float = 1.0,
    sigma_bps: float = 10.0,
    cost_bps: float = 4.0,
    ts_ns: int = 0,
) -> Matured:
    """Return a cross-section whose outcomes are given in units of sigma."""
    count = len(score)
    return Matured(
        ts_ns=ts_ns,
        score=np.array(score),
        slope=slope,
        return_bps=np.array(outcome) * sigma_bps,
        sigma_bps=np.full(count, sigma_bps),
        cost_bps=np.full(count, cost_bps),
    )


def small(**changes: object) -> DriftParameters:
    """Return parameters that judge after a few times."""
    values = {"window_times": 40, "times_min": 10, "evaluate_every": 10, "trades_min": 5} | changes
    return DriftParameters(**values)


# ----------------------------------------------------------------------------------------------------- rank IC


def test_ranks_share_the_mean_of_equal_values():
    """(10, 20, 20, 5) has ranks (2, 3.5, 3.5, 1)."""
    assert average_ranks(np.array([10.0, 20.0, 20.0, 5.0])).tolist() == [2.0, 3.5, 3.5, 1.0]


def test_rank_ic_of_four_symbols():
    """Ranks (1, 2, 3, 4) against (2, 1, 4, 3): 1 - 6*(1+1+1+1)/(4*15) = .6; a missing pair changes nothing."""
    forecast, outcome = [0.1, 0.2, 0.3, 0.4], [5.0, -1.0, 9.0, 8.0]
    assert rank_ic(np.array(forecast), np.array(outcome)) == pytest.approx(0.6, abs=1e-15)
    gaps = rank_ic(np.array([*forecast, NAN, 7.0]), np.array([*outcome, 3.0, NAN]))
    assert gaps == rank_ic(np.array(forecast), np.array(outcome))


def test_rank_ic_with_ties():
    """Ranks (1.5, 1.5, 3) against (1, 2, 3): centred (-.5, -.5, 1).(-1, 0, 1) = 1.5 over sqrt(1.5*2) = .8660."""
    assert rank_ic(np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0])) == pytest.approx(1.5 / math.sqrt(3.0))


@pytest.mark.parametrize(
    ("forecast", "outcome"),
    [([1.0, 2.0], [1.0, 2.0]), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), ([1.0, NAN, 2.0], [1.0, 2.0, 3.0]), ([], [])],
)
def test_too_little_has_no_rank_ic(forecast: list[float], outcome: list[float]):
    """Two pairs, equal forecasts and no symbol at all give no number rather than a perfect one."""
    assert math.isnan(rank_ic(np.array(forecast), np.array(outcome)))


# ------------------------------------------------------------------------------------------------------ bounds


def test_student_quantile_matches_the_table():
    """One-sided 90 %: t(9) = 1.383, t(30) = 1.310, t(4) = 1.533; 95 %: t(9) = 1.833."""
    assert student_quantile(NINETY, 9.0) == pytest.approx(1.383029, abs=2e-4)
    assert student_quantile(NINETY, 30.0) == pytest.approx(1.310415, abs=1e-5)
    assert student_quantile(NINETY, 4.0) == pytest.approx(1.533206, abs=1e-2)
    assert student_quantile(1.6448536269514722, 9.0) == pytest.approx(1.833113, abs=2e-3)


def test_a_mean_without_overlap_has_students_bound():
    """(1..10): mean 5.5, s^2 = 82.5/9, se = sqrt(82.5/90) = .957427, times t(9) = 1.383."""
    values = np.arange(1.0, 11.0)
    estimate = ratio_estimate(values, np.ones(10), overlap=1.0, normal_quantile=NINETY)
    assert estimate.value == pytest.approx(5.5)
    assert estimate.half_width == pytest.approx(1.3830 * math.sqrt(82.5 / 90.0), rel=1e-4)


def test_overlap_widens_the_bound():
    """Twenty values that overlap twofold are ten: se^2 = L*SS/((n-L)*n) with SS = 20 is 2*20/(18*20) = 1/9."""
    values = np.tile([-1.0, 1.0], 10)
    estimate = ratio_estimate(values, np.ones(20), overlap=2.0, normal_quantile=NINETY)
    assert estimate.value == 0.0
    assert estimate.half_width == pytest.approx(student_quantile(NINETY, 9.0) / 3.0)


def test_a_slope_is_clustered_by_time():
    """With u = (2, 1, 3, 2, 2), v = (1, 1, 2, 1, 1) the slope is 10/6; g = u - b*v, se = sqrt(5*sum(g^2)/4)/6."""
    u, v = np.array([2.0, 1.0, 3.0, 2.0, 2.0]), np.array([1.0, 1.0, 2.0, 1.0, 1.0])
    estimate = ratio_estimate(u, v, overlap=1.0, normal_quantile=NINETY)
    b = 10.0 / 6.0
    squares = 3 * (2 - b) ** 2 + (1 - b) ** 2 + (3 - 2 * b) ** 2
    assert estimate.value == pytest.approx(b)
    assert estimate.half_width == pytest.approx(student_quantile(NINETY, 4.0) * math.sqrt(5 * squares / 4) / 6)


def test_too_few_independent_values_say_nothing():
    """Fifty minutes of a 60-minute horizon are less than one independent value."""
    assert not ratio_estimate(np.ones(50), np.ones(50), overlap=60.0, normal_quantile=NINETY).known
    assert not ratio_estimate(np.zeros(0), np.zeros(0), overlap=1.0, normal_quantile=NINETY).known


def test_the_bound_holds_for_overlapping_outcomes():
    """The lower 90 % bound of means over 5-fold overlapping windows of noise exceeds 0 in about 10 % of histories."""
    random = np.random.default_rng(7)
    above = 0
    for _ in range(600):
        noise = random.standard_normal(304)
        overlapping = np.convolve(noise, np.ones(5), mode="valid")
        estimate = ratio_estimate(overlapping, np.ones(300), overlap=5.0, normal_quantile=NINETY)
        above += estimate.lower > 0.0
    assert 0.06 <= above / 600 <= 0.14


# ---------------------------------------------------------------------------------------------------- learning


def test_a_cross_section_leaves_its_sums():
    """Scores (.5, -.5, .1) at slope 2 forecast (1, -1, .2); outcomes (2, 1, 0), sigma 10, cost 4.

    f*y = 2 - 1 + 0 = 1; f*f = 2.04; alphas 10, -10, 2 bps: the first two exceed 4, edges 20 - 4 and -10 - 4.
    """
    health = drift_health("m", 5, small())
    assert not learn(health, matured([0.5, -0.5, 0.1], [2.0, 1.0, 0.0], slope=2.0), small())
    row = health.window.ordered()[0].tolist()
    assert row == pytest.approx([0.5, 1.0, 2.04, 2.0, 2.0])


def test_missing_values_count_for_their_symbol_only():
    """A missing score, return or volatility drops the symbol, a missing cost drops it from the edge alone."""
    facts = matured([0.5, -0.5, 0.1, 9.0, 9.0], [2.0, 1.0, 0.0, NAN, 1.0])
    facts.sigma_bps[4] = 0.0
    facts.cost_bps[0] = NAN
    health = drift_health("m", 5, small())
    learn(health, facts, small())
    # Slope 1: f = (.5, -.5, .1), f*y = .5, f*f = .51; only the second is priced: alpha 5 > 4, edge -10 - 4.
    assert health.window.ordered()[0].tolist() == pytest.approx([0.5, 0.5, 0.51, -14.0, 1.0])


def test_a_broken_print_counts_ten_sigmas():
    """An outcome of 500 sigma is taken as 10."""
    health = drift_health("m", 5, small())
    learn(health, matured([1.0, 0.5, 0.0], [500.0, 0.0, -1.0], cost_bps=100.0), small())
    assert health.window.ordered()[0].tolist() == pytest.approx([1.0, 10.0, 1.25, 0.0, 0.0])


def test_a_time_without_a_cross_section_teaches_nothing():
    """Two symbols are no cross-section; the time is counted and never triggers an evaluation."""
    health = drift_health("m", 5, small(evaluate_every=1))
    assert not learn(health, matured([0.5, -0.5], [2.0, 1.0]), small(evaluate_every=1))
    assert (health.window.count, health.skipped) == (0, 1)


def test_a_slope_that_is_not_positive_makes_no_forecast():
    """Only the rank IC of the raw score is learnt, so reliability and edge stay unknown."""
    parameters = small()
    health = drift_health("m", 1, parameters)
    for _ in range(20):
        learn(health, matured([0.5, -0.5, 0.1], [2.0, 1.0, 0.0], slope=-1.0), parameters)
    result = evaluate(health, parameters)
    assert result.reading(Check.RANK_IC).value == pytest.approx(0.5)
    assert result.reading(Check.RELIABILITY).result is CheckResult.UNKNOWN
    assert result.reading(Check.NET_EDGE).result is CheckResult.UNKNOWN


def test_evaluation_is_due_every_k_matured_times():
    """With k = 10 the 10th and 20th cross-sections call for an evaluation."""
    parameters = small()
    health = drift_health("m", 1, parameters)
    due = [learn(health, matured([1.0, 0.5, 0.0], [1.0, 0.0, -1.0]), parameters) for _ in range(20)]
    assert [index for index, value in enumerate(due) if value] == [9, 19]


# -------------------------------------------------------------------------------------------------- evaluating


def fed(parameters: DriftParameters, *, skill: float, times: int = 40, seed: int = 3) -> DriftHealth:
    """Return the health of a model whose outcome is ``skill`` times its score plus unit noise over 20 symbols."""
    random = np.random.default_rng(seed)
    health = drift_health("m", 1, parameters)
    for _ in range(times):
        score = 0.5 * random.standard_normal(20)
        outcome = skill * score + random.standard_normal(20)
        learn(health, matured(score.tolist(), outcome.tolist()), parameters)
    return health


def test_a_skilled_model_passes():
    """Outcomes that are forecast plus noise have a positive IC, a slope near 1 and earn more than nothing."""
    parameters = small(window_times=400)
    result = evaluate(fed(parameters, skill=1.0, times=400), parameters, input_shift=0.05)
    assert result.result is CheckResult.PASSED
    assert not result.warning
    assert result.reading(Check.RELIABILITY).value == pytest.approx(1.0, abs=0.1)
    # A tenth of the variance of outcomes is forecast: rho = .5/sqrt(1.25) = .447, Spearman (6/pi)*asin(rho/2) = .431.
    assert result.reading(Check.RANK_IC).value == pytest.approx(0.431, abs=0.03)


def test_an_inverted_model_fails_every_check_of_outcomes():
    """Outcomes opposite to the forecast give a negative IC, slope and edge, each beyond its bound."""
    parameters = small(window_times=400)
    result = evaluate(fed(parameters, skill=-1.0, times=400), parameters)
    assert result.result is CheckResult.FAILED
    for check in (Check.RANK_IC, Check.RELIABILITY, Check.NET_EDGE):
        assert result.reading(check).result is CheckResult.FAILED


def test_no_skill_fails_once_the_bound_is_narrow():
    """Noise of 2,000 times and 20 symbols has a half width of about .0066, and its lower bound is below 0."""
    parameters = small(window_times=2_000)
    reading = evaluate(fed(parameters, skill=0.0, times=2_000), parameters).reading(Check.RANK_IC)
    assert reading.upper - reading.value == pytest.approx(1.2820 / math.sqrt(19 * 2_000), rel=0.1)
    assert reading.lower < 0.0
    assert reading.result is CheckResult.FAILED


def test_a_wide_bound_is_unknown_by_default_and_fails_literally():
    """Forty times of noise say nothing; the literal rule fails them."""
    mended, literal = small(), small(ic_half_width_max=2.0)
    assert evaluate(fed(mended, skill=0.0, seed=8), mended).reading(Check.RANK_IC).result is CheckResult.UNKNOWN
    assert evaluate(fed(literal, skill=0.0, seed=8), literal).reading(Check.RANK_IC).result is CheckResult.FAILED


def test_outcomes_are_not_judged_before_their_minimum():
    """Nine of ten required times leave the outcome checks unknown, and so the evaluation."""
    parameters = small()
    result = evaluate(fed(parameters, skill=1.0, times=9), parameters)
    assert result.result is CheckResult.UNKNOWN
    assert all(item.result is CheckResult.UNKNOWN for item in result.readings)


@pytest.mark.parametrize(
    ("shift", "result", "warning"),
    [
        (NAN, CheckResult.UNKNOWN, False),
        (0.099, CheckResult.PASSED, False),
        (0.10, CheckResult.PASSED, True),
        (0.2499, CheckResult.PASSED, True),
        (0.25, CheckResult.FAILED, True),
    ],
)
def test_input_shift_warns_and_fails_at_its_marks(shift: float, result: CheckResult, warning: bool):
    """Warn from .10, fail from .25, unknown without a number."""
    reading = evaluate(drift_health("m", 5, small()), small(), input_shift=shift).reading(Check.INPUT_SHIFT)
    assert (reading.result, reading.warning) == (result, warning)


def test_a_model_that_goes_wrong_raises_the_change_test():
    """After 200 blocks at skill 1 the sign flips: excess error rises by several deviations and the alarm follows."""
    parameters = small(window_times=400)
    health = fed(parameters, skill=1.0, times=200)
    assert evaluate(health, parameters).reading(Check.PAGE_HINKLEY).result is CheckResult.PASSED
    random = np.random.default_rng(4)
    for _ in range(100):
        score = 0.5 * random.standard_normal(20)
        learn(health, matured(score.tolist(), (random.standard_normal(20) - score).tolist()), parameters)
    assert evaluate(health, parameters).reading(Check.PAGE_HINKLEY).result is CheckResult.FAILED


def test_a_rise_of_volatility_alone_is_no_change():
    """Doubled noise leaves the excess error's mean where it was; the absolute error would alarm."""
    random = np.random.default_rng(5)
    results = {}
    for error in ("excess", "absolute"):
        parameters = small(window_times=400, error=error)
        health = fed(parameters, skill=0.2, times=200)
        for _ in range(100):
            score = 0.5 * random.standard_normal(20)
            noise = 2.0 * random.standard_normal(20)
            learn(health, matured(score.tolist(), (0.2 * score + noise).tolist()), parameters)
        results[error] = evaluate(health, parameters).reading(Check.PAGE_HINKLEY).result
    assert results == {"excess": CheckResult.PASSED, "absolute": CheckResult.FAILED}


# ------------------------------------------------------------------------------------------------------ status


def verdict(result: CheckResult, *, warning: bool = False) -> Evaluation:
    """Return an evaluation whose input check decided."""
    reading = Reading(check=Check.INPUT_SHIFT, result=result, value=0.3, lower=0.3, upper=0.3, warning=warning)
    return Evaluation(model="m", horizon_minutes=5, times=600, readings=(reading,), result=result, warning=warning)


PASSED, FAILED, UNKNOWN = CheckResult.PASSED, CheckResult.FAILED, CheckResult.UNKNOWN


def walk(*results: CheckResult) -> list[HealthStatus]:
    """Return the status after each evaluation."""
    health = drift_health("m", 5, small())
    states = []
    for result in results:
        before = health.status
        change = advance(health, verdict(result), small())
        assert (change is None) == (health.status is before)
        if change is not None:
            assert (change.previous, change.status) == (before, health.status)
            assert (before, health.status) in TRANSITIONS
        states.append(health.status)
    return states


def test_three_failures_in_a_row_quarantine_and_three_passes_release():
    """Two failures warn, the third quarantines; two passes change nothing, the third releases."""
    states = walk(FAILED, FAILED, FAILED, FAILED, PASSED, PASSED, PASSED)
    w, q, h = HealthStatus.WARNING, HealthStatus.QUARANTINED, HealthStatus.HEALTHY
    assert states == [w, w, q, q, q, q, h]


def test_a_pass_breaks_the_streak():
    """Two failures, a pass and two failures do not quarantine; in quarantine a failure begins the passes anew."""
    assert walk(FAILED, FAILED, PASSED, FAILED, FAILED)[-1] is HealthStatus.WARNING
    assert walk(FAILED, FAILED, FAILED, PASSED, PASSED, FAILED, PASSED, PASSED)[-1] is HealthStatus.QUARANTINED


def test_an_unknown_evaluation_neither_adds_nor_breaks():
    """Failures on both sides of an unknown one count as consecutive; unknown alone proves nothing."""
    assert walk(FAILED, UNKNOWN, FAILED, UNKNOWN, FAILED)[-1] is HealthStatus.QUARANTINED
    assert walk(UNKNOWN, UNKNOWN, UNKNOWN)[-1] is HealthStatus.UNPROVEN


def test_a_change_names_its_reason():
    """The failed checks stand in the change; a release names its streak."""
    health = drift_health("m", 5, small())
    first = advance(health, verdict(FAILED, warning=True), small())
    assert first is not None
    assert first.reason == "input_shift"
    for result in (FAILED, FAILED, PASSED, PASSED):
        advance(health, verdict(result), small())
    release = advance(health, verdict(PASSED, warning=True), small())
    assert release is not None
    assert (release.status, release.reason) == (HealthStatus.WARNING, "passed_3_in_a_row")


def test_quarantine_begins_the_change_test_anew():
    """An alarm that helped to quarantine must not keep a recovered model in for ever."""
    parameters = small(window_times=400)
    health = fed(parameters, skill=1.0, times=200)
    assert health.page_hinkley.count > 0
    for _ in range(3):
        advance(health, verdict(FAILED), parameters)
    assert health.page_hinkley.count == 0
    assert health.standardiser.blocks == 0


def test_observe_is_learning_and_evaluating_in_one():
    """Ten cross-sections give one evaluation, at the tenth; an inverted model is out after three."""
    parameters = small(ic_half_width_max=2.0)
    health = drift_health("m", 1, parameters)
    changes = []
    for step in range(50):
        evaluation, change = observe(health, matured([1.0, 0.5, 0.0], [-1.0, 0.0, 1.0 + 0.01 * (step % 3)]), parameters)
        assert (evaluation is not None) == (step % 10 == 9)
        changes += [change.status] if change else []
    assert changes == [HealthStatus.WARNING, HealthStatus.QUARANTINED]


def test_the_bank_keeps_one_health_for_each_model_and_horizon():
    """A model never seen is not quarantined, one that failed three times is, at its horizon only."""
    bank, parameters = DriftBank(), small()
    assert not bank.quarantined("m", 5)
    for _ in range(3):
        advance(bank.of("m", 5, parameters), verdict(FAILED), parameters)
    assert bank.quarantined("m", 5)
    assert not bank.quarantined("m", 15)
    assert bank.of("m", 5, parameters) is bank.of("m", 5, parameters)


def test_the_bank_is_bounded():
    """One key beyond the bound is refused."""
    bank, parameters = DriftBank(), small(window_times=10)
    for number in range(KEYS_MAX):
        bank.of(f"m{number}", 5, parameters)
    with pytest.raises(ValueError, match="split the models"):
        bank.of("one more", 5, parameters)


def test_a_digest_sees_every_part():
    """Learning and advancing change the canonical form; the same history gives the same one."""
    parameters = small()
    first, second = fed(parameters, skill=1.0), fed(parameters, skill=1.0)
    assert first.canonical() == second.canonical()
    advance(second, verdict(FAILED), parameters)
    assert first.canonical() != second.canonical()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"streak_max": 1}, r"drift\.streak_max is 1"),
        ({"times_min": 3_000}, r"drift\.times_min is 3000"),
        ({"slope_min": 1.5}, r"drift\.slope_min is 1\.5"),
        ({"normal_quantile": math.inf}, r"drift\.normal_quantile is inf"),
    ],
)
def test_parameters_out_of_range_are_refused(changes: dict[str, float], message: str):
    """The text names the field, its value and what is allowed."""
    with pytest.raises(ValueError, match=message):
        DriftParameters(**changes)
