"""Owns the trees of a forest as plain arrays, the way LightGBM decides in them and adds them up."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from walstreet.kernels.interface import FloatArray, IntArray

__all__ = [
    "CATEGORICAL_BIT",
    "CATEGORY_END",
    "DEFAULT_LEFT_BIT",
    "MISSING_SHIFT",
    "SET_WORD_BITS",
    "ZERO_ABS_MAX",
    "ForestModel",
    "ForestRefusedError",
    "Missing",
    "Transform",
    "require_trees",
]

CATEGORICAL_BIT: Final = 1
DEFAULT_LEFT_BIT: Final = 2
MISSING_SHIFT: Final = 2
DECISION_MAX: Final = 11
SET_WORD_BITS: Final = 32
CATEGORY_END: Final = 2.0**31
"""LightGBM cuts a value to a 32-bit category; from here on, and below 0, it is in no set."""
ZERO_ABS_MAX: Final = float(np.float32(1e-35))
"""LightGBM's kZeroThreshold: a value this close to 0 is 0."""


class Missing(IntEnum):
    """Name what a node takes for missing; it then goes its default way. Elsewhere NaN counts as 0."""

    NONE = 0
    ZERO = 1
    NAN = 2


class Transform(IntEnum):
    """Name how sums become outputs: LightGBM's ``ConvertOutput``."""

    IDENTITY = 0
    SIGNED_SQUARE = 1
    EXPONENTIAL = 2
    SIGMOID = 3
    SOFTMAX = 4


class ForestRefusedError(ValueError):
    """The model's file is damaged, or asks for what forests here cannot do."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ForestModel:
    """Hold all trees one after the other; a tree of n leaves has n - 1 nodes.

    Attributes:
        feature_count: columns of a row.
        class_count: outputs per row; tree t adds to class ``t % class_count``.
        transform: how sums become outputs.
        sigmoid: LightGBM's ``sigmoid``, the slope of ``Transform.SIGMOID``.
        averages: the sums are divided by the number of trees per class (random forests).
        leaf_counts: ``(trees,)``.
        features: ``(nodes,)`` column that the node looks at.
        thresholds: ``(nodes,)`` values up to here go left.
        decisions: ``(nodes,)`` LightGBM's ``decision_type``: bit 0 categorical, bit 1 missing goes left,
            from bit 2 on a ``Missing``.
        left: ``(nodes,)`` child within the tree: a node from 0 on, or a leaf: -1 is leaf 0, -2 leaf 1.
        right: ``(nodes,)`` likewise.
        sets: ``(nodes,)`` of categorical nodes the set whose members go left, else -1.
        set_bounds: ``(sets + 1,)`` where each set begins in ``set_words``.
        set_words: 32 categories each, lowest bit first.
        leaf_values: ``(leaves,)``.
    """

    feature_count: int
    class_count: int
    transform: Transform
    sigmoid: float
    averages: bool
    leaf_counts: IntArray
    features: IntArray
    thresholds: FloatArray
    decisions: IntArray
    left: IntArray
    right: IntArray
    sets: IntArray
    set_bounds: IntArray
    set_words: IntArray
    leaf_values: FloatArray

    @property
    def tree_count(self) -> int:
        """Return the number of trees over all classes."""
        return len(self.leaf_counts)


def require_trees(left: Sequence[int], right: Sequence[int], leaf_count: int, where: str) -> None:
    """Refuse children that do not form one tree: every node but the first, and every leaf, has one earlier parent.

    Raises:
        ForestRefusedError: naming the node.
    """
    for node, children in enumerate(zip(left, right, strict=True)):
        if any(0 <= child <= node for child in children):
            raise ForestRefusedError(f"{where}: node {node} has itself or an earlier node as its child")
    expected = [*range(-leaf_count, 0), *range(1, leaf_count - 1)]
    if sorted([*left, *right]) != (expected if leaf_count > 1 else []):
        raise ForestRefusedError(f"{where}: its children do not form one tree of {leaf_count} leaves")
