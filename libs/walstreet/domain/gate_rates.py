"""Owns how often each gate of the pipeline lets a symbol through, read from the verdicts of a decision.

The pipeline asks its gates in a fixed order and a symbol's verdict is the first that stopped it, so a verdict says of
every gate before it *passed*, of its own *stopped*, and nothing of those after it. ``edge`` stands before
``conformal``, because the pipeline gives ``no_alpha`` first: the conformal gate is judged by the symbols that have an
edge. Verdicts that more than one step can give, or that come from the state of the whole book, count nowhere. Neither
does ``hold``: on a held symbol it replaces the verdict of ``edge``, ``conformal`` or ``reserve`` and does not say which
of them it was, and the rebalancing trigger gives it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from walstreet.domain.check_result import CheckResult
from walstreet_events import Verdict

GATES: tuple[tuple[str, tuple[Verdict, ...]], ...] = (
    ("fresh", (Verdict.STALE_QUOTE, Verdict.STALE_BAR)),
    ("prediction", (Verdict.NO_PRED,)),
    ("edge", (Verdict.NO_ALPHA,)),
    ("conformal", (Verdict.CONF_BLOCK,)),
    ("reserve", (Verdict.BELOW_THETA,)),
    ("barrier", (Verdict.PEAK_RISK, Verdict.VALLEY_RISK, Verdict.VALLEY_BOUNCE_PREF, Verdict.PEAK_FADE_PREF)),
    (
        "risk",
        (
            Verdict.RISK_NAME,
            Verdict.RISK_SECTOR,
            Verdict.RISK_NET,
            Verdict.RISK_GROSS,
            Verdict.RISK_CLUSTER,
            Verdict.RISK_VOLATILITY,
        ),
    ),
    ("band", (Verdict.IN_BAND,)),
    ("netting", (Verdict.CHURN, Verdict.HYSTERESIS)),
    ("minimum", (Verdict.BELOW_MIN,)),
)
"""Gates in the order of the pipeline, each with the verdicts by which it stops a symbol."""
UNCOUNTED: tuple[Verdict, ...] = (
    Verdict.HOLD,
    Verdict.NO_REF,
    Verdict.PENDING_ORDER,
    Verdict.NO_ENTRY_WINDOW,
    Verdict.MODE_OBSERVE,
    Verdict.MODE_EMERGENCY,
    Verdict.NOT_RECONCILED,
    Verdict.STALE_PRED,
    Verdict.CONF_UNCALIBRATED,
    Verdict.SCALE_OUT_50PCT,
    Verdict.TIGHTEN_SL,
    Verdict.NETTED,
)
"""Verdicts that say nothing about how selective a gate is."""
GATE_NAMES: tuple[str, ...] = tuple(name for name, _ in GATES)

_STOPPED_AT: dict[Verdict, int] = {
    verdict: position for position, (_, verdicts) in enumerate(GATES) for verdict in verdicts
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRate:
    """How one gate did over the window."""

    asked: int
    passed: int
    result: CheckResult
    """Failed where a selective gate let everything or nothing through; unknown before it was asked often enough."""

    @property
    def rate(self) -> float:
        """Return the share that passed, NaN where nothing was asked."""
        return self.passed / self.asked if self.asked else float("nan")


def gate_counts(verdicts: Sequence[Verdict]) -> tuple[tuple[int, int], ...]:
    """Return (asked, passed) of every gate of ``GATES`` for the verdicts of one decision."""
    stopped = [0] * len(GATES)
    through = 0
    for verdict in verdicts:
        position = _STOPPED_AT.get(verdict)
        if position is not None:
            stopped[position] += 1
        elif verdict is Verdict.ACCEPTED:
            through += 1
    counts: list[tuple[int, int]] = []
    asked = through + sum(stopped)
    for here in stopped:
        counts.append((asked, asked - here))
        asked -= here
    return tuple(counts)


def judge_gate(*, asked: int, passed: int, asked_min: int, selective: bool) -> GateRate:
    """Return the rate of a gate; one that always or never lets through is defective if it is meant to select."""
    if not selective or asked < asked_min:
        result = CheckResult.UNKNOWN
    else:
        result = CheckResult.PASSED if 0 < passed < asked else CheckResult.FAILED
    return GateRate(asked=asked, passed=passed, result=result)
