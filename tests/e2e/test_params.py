"""Owns the proof that parameters change while a session trades: journaled, applied at a cycle, replayed, refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from walstreet.runtime.errors import EXIT_OK, EXIT_USAGE
from walstreet.testing.stack import Stack, command, events
from walstreet_events import Decision, ParameterChange

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.spec("001.config")]
LONG = ("--minutes", "150", "--symbols", "SYN01,SYN02", "--set", "session.warmup_days=1")


def test_a_change_is_applied_survives_a_crash_and_replays(tmp_path: Path) -> None:
    """The cycle named by the command is the first with the new limit; a kill -9 forgets nothing; replay agrees."""
    state = tmp_path / "session"
    with Stack(state, *LONG) as stack:
        stack.wait_progress(1)
        done = command("param", "set", "risk.gross_max=0.4", "limits.net_max=0.2", "--state", str(state), "--json")
        stack.kill("arbiter")
        refused = command("param", "set", "risk.gross_max=9", "--state", str(state))
        ended = stack.wait()
    assert done.code == EXIT_OK, done.text
    report = json.loads(done.out)
    assert [item["path"] for item in report["changes"]] == ["arbiter.limits.gross_max", "arbiter.limits.net_max"]
    assert refused.code == EXIT_USAGE
    assert "allowed is 0.0 to 4.0" in refused.text
    assert ended.code == 0, ended.text[-3000:]
    told = events(state)
    assert [event.value for event in told if isinstance(event, ParameterChange)] == ["0.4", "0.2"]
    decisions = [event for event in told if isinstance(event, Decision)]
    position = next(index for index, event in enumerate(decisions) if event.id == report["applied"]["decision"])
    hashes = [event.config_hash for event in decisions]
    assert 0 < position < len(decisions)
    assert len(set(hashes[:position])) == len(set(hashes[position:])) == 1
    assert hashes[0] != hashes[position]
    verified = command("replay", "--verify", "--state", str(state), "--core", "arbiter", "--core", "reconciler")
    assert verified.code == EXIT_OK, verified.text


def test_an_ended_session_is_not_written_to(reference_state: Path) -> None:
    """The record of a session that has ended can be read, and is never changed."""
    refused = command("param", "set", "risk.gross_max=0.4", "--state", str(reference_state))
    assert refused.code == EXIT_USAGE
    assert "no session runs on" in refused.text
    shown = command("param", "show", "risk.gross_max", "--state", str(reference_state), "--json")
    assert json.loads(shown.out) == {"changes": [], "in_force": {"arbiter.limits.gross_max": 0.5}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("log.url=x", "cannot change while a session runs"),
        ("risk.gros_max=1", "there is no parameter"),
        ("gross_max", "PATH=VALUE"),
        ("period_s=[", "cannot be read as a value"),
    ],
)
def test_what_is_no_parameter_is_refused(reference_state: Path, text: str, words: str) -> None:
    """Each mistake is named before anything is connected or written."""
    ended = command("param", "set", text, "--state", str(reference_state))
    assert ended.code == EXIT_USAGE
    assert words in ended.text
    assert "Traceback" not in ended.text


def test_one_decision_is_explained(reference_state: Path) -> None:
    """`walstreet why` prints every column of one symbol's record, and names the cycles that exist."""
    decision = next(event for event in events(reference_state) if isinstance(event, Decision))
    ended = command("why", "SYN01", "09:31", "--state", str(reference_state), "--json")
    record = json.loads(ended.out)
    assert record["decision"] == decision.id
    assert record["verdict"] == decision.verdicts[0].value
    assert [column["name"] for column in record["columns"]] == [column.name for column in decision.columns]
    for column, original in zip(record["columns"], decision.columns, strict=True):
        values = original.values.array()[..., 0]
        assert column["unit"] == original.unit
        assert str(column["value"]) == str(
            [value if value == value else None for value in values.tolist()]  # noqa: PLR0124 - NaN is not itself
            if values.ndim
            else (float(values) if values == values else None)  # noqa: PLR0124
        )
    table = command("why", "SYN01", "09:31", "--state", str(reference_state))
    assert record["meaning"] in table.text
    missing = command("why", "SYN01", "03:00", "--state", str(reference_state))
    assert missing.code == EXIT_USAGE
    assert "one a minute" in missing.text
