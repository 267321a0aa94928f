"""Owns the compiled engine of the daily rotation: one simulation, a grid over windows, permuted windows.

The conventions and the NumPy engine, which is the oracle to the bit, belong to ``walstreet.research``; kernels know
arrays only. So there is no fallback here: ``swing_implementation`` says whether these functions can run in this
process, and research takes the reference where they cannot, or where weights need more than inverse volatility.

Bars are (T days, S symbols) of USD, float64, C-contiguous, NaN in all of them where a symbol has no bar. Points are
(G, ``SWING_COLUMNS``) float64, one simulation's parameters a row. Threads share days, points and runs by a fixed
partition; every number is computed by one of them from the bars alone, so their count changes no bit.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from walstreet.kernels import facade
from walstreet.kernels.interface import FloatArray, IntArray, KernelName, StatusArray

__all__ = [
    "OBJECTIVES",
    "SERIES",
    "SWING_COLUMNS",
    "SWING_INTERFACE_VERSION",
    "SWING_THREADS_MAX",
    "swing_implementation",
    "swing_objectives",
    "swing_permuted_best",
    "swing_simulate",
    "swing_word_order",
]

# A native wheel with another number is refused: its functions take other arguments.
SWING_INTERFACE_VERSION: Final = 1
SWING_THREADS_MAX: Final = 64
SWING_COLUMNS: Final = (
    "ema_fast",
    "ema_slow",
    "atr_window",
    "macd_enabled",
    "macd_fast",
    "macd_slow",
    "top_n",
    "corr_window",
    "corr_cap",
    "signed_correlation",
    "min_score",
    "hold_bonus",
    "hold_floor",
    "vol_window",
    "max_weight",
    "cash_buffer",
    "clips",
    "band",
    "regime_column",
    "regime_window",
    "regime_factor",
    "commission_per_share",
    "commission_minimum_usd",
    "slippage_bps",
    "equity_start_usd",
    "settles_later",
)
"""Columns of a point. Flags are 0 or 1: ``clips`` sends what is above ``max_weight`` to cash, ``settles_later`` buys
only from the cash of the day before. ``regime_column`` is -1 without an overlay."""
OBJECTIVES: Final = ("Calmar", "CAGR", "Sharpe")
SERIES: Final = ("gross", "turnover", "cost", "net", "equity")
"""Rows of a simulation's series."""
DIGEST_PARTS: Final = 4


class CompiledSwing(Protocol):
    """Describe ``walstreet_native.swing``; arrays are written in place."""

    SWING_INTERFACE_VERSION: int

    def swing_columns(self) -> list[str]:
        """Return the columns of a point."""
        ...

    def swing_simulate(  # noqa: PLR0917 - mirrors the native call
        self,
        high: FloatArray,
        low: FloatArray,
        close: FloatArray,
        points: FloatArray,
        segments: IntArray,
        series: FloatArray,
        traded: StatusArray,
        target: FloatArray,
        held: FloatArray,
    ) -> None:
        """Write one simulation."""
        ...

    def swing_objectives(  # noqa: PLR0917 - mirrors the native call
        self,
        high: FloatArray,
        low: FloatArray,
        close: FloatArray,
        points: FloatArray,
        windows: IntArray,
        covered: StatusArray,
        objective: int,
        threads: int,
        values: FloatArray,
    ) -> None:
        """Write the objective of every point over every window."""
        ...

    def swing_permuted_best(  # noqa: PLR0917 - mirrors the native call
        self,
        open: FloatArray,  # noqa: A002 - the bar's name
        high: FloatArray,
        low: FloatArray,
        close: FloatArray,
        points: FloatArray,
        windows: IntArray,
        digests: IntArray,
        objective: int,
        threads: int,
        best: FloatArray,
    ) -> None:
        """Write the best objective of every permuted run and window."""
        ...

    def swing_word_order(self, digests: IntArray, order: IntArray) -> None:
        """Write the order of the words of one key."""
        ...


_compiled: CompiledSwing | None = None
_problem = ""
try:
    from walstreet_native import swing as _module
except ImportError as error:
    _problem = f"walstreet_native.swing cannot be imported: {error}"
else:
    if _module.SWING_INTERFACE_VERSION != SWING_INTERFACE_VERSION:
        _problem = (
            f"walstreet_native has rotation interface {_module.SWING_INTERFACE_VERSION}, "
            f"walstreet needs {SWING_INTERFACE_VERSION}"
        )
    elif tuple(_module.swing_columns()) != SWING_COLUMNS:
        _problem = f"walstreet_native has other columns of a point: {_module.swing_columns()}"
    else:
        _compiled = _module


def swing_implementation() -> tuple[KernelName, str]:
    """Return whether the compiled engine runs in this process (``native``) or research must take its own, and why."""
    if facade.is_native() and _compiled is not None:
        return "native", facade.implementation().reason
    return "reference", _problem if facade.is_native() else facade.implementation().reason


