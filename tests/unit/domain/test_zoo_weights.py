"""Owns the tests of the weights of models within a horizon."""

import numpy as np
import pytest

from walstreet.domain.units import DAY_NS, MINUTE_NS
from walstreet.domain.zoo_parameters import WeightParameters
from walstreet.domain.zoo_state import ZooState, normalised
from walstreet.domain.zoo_weights import learn, ridge_ic_weights, weight_source, weights

pytestmark = pytest.mark.spec("001.arbitration")

NAMES = ("m1", "m2")
RIDGE = WeightParameters(decisions_min=3, refresh_decisions=1)
S1, S2, Y = (1.0, -1.0, 1.0, 1.0), (1.0, 1.0, 1.0, -1.0), (2.0, -1.0, 1.0, 1.0)
ALPHA_1, ALPHA_2, COST = 10.0, 4.0, 2.0
BOTH = np.array([True, True])


def teach(
    state: ZooState,
    parameters: WeightParameters,
    *,
    horizon: int = 30,
    start: int = 1,
    names: tuple[str, str] = NAMES,
    flip: float = 1.0,
    rounds: int = 4,
):
    """Teach one symbol's hand-made history, a minute per decision."""
    order = [0, 1] if names == NAMES else [1, 0]
    for index in range(rounds):
        scores = np.array([[S1[index % 4]], [S2[index % 4]]]) * flip
        alphas = scores * np.array([[ALPHA_1], [ALPHA_2]])
        outcome = np.array([Y[index % 4]]) * flip
        learn(
            state, horizon, models=names, scores=scores[order], alphas_bps=alphas[order], outcomes=outcome,
            returns_bps=outcome * 10.0, cost_bps=np.array([COST]), ts_ns=(start + index) * MINUTE_NS,
            parameters=parameters,
        )  # fmt: skip


def ask(state: ZooState, parameters: WeightParameters, *, horizon: int = 30, oof=None, present=BOTH) -> list[float]:
    """Return the weights of both models."""
    return weights(state, horizon, models=NAMES, oof_weights=oof, present=present, parameters=parameters).tolist()


def test_ridge_weights_by_hand():
    """Uncorrelated scores: weights are proportional to IC times surviving share, here 8 to 1.

    s1.s1 = s2.s2 = 4, s1.s2 = 1-1+1-1 = 0, y.y = 7, s1.y = 2+1+1+1 = 5, s2.y = 2-1+1-1 = 1, so the ICs are
    5/sqrt(28) and 1/sqrt(28). Of alphas of 10 and 4 bps a cost of 2 leaves .8 and .5: mu = (4, .5)/sqrt(28).
    """
    state = ZooState()
    teach(state, RIDGE)
    assert ask(state, RIDGE) == pytest.approx([8.0 / 9.0, 1.0 / 9.0])


def test_short_horizons_are_tempered():
    """At 5 minutes (8/9)^.75 and (1/9)^.75 renormalise to 8^.75/(8^.75 + 1) = .826293."""
    state = ZooState()
    teach(state, RIDGE, horizon=5)
    assert ask(state, RIDGE, horizon=5) == pytest.approx([8.0**0.75 / (8.0**0.75 + 1.0), 0.173707], abs=1e-6)
    assert [RIDGE.temper(minutes) for minutes in (5, 10, 15, 30, 7_800)] == [0.75, 0.85, 0.9, 1.0, 1.0]


def test_correlated_models_share_their_weight():
    """C = [[1,.5],[.5,1]] + .15 I: mu (.3, .2) gives 1.15*.3-.5*.2 = .245 and 1.15*.2-.5*.3 = .08, so 245 to 80.

    With mu (.3, .1) the second would be .115-.15 < 0 and is clipped.
    """
    correlation = np.array([[1.0, 0.5], [0.5, 1.0]])
    solved = ridge_ic_weights(correlation, np.array([0.3, 0.2]), ridge=0.15, temper=1.0)
    assert solved.tolist() == pytest.approx([245.0 / 325.0, 80.0 / 325.0])
    assert ridge_ic_weights(correlation, np.array([0.3, 0.1]), ridge=0.15, temper=0.75).tolist() == [1.0, 0.0]


