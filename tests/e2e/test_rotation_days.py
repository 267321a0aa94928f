"""Owns the proof that the rotation lives on an account over ten days: one log, one account, an early close, a dividend.

Each day is a process tree of its own that goes on from the state folder and the account file of the day before, as a
daily job would. The simulator plays the last minutes of each session in lockstep.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from walstreet.research.swing_engine import ReferenceEngine
from walstreet.research.swing_types import SwingParameters
from walstreet.runtime.settings import Settings, load_settings
from walstreet.testing.rotation_days import RotationDay, account_of_days, as_table
from walstreet.testing.rotation_world import research_bars
from walstreet.testing.stack import command, compare_books, events, truth
from walstreet_events import (
    PRICE_SCALE,
    QUANTITY_SCALE,
    AnyEvent,
    DailyBars,
    ReconReport,
    RotationDecision,
    SessionRef,
)

DAYS = (
    "2023-11-20",
    "2023-11-21",
    "2023-11-22",
    "2023-11-24",
    "2023-11-27",
    "2023-11-28",
    "2023-11-29",
    "2023-11-30",
    "2023-12-01",
    "2023-12-04",
)
EARLY_CLOSE = "2023-11-24"
DIVIDEND_DAY = "2023-11-22"
DIVIDEND = "{kind: dividend, at: open+60, symbol: GLD, usd_per_share: 0.75, price_drops: false}"
CASH_USD = 25_000
DAY_BOUND_S = 600.0
SETTINGS = ("--set", "selection.hold_bonus=0", "--seed", "5", "--last-minutes", "18")
"""The literal choice of names, which changes them within ten days, on a market whose trends it finds."""

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.long,
    pytest.mark.timeout(len(DAYS) * DAY_BOUND_S),
    pytest.mark.spec("004.strategy", "004.acceptance"),
]


@dataclass(frozen=True, slots=True)
class Ten:
    """What ten days left behind."""

    state: Path
    account: dict[str, Any]
    days: dict[str, dict[str, Any]]
    tape: Sequence[AnyEvent]
    rows: list[RotationDay]
    """By the broker's own record."""


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Ten:
    """Return ten days in a row."""
    folder = tmp_path_factory.mktemp("ten")
    state, account, script = folder / "state", folder / "account.json", folder / "dividend.yaml"
    script.write_text(f"seed: 7\nfaults:\n  - {DIVIDEND}\n", encoding="utf-8")
    days: dict[str, dict[str, Any]] = {}
    for day in DAYS:
        faults = ("--faults", str(script)) if day == DIVIDEND_DAY else ()
        place = ("--state", str(state), "--account-file", str(account))
        ended = command(
            "trade", "--paper", "--sim", "--day", day, "--json", *SETTINGS, *place, *faults, bound_s=DAY_BOUND_S
        )
        assert ended.code == 0, f"{day}: {ended.text[-3000:]}"
        days[day] = json.loads(ended.out)
    return tell(folder, days, json.loads(account.read_text(encoding="utf-8")))


