"""Owns the choice between native forest and LightGBM in the adapter, and the proof at loading."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from walstreet.adapters import lightgbm_models
from walstreet.adapters.lightgbm_models import LightGbmModel
from walstreet.kernels import facade
from walstreet.kernels.forest import native_forest_problem
from walstreet.kernels.forest_model import ForestModel
from walstreet.kernels.forest_reference import ReferenceForest
from walstreet.kernels.interface import FloatArray
from walstreet.training.boosting import train_boosted

FEATURES = 5
needs_native = pytest.mark.skipif(bool(native_forest_problem()), reason=native_forest_problem() or "installed")


@pytest.fixture(scope="module", params=[False, True], ids=["regression", "binary"])
def content(request: pytest.FixtureRequest) -> bytes:
    """Train one small model."""
    generator = np.random.default_rng(1)
    matrix = generator.normal(size=(3_000, FEATURES)).astype(np.float32)
    signal = matrix[:, 0] - matrix[:, 1] * matrix[:, 2]
    labels = (signal > 0.0).astype(float) if request.param else signal.astype(float)
    return train_boosted(matrix, labels, binary=request.param, seed=3).content()


@pytest.fixture(autouse=True)
def _restored_choice() -> Iterator[None]:
    before = facade.implementation()
    yield
    facade.select(before.name, level=before.level if before.name == "native" else None)


@needs_native
def test_the_native_forest_predicts_like_lightgbm(content: bytes) -> None:
    """Where it is installed it predicts, says so, and agrees on rows it was not proved on."""
    native = LightGbmModel(content, features=FEATURES)
    facade.select("reference")
    plain = LightGbmModel(content, features=FEATURES)
    assert (native.engine, plain.engine) == ("native", "lightgbm")
    assert native.reason.startswith("native forest by masks, largest difference from LightGBM")
    assert "kernels are 'reference'" in plain.reason
    rows = np.random.default_rng(2).normal(size=(333, FEATURES))
    rows[::7, 2] = np.nan
    np.testing.assert_allclose(native.predict(rows), plain.predict(rows), rtol=1e-13, atol=0.0)
    np.testing.assert_array_equal(native.predict(rows[::2]), native.predict(rows)[::2])


@needs_native
@pytest.mark.parametrize("fault", [1e-9, float("nan")])
def test_a_contradiction_refuses_the_model(content: bytes, fault: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A native forest that says anything else is never used, and neither engine is silently preferred."""

    class Wrong(ReferenceForest):
        def predict(self, rows: FloatArray, outputs: FloatArray) -> None:
            super().predict(rows, outputs)
            outputs[5] += fault

    def build(model: ForestModel) -> Wrong:
        return Wrong(model)

    monkeypatch.setattr(lightgbm_models, "build_forest", build)
    with pytest.raises(ValueError, match=r"the native forest says .* LightGBM .* to proof row 5; report this model"):
        LightGbmModel(content, features=FEATURES)


def test_both_engines_refuse_another_width(content: bytes) -> None:
    """A matrix with another number of features never gets an answer."""
    model = LightGbmModel(content, features=FEATURES)
    with pytest.raises(Exception, match=r"features|columns"):
        model.predict(np.zeros((2, FEATURES + 1)))
