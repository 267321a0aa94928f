"""Owns the proof that the rotation lives on an account over ten days: one log, one account, an early close, a dividend.

Each day is a process tree of its own that goes on from the state folder and the account file of the day before, as a
daily job would. The simulator plays the last minutes of each session in lockstep.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from walstreet.domain.rotation_live_parameters import RotationLiveParameters
from walstreet.research.swing_engine import ReferenceEngine
from walstreet.research.swing_types import SwingParameters
from walstreet.runtime.settings import Settings, load_settings
from walstreet.testing.rotation_world import research_bars
from walstreet.testing.stack import command, events
from walstreet_events import (
    PRICE_SCALE,
    QUANTITY_SCALE,
    AnyEvent,
    DailyBars,
    OrderCommission,
    OrderFilled,
    OrderSubmitting,
    ReconReport,
    RotationDecision,
    SessionRef,
    Side,
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
    return Ten(state, json.loads(account.read_text(encoding="utf-8")), days, events(state))


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
    """Counted the plain way from the executions: purchases never cost more than what had settled that morning."""
    settled, proceeds, date = CASH_USD * PRICE_SCALE, 0, DAYS[0]
    dividend = 0
    shares: dict[str, int] = {}
    orders: dict[str, set[str]] = {day: set() for day in DAYS}
    for event in ten.tape:
        match event:
            case SessionRef() if event.session_date != date:
                settled, proceeds, date = settled + proceeds, 0, event.session_date
                if date == DIVIDEND_DAY:
                    dividend = shares.get("GLD", 0) * 75 // 100 * PRICE_SCALE // QUANTITY_SCALE
                    settled += dividend
            case OrderSubmitting():
                orders[date].add(event.intent)
            case OrderFilled():
                amount = event.price_nano * event.quantity_micro // QUANTITY_SCALE
                sign = 1 if event.side is Side.BUY else -1
                shares[event.symbol] = shares.get(event.symbol, 0) + sign * event.quantity_micro
                settled -= amount if event.side is Side.BUY else 0
                proceeds += amount if event.side is Side.SELL else 0
                assert settled >= 0, (date, event.symbol)
            case OrderCommission():
                settled -= event.commission_nano
            case _:
                pass
    assert dividend > 0, "the dividend met no holding, so nothing was shown"
    assert settled + proceeds == ten.account["cash_nano"]
    held = {symbol: item["quantity_micro"] for symbol, item in ten.account["positions"].items()}
    assert {symbol: quantity for symbol, quantity in shares.items() if quantity} == held
    assert max(len(items) for items in orders.values()) <= 5
    assert sum(len(items) for items in orders.values()) > 4


def test_dropped_names_are_sold(ten: Ten) -> None:
    """Whatever has no target in a rebalance is ordered away whole, and it happens in these ten days."""
    dropped = 0
    for record in (event for event in ten.tape if isinstance(event, RotationDecision)):
        table = {column.name: column.values.array() for column in record.columns}
        if record.status != "rebalance":
            continue
        for index in np.flatnonzero((table["weight_target"] == 0.0) & (table["held_shares"] > 0.0)).tolist():
            assert table["order_shares"][index] == -table["held_shares"][index]
            dropped += 1
    assert dropped > 0


def test_research_wants_the_same(ten: Ten) -> None:
    """On each day's block of bars the research engine's targets are the live ones, bit for bit."""
    blocks = {event.id: event for event in ten.tape if isinstance(event, DailyBars)}
    settings: Settings = load_settings([ten.state / "session.yaml"], environment={})
    rotation: RotationLiveParameters = settings.arbiter.rotation
    wanted = 0
    for record in (event for event in ten.tape if isinstance(event, RotationDecision)):
        bars = blocks[record.bars]  # type: ignore[index] -- ids are text on the wire
        last = len(bars.dates) - 1
        fields = {name: getattr(rotation.selection, name) for name in type(rotation.selection).__struct_fields__}
        result = ReferenceEngine().simulate(
            research_bars(bars), [SwingParameters(**fields, first_day=last, last_day=last)]
        )
        (target,) = [column.values.array() for column in record.columns if column.name == "weight_target"]
        assert target.tobytes() == result.target[0].tobytes(), record.session_date
        wanted += int(target.any())
    assert wanted > 5


def test_the_log_of_ten_days_verifies(ten: Ten) -> None:
    """`walstreet tape verify` reads all ten days again: one life of each service a day, and not one fault."""
    ended = command("tape", "verify", "--state", str(ten.state), "--json", bound_s=DAY_BOUND_S)
    report = json.loads(ended.out)
    assert ended.code == 0
    assert report["clean"]
    assert set(report["epochs"].values()) == {len(DAYS)}
