"""Owns the tests of the learned choice between horizons."""

import numpy as np
import pytest

from walstreet.domain import exp3ix, meta_arbiter
from walstreet.domain.arbitrate import NO_HORIZON
from walstreet.domain.select_horizon import Selection, candidate_horizons, select_horizons

SIGMA = np.array([[10.0] * 4, [20.0] * 4, [40.0] * 4])
NET = np.array([
    [4.0, 1.0, 0.0, np.nan],
    [-6.0, 1.0, 0.0, 5.0],
    [1.0, -1.5, np.nan, np.nan],
])  # fmt: skip
RESERVE = np.full(4, 3.0)
SYMBOLS = ("A", "B", "C", "D")


def select(method, *, meta=None, bandit=None, decision: str = "d1", features=None) -> Selection:
    """Choose for the four symbols above."""
    return select_horizons(
        method, NET, SIGMA, RESERVE, symbols=SYMBOLS, decision_id=decision,
        features=np.ones((len(meta_arbiter.FEATURES), 4)) if features is None else features,
        meta=meta or meta_arbiter.initial(3), bandit=bandit or exp3ix.initial(3),
    )  # fmt: skip


def test_candidates_clear_the_reserve_or_have_at_least_an_edge():
    """A: 4 and 6 clear 3, the 1 does not count. B: none clears, so all three edges. C: no edge. D: one."""
    assert candidate_horizons(NET, SIGMA, RESERVE).T.tolist() == [
        [True, True, False],
        [True, True, True],
        [False, False, False],
        [False, True, False],
    ]


def test_meta_falls_back_to_the_winner_before_its_first_fit():
    """|net|/sigma of A is (.4, .3): the first; of B (.1, .05, .0375): the first; probability 1 says so."""
    chosen = select("meta")
    assert chosen.best.tolist() == [0, 0, NO_HORIZON, 1]
    assert chosen.probability.tolist() == pytest.approx([1.0, 1.0, np.nan, 1.0], nan_ok=True)
    assert chosen.fallback.tolist() == [True, True, False, True]
    assert chosen.draws is None


def test_meta_takes_the_most_probable_candidate():
    """A model that has only ever seen horizon 2 win takes it where it is a candidate, else the next likely one."""
    meta = meta_arbiter.initial(3)
    rules = meta_arbiter.MetaParameters(refit_cycles=1, samples_min=10)
    labels = np.array([2] * 15 + [1] * 5)
    features = np.ones((len(meta_arbiter.FEATURES), 20))
    meta_arbiter.learn(meta, features, np.ones((3, 20), dtype=np.bool_), labels, rules)
    chosen = select("meta", meta=meta)
    assert chosen.best.tolist() == [1, 2, NO_HORIZON, 1]
    assert 0.5 < chosen.probability[0] < 1.0
    assert chosen.probability[3] == 1.0
    assert not chosen.fallback.any()
    holed = np.ones((len(meta_arbiter.FEATURES), 4))
    holed[0, 1] = np.nan
    chosen = select("meta", meta=meta, features=holed)
    assert (chosen.best[1], chosen.fallback.tolist()) == (0, [False, True, False, False])


def test_bandit_draws_candidates_only_and_is_repeatable():
    """Over 200 decisions every draw is a candidate, both of A's and all of B's occur, and a repeat is the same."""
    seen: list[list[int]] = []
    candidates = candidate_horizons(NET, SIGMA, RESERVE)
    for index in range(200):
        chosen = select("exp3ix", decision=str(index))
        assert chosen.best.tolist() == select("exp3ix", decision=str(index)).best.tolist()
        assert chosen.best[2] == NO_HORIZON
        assert all(candidates[row, column] for column, row in enumerate(chosen.best.tolist()) if row >= 0)
        assert chosen.probability.tolist() == pytest.approx([0.5, 1.0 / 3.0, np.nan, 1.0], nan_ok=True)
        seen.append(chosen.best.tolist())
    assert sorted({row[0] for row in seen}) == [0, 1]
    assert sorted({row[1] for row in seen}) == [0, 1, 2]


def test_bandit_learns_which_horizon_pays():
    """A's horizon 0 loses 15 bps and horizon 1 earns 15: after 200 outcomes, each one decision late, 1 is usual."""
    bandit, rules = exp3ix.initial(3), exp3ix.Exp3IxParameters()
    picks = []
    for index in range(200):
        chosen = select("exp3ix", bandit=bandit, decision=str(index))
        assert chosen.draws is not None
        exp3ix.observe_draws(bandit, str(index), SYMBOLS, chosen.candidates, chosen.draws)
        picks.append(int(chosen.best[0]))
        if index:
            earned = 15.0 if picks[index - 1] == 1 else -15.0
            assert exp3ix.learn(bandit, str(index - 1), "A", earned, rules)
    assert sum(picks[150:]) > 40
    assert sum(picks[:20]) < 20


def test_mirrored_market_gets_the_same_horizons():
    """Negated edges give the same candidates, draws and winners."""
    for method in ("meta", "exp3ix"):
        straight = select(method)
        mirrored = select_horizons(
            method, -NET, SIGMA, RESERVE, symbols=SYMBOLS, decision_id="d1",
            features=np.ones((len(meta_arbiter.FEATURES), 4)),
            meta=meta_arbiter.initial(3), bandit=exp3ix.initial(3),
        )  # fmt: skip
        assert mirrored.best.tolist() == straight.best.tolist()
