"""Owns factories for one valid event of every type, with fixed values, so that golden bytes can be made of them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from walstreet.testing.events_base import (
    BAR_NS,
    CLOSE_NS,
    OPEN_NS,
    SESSION_DATE,
    SYMBOLS,
    clock_tick,
    event_id,
    operator_command,
    session_ref,
)
from walstreet.testing.events_blocks import decision_examples, learning_examples, market_examples
from walstreet.testing.events_emergency import emergency_examples
from walstreet.testing.events_orders import account_examples, order_examples
from walstreet.testing.events_strategies import strategy_examples
from walstreet.testing.events_tca import tca_examples
from walstreet_events import (
    ROOT,
    AnyEvent,
    AnyTick,
    BreakKind,
    BrokerExecution,
    BrokerOrder,
    ChainCheckpoint,
    ClockTick,
    DeadLetter,
    LedgerCorrection,
    Mode,
    ModeRequest,
    ParameterChange,
    Position,
    ProducerEpoch,
    ReconBreak,
    ReconReport,
    ReconRequest,
    ReconSnapshot,
    Side,
    derive_id,
    tag_of,
)

__all__ = [
    "BAR_NS",
    "CLOSE_NS",
    "OPEN_NS",
    "SESSION_DATE",
    "SYMBOLS",
    "clock_tick",
    "event_id",
    "every_event",
    "operator_command",
    "recon_snapshot",
    "session_ref",
]


def recon_snapshot(
    request: ReconRequest,
    ts_ns: int,
    *,
    ok: bool = True,
    open_orders: tuple[BrokerOrder, ...] = (),
    completed_orders: tuple[BrokerOrder, ...] = (),
    executions: tuple[BrokerExecution, ...] = (),
    positions: tuple[Position, ...] = (),
    cash_nano: int | None = None,
) -> ReconSnapshot:
    """Return the broker's answer to ``request``."""
    return ReconSnapshot(
        id=derive_id(request.id, tag_of(ReconSnapshot), 0),
        cause=request.id,
        ts_ns=ts_ns,
        request=request.id,
        ok=ok,
        detail="" if ok else "timeout of the executions query",
        open_orders=open_orders,
        completed_orders=completed_orders,
        executions=executions,
        positions=positions,
        cash_nano=cash_nano,
        net_liquidation_nano=None,
    )


def every_event() -> dict[str, AnyEvent | AnyTick]:
    """Return one valid event per current tag, in the order of the subject table's topics."""
    examples: list[AnyEvent | AnyTick] = []
    for make in _MAKERS:
        examples.extend(make())
    return {tag_of(type(event)): event for event in examples}


def _correction(snapshot: ReconSnapshot) -> LedgerCorrection:
    return LedgerCorrection(
        id=event_id(LedgerCorrection),
        cause=snapshot.id,
        ts_ns=snapshot.ts_ns,
        snapshot=snapshot.id,
        kind=BreakKind.QUANTITY,
        symbol="AAA",
        reference="position",
        position_change_micro=10_000_000,
        average_cost_nano=100_260_000_000,
        cash_change_nano=0,
        execution=None,
        policy="auto_sync",
        operator="",
        reason="ours 30, the broker's 40",
    )


def _mode_request(snapshot: ReconSnapshot) -> ModeRequest:
    return ModeRequest(
        id=event_id(ModeRequest),
        cause=snapshot.id,
        ts_ns=snapshot.ts_ns,
        service="reconciler",
        mode=Mode.OBSERVE,
        reason="1 reconciliation breaks, first quantity AAA position",
    )


def _reconciliation() -> list[AnyEvent | AnyTick]:
    request = ReconRequest(
        id=event_id(ReconRequest), cause=event_id(ClockTick), ts_ns=OPEN_NS, number=1, reason="start"
    )
    order = BrokerOrder(
        order_ref="ref-1",
        perm_id=9,
        client_id=12,
        symbol="AAA",
        side=Side.BUY.value,
        quantity_micro=100_000_000,
        filled_micro=40_000_000,
        status="Submitted",
    )
    execution = BrokerExecution(
        exec_id="0000e0d5.00000001.01.01",
        order_ref="ref-1",
        perm_id=9,
        symbol="AAA",
        side=Side.BUY.value,
        price_nano=100_250_000_000,
        quantity_micro=40_000_000,
        ts_ns=OPEN_NS + 5,
    )
    position = Position(symbol="AAA", con_id=265_598, quantity_micro=40_000_000, average_cost_nano=100_260_000_000)
    snapshot = recon_snapshot(
        request,
        OPEN_NS + 10,
        open_orders=(order,),
        completed_orders=(msgspec.structs.replace(order, order_ref="ref-0", status="Cancelled"),),
        executions=(execution,),
        positions=(position,),
        cash_nano=95_990_000_000_000,
    )
    return [
        request,
        snapshot,
        ReconBreak(
            id=event_id(ReconBreak),
            cause=snapshot.id,
            ts_ns=snapshot.ts_ns,
            snapshot=snapshot.id,
            kind=BreakKind.QUANTITY,
            symbol="AAA",
            reference="position",
            ours="30",
            brokers="40",
            policy="strict",
        ),
        ReconReport(
            id=event_id(ReconReport),
            cause=snapshot.id,
            ts_ns=snapshot.ts_ns,
            request=request.id,
            snapshot=snapshot.id,
            status="breaks",
            orders_checked=2,
            executions_checked=1,
            positions_checked=1,
            breaks=1,
        ),
        _correction(snapshot),
        _mode_request(snapshot),
    ]


def _operations() -> list[AnyEvent | AnyTick]:
    return [
        operator_command(),
        ParameterChange(
            id=event_id(ParameterChange),
            cause=ROOT,
            ts_ns=OPEN_NS,
            path="risk.gross_max",
            value="0.4",
            previous="0.5",
            operator="operator-1",
        ),
        ProducerEpoch(
            id=event_id(ProducerEpoch),
            cause=ROOT,
            ts_ns=OPEN_NS,
            service="gateway",
            epoch=3,
            config_hash="ef" * 32,
            previous_chain="12" * 16,
            previous_seq=77,
        ),
        ChainCheckpoint(
            id=event_id(ChainCheckpoint),
            cause=event_id(ClockTick),
            ts_ns=OPEN_NS,
            first_seq=1,
            last_seq=1000,
            digest="34" * 16,
            previous="",
            signature=b"\x01\x02\xff",
        ),
        DeadLetter(
            id=event_id(DeadLetter),
            cause=ROOT,
            ts_ns=OPEN_NS,
            service="features",
            reason="malformed",
            detail="payload of 3 bytes is no msgpack map",
            subject="bar.1m",
            stream_seq=12,
            payload=b"\xc1\x00\x01",
        ),
    ]


_MAKERS: tuple[Callable[[], list[AnyEvent | AnyTick]], ...] = (
    market_examples,
    decision_examples,
    learning_examples,
    lambda: list(order_examples(OPEN_NS)),
    lambda: list(account_examples(OPEN_NS)),
    lambda: strategy_examples(OPEN_NS),
    _reconciliation,
    _operations,
    lambda: list(tca_examples()),
    lambda: list(emergency_examples()),
)
