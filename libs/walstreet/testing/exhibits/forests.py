"""Owns the exhibit of the forest kernel: its answers against LightGBM's own, for models of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from walstreet import kernels
from walstreet.kernels.forest import Forest, build_native_forest, native_forest_problem
from walstreet.kernels.forest_model import ForestModel, Transform
from walstreet.kernels.forest_reference import ReferenceForest
from walstreet.kernels.forest_text import parse_forest
from walstreet.testing.exhibits.row import Exhibit, Panel, Row
from walstreet.testing.exhibits.worlds import FloatArray
from walstreet.training.forest_recipes import RECIPES, Recipe, train, wild_rows

NAME = "forest"
MODELS_MIN = 20
OUTPUT_ERROR_MAX = 1e-12
"""Of what passes an exponential: ours is portable, LightGBM's the C library's."""
LEAST_SHOWN = 1e-18

KINDS: tuple[tuple[str, Callable[[Recipe], bool]], ...] = (
    ("all models", lambda _: True),
    ("regression", lambda recipe: recipe.label in {"real", "positive"}),
    ("binary and shares", lambda recipe: recipe.label in {"binary", "share"}),
    ("multi-class", lambda recipe: "num_class" in recipe.parameters),
    ("ranking", lambda recipe: recipe.parameters["objective"] == "lambdarank"),
    ("missing values and zeros", lambda recipe: recipe.missing > 0.0 or recipe.zeros > 0.0),
    ("categorical splits", lambda recipe: recipe.categorical),
    ("averaged and dropped trees", lambda recipe: recipe.parameters.get("boosting") in {"rf", "dart"}),
)


def exhibit() -> Exhibit:
    """Train every recipe, let both predict rows that meet every threshold, and keep the largest differences."""
    before = kernels.implementation()
    try:
        measured = {recipe.name: _differences(recipe) for recipe in RECIPES}
    finally:
        kernels.select(before.name, level=before.level if before.name == "native" else None)
    ways = "; ".join(name for name, _ in _forests(parse_forest(train(RECIPES[0])[0].model_to_string())))
    rows = [
        Row(exhibit="forest, models", case="trained here", value=float(len(RECIPES)), low=float(MODELS_MIN), note=ways)
    ]
    for kind, inside in KINDS:
        chosen = [measured[recipe.name] for recipe in RECIPES if inside(recipe)]
        rows.append(
            Row(
                exhibit="forest, sums",
                case=f"{kind}: {len(chosen)}",
                value=max(raw for raw, _ in chosen),
                low=0.0,
                high=0.0,
                note="largest difference from LightGBM",
            )
        )
    for name, high, exact in (
        ("linear outputs", 0.0, True),
        ("outputs behind an exponential", OUTPUT_ERROR_MAX, False),
    ):
        errors = [error for error, is_exact in (value[1] for value in measured.values()) if is_exact is exact]
        rows.append(
            Row(
                exhibit="forest, outputs",
                case=f"{name}: {len(errors)}",
                value=max(errors),
                low=0.0,
                high=high,
                note="largest relative difference from LightGBM",
            )
        )
    panel = Panel(
        title="largest relative difference of outputs from LightGBM; 0 has no bar",
        x_label="difference",
        y_label="",
        bars=tuple((name, error) for name, (_, (error, _)) in measured.items()),
        allowed=(LEAST_SHOWN, OUTPUT_ERROR_MAX),
        logarithmic=("x",),
    )
    return Exhibit(name=NAME, title="Our forests against LightGBM", rows=tuple(rows), panels=(panel,))


def _forests(model: ForestModel) -> Iterator[tuple[str, Forest]]:
    """Yield every way to run a model; the native level is the one in force while the forest is used."""
    yield "reference", ReferenceForest(model)
    if native_forest_problem():
        return
    import walstreet_native  # noqa: PLC0415 - an optional wheel

    for level in walstreet_native.available_levels():
        kernels.select("native", level=level)
        yield f"native {level}", build_native_forest(model)
        yield f"native {level}, walking", build_native_forest(model, may_mask=False)


def _differences(recipe: Recipe) -> tuple[float, tuple[float, bool]]:
    """Return the largest difference of sums, and of outputs with whether those must be exact."""
    booster, rows = train(recipe)
    model = parse_forest(booster.model_to_string())
    wild = wild_rows(model, rows)
    sums = np.asarray(booster.predict(wild, raw_score=True, num_threads=1))
    outputs = np.asarray(booster.predict(wild, num_threads=1))
    exact = model.transform in {Transform.IDENTITY, Transform.SIGNED_SQUARE}
    raw = error = 0.0
    for _, forest in _forests(model):
        ours, ours_out = np.full_like(sums, np.nan), np.full_like(outputs, np.nan)
        forest.predict_raw(wild, ours)
        forest.predict(wild, ours_out)
        raw, error = max(raw, _difference(ours, sums)), max(error, _difference(ours_out, outputs))
    return raw, (error, exact)


def _difference(ours: FloatArray, theirs: FloatArray) -> float:
    """Return the largest difference, relative above 1; infinite where one is not finite and the other is another."""
    finite = np.isfinite(theirs)
    if not np.array_equal(ours[~finite], theirs[~finite], equal_nan=True) or not np.isfinite(ours[finite]).all():
        return float("inf")
    scale = np.maximum(np.abs(theirs[finite]), 1.0)
    return float((np.abs(ours[finite] - theirs[finite]) / scale).max(initial=0.0))
