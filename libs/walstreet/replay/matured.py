"""Owns the join of recorded decisions with the outcomes that matured later: edges, and coverage of intervals."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from walstreet.domain.monitor import MaturedEdge
from walstreet.domain.units import HORIZONS_MINUTES, FloatArray
from walstreet.replay.recorded_arrays import Need, aligned, floats, keep_newest, read_columns
from walstreet_events import Decision, OutcomeBlock

EDGES = Need(
    purpose="alpha budget and selector",
    per_symbol=("chosen_horizon_minutes", "wanted"),
    per_horizon=("net_bps", "alpha_blended_bps", "cost_bps"),
)
COVERAGE = Need(purpose="coverage", per_horizon=("outcome_lower_bps", "outcome_upper_bps"))
SLACK = 8
PAST_MAX = HORIZONS_MINUTES[-1] + SLACK
"""Decisions that wait at most: one a minute for as long as the longest horizon; fewer with shorter ones in use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How many realised returns of one matured horizon lay inside their intervals."""

    horizon_minutes: int
    covered: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MaturedRow:
    """One matured horizon of one decision; None where its columns are not on the TAPE."""

    edge: MaturedEdge | None
    coverage: Coverage | None


@dataclass(slots=True, kw_only=True)
class _Past:
    symbols: tuple[str, ...]
    horizons_minutes: tuple[int, ...]
    open_minutes: list[int]
    """Horizons that have not matured."""
    edges: dict[str, FloatArray] | None
    coverage: dict[str, FloatArray] | None


@dataclass(slots=True)
class Matured:
    """Decisions whose horizons have not all passed, by prediction block."""

    lacking: Counter[str]
    """What records lacked, with the number of records."""
    _past: dict[str, _Past] = field(default_factory=dict)

    def take_decision(self, decision: Decision) -> None:
        """Keep what the outcomes of this decision will be held against."""
        known = [minutes for minutes in decision.horizons_minutes if minutes in HORIZONS_MINUTES]
        if not known:
            return
        past = _Past(
            symbols=decision.symbols,
            horizons_minutes=decision.horizons_minutes,
            open_minutes=known,
            edges=read_columns(decision, EDGES, self.lacking),
            coverage=read_columns(decision, COVERAGE, self.lacking),
        )
        keep_newest(self._past, decision.predictions, past, min(max(known) + SLACK, PAST_MAX))

    def take_outcomes(self, block: OutcomeBlock) -> list[MaturedRow]:
        """Return what matured with this block, once for each decision and horizon; warm-up cycles had no decision."""
        returns = floats(block.return_bps, (len(block.horizons_minutes), len(block.symbols)))
        if returns is None or len(block.predictions) != len(block.horizons_minutes):
            self.lacking["outcomes: a block does not fit its names"] += 1
            return []
        rows: list[MaturedRow] = []
        for minutes, name, realised in zip(block.horizons_minutes, block.predictions, returns, strict=True):
            past = self._past.get(name)
            if past is None or minutes not in past.open_minutes:
                continue
            past.open_minutes.remove(minutes)
            if not past.open_minutes:
                del self._past[name]
            rows.append(_row(past, minutes, aligned(realised, past.symbols, block.symbols)))
        return rows


def _row(past: _Past, minutes: int, return_bps: FloatArray) -> MaturedRow:
    row = past.horizons_minutes.index(minutes)
    return MaturedRow(
        edge=None if past.edges is None else _edge(past.edges, row, minutes, return_bps),
        coverage=None if past.coverage is None else _coverage(past.coverage, row, minutes, return_bps),
    )


def _edge(columns: dict[str, FloatArray], row: int, minutes: int, return_bps: FloatArray) -> MaturedEdge:
    net, alpha, cost = (columns[name][row] for name in ("net_bps", "alpha_blended_bps", "cost_bps"))
    edge = np.isfinite(net) & (net != 0.0)
    wanted = (columns["wanted"] > 0.0) & (columns["chosen_horizon_minutes"] == minutes)
    return MaturedEdge(
        horizon_minutes=minutes,
        predicted_net_bps=(np.abs(alpha) - cost)[edge],
        realised_net_bps=(np.sign(net) * return_bps - cost)[edge],
        wanted=wanted[edge].astype(np.float64),
    )


def _coverage(columns: dict[str, FloatArray], row: int, minutes: int, return_bps: FloatArray) -> Coverage:
    lower, upper = columns["outcome_lower_bps"][row], columns["outcome_upper_bps"][row]
    # An interval without an end on one side is infinite there, which is an answer; a missing one is none.
    known = ~np.isnan(lower) & ~np.isnan(upper) & np.isfinite(return_bps)
    covered = known & (lower <= return_bps) & (return_bps <= upper)
    return Coverage(horizon_minutes=minutes, covered=int(covered.sum()), total=int(known.sum()))
