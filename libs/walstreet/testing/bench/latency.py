"""Owns the rows that need a whole session: latency from bar to order and memory, as `walstreet up` reports them."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from walstreet.testing.bench.row import BenchError, Row, Setup, budget_row

LOCKSTEP_MINUTES_QUICK: Final = 5
LOCKSTEP_MINUTES_FULL: Final = 60
FREE_MINUTES: Final = 60
"""At ``FREE_SPEED`` a minute of wall time; much less would be over before the warm-up is."""
FREE_SPEED: Final = 60
SESSION_TIMEOUT_S: Final = 240.0
OUTPUT_SHOWN_CHARACTERS: Final = 800

P50_BUDGETS_MS: Final = {"bar_to_decision": 10.0, "bar_to_intent": 10.0, "bar_to_order": 10.0}
P99_BUDGETS_MS: Final = {"bar_to_decision": 25.0, "bar_to_intent": 25.0, "bar_to_order": 25.0}
MEMORY_BUDGET_MIB: Final = 1_536.0


def latency_rows(setup: Setup) -> list[Row]:
    """Run a session in lockstep, and in full also one that runs freely as live ones do; take their own figures.

    Raises:
        BenchError: A session did not end well; the text carries the end of its output.
    """
    minutes = setup.pick(quick=LOCKSTEP_MINUTES_QUICK, full=LOCKSTEP_MINUTES_FULL)
    size = f"lockstep, {minutes} min"
    session = run_session(setup.up, speed="max", minutes=minutes)
    rows = session_rows(session, size)
    if not setup.quick:
        size = f"speed {FREE_SPEED}, {FREE_MINUTES} min"
        session = run_session(setup.up, speed=str(FREE_SPEED), minutes=FREE_MINUTES)
        rows += session_rows(session, size)
    memory_mib = float(session["memory_total_mib"])
    rows.append(
        budget_row(
            name="memory of all processes",
            size=size,
            unit="MiB",
            median=memory_mib,
            p99=memory_mib,
            budget=MEMORY_BUDGET_MIB,
        )
    )
    return rows


def run_session(up: tuple[str, ...], *, speed: str, minutes: int) -> dict[str, Any]:
    """Run one embedded session in a folder of its own and return its summary.

    Raises:
        BenchError: It ended badly, too late, or without a summary.
    """
    if not up:
        raise BenchError("latency needs the command line of `walstreet up`; run it through `walstreet bench`")
    with tempfile.TemporaryDirectory(prefix="walstreet-bench-") as folder:
        summary = Path(folder) / "summary.json"
        argv = [*up, "--speed", speed, "--minutes", str(minutes), "--no-view"]
        argv += ["--state", str(Path(folder) / "state"), "--json", str(summary)]
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, timeout=SESSION_TIMEOUT_S, check=False, errors="replace"
            )
        except subprocess.TimeoutExpired as error:
            raise BenchError(
                f"a session of {minutes} minutes at speed {speed} did not end in {SESSION_TIMEOUT_S:.0f} s"
            ) from error
        if done.returncode != 0 or not summary.is_file():
            end = (done.stdout + done.stderr)[-OUTPUT_SHOWN_CHARACTERS:].replace(folder, "(state)")
            raise BenchError(
                f"a session of {minutes} minutes at speed {speed} ended with code {done.returncode}; a latency "
                f"without a sound session says nothing. Its output ends: {end}"
            )
        found: dict[str, Any] = json.loads(summary.read_text(encoding="utf-8"))
        return found


def session_rows(summary: Mapping[str, Any], size: str) -> list[Row]:
    """Return the rows of one session's ``latency_ms``: the median and the tail against their budgets.

    Raises:
        BenchError: The session made no decision, so that there is nothing to measure.
    """
    hops: dict[str, dict[str, float]] = summary["latency_ms"]
    if not hops.get("bar_to_decision", {}).get("samples"):
        raise BenchError(f"the session ({size}) has no latency from bar to decision; it decided nothing")
    rows = []
    for hop, p50_budget_ms in P50_BUDGETS_MS.items():
        values = hops.get(hop, {})
        if not values.get("samples"):
            # A session without an order is possible; the decision's row is there in any case.
            continue
        name = hop.replace("_", " ")
        text = f"{size}, {int(values['samples'])} samples"
        p50, p99 = values["p50"], values["p99"]
        rows.append(budget_row(name=f"{name} p50", size=text, unit="ms", median=p50, p99=p99, budget=p50_budget_ms))
        rows.append(
            budget_row(name=f"{name} p99", size=text, unit="ms", median=p99, p99=p99, budget=P99_BUDGETS_MS[hop])
        )
    return rows
