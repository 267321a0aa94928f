"""Owns the properties of the weights of models that must hold for every history."""

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet import kernels
from walstreet.domain.fixed_share import updated_shares
from walstreet.domain.oof_weights import oof_ridge_weights
from walstreet.domain.zoo_parameters import WeightParameters
from walstreet.domain.zoo_state import ZooState
from walstreet.domain.zoo_weights import learn, ridge_ic_weights, weights

EXAMPLES = settings(max_examples=1_000, deadline=None)
TOLERANCE = 1e-9
HORIZONS = (5, 10, 15, 30)
METHODS = ("ridge_ic", "hedge")


@dataclass(frozen=True)
class History:
    """Matured decisions: T times, M models, N symbols."""

    horizon: int
    method: str
    scores: np.ndarray
    alphas: np.ndarray
    outcomes: np.ndarray
    costs: np.ndarray
    present: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        """Return the models' names."""
        return tuple(f"m{index}" for index in range(self.scores.shape[1]))

    @property
    def parameters(self) -> WeightParameters:
        """Return parameters that learn from a handful of decisions."""
        return WeightParameters(method=self.method, decisions_min=3, refresh_decisions=1, **WINDOW)


WINDOW = {"window_days": 1, "decisions_per_day": 40, "decisions_per_bucket": 2}


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Return a short history with holes; the numbers come from a drawn seed, their shapes from Hypothesis."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    times, models, symbols = draw(st.integers(1, 5)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    holes = draw(st.sampled_from([0.0, 0.2]))
    skill = draw(st.floats(-1.0, 1.0))
    outcomes = generator.normal(size=(times, symbols))
    scores = skill * outcomes[:, None, :] + generator.normal(size=(times, models, symbols))
    scores = np.where(generator.random(scores.shape) < holes, np.nan, np.clip(scores, -3.0, 3.0))
    costs = generator.uniform(0.5, 4.0, size=outcomes.shape)
    return History(
        horizon=draw(st.sampled_from(HORIZONS)),
        method=draw(st.sampled_from(METHODS)),
        scores=scores,
        alphas=scores * generator.uniform(0.5, 8.0, size=(1, models, 1)),
        outcomes=np.where(generator.random(outcomes.shape) < holes, np.nan, outcomes),
        costs=np.where(generator.random(outcomes.shape) < holes / 2.0, np.nan, costs),
        present=generator.random(models) < 0.8,
    )


def learned(history: History, *, order: np.ndarray | None = None, symbols: np.ndarray | None = None, flip: float = 1.0):
    """Return the state after the history, with models or symbols permuted or everything signed negated."""
    state, parameters = ZooState(), history.parameters
    models = np.arange(len(history.names)) if order is None else order
    columns = np.arange(history.outcomes.shape[1]) if symbols is None else symbols
    for index in range(len(history.outcomes)):
        outcome = flip * history.outcomes[index, columns]
        learn(
            state, history.horizon, models=[history.names[row] for row in models],
            scores=flip * history.scores[index][np.ix_(models, columns)],
            alphas_bps=flip * history.alphas[index][np.ix_(models, columns)],
            outcomes=outcome, returns_bps=10.0 * outcome, cost_bps=history.costs[index, columns],
            ts_ns=index + 1, parameters=parameters,
        )  # fmt: skip
    return state


def asked(history: History, state: ZooState, *, present: np.ndarray | None = None) -> np.ndarray:
    """Return the weights in the order of the history's names."""
    count = len(history.names)
    oof = np.arange(1.0, count + 1.0)
    mask = np.ones(count, dtype=np.bool_) if present is None else present
    return weights(
        state, history.horizon, models=history.names, oof_weights=oof, present=mask, parameters=history.parameters
    )


def sound(values: np.ndarray) -> bool:
    """Return whether weights are at least 0 and sum to 1, or are all 0."""
    total = values.sum()
    return bool(np.all(values >= 0.0) and (total == 0.0 or abs(total - 1.0) < TOLERANCE))


@EXAMPLES
@given(histories())
def test_weights_are_a_blend_or_nothing_and_renormalise_over_the_present(history: History):
    """At least 0, sum 1 or all 0; an absent model has exactly 0 and the others keep their proportions."""
    state = learned(history)
    every, some = asked(history, state), asked(history, state, present=history.present)
    assert sound(every)
    assert sound(some)
    assert np.all(some[~history.present] == 0.0)
    kept = np.where(history.present, every, 0.0)
    expected = kept / kept.sum() if kept.sum() > 0.0 else kept
    assert np.allclose(some, expected, rtol=0.0, atol=TOLERANCE)


@EXAMPLES
@given(histories(), st.data())
def test_weights_follow_models_and_ignore_the_order_of_symbols(history: History, data: st.DataObject):
    """Permuted models get their own weights back by name, and permuted symbols change nothing but rounding."""
    order = np.array(data.draw(st.permutations(range(len(history.names)))))
    symbols = np.array(data.draw(st.permutations(range(history.outcomes.shape[1]))))
    straight = asked(history, learned(history))
    assert np.allclose(asked(history, learned(history, order=order)), straight, rtol=0.0, atol=1e-7)
    assert np.allclose(asked(history, learned(history, symbols=symbols)), straight, rtol=0.0, atol=1e-7)


