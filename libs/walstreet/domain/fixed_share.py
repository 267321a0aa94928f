"""Owns fixed-share Hedge over models, all of whose counterfactual returns are seen.

Herbster and Warmuth (1998, "Tracking the best expert"): ``v_i = w_i exp(-eta l_i)``, normalised, then every model
gives the share a of its weight to the others in equal parts, so that a model which was bad can come back.
``eta = sqrt(8 ln K / T)`` is the optimal rate of Hedge over T rounds of losses in [0, 1] (Cesa-Bianchi and Lugosi
2006, theorem 2.2).

The loss: a model's sign says on which side it would have stood, so each symbol earns ``sign(alpha) * r - cost``,
clipped at plus and minus R bps so that one jump of one symbol cannot decide; the loss is ``(R - mean) / (2 R)``. The
sign and not the size is judged because sizes are set after the blend by the sizer and a loss must be bounded; the cost
is in it so that a loss of one half means *nothing earned*, and cancels between models that answer for the same symbols.
A model that took no side at all sleeps: it gets the weighted mean loss of the awake, which keeps its weight
(Freund, Schapire, Singer and Warmuth 1997).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from walstreet.domain.portable_math import exp, log
from walstreet.domain.units import FloatArray


def sign_losses(
    alphas_bps: FloatArray, returns_bps: FloatArray, cost_bps: FloatArray, *, clip_bps: float
) -> FloatArray:
    """Return (M,) losses in [0, 1] of one matured decision time; NaN for a model that took no side.

    Args:
        alphas_bps: (M, N) signed.
        returns_bps: (N,) realised over the horizon.
        cost_bps: (N,) round trip.
        clip_bps: R.
    """
    known = np.isfinite(returns_bps) & np.isfinite(cost_bps)
    with np.errstate(invalid="ignore"):
        sided = known[None, :] & np.isfinite(alphas_bps) & (alphas_bps != 0.0)
    side = np.where(sided, np.sign(np.where(sided, alphas_bps, 0.0)), 0.0)
    earned = side * np.where(known, returns_bps, 0.0)[None, :] - np.where(known, cost_bps, 0.0)[None, :]
    total = np.add.accumulate(np.where(sided, np.clip(earned, -clip_bps, clip_bps), 0.0), axis=1)[:, -1]
    count = sided.sum(axis=1)
    mean = total / np.maximum(count, 1)
    return np.where(count > 0, (clip_bps - mean) / (2.0 * clip_bps), np.nan)


@cache
def learning_rate(count: int, horizon_decisions: int) -> float:
    """Return ``sqrt(8 ln K / T)`` for K models and T rounds."""
    return float(np.sqrt(8.0 * log(np.array([float(count)]))[0] / horizon_decisions))


def updated_shares(shares: FloatArray, losses: FloatArray, *, horizon_decisions: int, share: float) -> FloatArray:
    """Return (K,) weights after one round; NaN losses sleep.

    Args:
        shares: (K,) weights before, summing to 1.
        losses: (K,) in [0, 1].
        horizon_decisions: T.
        share: a, given to the others after the loss.
    """
    count = len(shares)
    awake = np.isfinite(losses)
    if count == 1 or not awake.any():
        return shares.copy()
    mass = np.add.accumulate(np.where(awake, shares, 0.0))[-1]
    loss_sum = np.add.accumulate(np.where(awake, shares * np.where(awake, losses, 0.0), 0.0))[-1]
    # With a share above 0 no weight vanishes, but awake models may hold none if the caller set it to 0.
    mixture = loss_sum / mass if mass > 0.0 else 0.5
    eta = learning_rate(count, horizon_decisions)
    kept = shares * exp(-eta * np.where(awake, losses, mixture))
    kept = kept / np.add.accumulate(kept)[-1]
    given = share * kept
    pool = np.add.accumulate(given)[-1]
    moved: FloatArray = (kept - given) + (pool - given) / (count - 1)
    return moved
