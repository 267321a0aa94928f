"""Owns the tests of the live rotation: rotation_live in the arbiter's core, rotation_plan, rotation_live_parameters."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import numpy as np
import pytest

from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.compliance import ComplianceParameters
from walstreet.domain.rotation_live_parameters import RotationLiveParameters
from walstreet.domain.rotation_parameters import RotationParameters
from walstreet.domain.rotation_plan import AccountView, PlanStatus, PlanVerdict, plan_rotation
from walstreet.domain.units import MINUTE_NS
from walstreet.testing.arbiter_world import CLOSE_NS, GATES_OFF, ArbiterWorld
from walstreet.testing.rotation_world import CashAccount, daily_bars_of, random_prices
from walstreet_events import (
    NANOS_PER_SECOND,
    PRICE_SCALE,
    QUANTITY_SCALE,
    ROOT,
    AnyEvent,
    DailyBars,
    EventId,
    IntentBlock,
    Mode,
    OperatorCommand,
    OrderRefused,
    RotationDecision,
    Side,
    derive_id,
    encode,
    int_block,
    tag_of,
)

SYMBOLS = ("AAA", "BBB", "CCC")
pytestmark = pytest.mark.spec("004.strategy")

ROWS = 30
DECISION_NS = CLOSE_NS - 5 * MINUTE_NS
SELECTION = RotationParameters(
    ema_fast=2, ema_slow=4, atr_window=3, corr_window=5, vol_window=4, corr_cap=1.0, hold_bonus=0.0, band=0.01
)
ROTATION = RotationLiveParameters(enabled=True, selection=SELECTION)


def bars(*, rising: tuple[str, ...], date: str = "2025-12-01", ts_ns: int = DECISION_NS) -> DailyBars:
    """Return a block in which the named symbols rise a little unevenly and the others fall."""
    days = np.arange(ROWS)
    close = np.zeros((ROWS, len(SYMBOLS)))
    for column, symbol in enumerate(SYMBOLS):
        slope = 0.01 if symbol in rising else -0.01
        close[:, column] = 100.0 * np.exp(slope * (days - ROWS + 1) + 0.002 * np.sin(days * (column + 1)))
    nano = np.round(close * PRICE_SCALE).astype(np.int64)
    dates = tuple(f"2025-11-{day:02d}" for day in range(1, ROWS))
    return DailyBars(
        id=derive_id(f"daily:{date}", tag_of(DailyBars), 0),
        cause=ROOT,
        ts_ns=ts_ns,
        session_date=date,
        symbols=SYMBOLS,
        dates=(*dates, date),
        what="ADJUSTED_LAST",
        provisional_end_ns=ts_ns,
        open_nano=int_block(nano),
        high_nano=int_block(nano + PRICE_SCALE),
        low_nano=int_block(nano - PRICE_SCALE),
        close_nano=int_block(nano),
    )


def started(
    *,
    rotation: RotationLiveParameters = ROTATION,
    positions: dict[str, int] | None = None,
    settled: int | None = 1_000_000,
) -> ArbiterWorld:
    """Return a world that is LIVE before the decision, with settled cash in USD."""
    world = ArbiterWorld.create(parameters=ArbiterParameters(gates=GATES_OFF, intraday=False, rotation=rotation))
    world.start(positions=positions)
    account = world.account()
    world.send(msgspec.structs.replace(account, settled_cash_nano=None if settled is None else settled * PRICE_SCALE))
    world.send(world.clock(DECISION_NS))
    return world


def record_of(outputs: list[AnyEvent]) -> RotationDecision:
    """Return the one record among the outputs."""
    (record,) = [event for event in outputs if isinstance(event, RotationDecision)]
    return record


def block_of(outputs: list[AnyEvent]) -> IntentBlock:
    """Return the one block of intents among the outputs."""
    (block,) = [event for event in outputs if isinstance(event, IntentBlock)]
    return block


def test_daily_bars_cause_a_record_and_signed_intents() -> None:
    """The record stands first and names its bars; the intents name the record, buy the chosen names, and expire."""
    world = started()
    outputs = world.send(bars(rising=("AAA", "BBB")))
    record, block = record_of(outputs), block_of(outputs)
    assert [type(event) for event in outputs] == [RotationDecision, IntentBlock]
    assert (record.status, record.mode, record.strategy) == ("rebalance", Mode.LIVE, "rotation")
    assert set(record.chosen) == {"AAA", "BBB"}
    assert record.reasons[2] == "trend_gate"
    assert block.decision == record.id
    assert block.cause == record.cause == record.bars
    assert {intent.symbol for intent in block.intents} == {"AAA", "BBB"}
    for intent in block.intents:
        assert intent.side is Side.BUY
        assert intent.quantity_micro % QUANTITY_SCALE == 0
        assert intent.tif_s == 45
        assert intent.expires_ns == DECISION_NS + 170 * NANOS_PER_SECOND
        assert not intent.reducing
    cost = sum(intent.quantity_micro * intent.arrival_mid_nano // QUANTITY_SCALE for intent in block.intents)
    assert cost <= record.settled_nano


def test_the_rotation_is_off_by_default() -> None:
    """Without ``rotation.enabled`` daily bars cause nothing."""
    assert started(rotation=RotationLiveParameters(selection=SELECTION)).send(bars(rising=("AAA",))) == []


def test_dropped_names_are_sold_first_and_whole() -> None:
    """A held name that lost its trend is sold, before the purchase, and counts as reducing."""
    world = started(positions={"CCC": 200})
    block = block_of(world.send(bars(rising=("AAA",))))
    assert [(intent.symbol, intent.side) for intent in block.intents] == [("CCC", Side.SELL), ("AAA", Side.BUY)]
    assert block.intents[0].quantity_micro == 200 * QUANTITY_SCALE
    assert block.intents[0].reducing


def test_purchases_wait_for_settled_cash() -> None:
    """With $1,000 settled, purchases of $950,000 shrink to what that pays; the rest comes another day."""
    world = started(settled=1_000)
    outputs = world.send(bars(rising=("AAA", "BBB")))
    cost = sum(i.quantity_micro * i.arrival_mid_nano // QUANTITY_SCALE for i in block_of(outputs).intents)
    assert 0 < cost <= 1_000 * PRICE_SCALE


def test_unknown_settled_cash_buys_nothing() -> None:
    """Fail closed: without the broker's settled cash nothing is bought, and the record says why."""
    world = started(settled=None, positions={"CCC": 200})
    outputs = world.send(bars(rising=("AAA",)))
    assert [intent.symbol for intent in block_of(outputs).intents] == ["CCC"]
    assert record_of(outputs).verdicts[0] == PlanVerdict.SETTLED_CASH.value


