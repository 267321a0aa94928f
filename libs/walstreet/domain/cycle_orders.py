"""Owns the end of a cycle: quantities, netting, the rebalancing trigger, and the remaining verdicts."""

from __future__ import annotations

import numpy as np

from walstreet.domain import netting
from walstreet.domain.correlation_risk import RiskBinding
from walstreet.domain.cycle_types import Book, Gate, Orders, Run
from walstreet.domain.limits import Binding
from walstreet.domain.netting import NETTING_VERDICTS, NettingReason
from walstreet.domain.rebalance import REBALANCE_VERDICTS, RebalanceInputs, rebalance
from walstreet.domain.units import BoolArray, IntArray, price_usd, shares
from walstreet_events import NANOS_PER_SECOND, QUANTITY_SCALE, Verdict

RISK_VERDICTS: dict[int, Verdict] = {
    RiskBinding.CLUSTER: Verdict.RISK_CLUSTER,
    RiskBinding.VOLATILITY: Verdict.RISK_VOLATILITY,
    Binding.NAME: Verdict.RISK_NAME,
    Binding.SECTOR: Verdict.RISK_SECTOR,
    Binding.NET: Verdict.RISK_NET,
    Binding.GROSS: Verdict.RISK_GROSS,
}
SENT = (Verdict.ACCEPTED, Verdict.SCALE_OUT_50PCT, Verdict.TIGHTEN_SL)
"""Verdicts of symbols for which an order goes out: as wanted, or because a barrier is near or a stop was hit."""
WEIGHT_TOLERANCE = 1e-9
"""Weights closer than this are the same."""
SHARES_ABS_MAX = 1e9
"""More shares than this come from a broken price or equity; the symbol fails closed."""


def order_horizons(run: Run) -> IntArray:
    """Return (N,) horizon in minutes that an order serves: the chosen one, else that of the position's last signal."""
    inputs = run.inputs
    chosen = inputs.horizons_minutes[np.maximum(run.choice.best, 0)]
    fallback = np.where(inputs.signal_horizon_minutes > 0, inputs.signal_horizon_minutes, inputs.horizons_minutes[0])
    return np.where(run.wanted, chosen, fallback)


