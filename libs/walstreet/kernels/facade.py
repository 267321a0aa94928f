"""Owns the choice between native and reference kernels, and the functions the rest of walstreet calls.

At import the native kernels are taken if they can be; ``select`` lets the runtime force either.
The choice holds for the whole process and is visible through ``implementation``.
"""

from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Final

import numpy as np

from walstreet.kernels import reference
from walstreet.kernels.interface import (
    INTERFACE_VERSION,
    FloatArray,
    IntArray,
    KernelInfo,
    KernelName,
    Kernels,
    StatusArray,
)

try:
    import walstreet_native
except ImportError as error:
    _native: Kernels | None = None
    _native_problem = f"walstreet_native cannot be imported: {error}"
else:
    if walstreet_native.INTERFACE_VERSION == INTERFACE_VERSION:
        _native = walstreet_native
        _native_problem = ""
    else:
        _native = None
        _native_problem = (
            f"walstreet_native {walstreet_native.__version__} has interface "
            f"{walstreet_native.INTERFACE_VERSION}, walstreet needs {INTERFACE_VERSION}"
        )

__all__ = [
    "KernelsUnavailableError",
    "alpha_from_half_life_bars",
    "blend",
    "ewma_update",
    "implementation",
    "is_native",
    "ordered_dot",
    "ordered_sum",
    "ring_returns",
    "rolling_update",
    "select",
    "simplex_projection",
]

_REFERENCE: Final[Kernels] = reference
_HALF_LIFE_MAX_BARS: Final = 1e6
_DECIMAL_DIGITS: Final = 50


class KernelsUnavailableError(RuntimeError):
    """The operator asked for kernels that this installation does not have."""


@dataclass(slots=True)
class _Choice:
    name: KernelName
    kernels: Kernels
    reason: str


def _default_choice() -> _Choice:
    if _native is None:
        return _Choice("reference", _REFERENCE, f"default: {_native_problem}")
    return _Choice("native", _native, "default: walstreet_native is installed")


_choice: Final = _default_choice()


def implementation() -> KernelInfo:
    """Return which kernels run, at which level and why."""
    if _choice.name == "native":
        level, version = walstreet_native.level(), walstreet_native.__version__
    else:
        level, version = "numpy", np.__version__
    return KernelInfo(name=_choice.name, level=level, version=version, reason=_choice.reason)


def is_native() -> bool:
    """Return whether the native kernels run in this process."""
    return _choice.name == "native"


def select(name: str, *, level: str | None = None) -> KernelInfo:
    """Force the kernels of this process; call it once, before the first computation.

    Args:
        name: ``native`` or ``reference``.
        level: instruction-set level for ``native`` (``baseline``, ``avx2``, ``avx512``); None keeps
            the level chosen when the module was imported.

    Raises:
        KernelsUnavailableError: the native kernels are not installed or do not fit.
        ValueError: unknown name, or a level that this processor does not offer.
    """
    if name == "native":
        if _native is None:
            raise KernelsUnavailableError(
                f"kernels 'native' were asked for, but {_native_problem}; "
                "install walstreet-native or select 'reference'"
            )
        if level is not None:
            walstreet_native.set_level(level)
        _choice.name, _choice.kernels = "native", _native
    elif name == "reference":
        if level is not None:
            raise ValueError(f"level: value is {level!r}, but reference kernels have none; leave it out")
        _choice.name, _choice.kernels = "reference", _REFERENCE
    else:
        raise ValueError(f"name: value is {name!r}, must be 'native' or 'reference'; choose one of them")
    _choice.reason = f"selected: {name}" if level is None else f"selected: {name} at level {level}"
    return implementation()


def alpha_from_half_life_bars(half_life_bars: float) -> float:
    """Return the decay ``1 - 2**(-1 / half_life_bars)``, correctly rounded on every machine.

    Raises:
        ValueError: the half-life is not in (0, 1e6] bars.
    """
    if not 0.0 < half_life_bars <= _HALF_LIFE_MAX_BARS:
        raise ValueError(
            f"half_life_bars: value is {half_life_bars!r}, must be above 0 and at most "
            f"{_HALF_LIFE_MAX_BARS:.0f} bars; choose a half-life in that range"
        )
    # The C library's pow may differ in the last bit between versions; decimal arithmetic may not.
    context = Context(prec=_DECIMAL_DIGITS)
    exponent = context.divide(Decimal(-1), Decimal(half_life_bars))
    return float(context.subtract(Decimal(1), context.power(Decimal(2), exponent)))


def ordered_sum(values: FloatArray) -> float:
    """Add ``values`` ``(n,)`` in one fixed order: the same bits on every machine.

    The error is at most ``(n / 8 + 3) * 2**-53 * sum(abs(values))`` to first order.

    Raises:
        TypeError: not an array of float64.
        ValueError: wrong shape or strides, a value that is not finite, or an overflow.
    """
    return _choice.kernels.ordered_sum(values)


def ordered_dot(left: FloatArray, right: FloatArray) -> float:
    """Add ``left * right`` ``(n,)`` in one fixed order: the same bits on every machine.

    The error is at most ``(n / 8 + 4) * 2**-53 * sum(abs(left * right))`` to first order.

    Raises:
        TypeError: not an array of float64.
        ValueError: wrong shape or strides, a value that is not finite, or an overflow.
    """
    return _choice.kernels.ordered_dot(left, right)


