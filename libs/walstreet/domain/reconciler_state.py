"""Owns the reconciler's state: our books as the log tells them, and the memory of the snapshots before."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from walstreet.domain.corrections import corrected_fill
from walstreet.domain.external import ADOPT, ADOPTED, Externals
from walstreet.domain.ledger import Ledger, execution_as_fill
from walstreet.domain.parameter_changes import Changes
from walstreet.domain.reconcile import (
    TERMINAL,
    Difference,
    OwnOrder,
    compare_cash,
    compare_executions,
    compare_orders,
    compare_positions,
    decimal_text,
    execution_family,
    foreign_executions,
)
from walstreet.domain.reconciler_corrections import Taken, adopt, opening_differences, synced
from walstreet.domain.reconciler_parameters import Area, Policy, ReconcilerParameters
from walstreet.domain.tca_step import TcaState, fold_tca
from walstreet_events import (
    NANOS_PER_SECOND,
    QUANTITY_SCALE,
    AnyEvent,
    LedgerCorrection,
    Mode,
    ModeRequest,
    OperatorCommand,
    OrderBracketed,
    OrderCommission,
    OrderCorrected,
    OrderFilled,
    OrderLink,
    OrderModified,
    OrderSubmitting,
    OrderUpdated,
    Positions,
    ReconReport,
    ReconRequest,
    ReconSnapshot,
    SessionRef,
)

LOOKBACK_NS = 6 * 3600 * NANOS_PER_SECOND
"""Executions from so long before the open belong to the session; brokers report them since midnight."""
COMMAND_RECONCILE = "reconcile"

DifferenceKey = tuple[str, str, str, str, int]


class RequestReason(StrEnum):
    """Why a snapshot is asked for."""

    START = "start"
    RECONNECT = "reconnect"
    PERIODIC = "periodic"
    OPERATOR = "operator"


class ReportStatus(StrEnum):
    """Results of one reconciliation."""

    CLEAN = "clean"
    BREAKS = "breaks"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one awaited snapshot amounts to."""

    snapshot: str
    request: str
    status: ReportStatus
    breaks: tuple[Difference, ...] = ()
    """Everything that is confirmed."""
    fresh: tuple[Difference, ...] = ()
    """What of it is to be recorded: all but warnings that stand since an earlier snapshot."""
    taken: tuple[Taken, ...] = ()
    orders_checked: int = 0
    executions_checked: int = 0
    positions_checked: int = 0


@dataclass(slots=True)
class ReconcilerState:
    """Everything comes back from inputs and own outputs; nothing is volatile."""

    ledger: Ledger = field(default_factory=Ledger)
    orders: dict[str, OwnOrder] = field(default_factory=dict)
    brackets: dict[str, OrderBracketed] = field(default_factory=dict)
    """Protective orders whose parent has not been submitted yet, by the parent's client order id."""
    fills: dict[str, OrderFilled] = field(default_factory=dict)
    families: dict[str, str] = field(default_factory=dict)
    """Newest execution id per id without revision."""
    fees: dict[str, int] = field(default_factory=dict)
    """Time of the fee's arrival per execution id."""
    session: SessionRef | None = None
    connected: bool = False
    wanted: RequestReason | None = None
    """A request that is due as soon as session and connection are there."""
    waiting: ReconRequest | None = None
    number: int = 0
    last_request_ns: int = 0
    recheck: bool = False
    retry_reason: RequestReason | None = None
    clean_once: bool = False
    """True after the session's first clean report; until then nothing gets the benefit of the doubt."""
    seen: dict[DifferenceKey, tuple[int, int]] = field(default_factory=dict)
    """Differences of the last answered snapshot: consecutive sightings and time of the first."""
    result: Result | None = None
    mode_asked: bool = False
    warned: dict[DifferenceKey, bool] = field(default_factory=dict)
    """Breaks of the last answered snapshot, so that a standing warning is recorded once."""
    externals: Externals = field(default_factory=Externals)
    adopting: dict[str, OperatorCommand] = field(default_factory=dict)
    """Symbols that a person adopts, waiting for an answered snapshot."""
    opening: dict[str, str] = field(default_factory=dict)
    """Positions that were there before our first fact and that nobody has adopted."""
    tca: TcaState = field(default_factory=TcaState)
    changes: Changes = field(default_factory=Changes)
    """Parameters changed since the start."""

    @property
    def ready(self) -> bool:
        """Return whether a request can be answered."""
        return self.session is not None and self.connected


