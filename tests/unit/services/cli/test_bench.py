"""Owns the tests of `walstreet bench`: which names it takes, how it ends, what bench.json holds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from walstreet.testing.bench import catalog
from walstreet.testing.bench.row import BenchError, Row, Setup, budget_row, make_row
from walstreet_services.cli import bench

FIELDS = ["name", "size", "unit", "median", "p99", "peer", "peer_median", "ratio", "target"]
PNG_START = b"\x89PNG\r\n\x1a\n"


def row(ratio: float, target: float = 2.0) -> Row:
    """Return a row whose times have the given ratio."""
    return make_row(
        name="work",
        size="3 things",
        unit="us",
        samples=np.array([1.0, 1.0, 1.0]),
        peer="other",
        peer_samples=np.array([ratio, ratio, ratio]),
        target=target,
    )


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Row]]:
    """Replace the measurements by rows that the test chooses."""
    chosen: dict[str, list[Row]] = {"features": [row(4.0)], "log": [row(2.0)]}

    def broken(setup: Setup) -> list[Row]:
        raise BenchError("7 ticks were lost")

    makers = {
        "features": lambda _: list(chosen["features"]),
        "events": broken,
        "log": lambda _: list(chosen["log"]),
    }
    monkeypatch.setattr(catalog, "MAKERS", makers)
    monkeypatch.setattr(bench, "MAKERS", makers)
    return chosen


def test_a_planned_group_that_has_not_arrived_is_bad_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking for it ends with 2, says that it has not arrived, and lists what exists."""
    monkeypatch.setattr(catalog, "MAKERS", {"features": lambda _: []})
    assert bench.main(["forest"]) == 2
    text = capsys.readouterr().err
    assert "'forest' is planned, but has not arrived yet" in text
    assert text.rstrip().endswith("choose from: features")


def test_an_unknown_group_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    """A typo ends with 2 and is named, before anything is measured."""
    assert bench.main(["features", "flog"]) == 2
    assert "there is no benchmark 'flog'" in capsys.readouterr().err


def test_an_unknown_option_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    """The argument parser's own exit code is the same 2."""
    with pytest.raises(SystemExit) as ended:
        bench.main(["--fast"])
    assert ended.value.code == 2
    assert "--fast" in capsys.readouterr().err


def test_json_has_rows_machine_and_verdict(groups: dict[str, list[Row]], tmp_path: Path) -> None:
    """bench.json carries exactly the stated fields in each row, and the chart lies beside it."""
    target = tmp_path / "bench.json"
    assert bench.main(["features", "log", "--quick", "--json", str(target)]) == 0
    found = json.loads(target.read_text(encoding="utf-8"))
    assert [list(item) for item in found["rows"]] == [FIELDS, FIELDS]
    assert found["ok"] is True
    assert found["quick"] is True
    assert found["failing"] == []
    machine = found["machine"]
    assert machine["cores"] >= 1
    assert machine["noise_ratio"] >= 1.0
    assert {"name", "level"} <= set(machine["kernels"])
    assert machine["versions"]["numpy"]
    assert (tmp_path / "bench.png").read_bytes().startswith(PNG_START)


def test_json_on_standard_output_is_only_json(groups: dict[str, list[Row]], capsys: pytest.CaptureFixture[str]) -> None:
    """With ``-`` the table goes to standard error, so that a pipe gets clean JSON."""
    assert bench.main(["features", "--json", "-"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["rows"][0]["ratio"] == 4.0
    assert "Benchmark" in captured.err


def test_a_row_below_its_bound_ends_with_1(groups: dict[str, list[Row]], tmp_path: Path) -> None:
    """One failing row is named in the JSON and decides the exit code."""
    groups["features"] = [row(4.0), row(1.1)]
    target = tmp_path / "bench.json"
    assert bench.main(["features", "--json", str(target)]) == 1
    found = json.loads(target.read_text(encoding="utf-8"))
    assert found["ok"] is False
    assert found["failing"] == ["work (3 things) vs other"]


def test_a_failed_measurement_ends_with_1_and_keeps_the_other_rows(
    groups: dict[str, list[Row]], tmp_path: Path
) -> None:
    """A group that loses messages has no rows, says why, and does not stop the groups behind it."""
    target = tmp_path / "bench.json"
    assert bench.main(["--json", str(target)]) == 1
    found = json.loads(target.read_text(encoding="utf-8"))
    assert found["failures"] == {"events": "7 ticks were lost"}
    assert len(found["rows"]) == 2


def test_a_file_that_cannot_be_written_is_bad_input(
    groups: dict[str, list[Row]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing folder is named and ends with 2."""
    assert bench.main(["features", "--json", str(tmp_path / "missing" / "bench.json")]) == 2
    assert "missing" in capsys.readouterr().err


def test_budget_rows_are_drawn_too(groups: dict[str, list[Row]], tmp_path: Path) -> None:
    """A chart of a single budget row is drawn to the file that was named."""
    groups["features"] = [budget_row(name="hop", size="60 min", unit="ms", median=4.0, p99=9.0, budget=10.0)]
    picture = tmp_path / "other.png"
    assert bench.main(["features", "--plot", str(picture)]) == 0
    assert picture.read_bytes().startswith(PNG_START)
