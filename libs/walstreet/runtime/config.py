"""Owns configuration in layers: files merged deeply, the environment on top, one conversion into frozen structs.

``base.yaml`` <- profile <- ``config.local.yaml`` <- environment (``WALSTREET__RISK__GROSS_MAX=0.5``). A key that no
struct knows is refused with its path, so that a typing mistake cannot silently leave a default in force.

``config.local.yaml`` is read by two programs: by `walstreet up` on top of ``base.yaml`` and by `bot` on top of
``config.yaml``. Each passes over the keys that only the other one knows; what neither knows is refused by both.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from walstreet.runtime.errors import UsageError

ENVIRONMENT_PREFIX = "WALSTREET__"
LOCAL_FILE = "config.local.yaml"
REFERENCE = "docs/CONFIGURATION.md"
SWING_KEYS = (
    "backtest",
    "costs",
    "data",
    "execution.limit_offset_bps",
    "execution.live",
    "execution.max_orders_per_day",
    "execution.order_type",
    "features.atr_window",
    "features.ema_fast",
    "features.ema_slow",
    "features.macd",
    "ibkr",
    "permutation",
    "rebalance",
    "regime",
    "research",
    "selection",
    "universe",
    "walkforward",
    "weights",
)
"""What only the swing portfolio's configuration knows (``walstreet.research.swing_config``, a layer above this one)."""
T = TypeVar("T")
Tree = dict[str, Any]


def merge(base: Tree, over: Tree) -> Tree:
    """Return ``base`` with ``over`` on top; mappings merge, everything else replaces."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice: YAML would let the second silently replace the first section."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        seen: set[str] = set()
        for key, _ in node.value:
            text = str(key.value)
            if text in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {text!r} stands twice", key.start_mark)
            seen.add(text)
        return super().construct_mapping(node, deep=deep)


def read_layer(path: Path) -> Tree:
    """Return one YAML file as a tree.

    Raises:
        UsageError: The file is missing, is no YAML, or is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"configuration file {path} cannot be read ({reason}); check --config") from error
    try:
        tree = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader that also refuses repeated keys
    except yaml.YAMLError as error:
        raise UsageError(f"configuration file {path} is no YAML: {error}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UsageError(f"configuration file {path} holds a {type(tree).__name__}, it needs a mapping of sections")
    return tree


def without(tree: Tree, paths: Iterable[str]) -> Tree:
    """Return ``tree`` without the dotted ``paths``; those that it does not have are passed over."""
    kept = dict(tree)
    for path in paths:
        section, found, rest = path.partition(".")
        if not found:
            kept.pop(section, None)
        elif isinstance(below := kept.get(section), dict):
            kept[section] = without(below, [rest])
    return kept


def environment_layer(environment: Mapping[str, str]) -> Tree:
    """Return the tree that ``WALSTREET__A__B=value`` variables spell; values are read as YAML scalars."""
    tree: Tree = {}
    for name in sorted(environment):
        if not name.startswith(ENVIRONMENT_PREFIX):
            continue
        path = [part.lower() for part in name[len(ENVIRONMENT_PREFIX) :].split("__")]
        tree = merge(tree, nested(path, _scalar(environment[name], name)))
    return tree


def nested(path: Iterable[str], value: object) -> Tree:
    """Return ``{a: {b: value}}`` for path ``a, b``."""
    *parents, leaf = path
    tree: Tree = {leaf: value}
    for part in reversed(parents):
        tree = {part: tree}
    return tree


def setting(text: str) -> Tree:
    """Return the tree of one ``a.b=value`` argument.

    Raises:
        UsageError: There is no ``=``.
    """
    path, found, value = text.partition("=")
    if not found or not path:
        raise UsageError(f"--set takes section.key=value, got {text!r}")
    return nested(path.strip().split("."), _scalar(value, path))


def convert(tree: Tree, kind: type[T], source: str, *, reference: str = REFERENCE) -> T:
    """Return ``tree`` as a ``kind``.

    Args:
        tree: The merged layers.
        kind: A struct that forbids unknown fields.
        source: Where the layers come from, for messages.
        reference: Where the reader of a message finds all keys.

    Raises:
        UsageError: Unknown key, wrong type or a value out of range; the text carries the path.
    """
    try:
        return msgspec.convert(tree, kind, strict=True)
    except msgspec.ValidationError as error:
        raise UsageError(f"configuration ({source}): {_readable(str(error), kind, reference)}") from error


def config_hash(config: object) -> str:
    """Return the SHA-256 (hex) over a configuration struct in a fixed order of keys."""
    return hashlib.sha256(msgspec.json.encode(config, order="deterministic")).hexdigest()


def _scalar(text: str, place: str) -> object:
    try:
        return yaml.safe_load(text) if text else ""
    except yaml.YAMLError as error:
        raise UsageError(f"{place}={text!r} cannot be read as a value: {error}") from error


def _readable(message: str, kind: type, reference: str) -> str:
    """Return msgspec's message with the path first: ``broker.prot: unknown key`` instead of ``... at `$.broker```."""
    text, found, path = message.partition(" - at `$")
    place = path.strip("`").lstrip(".")
    marker = "Object contains unknown field `"
    if text.startswith(marker):
        key = text[len(marker) :].strip("`")
        full = f"{place}.{key}" if place else key
        near = difflib.get_close_matches(full, known_keys(kind), n=1)
        remedy = f"did you mean {near[0]!r}? All keys" if near else "all keys"
        return f"unknown key {full!r}; {remedy} are in {reference}"
    return f"{place}: {text}" if found and place else text


def known_keys(kind: object, prefix: str = "") -> list[str]:
    """Return the dotted path of every section and every key that the struct ``kind`` accepts."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return []
    keys: list[str] = []
    for field in msgspec.structs.fields(kind):
        path = f"{prefix}{field.encode_name}"
        keys += [path, *known_keys(field.type, f"{path}.")]
    return keys
