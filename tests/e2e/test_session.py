"""Owns the proof that one command trades a session, and that the same seed gives the same session, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from walstreet.testing.stack import Ended, command, compare_books, same_hashes, session

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.spec("card.services", "001.entry")]

CORES = ("arbiter", "features", "reconciler")
EMPTY_HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""SHA-256 of nothing: a session without any such event."""

Check = Callable[[Ended], None]


def test_a_session_ends_well(reference: Ended, check_invariants: Check) -> None:
    """Exit code 0, every minute of every symbol, a decision in each cycle, no break, no dead letter, no restart."""
    check_invariants(reference)
    assert not any(reference.summary["restarts"].values())
    assert reference.summary["bars"]["mismatches"] == 0


def test_a_session_trades(reference: Ended) -> None:
    """Orders are sent and end in a final state, fills come with their fees, and the summary adds up."""
    summary = reference.summary
    assert summary["orders"]["sent"] > 0
    assert sum(summary["orders"]["states"].values()) == summary["orders"]["sent"]
    assert summary["fills"]["count"] >= summary["orders"]["states"]["filled"] > 0
    assert summary["fills"]["commission_usd"] > 0
    assert EMPTY_HASH not in summary["hashes"].values()


def test_the_books_agree_with_the_broker(reference: Ended, reference_state: Path) -> None:
    """Every order and every execution of the broker's own record stands on the TAPE exactly once."""
    assert compare_books(reference_state) == []


def test_the_report_is_written(reference: Ended, reference_state: Path) -> None:
    """The page is there, says that all is well, and needs nothing from elsewhere."""
    page = (reference_state / "report.html").read_text(encoding="utf-8")
    assert "All invariants hold" in page
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_the_tape_verifies(reference: Ended, reference_state: Path) -> None:
    """`walstreet tape verify` reads the stored session again and finds nothing wrong."""
    ended = command("tape", "verify", "--state", str(reference_state), "--json")
    report = json.loads(ended.out)
    assert ended.code == 0
    assert (report["clean"], report["faults_total"]) == (True, 0)
    assert report["messages"] == report["last_seq"] == reference.summary["tape"]["messages"]
    assert report["epochs"] == dict.fromkeys(report["epochs"], 1)


def test_replay_decides_the_same(reference: Ended, reference_state: Path) -> None:
    """The cores that are pure reproduce every one of their outputs from the TAPE, byte for byte."""
    wanted = [word for core in CORES for word in ("--core", core)]
    ended = command("replay", "--verify", "--state", str(reference_state), "--json", *wanted)
    reports = json.loads(ended.out)
    assert ended.code == 0
    assert set(reports) == set(CORES)
    for report in reports.values():
        assert report["identical"] == report["compared"] > 0
        assert report["differences"] == []


def test_one_seed_is_one_session(
    reference: Ended, standard: tuple[str, ...], tmp_path: Path, check_invariants: Check
) -> None:
    """The same seed again gives the same decisions, orders and fills."""
    again = session(tmp_path / "again", *standard, "--seed", "7")
    check_invariants(again)
    assert same_hashes(again, reference)
    assert again.summary["equity"] == reference.summary["equity"]


def test_another_seed_is_another_session(
    reference: Ended, standard: tuple[str, ...], tmp_path: Path, check_invariants: Check
) -> None:
    """The seed reaches the market: nothing of the session is the same, and everything still holds."""
    other = session(tmp_path / "other", *standard, "--seed", "11")
    check_invariants(other)
    for group, value in other.summary["hashes"].items():
        assert value != reference.summary["hashes"][group]
    assert compare_books(tmp_path / "other") == []


def test_a_free_running_session_ends_by_itself(tmp_path: Path) -> None:
    """At 120 times real time every minute is complete, agrees with the broker's own bars, and is decided."""
    ended = session(
        tmp_path / "free", "--minutes", "10", "--symbols", "SYN01,SYN02", "--speed", "120",
        "--set", "session.warmup_days=1",
    )  # fmt: skip
    summary = ended.summary
    assert ended.code == 0, ended.text[-3000:]
    assert summary["broken"] == []
    assert summary["bars"]["by_symbol"] == {"SYN01": 10, "SYN02": 10}
    assert summary["bars"]["mismatches"] == 0
    assert summary["decisions"] == 10
    assert summary["modes"][0]["mode"] == "live"
    assert compare_books(tmp_path / "free") == []
