"""Owns factories for the events of several strategies in one account, with fixed values."""

from __future__ import annotations

from walstreet.testing.events_base import event_id
from walstreet_events import (
    AccountPlan,
    AnyEvent,
    AnyTick,
    DriftChange,
    FeeAllocated,
    FillAllocated,
    IntentBlock,
    OrderCommission,
    OrderFilled,
    PlannedSymbol,
    PredictionBlock,
    StrategyRecord,
    StrategyShare,
)


def strategy_examples(ts_ns: int) -> list[AnyEvent | AnyTick]:
    """Return one event of every type: two strategies on opposite sides, the rest of one sent and filled."""
    drift = DriftChange(
        id=event_id(DriftChange, 1),
        cause=event_id(PredictionBlock, 1),
        ts_ns=ts_ns,
        model="gbm-5m",
        horizon_minutes=5,
        previous="healthy",
        status="quarantined",
        reason="psi+ic",
    )
    plan = AccountPlan(
        id=event_id(AccountPlan),
        cause=event_id(PredictionBlock),
        ts_ns=ts_ns,
        decision=event_id(IntentBlock, 1),
        symbols=(
            PlannedSymbol(
                symbol="AAA",
                intent="intent-1",
                price_nano=100_250_000_000,
                reason="risk_name",
                shares=(
                    StrategyShare(
                        strategy="fast",
                        intent="wish-1",
                        wanted_micro=150_000_000,
                        crossed_micro=40_000_000,
                        parent_micro=100_000_000,
                    ),
                    StrategyShare(
                        strategy="slow",
                        intent="wish-2",
                        wanted_micro=-40_000_000,
                        crossed_micro=-40_000_000,
                        parent_micro=0,
                    ),
                ),
            ),
        ),
    )
    return [
        StrategyRecord(
            id=event_id(StrategyRecord), cause=event_id(PredictionBlock), ts_ns=ts_ns, strategy="fast", record=drift
        ),
        plan,
        FillAllocated(
            id=event_id(FillAllocated),
            cause=event_id(OrderFilled),
            ts_ns=ts_ns,
            exec_id="0000e0d5.00000001.01.02",
            client_order_id="order-1",
            intent="intent-1",
            symbol="AAA",
            price_nano=100_260_000_000,
            strategies=("fast", "house"),
            signed_micro=(60_000_000, 0),
            replaces="0000e0d5.00000001.01.01",
        ),
        FeeAllocated(
            id=event_id(FeeAllocated),
            cause=event_id(OrderCommission),
            ts_ns=ts_ns,
            exec_id="0000e0d5.00000001.01.02",
            symbol="AAA",
            strategies=("fast",),
            fee_nano=(1_000_000_000,),
        ),
    ]
