"""Owns how much of each chosen name is held: inverse volatility, HRP or equal risk, below the cap, beside the buffer.

Shares are long-only and add up to at most ``1 - cash_buffer``. Sums run over the names in the order given, which is
universe order, one addition after the other: ``sum`` of Python 3.12 adds floats differently from that of 3.11.

With two names and a cap of .5, water-filling leaves every weight within [.45, .5] at a buffer of 5 %, whatever the
volatilities; ``clip`` sends what is above the cap to cash and keeps inverse volatility alive.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from walstreet.domain.risk_weights import equal_risk
from walstreet.domain.rotation_hrp import hierarchical_shares
from walstreet.domain.rotation_parameters import RotationParameters
from walstreet.domain.units import FloatArray

VOLATILITY_MIN = 1e-9
"""A smaller volatility is read as this one, so that a constant price does not divide by 0."""


def target_weights(
    volatilities: Sequence[float], correlation: FloatArray | None, parameters: RotationParameters
) -> list[float]:
    """Return the target weights of the chosen names, in the order given.

    Args:
        volatilities: (n,) sample standard deviations of daily returns.
        correlation: (n, n) among them; only ``hrp`` and ``erc`` read it.
        parameters: Method, cap and buffer.
    """
    if not volatilities:
        return []
    raw = _raw(volatilities, correlation, parameters)
    budget = 1.0 - parameters.cash_buffer
    if parameters.cap_mode == "clip":
        total = ordered_total(raw)
        return [min(value / total * budget, parameters.max_weight) for value in raw]
    return water_fill(raw, budget, parameters.max_weight)


def inverse_volatilities(volatilities: Sequence[float]) -> list[float]:
    """Return ``1 / max(volatility, VOLATILITY_MIN)``."""
    return [1.0 / max(volatility, VOLATILITY_MIN) for volatility in volatilities]


def water_fill(raw: Sequence[float], budget: float, cap: float) -> list[float]:
    """Return weights proportional to ``raw`` that add up to ``budget`` as far as no weight exceeds ``cap``.

    A name above the cap gets the cap, and the rest of the budget is shared among the others again; every round caps
    a name or ends, so there are at most n + 1 rounds. What no name can take is left out.

    Args:
        raw: (n,) positive.
        budget: At least 0.
        cap: At least 0.
    """
    weights = [0.0] * len(raw)
    free = list(range(len(raw)))
    rest = budget
    for _ in range(len(raw) + 1):
        if not free:
            break
        total = ordered_total([raw[index] for index in free])
        for index in free:
            weights[index] = raw[index] / total * rest
        full = [index for index in free if weights[index] > cap]
        if not full:
            break
        for index in full:
            weights[index] = cap
        rest = max(0.0, rest - cap * len(full))
        free = [index for index in free if index not in full]
    return weights


def ordered_total(values: Sequence[float]) -> float:
    """Return the sum, one addition after the other."""
    total = 0.0
    for value in values:
        total += value
    return total


def _raw(volatilities: Sequence[float], correlation: FloatArray | None, parameters: RotationParameters) -> list[float]:
    inverse = inverse_volatilities(volatilities)
    if parameters.weight_method == "inv_vol" or len(inverse) == 1:
        return inverse
    assert correlation is not None, "hrp and erc need the correlation of the chosen names"
    assert correlation.shape == (len(inverse), len(inverse)), correlation.shape
    if parameters.weight_method == "hrp":
        return hierarchical_shares([max(value, VOLATILITY_MIN) for value in volatilities], correlation)
    solution = equal_risk(np.ascontiguousarray(correlation))
    if solution.values is None:
        # Without a solution equal risk falls back to what it would be without correlation.
        return inverse
    return [float(value) * scale for value, scale in zip(solution.values, inverse, strict=True)]
