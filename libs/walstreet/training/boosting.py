"""Owns the training of small LightGBM models, reproducible to the byte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]

TREES = 60
LEAVES = 15


@dataclass(frozen=True, slots=True)
class Boosted:
    """One trained booster."""

    booster: Any

    def predict(self, matrix: Float32Array | FloatArray) -> FloatArray:
        """Return one raw output per row."""
        return np.asarray(self.booster.predict(matrix, num_threads=1), dtype=np.float64)

    def content(self) -> bytes:
        """Return the text model."""
        text: str = self.booster.model_to_string()
        return text.encode()


def train_boosted(matrix: Float32Array, labels: FloatArray, *, binary: bool, seed: int) -> Boosted:
    """Train a regression of ``labels``, or the probability of label 1 when ``binary``."""
    parameters = {
        "objective": "binary" if binary else "regression",
        "num_leaves": LEAVES,
        "learning_rate": 0.05,
        "min_data_in_leaf": 200,
        "feature_fraction": 0.5,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "lambda_l2": 10.0,
        "max_bin": 63,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "seed": seed,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(matrix, label=labels, params=parameters, free_raw_data=True)
    return Boosted(lightgbm.train(parameters, data, num_boost_round=TREES))