def tell(folder: Path, days: dict[str, dict[str, Any]], account: dict[str, Any]) -> Ten:
    """Read what the days left, print it as a table, and keep the table beside the state."""
    state = folder / "state"
    told = events(state)
    rows = account_of_days(truth(state), told, list(days), cash_nano=CASH_USD * PRICE_SCALE)
    differences = parity(state, told)
    for row in rows:
        row.parity = differences.get(row.date)
    text = as_table(rows)
    (folder / "rotation-days.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return Ten(state, account, days, told, rows)


def parity(state: Path, told: Sequence[AnyEvent]) -> dict[str, float]:
    """Return per session the largest difference of a live target from the research engine's on the same bars."""
    blocks = {event.id: event for event in told if isinstance(event, DailyBars)}
    settings: Settings = load_settings([state / "session.yaml"], environment={})
    selection = settings.arbiter.rotation.selection
    fields = {name: getattr(selection, name) for name in type(selection).__struct_fields__}
    found: dict[str, float] = {}
    for record in (event for event in told if isinstance(event, RotationDecision)):
        bars = blocks[record.bars]  # type: ignore[index] -- ids are text on the wire
        last = len(bars.dates) - 1
        result = ReferenceEngine().simulate(
            research_bars(bars), [SwingParameters(**fields, first_day=last, last_day=last)]
        )
        (target,) = [column.values.array() for column in record.columns if column.name == "weight_target"]
        found[record.session_date] = float(np.max(np.abs(target - result.target[0])))
    return found


def test_every_day_is_clean(ten: Ten) -> None:
    """Exit code 0, a clean log, clean reconciliations, no dead letter, no restart, every day, dividend included."""
    for day, content in ten.days.items():
        session = content["session"]
        assert session["ok"], (day, session["broken"])
        assert session["tape"]["clean"]
        assert session["dead_letters"] == 0
        assert session["reconciliation"]["reports"]["clean"] > 0
        assert set(session["reconciliation"]["reports"]) <= {"clean", "unknown"}
    assert not any(isinstance(event, ReconReport) and event.status == "breaks" for event in ten.tape)


def test_every_session_has_one_rebalance_at_its_time(ten: Ten) -> None:
    """Five minutes before the close, on the early close too, exactly once."""
    closes = {event.session_date: event.close_ns for event in ten.tape if isinstance(event, SessionRef)}
    records = [event for event in ten.tape if isinstance(event, RotationDecision)]
    assert [record.session_date for record in records] == list(DAYS)
    for record in records:
        assert closes[record.session_date] - record.ts_ns == 300 * 1_000_000_000
        assert record.status in {"rebalance", "in_band"}
    whole = 23_400_000_000_000
    opens = {event.session_date: event.open_ns for event in ten.tape if isinstance(event, SessionRef)}
    assert closes[EARLY_CLOSE] - opens[EARLY_CLOSE] < whole == closes[DAYS[0]] - opens[DAYS[0]]


def test_settled_cash_is_never_exceeded(ten: Ten) -> None:
    """Counted the plain way from the broker's record: purchases and fees never cost more than had settled."""
    for row in ten.rows:
        assert row.settled_least_nano >= 0, row
    assert any(row.bought_nano for row in ten.rows[1:])
    last = ten.rows[-1]
    assert last.cash_nano == ten.account["cash_nano"], "to the nano-dollar, dividend included"
    assert last.held == {
        symbol: item["quantity_micro"] // QUANTITY_SCALE for symbol, item in ten.account["positions"].items()
    }
    assert [record["paid_nano"] > 0 for record in truth(ten.state) if record["kind"] == "dividend"] == [True]


def test_at_most_five_orders_a_day_and_none_twice(ten: Ten) -> None:
    """As the broker received them; every one of them stood on the TAPE before, every execution stands there once."""
    assert max(row.orders for row in ten.rows) <= 5
    assert sum(row.fills for row in ten.rows) > 4
    assert compare_books(ten.state) == []


def test_dropped_names_are_sold(ten: Ten) -> None:
    """Whatever has no target in a rebalance is ordered away whole, and at the close the broker holds none of it."""
    held = {row.date: row.held for row in ten.rows}
    dropped = 0
    for record in (event for event in ten.tape if isinstance(event, RotationDecision)):
        table = {column.name: column.values.array() for column in record.columns}
        if record.status != "rebalance":
            continue
        for index in np.flatnonzero((table["weight_target"] == 0.0) & (table["held_shares"] > 0.0)).tolist():
            assert table["order_shares"][index] == -table["held_shares"][index]
            assert record.symbols[index] not in held[record.session_date]
            dropped += 1
    assert dropped > 0


def test_research_wants_the_same(ten: Ten) -> None:
    """On each day's block of bars the research engine's targets are the live ones, bit for bit."""
    assert [row.parity for row in ten.rows] == [0.0] * len(DAYS)
    wanted = [
        column.values.array().any()
        for event in ten.tape
        if isinstance(event, RotationDecision)
        for column in event.columns
        if column.name == "weight_target"
    ]
    assert sum(wanted) > 5


def test_the_log_of_ten_days_verifies(ten: Ten) -> None:
    """`walstreet tape verify` reads all ten days again: one life of each service a day, and not one fault."""
    ended = command("tape", "verify", "--state", str(ten.state), "--json", bound_s=DAY_BOUND_S)
    report = json.loads(ended.out)
    assert ended.code == 0
    assert report["clean"]
    assert set(report["epochs"].values()) == {len(DAYS)}
