"""Owns LightGBM at run time: a text model in memory to one raw output per row."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from walstreet.adapters.lightgbm_text import checked_text

FloatArray = NDArray[np.float64]


class LightGbmModel:
    """One booster; deterministic, one thread, so that services do not fight for cores."""

    __slots__ = ("_booster",)

    def __init__(self, content: bytes, *, features: int) -> None:
        """Check and parse a text model.

        Raises:
            ValueError: The text is no model, or takes another number of features.
        """
        text = checked_text(content, features=features)
        try:
            self._booster: Any = lightgbm.Booster(model_str=text)
        except lightgbm.basic.LightGBMError as error:
            raise ValueError(f"LightGBM cannot read it ({error})") from error

    def predict(self, matrix: FloatArray) -> FloatArray:
        """Return one output per row of (N, F)."""
        return np.asarray(self._booster.predict(matrix, num_threads=1), dtype=np.float64)
