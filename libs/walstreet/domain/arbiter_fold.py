"""Owns how each fact changes the arbiter's state; one arm per event, no decision among them."""

from __future__ import annotations

import numpy as np

from walstreet.domain.arbiter_state import (
    DATA_TYPES_NOT_LIVE,
    DROPPED_FEATURES,
    ORDER_LINK,
    PENDING_FEATURES_MAX,
    PENDING_WARMUP_MAX,
    UNMATCHED_PREDICTIONS,
    ArbiterState,
    SessionFacts,
    Signal,
    note_gross,
)
from walstreet.domain.barrier_exits import NO_CAP, NO_STOP, BarrierMemory, after_fill
from walstreet.domain.cycle_inputs import require_sound
from walstreet.domain.decision_record import column_values
from walstreet.domain.feeds import MARKET_DATA
from walstreet.domain.mode import note_command, note_request, note_state
from walstreet.domain.mode_causes import (
    TOPIC_EXCEPTION,
    TOPIC_LATENCY,
    latency_of,
    note_account,
    note_equity,
    note_exception,
    note_latency,
    note_session,
)
from walstreet_events import (
    PRICE_SCALE,
    QUANTITY_SCALE,
    AccountValues,
    AnyEvent,
    BrokerStatus,
    ClockTick,
    Decision,
    ExternalOrder,
    FeatureBlock,
    FeedStatus,
    InstrumentRef,
    IntentBlock,
    LedgerCorrection,
    ModeRequest,
    ModeState,
    OperatorCommand,
    OrderCommission,
    OrderCorrected,
    OrderFilled,
    OrderLink,
    OrderRefused,
    OrderSubmitting,
    OrderUpdated,
    Positions,
    PredictionBlock,
    ProducerEpoch,
    ReconBreak,
    ReconReport,
    Service,
    SessionPhase,
    SessionRef,
    SymbolStatus,
    float_block,
)

NO_VALUES = float_block(np.zeros((0, 0)))
RECON_CLEAN = "clean"
RECON_BREAKS = "breaks"


def fold(state: ArbiterState, event: AnyEvent) -> None:
    """Fold one fact into ``state``; a fact that other services act on changes nothing.

    Raises:
        ValueError: The event is malformed (array shapes, unknown mode in a command).
    """
    _fold_cycle(state, event)
    _fold_orders(state, event)
    _fold_market(state, event)
    _fold_control(state, event)


def _fold_cycle(state: ArbiterState, event: AnyEvent) -> None:
    match event:
        case ClockTick():
            state.clock_ns = max(state.clock_ns, event.ts_ns)
        case FeatureBlock():
            _keep_features(state, event)
        case PredictionBlock():
            _join(state, event)
        case Decision():
            _note_signals(state, event)
            _note_exits(state, event)
        case _:
            pass


def _fold_orders(state: ArbiterState, event: AnyEvent) -> None:
    match event:
        case IntentBlock() | OrderRefused() | OrderSubmitting() | OrderUpdated():
            state.working.apply(event)
        case OrderFilled():
            if not state.ledger.knows(event.exec_id):
                state.working.apply(event)
            state.ledger.apply(event)
            state.exits = after_fill(state.exits, event.symbol, state.ledger.position_micro(event.symbol))
            note_gross(state)
        case OrderCommission() | Positions() | OrderCorrected():
            state.ledger.apply(event)
            note_gross(state)
        case AccountValues():
            state.ledger.apply(event)
            note_equity(state.losses, event.net_liquidation_nano, event.ts_ns)
            state.equity_nano = event.net_liquidation_nano
        case LedgerCorrection():
            state.ledger.apply(event)
            state.external.apply(event)
            state.exits = after_fill(state.exits, event.symbol, state.ledger.position_micro(event.symbol))
            note_gross(state)
        case ExternalOrder() | ReconBreak():
            state.external.apply(event)
        case _:
            pass