def fold(state: ReconcilerState, event: AnyEvent, parameters: ReconcilerParameters) -> None:
    """Fold one event in place."""
    if isinstance(event, Positions) and not state.ledger.opened:
        state.opening = {
            item.symbol: decimal_text(item.quantity_micro, QUANTITY_SCALE)
            for item in event.positions
            if item.quantity_micro
        }
    state.ledger.apply(event)
    fold_tca(state.tca, event, parameters.tca)
    state.externals.apply(event)
    match event:
        case OrderSubmitting() | OrderUpdated() | OrderFilled() | OrderCommission():
            _fold_order(state, event)
        case OrderBracketed() | OrderModified() | OrderCorrected():
            _fold_terms(state, event)
        case SessionRef():
            _fold_session(state, event)
        case OrderLink():
            _fold_link(state, event)
        case OperatorCommand():
            _fold_command(state, event)
        case ReconRequest():
            state.waiting, state.number, state.last_request_ns = event, event.number, event.ts_ns
            state.wanted, state.recheck, state.retry_reason = None, False, None
        case ReconSnapshot():
            _fold_snapshot(state, event, parameters)
        case LedgerCorrection():
            _fold_correction(state, event)
        case ReconReport():
            _fold_report(state, event)
        case ModeRequest():
            state.mode_asked = event.mode is not Mode.LIVE
        case _:
            pass


# ------------------------------------------------------------------------------------------------- books


def _fold_order(state: ReconcilerState, event: OrderSubmitting | OrderUpdated | OrderFilled | OrderCommission) -> None:
    match event:
        case OrderSubmitting():
            state.orders[event.client_order_id] = OwnOrder(
                client_order_id=event.client_order_id,
                symbol=event.symbol,
                quantity_micro=event.quantity_micro,
                submitted_ns=event.ts_ns,
                good_till_ns=event.good_till_ns,
                changed_ns=event.ts_ns,
            )
            _fold_protection(state, event)
        case OrderUpdated():
            known = state.orders.get(event.client_order_id)
            if known is not None:
                known.state, known.changed_ns = event.state, max(known.changed_ns, event.ts_ns)
        case OrderFilled():
            _fold_fill(state, event)
        case OrderCommission():
            state.fees[event.exec_id] = event.ts_ns


def _fold_terms(state: ReconcilerState, event: OrderBracketed | OrderModified | OrderCorrected) -> None:
    match event:
        case OrderBracketed():
            state.brackets[event.client_order_id] = event
        case OrderModified():
            known = state.orders.get(event.client_order_id)
            if known is not None:
                known.quantity_micro, known.changed_ns = event.quantity_micro, max(known.changed_ns, event.ts_ns)
        case OrderCorrected():
            _fold_fill(state, corrected_fill(event))


def _fold_protection(state: ReconcilerState, parent: OrderSubmitting) -> None:
    """Begin the protective orders that go out with ``parent``; without its submission they were never sent."""
    bracket = state.brackets.pop(parent.client_order_id, None)
    for child in bracket.children if bracket is not None else ():
        assert bracket is not None, "without a bracket there is no child"
        state.orders[child.client_order_id] = OwnOrder(
            client_order_id=child.client_order_id,
            symbol=bracket.symbol,
            quantity_micro=bracket.quantity_micro,
            submitted_ns=parent.ts_ns,
            good_till_ns=bracket.good_till_ns,
            changed_ns=parent.ts_ns,
        )


