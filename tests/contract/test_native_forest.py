"""Owns the proof that forests agree with LightGBM bit for bit, and native with reference on every level.

The models are trained here. Sums must be LightGBM's own bits; outputs behind an exponential may differ by the error of
the portable exponential, which is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from walstreet.domain import portable_math
from walstreet.kernels.forest import Forest, build_native_forest
from walstreet.kernels.forest_model import ForestModel, Transform
from walstreet.kernels.forest_reference import ReferenceForest, portable_exp
from walstreet.kernels.forest_text import parse_forest
from walstreet.kernels.interface import FloatArray
from walstreet.training.forest_recipes import FEATURES, RECIPES, SPECIALS, Recipe, train, wild_rows

pytestmark = pytest.mark.spec("card.native", "002.native")

native = pytest.importorskip("walstreet_native", reason="the native wheel is not installed")
if not hasattr(native, "Forest"):
    pytest.skip("the installed native wheel has no forest; rebuild it", allow_module_level=True)

LEVELS = tuple(native.available_levels())
# Each path begins or ends at one of these: walked rows, a narrow tile, a wide tile, both, tails.
ROW_COUNTS = (0, 1, 2, 7, 8, 9, 31, 32, 33, 39, 40, 63, 64, 65, 71, 72, 97, 500)
TRANSFORMED_ERROR_MAX = 1e-12


@dataclass(frozen=True, slots=True)
class Trained:
    """One model with the rows and LightGBM's own answers."""

    recipe: Recipe
    text: str
    model: ForestModel
    rows: FloatArray
    raw: FloatArray
    outputs: FloatArray


@pytest.fixture(scope="module", params=RECIPES, ids=[recipe.name for recipe in RECIPES])
def trained(request: pytest.FixtureRequest) -> Trained:
    """Train one model and let LightGBM predict."""
    booster, rows = train(request.param)
    text = booster.model_to_string()
    model = parse_forest(text)
    wild = wild_rows(model, rows)
    raw = np.asarray(booster.predict(wild, raw_score=True, num_threads=1))
    return Trained(request.param, text, model, wild, raw, np.asarray(booster.predict(wild, num_threads=1)))


@pytest.fixture(autouse=True)
def _restored_level() -> Iterator[None]:
    before = native.level()
    yield
    native.set_level(before)


def raw_of(forest: Forest, rows: FloatArray) -> FloatArray:
    """Return the sums in a new array full of NaN before."""
    outputs = np.full((len(rows),) if forest.class_count == 1 else (len(rows), forest.class_count), np.nan)
    forest.predict_raw(rows, outputs)
    return outputs


def outputs_of(forest: Forest, rows: FloatArray) -> FloatArray:
    """Return the outputs in a new array full of NaN before."""
    outputs = np.full((len(rows),) if forest.class_count == 1 else (len(rows), forest.class_count), np.nan)
    forest.predict(rows, outputs)
    return outputs


def relative_error(ours: FloatArray, theirs: FloatArray) -> float:
    """Return the largest difference, relative to the larger of the two or absolute below 1."""
    finite = np.isfinite(theirs)
    assert np.array_equal(ours[~finite], theirs[~finite], equal_nan=True)
    scale = np.maximum(np.abs(theirs[finite]), 1.0)
    return float((np.abs(ours[finite] - theirs[finite]) / scale).max(initial=0.0))


def test_sums_are_lightgbms_own_bits(trained: Trained) -> None:
    """Reference, masks and walk give exactly LightGBM's sums on every level, special values included."""
    forests: dict[str, Forest] = {"reference": ReferenceForest(trained.model)}
    forests |= {"native": build_native_forest(trained.model)}
    forests |= {"walk": build_native_forest(trained.model, may_mask=False)}
    for level in LEVELS:
        native.set_level(level)
        for name, forest in forests.items():
            ours = raw_of(forest, trained.rows)
            assert ours.tobytes() == trained.raw.tobytes(), (
                f"{name} at {level}: largest difference {relative_error(ours, trained.raw)}"
            )


def test_outputs_agree_with_lightgbm(trained: Trained) -> None:
    """Identity and averages are LightGBM's bits; what passes an exponential is within its error."""
    forest = build_native_forest(trained.model)
    ours = outputs_of(forest, trained.rows)
    error = relative_error(ours, trained.outputs)
    if trained.model.transform in {Transform.IDENTITY, Transform.SIGNED_SQUARE}:
        assert error == 0.0
    assert error <= TRANSFORMED_ERROR_MAX, f"largest difference {error}"


def test_native_outputs_are_the_references_bits(trained: Trained) -> None:
    """Masks and walk transform to the reference's bits on every level and for every number of rows."""
    reference = ReferenceForest(trained.model)
    expected = outputs_of(reference, trained.rows)
    forests = (build_native_forest(trained.model), build_native_forest(trained.model, may_mask=False))
    for level in LEVELS:
        native.set_level(level)
        for forest in forests:
            for count in ROW_COUNTS:
                rows = trained.rows[:count].copy()
                ours = outputs_of(forest, rows)
                assert ours.tobytes() == expected[:count].tobytes(), f"{forest.path}, {count} rows at {level}"


