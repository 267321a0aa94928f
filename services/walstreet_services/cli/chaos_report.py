"""Owns the tables of docs/RELIABILITY.md: what was shown about crashes and known failures, from recorded results."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from walstreet.runtime.crash_points import POINTS
from walstreet.testing.chaos.plan import SERVICES
from walstreet.testing.chaos.result import ChaosResult, by_signal, matrix, session_rows, summary_rows
from walstreet.testing.chaos.rows import ROWS
from walstreet.testing.soak import SoakResult, faults, growth
from walstreet_services.cli.chaos_rows import RowsResult

FOLDER = Path("docs/reliability")
PAGE = Path("docs/RELIABILITY.md")
BEGIN, END = "<!-- {}: made by `make reliability` -->", "<!-- end of {} -->"


def main(argv: Sequence[str] | None = None) -> int:
    """Put the results of ``docs/reliability`` into the page's marked places."""
    top = argparse.ArgumentParser(prog="walstreet chaos report", description="Write results into docs/RELIABILITY.md.")
    top.add_argument("--folder", type=Path, default=FOLDER, help="chaos*.json, rows.json, fuzz.txt, soak.json")
    top.add_argument("--page", type=Path, default=PAGE)
    options = top.parse_args(argv)
    text = options.page.read_text(encoding="utf-8")
    runs = [
        msgspec.json.decode(path.read_bytes(), type=ChaosResult) for path in sorted(options.folder.glob("chaos*.json"))
    ]
    text = replaced(text, "crashes", crashes(runs))
    rows = options.folder / "rows.json"
    found = msgspec.json.decode(rows.read_bytes(), type=RowsResult) if rows.is_file() else None
    text = replaced(text, "rows", known_failures(found))
    fuzz = options.folder / "fuzz.txt"
    text = replaced(text, "fuzz", malformed(fuzz.read_text(encoding="utf-8").splitlines() if fuzz.is_file() else []))
    soak = options.folder / "soak.json"
    held = msgspec.json.decode(soak.read_bytes(), type=SoakResult) if soak.is_file() else None
    text = replaced(text, "soak", soaked(held))
    options.page.write_text(text, encoding="utf-8")
    return 0


def soaked(result: SoakResult | None) -> list[str]:
    """Return the tables of a soak."""
    if result is None:
        return ["Not run yet."]
    lines = [
        f"{result.hours:g} hours at {result.speed:g} times real time, seed {result.seed}:",
        "",
        "| session | minutes | orders | fills | clean reconciliations | breaks | dead letters | restarts | outcome |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for number, session in enumerate(result.sessions, start=1):
        summary = session.summary
        reports = summary["reconciliation"]
        numbers = (
            *(number, session.minutes, summary["orders"]["sent"], summary["fills"]["count"]),
            *(reports["reports"].get("clean", 0), sum(reports["breaks"].values()), summary["dead_letters"]),
            sum(summary["restarts"].values()),
            "; ".join(faults(session)) or "flat and clean",
        )
        lines.append("| " + " | ".join(str(value) for value in numbers) + " |")
    lines += ["", "| process | session | second quarter, MiB | last quarter, MiB |", "|---|---|---|---|"]
    for number, session in enumerate(result.sessions, start=1):
        for name, one in growth(session.samples).items():
            lines.append(f"| {name} | {number} | {one.before_mib:.1f} | {one.after_mib:.1f} |")
    return lines


def replaced(text: str, name: str, lines: Iterable[str]) -> str:
    """Return the page with other lines between the marks of ``name``."""
    begin, end = BEGIN.format(name), END.format(name)
    head, _, rest = text.partition(begin)
    _, found, tail = rest.partition(end)
    if not found:
        raise ValueError(f"the page has no place for {name}: {begin} ... {end}")
    return head + begin + "\n\n" + "\n".join(lines) + "\n\n" + end + tail


def crashes(runs: Sequence[ChaosResult]) -> list[str]:
    """Return the tables of the crash runs."""
    lines: list[str] = []
    for run in runs:
        lines += [
            (
                f"Seed {run.seed}: **{run.count} crashes in {len(run.sessions)} sessions** "
                f"({run.elapsed_s / 60:.0f} minutes)."
            ),
            "",
            *table(("sessions of", "runs", "crashes", "orders", "fills", "clean"), session_rows(run.sessions)),
            "",
            *table(("what was done", "times"), [(name, str(count)) for name, count in by_signal(run).items()]),
            "",
            *table(("violations", "count"), [(text, str(count)) for text, count in summary_rows(run)]),
            "",
        ]
    counts: dict[tuple[str, str], int] = {}
    for run in runs:
        for key, count in matrix(run).items():
            counts[key] = counts.get(key, 0) + count
    grid = [
        (f"`{point}`", meaning, *(str(counts.get((service, point), 0) or "·") for service in SERVICES))
        for point, meaning in POINTS.items()
    ]
    return [
        *lines,
        "All runs together, by moment and process:",
        "",
        *table(("moment", "what is true there", *SERVICES), grid),
    ]


def known_failures(found: RowsResult | None) -> list[str]:
    """Return the table of the broker's known failures."""
    outcomes = {row.script: row for row in found.rows} if found else {}
    lines = []
    for row in ROWS:
        outcome = outcomes.get(row.script)
        if outcome is None:
            verdict = "not run yet"
        elif outcome.faults:
            verdict = "**not met**: " + "; ".join(text for texts in outcome.faults.values() for text in texts)[:300]
        else:
            verdict = f"met ({outcome.orders} orders, {outcome.fills} fills)"
        lines.append((row.numbers, f"`{row.script}.yaml`", "lockstep" if row.lockstep else "free", row.duty, verdict))
    return table(("row", "script in tests/faults", "clock", "duty", "outcome"), lines)


def malformed(lines: Sequence[str]) -> list[str]:
    """Return the table of malformed inputs."""
    rows = [tuple(line.split()) for line in lines if line.strip()]
    total = sum(int(row[1]) for row in rows)
    return [
        *table(("kind", "inputs", "read all the same", "refused with a reason", "seed"), rows),
        "",
        f"{total:,} inputs: no crash, no hang." if rows else "Not run yet.",
    ]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table in Markdown."""
    return [
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows),
    ]


if __name__ == "__main__":
    sys.exit(main())
