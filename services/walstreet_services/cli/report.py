"""Owns report.html: one self-contained page with the session's numbers and pictures, no script, no network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from walstreet.replay.gate_series import MOVING_CYCLES
from walstreet_services.cli.checks import (
    CHECK_HEADS,
    GATE_HEADS,
    MISSING,
    asked_gates,
    checklist_rows,
    checklist_text,
    gate_rows,
)
from walstreet_services.cli.outcome import Outcome, summary_rows
from walstreet_services.cli.svg import bars, lines
from walstreet_services.cli.tca_section import tca_section

NO_MARKS: Mapping[str, str] = {}
COLOURS = ("var(--a)", "var(--b)", "var(--c)")
MARKS = {"passed": "good", "failed": "bad"}
"""How the result of a check is coloured."""
NUMBER = re.compile(r"[+-]?[\d,]*\.?\d+(e[+-]?\d+)?")
STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --paper: #ffffff; --rule: #d8dee6; --quiet: #5b6675;
  --good: #1a7f4b; --bad: #b3261e; --a: #2563eb; --b: #d97706; --c: #0f766e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --paper: #12161c; --rule: #313a46; --quiet: #97a3b2;
  --good: #4ade80; --bad: #f87171; --a: #60a5fa; --b: #fbbf24; --c: #2dd4bf; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .3rem .6rem;
  border-bottom: 1px solid var(--rule); vertical-align: top; } td.n, th.n { text-align: right;
  font-variant-numeric: tabular-nums; } .quiet { color: var(--quiet); } .good { color: var(--good); }
.bad { color: var(--bad); } svg { width: 100%; height: auto; } svg text { fill: var(--quiet); font-size: 11px; }
code { font-size: .85em; word-break: break-all; }
"""


def write_report(outcome: Outcome, path: Path) -> None:
    """Write the page."""
    path.write_text(render(outcome), encoding="utf-8")


def render(outcome: Outcome) -> str:
    """Return the page's HTML."""
    summary = outcome.summary
    title = f"walstreet session {summary.session_date}"
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f"<p class='quiet'>{escape(_subtitle(outcome))}</p>",
        _verdict(outcome),
        _equity(outcome),
        _exposure(outcome),
        _verdicts(outcome),
        _gates(outcome),
        _checklist(outcome),
        _latency(outcome),
        _positions(outcome),
        tca_section(summary.costs, _table),
        _minutes(outcome),
        "<h2>Summary</h2>",
        _table(("", ""), summary_rows(outcome)),
        "<h2>Hashes</h2><p class='quiet'>Same seed and code, same hashes: payloads in per-subject order.</p>",
        _table(("log", "SHA-256"), [(name, value) for name, value in summary.hashes.items()], code=True),
        "<h2>Modes</h2>",
        _table(("UTC", "mode", "reason"), [(_clock(ts), mode, reason) for ts, mode, reason in summary.modes]),
        "</body></html>",
    ]
    return "\n".join(parts)


def _subtitle(outcome: Outcome) -> str:
    summary = outcome.summary
    return f"{summary.market} market, seed {outcome.seed}, {len(summary.symbols)} symbols; all times UTC"


def _verdict(outcome: Outcome) -> str:
    if not outcome.broken:
        return "<p class='good'>All invariants hold.</p>"
    items = "".join(f"<li>{escape(text)}</li>" for text in outcome.broken)
    return f"<p class='bad'>Broken invariants:</p><ul class='bad'>{items}</ul>"


def _equity(outcome: Outcome) -> str:
    series = outcome.summary.series
    if len(series.ts_ns) < 2:
        return ""
    picture = lines(
        [_clock(ts) for ts in series.ts_ns],
        [("net liquidation", "var(--a)", series.equity)],
        unit="USD",
        label="Net liquidation over the session",
    )
    return f"<h2>Equity</h2>{picture}"


def _exposure(outcome: Outcome) -> str:
    series = outcome.summary.series
    if len(series.ts_ns) < 2:
        return ""
    picture = lines(
        [_clock(ts) for ts in series.ts_ns],
        [("gross", "var(--b)", series.gross), ("net", "var(--c)", series.net)],
        unit="of equity",
        label="Gross and net exposure over the session",
    )
    return f"<h2>Exposure</h2>{picture}"


