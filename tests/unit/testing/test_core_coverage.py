"""Owns the tests of the page that says what proves each component of the decision core."""

from __future__ import annotations

from pathlib import Path

import pytest

from walstreet.testing.core_components import COMPONENTS, PROMISES, Component, Promise
from walstreet.testing.core_coverage import MEASURED, PAGE, Found, found_in, page, problems

ROOT = Path(__file__).resolve().parents[3]
PROPERTIES = '''
EXAMPLES = settings(max_examples=1_000, deadline=None)
@EXAMPLES
@given(st.integers())
def test_many(number):
    """Holds for 3."""
    assert number
@settings(max_examples=30)
@given(st.integers())
def test_few(number):
    """Holds."""
@given(st.integers())
def test_default(number):
    """Holds."""
def test_plain():
    """No numbers are generated here."""
'''
CASES = '''
def test_by_hand():
    """Two and 2 make 4.5 here."""
    assert add(2, 2.5) == 4.5
def test_words():
    """Nothing is counted."""
    assert add(2, 2.5) == 4.5
def test_reference():
    """Document 003 says so (1994)."""
    assert add(2, 2.5) == 4.5
def test_refusal():
    """A value of 7 is refused."""
    with pytest.raises(ValueError, match="7"):
        add(7, 7)
'''


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout with one module, one file of properties and one of cases."""
    (tmp_path / "libs/walstreet/domain").mkdir(parents=True)
    (tmp_path / "libs/walstreet/domain/adder.py").write_text('"""Owns addition."""\n', encoding="utf-8")
    (tmp_path / "tests/unit").mkdir(parents=True)
    (tmp_path / "tests/test_adder_properties.py").write_text(PROPERTIES, encoding="utf-8")
    (tmp_path / "tests/unit/test_adder.py").write_text(CASES, encoding="utf-8")
    (tmp_path / "docs").mkdir()
    return tmp_path


def component(**changes: tuple[str, ...]) -> Component:
    """Return the adder, described well unless changed."""
    parts = {"modules": ("adder",), "properties": ("test_adder_properties",), "cases": ("test_adder",)} | changes
    return Component(name="Adder", **parts)


def test_every_component_of_this_checkout_is_proved() -> None:
    """No module or test of the table is missing, and every promise is tried on 1,000 cases."""
    assert problems(ROOT) == []


def test_the_page_is_up_to_date() -> None:
    """The committed page is what the tests say now."""
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(ROOT), "run `make schema`"


def test_examples_are_read_from_the_settings(checkout: Path) -> None:
    """By name 1,000, in place 30, without settings Hypothesis's own 100, and 0 for a test that generates nothing."""
    found = {test.name: test.examples for test in found_in(checkout / "tests/test_adder_properties.py")}
    assert found == {"test_many": 1_000, "test_few": 30, "test_default": 100, "test_plain": 0}


def test_a_worked_case_states_numbers_and_asserts_on_them(checkout: Path) -> None:
    """Digits that name a document or a year are no numbers, and a refusal compares nothing."""
    found = list(found_in(checkout / "tests/unit/test_adder.py"))
    assert [test.name for test in found if test.worked] == ["test_by_hand"]
    assert found[0] == Found(file="test_adder", name="test_by_hand", examples=0, worked=True)


def test_a_component_with_everything_has_no_problem(checkout: Path) -> None:
    """The adder is described and proved."""
    assert problems(checkout, [component()], []) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"modules": ("adder", "divider")}, "there is no module divider"),
        ({"properties": ("test_gone_properties",)}, "test_gone_properties names no test"),
        ({"properties": ("test_adder_properties::test_gone",)}, "it has no property test"),
        ({"properties": ("test_adder_properties::test_plain",)}, "it has no property test"),
        ({"cases": ("test_adder::test_words",)}, "no unit case with numbers worked by hand"),
        ({"cases": ("test_adder", "test_adder::test_gone")}, "test_adder::test_gone names no test"),
    ],
)
def test_what_has_vanished_is_named(checkout: Path, changes: dict[str, tuple[str, ...]], text: str) -> None:
    """A module, a file or one test that is gone fails the check."""
    assert any(text in line for line in problems(checkout, [component(**changes)], []))


def test_a_promise_needs_a_thousand_cases(checkout: Path) -> None:
    """30 and 100 cases are too few, 1,000 suffice, and a test that is gone shows nothing."""
    promise = Promise(name="sums", properties=("test_adder_properties::test_many",))
    assert problems(checkout, [], [promise]) == []
    few = Promise(name="sums", properties=("test_adder_properties::test_few", "test_adder_properties::test_gone"))
    lines = problems(checkout, [], [few])
    assert lines[0].endswith("test_few tries 30 cases, 1,000 are promised")
    assert "test_gone names no test" in lines[1]


def test_measurements_are_kept(checkout: Path) -> None:
    """What stands behind the mark is not generated; a first page ends with the mark."""
    first = page(checkout, [component()], [])
    assert first.endswith(f"{MEASURED}\n")
    assert "**test_adder**: `test_by_hand` |" in first
    (checkout / PAGE).write_text(f"old{MEASURED}\nmeasured once\n", encoding="utf-8")
    assert page(checkout, [component()], []) == first + "measured once\n"


def test_the_table_names_every_component_once() -> None:
    """25 components and nine promises, no two alike."""
    assert len({item.name for item in COMPONENTS}) == len(COMPONENTS) == 25
    assert len({item.name for item in PROMISES}) == len(PROMISES) == 9
