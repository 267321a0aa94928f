"""Owns the examples of the events of an emergency and of arming."""

from __future__ import annotations

from walstreet.testing.events_base import OPEN_NS, event_id
from walstreet_events import ROOT, FlattenPhase, FlattenState, GatewayProbed, Position


def emergency_examples() -> list[FlattenState | GatewayProbed]:
    """Return one example of each event."""
    return [
        FlattenState(
            id=event_id(FlattenState),
            cause=ROOT,
            ts_ns=OPEN_NS,
            emergency=event_id(FlattenState),
            phase=FlattenPhase.WAITING,
            number=3,
            source="panic_flag",
            operator="operator-1",
            detail="smoke",
            elapsed_ms=5_250,
            open_orders=1,
            positions=(Position(symbol="AAA", con_id=265_598, quantity_micro=-7_000_000, average_cost_nano=10**11),),
            deferred={"AAA": "halted"},
        ),
        GatewayProbed(
            id=event_id(GatewayProbed),
            cause=ROOT,
            ts_ns=OPEN_NS,
            ok=False,
            armed=False,
            keys=("operator-1",),
            detail="account DU1234567 is a paper account",
            account="DU1234567",
            port=4001,
            server_version=176,
            what_if=True,
            broker_order_id=7,
        ),
    ]
