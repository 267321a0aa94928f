"""Owns the numeric kernels: native if installed, else the NumPy reference with the same bits."""

from walstreet.kernels.banks import EwmaBank, RollingBank
from walstreet.kernels.compiled import decision_implementation
from walstreet.kernels.covariance import covariance_update, shrunk_correlation
from walstreet.kernels.decision import (
    DecisionArrays,
    DecisionCycle,
    DecisionSettings,
    calibrate_blend,
    cost_arbitrate,
)
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
from walstreet.kernels.flow import OrderFlowBank
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
from walstreet.kernels.linear import CholeskySolver, LowRankSolver, RiskParity, risk_parity
from walstreet.kernels.ranks import RankBoard, average_ranks

__all__ = [
    "VALUE_ABS_MAX",
    "CholeskySolver",
    "DecisionArrays",
    "DecisionCycle",
    "DecisionSettings",
    "EwmaBank",
    "FloatArray",
    "IntArray",
    "KernelInfo",
    "KernelName",
    "KernelsUnavailableError",
    "LowRankSolver",
    "OrderFlowBank",
    "RankBoard",
    "RiskParity",
    "RollingBank",
    "Statistic",
    "Status",
    "StatusArray",
    "alpha_from_half_life_bars",
    "average_ranks",
    "blend",
    "calibrate_blend",
    "cost_arbitrate",
    "covariance_update",
    "decision_implementation",
    "ewma_update",
    "implementation",
    "ordered_dot",
    "ordered_sum",
    "ring_returns",
    "risk_parity",
    "rolling_update",
    "select",
    "shrunk_correlation",
    "simplex_projection",
]
