"""Owns the public names of the compiled rotation engine; shapes and units stand in walstreet.kernels.swing."""

from walstreet_native._native import (
    SWING_INTERFACE_VERSION,
    swing_columns,
    swing_objectives,
    swing_permuted_best,
    swing_simulate,
    swing_word_order,
)

__all__ = [
    "SWING_INTERFACE_VERSION",
    "swing_columns",
    "swing_objectives",
    "swing_permuted_best",
    "swing_simulate",
    "swing_word_order",
]
