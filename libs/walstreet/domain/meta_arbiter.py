"""Owns the meta-model that learns which horizon pays under which market state (HorizonArbiter2).

Multinomial logistic regression over horizons, ``P(h | x, A) = exp(w_h x) / sum_{j in A} exp(w_j x)``, restricted to
the set A of horizons with an edge (McFadden 1974). The label of a past decision is the horizon of A whose realised
net return per sigma was the largest. The fit maximises the likelihood less ``l2/2 |W|^2`` per row by a fixed number of
steps ``W += (1/2 X'X/n + l2 I)^-1 gradient``: one half of X'X bounds the curvature (Böhning 1992), so that every
step goes up, without a step size to choose. It starts from the last fit and is repeated every 100 cycles.

Signed features count in the direction of the trade, so that a mirrored market gets the same horizons.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import numpy as np

from walstreet import kernels
from walstreet.domain.bounds import require_between
from walstreet.domain.linear_solve import solve_positive_definite
from walstreet.domain.portable_math import masked_softmax
from walstreet.domain.units import BoolArray, FloatArray, IntArray

NO_LABEL = -1
ROWS_MAX = 2_048
"""Labelled decisions kept; older ones are overwritten."""
FEATURES = ("spread", "volatility", "session_fraction", "session_edge", "imbalance", "drift")
COLUMNS = 1 + len(FEATURES)
"""With the constant."""
FEATURE_CLIP = 3.0
"""Standardised features are clipped here, so that one wild state does not rule the fit."""
SCALE_MIN = 1e-9


class MetaParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the meta-model learns."""

    refit_cycles: int = 100
    samples_min: int = 300
    """Labelled decisions below which the winner rule chooses."""
    l2: float = 0.02
    """Penalty per row on all coefficients of standardised features, the constant included."""
    fit_steps: int = 8

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("meta", "refit_cycles", self.refit_cycles, 1, 100_000)
        require_between("meta", "samples_min", self.samples_min, 10, ROWS_MAX)
        require_between("meta", "l2", self.l2, 1e-4, 10.0)
        require_between("meta", "fit_steps", self.fit_steps, 1, 100)


@dataclass(slots=True)
class MetaState:
    """Labelled decisions and the last fit; H horizons, F features."""

    features: FloatArray
    """(F, ROWS_MAX) ring."""
    available: BoolArray
    """(H, ROWS_MAX) horizons with an edge."""
    labels: IntArray
    """(ROWS_MAX,)."""
    rows: int = 0
    """Labelled decisions seen so far."""
    cycles: int = 0
    fitted_rows: int = 0
    """Labelled decisions behind the last fit; 0 before the first."""
    centre: FloatArray = field(default_factory=lambda: np.zeros(len(FEATURES)))
    scale: FloatArray = field(default_factory=lambda: np.ones(len(FEATURES)))
    weights: FloatArray = field(default_factory=lambda: np.zeros((0, COLUMNS)))
    """(H, 1 + F)."""

    def canonical(self) -> tuple[object, ...]:
        """Return everything as plain values, for a digest."""
        arrays = (self.features, self.available, self.labels, self.centre, self.scale, self.weights)
        return (*(array.tobytes() for array in arrays), self.rows, self.cycles, self.fitted_rows)


def initial(horizons: int) -> MetaState:
    """Return a meta-model that has seen nothing.

    Raises:
        ValueError: Fewer than 1 horizon.
    """
    if horizons < 1:
        raise ValueError(f"meta: {horizons} horizons; at least 1 is needed")
    return MetaState(
        features=np.zeros((len(FEATURES), ROWS_MAX)),
        available=np.zeros((horizons, ROWS_MAX), dtype=np.bool_),
        labels=np.full(ROWS_MAX, NO_LABEL, dtype=np.int64),
        weights=np.zeros((horizons, COLUMNS)),
    )


def edge_direction(net_bps: FloatArray, sigma_bps: FloatArray) -> FloatArray:
    """Return (N,) the sign of the edge with the largest ``|net|/sigma``, 0 without one; ties go to the shorter."""
    score = edge_scores(net_bps, sigma_bps)
    best = np.argmax(np.abs(score), axis=0)
    direction: FloatArray = np.sign(np.take_along_axis(score, best[None, :], axis=0)[0])
    return direction


