"""Owns the reconciler core: asks for the broker's truth, compares it with our books and reports what differs.

It holds no broker connection: execution answers its requests with journaled snapshots, so that every report is a
pure function of the log. An answer that failed or never came is *unknown*, never *flat*.
"""

from __future__ import annotations

from collections.abc import Sequence

from walstreet.domain.observations import Observation
from walstreet.domain.parameter_changes import Versions
from walstreet.domain.reconcile import Difference
from walstreet.domain.reconciler_parameters import Policy, ReconcilerParameters
from walstreet.domain.reconciler_state import ReconcilerState, ReportStatus, RequestReason, Result, fold
from walstreet.domain.tca_step import tca_events, tca_state
from walstreet_events import (
    NANOS_PER_SECOND,
    AnyEvent,
    ClockTick,
    EventId,
    Mode,
    ModeRequest,
    OperatorCommand,
    OrderLink,
    ParameterChange,
    ReconBreak,
    ReconReport,
    ReconRequest,
    ReconSnapshot,
    Service,
    SessionRef,
    derive_id,
    tag_of,
)

NO_SNAPSHOT = ""
"""What a report names when no snapshot came."""


class ReconcilerCore:
    """Decides what the reconciler journals; satisfies ``walstreet.ports.Core``."""

    def __init__(self, parameters: ReconcilerParameters, tunables: dict[str, float] | None = None) -> None:
        """Take the parameters, and the configured values of other services' thresholds that may be tuned, by path."""
        self._versions = Versions(parameters)
        self._tunables = tunables or {}

    @property
    def service(self) -> Service:
        """Return the producer this core decides for."""
        return Service.RECONCILER

    def initial(self) -> ReconcilerState:
        """Return the state before the first event."""
        return ReconcilerState(tca=tca_state(self._tunables))

    def evolve(self, state: ReconcilerState, event: AnyEvent) -> ReconcilerState:
        """Fold an input or an own output; a snapshot is compared here, so that replay remembers it too."""
        if isinstance(event, ParameterChange):
            self._versions.note(state.changes, Service.RECONCILER.value, event)
        elif isinstance(event, ClockTick):
            state.changes.apply()
        fold(state, event, self._versions.of(state.changes))
        return state

    def decide(self, state: ReconcilerState, event: AnyEvent) -> Sequence[AnyEvent]:
        """Return the request or the report that an input causes."""
        match event:
            case SessionRef() | OrderLink() | OperatorCommand():
                return self._wanted(state, event.id, event.ts_ns)
            case ClockTick():
                costs = tca_events(state.tca, event, self._versions.of(state.changes).tca)
                return [*self._tick(state, event), *costs]
            case ReconSnapshot():
                if state.result is None or state.result.snapshot != event.id:
                    return ()
                return self._reported(state, event, state.result)
            case _:
                return ()

    def observe(self, state: ReconcilerState, observation: Observation) -> Sequence[AnyEvent]:  # noqa: ARG002 -- port
        """Return nothing: the reconciler sees the log only."""
        return ()

    # ---------------------------------------------------------------------------------------- requesting

    def _wanted(self, state: ReconcilerState, cause: EventId, ts_ns: int) -> Sequence[AnyEvent]:
        if state.wanted is None or not state.ready:
            return ()
        return (self._request(state, cause, ts_ns, state.wanted),)

    def _tick(self, state: ReconcilerState, tick: ClockTick) -> Sequence[AnyEvent]:
        parameters = self._versions.of(state.changes)
        if state.waiting is not None:
            if tick.ts_ns - state.waiting.ts_ns < parameters.timeout_s * NANOS_PER_SECOND:
                return ()
            result = Result(snapshot=NO_SNAPSHOT, request=state.waiting.id, status=ReportStatus.UNKNOWN)
            report = _report(tick.id, tick.ts_ns, result)
            if not state.ready:
                return (report,)
            reason = state.wanted or RequestReason(state.waiting.reason)
            return (report, self._request(state, tick.id, tick.ts_ns, reason))
        if state.wanted is not None or not state.ready:
            return self._wanted(state, tick.id, tick.ts_ns)
        gap_s = parameters.recheck_s if state.recheck else parameters.period_s
        if tick.ts_ns - state.last_request_ns < gap_s * NANOS_PER_SECOND:
            return ()
        reason = state.retry_reason or RequestReason.PERIODIC
        return (self._request(state, tick.id, tick.ts_ns, reason),)

    @staticmethod
    def _request(state: ReconcilerState, cause: EventId, ts_ns: int, reason: RequestReason) -> ReconRequest:
        return ReconRequest(
            id=derive_id(cause, tag_of(ReconRequest), 0),
            cause=cause,
            ts_ns=ts_ns,
            number=state.number + 1,
            reason=reason.value,
        )

    # ----------------------------------------------------------------------------------------- reporting

    def _reported(self, state: ReconcilerState, snapshot: ReconSnapshot, result: Result) -> Sequence[AnyEvent]:
        parameters = self._versions.of(state.changes)
        events: list[AnyEvent] = [
            _break(snapshot, position, item, parameters) for position, item in enumerate(result.fresh)
        ]
        # Corrections come before the report: who trades on a clean report has the corrected books.
        events.extend(taken.event(snapshot, index) for index, taken in enumerate(result.taken))
        events.append(_report(snapshot.id, snapshot.ts_ns, result))
        strict = [item for item in result.breaks if parameters.policy(item.kind, item.area) is Policy.STRICT]
        if strict:
            first = strict[0]
            reason = f"{len(strict)} reconciliation breaks, first {first.kind.value} {first.symbol} {first.reference}"
            events.append(_mode_request(snapshot, Mode.OBSERVE, reason))
        elif state.mode_asked and result.status is ReportStatus.CLEAN:
            events.append(_mode_request(snapshot, Mode.LIVE, "reconciliation is clean again"))
        return events


def _break(snapshot: ReconSnapshot, position: int, item: Difference, parameters: ReconcilerParameters) -> ReconBreak:
    return ReconBreak(
        id=derive_id(snapshot.id, tag_of(ReconBreak), position),
        cause=snapshot.id,
        ts_ns=snapshot.ts_ns,
        snapshot=snapshot.id,
        kind=item.kind,
        symbol=item.symbol,
        reference=item.reference,
        ours=item.ours,
        brokers=item.brokers,
        policy=parameters.policy(item.kind, item.area).value,
    )


def _report(cause: EventId, ts_ns: int, result: Result) -> ReconReport:
    return ReconReport(
        id=derive_id(cause, tag_of(ReconReport), 0),
        cause=cause,
        ts_ns=ts_ns,
        request=result.request,
        snapshot=result.snapshot,
        status=result.status.value,
        orders_checked=result.orders_checked,
        executions_checked=result.executions_checked,
        positions_checked=result.positions_checked,
        breaks=len(result.breaks),
    )


def _mode_request(snapshot: ReconSnapshot, mode: Mode, reason: str) -> ModeRequest:
    return ModeRequest(
        id=derive_id(snapshot.id, tag_of(ModeRequest), 0),
        cause=snapshot.id,
        ts_ns=snapshot.ts_ns,
        service=Service.RECONCILER.value,
        mode=mode,
        reason=reason,
    )
