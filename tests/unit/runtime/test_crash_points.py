"""Owns the tests of the named moments: off by default, each named once, and struck as the plan says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from walstreet.runtime import crash_points
from walstreet.runtime.crash_points import POINTS, VARIABLE, Crash, read_done, read_reached, write_plan

ROOT = Path(__file__).resolve().parents[3]
LIFE = """
import sys
from walstreet.runtime import crash_points
assert crash_points.arm("features")
for number in range(100):
    crash_points.passed("input_taken", "a.v1" if number % 2 else "b.v1")
    crash_points.passed("decided")
print("lived")
"""


def life(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a process that passes two moments a hundred times."""
    return subprocess.run(
        [sys.executable, "-c", LIFE],
        env={**os.environ, VARIABLE: str(folder), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_every_name_stands_at_one_place_in_the_code_and_no_other_does() -> None:
    """The table and the calls agree, so that no moment is promised that no process passes."""
    found: Counter[str] = Counter()
    for folder in ("libs/walstreet/runtime", "services/walstreet_services"):
        for path in (ROOT / folder).rglob("*.py"):
            found.update(re.findall(r'\bpassed\("(\w+)"', path.read_text(encoding="utf-8")))
    assert found == Counter(dict.fromkeys(POINTS, 1))


def test_without_the_variable_nothing_happens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not armed is the default; a folder without a plan for this service does not arm it either."""
    monkeypatch.delenv(VARIABLE, raising=False)
    assert not crash_points.arm("features")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert not crash_points.arm("features")
    crash_points.passed("input_taken", "a.v1")
    assert list(tmp_path.iterdir()) == []


def test_lives_die_where_the_plan_says_until_it_is_done(tmp_path: Path) -> None:
    """Each life ends by SIGKILL at one line's passage; what was done is on the disk, and the last life lives."""
    plan = [
        Crash(point="input_taken", passage=7),
        Crash(point="input_taken", passage=3, what="a.v1"),
        Crash(point="decided", passage=40),
    ]
    write_plan(tmp_path, "features", plan)
    codes = [life(tmp_path).returncode for _ in range(3)]
    assert codes == [-signal.SIGKILL] * 3
    last = life(tmp_path)
    assert (last.returncode, last.stdout) == (0, "lived\n"), last.stderr
    done = read_done(tmp_path, "features")
    assert sorted(item.line for item in done) == [0, 1, 2]
    # The first life dies at the sixth input, because the second line's third "a.v1" comes before the seventh input.
    assert (done[0].line, done[0].what) == (1, "a.v1")
    assert read_reached(tmp_path, "features") == {"input_taken", "decided"}


def test_a_late_crash_comes_by_the_kernels_timer(tmp_path: Path) -> None:
    """With a delay the process goes on for so long, and dies without a chance to tidy up."""
    write_plan(tmp_path, "features", [Crash(point="decided", passage=1, after_s=0.0005)])
    assert life(tmp_path).returncode in (-signal.SIGALRM, 0)
    assert len(read_done(tmp_path, "features")) == 1


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"point": "nowhere"}, "no crash point 'nowhere'"),
        ({"point": "decided", "passage": 0}, "impossible crash"),
        ({"point": "decided", "after_s": 9.0}, "impossible crash"),
        ({"point": "decided", "signal": "SIGTERM"}, "impossible crash"),
    ],
)
def test_impossible_plans_are_refused(fields: dict[str, object], text: str) -> None:
    """A moment that does not exist, and what could never come about, are refused by name."""
    with pytest.raises(ValueError, match=text):
        Crash(**fields)  # type: ignore[arg-type]
