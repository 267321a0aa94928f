"""Owns the account of a run of rotation days by the broker's own record: a row for each day, to test and to read.

Orders, executions, fees and dividends are those that the simulated broker wrote down; of the books under test only the
status of each rebalance and the reconciliations are told. Proceeds of a sale settle with the next session (T+1).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from walstreet_events import NANOS_PER_SECOND, PRICE_SCALE, QUANTITY_SCALE, AnyEvent, ReconReport, RotationDecision

HEADS = (
    "day",
    "status",
    "orders",
    "fills",
    "bought USD",
    "sold USD",
    "settled at open",
    "least settled",
    "cash at close",
    "breaks",
    "parity",
    "held",
)


@dataclass(slots=True, kw_only=True)
class RotationDay:
    """One session."""

    date: str
    status: str = ""
    """Of the rebalance."""
    orders: int = 0
    """Orders that reached the broker; a question for margin is none."""
    fills: int = 0
    bought_nano: int = 0
    sold_nano: int = 0
    settled_open_nano: int = 0
    """Settled cash at the open, dividends of the day included."""
    settled_least_nano: int = 0
    """The least that it fell to; below 0 would be a purchase on unsettled money."""
    cash_nano: int = 0
    """At the close, unsettled proceeds included."""
    clean: int = 0
    """Reconciliations that agreed."""
    breaks: int = 0
    parity: float | None = None
    """Largest difference of a live weight from research's."""
    held: dict[str, int] = field(default_factory=dict)
    """Whole shares at the close."""


def account_of_days(
    records: Sequence[Mapping[str, Any]], told: Sequence[AnyEvent], dates: Sequence[str], *, cash_nano: int
) -> list[RotationDay]:
    """Return a row for each date.

    Args:
        records: The broker's own record, in its order.
        told: The TAPE; of it rebalances and reconciliations are read.
        dates: ISO dates of the sessions, in order.
        cash_nano: Settled cash before the first of them.
    """
    rows: list[RotationDay] = []
    settled, shares = cash_nano, dict[str, int]()
    for date in dates:
        row = RotationDay(date=date, settled_open_nano=settled)
        of_day = [record for record in records if _date(record["ts_ns"]) == date]
        row.settled_open_nano += sum(record["paid_nano"] for record in of_day if record["kind"] == "dividend")
        left = row.settled_least_nano = row.settled_open_nano
        for record in of_day:
            left -= _spent(row, record, shares)
            row.settled_least_nano = min(row.settled_least_nano, left)
        settled = row.cash_nano = left + row.sold_nano
        row.held = {symbol: count for symbol, count in sorted(shares.items()) if count}
        rows.append(row)
    by_date = {row.date: row for row in rows}
    for event in told:
        if isinstance(event, RotationDecision) and event.session_date in by_date:
            by_date[event.session_date].status = event.status
        elif isinstance(event, ReconReport) and (found := by_date.get(_date(event.ts_ns))) is not None:
            found.clean += event.status == "clean"
            found.breaks += event.breaks
    return rows


def _spent(row: RotationDay, record: Mapping[str, Any], shares: dict[str, int]) -> int:
    """Count one record of the broker and return what it takes from settled cash."""
    match record["kind"]:
        case "place_received" if not record["what_if"]:
            row.orders += 1
        case "execution":
            buy = record["side"] == "BUY"
            amount: int = record["price_nano"] * record["quantity_micro"] // QUANTITY_SCALE
            row.fills += 1
            row.bought_nano += amount if buy else 0
            row.sold_nano += 0 if buy else amount
            count = record["quantity_micro"] // QUANTITY_SCALE
            shares[record["symbol"]] = shares.get(record["symbol"], 0) + (count if buy else -count)
            return amount if buy else 0
        case "commission":
            fee: int = record["commission_nano"]
            return fee
        case _:
            pass
    return 0


def as_table(rows: Sequence[RotationDay]) -> str:
    """Return the rows as a Markdown table."""
    lines = [" | ".join(HEADS), " | ".join("---" for _ in HEADS)]
    for row in rows:
        amounts = (row.bought_nano, row.sold_nano, row.settled_open_nano, row.settled_least_nano, row.cash_nano)
        cells = [row.date, row.status, str(row.orders), str(row.fills)]
        cells += [f"{amount / PRICE_SCALE:,.2f}" for amount in amounts]
        cells += [f"{row.breaks} in {row.clean} reports", "unknown" if row.parity is None else f"{row.parity:g}"]
        cells.append(", ".join(f"{symbol} {count}" for symbol, count in row.held.items()) or "cash")
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def _date(ts_ns: int) -> str:
    """Return the UTC date, which a regular session of New York does not leave."""
    return dt.datetime.fromtimestamp(ts_ns / NANOS_PER_SECOND, dt.UTC).date().isoformat()
