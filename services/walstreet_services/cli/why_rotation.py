"""Owns `walstreet why` for the daily rotation: one symbol of one rebalance, from its numbers to what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from walstreet.runtime.errors import UsageError
from walstreet.runtime.loop_ports import Message
from walstreet_events import AnyEvent, RotationDecision, decode
from walstreet_events.order import IntentBlock, OrderIntent
from walstreet_services.cli.bot_preview import as_plain
from walstreet_services.cli.tapes import local_time

SUBJECT = "decision.rotation"
CYCLES = "decision.cycle"


def find_rotation(messages: Sequence[Message], text: str) -> RotationDecision | None:
    """Return the newest rebalance that ``text`` names: its date; its minute only where no intraday cycle has one."""
    wanted = text.replace("T", " ")
    cycles = any(message.subject == CYCLES for message in messages)
    found: RotationDecision | None = None
    for message in messages:
        if message.subject != SUBJECT:
            continue
        event = decode(message.payload)
        if isinstance(event, RotationDecision):
            minute = local_time(event.ts_ns)[:16]
            if wanted == event.session_date or (not cycles and wanted in {minute, minute[11:]}):
                found = event
    return found


def intent_of(orders: Sequence[AnyEvent], record: RotationDecision, symbol: str) -> OrderIntent | None:
    """Return the intent that the rebalance gave for a symbol."""
    blocks = [event for event in orders if isinstance(event, IntentBlock) and event.decision == record.id]
    return next((intent for block in blocks for intent in block.intents if intent.symbol == symbol), None)


def rotation_record(record: RotationDecision, symbol: str, life: Sequence[str]) -> dict[str, Any]:
    """Return one symbol of a rebalance as plain values.

    Raises:
        UsageError: The symbol is not in the rotation's universe.
    """
    if symbol not in record.symbols:
        raise UsageError(f"{symbol} is not in this rebalance; it has {', '.join(record.symbols)}")
    plain = as_plain(record)
    rows = {row["symbol"]: row for row in plain.pop("symbols")}
    return plain | {"time": local_time(record.ts_ns), "symbol": rows[symbol], "bars": record.bars, "life": list(life)}


def print_rotation(record: dict[str, Any]) -> None:
    """Print one symbol of a rebalance."""
    console, row = Console(), dict(record["symbol"])
    symbol, verdict, reason = row.pop("symbol"), row.pop("verdict"), row.pop("reason")
    console.print(
        f"[bold]{symbol}[/] in the rebalance of {record['time']}: [bold]{verdict}[/]; selection: {reason}\n"
        f"{record['strategy']}: {record['status']}, mode {record['mode']}, equity ${record['equity_usd']:,.2f}, "
        f"settled cash free ${record['settled_usd']:,.2f}\n"
        f"chosen: {', '.join(record['chosen']) or 'none'}; record {record['id']}, daily bars {record['bars']}"
    )
    table = Table("number", "value")
    for name, value in row.items():
        if name != "detail":
            table.add_row(name, "-" if value is None else f"{value:.6g}")
    console.print(table)
    for line in record["life"]:
        console.print(line, markup=False)
