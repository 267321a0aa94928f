"""Owns what the arbiter learns from matured outcomes: past cycles wait here until their horizons have passed.

A cycle's forecasts are remembered with the close they were made at. When a bar ends a horizon, the arbiter records an
``OutcomeBlock``, and only that recorded fact teaches: conformal sets, model weights and drift. Every matured forecast
counts, traded or not; those of the warm-up only where ``warmup_teaches`` says so.

Horizons below one day are matured by the clock, within one session: over a night they have no outcome. Horizons from
one day on are counted in cycles, 390 of them a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from walstreet.domain import conformal_learn, drift, standardise, zoo_weights
from walstreet.domain.conformal_state import ConformalState
from walstreet.domain.drift import StatusChange
from walstreet.domain.drift_memory import DriftBank, MaturedModels
from walstreet.domain.learning_parameters import LearningParameters
from walstreet.domain.signals import CycleSignals
from walstreet.domain.standardise import StandardiserState
from walstreet.domain.units import (
    BPS,
    HORIZONS_MINUTES,
    MINUTE_NS,
    SESSION_MINUTES,
    FloatArray,
    IntArray,
    price_usd,
)
from walstreet.domain.zoo_state import ZooState
from walstreet_events import (
    Decision,
    DriftChange,
    EventId,
    FeatureBlock,
    OutcomeBlock,
    PredictionBlock,
    derive_id,
    float_block,
    tag_of,
)

PAST_SLACK = 8
PAST_MAX = HORIZONS_MINUTES[-1] + PAST_SLACK
"""Cycles remembered at most; fewer when the longest horizon in use is shorter."""
CHANGES_WAITING_MAX = 1_000


@dataclass(slots=True, kw_only=True)
class PastCycle:
    """One cycle whose horizons have not all passed."""

    predictions: str
    ts_ns: int
    number: int
    """Cycles before this one."""
    symbols: tuple[str, ...]
    close_usd: FloatArray
    signals: CycleSignals
    cost_bps: FloatArray | None = None
    """(H, N) from the decision record; None in the warm-up, where nothing was decided."""

    def canonical(self) -> tuple[object, ...]:
        """Return the content for a digest."""
        cost = b"" if self.cost_bps is None else self.cost_bps.tobytes()
        return (self.predictions, self.ts_ns, self.number, self.symbols, self.signals.canonical(), cost)


@dataclass(slots=True)
class LearningState:
    """Everything that was learned, and what waits to be."""

    past: dict[str, PastCycle] = field(default_factory=dict)
    """By prediction block, oldest first."""
    by_ts_ns: dict[int, str] = field(default_factory=dict)
    by_number: dict[int, str] = field(default_factory=dict)
    cycles: int = 0
    last_ts_ns: int = 0
    late: int = 0
    """Cycles that came after a newer one and were not kept."""
    standardiser: StandardiserState = field(default_factory=StandardiserState)
    weights: ZooState = field(default_factory=ZooState)
    conformal: ConformalState = field(default_factory=ConformalState)
    drift: DriftBank = field(default_factory=DriftBank)
    changes: list[StatusChange] = field(default_factory=list)
    """Changes of a model's health that are not recorded yet."""

    def canonical(self) -> tuple[object, ...]:
        """Return the content for a digest."""
        return (
            tuple(cycle.canonical() for cycle in self.past.values()),
            (self.cycles, self.last_ts_ns, self.late),
            self.standardiser.canonical(),
            self.weights.canonical(),
            self.conformal.canonical(),
            self.drift.canonical(),
            tuple((change.model, change.horizon_minutes, change.status.value) for change in self.changes),
        )


