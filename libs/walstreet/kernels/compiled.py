"""Owns the link to the compiled decision kernels: what they offer, and whether this process uses them.

They come with the native wheel as a module of their own, so that a wheel from before they existed still serves
the other kernels; the decision kernels then run in NumPy, and ``decision_implementation`` says why.
"""

from typing import Final, Protocol

from walstreet.kernels import facade
from walstreet.kernels.interface import FloatArray, IntArray, KernelName, StatusArray

__all__ = [
    "DECISION_INTERFACE_VERSION",
    "Arrays",
    "CompiledKernels",
    "CompiledSolver",
    "Settings",
    "compiled",
    "decision_implementation",
]

# A native wheel with another number is refused: its functions take other arguments.
DECISION_INTERFACE_VERSION: Final = 1

Arrays = dict[str, FloatArray | IntArray | StatusArray]
Settings = dict[str, float]


class CompiledWorkspace(Protocol):
    """Describe a workspace that keeps the arrays of a decision."""

    def run(self) -> None:
        """Decide one cycle."""
        ...


class CompiledSolver(Protocol):
    """Describe what both kept factors offer."""

    def solve(self, values: FloatArray, solution: FloatArray) -> None:
        """Write the solution of the kept system."""
        ...

    def ridge_weights(self, z: FloatArray, sigma_day_bps: FloatArray, gross_budget: float, weights: FloatArray) -> None:
        """Write weights along the solution of the kept system."""
        ...


class CompiledCholesky(CompiledSolver, Protocol):
    """Describe the factor of a full matrix."""

    def factor(self, matrix: FloatArray, ridge: float) -> None:
        """Keep the factor of the matrix plus the ridge."""
        ...


class CompiledLowRank(CompiledSolver, Protocol):
    """Describe the factor of a factor model."""

    def factor(self, diagonal: FloatArray, loadings: FloatArray) -> None:
        """Keep the factor model."""
        ...


class CompiledKernels(Protocol):
    """Describe ``walstreet_native.decision``; arrays are written in place."""

    DECISION_INTERFACE_VERSION: int

    def portable_exp(self, values: FloatArray, results: FloatArray) -> None:
        """Write e to the power of the values."""
        ...

    def portable_log(self, values: FloatArray, results: FloatArray) -> None:
        """Write natural logarithms."""
        ...

    def portable_power(self, values: FloatArray, exponent: float, results: FloatArray) -> None:
        """Write powers."""
        ...

    def calibrate_blend(  # noqa: PLR0917 - mirrors the native call
        self,
        scores: FloatArray,
        horizon_of_model: IntArray,
        slopes: FloatArray,
        weights: FloatArray,
        sigma_horizon: FloatArray,
        raw: FloatArray,
        blended: FloatArray,
        weight_present: FloatArray,
    ) -> None:
        """Write calibrated and blended alphas per horizon."""
        ...

    def cost_arbitrate(self, arrays: Arrays, settings: Settings, session_multiplier: float) -> None:
        """Write costs, net edges and the choice of a horizon."""
        ...

    def DecisionWorkspace(self, arrays: Arrays, settings: Settings) -> CompiledWorkspace:  # noqa: N802 - a class
        """Return a workspace over the arrays."""
        ...

    def CholeskySolver(self, symbol_count: int) -> CompiledCholesky:  # noqa: N802 - a class
        """Return an empty solver."""
        ...

    def LowRankSolver(self, symbol_count: int, factor_count: int) -> CompiledLowRank:  # noqa: N802 - a class
        """Return an empty solver."""
        ...

    def risk_parity(  # noqa: PLR0917 - mirrors the native call
        self,
        covariance: FloatArray,
        signs: FloatArray,
        gross: float,
        tolerance: float,
        marginal: FloatArray,
        weights: FloatArray,
    ) -> int:
        """Write weights of equal risk and return the sweeps."""
        ...

    def covariance_update(self, values: FloatArray, alpha: float, covariance: FloatArray, status: StatusArray) -> None:
        """Move the smoothed covariance by one bar."""
        ...

    def shrunk_correlation(
        self, covariance: FloatArray, shrinkage: float, deviations: FloatArray, correlation: FloatArray
    ) -> None:
        """Write the correlation shrunk to the identity."""
        ...

    def average_ranks(self, values: FloatArray, keys: IntArray, order: IntArray, ranks: FloatArray) -> int:
        """Write ranks and return how many values have one."""
        ...

    def order_flow_update(  # noqa: PLR0917 - mirrors the native call
        self,
        bid: FloatArray,
        ask: FloatArray,
        bid_size: FloatArray,
        ask_size: FloatArray,
        previous: FloatArray,
        imbalance: FloatArray,
        status: StatusArray,
    ) -> None:
        """Add one quote's order flow to the imbalance."""
        ...


_compiled: CompiledKernels | None = None
_problem = ""
try:
    from walstreet_native import decision as _module
except ImportError as error:
    _problem = f"walstreet_native.decision cannot be imported: {error}"
else:
    if _module.DECISION_INTERFACE_VERSION == DECISION_INTERFACE_VERSION:
        _compiled = _module
    else:
        _problem = (
            f"walstreet_native has decision interface {_module.DECISION_INTERFACE_VERSION}, "
            f"walstreet needs {DECISION_INTERFACE_VERSION}"
        )


def compiled() -> CompiledKernels | None:
    """Return the compiled kernels if this process uses them, else None: then the NumPy reference runs."""
    return _compiled if facade.is_native() else None


def decision_implementation() -> tuple[KernelName, str]:
    """Return which decision kernels run, and why."""
    if compiled() is not None:
        return "native", facade.implementation().reason
    return "reference", _problem if facade.is_native() else facade.implementation().reason
