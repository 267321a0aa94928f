"""Owns the part of report.html about costs: the shortfall's split as a waterfall, groups, markouts, tuning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from walstreet.domain.tca_report import ALL, GROUPS
from walstreet.replay.tca_log import TcaLog, combined_rows
from walstreet_events import TcaRow
from walstreet_services.cli.tca_tables import (
    HEADS,
    PROPOSAL_HEADS,
    TITLES,
    cost_rows,
    notes,
    parts_bps,
    proposal_rows,
    split_rows,
    total_bps,
)

MakeTable = Callable[[Sequence[str], Sequence[Sequence[str]]], str]
WIDTH, ROW, LABEL, ROOM = 920, 24, 120, 90
INTRODUCTION = (
    "Implementation shortfall against the mid at the decision, in bps of the notional wanted; a cost is positive. "
    "Spread, impact and timing add up to the price paid beyond that mid; opportunity is what was not filled."
)


def tca_section(log: TcaLog, table: MakeTable) -> str:
    """Return the section's HTML, empty for a session without parent orders.

    Args:
        log: Of the whole TAPE.
        table: How the page makes a table of heads and rows.
    """
    rows = combined_rows(log.sessions)
    whole = next((row for row in rows if row.by == ALL), None)
    if whole is None:
        return ""
    parts = ["<h2>Transaction costs</h2>", f"<p class='quiet'>{escape(INTRODUCTION)}</p>", _waterfall(whole)]
    parts.append(table(("part", "USD", "bps"), split_rows(whole)))
    parts.extend(f"<p class='quiet'>{escape(note)}.</p>" for note in notes(whole))
    for by in GROUPS[1:]:
        parts.append(f"<h3>{escape(TITLES[by])}</h3><div style='overflow-x:auto'>")
        parts.append(f"{table(HEADS, cost_rows(rows, by))}</div>")
    for report in log.reports:
        if report.proposals:
            parts.append(f"<h3>Tuning after {escape(report.session_date)} ({escape(report.autotune)})</h3>")
            parts.append(table(PROPOSAL_HEADS, proposal_rows(report)))
    return "\n".join(parts)


def _waterfall(row: TcaRow) -> str:
    """Return horizontal bars, each beginning where the one before ended."""
    running, spans = 0.0, []
    for (name, *_), value in zip(split_rows(row), (*parts_bps(row), None), strict=True):
        if value is None:
            spans.append((name, 0.0, total_bps(row), total_bps(row)))
        else:
            spans.append((name, running, running + value, value))
            running += value
    low = min(0.0, *(min(start, end) for _, start, end, _ in spans))
    high = max(0.0, *(max(start, end) for _, start, end, _ in spans))
    scale = (WIDTH - LABEL - ROOM) / ((high - low) or 1.0)

    def x(value: float) -> float:
        return LABEL + (value - low) * scale

    lines = [
        (
            f"<svg viewBox='0 0 {WIDTH} {ROW * len(spans) + 6}' role='img' "
            "aria-label='Parts of the implementation shortfall in basis points'>"
        ),
        f"<line x1='{x(0.0):.1f}' x2='{x(0.0):.1f}' y1='0' y2='{ROW * len(spans)}' stroke='var(--rule)'/>",
    ]
    for number, (name, start, end, value) in enumerate(spans):
        top = ROW * number + 3
        colour = "var(--ink)" if name == "total" else "var(--bad)" if value > 0 else "var(--good)"
        left, width = x(min(start, end)), abs(end - start) * scale
        lines.append(
            f"<text x='{LABEL - 8}' y='{top + 13}' text-anchor='end'>{escape(name)}</text>"
            f"<rect x='{left:.1f}' y='{top}' width='{max(width, 1.0):.1f}' height='{ROW - 6}' fill='{colour}'/>"
            f"<text x='{x(max(start, end)) + 6:.1f}' y='{top + 13}'>{value:+.2f}</text>"
        )
    return "".join([*lines, "</svg>"])
