"""Owns the proof that a rotation day survives execution's death between the intent and the fill.

Execution is killed at named moments, not at a time of the clock, and restarted by its supervisor. The judge is the
broker's own record.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from walstreet.runtime.crash_points import VARIABLE, Crash, read_done, write_plan
from walstreet.testing.stack import command, compare_books, events, truth
from walstreet_events import (
    QUANTITY_SCALE,
    AnyEvent,
    IntentBlock,
    OrderRefused,
    OrderSubmitting,
    ReconReport,
    RotationDecision,
)

DAY_BOUND_S = 900.0
DAY = ("--day", "2023-11-20", "--set", "selection.hold_bonus=0", "--seed", "5", "--last-minutes", "18")
"""A day on which cash buys two names."""

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.long,
    pytest.mark.timeout(2 * DAY_BOUND_S),
    pytest.mark.spec("004.strategy", "001.recovery"),
]


@pytest.mark.parametrize(
    "crash",
    [
        pytest.param(Crash(point="place_begins"), id="durable-not-sent"),
        pytest.param(Crash(point="place_ended"), id="sent-not-answered"),
        pytest.param(Crash(point="input_taken", what="intent_block.v1"), id="intent-taken"),
        pytest.param(Crash(point="appended", what="margin_asked.v1"), id="block-cut-short"),
    ],
)
def test_every_order_reaches_the_broker_once(crash: Crash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed with -9 at the moment: no order twice, none lost, and the day ends with the shares that were wanted."""
    state, account = tmp_path / "state", tmp_path / "account.json"
    write_plan(tmp_path, "execution", [crash])
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    ended = command(
        *("trade", "--paper", "--sim", "--json", *DAY, "--state", str(state), "--account-file", str(account)),
        bound_s=DAY_BOUND_S,
    )
    assert ended.code == 0, ended.text[-3000:]
    (done,) = read_done(tmp_path, "execution")
    assert (done.crash, json.loads(ended.out)["session"]["restarts"]["execution"]) == (crash, 1)
    told = events(state)
    assert compare_books(state) == []
    check_orders(state, told)
    check_shares(told, json.loads(account.read_text(encoding="utf-8"))["positions"])
    assert not [event for event in told if isinstance(event, OrderRefused)]
    reports = [event for event in told if isinstance(event, ReconReport)]
    assert {report.status for report in reports} == {"clean"}


def check_orders(state: Path, told: list[AnyEvent]) -> None:
    """Hold every intent against the broker's record: one order each, once, filled whole."""
    (block,) = [event for event in told if isinstance(event, IntentBlock)]
    intent_of = {event.client_order_id: event.intent for event in told if isinstance(event, OrderSubmitting)}
    received: Counter[str] = Counter()
    executed: Counter[str] = Counter()
    for record in truth(state):
        if record["kind"] == "place_received" and not record["what_if"]:
            received[intent_of[record["order_ref"]]] += 1
        elif record["kind"] == "execution":
            executed[intent_of[record["order_ref"]]] += record["quantity_micro"]
    assert received == {intent.id: 1 for intent in block.intents}
    assert executed == {intent.id: intent.quantity_micro for intent in block.intents}
    assert len(block.intents) == 2


def check_shares(told: list[AnyEvent], positions: dict[str, Any]) -> None:
    """Hold the broker's positions against the weights: what the targets are worth, in whole shares."""
    (record,) = [event for event in told if isinstance(event, RotationDecision)]
    table = {column.name: column.values.array().tolist() for column in record.columns}
    wanted = {
        symbol: int(shares) * QUANTITY_SCALE
        for symbol, shares in zip(record.symbols, table["wanted_shares"], strict=True)
        if shares >= 1
    }
    assert wanted == {symbol: item["quantity_micro"] for symbol, item in positions.items()}
    assert sorted(wanted) == sorted(record.chosen)
