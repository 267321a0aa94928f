"""Owns the properties of the learned choice between horizons and of the bandit that must hold for every input."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain import exp3ix, meta_arbiter
from walstreet.domain.arbitrate import NO_HORIZON
from walstreet.domain.select_horizon import select_horizons

EXAMPLES = settings(max_examples=1_000, deadline=None)
NETS = np.array([0.0, np.nan, 1.0, -2.0, 3.0, -3.0, 20.0])
HORIZONS = 3


def fitted() -> meta_arbiter.MetaState:
    """Return a meta-model that has learned from noise."""
    generator = np.random.default_rng(0)
    state = meta_arbiter.initial(HORIZONS)
    rules = meta_arbiter.MetaParameters(refit_cycles=1, samples_min=10)
    features = generator.normal(size=(len(meta_arbiter.FEATURES), 50))
    mask = np.ones((HORIZONS, 50), dtype=np.bool_)
    meta_arbiter.learn(state, features, mask, generator.integers(0, HORIZONS, size=50), rules)
    return state


def taught() -> exp3ix.Exp3IxState:
    """Return a bandit that prefers its second arm."""
    state = exp3ix.initial(HORIZONS)
    state.estimates[:] = [4.0, 0.0, 9.0]
    state.decisions = 30
    return state


META, BANDIT = fitted(), taught()


@st.composite
def markets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return (H, N) nets, (F, N) features and names."""
    count = draw(st.integers(1, 4))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (HORIZONS, count)
    net = np.where(
        generator.random(shape) < 0.5, generator.normal(size=shape) * 4.0, generator.choice(NETS, size=shape)
    )
    features = generator.normal(size=(len(meta_arbiter.FEATURES), count))
    features[:, generator.random(count) < 0.2] = np.nan
    return net, features, tuple(f"S{index}" for index in range(count))


def chosen(method: str, net: np.ndarray, features: np.ndarray, names: tuple[str, ...]):
    """Choose with fixed sigmas and reserves."""
    sigma = np.array([[10.0], [20.0], [40.0]]) * np.ones_like(net)
    return select_horizons(
        method, net, sigma, np.full(net.shape[1], 3.0), symbols=names, decision_id="d", features=features,
        meta=META, bandit=BANDIT,
    )  # fmt: skip


@EXAMPLES
@given(markets(), st.sampled_from(["meta", "exp3ix"]))
def test_choice_is_a_candidate_with_its_probability(market, method: str):
    """The choice has an edge, clears the reserve wherever any horizon does, and comes with a probability in (0, 1]."""
    net, features, names = market
    result = chosen(method, net, features, names)
    for column, row in enumerate(result.best.tolist()):
        edges = np.abs(np.nan_to_num(net[:, column]))
        if row == NO_HORIZON:
            assert not edges.any()
            assert np.isnan(result.probability[column])
            continue
        assert edges[row] > 0.0
        assert edges[row] >= 3.0 or edges.max() < 3.0
        assert 0.0 < result.probability[column] <= 1.0 + 1e-12


@EXAMPLES
@given(markets(), st.sampled_from(["meta", "exp3ix"]), st.data())
def test_choice_follows_the_symbols_and_ignores_the_sign(market, method: str, data: st.DataObject):
    """Permuted symbols get their own choices, and negated edges the same: exactly."""
    net, features, names = market
    order = np.array(data.draw(st.permutations(range(len(names)))))
    straight = chosen(method, net, features, names)
    turned = chosen(method, net[:, order], features[:, order], tuple(names[index] for index in order))
    assert np.array_equal(turned.best, straight.best[order])
    assert np.array_equal(chosen(method, -net, features, names).best, straight.best)


@EXAMPLES
@given(st.integers(1, 6), st.lists(st.tuples(st.integers(0, 3), st.floats(-60.0, 60.0)), max_size=5), st.data())
def test_bandit_probabilities_stay_a_distribution_under_any_feedback(arms: int, feedback, data: st.DataObject):
    """After delayed outcomes in any order the probabilities over the available arms sum to 1 and others are 0."""
    state, rules = exp3ix.initial(arms), exp3ix.Exp3IxParameters()
    everything = np.ones((arms, 1), dtype=np.bool_)
    for index in range(len(feedback)):
        draws = exp3ix.draw(state, str(index), ("A",), everything)
        exp3ix.observe_draws(state, str(index), ("A",), everything, draws)
    for position in data.draw(st.permutations(range(len(feedback)))):
        exp3ix.learn(state, str(position), "A", feedback[position][1], rules)
    assert state.learned == len(feedback) == state.decisions
    assert np.all(np.isfinite(state.estimates) & (state.estimates >= 0.0))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=arms, max_size=arms)))[:, None]
    share = exp3ix.probabilities(state, mask)
    assert np.all(share[~mask] == 0.0)
    assert np.all(share[mask] > 0.0)
    assert abs(share.sum() - float(mask.any())) < 1e-12
