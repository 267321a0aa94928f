"""Owns the proof that a restart finds everything: orders at work or partly filled, a nightly reset, a foreign order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from walstreet.runtime.crash_points import VARIABLE, Crash, write_plan
from walstreet.runtime.errors import EXIT_OK, EXIT_USAGE
from walstreet.testing.stack import Ended, Stack, command, compare_books, events, truth
from walstreet_events import (
    QUANTITY_SCALE,
    AnyEvent,
    ExternalOrder,
    LedgerCorrection,
    OperatorCommand,
    OrderFilled,
    OrderLink,
    OrderState,
    OrderSubmitting,
    OrderUpdated,
    ReconBreak,
    ReconReport,
    ReconRequest,
    ReconSnapshot,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1_200)]
MINUTES = 30
SYMBOLS = ("SYN01", "SYN02", "SYN03", "SYN04")
SESSION = ("--minutes", str(MINUTES), "--symbols", ",".join(SYMBOLS), "--set", "session.warmup_days=1", "--seed", "7")
WAIT_S = 600.0
PARTLY = "{kind: partial_fills, shares: 5, client_id: 12}"
"""Orders fill so slowly that they are partly filled for the whole of their time in force."""


def scripted(folder: Path, *faults: str) -> tuple[str, ...]:
    """Write a fault script and return the arguments that give it to the simulated broker."""
    path = folder / "faults.yaml"
    path.write_text("seed: 7\nfaults:\n" + "".join(f"  - {fault}\n" for fault in faults), encoding="utf-8")
    return ("--faults", str(path))


def check_outcomes(state: Path, ended: Ended, told: list[AnyEvent]) -> None:
    """Hold the TAPE against the broker's own record: every order once, every execution once, every fate found out."""
    assert compare_books(state) == []
    assert ended.summary["tape"]["clean"] is True
    assert ended.summary["dead_letters"] == 0
    assert ended.summary["bars"]["by_symbol"] == dict.fromkeys(SYMBOLS, MINUTES)
    fates = {event.client_order_id: event.state for event in told if isinstance(event, OrderUpdated)}
    sent = [event.client_order_id for event in told if isinstance(event, OrderSubmitting)]
    assert sent
    last = {record["order_ref"]: record for record in truth(state) if record["kind"] == "status"}
    for reference in sent:
        assert fates[reference] in {OrderState.FILLED, OrderState.CANCELLED, OrderState.EXPIRED}, reference
        filled = sum(
            event.quantity_micro
            for event in told
            if isinstance(event, OrderFilled) and event.client_order_id == reference
        )
        assert round(float(last[reference]["filled"]) * QUANTITY_SCALE) == filled
        assert (fates[reference] is OrderState.FILLED) == (last[reference]["status"] == "Filled")
    reports = [event for event in told if isinstance(event, ReconReport)]
    assert reports[-1].status == "clean"


def doubted(told: list[AnyEvent]) -> list[str]:
    """Return the orders whose outcome was unknown after a restart, with something filled."""
    return [
        event.client_order_id
        for event in told
        if isinstance(event, OrderUpdated)
        and event.state is OrderState.UNKNOWN
        and event.filled_micro > 0
        and "restarted" in event.detail
    ]


