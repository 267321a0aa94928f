"""Owns the tests of fixed-share Hedge and its losses."""

import math

import numpy as np
import pytest

from walstreet.domain.fixed_share import learning_rate, sign_losses, updated_shares

RULES = {"horizon_decisions": 500, "share": 0.01}


def test_losses_by_hand():
    """Return 10 and cost 2: long earns 8, loss (20-8)/40 = .3; short earns -12, loss .8; no side sleeps."""
    alphas = np.array([[3.0], [-0.1], [0.0], [np.nan]])
    losses = sign_losses(alphas, np.array([10.0]), np.array([2.0]), clip_bps=20.0)
    assert losses.tolist() == pytest.approx([0.3, 0.8, np.nan, np.nan], nan_ok=True)


def test_losses_are_means_of_clipped_symbols():
    """A jump of 500 bps counts as 20: mean of 20 and 4 is 12, loss .2; a symbol without return or cost is left out."""
    losses = sign_losses(
        np.array([[1.0, 1.0, 1.0, 1.0]]),
        np.array([500.0, 5.0, np.nan, 3.0]),
        np.array([1.0, 1.0, 1.0, np.nan]),
        clip_bps=20.0,
    )
    assert losses.tolist() == pytest.approx([0.2])


def test_learning_rate_by_hand():
    """Sqrt(8 ln 10 / 500) = .191941; a single model needs none."""
    assert (
        learning_rate(10, 500)
        == pytest.approx(math.sqrt(8.0 * math.log(10.0) / 500.0))
        == pytest.approx(0.191941, abs=1e-6)
    )
    assert learning_rate(1, 500) == 0.0


def test_sleeping_models_keep_their_weight():
    """A model that took no side gets the awake ones' weighted loss; with no share to give its weight stays."""
    shares = np.array([0.5, 0.3, 0.2])
    after = updated_shares(shares, np.array([0.2, 0.7, np.nan]), horizon_decisions=8, share=0.0)
    assert after[0] > 0.5
    assert after[1] < 0.3
    # eta = sqrt(ln 3) = 1.048147; mixture (.5*.2 + .3*.7)/.8 = .3875.
    raw = [0.5 * math.exp(-1.048147 * 0.2), 0.3 * math.exp(-1.048147 * 0.7), 0.2 * math.exp(-1.048147 * 0.3875)]
    assert after.tolist() == pytest.approx([value / sum(raw) for value in raw], abs=1e-6)
    assert updated_shares(shares, np.full(3, np.nan), **RULES).tolist() == shares.tolist()


def test_share_lets_a_bad_model_come_back():
    """After 2,000 losses model 2 still holds its share, and overtakes within 200 decisions once it is right."""
    shares = np.array([0.5, 0.5])
    for _ in range(2_000):
        shares = updated_shares(shares, np.array([0.2, 0.8]), **RULES)
    assert 0.005 < shares[1] < 0.2
    for _ in range(200):
        shares = updated_shares(shares, np.array([0.8, 0.2]), **RULES)
    assert shares[1] > 0.5


def test_regret_against_the_best_sequence_of_experts():
    """Losses stay within the bound of fixed share on 24 sequences whose best model changes three times.

    Herbster and Warmuth 1998, in the form of Cesa-Bianchi and Lugosi 2006, corollary 5.1, for a given rate: against
    S switches in T rounds the regret is at most ``((S+1) ln K + S ln(1/a) + (T-S-1) ln(1/(1-a)))/eta + eta T/8``
    with a of each model's weight moving to the K - 1 others, which adds ``S ln((K-1)/K) <= 0``.
    Equal weights lose clearly more.
    """
    rounds, switches, share = 500, 3, 0.01
    for seed in range(24):
        generator = np.random.default_rng(seed)
        count = (3, 5, 8, 10)[seed % 4]
        best = generator.integers(0, count, size=switches + 1)
        phase = np.arange(rounds) * (switches + 1) // rounds
        losses = generator.uniform(0.3, 1.0, size=(rounds, count))
        losses[np.arange(rounds), best[phase]] = generator.uniform(0.0, 0.6, size=rounds)
        shares, suffered = np.full(count, 1.0 / count), 0.0
        for row in losses:
            suffered += float((shares * row).sum())
            shares = updated_shares(shares, row, horizon_decisions=rounds, share=share)
        regret = suffered - float(losses[np.arange(rounds), best[phase]].sum())
        eta = math.sqrt(8.0 * math.log(count) / rounds)
        bits = (switches + 1) * math.log(count) - switches * math.log(share)
        bound = (bits - (rounds - switches - 1) * math.log(1.0 - share)) / eta + eta * rounds / 8.0
        assert regret <= bound, (seed, regret, bound)
        assert regret < 0.6 * float(losses.mean(axis=1).sum() - losses[np.arange(rounds), best[phase]].sum())
