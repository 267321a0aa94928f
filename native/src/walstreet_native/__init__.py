"""Owns the choice of the instruction-set level when the native kernels are imported.

The widest level that the processor offers is chosen; every level returns the same bits. The
environment variable ``WALSTREET_NATIVE_LEVEL`` (``baseline``, ``avx2`` or ``avx512``) forces one.
"""

import os

from walstreet_native._native import (
    INTERFACE_VERSION,
    Forest,
    __version__,
    available_levels,
    blend,
    compiled_levels,
    ewma_update,
    level,
    ordered_dot,
    ordered_sum,
    ring_returns,
    rolling_update,
    set_level,
    simplex_projection,
)

LEVEL_VARIABLE = "WALSTREET_NATIVE_LEVEL"

__all__ = [
    "INTERFACE_VERSION",
    "LEVEL_VARIABLE",
    "Forest",
    "__version__",
    "available_levels",
    "blend",
    "compiled_levels",
    "ewma_update",
    "level",
    "ordered_dot",
    "ordered_sum",
    "ring_returns",
    "rolling_update",
    "set_level",
    "simplex_projection",
]


def _apply_forced_level() -> None:
    forced = os.environ.get(LEVEL_VARIABLE, "")
    if not forced:
        return
    try:
        set_level(forced)
    except ValueError as error:
        # A ValueError, not an ImportError: a wrong setting must never look like an absent module.
        raise ValueError(f"environment variable {LEVEL_VARIABLE}: {error}") from error


_apply_forced_level()