def _fold_fill(state: ReconcilerState, event: OrderFilled, *, replaces: bool = False) -> None:
    family, revision = execution_family(event.exec_id)
    earlier = state.families.get(family)
    known = -1 if earlier is None else execution_family(earlier)[1]
    if known > revision or (known == revision and not replaces):
        return
    # A correction takes back the earlier version of the same execution.
    replaced = state.fills.pop(earlier, None) if earlier is not None else None
    state.families[family] = event.exec_id
    state.fills[event.exec_id] = event
    order = state.orders.get(event.client_order_id)
    if order is not None:
        order.filled_micro += event.quantity_micro - (replaced.quantity_micro if replaced else 0)
        order.changed_ns = max(order.changed_ns, event.ts_ns)


def _fold_session(state: ReconcilerState, event: SessionRef) -> None:
    if state.session is not None and state.session.session_date == event.session_date:
        state.session = event
        return
    state.session, state.clean_once, state.seen = event, False, {}
    state.wanted = RequestReason.START
    since_ns = event.open_ns - LOOKBACK_NS
    state.fills = {key: fill for key, fill in state.fills.items() if fill.ts_ns >= since_ns}
    state.families = {family: key for family, key in state.families.items() if key in state.fills}
    state.fees = {key: ts_ns for key, ts_ns in state.fees.items() if key in state.fills}
    state.orders = {
        key: order for key, order in state.orders.items() if order.state not in TERMINAL or order.changed_ns >= since_ns
    }


def _fold_command(state: ReconcilerState, event: OperatorCommand) -> None:
    symbol = event.arguments.get("symbol", "")
    if event.command == ADOPT and symbol and event.operator.strip():
        state.adopting[symbol] = event
    elif event.command != COMMAND_RECONCILE:
        return
    if state.wanted is None:
        state.wanted = RequestReason.OPERATOR


def _fold_link(state: ReconcilerState, event: OrderLink) -> None:
    fresh = event.connected and (event.data_lost or not state.connected)
    state.connected = event.connected
    if fresh and state.wanted is not RequestReason.START:
        state.wanted = RequestReason.RECONNECT if state.number else RequestReason.START


# ---------------------------------------------------------------------------------------------- snapshot


def _fold_snapshot(state: ReconcilerState, event: ReconSnapshot, parameters: ReconcilerParameters) -> None:
    state.result = None
    if state.waiting is None or event.request != state.waiting.id:
        # The answer to a request that was given up or replaced; the newer one will bring its own.
        return
    reason = RequestReason(state.waiting.reason)
    state.waiting = None
    if not event.ok or state.session is None or not state.ledger.opened:
        state.result = Result(snapshot=event.id, request=event.request, status=ReportStatus.UNKNOWN)
        state.recheck, state.retry_reason = True, reason
        return
    adopted, differences = adopt(state.adopting, _differences(state, event, parameters), state.externals, event)
    strict_start = not state.clean_once
    confirmed, open_questions = _judged(state, differences, event.ts_ns, parameters)
    syncing = [item for item in confirmed if parameters.policy(item.kind, item.area) is Policy.AUTO_SYNC]
    strict = any(parameters.policy(item.kind, item.area) is Policy.STRICT for item in confirmed)
    doubtful = strict_start and any(parameters.policy(item.kind, item.area) is Policy.STRICT for item in open_questions)
    status = ReportStatus.BREAKS if strict else ReportStatus.UNKNOWN if doubtful else ReportStatus.CLEAN
    state.recheck = bool(open_questions) or status is not ReportStatus.CLEAN
    state.result = Result(
        snapshot=event.id,
        request=event.request,
        status=status,
        breaks=tuple(confirmed),
        fresh=tuple(
            item
            for item in confirmed
            if item.key not in state.warned or parameters.policy(item.kind, item.area) is not Policy.WARN
        ),
        taken=(*adopted, *(synced(item, event) for item in syncing)),
        orders_checked=len(event.open_orders) + len(event.completed_orders),
        executions_checked=len(event.executions),
        positions_checked=len(event.positions),
    )
    state.warned = {item.key: True for item in confirmed}


