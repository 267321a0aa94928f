"""Owns the one way in which parameters refuse values outside their ranges."""

from __future__ import annotations

import math


def require_between(component: str, field: str, value: float, low: float, high: float) -> None:
    """Refuse ``value`` unless it is finite and within ``[low, high]``.

    Raises:
        ValueError: Names the field, its value and the allowed range.
    """
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"{component}.{field} is {value}; allowed is {low} to {high}")


def require_ordered(component: str, smaller: tuple[str, float], larger: tuple[str, float]) -> None:
    """Refuse two parameters that contradict each other.

    Raises:
        ValueError: Names both fields and their values.
    """
    if smaller[1] > larger[1]:
        raise ValueError(
            f"{component}.{smaller[0]} is {smaller[1]} but {component}.{larger[0]} is {larger[1]}; "
            "the first must not exceed the second"
        )
