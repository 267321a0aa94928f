"""Owns the tests of layered configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from walstreet.runtime.config import (
    config_hash,
    convert,
    environment_layer,
    merge,
    nested,
    read_layer,
    setting,
)
from walstreet.runtime.errors import UsageError

pytestmark = pytest.mark.spec("001.config")


class Risk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The innermost section."""

    gross_max: float = 1.0
    names_max: int = 10

    def __post_init__(self) -> None:
        """Check the range."""
        if not 0 < self.gross_max <= 2:
            raise ValueError(f"gross_max is {self.gross_max}, it takes 0 < gross_max <= 2")


class Inner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section with a section."""

    risk: Risk = Risk()


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration."""

    symbols: tuple[str, ...] = ()
    arbiter: Inner = Inner()


def fails(tree: dict[str, Any]) -> str:
    """Return the text with which converting ``tree`` fails."""
    with pytest.raises(UsageError) as caught:
        convert(tree, Config, "base.yaml")
    return str(caught.value)


def test_mappings_merge_and_the_rest_replaces() -> None:
    """Deep keys survive an overlay, lists and scalars are replaced whole, inputs stay as they were."""
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    over = {"a": {"c": [3]}, "d": {"e": 2}}
    assert merge(base, over) == {"a": {"b": 1, "c": [3]}, "d": {"e": 2}}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 1}


trees = st.recursive(
    st.integers(), lambda below: st.dictionaries(st.sampled_from("abc"), below, max_size=3), max_leaves=8
).filter(lambda tree: isinstance(tree, dict))


@given(trees, trees)
def test_merging_is_idempotent_and_empty_changes_nothing(base: dict[str, Any], over: dict[str, Any]) -> None:
    """A layer applied twice is the layer applied once, and an empty one is no layer."""
    once = merge(base, over)
    assert merge(once, over) == once
    assert merge(base, {}) == base
    assert merge({}, over) == over


def test_the_environment_overrides_nested_keys() -> None:
    """Variables with the prefix become a tree of typed values; others are ignored."""
    tree = environment_layer(
        {
            "WALSTREET__ARBITER__RISK__GROSS_MAX": "0.5",
            "WALSTREET__SYMBOLS": "[A, B]",
            "WALSTREET_DATA": "x",
            "HOME": "y",
        }
    )
    config = convert(merge({"arbiter": {"risk": {"names_max": 3}}}, tree), Config, "environment")
    assert config == Config(symbols=("A", "B"), arbiter=Inner(risk=Risk(gross_max=0.5, names_max=3)))


def test_an_unreadable_variable_names_itself() -> None:
    """A value that is no YAML is refused with the variable's name."""
    with pytest.raises(UsageError, match="WALSTREET__SYMBOLS="):
        environment_layer({"WALSTREET__SYMBOLS": "[A"})


def test_an_unknown_key_is_named_with_its_path() -> None:
    """A spelling mistake at any depth is refused under its full path."""
    assert "unknown key 'arbiter.risk.gros_max'" in fails({"arbiter": {"risk": {"gros_max": 1}}})
    assert "unknown key 'arbitr'" in fails({"arbitr": {}})


def test_a_spelling_mistake_gets_the_nearest_key() -> None:
    """The nearest key is offered; where none is near, only the list of all is named."""
    assert "did you mean 'arbiter.risk.gross_max'?" in fails({"arbiter": {"risk": {"gros_max": 1}}})
    assert "did you mean" not in fails({"zzzzzzzz": 1})


def test_a_wrong_type_is_named_with_its_path() -> None:
    """A text where a number belongs is refused with path, wanted and found type."""
    text = fails({"arbiter": {"risk": {"names_max": "ten"}}})
    assert "arbiter.risk.names_max: Expected `int`, got `str`" in text
    assert "symbols[1]: Expected `str`, got `bool`" in fails({"symbols": ["A", True]})
    assert "arbiter.risk: Expected `object`, got `null`" in fails({"arbiter": {"risk": None}})


def test_a_value_out_of_range_is_named_with_its_path() -> None:
    """The struct's own check appears behind the path."""
    assert "arbiter.risk: gross_max is 3.0, it takes 0 < gross_max <= 2" in fails(
        {"arbiter": {"risk": {"gross_max": 3}}}
    )


def test_the_source_is_named() -> None:
    """The operator sees which file is meant."""
    assert fails({"x": 1}).startswith("configuration (base.yaml): ")


def test_an_empty_file_is_an_empty_layer(tmp_path: Path) -> None:
    """A file of comments only changes nothing."""
    path = tmp_path / "config.local.yaml"
    path.write_text("# nothing\n")
    assert read_layer(path) == {}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"- a\n- b\n", "holds a list, it needs a mapping"),
        (b"just text", "holds a str"),
        (b"a: [1", "is no YAML"),
        (b"\xff\xfe\x00a", "not UTF-8"),
        (b"risk: {a: 1}\nother: 1\nrisk: {b: 2}\n", "key 'risk' stands twice"),
        (b"a:\n  x: 1\n  x: 2\n", "key 'x' stands twice"),
    ],
)
def test_files_that_cannot_be_used_say_why(tmp_path: Path, content: bytes, says: str) -> None:
    """Lists, text, broken YAML, other encodings and repeated keys are refused with the file's name."""
    path = tmp_path / "base.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_layer(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_points_to_the_option(tmp_path: Path) -> None:
    """The remedy stands in the message."""
    with pytest.raises(UsageError, match=r"No such file.*check --config"):
        read_layer(tmp_path / "none.yaml")


def test_a_setting_argument_is_a_tree() -> None:
    """``--set a.b=1`` is read like the environment; without an equals sign it is refused."""
    assert setting("a.b=1.5") == {"a": {"b": 1.5}}
    assert setting("a=") == {"a": ""}
    with pytest.raises(UsageError, match="--set takes"):
        setting("a.b")


def test_nested_builds_a_path() -> None:
    """Each part of the path becomes a level."""
    assert nested(["a", "b", "c"], 1) == {"a": {"b": {"c": 1}}}


def test_the_hash_depends_on_values_only() -> None:
    """Equal configurations hash equally however they came about, different ones do not."""
    first = convert({"arbiter": {"risk": {"gross_max": 0.5}}, "symbols": ["A"]}, Config, "x")
    second = convert({"symbols": ["A"], "arbiter": {"risk": {"gross_max": 0.5, "names_max": 10}}}, Config, "y")
    assert config_hash(first) == config_hash(second)
    assert config_hash(first) != config_hash(Config())
