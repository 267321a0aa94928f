"""Tests of what a soak calls flat and clean."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from walstreet.testing.soak import Sample, SoakResult, SoakSession, draw, faults, growth
from walstreet_services.cli import soak
from walstreet_services.cli.chaos_report import soaked


def samples(sizes: Sequence[float], name: str = "arbiter") -> list[Sample]:
    """Return one sample a minute."""
    return [Sample(session_s=60.0 * index, mib={name: size}) for index, size in enumerate(sizes)]


def session(sizes: Sequence[float], **changes: Any) -> SoakSession:
    """Return a session of two minutes with a clean summary, but for ``changes``."""
    summary = {
        "broken": [],
        "reconciliation": {"breaks": {}},
        "dead_letters": 0,
        "tape": {"clean": True},
        "restarts": {"arbiter": 0},
        "bars": {"by_symbol": {"SYN01": 2}, "mismatches": 0},
    }
    return SoakSession(minutes=2, code=0, summary={**summary, **changes}, samples=samples(sizes))


def test_warming_up_is_no_growth_and_a_leak_is() -> None:
    """The first quarter counts for nothing; afterwards five per cent or eight MiB are allowed, the larger."""
    warming = growth(samples([10, 60, 90, 98, 100, 100, 100, 101, 101, 102, 102, 103]))["arbiter"]
    assert (warming.before_mib, warming.after_mib, warming.flat) == (100, 102, True)
    assert not growth(samples([100 + index for index in range(40)]))["arbiter"].flat
    assert growth(samples([1000 + index for index in range(40)]))["arbiter"].flat
    assert not growth(samples([1000 + 3 * index for index in range(40)]))["arbiter"].flat


def test_the_log_server_may_fill_its_limit_and_no_more() -> None:
    """Its garbage waits until the limit, however long that takes; beyond it growth is a leak as everywhere."""
    sizes = [40.0 + index for index in range(40)]
    for name, past, flat in (("nats-server", 0.0, True), ("nats-server", 6.0, False), ("arbiter", 0.0, False)):
        grown = growth([Sample(session_s=60.0 * at, mib={name: size + past}) for at, size in enumerate(sizes)])
        assert grown[name].flat is flat


def test_few_samples_say_nothing_and_are_told() -> None:
    """A session that was hardly watched is not called flat."""
    assert growth(samples([1.0] * 7)) == {}
    assert faults(session([1.0] * 7)) == ["too few samples of memory"]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"broken": ["orders without a final state"]}, "final state"),
        ({"reconciliation": {"breaks": {"quantity": 1}}}, "reconciliation"),
        ({"dead_letters": 2}, "2 dead letters"),
        ({"tape": {"clean": False}}, "chains"),
        ({"restarts": {"arbiter": 1}}, "restarts"),
        ({"bars": {"by_symbol": {"SYN01": 1}, "mismatches": 0}}, "bars by symbol"),
        ({"bars": {"by_symbol": {"SYN01": 2}, "mismatches": 3}}, "3 bars differ"),
    ],
)
def test_whatever_broke_is_told(changes: dict[str, Any], word: str) -> None:
    """Each promise has its own sentence, and a clean session none."""
    assert faults(session([50.0] * 12)) == []
    (found,) = faults(session([50.0] * 12, **changes))
    assert word in found


def test_a_session_without_a_summary_is_a_fault() -> None:
    """It ended before it could say anything."""
    assert faults(SoakSession(minutes=2, code=-9, summary={}, samples=[])) == ["exit code -9 and no summary"]


def test_a_leak_is_named_with_its_sizes() -> None:
    """Process, before and after."""
    (found,) = faults(session([100.0 + index for index in range(40)]))
    assert found == "arbiter grew from 114.5 to 134.5 MiB"


def test_the_memory_of_a_process_tree_is_read_by_name() -> None:
    """Children are found, named by their module or their program."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        try:
            sizes = soak.memory_mib(os.getpid())
            own = soak.memory_mib(child.pid)
        finally:
            child.kill()
    assert all(size > 0 for size in own.values())
    assert set(own) <= set(sizes)


def test_bad_options_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is started."""
    assert soak.main(["--hours", "0"]) == 2
    assert "--hours" in capsys.readouterr().err


def test_the_page_has_a_row_per_session_and_process() -> None:
    """What was sampled is what the page says."""
    more = {
        "orders": {"sent": 3},
        "fills": {"count": 4},
        "reconciliation": {"reports": {"clean": 5}, "breaks": {}},
    }
    result = SoakResult(hours=1, speed=10, seed=7, elapsed_s=1.0, machine="", sessions=[session([50.0] * 12, **more)])
    lines = soaked(result)
    assert "| 1 | 2 | 3 | 4 | 5 | 0 | 0 | 0 | flat and clean |" in lines
    assert "| arbiter | 1 | 50.0 | 50.0 |" in lines
    assert soaked(None) == ["Not run yet."]


def test_the_picture_has_a_line_per_process(tmp_path: Path) -> None:
    """It is drawn from what was sampled."""
    pytest.importorskip("matplotlib")
    result = SoakResult(hours=1, speed=10, seed=7, elapsed_s=1.0, machine="", sessions=[session([50.0] * 12)])
    draw(result, tmp_path / "soak.png")
    assert (tmp_path / "soak.png").stat().st_size > 10_000
