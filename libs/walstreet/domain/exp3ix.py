"""Owns Exp3-IX, the bandit for arms whose outcome only the chosen arm reveals, with delayed feedback.

Neu (2015, "Explore no more"): arm i is drawn with ``p_i`` proportional to ``exp(-eta_t L_i)``, where L sums the
estimates ``l / (p + gamma_t)`` of the arms drawn; no exploration is mixed in. The rates of theorem 1 that need no
horizon are ``eta_t = sqrt(ln K / (K t)) = 2 gamma_t``; t counts decisions. A net return becomes a loss in [0, 1] by
clipping it at plus and minus R bps: ``l = (R - net) / (2 R)``.

Outcomes come later than the next decisions, so each draw waits with the probability and the gamma *of its
decision*, by the key of that decision. The regret bound of the theorem is claimed for undelayed feedback and for arms
that are always available only. Where an arm was not available its sum grows by ``p l / (p + gamma)``, the
learner's own estimated loss: without that an arm that is rarely available would look good for having lost
little (the sleeping rule of Freund, Schapire, Singer and Warmuth 1997). With all arms available nothing is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from walstreet.domain.bounds import require_between
from walstreet.domain.counter_random import uniforms
from walstreet.domain.portable_math import log, masked_softmax
from walstreet.domain.units import BoolArray, FloatArray, IntArray

ARMS_MAX = 16
PENDING_MAX = 65_536
"""Draws that wait for their outcome: 20 symbols a minute for more than eight sessions. Beyond it the oldest goes."""
NO_ARM = -1

_LOG_OF: tuple[float, ...] = (0.0, *log(np.arange(1.0, ARMS_MAX + 1.0)).tolist())
"""Portable ln K by K."""
assert ARMS_MAX < 63, "the arms available are kept as the bits of one integer"


class Exp3IxParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How returns become losses."""

    loss_clip_bps: float = 20.0
    """R: net returns are clipped at plus and minus this."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("exp3ix", "loss_clip_bps", self.loss_clip_bps, 0.1, 10_000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingDraw:
    """One draw whose outcome is not known yet."""

    arm: int
    probability: float
    gamma: float
    available: int
    """Bit i is set iff arm i was available."""


@dataclass(slots=True)
class Exp3IxState:
    """What the bandit knows; K arms."""

    estimates: FloatArray
    """(K,) sums of estimated losses."""
    decisions: int = 0
    """Draws made so far."""
    learned: int = 0
    dropped: int = 0
    """Draws given up because too many waited."""
    unknown: int = 0
    """Draws whose outcome turned out to be missing."""
    pending: dict[str, PendingDraw] = field(default_factory=dict)
    """By key, oldest first; at most ``PENDING_MAX``."""

    def canonical(self) -> tuple[object, ...]:
        """Return everything as nested plain values, for a digest."""
        waiting = tuple(
            (key, item.arm, item.probability, item.gamma, item.available) for key, item in self.pending.items()
        )
        return (self.estimates.tobytes(), self.decisions, self.learned, self.dropped, self.unknown, waiting)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """Arms drawn at one decision, (N,) each."""

    arms: IntArray
    """``NO_ARM`` where none is available."""
    probabilities: FloatArray
    """Of the arm drawn, at the decision; NaN without one."""
    gamma: float


def initial(arms: int) -> Exp3IxState:
    """Return a bandit that knows nothing.

    Raises:
        ValueError: ``arms`` is not between 1 and ``ARMS_MAX``.
    """
    if not 1 <= arms <= ARMS_MAX:
        raise ValueError(f"exp3ix: {arms} arms; allowed is 1 to {ARMS_MAX}")
    return Exp3IxState(estimates=np.zeros(arms))


def rates(decision: int, arms: int) -> tuple[float, float]:
    """Return eta and gamma of the ``decision``-th decision, counted from 1: ``sqrt(ln K / (K t))`` and its half."""
    eta = float(np.sqrt(_LOG_OF[arms] / (arms * decision)))
    return eta, 0.5 * eta


def probabilities(state: Exp3IxState, available: BoolArray) -> FloatArray:
    """Return (K, N) probabilities of the next decision; a column sums to 1, or to 0 if no arm is available.

    Args:
        state: What the bandit knows.
        available: (K, N).
    """
    eta, _ = rates(state.decisions + 1, len(state.estimates))
    logits = np.broadcast_to(-eta * state.estimates[:, None], available.shape)
    return masked_softmax(logits, available)


def draw(state: Exp3IxState, decision_id: str, names: Sequence[str], available: BoolArray) -> Draws:
    """Draw one arm per name; the same decision, names and state always give the same arms. Changes nothing.

    All names of a decision share its t, and each takes its own number of the decision's stream by the
    alphabetical order of the names, so that their order in the arrays does not matter.

    Args:
        state: What the bandit knows.
        decision_id: Key of the random numbers.
        names: (N,) distinct, for instance symbols.
        available: (K, N) arms that may be drawn.

    Raises:
        ValueError: ``available`` does not fit.
    """
    if available.shape != (len(state.estimates), len(names)):
        raise ValueError(
            f"exp3ix: available has shape {available.shape}; {(len(state.estimates), len(names))} is needed"
        )
    order = sorted(range(len(names)), key=names.__getitem__)
    uniform = np.empty(len(names))
    uniform[order] = uniforms(f"exp3ix:{decision_id}".encode(), len(names))
    return drawn(state, available, uniform)


def drawn(state: Exp3IxState, available: BoolArray, uniform: FloatArray) -> Draws:
    """Return the arms at which the cumulative probabilities reach ``uniform`` (N,) in [0, 1). Changes nothing."""
    share = probabilities(state, available)
    reached = np.add.accumulate(share, axis=0)
    # Rounding may leave the last sum a little off 1, so the numbers are stretched to it.
    beyond = (reached <= uniform[None, :] * reached[-1][None, :]) | (share <= 0.0)
    first = np.argmin(beyond, axis=0)
    last = len(share) - 1 - np.argmax(share[::-1] > 0.0, axis=0)
    chosen = np.where(beyond.all(axis=0), last, first)
    any_arm = available.any(axis=0)
    taken = np.take_along_axis(share, chosen[None, :], axis=0)[0]
    _, gamma = rates(state.decisions + 1, len(state.estimates))
    return Draws(
        arms=np.where(any_arm, chosen, NO_ARM).astype(np.int64),
        probabilities=np.where(any_arm, taken, np.nan),
        gamma=gamma,
    )


def pending_key(decision_id: str, name: str) -> str:
    """Return the key under which the draw of one name at one decision waits."""
    return f"{decision_id}:{name}"


def observe_draws(
    state: Exp3IxState, decision_id: str, names: Sequence[str], available: BoolArray, draws: Draws
) -> None:
    """Note what was drawn, so that the outcome can be learned later; a decision is noted once.

    Raises:
        ValueError: A draw of this decision waits already.
    """
    keys = [pending_key(decision_id, name) for name in names]
    twice = [key for key in keys if key in state.pending]
    if twice:
        raise ValueError(f"exp3ix: draw {twice[0]} waits already; note each decision once")
    bits = [int(value) for value in (available * (1 << np.arange(len(available)))[:, None]).sum(axis=0)]
    for index, arm in enumerate(draws.arms.tolist()):
        if arm == NO_ARM:
            continue
        if len(state.pending) >= PENDING_MAX:
            del state.pending[next(iter(state.pending))]
            state.dropped += 1
        state.pending[keys[index]] = PendingDraw(
            arm=arm, probability=float(draws.probabilities[index]), gamma=draws.gamma, available=bits[index]
        )
        state.decisions += 1


def loss_of(net_bps: float, parameters: Exp3IxParameters) -> float:
    """Return the loss in [0, 1] of a net return: 0 at R bps and above, one half at 0, 1 at -R and below."""
    clip = parameters.loss_clip_bps
    return (clip - min(max(net_bps, -clip), clip)) / (2.0 * clip)


def learn(state: Exp3IxState, decision_id: str, name: str, net_bps: float, parameters: Exp3IxParameters) -> bool:
    """Take the realised outcome of a draw; returns whether it was learned.

    An outcome that is not finite ends the wait and teaches nothing; an unknown or dropped draw is ignored.

    Args:
        state: Changed in place.
        decision_id: As at the draw.
        name: As at the draw.
        net_bps: Realised return of the arm drawn, in the direction taken, less its cost.
        parameters: The clip.
    """
    waiting = state.pending.pop(pending_key(decision_id, name), None)
    if waiting is None:
        return False
    if not np.isfinite(net_bps):
        state.unknown += 1
        return False
    estimate = loss_of(net_bps, parameters) / (waiting.probability + waiting.gamma)
    for arm in range(len(state.estimates)):
        if arm == waiting.arm:
            state.estimates[arm] += estimate
        elif not waiting.available >> arm & 1:
            state.estimates[arm] += waiting.probability * estimate
    state.learned += 1
    return True