def remember(
    state: LearningState,
    block: FeatureBlock,
    predictions: PredictionBlock,
    signals: CycleSignals,
    parameters: LearningParameters,
) -> None:
    """Keep a cycle until its horizons have passed, and let its scores become part of the past.

    A cycle that is not newer than the last one (a bar that was repaired late) is not kept: its place in time has been
    passed over, and without signals nothing is traded on it. Nor is a cycle of the warm-up, unless it is to teach.
    """
    if predictions.warmup and not parameters.warmup_teaches:
        return
    if block.ts_ns <= state.last_ts_ns:
        state.late += 1
        return
    state.last_ts_ns = block.ts_ns
    if signals.raw.size:
        standardise.observe_scores(
            state.standardiser,
            signals.raw,
            models=signals.keys,
            symbols=signals.symbols,
            ts_ns=block.ts_ns,
            parameters=parameters.standardiser,
        )
    past = PastCycle(
        predictions=predictions.id,
        ts_ns=block.ts_ns,
        number=state.cycles,
        symbols=signals.symbols,
        close_usd=price_usd(block.close_nano.array()),
        signals=signals,
    )
    state.past[predictions.id] = past
    state.by_ts_ns[past.ts_ns] = predictions.id
    state.by_number[past.number] = predictions.id
    state.cycles += 1
    longest = int(signals.horizons_minutes.max()) if signals.horizons_minutes.size else 0
    while len(state.past) > min(longest + PAST_SLACK, PAST_MAX):
        oldest = state.past.pop(next(iter(state.past)))
        state.by_ts_ns.pop(oldest.ts_ns, None)
        state.by_number.pop(oldest.number, None)


def note_cost(state: LearningState, decision: Decision, cost_bps: FloatArray) -> None:
    """Attach the cost that a decision reckoned with to its cycle; symbols beyond the block are left out."""
    past = state.past.get(decision.predictions)
    if past is not None:
        past.cost_bps = np.ascontiguousarray(cost_bps[:, : len(past.symbols)])


def matured(state: LearningState, predictions: PredictionBlock, horizons_minutes: Sequence[int]) -> OutcomeBlock | None:
    """Return what became of the cycles whose horizons end with the newest bar, None if there is none.

    Args:
        state: Holds the newest cycle, that of ``predictions``.
        predictions: The cycle's prediction block, the cause of the event.
        horizons_minutes: (H,) ascending.
    """
    now = state.past.get(predictions.id)
    if now is None:
        return None
    rows = [(minutes, past) for minutes in horizons_minutes if (past := _due(state, now, minutes)) is not None]
    if not rows:
        return None
    returns = [_returns_bps(past, now) for _, past in rows]
    sigmas = [_sigma(past, now, minutes) for minutes, past in rows]
    return OutcomeBlock(
        id=derive_id(predictions.id, tag_of(OutcomeBlock), 0),
        cause=predictions.id,
        ts_ns=now.ts_ns,
        symbols=now.symbols,
        horizons_minutes=tuple(minutes for minutes, _ in rows),
        predictions=tuple(past.predictions for _, past in rows),
        return_bps=float_block(np.stack(returns)),
        sigma_bps=float_block(np.stack(sigmas)),
    )


def _due(state: LearningState, now: PastCycle, minutes: int) -> PastCycle | None:
    if minutes < SESSION_MINUTES:
        # A night is longer than any horizon below a day, so a cycle at this distance is of the same session.
        found = state.by_ts_ns.get(now.ts_ns - minutes * MINUTE_NS)
    else:
        found = state.by_number.get(now.number - minutes)
    return state.past.get(found) if found is not None else None


def _columns(past: PastCycle, symbols: tuple[str, ...]) -> IntArray | None:
    """Return for each symbol its column in ``past``, -1 where it was not there; None if all stand where they did."""
    if past.symbols == symbols:
        return None
    where = {symbol: column for column, symbol in enumerate(past.symbols)}
    return np.array([where.get(symbol, -1) for symbol in symbols], dtype=np.int64)


def _aligned(values: FloatArray, columns: IntArray | None) -> FloatArray:
    """Return ``values`` with their last axis in another order of symbols, NaN for unknown ones."""
    if columns is None:
        return values
    return np.where(columns >= 0, values[..., np.maximum(columns, 0)], np.nan)


def _returns_bps(past: PastCycle, now: PastCycle) -> FloatArray:
    before = _aligned(past.close_usd, _columns(past, now.symbols))
    with np.errstate(invalid="ignore", divide="ignore"):
        result: FloatArray = (now.close_usd / before - 1.0) * BPS
    return result


def last_return_bps(state: LearningState, now: PastCycle) -> FloatArray:
    """Return (N,) return of the last finished bar; NaN if the bar before is not known."""
    before = state.past.get(state.by_ts_ns.get(now.ts_ns - MINUTE_NS, ""))
    return _returns_bps(before, now) if before is not None else np.full(len(now.symbols), np.nan)


