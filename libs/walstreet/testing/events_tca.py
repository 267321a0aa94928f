"""Owns factories for events of transaction cost analysis, with fixed values."""

from __future__ import annotations

from walstreet.testing.events_base import CLOSE_NS, OPEN_NS, SESSION_DATE, event_id
from walstreet_events import (
    EXPIRY,
    ClockTick,
    MarkoutBlock,
    MarkSeen,
    ParameterTuned,
    TcaReport,
    TcaRow,
    TcaSamples,
    TuningProposal,
)

RESERVE_PATH = "arbiter.arbitration.reserve_bps"


def tca_examples() -> list[MarkoutBlock | TcaReport | ParameterTuned]:
    """Return one event of every type."""
    seen = MarkSeen(
        reference="0000e0d5.00000001.01.01",
        symbol="AAA",
        offset_s=5,
        bid_nano=100_240_000_000,
        ask_nano=100_260_000_000,
        quote_ts_ns=OPEN_NS + 3,
    )
    missing = MarkSeen(reference="intent-1", symbol="AAA", offset_s=EXPIRY, bid_nano=0, ask_nano=0, quote_ts_ns=0)
    report = TcaReport(
        id=event_id(TcaReport),
        cause=event_id(ClockTick),
        ts_ns=CLOSE_NS,
        session_date=SESSION_DATE,
        rows=(_row(),),
        samples=(TcaSamples(path=RESERVE_PATH, count=412, mean=0.75, deviation=2.5, high=8.25),),
        autotune="apply",
        proposals=(
            TuningProposal(
                path=RESERVE_PATH, current=2.0, target=2.5, proposed=2.25, reason="moved", days=5, samples=412
            ),
        ),
    )
    return [
        MarkoutBlock(id=event_id(MarkoutBlock), cause=event_id(ClockTick), ts_ns=OPEN_NS, marks=(seen, missing)),
        report,
        ParameterTuned(
            id=event_id(ParameterTuned),
            cause=report.id,
            ts_ns=CLOSE_NS,
            path=RESERVE_PATH,
            value="2.25",
            previous="2.0",
            operator="autotune",
            session_date=SESSION_DATE,
            samples=412,
            days=5,
        ),
    ]


def _row() -> TcaRow:
    return TcaRow(
        by="all",
        key="",
        parents=2,
        sent=2,
        filled_in_time=1,
        fills=3,
        wanted_nano=20_000_000_000_000,
        traded_nano=10_000_000_000_000,
        spread_nano=500_000_000,
        impact_nano=-250_000_000,
        timing_nano=2_000_000_000,
        unattributed_nano=0,
        fees_nano=500_000_000,
        opportunity_nano=5_000_000_000,
        delay_nano=500_000_000,
        fees_missing=1,
        unfilled_unmarked_nano=0,
        markout_nano=(800_000_000, 500_000_000, -2_000_000_000),
        marked_nano=(10_000_000_000_000, 10_000_000_000_000, 10_000_000_000_000),
        predicted_nano=2_500_000_000,
        predicted_cost_nano=2_750_000_000,
        predicted_traded_nano=10_000_000_000_000,
        fill_ms=14_000,
    )
