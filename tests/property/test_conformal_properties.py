"""Properties of the conformal gate: mirror symmetry, failing closed, no order of symbols, no look-ahead, replay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.conformal import ConformalReason, ConformalResult, gate
from walstreet.domain.conformal_learn import learn
from walstreet.domain.conformal_parameters import ConformalParameters
from walstreet.domain.conformal_state import ConformalState
from walstreet.domain.isotonic import isotonic_rows, pool_adjacent_violators

MINUTE_NS = 60_000_000_000
HORIZONS = np.array([5, 10])
TIMES = 9
GATES = st.sampled_from(["mean", "probability", "interval"])
VARIANTS = st.sampled_from([("mean", "slope"), ("mean", "isotonic"), ("probability", "slope"), ("interval", "slope")])
SEEDS = st.integers(0, 2**32 - 1)


@dataclass(frozen=True)
class History:
    """Matured cross-sections, (T, H, N), and what is asked now, (H, N)."""

    scores: np.ndarray
    outcomes: np.ndarray
    asked: np.ndarray
    cost: np.ndarray


def history(seed: int, *, skill: float = 1.0) -> History:
    """Return a short history on a coarse grid, so that ties are common, with missing values."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 6))
    shape = (TIMES, len(HORIZONS), count)
    scores = np.round(rng.standard_normal(shape) * 0.5, 1)
    outcomes = np.round(skill * scores + rng.standard_normal(shape) * rng.choice([0.1, 1.0]), 1)
    outcomes[rng.random(shape) < 0.1] = np.nan
    scores[rng.random(shape) < 0.1] = np.nan
    asked = rng.standard_normal(shape[1:])
    asked[rng.random(asked.shape) < 0.1] = np.nan
    return History(scores, outcomes, asked, rng.uniform(0.0, 0.5, asked.shape))


def settings_of(kind: str, estimator: str, *, miss: float = 0.3, refit_every: int = 2) -> ConformalParameters:
    """Return parameters under which nine decision times are a long history."""
    return ConformalParameters(
        gate=kind,
        mean_estimator=estimator,
        outcomes_min=4,
        decision_times_min=3,
        disjoint_windows_min=3,
        window_decision_times=20,
        decision_minutes=5,
        bootstrap_replicates=50,
        blocks_max=5,
        miss_each_side=miss,
        interval_miss_each_side=0.4,
        adaptation_rate=0.05,
        refit_every=refit_every,
    )


def taught(data: History, parameters: ConformalParameters, times: int = TIMES) -> ConformalState:
    """Return the state after the first ``times`` cross-sections of both horizons."""
    state = ConformalState()
    for time in range(times):
        for row, minutes in enumerate(HORIZONS.tolist()):
            learn(
                state,
                horizon_minutes=minutes,
                ts_ns=time * 5 * MINUTE_NS,
                now_ns=(time * 5 + minutes) * MINUTE_NS,
                scores=data.scores[time, row],
                outcomes=data.outcomes[time, row],
                parameters=parameters,
            )
    return state


def ask(state: ConformalState, asked: np.ndarray, cost: np.ndarray, parameters: ConformalParameters) -> ConformalResult:
    """Return the gate's answer."""
    return gate(state, horizons_minutes=HORIZONS, scores=asked, cost_sigma=cost, parameters=parameters)


def same(left: ConformalResult, right: ConformalResult) -> bool:
    """Return whether two answers agree to the bit."""
    names = ("conf_long", "conf_short", "reason", "lower_sigma", "upper_sigma")
    return all(
        np.ascontiguousarray(getattr(left, name)).tobytes() == np.ascontiguousarray(getattr(right, name)).tobytes()
        for name in names
    )


