"""Owns the folding of execution's state from the log: inputs and own outputs, one fact after the other."""

from __future__ import annotations

from dataclasses import replace

from walstreet.domain.arming import fold_arming
from walstreet.domain.borrow import fold_borrow
from walstreet.domain.corrections import counted_of, family_of
from walstreet.domain.ended_orders import asked_for_an_end
from walstreet.domain.execution_brackets import protective_orders
from walstreet.domain.execution_emergency import fold_emergency
from walstreet.domain.execution_market import fold_bars, note_prior
from walstreet.domain.execution_modify import with_change
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.execution_state import (
    DAY_NS,
    REARM,
    RECENT_MAX,
    RECENT_S,
    STRATEGY,
    ExecutionState,
)
from walstreet.domain.external import ADOPT
from walstreet.domain.feeds import MARKET_DATA, symbol_of_line
from walstreet.domain.guard_orders import RecentOrder
from walstreet.domain.guard_verdict import GuardedOrder, notional_nano
from walstreet.domain.mode_causes import note_equity, note_session
from walstreet.domain.order import Order, opened, with_correction, with_fill, with_update
from walstreet.domain.repeat_throttle import ACCOUNT_KEY, expire, note_execution, rearm, tripped
from walstreet.domain.signing import UNBELIEVED
from walstreet_events import (
    NANOS_PER_SECOND,
    AccountValues,
    AnyEvent,
    BarBlock,
    BorrowBlock,
    ClockTick,
    ExternalOrder,
    FeedStatus,
    GatewayProbed,
    InstrumentRef,
    LedgerCorrection,
    MarginAsked,
    ModeState,
    OperatorCommand,
    OrderBracketed,
    OrderCancelling,
    OrderCommission,
    OrderCorrected,
    OrderFilled,
    OrderLink,
    OrderModified,
    OrderModifying,
    OrderModifyRefused,
    OrderRefused,
    OrderSubmitting,
    OrderUpdated,
    PhaseName,
    Positions,
    PriorSession,
    ProducerEpoch,
    ReconBreak,
    ReconSnapshot,
    Service,
    SessionPhase,
    Side,
    SymbolStatus,
    derive_id,
    tag_of,
)

_NO_DATA_TYPES = ("", "unknown")
_UNBELIEVED_CODES = tuple(reason.value for reason in UNBELIEVED)


def fold(state: ExecutionState, event: AnyEvent, parameters: ExecutionParameters) -> None:
    """Fold one journaled fact into ``state``; facts of other components change nothing."""
    fold_emergency(state, event)
    fold_arming(state.arming, event)
    if isinstance(event, GatewayProbed):
        state.next_order_id = max(state.next_order_id, event.broker_order_id + 1)
    match event:
        case OrderSubmitting() | OrderUpdated() | OrderFilled() | OrderCancelling() | OrderRefused():
            _fold_order(state, event, parameters)
        case OrderBracketed() | OrderModifying() | OrderModifyRefused() | OrderModified() | OrderCorrected():
            _fold_terms(state, event)
        case MarginAsked():
            state.undecided.pop(event.order.id, None)
            state.asked[event.order.id] = event
            state.next_order_id = max(state.next_order_id, event.broker_order_id + 1)
        case OrderCommission():
            state.commissions[event.exec_id] = (event.commission_nano, event.realized_pnl_nano)
        case ExternalOrder():
            state.external.apply(event)
            state.external_seen[event.perm_id, event.status] = True
        case ReconBreak() | LedgerCorrection():
            state.external.apply(event)
        case OrderLink() | AccountValues() | Positions() | ReconSnapshot():
            _fold_broker(state, event, parameters)
        case BorrowBlock():
            fold_borrow(state.borrow, event)
        case InstrumentRef() | PriorSession() | SymbolStatus() | FeedStatus() | BarBlock():
            _fold_market(state, event, parameters)
        case _:
            _fold_session(state, event, parameters)