def test_negative_edge_never_gets_weight():
    """With mu (-.3, -.1) the literal system gives the second model -.115+.15 > 0 and so everything; ours gives nothing.

    A third, uncorrelated model with an edge takes all: the negative ones neither get weight nor move it.
    """
    correlation, edge = np.array([[1.0, 0.5], [0.5, 1.0]]), np.array([-0.3, -0.1])
    literal = ridge_ic_weights(correlation, edge, ridge=0.15, temper=1.0, positive_edge_only=False)
    assert literal.tolist() == [0.0, 1.0]
    assert ridge_ic_weights(correlation, edge, ridge=0.15, temper=1.0).tolist() == [0.0, 0.0]
    wider = np.eye(3)
    wider[:2, :2] = correlation
    assert ridge_ic_weights(wider, np.append(edge, 0.1), ridge=0.15, temper=1.0).tolist() == [0.0, 0.0, 1.0]


def test_fall_back_is_ridge_then_out_of_fold_then_equal():
    """Three decisions are needed here; before that out-of-fold weights count, and without them equal ones."""
    state, oof = ZooState(), np.array([0.2, 0.6])
    assert ask(state, RIDGE) == [0.5, 0.5]
    teach(state, RIDGE, rounds=2)
    assert weight_source(state, 30, oof_weights=oof, parameters=RIDGE) == "oof"
    assert ask(state, RIDGE, oof=oof) == pytest.approx([0.25, 0.75])
    assert weight_source(state, 30, oof_weights=None, parameters=RIDGE) == "equal"
    assert ask(state, RIDGE) == [0.5, 0.5]
    teach(state, RIDGE, start=3, rounds=2)
    assert weight_source(state, 30, oof_weights=oof, parameters=RIDGE) == "ridge_ic"
    assert weight_source(state, 60, oof_weights=None, parameters=RIDGE) == "equal"


def test_fewer_than_three_samples_can_never_be_enough():
    """The document's rule of equal weights below three samples is the lowest setting."""
    with pytest.raises(ValueError, match=r"decisions_min is 2"):
        WeightParameters(decisions_min=2)


def test_out_of_fold_method_ignores_what_was_learned():
    """``oof`` stays with the manifest's weights, and without them with equal ones."""
    parameters = WeightParameters(method="oof", decisions_min=3)
    state = ZooState()
    teach(state, parameters)
    assert ask(state, parameters, oof=np.array([3.0, 1.0])) == [0.75, 0.25]
    assert ask(state, parameters) == [0.5, 0.5]
    assert ask(state, parameters, oof=np.zeros(2)) == [0.0, 0.0]


def test_all_clipped_means_no_prediction():
    """If every information coefficient is negative all weights are 0, although the out-of-fold weights are not."""
    state = ZooState()
    for index in range(4):
        scores = np.array([[S1[index]], [S1[index]]])
        learn(
            state, 30, models=NAMES, scores=scores, alphas_bps=scores * 9.0, outcomes=-scores[0],
            returns_bps=-scores[0], cost_bps=np.array([1.0]), ts_ns=index + 1, parameters=RIDGE,
        )  # fmt: skip
    assert ask(state, RIDGE, oof=np.array([0.5, 0.5])) == [0.0, 0.0]


def test_missing_models_get_nothing_and_the_others_all():
    """Over the models that are present the weights sum to 1; without any there is no prediction."""
    state = ZooState()
    teach(state, RIDGE)
    assert ask(state, RIDGE, present=np.array([False, True])) == [0.0, 1.0]
    assert ask(state, RIDGE, present=np.array([False, False])) == [0.0, 0.0]


def test_costs_beyond_every_alpha_take_the_weight():
    """Where no alpha of a model ever cleared its cost its surviving share and its weight are 0."""
    state = ZooState()
    for index in range(4):
        scores = np.array([[S1[index]], [S1[index]]])
        learn(
            state, 30, models=NAMES, scores=scores, alphas_bps=scores * np.array([[1.0], [4.0]]),
            outcomes=scores[0], returns_bps=scores[0], cost_bps=np.array([2.0]), ts_ns=index + 1, parameters=RIDGE,
        )  # fmt: skip
    assert ask(state, RIDGE) == [0.0, 1.0]


