"""Owns LightGBM at run time: a text model in memory to one raw output per row.

Prediction is the native forest's where it is installed; it must first prove that it answers like LightGBM.
"""

from __future__ import annotations

from typing import Any, Literal

import lightgbm
import numpy as np
from numpy.typing import NDArray

from walstreet.adapters.lightgbm_text import checked_text
from walstreet.domain.model_manifest import probe_matrix
from walstreet.kernels.forest import Forest, build_forest, native_forest_problem, predict
from walstreet.kernels.forest_model import ForestModel
from walstreet.kernels.forest_text import parse_forest

FloatArray = NDArray[np.float64]

PROOF_TOLERANCE = 1e-12
"""Largest difference from LightGBM, relative above 1: sums are equal, exponentials nearly."""
PROOF_ROWS = 64


class LightGbmModel:
    """One booster; deterministic, one thread, so that services do not fight for cores.

    Attributes:
        engine: Who predicts: ``native`` forest, or ``lightgbm``.
        reason: Why; for logs.
    """

    __slots__ = ("_booster", "_forest", "engine", "reason")

    def __init__(self, content: bytes, *, features: int) -> None:
        """Check and parse a text model, and prove the native forest on it.

        Raises:
            ValueError: The text is no model, takes another number of features, or the native forest contradicts
                LightGBM on it.
        """
        text = checked_text(content, features=features)
        try:
            self._booster: Any = lightgbm.Booster(model_str=text)
        except lightgbm.basic.LightGBMError as error:
            raise ValueError(f"LightGBM cannot read it ({error})") from error
        problem = native_forest_problem()
        self.engine: Literal["native", "lightgbm"] = "lightgbm" if problem else "native"
        self.reason = problem
        self._forest: Forest | None = None
        if not problem:
            model = parse_forest(text)
            forest = build_forest(model)
            difference = self._largest_difference(forest, proof_rows(model))
            self._forest = forest
            self.reason = f"native forest by {forest.path}, largest difference from LightGBM {difference:.1e}"

    def predict(self, matrix: FloatArray) -> FloatArray:
        """Return one output per row of (N, F)."""
        if self._forest is not None:
            return predict(self._forest, np.ascontiguousarray(matrix, dtype=np.float64))
        return np.asarray(self._booster.predict(matrix, num_threads=1), dtype=np.float64)

    def _largest_difference(self, forest: Forest, rows: FloatArray) -> float:
        expected = np.asarray(self._booster.predict(rows, num_threads=1), dtype=np.float64)
        ours = predict(forest, rows)
        allowed = PROOF_TOLERANCE * np.maximum(np.abs(expected), 1.0)
        differences = np.abs(ours - expected)
        # Not "larger than allowed", so that a NaN on one side is a contradiction too.
        wrong = ~((differences <= allowed) | (ours == expected))
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(
                f"the native forest says {ours[row]!r}, LightGBM {expected[row]!r} to proof row {row}; "
                "report this model, and select the reference kernels to load it with LightGBM"
            )
        return float(np.where(ours == expected, 0.0, differences).max())


def proof_rows(model: ForestModel) -> FloatArray:
    """Return rows ``(68, F)``: the zoo's probe, then thresholds of the model met exactly, just passed, or missing."""
    rows = np.zeros((PROOF_ROWS, model.feature_count))
    number = np.arange(PROOF_ROWS)
    for feature in range(model.feature_count):
        edges = np.unique(model.thresholds[(model.features == feature) & (model.sets < 0)])
        if len(edges):
            chosen = edges[(number * 37 + feature * 11) % len(edges)]
            rows[:, feature] = np.where((number + feature) % 3 == 0, np.nextafter(chosen, np.inf), chosen)
        rows[(number + 5 * feature) % 16 == 1, feature] = np.nan
        rows[(number + 3 * feature) % 16 == 2, feature] = 0.0
    return np.concatenate([probe_matrix(features=model.feature_count, length=0), rows])
