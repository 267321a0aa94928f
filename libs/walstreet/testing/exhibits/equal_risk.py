"""Owns the exhibit of equal risk contribution: how equal the contributions are, by an independent computation."""

from __future__ import annotations

import numpy as np

from walstreet.domain.risk_weights import RiskWeightParameters, RiskWeightReason, risk_weights
from walstreet.domain.shrinkage import UnknownCorrelationParameters
from walstreet.testing.exhibits.row import Exhibit, Line, Panel, Row
from walstreet.testing.exhibits.worlds import FloatArray

NAME = "equal_risk"
BOOKS = 300
NAMES_MAX = 60
DEVIATION_MAX = 1e-8
EIGENVALUE_FLOOR = 0.001
SEED = 13
KINDS = ("factors", "few observations", "nearly singular")


def exhibit() -> Exhibit:
    """Size many random books and compare each name's share of the variance with 1/n."""
    rng = np.random.default_rng(SEED)
    found: dict[str, list[tuple[int, float]]] = {kind: [] for kind in KINDS}
    unsolved = 0
    for number in range(BOOKS):
        kind = KINDS[number % len(KINDS)]
        count = int(rng.integers(2, NAMES_MAX + 1))
        deviation, solved = _deviation(rng, _correlation(rng, kind, count))
        unsolved += not solved
        found[kind].append((count, deviation))
    rows = [
        Row(
            exhibit="ERC, largest deviation",
            case=f"{kind}, 2 to {NAMES_MAX} names",
            value=max(deviation for _, deviation in pairs),
            high=DEVIATION_MAX,
            note=f"{len(pairs)} random covariances, both signs; abs(share * n - 1)",
        )
        for kind, pairs in found.items()
    ]
    rows.append(Row(exhibit="ERC, books without a solution", case="all", value=float(unsolved), low=0.0, high=0.0))
    panel = Panel(
        title="largest deviation of a contribution from 1/n, relative",
        x_label="names in the book",
        y_label="deviation",
        lines=tuple(
            Line(
                name=kind,
                x=[float(count) for count, _ in pairs],
                # A logarithmic axis has no 0.
                y=[max(deviation, 1e-17) for _, deviation in pairs],
                style="points",
            )
            for kind, pairs in found.items()
        ),
        allowed=(1e-17, DEVIATION_MAX),
        logarithmic=("y",),
    )
    return Exhibit(name=NAME, title="Equal risk contribution", rows=tuple(rows), panels=(panel,))


def _correlation(rng: np.random.Generator, kind: str, count: int) -> FloatArray:
    """Return a random correlation, positive definite by at least ``EIGENVALUE_FLOOR``."""
    if kind == "factors":
        loading = rng.normal(size=(count, 3))
        covariance = loading @ loading.T + np.diag(rng.uniform(0.1, 2.0, count))
    elif kind == "few observations":
        samples = rng.normal(size=(max(2, count // 2), count)) + rng.normal(size=(max(2, count // 2), 1))
        covariance = samples.T @ samples + 1e-9 * np.eye(count)
    else:
        shared = rng.normal(size=count)
        covariance = np.outer(shared, shared) + 1e-6 * np.eye(count)
    scale = np.sqrt(np.diagonal(covariance))
    floor = EIGENVALUE_FLOOR
    result: FloatArray = (1.0 - floor) * covariance / np.outer(scale, scale) + floor * np.eye(count)
    np.fill_diagonal(result, 1.0)
    return 0.5 * (result + result.T)


def _deviation(rng: np.random.Generator, correlation: FloatArray) -> tuple[float, bool]:
    """Return the largest relative deviation of a contribution, computed by NumPy alone, and whether ERC was solved."""
    count = len(correlation)
    sigma = np.exp(rng.normal(5.0, 0.7, count))
    z = rng.choice([-1.0, 1.0], count) * rng.uniform(0.1, 3.0, count)
    answer = risk_weights(
        z,
        sigma,
        correlation,
        np.arange(count),
        gross_budget=0.5,
        parameters=RiskWeightParameters(method="erc"),
        unknown=UnknownCorrelationParameters(),
    )
    covariance = correlation * np.outer(sigma, sigma)
    contribution = answer.weights * (covariance @ answer.weights)
    shares = contribution / contribution.sum()
    return float(np.abs(shares * count - 1.0).max()), answer.reason is RiskWeightReason.OK
