"""Owns the NumPy oracle of the forest kernel: it decides node by node as LightGBM does, without ranks or masks.

It is slow and shares no idea with the native kernel but the order of the sums, which makes their bits equal.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from walstreet.kernels import _checks as checks
from walstreet.kernels.forest_model import (
    CATEGORICAL_BIT,
    CATEGORY_END,
    DEFAULT_LEFT_BIT,
    MISSING_SHIFT,
    SET_WORD_BITS,
    ZERO_ABS_MAX,
    ForestModel,
    Missing,
    Transform,
)
from walstreet.kernels.interface import FloatArray, IntArray

__all__ = ["ReferenceForest", "portable_exp"]

BoolArray = NDArray[np.bool_]

# The same constants and order as walstreet.domain.portable_math, which kernels may not import.
_EXPONENT_ABS_MAX: Final = 700.0
_LN2_HIGH: Final = 6.93147180369123816490e-01
_LN2_LOW: Final = 1.90821492927058770002e-10
_EXP_COEFFICIENTS: Final = tuple(1.0 / math.factorial(order) for order in range(14))


def portable_exp(values: FloatArray) -> FloatArray:
    """Return e to the power of ``values``, clipped to 700, with the bits of ``walstreet.domain.portable_math``."""
    clipped = np.clip(values, -_EXPONENT_ABS_MAX, _EXPONENT_ABS_MAX)
    exponent = np.rint(clipped / (_LN2_HIGH + _LN2_LOW))
    rest = (clipped - exponent * _LN2_HIGH) - exponent * _LN2_LOW
    total = np.full_like(rest, _EXP_COEFFICIENTS[-1])
    for coefficient in reversed(_EXP_COEFFICIENTS[:-1]):
        total = total * rest + coefficient
    scaled: FloatArray = np.ldexp(total, np.nan_to_num(exponent).astype(np.int32))
    return scaled


class ReferenceForest:
    """Predict with NumPy; the same calls, checks and bits as ``walstreet_native.Forest``."""

    __slots__ = ("_model",)

    path: Final = "reference"

    def __init__(self, model: ForestModel) -> None:
        self._model = model

    @property
    def tree_count(self) -> int:
        """Return the number of trees over all classes."""
        return self._model.tree_count

    @property
    def feature_count(self) -> int:
        """Return the columns of a row."""
        return self._model.feature_count

    @property
    def class_count(self) -> int:
        """Return the outputs per row."""
        return self._model.class_count

    @property
    def leaf_count_max(self) -> int:
        """Return the leaves of the largest tree."""
        return int(self._model.leaf_counts.max())

    def predict(self, rows: FloatArray, outputs: FloatArray) -> None:
        """Write the outputs of every row."""
        self._require(rows, outputs)
        with np.errstate(all="ignore"):
            sums = self._sums(rows)
            if self._model.averages:
                sums /= self._model.tree_count // self._model.class_count
            outputs[:] = self._transformed(sums).reshape(outputs.shape)

    def predict_raw(self, rows: FloatArray, outputs: FloatArray) -> None:
        """Write the sums of every row, neither averaged nor transformed."""
        self._require(rows, outputs)
        with np.errstate(all="ignore"):
            outputs[:] = self._sums(rows).reshape(outputs.shape)

    def _require(self, rows: FloatArray, outputs: FloatArray) -> None:
        classes = self._model.class_count
        checks.require_array(rows, "rows", "float64", 2)
        checks.require_array(outputs, "outputs", "float64", 1 if classes == 1 else 2, written=True)
        checks.require_shape(rows, "rows", (len(rows), self._model.feature_count), "the forest's features")
        if classes == 1:
            checks.require_shape(outputs, "outputs", (len(rows),), "rows")
        else:
            checks.require_shape(outputs, "outputs", (len(rows), classes), "rows and the forest's classes")
        checks.require_separate(("outputs", outputs), {"rows": rows})

    def _sums(self, rows: FloatArray) -> FloatArray:
        model = self._model
        cleaned = np.where(np.abs(rows) <= ZERO_ABS_MAX, 0.0, rows)
        sums = np.zeros((len(rows), model.class_count))
        node_begin = leaf_begin = 0
        for tree, leaf_count in enumerate(model.leaf_counts.tolist()):
            leaves = self._leaves(cleaned, node_begin, leaf_count)
            sums[:, tree % model.class_count] += model.leaf_values[leaf_begin + leaves]
            node_begin += leaf_count - 1
            leaf_begin += leaf_count
        return sums

    def _leaves(self, rows: FloatArray, node_begin: int, leaf_count: int) -> IntArray:
        """Return the leaf ``(rows,)`` in which each row ends; parents stand before their children."""
        at = np.full(len(rows), 0 if leaf_count > 1 else -1, dtype=np.int64)
        for node in range(leaf_count - 1):
            here = at == node
            place = node_begin + node
            goes_left = self._goes_left(rows[here, self._model.features[place]], place)
            at[here] = np.where(goes_left, self._model.left[place], self._model.right[place])
        return -1 - at

    def _goes_left(self, values: FloatArray, place: int) -> BoolArray:
        model = self._model
        decision = int(model.decisions[place])
        if decision & CATEGORICAL_BIT:
            return self._in_set(values, int(model.sets[place]))
        missing = Missing(decision >> MISSING_SHIFT)
        values = values if missing is Missing.NAN else np.where(np.isnan(values), 0.0, values)
        goes_left: BoolArray = values <= model.thresholds[place]
        if missing is Missing.NONE:
            return goes_left
        is_missing = values == 0.0 if missing is Missing.ZERO else np.isnan(values)
        return np.where(is_missing, bool(decision & DEFAULT_LEFT_BIT), goes_left)

    def _in_set(self, values: FloatArray, number: int) -> BoolArray:
        words = self._model.set_words[self._model.set_bounds[number] : self._model.set_bounds[number + 1]]
        whole = np.trunc(np.where(np.isnan(values), -1.0, values))
        usable = (whole >= 0.0) & (whole < min(CATEGORY_END, float(len(words) * SET_WORD_BITS)))
        category = np.where(usable, whole, 0.0).astype(np.int64)
        if not len(words):
            return usable
        found: BoolArray = usable & ((words[category // SET_WORD_BITS] >> (category % SET_WORD_BITS)) & 1 == 1)
        return found

    def _transformed(self, sums: FloatArray) -> FloatArray:
        transform = self._model.transform
        if transform is Transform.SIGNED_SQUARE:
            return np.where(sums < 0.0, -(sums * sums), sums * sums)
        if transform is Transform.EXPONENTIAL:
            return portable_exp(sums)
        if transform is Transform.SIGMOID:
            return np.asarray(1.0 / (1.0 + portable_exp(-self._model.sigmoid * sums)))
        if transform is Transform.SOFTMAX:
            return _softmax(sums)
        return sums


def _softmax(sums: FloatArray) -> FloatArray:
    """Shift by the largest, then add the terms from the first class to the last."""
    largest = sums[:, 0].copy()
    for column in sums.T[1:]:
        largest = np.where(largest < column, column, largest)
    terms = portable_exp(sums - largest[:, None])
    total = np.add.accumulate(terms, axis=1)[:, -1]
    return np.asarray(terms / total[:, None])