def test_new_model_waits_for_its_own_history():
    """A model that has answered fewer times than the minimum has no weight, and does not disturb the others."""
    state = ZooState()
    teach(state, RIDGE)
    scores = np.array([[1.0], [1.0]])
    learn(
        state, 30, models=("m1", "m3"), scores=scores, alphas_bps=scores * 10.0, outcomes=np.array([1.0]),
        returns_bps=np.array([1.0]), cost_bps=np.array([1.0]), ts_ns=DAY_NS, parameters=RIDGE,
    )  # fmt: skip
    got = weights(state, 30, models=("m3", "m1"), oof_weights=None, present=BOTH, parameters=RIDGE)
    assert got.tolist() == [0.0, 1.0]


def test_sums_follow_the_models_by_name():
    """Teaching the second half in the other order gives the same weights as teaching all in one."""
    straight, turned = ZooState(), ZooState()
    teach(straight, RIDGE, rounds=8)
    teach(turned, RIDGE)
    teach(turned, RIDGE, names=("m2", "m1"), start=5)
    assert ask(turned, RIDGE) == pytest.approx(ask(straight, RIDGE), abs=1e-12)


def test_missing_numbers_leave_out_their_own_observation():
    """A symbol without an outcome, a score or a cost changes nothing of the others."""
    clean, holed = ZooState(), ZooState()
    teach(clean, RIDGE)
    for index in range(4):
        scores = np.array([[S1[index], 2.0, np.nan], [S2[index], np.nan, np.nan]])
        alphas = scores * np.array([[ALPHA_1], [ALPHA_2]])
        learn(
            holed, 30, models=NAMES, scores=scores, alphas_bps=alphas, outcomes=np.array([Y[index], np.nan, 3.0]),
            returns_bps=np.zeros(3), cost_bps=np.array([COST, np.nan, -1.0]), ts_ns=(1 + index) * MINUTE_NS,
            parameters=RIDGE,
        )  # fmt: skip
    assert ask(holed, RIDGE) == ask(clean, RIDGE)
    assert np.array_equal(holed.horizons[30].products, clean.horizons[30].products)


def test_one_jump_counts_at_most_five_sigma():
    """An outcome of 50 sigma has the weight of one of 5."""
    states = [ZooState(), ZooState()]
    for state, jump in zip(states, (5.0, 50.0), strict=True):
        scores = np.array([[1.0], [0.5]])
        learn(
            state, 30, models=NAMES, scores=scores, alphas_bps=scores, outcomes=np.array([jump]),
            returns_bps=np.array([1.0]), cost_bps=np.array([0.1]), ts_ns=1, parameters=RIDGE,
        )  # fmt: skip
    assert states[0].canonical() == states[1].canonical()


def test_window_forgets_whole_buckets():
    """With buckets of 4 in a window of 8 the first history is gone after three of them, and by age sooner."""
    parameters = WeightParameters(
        decisions_min=3, refresh_decisions=1, window_days=1, decisions_per_day=8, decisions_per_bucket=4
    )
    fresh, old = ZooState(), ZooState()
    teach(old, parameters, flip=-3.0)
    for start in (5, 9):
        teach(old, parameters, start=start)
    for start in (5, 9):
        teach(fresh, parameters, start=start)
    assert parameters.buckets == 2
    assert ask(old, parameters) == ask(fresh, parameters)
    aged = ZooState()
    teach(aged, parameters, start=1)
    teach(aged, parameters, start=16 * 24 * 60)
    # Only the new bucket counts: four decisions, s1.s1 = 4.
    assert (aged.horizons[30].closed_products[0, 0], aged.horizons[30].products.sum(axis=0)[0, 0]) == (0.0, 4.0)


