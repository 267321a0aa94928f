"""Owns how the gates' pass rates and the verification checklist are worded: rows for people, JSON for machines."""

from __future__ import annotations

import math
from typing import Any

from walstreet.domain.check_result import CheckResult
from walstreet.domain.checklist import ChecklistItem
from walstreet.domain.gate_rates import GateRate
from walstreet.replay.checklist_log import ChecklistLog
from walstreet.replay.summary import Summary

GATE_HEADS = ("gate", "asked", "let through", "rate %", "verdict")
CHECK_HEADS = ("item", "result", "value", "threshold", "detail")
MISSING = "-"
"""Shown where there is no number."""
GUARDS = "guards only"
"""A gate that is not meant to select is not judged."""


def asked_gates(summary: Summary) -> dict[str, GateRate]:
    """Return the gates that were asked at all, in the order of the pipeline."""
    return {name: rate for name, rate in summary.gates.items() if rate.asked}


def gates_text(summary: Summary) -> str:
    """Return one line about every gate that was asked."""
    parts = [
        f"{name} {100.0 * rate.rate:.0f} % of {rate.asked:,}"
        + (f" ({_verdict(name, rate, summary)})" if rate.result is CheckResult.FAILED else "")
        for name, rate in asked_gates(summary).items()
    ]
    return ", ".join(parts) or "none asked"


def gate_rows(summary: Summary) -> list[tuple[str, ...]]:
    """Return the rows under ``GATE_HEADS`` of the gates that were asked."""
    return [
        (
            name,
            f"{rate.asked:,}",
            f"{rate.passed:,}",
            f"{100.0 * rate.rate:.1f}",
            _verdict(name, rate, summary),
        )
        for name, rate in asked_gates(summary).items()
    ]


def _verdict(name: str, rate: GateRate, summary: Summary) -> str:
    if name not in summary.selective_gates:
        return GUARDS
    if rate.result is CheckResult.FAILED:
        return "failed: always lets through" if rate.passed else "failed: never lets through"
    return f"{rate.result.value}: asked too rarely" if rate.result is CheckResult.UNKNOWN else f"{rate.result.value}"


def checklist_text(log: ChecklistLog) -> str:
    """Return one line about the newest evaluation and about what failed in any."""
    if log.last is None:
        return "not evaluated: no cycle was recorded"
    counts = {result: sum(item.result is result for item in log.last.items) for result in CheckResult}
    text = ", ".join(f"{count} {result.value}" for result, count in counts.items())
    return f"{text} after {log.last.cycle:,} cycles; failed at any time: {failures_text(log)}"


def failures_text(log: ChecklistLog) -> str:
    """Return what failed in any evaluation, with how often."""
    count = len(log.evaluations)
    return ", ".join(f"{code} ({times} of {count})" for code, times in sorted(log.failures.items())) or "nothing"


def checklist_rows(log: ChecklistLog) -> list[tuple[str, ...]]:
    """Return the rows under ``CHECK_HEADS`` of the newest evaluation."""
    items = log.last.items if log.last is not None else ()
    return [(item.code, item.result.value, _text(item.value), _text(item.threshold), item.detail) for item in items]


def gates_json(summary: Summary) -> dict[str, Any]:
    """Return every gate for machines; a rate without a question is null."""
    return {
        name: {"asked": rate.asked, "passed": rate.passed, "rate": _known(rate.rate), "result": rate.result.value}
        for name, rate in summary.gates.items()
    }


def checklist_json(log: ChecklistLog) -> dict[str, Any]:
    """Return every evaluation, the newest in full, for machines."""
    return {
        "evaluations": [
            {"cycle": found.cycle, "ts_ns": found.ts_ns, "failed": list(found.failed)} for found in log.evaluations
        ],
        "last": [_item(item) for item in log.last.items] if log.last is not None else [],
        "failed_at_any_time": dict(sorted(log.failures.items())),
        "not_recorded": list(log.notes),
    }


def _item(item: ChecklistItem) -> dict[str, Any]:
    return {
        "code": item.code,
        "result": item.result.value,
        "value": _known(item.value),
        "threshold": _known(item.threshold),
        "detail": item.detail,
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _text(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else MISSING
