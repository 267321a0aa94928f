"""Owns the check of a LightGBM text model before the native parser sees it.

The native parser trusts its input: array lengths or child indices that do not fit abort the process, which no
``except`` can catch. So every line is checked here against the format (v4, one output, numerical splits), and only
the part that was checked is handed on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

TREES_MAX = 5_000
LEAVES_MAX = 1_024
VERSION = "v4"
OBJECTIVES = ("regression", "binary sigmoid:1")
END = "end of trees"
TAIL = f"{END}\n\nfeature_importances:\n\nparameters:\n\nend of parameters\n\npandas_categorical:null\n"
"""What follows the trees is information only; it is replaced by an empty form of itself."""
_HEADER_KEYS = (
    "version",
    "num_class",
    "num_tree_per_iteration",
    "label_index",
    "max_feature_idx",
    "objective",
    "feature_names",
    "feature_infos",
    "tree_sizes",
)
_TREE_KEYS = (
    "num_leaves",
    "num_cat",
    "split_feature",
    "split_gain",
    "threshold",
    "decision_type",
    "left_child",
    "right_child",
    "leaf_value",
    "leaf_weight",
    "leaf_count",
    "internal_value",
    "internal_weight",
    "internal_count",
    "is_linear",
    "shrinkage",
)
_PER_LEAF = ("leaf_value", "leaf_weight", "leaf_count")
_INTEGERS = ("split_feature", "decision_type", "left_child", "right_child", "leaf_count", "internal_count")
_DECISIONS = (0, 2, 4, 6, 8, 10)
"""Numerical split, default left or right, missing handled as none, zero or NaN."""
_NUMBER = re.compile(r"-?[0-9]{1,25}(\.[0-9]{1,25})?(e[+-]?[0-9]{1,3})?")
_INTEGER = re.compile(r"-?[0-9]{1,10}")
_FEATURE_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
_FEATURE_INFO = re.compile(r"none|\[[-+.e0-9]{1,32}:[-+.e0-9]{1,32}\]")


def checked_text(content: bytes, *, features: int) -> str:
    """Return the model text that is safe to parse natively.

    Raises:
        ValueError: Naming the tree and the line that do not fit.
    """
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no LightGBM text ({error})") from error
    head, found, _ = text.partition(f"{END}\n")
    header_text, separator, body = head.partition("\n\n")
    if not found or not separator:
        raise ValueError(f"it is no whole LightGBM text: no {END!r}")
    header = _lines(header_text.split("\n"), ("tree",), _HEADER_KEYS, "the header")
    sizes = _header(header, features)
    if sum(sizes) != len(body) or min(sizes) < 1:
        raise ValueError(f"tree_sizes add up to {sum(sizes)}, the trees have {len(body)} characters")
    begin = 0
    for number, size in enumerate(sizes):
        _tree(body[begin : begin + size], number, features)
        begin += size
    return f"{header_text}\n\n{body}{TAIL}"


def _header(header: dict[str, str], features: int) -> list[int]:
    fixed = {
        "version": VERSION,
        "num_class": "1",
        "num_tree_per_iteration": "1",
        "label_index": "0",
        "max_feature_idx": str(features - 1),
    }
    for key, value in fixed.items():
        if header[key] != value:
            raise ValueError(f"{key} is {header[key][:40]!r}, expected {value!r}")
    if header["objective"] not in OBJECTIVES:
        raise ValueError(f"objective {header['objective'][:40]!r} is none of {OBJECTIVES}")
    for key, pattern in (("feature_names", _FEATURE_NAME), ("feature_infos", _FEATURE_INFO)):
        tokens = header[key].split(" ")
        if len(tokens) != features or not all(pattern.fullmatch(token) for token in tokens):
            raise ValueError(f"{key} does not describe {features} features")
    sizes = header["tree_sizes"].split(" ")
    if not 1 <= len(sizes) <= TREES_MAX or not all(_INTEGER.fullmatch(token) for token in sizes):
        raise ValueError(f"tree_sizes names {len(sizes)} trees or no numbers; 1 to {TREES_MAX} are read")
    return [int(token) for token in sizes]


def _tree(text: str, number: int, features: int) -> None:
    where = f"tree {number}"
    if not text.endswith("\n\n\n"):
        raise ValueError(f"{where} does not end where tree_sizes says")
    lines = _lines(text[:-3].split("\n"), (f"Tree={number}",), _TREE_KEYS, where)
    if lines["num_cat"] != "0" or lines["is_linear"] != "0":
        raise ValueError(f"{where} has categorical splits or linear leaves, which are not read")
    if not _INTEGER.fullmatch(lines["num_leaves"]) or not 2 <= int(lines["num_leaves"]) <= LEAVES_MAX:
        raise ValueError(f"{where}: num_leaves {lines['num_leaves'][:20]!r} is outside 2..{LEAVES_MAX}")
    leaves = int(lines["num_leaves"])
    _numbers(lines["shrinkage"], 1, f"{where}: shrinkage", integer=False)
    arrays = {
        key: _numbers(
            lines[key], leaves if key in _PER_LEAF else leaves - 1, f"{where}: {key}", integer=key in _INTEGERS
        )
        for key in _TREE_KEYS[2:14]
    }
    if not all(0 <= feature < features for feature in arrays["split_feature"]):
        raise ValueError(f"{where}: split_feature leaves 0..{features - 1}")
    if not all(decision in _DECISIONS for decision in arrays["decision_type"]):
        raise ValueError(f"{where}: decision_type is none of {_DECISIONS}")
    _structure(arrays["left_child"], arrays["right_child"], leaves, where)


def _structure(left: Sequence[float], right: Sequence[float], leaves: int, where: str) -> None:
    """Require that every node but the root, and every leaf, is the child of exactly one earlier node."""
    for node, children in enumerate(zip(left, right, strict=True)):
        if any(0 <= child <= node for child in children):
            raise ValueError(f"{where}: node {node} has itself or an earlier node as its child")
    expected = [float(child) for child in [*range(-leaves, 0), *range(1, leaves - 1)]]
    if sorted([*left, *right]) != expected:
        raise ValueError(f"{where}: its children do not form one tree of {leaves} leaves")


def _lines(lines: Sequence[str], first: tuple[str, ...], keys: tuple[str, ...], where: str) -> dict[str, str]:
    if tuple(lines[: len(first)]) != first:
        raise ValueError(f"{where} begins with {lines[0][:40]!r}, expected {first[0]!r}")
    pairs = [line.partition("=") for line in lines[len(first) :]]
    if tuple(key for key, _, _ in pairs) != keys or not all(sign for _, sign, _ in pairs):
        raise ValueError(f"{where} has other lines than {', '.join(keys)}")
    return {key: value for key, _, value in pairs}


def _numbers(text: str, count: int, where: str, *, integer: bool) -> list[float]:
    tokens = text.split(" ")
    pattern = _INTEGER if integer else _NUMBER
    if len(tokens) != count or not all(pattern.fullmatch(token) for token in tokens):
        raise ValueError(f"{where} is not a list of {count} {'integers' if integer else 'numbers'}")
    values = [float(token) for token in tokens]
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"{where} holds numbers that are not finite")
    return values
