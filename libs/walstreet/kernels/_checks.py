"""Owns the checks of kernel arguments for the reference; the native module uses the same words."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from walstreet.kernels.interface import FloatArray, IntArray

__all__ = [
    "AnyArray",
    "require_array",
    "require_ascending",
    "require_between",
    "require_extent",
    "require_integer_range",
    "require_range",
    "require_separate",
    "require_shape",
]

# The checks look at arrays of any element type, because a wrong one is what they look for.
AnyArray = NDArray[Any]


def require_array(array: AnyArray, name: str, element: str, dimensions: int, *, written: bool = False) -> None:
    """Refuse anything but an aligned, C-contiguous array of the element type.

    Raises:
        TypeError: not an array, or another element type.
        ValueError: another number of dimensions, a stride, or read-only though written.
    """
    given: object = array
    if not isinstance(given, np.ndarray):
        kind = type(given)
        full_name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
        raise TypeError(
            f"{name}: is a {full_name}, must be a numpy.ndarray of {element}; pass numpy.ascontiguousarray(...)"
        )
    if array.dtype != np.dtype(element):
        raise TypeError(
            f"{name}: dtype is {array.dtype}, must be {element}; "
            f"convert it with numpy.ascontiguousarray({name}, dtype=numpy.{element})"
        )
    if array.ndim != dimensions:
        raise ValueError(f"{name}: shape is {array.shape}, must have {dimensions} dimension(s); reshape it")
    if not array.flags.c_contiguous:
        raise ValueError(f"{name}: is not C-contiguous (strides {array.strides}); pass numpy.ascontiguousarray({name})")
    if not array.flags.aligned:
        raise ValueError(f"{name}: is not aligned to {array.itemsize} bytes; pass a copy of it")
    if written and not array.flags.writeable:
        raise ValueError(f"{name}: is read-only and is written in place; pass a writable array")


def require_shape(array: AnyArray, name: str, expected: tuple[int, ...], because: str) -> None:
    """Refuse a shape that does not follow from the array named by ``because``."""
    if array.shape != expected:
        raise ValueError(
            f"{name}: shape is {array.shape}, must be {expected} to agree with {because}; allocate it with that shape"
        )


def require_extent(array: AnyArray, name: str, lowest: int, highest: int, what: str, *, axis: int = 0) -> None:
    """Refuse an axis that is too short or too long."""
    if not lowest <= array.shape[axis] <= highest:
        raise ValueError(
            f"{name}: has {array.shape[axis]} {what}, must have from {lowest} to {highest}; pass another array"
        )


def require_range(array: FloatArray, name: str, lowest: float, highest: float, rule: str) -> None:
    """Refuse the first value outside the closed range; NaN is outside."""
    outside = ~((lowest <= array) & (array <= highest))
    if outside.any():
        index = int(outside.argmax())
        raise ValueError(f"{name}[{index}]: value is {float(array[index])!r}, {rule}")


def require_integer_range(array: IntArray, name: str, lowest: int, highest: int, rule: str) -> None:
    """Refuse the first integer outside the closed range."""
    outside = (array < lowest) | (array > highest)
    if outside.any():
        index = int(outside.argmax())
        raise ValueError(f"{name}[{index}]: value is {int(array[index])}, must be from {lowest} to {highest}; {rule}")


def require_ascending(array: IntArray, name: str) -> None:
    """Refuse the first integer that does not exceed the one before."""
    wrong = array[1:] <= array[:-1]
    if wrong.any():
        index = int(wrong.argmax()) + 1
        raise ValueError(
            f"{name}[{index}]: value is {int(array[index])} after {int(array[index - 1])}, "
            "must ascend strictly; sort it and remove duplicates"
        )


def require_separate(written: tuple[str, AnyArray], others: dict[str, AnyArray]) -> None:
    """Refuse a written array that shares memory with another array of the call."""
    written_name, written_array = written
    for name, other in others.items():
        if np.may_share_memory(written_array, other):
            raise ValueError(f"{written_name}: shares memory with {name}; pass separate arrays")


def require_between(name: str, value: float, lowest: float, highest: float) -> None:
    """Refuse a number outside the closed range; NaN is outside."""
    if not lowest <= value <= highest:
        raise ValueError(
            f"{name}: value is {float(value)!r}, must be from {lowest!r} to {highest!r}; pass another number"
        )
