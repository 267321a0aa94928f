"""Owns what holds for every forest: random trees and rows give the oracle's bits, random damage is refused."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.kernels.forest import build_native_forest, predict
from walstreet.kernels.forest_model import ForestModel, ForestRefusedError, Transform
from walstreet.kernels.forest_reference import ReferenceForest
from walstreet.kernels.forest_text import parse_forest
from walstreet.kernels.interface import FloatArray

native = pytest.importorskip("walstreet_native", reason="the native wheel is not installed")
if not hasattr(native, "Forest"):
    pytest.skip("the installed native wheel has no forest; rebuild it", allow_module_level=True)

LEVELS = tuple(native.available_levels())
FEATURES: Final = 4
GRID: Final = np.array(
    [-np.inf, -1e300, -2.5, -1.0, -1e-36, -0.0, 0.0, 5e-324, 1e-35, 0.5, 1.0, 3.0, 40.0, 1e39, np.inf]
)
"""Thresholds and values come from here, so that they meet often; NaN is added to the values."""

TEXT: Final = """tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=regression
feature_names=a b
feature_infos=[0:1] 0:1:2
tree_sizes=380

Tree=0
num_leaves=3
num_cat=1
split_feature=0 1
split_gain=1 1
threshold=0.5 0
decision_type=10 1
left_child=1 -1
right_child=-2 -3
leaf_value=0.25 -1e-05 3
leaf_weight=1 1 1
leaf_count=1 1 1
internal_value=0 0
internal_weight=1 1
internal_count=1 1
cat_boundaries=0 2
cat_threshold=5 1
is_linear=0
shrinkage=0.1


end of trees
"""
_BODY: Final = TEXT.partition("\n\n")[2].partition("end of trees")[0]
WHOLE: Final = TEXT.replace("tree_sizes=380", f"tree_sizes={len(_BODY)}")


def random_forest(seed: int, *, tree_count: int, leaves_max: int, class_count: int) -> ForestModel:
    """Grow trees by splitting random leaves, with every kind of decision."""
    generator = np.random.default_rng(seed)
    leaf_counts = generator.integers(1, leaves_max + 1, tree_count * class_count)
    left, right = [], []
    for leaf_count in leaf_counts.tolist():
        parents: list[tuple[list[int], int]] = []
        own_left, own_right = [0] * (leaf_count - 1), [0] * (leaf_count - 1)
        for node in range(leaf_count - 1):
            if parents:
                side, parent = parents.pop(int(generator.integers(len(parents))))
                side[parent] = node
            parents += [(own_left, node), (own_right, node)]
        for leaf, (side, parent) in enumerate(parents):
            side[parent] = -1 - leaf
        left += own_left
        right += own_right
    node_count = len(left)
    set_sizes = generator.integers(0, 4, 5)
    decisions = generator.choice([0, 2, 4, 6, 8, 10, 1], node_count)
    return ForestModel(
        feature_count=FEATURES,
        class_count=class_count,
        transform=Transform(int(generator.integers(0, len(Transform)))),
        sigmoid=float(generator.uniform(0.1, 3.0)),
        averages=bool(generator.integers(0, 2)),
        leaf_counts=leaf_counts.astype(np.int64),
        features=generator.integers(0, FEATURES, node_count),
        thresholds=np.where(
            generator.random(node_count) < 0.5, generator.choice(GRID, node_count), generator.normal(size=node_count)
        ),
        decisions=decisions,
        left=np.array(left, dtype=np.int64),
        right=np.array(right, dtype=np.int64),
        sets=np.where(decisions == 1, generator.integers(0, len(set_sizes), node_count), -1),
        set_bounds=np.concatenate([[0], np.cumsum(set_sizes)]).astype(np.int64),
        set_words=generator.integers(0, 1 << 32, int(set_sizes.sum())),
        leaf_values=generator.normal(size=int(leaf_counts.sum())) * 10.0 ** generator.integers(-3, 3),
    )


def random_rows(seed: int, count: int) -> FloatArray:
    """Draw rows on and beside the grid, with missing values."""
    generator = np.random.default_rng(seed)
    shape = (count, FEATURES)
    rows = np.where(
        generator.random(shape) < 0.5, generator.choice([*GRID, np.nan], shape), generator.normal(size=shape)
    )
    return np.where(generator.random(shape) < 0.3, generator.integers(-2, 130, shape), rows)


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    tree_count=st.integers(1, 40),
    leaves_max=st.sampled_from((1, 2, 9, 31, 32, 33, 80)),
    class_count=st.integers(1, 3),
    row_count=st.integers(0, 140),
    may_mask=st.booleans(),
    level=st.sampled_from(LEVELS),
)
def test_random_forests_have_the_reference_bits(
    seed: int, tree_count: int, leaves_max: int, class_count: int, row_count: int, may_mask: bool, level: str
) -> None:
    """Any trees and rows, at any level, by masks or by walking, give the oracle's bits."""
    before = native.level()
    native.set_level(level)
    try:
        model = random_forest(seed, tree_count=tree_count, leaves_max=leaves_max, class_count=class_count)
        rows = random_rows(seed + 1, row_count)
        ours = predict(build_native_forest(model, may_mask=may_mask), rows)
    finally:
        native.set_level(before)
    assert ours.tobytes() == predict(ReferenceForest(model), rows).tobytes()


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), row_count=st.integers(1, 80))
def test_a_row_does_not_depend_on_its_neighbours(seed: int, row_count: int) -> None:
    """Predicting rows one by one, which takes another path, gives the bits of predicting them together."""
    model = random_forest(seed, tree_count=12, leaves_max=32, class_count=1)
    forest, rows = build_native_forest(model), random_rows(seed, row_count)
    one_by_one = np.concatenate([predict(forest, rows[row : row + 1].copy()) for row in range(row_count)])
    assert one_by_one.tobytes() == predict(forest, rows).tobytes()


@settings(max_examples=1000, deadline=None)
@given(
    place=st.integers(0, len(WHOLE) - 1),
    length=st.integers(0, 12),
    inserted=st.one_of(
        st.text(max_size=4),
        st.sampled_from(("-1", "0", "1", "99999999999", "nan", "inf", "=", "\n", " ", "1e999", "0x1", "-", "٣")),
    ),
)
def test_damaged_text_is_refused_or_still_predicts(place: int, length: int, inserted: str) -> None:
    """Any damage either raises with a reason or leaves a forest that native and reference read alike."""
    damaged = WHOLE[:place] + inserted + WHOLE[place + length :]
    try:
        model = parse_forest(damaged)
    except ForestRefusedError:
        return
    rows = np.ascontiguousarray(np.resize(random_rows(7, 50), (50, model.feature_count)))
    assert predict(build_native_forest(model), rows).tobytes() == predict(ReferenceForest(model), rows).tobytes()


def test_the_whole_text_is_read() -> None:
    """The text that the damage starts from is a model: categories 0, 2 and 32 go left below the first split."""
    forest = ReferenceForest(parse_forest(WHOLE))
    rows = np.array([[0.0, 0.0], [0.5, 2.9], [0.4, 32.0], [0.4, 1.0], [0.6, 0.0], [np.nan, np.nan]])
    assert predict(forest, rows).tolist() == [0.25, 0.25, 0.25, 3.0, -1e-05, 3.0]