def _quantities(run: Run, book: Book) -> IntArray:
    """Return (N,) signed whole-share order quantities in micro; targets are rounded toward zero."""
    inputs = run.inputs
    with np.errstate(invalid="ignore", divide="ignore"):
        target_shares = np.trunc(book.final * inputs.equity_usd / price_usd(inputs.mid_nano))
    sound = run.movable & (np.abs(target_shares) <= SHARES_ABS_MAX)
    target_micro = np.where(sound, target_shares, 0.0).astype(np.int64) * QUANTITY_SCALE
    difference = target_micro - inputs.position_micro
    whole = np.sign(difference) * (np.abs(difference) // QUANTITY_SCALE * QUANTITY_SCALE)
    return np.where(sound & (book.final != run.current), whole, 0)


def plan_orders(run: Run, book: Book, gate: Gate) -> Orders:
    """Return what netting and the rebalancing trigger leave of the planned quantities."""
    inputs, parameters = run.inputs, run.parameters
    planned = _quantities(run, book)
    price = price_usd(inputs.mid_nano)
    netted = netting.net_intents(
        inputs.book.netting,
        symbols=inputs.symbols,
        intents_usd=np.where(planned == 0, 0.0, shares(planned) * np.nan_to_num(price))[None, :],
        position_usd=np.where(inputs.position_micro == 0, 0.0, shares(inputs.position_micro) * inputs.mark_usd),
        alpha_bps=run.choice.alpha_final_bps,
        now_ns=inputs.ts_ns,
        parameters=parameters.netting,
    )
    best = np.maximum(run.choice.best, 0)[None, :]
    strength = np.take_along_axis(gate.alpha_z, best, axis=0)[0]
    trigger = rebalance(
        RebalanceInputs(
            target=book.relimited,
            planned=book.final,
            current=run.current,
            band=book.band,
            spread_bps=inputs.spread_bps,
            alpha_z=np.where(run.wanted, strength, np.nan),
            regime_switch=inputs.book.regime_switch,
        ),
        window=inputs.window,
        sweep=inputs.book.sweep,
        parameters=parameters.rebalance,
    )
    # What leaves a position because a barrier is near, a stop was hit or the session ends needs no other event.
    exits = run.barriers.plan.stop_hit | (book.exited != book.limited)
    to_flat = _to_flat(planned, inputs.position_micro)
    left = planned
    if parameters.gates.netting:
        left = np.where(netted.reason == NettingReason.NONE, left, to_flat)
    if parameters.gates.rebalance:
        kept = np.where(trigger.weights == book.final, left, _to_flat(left, inputs.position_micro))
        left = np.where(trigger.may_trade | exits, np.where(exits, left, kept), 0)
    return Orders(planned_micro=planned, netted=netted, trigger=trigger, quantity_micro=left)


def _to_flat(quantity_micro: IntArray, position_micro: IntArray) -> IntArray:
    """Return the part of an order that brings the position towards 0, never beyond."""
    against = np.sign(quantity_micro) * np.sign(position_micro) < 0
    return np.where(against, np.sign(quantity_micro) * np.minimum(np.abs(quantity_micro), np.abs(position_micro)), 0)


def judge_orders(run: Run, book: Book, orders: Orders, horizon: IntArray) -> IntArray:
    """Give the remaining verdicts and return the quantities that are really sent."""
    inputs, order, board = run.inputs, run.parameters.order, run.board
    unmoved = book.final == run.current
    # The limit stopped the symbol if it left nothing to trade where the unlimited target would have traded.
    stopped_by_limit = (np.abs(book.limited - run.current) <= WEIGHT_TOLERANCE) & (
        np.abs(book.target - run.current) > book.band
    )
    for limit, verdict in RISK_VERDICTS.items():
        board.stop(unmoved & (book.binding == limit) & stopped_by_limit, verdict)
    board.stop(unmoved & run.wanted & (book.sized == 0.0), Verdict.RISK_GROSS)
    board.stop(unmoved, Verdict.IN_BAND)
    quantity = orders.planned_micro
    notional_usd = np.abs(shares(quantity)) * np.nan_to_num(price_usd(inputs.mid_nano))
    small = (quantity == 0) | ((notional_usd < order.notional_usd_min) & (book.final != 0.0))
    board.stop(small, Verdict.BELOW_MIN)
    tif_s = np.array([order.tif_of(minutes) for minutes in horizon.tolist()], dtype=np.int64)
    late = inputs.now_ns >= inputs.ts_ns + tif_s * NANOS_PER_SECOND
    board.stop(late, Verdict.STALE_PRED)
    nothing_left = _stop_orders(run, orders)
    # Limits may take something from a position that an earlier step had decided to leave alone.
    sendable = run.movable & ~small & ~late & ~nothing_left
    board.reopen(sendable & board.stopped)
    plan = run.barriers.plan
    board.stop(sendable & plan.stop_hit, Verdict.TIGHTEN_SL)
    board.stop(sendable & (book.exited != book.limited), Verdict.SCALE_OUT_50PCT)
    board.stop(sendable, Verdict.ACCEPTED)
    sent: IntArray = np.where(board.has(*SENT), orders.quantity_micro, 0)
    return sent


def _stop_orders(run: Run, orders: Orders) -> BoolArray:
    """Give their verdicts to the symbols of which netting or the trigger left nothing, and return them."""
    board, gates = run.board, run.parameters.gates
    nothing_left: BoolArray = (orders.planned_micro != 0) & (orders.quantity_micro == 0)
    for asked, reasons, verdicts in (
        (gates.netting, orders.netted.reason, NETTING_VERDICTS),
        (gates.rebalance, orders.trigger.reason, REBALANCE_VERDICTS),
    ):
        for code, verdict in verdicts.items():
            if asked:
                board.stop(nothing_left & (reasons == code), verdict)
    return nothing_left