def _verdicts(outcome: Outcome) -> str:
    counts = outcome.summary.verdicts.most_common()
    if not counts:
        return ""
    picture = bars([(name, float(count)) for name, count in counts], label="Verdicts per symbol and cycle")
    return f"<h2>Verdicts</h2>{picture}"


def _gates(outcome: Outcome) -> str:
    summary = outcome.summary
    rows = gate_rows(summary)
    if not rows:
        return ""
    series = summary.series.gates
    drawn = [name for name in summary.selective_gates if name in asked_gates(summary)]
    picture = ""
    if drawn and len(series.ts_ns) >= 2:
        picture = lines(
            [_clock(ts) for ts in series.ts_ns],
            [
                (name, COLOURS[number % len(COLOURS)], [100.0 * rate for rate in series.moving_rates(name)])
                for number, name in enumerate(drawn)
            ],
            unit="%",
            label=f"Share of symbols that the selective gates let through, over {MOVING_CYCLES} cycles",
            bounds=(0.0, 100.0),
        )
    quiet = f"Symbols let through of those asked about; the lines are ratios over {MOVING_CYCLES} cycles."
    return f"<h2>Gates</h2><p class='quiet'>{quiet}</p>{picture}{_table(GATE_HEADS, rows)}"


def _checklist(outcome: Outcome) -> str:
    log = outcome.summary.checklist
    rows = checklist_rows(log)
    if not rows:
        return ""
    notes = "".join(f"<li>{escape(note)}</li>" for note in log.notes)
    unknown = f"<p class='quiet'>Not on the TAPE:</p><ul class='quiet'>{notes}</ul>" if notes else ""
    table = _table(CHECK_HEADS, rows, marks=MARKS)
    return f"<h2>Checklist</h2><p class='quiet'>{escape(checklist_text(log))}</p>{table}{unknown}"


def _latency(outcome: Outcome) -> str:
    rows = [
        (
            name.removeprefix("bar_to_"),
            *(f"{values[key]:.2f}" for key in ("p50", "p90", "p99", "max")),
            str(values["samples"]),
        )
        for name, values in outcome.summary.latency_ms.items()
        if values.get("samples")
    ]
    heads = ("from the bar's close to", "p50 ms", "p90 ms", "p99 ms", "max ms", "samples")
    return f"<h2>Latency</h2>{_table(heads, rows)}" if rows else ""


def _positions(outcome: Outcome) -> str:
    held = [(symbol, f"{quantity:+,.0f}") for symbol, quantity in sorted(outcome.summary.positions.items()) if quantity]
    text = _table(("symbol", "shares"), held) if held else "<p>Flat.</p>"
    return f"<h2>Positions at the end</h2>{text}"


def _table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    code: bool = False,
    marks: Mapping[str, str] = NO_MARKS,
) -> str:
    """Return a table; a column of numbers only is aligned to the right, its head with it.

    ``marks`` gives the class of every cell that has exactly this text.
    """
    numeric = [bool(rows) and all(_is_number(row[index]) for row in rows) for index in range(len(heads))]

    def cell(text: str, index: int) -> str:
        inner = f"<code>{escape(text)}</code>" if code and index else escape(text)
        name = "n" if numeric[index] else marks.get(text, "")
        return f"<td class='{name}'>{inner}</td>" if name else f"<td>{inner}</td>"

    head = "".join(
        f"<th class='n'>{escape(name)}</th>" if numeric[index] else f"<th>{escape(name)}</th>"
        for index, name in enumerate(heads)
    )
    head = head if any(heads) else ""
    body = "".join(f"<tr>{''.join(cell(text, i) for i, text in enumerate(row))}</tr>" for row in rows)
    return f"<table>{f'<tr>{head}</tr>' if head else ''}{body}</table>"


def _is_number(text: str) -> bool:
    return text == MISSING or NUMBER.fullmatch(text) is not None


def _minutes(outcome: Outcome) -> str:
    summary = outcome.summary
    rows = [
        (
            symbol,
            str(summary.bars_by_symbol[symbol] - summary.bars_empty[symbol]),
            str(summary.bars_empty[symbol]),
            str(summary.bars_by_symbol[symbol]),
            str(summary.bars_expected),
        )
        for symbol in summary.symbols
    ]
    heads = ("symbol", "with trades", "explicitly empty", "accounted for", "minutes of the session")
    return f"<h2>Minutes</h2>{_table(heads, rows)}" if rows else ""


def _clock(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns / 1e9, tz=UTC).strftime("%H:%M") if ts_ns else ""
