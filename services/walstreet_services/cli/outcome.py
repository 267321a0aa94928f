"""Owns the end of a session: the invariants, the summary table and the JSON for machines."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from walstreet.domain.order import TERMINAL
from walstreet.domain.reconciler_parameters import Policy
from walstreet.replay.summary import Summary
from walstreet.replay.verify import TapeReport
from walstreet.runtime.settings import Settings
from walstreet_events import BreakKind, OrderState
from walstreet_services.cli.checks import checklist_json, checklist_text, gates_json, gates_text

OPEN_STATES = tuple(state.value for state in OrderState if state not in TERMINAL)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """Everything known about a session that ended."""

    summary: Summary
    tape: TapeReport
    dead_letters: int
    restarts: dict[str, int]
    memory_peak_kib: dict[str, int]
    cpu_s: dict[str, float]
    elapsed_s: float
    failure: str
    state: str
    settings: Settings
    seed: int
    broken: list[str] = field(default_factory=list)

    @property
    def memory_total_mib(self) -> float:
        """Return the sum of the peak resident sizes of all processes in MiB (an upper bound of the true peak)."""
        return sum(self.memory_peak_kib.values()) / 1024


def broken_invariants(outcome: Outcome) -> list[str]:
    """Return what must hold after every session and did not, one sentence each."""
    summary = outcome.summary
    broken = []
    if outcome.failure:
        broken.append(f"the session did not reach its close: {outcome.failure}")
    if not outcome.tape.clean:
        first = outcome.tape.faults[0]
        broken.append(f"the TAPE has {outcome.tape.faults_total} faults, first at {first.stream_seq}: {first.detail}")
    if outcome.dead_letters:
        broken.append(f"{outcome.dead_letters} dead letters; `walstreet tape dead --state {outcome.state}` lists them")
    if not summary.symbols or not summary.bars_expected:
        broken.append("the TAPE names no session: the gateway wrote no ref.session")
    broken.extend(
        f"{symbol}: {summary.bars_by_symbol[symbol]} of {summary.bars_expected} minutes accounted for"
        for symbol in summary.symbols
        if summary.bars_by_symbol[symbol] != summary.bars_expected
    )
    cycles = summary.bars_expected if outcome.settings.arbiter.intraday else 0
    if summary.decisions != cycles:
        broken.append(f"{summary.decisions} decisions for {cycles} cycles")
    breaks = dict(summary.recon_breaks)
    if outcome.settings.reconciler.cash is Policy.AUTO_SYNC:
        # A dividend: recorded once and taken over, as the settings ask for.
        breaks.pop(BreakKind.CASH.value, None)
    if breaks:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(breaks.items()))
        broken.append(f"reconciliation breaks: {kinds}")
    if not summary.recon_reports.get("clean"):
        broken.append("no clean reconciliation")
    still_open = {state: count for state, count in summary.order_states.items() if state in OPEN_STATES and count}
    if still_open:
        broken.append(f"orders without a final state: {still_open}")
    return broken


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return the summary for machines."""
    summary = outcome.summary
    return {
        "ok": not outcome.broken,
        "broken": outcome.broken,
        "session": {"date": summary.session_date, "market": summary.market, "symbols": list(summary.symbols)},
        "seed": outcome.seed,
        "elapsed_s": round(outcome.elapsed_s, 3),
        "memory_peak_mib": {name: round(kib / 1024, 1) for name, kib in outcome.memory_peak_kib.items()},
        "cpu_s": {name: round(value, 2) for name, value in outcome.cpu_s.items()},
        "memory_total_mib": round(outcome.memory_total_mib, 1),
        "restarts": outcome.restarts,
        "tape": {"messages": outcome.tape.messages, "clean": outcome.tape.clean, "bytes": outcome.tape.bytes},
        "dead_letters": outcome.dead_letters,
        "events": dict(sorted(summary.types.items())),
        "bars": {
            "cycles": summary.bars,
            "expected": summary.bars_expected,
            "by_symbol": dict(summary.bars_by_symbol),
            "empty": dict(summary.bars_empty),
            "mismatches": summary.bar_mismatches,
            "warmup": summary.warmup_blocks,
        },
        "decisions": summary.decisions,
        "verdicts": dict(summary.verdicts.most_common()),
        "gates": gates_json(summary),
        "checklist": checklist_json(summary.checklist),
        "modes": [{"ts_ns": ts, "mode": mode, "reason": reason} for ts, mode, reason in summary.modes],
        "intents": summary.intents,
        "orders": {
            "sent": summary.orders_sent,
            "refused": dict(summary.orders_refused),
            "states": dict(summary.order_states),
        },
        "fills": {
            "count": summary.fills,
            "notional_usd": round(summary.fills_notional, 2),
            "commission_usd": round(summary.commission, 4),
        },
        "positions": {symbol: quantity for symbol, quantity in sorted(summary.positions.items()) if quantity},
        "equity": {"first": summary.equity_first, "last": summary.equity_last, "change": summary.equity_change},
        "reconciliation": {"reports": dict(summary.recon_reports), "breaks": dict(summary.recon_breaks)},
        "latency_ms": summary.latency_ms,
        "hashes": summary.hashes,
        "state": outcome.state,
    }


