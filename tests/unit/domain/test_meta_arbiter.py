"""Owns the tests of the meta-model over horizons."""

import itertools
import math

import numpy as np
import pytest

from walstreet.domain import meta_arbiter
from walstreet.domain.meta_arbiter import (
    FEATURES,
    NO_LABEL,
    ROWS_MAX,
    MetaParameters,
    MetaState,
    best_realised_horizon,
    edge_direction,
    edge_scores,
    horizon_probabilities,
    initial,
    learn,
    state_features,
)

pytestmark = pytest.mark.spec("000.3")

QUICK = MetaParameters(refit_cycles=1, samples_min=10)


def flat(count: int) -> np.ndarray:
    """Return features that say nothing."""
    return np.ones((len(FEATURES), count))


def test_label_is_the_best_realised_net_per_sigma():
    """Long edges, returns (6, 8), costs (2, 2), sigmas (10, 20): (.4, .3), so the shorter horizon was best.

    As a short with the same returns the nets are -.8 and -.5, so the longer one was.
    """
    sigma, cost = np.array([[10.0], [20.0]]), np.array([[2.0], [2.0]])
    returns, long = np.array([[6.0], [8.0]]), np.array([[1.0], [1.0]])
    assert best_realised_horizon(long, returns, cost, sigma).tolist() == [0]
    assert best_realised_horizon(-long, returns, cost, sigma).tolist() == [1]


def test_no_label_without_a_choice_or_with_an_outcome_missing():
    """One edge is no choice; a missing outcome among the edges leaves the label open; outside them it does not."""
    net = np.array([[1.0, 1.0, 1.0], [0.0, 2.0, 2.0], [np.nan, 0.0, 0.0]])
    returns = np.array([[1.0, 1.0, 1.0], [1.0, np.nan, 9.0], [1.0, 1.0, np.nan]])
    labels = best_realised_horizon(net, returns, np.zeros((3, 3)), np.ones((3, 3)))
    assert labels.tolist() == [NO_LABEL, NO_LABEL, 1]


def test_signed_features_are_taken_along_the_trade():
    """The largest |net/sigma| names the side; a short turns imbalance and drift round; no edge silences them."""
    net, sigma = np.array([[2.0, 2.0, 0.0], [1.0, -9.0, np.nan]]), np.array([[4.0] * 3, [8.0] * 3])
    assert edge_scores(net, sigma).tolist() == [[0.5, 0.5, 0.0], [0.125, -1.125, 0.0]]
    direction = edge_direction(net, sigma)
    assert direction.tolist() == [1.0, -1.0, 0.0]
    features = state_features(
        spread_bps=np.full(3, 2.0), sigma_5m_bps=np.full(3, 9.0), session_fraction=0.25,
        imbalance=np.full(3, 0.4), drift_bps=np.full(3, -3.0), direction=direction,
    )  # fmt: skip
    assert features.T.tolist() == [
        [2.0, 9.0, 0.25, 0.25, 0.4, -3.0],
        [2.0, 9.0, 0.25, 0.25, -0.4, 3.0],
        [2.0, 9.0, 0.25, 0.25, 0.0, 0.0],
    ]


def test_constant_features_give_the_shrunk_frequencies():
    """With 3 of 4 labels on horizon 0 the fit solves .75 - sigmoid(2 a) = l2 a, weights (a, -a)."""
    # Without the penalty a is ln(3)/2 = .5493; at l2 = .02, a = .5218: sigmoid(1.0437) = .7396, .75 - .7396 = .0104.
    state = initial(2)
    labels = np.array([0, 0, 0, 1] * 5)
    for _ in range(30):
        learn(state, flat(20), np.ones((2, 20), dtype=np.bool_), labels, QUICK)
    slope = float(state.weights[0, 0])
    assert state.weights[:, 0].tolist() == pytest.approx([slope, -slope], abs=1e-12)
    assert 0.75 - 1.0 / (1.0 + math.exp(-2.0 * slope)) == pytest.approx(0.02 * slope, abs=1e-9)
    assert slope == pytest.approx(0.5218, abs=1e-4)
    share = horizon_probabilities(state, flat(1), np.ones((2, 1), dtype=np.bool_))
    assert share[:, 0].tolist() == pytest.approx(
        [1.0 / (1.0 + math.exp(-2.0 * slope)), 1.0 / (1.0 + math.exp(2.0 * slope))]
    )


def test_fit_finds_the_horizon_that_the_state_asks_for():
    """Where wide spreads pay on the long horizon and narrow ones on the short the model says so, out of sample."""
    generator = np.random.default_rng(5)
    state = initial(3)

    def market(count: int) -> tuple[np.ndarray, np.ndarray]:
        features = generator.normal(size=(len(FEATURES), count))
        pull = np.stack([-1.5 * features[0], np.zeros(count), 1.5 * features[0]])
        return features, np.argmax(pull + generator.gumbel(size=pull.shape), axis=0)

    for _ in range(60):
        features, labels = market(20)
        learn(state, features, np.ones((3, 20), dtype=np.bool_), labels, MetaParameters(refit_cycles=20))
    features, labels = market(2_000)
    share = horizon_probabilities(state, features, np.ones((3, 2_000), dtype=np.bool_))
    pull = np.exp(np.stack([-1.5 * features[0], np.zeros(2_000), 1.5 * features[0]]))
    assert np.abs(share - pull / pull.sum(axis=0)).mean() < 0.04
    likelihood = np.log(share[labels, np.arange(2_000)]).mean()
    assert likelihood > math.log(1.0 / 3.0) + 0.2