def _fold_terms(
    state: ExecutionState, event: OrderBracketed | OrderModifying | OrderModifyRefused | OrderModified | OrderCorrected
) -> None:
    if isinstance(event, OrderBracketed):
        state.brackets[event.client_order_id] = event
        last = max(child.broker_order_id for child in event.children)
        state.next_order_id = max(state.next_order_id, last + 1)
        return
    known = state.orders.get(event.client_order_id)
    if isinstance(event, OrderCorrected):
        state.symbol_of_execution[event.exec_id] = event.symbol
        state.fills[family_of(event.exec_id)[0]] = counted_of(event)
        change = event.quantity_micro - event.previous_quantity_micro
        signed = change if event.side is Side.BUY else -change
        state.filled_since[event.symbol] = state.filled_since.get(event.symbol, 0) + signed
        if known is not None:
            _keep(state, with_correction(known, event))
    elif known is not None:
        _keep(state, with_change(known, event))


def _fold_market(
    state: ExecutionState,
    event: InstrumentRef | PriorSession | SymbolStatus | FeedStatus | BarBlock,
    parameters: ExecutionParameters,
) -> None:
    match event:
        case InstrumentRef():
            state.instruments[event.symbol] = event
        case PriorSession():
            state.priors[event.symbol] = event
            if event.symbol in state.markets:
                note_prior(state.markets[event.symbol], event, parameters.short.fall_bps)
        case SymbolStatus():
            state.halted[event.symbol] = event.halted
        case FeedStatus():
            _fold_feed(state, event)
        case BarBlock():
            closes = {symbol: item.prior_close_nano for symbol, item in state.instruments.items()}
            fold_bars(
                state.markets,
                event,
                close_ns=state.close_ns,
                prior_closes_nano=closes,
                priors=state.priors,
                fall_bps=parameters.short.fall_bps,
            )


def _fold_feed(state: ExecutionState, event: FeedStatus) -> None:
    symbol = symbol_of_line(event.farm)
    if symbol is not None:
        state.lines_broken[symbol] = not event.healthy
    if event.farm == MARKET_DATA or event.data_type not in _NO_DATA_TYPES:
        # What is told of a farm before the first tick of a connection says nothing of the kind of data.
        state.data_type = event.data_type


def _fold_session(state: ExecutionState, event: AnyEvent, parameters: ExecutionParameters) -> None:
    match event:
        case ClockTick():
            state.clock_ns = max(state.clock_ns, event.ts_ns)
        case SessionPhase():
            _fold_phase(state, event, parameters)
        case ModeState():
            state.mode = event.mode
        case OperatorCommand():
            _fold_command(state, event)
        case ProducerEpoch() if event.service == Service.ARBITER.value:
            state.arbiter_epoch = max(state.arbiter_epoch or 0, event.epoch)
        case _:
            return


def _fold_order(
    state: ExecutionState,
    event: OrderSubmitting | OrderUpdated | OrderFilled | OrderCancelling | OrderRefused,
    parameters: ExecutionParameters,
) -> None:
    if isinstance(event, OrderSubmitting | OrderRefused):
        state.undecided.pop(event.intent, None)
    if isinstance(event, OrderSubmitting):
        state.asked.pop(event.intent, None)
    if isinstance(event, OrderRefused):
        asked = state.asked.get(event.intent)
        # The refusal of a repetition is not an answer for the intent that waits.
        if asked is not None and event.id == derive_id(asked.cause, tag_of(OrderRefused), asked.index):
            del state.asked[event.intent]
        # The time of the refusal is kept as the end of the memory, which the pruning extends by its retention.
        if event.reason not in _UNBELIEVED_CODES:
            state.intents.setdefault(event.intent, event.ts_ns)
        return
    if isinstance(event, OrderSubmitting):
        _fold_submission(state, event, parameters)
        return
    if isinstance(event, OrderFilled):
        state.fills[family_of(event.exec_id)[0]] = counted_of(event)
        state.symbol_of_execution[event.exec_id] = event.symbol
        signed = event.quantity_micro if event.side is Side.BUY else -event.quantity_micro
        state.filled_since[event.symbol] = state.filled_since.get(event.symbol, 0) + signed
    known = state.orders.get(event.client_order_id)
    if known is None:
        return
    match event:
        case OrderUpdated():
            _keep(state, with_update(known, event))
            state.ended.update(event)
        case OrderFilled():
            _keep(state, with_fill(known, event))
        case OrderCancelling():
            _keep(state, replace(known, cancel_reasons=(*known.cancel_reasons, event.reason)))