def write_json(outcome: Outcome, target: str) -> None:
    """Write the summary to a file, or to standard output for ``-``."""
    text = json.dumps(as_json(outcome), indent=1)
    if target == "-":
        sys.stdout.write(text + "\n")
    else:
        Path(target).write_text(text + "\n", encoding="utf-8")


def print_outcome(console: Console, outcome: Outcome, report: Path) -> None:
    """Print the summary table and what is broken."""
    summary = outcome.summary
    table = Table(title=f"Session {summary.session_date} ({summary.market}, seed {outcome.seed})", show_header=False)
    for name, value in summary_rows(outcome):
        table.add_row(name, value)
    console.print(table)
    latency = Table("from the bar's close to", "p50 ms", "p90 ms", "p99 ms", "max ms", "samples", title="Latency")
    for name, values in summary.latency_ms.items():
        if values.get("samples"):
            numbers = [f"{values[key]:.2f}" for key in ("p50", "p90", "p99", "max")]
            latency.add_row(name.removeprefix("bar_to_"), *numbers, str(int(values["samples"])))
    console.print(latency)
    for text in outcome.broken:
        # The text may quote a log, and a log may hold what looks like markup.
        console.print(f"[red]broken:[/] {escape(text)}")
    if not outcome.broken:
        console.print("[green]all invariants hold[/]")
    console.print(f"report: {report}\nstate:  {outcome.state}")


def summary_rows(outcome: Outcome) -> list[tuple[str, str]]:
    """Return the rows of the summary table: name and text."""
    summary = outcome.summary
    empty = sum(summary.bars_empty.values())
    verdicts = ", ".join(f"{name} {count:,}" for name, count in summary.verdicts.most_common(6))
    states = ", ".join(f"{name} {count}" for name, count in summary.order_states.most_common())
    refused = ", ".join(f"{name} {count}" for name, count in summary.orders_refused.most_common(4))
    change = summary.equity_change
    names = f"{', '.join(summary.symbols[:8])}{' ...' if len(summary.symbols) > 8 else ''}"
    return [
        ("symbols", f"{len(summary.symbols)}: {names}"),
        ("bars", f"{summary.bars} of {summary.bars_expected} minutes for every symbol, {empty} of them empty"),
        ("warm-up", f"{summary.warmup_blocks} minutes; bars that differed from the broker's: {summary.bar_mismatches}"),
        ("decisions", f"{summary.decisions} cycles"),
        ("verdicts", verdicts or "none"),
        ("gates", gates_text(summary)),
        ("checklist", checklist_text(summary.checklist)),
        ("intents", f"{summary.intents}; refused by execution: {refused or 'none'}"),
        ("orders", f"{summary.orders_sent} sent; {states or 'none'}"),
        ("fills", f"{summary.fills}, ${summary.fills_notional:,.0f} traded, ${summary.commission:,.2f} commission"),
        ("equity", "unknown" if change is None else f"${summary.equity_last or 0.0:,.2f} ({change:+,.2f})"),
        ("reconciliation", f"{dict(summary.recon_reports)}; breaks: {sum(summary.recon_breaks.values())}"),
        ("TAPE", f"{outcome.tape.messages:,} messages, {outcome.tape.bytes / 1e6:.1f} MB, clean: {outcome.tape.clean}"),
        ("dead letters", str(outcome.dead_letters)),
        ("restarts", ", ".join(f"{n} {c}" for n, c in outcome.restarts.items() if c) or "none"),
        ("time", f"{outcome.elapsed_s:.1f} s; peak memory {outcome.memory_total_mib:,.0f} MiB over all processes"),
        ("hashes", "  ".join(f"{name} {value[:16]}" for name, value in summary.hashes.items())),
    ]
