"""Owns what native and reference kernels agree on: limits, planes, status codes and signatures."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ALPHA_MIN",
    "BARS_SEEN_MAX",
    "INTERFACE_VERSION",
    "LANE_COUNT",
    "MODEL_COUNT_MAX",
    "RING_CAPACITY_MAX_BARS",
    "VALUE_ABS_MAX",
    "WINDOW_COUNT_MAX",
    "FloatArray",
    "IntArray",
    "KernelInfo",
    "KernelName",
    "Kernels",
    "Statistic",
    "Status",
    "StatusArray",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
StatusArray = NDArray[np.uint8]
KernelName = Literal["native", "reference"]

# A native wheel with another number is refused: its functions take other arguments.
INTERFACE_VERSION: Final = 1

# Sums over an array use eight lane accumulators and one fixed tree, whatever the machine.
LANE_COUNT: Final = 8

# A value beyond this counts as missing, so that no sum of squares and no variance can overflow.
VALUE_ABS_MAX: Final = 1e150
RING_CAPACITY_MAX_BARS: Final = 65_536
WINDOW_COUNT_MAX: Final = 64
MODEL_COUNT_MAX: Final = 4_096
BARS_SEEN_MAX: Final = 1 << 62
ALPHA_MIN: Final = float(np.finfo(np.float64).smallest_normal)

assert np.finfo(np.float64).max / RING_CAPACITY_MAX_BARS > 4.0 * VALUE_ABS_MAX**2
assert np.finfo(np.float64).max / MODEL_COUNT_MAX > VALUE_ABS_MAX**2


class Status(IntEnum):
    """Say what became of one symbol's value in an update."""

    MISSING = 0
    UPDATED = 1
    OUT_OF_RANGE = 2


class Statistic(IntEnum):
    """Name the rolling statistics of which a caller may ask.

    Over the usable values ``x`` among a window's last bars, with ``n`` of them: ``COUNT`` n; ``SUM``;
    ``SUM_OF_SQUARES`` sum(x**2); ``CENTRED_SQUARES`` sum((x - mean)**2), never negative; ``MINIMUM``;
    ``MAXIMUM``; ``MEAN``; ``DEVIATION`` sqrt(CENTRED_SQUARES / (n - 1)); ``SCORE``
    (newest - mean) / deviation; ``POSITION`` (newest - minimum) / (maximum - minimum).
    What is not defined (n = 0, n < 2, no spread, newest bar missing) is NaN; only ``COUNT`` is 0.
    """

    COUNT = 0
    SUM = 1
    SUM_OF_SQUARES = 2
    CENTRED_SQUARES = 3
    MINIMUM = 4
    MAXIMUM = 5
    MEAN = 6
    DEVIATION = 7
    SCORE = 8
    POSITION = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelInfo:
    """Name the kernels in use, for logs and metrics.

    Attributes:
        name: ``native`` or ``reference``.
        level: instruction-set level of the native kernels, or ``numpy``.
        version: version of the native wheel, or of NumPy.
        reason: why these kernels were chosen.
    """

    name: KernelName
    level: str
    version: str
    reason: str


class Kernels(Protocol):
    """Describe the functions that both implementations offer; arrays are written in place."""

    def ordered_sum(self, values: FloatArray) -> float:
        """Add all values in the fixed order."""
        ...

    def ordered_dot(self, left: FloatArray, right: FloatArray) -> float:
        """Add all products in the fixed order."""
        ...

    def simplex_projection(self, values: FloatArray, projection: FloatArray) -> None:
        """Write the projection of the values onto the probability simplex."""
        ...

    def blend(
        self,
        predictions: FloatArray,
        weights: FloatArray,
        blended: FloatArray,
        weight_present: FloatArray,
    ) -> None:
        """Write the weighted mean over the models that answered."""
        ...

    def ewma_update(
        self,
        values: FloatArray,
        alphas: FloatArray,
        mean: FloatArray,
        variance: FloatArray,
        status: StatusArray,
    ) -> None:
        """Move the smoothed means and variances by one bar."""
        ...

    def rolling_update(  # noqa: PLR0917 - mirrors the native call, which takes no keywords
        self,
        values: FloatArray,
        ring: FloatArray,
        bars_seen: IntArray,
        windows: IntArray,
        planes: IntArray,
        status: StatusArray,
        statistics: FloatArray,
    ) -> None:
        """Push one bar into the ring and recompute the statistics of every window."""
        ...

    def ring_returns(self, ring: FloatArray, bars_seen: IntArray, lags: IntArray, returns: FloatArray) -> None:
        """Write the returns of the newest bar over each lag."""
        ...
