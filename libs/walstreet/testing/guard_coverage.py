"""Owns docs/GUARDS.md: every guard with its reasons and the tests that show where it blocks, passes, and lacks data.

Guards are taken from the code: every ``@guard`` of the domain, each reason of the standing checks, and the seal. Tests
say by the marker ``guard(kind, *names)`` what they show; without names the guards are the first values of the test's
cases. Tests are parsed, never imported. A guard that lacks one of the four kinds, and a reason code that no such test
names, fail ``python -m walstreet_services.cli.schema --check`` and tests/tidy.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import ModuleType

import walstreet.domain
from walstreet.domain import guard_verdict, guards, signing
from walstreet.domain.guard_verdict import CommonReason, Guard
from walstreet.domain.guards import Reason
from walstreet.domain.signing import SignatureReason
from walstreet.testing.guard_cases import case_names
from walstreet.testing.guard_table import NOT_NEEDED, STANDING

PAGE = Path("docs/GUARDS.md")
TESTS = Path("tests")
TABLE = Path("libs/walstreet/testing/guard_table.py")
MARKER = "guard"
KINDS = ("blocks", "passes", "missing", "reduces")
STANDING_PREFIX = "standing."
SEAL = "seal"

INTRODUCTION = """# The guards before an order leaves, and what proves each

Written by `make schema` from the code and the tests' markers (`walstreet.testing.guard_coverage`); do not edit.
`python -m walstreet_services.cli.schema --check` and `make test` fail when a guard has no test where it blocks, none
where it must not, none without its data, or none for an order that only reduces, and when no such test names a reason.
In which order they are asked is told in [EXECUTION.md](EXECUTION.md).

*Reducing*: what becomes of an order that can only bring the position towards zero although the guard found something.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One guard as the code shows it."""

    name: str
    module: str
    meaning: str
    reducing: str
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One marked test: which kind it shows for which guards."""

    file: str
    test: str
    kind: str
    names: tuple[str, ...]


def rows() -> tuple[Row, ...]:
    """Return every guard: the seal, the standing checks, then those of the modules, in the order of their source."""
    seal = Row(
        name=SEAL,
        module="signing",
        meaning="A block of intents is the arbiter's, of its present life, young, and new.",
        reducing="stops",
        codes=tuple(reason.value for reason in SignatureReason),
    )
    standing = [
        Row(
            name=f"{STANDING_PREFIX}{reason.value}",
            module="guards",
            meaning=STANDING[reason][0],
            reducing=STANDING[reason][1],
            codes=(reason.value,),
        )
        for reason in Reason
    ]
    return (seal, *standing, *_guards())


def _guard_modules() -> Iterator[ModuleType]:
    """Yield the modules of the domain that define a guard, by name."""
    for found in pkgutil.iter_modules(walstreet.domain.__path__):
        if "@guard(" in _source(found.name):
            yield importlib.import_module(f"walstreet.domain.{found.name}")


def _source(name: str) -> str:
    return (Path(walstreet.domain.__path__[0]) / f"{name}.py").read_text(encoding="utf-8")


def _guards() -> Iterator[Row]:
    for module in _guard_modules():
        name = module.__name__.rpartition(".")[2]
        known = _reasons_of(ast.parse(_source(name)))
        for item in vars(module).values():
            if isinstance(item, Guard) and item.find.__module__ == module.__name__:
                yield Row(
                    name=item.name,
                    module=name,
                    meaning=(item.find.__doc__ or "").strip().splitlines()[0],
                    reducing="passes" if item.bypass else "stops where known",
                    codes=_codes(module, known, item.find.__name__),
                )


def _reasons_of(tree: ast.Module) -> dict[str, tuple[list[str], list[str]]]:
    """Return for each function of a module the reasons that it names and the functions that it calls."""
    return {
        node.name: (
            [
                f"{part.value.id}.{part.attr}"
                for part in ast.walk(node)
                if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and "Reason" in part.value.id
            ],
            [part.id for part in ast.walk(node) if isinstance(part, ast.Name)],
        )
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }


def _codes(module: ModuleType, known: dict[str, tuple[list[str], list[str]]], function: str) -> tuple[str, ...]:
    """Return the codes that a guard's function may give, by itself or through functions of its module."""
    codes: dict[str, None] = {}
    waiting, met = [function], {function: None}
    while waiting:
        reasons, called = known[waiting.pop(0)]
        for reason in reasons:
            enum, _, member = reason.partition(".")
            codes[getattr(module, enum)[member].value] = None
        for name in called:
            # One guard may ask another whether its data are good; what that one says is not this one's answer.
            if name in known and name not in met and not isinstance(getattr(module, name), Guard):
                met[name] = None
                waiting.append(name)
    return tuple(codes)


