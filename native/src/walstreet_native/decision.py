"""Owns the public names of the compiled decision kernels; shapes and units stand in walstreet.kernels."""

from walstreet_native._native import (
    DECISION_INTERFACE_VERSION,
    CholeskySolver,
    DecisionWorkspace,
    LowRankSolver,
    average_ranks,
    calibrate_blend,
    cost_arbitrate,
    covariance_update,
    order_flow_update,
    portable_exp,
    portable_log,
    portable_power,
    risk_parity,
    shrunk_correlation,
)

__all__ = [
    "DECISION_INTERFACE_VERSION",
    "CholeskySolver",
    "DecisionWorkspace",
    "LowRankSolver",
    "average_ranks",
    "calibrate_blend",
    "cost_arbitrate",
    "covariance_update",
    "order_flow_update",
    "portable_exp",
    "portable_log",
    "portable_power",
    "risk_parity",
    "shrunk_correlation",
]
