"""Owns the arbiter's core: facts in, one explained decision per cycle and its order intents out.

A cycle is decided when its prediction block arrives and its feature block is known. Warm-up blocks cause nothing.
Every other cycle gives exactly one ``Decision``, also when nothing may be traded, and an ``IntentBlock`` iff some
symbol was accepted. The mode is judged first, so that a decision is made in the mode that its facts allow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from walstreet.domain import learning
from walstreet.domain.arbiter_fold import fold
from walstreet.domain.arbiter_parameters import ArbiterParameters, config_hash
from walstreet.domain.arbiter_state import (
    ArbiterState,
    mode_causes,
)
from walstreet.domain.calibrate import BarrierModel, ModelCalibration
from walstreet.domain.cycle import CycleResult, run_cycle
from walstreet.domain.cycle_inputs import CycleInputs, build_inputs
from walstreet.domain.decision_record import column_values, columns_of
from walstreet.domain.mode import next_mode, track_health
from walstreet.domain.observations import Observation
from walstreet.domain.parameter_changes import ChangeRefusedError, Versions
from walstreet.domain.signals import CycleSignals, SignalSources, cycle_signals
from walstreet_events import (
    NANOS_PER_SECOND,
    AnyEvent,
    Decision,
    DriftChange,
    FeatureBlock,
    IntentBlock,
    Mode,
    ModeState,
    OrderIntent,
    OutcomeBlock,
    ParameterChange,
    PredictionBlock,
    Service,
    Side,
    derive_id,
    tag_of,
)

FIXED = ("arbiter.learning.", "arbiter.gates.")
"""What was learned under one set of these parameters means nothing under another."""


class ArbiterCore:
    """The arbiter as the shared loop runs it; satisfies ``walstreet.ports.Core``."""

    def __init__(
        self,
        parameters: ArbiterParameters,
        calibrations: Sequence[ModelCalibration],
        barriers: Sequence[BarrierModel] = (),
    ) -> None:
        """Take the parameters, and the calibrations and barrier models of the model manifest.

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
        self._barriers = tuple(barriers)
        self._horizons_minutes = tuple(sorted(dict.fromkeys(horizon for _, horizon in keys)))
        self._horizons = np.array(self._horizons_minutes, dtype=np.int64)

    @property
    def service(self) -> Service:
        """Return the producer this core decides for."""
        return Service.ARBITER

    def initial(self) -> ArbiterState:
        """Return the state before the first event: OBSERVE, nothing known."""
        return ArbiterState()

    def observe(self, state: ArbiterState, observation: Observation) -> Sequence[AnyEvent]:
        """Return nothing: the arbiter learns only from the log."""
        del state, observation
        return ()

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
        fold(state, event)
        match event:
            case PredictionBlock() if state.joined is not None:
                signals = self._signals(state, state.joined, event)
                learning.remember(state.learning, state.joined, event, signals, self._learning)
            case OutcomeBlock():
                learning.learn(state.learning, event, self._learning)
            case DriftChange():
                learning.recorded(state.learning, event)
            case Decision():
                learning.note_cost(state.learning, event, column_values(event, "cost_bps"))
            case _:
                pass
        now_ns = max(state.clock_ns, event.ts_ns)
        state.working.expire(state.clock_ns)
        track_health(state.mode, mode_causes(state), now_ns)
        return state

    # ------------------------------------------------------------------------------------------- deciding

    def decide(self, state: ArbiterState, event: AnyEvent) -> Sequence[AnyEvent]:
        """Return the mode change and the decision that ``event`` causes, given the state that contains it.

        Raises:
            ValueError: A prediction block whose array does not fit its names.
        """
        outputs: list[AnyEvent] = []
        parameters = self._versions.of(state.changes)
        mode = state.mode.mode
        change = next_mode(state.mode, mode_causes(state), max(state.clock_ns, event.ts_ns), parameters.mode)
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
        if isinstance(event, PredictionBlock):
            if not event.warmup:
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
                calibrations=self._calibrations,
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
            config_hash=config_hash(parameters, self._calibrations),
        )
        intents = self._intents(state, decision, inputs, result, parameters)
        if not intents:
            return [decision]
        block = IntentBlock(
            id=derive_id(predictions.id, tag_of(IntentBlock), 0),
            cause=predictions.id,
            ts_ns=inputs.ts_ns,
            decision=decision.id,
            mode=mode.value,
            intents=intents,
            epoch=state.epoch,
        )
        return [decision, block]

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
                    expires_ns=inputs.ts_ns + tif_s * NANOS_PER_SECOND,
                    # An exit may have no alpha behind it; NaN has no place in an order.
                    alpha_bps=float(alpha[index]) if math.isfinite(alpha[index]) else 0.0,
                    target_weight=float(weight[index]),
                )
            )
        return tuple(intents)
