"""Owns the execution core: from intents to journaled submissions, from the broker's facts to journaled outcomes.

Nothing here talks to the broker. A submission is an event; the service places the order once that event is
durable. After a restart or a reconnection every order without a proven outcome is unknown; its outcome is found
out by queries, and nothing is ever sent twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from walstreet.domain.arming import probed
from walstreet.domain.execution_cancel import CANCEL_EMERGENCY, CANCEL_EXPIRED, CANCEL_PANIC, cancelling
from walstreet.domain.execution_emergency import SOURCE_MODE, SOURCE_OPERATOR, begin, begin_observed
from walstreet.domain.execution_facts import Batch
from walstreet.domain.execution_flatten import acknowledge, cancel_once, steps
from walstreet.domain.execution_fold import fold
from walstreet.domain.execution_incarnations import incarnation_cancels
from walstreet.domain.execution_intents import decide_block
from walstreet.domain.execution_margin import answer_events, asked_again, timeout_events
from walstreet.domain.execution_modify import CHANGEABLE, modify_events
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.execution_protection import uncovered_events
from walstreet.domain.execution_reslice import reslice_events
from walstreet.domain.execution_seal import judge_block, note_block, note_units
from walstreet.domain.execution_state import PANIC, ExecutionState
from walstreet.domain.execution_waiting import due_events, expired_events, replaced_events
from walstreet.domain.marks import fold_marks, mark_events, note_quote
from walstreet.domain.observations import (
    AccountObserved,
    CommissionObserved,
    ExecutionObserved,
    LinkObserved,
    MarginObserved,
    Observation,
    OrderErrorObserved,
    OrderStatusObserved,
    PanicObserved,
    ProbeObserved,
    QuoteObserved,
    SnapshotObserved,
    TimeObserved,
)
from walstreet.domain.parameter_changes import Versions
from walstreet.domain.signing import require_keys
from walstreet_events import (
    NANOS_PER_SECOND,
    ROOT,
    AnyEvent,
    ClockTick,
    IntentBlock,
    Mode,
    ModeState,
    OperatorCommand,
    OrderState,
    ParameterChange,
    Service,
)


class ExecutionCore:
    """The pure core of the execution service; satisfies ``walstreet.ports.Core``."""

    def __init__(self, parameters: ExecutionParameters, keys: tuple[bytes, ...]) -> None:
        """Keep the validated parameters and the keys of the intents.

        Args:
            parameters: In force at the start.
            keys: Under which the arbiter signs: the present one, and the previous one while keys are exchanged.

        Raises:
            ValueError: No key, too many, or one that is too short.
        """
        require_keys(keys)
        self._versions = Versions(parameters)
        self._keys = keys

    @property
    def service(self) -> Service:
        """Return the producer this core decides for."""
        return Service.EXECUTION

    def initial(self) -> ExecutionState:
        """Return the state before the first event."""
        return ExecutionState()

    def evolve(self, state: ExecutionState, event: AnyEvent) -> ExecutionState:
        """Fold one fact (an input or an own output) into the state.

        Raises:
            ChangeRefusedError: A change of parameters that is not valid.
        """
        if isinstance(event, ParameterChange):
            self._versions.note(state.changes, Service.EXECUTION.value, event)
        elif isinstance(event, IntentBlock | ClockTick):
            state.changes.apply()
        parameters = self._versions.of(state.changes)
        if isinstance(event, IntentBlock):
            note_block(state, event, judge_block(state, event, self._keys, parameters.signing))
            note_units(state, event, fractional=parameters.fractional)
        fold(state, event, parameters)
        fold_marks(state.marks, event, state.quotes, believed=event.id in state.blocks)
        return state

    def decide(self, state: ExecutionState, event: AnyEvent) -> Sequence[AnyEvent]:
        """Return the events that input ``event`` causes, given the state that already contains it."""
        match event:
            case IntentBlock():
                return self._decide_block(state, event)
            case ClockTick():
                return self._decide_timers(state, event)
            case ModeState() if event.mode is Mode.EMERGENCY:
                return self._emergency(
                    state, event, source=SOURCE_MODE, operator="", detail=event.reason, why=CANCEL_EMERGENCY
                )
            case OperatorCommand() if event.command == PANIC:
                reason = event.arguments.get("reason", "")
                return self._emergency(
                    state, event, source=SOURCE_OPERATOR, operator=event.operator, detail=reason, why=CANCEL_PANIC
                )
            case _:
                return ()

    def observe(self, state: ExecutionState, observation: Observation) -> Sequence[AnyEvent]:
        """Return the events that a fact from outside causes; quotes and time only move the volatile part."""
        if isinstance(observation, QuoteObserved):
            state.quotes[observation.symbol] = observation
            note_quote(state.marks, observation)
            state.feed_ts_ns = max(state.feed_ts_ns, observation.ts_ns)
            state.observed_ns = max(state.observed_ns, observation.ts_ns)
            return ()
        batch = Batch(state)
        match observation:
            case OrderStatusObserved():
                cancels = incarnation_cancels(state, observation)
                batch.status(observation)
                batch.events.extend(cancels)
            case ExecutionObserved():
                batch.execution(observation)
            case CommissionObserved():
                batch.commission(observation)
            case OrderErrorObserved():
                batch.error(observation)
            case AccountObserved():
                batch.account(observation)
            case LinkObserved():
                batch.link(observation)
            case SnapshotObserved():
                batch.snapshot(observation, self._versions.of(state.changes))
            case MarginObserved() | TimeObserved() | ProbeObserved() | PanicObserved():
                return self._observe_own(state, observation)
            case _:
                # Trades, volumes, bars, halts, farms and reference data are the gateway's to journal.
                return ()
        return batch.events

    def _observe_own(
        self, state: ExecutionState, observation: MarginObserved | TimeObserved | ProbeObserved | PanicObserved
    ) -> Sequence[AnyEvent]:
        """Return what follows from an answer, from time, and from what a person did outside the log."""
        state.observed_ns = max(state.observed_ns, observation.ts_ns)
        parameters = self._versions.of(state.changes)
        match observation:
            case MarginObserved():
                return answer_events(state, observation, parameters)
            case TimeObserved():
                return self._decide_look(state, state.now_ns(observation.ts_ns))
            case ProbeObserved():
                return (probed(state.arming, observation, parameters.arming),)
            case PanicObserved():
                return begin_observed(state, observation, ROOT)

    def _decide_block(self, state: ExecutionState, block: IntentBlock) -> list[AnyEvent]:
        parameters = self._versions.of(state.changes)
        accepted = state.verdict is not None and state.verdict.accepted
        replaced = replaced_events(state, block, parameters) if accepted else []
        return [*replaced, *decide_block(state, block, parameters)]

    # ------------------------------------------------------------------------------------------- timers

    def _decide_look(self, state: ExecutionState, now_ns: int) -> list[AnyEvent]:
        """Return what is due within a minute: what an emergency asks, or changes of orders and the rest of parents."""
        parameters = self._versions.of(state.changes)
        if state.panic or state.emergency is not None:
            return steps(state, now_ns, parameters.flatten)
        # What is asked again takes order ids, and so do what waited and the rest of a parent: one of them in a look.
        sent = (
            asked_again(state, now_ns)
            or due_events(state, now_ns, parameters)
            or reslice_events(state, now_ns, parameters)
        )
        return [*uncovered_events(state, now_ns), *modify_events(state, now_ns, parameters), *sent]

    def _decide_timers(self, state: ExecutionState, tick: ClockTick) -> list[AnyEvent]:
        now_ns = tick.ts_ns
        parameters = self._versions.of(state.changes)
        silence_ns = round(parameters.acknowledge_s_max * NANOS_PER_SECOND)
        grace_ns = round(parameters.cancel_grace_s * NANOS_PER_SECOND)
        batch = Batch(state)
        outs: list[AnyEvent] = []
        for client_order_id in state.open_orders:
            order = state.orders[client_order_id]
            if order.state is OrderState.SUBMITTING and now_ns >= order.submitted_ns + silence_ns:
                batch.doubt(
                    client_order_id, now_ns, f"no answer within {parameters.acknowledge_s_max} s of the placement"
                )
            if order.asked_nano and order.state in CHANGEABLE and now_ns >= order.asked_ns + silence_ns:
                batch.doubt(client_order_id, now_ns, f"no answer within {parameters.acknowledge_s_max} s of a change")
            if now_ns >= order.good_till_ns + grace_ns and CANCEL_EXPIRED not in order.cancel_reasons:
                outs.append(cancelling(order, cause=tick.id, ts_ns=now_ns, reason=CANCEL_EXPIRED))
        answers = timeout_events(state, state.now_ns(now_ns), parameters)
        late = expired_events(state, state.now_ns(now_ns), parameters)
        return [*batch.events, *outs, *answers, *late, *mark_events(state.marks, tick, parameters.marks)]

    def _emergency(
        self,
        state: ExecutionState,
        event: ModeState | OperatorCommand,
        *,
        source: str,
        operator: str,
        detail: str,
        why: str,
    ) -> list[AnyEvent]:
        """Return the latch and a cancel of everything; what follows is driven by time and by the broker's answers."""
        began = begin(
            state,
            cause=event.id,
            natural=event.id,
            ts_ns=event.ts_ns,
            source=source,
            operator=operator,
            detail=detail,
        )
        if not began and isinstance(event, OperatorCommand):
            began = acknowledge(state, cause=event.id, ts_ns=event.ts_ns, detail="already in force")
        cancels = cancel_once(state, cause=event.id, ts_ns=event.ts_ns, reason=why, emergency=state.emergency)
        return [*began, *cancels]
