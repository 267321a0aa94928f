"""Owns the monitoring of a recorded session: events in the order of the TAPE become windows, readings and checklists.

What a record lacks, because an older revision wrote it, is left out and named; nothing is guessed. Two kinds of facts
are on no TAPE: whether the order connection was paced, and the sum of a blend's renormalised weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from walstreet.domain.check_result import CheckResult
from walstreet.domain.checklist import checklist_due
from walstreet.domain.gate_rates import GateRate
from walstreet.domain.monitor import (
    NO_REGIME,
    CycleFacts,
    monitor_memory,
    note_barriers,
    note_coverage,
    note_cycle,
    note_edges,
    note_parent,
    read,
)
from walstreet.domain.monitor_facts import cycle_facts
from walstreet.domain.monitor_parameters import MonitorParameters
from walstreet.domain.units import HORIZONS_MINUTES
from walstreet.replay.barrier_paths import BARRIER_MINUTES, BarrierPaths
from walstreet.replay.checklist_log import COUNTED, ChecklistClerk, ChecklistLog
from walstreet.replay.gate_series import GateSeries
from walstreet.replay.matured import Matured
from walstreet.replay.parents import ParentOutcome, Parents
from walstreet.replay.recorded_arrays import Need, keep_newest, read_columns
from walstreet.runtime.loop_ports import Message
from walstreet_events import (
    PRICE_SCALE,
    AnyEvent,
    BarBlock,
    ClockTick,
    Decision,
    FeatureBlock,
    IntentBlock,
    OrderFilled,
    OrderSubmitting,
    OutcomeBlock,
    PhaseName,
    PredictionBlock,
    SessionPhase,
)
from walstreet_events import headers as names

TURNOVER = Need(
    purpose="turnover and chosen horizons",
    per_symbol=("weight_current", "weight_final", "weight_wanted", "wanted", "chosen_horizon_minutes", "band"),
)
INTENTS = Need(purpose="churn", per_symbol=("netting_wanted_usd", "netting_churn"))
REGIME = Need(purpose="regime", per_symbol=("turbulent",))
CONFORMAL = Need(purpose="conformal gate", per_horizon=("conf_pass", "conf_lower_bps", "conf_upper_bps", "cost_bps"))
CONFORMAL_GATE = "conformal"
CALM, TURBULENT = 0, 1
"""Regimes of the whole market."""
TURBULENT_SHARE_MIN = 0.5
"""Share of the symbols in the turbulent regime from which on the market is in it."""
DECIDED_MAX = 10_000
"""Decisions remembered so that a second copy, written by a later life of the arbiter, counts once."""
WALLS_MAX = 100
"""Bars whose append is remembered for the latency of their decisions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What was seen of a whole session."""

    cycles: int
    gates: dict[str, GateRate]
    """Over the session."""
    series: GateSeries
    checklist: ChecklistLog


class SessionWatch:
    """Folds a session's events into monitoring, one at a time."""

    def __init__(self, parameters: MonitorParameters | None = None) -> None:
        """Start before the first event."""
        self.parameters = parameters or MonitorParameters()
        self.memory = monitor_memory(self.parameters)
        self.series = GateSeries()
        self.checklist = ChecklistLog()
        self._lacking: Counter[str] = Counter()
        self._clerk = ChecklistClerk()
        self._matured = Matured(self._lacking)
        self._barriers = BarrierPaths()
        self._parents = Parents()
        self._bar_wall: dict[int, int] = {}
        self._decided: dict[str, None] = {}
        self._conformal_unasked = 0
        """Cycles that do not show a conformal gate at work."""
        self._closed = False

    def take(self, message: Message, event: AnyEvent) -> None:
        """Fold the next event; ``message`` is the one that carried it."""
        if isinstance(event, COUNTED):
            self._clerk.take(event)
        match event:
            case ClockTick():
                self._note_parents(self._parents.pass_time(event.ts_ns))
            case Decision():
                self._take_decision(message, event)
            case BarBlock():
                self._take_bar(message, event)
            case FeatureBlock():
                self._barriers.take_features(event)
            case PredictionBlock():
                self._barriers.take_predictions(event)
            case OutcomeBlock():
                self._take_outcomes(event)
            case IntentBlock():
                self._parents.take_intents(event)
            case OrderSubmitting():
                self._parents.take_sent(event)
            case OrderFilled():
                self._parents.take_fill(event)
            case SessionPhase():
                self._closed = event.phase is PhaseName.CLOSED
            case _:
                pass

    def finish(self) -> Watched:
        """Return what was seen; what came after the last evaluation gets one of its own. Call it once."""
        self._note_parents(self._parents.finish())
        if self._rotates_only():
            self._clerk.forget_due()
        last = self.checklist.last
        unevaluated = last is None or self.memory.cycles > last.cycle
        if self._clerk.close(ended=self._closed) or (unevaluated and self.memory.cycles):
            self._evaluate(self.series.ts_ns[-1] if self.series.ts_ns else self._parents.clock_ns)
        for name in self._off():
            self.series.forget(name)
        self.checklist.notes = self._notes()
        return Watched(
            cycles=self.memory.cycles,
            gates=self.series.totals(self.parameters),
            series=self.series,
            checklist=self.checklist,
        )

    def _rotates_only(self) -> bool:
        """Return whether the arbiter decided, and never by the intraday cycle, which is ``arbiter.intraday`` off."""
        return self._clerk.rotates and not self._decided

    # ----------------------------------------------------------------------------------------------- cycles

    def _take_decision(self, message: Message, decision: Decision) -> None:
        if decision.id in self._decided:
            return
        keep_newest(self._decided, decision.id, None, DECIDED_MAX)
        wall, bar_wall = message.number(names.WALL_NS), self._bar_wall.get(decision.ts_ns)
        latency_ms = (wall - bar_wall) / 1e6 if wall and bar_wall else float("nan")
        note_cycle(self.memory, self._facts(decision, latency_ms))
        self.series.take(decision.ts_ns, decision.verdicts)
        self._conformal_unasked += not self._asks_conformal(decision)
        self._matured.take_decision(decision)
        self._clerk.take_decision(decision)
        if checklist_due(self.memory.cycles, self.parameters):
            self._evaluate(decision.ts_ns)

    def _facts(self, decision: Decision, latency_ms: float) -> CycleFacts:
        regime = self._regime(decision)
        intents_abs, intents_net = self._intents(decision)
        columns = read_columns(decision, TURNOVER, self._lacking)
        if columns is not None and not np.isfinite(columns["chosen_horizon_minutes"][columns["wanted"] > 0.0]).all():
            self._lacking[f"{TURNOVER.purpose}: a wanted symbol has no horizon"] += 1
            columns = None
        if columns is None:
            nan = float("nan")
            return CycleFacts(
                verdicts=decision.verdicts,
                turnover_weight=nan,
                turnover_wanted_weight=nan,
                band_weight=nan,
                intents_abs_weight=intents_abs,
                intents_net_weight=intents_net,
                latency_ms=latency_ms,
                regime=regime,
                chosen_horizons_minutes=(),
            )
        facts = cycle_facts(
            decision,
            regime=regime,
            latency_ms=latency_ms,
            intents_abs_weight=intents_abs,
            intents_net_weight=intents_net,
        )
        known = tuple(minutes for minutes in facts.chosen_horizons_minutes if minutes in HORIZONS_MINUTES)
        return replace(facts, chosen_horizons_minutes=known)

    def _intents(self, decision: Decision) -> tuple[float, float]:
        """Return the sizes of a cycle's wanted orders over equity, and what of them netting's own window leaves.

        The window reaches back over earlier cycles, so an order that undoes the last one leaves little.
        """
        columns = read_columns(decision, INTENTS, self._lacking)
        equity_usd = decision.equity_nano / PRICE_SCALE
        if columns is None or not equity_usd > 0.0:
            return float("nan"), float("nan")
        wanted, churn = np.abs(columns["netting_wanted_usd"]) / equity_usd, columns["netting_churn"]
        known = np.isfinite(wanted) & np.isfinite(churn)
        wanted, churn = wanted[known], churn[known]
        return float(wanted.sum()), float((wanted * (1.0 - churn)).sum())

    def _regime(self, decision: Decision) -> int:
        columns = read_columns(decision, REGIME, self._lacking)
        if columns is None or not decision.symbols:
            return NO_REGIME
        share = float((columns["turbulent"] > 0.0).mean())
        return TURBULENT if share >= TURBULENT_SHARE_MIN else CALM

    def _asks_conformal(self, decision: Decision) -> bool:
        """Return whether the record shows a conformal gate at work.

        One that is switched off passes everything, also what its recorded interval does not let clear the cost.
        Verdicts alone would show it as one that asked and was always content.
        """
        columns = read_columns(decision, CONFORMAL, self._lacking)
        if columns is None:
            return False
        cost = columns["cost_bps"]
        clears = (columns["conf_lower_bps"] > cost) | (columns["conf_upper_bps"] < -cost)
        passed = columns["conf_pass"] > 0.0
        return bool((~passed).any() or clears.all())

    def _off(self) -> tuple[str, ...]:
        """Return the gates that no cycle shows at work."""
        return (CONFORMAL_GATE,) if self.memory.cycles and self._conformal_unasked == self.memory.cycles else ()

    def _evaluate(self, ts_ns: int) -> None:
        reading = read(self.memory, self.parameters)
        off = {name: GateRate(asked=0, passed=0, result=CheckResult.UNKNOWN) for name in self._off()}
        reading = replace(reading, gates=reading.gates | off)
        self.checklist.add(self._clerk.evaluate(self.memory.cycles, ts_ns, reading, self.parameters))

    # --------------------------------------------------------------------------------------------- outcomes

    def _take_bar(self, message: Message, block: BarBlock) -> None:
        if not block.warmup and (wall := message.number(names.WALL_NS)):
            keep_newest(self._bar_wall, block.ts_ns, wall, WALLS_MAX)
        for outcome in self._barriers.take_bar(block):
            note_barriers(self.memory, outcome.event, outcome.probability, outcome.happened)

    def _take_outcomes(self, block: OutcomeBlock) -> None:
        for row in self._matured.take_outcomes(block):
            if row.edge is not None:
                note_edges(self.memory, row.edge)
            if row.coverage is not None:
                found = row.coverage
                note_coverage(self.memory, found.horizon_minutes, covered=found.covered, total=found.total)

    def _note_parents(self, ended: Sequence[ParentOutcome]) -> None:
        for parent in ended:
            note_parent(
                self.memory, quantity_micro=parent.quantity_micro, filled_in_time_micro=parent.filled_in_time_micro
            )

    def _notes(self) -> list[str]:
        """Return what the TAPE does not say, one sentence each."""
        notes = [f"{what} ({count} records)" for what, count in sorted(self._lacking.items())]
        if not self._barriers.forecasts and self.memory.cycles:
            notes.append(
                f"barrier_slope: no probability of peak or valley within {BARRIER_MINUTES} minutes is recorded"
            )
        if self._rotates_only():
            notes.append("every_cycle_decided: the rotation decided and no intraday cycle did; it was switched off")
        if self._barriers.broken:
            notes.append(f"barrier_slope: {self._barriers.broken} forecasts are left out, a bar after them is missing")
        notes.extend(f"gate_{name}: no cycle shows this gate at work; it was switched off" for name in self._off())
        if not self._clerk.throttles_seen:
            notes.append("no_throttling: no pacing message is recorded, and the order connection's would not be")
        notes.append("blend_weights_sum: the sum of a blend's renormalised weights is not recorded")
        return notes