def test_each_step_of_the_fit_goes_up():
    """The penalised likelihood never falls from one step to the next, whatever the masks."""
    generator = np.random.default_rng(9)
    available = generator.random((4, 400)) < 0.7
    available[:2] = True
    labels = generator.integers(0, 2, size=400)
    features = generator.normal(size=(len(FEATURES), 400)) * 5.0
    one_step = MetaParameters(refit_cycles=1, samples_min=10, fit_steps=1)
    state = initial(4)
    values = []
    for step in range(25):
        nothing = np.full(400, NO_LABEL)
        learn(state, features, available, labels if step == 0 else nothing, one_step)
        share = horizon_probabilities(state, features, available)
        likelihood = np.log(share[labels, np.arange(400)]).mean()
        values.append(likelihood - 0.5 * one_step.l2 * float((state.weights**2).sum()))
    assert all(later >= earlier - 1e-12 for earlier, later in itertools.pairwise(values))
    assert values[-1] > values[0]


def test_refit_only_in_its_turn_and_with_enough_rows():
    """Nine rows are fewer than ten; at the tenth row the fit waits for the next turn of five cycles."""
    parameters = MetaParameters(refit_cycles=5, samples_min=10)
    state, mask = initial(2), np.ones((2, 1), dtype=np.bool_)
    for cycle in range(1, 16):
        learn(state, flat(1), mask, np.array([cycle % 2]), parameters)
        assert state.fitted_rows == (0 if cycle < 10 else 10 if cycle < 15 else 15)
    assert state.cycles == 15


def test_unusable_rows_are_left_out_and_the_ring_is_bounded():
    """Rows without a label or with a missing feature do not count; beyond the bound the oldest go."""
    state, mask = initial(2), np.ones((2, 3), dtype=np.bool_)
    features = flat(3)
    features[2, 1] = np.nan
    learn(state, features, mask, np.array([1, 0, NO_LABEL]), QUICK)
    assert state.rows == 1
    wide = np.ones((2, ROWS_MAX), dtype=np.bool_)
    learn(state, flat(ROWS_MAX), wide, np.zeros(ROWS_MAX, dtype=np.int64), QUICK)
    assert (state.rows, state.fitted_rows) == (ROWS_MAX + 1, ROWS_MAX)
    assert state.labels.tolist() == [0] * ROWS_MAX


def test_probabilities_need_a_fit_features_and_an_edge():
    """Before the first fit, with a missing feature or without an edge everything is 0; else they sum to 1."""
    state, mask = initial(2), np.array([[True, True, False], [True, True, False]])
    features = flat(3)
    features[0, 1] = np.nan
    assert not horizon_probabilities(state, features, mask).any()
    learn(state, flat(20), np.ones((2, 20), dtype=np.bool_), np.zeros(20, dtype=np.int64), QUICK)
    assert horizon_probabilities(state, features, mask).sum(axis=0).tolist() == pytest.approx([1.0, 0.0, 0.0])


def test_same_history_gives_the_same_bits():
    """Two fits of the same rows agree in every bit, and the digest sees one cycle more."""
    states: list[MetaState] = []
    for _ in range(2):
        generator = np.random.default_rng(1)
        state = initial(3)
        for _ in range(4):
            mask = np.ones((3, 20), dtype=np.bool_)
            learn(state, generator.normal(size=(6, 20)), mask, generator.integers(0, 3, size=20), QUICK)
        states.append(state)
    assert states[0].canonical() == states[1].canonical()
    learn(states[0], flat(1), np.ones((3, 1), dtype=np.bool_), np.array([NO_LABEL]), MetaParameters())
    assert states[0].canonical() != states[1].canonical()


def test_malformed_input_is_refused():
    """Arrays that do not fit, labels outside the edges, no horizon and parameters out of range are named."""
    state = initial(2)
    with pytest.raises(ValueError, match="do not fit"):
        learn(state, flat(2), np.ones((3, 2), dtype=np.bool_), np.zeros(2, dtype=np.int64), QUICK)
    with pytest.raises(ValueError, match="without an edge"):
        learn(state, flat(1), np.array([[True], [False]]), np.array([1]), QUICK)
    with pytest.raises(ValueError, match="0 horizons"):
        initial(0)
    with pytest.raises(ValueError, match=r"meta\.l2"):
        MetaParameters(l2=0.0)
    assert len(FEATURES) + 1 == meta_arbiter.COLUMNS