def _fold_market(state: ArbiterState, event: AnyEvent) -> None:
    match event:
        case OrderLink():
            state.links[ORDER_LINK] = event.connected
            if event.data_lost or not event.connected:
                state.reconciled = False
        case BrokerStatus():
            state.links[f"client:{event.client_id}"] = event.connected
        case FeedStatus():
            # The kind of data is judged where it is told; a farm that was told of meanwhile would keep it for ever.
            live = event.farm != MARKET_DATA or event.data_type not in DATA_TYPES_NOT_LIVE
            state.farms[event.farm] = event.healthy and live
        case SymbolStatus():
            state.halted[event.symbol] = event.halted
        case InstrumentRef():
            state.instruments[event.symbol] = event
        case SessionRef():
            state.bar_ns = event.bar_ns
            _note_session(state, event)
        case SessionPhase():
            _note_session(state, event)
        case _:
            pass


def _fold_control(state: ArbiterState, event: AnyEvent) -> None:
    match event:
        case ReconReport():
            _note_report(state, event)
        case ModeState():
            note_state(state.mode, event)
        case ModeRequest():
            _note_mode_request(state, event)
        case OperatorCommand():
            note_command(state.mode, event)
            state.external.apply(event)
        case ProducerEpoch() if event.service == Service.ARBITER.value:
            state.epoch = event.epoch
        case _:
            pass


def _note_session(state: ArbiterState, event: SessionRef | SessionPhase) -> None:
    note_session(state.losses, event.session_date)
    state.session = SessionFacts(session_date=event.session_date, open_ns=event.open_ns, close_ns=event.close_ns)


def _keep_features(state: ArbiterState, block: FeatureBlock) -> None:
    require_sound(block)
    state.pending[block.id] = block
    bound = PENDING_WARMUP_MAX if block.warmup else PENDING_FEATURES_MAX
    waiting = [key for key, item in state.pending.items() if item.warmup == block.warmup]
    for key in waiting[: max(0, len(waiting) - bound)]:
        del state.pending[key]
        state.count(DROPPED_FEATURES)


def _join(state: ArbiterState, predictions: PredictionBlock) -> None:
    state.joined = state.pending.pop(predictions.features, None)
    if state.joined is None:
        state.count(UNMATCHED_PREDICTIONS)
        return
    # Blocks of earlier bars can no longer be decided on; what is newer still waits for its predictions.
    for block_id in [key for key, block in state.pending.items() if block.ts_ns <= state.joined.ts_ns]:
        del state.pending[block_id]
        state.count(DROPPED_FEATURES)


def _note_signals(state: ArbiterState, decision: Decision) -> None:
    wanted = column_values(decision, "wanted")
    z, horizon = column_values(decision, "z"), column_values(decision, "chosen_horizon_minutes")
    for index, symbol in enumerate(decision.symbols):
        if wanted[index] > 0.0:
            state.signals[symbol] = Signal(
                direction=1 if z[index] > 0.0 else -1, horizon_minutes=int(horizon[index]), ts_ns=decision.ts_ns
            )


def _note_exits(state: ArbiterState, decision: Decision) -> None:
    """Take scale-outs and stops from the record, so that a replay needs no model to know them."""
    cap, stop = column_values(decision, "exit_cap_shares"), column_values(decision, "stop_usd")
    hit = column_values(decision, "stop_hit")
    for index, symbol in enumerate(decision.symbols):
        state.exits.pop(symbol, None)
        position = state.ledger.position_micro(symbol)
        if position:
            state.exits[symbol] = BarrierMemory(
                direction=1 if position > 0 else -1,
                cap_micro=NO_CAP if np.isnan(cap[index]) else round(cap[index] * QUANTITY_SCALE),
                stop_nano=NO_STOP if np.isnan(stop[index]) else round(stop[index] * PRICE_SCALE),
                stop_hit=bool(hit[index]),
            )


def _note_mode_request(state: ArbiterState, event: ModeRequest) -> None:
    """Take a request; those that report a fault are counted or measured here and ask for nothing themselves."""
    if event.topic == TOPIC_EXCEPTION:
        note_exception(state.faults, event.ts_ns)
    elif event.topic == TOPIC_LATENCY:
        note_latency(state.faults, latency_of(event))
    else:
        note_request(state.mode, event)


def _note_report(state: ArbiterState, report: ReconReport) -> None:
    if report.status in {RECON_CLEAN, RECON_BREAKS}:
        # The broker has just answered for the whole account.
        note_account(state.losses, report.ts_ns)
    state.recon_status = report.status
    if report.status == RECON_CLEAN:
        state.reconciled = True
    elif report.status == RECON_BREAKS:
        state.reconciled = False