def test_a_second_block_of_the_session_orders_nothing() -> None:
    """One rebalance a day, whoever asks again and however often the arbiter was started."""
    world = started()
    world.send(bars(rising=("AAA",)))
    again = msgspec.structs.replace(bars(rising=("BBB",)), id=derive_id("again", "daily", 0))
    outputs = world.send(again)
    assert record_of(outputs).status == "rebalance_done"
    assert not any(isinstance(event, IntentBlock) for event in outputs)


def test_the_same_block_is_decided_the_same_again() -> None:
    """A process that dies between record and intents decides the same bytes from the same prefix."""
    first, second = started(), started()
    daily = bars(rising=("AAA", "BBB"))
    whole = first.send(daily)
    second.state = second.core.evolve(second.state, daily)
    half = list(second.core.decide(second.state, daily))
    again = list(second.core.decide(second.state, daily))
    assert [encode(event) for event in whole] == [encode(event) for event in half] == [encode(event) for event in again]
    for event in again:
        second.state = second.core.evolve(second.state, event)
    assert second.state.digest() == first.state.digest()


def test_no_order_in_emergency_and_no_purchase_in_observe() -> None:
    """EMERGENCY decides nothing here; OBSERVE sells what is dropped and buys nothing."""
    world = started(positions={"CCC": 200})
    world.send(_command("panic"))
    assert record_of(world.send(bars(rising=("AAA",)))).status == "mode_emergency"
    world = started(positions={"CCC": 200})
    world.send(_command("mode", mode="observe"))
    outputs = world.send(bars(rising=("AAA",)))
    assert [intent.symbol for intent in block_of(outputs).intents] == ["CCC"]
    assert record_of(outputs).verdicts[0] == PlanVerdict.MODE_OBSERVE.value


def test_late_and_old_bars_are_refused() -> None:
    """Bars of another session, bars that are old, and bars that come when the close is near decide nothing."""
    assert record_of(started().send(bars(rising=("AAA",), date="2025-12-02"))).status == "stale_bars"
    assert record_of(started().send(bars(rising=("AAA",), ts_ns=DECISION_NS - 600 * NANOS_PER_SECOND))).status == (
        "stale_bars"
    )
    late = started()
    late.send(late.clock(CLOSE_NS - 60 * NANOS_PER_SECOND))
    assert record_of(late.send(bars(rising=("AAA",), ts_ns=CLOSE_NS - 60 * NANOS_PER_SECOND))).status == "too_late"


def test_a_refused_intent_is_not_repeated() -> None:
    """A refusal leaves the session's rebalance done: never retried blindly."""
    world = started()
    block = block_of(world.send(bars(rising=("AAA",))))
    world.send(
        OrderRefused(
            id=derive_id(block.id, tag_of(OrderRefused), 0),
            cause=block.id,
            ts_ns=DECISION_NS,
            intent=block.intents[0].id,
            symbol="AAA",
            reason="wide_spread",
            detail="",
            quote=None,
        )
    )
    again = msgspec.structs.replace(bars(rising=("AAA",)), id=derive_id("again", "daily", 0))
    assert record_of(world.send(again)).status == "rebalance_done"


def _command(name: str, **arguments: str) -> OperatorCommand:
    return OperatorCommand(
        id=EventId(derive_id("command", name, 0)),
        cause=ROOT,
        ts_ns=DECISION_NS,
        command=name,
        arguments=arguments,
        operator="tester",
    )