def test_forests_describe_themselves(trained: Trained) -> None:
    """Both kinds report the same sizes, and only small trees take masks."""
    forest, reference = build_native_forest(trained.model), ReferenceForest(trained.model)
    for name in ("tree_count", "feature_count", "class_count", "leaf_count_max"):
        assert getattr(forest, name) == getattr(reference, name)
    assert forest.path == ("masks" if forest.leaf_count_max <= 32 else "walk")
    assert build_native_forest(trained.model, may_mask=False).path == "walk"


def test_recipes_reach_every_path() -> None:
    """The models above cover masks and walks, several slices of one feature, sets, and every transform."""
    models = {recipe.name: parse_forest(train(recipe)[0].model_to_string()) for recipe in RECIPES}
    assert len(models) >= 20
    assert {model.transform for model in models.values()} == set(Transform)
    many = models["more thresholds than a byte"]
    assert max(len(np.unique(many.thresholds[many.features == feature])) for feature in range(FEATURES)) > 255
    assert int(models["deep"].leaf_counts.max()) > 32
    assert models["one leaf"].leaf_counts.tolist() == [1] * len(models["one leaf"].leaf_counts)
    assert any(len(model.set_words) > 1 for model in models.values())
    assert {int(decision) >> 2 for model in models.values() for decision in np.unique(model.decisions)} == {0, 1, 2}


def test_exponential_is_the_domains() -> None:
    """The oracle's exponential, and through softmax the native one, has the bits of the domain's."""
    generator = np.random.default_rng(3)
    values = np.concatenate([generator.normal(size=4000) * 10.0 ** generator.integers(-12, 4, 4000), SPECIALS])
    with np.errstate(all="ignore"):
        assert portable_exp(values).tobytes() == portable_math.exp(values).tobytes()


@pytest.mark.parametrize("level", LEVELS)
def test_native_exponential_is_the_domains(level: str) -> None:
    """One leaf whose value is the argument: the native exponential has the domain's bits, clipping included."""
    native.set_level(level)
    generator = np.random.default_rng(4)
    values = np.concatenate([generator.uniform(-720.0, 720.0, 300), [0.0, -0.0, 5e-324, 700.0, -700.0, 1e300, 1e-9]])
    for value in values.tolist():
        model = stump_model(leaves=(value,), transform=Transform.EXPONENTIAL)
        ours = outputs_of(build_native_forest(model), np.zeros((1, 1)))
        assert ours.tobytes() == portable_math.exp(np.array([value])).tobytes(), value


def stump_model(*, leaves: tuple[float, ...], transform: Transform = Transform.IDENTITY) -> ForestModel:
    """Return one tree with one or two leaves; values up to 0.5 of the only feature go left."""
    nodes = len(leaves) - 1

    def integers(*values: int) -> Any:
        return np.array(values[:nodes], dtype=np.int64)

    return ForestModel(
        feature_count=1,
        class_count=1,
        transform=transform,
        sigmoid=1.0,
        averages=False,
        leaf_counts=np.array([len(leaves)]),
        features=integers(0),
        thresholds=np.full(nodes, 0.5),
        decisions=integers(0),
        left=integers(-1),
        right=integers(-2),
        sets=integers(-1),
        set_bounds=np.array([0]),
        set_words=np.array([], dtype=np.int64),
        leaf_values=np.array(leaves),
    )


BAD_MODELS: list[tuple[dict[str, object], type[Exception], str]] = [
    ({"feature_count": 0}, ValueError, "feature_count[0]: value is 0, must be from 1 to 1048576"),
    ({"class_count": 2}, ValueError, "leaf_counts: has 1 trees, must have a positive multiple of the 2 classes"),
    ({"sigmoid": float("nan")}, ValueError, "sigmoid[0]: value is not finite"),
    ({"leaf_counts": np.array([0])}, ValueError, "leaf_counts[0]: value is 0, must be from 1"),
    ({"leaf_counts": np.array([3])}, ValueError, "features: has 1 values, must have 2 to agree with leaf_counts"),
    ({"leaf_counts": np.array([1 << 24])}, ValueError, "leaf_counts[0]: value is 16777216, must be from 1"),
    ({"leaf_counts": np.array([2], dtype=np.int32)}, TypeError, "leaf_counts: dtype is int32, must be int64"),
    ({"leaf_counts": np.array([[2]])}, ValueError, "leaf_counts: shape is (1, 1), must have 1 dimension(s)"),
    ({"leaf_counts": None}, TypeError, "leaf_counts: is a NoneType"),
    ({"features": np.array([1])}, ValueError, "features[0]: value is 1, must be from 0 to 0"),
    ({"features": np.array([-1])}, ValueError, "features[0]: value is -1, must be from 0 to 0"),
    ({"thresholds": np.array([np.nan])}, ValueError, "thresholds[0]: value is not a number"),
    ({"decisions": np.array([12])}, ValueError, "decisions[0]: value is 12, must be from 0 to 11"),
    ({"decisions": np.array([1])}, ValueError, "sets[0][0]: value is -1, must be from 0 to -1"),
    ({"left": np.array([0])}, ValueError, "tree 0, node 0: child is 0, must be a leaf or a later node of the tree"),
    ({"left": np.array([1])}, ValueError, "tree 0, node 0: child is 1, must be a leaf or a later node of the tree"),
    ({"left": np.array([-3])}, ValueError, "tree 0, node 0: child is -3, must be a leaf"),
    ({"left": np.array([-2])}, ValueError, "tree 0, node 0: child -2 already has another parent"),
    ({"left": np.array([-(2**63)])}, ValueError, "tree 0, node 0: child is -9223372036854775808, must be a leaf"),
    ({"set_bounds": np.array([1])}, ValueError, "set_bounds: must begin with 0"),
    ({"set_bounds": np.array([0, 2, 1])}, ValueError, "set_bounds[2][0]: value is -1"),
    ({"set_bounds": np.array([0, 2])}, ValueError, "set_words: has 0 values, must have 2 to agree with set_bounds"),
    ({"leaf_values": np.array([1.0])}, ValueError, "leaf_values: has 1 values, must have 2 to agree with leaf_counts"),
    ({"leaf_values": np.array([1.0, np.nan])}, ValueError, "leaf_values[1]: value is not finite"),
]


