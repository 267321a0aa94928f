"""Owns the two learning ways to choose a horizon per symbol: the meta-model and the Exp3-IX bandit.

Winner and softmax, which learn nothing, belong to ``arbitrate``. Candidates are the horizons of a symbol whose net
edge clears the reserve; where none does, those with an edge at all, so that the symbol still has a best horizon to be
judged by, and the caller's reserve check stops it. Drawing a horizon that could not be traded would teach nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from walstreet.domain import exp3ix, meta_arbiter
from walstreet.domain.arbitrate import NO_HORIZON
from walstreet.domain.units import BoolArray, FloatArray, IntArray

LearnedMethod: TypeAlias = Literal["meta", "exp3ix"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What was chosen, (N,) unless noted."""

    best: IntArray
    """Row of the chosen horizon, ``NO_HORIZON`` where no horizon has an edge."""
    probability: FloatArray
    """Of the chosen horizon at this decision; 1 where the winner rule chose, NaN where nothing was chosen."""
    candidates: BoolArray
    """(H, N) horizons that could be chosen; ``exp3ix.observe_draws`` needs them."""
    fallback: BoolArray
    """The winner rule chose, because the meta-model has too little to go by."""
    draws: exp3ix.Draws | None
    """What to note with ``exp3ix.observe_draws``; None for the meta-model."""


def candidate_horizons(net_bps: FloatArray, sigma_bps: FloatArray, reserve_bps: FloatArray) -> BoolArray:
    """Return (H, N) horizons that may be chosen: those that clear the reserve, else those with an edge."""
    edge = meta_arbiter.edge_scores(net_bps, sigma_bps) != 0.0
    with np.errstate(invalid="ignore"):
        clearing = edge & (np.abs(net_bps) >= reserve_bps[None, :])
    chosen: BoolArray = np.where(clearing.any(axis=0)[None, :], clearing, edge)
    return chosen


def select_horizons(
    method: LearnedMethod,
    net_bps: FloatArray,
    sigma_bps: FloatArray,
    reserve_bps: FloatArray,
    *,
    symbols: Sequence[str],
    decision_id: str,
    features: FloatArray,
    meta: meta_arbiter.MetaState,
    bandit: exp3ix.Exp3IxState,
) -> Selection:
    """Choose a horizon per symbol; changes nothing. The caller still compares its net with the reserve.

    Args:
        method: ``meta`` takes the most probable candidate, ``exp3ix`` draws one.
        net_bps: (H, N) signed net edge, NaN where missing.
        sigma_bps: (H, N).
        reserve_bps: (N,) edge that a trade must leave.
        symbols: (N,) distinct.
        decision_id: Key of the random draw.
        features: (F, N) from ``meta_arbiter.state_features``; only ``meta`` reads them.
        meta: Fitted from matured decisions.
        bandit: Arms are the H horizons.
    """
    candidates = candidate_horizons(net_bps, sigma_bps, reserve_bps)
    if method == "exp3ix":
        draws = exp3ix.draw(bandit, decision_id, symbols, candidates)
        return Selection(
            best=draws.arms,
            probability=draws.probabilities,
            candidates=candidates,
            fallback=np.zeros(len(symbols), dtype=np.bool_),
            draws=draws,
        )
    share = meta_arbiter.horizon_probabilities(meta, features, candidates)
    score = np.abs(meta_arbiter.edge_scores(net_bps, sigma_bps))
    winner = np.argmax(np.where(candidates, score, -1.0), axis=0)
    any_candidate = candidates.any(axis=0)
    known = share.max(axis=0) > 0.0
    best = np.where(known, np.argmax(share, axis=0), winner)
    probability = np.where(known, share.max(axis=0), 1.0)
    return Selection(
        best=np.where(any_candidate, best, NO_HORIZON).astype(np.int64),
        probability=np.where(any_candidate, probability, np.nan),
        candidates=candidates,
        fallback=any_candidate & ~known,
        draws=None,
    )
