"""Owns the reading of a LightGBM text model (v3, v4) into a ``ForestModel``.

Nothing is trusted: every count, index and number is checked, and a line that is not known is refused, because nobody
can say what it would change.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from walstreet.kernels.forest_model import (
    CATEGORICAL_BIT,
    DECISION_MAX,
    ForestModel,
    ForestRefusedError,
    Transform,
    require_trees,
)

__all__ = ["parse_forest"]

TREES_MAX: Final = 100_000
LEAVES_MAX: Final = 1 << 16
FEATURES_MAX: Final = 1 << 20
CLASSES_MAX: Final = 4_096
SET_WORDS_MAX: Final = 1 << 20
VERSIONS: Final = ("v3", "v4")
END: Final = "end of trees\n"

_HEADER_NEEDED: Final = ("version", "num_class", "num_tree_per_iteration", "max_feature_idx", "tree_sizes")
_HEADER_KNOWN: Final = frozenset(
    {
        *_HEADER_NEEDED,
        "label_index",
        "objective",
        "average_output",
        "feature_names",
        "monotone_constraints",
        "feature_infos",
    }
)
_TREE_NEEDED: Final = (
    "num_leaves",
    "num_cat",
    "split_feature",
    "threshold",
    "decision_type",
    "left_child",
    "right_child",
    "leaf_value",
)
_TREE_KNOWN: Final = frozenset(
    {
        *_TREE_NEEDED,
        "cat_boundaries",
        "cat_threshold",
        "is_linear",
        "split_gain",
        "leaf_weight",
        "leaf_count",
        "internal_value",
        "internal_weight",
        "internal_count",
        "shrinkage",
    }
)
_INTEGER: Final = re.compile(r"-?[0-9]{1,10}")
_THRESHOLD: Final = re.compile(r"-?inf|-?[0-9]{1,25}(\.[0-9]{1,25})?(e[+-]?[0-9]{1,3})?")
_NUMBER: Final = re.compile(r"-?[0-9]{1,25}(\.[0-9]{1,25})?(e[+-]?[0-9]{1,3})?")

_PLAIN_OBJECTIVES: Final = frozenset(
    {
        "",
        "custom",
        "regression",
        "regression_l1",
        "huber",
        "fair",
        "quantile",
        "mape",
        "lambdarank",
        "rank_xendcg",
    }
)
_TRANSFORMS: Final[Mapping[str, Transform]] = {
    **dict.fromkeys(_PLAIN_OBJECTIVES, Transform.IDENTITY),
    "poisson": Transform.EXPONENTIAL,
    "gamma": Transform.EXPONENTIAL,
    "tweedie": Transform.EXPONENTIAL,
    "binary": Transform.SIGMOID,
    "cross_entropy": Transform.SIGMOID,
    "multiclassova": Transform.SIGMOID,
    "multiclass": Transform.SOFTMAX,
}
_MANY_CLASSES: Final = frozenset({"multiclass", "multiclassova"})


def parse_forest(text: str) -> ForestModel:
    """Return the trees of a model's text; what follows the trees is information only and not read.

    Raises:
        ForestRefusedError: The text is damaged, or the model has linear leaves or an unknown objective.
    """
    head, found, _ = text.partition(END)
    header_text, separator, body = head.partition("\n\n")
    if not found or not separator:
        raise ForestRefusedError("it is no whole LightGBM text: the header's or the trees' end is missing")
    header = _lines(header_text.split("\n"), "tree", _HEADER_NEEDED, _HEADER_KNOWN, "the header")
    if header["version"] not in VERSIONS:
        raise ForestRefusedError(f"version is {header['version'][:20]!r}, must be one of {VERSIONS}")
    feature_count = _integer(header, "max_feature_idx", 0, FEATURES_MAX - 1, "the header") + 1
    class_count = _integer(header, "num_tree_per_iteration", 1, CLASSES_MAX, "the header")
    transform, sigmoid = _objective(header, class_count)
    sizes = _integers(header["tree_sizes"], None, "the header: tree_sizes")
    if not 1 <= len(sizes) <= TREES_MAX or len(sizes) % class_count or min(sizes) < 1:
        raise ForestRefusedError(
            f"tree_sizes names {len(sizes)} trees, must name 1 to {TREES_MAX} of positive size, "
            f"a multiple of the {class_count} classes"
        )
    if sum(sizes) != len(body):
        raise ForestRefusedError(f"tree_sizes add up to {sum(sizes)}, the trees have {len(body)} characters")
    trees = _Trees(feature_count)
    begin = 0
    for number, size in enumerate(sizes):
        trees.add(body[begin : begin + size], number)
        begin += size
    return trees.model(class_count, transform, sigmoid, averages="average_output" in header)


class _Trees:
    """Collect the arrays of tree after tree."""

    def __init__(self, feature_count: int) -> None:
        self.feature_count = feature_count
        self.leaf_counts: list[int] = []
        self.features: list[int] = []
        self.thresholds: list[float] = []
        self.decisions: list[int] = []
        self.left: list[int] = []
        self.right: list[int] = []
        self.sets: list[int] = []
        self.set_bounds: list[int] = [0]
        self.set_words: list[int] = []
        self.leaf_values: list[float] = []

    def add(self, text: str, number: int) -> None:
        """Read one tree."""
        where = f"tree {number}"
        lines = _lines(text.rstrip("\n").split("\n"), f"Tree={number}", _TREE_NEEDED, _TREE_KNOWN, where)
        if lines.get("is_linear", "0") != "0":
            raise ForestRefusedError(
                f"{where} has linear models in its leaves, which are not supported; train without linear_tree"
            )
        leaf_count = _integer(lines, "num_leaves", 1, LEAVES_MAX, where)
        node_count = leaf_count - 1
        features = _integers(lines["split_feature"], node_count, f"{where}: split_feature")
        decisions = _integers(lines["decision_type"], node_count, f"{where}: decision_type")
        left = _integers(lines["left_child"], node_count, f"{where}: left_child")
        right = _integers(lines["right_child"], node_count, f"{where}: right_child")
        thresholds = _thresholds(lines["threshold"], node_count, f"{where}: threshold")
        _require_range(features, 0, self.feature_count - 1, f"{where}: split_feature")
        _require_range(decisions, 0, DECISION_MAX, f"{where}: decision_type")
        require_trees(left, right, leaf_count, where)
        set_begin = len(self.set_bounds) - 1
        set_count = self._add_sets(lines, where)
        for decision, threshold in zip(decisions, thresholds, strict=True):
            if not decision & CATEGORICAL_BIT:
                self.sets.append(-1)
            elif threshold.is_integer() and 0 <= threshold < set_count:
                self.sets.append(set_begin + int(threshold))
            else:
                raise ForestRefusedError(f"{where}: threshold {threshold!r} names none of {set_count} sets")
        self.leaf_counts.append(leaf_count)
        self.features += features
        self.decisions += decisions
        self.left += left
        self.right += right
        self.thresholds += thresholds
        self.leaf_values += _numbers(lines["leaf_value"], leaf_count, f"{where}: leaf_value")

    def _add_sets(self, lines: Mapping[str, str], where: str) -> int:
        set_count = _integer(lines, "num_cat", 0, LEAVES_MAX, where)
        if set_count == 0:
            return 0
        if "cat_boundaries" not in lines or "cat_threshold" not in lines:
            raise ForestRefusedError(f"{where} has {set_count} categorical splits, but not their sets")
        bounds = _integers(lines["cat_boundaries"], set_count + 1, f"{where}: cat_boundaries")
        if bounds[0] != 0 or sorted(bounds) != bounds or bounds[-1] > SET_WORDS_MAX:
            raise ForestRefusedError(f"{where}: cat_boundaries must ascend from 0 to at most {SET_WORDS_MAX}")
        words = _integers(lines["cat_threshold"], bounds[-1], f"{where}: cat_threshold")
        _require_range(words, 0, (1 << 32) - 1, f"{where}: cat_threshold")
        self.set_bounds += [len(self.set_words) + bound for bound in bounds[1:]]
        self.set_words += words
        return set_count

    def model(self, class_count: int, transform: Transform, sigmoid: float, *, averages: bool) -> ForestModel:
        """Return everything that was read."""
        return ForestModel(
            feature_count=self.feature_count,
            class_count=class_count,
            transform=transform,
            sigmoid=sigmoid,
            averages=averages,
            leaf_counts=np.array(self.leaf_counts, dtype=np.int64),
            features=np.array(self.features, dtype=np.int64),
            thresholds=np.array(self.thresholds, dtype=np.float64),
            decisions=np.array(self.decisions, dtype=np.int64),
            left=np.array(self.left, dtype=np.int64),
            right=np.array(self.right, dtype=np.int64),
            sets=np.array(self.sets, dtype=np.int64),
            set_bounds=np.array(self.set_bounds, dtype=np.int64),
            set_words=np.array(self.set_words, dtype=np.int64),
            leaf_values=np.array(self.leaf_values, dtype=np.float64),
        )


def _objective(header: Mapping[str, str], class_count: int) -> tuple[Transform, float]:
    """Return the transform and its slope from a line such as ``binary sigmoid:1``."""
    name, *parameters = header.get("objective", "").split(" ")
    if name not in _TRANSFORMS:
        raise ForestRefusedError(f"objective {name[:40]!r} is not supported, only {sorted(_TRANSFORMS)}")
    transform, sigmoid = _TRANSFORMS[name], 1.0
    for parameter in parameters:
        key, _, value = parameter.partition(":")
        if key == "sigmoid":
            sigmoid = _numbers(value, 1, "objective: sigmoid")[0]
        elif parameter == "sqrt" and transform is Transform.IDENTITY:
            transform = Transform.SIGNED_SQUARE
        elif key == "num_class" and value != str(class_count):
            raise ForestRefusedError(f"objective has {value[:20]!r} classes, the trees have {class_count}")
    if (class_count > 1) != (name in _MANY_CLASSES) and not (class_count > 1 and name in {"", "custom"}):
        raise ForestRefusedError(f"objective {name!r} does not go with {class_count} classes")
    if sigmoid <= 0.0:
        raise ForestRefusedError(f"objective has sigmoid {sigmoid!r}, must be above 0")
    return transform, sigmoid


def _lines(
    lines: Sequence[str], first: str, needed: Sequence[str], known: frozenset[str], where: str
) -> dict[str, str]:
    """Return the lines ``key=value`` after the first one; ``average_output`` stands without a value."""
    if lines[0] != first:
        raise ForestRefusedError(f"{where} begins with {lines[0][:40]!r}, must begin with {first!r}")
    found: dict[str, str] = {}
    for line in lines[1:]:
        key, _, value = line.partition("=")
        if key not in known or key in found:
            raise ForestRefusedError(f"{where} has the unknown or repeated line {line[:40]!r}")
        found[key] = value
    missing = [key for key in needed if key not in found]
    if missing:
        raise ForestRefusedError(f"{where} lacks {', '.join(missing)}")
    return found


def _tokens(text: str, count: int | None, pattern: re.Pattern[str], where: str, kind: str) -> list[str]:
    tokens = text.split(" ") if text else []
    if count is not None and len(tokens) != count:
        raise ForestRefusedError(f"{where} has {len(tokens)} values, must have {count}")
    for index, token in enumerate(tokens):
        if not pattern.fullmatch(token):
            raise ForestRefusedError(f"{where}[{index}]: {token[:40]!r} is no {kind}")
    return tokens


def _integers(text: str, count: int | None, where: str) -> list[int]:
    return [int(token) for token in _tokens(text, count, _INTEGER, where, "integer")]


def _numbers(text: str, count: int, where: str) -> list[float]:
    values = [float(token) for token in _tokens(text, count, _NUMBER, where, "finite number")]
    if not all(math.isfinite(value) for value in values):
        raise ForestRefusedError(f"{where} holds a number beyond float64")
    return values


def _thresholds(text: str, count: int, where: str) -> list[float]:
    """Return thresholds; an infinite one tells missing values from all others."""
    return [float(token) for token in _tokens(text, count, _THRESHOLD, where, "number")]


def _integer(lines: Mapping[str, str], key: str, lowest: int, highest: int, where: str) -> int:
    value = _integers(lines[key], 1, f"{where}: {key}")
    _require_range(value, lowest, highest, f"{where}: {key}")
    return value[0]


def _require_range(values: Sequence[int], lowest: int, highest: int, where: str) -> None:
    for index, value in enumerate(values):
        if not lowest <= value <= highest:
            raise ForestRefusedError(f"{where}[{index}]: value is {value}, must be from {lowest} to {highest}")
