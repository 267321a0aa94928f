"""Owns docs/DECISION_CORE.md: each component of the decision core with its modules, properties and worked numbers.

The page is made from ``core_components`` and the tests' own source, which is parsed, never imported. Made and checked
by ``python -m walstreet_services.cli.schema``; a component whose tests have vanished, and a promise on fewer than a
thousand cases, fail that check. What stands behind ``MEASURED`` is written by hand and kept.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from walstreet.testing.core_components import COMPONENTS, PROMISES, Component, Promise

PAGE = Path("docs/DECISION_CORE.md")
TESTS = Path("tests")
DOMAIN = Path("libs/walstreet/domain")
TABLE = Path("libs/walstreet/testing/core_components.py")
MEASURED = "<!-- measured -->"
"""Everything from here on is kept as it is."""
EXAMPLES_PROMISED = 1_000
EXAMPLES_DEFAULT = 100
"""Hypothesis's own, for a test that names no number."""
NUMBERLESS = re.compile(r"(?i)documents? 00\d|\(\d{4}\)")
"""Digits that are names: of the specification's documents, and years of papers."""
TRIVIAL = (0, 1)
"""A number that says nothing about arithmetic."""

INTRODUCTION = """# The decision core: components and what proves them

Written by `make schema` from `walstreet.testing.core_components` and the tests themselves; do not edit above the
measurements at the end. `python -m walstreet_services.cli.schema --check` fails when this page is stale, when a
component has no property or no number worked by hand any more, or when a promise is tried on fewer than 1,000 cases.

What each component does is told in [DECISION_CYCLE.md](DECISION_CYCLE.md), every formula in
[MATHEMATICS.md](MATHEMATICS.md). A *property* is a test that Hypothesis drives, with the number of generated cases. A
*worked case* is a unit test whose docstring states the numbers that its assertions compare.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One test function, as its source shows it."""

    file: str
    """Without its ending."""
    name: str
    examples: int
    """Generated cases; 0 for a test that Hypothesis does not drive."""
    worked: bool
    """Whether docstring and body both hold numbers."""


class Collection:
    """The tests of a checkout, by file."""

    def __init__(self, root: Path) -> None:
        """Find the files; each is read when it is asked for."""
        self._paths = {path.stem: path for path in sorted((root / TESTS).rglob("test_*.py"))}
        self._found: dict[str, tuple[Found, ...]] = {}

    def select(self, selection: str) -> tuple[Found, ...]:
        """Return the tests that a selection names; none where file or test is not there."""
        file, _, name = selection.partition("::")
        if file not in self._found:
            self._found[file] = tuple(found_in(self._paths[file])) if file in self._paths else ()
        return tuple(test for test in self._found[file] if name in {"", test.name})