def _fold_submission(state: ExecutionState, event: OrderSubmitting, parameters: ExecutionParameters) -> None:
    state.intents[event.intent] = event.good_till_ns
    state.by_broker_id[event.broker_order_id] = event.client_order_id
    state.next_order_id = max(state.next_order_id, event.broker_order_id + 1)
    _note_sent(state, event, parameters)
    _keep(state, opened(event))
    if event.client_order_id in state.brackets:
        for protective in protective_orders(state.brackets[event.client_order_id], event):
            state.by_broker_id[protective.broker_order_id] = protective.client_order_id
            _keep(state, protective)


def _note_sent(state: ExecutionState, event: OrderSubmitting, parameters: ExecutionParameters) -> None:
    """Count a child as part of its parent, which counts at once and in full."""
    notional = notional_nano(event.quantity_micro, max(event.limit_nano, event.quote.ask_nano, event.quote.bid_nano))
    state.sent_nano += notional
    known = state.recent.pop(event.intent, None)
    if known is None:
        order = GuardedOrder(
            symbol=event.symbol,
            side=event.side,
            quantity_micro=event.quantity_micro,
            limit_nano=event.limit_nano,
            position_micro=None,
        )
        state.throttle = note_execution(
            state.throttle, strategy=STRATEGY, order=order, ts_ns=event.ts_ns, parameters=parameters.throttle
        )
    since_ns = event.ts_ns - RECENT_S * NANOS_PER_SECOND
    kept = [(key, sent) for key, sent in state.recent.items() if sent.ts_ns > since_ns][-(RECENT_MAX - 1) :]
    state.recent = dict(kept)
    state.recent[event.intent] = RecentOrder(
        ts_ns=event.ts_ns,
        symbol=event.symbol,
        side=event.side,
        quantity_micro=event.quantity_micro + (known.quantity_micro if known else 0),
        limit_nano=event.limit_nano,
        notional_nano=notional + (known.notional_nano if known else 0),
    )


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
            note_equity(state.losses, event.net_liquidation_nano, event.ts_ns)
            state.account_revision += 1
        case Positions():
            state.positions = event
            state.position_of = {position.symbol: position for position in event.positions}
            state.filled_since = {}
            state.account_revision += 1
        case ReconSnapshot():
            if event.ok:
                state.snapshot = event
                state.ended.prove(event)
                for client_order_id in absent_orders(state, event, parameters):
                    order = state.orders[client_order_id]
                    state.orders[client_order_id] = replace(order, absences=order.absences + 1)


def absent_orders(state: ExecutionState, snapshot: ReconSnapshot, parameters: ExecutionParameters) -> tuple[str, ...]:
    """Return open orders past good-till and margin that ``snapshot`` does not show, in order of submission."""
    if asked_for_an_end(snapshot):
        return ()
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
    if event.session_date != state.session_date:
        state.session_date, state.sent_nano = event.session_date, 0
        note_session(state.losses, event.session_date)
        state.throttle = expire(state.throttle, event.ts_ns, parameters.throttle)
    if event.phase is not PhaseName.PRE_OPEN:
        return
    horizon_ns = event.ts_ns - parameters.retention_days * DAY_NS
    ended = [order for order in state.orders.values() if order.terminal and order.good_till_ns < horizon_ns]
    for order in ended:
        del state.orders[order.client_order_id]
        state.by_broker_id.pop(order.broker_order_id, None)
        state.by_perm_id.pop(order.perm_id, None)
        state.brackets.pop(order.client_order_id, None)
        for exec_id in order.executions:
            state.fills.pop(family_of(exec_id)[0], None)
            state.symbol_of_execution.pop(exec_id, None)
            state.commissions.pop(exec_id, None)
    state.blocks = {block: ts_ns for block, ts_ns in state.blocks.items() if ts_ns >= horizon_ns}
    state.intents = {intent: until_ns for intent, until_ns in state.intents.items() if until_ns >= horizon_ns}


def _fold_command(state: ExecutionState, event: OperatorCommand) -> None:
    if event.command == ADOPT:
        state.external.apply(event)
    elif event.command == REARM:
        symbol, side = event.arguments.get("symbol", ""), event.arguments.get("side", "")
        key = f"{STRATEGY}\x1f{symbol}\x1f{side}" if symbol or side else ACCOUNT_KEY
        # A command that names nothing that has tripped, or no person, is a mistake of the operator's; it lifts nothing.
        if key in tripped(state.throttle) and event.operator.strip():
            state.throttle = rearm(state.throttle, key=key, operator=event.operator)
