"""Owns the examples of model texts that are refused, and of what is read from the ones that are not."""

from __future__ import annotations

import numpy as np
import pytest

from walstreet.kernels import facade, forest
from walstreet.kernels.forest import Forest, build_forest, native_forest_problem, predict
from walstreet.kernels.forest_model import ForestRefusedError, Missing, Transform
from walstreet.kernels.forest_text import parse_forest

HEADER = """tree
version=v4
num_class={classes}
num_tree_per_iteration={classes}
label_index=0
max_feature_idx=1
objective={objective}
feature_names=a b
feature_infos=[0:1] [0:1]
tree_sizes={sizes}

"""
TREE = """Tree={number}
num_leaves=2
num_cat=0
split_feature=1
split_gain=1
threshold=0.5
decision_type=10
left_child=-1
right_child=-2
leaf_value=1 -2
leaf_weight=1 1
leaf_count=1 1
internal_value=0
internal_weight=1
internal_count=1
is_linear=0
shrinkage=1


"""


def text(*, classes: int = 1, objective: str = "regression", old: str = "", new: str = "") -> str:
    """Return a whole model with as many trees as classes, ``old`` in the trees replaced by ``new``."""
    trees = [
        TREE.format(number=number).replace(old, new) if old else TREE.format(number=number) for number in range(classes)
    ]
    sizes = " ".join(str(len(tree)) for tree in trees)
    return HEADER.format(classes=classes, objective=objective, sizes=sizes) + "".join(trees) + "end of trees\n"


def test_a_tree_is_read() -> None:
    """Every array stands as in the text."""
    model = parse_forest(text())
    assert (model.feature_count, model.class_count, model.tree_count) == (2, 1, 1)
    assert model.thresholds.tolist() == [0.5]
    assert model.features.tolist() == [1]
    assert Missing(int(model.decisions[0]) >> 2) is Missing.NAN
    assert model.leaf_values.tolist() == [1.0, -2.0]
    assert not model.averages


@pytest.mark.parametrize(
    ("objective", "classes", "transform", "sigmoid"),
    [
        ("regression", 1, Transform.IDENTITY, 1.0),
        ("regression sqrt", 1, Transform.SIGNED_SQUARE, 1.0),
        ("quantile alpha:0.9", 1, Transform.IDENTITY, 1.0),
        ("custom", 3, Transform.IDENTITY, 1.0),
        ("poisson", 1, Transform.EXPONENTIAL, 1.0),
        ("binary sigmoid:0.5", 1, Transform.SIGMOID, 0.5),
        ("multiclass num_class:3", 3, Transform.SOFTMAX, 1.0),
        ("multiclassova num_class:3 sigmoid:2", 3, Transform.SIGMOID, 2.0),
    ],
)
def test_objectives_choose_the_transform(objective: str, classes: int, transform: Transform, sigmoid: float) -> None:
    """LightGBM's objective line says how sums become outputs."""
    model = parse_forest(text(objective=objective, classes=classes))
    assert (model.transform, model.sigmoid, model.class_count) == (transform, sigmoid, classes)


def test_averages_are_flagged() -> None:
    """Random forests carry one line without a value."""
    assert parse_forest(text().replace("label_index=0", "label_index=0\naverage_output")).averages


