"""Owns the choice between the native forest and the NumPy reference, which give the same bits."""

from collections.abc import Callable
from typing import Final, Protocol

import numpy as np

from walstreet.kernels import facade
from walstreet.kernels.forest_model import ForestModel
from walstreet.kernels.forest_reference import ReferenceForest
from walstreet.kernels.interface import FloatArray

__all__ = ["Forest", "build_forest", "build_native_forest", "native_forest_problem", "predict"]


class Forest(Protocol):
    """Predict with a fixed forest; calls allocate nothing and may come from several threads at once."""

    @property
    def tree_count(self) -> int:
        """Return the number of trees over all classes."""
        ...

    @property
    def feature_count(self) -> int:
        """Return the columns of a row."""
        ...

    @property
    def class_count(self) -> int:
        """Return the outputs per row."""
        ...

    @property
    def leaf_count_max(self) -> int:
        """Return the leaves of the largest tree."""
        ...

    @property
    def path(self) -> str:
        """Return how leaves are found: ``masks``, ``walk`` or ``reference``."""
        ...

    def predict(self, rows: FloatArray, outputs: FloatArray) -> None:
        """Write LightGBM's outputs of every row.

        Sums are LightGBM's own bits. Where a sigmoid, exponential or softmax follows, walstreet's portable
        exponential is used; the outputs differ from LightGBM's by less than 1e-13 relative.

        Args:
            rows: ``(N, features)``; NaN and infinities are allowed and go where LightGBM sends them.
            outputs: ``(N,)``, or ``(N, classes)`` for more than one class; written in place.

        Raises:
            TypeError: not arrays of float64.
            ValueError: wrong shape or strides, or shared memory.
        """
        ...

    def predict_raw(self, rows: FloatArray, outputs: FloatArray) -> None:
        """Write the sums, neither averaged nor transformed: LightGBM's ``raw_score``; arguments as ``predict``."""
        ...


def _import_native() -> tuple[Callable[..., Forest] | None, str]:
    try:
        from walstreet_native import Forest as NativeForest  # noqa: PLC0415 - an older wheel has none
    except ImportError as error:
        return None, f"walstreet_native has no forest: {error}"
    return NativeForest, ""


_NATIVE: Final = _import_native()


def native_forest_problem() -> str:
    """Return why ``build_forest`` cannot give a native forest, or an empty string if it can."""
    chosen = facade.implementation()
    if chosen.name != "native":
        return f"kernels are {chosen.name!r} ({chosen.reason})"
    return _NATIVE[1]


def build_forest(model: ForestModel) -> Forest:
    """Compile a model for the kernels in use: native, or the reference where ``native_forest_problem`` says why.

    Raises:
        ValueError: the model's arrays contradict each other.
    """
    return ReferenceForest(model) if native_forest_problem() else build_native_forest(model)


def build_native_forest(model: ForestModel, *, may_mask: bool = True) -> Forest:
    """Compile a model for the native kernels; ``may_mask=False`` forces the walk, for tests and measurements.

    Raises:
        KernelsUnavailableError: the native kernels, or their forest, are not installed.
        ValueError: the model's arrays contradict each other.
    """
    native, problem = _NATIVE
    if native is None:
        raise facade.KernelsUnavailableError(f"a native forest was asked for, but {problem}; install walstreet-native")
    return native(
        feature_count=model.feature_count,
        class_count=model.class_count,
        transform=int(model.transform),
        sigmoid=model.sigmoid,
        averages=model.averages,
        leaf_counts=model.leaf_counts,
        features=model.features,
        thresholds=model.thresholds,
        decisions=model.decisions,
        left=model.left,
        right=model.right,
        sets=model.sets,
        set_bounds=model.set_bounds,
        set_words=model.set_words,
        leaf_values=model.leaf_values,
        may_mask=may_mask,
    )


def predict(forest: Forest, rows: FloatArray) -> FloatArray:
    """Return the outputs in a new array ``(N,)`` or ``(N, classes)``; see ``Forest.predict``."""
    shape = (len(rows),) if forest.class_count == 1 else (len(rows), forest.class_count)
    outputs = np.empty(shape)
    forest.predict(rows, outputs)
    return outputs