def edge_scores(net_bps: FloatArray, sigma_bps: FloatArray) -> FloatArray:
    """Return (H, N) ``net/sigma``, 0 where there is no edge or either is missing."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        score = net_bps / sigma_bps
        usable = np.isfinite(score) & (sigma_bps > 0.0)
    return np.where(usable, score, 0.0)


def state_features(
    *,
    spread_bps: FloatArray,
    sigma_5m_bps: FloatArray,
    session_fraction: float,
    imbalance: FloatArray,
    drift_bps: FloatArray,
    direction: FloatArray,
) -> FloatArray:
    """Return (F, N) state features in the order of ``FEATURES``; a missing one is NaN.

    Args:
        spread_bps: (N,).
        sigma_5m_bps: (N,) volatility over 5 minutes.
        session_fraction: Share of the session that has passed, 0 to 1.
        imbalance: (N,) signed order-flow imbalance in [-1, 1].
        drift_bps: (N,) signed recent return.
        direction: (N,) side of the trade from ``edge_direction``; the signed features are taken along it.
    """
    count = len(spread_bps)
    edge = (2.0 * session_fraction - 1.0) ** 2
    return np.stack((
        spread_bps,
        sigma_5m_bps,
        np.full(count, session_fraction),
        np.full(count, edge),
        direction * imbalance,
        direction * drift_bps,
    ))  # fmt: skip


def best_realised_horizon(
    net_bps: FloatArray, return_bps: FloatArray, cost_bps: FloatArray, sigma_bps: FloatArray
) -> IntArray:
    """Return (N,) the horizon with the largest ``(sign(net) * return - cost)/sigma`` among those with an edge.

    ``NO_LABEL`` where fewer than two had an edge, for there was nothing to choose, or where an outcome among
    them is missing; ties go to the shorter horizon.

    Args:
        net_bps: (H, N) signed net edge at the decision.
        return_bps: (H, N) realised over each horizon.
        cost_bps: (H, N).
        sigma_bps: (H, N).
    """
    available = edge_scores(net_bps, sigma_bps) != 0.0
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        earned = (np.sign(net_bps) * return_bps - cost_bps) / sigma_bps
    known = (np.isfinite(earned) | ~available).all(axis=0)
    label = np.argmax(np.where(available & np.isfinite(earned), earned, -np.inf), axis=0)
    return np.where(known & (available.sum(axis=0) >= 2), label, NO_LABEL)


def learn(
    state: MetaState, features: FloatArray, available: BoolArray, labels: IntArray, parameters: MetaParameters
) -> None:
    """Take one cycle whose outcomes are all known, and refit if its turn has come.

    Args:
        state: Changed in place.
        features: (F, N) from ``state_features`` at the decision.
        available: (H, N) horizons that had an edge.
        labels: (N,) from ``best_realised_horizon``; ``NO_LABEL`` rows and rows with a missing feature are left out.
        parameters: When and how to fit.

    Raises:
        ValueError: Arrays do not fit, or a label names a horizon without an edge.
    """
    count = len(labels)
    if features.shape != (len(FEATURES), count) or available.shape != (len(state.available), count):
        raise ValueError(
            f"meta: features {features.shape}, available {available.shape} and labels {labels.shape} do not fit"
        )
    usable = np.flatnonzero((labels != NO_LABEL) & np.isfinite(features).all(axis=0))
    if not available[labels[usable], usable].all():
        raise ValueError("meta: a label names a horizon without an edge; take labels from best_realised_horizon")
    for column in usable.tolist():
        at = state.rows % ROWS_MAX
        state.features[:, at] = features[:, column]
        state.available[:, at] = available[:, column]
        state.labels[at] = labels[column]
        state.rows += 1
    state.cycles += 1
    if state.cycles % parameters.refit_cycles == 0 and state.rows >= parameters.samples_min:
        _fit(state, parameters)


def horizon_probabilities(state: MetaState, features: FloatArray, available: BoolArray) -> FloatArray:
    """Return (H, N) probabilities over ``available`` horizons; all 0 before the first fit or without features."""
    known = np.isfinite(features).all(axis=0, keepdims=True)
    if not state.fitted_rows:
        return np.zeros(available.shape)
    inputs = _standardised(features, state.centre, state.scale)
    return masked_softmax(_combined(state.weights, inputs), available & known)


def _standardised(features: FloatArray, centre: FloatArray, scale: FloatArray) -> FloatArray:
    """Return (1 + F, N): the constant and the standardised, clipped features, 0 where missing."""
    with np.errstate(invalid="ignore", over="ignore"):
        z = np.clip((features - centre[:, None]) / scale[:, None], -FEATURE_CLIP, FEATURE_CLIP)
    return np.concatenate((np.ones((1, features.shape[1])), np.where(np.isfinite(z), z, 0.0)))


def _inverse(matrix: FloatArray) -> FloatArray:
    columns = [solve_positive_definite(matrix, unit) for unit in np.eye(len(matrix))]
    known = [column for column in columns if column is not None]
    assert len(known) == len(columns), "a Gram matrix with a penalty is positive definite"
    return np.array(known)


def _combined(weights: FloatArray, inputs: FloatArray) -> FloatArray:
    """Return (H, N) ``weights @ inputs`` with the columns added in their order."""
    total: FloatArray = weights[:, 0, None] * inputs[0]
    for column in range(1, COLUMNS):
        total = total + weights[:, column, None] * inputs[column]
    return total


def _fit(state: MetaState, parameters: MetaParameters) -> None:
    count = min(state.rows, ROWS_MAX)
    features, available = state.features[:, :count], state.available[:, :count]
    for index, values in enumerate(np.ascontiguousarray(features)):
        mean = kernels.ordered_sum(values) / count
        rest = values - mean
        deviation = float(np.sqrt(kernels.ordered_dot(rest, rest) / count))
        state.centre[index], state.scale[index] = mean, deviation if deviation > SCALE_MIN else 1.0
    inputs = np.ascontiguousarray(_standardised(features, state.centre, state.scale))
    curvature = np.empty((COLUMNS, COLUMNS))
    for row in range(COLUMNS):
        for column in range(row + 1):
            product = 0.5 * kernels.ordered_dot(inputs[row], inputs[column]) / count
            curvature[row, column] = curvature[column, row] = product
    inverse = _inverse(curvature + parameters.l2 * np.eye(COLUMNS))
    target = (np.arange(len(available))[:, None] == state.labels[None, :count]).astype(np.float64)
    for _ in range(parameters.fit_steps):
        residual = target - masked_softmax(_combined(state.weights, inputs), available)
        gradient = np.array([[kernels.ordered_dot(wrong, column) / count for column in inputs] for wrong in residual])
        gradient -= parameters.l2 * state.weights
        state.weights = state.weights + _combined(gradient, inverse)
    state.fitted_rows = count
