"""Owns the daily rotation within the arbiter: daily bars in, one explained rebalance and its intents out.

The fact that triggers it is the gateway's block of daily bars, written once in a session, minutes before the close. The
record comes first and names every number; the intents follow in one block, signed and sent like all others. What is
decided depends on the log before that block alone, so a replay gives the same bytes, and a process that dies between
the record and the intents decides the same again. A session with a rebalance on the log gets no second one.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence

import msgspec
import numpy as np

from walstreet.domain.arbiter_state import ArbiterState
from walstreet.domain.rotation_live_parameters import RotationLiveParameters
from walstreet.domain.rotation_memory import YEAR_NS
from walstreet.domain.rotation_plan import AccountView, RotationPlan, plan_rotation, violations
from walstreet.domain.units import SESSION_MINUTES
from walstreet_events import (
    NANOS_PER_SECOND,
    PRICE_SCALE,
    QUANTITY_SCALE,
    AnyEvent,
    Column,
    DailyBars,
    EventId,
    IntentBlock,
    Mode,
    OrderIntent,
    RotationDecision,
    Side,
    derive_id,
    float_block,
    tag_of,
)

_encoder = msgspec.msgpack.Encoder(order="deterministic")


def rebalance(
    state: ArbiterState, bars: DailyBars, mode: Mode, parameters: RotationLiveParameters
) -> Sequence[AnyEvent]:
    """Return the record of the session's rebalance and its intents, nothing where the rotation is off.

    Args:
        state: That contains ``bars``.
        bars: Daily bars up to now.
        mode: In which the decision is made.
        parameters: In force.
    """
    if not parameters.enabled:
        return ()
    record_id = derive_id(bars.id, tag_of(RotationDecision), 0)
    view = account_view(state, bars, mode, record_id)
    plan = plan_rotation(bars, view, parameters)
    record = decision_event(plan, view, bars, parameters, record_id)
    if not plan.sequence:
        return (record,)
    block = IntentBlock(
        id=derive_id(bars.id, tag_of(IntentBlock), 0),
        cause=bars.id,
        ts_ns=view.now_ns,
        decision=record.id,
        mode=mode.value,
        intents=tuple(
            _intent(plan, column, state.instruments[plan.symbols[column]].con_id, record, parameters)
            for column in plan.sequence
        ),
        epoch=state.epoch,
    )
    return (record, block)


def account_view(state: ArbiterState, bars: DailyBars, mode: Mode, rebalance_id: str) -> AccountView:
    """Return what the log says of the account at the time of ``bars``."""
    memory = state.rotation
    now_ns = max(state.clock_ns, bars.ts_ns)
    held = {symbol: state.ledger.position_micro(symbol) for symbol in state.ledger.held()}
    return AccountView(
        session_date=memory.session_date,
        close_ns=memory.close_ns,
        now_ns=now_ns,
        mode=mode,
        reconciled=state.reconciled,
        equity_nano=state.equity_nano,
        positions_micro=held if state.ledger.opened else None,
        lots_micro={symbol: item.lot_micro for symbol, item in state.instruments.items()},
        working_micro=state.working.remaining_micro(),
        halted=state.halted,
        external=state.external,
        broker_settled_nano=memory.broker_settled_nano,
        book=memory.book,
        day_trades=memory.trades,
        orders_today=len(memory.orders),
        rebalance=rebalance_id,
        rebalance_today=memory.rebalance,
        year_ago=year_ago(now_ns),
    )


def year_ago(now_ns: int) -> str:
    """Return the ISO date a year before, from which good-faith violations count."""
    seconds = max(0, now_ns - YEAR_NS) // NANOS_PER_SECOND
    return (dt.date(1970, 1, 1) + dt.timedelta(seconds=seconds)).isoformat()


def parameters_hash(parameters: RotationLiveParameters) -> str:
    """Return SHA-256 (hex) of the parameters in a fixed order."""
    return hashlib.sha256(_encoder.encode(parameters)).hexdigest()


def decision_event(
    plan: RotationPlan, view: AccountView, bars: DailyBars, parameters: RotationLiveParameters, record_id: EventId
) -> RotationDecision:
    """Return the record of a plan."""
    decision = plan.decision
    prices = np.array(plan.price_nano, dtype=np.int64)
    columns = (
        ("price_usd", "usd", np.where(prices > 0, prices / PRICE_SCALE, np.nan)),
        ("score", "ranges", decision.score),
        ("volatility_day", "share", decision.volatility),
        ("weight_target", "weight", decision.target),
        ("weight_held", "weight", np.array(plan.weight_held)),
        ("held_shares", "shares", np.array(plan.held_micro) / QUANTITY_SCALE),
        ("wanted_shares", "shares", np.array(plan.wanted_micro) / QUANTITY_SCALE),
        ("order_shares", "shares", np.array(plan.order_micro) / QUANTITY_SCALE),
    )
    return RotationDecision(
        id=record_id,
        cause=bars.id,
        ts_ns=view.now_ns,
        strategy=parameters.strategy,
        session_date=bars.session_date,
        symbols=plan.symbols,
        bars=bars.id,
        mode=view.mode,
        status=plan.status.value,
        equity_nano=view.equity_nano or 0,
        settled_nano=plan.free_nano,
        committed_nano=plan.committed_nano,
        orders_before=view.orders_today or 0,
        day_trades=view.day_trades.total if view.day_trades else 0,
        good_faith_violations=violations(view),
        exposure=decision.exposure,
        chosen=tuple(plan.symbols[column] for column in decision.chosen),
        reasons=tuple(reason.value for reason in decision.reasons),
        verdicts=tuple(plan.verdicts),
        columns=tuple(Column(name=name, unit=unit, values=float_block(values)) for name, unit, values in columns),
        config_hash=parameters_hash(parameters),
    )


def _intent(
    plan: RotationPlan, column: int, con_id: int, record: RotationDecision, parameters: RotationLiveParameters
) -> OrderIntent:
    symbol, quantity, held = plan.symbols[column], plan.order_micro[column], plan.held_micro[column]
    side = Side.BUY if quantity > 0 else Side.SELL
    return OrderIntent(
        id=derive_id(record.id, f"intent:{symbol}:{side.value}", 0),
        symbol=symbol,
        con_id=con_id,
        side=side,
        quantity_micro=abs(quantity),
        reducing=quantity < 0 <= held + quantity,
        horizon_minutes=SESSION_MINUTES,
        # The last trade of the newest minute; execution prices the order from its own quote.
        arrival_mid_nano=plan.price_nano[column],
        tif_s=parameters.tif_s,
        expires_ns=record.ts_ns + parameters.parent_s * NANOS_PER_SECOND,
        alpha_bps=0.0,
        target_weight=float(plan.target[column]),
    )
