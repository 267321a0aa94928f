"""Owns how costs are worded: rows of bps for people, numbers for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from walstreet.domain.tca import MARKOUT_OFFSETS_S, PARTS, micro_bps
from walstreet.domain.tca_report import GROUPS
from walstreet_events import TcaReport, TcaRow

HEADS = (
    "group",
    "parents",
    "sent",
    "in time %",
    "wanted $",
    "traded $",
    *PARTS,
    "total bps",
    *(f"+{offset} s" for offset in MARKOUT_OFFSETS_S),
    "predicted",
    "realised",
    "budget",
    "fill s",
)
MISSING = "-"
PROPOSAL_HEADS = ("parameter", "in force", "target", "proposed", "reason", "days", "samples")
TITLES = {
    "all": "The session",
    "horizon": "Per horizon",
    "symbol": "Per symbol",
    "side": "Per side",
    "hour": "Per hour since the open",
}


def parts_nano(row: TcaRow) -> tuple[int, ...]:
    """Return the parts of a group's shortfall in the order of ``PARTS``."""
    return tuple(getattr(row, f"{name}_nano") for name in PARTS)


def parts_bps(row: TcaRow) -> tuple[float, ...]:
    """Return the parts in bps of the notional that was wanted; they add up to the total's."""
    if not row.wanted_nano:
        return (0.0,) * len(PARTS)
    return tuple(part / 1e6 for part in micro_bps(parts_nano(row), row.wanted_nano))


def total_bps(row: TcaRow) -> float:
    """Return the shortfall in bps of the notional that was wanted."""
    return micro_bps((sum(parts_nano(row)),), row.wanted_nano)[0] / 1e6 if row.wanted_nano else 0.0


def bps(value_nano: int, notional_nano: int) -> float | None:
    """Return a cost in bps, None without a notional."""
    return value_nano / notional_nano * 1e4 if notional_nano else None


def cost_rows(rows: Sequence[TcaRow], by: str) -> list[tuple[str, ...]]:
    """Return the rows under ``HEADS`` of one kind of group."""
    return [_cells(row) for row in rows if row.by == by]


def split_rows(row: TcaRow) -> list[tuple[str, str, str]]:
    """Return name, USD and bps of every part and of the total."""
    named = zip(PARTS, parts_nano(row), parts_bps(row), strict=True)
    rows = [(name, _usd(nano), f"{value:+.3f}") for name, nano, value in named]
    return [*rows, ("total", _usd(sum(parts_nano(row))), f"{total_bps(row):+.3f}")]


def proposal_rows(report: TcaReport) -> list[tuple[str, ...]]:
    """Return the rows under ``PROPOSAL_HEADS``."""
    return [
        (
            item.path,
            f"{item.current:g}",
            f"{item.target:g}",
            f"{item.proposed:g}",
            item.reason,
            str(item.days),
            str(item.samples),
        )
        for item in report.proposals
    ]


def notes(row: TcaRow) -> list[str]:
    """Return what is missing from a group's costs, one sentence each."""
    found = []
    if row.fees_missing:
        found.append(f"{row.fees_missing} fills without a fee: their cost counts without it")
    if row.unfilled_unmarked_nano:
        text = _usd(row.unfilled_unmarked_nano)
        found.append(f"${text} not filled has no mark at its end, so that its opportunity cost is unknown")
    if row.unattributed_nano:
        found.append("unattributed: no quote was seen at some fills, so that their price cost is not split")
    return found


def as_json(row: TcaRow) -> dict[str, Any]:
    """Return a group for programs: the sums, and the ratios that people look at."""
    offsets = zip(MARKOUT_OFFSETS_S, row.markout_nano, row.marked_nano, strict=True)
    return {
        **msgspec.to_builtins(row),
        "total_nano": sum(parts_nano(row)),
        "total_bps": total_bps(row),
        "parts_bps": dict(zip(PARTS, parts_bps(row), strict=True)),
        "markout_bps": {str(offset): bps(cost, notional) for offset, cost, notional in offsets},
        "predicted_bps": bps(row.predicted_nano, row.predicted_traded_nano),
        "realised_bps": bps(row.predicted_cost_nano, row.predicted_traded_nano),
        "fill_rate_in_time": row.filled_in_time / row.sent if row.sent else None,
        "fill_s_mean": row.fill_ms / row.fills / 1e3 if row.fills else None,
    }


def grouped(rows: Sequence[TcaRow]) -> dict[str, list[dict[str, Any]]]:
    """Return the groups for programs by kind."""
    return {by: [as_json(row) for row in rows if row.by == by] for by in GROUPS}


def _cells(row: TcaRow) -> tuple[str, ...]:
    markouts = (bps(cost, notional) for cost, notional in zip(row.markout_nano, row.marked_nano, strict=True))
    predicted = bps(row.predicted_nano, row.predicted_traded_nano)
    realised = bps(row.predicted_cost_nano, row.predicted_traded_nano)
    budget = None if predicted is None or realised is None else predicted - realised
    return (
        _key(row),
        str(row.parents),
        str(row.sent),
        f"{100.0 * row.filled_in_time / row.sent:.1f}" if row.sent else MISSING,
        f"{row.wanted_nano / 1e9:,.0f}",
        f"{row.traded_nano / 1e9:,.0f}",
        *(f"{value:+.2f}" for value in parts_bps(row)),
        f"{total_bps(row):+.2f}",
        *(_signed(value) for value in markouts),
        _signed(predicted),
        _signed(realised),
        _signed(budget),
        f"{row.fill_ms / row.fills / 1e3:.1f}" if row.fills else MISSING,
    )


def _key(row: TcaRow) -> str:
    if row.by == "horizon":
        return f"{int(row.key)}m"
    return f"hour {int(row.key) + 1}" if row.by == "hour" else row.key or "all"


def _signed(value: float | None) -> str:
    return MISSING if value is None else f"{value:+.2f}"


def _usd(nano: int) -> str:
    return f"{nano / 1e9:,.2f}"