def test_hedge_by_hand():
    """One loss of .3 against .8 moves (.5, .5) to .513161, and one per cent of each goes to the other."""
    parameters = WeightParameters(method="hedge")
    state = ZooState()
    assert weight_source(state, 30, oof_weights=BOTH * 0.5, parameters=parameters) == "equal"
    learn(
        state, 30, models=NAMES, scores=np.array([[1.0], [-1.0]]), alphas_bps=np.array([[3.0], [-3.0]]),
        outcomes=np.array([1.0]), returns_bps=np.array([10.0]), cost_bps=np.array([2.0]), ts_ns=1,
        parameters=parameters,
    )  # fmt: skip
    # eta = sqrt(8 ln 2 / 500) = .105312; exp(.105312 * .5) = 1.054067; 1.054067/2.054067 = .513161.
    assert ask(state, parameters) == pytest.approx([0.99 * 0.513161 + 0.01 * 0.486839, 0.487102], abs=1e-6)
    assert weight_source(state, 30, oof_weights=None, parameters=parameters) == "hedge"


def test_malformed_input_is_refused():
    """Unknown horizons, repeated names, wrong shapes, time running backwards and bad weights are named."""
    state = ZooState()
    teach(state, RIDGE)
    with pytest.raises(ValueError, match="horizon 7 minutes is unknown"):
        teach(state, RIDGE, horizon=7)
    with pytest.raises(ValueError, match="is not after"):
        teach(state, RIDGE)
    arguments = {
        "models": ("m", "m"), "scores": np.zeros((2, 1)), "alphas_bps": np.zeros((2, 1)), "outcomes": np.zeros(1),
        "returns_bps": np.zeros(1), "cost_bps": np.zeros(1), "ts_ns": DAY_NS, "parameters": RIDGE,
    }  # fmt: skip
    with pytest.raises(ValueError, match="distinct"):
        learn(state, 30, **arguments)
    with pytest.raises(ValueError, match="do not fit 2 models"):
        learn(state, 30, **(arguments | {"models": NAMES, "cost_bps": np.zeros(2)}))
    with pytest.raises(ValueError, match="finite and at least 0"):
        ask(ZooState(), RIDGE, oof=np.array([1.0, -1.0]))
    with pytest.raises(ValueError, match="do not fit"):
        ask(state, RIDGE, present=np.array([True]))


def test_digest_sees_what_was_learned():
    """The same history gives the same canonical form, one decision more another one."""
    states = [ZooState(), ZooState()]
    for state in states:
        teach(state, RIDGE)
    assert states[0].canonical() == states[1].canonical()
    teach(states[0], RIDGE, start=5, rounds=1)
    assert states[0].canonical() != states[1].canonical()


def test_normalised_shares_or_nothing():
    """(3, 1) becomes (.75, .25); zeros stay zeros."""
    assert normalised(np.array([3.0, 1.0])).tolist() == [0.75, 0.25]
    assert normalised(np.zeros(2)).tolist() == [0.0, 0.0]


def test_default_parameters_find_the_skilled_model():
    """Of ICs of about .1, 0 and -.1 on 20 symbols the first model has most weight after two sessions, the last none.

    Until the 780th matured decision the out-of-fold weights are in force.
    """
    parameters, generator, names = WeightParameters(), np.random.default_rng(11), ("good", "none", "bad")
    state, oof = ZooState(), np.full(3, 1.0 / 3.0)
    sources = []
    for index in range(parameters.decisions_min):
        outcome = generator.normal(size=20)
        scores = np.clip(np.array([[0.1], [0.0], [-0.1]]) * outcome + generator.normal(size=(3, 20)), -3.0, 3.0)
        learn(
            state, 5, models=names, scores=scores, alphas_bps=4.0 * scores, outcomes=outcome,
            returns_bps=12.0 * outcome, cost_bps=np.full(20, 3.0), ts_ns=(index + 1) * MINUTE_NS, parameters=parameters,
        )  # fmt: skip
        sources.append(weight_source(state, 5, oof_weights=oof, parameters=parameters))
    assert sources == ["oof"] * (parameters.decisions_min - 1) + ["ridge_ic"]
    present = np.ones(3, dtype=np.bool_)
    got = weights(state, 5, models=names, oof_weights=oof, present=present, parameters=parameters)
    assert got[0] > 0.8
    assert got[2] == 0.0