def found_in(path: Path) -> Iterator[Found]:
    """Yield the test functions of one file in their order."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = {
        target.id: _settings_examples(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield Found(file=path.stem, name=node.name, examples=_examples(node, named), worked=_worked(node))


def _settings_examples(node: ast.AST) -> int | None:
    """Return ``max_examples`` of a call of ``settings``, None for anything else."""
    if not (isinstance(node, ast.Call) and _called(node) == "settings"):
        return None
    for keyword in node.keywords:
        if keyword.arg == "max_examples" and isinstance(keyword.value, ast.Constant):
            value = keyword.value.value
            assert isinstance(value, int), ast.unparse(node)
            return value
    return EXAMPLES_DEFAULT


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _examples(node: ast.FunctionDef | ast.AsyncFunctionDef, named: dict[str, int | None]) -> int:
    calls = [item for item in node.decorator_list if isinstance(item, ast.Call)]
    if not any(_called(item) == "given" for item in calls):
        return 0
    for item in node.decorator_list:
        known = named.get(item.id) if isinstance(item, ast.Name) else _settings_examples(item)
        if known is not None:
            return known
    return EXAMPLES_DEFAULT


def _worked(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    words = NUMBERLESS.sub("", ast.get_docstring(node) or "")
    told = any(letter.isdigit() for letter in words)
    asserts = any(isinstance(item, ast.Assert) for item in ast.walk(node))
    numbers = any(
        isinstance(item, ast.Constant) and isinstance(item.value, int | float) and item.value not in TRIVIAL
        for item in ast.walk(node)
    )
    return told and asserts and numbers


@cache
def _modules(root: Path) -> frozenset[str]:
    return frozenset(path.stem for path in (root / DOMAIN).glob("*.py"))


def _properties(found: Collection, selections: Sequence[str]) -> tuple[Found, ...]:
    tests = [test for selection in selections for test in found.select(selection) if test.examples]
    return tuple(dict.fromkeys(tests))


def _cases(found: Collection, selections: Sequence[str]) -> tuple[Found, ...]:
    tests = [test for selection in selections for test in found.select(selection) if test.worked and not test.examples]
    return tuple(dict.fromkeys(tests))


def problems(
    root: Path, components: Sequence[Component] = COMPONENTS, promises: Sequence[Promise] = PROMISES
) -> list[str]:
    """Return every module or test that is missing, and every promise on too few cases; empty when all is well."""
    found, modules, lines = Collection(root), _modules(root), []
    for component in components:
        lines += [f"{component.name}: there is no module {name}" for name in component.modules if name not in modules]
        lines += [
            f"{component.name}: {selection} names no test"
            for selection in (*component.properties, *component.cases)
            if not found.select(selection)
        ]
        if not _properties(found, component.properties):
            lines.append(f"{component.name}: it has no property test")
        if not _cases(found, component.cases):
            lines.append(f"{component.name}: it has no unit case with numbers worked by hand")
    for promise in promises:
        for selection in promise.properties:
            tests = found.select(selection)
            if not tests:
                lines.append(f"promise '{promise.name}': {selection} names no test")
            lines += [
                f"promise '{promise.name}': {test.name} tries {test.examples} cases, {EXAMPLES_PROMISED:,} are promised"
                for test in tests
                if test.examples < EXAMPLES_PROMISED
            ]
    return lines


def page(root: Path, components: Sequence[Component] = COMPONENTS, promises: Sequence[Promise] = PROMISES) -> str:
    """Return the page, ending with the measurements that it already holds."""
    found = Collection(root)
    properties = {item.name: _properties(found, item.properties) for item in components}
    cases = {item.name: _cases(found, item.cases) for item in components}
    every_property = {test for tests in properties.values() for test in tests}
    every_case = {test for tests in cases.values() for test in tests}
    generated = sum(test.examples for test in every_property)
    sums = (
        f"{len(components)} components, {len(every_property)} properties on {generated:,} generated cases, "
        f"{len(every_case)} worked cases."
    )
    lines = [
        INTRODUCTION,
        sums,
        "",
        "## What must hold on 1,000 cases",
        "",
        "| promise | properties |",
        "|---|---|",
    ]
    lines += [f"| {item.name} | {_names(_properties(found, item.properties))} |" for item in promises]
    lines += ["", "## Components", "", "| component | modules | properties | worked cases |", "|---|---|---|---|"]
    for item in components:
        modules = ", ".join(f"`{name}`" for name in item.modules)
        lines.append(f"| {item.name} | {modules} | {_names(properties[item.name])} | {_names(cases[item.name])} |")
    return "\n".join(lines) + "\n\n" + _measured(root)


def _names(tests: Sequence[Found]) -> str:
    """Return names grouped by file, with the number of cases where there is one."""
    groups: dict[tuple[str, int], list[str]] = {}
    for test in tests:
        groups.setdefault((test.file, test.examples), []).append(f"`{test.name}`")
    parts = [
        f"**{file}**{f' ({examples:,} each)' if examples else ''}: {', '.join(names)}"
        for (file, examples), names in groups.items()
    ]
    return "<br>".join(parts) or "none"


def _measured(root: Path) -> str:
    path = root / PAGE
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    _, mark, rest = text.partition(MEASURED)
    return mark + rest if mark else f"{MEASURED}\n"