@EXAMPLES
@given(histories())
def test_mirrored_history_gives_the_same_weights(history: History):
    """Negated scores, alphas and outcomes leave every bit of the weights."""
    assert np.array_equal(asked(history, learned(history, flip=-1.0)), asked(history, learned(history)))


@EXAMPLES
@given(histories())
def test_symbol_without_numbers_changes_nothing(history: History):
    """A further symbol, all missing, leaves every bit of the weights."""

    def widened(values: np.ndarray) -> np.ndarray:
        return np.concatenate((values, np.full((*values.shape[:-1], 1), np.nan)), axis=-1)

    wider = History(
        horizon=history.horizon, method=history.method, present=history.present, scores=widened(history.scores),
        alphas=widened(history.alphas), outcomes=widened(history.outcomes), costs=widened(history.costs),
    )  # fmt: skip
    assert np.array_equal(asked(wider, learned(wider)), asked(history, learned(history)))


@EXAMPLES
@given(histories())
def test_blends_sum_to_one_per_symbol(history: History):
    """Blending ones with the weights gives ones wherever a weighted model answered, and NaN elsewhere."""
    shares = asked(history, learned(history), present=history.present)
    answers = np.where(np.isfinite(history.scores[-1]), 1.0, np.nan)
    blended, present = kernels.blend(np.ascontiguousarray(answers), shares)
    assert np.allclose(blended[present > 0.0], 1.0, rtol=0.0, atol=TOLERANCE)
    assert np.all(np.isnan(blended[present == 0.0]))


@EXAMPLES
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.sampled_from([0.75, 0.9, 1.0]), st.booleans())
def test_ridge_weights_of_any_correlation(seed: int, count: int, temper: float, positive: bool):
    """For any correlation matrix and edge the weights are a blend or nothing; ours never weights a negative edge."""
    generator = np.random.default_rng(seed)
    factor = generator.normal(size=(count, max(1, count // 2)))
    gram = factor @ factor.T
    scale = np.sqrt(np.maximum(np.diagonal(gram), 1e-12))
    correlation = gram / scale[:, None] / scale[None, :]
    np.fill_diagonal(correlation, 1.0)
    edge = generator.normal(size=count) * 0.05
    shares = ridge_ic_weights(correlation, edge, ridge=0.15, temper=temper, positive_edge_only=positive)
    assert sound(shares)
    if positive:
        assert np.all(shares[edge <= 0.0] == 0.0)
        assert (shares.sum() > 0.0) == bool((edge >= 1e-9).any())


@EXAMPLES
@given(st.lists(st.one_of(st.floats(0.0, 1.0), st.just(float("nan"))), min_size=1, max_size=8), st.integers(1, 20))
def test_fixed_share_keeps_a_distribution_and_a_floor(losses: list[float], rounds: int):
    """After any losses the shares sum to 1, and none falls below what the others must give it."""
    count = len(losses)
    shares = np.full(count, 1.0 / count)
    for _ in range(rounds):
        shares = updated_shares(shares, np.array(losses), horizon_decisions=500, share=0.01)
    assert abs(shares.sum() - 1.0) < TOLERANCE
    assert np.all(shares > 0.0)
    awake = np.array(losses)[np.isfinite(losses)]
    if len(awake) == count > 1:
        order = np.argsort(losses)
        assert np.all(np.diff(shares[order]) <= TOLERANCE)


@EXAMPLES
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 20))
def test_out_of_fold_weights_are_a_blend_and_follow_the_models(seed: int, count: int, rows: int):
    """At least 0 and sum 1 for any scores; permuted columns get their own weights; mirrored data the same bits."""
    generator = np.random.default_rng(seed)
    scores, outcomes = generator.normal(size=(rows, count)), generator.normal(size=rows)
    shares = oof_ridge_weights(scores, outcomes)
    assert np.all(shares >= 0.0)
    assert abs(shares.sum() - 1.0) < TOLERANCE
    order = generator.permutation(count)
    assert np.allclose(oof_ridge_weights(scores[:, order], outcomes), shares[order], rtol=0.0, atol=1e-8)
    assert np.array_equal(oof_ridge_weights(-scores, -outcomes), shares)


@EXAMPLES
@given(histories())
def test_no_look_ahead(history: History):
    """Weights handed out stay what they were when later decisions are learned, and the past keeps no view of its input.

    The last decision is overwritten with another one in the very arrays that the earlier ones came from.
    """
    state, parameters = ZooState(), history.parameters
    given_out: list[tuple[np.ndarray, list[float]]] = []
    buffers = {name: np.empty_like(getattr(history, name)[0]) for name in ("scores", "alphas", "outcomes", "costs")}
    for index in range(len(history.outcomes)):
        for name, buffer in buffers.items():
            buffer[...] = getattr(history, name)[index]
        learn(
            state, history.horizon, models=history.names, scores=buffers["scores"], alphas_bps=buffers["alphas"],
            outcomes=buffers["outcomes"], returns_bps=10.0 * buffers["outcomes"], cost_bps=buffers["costs"],
            ts_ns=index + 1, parameters=parameters,
        )  # fmt: skip
        for buffer in buffers.values():
            buffer[...] = -7.0
        now = asked(history, state)
        given_out.append((now, now.tolist()))
    for length, (kept, noted) in enumerate(given_out, start=1):
        prefix = replace(history, scores=history.scores[:length], outcomes=history.outcomes[:length])
        assert kept.tolist() == noted == asked(prefix, learned(prefix)).tolist()
