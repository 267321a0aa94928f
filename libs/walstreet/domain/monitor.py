"""Owns what is watched while trading: is the system still doing what its parts promise?

Recorded facts go in, cycle by cycle and outcome by outcome, into bounded windows; ``read`` gives the numbers of the
windows. From document 000, section 11, with its formulas mended where they did not measure what they name:

- *alpha budget* per horizon: predicted minus realised net edge in bps, over the symbols that were wanted;
- *coverage* per horizon: share of outcomes inside the interval that was forecast (80 % is promised);
- *barrier reliability*: see ``reliability``;
- *fill rate*: share of parents filled whole before their time in force ended;
- *churn*: ``1 - |net|/sum|intent|`` of the netted intents, and the document's ``turnover / no-trade band``;
- *latency*: bar's end to decision, quantiles by rank;
- *gates*: see ``gate_rates``;
- *selector*: whether the chosen horizon depends on the regime (``association``), and what its choices earned beyond the
  mean of all candidates, which is what choosing at random would have earned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from walstreet import kernels
from walstreet.domain.association import cramers_v
from walstreet.domain.gate_rates import GATE_NAMES, GateRate, gate_counts, judge_gate
from walstreet.domain.monitor_parameters import REGIMES_MAX, MonitorParameters
from walstreet.domain.reliability import WIDTH, Reliability, read_reliability, reliability_row
from walstreet.domain.rolling_rows import RollingRows, rolling_rows
from walstreet.domain.units import HORIZONS_MINUTES, FloatArray
from walstreet_events import Verdict

BARRIER_EVENTS: tuple[str, ...] = ("peak", "valley")
NO_REGIME = -1
EDGE_BPS_MAX = 1e6
"""A larger edge comes from a broken price and is left out."""

_PREDICTED, _REALISED, _WANTED, _ALL_REALISED, _ALL = range(5)
_TURNOVER, _TURNOVER_WANTED, _INTENTS, _NET, _BANDS, _BANDED = range(6)
_CHOICES = REGIMES_MAX * len(HORIZONS_MINUTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleFacts:
    """What one recorded cycle says; NaN where a fact is not known."""

    verdicts: tuple[Verdict, ...]
    turnover_weight: float
    """Sum of |change of weight| that was decided."""
    turnover_wanted_weight: float
    """The same if every wanted weight had been traded to without limits and band."""
    band_weight: float
    intents_abs_weight: float
    """Sum of |intent| before netting."""
    intents_net_weight: float
    """Sum over symbols of |net intent|."""
    latency_ms: float
    regime: int
    """0 to ``REGIMES_MAX`` - 1, ``NO_REGIME`` where it is not known."""
    chosen_horizons_minutes: tuple[int, ...]
    """Horizon of every symbol that was wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaturedEdge:
    """A matured horizon of one decision, (K,) symbols that had an edge there; NaN is left out."""

    horizon_minutes: int
    predicted_net_bps: FloatArray
    """``|alpha| - cost`` at the decision."""
    realised_net_bps: FloatArray
    """``sign(alpha)*return - cost``, with the realised cost where it was traded."""
    wanted: FloatArray
    """1 where this horizon was the chosen one and the symbol was wanted, else 0."""


@dataclass(slots=True, kw_only=True)
class MonitorMemory:
    """Windows of recorded facts."""

    cycles: int
    """Cycles ever noted."""
    gates: RollingRows
    flow: RollingRows
    latency: RollingRows
    choices: RollingRows
    parents: RollingRows
    edges: dict[int, RollingRows]
    coverage: dict[int, RollingRows]
    barriers: dict[str, RollingRows]

    def canonical(self) -> tuple[object, ...]:
        """Return the content for a digest."""
        flat = (self.gates, self.flow, self.latency, self.choices, self.parents)
        by_horizon = tuple(
            (horizon, self.edges[horizon].canonical(), self.coverage[horizon].canonical())
            for horizon in HORIZONS_MINUTES
        )
        barriers = tuple((event, self.barriers[event].canonical()) for event in BARRIER_EVENTS)
        return self.cycles, tuple(window.canonical() for window in flat), by_horizon, barriers


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorReading:
    """The numbers of the windows; NaN where there is nothing."""

    cycles: int
    gates: dict[str, GateRate]
    alpha_budget_bps: dict[int, float]
    realised_net_bps: dict[int, float]
    coverage: dict[int, float]
    coverage_count: dict[int, int]
    barriers: dict[str, Reliability]
    parents: int
    fill_rate: float
    fill_quantity_share: float
    turnover_weight: float
    turnover_wanted_weight: float
    churn: float
    turnover_bands: float
    """Turnover per no-trade band, document 000's churn."""
    latencies: int
    latency_p50_ms: float
    latency_p99_ms: float
    latency_max_ms: float
    selector_net_bps: float
    candidates_net_bps: float
    selector_count: int
    choices: int
    horizon_dependence: float
    """Corrected Cramér's V of regime and chosen horizon."""


