"""Owns the tests of `walstreet exhibit`: output, files and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from walstreet.testing.exhibits.row import Exhibit, Row
from walstreet_services.cli import exhibit

GOOD = Row(exhibit="good", case="c", value=0.5, high=1.0)
BAD = Row(exhibit="bad", case="c", value=2.0, high=1.0)


def makers_of(*rows: Row) -> dict[str, exhibit.Maker]:
    """Return one measurement with the given rows."""
    return {"coverage": lambda _: Exhibit(name="coverage", title="t", rows=rows)}


@pytest.mark.parametrize(("rows", "code"), [((GOOD,), 0), ((GOOD, BAD), 1), ((), 1)], ids=["good", "bad", "nothing"])
def test_a_failing_row_decides_the_exit_code(
    rows: tuple[Row, ...],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """0 when every row passes; a row beyond its target, or no row at all, gives 1, in table, JSON and text."""
    monkeypatch.setattr(exhibit, "MAKERS", makers_of(*rows))
    assert exhibit.main(["decision", "--out", str(tmp_path)]) == code
    printed = capsys.readouterr().out
    assert ("FAILS" in printed) == (BAD in rows)
    assert "real minutes was not measured" in printed
    result = json.loads((tmp_path / "decision.json").read_text(encoding="utf-8"))
    assert result["ok"] == (code == 0)
    assert [row["passes"] for row in result["rows"]] == [row is GOOD for row in rows]
    assert (tmp_path / "decision.md").read_text(encoding="utf-8").count("| c |") == len(rows)


def test_json_stands_alone_on_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything for people goes to standard error."""
    monkeypatch.setattr(exhibit, "MAKERS", makers_of(GOOD))
    assert exhibit.main(["decision", "--out", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["exhibit"] == "good"


def test_a_measurement_that_fails_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named with its problem, the others are measured, and the exit code is 1."""

    def broken(data: Path | None) -> Exhibit:
        raise RuntimeError("the replay ended with 3")

    monkeypatch.setattr(exhibit, "MAKERS", {"hashes": broken} | makers_of(GOOD))
    assert exhibit.main(["decision", "--out", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "hashes failed: the replay ended with 3" in printed
    assert "good" in printed


def test_a_folder_without_minutes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the folder; nothing is measured."""
    assert exhibit.main(["decision", "--out", str(tmp_path / "out"), "--data", str(tmp_path)]) == 2
    assert "has no folder minute" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_one_real_measurement_end_to_end(tmp_path: Path) -> None:
    """Equal risk is quick: rows pass and the picture is there."""
    pytest.importorskip("matplotlib", reason="the pictures need the extra walstreet[bench]")
    assert exhibit.main(["decision", "--out", str(tmp_path), "--only", "equal_risk"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "decision.json", "decision.md", "equal_risk.png", "equal_risk.svg",
    }  # fmt: skip
