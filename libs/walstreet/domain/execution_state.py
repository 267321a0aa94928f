"""Owns the state of execution: what the log says about orders, account and session, and the volatile latest quotes.

``fold`` rebuilds the durable part from inputs and own outputs alone. The volatile part (quotes, the latest
observed time, whether the link was seen since the start, fees that wait for their execution) is lost by a
crash on purpose: nothing in it is a fact that the log needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.observations import CommissionObserved, QuoteObserved
from walstreet.domain.order import Order, opened, with_fill, with_update
from walstreet.domain.parameter_changes import Changes
from walstreet_events import (
    NANOS_PER_SECOND,
    AccountValues,
    AnyEvent,
    ClockTick,
    ExternalOrder,
    InstrumentRef,
    IntentBlock,
    Mode,
    ModeState,
    OperatorCommand,
    OrderCancelling,
    OrderCommission,
    OrderFilled,
    OrderLink,
    OrderRefused,
    OrderSubmitting,
    OrderUpdated,
    PhaseName,
    Position,
    Positions,
    ReconSnapshot,
    SessionPhase,
    SymbolStatus,
)

MINUTE_NS = 60 * NANOS_PER_SECOND
DAY_NS = 86_400 * NANOS_PER_SECOND
EARLY_COMMISSIONS_MAX = 4_096
"""Fees that may wait for their execution; the oldest goes first, and a query brings it again."""
SUBMIT_TIMES_MAX = 4_096
PANIC = "panic"
RESUME = "resume"
ADOPT = "adopt"

assert SUBMIT_TIMES_MAX >= 1_000, "the budget's largest value must fit into the window of submissions"


@dataclass(slots=True, kw_only=True)
class ExecutionState:
    """Everything execution knows; the loop owns it and ``fold`` updates it in place."""

    # Durable: a function of the log.
    clock_ns: int = 0
    mode: Mode | None = None
    panic: bool = False
    phase: PhaseName | None = None
    open_ns: int = 0
    close_ns: int = 0
    instruments: dict[str, InstrumentRef] = field(default_factory=dict)
    halted: dict[str, bool] = field(default_factory=dict)
    external: dict[str, bool] = field(default_factory=dict)
    """Symbols with a foreign order or fill that nobody has adopted."""
    external_seen: dict[tuple[int, str], bool] = field(default_factory=dict)
    intents: dict[str, int] = field(default_factory=dict)
    """Intents handled, with the time until which a repetition is refused as such."""
    orders: dict[str, Order] = field(default_factory=dict)
    open_orders: dict[str, bool] = field(default_factory=dict)
    """Client order ids of orders that have not ended."""
    by_broker_id: dict[int, str] = field(default_factory=dict)
    by_perm_id: dict[int, str] = field(default_factory=dict)
    symbol_of_execution: dict[str, str] = field(default_factory=dict)
    commissions: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    submit_times_ns: list[int] = field(default_factory=list)
    next_order_id: int = 1
    """High-water mark: above every id that was journaled and every floor that the broker gave."""
    link: OrderLink | None = None
    link_revision: int = 0
    account: AccountValues | None = None
    positions: Positions | None = None
    position_of: dict[str, Position] = field(default_factory=dict)
    account_revision: int = 0
    changes: Changes = field(default_factory=Changes)
    """Parameters changed since the start."""
    # Volatile: lost by a crash.
    observed_ns: int = 0
    quotes: dict[str, QuoteObserved] = field(default_factory=dict)
    feed_ts_ns: int = 0
    link_seen: bool = False
    early_commissions: dict[str, CommissionObserved] = field(default_factory=dict)
    unmatched_errors: int = 0
    """Error messages that name no order of ours."""

    def now_ns(self, at_least_ns: int = 0) -> int:
        """Return the latest time that anything has told."""
        return max(self.clock_ns, self.observed_ns, at_least_ns)

    def effective_mode(self, block_mode: str) -> Mode:
        """Return the stricter of the journaled mode and the mode that the block was decided in."""
        named = Mode(block_mode) if block_mode in _MODES else Mode.OBSERVE
        if self.mode is None or _STRICTNESS[named] > _STRICTNESS[self.mode]:
            return named
        return self.mode


_STRICTNESS: dict[Mode, int] = {Mode.LIVE: 0, Mode.DEGRADED: 1, Mode.OBSERVE: 2, Mode.EMERGENCY: 3}
_MODES = tuple(mode.value for mode in Mode)


def fold(state: ExecutionState, event: AnyEvent, parameters: ExecutionParameters) -> None:
    """Fold one journaled fact into ``state``; facts of other components change nothing."""
    match event:
        case OrderSubmitting() | OrderUpdated() | OrderFilled() | OrderCancelling() | OrderRefused():
            _fold_order(state, event)
        case OrderCommission():
            state.commissions[event.exec_id] = (event.commission_nano, event.realized_pnl_nano)
        case ExternalOrder():
            state.external[event.symbol] = True
            state.external_seen[event.perm_id, event.status] = True
        case OrderLink() | AccountValues() | Positions() | ReconSnapshot():
            _fold_broker(state, event, parameters)
        case IntentBlock():
            state.clock_ns = max(state.clock_ns, event.ts_ns)
        case ClockTick():
            state.clock_ns = max(state.clock_ns, event.ts_ns)
        case SessionPhase():
            _fold_phase(state, event, parameters)
        case ModeState():
            state.mode = event.mode
        case InstrumentRef():
            state.instruments[event.symbol] = event
        case SymbolStatus():
            state.halted[event.symbol] = event.halted
        case OperatorCommand():
            _fold_command(state, event)
        case _:
            return


def _fold_order(
    state: ExecutionState, event: OrderSubmitting | OrderUpdated | OrderFilled | OrderCancelling | OrderRefused
) -> None:
    if isinstance(event, OrderRefused):
        # The time of the refusal is kept as the end of the memory, which the pruning extends by its retention.
        state.intents.setdefault(event.intent, event.ts_ns)
        return
    if isinstance(event, OrderSubmitting):
        order = opened(event)
        state.intents[event.intent] = event.good_till_ns
        state.by_broker_id[event.broker_order_id] = event.client_order_id
        state.next_order_id = max(state.next_order_id, event.broker_order_id + 1)
        state.submit_times_ns = [ts_ns for ts_ns in state.submit_times_ns if ts_ns > event.ts_ns - MINUTE_NS][
            -(SUBMIT_TIMES_MAX - 1) :
        ]
        state.submit_times_ns.append(event.ts_ns)
        _keep(state, order)
        return
    if isinstance(event, OrderFilled):
        state.symbol_of_execution[event.exec_id] = event.symbol
    known = state.orders.get(event.client_order_id)
    if known is None:
        return
    match event:
        case OrderUpdated():
            _keep(state, with_update(known, event))
        case OrderFilled():
            _keep(state, with_fill(known, event))
        case OrderCancelling():
            _keep(state, replace(known, cancel_reasons=(*known.cancel_reasons, event.reason)))


def _keep(state: ExecutionState, order: Order) -> None:
    state.orders[order.client_order_id] = order
    if order.perm_id:
        state.by_perm_id[order.perm_id] = order.client_order_id
    if order.terminal:
        state.open_orders.pop(order.client_order_id, None)
    else:
        state.open_orders[order.client_order_id] = True


def _fold_broker(
    state: ExecutionState, event: OrderLink | AccountValues | Positions | ReconSnapshot, parameters: ExecutionParameters
) -> None:
    match event:
        case OrderLink():
            state.link = event
            state.link_revision += 1
            state.next_order_id = max(state.next_order_id, event.next_order_id)
        case AccountValues():
            state.account = event
            state.account_revision += 1
        case Positions():
            state.positions = event
            state.position_of = {position.symbol: position for position in event.positions}
            state.account_revision += 1
        case ReconSnapshot():
            if event.ok:
                for client_order_id in absent_orders(state, event, parameters):
                    order = state.orders[client_order_id]
                    state.orders[client_order_id] = replace(order, absences=order.absences + 1)


def absent_orders(state: ExecutionState, snapshot: ReconSnapshot, parameters: ExecutionParameters) -> tuple[str, ...]:
    """Return open orders past good-till and margin that ``snapshot`` does not show, in order of submission."""
    shown = {order.order_ref for order in (*snapshot.open_orders, *snapshot.completed_orders)}
    shown_perm = {order.perm_id for order in (*snapshot.open_orders, *snapshot.completed_orders)}
    margin_ns = round(parameters.absence_margin_s * NANOS_PER_SECOND)
    return tuple(
        client_order_id
        for client_order_id in state.open_orders
        if client_order_id not in shown
        and (state.orders[client_order_id].perm_id or -1) not in shown_perm
        and snapshot.ts_ns >= state.orders[client_order_id].good_till_ns + margin_ns
    )


def _fold_phase(state: ExecutionState, event: SessionPhase, parameters: ExecutionParameters) -> None:
    state.clock_ns = max(state.clock_ns, event.ts_ns)
    state.phase = event.phase
    state.open_ns = event.open_ns
    state.close_ns = event.close_ns
    if event.phase is not PhaseName.PRE_OPEN:
        return
    horizon_ns = event.ts_ns - parameters.retention_days * DAY_NS
    ended = [order for order in state.orders.values() if order.terminal and order.good_till_ns < horizon_ns]
    for order in ended:
        del state.orders[order.client_order_id]
        state.by_broker_id.pop(order.broker_order_id, None)
        state.by_perm_id.pop(order.perm_id, None)
        for exec_id in order.executions:
            state.symbol_of_execution.pop(exec_id, None)
            state.commissions.pop(exec_id, None)
    state.intents = {intent: until_ns for intent, until_ns in state.intents.items() if until_ns >= horizon_ns}


def _fold_command(state: ExecutionState, event: OperatorCommand) -> None:
    if event.command == PANIC:
        state.panic = True
    elif event.command == RESUME:
        state.panic = False
    elif event.command == ADOPT:
        state.external.pop(event.arguments.get("symbol", ""), None)