def simplex_projection(values: FloatArray) -> FloatArray:
    """Project ``values`` ``(n,)`` onto the simplex: weights ``(n,)`` at least 0 that add up to 1.

    Duchi et al. 2008, "Efficient projections onto the l1-ball", figure 1. The sum of the weights
    differs from 1 by at most ``2 * n * 2**-53``.

    Raises:
        TypeError: not an array of float64.
        ValueError: empty, wrong shape or strides, or a value that is not finite.
    """
    projection = np.empty(np.shape(values))
    _choice.kernels.simplex_projection(values, projection)
    return projection


def blend(
    predictions: FloatArray,
    weights: FloatArray,
    *,
    blended: FloatArray | None = None,
    weight_present: FloatArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Blend the models' predictions per symbol over the models that answered.

    Args:
        predictions: ``(models, symbols)`` in any one unit; NaN, infinite or beyond ``VALUE_ABS_MAX``
            means that the model did not answer.
        weights: ``(models,)``, each at least 0.
        blended: ``(symbols,)`` written in place; allocated if None.
        weight_present: ``(symbols,)`` written in place; allocated if None.

    Returns:
        The weighted mean ``(symbols,)`` in the predictions' unit, NaN (never 0) where no model with a
        positive weight answered; and the weight ``(symbols,)`` of the models that answered.

    Raises:
        TypeError: not arrays of float64.
        ValueError: wrong shape or strides, shared memory, or a negative or non-finite weight.
    """
    symbols_shape = np.shape(predictions)[1:]
    blended = np.empty(symbols_shape) if blended is None else blended
    weight_present = np.empty(symbols_shape) if weight_present is None else weight_present
    _choice.kernels.blend(predictions, weights, blended, weight_present)
    return blended, weight_present


def ewma_update(
    values: FloatArray,
    alphas: FloatArray,
    mean: FloatArray,
    variance: FloatArray,
    status: StatusArray,
) -> None:
    """Move exponentially weighted means and variances by one bar, in place.

    With ``d = value - mean``: ``mean += alpha * d`` and
    ``variance = (1 - alpha) * (variance + alpha * d**2)`` (Finch 2009, "Incremental calculation of
    weighted mean and variance", eq. 124 and 143). The first usable value seeds the mean; variance
    starts at 0. A missing or out-of-range value leaves the symbol's state untouched.

    Args:
        values: ``(symbols,)`` in any one unit; NaN is missing.
        alphas: ``(decays,)`` in (0, 1]; see ``alpha_from_half_life_bars``.
        mean: ``(decays, symbols)`` in the values' unit; NaN where not seeded yet.
        variance: ``(decays, symbols)`` in the unit squared.
        status: ``(symbols,)`` uint8, receives a ``Status`` per symbol.

    Raises:
        TypeError: not arrays of the stated element types.
        ValueError: wrong shape or strides, shared memory, or an alpha out of range.
    """
    _choice.kernels.ewma_update(values, alphas, mean, variance, status)


def rolling_update(  # noqa: PLR0917 - mirrors the native call, which takes no keywords
    values: FloatArray,
    ring: FloatArray,
    bars_seen: IntArray,
    windows: IntArray,
    planes: IntArray,
    status: StatusArray,
    statistics: FloatArray,
) -> None:
    """Push one bar into the ring and recompute the statistics of every window, in place.

    The statistics are recomputed from the ring, newest bar to oldest, so they never drift: they are a
    function of the ring's content. A window is the last ``w`` bars; missing bars in it are skipped and
    ``COUNT`` says how many were used. Sums run over differences from a member of the window. With ``n``
    bars used, to first order, the error of ``CENTRED_SQUARES`` is therefore at most ``n * (n + 8) *
    2**-53`` relative to itself, that of ``SUM_OF_SQUARES`` 8 times and of ``SUM`` twice that, relative to
    itself and to ``sum(abs(x))``; on prices, where differences are small, all are within a few ULP.

    Args:
        values: ``(symbols,)`` in any one unit; NaN is missing.
        ring: ``(ceil(symbols / 8), capacity, 8)``: symbol ``s`` of a bar lies in
            ``[s // 8, bar % capacity, s % 8]``; NaN where missing. Start it full of NaN.
        bars_seen: ``(1,)`` int64, bars pushed so far; incremented.
        windows: ``(windows,)`` int64, window lengths in bars, strictly ascending.
        planes: ``(planes,)`` int64, the ``Statistic`` numbers wanted, strictly ascending.
        status: ``(symbols,)`` uint8, receives a ``Status`` per symbol.
        statistics: ``(planes, windows, symbols)``, receives the statistics asked for.

    Raises:
        TypeError: not arrays of the stated element types.
        ValueError: wrong shape or strides, shared memory, or a window out of range.
    """
    _choice.kernels.rolling_update(values, ring, bars_seen, windows, planes, status, statistics)


def ring_returns(ring: FloatArray, bars_seen: IntArray, lags: IntArray, returns: FloatArray) -> None:
    """Write the newest bar's simple returns ``newest / base - 1`` over each lag.

    NaN where either bar is missing, the base is not positive, or the ring is not old enough.

    Args:
        ring: ``(ceil(symbols / 8), capacity, 8)`` as kept by ``rolling_update``.
        bars_seen: ``(1,)`` int64, bars pushed so far.
        lags: ``(lags,)`` int64, lags in bars, each from 1 to ``capacity - 1``.
        returns: ``(lags, symbols)`` written in place, as fractions.

    Raises:
        TypeError: not arrays of the stated element types.
        ValueError: wrong shape or strides, shared memory, or a lag out of range.
    """
    _choice.kernels.ring_returns(ring, bars_seen, lags, returns)
