"""Owns the short proof about crashes at named moments: two dozen in one session, judged by the broker's record."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
import pytest

from walstreet.runtime.crash_points import POINTS, read_reached
from walstreet.testing.chaos.plan import SERVICES
from walstreet.testing.chaos.result import ChaosResult
from walstreet.testing.stack import module

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.spec("card.services", "001.recovery")]

CRASHES = 18


def test_two_dozen_crashes_cost_nothing(tmp_path: Path) -> None:
    """Every service is killed at several moments; no order twice, no fill lost, no orphan; every name is reached."""
    seed = os.environ.get("WALSTREET_CHAOS_SEED", "1")
    result_path = tmp_path / "chaos.json"
    ended = module(
        "walstreet_services.cli.chaos",
        *("--kind", "short", "--count", str(CRASHES), "--seed", seed, "--workers", "1"),
        *("--json", str(result_path), "--keep", str(tmp_path / "states")),
        bound_s=540.0,
        python=sys.executable,
    )
    assert ended.code == 0, ended.text[-3000:]
    result = msgspec.json.decode(result_path.read_bytes(), type=ChaosResult)
    assert result.count >= CRASHES
    assert result.clean
    reached: set[str] = set()
    for plan in (tmp_path / "states").glob("*-plan"):
        for service in SERVICES:
            reached |= read_reached(plan, service)
    assert reached == set(POINTS), f"seed {seed}: never reached: {sorted(set(POINTS) - reached)}"
