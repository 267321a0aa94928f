# Owns the types of the compiled kernels; shapes and units stand in walstreet.kernels.

from numpy import float64, int64, uint8
from numpy.typing import NDArray

__version__: str
INTERFACE_VERSION: int

def available_levels() -> list[str]: ...
def compiled_levels() -> list[str]: ...
def level() -> str: ...
def set_level(name: str) -> None: ...
def ordered_sum(values: NDArray[float64]) -> float: ...
def ordered_dot(left: NDArray[float64], right: NDArray[float64]) -> float: ...
def simplex_projection(values: NDArray[float64], projection: NDArray[float64]) -> None: ...
def blend(
    predictions: NDArray[float64],
    weights: NDArray[float64],
    blended: NDArray[float64],
    weight_present: NDArray[float64],
) -> None: ...
def ewma_update(
    values: NDArray[float64],
    alphas: NDArray[float64],
    mean: NDArray[float64],
    variance: NDArray[float64],
    status: NDArray[uint8],
) -> None: ...
def rolling_update(
    values: NDArray[float64],
    ring: NDArray[float64],
    bars_seen: NDArray[int64],
    windows: NDArray[int64],
    planes: NDArray[int64],
    status: NDArray[uint8],
    statistics: NDArray[float64],
) -> None: ...
def ring_returns(
    ring: NDArray[float64],
    bars_seen: NDArray[int64],
    lags: NDArray[int64],
    returns: NDArray[float64],
) -> None: ...