REFUSALS = [
    (text(old="is_linear=0", new="is_linear=1"), "tree 0 has linear models in its leaves"),
    (text(objective="cross_entropy_lambda"), "objective 'cross_entropy_lambda' is not supported"),
    (text(objective="multiclass num_class:1"), "objective 'multiclass' does not go with 1 classes"),
    (text(objective="binary sigmoid:1", classes=2), "objective 'binary' does not go with 2 classes"),
    (text(objective="multiclass num_class:3", classes=2), "objective has '3' classes, the trees have 2"),
    (text(objective="binary sigmoid:-1"), "objective has sigmoid -1.0, must be above 0"),
    (text(old="leaf_value=1 -2", new="leaf_value=1"), "tree 0: leaf_value has 1 values, must have 2"),
    (text(old="leaf_value=1 -2", new="leaf_value=1 inf"), "tree 0: leaf_value[1]: 'inf' is no finite number"),
    (text(old="leaf_value=1 -2", new="leaf_value=1 1e999"), "tree 0: leaf_value holds a number beyond float64"),
    (text(old="threshold=0.5", new="threshold=nan"), "tree 0: threshold[0]: 'nan' is no number"),
    (text(old="split_feature=1", new="split_feature=2"), "tree 0: split_feature[0]: value is 2, must be from 0 to 1"),
    (text(old="decision_type=10", new="decision_type=12"), "tree 0: decision_type[0]: value is 12"),
    (text(old="decision_type=10", new="decision_type=1"), "tree 0: threshold 0.5 names none of 0 sets"),
    (text(old="left_child=-1", new="left_child=0"), "tree 0: node 0 has itself or an earlier node as its child"),
    (text(old="left_child=-1", new="left_child=-2"), "tree 0: its children do not form one tree of 2 leaves"),
    (text(old="num_leaves=2", new="num_leaves=0"), "tree 0: num_leaves[0]: value is 0, must be from 1"),
    (text(old="num_cat=0", new="num_cat=1"), "tree 0 has 1 categorical splits, but not their sets"),
    (text(old="num_cat=0", new="num_cat=1\ncat_boundaries=0 -1\ncat_threshold=1"), "cat_boundaries must ascend"),
    (text(old="num_cat=0", new="num_cat=1\ncat_boundaries=0 1\ncat_threshold=-1"), "cat_threshold[0]: value is -1"),
    (text(old="shrinkage=1", new="leaf_const=1"), "tree 0 has the unknown or repeated line 'leaf_const=1'"),
    (text(old="split_gain=1", new="num_cat=0"), "tree 0 has the unknown or repeated line 'num_cat=0'"),
    (text(old="split_feature=1\n", new=""), "tree 0 lacks split_feature"),
    (text().replace("Tree=0", "Tree=1"), "tree 0 begins with 'Tree=1', must begin with 'Tree=0'"),
    (text().replace("version=v4", "version=v9"), "version is 'v9', must be one of"),
    (text().replace("tree_sizes=2", "tree_sizes=3"), "tree_sizes add up to"),
    (text().replace("tree_sizes=2", "tree_sizes=-2"), "tree_sizes names 1 trees, must name 1 to"),
    (text().replace("max_feature_idx=1", "max_feature_idx=-1"), "max_feature_idx[0]: value is -1"),
    (text().replace("end of trees", ""), "it is no whole LightGBM text"),
    ("", "it is no whole LightGBM text"),
    ("tree\n\nend of trees\n", "the header lacks version"),
]


@pytest.mark.parametrize(("damaged", "reason"), REFUSALS, ids=[refusal[1][:40] for refusal in REFUSALS])
def test_damage_is_refused_with_its_reason(damaged: str, reason: str) -> None:
    """The refusal names the tree, the line and the value."""
    with pytest.raises(ForestRefusedError) as caught:
        parse_forest(damaged)
    assert reason in str(caught.value)


def test_the_kernels_in_use_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reference kernels give a reference forest and say why it is not native."""
    before = facade.implementation()
    try:
        facade.select("reference")
        assert "kernels are 'reference'" in native_forest_problem()
        built: Forest = build_forest(parse_forest(text()))
    finally:
        facade.select(before.name, level=before.level if before.name == "native" else None)
    assert built.path == "reference"
    rows = np.array([[9.0, 0.5], [9.0, 0.6], [9.0, np.nan]])
    assert predict(built, rows).tolist() == [1.0, -2.0, 1.0]


def test_an_older_wheel_without_forest_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel that lacks the class leads to the reference, with the import's own words."""
    if facade.implementation().name != "native":
        pytest.skip("the native wheel is not installed")
    monkeypatch.setattr(forest, "_NATIVE", (None, "walstreet_native has no forest: old"))
    assert native_forest_problem() == "walstreet_native has no forest: old"
    assert build_forest(parse_forest(text())).path == "reference"
    with pytest.raises(facade.KernelsUnavailableError, match="walstreet_native has no forest: old"):
        forest.build_native_forest(parse_forest(text()))