def _differences(state: ReconcilerState, event: ReconSnapshot, parameters: ReconcilerParameters) -> list[Difference]:
    assert state.session is not None
    in_flight_ns = parameters.in_flight_s * NANOS_PER_SECOND
    newer = sorted(
        (fill for fill in state.fills.values() if fill.ts_ns > event.ts_ns - in_flight_ns),
        key=lambda fill: (fill.ts_ns, fill.exec_id),
    )
    positions = {symbol: book.position_micro for symbol, book in state.ledger.books.items()}
    fee_horizon_ns = event.ts_ns - parameters.fee_wait_s * NANOS_PER_SECOND
    fees_pending = any(fill.ts_ns > fee_horizon_ns and key not in state.fees for key, fill in state.fills.items())
    return [
        *compare_orders(
            state.orders,
            event,
            in_flight_ns=in_flight_ns,
            absence_wait_ns=parameters.absence_wait_s * NANOS_PER_SECOND,
        ),
        *foreign_executions(state.fills, event),
        *compare_executions(
            state.fills, event, since_ns=state.session.open_ns - LOOKBACK_NS, in_flight_ns=in_flight_ns
        ),
        *compare_positions(positions, newer, event),
        *compare_cash(
            state.ledger.cash_nano,
            newer,
            event,
            tolerance_nano=parameters.cash_tolerance_nano,
            fees_pending=fees_pending,
        ),
        *opening_differences(state.opening),
    ]


def _judged(
    state: ReconcilerState, differences: list[Difference], now_ns: int, parameters: ReconcilerParameters
) -> tuple[list[Difference], list[Difference]]:
    """Return the differences that are breaks and those that the next snapshot must confirm or clear."""
    seen: dict[DifferenceKey, tuple[int, int]] = {}
    confirmed: list[Difference] = []
    open_questions: list[Difference] = []
    for item in differences:
        times, first_ns = state.seen.get(item.key, (0, now_ns))
        seen[item.key] = (times + 1, first_ns)
        enough = times + 1 >= parameters.confirmations(item.area)
        lasted = now_ns - first_ns >= parameters.settle_ns(item.area)
        if not item.settling and (not state.clean_once or (enough and lasted)):
            confirmed.append(item)
        else:
            open_questions.append(item)
    state.seen = seen
    # An execution that is taken over moves position and cash: what they lack is known only afterwards.
    moved = {
        item.symbol: True
        for item in confirmed
        if item.area is Area.EXECUTION and parameters.policy(item.kind, item.area) is Policy.AUTO_SYNC
    }
    waits = [item for item in confirmed if moved and (item.area is Area.CASH or _held_by(item, moved))]
    return [item for item in confirmed if item not in waits], [*open_questions, *waits]


def _held_by(item: Difference, moved: dict[str, bool]) -> bool:
    return item.area is Area.POSITION and item.symbol in moved


def _fold_correction(state: ReconcilerState, event: LedgerCorrection) -> None:
    if event.execution is not None:
        _fold_fill(state, execution_as_fill(event), replaces=True)
    if event.policy == ADOPTED:
        state.adopting.pop(event.symbol, None)
        state.opening.pop(event.symbol, None)


def _fold_report(state: ReconcilerState, event: ReconReport) -> None:
    if event.status == ReportStatus.CLEAN.value:
        state.clean_once = True
    if state.waiting is not None and event.request == state.waiting.id:
        # Given up without an answer.
        state.recheck, state.retry_reason = True, RequestReason(state.waiting.reason)
        state.waiting = None
