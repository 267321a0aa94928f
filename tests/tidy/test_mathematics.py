"""Owns the check that docs/MATHEMATICS.md names only functions and tests that exist."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "MATHEMATICS.md"
NAME = r"[A-Za-z_][A-Za-z_0-9]*"
CHAIN = re.compile(rf"`((?:{NAME}\.)+(?:{NAME}|{NAME}\*))`((?:, `{NAME}`)*)")
"""A dotted name, and the bare ones behind it that stand in the same module."""
TEST = re.compile(r"\btest_[a-z_0-9]+\b")
SETTINGS = ("cost.order_weight",)
"""Keys of the configuration, which the page writes like functions."""
NAMES_MIN = 80
TESTS_MIN = 60


def named(text: str) -> Iterator[str]:
    """Yield every dotted name of the page, with bare followers completed by the module before them."""
    for found in CHAIN.finditer(text):
        if found[1] in SETTINGS:
            continue
        yield found[1]
        module = found[1].rpartition(".")[0]
        yield from (f"{module}.{name}" for name in re.findall(NAME, found[2]))


def problem(name: str) -> str | None:
    """Return why a name is none of ours: modules are those of the domain unless a package is named."""
    parts = name.removeprefix("walstreet.").removeprefix("domain.").split(".")
    try:
        value: object = importlib.import_module(f"walstreet.domain.{parts[0]}")
    except ModuleNotFoundError:
        return f"{name}: there is no module walstreet.domain.{parts[0]}"
    for part in parts[1:]:
        if part.endswith("*"):
            return None if any(known.startswith(part[:-1]) for known in dir(value)) else f"{name}: nothing begins so"
        if not hasattr(value, part):
            return f"{name}: {part} is not there"
        value = getattr(value, part)
    return None


@cache
def known_tests() -> frozenset[str]:
    """Return the names of all test files and test functions."""
    names = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        names.add(path.stem)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return frozenset(names)


def test_every_function_of_the_page_exists() -> None:
    """Each dotted name in code type is a module, function, class or method; there are at least 80 of them."""
    names = sorted(set(named(PAGE.read_text(encoding="utf-8"))))
    assert [text for name in names if (text := problem(name))] == []
    assert len(names) >= NAMES_MIN


def test_every_test_of_the_page_exists() -> None:
    """A worked number names a test file or a test function; there are at least 60 of them."""
    found = set(TEST.findall(PAGE.read_text(encoding="utf-8")))
    assert sorted(found - known_tests()) == []
    assert len(found) >= TESTS_MIN


def test_every_section_names_its_code() -> None:
    """No section of the page is without a function of ours."""
    for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        assert list(named(section)), section.splitlines()[0]


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("`impact.square_root_bps`", 0),
        ("`impact.almgren_*`, and `calibrate.alpha_bps`", 0),
        ("`impact.almgrin_*`", 1),
        ("`impact.cube_root_bps`", 1),
        ("`impacts.square_root_bps`", 1),
        ("`risk_weights.equal_risk`, `risk_contributions`", 0),
        ("`risk_weights.equal_risk`, `risk_contribution`", 1),
    ],
)
def test_a_wrong_name_is_seen(text: str, bad: int) -> None:
    """Renamed modules and functions are found, also behind a comma."""
    assert sum(problem(name) is not None for name in named(text)) == bad