# -------------------------------------------------------------------------------------------------- plan


def account(**options: Any) -> tuple[CashAccount, DailyBars]:
    """Return an account on a day with bars, holding what is asked for."""
    names = ("A", "B", "C", "D")
    prices = random_prices(3, days=ROWS, symbols=len(names))
    found = CashAccount(names, ROTATION, 50_000 * PRICE_SCALE)
    found.shares_micro = options.get("held", {})
    block = daily_bars_of(prices, names, ROWS - 1)
    found.begin(block.session_date)
    return found, block


def test_a_held_name_without_a_bar_is_left_alone() -> None:
    """What is not known is no reason to sell; the record says so."""
    found, block = account(held={"A": 30 * QUANTITY_SCALE})
    tables = {}
    for name in ("open_nano", "high_nano", "low_nano", "close_nano"):
        values = getattr(block, name).array().copy()
        values[-1, 0] = 0
        tables[name] = int_block(values)
    gone = msgspec.structs.replace(block, **tables)
    view = dataclasses.replace(found.view(block), equity_nano=50_000 * PRICE_SCALE)
    plan = plan_rotation(gone, view, ROTATION)
    assert plan.verdicts[0] == PlanVerdict.NOT_KNOWN.value
    assert plan.order_micro[0] == 0


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"halted": {"A": True}}, PlanVerdict.HALTED),
        ({"external": {"A": "Submitted"}}, PlanVerdict.EXTERNAL_ORDER),
        ({"working_micro": {"A": 0}}, PlanVerdict.PENDING_ORDER),
        ({"lots_micro": {}}, PlanVerdict.NO_REF),
        ({"orders_today": 5}, PlanVerdict.ORDERS_TODAY),
    ],
)
def test_each_rule_of_a_symbol_has_its_verdict(changes: dict[str, Any], verdict: PlanVerdict) -> None:
    """A held name without a target would be sold; each rule alone stops it with its own code."""
    found, block = account(held={"A": 300 * QUANTITY_SCALE})
    nothing = msgspec.structs.replace(ROTATION, selection=msgspec.structs.replace(SELECTION, min_score=1_000.0))
    assert plan_rotation(block, found.view(block), nothing).order_micro[0] == -300 * QUANTITY_SCALE
    plan = plan_rotation(block, found.view(block, **changes), nothing)
    assert plan.verdicts[0] == verdict.value
    assert plan.order_micro[0] == 0


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"equity_nano": None}, PlanStatus.NO_EQUITY),
        ({"equity_nano": 0}, PlanStatus.NO_EQUITY),
        ({"positions_micro": None}, PlanStatus.NO_POSITIONS),
        ({"rebalance_today": "other"}, PlanStatus.REBALANCE_DONE),
    ],
)
def test_each_rule_of_the_whole_has_its_status(changes: dict[str, Any], status: PlanStatus) -> None:
    """What the account does not say stops the rebalance, and every symbol's verdict is that nothing was decided."""
    found, block = account()
    plan = plan_rotation(block, found.view(block, **changes), ROTATION)
    assert plan.status is status
    assert set(plan.verdicts) == {PlanVerdict.NOT_DECIDED.value}
    assert plan.sequence == []


def test_day_trades_of_a_small_account_stop_purchases() -> None:
    """A pattern day trader in the making sells, and buys nothing; the verdict is compliance's own code."""
    found, block = account()
    trades = (
        dataclasses.replace(found.memory.trades, counts=((block.session_date, 3),)) if found.memory.trades else None
    )
    view = found.view(block, day_trades=trades, equity_nano=20_000 * PRICE_SCALE)
    plan = plan_rotation(block, view, ROTATION)
    assert "day_trades" in plan.verdicts
    assert plan.sequence == []


def test_the_capital_share_scales_the_targets() -> None:
    """With half of the account the strategy buys half."""
    found, block = account()
    whole = plan_rotation(block, found.view(block), ROTATION)
    half = plan_rotation(block, found.view(block), msgspec.structs.replace(ROTATION, capital_share=0.5))
    assert sum(half.wanted_micro) == pytest.approx(sum(whole.wanted_micro) / 2, rel=1e-6)


def test_a_view_is_a_value() -> None:
    """Plans never change what they were told."""
    found, block = account(held={"A": 30 * QUANTITY_SCALE})
    view: AccountView = found.view(block)
    before = repr(view)
    plan_rotation(block, view, ROTATION)
    assert repr(view) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"capital_share": 1.5},
        {"tif_s": 0},
        {"tif_s": 60, "parent_s": 59},
        {"universe": ("A", "A")},
        {"strategy": ""},
        {"selection": msgspec.structs.replace(SELECTION, regime_column=3)},
        {"compliance": ComplianceParameters(), "bars_age_s_max": 0.0},
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    """Each bad value is refused by name."""
    with pytest.raises(ValueError, match="rotation"):
        RotationLiveParameters(**changes)
