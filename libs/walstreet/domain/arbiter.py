"""Owns the arbiter's core: facts in, one explained decision per cycle and its order intents out.

A cycle is decided when its prediction block arrives and its feature block is known. Warm-up blocks cause nothing.
Every other cycle gives exactly one ``Decision``, also when nothing may be traded, and an ``IntentBlock`` iff some
symbol was accepted. The mode is judged first, so that a decision is made in the mode that its facts allow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from walstreet.domain import book_memory, horizon_learning, learning, rotation_live, rotation_memory
from walstreet.domain.arbiter_fold import NO_VALUES, fold
from walstreet.domain.arbiter_parameters import ArbiterParameters, config_hash
from walstreet.domain.arbiter_state import (
    ArbiterState,
    mode_causes,
)
from walstreet.domain.calibrate import BarrierModel, ModelCalibration
from walstreet.domain.conformal_history import ConformalHistory, seed_from
from walstreet.domain.cycle import CycleResult, run_cycle
from walstreet.domain.cycle_inputs import CycleInputs, build_inputs
from walstreet.domain.decision_record import column_values, columns_of
from walstreet.domain.mode import next_mode, track_health
from walstreet.domain.mode_causes import latency_request
from walstreet.domain.observations import DecisionTimed, Observation
from walstreet.domain.parameter_changes import ChangeRefusedError, Versions
from walstreet.domain.prefilter_step import prefilter_event, remembered
from walstreet.domain.signals import CycleSignals, SignalSources, ZooRows, cycle_signals
from walstreet.domain.units import FloatArray
from walstreet_events import (
    NANOS_PER_SECOND,
    AnyEvent,
    DailyBars,
    Decision,
    DriftChange,
    FeatureBlock,
    IntentBlock,
    Mode,
    ModeState,
    OrderFilled,
    OrderIntent,
    OutcomeBlock,
    ParameterChange,
    PredictionBlock,
    Prefilter,
    Service,
    Side,
    derive_id,
    float_block,
    tag_of,
)

FIXED = ("arbiter.learning.", "arbiter.gates.")
"""What was learned under one set of these parameters means nothing under another."""


def _trained_sigma(calibrations: Sequence[ModelCalibration], horizons_minutes: Sequence[int]) -> FloatArray:
    """Return (H,) standard deviation of a horizon's forecasts in training: the weighted mean over its models."""
    found: list[float] = []
    for minutes in horizons_minutes:
        items = [item for item in calibrations if item.horizon_minutes == minutes]
        mass = math.fsum(item.weight for item in items)
        total = math.fsum(item.weight * item.score_sigma for item in items)
        found.append(total / mass if mass > 0.0 else float("nan"))
    return np.array(found)


