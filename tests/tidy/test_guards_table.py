"""Every guard has its tests: where it blocks, must not, lacks its data, and meets an order that only reduces."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from walstreet.testing import guard_coverage
from walstreet.testing.guard_cases import case_names
from walstreet.testing.guard_coverage import KINDS, PAGE, page, problems, rows

ROOT = Path(__file__).parents[2]


def test_every_guard_has_its_tests() -> None:
    """No guard and no reason code of the code is without a marked test."""
    assert problems(ROOT) == []


def test_the_page_is_that_of_the_code() -> None:
    """docs/GUARDS.md is what `make schema` writes."""
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(ROOT)


def test_a_guard_without_tests_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout with one marked test lacks all the others; a wrong kind and a wrong name are told."""
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test_one.py").write_text(
        "import pytest\n"
        "CASES = [('spread', {'order': 1}), ('adv', {})]\n"
        "@pytest.mark.guard('blocks')\n"
        "@pytest.mark.parametrize(('name', 'changes'), CASES)\n"
        "def test_a(name, changes): ...\n"
        "@pytest.mark.guard('sometimes', 'halt')\n"
        "@pytest.mark.guard('passes', 'nonsense')\n"
        "def test_b(): ...\n"
    )
    monkeypatch.setattr(guard_coverage, "NOT_NEEDED", {("spread", "blocks"): "a wrong exemption"})
    found = problems(tmp_path)
    assert "guard adv has no test where it must not block" in found
    assert "guard adv has no test where it blocks" not in found
    assert "guard spread is said not to need, but has, test where it blocks" in found
    assert "test_one::test_b is marked with 'sometimes'; kinds are blocks, passes, missing, reduces" in found
    assert "test_one::test_b names 'nonsense', which is no guard" in found
    assert "guard halt: no marked test names luld_pause" in found
    assert sum(line.startswith("guard ") and " has no test " in line for line in found) == len(rows()) * len(KINDS) - 2


@pytest.mark.parametrize(
    ("cases", "names"),
    [
        ("[('a', 1), ('b', 2), ('a', 3)]", ("a", "b")),
        ("TABLE", ("x", "y")),
        ("[*TABLE, ('z', {})]", ("x", "y", "z")),
        ("[case for case in (*TABLE, ('z', {})) if 'order' not in case[1]]", ("y", "z")),
        ("[case for case in TABLE if odd(case)]", ()),
        ("made()", ()),
        ("[(name, 1) for name in ('p', 'q')]", ()),
    ],
)
def test_names_are_read_from_the_cases(cases: str, names: tuple[str, ...]) -> None:
    """What cannot be read from the source yields no name, so that nothing is claimed without a case."""
    tree = ast.parse(
        "TABLE = [('x', {'order': 1}), ('y', {'z': 2})]\n"
        f"@pytest.mark.parametrize(('name', 'changes'), {cases})\n"
        "def test_a(name, changes): ...\n"
    )
    node = tree.body[-1]
    assert isinstance(node, ast.FunctionDef)
    assert case_names(tree, node) == names