# ------------------------------------------------------------------------------------------------------- the tests


def shown(root: Path) -> tuple[Shown, ...]:
    """Return what the marked tests of a checkout show, by file and line."""
    found: list[Shown] = []
    for path in sorted((root / TESTS).rglob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        if f"mark.{MARKER}(" not in source:
            continue
        tree = ast.parse(source)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found += _shown_by(path.stem, tree, node)
    return tuple(found)


def _shown_by(file: str, tree: ast.Module, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Shown]:
    for decorator in node.decorator_list:
        if not (isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == f"pytest.mark.{MARKER}"):
            continue
        words = [
            item.value for item in decorator.args if isinstance(item, ast.Constant) and isinstance(item.value, str)
        ]
        kind, names = words[0], tuple(words[1:])
        yield Shown(file=file, test=node.name, kind=kind, names=names or case_names(tree, node))


def named_codes(root: Path) -> frozenset[str]:
    """Return every text and every member of a reason that stands in a file with marked tests."""
    found: set[str] = set()
    for path in sorted((root / TESTS).rglob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        if f"mark.{MARKER}(" not in source:
            continue
        for part in ast.walk(ast.parse(source)):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                found.add(part.value)
            elif isinstance(part, ast.Attribute):
                found.add(part.attr)
    return frozenset(found)


def problems(root: Path) -> list[str]:
    """Return everything that the page promises and the tests do not show."""
    table, found, codes = rows(), shown(root), named_codes(root)
    names = [row.name for row in table]
    lines = [f"two guards are called {name}" for name in dict.fromkeys(names) if names.count(name) > 1]
    for item in found:
        if item.kind not in KINDS:
            lines.append(f"{item.file}::{item.test} is marked with {item.kind!r}; kinds are {', '.join(KINDS)}")
        lines += [
            f"{item.file}::{item.test} names {name!r}, which is no guard" for name in item.names if name not in names
        ]
    for row in table:
        for kind in KINDS:
            has = any(item.kind == kind and row.name in item.names for item in found)
            exempt = (row.name, kind) in NOT_NEEDED
            if has == exempt:
                what = "is said not to need, but has," if has else "has no"
                lines.append(f"guard {row.name} {what} test where it {_words(kind)}")
        lines += [f"guard {row.name}: no marked test names {code}" for code in row.codes if not _named(code, codes)]
    lines += [
        f"{TABLE} exempts {name} from {kind}, which is no guard" for name, kind in NOT_NEEDED if name not in names
    ]
    lines += [f"no marked test names {code.value}" for code in CommonReason if not _named(code.value, codes)]
    return lines


def _words(kind: str) -> str:
    return {
        "blocks": "blocks",
        "passes": "must not block",
        "missing": "lacks its data",
        "reduces": "meets an order that only reduces",
    }[kind]


def _named(code: str, named: frozenset[str]) -> bool:
    """Return whether a code stands in a test as its text, or as the member of the enumeration that has it."""
    return code in named or any(member in named for member in _members()[code])


@cache
def _members() -> dict[str, tuple[str, ...]]:
    """Return the names of the members of all reasons by code."""
    found: dict[str, tuple[str, ...]] = {}
    for module in [*_guard_modules(), guards, signing, guard_verdict]:
        for item in vars(module).values():
            if isinstance(item, type) and issubclass(item, StrEnum) and item.__name__.endswith("Reason"):
                for reason in item:
                    found[reason.value] = (*found.get(reason.value, ()), reason.name)
    return found


def page(root: Path) -> str:
    """Return the page."""
    found = shown(root)
    table = rows()
    codes = sum(len(row.codes) for row in table)
    lines = [INTRODUCTION, f"{len(table)} guards, {codes} reasons.", ""]
    lines += ["| guard | says no when | reasons | reducing |", "|---|---|---|---|"]
    lines += [
        f"| `{row.name}` (`{row.module}`) | {row.meaning} | {', '.join(f'`{code}`' for code in row.codes)} | "
        f"{row.reducing} |"
        for row in table
    ]
    lines += [
        "",
        "## Tests",
        "",
        "| guard | blocks | must not block | its data are missing | an order that only reduces |",
    ]
    lines += ["|---|---|---|---|---|"]
    for row in table:
        cells = [_cell(row.name, kind, found) for kind in KINDS]
        lines.append(f"| `{row.name}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(name: str, kind: str, found: tuple[Shown, ...]) -> str:
    tests = [f"`{item.file}::{item.test}`" for item in found if item.kind == kind and name in item.names]
    return "<br>".join(dict.fromkeys(tests)) or NOT_NEEDED.get((name, kind), "**none**")