@settings(max_examples=1_000, deadline=None)
@given(seed=SEEDS, variant=VARIANTS)
def test_negating_everything_swaps_buying_and_selling(seed: int, variant: tuple[str, str]) -> None:
    """Scores and outcomes with the other sign give the mirrored ends and the other direction."""
    data, parameters = history(seed), settings_of(*variant)
    mirrored = History(-data.scores, -data.outcomes, -data.asked, data.cost)
    one = ask(taught(data, parameters), data.asked, data.cost, parameters)
    other = ask(taught(mirrored, parameters), mirrored.asked, data.cost, parameters)
    np.testing.assert_allclose(one.lower_sigma, -other.upper_sigma, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(one.upper_sigma, -other.lower_sigma, rtol=1e-9, atol=1e-12)
    # Pooling from the other side may differ in the last bit, which decides only where an end equals the cost.
    clear = np.ones(data.cost.shape, dtype=bool)
    if variant == ("mean", "isotonic"):
        clear = (np.abs(one.lower_sigma - data.cost) > 1e-9) & (np.abs(one.upper_sigma + data.cost) > 1e-9)
    assert (one.conf_long == other.conf_short)[clear].all()
    assert (one.conf_short == other.conf_long)[clear].all()
    assert (one.reason == other.reason)[clear].all()


@settings(max_examples=1_000, deadline=None)
@given(seed=SEEDS, variant=VARIANTS, bad=st.sampled_from([np.nan, np.inf, -np.inf, 1e300]))
def test_what_is_missing_does_not_pass_and_reaches_nobody_else(seed: int, variant: tuple[str, str], bad: float) -> None:
    """Unusable scores and costs say so; the other symbols' answers keep their bits."""
    data, parameters = history(seed), settings_of(*variant)
    state = taught(data, parameters, 7)
    clean = ask(state, data.asked, data.cost, parameters)
    rng = np.random.default_rng(seed)
    spoiled_score, spoiled_cost = rng.random(data.asked.shape) < 0.3, rng.random(data.asked.shape) < 0.2
    asked = np.where(spoiled_score, bad, data.asked)
    cost = np.where(spoiled_cost, np.inf if bad == 1e300 else bad, data.cost)
    result = ask(state, asked, cost, parameters)
    hit = spoiled_score | spoiled_cost | np.isnan(data.asked)
    assert (result.reason[hit] == ConformalReason.MISSING).all()
    assert (result.reason[~hit] != ConformalReason.MISSING).all()
    assert not (result.conf_long | result.conf_short)[hit].any()
    assert ((result.reason == ConformalReason.PASS) == (result.conf_long | result.conf_short)).all()
    assert not (result.conf_long & result.conf_short).any()
    for name in ("conf_long", "conf_short", "reason", "lower_sigma", "upper_sigma"):
        assert getattr(result, name)[~hit].tobytes() == getattr(clean, name)[~hit].tobytes()


@settings(max_examples=1_000, deadline=None)
@given(seed=SEEDS, kind=GATES)
def test_the_order_of_symbols_changes_no_bit(seed: int, kind: str) -> None:
    """Matured cross-sections and the question, each in another order, give the same answers in that order."""
    data, parameters = history(seed), settings_of(kind, "slope")
    rng = np.random.default_rng(seed)
    count = data.asked.shape[1]
    orders = np.argsort(rng.random((TIMES, 1, count)), axis=2)
    shuffled = History(
        np.take_along_axis(data.scores, orders, axis=2),
        np.take_along_axis(data.outcomes, orders, axis=2),
        data.asked,
        data.cost,
    )
    order = rng.permutation(count)
    straight = ask(taught(data, parameters), data.asked, data.cost, parameters)
    permuted = ask(taught(shuffled, parameters), data.asked[:, order], data.cost[:, order], parameters)
    expected = ConformalResult(
        conf_long=straight.conf_long[:, order],
        conf_short=straight.conf_short[:, order],
        reason=straight.reason[:, order],
        lower_sigma=straight.lower_sigma[:, order],
        upper_sigma=straight.upper_sigma[:, order],
    )
    assert same(permuted, expected)


@settings(max_examples=1_000, deadline=None)
@given(seed=SEEDS, variant=VARIANTS, cut=st.integers(3, TIMES - 1))
def test_the_future_changes_no_earlier_answer_and_replay_repeats_it(
    seed: int, variant: tuple[str, str], cut: int
) -> None:
    """An answer keeps its bits whatever is learned later, and a replay up to its time repeats it."""
    data, parameters = history(seed), settings_of(*variant)
    state = taught(data, parameters, cut)
    before = state.canonical()
    answer = ask(state, data.asked, data.cost, parameters)
    copied = ConformalResult(
        conf_long=answer.conf_long.copy(),
        conf_short=answer.conf_short.copy(),
        reason=answer.reason.copy(),
        lower_sigma=answer.lower_sigma.copy(),
        upper_sigma=answer.upper_sigma.copy(),
    )
    assert state.canonical() == before
    learn(
        state,
        horizon_minutes=5,
        ts_ns=10**15,
        now_ns=10**15,
        scores=np.array([0.7, 0.1]),
        outcomes=np.array([9.0, -9.0]),
        parameters=parameters,
    )
    assert same(answer, copied)
    other = history(seed + 1)
    if other.scores.shape == data.scores.shape:
        data.scores[cut:], data.outcomes[cut:] = other.scores[cut:], other.outcomes[cut:]
    replayed = taught(data, parameters, cut)
    assert replayed.canonical() == before
    assert same(ask(replayed, data.asked, data.cost, parameters), answer)


@settings(max_examples=1_000, deadline=None)
@given(seed=SEEDS, variant=VARIANTS, more=st.floats(0.0, 1.0))
def test_a_higher_cost_never_lets_more_pass(seed: int, variant: tuple[str, str], more: float) -> None:
    """What passes at a cost passes at every lower one, in the same direction."""
    data, parameters = history(seed), settings_of(*variant)
    state = taught(data, parameters, 7)
    cheap = ask(state, data.asked, data.cost, parameters)
    dear = ask(state, data.asked, data.cost + more, parameters)
    assert not (dear.conf_long & ~cheap.conf_long).any()
    assert not (dear.conf_short & ~cheap.conf_short).any()


@settings(max_examples=1_000, deadline=None)
@given(seed=SEEDS, kind=GATES)
def test_what_passes_agrees_with_the_forecast(seed: int, kind: str) -> None:
    """Buying needs a positive score and selling a negative one, also where all skill is inverted."""
    data, parameters = history(seed, skill=-1.0), settings_of(kind, "slope")
    result = ask(taught(data, parameters, 7), data.asked, data.cost, parameters)
    assert (data.asked[result.conf_long] > 0.0).all()
    assert (data.asked[result.conf_short] < 0.0).all()


@settings(max_examples=1_000, deadline=None)
@given(seed=SEEDS, refit_every=st.integers(1, 7))
def test_sorted_residuals_are_those_of_the_ring(seed: int, refit_every: int) -> None:
    """At every refit the array that is kept up to date has the bytes of the ring's residuals sorted anew."""
    rng = np.random.default_rng(seed)
    parameters = settings_of("probability", "slope", refit_every=refit_every)
    state = ConformalState()
    for time in range(24):
        width = int(rng.integers(1, 4))
        scores = np.round(rng.standard_normal(width), 1)
        learn(
            state,
            horizon_minutes=5,
            ts_ns=time * 5 * MINUTE_NS,
            now_ns=(time + 1) * 5 * MINUTE_NS,
            scores=scores,
            outcomes=np.round(rng.standard_normal(width), 1),
            parameters=parameters,
        )
        horizon = state.horizons[5]
        assert len(horizon.arrived) == len(horizon.expired) < max(refit_every, 1)
        if horizon.calibrated and not horizon.arrived:
            _, kept, realised = horizon.ring.flat_pairs()
            assert horizon.ordered.tobytes() == np.sort((realised - kept) + 0.0).tobytes()


@settings(max_examples=1_000, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 3)), min_size=1, max_size=8).filter(
        lambda pairs: any(weight for _, weight in pairs)
    )
)
def test_pooling_solves_the_minimum_maximum_formula(pairs: list[tuple[int, int]]) -> None:
    """Pooling, the same for many rows at once, and the formula written out agree, weightless entries included."""
    sound = [(float(value), float(weight)) for value, weight in pairs if weight]
    values, weights = np.array([pair[0] for pair in sound]), np.array([pair[1] for pair in sound])
    fitted = pool_adjacent_violators(np.array([float(v) for v, _ in pairs]), np.array([float(w) for _, w in pairs]))
    assert (np.diff(fitted) >= 0.0).all()
    count = len(values)
    means = {
        (i, j): (values[i : j + 1] * weights[i : j + 1]).sum() / weights[i : j + 1].sum()
        for i in range(count)
        for j in range(i, count)
    }
    expected = [max(min(means[i, j] for j in range(k, count)) for i in range(k + 1)) for k in range(count)]
    kept = np.array([weight > 0 for _, weight in pairs])
    np.testing.assert_allclose(fitted[kept], expected, rtol=1e-12, atol=1e-12)
    all_weights = np.array([[float(weight) for _, weight in pairs]] * 2)
    all_sums = all_weights * np.array([float(value) for value, _ in pairs])
    rows = isotonic_rows(all_sums, all_weights)
    np.testing.assert_allclose(rows, [fitted, fitted], rtol=1e-12, atol=1e-12)
