"""Owns what the learning choices of a horizon learn from: decisions that wait until all their horizons have passed.

The meta-model and the bandit are fed only with recorded facts: a decision's own columns and the outcome blocks that
follow. They learn while one of them is the method in force; otherwise nothing waits.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from walstreet.domain import exp3ix, meta_arbiter
from walstreet.domain.arbitrate import LEARNED_METHODS, ArbitrationParameters
from walstreet.domain.decision_record import column_values
from walstreet.domain.exp3ix import Draws, Exp3IxState
from walstreet.domain.meta_arbiter import MetaState
from walstreet.domain.units import BoolArray, FloatArray, IntArray
from walstreet_events import Decision, OutcomeBlock

WAITING_MAX = 4_096
"""Decisions that wait for outcomes; the oldest are given up."""


@dataclass(slots=True, kw_only=True)
class WaitingChoice:
    """One decision; H horizons, N symbols."""

    decision: str
    symbols: tuple[str, ...]
    net_bps: FloatArray
    cost_bps: FloatArray
    sigma_bps: FloatArray
    """(H, N)."""
    chosen: IntArray
    """(N,) row of the horizon chosen, -1 without one."""
    features: FloatArray
    """(F, N) of the meta-model."""
    realised_bps: FloatArray
    """(H, N), NaN until it is known."""

    def canonical(self) -> tuple[object, ...]:
        """Return the content for a digest."""
        arrays = (self.net_bps, self.cost_bps, self.sigma_bps, self.chosen, self.features, self.realised_bps)
        return (self.decision, self.symbols, *(array.tobytes() for array in arrays))


@dataclass(slots=True, kw_only=True)
class HorizonLearning:
    """Meta-model, bandit, and the decisions that wait."""

    horizons_minutes: tuple[int, ...]
    meta: MetaState
    bandit: Exp3IxState
    waiting: dict[str, WaitingChoice] = field(default_factory=dict)
    """By prediction block, oldest first."""

    def canonical(self) -> tuple[object, ...]:
        """Return the content for a digest."""
        return (
            self.horizons_minutes,
            self.meta.canonical(),
            self.bandit.canonical(),
            tuple((key, item.canonical()) for key, item in self.waiting.items()),
        )


def initial(horizons_minutes: tuple[int, ...]) -> HorizonLearning:
    """Return a state that has seen nothing, for (H,) ascending horizons."""
    count = len(horizons_minutes)
    return HorizonLearning(
        horizons_minutes=horizons_minutes, meta=meta_arbiter.initial(count), bandit=exp3ix.initial(count)
    )


def note_decision(state: HorizonLearning, decision: Decision, parameters: ArbitrationParameters) -> None:
    """Let a decision wait for its outcomes, and note what the bandit drew in it.

    Args:
        state: Changed in place.
        decision: One of our own.
        parameters: Those in force in that cycle.
    """
    if parameters.method not in LEARNED_METHODS or decision.horizons_minutes != state.horizons_minutes:
        return
    columns = {
        name: column_values(decision, name)
        for name in ("net_bps", "cost_bps", "sigma_horizon_bps", "chosen_horizon_minutes", "horizon_candidate")
    }
    rows = {float(minutes): row for row, minutes in enumerate(state.horizons_minutes)}
    chosen = np.array([rows.get(value, -1) for value in columns["chosen_horizon_minutes"].tolist()], dtype=np.int64)
    if parameters.method == "exp3ix":
        _note_draws(state, decision, chosen, columns["horizon_candidate"] > 0.0)
    state.waiting[decision.predictions] = WaitingChoice(
        decision=decision.id,
        symbols=decision.symbols,
        net_bps=columns["net_bps"],
        cost_bps=columns["cost_bps"],
        sigma_bps=columns["sigma_horizon_bps"],
        chosen=chosen,
        features=recorded_features(decision),
        realised_bps=np.full(columns["net_bps"].shape, np.nan),
    )
    while len(state.waiting) > WAITING_MAX:
        _give_up(state, state.waiting.pop(next(iter(state.waiting))), parameters)


def _note_draws(state: HorizonLearning, decision: Decision, chosen: IntArray, candidates: BoolArray) -> None:
    probability = column_values(decision, "horizon_probability")
    drawn = np.isfinite(probability)
    _, gamma = exp3ix.rates(state.bandit.decisions + 1, len(state.horizons_minutes))
    arms = np.where(drawn, chosen, exp3ix.NO_ARM)
    exp3ix.observe_draws(
        state.bandit,
        decision.id,
        decision.symbols,
        candidates,
        Draws(arms=arms.astype(np.int64), probabilities=probability, gamma=gamma),
    )


def recorded_features(decision: Decision) -> FloatArray:
    """Return (F, N) state features of a recorded decision, as the meta-model saw them."""
    session = column_values(decision, "session_fraction")
    return meta_arbiter.state_features(
        spread_bps=column_values(decision, "spread_bps"),
        sigma_5m_bps=column_values(decision, "sigma_5m_bps"),
        session_fraction=float(session[0]) if session.size else float("nan"),
        imbalance=column_values(decision, "imbalance"),
        drift_bps=column_values(decision, "last_return_bps"),
        direction=meta_arbiter.edge_direction(
            column_values(decision, "net_bps"), column_values(decision, "sigma_horizon_bps")
        ),
    )


def learn(state: HorizonLearning, outcome: OutcomeBlock, parameters: ArbitrationParameters) -> None:
    """Let bandit and meta-model learn from one recorded block of outcomes."""
    returns = outcome.return_bps.array()
    column = {symbol: index for index, symbol in enumerate(outcome.symbols)}
    for row, (minutes, name) in enumerate(zip(outcome.horizons_minutes, outcome.predictions, strict=True)):
        waiting = state.waiting.get(name)
        if waiting is None or minutes not in state.horizons_minutes:
            continue
        horizon = state.horizons_minutes.index(minutes)
        for index, symbol in enumerate(waiting.symbols):
            if symbol in column:
                waiting.realised_bps[horizon, index] = returns[row, column[symbol]]
        _learn_draws(state, waiting, horizon, parameters)
        if horizon == len(state.horizons_minutes) - 1:
            # The longest horizon is the last to pass: what is missing now will never be known.
            _learn_meta(state, waiting, parameters)
            del state.waiting[name]


def _learn_draws(
    state: HorizonLearning, waiting: WaitingChoice, horizon: int, parameters: ArbitrationParameters
) -> None:
    net, cost, realised = waiting.net_bps[horizon], waiting.cost_bps[horizon], waiting.realised_bps[horizon]
    earned = np.sign(net) * realised - cost
    for index in np.flatnonzero(waiting.chosen == horizon).tolist():
        exp3ix.learn(state.bandit, waiting.decision, waiting.symbols[index], float(earned[index]), parameters.exp3ix)


def _learn_meta(state: HorizonLearning, waiting: WaitingChoice, parameters: ArbitrationParameters) -> None:
    labels = meta_arbiter.best_realised_horizon(
        waiting.net_bps, waiting.realised_bps, waiting.cost_bps, waiting.sigma_bps
    )
    available = meta_arbiter.edge_scores(waiting.net_bps, waiting.sigma_bps) != 0.0
    meta_arbiter.learn(state.meta, waiting.features, available, labels, parameters.meta)


def _give_up(state: HorizonLearning, waiting: WaitingChoice, parameters: ArbitrationParameters) -> None:
    """End the wait of draws whose outcome will not come."""
    for symbol in waiting.symbols:
        exp3ix.learn(state.bandit, waiting.decision, symbol, float("nan"), parameters.exp3ix)