def monitor_memory(parameters: MonitorParameters) -> MonitorMemory:
    """Return empty windows."""
    cycles, outcomes = parameters.window_cycles, parameters.window_outcomes
    return MonitorMemory(
        cycles=0,
        gates=rolling_rows(cycles, 2 * len(GATE_NAMES)),
        flow=rolling_rows(cycles, 6),
        latency=rolling_rows(cycles, 1),
        choices=rolling_rows(cycles, _CHOICES),
        parents=rolling_rows(parameters.window_parents, 2),
        edges={horizon: rolling_rows(outcomes, 5) for horizon in HORIZONS_MINUTES},
        coverage={horizon: rolling_rows(outcomes, 2) for horizon in HORIZONS_MINUTES},
        barriers={event: rolling_rows(outcomes, WIDTH) for event in BARRIER_EVENTS},
    )


# ------------------------------------------------------------------------------------------------------- noting


def note_cycle(memory: MonitorMemory, facts: CycleFacts) -> None:
    """Take one recorded cycle."""
    memory.cycles += 1
    memory.gates.push(np.array([value for pair in gate_counts(facts.verdicts) for value in pair], dtype=np.float64))
    banded = np.isfinite(facts.band_weight) and facts.band_weight > 0.0 and np.isfinite(facts.turnover_weight)
    netted = np.isfinite(facts.intents_abs_weight) and np.isfinite(facts.intents_net_weight)
    known = np.isfinite(facts.turnover_weight) and np.isfinite(facts.turnover_wanted_weight)
    memory.flow.push(
        np.array(
            [
                facts.turnover_weight if known else 0.0,
                facts.turnover_wanted_weight if known else 0.0,
                facts.intents_abs_weight if netted else 0.0,
                facts.intents_net_weight if netted else 0.0,
                facts.turnover_weight / facts.band_weight if banded else 0.0,
                float(banded),
            ]
        )
    )
    memory.latency.push(np.array([facts.latency_ms]))
    counts = np.zeros(_CHOICES)
    if 0 <= facts.regime < REGIMES_MAX:
        for horizon in facts.chosen_horizons_minutes:
            counts[facts.regime * len(HORIZONS_MINUTES) + HORIZONS_MINUTES.index(horizon)] += 1.0
    memory.choices.push(counts)


def note_edges(memory: MonitorMemory, matured: MaturedEdge) -> None:
    """Take one matured horizon; an edge that is missing or beyond ``EDGE_BPS_MAX`` is left out."""
    predicted, realised = matured.predicted_net_bps, matured.realised_net_bps
    with np.errstate(invalid="ignore"):
        known = (np.abs(predicted) <= EDGE_BPS_MAX) & (np.abs(realised) <= EDGE_BPS_MAX)
    wanted = known & (matured.wanted > 0.0)
    memory.edges[matured.horizon_minutes].push(
        np.array([_sum(predicted[wanted]), _sum(realised[wanted]), wanted.sum(), _sum(realised[known]), known.sum()])
    )


def note_coverage(memory: MonitorMemory, horizon_minutes: int, *, covered: int, total: int) -> None:
    """Take how many of a matured time's outcomes lay inside their intervals."""
    assert 0 <= covered <= total, (covered, total)
    memory.coverage[horizon_minutes].push(np.array([covered, total], dtype=np.float64))


