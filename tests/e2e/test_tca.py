"""Owns the proof that costs are measured in a real session: marks, a report, a tuned parameter, and their replay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from walstreet.testing.stack import command, events, session
from walstreet_events import MarkoutBlock, OrderFilled, ParameterTuned, TcaReport

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.spec("001.tca")]
TRADING = (
    "--minutes", "40", "--symbols", "SYN01,SYN02,SYN03,SYN04,SYN05,SYN06", "--planted", "0.22",
    "--set", "arbiter.gates.conformal=false", "--set", "session.warmup_days=1",
    "--set", "reconciler.tca.autotune=apply", "--set", "reconciler.tca.days_min=1",
    "--set", "reconciler.tca.samples_min=5",
)  # fmt: skip


def test_costs_of_a_session_are_measured_tuned_and_replayed(tmp_path: Path) -> None:
    """Every fill has its marks; the parts add up; the table is the journaled report; tuning replays byte by byte."""
    state = tmp_path / "session"
    ended = session(state, *TRADING, "--seed", "7")
    assert ended.code == 0, ended.text[-3000:]
    told = events(state)
    marked = {
        (mark.reference, mark.offset_s): mark
        for event in told
        if isinstance(event, MarkoutBlock)
        for mark in event.marks
    }
    fills = [event for event in told if isinstance(event, OrderFilled)]
    assert fills
    for fill in fills:
        for offset in (0, 1, 5, 30):
            mark = marked[fill.exec_id, offset]
            assert 0 < mark.bid_nano <= mark.ask_nano
            assert mark.quote_ts_ns <= fill.ts_ns + offset * 1_000_000_000
    shown = command("tca", "--state", str(state), "--json", "--out", str(tmp_path / "out"))
    assert shown.code == 0, shown.text
    found = json.loads(shown.out)
    whole = found["groups"]["all"][0]
    parts = ("spread", "impact", "timing", "unattributed", "fees", "opportunity")
    assert sum(whole[f"{name}_nano"] for name in parts) == whole["total_nano"]
    assert whole["unattributed_nano"] == 0
    (report,) = (event for event in told if isinstance(event, TcaReport))
    assert report.rows[0].timing_nano == whole["timing_nano"]
    assert report.rows[0].fills == len(fills)
    assert all(Path(path).stat().st_size > 10_000 for path in found["pictures"])
    assert "Transaction costs" in (state / "report.html").read_text(encoding="utf-8")
    assert [event for event in told if isinstance(event, ParameterTuned)]
    listed = json.loads(command("param", "show", "--state", str(state), "--json").out)
    assert {change["operator"] for change in listed["changes"]} == {"autotune"}
    replayed = command("replay", "--verify", "--state", str(state), "--core", "reconciler", "--json")
    assert replayed.code == 0, replayed.text
    assert json.loads(replayed.out)["reconciler"]["differences"] == []
