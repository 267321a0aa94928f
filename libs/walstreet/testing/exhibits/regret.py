"""Owns the exhibit of Exp3-IX: its regret over time on hard sequences of losses, against the proved bound."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from walstreet.domain.counter_random import uniforms
from walstreet.domain.exp3ix import Exp3IxParameters, drawn, initial, learn, observe_draws
from walstreet.testing.exhibits.row import Exhibit, Line, Panel, Row
from walstreet.testing.exhibits.worlds import FloatArray

NAME = "regret"
ARMS = 5
ROUNDS = 10_000
DELTA = 0.01
POINTS = 200
"""Of a drawn curve."""
SEED = 11
ONE = ("A",)


def late_turn(rng: np.random.Generator) -> FloatArray:
    """Return losses whose leader of the first third becomes the worst arm, and another one the best."""
    losses = np.full((ROUNDS, ARMS), 0.5)
    losses[: ROUNDS // 3, 0] = 0.1
    losses[ROUNDS // 3 :, 0] = 1.0
    losses[ROUNDS // 3 :, ARMS - 1] = 0.0
    return np.clip(losses + 0.05 * rng.normal(size=losses.shape), 0.0, 1.0)


def trap(rng: np.random.Generator) -> FloatArray:
    """Return losses whose best arm looks worst at first, and again and again later."""
    losses = np.full((ROUNDS, ARMS), 0.6)
    losses[:, 1] = 0.35
    losses[: math.isqrt(ROUNDS), 1] = 1.0
    losses[:: math.isqrt(ROUNDS), 1] = 1.0
    return np.clip(losses + 0.1 * rng.normal(size=losses.shape), 0.0, 1.0)


def waves(rng: np.random.Generator) -> FloatArray:
    """Return slow waves of loss with one phase per arm, one arm a little lower than the others."""
    phase = rng.random(ARMS)[None, :]
    wave = 0.5 + 0.4 * np.sin(2.0 * np.pi * (np.arange(ROUNDS)[:, None] / 700.0 + phase))
    wave[:, 0] -= 0.1
    return np.clip(wave, 0.0, 1.0)


SEQUENCES: tuple[tuple[str, Callable[[np.random.Generator], FloatArray]], ...] = (
    ("the leader turns worst", late_turn),
    ("a trap for leaders", trap),
    ("waves", waves),
)


def exhibit() -> Exhibit:
    """Play every sequence with feedback at once and compare the regret with the bound at every round."""
    rows: list[Row] = []
    panels: list[Panel] = []
    limit = bound()
    shown = np.linspace(0, ROUNDS - 1, POINTS).astype(np.int64)
    for number, (name, make) in enumerate(SEQUENCES):
        losses = make(np.random.default_rng([SEED, number]))
        regret = regret_of(losses, key=f"exhibit:{SEED}:{number}")
        even = np.cumsum(losses.mean(axis=1)) - np.cumsum(losses, axis=0).min(axis=1)
        rows.append(
            Row(
                exhibit="Exp3-IX regret over bound",
                case=f"{name}, {ARMS} arms, {ROUNDS:,} rounds",
                value=float((regret / limit).max()),
                high=1.0,
                note=f"largest of all rounds; at the end {regret[-1]:,.0f} of {limit[-1]:,.0f}, "
                f"drawing evenly {even[-1]:,.0f}",
            )
        )
        x = (shown + 1).tolist()
        panels.append(
            Panel(
                title=name,
                x_label="round",
                y_label="regret",
                lines=(
                    Line(name="Exp3-IX", x=x, y=regret[shown].tolist()),
                    Line(name="drawing evenly", x=x, y=even[shown].tolist(), style="dashed"),
                    Line(name=f"bound (probability {1.0 - DELTA:g})", x=x, y=limit[shown].tolist(), style="dashed"),
                ),
            )
        )
    return Exhibit(name=NAME, title="Regret of Exp3-IX against its bound", rows=tuple(rows), panels=tuple(panels))


def bound() -> FloatArray:
    """Return (T,) the bound of Neu 2015, theorem 1, second part, which holds with probability ``1 - DELTA``."""
    time, log_arms = np.arange(1, ROUNDS + 1), math.log(ARMS)
    confidence = math.log(2.0 / DELTA)
    found: FloatArray = (
        4.0 * np.sqrt(ARMS * time * log_arms) + (2.0 * np.sqrt(ARMS * time / log_arms) + 1.0) * confidence
    )
    return found


def regret_of(losses: FloatArray, *, key: str) -> FloatArray:
    """Return (T,) loss suffered less that of the best arm of each prefix; (T, K) losses, every arm available."""
    state, rules = initial(losses.shape[1]), Exp3IxParameters(loss_clip_bps=1.0)
    available = np.ones((losses.shape[1], 1), dtype=np.bool_)
    numbers = uniforms(key.encode(), len(losses))
    suffered = np.empty(len(losses))
    for index in range(len(losses)):
        draws = drawn(state, available, numbers[index : index + 1])
        suffered[index] = losses[index, draws.arms[0]]
        observe_draws(state, str(index), ONE, available, draws)
        # A net return of 1 - 2 l at R = 1 is a loss of l.
        learn(state, str(index), ONE[0], 1.0 - 2.0 * float(suffered[index]), rules)
    best: FloatArray = np.cumsum(losses, axis=0).min(axis=1)
    return np.cumsum(suffered) - best