@pytest.mark.parametrize(("changes", "error", "message"), BAD_MODELS, ids=[bad[2][:40] for bad in BAD_MODELS])
def test_contradicting_arrays_are_refused(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    """The native constructor trusts nothing, because a wrong index would read foreign memory."""
    with pytest.raises(error) as caught:
        build_native_forest(replace(stump_model(leaves=(1.0, 2.0)), **changes))
    assert message in str(caught.value)


READ_ONLY = np.zeros(2)
READ_ONLY.flags.writeable = False
SHARED = np.zeros(4)
BAD_CALLS: list[tuple[object, object, type[Exception], str]] = [
    ([[1.0]], np.zeros(1), TypeError, "rows: is a list, must be a numpy.ndarray of float64"),
    (np.zeros((2, 1), dtype=np.float32), np.zeros(2), TypeError, "rows: dtype is float32, must be float64"),
    (np.zeros(2), np.zeros(2), ValueError, "rows: shape is (2,), must have 2 dimension(s)"),
    (np.zeros((2, 2)), np.zeros(2), ValueError, "rows: shape is (2, 2), must be (2, 1) to agree with the forest's"),
    (np.zeros((4, 1))[::2], np.zeros(2), ValueError, "rows: is not C-contiguous (strides (16, 8))"),
    (np.zeros((2, 1)), np.zeros(3), ValueError, "outputs: shape is (3,), must be (2,) to agree with rows"),
    (np.zeros((2, 1)), np.zeros((2, 1)), ValueError, "outputs: shape is (2, 1), must have 1 dimension(s)"),
    (np.zeros((2, 1)), READ_ONLY, ValueError, "outputs: is read-only and is written in place"),
    (np.zeros((2, 1)), None, TypeError, "outputs: is a NoneType"),
    (SHARED.reshape(4, 1), SHARED, ValueError, "outputs: shares memory with rows; pass separate arrays"),
]


@pytest.mark.parametrize(("rows", "outputs", "error", "message"), BAD_CALLS, ids=[bad[3][:40] for bad in BAD_CALLS])
@pytest.mark.parametrize("kind", ["native", "reference"])
def test_wrong_arrays_are_refused_in_the_same_words(
    kind: str, rows: Any, outputs: Any, error: type[Exception], message: str
) -> None:
    """Native and reference name the same fault in the same words."""
    model = stump_model(leaves=(1.0, 2.0))
    forest: Forest = build_native_forest(model) if kind == "native" else ReferenceForest(model)
    for method in (forest.predict, forest.predict_raw):
        with pytest.raises(error) as caught:
            method(rows, outputs)
        assert message in str(caught.value)


def test_several_classes_need_two_dimensions() -> None:
    """The shape of the outputs follows from the number of classes."""
    model = replace(stump_model(leaves=(1.0,)), class_count=3, leaf_counts=np.ones(3, dtype=np.int64))
    model = replace(model, leaf_values=np.array([1.0, 2.0, 3.0]))
    for forest in (build_native_forest(model), ReferenceForest(model)):
        assert outputs_of(forest, np.zeros((2, 1))).tolist() == [[1.0, 2.0, 3.0]] * 2
        with pytest.raises(ValueError, match=r"outputs: shape is \(2, 2\), must be \(2, 3\) to agree with rows and"):
            forest.predict(np.zeros((2, 1)), np.zeros((2, 2)))


def test_threads_share_a_forest() -> None:
    """Calls at the same time bring their own scratch where the forest's is taken, and agree."""
    booster, rows = train(next(recipe for recipe in RECIPES if recipe.name == "categorical multiclass"))
    forest = build_native_forest(parse_forest(booster.model_to_string()))
    expected = outputs_of(forest, rows).tobytes()
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: outputs_of(forest, rows).tobytes(), range(200)))
    assert results == [expected] * 200
