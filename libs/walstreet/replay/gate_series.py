"""Owns how many symbols each gate was asked about and let through, cycle by cycle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from walstreet.domain.gate_rates import GATE_NAMES, GateRate, gate_counts, judge_gate
from walstreet.domain.monitor_parameters import MonitorParameters
from walstreet_events import Verdict

MOVING_CYCLES = 30
"""Cycles behind one point of the picture."""


@dataclass(slots=True)
class GateSeries:
    """Counts of every cycle of a session, by gate."""

    ts_ns: list[int] = field(default_factory=list)
    asked: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in GATE_NAMES})
    passed: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in GATE_NAMES})

    def take(self, ts_ns: int, verdicts: Sequence[Verdict]) -> None:
        """Count the verdicts of one cycle."""
        self.ts_ns.append(ts_ns)
        for name, (asked, passed) in zip(GATE_NAMES, gate_counts(verdicts), strict=True):
            self.asked[name].append(asked)
            self.passed[name].append(passed)

    def forget(self, name: str) -> None:
        """Count a gate as never asked: it was switched off, and verdicts do not show that."""
        count = len(self.ts_ns)
        self.asked[name], self.passed[name] = [0] * count, [0] * count

    def rates(self, name: str) -> list[float]:
        """Return the pass rate of each cycle over the symbols that were asked about, NaN where none was."""
        return self.moving_rates(name, 1)

    def moving_rates(self, name: str, cycles: int = MOVING_CYCLES) -> list[float]:
        """Return the symbols let through over those asked about in the newest ``cycles`` up to each cycle."""
        asked, passed = self.asked[name], self.passed[name]
        rates: list[float] = []
        asked_now = passed_now = 0
        for place in range(len(asked)):
            asked_now, passed_now = asked_now + asked[place], passed_now + passed[place]
            if place >= cycles:
                asked_now, passed_now = asked_now - asked[place - cycles], passed_now - passed[place - cycles]
            rates.append(passed_now / asked_now if asked_now else float("nan"))
        return rates

    def totals(self, parameters: MonitorParameters) -> dict[str, GateRate]:
        """Return each gate over the whole session, judged as the checklist judges its window."""
        return {
            name: judge_gate(
                asked=sum(self.asked[name]),
                passed=sum(self.passed[name]),
                asked_min=parameters.gate_asked_min,
                selective=name in parameters.selective_gates,
            )
            for name in GATE_NAMES
        }
