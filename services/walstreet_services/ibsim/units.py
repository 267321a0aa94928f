"""Owns the fixed-point units of the simulator and their decimal text on the wire."""

from __future__ import annotations

NANO_PER_DOLLAR = 1_000_000_000
MICRO_PER_SHARE = 1_000_000
NS_PER_SECOND = 1_000_000_000
_SCIENTIFIC_BELOW_NANO = 100_000
"""Python writes floats below 1e-4 with an exponent, which not every client reads."""


def price_text(nano: int) -> str:
    """Return a price or an amount in 1e-9 USD as the shortest decimal text."""
    if -_SCIENTIFIC_BELOW_NANO < nano < _SCIENTIFIC_BELOW_NANO:
        return f"{nano / NANO_PER_DOLLAR:.9f}".rstrip("0").rstrip(".") if nano else "0.0"
    return repr(nano / NANO_PER_DOLLAR)


def money_text(nano: int) -> str:
    """Return an amount in 1e-9 USD with two decimals, as account values are sent."""
    return f"{nano / NANO_PER_DOLLAR:.2f}"


def quantity_text(micro: int) -> str:
    """Return a quantity in 1e-6 shares as decimal text, without a point for whole shares."""
    whole, part = divmod(micro, MICRO_PER_SHARE)
    if part == 0:
        return str(whole)
    return f"{micro / MICRO_PER_SHARE:.6f}".rstrip("0")


def notional_nano(price_nano: int, quantity_micro: int) -> int:
    """Return price times quantity in 1e-9 USD, rounded half away from zero."""
    product = price_nano * quantity_micro
    half = MICRO_PER_SHARE // 2
    if product >= 0:
        return (product + half) // MICRO_PER_SHARE
    return -((-product + half) // MICRO_PER_SHARE)


def nano_from_float(value: float) -> int:
    """Return a decimal price as 1e-9 USD; the nearest unit, for a float that came from decimal text."""
    return round(value * NANO_PER_DOLLAR)


def micro_from_float(value: float) -> int:
    """Return a decimal quantity as 1e-6 shares."""
    return round(value * MICRO_PER_SHARE)
