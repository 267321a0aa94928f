"""Owns the tests of the page that says which tests show which item of the specification."""

from __future__ import annotations

from pathlib import Path

import pytest

from walstreet.testing.spec_coverage import ITEMS, PAGE, marks_of, page


def test_the_page_is_up_to_date() -> None:
    """The committed page is what the marks say now."""
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m walstreet.testing.spec_coverage"


def test_marks_of_modules_and_tests_are_found(tmp_path: Path) -> None:
    """A module's mark names the module, a test's mark the test; marks of other kinds are none."""
    path = tmp_path / "test_x.py"
    path.write_text(
        'pytestmark = [pytest.mark.e2e, pytest.mark.spec("000.9")]\n'
        '@pytest.mark.spec("001.audit", "card.native")\ndef test_a(): ...\n'
        "@pytest.mark.data\ndef test_b(): ...\n",
        encoding="utf-8",
    )
    assert list(marks_of(path)) == [
        ("000.9", path.as_posix()),
        ("001.audit", f"{path.as_posix()}::test_a"),
        ("card.native", f"{path.as_posix()}::test_a"),
    ]


def test_an_unknown_item_is_refused(tmp_path: Path) -> None:
    """A mark with a spelling mistake does not silently show nothing."""
    path = tmp_path / "test_x.py"
    path.write_text('@pytest.mark.spec("000.99")\ndef test_a(): ...\n', encoding="utf-8")
    with pytest.raises(ValueError, match="is no item"):
        list(marks_of(path))


def test_items_without_a_test_say_so(tmp_path: Path) -> None:
    """An empty folder gives a page on which nothing is built."""
    text = page(tmp_path)
    assert text.count("not built yet") == len(ITEMS)
    assert f"0 of {len(ITEMS)} items" in text