def test_a_partly_filled_order_is_found_again_after_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Execution is killed while an order is partly filled: doubted, found by its reference, never sent again."""
    state = tmp_path / "session"
    # At the first part of the first order, not at a time of the clock.
    write_plan(tmp_path, "execution", [Crash(point="folded", what="order_filled.v1")])
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with Stack(state, *SESSION, *scripted(tmp_path, PARTLY)) as stack:
        ended = stack.wait(WAIT_S)
    assert ended.code == EXIT_OK, ended.text[-3000:]
    assert ended.summary["ok"] is True, ended.summary["broken"]
    assert ended.summary["restarts"]["execution"] == 1
    told = events(state)
    assert doubted(told), "the crash came while nothing was partly filled"
    check_outcomes(state, ended, told)
    assert not [event for event in told if isinstance(event, ExternalOrder)], "our own orders are never foreign"
    asked = [event.reason for event in told if isinstance(event, ReconRequest)]
    assert asked[0] == "start"
    assert "reconnect" in asked, "the link came anew, so the truth was asked for"
    assert "snapshots_busy" not in (state / "logs" / "execution.log").read_text(encoding="utf-8")
    verified = command("replay", "--verify", "--state", str(state), "--core", "arbiter", "--core", "reconciler")
    assert verified.code == EXIT_OK, verified.text


def test_a_restart_in_the_nightly_reset_with_a_foreign_order(tmp_path: Path) -> None:
    """Killed while the gateway is away, with an order partly filled and one by hand at work; then a person adopts."""
    state = tmp_path / "session"
    script = scripted(
        tmp_path,
        PARTLY,
        "{kind: foreign_order, at: open+120, symbol: SYN02, side: BUY, shares: 10, limit_usd: 1.0}",
        "{kind: nightly_reset, after_fills: 1, dying_seconds: 5, down_seconds: 60, next_valid_id: 1}",
    )
    with Stack(state, *SESSION, *script) as stack:
        stack.wait_truth("foreign_received")
        unsigned = command("adopt", "SYN02", "--by", "ada", "--state", str(state))
        nothing = command("adopt", "SYN03", "--by", "ada", "--reason", "x", "--state", str(state))
        stack.wait_truth("nightly_reset")
        stack.kill("execution")
        done = command(
            *("adopt", "SYN02", "--by", "ada", "--reason", "bought by hand", "--wait", "300", "--json"),
            *("--state", str(state)),
            bound_s=WAIT_S,
        )
        ended = stack.wait(WAIT_S)
    assert unsigned.code == nothing.code == EXIT_USAGE
    assert "needs --reason" in unsigned.text
    assert "nothing foreign was recorded in SYN03" in nothing.text
    assert done.code == EXIT_OK, done.text
    assert json.loads(done.out)["shares_taken"] == 0.0
    assert ended.summary["broken"] == ["reconciliation breaks: external_order 1"], ended.text[-3000:]
    assert ended.summary["restarts"]["execution"] == 1
    told = events(state)
    check_outcomes(state, ended, told)
    # The broker was away when the new life began, and the new life said so.
    down = [event for event in told if isinstance(event, OrderLink) and "not reached since the start" in event.detail]
    assert len(down) == 1
    failed = [event for event in told if isinstance(event, ReconSnapshot) and not event.ok]
    assert all(not event.positions and event.cash_nano is None for event in failed)
    # Broker ids begin anew after the reset; ours never do.
    ids = [event.broker_order_id for event in told if isinstance(event, OrderSubmitting)]
    assert ids == sorted(set(ids))
    check_foreign(told)


def check_foreign(told: list[AnyEvent]) -> None:
    """The order by hand was ingested, warned of once, never traded against, and adopted by a named person."""
    foreign = [event for event in told if isinstance(event, ExternalOrder)]
    assert {(event.symbol, event.client_id) for event in foreign} == {("SYN02", 0)}
    breaks = [event for event in told if isinstance(event, ReconBreak)]
    assert [(event.kind.value, event.symbol, event.policy) for event in breaks] == [("external_order", "SYN02", "warn")]
    assert "manual" in breaks[0].brokers
    seen = told.index(foreign[0])
    assert not [event for event in told[seen:] if isinstance(event, OrderSubmitting) and event.symbol == "SYN02"]
    (adopting,) = [event for event in told if isinstance(event, OperatorCommand)]
    (adopted,) = [event for event in told if isinstance(event, LedgerCorrection)]
    assert (adopting.command, adopting.operator, adopting.arguments["reason"]) == ("adopt", "ada", "bought by hand")
    assert (adopted.symbol, adopted.operator, adopted.position_change_micro) == ("SYN02", "ada", 0)
    assert told.index(adopting) < told.index(adopted)