def swing_simulate(
    high: FloatArray, low: FloatArray, close: FloatArray, *, points: FloatArray, segments: IntArray
) -> tuple[FloatArray, NDArray[np.bool_], FloatArray, FloatArray]:
    """Return one simulation from flat; point i drives the rows of segment i.

    Args:
        high: (T, S), like ``low`` and ``close``.
        low: USD.
        close: USD.
        points: (N, ``SWING_COLUMNS``).
        segments: (N, 2) int64, first and last row, each beginning on the row after its predecessor's last.

    Returns:
        ``SERIES`` (5, D); whether the book changed (D,); target and held weights (D, S).

    Raises:
        KernelsUnavailableError: The native engine does not run in this process.
        TypeError: Not arrays of the stated element types.
        ValueError: Wrong shape or strides, a value out of range, or segments that do not follow each other.
    """
    native = _native()
    days = int(segments[-1, 1] - segments[0, 0] + 1) if np.ndim(segments) == 2 and np.size(segments) else 0
    symbols = np.shape(close)[-1] if np.ndim(close) else 0
    days = max(days, 0) if days <= np.shape(close)[0] else 0
    series, traded = np.empty((len(SERIES), days)), np.empty(days, dtype=np.uint8)
    target, held = np.empty((days, symbols)), np.empty((days, symbols))
    native.swing_simulate(high, low, close, points, segments, series, traded, target, held)
    return series, traded.view(np.bool_), target, held


def swing_objectives(
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    *,
    points: FloatArray,
    windows: IntArray,
    covered: StatusArray | None,
    objective: str,
    threads: int,
) -> FloatArray:
    """Return (W, G) the objective of every point over every window, each simulated from flat.

    Args:
        high: (T, S), like ``low`` and ``close``.
        low: USD.
        close: USD.
        points: (G, ``SWING_COLUMNS``).
        windows: (W, 2) int64, first and last row; rows before warm the indicators up, rows after are not seen.
        covered: (W, S) uint8, 0 for symbols that do not exist in a window; None lets all exist.
        objective: One of ``OBJECTIVES``.
        threads: 1 to ``SWING_THREADS_MAX``.

    Raises:
        KernelsUnavailableError: The native engine does not run in this process.
        TypeError: Not arrays of the stated element types.
        ValueError: Wrong shape or strides, or a value out of range.
    """
    native = _native()
    exists = np.ones((len(windows), np.shape(close)[-1]), dtype=np.uint8) if covered is None else covered
    values = np.empty((len(windows), len(points)))
    native.swing_objectives(high, low, close, points, windows, exists, _objective(objective), threads, values)
    return values


def swing_permuted_best(
    prices: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    *,
    points: FloatArray,
    windows: IntArray,
    digests: IntArray,
    objective: str,
    threads: int,
) -> FloatArray:
    """Return (R, W) the best objective over the points after each window's rows were put in another order.

    Args:
        prices: Open, high, low and close, (T, S) each.
        points: (G, ``SWING_COLUMNS``).
        windows: (W, 2) int64, first and last row.
        digests: (R, W, 4) int64, the 32-bit parts of the hash of every run's and window's key, as
            ``walstreet.domain.counter_random`` reads them.
        objective: One of ``OBJECTIVES``.
        threads: 1 to ``SWING_THREADS_MAX``.

    Raises:
        KernelsUnavailableError: The native engine does not run in this process.
        TypeError: Not arrays of the stated element types.
        ValueError: Wrong shape or strides, or a value out of range.
    """
    native = _native()
    runs = np.shape(digests)[0]
    best = np.empty((runs, len(windows)))
    flat = digests.reshape(-1, DIGEST_PARTS)
    native.swing_permuted_best(*prices, points, windows, flat, _objective(objective), threads, best)
    return best


def swing_word_order(digest: IntArray, count: int) -> IntArray:
    """Return (count,) int64 the stable order of the words of one key's hash (4,), the smallest word's place first.

    Raises:
        KernelsUnavailableError: The native engine does not run in this process.
        ValueError: A part is not a 32-bit word, or the count is out of range.
    """
    order = np.empty(count, dtype=np.int64)
    _native().swing_word_order(digest.reshape(1, DIGEST_PARTS), order)
    return order


def _native() -> CompiledSwing:
    name, reason = swing_implementation()
    if name != "native" or _compiled is None:
        raise facade.KernelsUnavailableError(
            f"the native rotation engine was asked for, but {reason}; install walstreet-native or use the reference "
            "engine of walstreet.research"
        )
    return _compiled


def _objective(name: str) -> int:
    if name not in OBJECTIVES:
        raise ValueError(f"objective: value is {name!r}, must be one of {', '.join(OBJECTIVES)}; choose one of them")
    return OBJECTIVES.index(name)