def _sigma(past: PastCycle, now: PastCycle, minutes: int) -> FloatArray:
    return _aligned(past.signals.sigma_bps(minutes), _columns(past, now.symbols))


def learn(state: LearningState, outcome: OutcomeBlock, parameters: LearningParameters) -> None:
    """Let everything learn from one recorded block of outcomes.

    Raises:
        ValueError: The block does not fit its own names.
    """
    count = len(outcome.symbols)
    returns, sigmas = outcome.return_bps.array(), outcome.sigma_bps.array()
    if returns.shape != (len(outcome.horizons_minutes), count) or sigmas.shape != returns.shape:
        raise ValueError(f"outcome block {outcome.id}: its arrays do not fit its {count} symbols and its horizons")
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = returns / sigmas
    realised = np.where(np.isfinite(ratio), ratio, np.nan)
    for row, (minutes, name) in enumerate(zip(outcome.horizons_minutes, outcome.predictions, strict=True)):
        past = state.past.get(name)
        if past is None:
            continue
        columns = _columns(past, outcome.symbols)
        conformal_learn.learn(
            state.conformal,
            horizon_minutes=minutes,
            ts_ns=past.ts_ns,
            # The gate of the cycle that recorded this outcome had been asked before it was known.
            now_ns=outcome.ts_ns + 1,
            scores=_aligned(past.signals.score(minutes), columns),
            outcomes=realised[row],
            parameters=parameters.conformal,
        )
        cross_section = _CrossSection(
            minutes=minutes, columns=columns, return_bps=returns[row], sigma_bps=sigmas[row], realised=realised[row]
        )
        _learn_models(state, past, cross_section, parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class _CrossSection:
    """One horizon's outcome, (N,) each."""

    minutes: int
    columns: IntArray | None
    """Column of each symbol in the past cycle; None if all stand where they did."""
    return_bps: FloatArray
    sigma_bps: FloatArray
    realised: FloatArray
    """Return over sigma."""


def _learn_models(
    state: LearningState, past: PastCycle, outcome: _CrossSection, parameters: LearningParameters
) -> None:
    minutes, columns = outcome.minutes, outcome.columns
    signals = past.signals
    members = signals.span(minutes)
    models = signals.models[members]
    if not models:
        return
    cost = np.full(len(outcome.return_bps), np.nan)
    if past.cost_bps is not None:
        cost = _aligned(past.cost_bps[signals.row(minutes)], columns)
        # Weights are judged by what survives the cost, and a warm-up has none: it teaches them nothing.
        zoo_weights.learn(
            state.weights,
            minutes,
            models=models,
            scores=_aligned(signals.standardised[members], columns),
            alphas_bps=_aligned(signals.alpha_bps[members], columns),
            outcomes=outcome.realised,
            returns_bps=outcome.return_bps,
            cost_bps=cost,
            ts_ns=past.ts_ns,
            parameters=parameters.weights,
        )
    changes = drift.observe_models(
        [state.drift.of(model, minutes, parameters.drift) for model in models],
        MaturedModels(
            ts_ns=past.ts_ns,
            scores=_aligned(signals.forecast[members], columns),
            slopes=np.ones(len(models)),
            return_bps=outcome.return_bps,
            sigma_bps=outcome.sigma_bps,
            cost_bps=cost,
        ),
        parameters.drift,
    )
    state.changes += changes[: max(0, CHANGES_WAITING_MAX - len(state.changes))]


def drift_events(state: LearningState, cause: EventId, ts_ns: int) -> list[DriftChange]:
    """Return the changes of model health that wait to be recorded, as events."""
    return [
        DriftChange(
            id=derive_id(cause, tag_of(DriftChange), index),
            cause=cause,
            ts_ns=ts_ns,
            model=change.model,
            horizon_minutes=change.horizon_minutes,
            previous=change.previous.value,
            status=change.status.value,
            reason=change.reason,
        )
        for index, change in enumerate(state.changes)
    ]


def recorded(state: LearningState, event: DriftChange) -> None:
    """Take a recorded change off the waiting list."""
    state.changes = [
        change
        for change in state.changes
        if (change.model, change.horizon_minutes, change.status.value)
        != (event.model, event.horizon_minutes, event.status)
    ]