def note_barriers(memory: MonitorMemory, event: str, probability: FloatArray, happened: FloatArray) -> None:
    """Take (K,) probabilities of ``peak`` or ``valley`` and whether the barrier was hit first, 1 or 0."""
    memory.barriers[event].push(reliability_row(probability, happened))


def note_parent(memory: MonitorMemory, *, quantity_micro: int, filled_in_time_micro: int) -> None:
    """Take a parent order that was sent and whose time in force is over."""
    assert quantity_micro > 0, quantity_micro
    share = min(1.0, max(0.0, filled_in_time_micro / quantity_micro))
    memory.parents.push(np.array([float(filled_in_time_micro >= quantity_micro), share]))


def _sum(values: FloatArray) -> float:
    return kernels.ordered_sum(np.ascontiguousarray(values)) if values.size else 0.0


# ------------------------------------------------------------------------------------------------------ reading


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0.0 else float("nan")


def quantile(ordered: FloatArray, share: float) -> float:
    """Return the ``ceil(share*n)``-th smallest of (n,) ascending values; NaN for none."""
    if not ordered.size:
        return float("nan")
    # The tolerance keeps .99 * 100, which is 99.00000000000001 for other factors, from becoming 100.
    rank = int(np.ceil(share * ordered.size - 1e-9))
    return float(ordered[max(1, min(rank, ordered.size)) - 1])


def _gates(memory: MonitorMemory, parameters: MonitorParameters) -> dict[str, GateRate]:
    totals = memory.gates.totals()
    return {
        name: judge_gate(
            asked=int(totals[2 * position]),
            passed=int(totals[2 * position + 1]),
            asked_min=parameters.gate_asked_min,
            selective=name in parameters.selective_gates,
        )
        for position, name in enumerate(GATE_NAMES)
    }


def _added(rows: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    """Return the sums of the columns, added in the order of the rows."""
    total = np.zeros(len(rows[0]))
    for row in rows:
        total = total + np.array(row)
    return tuple(total.tolist())


def read(memory: MonitorMemory, parameters: MonitorParameters) -> MonitorReading:
    """Return the numbers of the windows; nothing is changed."""
    flow = memory.flow.totals()
    latency = memory.latency.ordered()[:, 0]
    latency = np.sort(latency[np.isfinite(latency)])
    filled = memory.parents.totals()
    edges = {horizon: memory.edges[horizon].totals() for horizon in HORIZONS_MINUTES}
    coverage = {horizon: memory.coverage[horizon].totals() for horizon in HORIZONS_MINUTES}
    overall = _added(list(edges.values()))
    table = np.array(memory.choices.totals()).reshape(REGIMES_MAX, len(HORIZONS_MINUTES))
    return MonitorReading(
        cycles=memory.cycles,
        gates=_gates(memory, parameters),
        alpha_budget_bps={h: _ratio(row[_PREDICTED] - row[_REALISED], row[_WANTED]) for h, row in edges.items()},
        realised_net_bps={h: _ratio(row[_REALISED], row[_WANTED]) for h, row in edges.items()},
        coverage={h: _ratio(row[0], row[1]) for h, row in coverage.items()},
        coverage_count={h: int(row[1]) for h, row in coverage.items()},
        barriers={event: read_reliability(np.array(memory.barriers[event].totals())) for event in BARRIER_EVENTS},
        parents=memory.parents.count,
        fill_rate=_ratio(filled[0], memory.parents.count),
        fill_quantity_share=_ratio(filled[1], memory.parents.count),
        turnover_weight=flow[_TURNOVER],
        turnover_wanted_weight=flow[_TURNOVER_WANTED],
        churn=1.0 - _ratio(flow[_NET], flow[_INTENTS]),
        turnover_bands=_ratio(flow[_BANDS], flow[_BANDED]),
        latencies=int(latency.size),
        latency_p50_ms=quantile(latency, 0.50),
        latency_p99_ms=quantile(latency, 0.99),
        latency_max_ms=quantile(latency, 1.0),
        selector_net_bps=_ratio(overall[_REALISED], overall[_WANTED]),
        candidates_net_bps=_ratio(overall[_ALL_REALISED], overall[_ALL]),
        selector_count=int(overall[_WANTED]),
        choices=int(table.sum()),
        horizon_dependence=cramers_v(table),
    )
