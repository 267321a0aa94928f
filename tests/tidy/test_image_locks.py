"""Owns the rule that the image installs what was tested: its two locks are cuts of requirements.lock."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements-build.lock", "requirements-runtime.lock")
BUILD_TOOLS = {"cmake", "ninja", "nanobind", "scikit-build-core", "hatchling"}
DEVELOPERS_TOOLS = {"pytest", "mypy", "ruff", "hypothesis", "numba"}
PIN = re.compile(r"^([a-z0-9._-]+)==([^ ;\\]+)")


def pins(path: Path) -> dict[tuple[str, str], set[str]]:
    """Return the hashes of each (name, version) in a lock."""
    found: dict[tuple[str, str], set[str]] = {}
    current: set[str] = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        if (match := PIN.match(line)) is not None:
            current = found.setdefault((match[1], match[2]), set())
        current.update(re.findall(r"--hash=(sha256:[0-9a-f]{64})", line))
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_image_lock_is_a_cut_of_the_tested_lock(name: str) -> None:
    """Every pin and every hash of an image's lock stands in requirements.lock; run deploy/lock.sh after `make lock`."""
    whole, part = pins(ROOT / "requirements.lock"), pins(ROOT / "deploy" / name)
    assert part
    for pin, hashes in part.items():
        assert pin in whole, f"{pin} is not in requirements.lock; run deploy/lock.sh"
        assert hashes, f"{pin} has no hash"
        assert hashes <= whole[pin], f"{pin} has other hashes than in requirements.lock; run deploy/lock.sh"


def test_runtime_lock_has_the_dependencies_and_no_tools() -> None:
    """The image has each dependency of pyproject.toml, and neither build tools nor developers' tools."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {re.split(r"[<>=!~\[; ]", item)[0].lower() for item in project["dependencies"]}
    have = {name for name, _ in pins(ROOT / "deploy" / "requirements-runtime.lock")}
    assert wanted <= have, "run deploy/lock.sh"
    assert not have & (BUILD_TOOLS | DEVELOPERS_TOOLS)