class ArbiterCore:
    """The arbiter as the shared loop runs it; satisfies ``walstreet.ports.Core``."""

    def __init__(
        self,
        parameters: ArbiterParameters,
        calibrations: Sequence[ModelCalibration],
        barriers: Sequence[BarrierModel] = (),
        *,
        imbalance_column: int | None = None,
        history: ConformalHistory | None = None,
    ) -> None:
        """Take the parameters, and the calibrations and barrier models of the model manifest.

        Args:
            parameters: In force at the start.
            calibrations: Of the return models.
            barriers: Models of barrier probabilities.
            imbalance_column: Where the feature blocks hold the order-flow imbalance, which the meta-model of the
                horizon choice reads; None leaves it unknown.
            history: What the conformal gate starts from; None for nothing.

        Raises:
            ValueError: No calibration at all, or two for the same model and horizon.
        """
        keys = [(item.model, item.horizon_minutes) for item in calibrations]
        if not keys:
            raise ValueError("the arbiter has no model calibration; the model manifest must name at least one")
        if len(dict.fromkeys(keys)) != len(keys):
            raise ValueError(f"two calibrations for the same model and horizon among {sorted(keys)}")
        self._versions = Versions(parameters)
        self._learning = parameters.learning
        self._gates = parameters.gates
        self._calibrations = tuple(calibrations)
        self._zoo = ZooRows.create(calibrations)
        self._barriers = tuple(barriers)
        self._horizons_minutes = tuple(sorted(dict.fromkeys(horizon for _, horizon in keys)))
        self._horizons = np.array(self._horizons_minutes, dtype=np.int64)
        self._imbalance_column = imbalance_column
        self._history = history
        self._score_sigma = _trained_sigma(self._calibrations, self._horizons_minutes)

    @property
    def service(self) -> Service:
        """Return the producer this core decides for."""
        return Service.ARBITER

    def initial(self) -> ArbiterState:
        """Return the state before the first event: OBSERVE, nothing known."""
        learned = learning.LearningState()
        if self._history is not None:
            seed_from(learned.conformal, self._history, self._learning.conformal)
        return ArbiterState(
            learning=learned,
            book=book_memory.initial(self._learning.covariance),
            choices=horizon_learning.initial(self._horizons_minutes),
        )

    def observe(self, state: ArbiterState, observation: Observation) -> Sequence[AnyEvent]:
        """Return the lateness of a decision as a fact while it matters: when it is too late, and when no longer."""
        if not isinstance(observation, DecisionTimed):
            return ()
        bound = self._versions.of(state.changes).mode_causes.latency_ms_max
        before = state.faults.latency_ms
        if observation.latency_ms <= bound and (before is None or before <= bound):
            return ()
        return (latency_request(observation.decision, observation.latency_ms),)

    # -------------------------------------------------------------------------------------------- folding

    def evolve(self, state: ArbiterState, event: AnyEvent) -> ArbiterState:
        """Fold one fact into the state.

        Raises:
            ValueError: The event is malformed (array shapes, unknown mode in a command, a parameter that is none).
        """
        if isinstance(event, ParameterChange):
            if event.path.startswith(FIXED):
                raise ChangeRefusedError(f"{event.path} holds from the start of a session; change it and restart")
            self._versions.note(state.changes, Service.ARBITER.value, event)
        elif isinstance(event, PredictionBlock):
            # The boundary of a cycle: what was changed before it holds for the whole of it.
            state.changes.apply()
        elif isinstance(event, OrderFilled) and not state.ledger.knows(event.exec_id):
            book_memory.note_fill(state.book, event, self._learning)
        elif isinstance(event, FeatureBlock):
            event = self._slim(event)
        rotation_memory.note(state.rotation, event, state.ledger)
        fold(state, event)
        parameters = self._versions.of(state.changes)
        if isinstance(event, PredictionBlock):
            self._remember(state, event)
        elif isinstance(event, Decision):
            self._note_decision(state, event, parameters)
        else:
            self._note_other(state, event, parameters)
        now_ns = max(state.clock_ns, event.ts_ns)
        state.working.expire(state.clock_ns)
        track_health(state.mode, mode_causes(state, now_ns, parameters), now_ns)
        return state

    def _slim(self, block: FeatureBlock) -> FeatureBlock:
        """Return the block without its features, of which only the order-flow imbalance is ever read here.

        A warm-up has a thousand blocks, and all of them may wait for their predictions at once.
        """
        column = self._imbalance_column
        if column is None or block.values.shape[1:] <= (column,):
            return msgspec.structs.replace(block, values=NO_VALUES)
        return msgspec.structs.replace(block, values=float_block(block.values.array()[:, column : column + 1]))

    def _remember(self, state: ArbiterState, predictions: PredictionBlock) -> None:
        if state.joined is None:
            return
        book_memory.observe_block(state.book, state.joined, self._learning)
        signals = self._signals(state, state.joined, predictions)
        learning.remember(state.learning, state.joined, predictions, signals, self._learning)

    @staticmethod
    def _note_decision(state: ArbiterState, decision: Decision, parameters: ArbiterParameters) -> None:
        learning.note_cost(state.learning, decision, column_values(decision, "cost_bps"))
        close_ns = state.session.close_ns if state.session is not None else None
        book_memory.note_decision(state.book, decision, close_ns, parameters.netting)
        horizon_learning.note_decision(state.choices, decision, parameters.arbitration)

    def _note_other(self, state: ArbiterState, event: AnyEvent, parameters: ArbiterParameters) -> None:
        match event:
            case OutcomeBlock():
                learning.learn(state.learning, event, self._learning)
                horizon_learning.learn(state.choices, event, parameters.arbitration)
            case DriftChange():
                learning.recorded(state.learning, event)
            case IntentBlock():
                book_memory.note_intents(state.book, event)
            case Prefilter():
                state.prefilter = remembered(event, parameters.prefilter.cache_s)
            case _:
                pass

    # ------------------------------------------------------------------------------------------- deciding

    def decide(self, state: ArbiterState, event: AnyEvent) -> Sequence[AnyEvent]:
        """Return the mode change and the decision that ``event`` causes, given the state that contains it.

        Raises:
            ValueError: A prediction block whose array does not fit its names.
        """
        outputs: list[AnyEvent] = []
        parameters = self._versions.of(state.changes)
        mode = state.mode.mode
        now_ns = max(state.clock_ns, event.ts_ns)
        change = next_mode(state.mode, mode_causes(state, now_ns, parameters), now_ns, parameters.mode)
        if change is not None:
            outputs.append(
                ModeState(
                    id=derive_id(event.id, tag_of(ModeState), 0),
                    cause=event.id,
                    ts_ns=event.ts_ns,
                    mode=change[0],
                    previous=mode,
                    reason=change[1],
                )
            )
            mode = change[0]
        if isinstance(event, DailyBars):
            outputs.extend(rotation_live.rebalance(state, event, mode, parameters.rotation))
        return [*outputs, *self.decide_in(state, event, mode)]

    def decide_in(self, state: ArbiterState, event: AnyEvent, mode: Mode) -> Sequence[AnyEvent]:
        """Return the decision that ``event`` causes in a given ``mode``, and what was learned.

        Where several strategies share an account its mode is not theirs to decide (``strategies``).
        """
        if not isinstance(event, PredictionBlock):
            return ()
        outputs: list[AnyEvent] = []
        parameters = self._versions.of(state.changes)
        if parameters.intraday and not event.warmup:
            outputs.extend(self._cycle(state, event, mode, parameters))
        # Behind the intents, which wait for nothing: what is learned here holds from the next cycle on.
        outcome = learning.matured(state.learning, event, self._horizons_minutes)
        outputs.extend([outcome] if outcome is not None else [])
        outputs.extend(learning.drift_events(state.learning, event.id, event.ts_ns))
        return outputs

    def _signals(self, state: ArbiterState, block: FeatureBlock, predictions: PredictionBlock) -> CycleSignals:
        return cycle_signals(
            block,
            predictions,
            self._horizons,
            SignalSources(
                zoo=self._zoo,
                standardiser=state.learning.standardiser,
                weights=state.learning.weights,
                drift=state.learning.drift,
                parameters=self._learning,
                gates=self._gates,
            ),
        )

    def _cycle(
        self, state: ArbiterState, predictions: PredictionBlock, mode: Mode, parameters: ArbiterParameters
    ) -> list[AnyEvent]:
        inputs = build_inputs(
            state,
            predictions,
            mode=mode,
            horizons_minutes=self._horizons_minutes,
            parameters=parameters,
            barrier_models=self._barriers,
        )
        result = run_cycle(inputs, parameters)
        decision = Decision(
            id=derive_id(predictions.id, tag_of(Decision), 0),
            cause=predictions.id,
            ts_ns=inputs.ts_ns,
            symbols=inputs.symbols,
            horizons_minutes=self._horizons_minutes,
            features=predictions.features,
            predictions=predictions.id,
            mode=mode,
            equity_nano=state.equity_nano or 0,
            verdicts=result.verdicts,
            columns=columns_of(result.columns),
            config_hash=config_hash(parameters, self._calibrations, self._history),
        )
        intents = self._intents(state, decision, inputs, result, parameters)
        prefilter = prefilter_event(
            inputs,
            result.columns,
            state.prefilter,
            predictions,
            score_sigma=self._score_sigma,
            parameters=parameters,
        )
        after: list[AnyEvent] = [] if prefilter is None else [prefilter]
        if not intents:
            return [decision, *after]
        block = IntentBlock(
            id=derive_id(predictions.id, tag_of(IntentBlock), 0),
            cause=predictions.id,
            ts_ns=inputs.ts_ns,
            decision=decision.id,
            mode=mode.value,
            intents=intents,
            epoch=state.epoch,
        )
        return [decision, block, *after]

    @staticmethod
    def _intents(
        state: ArbiterState,
        decision: Decision,
        inputs: CycleInputs,
        result: CycleResult,
        parameters: ArbiterParameters,
    ) -> tuple[OrderIntent, ...]:
        intents: list[OrderIntent] = []
        alpha, weight = result.columns["alpha_final_bps"], result.columns["weight_final"]
        for index, quantity in enumerate(result.quantity_micro.tolist()):
            if quantity == 0:
                continue
            symbol, position = inputs.symbols[index], int(inputs.position_micro[index])
            side = Side.BUY if quantity > 0 else Side.SELL
            horizon = int(result.order_horizon_minutes[index])
            tif_s = parameters.order.tif_of(horizon)
            intents.append(
                OrderIntent(
                    id=derive_id(decision.id, f"intent:{symbol}:{side.value}", 0),
                    symbol=symbol,
                    con_id=state.instruments[symbol].con_id,
                    side=side,
                    quantity_micro=abs(quantity),
                    reducing=position * quantity < 0 and abs(quantity) <= abs(position),
                    horizon_minutes=horizon,
                    arrival_mid_nano=int(inputs.mid_nano[index]),
                    tif_s=tif_s,
                    expires_ns=inputs.ts_ns + tif_s * parameters.order.parent_tifs * NANOS_PER_SECOND,
                    # An exit may have no alpha behind it; NaN has no place in an order.
                    alpha_bps=float(alpha[index]) if math.isfinite(alpha[index]) else 0.0,
                    target_weight=float(weight[index]),
                )
            )
        return tuple(intents)
