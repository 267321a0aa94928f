"""Owns the numeric kernels: native if installed, else the NumPy reference with the same bits."""

from walstreet.kernels.banks import EwmaBank, RollingBank
from walstreet.kernels.facade import (
    KernelsUnavailableError,
    alpha_from_half_life_bars,
    blend,
    ewma_update,
    implementation,
    ordered_dot,
    ordered_sum,
    ring_returns,
    rolling_update,
    select,
    simplex_projection,
)
from walstreet.kernels.interface import (
    VALUE_ABS_MAX,
    FloatArray,
    IntArray,
    KernelInfo,
    KernelName,
    Statistic,
    Status,
    StatusArray,
)

__all__ = [
    "VALUE_ABS_MAX",
    "EwmaBank",
    "FloatArray",
    "IntArray",
    "KernelInfo",
    "KernelName",
    "KernelsUnavailableError",
    "RollingBank",
    "Statistic",
    "Status",
    "StatusArray",
    "alpha_from_half_life_bars",
    "blend",
    "ewma_update",
    "implementation",
    "ordered_dot",
    "ordered_sum",
    "ring_returns",
    "rolling_update",
    "select",
    "simplex_projection",
]
